//! What a registry is told to be: an HTTP address, and parameters such as `dns=<address>` or `domain=consul`. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{dns, http};
use registrator_web::Network;

/// Where Consul's agent listens for HTTP, and its clients look for it.
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8500);
/// Where Consul's agent listens for DNS.
const DNS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8600);

/// The parameters that there are, as messages list them.
pub const PARAMETERS: [&str; 13] = [
    "dns",
    "domain",
    "datacenter",
    "node",
    "address",
    "names",
    "script-checks",
    "check-networks",
    "connections",
    "connections-per-client",
    "blocked-queries",
    "dns-connections",
    "dns-rate",
];

/// The most that a limit can be set to.
const MOST: usize = 1_000_000;

/// The settings of one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where HTTP is served; `None` for nowhere.
    pub(super) http: Option<SocketAddr>,
    /// Where DNS is served; `None` for nowhere.
    pub(super) dns: Option<SocketAddr>,
    /// The zone that DNS answers for, without the dot at its end.
    pub(super) domain: String,
    /// The datacenter's name.
    pub(super) datacenter: String,
    /// The name of this machine in answers: one DNS label.
    pub(super) node: String,
    /// The address of this machine in answers; `None` for that of its default route.
    pub(super) address: Option<IpAddr>,
    /// Further names that HTTP is answered to; one that begins with a dot stands for all that end so.
    pub names: Vec<String>,
    /// Whether checks may run commands on this machine; whoever registers them heeds it.
    pub script_checks: bool,
    /// Networks where checks may go, beside those where anybody goes.
    pub check_networks: Vec<Network>,
    /// What the network may take over HTTP.
    pub(super) http_limits: http::Limits,
    /// What it may take over DNS.
    pub(super) dns_limits: dns::Limits,
}

impl Settings {
    /// Reads an HTTP address, and the parameters that `take` gives, each asked for once; `host` names the node where
    /// no parameter does.
    ///
    /// # Errors
    /// One line that says what is wrong and what would be right.
    pub fn parse(
        address: &str,
        host: &str,
        mut take: impl FnMut(&'static str) -> Option<String>,
    ) -> Result<Self, String> {
        let mut take = |name: &'static str| take(name).map(|value| (name, value));
        let mut settings = Self {
            http: listener(address, HTTP).map_err(|reason| format!("the HTTP address {reason}"))?,
            dns: listener(&take("dns").map_or(String::new(), |(_, value)| value), DNS)
                .map_err(|reason| format!("the DNS address {reason}"))?,
            domain: of(take("domain"), domain)?.unwrap_or_else(|| "consul".to_owned()),
            datacenter: of(take("datacenter"), label)?.map_or_else(|| "dc1".to_owned(), |name| name.to_lowercase()),
            node: of(take("node"), label)?.unwrap_or_else(|| label_of(host)),
            address: of(take("address"), |text| text.parse().map_err(|_| "no IP address".to_owned()))?,
            names: of(take("names"), names)?.unwrap_or_default(),
            script_checks: of(take("script-checks"), flag)?.unwrap_or(false),
            check_networks: of(take("check-networks"), networks)?.unwrap_or_default(),
            http_limits: http::Limits::default(),
            dns_limits: dns::Limits::default(),
        };
        let Self { http_limits, dns_limits, .. } = &mut settings;
        for (name, limit) in [
            ("connections", &mut http_limits.web.connections),
            ("connections-per-client", &mut http_limits.web.connections_per_client),
            ("blocked-queries", &mut http_limits.blocked_queries),
            ("dns-connections", &mut dns_limits.tcp_connections),
        ] {
            *limit = of(take(name), count)?.unwrap_or(*limit);
        }
        dns_limits.udp_bytes_per_second = of(take("dns-rate"), rate)?.unwrap_or(dns_limits.udp_bytes_per_second);
        Ok(settings)
    }
}

/// The value of a parameter, if it is given.
fn of<T>(parameter: Option<(&str, String)>, read: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    parameter.map(|(name, value)| read(&value).map_err(|reason| format!("{name}={value}: {reason}"))).transpose()
}

fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "true or false is wanted".to_owned())
}

/// Names, with commas between them.
fn names(text: &str) -> Result<Vec<String>, String> {
    let one = |text: &str| domain(text.strip_prefix('.').unwrap_or(text)).map(|_| text.to_owned());
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(one).collect()
}

/// Networks, with commas between them.
fn networks(text: &str) -> Result<Vec<Network>, String> {
    text.split(',').map(str::trim).filter(|network| !network.is_empty()).map(str::parse).collect()
}

fn count(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("a number from 1 to {MOST} is wanted"))
}

fn rate(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a number of bytes in a second is wanted, or 0 for no limit".to_owned())
}

/// `address:port`, `address`, `:port` (of loopback, as nothing else is named), nothing, or `off`.
fn listener(text: &str, default: SocketAddr) -> Result<Option<SocketAddr>, String> {
    let address = match text {
        "" => Some(default),
        "off" => return Ok(None),
        _ => {
            let (host, port) = match text.strip_prefix("localhost") {
                Some(rest) => ("127.0.0.1".to_owned() + rest, rest),
                None => (text.to_owned(), text),
            };
            let bare = host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(&host);
            let of_port = || Some(SocketAddr::new(default.ip(), port.strip_prefix(':')?.parse().ok()?));
            let of_address = || Some(SocketAddr::new(bare.parse().ok()?, default.port()));
            host.parse().ok().or_else(of_port).or_else(of_address)
        }
    };
    let port = default.port();
    address.map(Some).ok_or_else(|| {
        format!("{text:?} is none: write an address like {default}, 0.0.0.0:{port} for every interface, or off")
    })
}

fn label(text: &str) -> Result<String, String> {
    if (1..=63).contains(&text.len()) && text.bytes().all(is_label_byte) {
        Ok(text.to_owned())
    } else {
        Err("a name of at most 63 letters, digits, - and _ is wanted".to_owned())
    }
}

fn domain(text: &str) -> Result<String, String> {
    let domain = text.strip_suffix('.').unwrap_or(text);
    if domain.len() <= 200 && domain.split('.').all(|part| label(part).is_ok()) {
        Ok(domain.to_lowercase())
    } else {
        Err("a domain name like consul or service.example is wanted".to_owned())
    }
}

/// The node's name for a host: what stands before the first dot, fit for DNS.
fn label_of(host: &str) -> String {
    let first = host.split('.').next().unwrap_or_default();
    let label: String =
        first.bytes().take(63).map(|byte| if is_label_byte(byte) { char::from(byte) } else { '-' }).collect();
    if label.is_empty() { "registrator".to_owned() } else { label }
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `<address>?<parameter>=<value>&…`.
    fn read(text: &str) -> Result<Settings, String> {
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let mut parameters: Vec<_> = query.split('&').filter_map(|parameter| parameter.split_once('=')).collect();
        let settings = Settings::parse(address, "host.example.com", |wanted| {
            let at = parameters.iter().position(|(name, _)| *name == wanted)?;
            Some(parameters.remove(at).1.to_owned())
        })?;
        assert!(parameters.is_empty(), "nobody asked for {parameters:?}");
        Ok(settings)
    }

    fn parse(text: &str) -> Settings {
        read(text).unwrap()
    }

    #[test]
    fn nothing_said_is_consuls_own_ports_on_loopback() {
        for text in ["", "127.0.0.1:8500", "localhost"] {
            let expected = Settings {
                http: Some(HTTP),
                dns: Some(DNS),
                domain: "consul".to_owned(),
                datacenter: "dc1".to_owned(),
                node: "host".to_owned(),
                address: None,
                names: Vec::new(),
                script_checks: false,
                check_networks: Vec::new(),
                http_limits: http::Limits::default(),
                dns_limits: dns::Limits::default(),
            };
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn every_parameter_is_heeded() {
        let all = "0.0.0.0:80?dns=[::1]:53&domain=Service.Example.&datacenter=DC2&node=n1&address=10.0.0.1&names=web1.example.com,.internal.example\
                   &script-checks=true&check-networks=127.0.0.0/8,fd00::1&connections=9&connections-per-client=8&blocked-queries=7&dns-connections=6&dns-rate=0";
        let expected = Settings {
            http: Some("0.0.0.0:80".parse().unwrap()),
            dns: Some("[::1]:53".parse().unwrap()),
            domain: "service.example".to_owned(),
            datacenter: "dc2".to_owned(),
            node: "n1".to_owned(),
            address: Some("10.0.0.1".parse().unwrap()),
            names: vec!["web1.example.com".to_owned(), ".internal.example".to_owned()],
            script_checks: true,
            check_networks: vec!["127.0.0.0/8".parse().unwrap(), "fd00::1".parse().unwrap()],
            http_limits: http::Limits {
                web: registrator_web::Limits { connections: 9, connections_per_client: 8, ..Default::default() },
                blocked_queries: 7,
                ..http::Limits::default()
            },
            dns_limits: dns::Limits { tcp_connections: 6, udp_bytes_per_second: 0, ..dns::Limits::default() },
        };
        assert_eq!(parse(all), expected);
    }

    #[test]
    fn a_listener_is_an_address_a_port_or_off() {
        for (text, expected) in [
            ("off", None),
            (":1", Some("127.0.0.1:1")),
            ("localhost:0", Some("127.0.0.1:0")),
            ("0.0.0.0", Some("0.0.0.0:8500")),
            ("::1", Some("[::1]:8500")),
            ("[::]", Some("[::]:8500")),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(listener(text, HTTP), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (text, part) in [
            ("somewhere", "write an address like 127.0.0.1:8500, 0.0.0.0:8500 for every interface, or off"),
            ("1.2.3.4:99999", "\"1.2.3.4:99999\" is none"),
            ("?dns=53", "the DNS address \"53\" is none"),
            ("?node=a.b", "at most 63 letters"),
            ("?domain=..", "a domain name like consul"),
            ("?address=x", "address=x: no IP address"),
            ("?names=web..x", "names=web..x: a domain name like consul"),
            ("?script-checks=1", "true or false is wanted"),
            ("?check-networks=10.0.0.0/8,web", "check-networks=10.0.0.0/8,web: \"web\" is no network like 10.0.0.0/8"),
            ("?connections=0", "connections=0: a number from 1 to 1000000 is wanted"),
            ("?dns-rate=fast", "dns-rate=fast: a number of bytes in a second is wanted, or 0 for no limit"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_host_without_a_usable_name_has_one_still() {
        for (host, node) in [("", "registrator"), (".", "registrator"), ("a b.c", "a-b"), ("web_1", "web_1")] {
            assert_eq!(label_of(host), node);
        }
    }
}
