//! Containers → the set of services that should exist.
//!
//! Keeps the last known facts of each container. Each change returns only the services that it affects, so the cost of
//! an event does not grow with the number of containers.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use litemap::LiteMap;

use super::tagging::Tagged;
use crate::config::{Deregister, ServiceConfig};
use crate::container::{Container, ContainerId, NetworkMode, State, fitted};
use crate::desired::{Desired, Evidence, Kept, Mode, Update};
use crate::event::Event;
use crate::pool::Pool;
use crate::service::describe::{Explanation, Ignored, Neighbours, describe, explain};
use crate::service::{Service, Source};

/// The services that should exist, and the containers that offer them.
#[derive(Debug)]
pub struct DesiredServices {
    config: ServiceConfig,
    deregister: Deregister,
    host_address: String,
    containers: Containers,
    /// Containers that share another container's network, and so change with it.
    sharing: BTreeSet<ContainerId>,
    common: Common,
    events: Vec<Event>,
}

/// Values that services have in common.
#[derive(Debug, Default)]
struct Common {
    addresses: Pool<str>,
    tags: Pool<[String]>,
    attributes: Pool<LiteMap<String, String>>,
}

/// A container as it was last inspected.
#[derive(Debug)]
struct Known {
    tagged: Tagged,
    /// It was told to stop.
    draining: bool,
    offers: Offers,
    remarks: Vec<Remark>,
}

/// What a container offers, port by port; always [`Desired::Present`].
type Offers = LiteMap<Source, Desired>;

/// A remark about a container, reported once.
#[derive(Debug, PartialEq, Eq)]
pub enum Remark {
    /// Why a port, or the container, is no service.
    Ignored(Ignored),
    /// What could not be used of its metadata.
    Note(String),
}

impl DesiredServices {
    /// Starts empty. `host_address` is the host's address when no other rule applies.
    #[must_use]
    pub fn new(config: ServiceConfig, deregister: Deregister, host_address: String) -> Self {
        Self {
            config,
            deregister,
            host_address,
            containers: Containers::default(),
            sharing: BTreeSet::new(),
            common: Common::default(),
            events: Vec::new(),
        }
    }

    /// Takes the new state of a container.
    pub fn set(&mut self, tagged: Tagged) -> Vec<Update> {
        let id = tagged.container.id.clone();
        self.store(tagged);
        let mut updates = self.redescribe(&id);
        for sharer in self.sharers_of(&id) {
            updates.extend(self.redescribe(&sharer));
        }
        updates
    }

    /// The container was told to stop, or is known to have ignored that.
    pub fn drain(&mut self, id: &ContainerId, draining: bool) -> Vec<Update> {
        match self.containers.by_id.get_mut(id) {
            Some(known) if known.draining != draining => {
                known.draining = draining;
                self.redescribe(id)
            }
            _ => Vec::new(),
        }
    }

    /// The container is gone.
    pub fn remove(&mut self, id: &ContainerId) -> Vec<Update> {
        let sharers = self.sharers_of(id);
        let mut updates = self.forget(id);
        for sharer in &sharers {
            updates.extend(self.redescribe(sharer));
        }
        ordered(updates)
    }

    /// The container is gone, but no event reported its end.
    pub fn lose(&mut self, id: &ContainerId) -> Vec<Update> {
        by_list(self.remove(id))
    }

    /// Takes a complete list: containers that are neither in `all` nor in `unknown` are gone.
    pub fn replace(&mut self, all: Vec<Tagged>, unknown: &[ContainerId]) -> Vec<Update> {
        let standing: HashSet<&ContainerId> = all.iter().map(|tagged| &tagged.container.id).chain(unknown).collect();
        let mut gone: Vec<ContainerId> =
            self.containers.by_id.keys().filter(|id| !standing.contains(id)).cloned().collect();
        gone.sort_unstable();
        let mut updates = by_list(gone.iter().flat_map(|id| self.forget(id)).collect());
        // All are stored before any is described: a container may share the network of one later in the list.
        for tagged in all {
            self.store(tagged);
        }
        updates.extend(self.redescribe_all());
        ordered(updates)
    }

    /// The host now has this address.
    pub fn set_host_address(&mut self, address: String) -> Vec<Update> {
        if address == self.host_address {
            return Vec::new();
        }
        self.host_address = address;
        self.redescribe_all()
    }

    /// The settings that count at once are now these.
    pub fn set_config(&mut self, config: &ServiceConfig) -> Vec<Update> {
        let ServiceConfig { ip, internal, explicit, max_services, .. } = config.clone();
        let changed = ServiceConfig { ip, internal, explicit, max_services, ..self.config.clone() };
        if changed == self.config {
            return Vec::new();
        }
        self.config = changed;
        self.redescribe_all()
    }

    /// What to report about the containers that were described.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Why the services of a container are as they are, and why its other ports are none; `None` for a container that is
    /// not known. It is computed when asked: nothing is kept for it.
    #[must_use]
    pub fn explain(&self, id: &ContainerId) -> Option<Explanation> {
        let Tagged { container, tags } = &self.containers.by_id.get(id)?.tagged;
        Some(explain(container, tags, &self.config, &self.host_address, &self.containers))
    }

    /// Every container, in no order.
    pub fn containers(&self) -> impl Iterator<Item = &Arc<Container>> {
        self.containers.by_id.values().map(|known| &known.tagged.container)
    }

    /// A container.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> Option<&Arc<Container>> {
        self.containers.by_id.get(id).map(|known| &known.tagged.container)
    }

    /// What a container offers now: its services, and how each is desired.
    pub fn offers(&self, id: &ContainerId) -> impl Iterator<Item = (&Arc<Service>, Mode)> {
        let offers = self.containers.by_id.get(id).map(|known| &known.offers);
        offers.into_iter().flat_map(|offers| offers.values()).filter_map(|desired| match desired {
            Desired::Present(service, mode) => Some((service, *mode)),
            Desired::Absent(_) | Desired::Forgotten => None,
        })
    }

    /// Whether labels for Traefik are read.
    #[must_use]
    pub fn reads_traefik(&self) -> bool {
        self.config.traefik
    }

    /// What was reported about a container: why ports are no services, and notes on its metadata.
    pub fn remarks(&self, id: &ContainerId) -> impl Iterator<Item = &Remark> {
        self.containers.by_id.get(id).into_iter().flat_map(|known| &known.remarks)
    }

    fn store(&mut self, tagged: Tagged) {
        let id = tagged.container.id.clone();
        if matches!(tagged.container.network_mode, NetworkMode::Container(_)) {
            self.sharing.insert(id);
        } else {
            self.sharing.remove(&id);
        }
        self.containers.insert(tagged);
    }

    fn forget(&mut self, id: &ContainerId) -> Vec<Update> {
        self.sharing.remove(id);
        let Some(known) = self.containers.remove(id) else { return Vec::new() };
        let mut updates = differences(&known.offers, &Offers::new());
        if self.deregister == Deregister::Never {
            updates.iter_mut().for_each(|update| update.desired = Desired::Forgotten);
        }
        updates
    }

    fn redescribe_all(&mut self) -> Vec<Update> {
        let mut all: Vec<ContainerId> = self.containers.by_id.keys().cloned().collect();
        all.sort_unstable();
        all.iter().flat_map(|id| self.redescribe(id)).collect()
    }

    /// The containers that use the network of this one, directly or through others.
    fn sharers_of(&self, id: &ContainerId) -> Vec<ContainerId> {
        let mut found = Vec::new();
        let mut front = vec![id.clone()];
        while let Some(owner) = front.pop() {
            for sharer in &self.sharing {
                if sharer != id && !found.contains(sharer) && self.containers.shares_with(sharer, &owner) {
                    found.push(sharer.clone());
                    front.push(sharer.clone());
                }
            }
        }
        found
    }

    /// Describes a stored container again.
    fn redescribe(&mut self, id: &ContainerId) -> Vec<Update> {
        let Some(known) = self.containers.by_id.get(id) else { return Vec::new() };
        let (mut offers, remarks) = self.describe(known);
        for (_, desired) in offers.iter_mut() {
            self.common.share(desired);
        }
        for remark in remarks.iter().filter(|remark| !known.remarks.contains(remark)) {
            self.events.push(remark.event(id));
        }
        let updates = differences(&known.offers, &offers);
        if let Some(known) = self.containers.by_id.get_mut(id) {
            known.remarks = remarks;
            if !updates.is_empty() {
                known.offers = fitted(offers);
            }
        }
        updates
    }

    /// What a container offers now, and the remarks about it.
    fn describe(&self, known: &Known) -> (Offers, Vec<Remark>) {
        let Tagged { container, tags } = &known.tagged;
        let mode = match self.phase(container.state, known.draining) {
            Phase::Serves(mode) => mode,
            Phase::Ended(Some(why)) => return (self.keep(known, why), Vec::new()),
            Phase::Ended(None) => return (Offers::new(), Vec::new()),
        };
        let description = describe(container, tags, &self.config, &self.host_address, &self.containers);
        // Whose network it shares has ended, and nothing is removed because a container ended.
        let network_ended = description.ignored.iter().any(Ignored::is_of_an_ended_network);
        let offers = if network_ended && self.deregister == Deregister::Never && !known.offers.is_empty() {
            self.keep(known, Kept::Ended)
        } else {
            let services = description.services.into_iter().map(Arc::new);
            services.map(|service| (service.source(), Desired::Present(service, mode))).collect()
        };
        let ignored = description.ignored.into_iter().map(Remark::Ignored);
        (offers, ignored.chain(description.notes.into_iter().map(Remark::Note)).collect())
    }

    /// What remains of a container that no longer serves: what it offered last, which is more exact than what its
    /// settings say now.
    fn keep(&self, known: &Known, why: Kept) -> Offers {
        let mut kept: Vec<Arc<Service>> = known.offers.values().filter_map(Desired::service).cloned().collect();
        let is_placed = |service: &Arc<Service>| !service.address.is_empty();
        if kept.is_empty() || !kept.iter().all(is_placed) {
            let Tagged { container, tags } = &known.tagged;
            let description = describe(container, tags, &self.config, &self.host_address, &self.containers);
            let described = description.services.into_iter().map(Arc::new);
            if kept.is_empty() {
                kept = described.collect();
            } else {
                // It ended before the container whose network it shares was known.
                for place in described.filter(is_placed) {
                    let unplaced =
                        kept.iter_mut().find(|service| !is_placed(service) && service.is_from(&place.source()));
                    if let Some(service) = unplaced {
                        let (address, port) = (Arc::clone(&place.address), place.port);
                        *service = Arc::new(Service { address, port, ..Service::clone(service) });
                    }
                }
            }
        }
        kept.into_iter().map(|service| (service.source(), Desired::Present(service, Mode::Kept(why)))).collect()
    }

    fn phase(&self, state: State, draining: bool) -> Phase {
        match (state, self.deregister) {
            (State::Running { .. }, _) if draining => Phase::Ended(Some(Kept::Draining)),
            (State::Running { paused: false, .. }, _) => Phase::Serves(Mode::Serving),
            (State::Running { paused: true, .. }, _) => Phase::Serves(Mode::Paused),
            (State::Exited { code }, Deregister::OnSuccess) if failed(code) => Phase::Ended(Some(Kept::Failed)),
            (State::Exited { .. }, Deregister::Never) => Phase::Ended(Some(Kept::Ended)),
            (State::Created | State::Exited { .. }, _) => Phase::Ended(None),
        }
    }
}

impl Common {
    /// The same, sharing values that other services have as well.
    fn share(&mut self, desired: &mut Desired) {
        if let Desired::Present(service, _) = desired
            && let Some(service) = Arc::get_mut(service)
        {
            self.addresses.share(&mut service.address);
            self.tags.share(&mut service.tags);
            self.attributes.share(&mut service.attributes);
        }
    }
}

/// Orders updates: first what existing containers no longer offer, then what removed containers offered, then what is
/// offered now. So a service that is gone never blocks another, and an entry never seems to lack a container while its
/// new one follows.
fn ordered(mut updates: Vec<Update>) -> Vec<Update> {
    updates.sort_by_key(|update| match update.desired {
        Desired::Absent(Evidence::Event) => 0,
        Desired::Absent(Evidence::List) | Desired::Forgotten => 1,
        Desired::Present(..) => 2,
    });
    updates
}

/// The same updates, where no event reported an end.
fn by_list(mut updates: Vec<Update>) -> Vec<Update> {
    for update in updates.iter_mut().filter(|update| update.desired == Desired::Absent(Evidence::Event)) {
        update.desired = Desired::Absent(Evidence::List);
    }
    updates
}

/// The difference between two descriptions of a container.
fn differences(old: &Offers, new: &Offers) -> Vec<Update> {
    let absent = Desired::Absent(Evidence::Event);
    let gone = old.keys().filter(|source| !new.contains_key(source)).map(|source| (source, &absent));
    let changed = new.iter().filter(|(source, desired)| old.get(source) != Some(desired));
    let update = |(source, desired): (&Source, &Desired)| Update {
        source: source.clone(),
        was: old.get(source).and_then(Desired::service).cloned(),
        desired: desired.clone(),
    };
    gone.chain(changed).map(update).collect()
}

/// What a container's state means for its services.
enum Phase {
    /// They are there.
    Serves(Mode),
    /// They are no longer served. Their entries stay for this reason, if there is one.
    Ended(Option<Kept>),
}

/// Whether an exit code means failure: neither 0 nor killed by a signal (bit 128).
fn failed(code: i64) -> bool {
    code != 0 && code & 128 == 0
}

impl Remark {
    fn event(&self, id: &ContainerId) -> Event {
        let container = id.clone();
        match self {
            Self::Ignored(reason) => Event::Ignored { container, reason: reason.to_string() },
            Self::Note(note) => Event::Metadata { container, note: note.clone() },
        }
    }
}

/// The containers by their IDs.
#[derive(Debug, Default)]
struct Containers {
    by_id: HashMap<ContainerId, Known>,
}

impl Containers {
    fn insert(&mut self, tagged: Tagged) {
        let id = &tagged.container.id;
        match self.by_id.get_mut(id) {
            Some(known) => known.tagged = tagged,
            None => {
                let known = Known { draining: false, offers: Offers::new(), remarks: Vec::new(), tagged };
                self.by_id.insert(known.tagged.container.id.clone(), known);
            }
        }
    }

    fn remove(&mut self, id: &ContainerId) -> Option<Known> {
        self.by_id.remove(id)
    }

    /// Whether `sharer` uses the network of `owner`, which may be unknown.
    fn shares_with(&self, sharer: &ContainerId, owner: &ContainerId) -> bool {
        let Some(NetworkMode::Container(reference)) =
            self.by_id.get(sharer).map(|known| &known.tagged.container.network_mode)
        else {
            return false;
        };
        let named = self.by_id.get(owner).is_some_and(|known| *known.tagged.container.name == **reference);
        named || (!reference.is_empty() && owner.as_str().starts_with(reference.as_str()))
    }
}

impl Neighbours for Containers {
    fn find(&self, reference: &str) -> Option<Arc<Container>> {
        let id = ContainerId::from(reference);
        // Engines report the whole ID. Other forms that people may write are searched for, not stored for each
        // container.
        let called = || self.by_id.values().find(|known| *known.tagged.container.name == *reference);
        let begins = || self.by_id.iter().find(|(id, _)| id.as_str().starts_with(reference)).map(|(_, known)| known);
        let known = self.by_id.get(&id).or_else(called).or_else(begins)?;
        Some(Arc::clone(&known.tagged.container))
    }
}

#[cfg(test)]
mod tests;
