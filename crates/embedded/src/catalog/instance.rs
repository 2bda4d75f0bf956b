//! What the catalog holds: values that are shared and never change; a change makes a new one.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::definition::{CheckKind, Definition, Health};
use crate::dns;
use crate::health::{Condition, Source};

/// This machine, the only node there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// A UUID, the same for the same name.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: IpAddr,
    /// The datacenter that it stands in.
    pub(crate) datacenter: String,
    /// The index at which it appeared: the catalog's first.
    pub(crate) index: u64,
}

impl Node {
    /// Whether this is its name, in any case.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The state of a check, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// All is well.
    Passing,
    /// Not as it should be, but it serves.
    Warning,
    /// It does not serve.
    Critical,
}

impl Status {
    /// Consul's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads Consul's word.
    fn parse(text: &str) -> Option<Self> {
        [Self::Passing, Self::Warning, Self::Critical].into_iter().find(|status| status.as_str() == text)
    }
}

/// One check of one instance, and its last result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckState {
    /// `service:<service ID>`, `docker:<service ID>`, or `_service_maintenance:<service ID>`.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// Consul's word for its kind, `maintenance` among them, or `docker`.
    pub(crate) kind: &'static str,
    /// How it is.
    pub(crate) status: Status,
    /// What the last probe said.
    pub(crate) output: String,
    /// The index at which it appeared.
    pub(crate) create_index: u64,
    /// The index at which it last changed.
    pub(crate) modify_index: u64,
}

/// One service that runs.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    /// As it was described.
    pub(crate) definition: Arc<Definition>,
    /// Orders instances as Consul does: by ID, in any case.
    pub(crate) sort_key: Arc<str>,
    /// Its checks, in the order of their IDs.
    pub(crate) checks: Vec<CheckState>,
    /// The index at which it appeared.
    pub(crate) create_index: u64,
    /// The index at which its definition last changed.
    pub(crate) modify_index: u64,
}

impl Instance {
    /// A service as it is registered at this index, in the place of the instance that was there before.
    pub(super) fn new(definition: &Arc<Definition>, before: Option<&Self>, index: u64) -> Self {
        let mut checks: Vec<CheckState> =
            [docker_check(definition, index), own_check(definition, index)].into_iter().flatten().collect();
        for check in &mut checks {
            let Some(known) = before.and_then(|before| before.checks.iter().find(|known| known.id == check.id)) else {
                continue;
            };
            check.create_index = known.create_index;
            if !matches!(check.kind, "docker" | "ttl") {
                check.status = known.status;
                check.output.clone_from(&known.output);
            }
            if check.same_but_index(known) && before.is_some_and(|before| before.tells_same_of_checks(definition)) {
                check.modify_index = known.modify_index;
            }
        }
        Self {
            definition: Arc::clone(definition),
            sort_key: sort_key(&definition.id),
            checks,
            create_index: before.map_or(index, |before| before.create_index),
            modify_index: before
                .filter(|before| before.tells_same(definition))
                .map_or(index, |before| before.modify_index),
        }
    }

    /// The same with another result of its own check; `None` where that is no change.
    pub(super) fn with_result(&self, status: Status, output: &str, index: u64) -> Option<Self> {
        let own = self.checks.iter().position(CheckState::is_own)?;
        let mut changed = self.clone();
        let check = changed.checks.get_mut(own)?;
        if check.status == status && check.output == output {
            return None;
        }
        check.status = status;
        output.clone_into(&mut check.output);
        check.modify_index = index;
        Some(changed)
    }

    /// The worst of its checks; passing without any, for being there.
    pub(crate) fn status(&self) -> Status {
        self.checks.iter().map(|check| check.status).max().unwrap_or(Status::Passing)
    }

    /// How it is, as one of its checks says, and what that found; `None` without such a check.
    pub(super) fn condition(&self, source: Source, visible: bool) -> Option<(Condition, &str)> {
        let check = match source {
            Source::Check => self.own_check(),
            Source::Docker => self.checks.iter().find(|check| check.kind == "docker"),
        }?;
        let condition = match check.status {
            _ if !visible && source == Source::Check => Condition::Withdrawn,
            // A probe always says something; only a TTL has nothing to say.
            _ if check.output.is_empty() && check.kind != "ttl" => Condition::Unchecked,
            Status::Passing => Condition::Passing,
            Status::Warning => Condition::Warning,
            Status::Critical => Condition::Critical,
        };
        Some((condition, &check.output))
    }

    /// The check that was asked for, other than Docker's.
    pub(super) fn own_check(&self) -> Option<&CheckState> {
        self.checks.iter().find(|check| check.is_own())
    }

    /// Whether it is in maintenance mode.
    pub(crate) fn is_marked(&self) -> bool {
        self.checks.iter().any(|check| check.kind == MAINTENANCE)
    }

    /// The same in maintenance mode, or out of it; `None` where that is no change. Consul's words.
    pub(super) fn with_mark(&self, reason: Option<&str>, index: u64) -> Option<Self> {
        if reason.is_some() == self.is_marked() {
            return None;
        }
        let mut changed = self.clone();
        changed.checks.retain(|check| check.kind != MAINTENANCE);
        if let Some(reason) = reason {
            let check = CheckState {
                id: format!("_service_maintenance:{}", self.definition.id),
                name: "Service Maintenance Mode".to_owned(),
                kind: MAINTENANCE,
                status: Status::Critical,
                output: reason.to_owned(),
                create_index: index,
                modify_index: index,
            };
            // An underscore comes before every letter.
            changed.checks.insert(0, check);
        }
        Some(changed)
    }

    /// Its address, unless that is a host's name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.definition.address.parse().ok()
    }

    /// Whether a check of this service probes the same in the same way.
    pub(super) fn same_probe(&self, definition: &Definition) -> bool {
        let old = &self.definition;
        let same_address =
            (&old.address, old.port, old.target) == (&definition.address, definition.port, definition.target);
        same_address && old.check == definition.check && old.group == definition.group
    }

    /// Whether nothing that anybody is told differs.
    pub(super) fn alike(&self, other: &Self) -> bool {
        self.modify_index == other.modify_index && self.checks == other.checks
    }

    /// Whether the instance would be told with the same words.
    fn tells_same(&self, definition: &Definition) -> bool {
        let old = &self.definition;
        old.name == definition.name
            && old.address == definition.address
            && old.port == definition.port
            && old.tags == definition.tags
            && old.meta == definition.meta
    }

    /// Whether its checks would be told with the same words, but for their results.
    fn tells_same_of_checks(&self, definition: &Definition) -> bool {
        self.definition.name == definition.name && self.definition.tags == definition.tags
    }
}

/// The kind of the check that stands for maintenance mode.
const MAINTENANCE: &str = "maintenance";

impl CheckState {
    /// Whether it is the check that was asked for.
    fn is_own(&self) -> bool {
        !matches!(self.kind, "docker" | MAINTENANCE)
    }

    fn same_but_index(&self, other: &Self) -> bool {
        (&self.name, self.kind, self.status, &self.output) == (&other.name, other.kind, other.status, &other.output)
    }
}

fn own_check(definition: &Definition, index: u64) -> Option<CheckState> {
    let check = definition.check.as_ref()?;
    let (kind, unless_said) = match &check.kind {
        CheckKind::Http { .. } => ("http", Status::Critical),
        CheckKind::Tcp => ("tcp", Status::Critical),
        CheckKind::Grpc { .. } => ("grpc", Status::Critical),
        CheckKind::Command { .. } => ("script", Status::Critical),
        // Whoever registers it says that it lives.
        CheckKind::Ttl(_) => ("ttl", Status::Passing),
    };
    Some(CheckState {
        id: format!("service:{}", definition.id),
        name: format!("Service '{}' check", definition.name),
        kind,
        status: check.initial_status.as_deref().and_then(Status::parse).unwrap_or(unless_said),
        output: String::new(),
        create_index: index,
        modify_index: index,
    })
}

fn docker_check(definition: &Definition, index: u64) -> Option<CheckState> {
    let (status, output) = match definition.health {
        Health::None => return None,
        Health::Healthy => (Status::Passing, "Docker says healthy"),
        Health::Starting => (Status::Warning, "Docker says starting"),
        Health::Unhealthy => (Status::Critical, "Docker says unhealthy"),
    };
    Some(CheckState {
        id: format!("docker:{}", definition.id),
        name: "Docker HEALTHCHECK".to_owned(),
        kind: "docker",
        status,
        output: output.to_owned(),
        create_index: index,
        modify_index: index,
    })
}

/// The instances of one name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// In the order of their IDs; never empty in the catalog.
    pub(crate) instances: Vec<Arc<Instance>>,
    /// The index at which any of them, or of their checks, last changed.
    pub(crate) index: u64,
    /// The answers that most readers ask for, made once for each state.
    pub(crate) rendered: Rendered,
}

/// Answers for one state of a group, as HTTP spells them.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    /// `/v1/catalog/service/<name>`
    pub(crate) catalog: OnceLock<Bytes>,
    /// `/v1/health/service/<name>`
    pub(crate) health: OnceLock<Bytes>,
    /// `/v1/health/service/<name>?passing`
    pub(crate) passing: OnceLock<Bytes>,
    /// What DNS is told.
    pub(crate) dns: OnceLock<Arc<[dns::Instance]>>,
}

impl Clone for Rendered {
    /// Empty: a group is cloned to be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Group {
    pub(super) fn insert(&mut self, instance: &Arc<Instance>, index: u64) {
        match self.position(&instance.sort_key) {
            Ok(at) => self.instances[at] = Arc::clone(instance),
            Err(at) => self.instances.insert(at, Arc::clone(instance)),
        }
        self.touch(index);
    }

    pub(super) fn remove(&mut self, sort_key: &str, index: u64) {
        if let Ok(at) = self.position(sort_key) {
            self.instances.remove(at);
        }
        self.touch(index);
    }

    fn position(&self, sort_key: &str) -> Result<usize, usize> {
        self.instances.binary_search_by(|instance| (*instance.sort_key).cmp(sort_key))
    }

    fn touch(&mut self, index: u64) {
        self.index = index;
        self.rendered = Rendered::default();
    }
}

/// A name as it is looked up: Consul's catalog and its DNS know no case.
pub(crate) fn fold(name: &str) -> String {
    name.to_lowercase()
}

pub(super) fn sort_key(id: &str) -> Arc<str> {
    format!("{}\0{id}", fold(id)).into()
}
