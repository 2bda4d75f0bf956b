//! `dest` with `for_each`: a path with names in it that come from containers. A name can fill its part of the path, and
//! nothing else.

use std::path::{Path, PathBuf};

use crate::template::{FieldsTemplate, TemplateError};

/// The longest name of a file, in bytes.
const LONGEST: usize = 255;

/// A `dest` with templates in some of its parts.
#[derive(Debug)]
pub struct Pattern {
    /// The folder that all files are below: the parts before the first template.
    root: PathBuf,
    /// The parts below it.
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    template: FieldsTemplate,
    text: String,
}

/// Why there is no file for something. Displays as one line without its name.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The template of the path fails.
    #[error(transparent)]
    Template(Box<TemplateError>),
    /// What the template gives is no name of a file.
    #[error("{name:?} cannot be a file's name: {why}")]
    Name {
        /// What it gives.
        name: String,
        /// Why not.
        why: &'static str,
    },
}

impl Pattern {
    /// Reads a `dest`.
    ///
    /// # Errors
    /// When a template in it does not parse.
    pub fn parse(dest: &str) -> Result<Self, TemplateError> {
        let parts = split(dest);
        let fixed = parts.iter().take_while(|part| !part.contains("{{")).count();
        // The last part is the file's name, and never a folder.
        let (folders, below) = parts.split_at(fixed.min(parts.len().saturating_sub(1)));
        let root = match folders.join("/") {
            root if root.is_empty() && dest.starts_with('/') => "/".to_owned(),
            root if root.is_empty() => ".".to_owned(),
            root => root,
        };
        let part = |text: &&str| Ok(Part { template: FieldsTemplate::parse("dest", text)?, text: (*text).to_owned() });
        let parts = below.iter().filter(|part| !part.is_empty()).map(part).collect::<Result<_, TemplateError>>()?;
        Ok(Self { root: root.into(), parts })
    }

    /// The folder that all files are below.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path below [`Pattern::root`] for something with these fields.
    ///
    /// # Errors
    /// When a part of it would not be the plain name of a file.
    pub fn fill(&self, fields: &[(&str, &str)]) -> Result<String, Refusal> {
        let parts = self.parts.iter().map(|part| part.fill(fields)).collect::<Result<Vec<_>, _>>()?;
        Ok(parts.join("/"))
    }
}

impl Part {
    fn fill(&self, fields: &[(&str, &str)]) -> Result<String, Refusal> {
        let name = self.template.render(fields).map_err(|error| Refusal::Template(Box::new(error)))?;
        let hidden_on_purpose = self.text.starts_with('.');
        match wrong(&name, hidden_on_purpose) {
            None => Ok(name),
            Some(why) => Err(Refusal::Name { name: name.chars().take(LONGEST).collect(), why }),
        }
    }
}

fn wrong(name: &str, hidden_on_purpose: bool) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.contains('/') {
        Some("it has a slash, and would leave its folder")
    } else if name == "." || name == ".." {
        Some("it is a folder")
    } else if name.starts_with('.') && !hidden_on_purpose {
        Some("it begins with a dot, and would be hidden")
    } else if name.chars().any(char::is_control) {
        Some("it has a control character")
    } else if name.len() > LONGEST {
        Some("it is longer than 255 bytes")
    } else {
        None
    }
}

/// The parts of a path between slashes, where a slash in `{{…}}` does not count.
fn split(dest: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut position) = (0, 0);
    while let Some(rest) = dest.get(position..) {
        if rest.is_empty() {
            break;
        }
        if rest.starts_with("{{") {
            position += action(rest);
        } else {
            if rest.starts_with('/') {
                parts.push(dest.get(start..position).unwrap_or_default());
                start = position + 1;
            }
            position += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    parts.push(dest.get(start..).unwrap_or_default());
    parts
}

/// The length of the template action that a text begins with, where braces in quotes do not count.
fn action(text: &str) -> usize {
    let mut quote = None;
    let mut characters = text.char_indices().skip(2);
    while let Some((index, character)) = characters.next() {
        match (quote, character) {
            (Some('"' | '\''), '\\') => drop(characters.next()),
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(character),
            (None, '}') if text.get(index..).is_some_and(|rest| rest.starts_with("}}")) => return index + 2,
            (None, _) => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(dest: &str, name: &str) -> Result<String, String> {
        let pattern = Pattern::parse(dest).unwrap();
        let filled = pattern.fill(&[("Name", name)]).map_err(|error| error.to_string())?;
        Ok(pattern.root().join(filled).to_str().unwrap().to_owned())
    }

    #[test]
    fn names_fill_their_part_of_the_path() {
        for (dest, root, path) in [
            ("/etc/nginx/conf.d/{{.Name}}.conf", "/etc/nginx/conf.d", "/etc/nginx/conf.d/web.conf"),
            ("/srv/{{.Name}}/site/x.conf", "/srv", "/srv/web/site/x.conf"),
            ("/{{.Name}}", "/", "/web"),
            ("{{.Name}}.conf", ".", "./web.conf"),
            ("out/{{.Name}}", "out", "out/web"),
            ("/d/{{if eq .Name \"/}}\"}}no{{else}}{{.Name}}{{end}}", "/d", "/d/web"),
            ("/d/.{{.Name}}", "/d", "/d/.web"),
        ] {
            assert_eq!(Pattern::parse(dest).unwrap().root(), Path::new(root), "{dest}");
            assert_eq!(fill(dest, "web").as_deref(), Ok(path), "{dest}");
        }
    }

    #[test]
    fn a_name_that_would_leave_its_place_is_refused() {
        for (name, why) in [
            ("a/b", "a slash"),
            ("../../etc/passwd", "a slash"),
            ("a\nb", "a control character"),
            ("\0", "a control character"),
            (".hidden", "begins with a dot"),
        ] {
            let error = fill("/d/{{.Name}}.conf", name).unwrap_err();
            assert!(error.contains(why), "{name:?}: {error}");
        }
        assert!(fill("/d/{{.Name}}", "..").unwrap_err().contains("a folder"));
        assert!(fill("/d/{{.Name}}/x", ".").unwrap_err().contains("a folder"));
        assert!(fill("/d/{{.Name}}", "").unwrap_err().contains("empty"));
        assert!(fill("/d/{{.Name}}", &"x".repeat(256)).unwrap_err().contains("255"));
        assert_eq!(fill("/d/{{if eq .Name \"a/b\"}}a_b{{end}}", "a/b").as_deref(), Ok("/d/a_b"));
    }

    proptest! {
        #[test]
        fn whatever_the_name_the_file_is_in_its_folder(name in "(\\PC|[./\u{0}\n]){0,12}") {
            if let Ok(path) = fill("/d/{{.Name}}", &name) {
                let path = Path::new(&path);
                prop_assert_eq!(path.parent(), Some(Path::new("/d")));
                prop_assert_eq!(path.file_name().and_then(|name| name.to_str()), Some(name.as_str()));
            }
        }

        #[test]
        fn no_dest_panics(dest in "([/.]|\\{\\{|\\}\\}|[\"'`\\\\]|\\PC){0,20}") {
            let _ = Pattern::parse(&dest);
        }
    }
}
