//! The handbook as a site, with its search in a real browser. `dev/book -check` builds the site and runs this.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::chromium::Chromium;
use testkit::wait::eventually;

const SOON: Duration = Duration::from_secs(30);

/// A file of the site.
fn site(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/book").join(name);
    assert!(path.exists(), "{} is not there: run dev/book", path.display());
    path
}

#[test]
#[ignore = "needs the site: dev/book -check"]
fn every_page_is_on_the_site_and_no_link_of_it_leads_out_of_the_site_into_nothing() {
    let docs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md") {
        let html = fs::read_to_string(site(&name.replace(".md", ".html"))).unwrap();
        let links = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for link in links.filter(|link| !link.contains(':') && !link.starts_with('#') && !link.is_empty()) {
            let file = link.split(['#', '?']).next().unwrap();
            assert!(site("index.html").with_file_name(file).exists(), "{name} links to {link}");
        }
    }
}

#[tokio::test]
#[ignore = "needs the site: dev/book -check"]
async fn the_search_of_the_site_finds_the_page_of_what_is_typed() {
    let browser = Chromium::start().await;
    let page = browser.open(&format!("file://{}", site("index.html").display())).await;
    for (words, expected) in
        [("ephemeral znode", "zookeeper.html"), ("canary", "rollout.html"), ("removal guard", "lifecycle.html")]
    {
        page.run("document.activeElement.blur()").await;
        page.press("s").await;
        page.run("document.querySelector('#mdbook-searchbar, #searchbar').value = ''").await;
        page.type_text(words).await;
        let found = async || {
            let links = "[...document.querySelectorAll('#mdbook-searchresults a, #searchresults a')].map(a => a.href).join(' ')";
            page.run(links).await.as_str().is_some_and(|links| links.contains(expected)).then_some(())
        };
        eventually(&format!("{words} leads to {expected}"), SOON, found).await;
    }
}
