//! A zone as a provider lists it: the entries in it, and what should stand where. Pure.
//!
//! An entry's claim is the truth; everything else follows from the claims of all owners. The set that instances share is
//! made of them: so whoever writes it next repairs it, and two hosts that write it at once agree as soon as both have read
//! it again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::registry::dns::{Address, Held, PROTOCOLS, Spot};
use crate::registry::{Entry, Marked, RegistryError};

use super::claim::{Claim, Text, mark};
use super::endpoint::{Key, Kind, Set};
use super::names::{CLAIMED, Names};

/// Sets, and what each should be; `None` for no set.
pub(super) type Wanted = BTreeMap<Key, Option<Set>>;

/// A zone.
#[derive(Debug)]
pub(super) struct Zone {
    names: Names,
    /// Whether services have SRV records.
    srv: bool,
    sets: HashMap<Key, Set>,
    claims: BTreeMap<Spot, Claim>,
    /// By the label of a name, the places of its entries.
    by_name: HashMap<String, BTreeSet<Spot>>,
}

impl Zone {
    /// The zone that these sets make.
    pub(super) fn new(names: &Names, srv: bool, mut sets: HashMap<Key, Set>) -> Self {
        let below = format!(".{}", names.zone);
        sets.retain(|(name, _), _| name.ends_with(&below));
        let mut zone =
            Self { names: names.clone(), srv, sets: HashMap::new(), claims: BTreeMap::new(), by_name: HashMap::new() };
        let mut found: Vec<_> = sets.iter().filter_map(|(key, set)| claim_in(names, key, set)).collect();
        // Where several stand in one place, the first counts; the others make the entry one that is to be written.
        found.sort_by_cached_key(|(spot, claim)| (spot.clone(), claim.kind(), claim.text()));
        for (spot, claim) in found {
            if !zone.claims.contains_key(&spot) {
                zone.set_claim(&spot, Some(claim));
            }
        }
        zone.sets = sets;
        zone
    }

    /// A digest of all that stands in the zone.
    pub(super) fn digest(&self) -> u64 {
        // In any order.
        let one = |(key, set): (&Key, &Set)| {
            let mut hasher = DefaultHasher::new();
            (key, &set.targets).hash(&mut hasher);
            hasher.finish()
        };
        self.sets.iter().map(one).fold(0, u64::wrapping_add)
    }

    /// The claim at a place.
    pub(super) fn claim(&self, spot: &Spot) -> Option<&Claim> {
        self.claims.get(spot)
    }

    /// All claims.
    pub(super) fn claims(&self) -> impl Iterator<Item = (&Spot, &Claim)> {
        self.claims.iter()
    }

    /// A place will hold this claim; returns what it held.
    pub(super) fn set_claim(&mut self, spot: &Spot, claim: Option<Claim>) -> Option<Claim> {
        let places = self.by_name.entry(spot.name.clone()).or_default();
        match claim {
            Some(claim) => {
                places.insert(spot.clone());
                self.claims.insert(spot.clone(), claim)
            }
            None => {
                places.remove(spot);
                self.claims.remove(spot)
            }
        }
    }

    /// A set, if it is there.
    pub(super) fn set(&self, key: &Key) -> Option<&Set> {
        self.sets.get(key)
    }

    /// A set was written.
    pub(super) fn put(&mut self, key: &Key, set: Option<&Set>) {
        match set {
            Some(set) => drop(self.sets.insert(key.clone(), set.clone())),
            None => drop(self.sets.remove(key)),
        }
    }

    /// What should stand at an entry's own name, by its claim.
    pub(super) fn own(&self, spot: &Spot, wanted: &mut Wanted) {
        let name = self.names.own(spot);
        let claim = self.claims.get(spot);
        let is = |kind| claim.filter(|claim| claim.kind() == kind);
        for kind in CLAIMED {
            let txt = Names::txt(kind, &name);
            let text = is(kind).map(|claim| (claim.text(), claim.held.ttl));
            let set = is(kind).map(|claim| Set::new([spelt(&claim.held.address)].into(), claim.held.ttl));
            // A set without a claim is another program's.
            if kind != Kind::Srv && (set.is_some() || self.is_claimed(&txt)) {
                wanted.insert((name.clone(), kind), set);
            }
            wanted.insert(txt.clone(), self.beside(&txt, text));
        }
    }

    /// What should stand at a name that entries share, by the claims of all of them.
    pub(super) fn shared(&self, name: &str, wanted: &mut Wanted) {
        let mut sets = BTreeMap::<Key, (BTreeSet<String>, u32)>::new();
        for spot in self.by_name.get(name).into_iter().flatten() {
            let Some(claim) = self.claims.get(spot) else { continue };
            let Held { protocol, address, port, priority, weight, ttl } = &claim.held;
            let mut add = |key, target| {
                let (targets, least) = sets.entry(key).or_insert_with(|| (BTreeSet::new(), *ttl));
                targets.insert(target);
                *least = (*least).min(*ttl);
            };
            let target = match Address::read(address) {
                Some(Address::Host(host)) => host,
                _ => {
                    add((self.names.shared(name), claim.kind()), spelt(address));
                    self.names.own(spot)
                }
            };
            add((self.names.srv(name, *protocol), Kind::Srv), format!("{priority} {weight} {port} {target}"));
        }
        for key in self.shared_keys(name) {
            let txt = Names::txt(key.1, &key.0);
            let set = sets.remove(&key);
            let text = set.as_ref().map(|(_, ttl)| (mark(name), *ttl));
            // A set without a mark is another program's.
            if set.is_none() && !self.is_marked(&key) {
                continue;
            }
            wanted.insert(txt.clone(), self.beside(&txt, text));
            wanted.insert(key, set.map(|(targets, ttl)| Set::new(targets, ttl)));
        }
    }

    /// The sets that a name can have.
    fn shared_keys(&self, name: &str) -> Vec<Key> {
        let shared = self.names.shared(name);
        let mut keys = vec![(shared.clone(), Kind::A), (shared, Kind::Aaaa)];
        if self.srv {
            keys.extend(PROTOCOLS.map(|protocol| (self.names.srv(name, protocol), Kind::Srv)));
        }
        keys
    }

    /// A set of TXT records with this text of ours, beside the texts there that are not ours.
    fn beside(&self, key: &Key, text: Option<(String, u32)>) -> Option<Set> {
        let found = self.sets.get(key);
        let others = found.into_iter().flat_map(|set| &set.targets).filter(|text| !is_ours(text)).cloned();
        let mut targets: BTreeSet<_> = others.collect();
        let ttl = text.as_ref().map_or(0, |(_, ttl)| *ttl);
        targets.extend(text.map(|(text, _)| text));
        (!targets.is_empty()).then(|| Set::new(targets, ttl))
    }

    /// Whether a claim stands here.
    fn is_claimed(&self, txt: &Key) -> bool {
        let texts = self.sets.get(txt).into_iter().flat_map(|set| &set.targets);
        texts.map(|text| Text::read(text)).any(|text| matches!(text, Text::Claim(_)))
    }

    /// Whether a set that entries share is made of them.
    fn is_marked(&self, (name, kind): &Key) -> bool {
        let txt = self.sets.get(&Names::txt(*kind, name));
        txt.is_some_and(|txt| txt.targets.iter().any(|text| Text::read(text) == Text::Mark))
    }

    /// Whether a claim may be written to a place. `tried` are sets that we began to write: the provider may have stopped
    /// halfway.
    ///
    /// # Errors
    /// When something of others is in the way.
    pub(super) fn permits(&self, spot: &Spot, claim: &Claim, tried: &HashSet<Key>) -> Result<(), RegistryError> {
        let (own, shared) = (self.names.own(spot), self.names.shared(&spot.name));
        let found = self.claims.get(spot);
        if let Some(found) = found.filter(|found| found.owner != claim.owner) {
            let text = format!("{own} belongs to the owner {:?}, by its TXT record", found.owner);
            return Err(RegistryError::Taken(text));
        }
        let is_theirs = |key: &Key| self.sets.contains_key(key) && !tried.contains(key);
        if found.is_none() {
            let address = spelt(&claim.held.address);
            let is_same = |key: &Key| self.sets.get(key).is_some_and(|set| set.targets.iter().eq([&address]));
            for kind in [Kind::A, Kind::Aaaa, Kind::Cname] {
                let key = (own.clone(), kind);
                if is_theirs(&key) && !(is_same(&key) && kind == claim.kind()) {
                    return Err(in_the_way(&own, &key.0));
                }
            }
        }
        let mut wanted = vec![];
        if claim.kind() != Kind::Srv {
            wanted.push((shared.clone(), claim.kind()));
        }
        if self.srv {
            wanted.push((self.names.srv(&spot.name, claim.held.protocol), Kind::Srv));
        }
        let cname = (shared, Kind::Cname);
        if is_theirs(&cname) {
            return Err(in_the_way(&own, &cname.0));
        }
        for key in &wanted {
            self.no_others(&Names::txt(key.1, &key.0))?;
            if is_theirs(key) && !self.is_marked(key) {
                return Err(in_the_way(&own, &key.0));
            }
        }
        wanted.extend([Kind::A, Kind::Aaaa].map(|kind| (own.clone(), kind)));
        if let Some(routed) = wanted.iter().find(|key| self.sets.get(key).is_some_and(|set| set.is_routed)) {
            return Err(in_the_way(&own, &routed.0));
        }
        self.no_others(&Names::txt(claim.kind(), &own))
    }

    /// No external-dns has its own TXT record here.
    fn no_others(&self, key: &Key) -> Result<(), RegistryError> {
        let texts = self.sets.get(key).into_iter().flat_map(|set| &set.targets);
        let owner = texts.map(|text| Text::read(text)).find_map(|text| match text {
            Text::Others(owner) => Some(owner),
            _ => None,
        });
        owner.map_or(Ok(()), |owner| {
            let name = &key.0;
            let text = format!(
                "{name} says that the name belongs to the owner {owner:?} of external-dns; give the service another name \
                 (SERVICE_NAME)"
            );
            Err(RegistryError::service(text))
        })
    }

    /// An entry for the reconciler. If something of it is not as it should be, its fingerprint is no service's.
    pub(super) fn entry(&self, spot: &Spot, claim: &Claim, (is_whole, contents): (bool, bool)) -> Entry {
        let key: Arc<str> = self.names.own(spot).into();
        let fingerprint = claim.fingerprint();
        Entry {
            service_id: claim.id.as_deref().map_or_else(|| Arc::clone(&key), Into::into),
            key,
            owner: Some(claim.owner.as_str().into()),
            fingerprint: if is_whole { fingerprint } else { !fingerprint },
            marked: Marked::No,
            critical: false,
            content: contents.then(|| Box::new(claim.as_content(&spot.name))),
        }
    }

    /// Whether sets are as they should be; their TTLs are the provider's.
    pub(super) fn is_as(&self, wanted: &Wanted) -> bool {
        wanted.iter().all(|(key, set)| self.is_so(key, set.as_ref()))
    }

    /// Whether a set is as it should be.
    pub(super) fn is_so(&self, key: &Key, set: Option<&Set>) -> bool {
        self.sets.get(key).map(|set| &set.targets) == set.map(|set| &set.targets)
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }
}

/// The claim in a set, and its place.
fn claim_in(names: &Names, (name, kind): &Key, set: &Set) -> Option<(Spot, Claim)> {
    if *kind != Kind::Txt {
        return None;
    }
    let (kind, spot) = names.claimed(name)?;
    let claims = set.targets.iter().filter_map(|text| match Text::read(text) {
        Text::Claim(claim) if claim.kind() == kind => Some(claim),
        _ => None,
    });
    Some((spot, claims.min_by_key(Claim::text)?))
}

/// Whether a text is one that registrator writes.
fn is_ours(text: &str) -> bool {
    matches!(Text::read(text), Text::Claim(_) | Text::Mark)
}

/// An address in the one spelling of targets.
fn spelt(address: &str) -> String {
    match Address::read(address) {
        Some(Address::Ip(ip)) => ip.to_string(),
        Some(Address::Host(host)) => host,
        None => address.to_owned(),
    }
}

fn in_the_way(own: &str, name: &str) -> RegistryError {
    RegistryError::service(format!(
        "{name} has a record without a TXT record of registrator, so it is another program's and stays as it is; give the \
         service another name (SERVICE_NAME), or remove the record ({own} needs it)"
    ))
}

#[cfg(test)]
mod tests;
