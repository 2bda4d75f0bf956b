//! SRV records: one question to the machine's name servers. The system's resolver knows addresses only, and the resolver
//! of the DNS library brings a cache and a runtime along that one question does not need.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use gtmpl_ng::Value;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

/// The longest answer over UDP that is read, in bytes.
const LONGEST_DATAGRAM: usize = 4096;

/// How long one name server is waited for, before the next one is asked.
const ONE_SERVER: Duration = Duration::from_secs(5);

/// Where the machine names its name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Srv {
    /// A host's name, with a dot at its end.
    pub(crate) target: String,
    pub(crate) port: u16,
    pub(crate) priority: u16,
    pub(crate) weight: u16,
}

impl Srv {
    pub(super) fn value(&self) -> Value {
        let fields: [(&str, Value); 4] = [
            ("Target", Value::from(self.target.as_str())),
            ("Port", Value::from(self.port)),
            ("Priority", Value::from(self.priority)),
            ("Weight", Value::from(self.weight)),
        ];
        Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<HashMap<_, _>>())
    }
}

/// The records of a name; none on any failure.
pub(crate) fn lookup(name: &str, patience: Duration) -> Vec<Srv> {
    let servers = servers(&fs::read_to_string(RESOLV_CONF).unwrap_or_default());
    ask_any(name, &servers, patience)
}

/// The name servers of a `resolv.conf`; without any, the machine itself.
fn servers(text: &str) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
    });
    let mut servers: Vec<_> = named.map(|address| SocketAddr::new(address, 53)).collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53));
    }
    servers
}

/// The answer of the first name server that gives one.
pub(super) fn ask_any(name: &str, servers: &[SocketAddr], patience: Duration) -> Vec<Srv> {
    // An absolute name: what the machine searches besides is for hosts.
    let Ok(mut name) = Name::from_utf8(name) else { return Vec::new() };
    name.set_fqdn(true);
    let deadline = Instant::now() + patience;
    servers
        .iter()
        .find_map(|server| {
            let left = deadline.saturating_duration_since(Instant::now()).min(ONE_SERVER);
            if left.is_zero() { None } else { ask(&name, *server, left).ok() }
        })
        .unwrap_or_default()
}

fn ask(name: &Name, server: SocketAddr, patience: Duration) -> io::Result<Vec<Srv>> {
    let deadline = Instant::now() + patience;
    let mut question = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Query);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.clone(), RecordType::SRV));
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let answer = over_udp(&bytes, server, deadline, question.metadata.id)?;
    let answer = if answer.metadata.truncation { over_tcp(&bytes, server, deadline)? } else { answer };
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer.answers.iter().filter_map(record).collect()),
        other => Err(io::Error::other(other.to_string())),
    }
}

fn record(record: &hickory_proto::rr::Record) -> Option<Srv> {
    let RData::SRV(srv) = &record.data else { return None };
    let (target, port) = (srv.target.to_utf8(), srv.port);
    Some(Srv { target, port, priority: srv.priority, weight: srv.weight })
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn over_udp(question: &[u8], server: SocketAddr, deadline: Instant, id: u16) -> io::Result<Message> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.send(question)?;
    let mut bytes = [0; LONGEST_DATAGRAM];
    loop {
        socket.set_read_timeout(Some(left(deadline)?))?;
        let length = socket.recv(&mut bytes)?;
        // An answer to something else is not ours.
        match bytes.get(..length).map(Message::from_vec) {
            Some(Ok(answer)) if answer.metadata.id == id => return Ok(answer),
            _ => {}
        }
    }
}

fn over_tcp(question: &[u8], server: SocketAddr, deadline: Instant) -> io::Result<Message> {
    let mut stream = TcpStream::connect_timeout(&server, left(deadline)?)?;
    stream.set_read_timeout(Some(left(deadline)?))?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    Message::from_vec(&bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_from_resolv_conf() {
        let text = "# nameserver 1.1.1.1\nsearch a\nnameserver 10.0.0.2\n nameserver ::1 \nnameserver x\n";
        let expected = ["10.0.0.2:53", "[::1]:53"].map(|address| address.parse().unwrap());
        assert_eq!(servers(text), expected);
        assert_eq!(servers(""), ["127.0.0.1:53".parse().unwrap()]);
    }
}
