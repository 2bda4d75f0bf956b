//! TOML, written.

use gtmpl_ng::Value;
use serde_json::Value as Json;

use super::args::{Args, Failed, Given, exactly, functions};
use super::json::json;
use crate::template::engine::Table;

pub(in crate::template) static TABLE: Table = functions! {
    "toTOML", exactly(1), to_toml;
};

/// Of a map only, since a document is one. TOML has no null, so such entries are left out.
fn to_toml(args: &Args<'_>) -> Given {
    let value = args.value(0);
    let Some(toml::Value::Table(table)) = toml_of(&json(value))? else {
        return Err(Failed::expected("map[string]interface {}", value));
    };
    Ok(Value::from(table.to_string().trim_end_matches('\n')))
}

fn toml_of(json: &Json) -> Result<Option<toml::Value>, Failed> {
    Ok(Some(match json {
        Json::Null => return Ok(None),
        Json::Bool(flag) => toml::Value::Boolean(*flag),
        Json::String(text) => toml::Value::String(text.clone()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => toml::Value::Integer(whole),
            (None, Some(float)) if number.is_f64() => toml::Value::Float(float),
            _ => return Err(Failed::new(format_args!("{number} is larger than TOML's numbers"))),
        },
        Json::Array(items) => {
            let items = items.iter().map(toml_of).collect::<Result<Vec<_>, _>>()?;
            toml::Value::Array(items.into_iter().flatten().collect())
        }
        Json::Object(fields) => {
            let mut table = toml::Table::new();
            for (name, field) in fields {
                if let Some(field) = toml_of(field)? {
                    table.insert(name.clone(), field);
                }
            }
            toml::Value::Table(table)
        }
    }))
}
