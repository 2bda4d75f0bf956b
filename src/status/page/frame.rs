//! The page around its cards and rows: its head, the latest events, its foot.

use std::fmt::Write as _;
use std::sync::Arc;

use registrator_web::page::{self, Updates, escaped, state};

use super::super::journal::Happened;
use super::super::view::About;
use super::time::Past;

/// How many events the page begins with.
const EVENTS: usize = 50;

const UPDATES: Updates = Updates {
    events: Some("/v1/events"),
    rows: "/page/containers",
    row: "/page/container/",
    explain: "/page/explain/",
    parts: "/page/registries",
    nouns: "container containers",
};

/// Everything above the registries.
pub(super) fn head(about: &About, containers: usize, attention: usize, tag: &str, now: u64) -> String {
    let title = match attention {
        0 => format!("{} – registrator", about.hostname),
        _ => format!("({attention}) {} – registrator", about.hostname),
    };
    let counted = page::count(containers, "container", "containers");
    page::head(&title, UPDATES, tag, now)
        + &format!("<header>\n<h1>{}</h1>\n", escaped(&about.hostname))
        + page::LIVE
        + &self::about(about)
        + &page::summary(&counted, attention)
        + "</header>\n<main class=\"wide\">\n"
}

/// What runs here.
pub(super) fn about(about: &About) -> String {
    let About { version, hostname: _, started, dry_run } = about;
    let mode = if *dry_run { " <strong class=\"dry\">dry run: nothing is written</strong>" } else { "" };
    format!("<p id=\"about\">registrator {}, started {}{mode}</p>\n", escaped(version), Past(*started))
}

/// The latest events, newest first.
pub(super) fn events(last: &[Arc<Happened>]) -> String {
    let number = last.last().map_or(0, |happened| happened.number);
    let mut html = format!(
        "<section id=\"events\" aria-label=\"Latest events\">\n<h2>Latest events</h2>\n\
         <ol id=\"log\" tabindex=\"0\" data-number=\"{number}\" aria-label=\"Latest events, newest first\">",
    );
    for happened in last.iter().rev().take(EVENTS) {
        let Happened { at, level, text, registry, .. } = &**happened;
        let level = match level.as_str() {
            "warn" => state("warn", "warning"),
            "error" => state("bad", "error"),
            _ => String::new(),
        };
        let _ = write!(html, "<li>{}{level}<span class=\"text\">", Past(at / 1000));
        // Which registry, where the text does not say it.
        if let Some(registry) = registry.as_deref().filter(|registry| !text.contains(registry)) {
            let scheme = registry.split(':').next().unwrap_or_default();
            let _ = write!(html, "<span class=\"idle\">{}</span> ", escaped(scheme));
        }
        let _ = write!(html, "{}</span></li>", escaped(text));
    }
    html + "</ol>\n</section>\n"
}

/// Between the events and the containers.
pub(super) fn before_containers() -> String {
    page::before_rows(
        "Containers",
        "Filter by name, image, service, tag, state …",
        &["Container", "Service", "Registries"],
    )
}

/// The end.
pub(super) fn foot() -> String {
    let mut html = String::from("</main>\n<footer>\n<p>For programs: ");
    for path in
        ["/v1/state", "/v1/plan", "/v1/events", "/metrics", "/health", "/ready", "/prometheus/targets", "/traefik"]
    {
        let query = if matches!(path, "/health" | "/ready") { "?verbose" } else { "" };
        let _ = write!(html, "<a href=\"{path}{query}\">{path}</a> ");
    }
    html + "</p>\n" + page::KEYS + "</footer>\n</body>\n</html>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_how_bad_it_is_and_stays_text() {
        let happened = |number, level: &str| {
            Arc::new(Happened {
                number,
                at: 1_700_000_000_000,
                level: level.to_owned(),
                event: "added".to_owned(),
                text: "<b>x</b>".to_owned(),
                reason: None,
                registry: Some("consul://h:1".to_owned()),
                service: None,
                container: None,
                container_name: None,
            })
        };
        let html = events(&[happened(6, "info"), happened(7, "error")]);
        assert!(html.contains("data-number=\"7\"") && !html.contains("<b>"), "{html}");
        assert!(html.contains("<span class=\"idle\">consul</span> "), "{html}");
        assert_eq!((html.matches(">error<").count(), html.matches("&lt;b&gt;x").count()), (1, 2));
    }
}
