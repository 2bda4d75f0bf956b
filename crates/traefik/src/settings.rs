//! What a reader of additions chooses: the parameters of a registry's URI, and of a request.

/// What a reader of additions chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether a container without the label `traefik.enable` is taken.
    pub exposed: bool,
    /// Only containers with one of these in the label `kop.namespace`; empty for all.
    pub namespaces: Vec<String>,
    /// The rule of routers without one, where `{}` stands for the container's name.
    pub rule: String,
}

impl Default for Settings {
    /// As Traefik's Docker provider.
    fn default() -> Self {
        Self { exposed: true, namespaces: Vec::new(), rule: "Host(`{}`)".to_owned() }
    }
}

impl Settings {
    /// The parameters.
    pub const PARAMETERS: [&str; 3] = ["exposed", "namespace", "rule"];

    /// Takes a parameter; one of another name is left alone.
    ///
    /// # Errors
    /// When its value cannot be used: one line that says what would be right.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "exposed" => {
                self.exposed = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(format!("exposed={value:?} is neither true nor false")),
                };
            }
            "namespace" => {
                let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                self.namespaces = names.map(str::to_owned).collect();
            }
            "rule" => self.rule = default_rule(value)?,
            _ => {}
        }
        Ok(())
    }
}

/// A default rule as Traefik's option `defaultRule` has it, with `{}` for the container's name.
fn default_rule(rule: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = rule;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (action, after) = behind.split_once("}}").ok_or_else(|| format!("rule={rule:?} lacks a }}}}"))?;
        let words: Vec<&str> = action.split_whitespace().collect();
        if !matches!(words.as_slice(), [".Name"] | ["normalize", ".Name"]) {
            return Err(format!(
                "rule={rule:?} has {{{{{action}}}}}; only {{{{.Name}}}} and {{{{normalize .Name}}}} are known, and both \
                 are the container's normalized name"
            ));
        }
        text += before;
        text += "{}";
        rest = after;
    }
    text += rest;
    if text.is_empty() {
        return Err("rule= is empty; leave it out for Host(`{{normalize .Name}}`)".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_and_wrong_ones_are_said() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("exposed", "false"),
            ("namespace", "dev, qa,"),
            ("rule", "Host(`{{normalize .Name}}.example.com`)"),
            ("other", "x"),
        ] {
            assert_eq!(settings.set(name, value), Ok(()));
        }
        let expected = Settings {
            exposed: false,
            namespaces: vec!["dev".to_owned(), "qa".to_owned()],
            rule: "Host(`{}.example.com`)".to_owned(),
        };
        assert_eq!(settings, expected);
        for (name, value, said) in [
            ("exposed", "1", "exposed=\"1\" is neither true nor false"),
            ("rule", "", "rule= is empty; leave it out for Host(`{{normalize .Name}}`)"),
            ("rule", "{{.Name", "rule=\"{{.Name\" lacks a }}"),
            (
                "rule",
                "{{.Labels}}",
                "rule=\"{{.Labels}}\" has {{.Labels}}; only {{.Name}} and {{normalize .Name}} are known, and both are \
                 the container's normalized name",
            ),
        ] {
            assert_eq!(settings.set(name, value), Err(said.to_owned()));
        }
    }
}
