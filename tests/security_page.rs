//! docs/security.md names a test for each of its claims: every one of them exists.

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_security_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let Some(cell) = row.trim_end_matches([' ', '|']).rsplit(" | ").next() else { continue };
        let Some((file, name)) = cell.split_once("`: `") else { continue };
        let (file, name) = (file.trim_start_matches('`'), name.trim_end_matches('`'));
        let source = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(source.contains(&format!("fn {name}(")), "{file} has no test {name}");
        named += 1;
    }
    assert!(named >= 30, "the page names only {named} tests");
}
