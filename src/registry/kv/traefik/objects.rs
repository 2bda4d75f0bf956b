//! Who asks for an object of Traefik's, and for which keys of it: found without looking at every offer. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::registry::kv::key::Instances;

use super::Offer;
use super::offer::{Keys, is_living};

/// Where an offer stands among those for one object, the one that counts first; and its key. The order is that of
/// [`registrator_traefik::Rank`].
type Standing = (i64, Arc<str>, Arc<str>, Arc<str>);

fn standing(key: &Arc<str>, offer: &Offer) -> Standing {
    (offer.since, Arc::clone(&offer.owner), Arc::clone(&offer.id), Arc::clone(key))
}

/// The offers for one object.
#[derive(Debug, Default)]
struct Holders {
    offers: BTreeMap<Standing, Arc<Offer>>,
    /// How many are of an owner.
    owners: BTreeMap<Arc<str>, usize>,
    /// How many define it so.
    definitions: HashMap<Keys, usize>,
}

/// The offers by the objects that they are about.
#[derive(Debug, Default)]
pub(super) struct Objects {
    holders: HashMap<String, Holders>,
    /// By key.
    offers: HashMap<Arc<str>, Arc<Offer>>,
}

impl Objects {
    /// Notes the offer at a key, or that there is none, in place of what was known of it.
    pub(super) fn set(&mut self, key: &str, offer: Option<&Arc<Offer>>) {
        if let Some((key, old)) = self.offers.remove_entry(key) {
            self.remove(&key, &old);
        }
        let Some(offer) = offer else { return };
        let key: Arc<str> = key.into();
        for (object, keys) in &offer.objects {
            if !self.holders.contains_key(object) {
                self.holders.insert(object.clone(), Holders::default());
            }
            let Some(holders) = self.holders.get_mut(object) else { continue };
            holders.offers.insert(standing(&key, offer), Arc::clone(offer));
            *holders.owners.entry(Arc::clone(&offer.owner)).or_default() += 1;
            match holders.definitions.get_mut(keys) {
                Some(count) => *count += 1,
                None => drop(holders.definitions.insert(keys.clone(), 1)),
            }
        }
        self.offers.insert(key, Arc::clone(offer));
    }

    fn remove(&mut self, key: &Arc<str>, offer: &Offer) {
        for (object, keys) in &offer.objects {
            let Some(holders) = self.holders.get_mut(object) else { continue };
            holders.offers.remove(&standing(key, offer));
            decrement(&mut holders.owners, &offer.owner);
            if let Some(count) = holders.definitions.get_mut(keys) {
                *count -= 1;
                if *count == 0 {
                    holders.definitions.remove(keys);
                }
            }
            if holders.offers.is_empty() {
                self.holders.remove(object);
            }
        }
    }

    /// The offer whose definition of an object counts, and its key; that at `except` is not asked.
    pub(super) fn first(&self, object: &str, except: &str, instances: &Instances) -> Option<(&str, &Arc<Offer>)> {
        let offers = &self.holders.get(object)?.offers;
        let mut counting = offers.iter().filter(|((.., key), offer)| **key != *except && is_living(offer, instances));
        counting.next().map(|((.., key), offer)| (&**key, offer))
    }

    /// How many offers of this owner are about an object; that at `except` is not counted.
    pub(super) fn of_owner(&self, object: &str, owner: &str, except: &str) -> usize {
        let all = self.holders.get(object).and_then(|holders| holders.owners.get(owner)).copied().unwrap_or_default();
        let excepted = self.offers.get(except);
        all - usize::from(excepted.is_some_and(|offer| *offer.owner == *owner && offer.objects.contains_key(object)))
    }

    /// The different definitions of an object.
    pub(super) fn definitions(&self, object: &str) -> impl Iterator<Item = &Keys> {
        self.holders.get(object).into_iter().flat_map(|holders| holders.definitions.keys())
    }
}

fn decrement(counts: &mut BTreeMap<Arc<str>, usize>, key: &Arc<str>) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use registrator_traefik::wins;

    use super::*;

    /// An offer for some of three objects, each defined in one of two ways.
    fn offer() -> impl Strategy<Value = Arc<Offer>> {
        let objects = prop::collection::btree_map("[abc]", prop::collection::btree_map("[kl]", "[12]", 1..2), 0..3);
        (0..3_i64, "[xyz]", "[ij]", objects).prop_map(|(since, owner, id, objects)| {
            let (owner, id) = (owner.into(), id.into());
            Arc::new(Offer { owner, lease: "l".into(), id, since, ttl: Duration::from_secs(30), objects })
        })
    }

    proptest! {
        #[test]
        fn it_knows_what_a_look_at_every_offer_would_tell(
            history in prop::collection::vec(("[1-5]", prop::option::of(offer())), 0..20),
            (object, except, owner) in ("[abc]", "[1-5]", "[xyz]"),
        ) {
            let mut objects = Objects::default();
            let mut all: BTreeMap<String, Arc<Offer>> = BTreeMap::new();
            for (key, offer) in history {
                objects.set(&key, offer.as_ref());
                match offer {
                    Some(offer) => drop(all.insert(key, offer)),
                    None => drop(all.remove(&key)),
                }
            }
            // Of the owner x, all count; of others, none lives.
            let instances = Instances { owner: "x".into(), ..Instances::default() };
            let about: Vec<_> = all.iter().filter(|(_, offer)| offer.objects.contains_key(&object)).collect();
            let others = about.iter().filter(|(key, _)| **key != except);
            let living = others.clone().filter(|(_, offer)| *offer.owner == *"x");
            let best = living.reduce(|one, other| if wins(&other.1.rank(), &one.1.rank()) { other } else { one });
            let first = objects.first(&object, &except, &instances);
            prop_assert_eq!(first.map(|(_, offer)| offer.rank()), best.map(|(_, offer)| offer.rank()));
            prop_assert!(first.is_none_or(|(key, offer)| key != except && all[key] == *offer));
            let of_owner = others.filter(|(_, offer)| *offer.owner == *owner).count();
            prop_assert_eq!(objects.of_owner(&object, &owner, &except), of_owner);
            let mut definitions: Vec<&Keys> = about.iter().map(|(_, offer)| &offer.objects[&object]).collect();
            definitions.sort();
            definitions.dedup();
            let mut known: Vec<&Keys> = objects.definitions(&object).collect();
            known.sort();
            prop_assert_eq!(known, definitions);
            for key in all.keys() {
                objects.set(key, None);
            }
            prop_assert!(objects.holders.is_empty() && objects.offers.is_empty());
        }
    }
}
