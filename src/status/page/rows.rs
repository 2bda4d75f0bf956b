//! The rows of the page: a container, what each of its ports offers or why it offers nothing, and where that stands in
//! each registry.

use std::fmt::Write as _;

use registrator_web::page::{escaped, row, state};
use registrator_words::authority;

use super::super::view::{Container, Entry, Ignored, Port, Service};
use super::labels::Labels;
use super::time::{Next, Past};

/// How many tags of a service are shown.
const TAGS: usize = 20;
/// How many ports that are ignored for the same reason are explained one by one.
const EXPLAINED: usize = 3;

/// One container, as one line of HTML.
pub(super) fn container(container: &Container, labels: &Labels) -> String {
    let mut html = what(container);
    html += "<ul class=\"lines\">";
    for port in &container.ports {
        if let Some(service) = &port.service {
            html += &service_line(service, port, labels);
        }
    }
    let ports = container.ports.iter().filter(|port| port.service.is_none());
    html += &ignored(ports.filter_map(|port| port.ignored.as_ref()).chain(&container.ignored));
    html += "</ul>";
    row(&format!("c-{}", container.id), container.attention, &html)
}

/// The first column.
fn what(container: &Container) -> String {
    let Container { id, name, image, state: word, health, started, attention, notes, delayed_until, .. } = container;
    let mut html = format!("<div class=\"what\"><h3>{}", escaped(name));
    if *attention {
        html += " <span class=\"badge\">needs attention</span>";
    }
    let class = match word.as_str() {
        "running" => "good",
        "paused" => "warn",
        _ => "idle",
    };
    let _ = write!(html, "</h3><p class=\"image\">{}</p><p class=\"more\">{}", escaped(image), state(class, word),);
    let _ = match health.as_str() {
        "healthy" => write!(html, " {}", state("good", health)),
        "starting" => write!(html, " {}", state("wait", health)),
        "unhealthy" => write!(html, " {}", state("bad", health)),
        _ => Ok(()),
    };
    if let Some(started) = started {
        let _ = write!(html, " {}", Past(*started));
    }
    let short = id.get(..12).unwrap_or(id);
    let _ = write!(
        html,
        " <code>{1}</code> <a class=\"explain\" href=\"/v1/containers/{0}\">explain</a></p>",
        escaped(id),
        escaped(short)
    );
    if let Some(until) = delayed_until {
        let _ = write!(
            html,
            "<p class=\"note\">its state takes effect {}: it ends again and again, or drains</p>",
            Next(*until)
        );
    }
    for note in notes {
        let _ = write!(html, "<p class=\"note\">{}</p>", escaped(note));
    }
    html + "</div>"
}

/// A service, and where it stands.
fn service_line(service: &Service, port: &Port, labels: &Labels) -> String {
    let mut html = format!(
        "<li class=\"pair\"><div class=\"service\"><b>{}</b> <code>{}</code><p class=\"id\">{} · port {}/{}",
        escaped(&service.name),
        escaped(&authority(&service.address, service.port)),
        escaped(&service.id),
        port.port,
        escaped(&port.protocol),
    );
    let _ = match service.mode.as_str() {
        "paused" => write!(html, " · critical while the container is paused"),
        "kept" => write!(html, " · kept although the container ended"),
        _ => Ok(()),
    };
    if let Some(check) = &service.check {
        let _ = write!(html, " · check: {}", escaped(check));
    }
    html += "</p>";
    if !service.tags.is_empty() {
        html += "<p class=\"tags\">";
        for tag in service.tags.iter().take(TAGS) {
            let _ = write!(html, "<span class=\"tag\">{}</span> ", escaped(tag));
        }
        if let Some(more) = service.tags.len().checked_sub(TAGS).filter(|more| *more > 0) {
            let _ = write!(html, "<span>and {more} more</span>");
        }
        html += "</p>";
    }
    html += "</div><ul class=\"entries\">";
    for entry in &port.entries {
        html += &entry_line(entry, labels);
    }
    html + "</ul></li>"
}

/// An entry, and what to do about it if something is to be done.
fn entry_line(entry: &Entry, labels: &Labels) -> String {
    let (class, word) = match entry.state.as_str() {
        "in_sync" => ("good", "in sync"),
        "pending" => ("wait", "pending"),
        "in_flight" => ("wait", "being written"),
        "held" => ("warn", "held"),
        "in_doubt" => ("warn", "in doubt"),
        "reaped" => ("warn", "reaped"),
        "unknown" => ("idle", "unknown"),
        "refused" => ("bad", "refused"),
        "contested" => ("bad", "contested"),
        other => ("bad", other),
    };
    let mut html = format!(
        "<li><span class=\"where\" title=\"{}\">{}</span> {} {}",
        escaped(&entry.registry),
        escaped(labels.get(&entry.registry)),
        state(class, word),
        Past(entry.since),
    );
    // That a registry cannot be reached is said once, at its card.
    if entry.state == "unknown" {
        if entry.last_known.as_deref() == Some("in_sync") {
            html += " <span class=\"idle\">was in sync</span>";
        }
    } else if !matches!(entry.state.as_str(), "in_sync" | "pending" | "in_flight") || entry.error.is_some() {
        let class = if class == "bad" { " class=\"bad\"" } else { "" };
        let _ = write!(html, "<p{class}>{}", escaped(entry.error.as_deref().unwrap_or(&entry.text)));
        if let Some(next) = entry.next_attempt {
            let _ = write!(html, " · next attempt {}", Next(next));
        }
        html += "</p>";
    }
    html + "</li>"
}

/// Why ports are not registered. Of many with the same reason, the first are explained and the others named.
fn ignored<'a>(all: impl Iterator<Item = &'a Ignored>) -> String {
    let mut reasons: Vec<(&str, Vec<&Ignored>)> = Vec::new();
    for ignored in all {
        let place = match reasons.iter().position(|(reason, _)| *reason == ignored.reason) {
            Some(place) => place,
            None => {
                reasons.push((&ignored.reason, Vec::new()));
                reasons.len() - 1
            }
        };
        // A port with several protocols has one reason.
        if let Some((_, of_reason)) = reasons.get_mut(place)
            && of_reason.last().is_none_or(|last| last.text != ignored.text)
        {
            of_reason.push(ignored);
        }
    }
    let mut html = String::new();
    for (_, of_reason) in reasons {
        let (shown, more) = of_reason.split_at(of_reason.len().min(EXPLAINED));
        for Ignored { text, cure, .. } in shown {
            let _ = write!(
                html,
                "<li class=\"none\"><p>{}: {}</p><p class=\"cure\">{}</p></li>",
                state("idle", "not registered"),
                escaped(text),
                escaped(cure)
            );
        }
        if !more.is_empty() {
            let _ = write!(html, "<li class=\"none\"><p>and {} more for the same reason</p></li>", more.len());
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored_port(port: u16) -> Ignored {
        Ignored {
            reason: "not_published".to_owned(),
            text: format!("port {port} not published on host"),
            cure: format!("publish it: -p {port}"),
        }
    }

    #[test]
    fn many_ports_with_one_reason_are_not_many_lines() {
        let all: Vec<_> = [80, 80, 81, 82, 83, 84].map(ignored_port).into();
        let html = ignored(all.iter());
        assert_eq!((html.matches("<li").count(), html.matches("port 80 ").count()), (4, 1), "{html}");
        assert!(html.contains("and 2 more for the same reason"), "{html}");
    }

    #[test]
    fn a_row_is_one_line_and_what_is_foreign_in_it_is_text() {
        const HOSTILE: &str = "</li>\n<script>alert(1)</script>\"'\u{202e}";
        let hostile = || HOSTILE.to_owned();
        let entry = Entry {
            registry: hostile(),
            state: "refused".to_owned(),
            text: hostile(),
            last_known: None,
            since: 1,
            exists: false,
            owner: Some(hostile()),
            error: Some(hostile()),
            last_write: None,
            remark: Some(hostile()),
            next_attempt: Some(2),
        };
        let service = Service {
            id: hostile(),
            name: hostile(),
            address: hostile(),
            port: 1,
            tags: vec![hostile(); 30],
            attributes: [(hostile(), hostile())].into(),
            check: Some(hostile()),
            ttl: None,
            mode: hostile(),
        };
        let container = Container {
            id: hostile(),
            name: hostile(),
            image: hostile(),
            state: hostile(),
            health: hostile(),
            started: Some(1),
            attention: true,
            delayed_until: Some(3),
            delayed_because: Some("flapping".to_owned()),
            ports: vec![Port {
                port: 80,
                protocol: hostile(),
                service: Some(service),
                ignored: None,
                decisions: Vec::new(),
                entries: vec![entry],
            }],
            ignored: vec![Ignored { reason: hostile(), text: hostile(), cure: hostile() }],
            notes: vec![hostile()],
            hints: Vec::new(),
        };
        let html = super::container(&container, &Labels::default());
        assert!(html.ends_with("</li>\n") && html.matches('\n').count() == 1, "{html}");
        assert!(!html.contains("<script") && !html.contains('\u{202e}'), "{html}");
        assert_eq!(html.matches("<li").count(), html.matches("</li>").count(), "{html}");
        assert!(html.contains("refused") && html.contains("needs attention"), "{html}");
    }
}
