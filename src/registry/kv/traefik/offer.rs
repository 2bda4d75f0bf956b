//! An offer: what one service adds to Traefik's keys, as it is stored beside them.
//!
//! ```text
//! <base>/offers/<owner>/<id of the service> = {"owner":"host","lease":"5f…","id":"host:web:80","since":…,"ttl":30,
//!                                              "keys":{"http/routers/web/rule":"Host(`web`)",…}}
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use registrator_traefik::{Rank, is_key, object_of};
use serde::{Deserialize, Serialize};

use crate::registry::kv::encode;
use crate::registry::kv::key::{Instances, digest};

/// The keys of one object with their values, below the root.
pub(super) type Keys = BTreeMap<String, String>;

/// What a service adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// The owner that wrote it.
    pub(super) owner: Arc<str>,
    /// The lease of the instance that wrote it.
    pub(super) lease: Arc<str>,
    /// The ID of the service.
    pub(super) id: Arc<str>,
    /// When its container was created: the older one counts where two differ.
    pub(super) since: i64,
    /// How long its servers live without a sign of life.
    pub(super) ttl: Duration,
    /// Its keys, by object.
    pub(super) objects: BTreeMap<String, Keys>,
}

/// As it is stored.
#[derive(Serialize, Deserialize)]
struct Spelt {
    owner: Arc<str>,
    lease: Arc<str>,
    id: Arc<str>,
    since: i64,
    ttl: u64,
    keys: Keys,
}

impl Offer {
    /// As it is stored. It has only texts and numbers, so this always succeeds.
    pub(super) fn spelt(&self) -> String {
        let Self { owner, lease, id, since, ttl, .. } = self.clone();
        serde_json::to_string(&Spelt { owner, lease, id, since, ttl: ttl.as_secs(), keys: self.keys() })
            .unwrap_or_default()
    }

    /// Reads what is stored; `None` if it is no offer. Keys that Traefik would not take are left out.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let Spelt { owner, lease, id, since, ttl, keys } = serde_json::from_slice(value).ok()?;
        Some(Self { owner, lease, id, since, ttl: Duration::from_secs(ttl), objects: by_object(keys) })
    }

    /// All its keys.
    pub(super) fn keys(&self) -> Keys {
        self.objects.values().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Whether it says the same, whatever its lease.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let Self { owner, lease: _, id, since, ttl, objects } = self;
        (owner, id, since, ttl, objects) == (&other.owner, &other.id, &other.since, &other.ttl, &other.objects)
    }

    /// This one, which asks for the keys of another as well.
    pub(super) fn joined_with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (object, keys) in &other.objects {
            let mine = both.objects.entry(object.clone()).or_default();
            for (key, value) in keys {
                mine.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        both
    }

    /// How it stands where another defines the same object.
    pub(super) fn rank(&self) -> Rank<'_> {
        Rank { since: self.since, owner: &self.owner, id: &self.id }
    }

    /// A digest of what it says, whoever wrote it.
    pub(super) fn fingerprint(&self) -> u64 {
        let Self { since, ttl, id, .. } = self;
        let keys = serde_json::to_string(&self.keys()).unwrap_or_default();
        digest(format!("{since} {} {id} {keys}", ttl.as_secs()).as_bytes())
    }
}

/// Keys by the object that they are of; those of none are dropped.
pub(super) fn by_object(keys: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, Keys> {
    let mut objects: BTreeMap<String, Keys> = BTreeMap::new();
    for (key, value) in keys.into_iter().filter(|(key, _)| is_key(key)) {
        if let Some(object) = object_of(&key) {
            objects.entry(object).or_default().insert(key, value);
        }
    }
    objects
}

/// Where offers are stored.
pub(super) struct OfferKeys {
    /// `<base>/offers`
    pub(super) base: String,
}

impl OfferKeys {
    pub(super) fn new(base: &str) -> Self {
        Self { base: format!("{base}/offers") }
    }

    /// The key of an owner's offer for the service with this ID.
    pub(super) fn key(&self, owner: &str, id: &str) -> String {
        format!("{}/{}/{}", self.base, encode::part(owner), encode::part(id))
    }

    /// The prefix of all offers.
    pub(super) fn all(&self) -> String {
        format!("{}/", self.base)
    }

    /// The service ID in this key; `None` if it is no key of an offer.
    pub(super) fn id(&self, key: &str) -> Option<String> {
        let (owner, id) = key.strip_prefix(&self.base)?.strip_prefix('/')?.split_once('/')?;
        (!owner.is_empty() && !id.is_empty() && !id.contains('/')).then(|| encode::text(id))
    }
}

/// Whether an offer counts: its instance lives, or it is of our own owner.
pub(super) fn is_living(offer: &Offer, instances: &Instances) -> bool {
    offer.owner == instances.owner || instances.alive.contains_key(&*offer.lease)
}

/// Whether a server is what this object is: it lives as long as its host gives signs of life.
pub(super) fn is_server(object: &str) -> bool {
    object.split('/').nth(4) == Some("servers")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_offer_is_read_as_it_was_written() {
        let keys =
            [("http/routers/web/rule", "Host(`a`)"), ("http/services/web/loadBalancer/servers/7/url", "http://h")];
        let offer = Offer {
            owner: "h\"ost".into(),
            lease: "5f".into(),
            id: "host:web:80".into(),
            since: -5,
            ttl: Duration::from_secs(30),
            objects: by_object(keys.map(|(key, value)| (key.to_owned(), value.to_owned()))),
        };
        assert_eq!(offer.objects.len(), 2);
        assert_eq!(Offer::read(offer.spelt().as_bytes()), Some(offer.clone()));
        let other = Offer { lease: "60".into(), owner: "x".into(), ..offer.clone() };
        assert_eq!(other.fingerprint(), offer.fingerprint());
        assert_ne!(Offer { since: 4, ..offer.clone() }.fingerprint(), offer.fingerprint());
        assert!(is_server("http/services/web/loadbalancer/servers/7") && !is_server("http/services/web"));
        assert!(!is_server("http/routers/web"));
    }

    #[test]
    fn a_key_that_traefik_does_not_take_is_left_out_of_a_foreign_offer() {
        let value =
            r#"{"owner":"o","lease":"l","id":"i","since":0,"ttl":30,"keys":{"../x":"1","http/routers/web/rule":"r"}}"#;
        let offer = Offer::read(value.as_bytes()).unwrap();
        assert_eq!(offer.keys().into_keys().collect::<Vec<_>>(), ["http/routers/web/rule"]);
        for other in [&b""[..], b"{}", b"null", b"\xff", br#"{"owner":"o"}"#] {
            assert_eq!(Offer::read(other), None);
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_record_is_read_without_harm(
            value in "(?s).{0,80}",
            keys in prop::collection::btree_map("(http|tcp)?/?(routers|services)?(/[a-zA-Z.]{0,4}){0,6}", "(?s).{0,8}", 0..6),
        ) {
            let _ = Offer::read(value.as_bytes());
            let record = serde_json::json!({"owner": value, "lease": "l", "id": "i", "since": 0, "ttl": 30, "keys": keys});
            let offer = Offer::read(record.to_string().as_bytes()).unwrap();
            prop_assert!(offer.keys().keys().all(|key| is_key(key)));
            prop_assert_eq!(Offer::read(offer.spelt().as_bytes()), Some(offer));
        }

        #[test]
        fn the_id_is_in_the_key_and_nothing_escapes(owner in "(?s).{1,8}", id in "(?s).{1,12}") {
            let keys = OfferKeys::new("/_registrator/traefik");
            let key = keys.key(&owner, &id);
            prop_assert_eq!(key.split('/').count(), 6);
            prop_assert_eq!(keys.id(&key), Some(id));
        }
    }
}
