//! Whether all is well, part by part: `/health`, `/ready`, `-healthcheck`.

use super::hub::Hub;
use super::look::{self, UP};
use super::view;

/// Whether all is well, part by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(Vec<Part>);

/// One part: the engine, a registry, or a rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: String,
    /// Why it is not well.
    wrong: Option<String>,
}

impl Report {
    /// Whether every part is well.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.0.iter().all(|part| part.wrong.is_none())
    }

    /// For people: one word, or a line for each part.
    #[must_use]
    pub fn text(&self, verbose: bool) -> String {
        let mut text = String::new();
        for Part { name, wrong } in &self.0 {
            match wrong {
                None if verbose => text += &format!("[+]{name} ok\n"),
                None => {}
                Some(why) => text += &format!("[-]{name} {why}\n"),
            }
        }
        if self.is_well() { text + "ok\n" } else { text + "not well\n" }
    }

    fn add(&mut self, name: impl Into<String>, wrong: Option<String>) {
        self.0.push(Part { name: name.into(), wrong });
    }
}

/// Well: the engine answers, each registry can be reached and refuses nothing, and each rendered file is right.
pub async fn health(hub: &Hub) -> Report {
    let mut report = Report::default();
    let docker = look::docker(hub).await;
    report.add("docker", docker_wrong(&docker));
    for registry in look::registries(hub).await {
        let wrong = if registry.state == UP && registry.refused.is_none() {
            None
        } else if let (UP, Some(refused)) = (registry.state.as_str(), &registry.refused) {
            let services = if refused.count == 1 { "service" } else { "services" };
            Some(format!("refused {} {services} since {}: {}", refused.count, time(refused.since), refused.example))
        } else {
            Some(format!("{}: {}", registry.state, registry.problem))
        };
        report.add(registry.name, wrong);
    }
    for file in hub.listeners.files.view() {
        report.add(file.path, (file.state != view::RIGHT).then_some(file.problem));
    }
    report
}

/// Ready: the engine has listed its containers once, and each registry was read once.
pub async fn ready(hub: &Hub) -> Report {
    let mut report = Report::default();
    let engine = hub.listeners.engine();
    report.add("docker", (!engine.listed).then(|| "has not listed its containers yet".to_owned()));
    for registry in look::registries(hub).await {
        let unread = registry.last_read.is_none();
        report.add(registry.name, unread.then(|| "was not read yet".to_owned()));
    }
    report
}

fn docker_wrong(docker: &view::Docker) -> Option<String> {
    let error = || docker.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    (docker.state != UP).then(|| format!("{}{}", docker.state, error()))
}

fn time(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or_default();
    chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_line_for_each_part_that_is_not_well() {
        let mut report = Report::default();
        report.add("docker", None);
        assert_eq!(
            (report.is_well(), report.text(false), report.text(true)),
            (true, "ok\n".into(), "[+]docker ok\nok\n".into())
        );
        report.add("consul://h", Some("refused 3 services".to_owned()));
        assert!(!report.is_well());
        assert_eq!(report.text(false), "[-]consul://h refused 3 services\nnot well\n");
        assert_eq!(report.text(true), "[+]docker ok\n[-]consul://h refused 3 services\nnot well\n");
    }
}
