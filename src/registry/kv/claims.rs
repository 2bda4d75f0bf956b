//! What is stored beside entries, where their readers do not look: whose each entry is, and which instances live.
//!
//! ```text
//! <base>/claims/<key of the entry below the root> = {"owner":"host","lease":"5f…","id":"host:web:80"}
//! <base>/alive/<lease>                            = {"owner":"host","run":"9c…"}     expires unless renewed
//! ```
//!
//! docs/ownership.md says why.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The claim on an entry: whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The owner that wrote it.
    pub(super) owner: Arc<str>,
    /// The lease of the instance that wrote it.
    // Named `seat` by builds before the first release.
    #[serde(alias = "seat")]
    pub(super) lease: Arc<str>,
    /// The ID of the entry's service.
    pub(super) id: Arc<str>,
}

/// The instance that holds a lease. The instance is alive while this key exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InstanceLease {
    /// The owner, for people who look.
    pub(super) owner: String,
    /// One run of one process.
    pub(super) run: String,
}

/// The stored JSON. Both types contain only texts, so this always succeeds.
pub(super) fn written<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Parses the stored JSON; anything else counts as missing.
pub(super) fn read<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Option<T> {
    serde_json::from_slice(value).ok()
}

/// Where claims and leases are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct ClaimKeys {
    /// The root of the entries' keys.
    root: String,
    claims: String,
    alive: String,
}

impl ClaimKeys {
    /// For entries below `root`, with records stored below `base`; neither ends with a slash.
    pub(in crate::registry) fn new(root: &str, base: &str) -> Self {
        Self { root: root.to_owned(), claims: format!("{base}/claims"), alive: format!("{base}/alive/") }
    }

    /// The prefix of all records, as given.
    pub(super) fn base(&self) -> &str {
        self.claims.strip_suffix("/claims").unwrap_or(&self.claims)
    }

    /// The key of the claim on an entry.
    pub(super) fn claim(&self, entry: &str) -> String {
        format!("{}{}", self.claims, entry.strip_prefix(&self.root).unwrap_or(entry))
    }

    /// The key of the entry that this claim is for.
    pub(super) fn entry(&self, claim: &str) -> Option<String> {
        let rest = claim.strip_prefix(&self.claims)?;
        rest.starts_with('/').then(|| format!("{}{rest}", self.root))
    }

    /// The key of a lease.
    pub(super) fn alive(&self, lease: &str) -> String {
        format!("{}{lease}", self.alive)
    }

    /// The lease with this key.
    pub(super) fn lease<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.alive).filter(|lease| !lease.is_empty() && !lease.contains('/'))
    }

    /// The prefix of all claims.
    pub(super) fn all_claims(&self) -> String {
        format!("{}/", self.claims)
    }

    /// The prefix of all leases.
    pub(super) fn all_leases(&self) -> String {
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
            let claims = ClaimKeys::new(root, base);
            assert_eq!(claims.claim(entry), claim);
            assert_eq!(claims.entry(claim).as_deref(), Some(entry));
            assert_eq!(claims.lease(&claims.alive("5f")), Some("5f"));
            for other in ["/_registrator/s/claimsx/web/id", "/else", ""] {
                assert_eq!(claims.entry(other), None);
            }
            for other in [format!("{base}/alive/"), format!("{base}/alive/a/b"), "/else".to_owned()] {
                assert_eq!(claims.lease(&other), None, "{other}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read_and_anything_else_is_none() {
        let claim = Claim { owner: "h\"ost\n".into(), lease: "5f".into(), id: "é".into() };
        assert_eq!(read(written(&claim).as_bytes()), Some(claim));
        let earlier = br#"{"owner":"host","seat":"5f","id":"x"}"#;
        assert_eq!(read::<Claim>(earlier).map(|claim| claim.lease), Some("5f".into()));
        for other in [&b""[..], b"{}", b"null", b"\xff", b"{\"owner\":1}"] {
            assert_eq!(read::<Claim>(other), None);
        }
    }
}
