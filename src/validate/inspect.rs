//! The output of `docker inspect` as containers, with the place of each key.

use std::collections::HashMap;
use std::sync::Arc;

use super::Unreadable;
use super::subject::{Key, Keys, Open, Subject};
use crate::container::{Container, Health, Protocol, State};
use crate::docker::decode;
use crate::service::metadata::Source;
use crate::yaml::{Budget, Node, Position};

/// The containers of an output; `root` is the same text as a tree.
///
/// # Errors
/// When one of them is no container.
pub(super) fn subjects(text: &str, root: &Node, budget: &Budget) -> Result<Vec<Subject>, Unreadable> {
    let not_json = |error: serde_json::Error| Unreadable {
        at: Position { line: error.line().max(1), column: error.column().max(1) },
        reason: format!("this is no JSON, as docker inspect prints it: {error}"),
    };
    let whole: serde_json::Value = serde_json::from_str(text).map_err(not_json)?;
    let (values, nodes): (Vec<_>, Vec<_>) = match whole {
        serde_json::Value::Array(values) => (values, root.items().iter().map(|node| &**node).collect()),
        value => (vec![value], vec![root]),
    };
    let mut subjects = Vec::new();
    for (value, node) in values.iter().zip(nodes) {
        let decoded = decode::inspect(value.to_string().as_bytes(), false);
        let container = decoded.map_err(|error| Unreadable {
            at: node.at,
            reason: format!("this is no container, as docker inspect prints it: {error}"),
        })?;
        subjects.extend(container.map(|container| subject(container, node, budget)));
    }
    Ok(subjects)
}

fn subject(mut container: Container, node: &Node, budget: &Budget) -> Subject {
    // What is not known of one that does not run is of no interest here.
    container.state = State::Running { paused: false, health: Health::None };
    let part = |name: &str| budget.member(node, name).map(|(_, value)| value);
    let config = part("Config");
    let of_config = |name: &str| config.and_then(|config| budget.member(config, name)).map(|(_, value)| value);
    let mut keys = Keys::default();
    for item in of_config("Env").map(Node::items).unwrap_or_default() {
        if let Some((key, _)) = item.text().and_then(|line| line.split_once('=')).filter(|_| budget.spend()) {
            keys.push(Key { key: key.to_owned(), at: item.at, known: true, source: Source::Variable });
        }
    }
    for (key, at, _) in of_config("Labels").map(|labels| budget.members(labels)).unwrap_or_default() {
        keys.push(Key { key: key.to_owned(), at: at.at, known: true, source: Source::Label });
    }
    let mut ports = HashMap::new();
    let published = ["NetworkSettings", "HostConfig"].into_iter().zip(["Ports", "PortBindings"]);
    let published = published.filter_map(|(outer, inner)| Some(budget.member(part(outer)?, inner)?.1));
    for map in of_config("ExposedPorts").into_iter().chain(published) {
        for (key, at, _) in budget.members(map) {
            let (number, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
            if let (Ok(number), Some(protocol)) = (number.parse(), Protocol::parse(protocol)) {
                ports.entry((number, protocol)).or_insert(at.at);
            }
        }
    }
    Subject {
        name: container.name.to_string(),
        at: node.at,
        ports_at: node.at,
        container: Arc::new(container),
        keys,
        ports,
        open: Open::default(),
        several: false,
        wrong_ports: Vec::new(),
        misplaced: Vec::new(),
    }
}
