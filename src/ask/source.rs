//! Where answers come from: the running instance (`-status`), or a look of our own.
//!
//! A look of our own is a run that writes nothing: the same code as `-dry-run`, until everything was compared once.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::AUTHORIZATION;
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::Error;
use crate::app::{self, Control, Watching};
use crate::cli::Ask;
use crate::config::{Config, Mode, StatusAddress};
use crate::http::{self as client, Client, Fault, Response, Tls};
use crate::status::journal::Happened;
use crate::status::{Hub, Listeners, Token, look, view};

/// How long an answer of the running instance may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a look of our own may take.
const LOOK: Duration = Duration::from_secs(60);
/// The largest answer that is read, in bytes.
const LARGEST: usize = 512 << 20;
/// The scheme of registries that live in the running instance alone.
const EMBEDDED: &str = "embedded:";

/// Where answers come from.
pub(super) struct Source {
    runtime: Runtime,
    from: From,
}

enum From {
    Running(Running),
    Own(Own),
}

/// The listener of a running instance.
struct Running {
    client: Client,
    base: String,
    token: Option<Token>,
}

/// A run of our own that writes nothing.
struct Own {
    hub: Hub,
    /// Registries that only the running instance has.
    left_out: Vec<String>,
    _control: tokio_util::sync::DropGuard,
    _run: AbortOnDropHandle<()>,
}

impl Source {
    /// Reaches the running instance, or looks.
    ///
    /// # Errors
    /// In one line that says what to do.
    pub(super) fn open(ask: &Ask) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let from = match &ask.status {
            Some(address) => From::Running(Running::new(address, &ask.config)?),
            None => From::Own(runtime.block_on(Own::look(&ask.config))?),
        };
        Ok(Self { runtime, from })
    }

    /// What to add for people: registries that were left out.
    pub(super) fn remark(&self) -> Option<String> {
        let From::Own(Own { left_out, .. }) = &self.from else { return None };
        (!left_out.is_empty())
            .then(|| format!("{} lives in the running instance: ask that with -status ADDR", left_out.join(", ")))
    }

    /// Whether no registry is known, because all live in the running instance.
    pub(super) fn has_no_registry(&self) -> bool {
        matches!(&self.from, From::Own(Own { hub, .. }) if hub.registries.is_empty())
    }

    /// All containers.
    pub(super) fn containers(&self) -> Result<Vec<view::Container>, Error> {
        match &self.from {
            From::Running(running) => self.wait(running.get("/v1/containers")),
            From::Own(own) => self.wait(async {
                let ids = look::ids(&own.hub).await;
                Ok(look::containers(&own.hub, ids, false).await)
            }),
        }
    }

    /// The containers that a person means, with the decisions.
    pub(super) fn explained(&self, reference: &str) -> Result<view::Container, Error> {
        if reference.trim_matches('/').is_empty() {
            return Err(Error::Failed("name a container: registrator explain web".to_owned()));
        }
        match &self.from {
            From::Running(running) => {
                let name = percent_encoding::utf8_percent_encode(reference, percent_encoding::NON_ALPHANUMERIC);
                self.wait(running.get(&format!("/v1/containers/{name}")))
            }
            From::Own(own) => self.wait(async {
                let found = look::find(&own.hub, reference).await;
                if found.len() > 1 {
                    return Err(Error::Failed(look::not_one(reference, found.len())));
                }
                let mut containers = look::containers(&own.hub, found, true).await;
                containers.pop().ok_or_else(|| Error::Failed(look::not_one(reference, 0)))
            }),
        }
    }

    /// The engine.
    pub(super) fn docker(&self) -> Result<view::Docker, Error> {
        match &self.from {
            // Only the beginning of the state is needed, but no path of its own is worth it.
            From::Running(running) => self.wait(async { Ok(running.get::<view::State>("/v1/state").await?.docker) }),
            From::Own(own) => self.wait(async { Ok(look::docker(&own.hub).await) }),
        }
    }

    /// All registries.
    pub(super) fn registries(&self) -> Result<Vec<view::Registry>, Error> {
        match &self.from {
            From::Running(running) => self.wait(running.get("/v1/registries")),
            From::Own(own) => self.wait(async { Ok(look::registries(&own.hub).await) }),
        }
    }

    /// The plans of all registries.
    pub(super) fn plans(&self) -> Result<Vec<view::Plan>, Error> {
        match &self.from {
            From::Running(running) => self.wait(running.get("/v1/plan")),
            From::Own(own) => self.wait(async { Ok(look::plans(&own.hub).await) }),
        }
    }

    /// The last events.
    pub(super) fn events(&self) -> Result<Vec<Happened>, Error> {
        match &self.from {
            From::Running(running) => self.wait(async {
                let mut happened = Vec::new();
                // The kept ones come at once, and then nothing for a while.
                let all = running.follow("/v1/events", |event| {
                    happened.push(event);
                    Ok(())
                });
                match timeout(Duration::from_millis(500), all).await {
                    Ok(Err(error)) => Err(error),
                    _ => Ok(()),
                }?;
                Ok(happened)
            }),
            From::Own(own) => {
                Ok(own.hub.listeners.journal.after(0).iter().map(|happened| Happened::clone(happened)).collect())
            }
        }
    }

    /// Each event as it happens, until the instance ends or the reader has seen enough.
    pub(super) fn follow(&self, mut each: impl FnMut(Happened) -> Result<(), Error>) -> Result<(), Error> {
        match &self.from {
            From::Running(running) => self.runtime.block_on(running.follow("/v1/events?after=now", each)),
            From::Own(own) => self.runtime.block_on(async {
                let journal = &own.hub.listeners.journal;
                let (mut news, mut sent) = (journal.listen(), 0);
                loop {
                    for happened in journal.after(sent) {
                        sent = happened.number;
                        each(Happened::clone(&happened))?;
                    }
                    if news.changed().await.is_err() {
                        return Ok(());
                    }
                }
            }),
        }
    }

    /// Text of the running instance, and its status; `None` without one.
    pub(super) fn text(&self, path: &str) -> Result<Option<(u16, String)>, Error> {
        match &self.from {
            From::Running(running) => self.wait(async { running.text(path).await.map(Some) }),
            From::Own(_) => Ok(None),
        }
    }

    fn wait<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.runtime.block_on(async {
            match timeout(ANSWER, answer).await {
                Ok(answer) => answer,
                Err(_) => Err(Error::Failed(format!("there was no answer within {} s", ANSWER.as_secs()))),
            }
        })
    }
}

impl Running {
    fn new(address: &StatusAddress, config: &Config) -> Result<Self, Error> {
        let tls = config.status.tls.as_ref();
        // Whoever has the listener's own certificate trusts it.
        let trusted = Tls { ca: tls.map(|tls| tls.certificate.clone()), ..Tls::default() };
        let client = client::client(None, &trusted).map_err(|error| Error::Failed(error.to_string()))?;
        let token = config.status.token_file.as_deref().map(Token::read).transpose().map_err(Error::Failed)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        Ok(Self { client, base: format!("{scheme}://{address}"), token })
    }

    async fn send(&self, path: &str) -> Result<Response, Error> {
        let mut request = Request::get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.header());
        }
        let request = request.body(Bytes::new()).map_err(|error| Error::Failed(error.to_string()))?;
        self.client.send(request).await.map_err(|error| {
            let base = &self.base;
            Error::Failed(match error.fault() {
                Fault::NoTls => format!("{base} answers without TLS: leave out -status-tls-cert"),
                Fault::UnknownAuthority | Fault::BadCertificate(_) | Fault::Identity => {
                    format!("the certificate of {base} is not trusted ({error}): give its own with -status-tls-cert")
                }
                Fault::Broken | Fault::Other => {
                    format!("nobody answers at {base} ({error}); does registrator run there with -status?")
                }
            })
        })
    }

    async fn text(&self, path: &str) -> Result<(u16, String), Error> {
        let response = self.send(path).await?;
        let status = response.status().as_u16();
        let body = client::body(response, LARGEST).await.map_err(|error| Error::Failed(error.to_string()))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let (status, text) = self.text(path).await?;
        if status != 200 {
            return Err(Error::Failed(format!("{}: {}", self.base, text.trim())));
        }
        serde_json::from_str(&text).map_err(|error| {
            Error::Failed(format!("{} does not answer as registrator does: {error}; is it of this version?", self.base))
        })
    }

    async fn follow(&self, path: &str, mut each: impl FnMut(Happened) -> Result<(), Error>) -> Result<(), Error> {
        let mut response = self.send(path).await?;
        if !response.status().is_success() {
            let body = client::body(response, LARGEST).await.map_err(|error| Error::Failed(error.to_string()))?;
            return Err(Error::Failed(format!("{}: {}", self.base, String::from_utf8_lossy(&body).trim())));
        }
        let mut line = Vec::new();
        let broken = |error: client::Error| Error::Failed(format!("the connection to {} broke: {error}", self.base));
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            for byte in chunk {
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                if let Some(data) = line.strip_prefix(b"data: ")
                    && let Ok(happened) = serde_json::from_slice(data)
                {
                    each(happened)?;
                }
                line.clear();
            }
        }
        Err(Error::Failed(format!("{} ended", self.base)))
    }
}

impl Own {
    async fn look(config: &Config) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
        let (left_out, registries) =
            config.registries.iter().cloned().partition(|registry| registry.uri.starts_with(EMBEDDED));
        let left_out: Vec<crate::config::RegistryConfig> = left_out;
        let mut config = Config { registries, mode: Mode::DryRun, ..config.clone() };
        config.bridge.retry_attempts = Some(0);
        let listeners = Listeners::new(env!("CARGO_PKG_VERSION"), true).map_err(|error| failed(&error))?;
        let (events, control) = (listeners.silent_events(), Control::default());
        let (ready, hub) = oneshot::channel();
        let watching = Watching { listeners, ready, waits: false };
        let stop = control.stop.clone().drop_guard();
        let (ended, end) = oneshot::channel();
        let run = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = ended.send(app::run_asked(config, control, events, Some(watching)).await);
        }));
        let hub = tokio::select! {
            Ok(hub) = hub => hub,
            end = end => return Err(match end {
                Ok(Err(error)) => failed(&error),
                _ => Error::Failed("the look ended by itself".to_owned()),
            }),
        };
        if timeout(LOOK, look::settle(&hub)).await.is_err() {
            return Err(Error::Failed(format!("Docker and the registries were not read within {} s", LOOK.as_secs())));
        }
        let left_out = left_out.iter().map(|registry| crate::registry::redacted(&registry.uri)).collect();
        Ok(Self { hub, left_out, _control: stop, _run: run })
    }
}
