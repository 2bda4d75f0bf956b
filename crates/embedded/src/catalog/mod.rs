//! The catalog: what runs, and how it is. The only state there is; nothing of it is stored.
//!
//! It keeps Consul's rules for indexes, which blocking queries stand on: one number that grows with
//! every change, remembered for the whole (services, checks) and for each service, so that a change of
//! one service wakes nobody who waits for another. It starts at the milliseconds since 1970, so that it
//! does not go backwards across restarts either, unless more than a thousand things changed each second.
//!
//! One lock guards maps of shared, unchanging values: a reader holds it for as long as it takes to copy
//! a few pointers, and a change costs the logarithm of what stands, plus the pointers of the one service.

mod instance;
mod notifier;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use instance::fold;
pub(super) use instance::{CheckState, Group, Instance, Node, Rendered, Status};
use notifier::Notifier;
pub(super) use notifier::{Subscription, Topic};

use crate::definition::Definition;
use crate::health::{HealthChange, Report, Source};
use tokio::sync::mpsc::UnboundedSender;

/// All that is known, for all who ask.
pub(super) struct Catalog {
    /// The one node: this machine.
    pub(super) node: Node,
    state: RwLock<State>,
    notifier: Notifier,
    /// Who hears how instances are.
    reports: UnboundedSender<Report>,
}

/// The indexes of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Indexes {
    /// Of the node.
    pub(super) nodes: u64,
    /// Of the last change of any instance.
    pub(super) services: u64,
    /// Of the last change of any check.
    pub(super) checks: u64,
    /// Of the last time that the last instance of a name went; 0 for never.
    extinction: u64,
    /// Of the last change of anything.
    last: u64,
}

struct State {
    indexes: Indexes,
    /// What was registered, by service ID.
    entries: HashMap<Arc<str>, Entry>,
    /// The visible instances by name, in lower case.
    groups: BTreeMap<String, Arc<Group>>,
    /// The visible instances in the order of their IDs.
    instances: BTreeMap<Arc<str>, Arc<Instance>>,
    /// The sort keys of the visible instances at an address.
    addresses: HashMap<IpAddr, BTreeSet<Arc<str>>>,
    next_probe: u64,
}

/// One service as it was registered.
struct Entry {
    instance: Arc<Instance>,
    fingerprint: u64,
    probe: ProbeId,
    /// False while it is withdrawn for having been critical too long.
    visible: bool,
}

/// Which definition of a check a result belongs to: one that was replaced reports in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProbeId(u64);

/// What a registration means for whoever runs its check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registered {
    /// What is registered now.
    pub(super) definition: Arc<Definition>,
    /// The identity to report with.
    pub(super) probe: ProbeId,
    /// Whether the check is another than before, or the first.
    pub(super) fresh: bool,
    /// Whether the check begins as critical.
    pub(super) critical: bool,
}

/// One service's part of the catalog.
pub(super) struct View {
    /// What a blocking query is to wait beyond.
    pub(super) index: u64,
    /// Its instances; `None` where there is none.
    pub(super) group: Option<Arc<Group>>,
}

impl Catalog {
    pub(super) fn new(node: Node, reports: UnboundedSender<Report>) -> Self {
        let state = State {
            indexes: Indexes {
                nodes: node.index,
                services: node.index,
                checks: node.index,
                extinction: 0,
                last: node.index,
            },
            entries: HashMap::new(),
            groups: BTreeMap::new(),
            instances: BTreeMap::new(),
            addresses: HashMap::new(),
            next_probe: 0,
        };
        Self { node, state: RwLock::new(state), notifier: Notifier::default(), reports }
    }

    /// Puts a service there, or in the place of the one with its ID.
    ///
    /// The state of a check that was there already is kept, as Consul does, so that nothing flaps; a TTL
    /// check, however, passes anew: whoever registers says that it lives.
    pub(super) fn register(&self, mut definition: Definition, fingerprint: u64) -> Registered {
        let mut state = self.write();
        state.share_name(&mut definition);
        let definition = Arc::new(definition);
        let previous = state.entries.remove(&definition.id);
        let known_probe =
            previous.as_ref().filter(|entry| entry.instance.same_probe(&definition)).map(|entry| entry.probe);
        let probe = known_probe.unwrap_or(ProbeId(state.next_probe));
        state.next_probe += 1;

        let (before, was_visible) = previous.map(|entry| (entry.instance, entry.visible)).unzip();
        let instance = Arc::new(Instance::new(&definition, before.as_deref(), state.indexes.last + 1));
        let critical = instance.own_check().is_some_and(|check| check.status == Status::Critical);
        let registered =
            Registered { definition: Arc::clone(&definition), probe, fresh: known_probe.is_none(), critical };
        // One that is withdrawn, and whose check is still the same, is back when that check passes.
        let visible = was_visible.unwrap_or(true) || registered.fresh || !critical;
        if let Some(before) = &before {
            self.report_changes((before, was_visible != Some(false)), (&instance, visible));
        }
        let entry = Entry { instance: Arc::clone(&instance), fingerprint, probe, visible };
        state.entries.insert(Arc::clone(&definition.id), entry);
        if was_visible == Some(visible) && before.as_ref().is_some_and(|before| before.alike(&instance)) {
            return registered;
        }
        let topics = state.replace(before.filter(|_| was_visible == Some(true)), Some(&instance).filter(|_| visible));
        drop(state);
        self.notifier.notify(topics);
        registered
    }

    /// Takes a service away; whether it was there.
    pub(super) fn deregister(&self, id: &str) -> bool {
        let mut state = self.write();
        let Some(entry) = state.entries.remove(id) else { return false };
        self.tell(Report::Gone(Arc::clone(&entry.instance.definition.id)));
        let topics = state.replace(Some(entry.instance).filter(|_| entry.visible), None);
        drop(state);
        self.notifier.notify(topics);
        true
    }

    /// Sets the state of a service's own check. Nothing changes, and nobody is woken, unless it differs.
    ///
    /// A withdrawn service is back with a result that is not critical.
    pub(super) fn report(&self, id: &str, probe: ProbeId, status: Status, output: &str) {
        self.update(id, probe, |instance, visible, index| {
            let back = !visible && status != Status::Critical;
            let reported = instance.with_result(status, output, index);
            (reported.is_some() || back).then(|| (reported.unwrap_or_else(|| instance.clone()), visible || back))
        });
    }

    /// Hides a service that was critical too long from every reader.
    pub(super) fn withdraw(&self, id: &str, probe: ProbeId) {
        self.update(id, probe, |instance, visible, _| visible.then(|| (instance.clone(), false)));
    }

    fn update(&self, id: &str, probe: ProbeId, change: impl FnOnce(&Instance, bool, u64) -> Option<(Instance, bool)>) {
        let mut state = self.write();
        let index = state.indexes.last + 1;
        let Some(entry) = state.entries.get_mut(id).filter(|entry| entry.probe == probe) else { return };
        let was_visible = entry.visible;
        let Some((instance, visible)) = change(&entry.instance, was_visible, index) else { return };
        let instance = Arc::new(instance);
        let before = std::mem::replace(&mut entry.instance, Arc::clone(&instance));
        self.report_changes((&before, was_visible), (&instance, visible));
        entry.visible = visible;
        let topics = state.replace(Some(before).filter(|_| was_visible), Some(&instance).filter(|_| visible));
        drop(state);
        self.notifier.notify(topics);
    }

    /// Says how an instance is now, and whether anybody is told of it, where that differs from before.
    fn report_changes(&self, before: (&Instance, bool), after: (&Instance, bool)) {
        for source in [Source::Check, Source::Docker] {
            let (Some((from, _)), Some((to, reason))) =
                (before.0.condition(source, before.1), after.0.condition(source, after.1))
            else {
                continue;
            };
            if from != to {
                let id = Arc::clone(&after.0.definition.id);
                let reason = reason.to_owned();
                self.tell(Report::Changed(HealthChange { id, source, from, to, reason, changes: 1 }));
            }
        }
    }

    fn tell(&self, report: Report) {
        // Nobody may listen any more, at the end.
        let _ = self.reports.send(report);
    }

    /// Puts a service into maintenance mode for this reason, or out of it.
    pub(super) fn mark(&self, id: &str, reason: Option<&str>) {
        if let Some(probe) = self.probe(id) {
            self.update(id, probe, |instance, visible, index| {
                instance.with_mark(reason, index).map(|instance| (instance, visible))
            });
        }
    }

    /// What was registered.
    pub(super) fn registered(&self) -> Vec<crate::Registered> {
        let registered = |(id, entry): (&Arc<str>, &Entry)| crate::Registered {
            id: Arc::clone(id),
            fingerprint: entry.fingerprint,
            marked: entry.instance.is_marked(),
        };
        self.read().entries.iter().map(registered).collect()
    }

    /// Which probe reports for a service, if it is there.
    pub(super) fn probe(&self, id: &str) -> Option<ProbeId> {
        self.read().entries.get(id).map(|entry| entry.probe)
    }

    /// The instances of a service, by its name in any case.
    ///
    /// Without any, the index is Consul's: of the last time that a name went, else of the whole
    /// (with the checks for `/v1/health`).
    pub(super) fn service(&self, name: &str, with_checks: bool) -> View {
        let state = self.read();
        let group = state.groups.get(&fold(name)).cloned();
        let indexes = &state.indexes;
        let index = match &group {
            Some(group) => group.index,
            None if indexes.extinction > 0 => indexes.extinction,
            None => indexes.nodes.max(indexes.services).max(if with_checks { indexes.checks } else { 0 }),
        };
        View { index, group }
    }

    /// The indexes of the whole.
    pub(super) fn indexes(&self) -> Indexes {
        self.read().indexes
    }

    /// Every service by name, with the indexes of that moment.
    pub(super) fn groups(&self) -> (Indexes, Vec<Arc<Group>>) {
        let state = self.read();
        (state.indexes, state.groups.values().cloned().collect())
    }

    /// Every instance in the order of IDs, with the indexes of that moment.
    pub(super) fn instances(&self) -> (Indexes, Vec<Arc<Instance>>) {
        let state = self.read();
        (state.indexes, state.instances.values().cloned().collect())
    }

    /// The first instance at an address, in the order of IDs.
    pub(super) fn instance_at(&self, address: IpAddr) -> Option<Arc<Instance>> {
        let state = self.read();
        let key = state.addresses.get(&address)?.first()?;
        state.instances.get(key).cloned()
    }

    /// Hears of every change of a topic from now on: subscribe first, then read.
    pub(super) fn subscribe(&self, topic: Topic) -> Subscription<'_> {
        self.notifier.subscribe(topic)
    }

    /// A reader that panicked cannot have left anything half done, nor can a writer: no call between
    /// two writes of one change fails.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The index of a catalog that begins now.
pub(super) fn first_index() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::try_from(since.as_millis()).unwrap_or(1))
}

impl State {
    /// Lets it have its name in common with the other instances of its service.
    fn share_name(&self, definition: &mut Definition) {
        let known = self.groups.get(&fold(&definition.name)).and_then(|group| group.instances.first());
        if let Some(known) = known.filter(|known| known.definition.name == definition.name) {
            definition.name = Arc::clone(&known.definition.name);
        }
    }

    /// Puts one visible instance in the place of another, either of which may be missing: one change,
    /// with one index. Returns whom it concerns.
    fn replace(&mut self, before: Option<Arc<Instance>>, after: Option<&Arc<Instance>>) -> BTreeSet<Topic> {
        let mut topics = BTreeSet::new();
        if before.is_none() && after.is_none() {
            return topics;
        }
        self.indexes.last += 1;
        let index = self.indexes.last;
        let definition = |instance: Option<&Arc<Instance>>| instance.map(|it| (it.create_index, it.modify_index));
        let redefined = definition(before.as_ref()) != definition(after);
        if redefined {
            self.indexes.services = index;
            topics.insert(Topic::Services);
        }
        let checks = |instance: Option<&Arc<Instance>>| -> Vec<(String, u64)> {
            let checks = instance.into_iter().flat_map(|it| &it.checks);
            checks.map(|check| (check.id.clone(), check.modify_index)).collect()
        };
        if checks(before.as_ref()) != checks(after) {
            self.indexes.checks = index;
            topics.insert(Topic::Checks);
        }
        for name in before.iter().chain(after).map(|instance| fold(&instance.definition.name)) {
            if redefined {
                topics.insert(Topic::Service(name.clone()));
            }
            topics.insert(Topic::Health(name));
        }
        if let Some(before) = before {
            self.remove(&before, after, index);
        }
        if let Some(after) = after {
            self.insert(after, index);
        }
        topics
    }

    /// Takes out what is not overwritten by the instance that follows.
    fn remove(&mut self, before: &Instance, after: Option<&Arc<Instance>>, index: u64) {
        let kept = after.and_then(|after| after.address());
        if let Some(address) = before.address().filter(|address| kept != Some(*address))
            && let Some(keys) = self.addresses.get_mut(&address)
        {
            keys.remove(&before.sort_key);
            if keys.is_empty() {
                self.addresses.remove(&address);
            }
        }
        if after.is_none() {
            self.instances.remove(&before.sort_key);
        }
        let name = fold(&before.definition.name);
        if after.is_some_and(|after| fold(&after.definition.name) == name) {
            return;
        }
        let Some(group) = self.groups.get_mut(&name) else { return };
        Arc::make_mut(group).remove(&before.sort_key, index);
        if group.instances.is_empty() {
            self.groups.remove(&name);
            self.indexes.extinction = index;
        }
    }

    fn insert(&mut self, after: &Arc<Instance>, index: u64) {
        if let Some(address) = after.address() {
            self.addresses.entry(address).or_default().insert(Arc::clone(&after.sort_key));
        }
        self.instances.insert(Arc::clone(&after.sort_key), Arc::clone(after));
        let group = self.groups.entry(fold(&after.definition.name)).or_default();
        Arc::make_mut(group).insert(after, index);
    }
}
