//! A client that asks one question, and answers in a form that can be compared.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(5);

/// A question and how it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) name: Name,
    pub(crate) kind: RecordType,
    pub(crate) class: DNSClass,
    pub(crate) opcode: OpCode,
    pub(crate) recursion: bool,
    /// The size and the version of EDNS.
    pub(crate) edns: Option<(u16, u8)>,
    pub(crate) tcp: bool,
}

impl Question {
    /// Over UDP, without EDNS, recursion desired, as a stub resolver asks.
    pub(crate) fn new(name: &str, kind: RecordType) -> Self {
        let mut name = Name::from_ascii(name).unwrap();
        name.set_fqdn(true);
        Self { name, kind, class: DNSClass::IN, opcode: OpCode::Query, recursion: true, edns: None, tcp: false }
    }

    pub(crate) fn edns(mut self, size: u16) -> Self {
        self.edns = Some((size, 0));
        self
    }

    pub(crate) fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    pub(crate) fn message(&self) -> Message {
        let mut message = Message::query();
        message.metadata.op_code = self.opcode;
        message.metadata.recursion_desired = self.recursion;
        let mut query = Query::query(self.name.clone(), self.kind);
        query.set_query_class(self.class);
        message.add_query(query);
        if let Some((size, version)) = self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(size).set_version(version);
            message.set_edns(edns);
        }
        message
    }

    /// Asks a server; the answer's bytes.
    pub(crate) async fn bytes(&self, server: SocketAddr) -> Vec<u8> {
        let query = self.message().to_vec().unwrap();
        let asked = async { if self.tcp { over_tcp(server, &query).await } else { over_udp(server, &query).await } };
        timeout(DEADLINE, asked).await.unwrap_or_else(|_| panic!("no answer to {self:?}"))
    }

    /// Asks a server; the answer.
    pub(crate) async fn ask(&self, server: SocketAddr) -> Reply {
        let bytes = self.bytes(server).await;
        Reply::new(&Message::from_vec(&bytes).unwrap_or_else(|error| panic!("{self:?}: {error}: {bytes:?}")))
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.class, self.kind)?;
        if self.opcode != OpCode::Query {
            write!(f, " {}", self.opcode)?;
        }
        if let Some((size, version)) = self.edns {
            write!(f, " edns{version}:{size}")?;
        }
        if self.tcp { write!(f, " tcp") } else { Ok(()) }
    }
}

async fn over_udp(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    let here: SocketAddr = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
    let socket = UdpSocket::bind(here).await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(query).await.unwrap();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let length = socket.recv(&mut buffer).await.unwrap();
    buffer.truncate(length);
    buffer
}

async fn over_tcp(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    exchange(&mut stream, query).await.unwrap()
}

/// One query and its answer over a connection.
pub(crate) async fn exchange(stream: &mut TcpStream, query: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_u16(u16::try_from(query.len()).unwrap()).await?;
    stream.write_all(query).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// An answer: sections as sets, without what differs from one moment to the next.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: String,
    pub(crate) flags: String,
    /// In the case in which it came back.
    pub(crate) question: Vec<String>,
    pub(crate) answers: BTreeSet<String>,
    pub(crate) authorities: BTreeSet<String>,
    pub(crate) additionals: BTreeSet<String>,
    pub(crate) edns: bool,
}

impl Reply {
    pub(crate) fn new(message: &Message) -> Self {
        let flags = [
            (message.metadata.authoritative, "aa"),
            (message.metadata.truncation, "tc"),
            (message.metadata.recursion_desired, "rd"),
            (message.metadata.recursion_available, "ra"),
        ];
        let flags: Vec<_> = flags.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect();
        Self {
            // Code 16 is BADVERS in EDNS, and BADSIG only in signatures.
            code: match u16::from(message.metadata.response_code) {
                16 => "BADVERS".to_owned(),
                _ => format!("{:?}", message.metadata.response_code),
            },
            flags: flags.join(" "),
            question: message.queries.iter().map(|query| query.name().to_string()).collect(),
            answers: section(&message.answers),
            authorities: section(&message.authorities),
            additionals: section(&message.additionals),
            edns: message.edns.is_some(),
        }
    }

    /// `NoError aa | answers | authorities | additionals`
    pub(crate) fn summary(&self) -> String {
        let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
        let parts =
            [join(&self.answers), join(&self.authorities), join(&self.additionals)].map(|part| format!(" | {part}"));
        let line = format!("{} {}{}", self.code, self.flags, parts.concat());
        line.trim_end_matches([' ', '|']).to_owned()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (question {:?}, edns {})", self.summary(), self.question, self.edns)
    }
}

fn section(records: &[Record]) -> BTreeSet<String> {
    records.iter().map(line).collect()
}

/// A record on one line, without the serial number, which is the time.
fn line(record: &Record) -> String {
    let data = match &record.data {
        RData::SOA(soa) => {
            format!("{} {} {} {} {} {}", soa.mname, soa.rname, soa.refresh, soa.retry, soa.expire, soa.minimum)
        }
        RData::TXT(txt) => {
            let strings: Vec<_> = txt.txt_data.iter().map(|text| String::from_utf8_lossy(text)).collect();
            format!("{strings:?}")
        }
        data => data.to_string(),
    };
    format!("{} {} {} {data}", record.name, record.ttl, record.record_type())
}
