//! What tells of a run: the listener of `-status`, the file for Prometheus, the audit, the service manager.
//!
//! Everything that can fail is tried before the run begins: a port that is taken, a file that cannot be read.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use registrator_web::Names;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::audit::Audit;
use crate::config::{Config, StatusAddress, StatusTls};
use crate::event::{Event, Events};
use crate::status::{Hub, Listener, Listeners, Serving, Token, follow_certificates, health, keep_file, look};

/// How often the service manager is told the state.
const STATUS_PACE: Duration = Duration::from_secs(10);
/// How long the host's task may take to answer before the service manager's watchdog is no longer told that it lives.
const ALIVE: Duration = Duration::from_secs(5);

/// The shortest watchdog that is served; to be in time for a shorter one would be a load.
const SHORTEST_WATCHDOG: Duration = Duration::from_millis(100);
/// How long the service manager may take to hear of the stop.
const LAST_NOTICE: Duration = Duration::from_millis(100);

/// What tells of a run, ready to begin.
pub struct Tellers {
    listeners: Listeners,
    audit: Option<Audit>,
    listener: Option<(Listener, Option<Token>, Option<Arc<ServerConfig>>)>,
}

/// What tells of a run, until it is dropped.
pub struct Telling {
    _serving: Option<Serving>,
    _tasks: Vec<AbortOnDropHandle<()>>,
    /// Tells the service manager, if there is one.
    notifying: Option<AbortOnDropHandle<()>>,
}

impl Telling {
    /// Waits until the service manager knows of the stop, for a short time. For after the stop.
    pub async fn ended(self) {
        if let Some(notifying) = self.notifying {
            let _ = timeout(LAST_NOTICE, notifying).await;
        }
    }
}

impl Tellers {
    /// Takes the port and opens the files.
    ///
    /// # Errors
    /// In one line that says what to do.
    pub fn prepare(config: &Config) -> Result<Self, String> {
        let status = &config.status;
        let told = status.address.is_some() || status.prometheus_file.is_some();
        let listeners = Listeners::new(env!("CARGO_PKG_VERSION"), told).map_err(|error| error.to_string())?;
        let audit = config.audit.as_deref().map(Audit::open).transpose()?;
        let listener = match &status.address {
            None => None,
            Some(address) => {
                let token = status.token_file.as_deref().map(Token::read).transpose()?;
                let tls = status.tls.as_ref().map(tls).transpose()?;
                Some((Listener::take(resolve(address)?)?, token, tls))
            }
        };
        Ok(Self { listeners, audit, listener })
    }

    /// The listeners, for the hub.
    #[must_use]
    pub fn listeners(&self) -> Listeners {
        self.listeners.clone()
    }

    /// The audit, if there is one.
    #[must_use]
    pub fn audit(&self) -> Option<Audit> {
        self.audit.clone()
    }

    /// Events that go to the log and to all that tells.
    #[must_use]
    pub fn events(&self) -> Events {
        let (events, audit) = (self.listeners.events(), self.audit.clone());
        match audit {
            None => events,
            Some(audit) => Events::new(move |event| {
                audit.take(event);
                events.pass(event);
            }),
        }
    }

    /// Begins to tell.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn begin(self, hub: &Hub, config: &Config, events: &Events, stop: &CancellationToken) -> io::Result<Telling> {
        let mut tasks = Vec::new();
        let mut serving = None;
        if let Some((listener, token, tls)) = self.listener {
            let (address, https) = (listener.address()?, tls.is_some());
            let names = Names::new("", [config.service.hostname.clone(), crate::machine::name()]);
            serving = Some(listener.serve(hub.clone(), names, token, tls)?);
            events.emit(Event::StatusListening { address, https });
        }
        if serving.is_some() {
            tasks.push(AbortOnDropHandle::new(tokio::spawn(follow_certificates(hub.clone()))));
        }
        if let Some(path) = &config.status.prometheus_file {
            tasks.push(AbortOnDropHandle::new(tokio::spawn(keep_file(hub.clone(), path.clone(), stop.clone()))));
        }
        let notifying = std::env::var_os("NOTIFY_SOCKET")
            .is_some()
            .then(|| AbortOnDropHandle::new(tokio::spawn(notify(hub.clone(), stop.clone(), events.clone()))));
        Ok(Telling { _serving: serving, _tasks: tasks, notifying })
    }
}

/// The address to listen on.
fn resolve(address: &StatusAddress) -> Result<SocketAddr, String> {
    let resolved = (address.host.as_str(), address.port).to_socket_addrs();
    let first = resolved.map_err(|error| format!("-status {address}: {error}"))?.next();
    first.ok_or_else(|| format!("-status {address}: the name has no address"))
}

/// The certificate and the key to answer with.
fn tls(files: &StatusTls) -> Result<Arc<ServerConfig>, String> {
    let StatusTls { certificate, key } = files;
    let said = |option: &str, path: &Path, why: &dyn std::fmt::Display| {
        format!("{option} {}: {why}; give a PEM file", path.display())
    };
    let of_certificate = |why: &dyn std::fmt::Display| said("-status-tls-cert", certificate, why);
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| of_certificate(&error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| said("-status-tls-key", key, &error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| of_certificate(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| of_certificate(&error))?;
    Ok(Arc::new(config))
}

/// Tells the service manager that the program runs, how it is, and that it lives
/// (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>).
async fn notify(hub: Hub, stop: CancellationToken, events: Events) {
    if let Err(error) = say(|| sd_notify::notify(false, &[NotifyState::Ready])).await {
        let text = format!("the service manager cannot be told that the program runs (NOTIFY_SOCKET): {error}");
        events.emit(Event::Advice { about: "service manager", text });
    }
    let [asked, whose] = ["WATCHDOG_USEC", "WATCHDOG_PID"].map(|name| std::env::var(name).ok());
    let watchdog = watchdog(asked.as_deref(), whose.as_deref(), std::process::id());
    let pace = watchdog.map_or(STATUS_PACE, |watchdog| STATUS_PACE.min(watchdog / 3));
    let living = async {
        loop {
            if let Ok(line) = timeout(ALIVE, in_one_line(&hub)).await {
                let told = say(move || {
                    let lives = watchdog.map(|_| NotifyState::Watchdog);
                    let all: Vec<_> = [NotifyState::Status(&line)].into_iter().chain(lives).collect();
                    sd_notify::notify(false, &all)
                });
                // A service manager that is not there was already named.
                let _ = told.await;
            }
            sleep(pace).await;
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {
            let _ = say(|| sd_notify::notify(false, &[NotifyState::Stopping])).await;
        }
        () = living => {}
    }
}

/// How often the service manager wants a sign of life, if it does
/// (<https://www.freedesktop.org/software/systemd/man/latest/sd_watchdog_enabled.html>): `WATCHDOG_USEC`, in
/// microseconds, which is for the process `WATCHDOG_PID`, or for whoever has it if that is not set.
fn watchdog(asked: Option<&str>, whose: Option<&str>, own: u32) -> Option<Duration> {
    let is_ours = whose.is_none_or(|pid| pid.trim().parse() == Ok(own));
    let period = Duration::from_micros(asked?.trim().parse().ok()?);
    (is_ours && period >= SHORTEST_WATCHDOG).then_some(period)
}

/// Says it on a thread that may wait: a service manager that does not read must not hold up the run.
async fn say(what: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    spawn_blocking(what).await.unwrap_or_else(|ended| Err(io::Error::other(ended)))
}

/// The state in one line.
pub async fn in_one_line(hub: &Hub) -> String {
    let (running, registries) = (look::running(hub).await, look::registries(hub).await);
    let containers: usize = running.containers.iter().map(|(_, count)| count).sum();
    let mut line = format!("{containers} containers, {} services", running.services);
    for registry in registries {
        let right = registry.states.get("in_sync").copied().unwrap_or_default();
        line += &match registry.state.as_str() {
            look::UP => format!("; {}: {right} of {} in sync", registry.name, registry.desired),
            state => format!("; {}: {state}", registry.name),
        };
    }
    line
}

/// Writes the state to the log (SIGUSR1).
pub async fn write_state(hub: &Hub, events: &Events) {
    let mut lines = vec![in_one_line(hub).await];
    lines.extend(health::health(hub).await.text(true).lines().map(str::to_owned));
    for text in lines {
        events.emit(Event::State { text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_served_if_it_is_ours() {
        let second = Some(Duration::from_secs(1));
        for (asked, whose, expected) in [
            (None, None, None),
            (Some("1000000"), None, second),
            (Some("1000000"), Some("7"), second),
            (Some("1000000"), Some("8"), None),
            (Some("1000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("1"), None, None),
            (Some("-1"), None, None),
            (Some("infinity"), None, None),
        ] {
            assert_eq!(watchdog(asked, whose, 7), expected, "{asked:?} {whose:?}");
        }
    }
}
