//! Where a Redis is: a server, a unix socket, or the sentinels that know which server is the master now.

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::registry::servers::{Server, place, servers};

/// The default port of a server, and of a sentinel.
pub(super) const PORT: u16 = 6379;
pub(super) const SENTINEL_PORT: u16 = 26379;

/// Where a server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Server(Server),
    Socket(PathBuf),
    /// Sentinels, and the name by which they know the master.
    Sentinels(Vec<Server>, String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => write!(f, "{server}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Sentinels(sentinels, master) => write!(f, "{}/{master}", place(sentinels)),
        }
    }
}

/// Who we are to a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Login {
    /// The user; without one, the password is that of the default user.
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
}

impl Login {
    /// `user:password` or `:password`; `None` for anything else.
    pub(super) fn parse(pair: &str) -> Option<Self> {
        let (user, password) = pair.split_once(':').filter(|(_, password)| !password.is_empty())?;
        let user = Some(user).filter(|user| !user.is_empty()).map(str::to_owned);
        Some(Self { user, password: Some(SecretString::from(password)) })
    }
}

/// A server, and a database of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) target: Target,
    pub(super) database: i64,
}

impl Address {
    /// `host:port`, `host:port/database`, or the path of a unix socket.
    ///
    /// # Errors
    /// When it is none of them.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self { target: Target::Socket(text.into()), database: 0 });
        }
        let (host, number) = text.split_once('/').unwrap_or((text, ""));
        let server = servers(host, PORT)?.into_iter().next().ok_or_else(|| "it names no server".to_owned())?;
        Ok(Self { target: Target::Server(server), database: database(number)? })
    }
}

/// The number of a database; 0 for an empty text.
///
/// # Errors
/// When it is no number of a database.
pub(super) fn database(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse::<u16>().map(i64::from).map_err(|_| format!("{text:?} is no number of a database"))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn an_address_is_a_server_with_or_without_a_database_or_a_socket() {
        let network = |host: &str, port| Target::Server(Server { host: host.to_owned(), port });
        for (text, target, database) in [
            ("127.0.0.1:6379", network("127.0.0.1", 6379), 0),
            ("redis:6379/4", network("redis", 6379), 4),
            ("redis/", network("redis", 6379), 0),
            ("[::1]:6380/1", network("::1", 6380), 1),
            ("/run/redis.sock", Target::Socket("/run/redis.sock".into()), 0),
        ] {
            assert_eq!(Address::parse(text), Ok(Address { target, database }), "{text}");
        }
        for text in ["redis:6379/one", "redis:x", "a b", "redis:6379/-1"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_login_has_a_password_and_may_have_a_user() {
        for (pair, user, password) in [("me:pw", Some("me"), "pw"), (":pw", None, "pw"), ("me:a:b", Some("me"), "a:b")]
        {
            let login = Login::parse(pair).unwrap();
            assert_eq!((login.user.as_deref(), login.password.unwrap().expose_secret()), (user, password));
        }
        for pair in ["", "me", "me:", ":"] {
            assert!(Login::parse(pair).is_none(), "{pair}");
        }
    }
}
