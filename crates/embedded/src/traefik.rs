//! `/traefik`: what runs, as Traefik's HTTP provider reads it (<https://doc.traefik.io/traefik/providers/http/>). Pure.

use std::sync::Arc;

use registrator_traefik::{Settings, document as joined};
use serde_json::Value;

use super::catalog::{Instance, Node, Status};

/// The document of all instances that are not critical.
pub(super) fn document(node: &Node, instances: &[Arc<Instance>], settings: &Settings) -> Value {
    let usable = instances.iter().filter(|instance| instance.status() != Status::Critical);
    let shares = usable.filter_map(|instance| Some((instance.definition.traefik.as_ref()?, &*instance.definition)));
    let pieces = shares.flat_map(|(share, definition)| {
        let holder = (node.name.as_ref(), definition.id.as_ref());
        let pieces = share.pieces((&definition.address, definition.port), holder, settings);
        pieces.into_iter().map(move |piece| (share.rank(holder), piece))
    });
    joined(pieces).document
}
