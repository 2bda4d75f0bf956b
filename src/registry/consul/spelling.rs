//! Services in Consul's form: what is sent to register them, what the agent holds, and how both are compared. Pure.
//!
//! The fields are those of `/v1/agent/service/register`
//! (<https://developer.hashicorp.com/consul/api-docs/agent/service>). The limits are those observed with Consul 1.8.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::Serialize;

use crate::json::Shape::{Members, Whole};
use crate::json::{self, Shape};
use crate::registry::{Content, Entry, Marked};
use crate::service::Service;

use super::check::{self, Definition};

/// Meta key: the owner of an entry.
pub(super) const OWNER_KEY: &str = "registrator-owner";
/// Meta key: Consul's own page shows an icon for it.
const SOURCE_KEY: &str = "external-source";
const SOURCE: &str = "registrator";

/// The maximum number of pairs in Meta.
const PAIR_LIMIT: usize = 64;
/// The maximum length of a key in Meta, in bytes.
const KEY_LIMIT: usize = 128;
/// The maximum length of a value in Meta, in bytes.
pub(super) const VALUE_LIMIT: usize = 512;

/// The body of a registration.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Registration<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    port: u16,
    address: &'a str,
    tags: &'a [String],
    meta: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Definition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<[Definition; 1]>,
}

/// The parts of an entry that are compared. If they are equal, nothing is written.
#[derive(Hash)]
struct Held<'a> {
    name: &'a str,
    port: u64,
    address: &'a str,
    tags: Vec<&'a str>,
    meta: BTreeMap<&'a str, &'a str>,
    check: Option<&'a str>,
    /// Whether it is passing, if we send its heartbeats.
    passing: Option<bool>,
    lease: Option<&'a str>,
}

impl Held<'_> {
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// The parts of a check that are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compare {
    /// Its Notes, which hold its definition; written if the owner is recorded.
    Notes,
    /// Its type; used when nothing of ours is added to an entry.
    Type,
    /// Only its existence: the agent is too old to return a type (before 1.7).
    Presence,
}

impl Compare {
    fn of<'a>(self, notes: &'a str, kind: &'a str) -> &'a str {
        match self {
            Self::Notes => notes,
            Self::Type => kind,
            Self::Presence => "",
        }
    }
}

/// The registration of a service. With an owner, it records the owner and the check's name.
pub(super) fn registration<'a>(service: &'a Service, owner: Option<&'a str>) -> Registration<'a> {
    let mut check = check::definition(service);
    if let Some(check) = &mut check
        && owner.is_some()
    {
        check.notes = Some(check::notes(service));
    }
    let mut lease = check::lease(service);
    if let Some(lease) = lease.as_mut().filter(|_| owner.is_some()) {
        lease.notes = check::lease_notes(service);
    }
    if let Some(check) = &mut check
        && lease.is_some()
    {
        // With several checks, Consul would number them.
        check.check_id = Some(check_id(&service.id));
    }
    Registration {
        id: &service.id,
        name: &service.name,
        port: service.port,
        address: &service.address,
        tags: &service.tags,
        meta: meta(service, owner).0,
        check,
        checks: lease.map(|lease| [lease]),
    }
}

/// The fingerprint of a service, as the agent would return it.
pub(super) fn fingerprint(service: &Service, owner: Option<&str>, compare: Compare) -> u64 {
    let notes = if compare == Compare::Notes { check::notes(service) } else { String::new() };
    Held {
        name: &service.name,
        port: service.port.into(),
        address: &service.address,
        tags: service.tags.iter().map(String::as_str).collect(),
        meta: meta(service, owner).0,
        check: check::kind(service).map(|kind| compare.of(&notes, kind)),
        passing: check::heartbeat(service).filter(|_| compare == Compare::Notes).map(|_| check::is_well(service)),
        lease: check::lease_notes(service).as_deref().map(|notes| compare.of(notes, "ttl")),
    }
    .fingerprint()
}

/// The attributes that Consul would refuse, each with the reason.
pub(in crate::registry) fn left_out<'a>(service: &'a Service, owner: Option<&'a str>) -> Vec<(&'a str, &'static str)> {
    meta(service, owner).1
}

/// Meta that Consul accepts, and the attributes that it would refuse. Sorted by key, so that the choice is always the
/// same.
fn meta<'a>(
    service: &'a Service,
    owner: Option<&'a str>,
) -> (BTreeMap<&'a str, &'a str>, Vec<(&'a str, &'static str)>) {
    let mut meta = BTreeMap::new();
    if let Some(owner) = owner {
        meta.insert(SOURCE_KEY, SOURCE);
        meta.insert(OWNER_KEY, owner);
    }
    let mut left_out = Vec::new();
    for (key, value) in service.attributes.iter() {
        match objection(key, value, owner.is_some()) {
            Some(reason) => left_out.push((key.as_str(), reason)),
            None if meta.len() == PAIR_LIMIT => left_out.push((key.as_str(), "more than 64 pairs")),
            None => {
                meta.insert(key, value);
            }
        }
    }
    (meta, left_out)
}

/// Why an attribute cannot be in Meta.
fn objection(key: &str, value: &str, owned: bool) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    // A container that sets the owner could block an entry, or make us remove another owner's. This holds even if we
    // record no owner, because other instances read it.
    if key == OWNER_KEY || (owned && key == SOURCE_KEY) {
        Some("a name that is ours")
    } else if key.is_empty() {
        Some("no name")
    } else if !key.chars().all(allowed) {
        Some("a name with other characters than A-Z, a-z, 0-9, _ and -")
    } else if key.len() > KEY_LIMIT {
        Some("a name of more than 128 characters")
    } else if key.starts_with("consul-") {
        Some("a name that is Consul's")
    } else if value.len() > VALUE_LIMIT {
        Some("a value of more than 512 bytes")
    } else {
        None
    }
}

/// The ID of a Consul server's own service.
const SERVERS_OWN: &str = "consul";

/// Why a service with this ID must not be written or removed: it is Consul's own, or it does not work in the path of
/// the deregister request. Consul accepts only printable characters there, and no path that needs cleaning.
pub(in crate::registry) fn id_objection(id: &str) -> Option<&'static str> {
    // Go's `unicode.IsPrint` and Rust's escaping agree on printable characters, except that Rust also escapes quotes,
    // and a combining mark without a base character.
    let letters: String = std::iter::once('a').chain(id.chars().filter(|c| !matches!(c, '"' | '\'' | '\\'))).collect();
    let prints = letters.escape_debug().eq(letters.chars());
    let mut segments = id.split('/').rev();
    let last = segments.next().unwrap_or("");
    if id.is_empty() {
        Some("the ID is empty")
    } else if id == SERVERS_OWN {
        Some("the ID is that of Consul's own service, which is never taken")
    } else if !prints {
        Some("the ID has characters that do not print, and Consul could not remove it again")
    } else if matches!(last, "." | "..") || segments.any(|segment| matches!(segment, "" | "." | "..")) {
        Some("the ID is like a path with empty or dotted parts, and Consul could not remove it again")
    } else {
        None
    }
}

/// What is read of an entry in `/v1/agent/services`.
pub(super) const READ: Shape =
    Members(&[("Service", Whole), ("Port", Whole), ("Address", Whole), ("Tags", Whole), ("Meta", Whole)]);

/// The entries of `/v1/agent/checks`, by check ID.
pub(super) type Checks = HashMap<String, HeldCheck>;

/// What is read of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldCheck {
    pub(super) notes: String,
    /// Empty if the agent does not return it.
    pub(super) kind: String,
    pub(super) status: Status,
}

/// The status of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Passing,
    Critical,
    /// Warning, or an unknown one.
    Other,
}

impl HeldCheck {
    pub(super) const SHAPE: Shape = Members(&[("Notes", Whole), ("Type", Whole), ("Status", Whole)]);

    pub(super) fn read(said: &json::Value<'_>) -> Self {
        let text = |member: &str| said[member].as_str().unwrap_or_default().to_owned();
        let status = match said["Status"].as_str() {
            Some("passing") => Status::Passing,
            Some("critical") => Status::Critical,
            _ => Status::Other,
        };
        Self { notes: text("Notes"), kind: text("Type"), status }
    }

    /// Whether Consul may remove the service because of it. Unknown without notes.
    pub(super) fn may_remove(&self, compare: Compare) -> bool {
        compare != Compare::Notes || check::notes_removal(&self.notes)
    }
}

/// How entries are read, and for which instance.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) checks: &'a Checks,
    pub(super) compare: Compare,
    /// The owner that this instance records.
    pub(super) owner: Option<&'a Arc<str>>,
    /// Whether to read the content of every entry, and not only of those without an owner.
    pub(super) contents: bool,
}

/// An entry of `/v1/agent/services`, with its checks from `/v1/agent/checks`.
pub(super) fn entry(id: &str, service: &json::Value<'_>, reader: Reader<'_>) -> Entry {
    let Reader { checks, compare, owner, contents } = reader;
    let of_service = checks.get(&check_id(id));
    let held = |id: &str| checks.get(id).map(|check| compare.of(&check.notes, &check.kind));
    let meta: BTreeMap<_, _> =
        service["Meta"].members().iter().filter_map(|(key, value)| Some((key.as_ref(), value.as_str()?))).collect();
    let held = Held {
        name: service["Service"].as_str().unwrap_or_default(),
        port: service["Port"].as_u64().unwrap_or(0),
        address: service["Address"].as_str().unwrap_or_default(),
        tags: service["Tags"].elements().iter().filter_map(json::Value::as_str).collect(),
        check: of_service.map(|check| compare.of(&check.notes, &check.kind)),
        passing: of_service
            .filter(|check| compare == Compare::Notes && check::notes_heartbeat(&check.notes))
            .map(|check| check.status == Status::Passing),
        lease: held(&check::lease_id(id)),
        meta,
    };
    let key: Arc<str> = id.into();
    // Most are ours.
    let recorded =
        held.meta.get(OWNER_KEY).map(|&held| owner.filter(|us| ***us == *held).map_or_else(|| held.into(), Arc::clone));
    Entry {
        service_id: Arc::clone(&key),
        key,
        fingerprint: held.fingerprint(),
        marked: marked(id, checks),
        critical: of_service.is_some_and(|check| check.status == Status::Critical && check.may_remove(compare)),
        content: (contents || recorded.is_none()).then(|| Box::new(content(service))),
        owner: recorded,
    }
}

/// The content of an entry; `service` is the agent's JSON.
pub(super) fn content(service: &json::Value<'_>) -> Content {
    let text = |member: &str| service[member].as_str().unwrap_or_default().to_owned();
    Content {
        name: text("Service"),
        address: text("Address"),
        port: service["Port"].as_u64().and_then(|port| port.try_into().ok()).unwrap_or(0),
        tags: service["Tags"].elements().iter().filter_map(|tag| Some(tag.as_str()?.to_owned())).collect(),
    }
}

/// The prefix of the reason of our maintenance mode.
const MARK: &str = "registrator: ";

/// The reason of our maintenance mode.
pub(super) fn mark_reason(why: &str) -> String {
    format!("{MARK}{why}")
}

/// Whether a service is in maintenance mode, and who set it, from all checks of the agent.
pub(super) fn marked(id: &str, checks: &Checks) -> Marked {
    match checks.get(&format!("_service_maintenance:{id}")) {
        None => Marked::No,
        Some(check) if check.notes.starts_with(MARK) => Marked::Ours,
        Some(_) => Marked::Theirs,
    }
}

/// Whether a check was registered with a service.
pub(super) fn is_of_a_service(check: &str) -> bool {
    check.starts_with("service:")
}

/// The name that Consul gives to a check registered with a service.
pub(super) fn check_id(id: &str) -> String {
    format!("service:{id}")
}

#[cfg(test)]
mod tests;
