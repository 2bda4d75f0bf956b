//! `check URI`: tries one registry, step by step, and prints the least rights that it must give.
//!
//! The only question that writes: one scratch entry, under a name that clashes with no other, which is removed again even
//! if a later step fails. It is written through [`Registry`], so what is proven is what the daemon does.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use litemap::LiteMap;
use serde::Serialize;

use super::{Error, Exit, print_json, rights};
use crate::cli::{Ask, Format};
use crate::config::RegistryConfig;
use crate::container::{Health, Moment, Protocol};
use crate::event::{Event, Events, Level};
use crate::http;
use crate::registry::{
    self, About, Action, Entry, Marked, Opened, Reason, Registry, RegistryError, Scope, Site, Store, Write, redacted,
};
use crate::service::{AddressOf, Origin, Service};

/// From how many seconds on two clocks count as apart. A `Date` header has whole seconds.
const SKEW: Duration = Duration::from_secs(5);
/// From how many days on a certificate should be replaced soon.
const SOON: i64 = 14;
const DAY: i64 = 86_400;
/// The port of the scratch entry: that of discard, where nothing answers.
const PORT: u16 = 9;

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The registry's URI without secrets.
    pub uri: String,
    /// The name of the scratch entry; `None` if none could be written.
    pub scratch: Option<String>,
    /// What was tried, in order.
    pub steps: Vec<Step>,
    /// The least rights that the registry must give, as text to paste, and where that belongs.
    pub rights: Option<Rights>,
    /// What the registry's settings caused a warning about, such as a password that is sent unencrypted.
    pub warnings: Vec<String>,
}

/// The least rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rights {
    /// Where the text belongs.
    pub place: &'static str,
    /// The text; several lines.
    pub text: String,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub step: Name,
    /// How it went.
    pub result: Outcome,
    /// What was found or, for a failure, why and what to do. One line without secrets.
    pub text: String,
}

/// The steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Name {
    /// The URI and its variables.
    Settings,
    /// Connecting, and who answers.
    Reach,
    /// Reading entries.
    Read,
    /// Writing the scratch entry, and finding it as it was meant.
    Write,
    /// Removing it, and finding it gone.
    Delete,
    /// Until when certificates are valid.
    Certificates,
    /// Whether the registry's clock and ours agree.
    Clock,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Well.
    Ok,
    /// It failed.
    Failed,
    /// It was not tried, because an earlier step failed.
    Skipped,
    /// There is nothing to try for this registry.
    NotApplicable,
}

impl Report {
    /// The exit code: 0 if nothing failed, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(self.steps.iter().any(|step| step.result == Outcome::Failed))
    }

    fn add(&mut self, step: Name, result: Outcome, text: impl Into<String>) {
        self.steps.push(Step { step, result, text: text.into() });
    }

    fn result(&mut self, step: Name, result: Result<String, String>) -> bool {
        let is_ok = result.is_ok();
        let (outcome, text) = match result {
            Ok(text) => (Outcome::Ok, text),
            Err(text) => (Outcome::Failed, text),
        };
        self.add(step, outcome, text);
        is_ok
    }
}

/// A table for people. Its first line says that something is written.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scratch {
            Some(name) => writeln!(f, "check {}: writes one scratch entry, {name}, and removes it again", self.uri)?,
            None => writeln!(f, "check {}", self.uri)?,
        }
        for Step { step, result, text } in &self.steps {
            let result = match result {
                Outcome::Ok => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "skipped",
                Outcome::NotApplicable => "-",
            };
            let step = match step {
                Name::Settings => "settings",
                Name::Reach => "reach",
                Name::Read => "read",
                Name::Write => "write",
                Name::Delete => "delete",
                Name::Certificates => "certificates",
                Name::Clock => "clock",
            };
            writeln!(f, "{result:<8} {step:<13} {text}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning  {warning}")?;
        }
        if let Some(Rights { place, text }) = &self.rights {
            writeln!(f, "\nThe least rights that registrator needs there ({place}):\n")?;
            for line in text.lines() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

/// Answers it, for each registry that is named.
pub(super) fn run(ask: &Ask, out: &mut dyn std::io::Write) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut reports = Vec::new();
    for registry in &ask.config.registries {
        let report = runtime.block_on(check(registry));
        if ask.format == Format::Table {
            writeln!(out, "{report}")?;
            out.flush()?;
        }
        reports.push(report);
    }
    if ask.format == Format::Json {
        print_json(out, &serde_json::to_value(&reports).unwrap_or_default())?;
    }
    Ok(if reports.iter().all(|report| report.exit_code() == 0) { Exit::Well } else { Exit::Failed })
}

/// Tries a registry. Takes a minute at most: each request has a deadline of the registry's own.
pub async fn check(config: &RegistryConfig) -> Report {
    let mut report =
        Report { uri: redacted(&config.uri), scratch: None, steps: Vec::new(), rights: None, warnings: Vec::new() };
    if is_embedded(&config.uri) {
        let text = "the embedded registry runs inside registrator itself: there is nothing to reach, and no right is needed; \
                    ask it with curl http://127.0.0.1:8500/v1/catalog/services";
        report.add(Name::Reach, Outcome::NotApplicable, text);
        return report;
    }
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&warnings);
    let events = Events::new(move |event| {
        if let Event::Adapter { level: Level::Warn | Level::Error, text, .. } = event {
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
        }
    });
    // An owner of its own: a daemon that runs under ours would take the entry for one that was left behind.
    let name = format!("registrator-check-{:016x}", fastrand::u64(..));
    match registry::open(&RegistryConfig { owner: name.clone(), ..config.clone() }, &events) {
        Err(error) => report.add(Name::Settings, Outcome::Failed, error.to_string()),
        Ok(opened) => {
            let ttl = registry::settings(config).ok().and_then(|settings| settings.ttl);
            let scratch = Scratch::new(&opened, service(name, ttl));
            try_it(&scratch, &config.owner, ttl, &mut report).await;
            opened.registry.close().await;
        }
    }
    report.warnings.clone_from(&warnings.lock().unwrap_or_else(PoisonError::into_inner));
    report
}

/// Whether the URI is of the embedded registry, which must not be opened: it would listen.
pub(super) fn is_embedded(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("embedded"))
}

async fn try_it(scratch: &Scratch<'_>, owner: &str, ttl: Option<Duration>, report: &mut Report) {
    let registry = scratch.registry;
    let reached = registry.ping().await.map_err(|error| advised(&error));
    let about = match &reached {
        Ok(()) => registry.about(None).await.unwrap_or_default(),
        Err(_) => About::default(),
    };
    let site = registry.site();
    report.rights = rights::least(&site, about.node.as_deref(), ttl.is_some())
        .map(|text| Rights { place: rights::place(site.store), text });
    let mut clock = None;
    if report.result(Name::Reach, reached.map(|()| who(&about, &site))) {
        let began = SystemTime::now();
        let read = registry.read(&Scope::default()).await;
        let read = read.map(|entries| ours(&entries, owner)).map_err(|error| with_rights(&error));
        report.result(Name::Read, read);
        report.scratch = Some(scratch.service.name.clone());
        let accepted = scratch.put().await;
        let is_accepted = accepted.is_ok();
        let written = match accepted {
            Ok(()) => scratch.verify().await,
            Err(error) => Err(error),
        };
        report.result(Name::Write, written.map_err(|error| with_rights(&error)));
        let key = is_accepted.then_some(&*scratch.key);
        let said = registry.about(key).await.ok().and_then(|about| about.clock);
        clock = said.map(|clock| apart(clock, began, SystemTime::now()));
        // A write that failed may have been made all the same.
        match scratch.remove(is_accepted).await {
            Ok(Some(text)) => report.add(Name::Delete, Outcome::Ok, text),
            Ok(None) => report.add(Name::Delete, Outcome::Skipped, "there is nothing to remove"),
            Err(error) => report.add(
                Name::Delete,
                Outcome::Failed,
                format!("{}; remove the entry {} by hand", with_rights(&error), scratch.key),
            ),
        }
    } else {
        for step in [Name::Read, Name::Write, Name::Delete] {
            report.add(step, Outcome::Skipped, "it cannot be reached");
        }
    }
    certificates(&site, report).await;
    match clock {
        Some(apart) => drop(report.result(Name::Clock, judged(apart))),
        None if report.steps.iter().any(|step| step.step == Name::Reach && step.result == Outcome::Failed) => {
            report.add(Name::Clock, Outcome::Skipped, "it cannot be reached");
        }
        None if site.store == Store::ZooKeeper => {
            report.add(Name::Clock, Outcome::Skipped, "ZooKeeper tells its time only with a node that is written");
        }
        None => report.add(Name::Clock, Outcome::NotApplicable, "it does not tell its time"),
    }
}

/// The entry that is written and removed.
struct Scratch<'a> {
    registry: &'a dyn Registry,
    owner: &'a str,
    service: Arc<Service>,
    key: Arc<str>,
}

impl<'a> Scratch<'a> {
    fn new(opened: &'a Opened, service: Service) -> Self {
        let registry = opened.registry.as_ref();
        Self { registry, owner: &opened.owner, key: registry.key(&service), service: Arc::new(service) }
    }

    async fn entry(&self) -> Result<Option<Entry>, RegistryError> {
        let scope = Scope { keys: Some(vec![Arc::clone(&self.key)]), contents: false, looks: false };
        let entries = self.registry.read(&scope).await?;
        Ok(entries.into_iter().find(|entry| entry.key == self.key))
    }

    async fn apply(&self, action: Action, reason: Reason) -> Result<(), RegistryError> {
        let write = Write { key: Arc::clone(&self.key), action, reason };
        let mut results = self.registry.apply(std::slice::from_ref(&write)).await;
        results.pop().unwrap_or_else(|| Err(RegistryError::server("the registry gave no result")))
    }

    async fn put(&self) -> Result<(), RegistryError> {
        self.apply(Action::Put(Arc::clone(&self.service)), Reason::Missing).await
    }

    /// Finds it as it was meant.
    async fn verify(&self) -> Result<String, RegistryError> {
        match self.entry().await? {
            Some(entry) if entry.fingerprint == self.registry.fingerprint(&self.service) => {
                Ok(format!("{} was written, and is there as it was meant", self.key))
            }
            Some(_) => Err(RegistryError::server(format!(
                "{} is there, but not as it was written: does another program or a proxy change it?",
                self.key
            ))),
            None => Err(RegistryError::server(format!(
                "{} was accepted, but is not there: can this user read what it writes?",
                self.key
            ))),
        }
    }

    /// Removes it; `None` if it is not there, and was not accepted.
    async fn remove(&self, accepted: bool) -> Result<Option<String>, RegistryError> {
        let found = match self.entry().await {
            Ok(found) => found,
            Err(error) if accepted => return Err(error),
            // What cannot be read may be there all the same.
            Err(_) => Some(self.assumed()),
        };
        let Some(entry) = found.or_else(|| accepted.then(|| self.assumed())) else { return Ok(None) };
        match self.apply(Action::Remove(entry), Reason::Withdrawn).await {
            Err(error) if accepted => return Err(error),
            Err(_) => return Ok(None),
            Ok(()) => {}
        }
        match self.entry().await {
            Ok(Some(_)) => Err(RegistryError::server("it was removed, but is still there".to_owned())),
            Ok(None) => Ok(Some(format!("{} is gone again", self.key))),
            Err(error) if accepted => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// The entry as we know it.
    fn assumed(&self) -> Entry {
        Entry {
            key: Arc::clone(&self.key),
            service_id: Arc::clone(&self.service.id),
            owner: Some(self.owner.into()),
            fingerprint: self.registry.fingerprint(&self.service),
            marked: Marked::No,
            critical: false,
            content: None,
        }
    }
}

/// The service of the scratch entry; its name is its ID.
fn service(name: String, ttl: Option<Duration>) -> Service {
    Service {
        id: name.as_str().into(),
        address: "127.0.0.1".into(),
        port: PORT,
        protocol: Protocol::Tcp,
        tags: Arc::default(),
        attributes: Arc::new(LiteMap::new()),
        ttl,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container: name.as_str().into(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: AddressOf::Container,
            container_name: name.as_str().into(),
            hostname: name.as_str().into(),
            exposed_port: PORT,
        },
        name,
    }
}

/// `Consul 1.17.0 at http://127.0.0.1:8500, the agent of the node "web1" at 10.0.0.5`.
fn who(about: &About, site: &Site) -> String {
    let About { name, version, node, address, .. } = about;
    if name.is_empty() {
        return "it answers".to_owned();
    }
    let (what, place) = name.split_once(' ').unwrap_or((name, ""));
    let version = match (version, site.store) {
        (Some(version), _) => format!("{version} "),
        (None, Store::Consul | Store::ConsulKv) => "(its version needs agent:read) ".to_owned(),
        (None, _) => "(it does not tell its version) ".to_owned(),
    };
    let node = match (node, address) {
        (Some(node), Some(address)) => format!(", the agent of the node {node:?} at {address}"),
        (Some(node), None) => format!(", the agent of the node {node:?}"),
        (None, _) => String::new(),
    };
    format!("{what} {version}{place}{node}")
}

fn ours(entries: &[Entry], owner: &str) -> String {
    let count = entries.iter().filter(|entry| entry.owner.as_deref() == Some(owner)).count();
    match count {
        1 => format!("it can be read; 1 entry is of the owner {owner:?}"),
        count => format!("it can be read; {count} entries are of the owner {owner:?}"),
    }
}

/// A failure to reach it, with what to do.
fn advised(error: &RegistryError) -> String {
    let text = error.to_string();
    match error {
        RegistryError::Unreachable(_) if !text.contains("; ") => {
            format!("{text}; check the URI, and that it runs and can be reached from here")
        }
        _ => text,
    }
}

/// A failure of a step, with what to do.
fn with_rights(error: &RegistryError) -> String {
    match error {
        RegistryError::Refused { cause: registry::Cause::Rights, text } => format!("{text}; give it the rights below"),
        other => advised(other),
    }
}

/// How far a clock is from the time in which it answered; negative if it is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Apart {
    Ahead(Duration),
    Behind(Duration),
}

fn apart(clock: SystemTime, began: SystemTime, ended: SystemTime) -> Apart {
    match (clock.duration_since(ended), began.duration_since(clock)) {
        (Ok(ahead), _) => Apart::Ahead(ahead),
        (_, Ok(behind)) => Apart::Behind(behind),
        _ => Apart::Ahead(Duration::ZERO),
    }
}

fn judged(apart: Apart) -> Result<String, String> {
    let (by, word) = match apart {
        Apart::Ahead(by) => (by, "ahead of"),
        Apart::Behind(by) => (by, "behind"),
    };
    if by < SKEW {
        return Ok(format!("less than {} s from ours", SKEW.as_secs()));
    }
    Err(format!(
        "the registry's clock is {} s {word} ours: certificates and TTLs go wrong; keep the time of both by NTP",
        by.as_secs()
    ))
}

/// The days that are left of each certificate: those of the servers, and ours.
async fn certificates(site: &Site, report: &mut Report) {
    let Some(tls) = &site.tls else {
        report.add(Name::Certificates, Outcome::NotApplicable, "no TLS");
        return;
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let asked = site.servers.iter().map(|(host, port)| async move {
        let until = http::served_until(host, *port, tls).await;
        (format!("the certificate of {host}:{port}"), until)
    });
    let mut found = join_all(asked).await;
    for (what, path) in
        [("our certificate", tls.identity.as_ref().map(|(path, _)| path)), ("the authority", tls.ca.as_ref())]
    {
        let Some(path) = path else { continue };
        let until = http::valid_until(path).map_err(|error| error.to_string());
        let until = until.and_then(|until| until.ok_or_else(|| "it cannot be read".to_owned()));
        found.push((format!("{what} in {}", path.display()), until));
    }
    for (what, until) in found {
        report.result(Name::Certificates, days(&what, until, now));
    }
}

fn days(what: &str, until: Result<i64, String>, now: i64) -> Result<String, String> {
    let until = until.map_err(|reason| format!("{what}: {reason}"))?;
    match (until - now).div_euclid(DAY) {
        left if left < 0 => Err(format!("{what} expired {} days ago: replace it", -left)),
        left if left < SOON => Ok(format!("{what} expires in {left} days: replace it soon")),
        left => Ok(format!("{what} is valid for {left} more days")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_a_few_seconds() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (clock, expected) in [
            (100, Ok("less than 5 s from ours")),
            (96, Ok("less than 5 s from ours")),
            (105, Ok("less than 5 s from ours")),
            (95, Err("the registry's clock is 5 s behind ours")),
            (142, Err("the registry's clock is 40 s ahead of ours")),
        ] {
            let said = judged(apart(at(clock), at(100), at(102)));
            match expected {
                Ok(text) => assert_eq!(said.as_deref(), Ok(text), "{clock}"),
                Err(text) => assert!(said.as_ref().is_err_and(|said| said.starts_with(text)), "{clock}: {said:?}"),
            }
        }
    }

    #[test]
    fn days_are_counted_down_to_the_last_one() {
        let said = |until| days("it", Ok(until), 1000 * DAY).unwrap_or_else(|text| format!("FAILED {text}"));
        for (until, expected) in [
            (1100 * DAY, "it is valid for 100 more days"),
            (1014 * DAY, "it is valid for 14 more days"),
            (1014 * DAY - 1, "it expires in 13 days: replace it soon"),
            (1000 * DAY, "it expires in 0 days: replace it soon"),
            (1000 * DAY - 1, "FAILED it expired 1 days ago: replace it"),
        ] {
            assert_eq!(said(until), expected);
        }
        assert_eq!(days("it", Err("no".to_owned()), 0), Err("it: no".to_owned()));
    }

    #[test]
    fn a_report_is_a_table_that_begins_with_what_is_written() {
        let mut report = Report {
            uri: "consul://h".to_owned(),
            scratch: Some("registrator-check-1".to_owned()),
            steps: Vec::new(),
            rights: Some(Rights { place: "there", text: "a\nb".to_owned() }),
            warnings: vec!["consul: the token goes to h unencrypted".to_owned()],
        };
        report.add(Name::Reach, Outcome::Ok, "Consul");
        assert_eq!(report.exit_code(), 0);
        report.add(Name::Certificates, Outcome::NotApplicable, "no TLS");
        report.add(Name::Clock, Outcome::Skipped, "not asked");
        assert_eq!(report.exit_code(), 0);
        report.add(Name::Write, Outcome::Failed, "Permission denied");
        assert_eq!(report.exit_code(), 1);
        assert_eq!(
            report.to_string(),
            "check consul://h: writes one scratch entry, registrator-check-1, and removes it again\n\
             ok       reach         Consul\n\
             -        certificates  no TLS\n\
             skipped  clock         not asked\n\
             FAILED   write         Permission denied\n\
             warning  consul: the token goes to h unencrypted\n\
             \nThe least rights that registrator needs there (there):\n\n    a\n    b\n"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["steps"][1]["result"], "not-applicable");
        assert_eq!(
            json["steps"][3],
            serde_json::json!({"step": "write", "result": "failed", "text": "Permission denied"})
        );
    }
}
