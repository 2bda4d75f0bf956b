//! The cards of the page: Docker, each registry, and each rendered file.

use std::fmt::{Display, Write as _};

use registrator_web::page::{count, escaped, number, state};

use super::super::look::UP;
use super::super::view::{About, Docker, File, RIGHT, Registry};
use super::time::{Next, Past};

/// How many containers that cannot be described are named.
const NAMED: usize = 10;

/// How many cards need attention.
pub(super) fn attention(docker: &Docker, registries: &[Registry], files: &[File]) -> usize {
    usize::from(docker_needs_attention(docker))
        + registries.iter().filter(|registry| registry.attention).count()
        + files.iter().filter(|file| file.state != RIGHT).count()
}

fn docker_needs_attention(docker: &Docker) -> bool {
    docker.state == "lost" || docker.error.is_some() || !docker.unknown.is_empty()
}

/// Docker, the registries and the rendered files; of each kind, what needs attention first.
pub(super) fn section(about: &About, docker: &Docker, registries: &[Registry], files: &[File]) -> String {
    let mut html =
        String::from("<section id=\"registries\" aria-label=\"Docker and registries\">\n<ul class=\"cards\">\n");
    html += &engine(docker);
    let mut sorted: Vec<_> = registries.iter().collect();
    sorted.sort_by_key(|registry| !registry.attention);
    for registry in sorted {
        html += &card(about, registry);
    }
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort_by_key(|file| file.state == RIGHT);
    html.extend(sorted.into_iter().map(file));
    html + "</ul>\n</section>\n"
}

fn begin(attention: bool, title: &str, class: &str, word: &str, place: &str) -> String {
    let mut html = format!(
        "<li class=\"card{}\"><h2>{} {}</h2>",
        if attention { " attention" } else { "" },
        escaped(title),
        state(class, word),
    );
    if !place.is_empty() {
        let _ = write!(html, "<p class=\"place\">{}</p>", escaped(place));
    }
    html
}

fn engine(docker: &Docker) -> String {
    let Docker { endpoint, state, since, error, containers, unknown } = docker;
    let class = match state.as_str() {
        UP => "good",
        "connecting" => "wait",
        _ => "bad",
    };
    let mut html = begin(docker_needs_attention(docker), "Docker", class, state, endpoint);
    if let Some(error) = error {
        let _ = write!(html, "<p class=\"problem\">{}</p>", escaped(error));
    }
    let containers = count(*containers, "container", "containers");
    let _ = write!(
        html,
        "<p class=\"figures\">{containers}</p><p class=\"facts\"><span>{} since {}</span></p>",
        escaped(state),
        Past(*since)
    );
    for unknown in unknown.iter().take(NAMED) {
        let name = unknown.name.as_deref().unwrap_or(&unknown.id);
        let _ = write!(html, "<p class=\"note\"><b>{}</b>: {}</p>", escaped(name), escaped(&unknown.reason));
    }
    if let Some(more) = unknown.len().checked_sub(NAMED).filter(|more| *more > 0) {
        let _ = write!(html, "<p class=\"note\">and {more} more that cannot be described</p>");
    }
    html + "</li>\n"
}

fn file(file: &File) -> String {
    let File { path, state, since, problem, changed } = file;
    let (class, word) = match state.as_str() {
        RIGHT => ("good", "right"),
        "not_told" => ("bad", "not told"),
        _ => ("bad", "failed"),
    };
    let mut html = begin(state != RIGHT, "File", class, word, path);
    if !problem.is_empty() {
        let _ = write!(html, "<p class=\"problem\">{}</p>", escaped(problem));
    }
    let mut facts = format!("<span>{word} since {}</span>", Past(*since));
    if let Some(changed) = changed {
        let _ = write!(facts, "<span>content changed {}</span>", Past(*changed));
    }
    let _ = write!(html, "<p class=\"facts\">{facts}</p>");
    html + "</li>\n"
}

fn card(about: &About, registry: &Registry) -> String {
    let Registry { name, adapter, owner, state, attention, problem, desired, entries, foreign, .. } = registry;
    let class = match (state.as_str(), attention) {
        (UP, false) => "good",
        (UP, true) => "warn",
        ("connecting", false) => "wait",
        _ => "bad",
    };
    let mut html = begin(*attention, adapter, class, state, name);
    if !problem.is_empty() {
        let _ = write!(html, "<p class=\"problem\">{}</p>", escaped(problem));
    }
    let right = registry.states.get("in_sync").copied().unwrap_or_default();
    let (right, services) = (number(right), count(*desired, "service", "services"));
    let _ = match (state.as_str(), registry.last_read) {
        (UP, _) => write!(html, "<p class=\"figures\">{right} of {services} in sync</p>"),
        (_, None) => write!(html, "<p class=\"figures\">{services} to register, not read yet</p>"),
        _ => write!(html, "<p class=\"figures\">{services}, of which {right} were in sync when it was last read</p>"),
    };
    if about.dry_run {
        let waiting: usize = registry.pending.values().sum();
        let _ = write!(html, "<p class=\"dry\">{} would be made</p>", count(waiting, "write", "writes"));
    }
    let entries = count(*entries, "entry", "entries");
    let mut facts = format!("<span>{entries} of {}</span>", escaped(owner));
    if *foreign > 0 {
        let _ = write!(facts, "<span>{} of other owners</span>", number(*foreign));
    }
    let fact = |word: &str, time: &dyn Display| format!("<span>{} {time}</span>", escaped(word));
    if let (Some(since), true) = (registry.since, state != UP) {
        facts += &fact(&format!("{state} since"), &Past(since));
    }
    facts.extend(registry.last_read.map(|read| fact("read", &Past(read))));
    facts.extend(registry.last_write.map(|write| fact("written", &Past(write))));
    facts.extend(registry.next_attempt.map(|next| fact("next attempt", &Next(next))));
    let _ = write!(html, "<p class=\"facts\">{facts}</p>");
    if let Some(error) = registry.last_error.as_ref().filter(|_| problem.is_empty()) {
        let _ =
            write!(html, "<p class=\"facts\"><span>last error {}: {}</span></p>", Past(error.at), escaped(&error.text));
    }
    html + "</li>\n"
}
