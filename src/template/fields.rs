//! Small templates of settings: a command (`nginx -t -c {{.src}}`) or a path (`/etc/nginx/{{.Name}}.conf`).

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use gtmpl_ng::{Limits, Value};

use super::engine::Compiled;
use super::error::TemplateError;
use super::functions;

/// The output limit, in bytes: no command and no path is longer.
const LONGEST_OUTPUT: usize = 1 << 20;

/// The time limit, lookups of names included.
const DEADLINE: Duration = Duration::from_secs(10);

/// A template over a few named values. It has no functions that read the store or files.
pub struct FieldsTemplate {
    name: String,
    compiled: Compiled,
}

impl FieldsTemplate {
    /// Parses a template. `name` is the setting's, which its errors carry: `check_cmd`.
    ///
    /// # Errors
    /// When it is not Go's language, or names a function that does not exist.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        let limits = Limits::default().with_output_bytes(LONGEST_OUTPUT).with_deadline(DEADLINE);
        let compiled = Compiled::parse(name, text, functions::FIELDS, limits)
            .map_err(|failure| TemplateError::parse(name, failure))?;
        Ok(Self { name: name.to_owned(), compiled })
    }

    /// The text with these values: `("src", path)` is `{{.src}}`.
    ///
    /// # Errors
    /// When the template names another value, where Go would print `<no value>`: that is never what a command or a path
    /// should hold. Also when a function fails.
    pub fn render(&self, values: &[(&str, &str)]) -> Result<String, TemplateError> {
        let fields: HashMap<_, _> =
            values.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        self.compiled.execute(Value::Object(fields)).map_err(|failure| TemplateError::execute(&self.name, failure))
    }
}

impl fmt::Debug for FieldsTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldsTemplate").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> Result<String, TemplateError> {
        FieldsTemplate::parse("check_cmd", template)?.render(&[("src", "/etc/.a1"), ("dest", "/etc/a")])
    }

    #[test]
    fn values_are_fields_and_others_are_errors() {
        assert_eq!(render("nginx -t -c {{.src}} # {{ .dest }}").unwrap(), "nginx -t -c /etc/.a1 # /etc/a");
        assert_eq!(render("{{if eq .src \"/x\"}}{{else}}b{{end}}").unwrap(), "b");
        assert_eq!(
            render("rm {{.dset}}").unwrap_err().to_string(),
            "template: check_cmd:1:6: executing \"check_cmd\" at <.dset>: can't evaluate field dset in this value"
        );
        assert!(matches!(render("{{.src"), Err(TemplateError::Parse(_))));
    }

    #[test]
    fn the_store_and_files_are_out_of_reach() {
        for template in
            ["{{getv \"/a\"}}", "{{ls \"/\"}}", "{{include \"a\"}}", "{{fileExists \"/a\"}}", "{{services}}"]
        {
            assert!(matches!(render(template), Err(TemplateError::Parse(_))), "{template}");
        }
    }
}
