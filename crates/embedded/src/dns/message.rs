//! From the bytes of a query to the bytes of its answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::op::{
    Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode, emit_message_parts,
};
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncoder};

use super::directory::Directory;
use super::resolve::Resolver;
use super::settings::{Limits, Settings};

/// What UDP carries without EDNS (RFC 1035, 4.2.1).
const PLAIN_UDP: u16 = 512;

/// The least that an address record takes: a pointer to its name, type, class, TTL, length and four bytes.
const LEAST_RECORD: usize = 16;

/// The TC bit, in the third byte of a header (RFC 1035, 4.1.1).
const TRUNCATED: u8 = 0b10;

/// What carried a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram.
    Udp,
    /// One message of a stream.
    Tcp,
}

/// Answers messages, whatever brought them.
pub struct Responder {
    settings: Settings,
    directory: Arc<dyn Directory>,
}

impl Responder {
    /// One that answers from a directory.
    #[must_use]
    pub fn new(settings: Settings, directory: Arc<dyn Directory>) -> Self {
        Self { settings, directory }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// The answer to a message, never longer than its transport and its sender can take; nothing where
    /// none is due: to a message without a whole header, and to one that is itself an answer, since two
    /// servers would talk forever.
    #[must_use]
    pub fn respond(&self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let mut decoder = BinDecoder::new(message);
        let header = Header::read(&mut decoder).ok()?;
        if header.metadata.message_type == MessageType::Response {
            return None;
        }
        let mut response = Message::response(header.metadata.id, header.metadata.op_code);
        response.metadata = Metadata::response_from_request(&header.metadata);
        if header.metadata.op_code != OpCode::Query {
            response.metadata.response_code = ResponseCode::NotImp;
            return response.to_vec().ok();
        }
        let Some((query, edns)) = read_question(&header, &mut decoder) else {
            response.metadata.response_code = ResponseCode::FormErr;
            return response.to_vec().ok();
        };
        let mut room = self.room(transport, edns.as_ref());
        if let Some(edns) = &edns {
            let mut own = Edns::new();
            own.set_max_payload(self.settings.limits.udp_bytes.max(PLAIN_UDP));
            response.set_edns(own);
            if edns.version() != 0 {
                response.metadata.response_code = ResponseCode::BADVERS;
                response.add_query(query);
                return response.to_vec().ok();
            }
        }
        let resolver = Resolver {
            zone: &self.settings.zone,
            directory: &*self.directory,
            ttl: self.settings.ttl,
            serial: serial(),
            // One more than there can be, so that it shows that there are more.
            at_most: room.answers.min(usize::from(room.bytes) / LEAST_RECORD) + 1,
        };
        let answer = resolver.resolve(&query);
        response.metadata.response_code = answer.code;
        response.metadata.authoritative = answer.authoritative;
        response.add_query(query);
        response.answers = answer.answers;
        response.authorities = answer.authorities;
        response.additionals = answer.additionals;
        if !answer.alike {
            room.answers = usize::MAX;
        }
        fit(&response, room)
    }

    fn room(&self, transport: Transport, edns: Option<&Edns>) -> Room {
        match transport {
            Transport::Tcp => Room { bytes: u16::MAX, answers: usize::MAX },
            Transport::Udp => {
                let asked = edns.map_or(PLAIN_UDP, Edns::max_payload);
                let bytes = asked.min(self.settings.limits.udp_bytes).max(PLAIN_UDP);
                // Consul samples the answers only where no more than the least is taken.
                let answers = if bytes == PLAIN_UDP { self.settings.limits.udp_answers.max(1) } else { usize::MAX };
                Room { bytes, answers }
            }
        }
    }
}

/// The same answer without its records and marked as truncated: what an answer beyond the limit is
/// replaced with. No longer than its query.
pub(super) fn truncated(answer: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = BinDecoder::new(answer);
    let header = Header::read(&mut decoder).ok()?;
    let mut message = Message::response(header.metadata.id, header.metadata.op_code);
    message.metadata = header.metadata;
    message.metadata.truncation = true;
    if header.counts.queries == 1 {
        message.add_query(Query::read(&mut decoder).ok()?);
    }
    message.to_vec().ok()
}

/// The time, in seconds since 1970, as Consul has it: a serial number that grows with every change. It
/// wraps around like any (RFC 1982).
fn serial() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(now & u64::from(u32::MAX)).unwrap_or_default()
}

/// The one question of a query and its EDNS; nothing where the message is malformed.
fn read_question(header: &Header, decoder: &mut BinDecoder<'_>) -> Option<(Query, Option<Edns>)> {
    let counts = &header.counts;
    // Further sections of a query are read only for their EDNS, and have no business being long.
    if counts.queries != 1 || counts.answers > 0 || counts.authorities > 0 || counts.additionals > 8 {
        return None;
    }
    let query = Query::read(decoder).ok()?;
    let (_, edns, _) = Message::read_records(decoder, counts.additionals.into(), true, OpCode::Query).ok()?;
    Some((query, edns))
}

/// What an answer may take.
#[derive(Clone, Copy)]
struct Room {
    bytes: u16,
    answers: usize,
}

/// Writes a message, leaving out what there is no room for: first additional records that nobody needs,
/// then answers with the additional records that go with them.
///
/// Truncated is only what the room in bytes cuts. Fewer answers than there are, chosen anew each time,
/// are Consul's way of spreading clients, and no reason to ask again.
fn fit(message: &Message, room: Room) -> Option<Vec<u8>> {
    let all = message.answers.as_slice();
    let answers = all.get(..room.answers).unwrap_or(all);
    if answers.len() == all.len()
        && let Ok(bytes) = encode(message, answers, message.additionals.iter(), room.bytes)
    {
        return Some(bytes);
    }
    let mut beyond = match encode(message, answers, needed(message, answers), room.bytes) {
        Ok(bytes) => return Some(bytes),
        // These fit without what belongs to them: no more can fit with it.
        Err(fitting) => answers.len().min(fitting + 1),
    };
    // The most answers that fit: fewer than `fits` do, `beyond` do not.
    let mut fits = 0;
    let mut best = None;
    while fits < beyond {
        let middle = usize::midpoint(fits, beyond);
        let some = answers.get(..middle)?;
        match encode(message, some, needed(message, some), room.bytes) {
            Ok(bytes) => {
                best = Some(bytes);
                fits = middle + 1;
            }
            Err(_) => beyond = middle,
        }
    }
    let mut bytes = best?;
    *bytes.get_mut(2)? |= TRUNCATED;
    Some(bytes)
}

/// The additional records of names that some answers point to.
fn needed<'a>(message: &'a Message, answers: &'a [Record]) -> impl Iterator<Item = &'a Record> {
    let names: HashSet<&Name> = answers.iter().filter_map(target).collect();
    message.additionals.iter().filter(move |record| names.contains(&record.name))
}

fn target(record: &Record) -> Option<&Name> {
    match &record.data {
        RData::SRV(srv) => Some(&srv.target),
        RData::NS(server) => Some(&server.0),
        _ => None,
    }
}

/// The bytes of a message with these answers and additional records, if there is room for all of it;
/// else how many of the answers there is room for.
fn encode<'a>(
    message: &Message,
    answers: &[Record],
    mut additionals: impl Iterator<Item = &'a Record>,
    room: u16,
) -> Result<Vec<u8>, usize> {
    let mut bytes = Vec::with_capacity(usize::from(PLAIN_UDP));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(room);
    let header = emit_message_parts(
        &message.metadata,
        &mut message.queries.iter(),
        &mut answers.iter(),
        &mut message.authorities.iter(),
        &mut additionals,
        message.edns.as_ref(),
        None,
        &mut encoder,
    )
    .map_err(|_| 0_usize)?;
    // The encoder leaves out what does not fit, and says so in the header.
    if header.metadata.truncation { Err(header.counts.answers.into()) } else { Ok(bytes) }
}
