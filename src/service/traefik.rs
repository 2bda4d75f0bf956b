//! What a service adds to Traefik's configuration, by the labels of its container. `registrator-traefik` reads them.

use std::sync::Arc;

use registrator_traefik::{Addition, LeftOut, Piece, Place, Settings, Share, Transport};

use crate::container::{COMPOSE, Container, Health, Protocol};

use super::decision::{Decision, Field, Rule};
use super::explained::PortDecisions;
use super::notes::{Notes, quote, quote_key};
use super::{Origin, Service};

/// What a service adds to Traefik's configuration, written under this owner's name. Nothing if its container is not
/// healthy, as with Traefik's own Docker provider.
#[must_use]
pub fn pieces(service: &Service, owner: &str, settings: &Settings) -> Vec<Piece> {
    match share(service) {
        Some(share) if is_well(service.health) && service.port > 0 && !service.address.is_empty() => {
            share.pieces((&service.address, service.port), (owner, &service.id), settings)
        }
        _ => Vec::new(),
    }
}

/// Whether a service adds anything to Traefik's configuration.
#[must_use]
pub fn adds(service: &Service, settings: &Settings) -> bool {
    is_well(service.health) && share(service).is_some_and(|share| share.adds(settings))
}

/// The share of a service in what its container adds.
#[must_use]
pub fn share(service: &Service) -> Option<Share> {
    let Origin { exposed_port, created, .. } = &service.origin;
    let addition = Arc::clone(service.traefik.as_ref()?);
    Some(Share { addition, exposed: *exposed_port, transport: transport(service.protocol)?, since: created.0 })
}

fn is_well(health: Health) -> bool {
    matches!(health, Health::None | Health::Healthy)
}

fn transport(protocol: Protocol) -> Option<Transport> {
    match protocol {
        Protocol::Tcp => Some(Transport::Tcp),
        Protocol::Udp => Some(Transport::Udp),
        // Traefik knows none.
        Protocol::Sctp => None,
    }
}

/// Adds to the services of a container what they are for Traefik. Returns a line for each label that is left out.
pub(super) fn add(container: &Container, services: &mut [Service]) -> Vec<String> {
    let (addition, notes) = read(container, services.iter());
    for service in services {
        service.traefik = Some(Arc::clone(&addition));
    }
    notes
}

/// As [`add`], with a decision for each port.
pub(super) fn explain(container: &Container, ports: &mut [PortDecisions]) -> Vec<String> {
    let (addition, notes) = read(container, ports.iter().filter_map(|port| port.outcome.as_ref().ok()));
    let settings = Settings::default();
    for port in ports {
        let Ok(service) = &mut port.outcome else { continue };
        service.traefik = Some(Arc::clone(&addition));
        let objects = pieces(service, "", &settings).into_iter().map(|piece| piece.object.to_string());
        let objects: Vec<_> = objects.map(|object| in_short(&object)).collect();
        let (value, rule) = match (objects.is_empty(), is_well(service.health)) {
            (false, _) => (objects.join(", "), Rule::TraefikLabels),
            (true, false) => ("nothing".to_owned(), Rule::NotForTraefik("its container is not healthy")),
            (true, true) => {
                let why = "its container's labels name another port, or have traefik.enable=false";
                ("nothing".to_owned(), Rule::NotForTraefik(why))
            }
        };
        port.decisions.push(Decision::new(Field::Traefik, value, rule));
    }
    notes
}

/// The name of an object, without a server's number.
fn in_short(object: &str) -> String {
    match object.split_once("/loadBalancer/servers/") {
        Some((service, _)) => format!("a server of {service}"),
        None => object.to_owned(),
    }
}

fn read<'a>(container: &Container, services: impl Iterator<Item = &'a Service>) -> (Arc<Addition>, Vec<String>) {
    let places: Vec<Place> = services
        .filter_map(|service| {
            let transport = transport(service.protocol)?;
            Some(Place { exposed: service.origin.exposed_port, registered: service.port, transport })
        })
        .collect();
    let labels = container.labels.iter().map(|(label, value)| (label.as_str(), value.as_str()));
    let (addition, left_out) = Addition::read(&name(container), labels, &places);
    let mut notes = Notes::default();
    left_out.iter().for_each(|left_out| notes.add(note(left_out)));
    (Arc::new(addition), notes.into_lines())
}

/// The name that Traefik's Docker provider knows a container by: that of its service and project in Compose, else its own.
fn name(container: &Container) -> String {
    let [project, service] = COMPOSE.map(|label| container.labels.get(label));
    match (service, project) {
        (Some(service), Some(project)) => format!("{service}_{project}"),
        _ => container.name.to_string(),
    }
}

fn note(LeftOut { label, value, why }: &LeftOut) -> String {
    let value = value.as_deref().map(|value| format!("={}", quote(value))).unwrap_or_default();
    format!("label {}{value} is left out of Traefik's configuration: {why}", quote_key(label))
}
