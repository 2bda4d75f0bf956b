//! `config show`: each option's value, and where it came from.

use std::io::Write;

use serde_json::{Value, json};

use super::table::Table;
use super::{Error, Exit, Format, print_json};
use crate::cli::Ask;
use crate::config::{Origin, REGISTRIES, Setting};
use crate::registry::redacted;

/// Prints the settings, without secrets.
pub(super) fn run(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    let settings = &ask.config.settings;
    match ask.format {
        Format::Table => {
            let mut table = Table::new(["OPTION", "VALUE", "FROM"]);
            for setting in settings {
                table.row([setting.option, &shown(setting), &setting.origin.to_string()]);
            }
            out.write_all(table.render().as_bytes())?;
        }
        Format::Json => print_json(out, &listed(ask))?,
    }
    Ok(Exit::Well)
}

/// The settings for programs, without secrets.
pub(super) fn listed(ask: &Ask) -> Value {
    Value::Array(ask.config.settings.iter().map(as_json).collect())
}

/// The value of a setting as it may be shown.
fn shown(setting: &Setting) -> String {
    if setting.option == REGISTRIES { redacted(&setting.value) } else { setting.value.clone() }
}

fn as_json(setting: &Setting) -> Value {
    let mut object = json!({ "option": setting.option, "value": shown(setting) });
    let (from, more) = match &setting.origin {
        Origin::Option => ("option", json!({})),
        Origin::Variable(name) => ("variable", json!({ "variable": name })),
        Origin::File { path, line } => ("file", json!({ "file": path, "line": line })),
        Origin::Default => ("default", json!({})),
    };
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.insert("from".to_owned(), from.into());
        object.extend(more);
    }
    object
}
