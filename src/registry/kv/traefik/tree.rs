//! What is known of Traefik's keys and of the offers that they come of, and the next steps for one offer. Pure.
//!
//! Every offer of a living instance counts. Where several define one object, the oldest does, so that all hosts want the
//! same keys and none fights another. Whoever puts or removes an offer makes the keys right for all that are left.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use registrator_traefik::wins;

use crate::registry::kv::key::{Instances, digest};
use crate::registry::kv::store::{Condition, Operation, Step, Stored};

use super::objects::Objects;
use super::offer::{Keys, Offer, is_server};

/// An offer as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) version: u64,
    pub(super) offer: Arc<Offer>,
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
    /// As they are stored, by key.
    pub(super) offers: BTreeMap<String, Held>,
    /// The keys below the root.
    keys: HashMap<String, Found>,
    /// The offers by object; those that are on their way in place of the stored ones.
    objects: Objects,
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
    /// The offer that is stored after them.
    pub(super) leaves: Option<Arc<Offer>>,
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
            if let Some(offer) = Offer::read(&stored.value).map(Arc::new) {
                tree.objects.set(&key, Some(&offer));
                tree.offers.insert(key, Held { version: stored.version, offer });
            }
        }
        for (key, Stored { value, version, ttl, .. }) in keys {
            tree.keys.insert(key, Found { version, ttl, digest: digest(&value) });
        }
        tree
    }

    /// The version of a key below the root, or of an offer.
    pub(super) fn version(&self, key: &str) -> Option<u64> {
        self.keys.get(key).map(|found| found.version)
    }

    /// Whether an offer of this owner asks for something of this object.
    pub(super) fn is_held_by(&self, object: &str, owner: &str) -> bool {
        self.objects.of_owner(object, owner, "") > 0
    }

    /// Notes what these steps will leave of an offer, so that others in the same batch count with it. Where they fail, the
    /// tree is read again.
    pub(super) fn expect(&mut self, key: &str, steps: &Steps) {
        self.objects.set(key, steps.leaves.as_ref());
    }

    /// Notes steps that were made, with the version of each key.
    pub(super) fn made(&mut self, root: &str, Steps { steps, leaves, .. }: &Steps, versions: &[u64]) {
        for (step, version) in steps.iter().zip(versions.iter().copied()) {
            let below = step.key.strip_prefix(root).and_then(|key| key.strip_prefix('/'));
            match (below, &step.operation) {
                (_, Operation::Check) => {}
                (Some(key), Operation::Delete) => drop(self.keys.remove(key)),
                (Some(key), Operation::Put { value, ttl }) => {
                    let found = Found { version, ttl: *ttl, digest: digest(value.as_bytes()) };
                    self.keys.insert(key.to_owned(), found);
                }
                (None, Operation::Delete) => drop(self.offers.remove(&step.key)),
                (None, Operation::Put { .. }) => {
                    let held = leaves.clone().map(|offer| (step.key.clone(), Held { version, offer }));
                    self.offers.extend(held);
                }
            }
        }
    }

    /// The objects that an offer is about, as it is stored and as it is to be.
    pub(super) fn objects<'a>(&'a self, key: &str, new: Option<&'a Arc<Offer>>) -> impl Iterator<Item = &'a String> {
        let old = self.offers.get(key).map(|held| &held.offer);
        old.into_iter().chain(new).flat_map(|offer| offer.objects.keys())
    }

    /// The steps that make an offer stored, or gone, and the keys of its objects right.
    pub(super) fn steps(&self, root: &str, key: &str, new: Option<&Arc<Offer>>, instances: &Instances) -> Steps {
        let old = self.offers.get(key);
        let mut changes = Changes::default();
        let objects: BTreeSet<&String> = self.objects(key, new).collect();
        for object in objects {
            let mine = new.filter(|offer| offer.objects.contains_key(object));
            let other = self.objects.first(object, key, instances);
            let winner = match (other, mine) {
                (Some((_, other)), Some(mine)) => Some(if wins(&mine.rank(), &other.rank()) { mine } else { other }),
                (other, mine) => other.map(|(_, other)| other).or(mine),
            };
            let wanted = winner.and_then(|offer| offer.objects.get(object));
            let ttl = winner.filter(|_| is_server(object)).map(|offer| offer.ttl);
            let before = (changes.puts.len(), changes.deletes.len());
            self.make_right(object, wanted, ttl, &mut changes);
            let Changes { puts, deletes, checks } = &mut changes;
            let is_written = puts.len() > before.0;
            let is_noticed = deletes.len() > before.1
                || puts[before.0..].iter().any(|(_, condition, _)| matches!(condition, Condition::At(_)));
            let has_more_of_us = self.objects.of_owner(object, &instances.owner, key) > 0;
            let is_changed =
                old.and_then(|held| held.offer.objects.get(object)) != mine.and_then(|offer| offer.objects.get(object));
            // What is written, or stays, for the sake of another host's offer is right only while that is there. Of those
            // who change something at the same time, the last one finds that the offer it relies on is another.
            if let Some((relied, offer)) = other
                && offer.owner != instances.owner
                && winner.is_some_and(|winner| Arc::ptr_eq(winner, offer))
                && (is_written || is_changed)
            {
                checks.extend(self.offers.get(relied).map(|held| (relied.to_owned(), held.version)));
            }
            // Another host that is about to remove the object notices that it is no longer as it was. If another service
            // of ours asks for it already, no host can come to remove it.
            let held_before = old.is_some_and(|held| held.offer.objects.contains_key(object));
            if mine.is_some() && !held_before && !is_noticed && other.is_some() && !has_more_of_us {
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
        self.objects.definitions(object).flat_map(Keys::keys).map(String::as_str).collect()
    }

    /// What others refer to is written first and removed last; the offer is written before its keys, and removed after
    /// them, so that what a crash leaves behind is known.
    fn ordered(
        &self,
        root: &str,
        (key, old, new): (&str, Option<&Held>, Option<&Arc<Offer>>),
        Changes { mut puts, mut deletes, checks }: Changes,
        instances: &Instances,
    ) -> Steps {
        puts.sort_by_key(|(key, ..)| (place(key), key.clone()));
        deletes.sort_by_key(|(key, _)| (std::cmp::Reverse(place(key)), key.clone()));
        let below = |key: &str| format!("{root}/{key}");
        let offer_step =
            |operation| Step { key: key.to_owned(), condition: condition(old.map(|held| held.version)), operation };
        let puts = puts.into_iter().map(|(key, condition, operation)| Step { key: below(&key), condition, operation });
        let deletes = deletes.into_iter().map(|(key, condition)| Step {
            key: below(&key),
            condition,
            operation: Operation::Delete,
        });
        let mut steps: Vec<Step> = puts.chain(deletes).collect();
        let checks = checks.into_iter().map(|(key, version)| Step {
            key,
            condition: Condition::At(version),
            operation: Operation::Check,
        });
        let more = steps.len() > MOST;
        steps.truncate(MOST);
        let Some(new) = new else {
            let Some(old) = old else { return Steps::default() };
            // The offer goes with the last of its keys.
            let leaves = more.then(|| Arc::clone(&old.offer));
            steps.extend(checks);
            steps.push(offer_step(if more { Operation::Check } else { Operation::Delete }));
            return Steps { steps, leaves, more };
        };
        // While old keys are still to be removed, the stored offer asks for them as well.
        let leaves = match old {
            Some(old) if more => Arc::new(new.joined_with(&old.offer)),
            _ => Arc::clone(new),
        };
        // Any of our leases will do.
        let is_right = |held: &Held| held.offer.says_the_same(&leaves) && instances.ours.contains(&held.offer.lease);
        let right = old.is_some_and(is_right);
        if steps.is_empty() && right {
            return Steps::default();
        }
        let put = || Operation::Put { value: leaves.spelt(), ttl: None };
        steps.insert(0, offer_step(if right { Operation::Check } else { put() }));
        steps.extend(checks);
        Steps { steps, leaves: Some(leaves), more }
    }

    /// Whether the keys of an offer's objects are as all offers that count want them.
    pub(super) fn is_right(&self, offer: &Arc<Offer>, instances: &Instances) -> bool {
        offer.objects.keys().all(|object| {
            let winner = self.objects.first(object, "", instances).map_or(offer, |(_, winner)| winner);
            let mut changes = Changes::default();
            let ttl = is_server(object).then_some(winner.ttl);
            self.make_right(object, winner.objects.get(object), ttl, &mut changes);
            changes.puts.is_empty() && changes.deletes.is_empty()
        })
    }

    /// The objects of an offer that another defines differently, where the other counts.
    pub(super) fn conflicts(&self, key: &str, offer: &Offer, instances: &Instances) -> Vec<Conflict> {
        let conflict = |(object, keys): (&String, &Keys)| {
            // Where all define it alike, nobody loses.
            self.objects.definitions(object).nth(1)?;
            let (_, winner) = self.objects.first(object, key, instances)?;
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
