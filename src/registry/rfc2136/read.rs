//! Reads the entries of a zone: by a transfer, or by asking for what the indexes name.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::registry::dns::Spot;
use crate::registry::{RegistryError, Scope};

use super::claim::{self, Claim};
use super::client::{Session, Transfer};
use super::message::question;
use super::names::{LONGEST, Names, set_of, spelt};
use super::zone::{Zone, claim_of};

/// How many questions are asked at once.
pub(super) const IN_FLIGHT: usize = 16;

/// What was read.
pub(super) struct Found {
    pub(super) zone: Zone,
    pub(super) claims: BTreeMap<Spot, Claim>,
    /// Whether these are all claims of all owners.
    pub(super) is_all: bool,
    /// The serial number of the zone before anything else was read.
    pub(super) serial: u32,
}

/// What stands in a set, and why nothing does.
pub(super) struct Answer {
    /// The records of the set.
    pub(super) records: Vec<Record>,
    /// It is there, but does not fit into an answer.
    pub(super) is_oversized: bool,
}

/// Reads what the scope asks for. A transfer gives more than that.
///
/// # Errors
/// When the zone cannot be read completely.
pub(super) async fn read(
    session: &Session<'_>,
    names: &Names,
    owner: &str,
    scope: &Scope,
) -> Result<Found, RegistryError> {
    let words = session.words();
    match session.transfer(&names.zone).await.map_err(|fault| words.of_fault(&fault))? {
        Transfer::Whole(records) => {
            let mut zone = Zone::default();
            let serial = records.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(soa.serial),
                _ => None,
            });
            zone.extend(records);
            let claims = zone.claims(names);
            pointers(session, names, &mut zone, &claims).await?;
            Ok(Found { zone, claims, is_all: true, serial: serial.unwrap_or_default() })
        }
        Transfer::Denied => {
            let serial = serial(session, names).await?;
            Ok(Found { serial, ..ask(session, names, owner, scope).await? })
        }
    }
}

/// The serial number of the zone.
///
/// # Errors
/// When the server does not serve the zone.
pub(super) async fn serial(session: &Session<'_>, names: &Names) -> Result<u32, RegistryError> {
    let words = session.words();
    let answer = session.ask(question(&names.zone, RecordType::SOA)).await.map_err(|fault| words.of_fault(&fault))?;
    let soa = answer.answers.iter().find_map(|record| match &record.data {
        RData::SOA(soa) if record.name == names.zone => Some(soa.serial),
        _ => None,
    });
    match (answer.response_code, soa) {
        (ResponseCode::NoError, Some(serial)) if answer.authoritative => Ok(serial),
        (ResponseCode::ServFail, _) => Err(RegistryError::server(format!(
            "{} cannot answer for the zone {}; its log says why",
            words.place(),
            names.zone_text()
        ))),
        (code, _) => Err(words.of_question(code)),
    }
}

/// Asks for one set.
///
/// # Errors
/// When there is no usable answer.
pub(super) async fn set(session: &Session<'_>, name: &Name, kind: RecordType) -> Result<Answer, RegistryError> {
    let words = session.words();
    let message: Message = session.ask(question(name, kind)).await.map_err(|fault| words.of_fault(&fault))?;
    let is_oversized = message.truncation;
    match message.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {
            let records =
                message.answers.into_iter().filter(|record| record.name == *name && record.record_type() == kind);
            Ok(Answer { records: records.collect(), is_oversized })
        }
        ResponseCode::ServFail => Ok(Answer { records: Vec::new(), is_oversized: true }),
        code => Err(words.of_question(code)),
    }
}

/// Asks for many sets at once, in order.
pub(super) async fn sets(session: &Session<'_>, asked: Vec<(Name, RecordType)>) -> Result<Vec<Answer>, RegistryError> {
    let asks = asked.into_iter().map(|(name, kind)| async move { set(session, &name, kind).await });
    stream::iter(asks.collect::<Vec<_>>()).buffered(IN_FLIGHT).try_collect().await
}

/// Reads what the indexes name, and what stands at the keys of the scope.
async fn ask(session: &Session<'_>, names: &Names, owner: &str, scope: &Scope) -> Result<Found, RegistryError> {
    let mut owners = BTreeSet::from([owner.to_owned()]);
    if scope.keys.is_none() {
        let listed = set(session, &names.owners(), RecordType::TXT).await?;
        owners.extend(strings(&listed.records).filter_map(|string| claim::owner_of(&string)));
    }
    let shards = owners.iter().flat_map(|owner| names.shards(owner)).map(|name| (name, RecordType::TXT)).collect();
    let mut spots = BTreeSet::new();
    for shard in sets(session, shards).await? {
        if shard.is_oversized {
            let place = session.words().place();
            return Err(RegistryError::server(format!(
                "{place} cannot tell what we wrote to {}: it is too much for an answer; allow a transfer of the zone",
                names.zone_text()
            )));
        }
        let listed =
            strings(&shard.records).filter_map(|string| Spot::read(std::str::from_utf8(&string).ok()?, LONGEST));
        spots.extend(listed);
    }
    spots.extend(scope.keys.iter().flatten().filter_map(|key| names.spot(key)));
    let spots: Vec<_> = spots.into_iter().collect();
    let own = spots.iter().map(|spot| (names.own(spot), RecordType::TXT)).collect();
    let (mut zone, mut claims) = (Zone::default(), BTreeMap::new());
    for (spot, found) in spots.into_iter().zip(sets(session, own).await?) {
        let data: Vec<_> = found.records.iter().map(|record| record.data.clone()).collect();
        claims.extend(claim_of(&data).map(|claim| (spot, claim)));
        zone.extend(found.records);
    }
    let mut expected = BTreeMap::new();
    for (spot, claim) in &claims {
        let own = names.own(spot);
        expected.extend([RecordType::A, RecordType::AAAA].map(|kind| ((spelt(&own), kind), own.clone())));
        for record in names.shared_records(spot, claim) {
            expected.insert(set_of(&record), record.name);
        }
    }
    ask_for(session, &mut zone, expected).await?;
    pointers(session, names, &mut zone, &claims).await?;
    Ok(Found { zone, claims, is_all: scope.keys.is_none(), serial: 0 })
}

/// Adds the sets of reverse names.
async fn pointers(
    session: &Session<'_>,
    names: &Names,
    zone: &mut Zone,
    claims: &BTreeMap<Spot, Claim>,
) -> Result<(), RegistryError> {
    let expected = claims
        .iter()
        .filter_map(|(spot, claim)| names.pointer(spot, claim))
        .map(|(_, record)| (set_of(&record), record.name))
        .collect();
    ask_for(session, zone, expected).await
}

async fn ask_for(
    session: &Session<'_>,
    zone: &mut Zone,
    expected: BTreeMap<super::zone::Set, Name>,
) -> Result<(), RegistryError> {
    let asked = expected.iter().map(|((_, kind), name)| (name.clone(), *kind)).collect();
    for (key, found) in expected.into_keys().zip(sets(session, asked).await?) {
        if found.is_oversized {
            zone.set_oversized(key);
        }
        zone.extend(found.records);
    }
    Ok(())
}

/// The first strings of TXT records.
fn strings(records: &[Record]) -> impl Iterator<Item = Vec<u8>> {
    records.iter().filter_map(|record| match &record.data {
        RData::TXT(txt) => txt.txt_data.first().map(|string| string.to_vec()),
        _ => None,
    })
}
