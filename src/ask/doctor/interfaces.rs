//! Whether an address is that of an engine's bridge, such as docker0.

use std::net::Ipv4Addr;

/// The engine's bridge whose network has this address, by the lines of `/proc/net/route`; `None` if it is none's.
///
/// Docker names its bridges `docker0`, `docker_gwbridge` and `br-` with 12 digits of the network's ID, Podman `podman0` and
/// so on. A bridge of the host's own, such as `br0`, is fine.
pub(super) fn bridge_of(routes: &str, address: Ipv4Addr) -> Option<String> {
    let address = u32::from(address);
    let mut best: Option<(u32, &str)> = None;
    for line in routes.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (Some(name), Some(network), Some(gateway), Some(mask)) =
            (fields.first(), number(fields.get(1)), number(fields.get(2)), number(fields.get(7)))
        else {
            continue;
        };
        let is_direct = gateway == 0 && mask != 0;
        if is_direct && address & mask == network && best.is_none_or(|(other, _)| mask > other) {
            best = Some((mask, name));
        }
    }
    best.map(|(_, name)| name).filter(|name| is_of_an_engine(name)).map(str::to_owned)
}

/// An address in the table: hexadecimal, in the byte order of the machine.
fn number(field: Option<&&str>) -> Option<u32> {
    Some(u32::from_be(u32::from_str_radix(field?, 16).ok()?))
}

fn is_of_an_engine(name: &str) -> bool {
    let is_podmans = |prefix| name.strip_prefix(prefix).is_some_and(|rest: &str| rest.parse::<u16>().is_ok());
    let digits = name.strip_prefix("br-").unwrap_or_default();
    matches!(name, "docker0" | "docker_gwbridge")
        || (digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        || is_podmans("podman")
        || is_podmans("cni-podman")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bridge_of_an_engine_is_one() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                      eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                      eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                      docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                      br-0123456789ab\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                      br0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                      podman1\t0000580A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                      tun0\t0000120A\t0100000A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        for (address, expected) in [
            ("172.17.0.1", Some("docker0")),
            ("172.18.0.1", Some("br-0123456789ab")),
            ("10.88.0.1", Some("podman1")),
            ("10.0.0.5", None),
            ("192.168.1.4", None),
            ("10.18.0.1", None),
            ("8.8.8.8", None),
        ] {
            assert_eq!(bridge_of(routes, address.parse().unwrap()).as_deref(), expected, "{address}");
        }
        assert_eq!(bridge_of("", Ipv4Addr::LOCALHOST), None);
        assert_eq!(bridge_of("head\neth0 x y\n", Ipv4Addr::LOCALHOST), None);
    }
}
