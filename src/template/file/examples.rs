//! The examples of docs/templates.md: each is run, so that the page says what is true.

use std::collections::BTreeSet;
use std::fs;

use jiff::Timestamp;

use super::*;
use crate::template::{Health, Instance};

/// What the page says that its examples have.
fn data() -> Data {
    let keys = [
        ("/app/port", "443"),
        ("/app/url", "app.example.com"),
        ("/app/upstream/web1", "10.0.1.10:8080"),
        ("/app/upstream/web2", "10.0.1.11:8080"),
        ("/app/db/user", "admin"),
        ("/app/db/config", r#"{"host":"db1","port":5432,"replicas":["db2","db3"]}"#),
    ];
    let instance = |id: &str, address: &str, port, tags: &[&str], zone: Option<&str>| {
        let [node, container, _] = id.split(':').collect::<Vec<_>>()[..] else { panic!("{id}") };
        Instance {
            id: id.to_owned(),
            name: container.split('.').next().unwrap().to_owned(),
            address: address.to_owned(),
            port,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            attrs: zone.into_iter().map(|zone| ("zone".to_owned(), zone.to_owned())).collect(),
            health: if container == "web.2" { Health::Critical } else { Health::Passing },
            node: node.to_owned(),
            container: container.to_owned(),
        }
    };
    let instances = [
        instance("h2:web.2:80", "10.0.0.2", 8002, &["green", "http"], Some("b")),
        instance("h1:web.1:80", "10.0.0.1", 8001, &["blue", "http"], Some("a")),
        instance("h1:db.1:5432", "10.0.0.3", 5432, &[], None),
    ];
    Data { keys: keys.into_iter().collect(), instances: instances.into_iter().map(Arc::new).collect() }
}

/// Renders as the page's examples are: with its data, at its time, with its file to include.
fn rendered(template: &str) -> Result<String, TemplateError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("footer.tmpl"), "made by {{.}}").unwrap();
    let parsed = FileTemplate::parse("example", template, folder.path())?;
    let now: Timestamp = "2026-11-26T17:31:58.123456789Z".parse().unwrap();
    let scope = Scope { now: Some(now), ..Scope::new(Arc::new(data()), folder.path().to_owned()) };
    let executed = scope::within(scope, || parsed.compiled.execute(Value::NoValue));
    executed.map_err(|failure| TemplateError::execute("example", failure))
}

/// The cells of a table's row, where `\|` is a pipe.
fn cells(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "\u{0}");
    let cells = row.trim().trim_start_matches('|').trim_end_matches('|').split('|');
    cells.map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// The text between backticks, all of it.
fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

/// The examples of the page: where, template, output.
fn examples(page: &str) -> Vec<(String, String, String)> {
    let mut examples = Vec::new();
    for (number, line) in page.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let cells = cells(line);
        if let [_, _, example, output, _] = cells.as_slice()
            && let Some(template) = code(example)
        {
            let output = code(output).unwrap_or_else(|| panic!("line {}: no output", number + 1));
            examples.push((format!("line {}", number + 1), template.to_owned(), output.to_owned()));
        }
    }
    let blocks: Vec<&str> = page.split("```").collect();
    for (position, block) in blocks.iter().enumerate() {
        if let Some(template) = block.strip_prefix("gotemplate\n") {
            let output = blocks.get(position + 2).and_then(|next| next.strip_prefix("text\n")).unwrap();
            examples.push((format!("block {position}"), template.to_owned(), output.to_owned()));
        }
    }
    examples
}

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/templates.md")).unwrap()
}

#[test]
fn each_example_of_the_page_gives_what_the_page_says() {
    let page = page();
    let examples = examples(&page);
    assert!(examples.len() > 150, "{} examples", examples.len());
    let mut wrong = Vec::new();
    for (place, template, expected) in examples {
        match rendered(&template) {
            Ok(output) if output == expected => {}
            Ok(output) => wrong.push(format!("{place}: {template}\n  says  {expected:?}\n  gives {output:?}")),
            Err(error) => wrong.push(format!("{place}: {template}\n  says  {expected:?}\n  {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_function_has_an_example_and_each_call_on_the_page_is_a_function() {
    // Asks the name servers of whatever machine runs the tests.
    const NOT_RUN: &[&str] = &["lookupSRV"];
    let page = page();
    let words: BTreeSet<String> = examples(&page)
        .iter()
        .flat_map(|(_, template, _)| {
            template.split(|character: char| !(character.is_alphanumeric() || character == '_'))
        })
        .map(str::to_owned)
        .collect();
    let functions: BTreeSet<&str> =
        functions::files().into_iter().flat_map(|table| table.iter().map(|(name, _)| *name)).collect();
    for name in &functions {
        assert!(words.contains(*name) || NOT_RUN.contains(name), "{name} has no example");
    }
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells = cells(line);
        let [calls, _, _, _, _] = cells.as_slice() else { continue };
        for call in calls.split("`, `") {
            let name = call.trim_matches('`').split([' ', '.']).next().unwrap();
            assert!(functions.contains(name), "{name} is on the page, and no function");
        }
    }
}
