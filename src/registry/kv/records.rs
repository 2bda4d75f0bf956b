//! What is recorded beside entries, where no reader of them looks: whose each is, and which instances live.
//!
//! ```text
//! <records>/claims/<key of the entry below the root> = {"owner":"host","seat":"5f…","id":"host:web:80"}
//! <records>/alive/<seat>                             = {"owner":"host","run":"9c…"}     expires unless renewed
//! ```
//!
//! docs/ownership.md says why.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Whose an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The owner who wrote it.
    pub(super) owner: Arc<str>,
    /// Who of that name: whoever holds this seat.
    pub(super) seat: Arc<str>,
    /// The ID of the service that it stands for.
    pub(super) id: Arc<str>,
}

/// Who holds a seat, as long as it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Alive {
    /// The owner, for people who look.
    pub(super) owner: String,
    /// One run of one process.
    pub(super) run: String,
}

/// As it is written; both are texts, which serialize always.
pub(super) fn written<T: Serialize>(record: &T) -> String {
    serde_json::to_string(record).unwrap_or_default()
}

/// As it is read; what is none is as if it were not there.
pub(super) fn read<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Option<T> {
    serde_json::from_slice(value).ok()
}

/// Where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct Records {
    /// What the keys of entries begin with.
    root: String,
    claims: String,
    alive: String,
}

impl Records {
    /// Records of the entries below `root`, kept below `base`; neither has a slash at its end.
    pub(in crate::registry) fn new(root: &str, base: &str) -> Self {
        Self { root: root.to_owned(), claims: format!("{base}/claims"), alive: format!("{base}/alive/") }
    }

    /// The key of the claim on an entry.
    pub(super) fn claim(&self, entry: &str) -> String {
        format!("{}{}", self.claims, entry.strip_prefix(&self.root).unwrap_or(entry))
    }

    /// The key of the entry whose claim this is.
    pub(super) fn entry(&self, claim: &str) -> Option<String> {
        let rest = claim.strip_prefix(&self.claims)?;
        rest.starts_with('/').then(|| format!("{}{rest}", self.root))
    }

    /// The key that shows who holds a seat.
    pub(super) fn alive(&self, seat: &str) -> String {
        format!("{}{seat}", self.alive)
    }

    /// The seat whose key this is.
    pub(super) fn seat<'a>(&self, alive: &'a str) -> Option<&'a str> {
        alive.strip_prefix(&self.alive).filter(|seat| !seat.is_empty() && !seat.contains('/'))
    }

    /// Below what claims are.
    pub(super) fn all_claims(&self) -> String {
        format!("{}/", self.claims)
    }

    /// Below what the signs of life are.
    pub(super) fn all_alive(&self) -> String {
        self.alive.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_from_its_entry_and_the_other_way_round() {
        for (root, base, entry, claim) in [
            ("/s", "/_registrator/s", "/s/web/id", "/_registrator/s/claims/web/id"),
            ("", "/_registrator", "/web/id", "/_registrator/claims/web/id"),
            ("s", "_registrator/s", "s/web/id", "_registrator/s/claims/web/id"),
        ] {
            let records = Records::new(root, base);
            assert_eq!(records.claim(entry), claim);
            assert_eq!(records.entry(claim).as_deref(), Some(entry));
            assert_eq!(records.seat(&records.alive("5f")), Some("5f"));
            for other in ["/_registrator/s/claimsx/web/id", "/else", ""] {
                assert_eq!(records.entry(other), None);
            }
            for other in [format!("{base}/alive/"), format!("{base}/alive/a/b"), "/else".to_owned()] {
                assert_eq!(records.seat(&other), None, "{other}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read_and_anything_else_is_none() {
        let claim = Claim { owner: "h\"ost\n".into(), seat: "5f".into(), id: "é".into() };
        assert_eq!(read(written(&claim).as_bytes()), Some(claim));
        for other in [&b""[..], b"{}", b"null", b"\xff", b"{\"owner\":1}"] {
            assert_eq!(read::<Claim>(other), None);
        }
    }
}
