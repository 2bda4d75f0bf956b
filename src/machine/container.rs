//! Detects that this program runs in a container without `--net=host`: its host name is the container's ID, and its
//! address is on a bridge.
//!
//! Both change with the next container, and other hosts cannot reach the address. This is the most frequent mistake
//! with a first `docker run`, so the start reports it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::address::{default_route, name};

/// The length of a container's ID. Its first 12 characters are the default host name.
const ID: usize = 64;
const SHORT_ID: usize = 12;

/// A warning about the name and the address under which services are registered; `None` if both are fine.
///
/// `address` is the detected one; `None` if it is not used or a person set it.
#[must_use]
pub fn advice(hostname: &str, address: Option<&str>) -> Option<String> {
    let around = Surroundings::of_process()?;
    // A name that a person set is intended.
    let hostname = Some(hostname).filter(|hostname| *hostname == name());
    around.advice(hostname, address)
}

/// What a process in a container can learn about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Surroundings {
    /// Its ID, if the system shows it.
    id: Option<String>,
    /// The address of its end of a veth pair; the other end is on a bridge of the engine.
    bridged: Option<IpAddr>,
}

impl Surroundings {
    /// Of this process; `None` if it does not run in a container.
    fn of_process() -> Option<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let id = container_id(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        let is_marked = ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists());
        let is_container = id.is_some() || is_marked || is_container_group(&read("/proc/self/cgroup"));
        is_container.then(|| Self { id, bridged: default_route().filter(|_| is_bridged()) })
    }

    fn advice(&self, hostname: Option<&str>, address: Option<&str>) -> Option<String> {
        let hostname = hostname.filter(|hostname| match &self.id {
            Some(id) => hostname.len() >= SHORT_ID && id.starts_with(hostname),
            None => is_id(hostname),
        });
        let address =
            address.filter(|address| self.bridged.is_some_and(|bridged| address.parse::<IpAddr>() == Ok(bridged)));
        match (hostname, address) {
            (None, None) => None,
            (Some(hostname), None) => Some(format!(
                "services are registered under the host name {hostname:?}, which is this container's ID and changes with the \
                 next container: run it with --net=host, or give the host's name (-hostname, or docker run -h)"
            )),
            (None, Some(address)) => Some(format!(
                "services are registered at {address}, which is this container's own address and unreachable from other \
                 hosts: run it with --net=host, or give the host's address (-ip)"
            )),
            (Some(hostname), Some(address)) => Some(format!(
                "services are registered under the host name {hostname:?}, which is this container's ID and changes with the \
                 next container, and at {address}, its own address, which is unreachable from other hosts: run it with \
                 --net=host, or give the host's name (-hostname, or docker run -h) and address (-ip)"
            )),
        }
    }
}

/// The ID of the container that this process runs in, if the system shows it.
#[must_use]
pub fn own_container() -> Option<String> {
    Surroundings::of_process()?.id
}

/// Whether this process runs in a container with a network of its own, so that the host's addresses are not its own.
#[must_use]
pub fn is_on_a_bridge() -> bool {
    Surroundings::of_process().is_some_and(|around| around.bridged.is_some())
}

/// Whether a host name looks like a container's ID.
#[must_use]
pub fn is_id(text: &str) -> bool {
    [SHORT_ID, ID].contains(&text.len()) && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The ID of the container. Engines mount some files in `/etc` from a folder named after it; with cgroups version 1,
/// they also name its group after it.
fn container_id(mountinfo: &str, cgroup: &str) -> Option<String> {
    let ours = |line: &&str| {
        let place = line.split(' ').nth(4);
        matches!(place, Some("/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf"))
    };
    // proc(5): the fourth field is the mounted folder, the fifth is the mount point.
    let mounted = mountinfo.lines().filter(ours).filter_map(|line| line.split(' ').nth(3));
    let groups = cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    mounted.chain(groups).find_map(|path| {
        let mut parts = path.split(|c: char| !c.is_ascii_alphanumeric());
        parts.rfind(|part| part.len() == ID && is_hex(part)).map(str::to_owned)
    })
}

/// Whether a process of this group runs in a container, even without a known ID.
fn is_container_group(cgroup: &str) -> bool {
    ["/docker", "/libpod", "/kubepods", "/containerd", "/crio"].iter().any(|name| cgroup.contains(name))
}

/// Whether the interface with the default route is one end of a veth pair, and no engine runs in the same network
/// namespace.
///
/// With `--net=host`, the engine's bridge is visible; with a macvlan or ipvlan network, the address belongs to the
/// host's own network.
fn is_bridged() -> bool {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let Some(name) = interface(&routes) else { return false };
    let net = Path::new("/sys/class/net");
    let of = |file: &str| fs::read_to_string(net.join(name).join(file)).unwrap_or_default();
    let has_bridge =
        fs::read_dir(net).into_iter().flatten().flatten().any(|other| other.path().join("bridge").exists());
    !has_bridge && is_pair(&of("ifindex"), &of("iflink"), &of("uevent"))
}

/// The interface of the default route, from `/proc/net/route`.
fn interface(routes: &str) -> Option<&str> {
    let mut fields = routes.lines().skip(1).map(str::split_whitespace);
    fields
        .find_map(|mut route| Some((route.next()?, route.next()?)).filter(|(_, to)| *to == "00000000"))
        .map(|(name, _)| name)
}

/// Whether an interface is one end of a veth pair: it is linked to another one, and is not of a kind (macvlan, ipvlan)
/// with its own presence in that one's network.
fn is_pair(index: &str, link: &str, uevent: &str) -> bool {
    let kind = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    !link.trim().is_empty() && index.trim() != link.trim() && matches!(kind, None | Some("veth"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "b84e81f50551e34295278e48a50bcad514c88697b4bb53a2f09433de0cded3df";

    #[test]
    fn only_a_containers_own_name_and_address_cause_a_warning() {
        let around = |id: Option<&str>, bridged: Option<&str>| Surroundings {
            id: id.map(str::to_owned),
            bridged: bridged.map(|address| address.parse().unwrap()),
        };
        let id = Some(LONG);
        for (id, bridged, hostname, address, told) in [
            // As after a plain `docker run`.
            (id, Some("172.17.0.4"), Some("b84e81f50551"), Some("172.17.0.4"), (true, true)),
            (id, Some("172.17.0.4"), Some(LONG), Some("172.17.0.4"), (true, true)),
            // With -h, with -hostname, with -ip, with all.
            (id, Some("172.17.0.4"), Some("web1"), Some("172.17.0.4"), (false, true)),
            (id, Some("172.17.0.4"), None, Some("172.17.0.4"), (false, true)),
            (id, Some("172.17.0.4"), Some("b84e81f50551"), None, (true, false)),
            (id, Some("172.17.0.4"), None, None, (false, false)),
            // With --net=host, and without its own address.
            (id, None, Some("web1"), Some("10.0.0.5"), (false, false)),
            (id, Some("172.17.0.4"), Some("web1"), Some("10.0.0.5"), (false, false)),
            (id, Some("172.17.0.4"), Some("web1"), Some("127.0.0.1"), (false, false)),
            // A host name that looks like an ID, while the container's ID is known to be another.
            (id, None, Some("0123456789ab"), Some("10.0.0.5"), (false, false)),
            (id, None, Some("b8"), Some("10.0.0.5"), (false, false)),
            // The ID is not known.
            (None, Some("fd00::4"), Some("b84e81f50551"), Some("fd00::4"), (true, true)),
            (None, None, Some(LONG), None, (true, false)),
            (None, None, Some("b84e81f5055"), None, (false, false)),
            (None, None, Some("b84e81f5055x"), None, (false, false)),
            (None, None, Some("B84E81F50551"), None, (false, false)),
        ] {
            let said = around(id, bridged).advice(hostname, address);
            let says = |text: &str| said.as_ref().is_some_and(|said| said.contains(text));
            assert_eq!((says("-hostname"), says("-ip")), told, "{id:?} {bridged:?} {hostname:?} {address:?}: {said:?}");
            assert_eq!(said.is_some(), told != (false, false));
            assert!(said.is_none() || says("--net=host"));
        }
    }

    #[test]
    fn the_id_of_the_container_is_found_where_engines_leave_it() {
        let docker = format!(
            "27 1 254:0 / / rw - ext4 /dev/vda rw\n158 141 254:0 /var/lib/docker/containers/{LONG}/resolv.conf \
             /etc/resolv.conf rw,relatime - ext4 /dev/vda rw"
        );
        let podman = format!(
            "99 1 0:44 /containers/storage/overlay-containers/{LONG}/userdata/hostname /etc/hostname rw - tmpfs tmpfs rw"
        );
        // A mounted volume of another container.
        let other = format!("99 1 0:44 /var/lib/docker/containers/{LONG}/x /data rw - ext4 /dev/vda rw");
        for (mountinfo, cgroup, found) in [
            (docker.as_str(), "0::/", true),
            (&podman, "", true),
            (&other, "0::/", false),
            ("", &format!("9:name=systemd:/docker/{LONG}\n0::/docker/{LONG}"), true),
            ("", &format!("1:cpu:/system.slice/docker-{LONG}.scope"), true),
            ("", &format!("1:cpu:/machine.slice/libpod-{LONG}.scope/container"), true),
            ("", "0::/user.slice/user-1000.slice/session-2.scope", false),
            ("", "0::/process_api/0f5c0ab32bc2995d08ff22690e40a018", false),
            ("garbage", ":", false),
        ] {
            assert_eq!(container_id(mountinfo, cgroup).as_deref(), found.then_some(LONG), "{mountinfo} {cgroup}");
        }
    }

    #[test]
    fn only_one_of_a_pair_of_interfaces_leads_to_a_bridge() {
        for (index, link, uevent, expected) in [
            ("282\n", "283\n", "INTERFACE=eth0\nIFINDEX=282\n", true),
            ("282\n", "283\n", "DEVTYPE=veth\nINTERFACE=eth0\n", true),
            ("4\n", "4\n", "INTERFACE=eth0\nIFINDEX=4\n", false),
            ("9\n", "4\n", "DEVTYPE=macvlan\nINTERFACE=eth0\n", false),
            ("9\n", "4\n", "DEVTYPE=ipvlan\n", false),
            ("9\n", "4\n", "DEVTYPE=vlan\n", false),
            ("", "", "", false),
        ] {
            assert_eq!(is_pair(index, link, uevent), expected, "{index} {link} {uevent}");
        }
    }

    #[test]
    fn the_interface_is_that_of_the_default_route() {
        let head = "Iface\tDestination\tGateway \tFlags\n";
        for (routes, expected) in [
            ("docker0\t000011AC\t00000000\t0001\neth0\t00000000\t010011AC\t0003\n", Some("eth0")),
            ("docker0\t000011AC\t00000000\t0001\n", None),
            ("eth0\n", None),
            ("", None),
        ] {
            assert_eq!(interface(&format!("{head}{routes}")), expected, "{routes}");
        }
    }
}
