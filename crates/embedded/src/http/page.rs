//! What `/` shows a person in a browser: each instance of each service, its health, and what its checks said last.
//!
//! It looks as the page of `-status` does ([`registrator_web::page`]); its script asks every other second for the rows.

use std::fmt::Write as _;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use registrator_web::page::{self, Updates, escaped, row, state};
use registrator_words::authority;

use crate::catalog::{Catalog, CheckState, Group, Indexes, Instance, Node, Status};

/// How many tags of an instance are shown.
const TAGS: usize = 20;

const UPDATES: Updates =
    Updates { events: None, rows: "/page/services", row: "", explain: "", parts: "", nouns: "instance instances" };

/// The tag of what is shown: it changes with every change.
pub(super) fn tag(indexes: Indexes) -> String {
    format!("\"{:x}\"", indexes.services.max(indexes.checks))
}

/// The whole page, and its tag.
pub(super) fn whole(catalog: &Catalog) -> (String, String) {
    let (indexes, groups) = catalog.groups();
    let tag = tag(indexes);
    let counts = Counts::of(&groups);
    let title = match counts.attention {
        0 => format!("{} – embedded registry", catalog.node.name),
        attention => format!("({attention}) {} – embedded registry", catalog.node.name),
    };
    let counted = page::count(counts.all, "instance", "instances");
    let mut html = page::head(&title, UPDATES, &tag, 0);
    html += &format!("<header>\n<h1>{}</h1>\n", escaped(&catalog.node.name));
    html += page::LIVE;
    html += &about(&catalog.node);
    html += &page::summary(&counted, counts.attention);
    html += "</header>\n<main>\n";
    html +=
        &page::before_rows("Services", "Filter by service, address, tag, health …", &["Service", "Address", "Checks"]);
    html += &rows_of(&groups);
    html += page::AFTER_ROWS;
    (html + &foot(), tag)
}

/// The rows alone, and their tag.
pub(super) fn rows(catalog: &Catalog) -> (String, String) {
    let (indexes, groups) = catalog.groups();
    (rows_of(&groups), tag(indexes))
}

/// How many instances there are, and how many need attention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    all: usize,
    attention: usize,
}

impl Counts {
    fn of(groups: &[Arc<Group>]) -> Self {
        let mut counts = Self::default();
        for instance in groups.iter().flat_map(|group| &group.instances) {
            counts.all += 1;
            counts.attention += usize::from(needs_attention(instance));
        }
        counts
    }
}

fn about(node: &Node) -> String {
    format!(
        "<p id=\"about\">registrator's embedded registry, datacenter {}, {}</p>\n",
        escaped(&node.datacenter),
        escaped(&node.address.to_string()),
    )
}

/// Whether it is critical by itself: one in maintenance mode is so because its container is paused or drains.
fn needs_attention(instance: &Instance) -> bool {
    instance.status() == Status::Critical && instance.checks.iter().all(|check| check.kind != "maintenance")
}

/// Instances that need attention first, then by name and ID.
fn rows_of(groups: &[Arc<Group>]) -> String {
    let (mut first, mut rest, mut count) = (String::new(), String::new(), 0);
    for instance in groups.iter().flat_map(|group| &group.instances) {
        count += 1;
        *(if needs_attention(instance) { &mut first } else { &mut rest }) += &instance_row(instance);
    }
    first + &rest + &page::end_of_rows(count)
}

fn instance_row(instance: &Instance) -> String {
    let (definition, status) = (&instance.definition, instance.status());
    let attention = needs_attention(instance);
    let mut html = format!("<div class=\"what\"><h3>{}", escaped(&definition.name));
    if attention {
        html += " <span class=\"badge\">needs attention</span>";
    }
    let _ = write!(
        html,
        "</h3><p class=\"image\">{}</p><p class=\"more\">{} <a href=\"/v1/health/service/{}\">JSON</a></p></div>",
        escaped(&definition.id),
        state(class(status), status.as_str()),
        utf8_percent_encode(&definition.name, NON_ALPHANUMERIC),
    );
    let _ = write!(
        html,
        "<ul class=\"lines\"><li class=\"pair\"><div class=\"service\"><code>{}</code>",
        escaped(&authority(&definition.address, definition.port)),
    );
    if !definition.tags.is_empty() {
        html += "<p class=\"tags\">";
        for tag in definition.tags.iter().take(TAGS) {
            let _ = write!(html, "<span class=\"tag\">{}</span> ", escaped(tag));
        }
        if let Some(more) = definition.tags.len().checked_sub(TAGS).filter(|more| *more > 0) {
            let _ = write!(html, "<span>and {more} more</span>");
        }
        html += "</p>";
    }
    html += "</div><ul class=\"entries\">";
    if instance.checks.is_empty() {
        html += "<li><span class=\"idle\">no check: it counts as passing while its container runs</span></li>";
    }
    for check in &instance.checks {
        html += &check_line(check);
    }
    html += "</ul></li></ul>";
    row(&format!("s-{}", definition.id), attention, &html)
}

fn check_line(check: &CheckState) -> String {
    let mut html = format!(
        "<li><span class=\"where\" title=\"{}\">{}</span> {}",
        escaped(&check.name),
        escaped(check.kind),
        state(class(check.status), check.status.as_str()),
    );
    if !check.output.is_empty() {
        // A row is one line: the line breaks of an output are kept as references.
        let lines: Vec<_> = check.output.lines().map(|line| escaped(line).to_string()).collect();
        let _ = write!(html, "<pre>{}</pre>", lines.join("&#10;"));
    }
    html + "</li>"
}

fn class(status: Status) -> &'static str {
    match status {
        Status::Passing => "good",
        Status::Warning => "warn",
        Status::Critical => "bad",
    }
}

fn foot() -> String {
    let mut html = String::from("</main>\n<footer>\n<p>For programs: ");
    for path in [
        "/v1/catalog/services",
        "/v1/health/state/critical",
        "/v1/agent/services",
        "/sd/prometheus",
        "/traefik",
        "/metrics",
        "/health",
        "/ready",
    ] {
        let _ = write!(html, "<a href=\"{path}\">{path}</a> ");
    }
    html + "</p>\n" + page::KEYS + "</footer>\n</body>\n</html>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Definition, Health};
    use crate::testing::{definition, reports};

    fn catalog() -> Catalog {
        let node = Node {
            id: String::new(),
            name: "<n>".to_owned(),
            address: "127.0.0.1".parse().unwrap(),
            datacenter: "dc1".to_owned(),
            index: 10,
        };
        Catalog::new(node, reports())
    }

    #[test]
    fn what_is_critical_comes_first_and_nothing_becomes_markup() {
        let catalog = catalog();
        let evil = "<script>evil=1</script>\n";
        catalog.register(definition("a", "a"), 0);
        catalog.register(definition("b:1", "b"), 0);
        let tags = vec![evil.to_owned(); 30].into_iter().collect();
        let sick =
            Definition { health: Health::Unhealthy, tags, ..definition(&format!("z{evil}"), &format!("z{evil}")) };
        catalog.register(sick, 0);
        let (rows, tag) = rows(&catalog);
        let lines: Vec<_> = rows.lines().collect();
        assert_eq!(lines.len(), 4, "{rows}");
        assert!(
            lines[0].starts_with("<li class=\"row attention\"") && lines[0].contains("Docker says unhealthy"),
            "{rows}"
        );
        assert!(lines[1].contains("id=\"s-a\"") && lines[2].contains("id=\"s-b_3a_1\""), "{rows}");
        assert_eq!(lines[3], "<!--end 3-->");
        let (page, same) = whole(&catalog);
        assert_eq!(same, tag);
        assert!(page.contains("<title>(1) &lt;n&gt; – embedded registry</title>"), "{page}");
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        catalog.deregister("a");
        assert_ne!(super::rows(&catalog).1, tag);
    }

    #[test]
    fn an_output_of_many_lines_is_one_line_of_html() {
        let check = CheckState {
            id: "service:x".to_owned(),
            name: "x".to_owned(),
            kind: "script",
            status: Status::Warning,
            output: "one\n<two>\r\nthree".to_owned(),
            create_index: 1,
            modify_index: 1,
        };
        let line = check_line(&check);
        assert!(line.contains("<pre>one&#10;&lt;two&gt;&#10;three</pre>") && !line.contains('\n'), "{line}");
    }
}
