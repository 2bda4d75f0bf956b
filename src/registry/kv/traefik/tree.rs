//! What is known of Traefik's keys and of the offers that they come of, and the next steps for one offer. Pure.
//!
//! Every offer of a living instance counts. Where several define one object, the oldest does, so that all hosts want the
//! same keys and none fights another. Whoever puts or removes an offer makes the keys right for all that are left.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use registrator_traefik::wins;

use crate::registry::kv::key::{Instances, digest};
use crate::registry::kv::store::{Condition, Operation, Step, Stored};

use super::offer::{Keys, Offer, is_server};

/// An offer as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) version: u64,
    pub(super) offer: Offer,
}

/// A key below the root as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    version: u64,
    ttl: Option<Duration>,
    digest: u64,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// By key.
    pub(super) offers: BTreeMap<String, Held>,
    /// What is on its way: an offer in place of the stored one, or none.
    pending: BTreeMap<String, Option<Offer>>,
    /// The keys below the root.
    keys: HashMap<String, Found>,
    /// The keys of all offers that are, or were, about an object.
    holders: HashMap<String, BTreeSet<String>>,
}

/// Who a winner is, for a message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Conflict {
    /// The object that is defined differently.
    pub(super) object: String,
    /// The owner and the service whose definition counts.
    pub(super) owner: String,
    pub(super) id: String,
}

/// The steps for one offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    /// More are needed afterwards.
    pub(super) more: bool,
}

/// What is to be done for one offer, in any order.
#[derive(Default)]
struct Changes {
    puts: Vec<(String, Condition, Operation)>,
    deletes: Vec<(String, Condition)>,
    /// Offers that must still be there, with their versions.
    checks: BTreeMap<String, u64>,
}

/// The most steps of one transaction: a server takes 64 operations at once, and a step can be three.
const MOST: usize = 20;

impl Tree {
    /// Everything as it was just read. `keys` are below the root, with their key cut.
    pub(super) fn of(offers: Vec<(String, Stored)>, keys: Vec<(String, Stored)>) -> Self {
        let mut tree = Self::default();
        for (key, stored) in offers {
            if let Some(offer) = Offer::read(&stored.value) {
                tree.hold(&key, &offer);
                tree.offers.insert(key, Held { version: stored.version, offer });
            }
        }
        for (key, Stored { value, version, ttl, .. }) in keys {
            tree.keys.insert(key, Found { version, ttl, digest: digest(&value) });
        }
        tree
    }

    fn hold(&mut self, key: &str, offer: &Offer) {
        for object in offer.objects.keys() {
            self.holders.entry(object.clone()).or_default().insert(key.to_owned());
        }
    }

    /// The version of a key below the root, or of an offer.
    pub(super) fn version(&self, key: &str) -> Option<u64> {
        self.keys.get(key).map(|found| found.version)
    }

    /// Whether a stored offer of this owner asks for something of this object.
    pub(super) fn is_held_by(&self, object: &str, owner: &str) -> bool {
        let holders = self.holders.get(object).into_iter().flatten();
        holders.filter_map(|key| self.offers.get(key)).any(|held| *held.offer.owner == *owner)
    }

    /// Notes what is on its way, so that others in the same batch count with it.
    pub(super) fn expect(&mut self, key: &str, offer: Option<&Offer>) {
        if let Some(offer) = offer {
            self.hold(key, offer);
        }
        self.pending.insert(key.to_owned(), offer.cloned());
    }

    /// Nothing is on its way any more.
    pub(super) fn settle(&mut self) {
        self.pending.clear();
    }

    /// Notes a step that was made. `below` is its key below the root, or `None` if it is an offer's.
    pub(super) fn made(&mut self, step: &Step, below: Option<&str>, version: u64) {
        match (below, &step.operation) {
            (_, Operation::Check) => {}
            (Some(key), Operation::Delete) => drop(self.keys.remove(key)),
            (Some(key), Operation::Put { value, ttl }) => {
                let found = Found { version, ttl: *ttl, digest: digest(value.as_bytes()) };
                self.keys.insert(key.to_owned(), found);
            }
            (None, Operation::Delete) => drop(self.offers.remove(&step.key)),
            (None, Operation::Put { value, .. }) => {
                if let Some(offer) = Offer::read(value.as_bytes()) {
                    self.hold(&step.key, &offer);
                    self.offers.insert(step.key.clone(), Held { version, offer });
                }
            }
        }
    }

    /// An offer as it will be, if it counts: that of a dead instance of another owner does not.
    fn counting(&self, key: &str, instances: &Instances) -> Option<&Offer> {
        let offer = match self.pending.get(key) {
            Some(pending) => pending.as_ref()?,
            None => &self.offers.get(key)?.offer,
        };
        is_living(offer, instances).then_some(offer)
    }

    /// The offers that count for an object, but for this one.
    fn others<'a>(
        &'a self,
        object: &'a str,
        except: &'a str,
        instances: &'a Instances,
    ) -> impl Iterator<Item = (&'a str, &'a Offer)> {
        let holders = self.holders.get(object).into_iter().flatten();
        holders.map(String::as_str).filter(move |key| *key != except).filter_map(move |key| {
            let offer = self.counting(key, instances)?;
            offer.objects.contains_key(object).then_some((key, offer))
        })
    }

    /// The objects that an offer is about, as it is stored and as it is to be.
    pub(super) fn objects<'a>(&'a self, key: &str, new: Option<&'a Offer>) -> impl Iterator<Item = &'a String> {
        let old = self.offers.get(key).map(|held| &held.offer);
        old.into_iter().chain(new).flat_map(|offer| offer.objects.keys())
    }

    /// The steps that make an offer stored, or gone, and the keys of its objects right.
    pub(super) fn steps(&self, root: &str, key: &str, new: Option<&Offer>, instances: &Instances) -> Steps {
        let old = self.offers.get(key);
        let mut changes = Changes::default();
        let of_old = old.iter().flat_map(|held| held.offer.objects.keys());
        let objects: BTreeSet<&String> = of_old.chain(new.into_iter().flat_map(|offer| offer.objects.keys())).collect();
        for object in objects {
            let mine = new.filter(|offer| offer.objects.contains_key(object));
            let others: Vec<_> = self.others(object, key, instances).collect();
            let all = others.iter().map(|(_, offer)| *offer).chain(mine);
            let winner = all.reduce(|one, other| if wins(&other.rank(), &one.rank()) { other } else { one });
            let wanted = winner.and_then(|offer| offer.objects.get(object));
            let ttl = winner.filter(|_| is_server(object)).map(|offer| offer.ttl);
            let before = (changes.puts.len(), changes.deletes.len());
            self.make_right(object, wanted, ttl, &mut changes);
            let Changes { puts, deletes, checks } = &mut changes;
            let is_written = puts.len() > before.0;
            let is_noticed = deletes.len() > before.1
                || puts[before.0..].iter().any(|(_, condition, _)| matches!(condition, Condition::At(_)));
            let is_of_us = |offer: &Offer| offer.owner == instances.owner;
            let foreign = winner.filter(|winner| !is_of_us(winner));
            let has_more_of_us = others.iter().any(|(_, offer)| is_of_us(offer));
            let keys_of = |offer: Option<&Offer>| offer.and_then(|offer| offer.objects.get(object).cloned());
            let is_changed = keys_of(old.map(|held| &held.offer)) != keys_of(new);
            // What is written, or stays, for the sake of another host's offer is right only while that is there. Of those
            // who change something at the same time, the last one finds that the offer it relies on is another.
            if let Some(foreign) = foreign
                && (is_written || is_changed)
            {
                let relied = others.iter().find(|(_, offer)| *offer == foreign);
                let held = relied.and_then(|(key, _)| Some((*key, self.offers.get(*key)?)));
                checks.extend(held.map(|(key, held)| (key.to_owned(), held.version)));
            }
            // Another host that is about to remove the object notices that it is no longer as it was. If another service
            // of ours asks for it already, no host can come to remove it.
            let held_before = old.is_some_and(|held| held.offer.objects.contains_key(object));
            if mine.is_some() && !held_before && !is_noticed && !others.is_empty() && !has_more_of_us {
                let standing = wanted.into_iter().flatten().find_map(|pair| Some((pair, self.keys.get(pair.0)?)));
                if let Some(((key, value), found)) = standing {
                    let put = Operation::Put { value: value.clone(), ttl };
                    puts.push((key.clone(), Condition::At(found.version), put));
                }
            }
        }
        self.ordered(root, (key, old, new), changes, instances)
    }

    /// The steps for one object: these keys, and no others that an offer ever asked for.
    fn make_right(
        &self,
        object: &str,
        wanted: Option<&Keys>,
        ttl: Option<Duration>,
        Changes { puts, deletes, .. }: &mut Changes,
    ) {
        for (key, value) in wanted.into_iter().flatten() {
            let found = self.keys.get(key);
            let is_right =
                |found: &Found| found.digest == digest(value.as_bytes()) && (ttl.is_none() || found.ttl == ttl);
            if !found.is_some_and(is_right) {
                let put = Operation::Put { value: value.clone(), ttl };
                puts.push((key.clone(), condition(found.map(|found| found.version)), put));
            }
        }
        for key in self.asked_for(object) {
            if let Some(found) = self.keys.get(key).filter(|_| !wanted.is_some_and(|wanted| wanted.contains_key(key))) {
                deletes.push((key.to_owned(), Condition::At(found.version)));
            }
        }
    }

    /// The keys of an object that any offer asks for.
    fn asked_for(&self, object: &str) -> BTreeSet<&str> {
        let holders = self.holders.get(object).into_iter().flatten();
        let offers = holders.filter_map(|key| Some(&self.offers.get(key)?.offer));
        let keys = offers.filter_map(|offer| offer.objects.get(object)).flat_map(Keys::keys);
        keys.map(String::as_str).collect()
    }

    /// What others refer to is written first and removed last; the offer is written before its keys, and removed after
    /// them, so that what a crash leaves behind is known.
    fn ordered(
        &self,
        root: &str,
        (key, old, new): (&str, Option<&Held>, Option<&Offer>),
        Changes { mut puts, mut deletes, checks }: Changes,
        instances: &Instances,
    ) -> Steps {
        puts.sort_by_key(|(key, ..)| (place(key), key.clone()));
        deletes.sort_by_key(|(key, _)| (std::cmp::Reverse(place(key)), key.clone()));
        let below = |key: &str| format!("{root}/{key}");
        let offer_step =
            |operation| Step { key: key.to_owned(), condition: condition(old.map(|held| held.version)), operation };
        let mut steps = Vec::new();
        if let Some(new) = new {
            // Any of our leases will do.
            let is_right = |held: &Held| {
                let lease = &held.offer.lease;
                held.offer == Offer { lease: lease.clone(), ..new.clone() } && instances.ours.contains(lease)
            };
            let right = old.is_some_and(is_right);
            let put = || Operation::Put { value: new.spelt(), ttl: None };
            steps.push(offer_step(if right { Operation::Check } else { put() }));
        }
        steps.extend(puts.into_iter().map(|(key, condition, operation)| Step {
            key: below(&key),
            condition,
            operation,
        }));
        steps.extend(deletes.into_iter().map(|(key, condition)| Step {
            key: below(&key),
            condition,
            operation: Operation::Delete,
        }));
        let checks = checks.into_iter().map(|(key, version)| Step {
            key,
            condition: Condition::At(version),
            operation: Operation::Check,
        });
        if new.is_none() && old.is_some() {
            // The offer goes with the last of its keys.
            if !steps.is_empty() && steps.len() + 1 + checks.len() > MOST {
                steps.truncate(MOST);
                steps.extend(checks);
                return Steps { steps, more: true };
            }
            steps.extend(checks);
            steps.push(offer_step(Operation::Delete));
            return Steps { steps, more: false };
        }
        if steps.iter().all(|step| step.operation == Operation::Check) {
            return Steps::default();
        }
        let more = steps.len() > MOST;
        steps.truncate(MOST);
        steps.extend(checks);
        Steps { steps, more }
    }

    /// Whether the keys of an offer's objects are as all offers that count want them.
    pub(super) fn is_right(&self, key: &str, offer: &Offer, instances: &Instances) -> bool {
        offer.objects.keys().all(|object| {
            let others = self.others(object, key, instances).map(|(_, offer)| offer);
            let winner = others.fold(offer, |one, other| if wins(&other.rank(), &one.rank()) { other } else { one });
            let mut changes = Changes::default();
            let ttl = is_server(object).then_some(winner.ttl);
            self.make_right(object, winner.objects.get(object), ttl, &mut changes);
            changes.puts.is_empty() && changes.deletes.is_empty()
        })
    }

    /// The objects of an offer that another defines differently, where the other counts.
    pub(super) fn conflicts(&self, key: &str, offer: &Offer, instances: &Instances) -> Vec<Conflict> {
        let conflict = |(object, keys): (&String, &Keys)| {
            let others = self.others(object, key, instances);
            let (_, winner) =
                others.reduce(|one, other| if wins(&other.1.rank(), &one.1.rank()) { other } else { one })?;
            let differs = winner.objects.get(object) != Some(keys) && wins(&winner.rank(), &offer.rank());
            differs.then(|| Conflict {
                object: object.clone(),
                owner: winner.owner.to_string(),
                id: winner.id.to_string(),
            })
        };
        offer.objects.iter().filter_map(conflict).collect()
    }
}

/// Whether an offer counts: its instance lives, or it is of our own owner.
pub(super) fn is_living(offer: &Offer, instances: &Instances) -> bool {
    offer.owner == instances.owner || instances.alive.contains_key(&*offer.lease)
}

fn condition(version: Option<u64>) -> Condition {
    version.map_or(Condition::Absent, Condition::At)
}

/// Where a key stands in the order of writing.
fn place(key: &str) -> u8 {
    match key.split('/').nth(1) {
        Some("services") => 0,
        Some("middlewares") => 1,
        _ => 2,
    }
}
