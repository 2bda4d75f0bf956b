//! The JSON of Traefik's HTTP provider: that of a file, read as a whole.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::object::{Object, Path, Piece, Rank, Section, Step, wins};
use crate::value::Value;

/// What containers add, in one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// The document.
    pub document: Json,
    /// Definitions that do not count.
    pub overruled: Vec<Overruled>,
}

/// A definition that does not count, since an older container defines the object differently.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Overruled {
    /// The object: `http/routers/web`.
    pub object: String,
    /// The ID of the service whose definition counts.
    pub by: String,
    /// The ID of the other.
    pub id: String,
}

/// Joins what containers add into one document. Where two define an object differently, the older one counts.
#[must_use]
pub fn document<'a>(pieces: impl IntoIterator<Item = (Rank<'a>, Piece)>) -> Joined {
    let mut objects: BTreeMap<String, (Rank<'a>, Piece)> = BTreeMap::new();
    let mut overruled = Vec::new();
    for (rank, piece) in pieces {
        let key = piece.object.to_string().to_lowercase();
        let mut over = |winner: &(Rank<'_>, Piece), loser: &(Rank<'_>, Piece)| {
            if winner.1.options != loser.1.options {
                let (by, id) = (winner.0.id.to_owned(), loser.0.id.to_owned());
                overruled.push(Overruled { object: loser.1.object.to_string(), by, id });
            }
        };
        let new = (rank, piece);
        match objects.get_mut(&key) {
            Some(there) if wins(&new.0, &there.0) => {
                let loser = std::mem::replace(there, new);
                over(there, &loser);
            }
            Some(there) => over(there, &new),
            None => drop(objects.insert(key, new)),
        }
    }
    let mut document = Map::new();
    for (_, Piece { object, options }) in objects.into_values() {
        let Object { section, protocol, name, server } = object;
        let protocol = child(&mut document, protocol.as_str());
        let section_map = child(protocol, section.as_str());
        let object = child(section_map, &name);
        match (section, server) {
            (Section::Services, Some(_)) => {
                let balancer = child(object, "loadBalancer");
                let servers = balancer.entry("servers").or_insert_with(|| Json::Array(Vec::new()));
                if let Json::Array(servers) = servers {
                    servers.push(Json::Object(tree(&options)));
                }
            }
            _ => merge(object, tree(&options)),
        }
    }
    Joined { document: Json::Object(document), overruled }
}

/// The object at this key; created if there is none.
fn child<'a>(map: &'a mut Map<String, Json>, key: &str) -> &'a mut Map<String, Json> {
    let value = map.entry(key.to_owned()).or_insert_with(|| Json::Object(Map::new()));
    if !value.is_object() {
        *value = Json::Object(Map::new());
    }
    match value {
        Json::Object(map) => map,
        _ => unreachable!("it was just made an object"),
    }
}

fn merge(into: &mut Map<String, Json>, from: Map<String, Json>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Json::Object(there)), Json::Object(more)) => merge(there, more),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// The options of an object as a tree.
fn tree(options: &BTreeMap<Path, Value>) -> Map<String, Json> {
    let all: Vec<(&[Step], &Value)> = options.iter().map(|(path, value)| (path.as_slice(), value)).collect();
    match branch(&all) {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

/// What stands below one place. A switch beside options is only there to make the object.
fn branch(options: &[(&[Step], &Value)]) -> Json {
    if let [([], value)] = options {
        return value.json();
    }
    let mut below: BTreeMap<&Step, Vec<(&[Step], &Value)>> = BTreeMap::new();
    for (path, value) in options {
        if let [first, rest @ ..] = path {
            below.entry(first).or_default().push((rest, value));
        }
    }
    if below.keys().all(|step| matches!(step, Step::At(_))) && !below.is_empty() {
        return Json::Array(below.into_values().map(|options| branch(&options)).collect());
    }
    let named = below.into_iter().filter_map(|(step, options)| match step {
        Step::Name(name) => Some((name.clone(), branch(&options))),
        Step::At(_) => None,
    });
    Json::Object(named.collect())
}
