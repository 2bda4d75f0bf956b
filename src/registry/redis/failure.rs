//! What went wrong with a request, and what to do about it.
//!
//! Servers begin an error with a word in capitals (<https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>).
//! The words are read here and nowhere else.

use std::io;

use redis::{ErrorKind, RedisError};

use crate::http::Fault;
use crate::registry::RegistryError;
use crate::registry::reader::AccessNames;
use crate::registry::text::one_line;

/// How many characters of the server's message a line repeats.
const LIMIT: usize = 300;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client's own error, or the server's answer.
    Said(RedisError),
    /// No connection was made.
    Connect(io::Error),
    /// No answer in time.
    Late,
    /// Anything else: the rest of a line that begins with the server's name.
    Other(String),
    /// One key cannot be written: the whole line.
    Key(String),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Said(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Connect(error)
    }
}

impl Failure {
    /// The word with which the server's error begins, and the rest of it.
    pub(super) fn answer(&self) -> Option<(String, String)> {
        let Self::Said(error) = self else { return None };
        // Of a transaction that was not begun: what was wrong with its first step.
        let errors = error.clone().into_server_errors();
        match errors.as_ref().and_then(|errors| errors.first()) {
            Some((_, error)) => Some((error.code().to_owned(), error.details().unwrap_or_default().to_owned())),
            None => Some((error.code()?.to_owned(), error.detail().unwrap_or_default().to_owned())),
        }
    }

    /// Whether the connection is of no more use.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            Self::Said(_) => match self.answer() {
                // Another server may be the master now, or other rights may be given.
                Some((code, _)) => {
                    matches!(
                        code.as_str(),
                        "READONLY" | "LOADING" | "MASTERDOWN" | "NOAUTH" | "WRONGPASS" | "UNBLOCKED"
                    )
                }
                None => true,
            },
            Self::Connect(_) | Self::Late | Self::Other(_) => true,
            Self::Key(_) => false,
        }
    }

    /// Whether a kept connection was closed, so that a new one may serve.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Said(error) if self.answer().is_none() && error.kind() == ErrorKind::Io && !error.is_timeout())
    }

    /// The connection's fault, and its own words, where it is about the connection.
    pub(super) fn fault(&self) -> Option<(Fault, String)> {
        match self {
            Self::Connect(error) => Some((Fault::of(error), innermost(error))),
            Self::Said(error) if error.kind() == ErrorKind::Io => Some((Fault::of(error), innermost(error))),
            // A handshake that nobody answers.
            Self::Late => Some((Fault::Other, String::new())),
            Self::Said(_) | Self::Other(_) | Self::Key(_) => None,
        }
    }

    /// One line: what is wrong, and what to do. `name` is the server's.
    pub(super) fn error(&self, name: &str, names: &AccessNames) -> RegistryError {
        let AccessNames { address, user, give_user, .. } = *names;
        let error = match self {
            Self::Said(error) => error,
            Self::Connect(error) => {
                return RegistryError::Unreachable(format!("{name}: {}", innermost(error)));
            }
            Self::Late => return RegistryError::Unreachable(format!("{name}: no answer in time")),
            Self::Other(text) => return RegistryError::Unreachable(format!("{name}: {text}")),
            Self::Key(text) => return RegistryError::service(text.clone()),
        };
        let Some((code, text)) = self.answer() else {
            return RegistryError::Unreachable(match error.kind() {
                ErrorKind::Parse => {
                    format!("what answers there is no {name}; correct the host and the port of {address}")
                }
                _ if error.is_timeout() => format!("{name}: no answer in time"),
                _ => format!("{name}: {}", innermost(error)),
            });
        };
        let text = one_line(&text, LIMIT);
        judged(&code, &text, name, &[address, user, give_user])
    }
}

/// What an answer of the server means. `names`: where the address is, where the user and the password are, and how they
/// are given.
fn judged(code: &str, text: &str, name: &str, names: &[&str; 3]) -> RegistryError {
    let [address, user, give_user] = names;
    match code {
        "WRONGPASS" => {
            RegistryError::rights(format!("{name} refuses the user: wrong password, or no such user; correct {user}"))
        }
        "NOAUTH" => RegistryError::rights(format!("{name} wants a password; give one {give_user}")),
        "NOPERM" => RegistryError::rights(format!(
            "{name} denies it ({text}): the user needs +@read +@write +@transaction +@connection +ping, and the keys of the \
             prefix and of the records"
        )),
        "DENIED" => RegistryError::rights(format!(
            "{name} serves nobody but its own machine (protected mode): set a password or bind it to an address"
        )),
        "READONLY" => RegistryError::server(format!(
            "{name} is a replica, which takes no writes; name its master, or its sentinels (redis+sentinel://)"
        )),
        "OOM" => RegistryError::server(format!("{name} has no room left: raise its maxmemory, or make room in it")),
        "MISCONF" => RegistryError::server(format!(
            "{name} takes no writes since it cannot save its data: see its log, and make room on its disk"
        )),
        "NOREPLICAS" => RegistryError::server(format!(
            "{name} takes no writes, because too few replicas follow it (min-replicas-to-write)"
        )),
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => RegistryError::server(format!(
            "{name} is part of a Redis Cluster, which is not supported: name a server or sentinels without cluster mode"
        )),
        "LOADING" => RegistryError::Unreachable(format!("{name} is still loading its data")),
        "MASTERDOWN" => RegistryError::Unreachable(format!("{name} is a replica that has lost its master")),
        "BUSY" => RegistryError::Unreachable(format!("{name} is busy with a script")),
        "WRONGTYPE" => {
            RegistryError::service(format!("{name}: the key is another program's, of another type ({text})"))
        }
        _ if text.contains("DB index") => {
            RegistryError::server(format!("{name} has no database of this number ({text}); correct it in {address}"))
        }
        _ if text.contains("without any password configured") || text.contains("no password is set") => {
            RegistryError::rights(format!("{name} has no password for its default user; take it out of {user}"))
        }
        _ if text.contains("max number of clients") => {
            RegistryError::Unreachable(format!("{name} takes no more clients: raise its maxclients"))
        }
        // A server of another kind may answer in a way that is read as an error.
        "ERR" if text.is_empty() => RegistryError::Unreachable(format!("{name}: it fails without a reason")),
        _ => RegistryError::server(format!("{name}: {}", one_line(&format!("{code} {text}"), LIMIT))),
    }
}

/// The innermost reason, which an error's own text omits.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    loop {
        let held = innermost.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match held.map(|held| held as &(dyn std::error::Error + 'static)).or_else(|| innermost.source()) {
            Some(source) => innermost = source,
            None => return one_line(&innermost.to_string(), LIMIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Cause;

    fn judge(code: &str, text: &str) -> RegistryError {
        judged(code, &one_line(text, LIMIT), "Redis at 127.0.0.1:6379", &["the URI", "the URI", "in the URI"])
    }

    #[test]
    fn each_refusal_is_one_line_that_says_what_to_do() {
        for (code, text, cause, expected) in [
            ("WRONGPASS", "invalid username-password pair", Some(Cause::Rights), "refuses the user: wrong password"),
            ("NOAUTH", "Authentication required.", Some(Cause::Rights), "wants a password; give one in the URI"),
            ("NOPERM", "no permissions to run 'set'", Some(Cause::Rights), "denies it (no permissions to run 'set')"),
            ("DENIED", "Redis is running in protected mode", Some(Cause::Rights), "protected mode"),
            (
                "READONLY",
                "You can't write",
                Some(Cause::Server),
                "is a replica, which takes no writes; name its master",
            ),
            ("OOM", "command not allowed", Some(Cause::Server), "has no room left: raise its maxmemory"),
            ("MISCONF", "Redis is configured", Some(Cause::Server), "cannot save its data"),
            ("NOREPLICAS", "Not enough", Some(Cause::Server), "too few replicas"),
            ("MOVED", "3999 127.0.0.1:6381", Some(Cause::Server), "is part of a Redis Cluster, which is not supported"),
            ("CROSSSLOT", "Keys in request", Some(Cause::Server), "is part of a Redis Cluster"),
            ("LOADING", "Redis is loading", None, "is still loading its data"),
            ("ERR", "DB index is out of range", Some(Cause::Server), "has no database of this number"),
            ("ERR", "AUTH <password> called without any password configured", Some(Cause::Rights), "take it out of"),
            ("ERR", "max number of clients reached", None, "raise its maxclients"),
            ("ERR", "unknown command 'WATCH'", Some(Cause::Server), "ERR unknown command 'WATCH'"),
            ("ODD\n", "a\nb", Some(Cause::Server), "ODD\\n a\\nb"),
        ] {
            let error = judge(code, text);
            let found = match &error {
                RegistryError::Refused { cause, .. } => Some(*cause),
                RegistryError::Unreachable(_) | RegistryError::Taken(_) => None,
            };
            let line = error.to_string();
            assert!(line.contains(expected) && !line.contains(char::is_control), "{line}");
            assert_eq!(found, cause, "{line}");
        }
    }

    #[test]
    fn what_was_wrong_with_a_step_of_a_transaction_is_what_is_said() {
        let error = redis::make_extension_error("OOM".to_owned(), Some("no room".to_owned()));
        let failure = Failure::from(error);
        assert_eq!(failure.answer(), Some(("OOM".to_owned(), "no room".to_owned())));
        assert!(!failure.is_of_connection() && !failure.is_closed());
        let broken = Failure::from(RedisError::from(io::Error::from(io::ErrorKind::BrokenPipe)));
        assert!(broken.is_of_connection() && broken.is_closed() && broken.answer().is_none());
    }
}
