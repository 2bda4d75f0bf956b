//! Links between pages: each leads to a file that there is, and to a heading that it has.

use std::path::Path;

use crate::page::{Page, root};

/// What is wrong with the links of these pages, a line each. Links to other sites are not asked for.
pub(crate) fn broken(pages: &[Page]) -> Vec<String> {
    let mut broken = Vec::new();
    for page in pages {
        for (line, link) in &page.links {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            if let Some(reason) = fault(page, pages, link) {
                broken.push(format!("{}:{line}: {link}: {reason}", page.path));
            }
        }
    }
    broken
}

fn fault(page: &Page, pages: &[Page], link: &str) -> Option<&'static str> {
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let path = match file {
        "" => page.path.clone(),
        file => clean(Path::new(&page.path).parent()?.join(file).to_str()?),
    };
    if !root().join(&path).exists() {
        return Some("there is no such file");
    }
    let anchor = anchor?;
    match pages.iter().find(|page| page.path == path) {
        Some(page) => (!page.anchors.iter().any(|known| known == anchor)).then_some("it has no such heading"),
        None => Some("only pages have headings"),
    }
}

/// The path without `..`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = |path: &str, text: &str| Page::parse(path, text);
    let pages = [
        page("docs/embedded.md", "# One\n\n## Two words: here\n"),
        page(
            "docs/security.md",
            "[a](embedded.md) [b](embedded.md#two-words-here) [c](../README.md) [d](https://x.y/z) `[e](no.md)`\n[f](embedded.md#three) [g](no.md) [h](#i)\n",
        ),
    ];
    let found: Vec<_> = broken(&pages).iter().map(|line| line.split(": ").nth(1).unwrap().to_owned()).collect();
    assert_eq!(found, ["embedded.md#three", "no.md", "#i"]);
}
