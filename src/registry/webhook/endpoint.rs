//! Sets of records in the JSON of external-dns (`endpoint.Endpoint`, `plan.Changes`). Pure.
//!
//! Providers are written in many languages, so any member may be missing or null, one set may come in several parts, names
//! may end with a dot, and a TXT record may be in quotes or not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use crate::json;

/// The most values in an answer: some 100,000 sets.
const MOST_VALUES: usize = 1 << 22;

/// The types that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    A,
    Aaaa,
    Cname,
    Srv,
    Txt,
}

impl Kind {
    const ALL: [Self; 5] = [Self::A, Self::Aaaa, Self::Cname, Self::Srv, Self::Txt];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }

    /// The one spelling of a target, by which two are compared.
    fn spelt(self, target: &str) -> String {
        let host = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
        match self {
            Self::A | Self::Aaaa => target.trim().parse().map_or_else(|_| host(target), |ip: IpAddr| ip.to_string()),
            Self::Cname => host(target.trim()),
            Self::Srv => target.split_whitespace().map(host).collect::<Vec<_>>().join(" "),
            Self::Txt => {
                let target = target.trim();
                let inner = target.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                inner.unwrap_or(target).replace("\\\"", "\"")
            }
        }
    }

    /// A target as it is sent.
    fn sent(self, target: &str) -> String {
        match self {
            Self::Txt => format!("\"{}\"", target.replace('"', "\\\"")),
            // RFC 2782 and external-dns: the target of SRV ends with a dot.
            Self::Srv => format!("{target}."),
            Self::A | Self::Aaaa | Self::Cname => target.to_owned(),
        }
    }
}

/// A name in lower case without a dot at its end, and a type.
pub(super) type Key = (String, Kind);

/// A set of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// The targets, each in the one spelling.
    pub(super) targets: BTreeSet<String>,
    /// In seconds; 0 where the provider does not say.
    pub(super) ttl: u64,
    /// Whether it is one of several sets for a policy (weighted, by region): none that we would write.
    pub(super) is_routed: bool,
    /// What the provider needs to find it again.
    labels: Option<Value>,
    /// Settings of the provider's own.
    specific: Option<Value>,
}

impl Set {
    pub(super) fn new(targets: BTreeSet<String>, ttl: u32) -> Self {
        Self { targets, ttl: ttl.into(), ..Self::default() }
    }

    /// The set that takes the place of another: what the provider keeps of it stays.
    fn in_place_of(&self, old: &Self) -> Self {
        Self {
            labels: old.labels.clone().or_else(|| self.labels.clone()),
            specific: self.specific.clone().or_else(|| old.specific.clone()),
            ..self.clone()
        }
    }
}

/// Reads sets; `None` if the answer is no list of them.
pub(super) fn read(body: &[u8]) -> Option<HashMap<Key, Set>> {
    let elements = match json::owned(body, MOST_VALUES).ok()? {
        Value::Array(elements) => elements,
        // An empty list of Go.
        Value::Null => Vec::new(),
        _ => return None,
    };
    let mut sets = HashMap::<Key, Set>::new();
    for element in elements {
        let Value::Object(mut members) = element else { return None };
        let name = members.get("dnsName").and_then(Value::as_str)?;
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let Some(kind) = Kind::parse(members.get("recordType").and_then(Value::as_str)?) else { continue };
        let ttl = members.get("recordTTL").and_then(Value::as_u64).unwrap_or_default();
        let is_routed = members.get("setIdentifier").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        let targets = members.get("targets").and_then(Value::as_array).into_iter().flatten();
        let targets: Vec<_> = targets.filter_map(Value::as_str).map(|target| kind.spelt(target)).collect();
        let mut kept = |name: &str| members.remove(name).filter(|value| !value.is_null());
        let (labels, specific) = (kept("labels"), kept("providerSpecific"));
        let set = sets.entry((name, kind)).or_default();
        set.targets.extend(targets);
        set.ttl = set.ttl.max(ttl);
        set.is_routed |= is_routed;
        set.labels = set.labels.take().or(labels);
        set.specific = set.specific.take().or(specific);
    }
    Some(sets)
}

/// A set as it is sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint<'a> {
    dns_name: &'a str,
    targets: Vec<String>,
    record_type: &'static str,
    #[serde(rename = "recordTTL", skip_serializing_if = "Option::is_none")]
    record_ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_specific: Option<&'a Value>,
}

/// A set as it is sent.
pub(super) fn endpoint<'a>((name, kind): &'a Key, set: &'a Set) -> Endpoint<'a> {
    Endpoint {
        dns_name: name,
        targets: set.targets.iter().map(|target| kind.sent(target)).collect(),
        record_type: kind.as_str(),
        record_ttl: Some(set.ttl).filter(|ttl| *ttl > 0),
        labels: set.labels.as_ref(),
        provider_specific: set.specific.as_ref(),
    }
}

/// What becomes of sets: the new one, or none.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<Key, (Option<Set>, Option<Set>)>);

impl Changes {
    /// One set becomes another. If nothing would change, nothing is added.
    pub(super) fn add(&mut self, key: Key, old: Option<&Set>, new: Option<Set>) {
        let is_equal = match (old, &new) {
            (None, None) => true,
            (Some(old), Some(new)) => {
                old.targets == new.targets && (old.ttl == new.ttl || old.ttl == 0 || new.ttl == 0)
            }
            _ => false,
        };
        if !is_equal {
            let new = new.map(|new| old.map_or_else(|| new.clone(), |old| new.in_place_of(old)));
            self.0.insert(key, (old.cloned(), new));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sets that are changed, each as it will be.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, Option<&Set>)> {
        self.0.iter().map(|(key, (_, new))| (key, new.as_ref()))
    }

    /// Whether a set of this type is made or changed.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.iter().any(|(key, new)| key.1 == kind && new.is_some())
    }

    /// The body of a request, in an order that is safe if the provider stops halfway. The mark of a shared set comes before
    /// the set, so that the set is never without it. A claim (`is_claim`) comes last, so that no entry is known whose records
    /// the provider does not take. Whatever says whose a set is goes after the set.
    ///
    /// # Errors
    /// Never, since all of it is text and numbers.
    pub(super) fn to_json(&self, is_claim: impl Fn(&Key) -> bool) -> serde_json::Result<Vec<u8>> {
        #[derive(Default, Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            create: Vec<Endpoint<'a>>,
            update_old: Vec<Endpoint<'a>>,
            update_new: Vec<Endpoint<'a>>,
            delete: Vec<Endpoint<'a>>,
        }
        let mut body = Body::default();
        let (txt, others): (Vec<_>, Vec<_>) = self.0.iter().partition(|((_, kind), _)| *kind == Kind::Txt);
        let (claims, marks): (Vec<_>, Vec<_>) = txt.iter().copied().partition(|(key, _)| is_claim(key));
        for (key, change) in marks.iter().chain(&others).chain(&claims) {
            match change {
                (None, Some(new)) => body.create.push(endpoint(key, new)),
                (Some(old), Some(new)) => {
                    body.update_old.push(endpoint(key, old));
                    body.update_new.push(endpoint(key, new));
                }
                (Some(_) | None, None) => {}
            }
        }
        for (key, change) in others.iter().chain(&txt) {
            if let (Some(old), None) = change {
                body.delete.push(endpoint(key, old));
            }
        }
        serde_json::to_vec(&body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sets(value: &Value) -> Option<HashMap<Key, Set>> {
        read(value.to_string().as_bytes())
    }

    fn key(name: &str, kind: Kind) -> Key {
        (name.to_owned(), kind)
    }

    fn set(targets: &[&str], ttl: u32) -> Set {
        Set::new(targets.iter().map(|target| (*target).to_owned()).collect(), ttl)
    }

    #[test]
    fn sets_are_read_whatever_their_spelling() {
        let read = sets(&json!([
            {"dnsName": "Web.Example.com.", "recordType": "A", "targets": ["10.0.0.1"], "recordTTL": 60},
            {"dnsName": "web.example.com", "recordType": "a", "targets": ["10.0.0.2"], "labels": null},
            {"dnsName": "v6.example.com", "recordType": "AAAA", "targets": ["2001:DB8:0::1"]},
            {"dnsName": "_web._tcp.example.com", "recordType": "SRV", "targets": ["0  0 80 Web.example.com."]},
            {"dnsName": "a-web.example.com", "recordType": "TXT", "targets": ["\"heritage=x,y=Z\"", "plain"]},
            {"dnsName": "x.example.com", "recordType": "A", "targets": null, "setIdentifier": "one"},
            {"dnsName": "x.example.com", "recordType": "MX", "targets": ["10 mail"]},
        ]))
        .unwrap();
        assert_eq!(read.len(), 5);
        assert_eq!(read[&key("web.example.com", Kind::A)], set(&["10.0.0.1", "10.0.0.2"], 60));
        assert!(read[&key("v6.example.com", Kind::Aaaa)].targets.contains("2001:db8::1"));
        assert!(read[&key("_web._tcp.example.com", Kind::Srv)].targets.contains("0 0 80 web.example.com"));
        assert_eq!(read[&key("a-web.example.com", Kind::Txt)], set(&["heritage=x,y=Z", "plain"], 0));
        assert!(read[&key("x.example.com", Kind::A)].is_routed);
        assert_eq!(sets(&Value::Null).map(|sets| sets.len()), Some(0));
        for odd in [json!({}), json!("x"), json!([1]), json!([{"dnsName": "x"}]), json!([{"recordType": "A"}])] {
            assert_eq!(sets(&odd), None, "{odd}");
        }
    }

    #[test]
    fn changes_are_in_an_order_that_leaves_nothing_without_its_owner() {
        let old = sets(&json!([{"dnsName": "u", "recordType": "A", "targets": ["10.0.0.1"], "labels": {"k": "v"},
            "providerSpecific": [{"name": "p", "value": "q"}]}]))
        .unwrap();
        let mut changes = Changes::default();
        changes.add(key("n", Kind::A), None, Some(set(&["10.0.0.1"], 60)));
        changes.add(key("n", Kind::Txt), None, Some(set(&["o"], 60)));
        changes.add(key("n", Kind::Srv), None, Some(set(&["0 0 80 n"], 60)));
        changes.add(key("a", Kind::Txt), None, Some(set(&["c"], 60)));
        changes.add(key("u", Kind::A), Some(&old[&key("u", Kind::A)]), Some(set(&["10.0.0.2"], 60)));
        changes.add(key("g", Kind::Txt), Some(&set(&["o"], 60)), None);
        changes.add(key("g", Kind::A), Some(&set(&["10.0.0.1"], 60)), None);
        // Nothing would change.
        changes.add(key("e", Kind::A), Some(&set(&["10.0.0.1"], 0)), Some(set(&["10.0.0.1"], 60)));
        changes.add(key("e", Kind::Txt), None, None);
        let body: Value = serde_json::from_slice(&changes.to_json(|(name, _)| name == "a").unwrap()).unwrap();
        let old = json!({"labels": {"k": "v"}, "providerSpecific": [{"name": "p", "value": "q"}]});
        let with = |targets: &str, ttl: bool| {
            let mut value = old.clone();
            value["dnsName"] = "u".into();
            value["recordType"] = "A".into();
            value["targets"] = json!([targets]);
            if ttl {
                value["recordTTL"] = 60.into();
            }
            value
        };
        let expected = json!({
            "create": [
                {"dnsName": "n", "recordType": "TXT", "targets": ["\"o\""], "recordTTL": 60},
                {"dnsName": "n", "recordType": "A", "targets": ["10.0.0.1"], "recordTTL": 60},
                {"dnsName": "n", "recordType": "SRV", "targets": ["0 0 80 n."], "recordTTL": 60},
                {"dnsName": "a", "recordType": "TXT", "targets": ["\"c\""], "recordTTL": 60},
            ],
            "updateOld": [with("10.0.0.1", false)],
            "updateNew": [with("10.0.0.2", true)],
            "delete": [
                {"dnsName": "g", "recordType": "A", "targets": ["10.0.0.1"], "recordTTL": 60},
                {"dnsName": "g", "recordType": "TXT", "targets": ["\"o\""], "recordTTL": 60},
            ],
        });
        assert_eq!(body, expected);
        assert!(changes.has(Kind::Srv) && !changes.has(Kind::Aaaa));
    }
}
