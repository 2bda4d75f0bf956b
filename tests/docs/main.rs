//! The documentation says what is true: its commands are run as they stand, and print what it says they print; its links lead
//! somewhere. CONTRIBUTING.md describes the marks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod compare;
mod links;
mod page;
mod run;

use std::fs;

use page::{Block, Page, all, root};

/// Languages of blocks that are commands or what they print: each such block is run, or says why not.
const RUN: &[&str] = &["sh", "console", "text"];

/// Languages of what is written into files.
const FILES: &[&str] = &[
    "bind",
    "gotemplate",
    "hcl",
    "ini",
    "json",
    "keys",
    "labels",
    "nginx",
    "properties",
    "rust",
    "toml",
    "uri",
    "yaml",
];

/// A test for each page that has something to run.
macro_rules! pages {
    ($($test:ident = $path:literal,)*) => {
        const PAGES: &[&str] = &[$($path),*];
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                run::page(&Page::read($path)).await;
            }
        )*
    };
}

pages! {
    asking = "docs/asking.md",
    consul = "docs/consul.md",
    consul_kv = "docs/consul-kv.md",
    containers = "docs/containers.md",
    coredns = "docs/coredns.md",
    discoverd = "docs/discoverd.md",
    dns_servers = "docs/dns-servers.md",
    embedded = "docs/embedded.md",
    etcd = "docs/etcd.md",
    eureka = "docs/eureka.md",
    external_dns = "docs/external-dns.md",
    files = "docs/files.md",
    getting_started = "docs/getting-started.md",
    health = "docs/health.md",
    metadata = "docs/metadata.md",
    operations = "docs/operations.md",
    redis = "docs/redis.md",
    rollout = "docs/rollout.md",
    security = "docs/security.md",
    status = "docs/status.md",
    traefik = "docs/traefik.md",
    zookeeper = "docs/zookeeper.md",
    readme = "README.md",
}

#[test]
fn every_page_with_something_to_run_is_run() {
    let marked = |page: &Page| page.blocks().any(|block| block.mark("run").is_some());
    let with: Vec<_> = all().iter().filter(|page| marked(page)).map(|page| page.path.clone()).collect();
    let mut run: Vec<_> = PAGES.iter().map(|path| (*path).to_owned()).collect();
    run.sort();
    assert_eq!(with, run, "tests/docs/main.rs has a test for each of them");
}

/// What is wrong with the marks of a block.
fn fault(page: &Page, block: &Block) -> Option<String> {
    const MARKS: &[&str] = &["run", "prints", "logs", "file", "tested", "not run"];
    let marks: Vec<_> = block.marks.iter().filter(|mark| MARKS.contains(&mark.name.as_str())).collect();
    let language = block.language.as_str();
    match marks[..] {
        [] if RUN.contains(&language) => Some(format!("neither run nor marked; {}", "<!-- not run: why -->")),
        [] if FILES.contains(&language) => None,
        [_] if !RUN.contains(&language) && !FILES.contains(&language) => Some(format!("the language {language:?}")),
        [mark] if mark.name == "not run" && mark.value.is_empty() => {
            Some("it is not said why it is not run".to_owned())
        }
        [mark] if mark.name == "tested" => {
            let (file, test) = mark.value.split_once(": ")?;
            let source = fs::read_to_string(root().join(file)).unwrap_or_default();
            if !source.contains(&format!("fn {test}(")) {
                return Some(format!("there is no test {test} in {file}"));
            }
            let name = page.path.as_str();
            (!source.contains(name)).then(|| format!("{file} does not read {name}"))
        }
        [_] => None,
        [] => Some(format!("the language {language:?}: one of {RUN:?}, {FILES:?}")),
        _ => Some("more than one mark".to_owned()),
    }
}

#[test]
fn every_command_and_every_output_is_run_or_says_why_not() {
    let pages = all();
    let mut faults = Vec::new();
    for page in &pages {
        faults.extend(
            page.unfenced.iter().map(|line| format!("{}:{line}: a block without ``` and a language", page.path)),
        );
        let blocks = page.blocks().filter_map(|block| Some((block.line, fault(page, block)?)));
        faults.extend(blocks.map(|(line, fault)| format!("{}:{line}: {fault}", page.path)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_book_has_each_page_exactly_once() {
    let summary = Page::read("docs/SUMMARY.md");
    let mut listed: Vec<_> = summary.links.iter().map(|(_, link)| format!("docs/{link}")).collect();
    listed.sort();
    let pages: Vec<_> = all().into_iter().map(|page| page.path).collect();
    let pages: Vec<_> =
        pages.into_iter().filter(|path| path.starts_with("docs/") && path != "docs/SUMMARY.md").collect();
    assert_eq!(listed, pages);
}

#[test]
fn every_link_leads_somewhere() {
    let broken = links::broken(&all());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
