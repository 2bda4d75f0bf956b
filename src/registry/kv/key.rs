//! Decides the next transaction for one key from what is known about it. Pure.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::claims::{Claim, InstanceLease, read, written};
use super::store::{Condition, Operation, Step, Stored, Transaction};

/// One key as last seen: the entry, and the claim on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) entry: Option<Seen<u64>>,
    pub(super) claim: Option<Seen<Option<Claim>>>,
    /// This run wrote the entry.
    pub(super) written: bool,
    /// A service of this host belongs here, whoever has the key.
    pub(super) wanted: bool,
}

/// The seen content of a key: a digest of an entry, or a claim (`None` if it cannot be parsed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen<T> {
    pub(super) version: u64,
    pub(super) ttl: Option<Duration>,
    pub(super) content: T,
}

impl Seen<u64> {
    pub(super) fn entry(stored: &Stored) -> Self {
        Self { version: stored.version, ttl: stored.ttl, content: digest(&stored.value) }
    }
}

impl Seen<Option<Claim>> {
    pub(super) fn claim(stored: &Stored) -> Self {
        Self { version: stored.version, ttl: stored.ttl, content: read(&stored.value) }
    }
}

/// This instance, and the others that are alive.
#[derive(Debug, Default)]
pub(super) struct Instances {
    /// The owner of this instance.
    pub(super) owner: Arc<str>,
    /// The leases that this instance holds.
    pub(super) ours: BTreeSet<Arc<str>>,
    /// All held leases, including ours, as last seen.
    pub(super) alive: HashMap<String, InstanceLease>,
}

/// Whose a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// Nobody's.
    Free,
    /// Ours.
    Ours,
    /// It belongs to a dead instance of our owner: ours after taking this lease.
    Inherited(Arc<str>),
    /// It belongs to this other owner.
    Foreign(Arc<str>),
}

impl Instances {
    /// Whose a key is.
    pub(super) fn ownership(&self, known: &Known) -> Ownership {
        let Some(claim) = known.claimed() else { return Ownership::Free };
        let lives = self.alive.contains_key(&*claim.lease);
        if self.ours.contains(&claim.lease) {
            Ownership::Ours
        } else if known.entry.is_none() && !lives {
            // The instance died between the claim and the entry, or an external writer removed the entry.
            Ownership::Free
        } else if claim.owner != self.owner {
            Ownership::Foreign(Arc::clone(&claim.owner))
        } else if lives {
            Ownership::Foreign(format!("{} (another instance of that name)", claim.owner).into())
        } else {
            Ownership::Inherited(Arc::clone(&claim.lease))
        }
    }

    /// Whether a key carries our owner's name: it is ours, or will be when another instance of that name is dead.
    pub(super) fn is_of_our_name(&self, known: &Known) -> bool {
        known.claimed().is_some_and(|claim| claim.owner == self.owner)
    }

    /// Whether what happens to the entry concerns us.
    pub(super) fn concerns(&self, known: &Known) -> bool {
        known.wanted || known.written || self.is_ours(known)
    }

    /// Whether a key is ours, or belonged to a dead instance of our owner.
    pub(super) fn is_ours(&self, known: &Known) -> bool {
        matches!(self.ownership(known), Ownership::Ours | Ownership::Inherited(_))
    }

    /// Whether this is a claim of our owner without an entry, which no living instance is about to write.
    pub(super) fn left_behind(&self, known: &Known) -> bool {
        known.entry.is_none()
            && known.claimed().is_some_and(|claim| claim.owner == self.owner)
            && !matches!(self.ownership(known), Ownership::Foreign(_))
    }
}

/// The desired state of a key.
#[derive(Clone, Debug)]
pub(super) enum Desired {
    /// An entry with this value and TTL, and with this claim if claims are used.
    Entry { value: String, ttl: Option<Duration>, claim: Option<Claim> },
    /// Nothing.
    Absent,
}

/// The next step for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it is as desired.
    Nothing,
    /// Nothing: it belongs to this other owner.
    Foreign(Arc<str>),
    /// Take this lease first.
    Take(Arc<str>),
    /// Make this transaction.
    Write(Transaction),
}

/// The next step for the entry `key`, whose claim is at `claim_key` if claims are used.
pub(super) fn next(
    key: &str,
    claim_key: Option<&str>,
    known: &Known,
    instances: &Instances,
    desired: &Desired,
) -> Next {
    let ownership = if claim_key.is_some() { instances.ownership(known) } else { Ownership::Free };
    match ownership {
        Ownership::Foreign(owner) => return Next::Foreign(owner),
        Ownership::Inherited(lease) => return Next::Take(lease),
        Ownership::Free | Ownership::Ours => {}
    }
    let mut transaction = Transaction::new();
    let entry = step_on(key, known.entry.as_ref());
    match desired {
        Desired::Entry { value, ttl, claim } => {
            if let (Some(claim_key), Some(claim)) = (claim_key, claim) {
                // If we hold several leases, any of them will do.
                let right = |seen: &Seen<Option<Claim>>| {
                    seen.ttl == *ttl
                        && seen.content.as_ref().is_some_and(|there| {
                            there.owner == claim.owner && there.id == claim.id && instances.ours.contains(&there.lease)
                        })
                };
                let operation = if known.claim.as_ref().is_some_and(right) {
                    Operation::Check
                } else {
                    Operation::Put { value: written(claim), ttl: *ttl }
                };
                transaction.push(step_on(claim_key, known.claim.as_ref())(operation));
            }
            let right = |seen: &Seen<u64>| seen.ttl == *ttl && seen.content == digest(value.as_bytes());
            if !known.entry.as_ref().is_some_and(right) {
                transaction.push(entry(Operation::Put { value: value.clone(), ttl: *ttl }));
            }
        }
        Desired::Absent => {
            let delete = known.entry.is_some().then(|| entry(Operation::Delete));
            match (claim_key, &known.claim) {
                (Some(claim_key), Some(_)) => {
                    transaction.extend(delete);
                    transaction.push(step_on(claim_key, known.claim.as_ref())(Operation::Delete));
                }
                // Checks that the entry was not claimed since it was read.
                (Some(claim_key), None) => {
                    transaction.push(step_on(claim_key, known.claim.as_ref())(Operation::Check));
                    transaction.extend(delete);
                }
                (None, _) => transaction.extend(delete),
            }
        }
    }
    if transaction.iter().all(|step| step.operation == Operation::Check) {
        Next::Nothing
    } else {
        Next::Write(transaction)
    }
}

/// A step on a key, on condition that it is as last seen.
fn step_on<'a, T>(key: &'a str, seen: Option<&Seen<T>>) -> impl Fn(Operation) -> Step + use<'a, T> {
    let condition = seen.map_or(Condition::Absent, |seen| Condition::At(seen.version));
    move |operation| Step { key: key.to_owned(), condition, operation }
}

impl Known {
    /// Whether nothing stands here that need be remembered, and nothing is to stand here.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The claim, if it can be parsed.
    pub(super) fn claimed(&self) -> Option<&Claim> {
        self.claim.as_ref()?.content.as_ref()
    }

    /// Records the result of a transaction for this desired state.
    pub(super) fn wrote(&mut self, key: &str, desired: &Desired, transaction: &Transaction, versions: &[u64]) {
        let claim = if let Desired::Entry { claim, .. } = desired { claim.as_ref() } else { None };
        for (step, version) in transaction.iter().zip(versions) {
            let put = match &step.operation {
                Operation::Check => continue,
                Operation::Delete => None,
                Operation::Put { value, ttl } => Some((value, *ttl)),
            };
            if step.key == key {
                self.written = put.is_some();
                self.entry = put.map(|(value, ttl)| Seen { version: *version, ttl, content: digest(value.as_bytes()) });
            } else {
                self.claim = put.map(|(_, ttl)| Seen { version: *version, ttl, content: claim.cloned() });
            }
        }
    }
}

/// A digest of a value.
pub(super) fn digest(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A digest of everything that needs a write when it differs.
pub(super) fn fingerprint(content: u64, ttl: Option<Duration>, claimed: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    (content, ttl, claimed).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances(held: &[&str], alive: &[&str]) -> Instances {
        let sign = || InstanceLease { owner: String::new(), run: "other".to_owned() };
        Instances {
            owner: "us".into(),
            ours: held.iter().map(|lease| Arc::from(*lease)).collect(),
            alive: alive.iter().map(|lease| ((*lease).to_owned(), sign())).collect(),
        }
    }

    fn claim(owner: &str, lease: &str) -> Claim {
        Claim { owner: owner.into(), lease: lease.into(), id: "id".into() }
    }

    fn known(entry: Option<&str>, claim: Option<Claim>) -> Known {
        Known {
            entry: entry.map(|value| Seen { version: 7, ttl: None, content: digest(value.as_bytes()) }),
            claim: claim.map(|claim| Seen { version: 5, ttl: None, content: Some(claim) }),
            ..Known::default()
        }
    }

    fn put(value: &str) -> Desired {
        Desired::Entry { value: value.to_owned(), ttl: None, claim: Some(claim("us", "a")) }
    }

    fn next(known: &Known, instances: &Instances, desired: &Desired) -> Next {
        super::next("/e", Some("/c"), known, instances, desired)
    }

    fn actions(next: Next) -> Vec<(String, Condition, &'static str)> {
        let Next::Write(write) = next else { panic!("{next:?}") };
        write
            .into_iter()
            .map(|step| {
                let action = match step.operation {
                    Operation::Put { .. } => "put",
                    Operation::Delete => "delete",
                    Operation::Check => "check",
                };
                (step.key, step.condition, action)
            })
            .collect()
    }

    #[test]
    fn a_claim_is_written_before_its_entry_and_removed_after_it() {
        use Condition::{Absent, At};
        let us = instances(&["a"], &["a"]);
        let steps = |known: &Known, desired: &Desired| actions(next(known, &us, desired));
        let (entry, of_claim) = (|c, a| ("/e".to_owned(), c, a), |c, a| ("/c".to_owned(), c, a));
        assert_eq!(steps(&known(None, None), &put("x")), [of_claim(Absent, "put"), entry(Absent, "put")]);
        let ours = known(Some("x"), Some(claim("us", "a")));
        assert_eq!(steps(&ours, &put("y")), [of_claim(At(5), "check"), entry(At(7), "put")]);
        assert_eq!(next(&ours, &us, &put("x")), Next::Nothing);
        assert_eq!(steps(&ours, &Desired::Absent), [entry(At(7), "delete"), of_claim(At(5), "delete")]);
        // An entry without an owner is adopted without writing the entry.
        assert_eq!(steps(&known(Some("x"), None), &put("x")), [of_claim(Absent, "put")]);
        assert_eq!(
            steps(&known(Some("x"), None), &Desired::Absent),
            [of_claim(Absent, "check"), entry(At(7), "delete")]
        );
        // The state after a crash between the two.
        let half = known(None, Some(claim("us", "a")));
        assert_eq!(steps(&half, &put("x")), [of_claim(At(5), "check"), entry(Absent, "put")]);
        assert_eq!(steps(&half, &Desired::Absent), [of_claim(At(5), "delete")]);
        assert_eq!(next(&known(None, None), &us, &Desired::Absent), Next::Nothing);
    }

    #[test]
    fn an_entry_is_anothers_as_long_as_its_owner_is_another_or_lives() {
        for (entry, owner, lease, ownership) in [
            (Some("x"), "us", "a", Ownership::Ours),
            (None, "us", "a", Ownership::Ours),
            (Some("x"), "us", "dead", Ownership::Inherited("dead".into())),
            (Some("x"), "us", "b", Ownership::Foreign("us (another instance of that name)".into())),
            (None, "us", "b", Ownership::Foreign("us (another instance of that name)".into())),
            (None, "us", "dead", Ownership::Free),
            (Some("x"), "them", "dead", Ownership::Foreign("them".into())),
            (Some("x"), "them", "b", Ownership::Foreign("them".into())),
            (None, "them", "b", Ownership::Foreign("them".into())),
            (None, "them", "dead", Ownership::Free),
        ] {
            let (known, instances) = (known(entry, Some(claim(owner, lease))), instances(&["a"], &["a", "b"]));
            assert_eq!(instances.ownership(&known), ownership, "{entry:?} {owner} {lease}");
            for desired in [put("x"), put("y"), Desired::Absent] {
                match (&ownership, next(&known, &instances, &desired)) {
                    (Ownership::Foreign(owner), Next::Foreign(refused)) => assert_eq!(*owner, refused),
                    (Ownership::Inherited(lease), Next::Take(take)) => assert_eq!(*lease, take),
                    (Ownership::Free | Ownership::Ours, Next::Nothing | Next::Write(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_claim_of_ours_without_an_entry_is_left_behind_unless_its_maker_lives_elsewhere() {
        for (entry, owner, lease, left) in [
            (None, "us", "a", true),
            (None, "us", "dead", true),
            (None, "us", "b", false),
            (None, "them", "dead", false),
            (Some("x"), "us", "a", false),
        ] {
            let known = known(entry, Some(claim(owner, lease)));
            assert_eq!(instances(&["a"], &["a", "b"]).left_behind(&known), left, "{entry:?} {owner} {lease}");
        }
        assert!(!instances(&["a"], &["a"]).left_behind(&Known::default()));
    }

    #[test]
    fn a_ttl_is_part_of_what_is_right() {
        let us = instances(&["a"], &["a"]);
        let minute = Some(Duration::from_secs(60));
        let mut known = known(Some("x"), Some(claim("us", "a")));
        let desired = Desired::Entry { value: "x".to_owned(), ttl: minute, claim: Some(claim("us", "a")) };
        let both = actions(next(&known, &us, &desired));
        assert_eq!(both.iter().map(|step| step.2).collect::<Vec<_>>(), ["put", "put"]);
        let Next::Write(write) = next(&known, &us, &desired) else { unreachable!() };
        known.wrote("/e", &desired, &write, &[8, 9]);
        assert_eq!(next(&known, &us, &desired), Next::Nothing);
        assert_eq!((known.claim.unwrap().version, known.entry.unwrap().version), (8, 9));
    }

    #[test]
    fn without_claims_only_entries_are_written() {
        let desired = Desired::Entry { value: "x".to_owned(), ttl: None, claim: None };
        let us = instances(&[], &[]);
        let steps = |known: &Known, desired: &Desired| actions(super::next("/e", None, known, &us, desired)).len();
        assert_eq!((steps(&known(None, None), &desired), steps(&known(Some("x"), None), &Desired::Absent)), (1, 1));
        assert_eq!(super::next("/e", None, &known(Some("x"), None), &us, &desired), Next::Nothing);
    }
}
