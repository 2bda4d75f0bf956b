//! Ports: which ports of a container others can reach, and whether by the host port or the exposed port.

use std::net::IpAddr;

use crate::container::{Binding, Container, ContainerPort, NetworkMode};

/// How others can reach a port of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The exposed port, on whatever network the container uses.
    Exposed,
    /// Through the host.
    Published {
        /// The host port; 0 until the engine has chosen one.
        port: u16,
        /// The only host address that it listens on; `None` for all.
        ip: Option<IpAddr>,
    },
    /// Not at all.
    Unpublished,
}

/// The ports of a container, each with how it is reached.
///
/// A container with its own network is reached by its published ports, or directly with `internal`. A container that
/// uses the host's or another container's network publishes nothing, so each exposed port counts as published under its
/// own number.
#[must_use]
pub fn reachable(container: &Container, internal: bool) -> Vec<(&ContainerPort, Reach)> {
    let mapped = matches!(container.network_mode, NetworkMode::Network(_) | NetworkMode::None);
    let ports = container.ports.iter().filter(|port| mapped || port.exposed);
    ports.map(|port| (port, if internal || !mapped { Reach::Exposed } else { published(&port.bindings) })).collect()
}

/// The binding to register: one with a port before one without, then the first IPv4 binding, then the first IPv6 one.
fn published(bindings: &[Binding]) -> Reach {
    let preferred =
        bindings.iter().min_by_key(|binding| (binding.port == 0, binding.ip.is_some_and(|address| address.is_ipv6())));
    preferred.map_or(Reach::Unpublished, |binding| Reach::Published {
        port: binding.port,
        ip: binding.ip.filter(|address| !address.is_unspecified()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ipv4_binding_is_registered_then_the_first_ipv6_one() {
        let on = |ip: &str, port| Reach::Published { port, ip: ip.parse().ok() };
        for (list, expected) in [
            (vec![], Reach::Unpublished),
            (vec![("0.0.0.0", 8000)], on("", 8000)),
            (vec![("", 8000)], on("", 8000)),
            (vec![("::", 8000)], on("", 8000)),
            (vec![("10.0.0.1", 8000)], on("10.0.0.1", 8000)),
            (vec![("fd00::1", 8000)], on("fd00::1", 8000)),
            (vec![("::", 8001), ("0.0.0.0", 8000)], on("", 8000)),
            (vec![("fd00::1", 8001), ("", 8000)], on("", 8000)),
            (vec![("fd00::1", 8001), ("fd00::2", 8002)], on("fd00::1", 8001)),
            (vec![("10.0.0.2", 8002), ("10.0.0.1", 8001)], on("10.0.0.2", 8002)),
            (vec![("0.0.0.0", 0), ("::", 8000)], on("", 8000)),
            (vec![("::", 0), ("10.0.0.1", 0)], on("10.0.0.1", 0)),
        ] {
            let bindings: Vec<_> = list.iter().map(|&(ip, port)| Binding { ip: ip.parse().ok(), port }).collect();
            assert_eq!(published(&bindings), expected, "{list:?}");
        }
    }
}
