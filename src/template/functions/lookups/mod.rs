//! Names looked up: addresses of hosts and interfaces, and DNS records of services. A failure gives nothing, as in confd.

pub(in crate::template) mod srv;

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gtmpl_ng::{Value, limits};
use nix::ifaddrs::getifaddrs;

use super::args::{Given, exactly, functions};
use crate::template::engine::Table;

pub(in crate::template) static TABLE: Table = functions! {
    "lookupIP", exactly(1), |args| Ok(addresses(args.text(0)?, |_| true));
    "lookupIPV4", exactly(1), |args| Ok(addresses(args.text(0)?, |address| address.contains('.')));
    "lookupIPV6", exactly(1), |args| Ok(addresses(args.text(0)?, |address| address.contains(':')));
    "lookupIfaceIPV4", exactly(1), |args| Ok(Value::from(of_interface(args.text(0)?, IpAddr::is_ipv4)));
    "lookupIfaceIPV6", exactly(1), |args| Ok(Value::from(of_interface(args.text(0)?, IpAddr::is_ipv6)));
    "lookupSRV", exactly(3), lookup_srv;
};

/// The time limit of one lookup.
const DEADLINE: Duration = Duration::from_secs(10);

/// The time that one lookup may take, within the template's own limit.
fn patience() -> Duration {
    limits::remaining().map_or(DEADLINE, |remaining| remaining.min(DEADLINE))
}

/// The addresses of a host, sorted as texts.
fn addresses(host: &str, is_wanted: impl Fn(&str) -> bool) -> Value {
    let mut addresses: Vec<String> = resolve(host).iter().map(IpAddr::to_string).collect();
    addresses.retain(|address| is_wanted(address));
    addresses.sort_unstable();
    addresses.dedup();
    Value::from(addresses)
}

/// The system's resolver has no time limit, so it is asked on a thread of its own, which ends when it answers.
fn resolve(host: &str) -> Vec<IpAddr> {
    let (answer, answered) = mpsc::sync_channel(1);
    let host = host.to_owned();
    let asking = thread::Builder::new().name("lookup".to_owned()).spawn(move || {
        let found = (host.as_str(), 0).to_socket_addrs();
        let addresses = found.map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default();
        // The caller may have given up.
        let _ = answer.send(addresses);
    });
    asking.ok().and_then(|_| answered.recv_timeout(patience()).ok()).unwrap_or_default()
}

/// The first address of an interface; an empty text if there is none.
fn of_interface(name: &str, is_wanted: impl Fn(&IpAddr) -> bool) -> String {
    let Ok(interfaces) = getifaddrs() else { return String::new() };
    let address = interfaces.filter(|interface| interface.interface_name == name).find_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        v4.or(v6).filter(&is_wanted)
    });
    address.map(|address| address.to_string()).unwrap_or_default()
}

/// `lookupSRV SERVICE PROTO NAME`: the records of `_SERVICE._PROTO.NAME`, or of `NAME`, if the first two are empty.
fn lookup_srv(args: &super::args::Args<'_>) -> Given {
    let (service, protocol, name) = (args.text(0)?, args.text(1)?, args.text(2)?);
    let name = if service.is_empty() && protocol.is_empty() {
        name.to_owned()
    } else {
        format!("_{service}._{protocol}.{name}")
    };
    let mut records = srv::lookup(&name, patience());
    records
        .sort_by_cached_key(|record| format!("{}{}{}{}", record.target, record.port, record.priority, record.weight));
    Ok(Value::Array(records.into_iter().map(|record| record.value()).collect()))
}

#[cfg(test)]
mod tests;
