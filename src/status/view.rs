//! What the running program knows, as values for JSON, the page and the tables of the command line.
//!
//! Times are seconds since 1970, UTC. What comes from a container or a registry is any text: whoever prints it escapes
//! it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The state of a container, or of an entry, of which nothing is known at present.
pub const UNKNOWN: &str = "unknown";

/// Everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The program.
    pub about: About,
    /// The engine.
    pub docker: Docker,
    /// The registries, in the order of their URIs.
    pub registries: Vec<Registry>,
    /// The rendered files, by path.
    #[serde(default)]
    pub files: Vec<File>,
    /// The containers, by name.
    pub containers: Vec<Container>,
}

/// The state of a rendered file that is as it should be, and whose program knows.
pub const RIGHT: &str = "right";

/// A rendered file, or the folder of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its path.
    pub path: String,
    /// `right`, `failed` or `not_told`.
    pub state: String,
    /// Since when it is right, or is not.
    pub since: u64,
    /// What is wrong, in one line; empty if nothing is.
    pub problem: String,
    /// When its content last changed, if it did since the start.
    pub changed: Option<u64>,
}

/// The running program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// Its version.
    pub version: String,
    /// The host's name, the first part of default IDs.
    pub hostname: String,
    /// When it started.
    pub started: u64,
    /// Whether it writes nothing (`-dry-run`).
    pub dry_run: bool,
}

/// The engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Docker {
    /// Where it is.
    pub endpoint: String,
    /// `connecting`, `up` or `lost`.
    pub state: String,
    /// Since when.
    pub since: u64,
    /// Why it is lost, and what to do.
    pub error: Option<String>,
    /// How many containers it lists.
    pub containers: usize,
    /// Containers that it lists but cannot describe, with the reason.
    pub unknown: Vec<Unknown>,
}

/// A container that is listed but not known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unknown {
    /// Its ID.
    pub id: String,
    /// Its name, if it is known.
    pub name: Option<String>,
    /// Why nothing else is known.
    pub reason: String,
}

/// A registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registry {
    /// Its URI without secrets.
    pub name: String,
    /// The kind of registry: the scheme of the URI.
    pub adapter: String,
    /// The owner under which this instance writes.
    pub owner: String,
    /// `connecting`, `up` or `unreachable`.
    pub state: String,
    /// Whether a person should look at it.
    pub attention: bool,
    /// What is wrong, in one line; empty if nothing is.
    pub problem: String,
    /// Since when it is in this state; unknown while connecting.
    pub since: Option<u64>,
    /// The last error, and when it was.
    pub last_error: Option<LastError>,
    /// When the next attempt is due, if one is.
    pub next_attempt: Option<u64>,
    /// When it was last read.
    pub last_read: Option<u64>,
    /// When something was last written.
    pub last_write: Option<u64>,
    /// Services that should have an entry.
    pub desired: usize,
    /// Our entries, as last read.
    pub entries: usize,
    /// Entries of other owners, which are left alone.
    pub foreign: usize,
    /// Entries of other owners where a service of ours should be.
    pub in_the_way: usize,
    /// Entries without an owner, which are left alone.
    pub unowned: usize,
    /// Writes that are to be decided.
    pub queue: usize,
    /// Our services and entries by state. While the registry is not up, these are the states of the last read.
    pub states: BTreeMap<String, usize>,
    /// Writes that are due or wait, by what they do: `add`, `change`, `remove`, `mark`.
    pub pending: BTreeMap<String, usize>,
    /// What it refuses.
    pub refused: Option<Refused>,
    /// When the removal guard decides, if it delays removals.
    pub guard: Option<u64>,
}

/// The last error of a registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastError {
    /// What went wrong.
    pub text: String,
    /// When.
    pub at: u64,
}

/// What a registry refuses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// How many writes.
    pub count: usize,
    /// Since when.
    pub since: u64,
    /// Its refusal of one of them.
    pub example: String,
    /// When the next attempt is due.
    pub next_attempt: Option<u64>,
}

/// A container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Container {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// `created`, `running`, `paused`, `exited`, or [`UNKNOWN`] for one that the engine lists but does not describe.
    pub state: String,
    /// `none`, `starting`, `healthy` or `unhealthy`.
    pub health: String,
    /// When its process last started.
    pub started: Option<u64>,
    /// Whether a person should look at it.
    pub attention: bool,
    /// Its present state takes effect only then, because it ends again and again or is draining.
    pub delayed_until: Option<u64>,
    /// Why it is delayed: `flapping` or `draining`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delayed_because: Option<String>,
    /// Its ports: the services first.
    pub ports: Vec<Port>,
    /// Why the container, or many of its ports, are no services.
    pub ignored: Vec<Ignored>,
    /// What could not be used of its metadata.
    pub notes: Vec<String>,
    /// Keys of its metadata that are probably misspelt; only where one container is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A port of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Port {
    /// Its number inside the container.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The service that it offers.
    pub service: Option<Service>,
    /// Why it offers none.
    pub ignored: Option<Ignored>,
    /// Why each field is as it is; only where one container is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// Where the service stands in each registry.
    pub entries: Vec<Entry>,
}

/// Why something is no service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ignored {
    /// A word that never changes: `not_published`.
    pub reason: String,
    /// Why, in words.
    pub text: String,
    /// The one line to change.
    pub cure: String,
}

/// A service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Its check, in words.
    pub check: Option<String>,
    /// How long its entry lives without a refresh, in seconds.
    pub ttl: Option<u64>,
    /// `serving`, `paused` or `kept`.
    pub mode: String,
}

/// A service with its container and its entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Offered {
    /// The service.
    #[serde(flatten)]
    pub service: Service,
    /// The container's name.
    pub container: String,
    /// The container's ID.
    pub container_id: String,
    /// The container's health.
    pub health: String,
    /// Where it stands in each registry.
    pub entries: Vec<Entry>,
}

/// Why a field is as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// The field.
    pub field: String,
    /// Its value.
    pub value: String,
    /// The rule, and the key or option that decided.
    pub because: String,
}

/// Where a service stands in a registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The registry.
    pub registry: String,
    /// `in_sync`, `pending`, `in_flight`, `refused`, `contested`, `held`, `in_doubt`, `reaped`; `unknown` while the
    /// registry cannot be reached.
    pub state: String,
    /// What that means, in words.
    pub text: String,
    /// The state at the last read, if the registry cannot be reached.
    pub last_known: Option<String>,
    /// Since when.
    pub since: u64,
    /// Whether an entry is there, as far as known.
    pub exists: bool,
    /// The other owner that has it.
    pub owner: Option<String>,
    /// The refusal of the last write.
    pub error: Option<String>,
    /// The last write, if this run tried one.
    pub last_write: Option<LastWrite>,
    /// What a person should know about an entry that is as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// When the next attempt is due.
    pub next_attempt: Option<u64>,
}

/// The last write of an entry, and what the registry answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastWrite {
    /// When.
    pub at: u64,
    /// What it was to do: `put`, `remove`, `mark` or `unmark`.
    pub action: String,
    /// Why.
    pub reason: String,
    /// `done`, or why it failed.
    pub answer: String,
}

/// What would be written to a registry now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The registry.
    pub registry: String,
    /// Why the plan may be out of date or is not known, if so.
    pub problem: Option<String>,
    /// The writes, by key.
    pub writes: Vec<Write>,
    /// How many keys are left alone, by reason.
    pub left: Vec<Left>,
}

/// One write.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Write {
    /// `add`, `change`, `take over`, `remove`, `mark` or `unmark`.
    pub action: String,
    /// The entry's key.
    pub key: String,
    /// The ID of the service.
    pub id: String,
    /// The name of the container, if there is one.
    pub container: Option<String>,
    /// Why.
    pub reason: String,
    /// What differs, as far as it is known: field, as it is, as it should be.
    pub differences: Vec<Difference>,
}

/// A field that differs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// The field.
    pub field: String,
    /// As it is.
    pub is: String,
    /// As it should be.
    pub should_be: String,
}

/// Keys that are left alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Left {
    /// A word that never changes.
    pub reason: String,
    /// In words.
    pub text: String,
    /// How many.
    pub count: usize,
    /// Whether a person should look at them.
    pub attention: bool,
}
