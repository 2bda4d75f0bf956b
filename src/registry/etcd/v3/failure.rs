//! Errors of the v3 API, by what to do about them.

use std::error::Error as _;

use etcd_client::Error;

use crate::http::Fault;
use crate::registry::etcd::Settings;
use crate::registry::text::one_line;
use crate::registry::{Cause, RegistryError};

/// How many characters of another program's message a line repeats.
const LIMIT: usize = 300;

/// gRPC's status codes (<https://grpc.io/docs/guides/status-codes/>).
mod code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// What to do about a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Try another server, later.
    Away(String),
    /// As above, because the connection failed: its fault, and its message.
    Lost(Fault, String),
    /// Refused until something changes: what must change, and the reason.
    Refused(Cause, String),
    /// The server does not accept our credentials.
    NotLetIn,
    /// The lease no longer exists.
    NoLease,
    /// The server has authentication disabled.
    NoUsers,
}

impl Failure {
    /// For the engine.
    pub(super) fn error(self, settings: &Settings) -> RegistryError {
        let place = settings.place();
        match self {
            Self::NotLetIn => RegistryError::rights(settings.not_let_in("wrong password, or no such user")),
            Self::Away(reason) | Self::Lost(_, reason) => {
                RegistryError::Unreachable(format!("etcd at {place}: {reason}"))
            }
            Self::Refused(cause, text) => RegistryError::Refused { cause, text },
            Self::NoLease => RegistryError::service("its lease has expired"),
            Self::NoUsers => RegistryError::Unreachable(format!("etcd at {place} has just changed its users")),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::GRpcStatus(status) => status,
            Error::LeaseKeepAliveError(_) => return Self::NoLease,
            Error::TransportError(error) => return Self::Lost(Fault::of(&error), innermost(&error)),
            other => return Self::Away(one_line(&other.to_string(), LIMIT)),
        };
        let said = one_line(status.message().trim_start_matches("etcdserver: "), LIMIT);
        match i32::from(status.code()) {
            code::NOT_FOUND if said.contains("lease") => Self::NoLease,
            code::PERMISSION_DENIED => Self::Refused(
                Cause::Rights,
                "etcd denies it: the user's role needs readwrite on the prefix, and on that of the records \
                 (/_registrator and the prefix, or ?records=)"
                    .to_owned(),
            ),
            code::FAILED_PRECONDITION if said.contains("authentication is not enabled") => Self::NoUsers,
            code::INVALID_ARGUMENT if said.contains("authentication failed") || said.contains("user name is empty") => {
                Self::NotLetIn
            }
            // Users or roles changed since we logged in; with another token it may be allowed.
            code::INVALID_ARGUMENT if said.contains("auth store is old") => {
                Self::Away("its users have changed".to_owned())
            }
            code::RESOURCE_EXHAUSTED if said.contains("space exceeded") => Self::Refused(
                Cause::Server,
                format!(
                    "etcd has no room left ({said}): compact and defragment it, or raise its --quota-backend-bytes, then \
                     disarm the alarm"
                ),
            ),
            code::INVALID_ARGUMENT | code::FAILED_PRECONDITION | code::NOT_FOUND => {
                Self::Refused(Cause::Service, format!("etcd does not take it: {said}"))
            }
            code::RESOURCE_EXHAUSTED | code::OUT_OF_RANGE if said.contains("larger than max") => {
                Self::Refused(Cause::Service, format!("etcd does not take it: {said}"))
            }
            code::UNAUTHENTICATED => Self::Away("the token has expired".to_owned()),
            _ => match status.source() {
                Some(source) => Self::Lost(Fault::of(source), innermost(source)),
                None => Self::Away(said),
            },
        }
    }
}

/// The innermost reason, which the error's own text omits.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    one_line(&innermost.to_string(), LIMIT)
}
