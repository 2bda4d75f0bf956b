//! The address of a Redis server, and a connection that is made when it is needed and made again after a failure.

use std::path::PathBuf;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::registry::reader::AccessNames;
use crate::registry::servers::{Server, servers};
use crate::registry::text::one_line;
use crate::registry::{OpenError, RegistryError};

/// The default port of a server.
const DEFAULT_PORT: u16 = 6379;
/// How long connecting may take, and an answer.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(6);
/// How many characters of the server's message a line repeats.
const LIMIT: usize = 300;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Network(Server),
    Socket(PathBuf),
}

/// A server, and a database of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) place: Place,
    pub(super) database: i64,
}

impl Address {
    /// `host:port`, `host:port/database`, or the path of a unix socket.
    ///
    /// # Errors
    /// When it is none of them.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self { place: Place::Socket(text.into()), database: 0 });
        }
        let (host, database) = match text.split_once('/') {
            Some((host, "")) => (host, 0),
            Some((host, database)) => {
                let number = database.parse::<u16>().map_err(|_| format!("{database:?} is no number of a database"))?;
                (host, i64::from(number))
            }
            None => (text, 0),
        };
        let server = servers(host, DEFAULT_PORT)?.into_iter().next().ok_or_else(|| "it names no server".to_owned())?;
        Ok(Self { place: Place::Network(server), database })
    }

    fn shown(&self) -> String {
        match &self.place {
            Place::Network(server) => server.to_string(),
            Place::Socket(path) => path.display().to_string(),
        }
    }
}

/// A connection to one database.
pub(in crate::registry) struct Connection {
    client: Client,
    database: i64,
    name: String,
    names: &'static AccessNames,
    held: Mutex<Option<MultiplexedConnection>>,
}

impl Connection {
    /// Does not connect yet.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(super) fn new(
        address: &Address,
        user: Option<&str>,
        password: Option<&SecretString>,
        names: &'static AccessNames,
    ) -> Result<Self, OpenError> {
        let mut settings = RedisConnectionInfo::default().set_db(address.database).set_skip_set_lib_name();
        if let Some(user) = user {
            settings = settings.set_username(user);
        }
        if let Some(password) = password {
            settings = settings.set_password(password.expose_secret());
        }
        let place = match &address.place {
            Place::Network(server) => ConnectionAddr::Tcp(server.host.clone(), server.port),
            Place::Socket(path) => ConnectionAddr::Unix(path.clone()),
        };
        let name = format!("Redis at {}", address.shown());
        let client = place
            .into_connection_info()
            .and_then(|info| Client::open(info.set_redis_settings(settings)))
            .map_err(|error| OpenError::Settings(format!("{name}: {}", words(&error))))?;
        Ok(Self { client, database: address.database, name, names, held: Mutex::default() })
    }

    /// Its name for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The number of its database.
    pub(super) fn database(&self) -> i64 {
        self.database
    }

    /// Does something with the connection, within a deadline. After a failure, the next call makes a new one.
    pub(super) async fn call<T>(
        &self,
        deadline: Duration,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, RegistryError> {
        let asked = timeout(deadline, async {
            let mut connection = self.connection().await?;
            ask(&mut connection).await
        });
        let outcome = asked.await.unwrap_or_else(|_| Err(RedisError::from(std::io::Error::other("no answer in time"))));
        match outcome {
            Ok(answer) => Ok(answer),
            Err(error) => {
                *self.held.lock().await = None;
                Err(self.error(&error))
            }
        }
    }

    /// A connection of its own that hears of events.
    pub(super) async fn subscription(&self) -> Result<PubSub, RegistryError> {
        let late = |_| Err(RedisError::from(std::io::Error::other("no answer in time")));
        let made = timeout(CONNECT + ANSWER, self.client.get_async_pubsub()).await.unwrap_or_else(late);
        made.map_err(|error| self.error(&error))
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut held = self.held.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
        let made = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(held.insert(made).clone())
    }

    /// What is wrong, and what to do.
    pub(super) fn error(&self, error: &RedisError) -> RegistryError {
        let name = &self.name;
        let said = words(error);
        match (error.kind(), error.code()) {
            (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH")) => RegistryError::rights(format!(
                "{name} refuses the password, or wants one ({said}); correct {}",
                self.names.user
            )),
            (_, Some("NOPERM")) => RegistryError::rights(format!("{name} denies it to this user: {said}")),
            (ErrorKind::Parse, _) => RegistryError::Unreachable(format!(
                "what answers there is no {name}; correct the host and the port of {}",
                self.names.address
            )),
            _ if error.is_timeout() => RegistryError::Unreachable(format!("{name}: no answer in time")),
            _ => RegistryError::Unreachable(format!("{name}: {said}")),
        }
    }
}

/// The message of an error, on one line.
fn words(error: &RedisError) -> String {
    one_line(&error.to_string(), LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_server_with_or_without_a_database_or_a_socket() {
        let network = |host: &str, port| Place::Network(Server { host: host.to_owned(), port });
        for (text, place, database) in [
            ("127.0.0.1:6379", network("127.0.0.1", 6379), 0),
            ("redis:6379/4", network("redis", 6379), 4),
            ("redis/", network("redis", 6379), 0),
            ("[::1]:6380/1", network("::1", 6380), 1),
            ("/run/redis.sock", Place::Socket("/run/redis.sock".into()), 0),
        ] {
            assert_eq!(Address::parse(text), Ok(Address { place, database }), "{text}");
        }
        for text in ["redis:6379/one", "redis:x", "a b", "redis:6379/-1"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
