//! A reader of SkyDNS's format: does with names, keys and records what its documentation says.

#![allow(clippy::expect_used, clippy::panic, dead_code, unreachable_pub, reason = "a module of several test programs")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use hickory_proto::rr::Name;
use serde_json::Value;
use testkit::http::{Request, send};
use testkit::net::Place;

/// Every key below the tree, with what it holds.
pub struct Reader(pub BTreeMap<String, String>);

/// An answer to a question for SRV.
#[derive(Debug)]
pub struct Srv {
    pub priority: u64,
    pub weight: u64,
    pub port: u16,
    pub target: String,
    /// What a question for TXT is answered with.
    pub text: String,
    /// Where the record says one.
    pub ttl: Option<u64>,
}

impl Reader {
    /// The name that the record with this port has.
    pub fn name_of(&self, port: u16) -> String {
        let holds = |value: &&String| record(value)["port"] == port;
        let key = self.0.iter().find(|(_, value)| holds(value)).expect("a record").0;
        name(key)
    }

    /// The answers for a name: of all that is below it, or of itself.
    pub fn srv(&self, asked: &str) -> Vec<Srv> {
        self.found(asked)
            .into_iter()
            .map(|(key, record)| {
                let host = record["host"].as_str().expect("a host");
                let is_address = host.parse::<IpAddr>().is_ok();
                Srv {
                    priority: record["priority"].as_u64().unwrap_or(10),
                    weight: record["weight"].as_u64().unwrap_or(0),
                    port: record["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port"),
                    // The target of an address is the name of the key.
                    target: if is_address { name(key) } else { host.to_owned() },
                    text: record["text"].as_str().unwrap_or_default().to_owned(),
                    ttl: record["ttl"].as_u64(),
                }
            })
            .collect()
    }

    /// The addresses for a name.
    pub fn addresses(&self, asked: &str) -> Vec<String> {
        self.found(asked).into_iter().map(|(_, record)| record["host"].as_str().expect("a host").to_owned()).collect()
    }

    fn found(&self, asked: &str) -> Vec<(&str, Value)> {
        let path = path(asked);
        let below = format!("{path}/");
        let mut found: Vec<_> = self.0.iter().filter(|(key, _)| key.starts_with(&below)).collect();
        if found.is_empty() {
            found.extend(self.0.get_key_value(&path));
        }
        found.into_iter().map(|(key, value)| (key.as_str(), record(value))).collect()
    }
}

fn record(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// The key that a name stands for, as a server takes it from a question: in lower case, label by label.
fn path(name: &str) -> String {
    let name = Name::from_str(name).expect("a name that can be asked for").to_lowercase();
    let labels: Vec<_> = name.iter().map(|label| String::from_utf8(label.to_vec()).expect("text")).collect();
    labels.iter().rev().fold("/skydns".to_owned(), |path, label| path + "/" + label)
}

/// The name that a key stands for.
fn name(key: &str) -> String {
    let labels = key.strip_prefix("/skydns/").expect("a key of the tree").split('/');
    labels.rev().collect::<Vec<_>>().join(".")
}

/// Every key below one, by etcd's v2 API, as SkyDNS lists them.
pub async fn keys_of_v2(server: SocketAddr, root: &str) -> BTreeMap<String, String> {
    let path = format!("/v2/keys{root}?recursive=true");
    let request = Request { method: "GET".to_owned(), path, ..Request::default() };
    let reply = send(&Place::Tcp(server), &request).await.expect("an answer");
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let mut keys = BTreeMap::new();
    let mut left = vec![answer["node"].clone()];
    while let Some(node) = left.pop() {
        if let (Some(key), Some(value)) = (node["key"].as_str(), node["value"].as_str()) {
            keys.insert(key.to_owned(), value.to_owned());
        }
        left.extend(node["nodes"].as_array().into_iter().flatten().cloned());
    }
    keys
}
