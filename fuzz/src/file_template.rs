//! Whatever a file's template is, it parses or is refused, and over whatever a store holds it renders or says why not.
//!
//! The input is a template, and behind its first NUL the value that each key of the store has.

use std::path::Path;
use std::sync::Arc;

use registrator::template::{Data, Dot, FieldsTemplate, FileTemplate, Health, Instance, TemplateError};

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let (template, value) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], String::from_utf8_lossy(&data[end + 1..]).into_owned()),
        None => (data, "1".to_owned()),
    };
    // Questions to name servers, and the files of the machine, are none of a fuzzer's business.
    if [b"lookup".as_slice(), b"include"].iter().any(|word| template.windows(word.len()).any(|part| part == *word)) {
        return;
    }
    let outcome = FileTemplate::parse_bytes("fuzz.tmpl", template, Path::new("/nonexistent"))
        .and_then(|parsed| parsed.render(&store(&value), &Dot::Nothing));
    if let Err(error) = outcome {
        assert_reason(&error);
    }
    if let Err(error) = FieldsTemplate::parse("reload_cmd", &String::from_utf8_lossy(template))
        .and_then(|parsed| parsed.render(&[("src", &value), ("dest", "/etc/a")]))
    {
        assert_reason(&error);
    }
}

/// A reason is one line.
fn assert_reason(error: &TemplateError) {
    let line = error.to_string();
    assert!(!line.contains(char::is_control) && line.chars().count() < 1200, "{line:?}");
}

fn store(value: &str) -> Arc<Data> {
    let instance = |number: u16, health| {
        Arc::new(Instance {
            id: format!("host:web.{number}:80"),
            name: "web".to_owned(),
            address: "10.0.0.1".to_owned(),
            port: number,
            tags: vec!["http".to_owned(), value.to_owned()],
            attrs: [("zone".to_owned(), value.to_owned())].into(),
            health,
            node: "host".to_owned(),
            container: format!("web.{number}"),
        })
    };
    Arc::new(Data {
        keys: ["/a", "/app/port", "/app/upstream/web1", "/app/upstream/web2"]
            .into_iter()
            .map(|key| (key.to_owned(), value.to_owned()))
            .collect(),
        instances: vec![instance(1, Health::Passing), instance(2, Health::Critical)],
    })
}
