//! What goes wrong with a server, by what the reconciler does about it, in words for people.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::tsig::TsigError;

use crate::registry::RegistryError;
use crate::registry::servers::place;

use super::settings::{SECRET, Settings};

/// How long one message may take.
pub(super) const REQUEST: Duration = Duration::from_secs(6);

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// No connection.
    #[error("{0}")]
    Connect(std::io::Error),
    /// The connection ended before the answer.
    #[error("the connection was lost")]
    Lost,
    /// No answer in time.
    #[error("no answer within {} s", REQUEST.as_secs())]
    Late,
    /// The answer is no message of DNS.
    #[error("what answers there is no DNS server; check the host and the port of the URI")]
    Foreign,
    /// The message that we would send is too large, or has something that DNS does not know.
    #[error("the message cannot be written: {0}")]
    Unspeakable(String),
    /// The server does not accept our signature.
    #[error("the signature is not accepted")]
    Signature(TsigError),
    /// The server signs otherwise than with our key, or not at all.
    #[error("its answer is not signed with the key")]
    Unproven,
}

impl Fault {
    /// Whether another server may answer.
    pub(super) fn is_away(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Lost | Self::Late | Self::Foreign)
    }
}

/// The words of faults: they name the server, the zone and the key.
pub(super) struct Words {
    place: String,
    /// What is said when none of the servers answers.
    nobody: String,
    zone: String,
    key: Option<String>,
}

impl Words {
    pub(super) fn new(settings: &Settings) -> Self {
        let shown = |name: &hickory_proto::rr::Name| name.to_ascii().trim_end_matches('.').to_owned();
        Self {
            place: match &settings.servers[..] {
                [server] => format!("DNS server at {server}"),
                several => format!("one of the DNS servers {}", place(several)),
            },
            nobody: match &settings.servers[..] {
                [server] => format!("DNS server at {server}:"),
                several => format!("none of the DNS servers {} answers; the last one:", place(several)),
            },
            zone: shown(&settings.zone),
            key: settings.key.as_ref().map(|key| shown(&key.name)),
        }
    }

    /// What the server is and where.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The error of a fault.
    pub(super) fn of_fault(&self, fault: &Fault) -> RegistryError {
        let place = &self.place;
        let key = self.key.as_deref().unwrap_or_default();
        match fault {
            Fault::Connect(_) | Fault::Lost | Fault::Late | Fault::Foreign => {
                RegistryError::Unreachable(format!("{} {fault}", self.nobody))
            }
            Fault::Unspeakable(_) => RegistryError::service(fault.to_string()),
            Fault::Signature(TsigError::BadTime) => RegistryError::rights(format!(
                "{place} says that its clock and ours differ too much for a signature; correct the clock of one of them"
            )),
            Fault::Signature(TsigError::BadKey) => RegistryError::rights(format!(
                "{place} does not know the key {key:?}, or not with this algorithm; correct tsig-keyname= or \
                 tsig-secret-alg=, or add the key there"
            )),
            Fault::Signature(_) => RegistryError::rights(format!(
                "{place} knows the key {key:?} with another secret; correct {SECRET}, or the file of tsig-secret-file="
            )),
            Fault::Unproven => RegistryError::rights(format!(
                "{place} answers without a signature of the key {key:?}; correct {SECRET}, or let the server sign with it"
            )),
        }
    }

    /// The error of a refused update or question.
    pub(super) fn of_code(&self, code: ResponseCode, zone: &str) -> RegistryError {
        let place = &self.place;
        match code {
            ResponseCode::Refused => RegistryError::rights(match &self.key {
                Some(key) => format!("{place} refuses updates of {zone} with the key {key:?}; allow them there"),
                None => format!(
                    "{place} refuses updates of {zone} without a key; name one with tsig-keyname=, or allow them there"
                ),
            }),
            ResponseCode::NotAuth if self.key.is_some() => RegistryError::rights(format!(
                "{place} does not serve the zone {zone}, or not to the key {:?}; correct the zone in the URI, or the key",
                self.key.as_deref().unwrap_or_default()
            )),
            ResponseCode::NotAuth => RegistryError::rights(format!(
                "{place} does not serve the zone {zone}, or takes no updates of it without a key; correct the zone in the \
                 URI, or name one with tsig-keyname="
            )),
            ResponseCode::NotZone => RegistryError::server(self.no_zone_text(zone)),
            ResponseCode::NotImp => {
                RegistryError::server(format!("{place} takes no updates; it has to be the primary server of {zone}"))
            }
            ResponseCode::ServFail => RegistryError::server(format!(
                "{place} failed to change {zone}; its log says why (a full disk, or a limit such as BIND's \
                 max-records-per-type)"
            )),
            other => RegistryError::server(format!("{place} refuses to change {zone}: {other}; its log says why")),
        }
    }

    /// The error of a question about the zone that has no answer.
    pub(super) fn of_question(&self, code: ResponseCode) -> RegistryError {
        match (code, &self.key) {
            // PowerDNS refuses an unknown key so, without a word about the key.
            (ResponseCode::NotAuth, Some(_)) => self.of_code(code, &self.zone),
            _ => RegistryError::server(self.no_zone_text(&self.zone)),
        }
    }

    fn no_zone_text(&self, zone: &str) -> String {
        format!("{} does not serve the zone {zone}; correct the zone in the URI, or add it there", self.place)
    }

    /// No answer within the deadline of a whole batch.
    pub(super) fn too_late(&self) -> RegistryError {
        RegistryError::Unreachable(format!("{}: not done within {} s", self.place, super::DEADLINE.as_secs()))
    }
}
