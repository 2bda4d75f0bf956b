//! What is known of one key, and from that the next write for it. Pure.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::records::{Alive, Claim, read, written};
use super::store::{Action, Condition, Held, Step, Write};

/// One key as it was last seen: the entry, and the claim on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) entry: Option<Seen<u64>>,
    pub(super) claim: Option<Seen<Option<Claim>>>,
    /// This run wrote the entry.
    pub(super) written: bool,
}

/// What a key was seen to hold: of an entry a digest, of a claim what it says (`None` for nonsense).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen<T> {
    pub(super) version: u64,
    pub(super) ttl: Option<Duration>,
    pub(super) content: T,
}

impl Seen<u64> {
    pub(super) fn entry(held: &Held) -> Self {
        Self { version: held.version, ttl: held.ttl, content: digest(&held.value) }
    }
}

impl Seen<Option<Claim>> {
    pub(super) fn claim(held: &Held) -> Self {
        Self { version: held.version, ttl: held.ttl, content: read(&held.value) }
    }
}

/// Who we are, and who else lives.
#[derive(Debug, Default)]
pub(super) struct Company {
    pub(super) owner: Arc<str>,
    /// The seats that we hold.
    pub(super) held: BTreeSet<Arc<str>>,
    /// The seats that somebody holds, as last seen, with the run that does.
    pub(super) alive: HashMap<String, Alive>,
}

/// Whose a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody's.
    Free,
    /// Ours.
    Ours,
    /// That of an instance of ours that is dead: ours, once we hold its seat.
    Inherited(Arc<str>),
    /// Another's, called so.
    Foreign(Arc<str>),
}

impl Company {
    /// Whose a key is.
    pub(super) fn standing(&self, slot: &Slot) -> Standing {
        let Some(claim) = slot.claimed() else { return Standing::Free };
        let lives = self.alive.contains_key(&*claim.seat);
        if self.held.contains(&claim.seat) {
            Standing::Ours
        } else if slot.entry.is_none() && !lives {
            // Its maker died between the two, or somebody removed the entry.
            Standing::Free
        } else if claim.owner != self.owner {
            Standing::Foreign(Arc::clone(&claim.owner))
        } else if lives {
            Standing::Foreign(format!("{} (another instance of that name)", claim.owner).into())
        } else {
            Standing::Inherited(Arc::clone(&claim.seat))
        }
    }

    /// Whether a key is ours, or was that of a dead instance of ours.
    pub(super) fn is_ours(&self, slot: &Slot) -> bool {
        matches!(self.standing(slot), Standing::Ours | Standing::Inherited(_))
    }

    /// Whether it is a claim of ours that stands for nothing, and that nobody is about to make good.
    pub(super) fn left_behind(&self, slot: &Slot) -> bool {
        slot.entry.is_none()
            && slot.claimed().is_some_and(|claim| claim.owner == self.owner)
            && !matches!(self.standing(slot), Standing::Foreign(_))
    }
}

/// What should become of a key.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    /// An entry of this value, for so long unless it is refreshed, with this claim if claims are made.
    Put { value: String, ttl: Option<Duration>, claim: Option<Claim> },
    /// Nothing.
    Gone,
}

/// What to do next for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is as it should be.
    Nothing,
    /// It belongs to another.
    Refused(Arc<str>),
    /// Take this seat first.
    Take(Arc<str>),
    /// Write this.
    Write(Write),
}

/// What to do next for the entry `key`, whose claim is at `claim_key` if claims are made.
pub(super) fn next(key: &str, claim_key: Option<&str>, slot: &Slot, company: &Company, wish: &Wish) -> Next {
    let standing = if claim_key.is_some() { company.standing(slot) } else { Standing::Free };
    match standing {
        Standing::Foreign(owner) => return Next::Refused(owner),
        Standing::Inherited(seat) => return Next::Take(seat),
        Standing::Free | Standing::Ours => {}
    }
    let mut write = Write::new();
    let entry = step_on(key, slot.entry.as_ref());
    match wish {
        Wish::Put { value, ttl, claim } => {
            if let (Some(claim_key), Some(claim)) = (claim_key, claim) {
                // Of several seats that we hold, the one that is there is as good as any.
                let right = |seen: &Seen<Option<Claim>>| {
                    seen.ttl == *ttl
                        && seen.content.as_ref().is_some_and(|there| {
                            there.owner == claim.owner && there.id == claim.id && company.held.contains(&there.seat)
                        })
                };
                let action = if slot.claim.as_ref().is_some_and(right) {
                    Action::Check
                } else {
                    Action::Put { value: written(claim), ttl: *ttl }
                };
                write.push(step_on(claim_key, slot.claim.as_ref())(action));
            }
            let right = |seen: &Seen<u64>| seen.ttl == *ttl && seen.content == digest(value.as_bytes());
            if !slot.entry.as_ref().is_some_and(right) {
                write.push(entry(Action::Put { value: value.clone(), ttl: *ttl }));
            }
        }
        Wish::Gone => {
            let delete = slot.entry.is_some().then(|| entry(Action::Delete));
            match (claim_key, &slot.claim) {
                (Some(claim_key), Some(_)) => {
                    write.extend(delete);
                    write.push(step_on(claim_key, slot.claim.as_ref())(Action::Delete));
                }
                // That nobody has claimed it meanwhile is looked at before it goes.
                (Some(claim_key), None) => {
                    write.push(step_on(claim_key, slot.claim.as_ref())(Action::Check));
                    write.extend(delete);
                }
                (None, _) => write.extend(delete),
            }
        }
    }
    if write.iter().all(|step| step.action == Action::Check) { Next::Nothing } else { Next::Write(write) }
}

/// A step on a key that was last seen so.
fn step_on<'a, T>(key: &'a str, seen: Option<&Seen<T>>) -> impl Fn(Action) -> Step + use<'a, T> {
    let condition = seen.map_or(Condition::Absent, |seen| Condition::At(seen.version));
    move |action| Step { key: key.to_owned(), condition, action }
}

impl Slot {
    /// What is claimed, if that can be read.
    pub(super) fn claimed(&self) -> Option<&Claim> {
        self.claim.as_ref()?.content.as_ref()
    }

    /// Notes what a write has done that was to grant this wish.
    pub(super) fn wrote(&mut self, key: &str, wish: &Wish, write: &Write, versions: &[u64]) {
        let claim = if let Wish::Put { claim, .. } = wish { claim.as_ref() } else { None };
        for (step, version) in write.iter().zip(versions) {
            let put = match &step.action {
                Action::Check => continue,
                Action::Delete => None,
                Action::Put { value, ttl } => Some((value, *ttl)),
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

/// A digest of all that should be written again when it differs.
pub(super) fn fingerprint(content: u64, ttl: Option<Duration>, claimed: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    (content, ttl, claimed).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn company(held: &[&str], alive: &[&str]) -> Company {
        let sign = || Alive { owner: String::new(), run: "other".to_owned() };
        Company {
            owner: "us".into(),
            held: held.iter().map(|seat| Arc::from(*seat)).collect(),
            alive: alive.iter().map(|seat| ((*seat).to_owned(), sign())).collect(),
        }
    }

    fn claim(owner: &str, seat: &str) -> Claim {
        Claim { owner: owner.into(), seat: seat.into(), id: "id".into() }
    }

    fn slot(entry: Option<&str>, claim: Option<Claim>) -> Slot {
        Slot {
            entry: entry.map(|value| Seen { version: 7, ttl: None, content: digest(value.as_bytes()) }),
            claim: claim.map(|claim| Seen { version: 5, ttl: None, content: Some(claim) }),
            written: false,
        }
    }

    fn put(value: &str) -> Wish {
        Wish::Put { value: value.to_owned(), ttl: None, claim: Some(claim("us", "a")) }
    }

    fn next(slot: &Slot, company: &Company, wish: &Wish) -> Next {
        super::next("/e", Some("/c"), slot, company, wish)
    }

    fn actions(next: Next) -> Vec<(String, Condition, &'static str)> {
        let Next::Write(write) = next else { panic!("{next:?}") };
        write
            .into_iter()
            .map(|step| {
                let action = match step.action {
                    Action::Put { .. } => "put",
                    Action::Delete => "delete",
                    Action::Check => "check",
                };
                (step.key, step.condition, action)
            })
            .collect()
    }

    #[test]
    fn a_claim_is_written_before_its_entry_and_removed_after_it() {
        use Condition::{Absent, At};
        let us = company(&["a"], &["a"]);
        let steps = |slot: &Slot, wish: &Wish| actions(next(slot, &us, wish));
        let (entry, of_claim) = (|c, a| ("/e".to_owned(), c, a), |c, a| ("/c".to_owned(), c, a));
        assert_eq!(steps(&slot(None, None), &put("x")), [of_claim(Absent, "put"), entry(Absent, "put")]);
        let ours = slot(Some("x"), Some(claim("us", "a")));
        assert_eq!(steps(&ours, &put("y")), [of_claim(At(5), "check"), entry(At(7), "put")]);
        assert_eq!(next(&ours, &us, &put("x")), Next::Nothing);
        assert_eq!(steps(&ours, &Wish::Gone), [entry(At(7), "delete"), of_claim(At(5), "delete")]);
        // Nobody's entry is adopted without being written.
        assert_eq!(steps(&slot(Some("x"), None), &put("x")), [of_claim(Absent, "put")]);
        assert_eq!(steps(&slot(Some("x"), None), &Wish::Gone), [of_claim(Absent, "check"), entry(At(7), "delete")]);
        // What a crash left between the two.
        let half = slot(None, Some(claim("us", "a")));
        assert_eq!(steps(&half, &put("x")), [of_claim(At(5), "check"), entry(Absent, "put")]);
        assert_eq!(steps(&half, &Wish::Gone), [of_claim(At(5), "delete")]);
        assert_eq!(next(&slot(None, None), &us, &Wish::Gone), Next::Nothing);
    }

    #[test]
    fn an_entry_is_anothers_as_long_as_its_owner_is_another_or_lives() {
        for (entry, owner, seat, standing) in [
            (Some("x"), "us", "a", Standing::Ours),
            (None, "us", "a", Standing::Ours),
            (Some("x"), "us", "dead", Standing::Inherited("dead".into())),
            (Some("x"), "us", "b", Standing::Foreign("us (another instance of that name)".into())),
            (None, "us", "b", Standing::Foreign("us (another instance of that name)".into())),
            (None, "us", "dead", Standing::Free),
            (Some("x"), "them", "dead", Standing::Foreign("them".into())),
            (Some("x"), "them", "b", Standing::Foreign("them".into())),
            (None, "them", "b", Standing::Foreign("them".into())),
            (None, "them", "dead", Standing::Free),
        ] {
            let (slot, company) = (slot(entry, Some(claim(owner, seat))), company(&["a"], &["a", "b"]));
            assert_eq!(company.standing(&slot), standing, "{entry:?} {owner} {seat}");
            for wish in [put("x"), put("y"), Wish::Gone] {
                match (&standing, next(&slot, &company, &wish)) {
                    (Standing::Foreign(owner), Next::Refused(refused)) => assert_eq!(*owner, refused),
                    (Standing::Inherited(seat), Next::Take(take)) => assert_eq!(*seat, take),
                    (Standing::Free | Standing::Ours, Next::Nothing | Next::Write(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_claim_of_ours_without_an_entry_is_left_behind_unless_its_maker_lives_elsewhere() {
        for (entry, owner, seat, left) in [
            (None, "us", "a", true),
            (None, "us", "dead", true),
            (None, "us", "b", false),
            (None, "them", "dead", false),
            (Some("x"), "us", "a", false),
        ] {
            let slot = slot(entry, Some(claim(owner, seat)));
            assert_eq!(company(&["a"], &["a", "b"]).left_behind(&slot), left, "{entry:?} {owner} {seat}");
        }
        assert!(!company(&["a"], &["a"]).left_behind(&Slot::default()));
    }

    #[test]
    fn a_ttl_is_part_of_what_is_right() {
        let us = company(&["a"], &["a"]);
        let minute = Some(Duration::from_secs(60));
        let mut slot = slot(Some("x"), Some(claim("us", "a")));
        let wish = Wish::Put { value: "x".to_owned(), ttl: minute, claim: Some(claim("us", "a")) };
        let both = actions(next(&slot, &us, &wish));
        assert_eq!(both.iter().map(|step| step.2).collect::<Vec<_>>(), ["put", "put"]);
        let Next::Write(write) = next(&slot, &us, &wish) else { unreachable!() };
        slot.wrote("/e", &wish, &write, &[8, 9]);
        assert_eq!(next(&slot, &us, &wish), Next::Nothing);
        assert_eq!((slot.claim.unwrap().version, slot.entry.unwrap().version), (8, 9));
    }

    #[test]
    fn without_claims_only_entries_are_written() {
        let wish = Wish::Put { value: "x".to_owned(), ttl: None, claim: None };
        let us = company(&[], &[]);
        let steps = |slot: &Slot, wish: &Wish| actions(super::next("/e", None, slot, &us, wish)).len();
        assert_eq!((steps(&slot(None, None), &wish), steps(&slot(Some("x"), None), &Wish::Gone)), (1, 1));
        assert_eq!(super::next("/e", None, &slot(Some("x"), None), &us, &wish), Next::Nothing);
    }
}
