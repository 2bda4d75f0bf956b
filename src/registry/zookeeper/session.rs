//! The session with ZooKeeper, kept while the registry is open.
//!
//! A task connects, follows the connection, and reconnects when it is lost: to the same session if the servers still
//! know it, so that our nodes stay, otherwise to a new one. The client can reconnect by itself, but its pauses grow
//! without limit; so a client is used for one connection only. Callers wait for the result of a connection attempt,
//! never for the servers.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use spawns_core::{Spawn, Task};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch as state};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use zookeeper_client::{Client, Error, SaslOptions, SessionInfo, SessionState, TlsOptions};

use crate::http::{speaks_tls, try_tls};
use crate::registry::RegistryError;
use crate::registry::files::{self, CredentialFiles};
use crate::registry::reporter::Reporter;
use crate::registry::servers::Server;

use super::failure;
use super::settings::{Scheme, Settings, TLS_NAMES, tls_options};
use super::watch;

/// How long a connection may be silent; the client sends three pings in this time.
const SILENCE: Duration = Duration::from_secs(4);
/// How long one connection attempt may take, over all servers.
const ATTEMPT: Duration = Duration::from_secs(8);
/// The pause between two attempts, unless a caller waits.
const PAUSE: Duration = Duration::from_secs(1);
/// How long finding the reason for a failed connection may take.
const PROBE: Duration = Duration::from_secs(1);

/// The session, in any state.
pub(super) struct Session {
    shared: Arc<Shared>,
    task: OnceLock<AbortOnDropHandle<()>>,
}

struct Shared {
    settings: Settings,
    /// The files of TLS.
    files: CredentialFiles,
    reporter: Reporter,
    state: state::Sender<State>,
    /// A caller needs a connection attempt now.
    wanted: Notify,
    /// Something below the path may have changed.
    changes: Notify,
}

#[derive(Clone)]
enum State {
    /// A connection attempt is in progress.
    Connecting,
    /// Connected, with a session.
    Up(Client),
    /// The last connection attempt failed.
    Down(RegistryError),
}

impl Session {
    /// A session that connects at the first use.
    pub(super) fn new(settings: Settings, reporter: Reporter) -> Self {
        let (state, _) = state::channel(State::Connecting);
        let files = CredentialFiles::new(settings.tls.iter().flat_map(files::of_tls));
        let shared = Shared { settings, files, reporter, state, wanted: Notify::new(), changes: Notify::new() };
        Self { shared: Arc::new(shared), task: OnceLock::new() }
    }

    /// Its settings.
    pub(super) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// A client that was connected when last checked.
    pub(super) async fn client(&self) -> Result<Client, RegistryError> {
        self.start();
        let mut state = self.shared.state.subscribe();
        if matches!(*state.borrow_and_update(), State::Down(_)) {
            self.shared.wanted.notify_one();
            // Waits for the next result; that of an attempt in progress is enough.
            let _ = state.changed().await;
        }
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                State::Up(client) => return Ok(client),
                State::Down(error) => return Err(error),
                State::Connecting => drop(state.changed().await),
            }
        }
    }

    /// Returns when a file that TLS is spoken with has changed. If there is no session, another attempt is made at once.
    pub(super) async fn credentials_changed(&self) {
        self.shared.files.changed().await;
        self.shared.wanted.notify_one();
    }

    /// Returns when something below the path may have changed since the last call.
    pub(super) async fn changed(&self) {
        self.start();
        self.shared.changes.notified().await;
    }

    fn start(&self) {
        self.task.get_or_init(|| AbortOnDropHandle::new(tokio::spawn(keep(Arc::clone(&self.shared)))));
    }
}

/// The task that keeps the session. Never returns.
async fn keep(shared: Arc<Shared>) {
    let Shared { settings, reporter, state, wanted, changes, .. } = &*shared;
    let (mut last, mut tls) = (None, None);
    loop {
        if let Err(reason) = read_tls(settings, &mut tls) {
            let reason = format!("ZooKeeper at {}: {reason}", settings.place());
            if tls.is_none() {
                state.send_replace(State::Down(RegistryError::Unreachable(reason)));
                pause(wanted).await;
                continue;
            }
            reporter.warn("credentials", format!("{reason}; going on as before"));
        }
        let failure = match timeout(ATTEMPT, session(settings, tls.as_ref(), last.as_ref())).await {
            Ok(Ok((client, connection))) => {
                let id = client.session().id();
                let is_new = last.replace(client.session().clone()).is_none_or(|last: SessionInfo| last.id() != id);
                // A reader leaves nothing behind that lives on.
                if is_new && settings.watched {
                    let lives = client.session_timeout();
                    reporter
                        .info("session", format!("zookeeper: session {id}, which lives on for {lives:?} without us"));
                }
                state.send_replace(State::Up(client.clone()));
                // Changes during a lost connection were not reported.
                changes.notify_one();
                let end = watch::follow(&client, settings.watched.then_some(&settings.base), changes).await;
                drop(connection);
                if end != SessionState::AuthFailed {
                    state.send_replace(State::Connecting);
                    continue;
                }
                Error::AuthFailed
            }
            Ok(Err(error)) => error,
            Err(_) => Error::Timeout,
        };
        state.send_replace(State::Down(explained(settings, &failure).await));
        pause(wanted).await;
    }
}

/// The pause before another attempt, unless a caller waits for it.
async fn pause(wanted: &Notify) {
    tokio::select! {
        () = sleep(PAUSE) => {}
        () = wanted.notified() => {}
    }
}

/// A client, and the task that performs its I/O, which ends when dropped.
type Connected = (Client, Vec<AbortOnDropHandle<()>>);

/// Reads the files of TLS, if it is spoken. Files that are being replaced leave what was read before.
fn read_tls(settings: &Settings, options: &mut Option<TlsOptions>) -> Result<(), String> {
    if let Some(tls) = &settings.tls {
        *options = Some(tls_options(tls)?);
    }
    Ok(())
}

/// The last session if it is still alive, otherwise a new one.
async fn session(
    settings: &Settings,
    tls: Option<&TlsOptions>,
    last: Option<&SessionInfo>,
) -> Result<Connected, Error> {
    if let Some(last) = last {
        match connect(settings, tls, Some(last)).await {
            Err(Error::SessionExpired) => {}
            outcome => return outcome,
        }
    }
    connect(settings, tls, None).await
}

async fn connect(
    settings: &Settings,
    tls: Option<&TlsOptions>,
    last: Option<&SessionInfo>,
) -> Result<Connected, Error> {
    let silence = SILENCE.min(settings.session_timeout / 2);
    let mut connector = Client::connector()
        .with_session_timeout(settings.session_timeout)
        .with_connection_timeout(silence)
        .with_fail_eagerly()
        // At shutdown, the session is left to expire.
        .with_detached();
    if let Some(credentials) = &settings.credentials {
        connector = match credentials.scheme {
            Scheme::Digest => connector.with_auth("digest", credentials.pair().expose_secret().as_bytes()),
            Scheme::Sasl => connector.with_sasl(SaslOptions::digest_md5(
                credentials.user.clone(),
                credentials.password.expose_secret().to_owned(),
            )),
        };
    }
    if let Some(last) = last {
        connector = connector.with_session(last.clone());
    }
    let (client, tasks) = match tls {
        Some(tls) => holding_tasks(connector.with_tls(tls.clone()).secure_connect(&settings.place())).await,
        None => holding_tasks(connector.connect(&settings.place())).await,
    };
    Ok((client?, tasks))
}

/// Runs a future of the client, and keeps the tasks that it spawns with `spawns_core`. Suppresses the client's own log
/// lines, one for each attempt; our events report the same.
async fn holding_tasks<F: Future>(future: F) -> (F::Output, Vec<AbortOnDropHandle<()>>) {
    #[derive(Default)]
    struct Held(Mutex<Vec<AbortOnDropHandle<()>>>);
    impl Spawn for Held {
        fn spawn(&self, task: Task) {
            let silent = Box::into_pin(task.future).with_subscriber(NoSubscriber::default());
            let task = AbortOnDropHandle::new(tokio::spawn(silent));
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        }
    }
    let held = Held::default();
    let mut future = pin!(future.with_subscriber(NoSubscriber::default()));
    let output = poll_fn(|context| {
        let _scope = spawns_core::enter(&held);
        future.as_mut().poll(context)
    })
    .await;
    (output, held.0.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Why there is no session, as far as it can be found out: the client's errors contain little.
async fn explained(settings: &Settings, error: &Error) -> RegistryError {
    let place = settings.place();
    match error {
        Error::AuthFailed => {
            let user = settings.credentials.as_ref().map_or("", |credentials| credentials.user.as_str());
            let why = "authentication failed: wrong password, or no such user; correct the URI, or ZOOKEEPER_AUTH";
            return RegistryError::rights(format!("ZooKeeper at {place} refuses the user {user:?}: {why}"));
        }
        Error::NoHosts | Error::Timeout | Error::ConnectionLoss => {}
        _ => return RegistryError::Unreachable(format!("ZooKeeper at {place}: {}", failure::words(error))),
    }
    let mut reasons = Vec::new();
    for server in &settings.servers {
        match timeout(PROBE, TcpStream::connect((server.host.as_str(), server.port))).await {
            Ok(Ok(_)) => {
                let why = no_session(settings, server).await;
                return RegistryError::Unreachable(format!("ZooKeeper at {server}: {why}"));
            }
            Ok(Err(error)) => reasons.push(format!("{server}: {error}")),
            Err(_) => reasons.push(format!("{server}: no answer")),
        }
    }
    RegistryError::Unreachable(format!("ZooKeeper at {}", reasons.join(", ")))
}

/// Why a server accepts connections but starts no session, and what to do.
async fn no_session(settings: &Settings, server: &Server) -> String {
    let silent = "it accepts connections and begins no session; check that it is ZooKeeper, and that it serves";
    match &settings.tls {
        None if speaks_tls(&server.host, server.port).await => TLS_NAMES.wanted(),
        None => silent.to_owned(),
        Some(tls) => match try_tls(&server.host, server.port, tls).await {
            Some(Err(fault)) => TLS_NAMES.explained(&fault, silent),
            Some(Ok(())) | None => silent.to_owned(),
        },
    }
}
