//! The oracle: what a registry should hold, worked out from containers in the plainest way.
//!
//! Written from the documentation and not from the program: nothing here uses it.

use std::collections::BTreeMap;

use crate::container::{Container, Network, Port, State};
use crate::store::{Content, Shape};

/// What a host's settings say of its services.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) hostname: String,
    /// `-ip`.
    pub(crate) ip: Option<String>,
    /// `-internal`.
    pub(crate) internal: bool,
    /// `-deregister`.
    pub(crate) deregister: &'static str,
    /// `-tags`.
    pub(crate) tags: Vec<&'static str>,
    /// `-ttl`, in seconds.
    pub(crate) ttl: Option<u64>,
    /// `-owner-meta`.
    pub(crate) records_owner: bool,
}

/// Containers by id.
pub(crate) type Containers = BTreeMap<String, Container>;

/// A service that a container offers, or offered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    pub(crate) content: Content,
    /// Its container ended, and its entry stays as it is (`-deregister on-success`, `never`).
    pub(crate) kept: bool,
    /// The network that its container shared has ended, so nobody who did not see it serve knows its place.
    pub(crate) unplaced: bool,
    /// It is there and not to be used: its container is paused, or ended.
    pub(crate) marked: bool,
    pub(crate) container: String,
    /// Its ID is one that a container says itself (`SERVICE_ID`).
    claimed: bool,
    /// How many containers were created before its own.
    pub(crate) age: u64,
}

impl Offer {
    /// The lower comes first: what runs, then whose default ID it is.
    fn class(&self) -> (bool, bool) {
        (self.kept, self.claimed && !self.kept)
    }
}

/// What may be at each key. Of several that claim one, any of the first class may have it: who came first has it, and
/// that is a matter of what the program saw.
pub(crate) type Wanted = BTreeMap<String, Vec<Offer>>;

/// What all these containers offer, by key.
pub(crate) fn wanted(containers: &Containers, rules: &Rules, host_address: &str, shape: Shape) -> Wanted {
    let mut wanted = Wanted::new();
    for (key, offer) in claims(containers, rules, host_address, shape) {
        let offers = wanted.entry(key).or_default();
        offers.push(offer);
        let first = offers.iter().map(Offer::class).min();
        offers.retain(|offer| Some(offer.class()) == first);
    }
    wanted
}

/// All that these containers offer, with the key that each claims.
pub(crate) fn claims<'a>(
    containers: &'a Containers,
    rules: &'a Rules,
    host_address: &'a str,
    shape: Shape,
) -> impl Iterator<Item = (String, Offer)> + 'a {
    let offers = |container| offers(container, containers, rules, host_address);
    containers.values().flat_map(offers).map(move |offer| (shape.key(&offer.content), offer))
}

fn offers(container: &Container, all: &Containers, rules: &Rules, host_address: &str) -> Vec<Offer> {
    let made = &container.made;
    let kept = keeps(container, all, rules);
    if !(kept || container.state.runs()) {
        return Vec::new();
    }
    let own_network = matches!(made.network, Network::Bridge);
    let reachable = |published: bool| !own_network || rules.internal || published;
    let ports: Vec<Port> = made.ports.iter().filter(|(_, it)| reachable(*it)).map(|(port, _)| *port).collect();
    if made.ignored || made.network == Network::None {
        return Vec::new();
    }
    let host = rules.ip.as_deref().unwrap_or(host_address);
    let mut offers = Vec::new();
    for port in &ports {
        let (number, udp) = *port;
        let end = end_of(container, all);
        let unplaced = end.is_none();
        let place = match end {
            // Where it was is known only while it runs, but where it shares a network.
            Some(End::Own) | None if kept => Some((String::new(), 0)),
            Some(End::Own) if rules.internal => own_address(container).map(|own| (own, number)),
            Some(End::Own) => container.published.get(port).map(|public| (host.to_owned(), *public)),
            Some(End::Other(other)) => own_address(other).map(|own| (own, number)),
            Some(End::Host) => Some((host.to_owned(), number)),
            None => None,
        };
        let Some((address, at)) = place else { continue };
        let name = made.service_name.filter(|_| !made.nonsense).unwrap_or(made.image);
        let suffix = if udp { ":udp" } else { "" };
        let default_id = format!("{}:{}:{number}{suffix}", rules.hostname, container.name);
        let mut tags: Vec<String> = made.tags.iter().chain(&rules.tags).map(|tag| (*tag).to_owned()).collect();
        if udp {
            tags.push("udp".to_owned());
        }
        let health = match container.state {
            State::Running { health, .. } => health.unwrap_or_default(),
            _ => "",
        };
        offers.push(Offer {
            content: Content {
                id: made.service_id.map_or(default_id, str::to_owned),
                name: if ports.len() > 1 { format!("{name}-{number}") } else { name.to_owned() },
                address,
                port: at,
                tags,
                health: health.to_owned(),
                ttl: rules.ttl,
                reaped_after: made.reaped_after,
            },
            kept,
            unplaced,
            marked: kept || matches!(container.state, State::Running { paused: true, .. }),
            container: container.id.clone(),
            claimed: made.service_id.is_some(),
            age: container.age,
        });
    }
    offers
}

/// Neither success nor a death by signal.
fn failed(code: i64) -> bool {
    code != 0 && code < 128
}

/// Whose network a container uses in the end.
enum End<'a> {
    Own,
    Other(&'a Container),
    Host,
}

fn end_of<'a>(container: &'a Container, all: &'a Containers) -> Option<End<'a>> {
    let mut at = container;
    for step in 0..10 {
        match &at.made.network {
            Network::Bridge if step == 0 => return Some(End::Own),
            Network::Bridge => return Some(End::Other(at)),
            Network::Host => return Some(End::Host),
            Network::None => return None,
            Network::Shared(other) => at = all.get(other).filter(|other| other.state.runs())?,
        }
    }
    None
}

fn own_address(container: &Container) -> Option<String> {
    container.networks.get("bridge").or_else(|| container.networks.values().next()).map(ToString::to_string)
}

/// Whether an ID is one that this host makes.
pub(crate) fn made_here(id: &str, hostname: &str) -> bool {
    let parts: Vec<&str> = id.split(':').collect();
    match parts[..] {
        [host, name, port] | [host, name, port, "udp"] => {
            host == hostname && !name.is_empty() && port.parse::<u16>().is_ok()
        }
        _ => false,
    }
}

/// Whether the entries of this container stay as they are: it ended, or the container whose network it shares.
pub(crate) fn keeps(container: &Container, all: &Containers, rules: &Rules) -> bool {
    match container.state {
        State::Running { .. } => {
            rules.deregister == "never"
                && matches!(container.made.network, Network::Shared(_))
                && end_of(container, all).is_none()
        }
        State::Exited(code) | State::Restarting(code) => {
            rules.deregister == "never" || rules.deregister == "on-success" && failed(code)
        }
        _ => false,
    }
}
