//! Sends requests to one server at a time, and to the next one when it fails.
//!
//! The client can balance over all servers, but continues to ask dead ones. So each client has one server, chosen here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout};

use crate::http::Tls;
use crate::registry::RegistryError;
use crate::registry::files::{self, CredentialFiles};

use super::failure::Failure;
use crate::registry::etcd::Settings;

/// The deadline of a call, over all servers.
const DEADLINE: Duration = Duration::from_secs(9);
/// The minimum and maximum time of one attempt.
const ATTEMPT: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(6));
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Keep-alive of an idle connection: the interval, and how long the answer may take.
const PING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// The servers, and a client for one of them.
pub(super) struct Connection {
    settings: Settings,
    /// The files of TLS.
    files: CredentialFiles,
    current: Mutex<Current>,
    /// Whether any server has ever answered.
    answered: AtomicBool,
}

#[derive(Default)]
struct Current {
    /// The index of the server.
    index: usize,
    /// Incremented with each new client.
    generation: u64,
    client: Option<Client>,
}

impl Connection {
    pub(super) fn new(settings: Settings) -> Self {
        // Hosts with the same list of servers should not all start with the first.
        let index = fastrand::usize(..settings.servers.len());
        let files = CredentialFiles::new(settings.tls.iter().flat_map(files::of_tls));
        Self {
            settings,
            files,
            current: Mutex::new(Current { index, ..Current::default() }),
            answered: AtomicBool::new(false),
        }
    }

    /// Its settings.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// For the engine.
    pub(super) fn error(&self, failure: Failure) -> RegistryError {
        failure.error(&self.settings)
    }

    /// Asks one server and, if it fails, the next, until the deadline.
    pub(super) async fn call<T, F>(&self, ask: impl Fn(Client) -> F + Send + Sync) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let until = Instant::now() + DEADLINE;
        let servers = u32::try_from(self.settings.servers.len()).unwrap_or(u32::MAX);
        let attempt = (DEADLINE / servers).clamp(ATTEMPT.0, ATTEMPT.1);
        let mut failed = Failure::Away("no answer in time".to_owned());
        // A kept connection may be broken, so a single server is asked twice.
        for _ in 0..servers.max(2) {
            let left = until.saturating_duration_since(Instant::now()).min(attempt);
            if left.is_zero() {
                break;
            }
            let mut used = None;
            let index = self.current().index;
            let asked = timeout(left, async {
                let (client, generation) = self.client().await?;
                used = Some(generation);
                ask(client).await.map_err(Failure::from)
            });
            match asked.await {
                Ok(Ok(answer)) => {
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Err(failure @ (Failure::Refused(..) | Failure::NotLetIn | Failure::NoLease))) => {
                    return Err(failure);
                }
                Ok(Err(Failure::Lost(fault, reason))) => {
                    let server = &self.settings.servers[index % self.settings.servers.len()];
                    failed = Failure::Away(match self.answered.load(Ordering::Relaxed) {
                        true => self.settings.lost(&fault, &reason),
                        false => self.settings.never_reached(server, &fault, &reason).await,
                    });
                }
                Ok(Err(failure)) => failed = failure,
                Err(_) => failed = Failure::Away("no answer in time".to_owned()),
            }
            self.leave(used);
        }
        Err(failed)
    }

    /// A client of the server that answered last. Its requests need their own deadlines.
    pub(super) async fn client(&self) -> Result<(Client, u64), Failure> {
        let index = {
            let current = self.current();
            if let Some(client) = &current.client {
                return Ok((client.clone(), current.generation));
            }
            current.index
        };
        let client = self.connect(index).await?;
        let mut current = self.current();
        current.generation += 1;
        current.client = Some(client.clone());
        Ok((client, current.generation))
    }

    /// The client of this generation failed, or could not be created: move on to the next server.
    pub(super) fn leave(&self, generation: Option<u64>) {
        let mut current = self.current();
        if generation.is_none_or(|generation| generation == current.generation) {
            current.client = None;
            current.index = (current.index + 1) % self.settings.servers.len();
        }
    }

    /// Returns when a file that TLS is spoken with has changed. The next call makes a new connection.
    pub(super) async fn credentials_changed(&self) {
        self.files.changed().await;
        self.current().client = None;
    }

    async fn connect(&self, index: usize) -> Result<Client, Failure> {
        let Settings { servers, tls, user, .. } = &self.settings;
        let server = &servers[index % servers.len()];
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = [format!("{scheme}://{server}")];
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_keep_alive(PING.0, PING.1)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some(tls) = tls {
            options = options.with_tls(tls_options(tls).await?);
        }
        if let Some((user, password)) = user {
            let known = options.clone().with_user(user, password.expose_secret());
            match Client::connect(&endpoint, Some(known)).await.map_err(Failure::from) {
                // As etcd's own clients do: without a user, no authentication.
                Err(Failure::NoUsers) => {}
                outcome => return outcome,
            }
        }
        Client::connect(&endpoint, Some(options)).await.map_err(Failure::from)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The TLS settings of the client. The files are read for each connection, so they may be renewed.
async fn tls_options(tls: &Tls) -> Result<TlsOptions, Failure> {
    let read = async |path: &std::path::Path| {
        tokio::fs::read(path).await.map_err(|error| Failure::Away(format!("{}: {error}", path.display())))
    };
    let mut options = match &tls.ca {
        Some(path) => TlsOptions::new().ca_certificate(Certificate::from_pem(read(path).await?)),
        None => TlsOptions::new().with_enabled_roots(),
    };
    if let Some((certificate, key)) = &tls.identity {
        options = options.identity(Identity::from_pem(read(certificate).await?, read(key).await?));
    }
    Ok(options)
}
