//! The page's HTML. Whatever comes from a container, a registry or the engine passes through [`Escaped`].

use std::fmt::{self, Display, Write as _};
use std::sync::Arc;

use super::super::journal::Happened;
use super::super::view::{About, Container, Docker, Entry, Ignored, Port, Registry};

/// Text that cannot become markup, in an element or in a quoted attribute.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Characters that change the direction or the look of their neighbours, or that no document may have.
                '\n' | '\t' => f.write_char(' ')?,
                _ if character.is_control() || is_format(character) => f.write_char('\u{fffd}')?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Characters that turn the direction of what follows.
fn is_format(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn escaped(text: &str) -> Escaped<'_> {
    Escaped(text)
}

/// A time that the script lets tick; without it, the time itself.
struct Time(u64);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = chrono::DateTime::from_timestamp(i64::try_from(self.0).unwrap_or_default(), 0).unwrap_or_default();
        let exact = time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let shown = time.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S");
        write!(f, "<time datetime=\"{exact}\" data-at=\"{}\">{shown}</time>", self.0)
    }
}

/// Whether a row should come first.
pub(super) fn needs_somebody(container: &Container) -> bool {
    container.attention
}

/// Everything above the registries.
pub(super) fn head(about: &About) -> String {
    let About { version, hostname, started, dry_run } = about;
    let mode = if *dry_run { "<strong class=\"dry\">dry run: nothing is written</strong>" } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{host} – registrator</title>\n\
         <link rel=\"icon\" href=\"/page/icon.svg\">\n<link rel=\"stylesheet\" href=\"/page/style.css\">\n\
         <script src=\"/page/script.js\" defer></script>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#containers\">To the containers</a>\n<header>\n\
         <h1>{host}</h1>\n<p class=\"about\">registrator {version}, running since {started} {mode}</p>\n\
         <p id=\"live\" role=\"status\" hidden></p>\n</header>\n<main>\n",
        host = escaped(hostname),
        version = escaped(version),
        started = Time(*started),
    )
}

/// The engine and the registries.
pub(super) fn registries(about: &About, docker: &Docker, registries: &[Registry]) -> String {
    let mut html =
        String::from("<section id=\"registries\" aria-label=\"Docker and registries\">\n<ul class=\"cards\">\n");
    html += &engine(docker);
    let mut sorted: Vec<_> = registries.iter().collect();
    sorted.sort_by_key(|registry| !registry.attention);
    for registry in sorted {
        html += &card(about, registry);
    }
    html += "</ul>\n</section>\n";
    html
}

fn engine(docker: &Docker) -> String {
    let Docker { endpoint, state, since, error, containers, unknown } = docker;
    let class = if state == "up" { "good" } else { "bad" };
    let place =
        if endpoint.is_empty() { String::new() } else { format!("<p class=\"place\">{}</p>", escaped(endpoint)) };
    let mut html = format!(
        "<li class=\"card {class}\"><h2>Docker <span class=\"state\">{state}</span></h2>{place}\
         <p>{containers} containers; {state} since {}</p>",
        Time(*since),
        state = escaped(state),
    );
    if let Some(error) = error {
        let _ = write!(html, "<p class=\"problem\">{}</p>", escaped(error));
    }
    for unknown in unknown.iter().take(20) {
        let name = unknown.name.as_deref().unwrap_or(&unknown.id);
        let _ = write!(html, "<p class=\"problem\"><b>{}</b>: {}</p>", escaped(name), escaped(&unknown.reason));
    }
    html + "</li>\n"
}

fn card(about: &About, registry: &Registry) -> String {
    let Registry { name, adapter, owner, state, attention, problem, desired, entries, foreign, .. } = registry;
    let class = match (state.as_str(), attention) {
        ("up", false) => "good",
        ("connecting", false) => "waiting",
        ("up", true) => "warn",
        _ => "bad",
    };
    let mut html = format!(
        "<li class=\"card {class}\"><h2>{} <span class=\"state\">{}</span></h2><p class=\"place\">{}</p>",
        escaped(adapter),
        escaped(state),
        escaped(name),
    );
    if !problem.is_empty() {
        let _ = write!(html, "<p class=\"problem\">{}</p>", escaped(problem));
    }
    let right = registry.states.get("in_sync").copied().unwrap_or_default();
    let shown = if state == "up" {
        format!("{right} of {desired} services in sync")
    } else {
        format!("{desired} services; {right} were in sync")
    };
    let _ = write!(html, "<p>{shown}, {entries} entries of {}", escaped(owner));
    if *foreign > 0 {
        let _ = write!(html, ", {foreign} of others");
    }
    html += "</p><p class=\"times\">";
    if let Some(read) = registry.last_read {
        let _ = write!(html, "read {} ", Time(read));
    }
    if let Some(write_) = registry.last_write {
        let _ = write!(html, "written {} ", Time(write_));
    }
    if let Some(next) = registry.next_attempt {
        let _ = write!(html, "next attempt {}", Time(next));
    }
    html += "</p>";
    if let Some(error) = registry.last_error.as_ref().filter(|error| !problem.contains(&error.text)) {
        let _ = write!(html, "<p class=\"past\">last error {}: {}</p>", Time(error.at), escaped(&error.text));
    }
    if about.dry_run {
        let waiting: usize = registry.pending.values().sum();
        let _ = write!(html, "<p>{waiting} writes would be made</p>");
    }
    html + "</li>\n"
}

/// Between the registries and the containers.
pub(super) const BEFORE_CONTAINERS: &str = "<section id=\"containers\" aria-label=\"Containers\">\n\
    <form role=\"search\" id=\"search\" hidden><label for=\"filter\">Filter</label>\
    <input id=\"filter\" type=\"search\" name=\"q\" autocomplete=\"off\" spellcheck=\"false\" \
    placeholder=\"name, image, service, tag, state …\"><output id=\"count\"></output></form>\n\
    <div class=\"columns\" aria-hidden=\"true\"><span>Container</span><span>Service</span><span>Registries</span></div>\n\
    <ol id=\"rows\">\n";

/// One container, as a row.
pub(super) fn container(container: &Container, _now: u64) -> String {
    let Container { id, name, image, state, health, started, attention, ports, ignored, notes, delayed_until, .. } =
        container;
    let class = if *attention { "row attention" } else { "row" };
    let short = id.get(..12).unwrap_or(id);
    let mut html = format!(
        "<li class=\"{class}\" id=\"c-{id}\" tabindex=\"-1\"><div class=\"what\"><h3>{}</h3><p class=\"image\">{}</p><p class=\"more\">\
         <code>{}</code> <span class=\"{}\">{}</span>",
        escaped(name),
        escaped(image),
        escaped(short),
        escaped(state),
        escaped(state),
        id = escaped(id),
    );
    if health != "none" {
        let _ = write!(html, " <span class=\"{0}\">{0}</span>", escaped(health));
    }
    if let Some(started) = started {
        let _ = write!(html, " {}", Time(*started));
    }
    html += "</p>";
    if let Some(until) = delayed_until {
        let _ = write!(
            html,
            "<p class=\"note\">it takes effect {}: the container ends again and again, or drains</p>",
            Time(*until)
        );
    }
    for note in notes {
        let _ = write!(html, "<p class=\"note\">{}</p>", escaped(note));
    }
    html += "</div><ul class=\"ports\">";
    for port in ports {
        html += &port_row(port);
    }
    for reason in ignored {
        html += &format!("<li class=\"none\">{}</li>", ignored_line(reason));
    }
    html + "</ul></li>\n"
}

fn port_row(port: &Port) -> String {
    let Port { port: number, protocol, service, ignored, entries, .. } = port;
    if let Some(service) = service {
        let mut html = format!(
            "<li class=\"port\"><div class=\"service\"><b>{}</b> <code>{}</code><p class=\"id\">{} <span>port {number}/{}</span>",
            escaped(&service.name),
            escaped(&registrator_words::authority(&service.address, service.port)),
            escaped(&service.id),
            escaped(protocol),
        );
        for tag in service.tags.iter().take(20) {
            let _ = write!(html, " <span class=\"tag\">{}</span>", escaped(tag));
        }
        html += "</p></div><ul class=\"entries\">";
        for entry in entries {
            html += &entry_line(entry);
        }
        return html + "</ul></li>";
    }
    let reason = ignored.as_ref().map(ignored_line).unwrap_or_default();
    format!("<li class=\"none\">{reason}</li>")
}

fn ignored_line(ignored: &Ignored) -> String {
    format!("<p>not registered: {}</p><p class=\"cure\">{}</p>", escaped(&ignored.text), escaped(&ignored.cure))
}

fn entry_line(entry: &Entry) -> String {
    let class = match entry.state.as_str() {
        "in_sync" => "good",
        "pending" | "in_flight" | "held" => "waiting",
        "unknown" => "unknown",
        _ => "bad",
    };
    let scheme = entry.registry.split(':').next().unwrap_or_default();
    let mut html = format!(
        "<li class=\"{class}\" title=\"{}\"><span class=\"dot\"></span>{} <span class=\"state\">{}</span> {}",
        escaped(&entry.registry),
        escaped(scheme),
        escaped(&entry.state.replace('_', " ")),
        Time(entry.since),
    );
    if class != "good" {
        let _ = write!(html, "<p>{}</p>", escaped(entry.error.as_deref().unwrap_or(&entry.text)));
        if let Some(next) = entry.next_attempt {
            let _ = write!(html, "<p>next attempt {}</p>", Time(next));
        }
    }
    html + "</li>"
}

/// The end of the containers, and the last events.
pub(super) fn events(last: &[Arc<Happened>]) -> String {
    let mut html = String::from(
        "</ol>\n<p id=\"nothing\" hidden>Nothing matches.</p>\n</section>\n\
         <section id=\"events\" aria-label=\"Events\">\n<h2>Latest events</h2>\n<ol id=\"log\">\n",
    );
    for happened in last.iter().rev().take(50) {
        let Happened { at, level, text, .. } = &**happened;
        let _ = writeln!(html, "<li class=\"{}\">{} {}</li>", escaped(level), Time(at / 1000), escaped(text));
    }
    let number = last.last().map_or(0, |happened| happened.number);
    let _ = writeln!(html, "</ol>\n<p id=\"last\" data-number=\"{number}\" hidden></p>\n</section>");
    html
}

/// The end.
pub(super) const FOOT: &str = "</main>\n<footer><p>For programs: <a href=\"/v1/state\">/v1/state</a>, \
    <a href=\"/v1/plan\">/v1/plan</a>, <a href=\"/metrics\">/metrics</a>, <a href=\"/health?verbose\">/health</a>, \
    <a href=\"/prometheus/targets\">/prometheus/targets</a></p></footer>\n</body>\n</html>\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in "(?s).{0,80}") {
            let shown = escaped(&text).to_string();
            prop_assert!(!shown.contains(['<', '>', '"', '\'', '\n', '\0']), "{shown}");
            // What an ampersand begins is one of ours.
            for part in shown.split('&').skip(1) {
                prop_assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|ours| part.starts_with(ours)), "{shown}");
            }
        }
    }
}
