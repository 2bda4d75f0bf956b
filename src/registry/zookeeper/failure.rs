//! Errors of ZooKeeper, by what the reconciler does about them, with messages for people.

use zookeeper_client::Error;

use crate::registry::RegistryError;
use crate::registry::text::one_line;

/// How many characters of another program's message, or of a path, a line repeats.
pub(super) const LIMIT: usize = 200;

/// The error for a request about the node at this path.
pub(super) fn at(path: &str, error: &Error) -> RegistryError {
    let path = one_line(path, LIMIT);
    match error {
        Error::NoAuth => RegistryError::rights(format!("the ACL at {path} gives us no right to do that")),
        Error::InvalidAcl => RegistryError::rights(format!(
            "{path}: ZooKeeper does not take our ACL; without a user that it knows, only acl=open is one"
        )),
        Error::QuotaExceeded => RegistryError::server(format!("{path}: the quota set on it is used up")),
        Error::NotEmpty => RegistryError::service(format!("{path} has nodes below it, and stays")),
        Error::NoChildrenForEphemerals => {
            RegistryError::service(format!("the node above {path} is ephemeral, and can have none below it"))
        }
        Error::BadArguments(_) | Error::MarshallingError => {
            RegistryError::service(format!("{path}: ZooKeeper does not take it: {}", words(error)))
        }
        _ => unreachable(error),
    }
}

/// The error if its cause is not the request itself.
pub(super) fn unreachable(error: &Error) -> RegistryError {
    RegistryError::Unreachable(match error {
        Error::SessionExpired => "the session expired; a new one is being made".to_owned(),
        // Unexpected: the client ended before the answer arrived.
        Error::ConnectionLoss | Error::ClientClosed | Error::UnexpectedError(_) => "the connection was lost".to_owned(),
        _ => words(error),
    })
}

/// The client's message, on one line.
pub(super) fn words(error: &Error) -> String {
    one_line(&error.to_string(), LIMIT)
}

/// No answer came in time.
pub(super) fn too_late() -> RegistryError {
    RegistryError::Unreachable(format!("no answer within {} s", super::DEADLINE.as_secs()))
}
