//! The servers in a registry URI: `a:2181,b,[::1]:2181`.

use std::fmt;

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// A name or an address, an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Parses the servers. Without any, the server on this host.
///
/// # Errors
/// Why they cannot be parsed.
pub(super) fn servers(hosts: &str, default_port: u16) -> Result<Vec<Server>, String> {
    if hosts.is_empty() {
        return Ok(vec![Server { host: "127.0.0.1".to_owned(), port: default_port }]);
    }
    hosts
        .split(',')
        .map(|host| {
            server(host, default_port).ok_or_else(|| format!("{host:?} is no host:port, an IPv6 address in brackets"))
        })
        .collect()
}

/// The servers, for a message.
pub(super) fn place(servers: &[Server]) -> String {
    let servers: Vec<_> = servers.iter().map(Server::to_string).collect();
    servers.join(",")
}

fn server(text: &str, default_port: u16) -> Option<Server> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let odd = |c: char| c.is_control() || c.is_whitespace() || "[]@\\%".contains(c);
            if host.is_empty() || host.contains(odd) {
                return None;
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None if port.is_empty() => default_port,
        None => return None,
    };
    Some(Server { host: host.to_owned(), port })
}
