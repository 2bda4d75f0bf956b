//! The answers of the v2 API, and its errors.

use std::time::Duration;

use serde::Deserialize;

use crate::json;
use crate::registry::Cause;
use crate::registry::kv::Stored;
use crate::registry::text::one_line;

/// The most values of an answer: those of four hundred thousand keys.
const MOST_VALUES: usize = 1 << 21;

/// How many characters of another program's message a line repeats.
const LIMIT: usize = 300;

/// An answer about keys, in one of two shapes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    /// The action, such as `set`, `delete` or `expire`.
    #[serde(default)]
    pub(super) action: String,
    #[serde(default)]
    pub(super) node: Option<Node>,
    /// The error code: <https://etcd.io/docs/v2.3/errorcode/>.
    #[serde(default)]
    pub(super) error_code: Option<u32>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    cause: String,
}

/// A key or a folder of keys.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Node {
    /// Absent for the root.
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    pub(super) dir: bool,
    #[serde(default)]
    nodes: Vec<Node>,
    #[serde(default)]
    pub(super) modified_index: u64,
    /// The remaining time, in seconds.
    #[serde(default)]
    ttl: Option<i64>,
}

/// What an answer means for who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Try another server, later.
    Away(String),
    /// Refused until something changes: what must change, and the reason. For missing rights, etcd's own message.
    Refused(Cause, String),
    /// The key does not exist.
    Missing,
    /// A condition failed.
    Conflict,
    /// The history does not reach back far enough.
    Forgotten,
    /// The server does not offer this API.
    NotServed,
}

impl Answer {
    /// Parses an answer from the HTTP status and the body.
    pub(super) fn read(status: u16, body: &[u8]) -> Result<Self, Failure> {
        let Ok(answer) = json::owned::<Self>(body, MOST_VALUES) else {
            return Err(match status {
                404 => Failure::NotServed,
                401 | 403 => Failure::Refused(Cause::Rights, format!("HTTP status {status}")),
                // The request was too large, or a proxy rejects it.
                400..500 => Failure::Refused(Cause::Service, format!("etcd does not take it: HTTP status {status}")),
                _ => Failure::Away(format!("HTTP status {status}, and no answer of etcd's")),
            });
        };
        match answer.error_code {
            None if answer.node.is_some() => Ok(answer),
            None if (401..=403).contains(&status) => Err(answer.refused()),
            None => Err(Failure::Away(format!("HTTP status {status}: {}", answer.said()))),
            Some(100) => Err(Failure::Missing),
            Some(101 | 105) => Err(Failure::Conflict),
            Some(110) => Err(answer.refused()),
            Some(400 | 401) => Err(Failure::Forgotten),
            Some(102) => Err(Failure::Refused(Cause::Service, "there is a folder in its place".to_owned())),
            Some(104) => Err(Failure::Refused(Cause::Service, "there is a key where a folder should be".to_owned())),
            Some(100..300) => {
                Err(Failure::Refused(Cause::Service, format!("etcd does not take it: {}", answer.said())))
            }
            Some(_) => Err(Failure::Away(answer.said())),
        }
    }

    fn refused(&self) -> Failure {
        Failure::Refused(Cause::Rights, self.said())
    }

    fn said(&self) -> String {
        let Self { message, cause, .. } = self;
        one_line(if cause.is_empty() { message } else { cause }, LIMIT)
    }
}

impl Node {
    /// The keys in it; `ttl` is that of our settings, because the API only returns the remaining time.
    pub(super) fn held(self, ttl: Option<Duration>) -> Vec<Stored> {
        let mut held = Vec::new();
        let mut left = vec![self];
        while let Some(node) = left.pop() {
            if node.dir {
                left.extend(node.nodes);
                continue;
            }
            let remaining = node.ttl.map(|seconds| Duration::from_secs(seconds.max(0).unsigned_abs()));
            held.push(Stored {
                key: node.key,
                value: node.value.into_bytes(),
                version: node.modified_index,
                ttl: remaining.map(|remaining| ttl.filter(|ttl| remaining <= *ttl).unwrap_or(remaining)),
            });
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tree_is_read_as_its_keys() {
        let body = br#"{"action":"get","node":{"key":"/r","dir":true,"nodes":[
            {"key":"/r/a","dir":true,"nodes":[{"key":"/r/a/1","value":"x","modifiedIndex":7,"createdIndex":3}]},
            {"key":"/r/b","dir":true},
            {"key":"/r/c","value":"y","modifiedIndex":8,"ttl":50,"expiration":"2026-01-01T00:00:00Z"}]}}"#;
        let mut held = Answer::read(200, body).unwrap().node.unwrap().held(Some(Duration::from_secs(60)));
        held.sort_by(|a, b| a.key.cmp(&b.key));
        let keys: Vec<_> = held.iter().map(|held| (held.key.as_str(), held.version, held.ttl)).collect();
        assert_eq!(keys, [("/r/a/1", 7, None), ("/r/c", 8, Some(Duration::from_secs(60)))]);
        for (ttl, expected) in [(None, 50), (Some(20), 50), (Some(50), 50), (Some(99), 99)] {
            let node = Node {
                key: "/k".into(),
                value: String::new(),
                dir: false,
                nodes: vec![],
                modified_index: 1,
                ttl: Some(50),
            };
            assert_eq!(node.held(ttl.map(Duration::from_secs))[0].ttl, Some(Duration::from_secs(expected)));
        }
    }

    #[test]
    fn each_error_is_told_by_what_it_means() {
        let error = |code: u32| format!(r#"{{"errorCode":{code},"message":"said","cause":"/k\n","index":3}}"#);
        for (code, failure) in [
            (100, Failure::Missing),
            (101, Failure::Conflict),
            (105, Failure::Conflict),
            (401, Failure::Forgotten),
            (300, Failure::Away("/k".to_owned())),
            (203, Failure::Refused(Cause::Service, "etcd does not take it: /k".to_owned())),
        ] {
            assert_eq!(Answer::read(400, error(code).as_bytes()).err(), Some(failure), "{code}");
        }
        for (status, body, failure) in [
            (404, "404 page not found\n", Failure::NotServed),
            (413, "", Failure::Refused(Cause::Service, "etcd does not take it: HTTP status 413".to_owned())),
            (502, "<html>", Failure::Away("HTTP status 502, and no answer of etcd's".to_owned())),
            (
                500,
                r#"{"message":"Internal Server Error"}"#,
                Failure::Away("HTTP status 500: Internal Server Error".to_owned()),
            ),
        ] {
            assert_eq!(Answer::read(status, body.as_bytes()).err(), Some(failure), "{body}");
        }
        let refused = Answer::read(401, br#"{"message":"Insufficient credentials"}"#).err();
        assert_eq!(refused, Some(Failure::Refused(Cause::Rights, "Insufficient credentials".to_owned())));
    }
    proptest! {
        #[test]
        fn whatever_is_answered_is_read_without_harm(
            status in 100u16..600,
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                r#"\{"errorCode":[0-9]{1,12},"message":"(?s).{0,10}","node":(null|\{"key":"/[a-z/]{0,5}","ttl":-?[0-9]{1,20},"dir":true,"nodes":\[\{\}\]\})\}"#
                    .prop_map(String::into_bytes),
            ],
        ) {
            if let Ok(answer) = Answer::read(status, &body) {
                prop_assert!(answer.node.unwrap().held(Some(Duration::from_secs(60))).len() <= 1);
            }
        }
    }
}
