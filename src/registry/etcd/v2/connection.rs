//! Sends requests to one server at a time, and to the next one when it fails.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::http::Method;
use ::http::header::{AUTHORIZATION, CONTENT_TYPE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::time::Instant;
use url::form_urlencoded;

use crate::http::{self, Client, Tls, client};
use crate::registry::etcd::settings::Settings;
use crate::registry::files::{self, CredentialFiles};
use crate::registry::{Cause, RegistryError};

use super::answer::{Answer, Failure};

/// The deadline of a request, over all servers.
const DEADLINE: Duration = Duration::from_secs(9);
/// The minimum and maximum time of one attempt.
const ATTEMPT: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(6));
/// How long one request waits for a change. Then it is sent again, in case the connection is dead.
const WAIT: Duration = Duration::from_secs(60);

/// The maximum size of an answer; ten thousand entries with long tags are well below.
const ANSWER_LIMIT: usize = 64 << 20;

/// Characters that are not escaped in a URL's path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The servers.
pub(super) struct Connection {
    settings: Settings,
    /// Incremented whenever a server is given up.
    current: watch::Sender<usize>,
    /// Made when it is first used, since that takes a while, and when the files of TLS have changed.
    client: Mutex<Option<Client>>,
    files: CredentialFiles,
    /// Whether any server has ever answered.
    answered: AtomicBool,
}

/// One request about a key.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    pub(super) key: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) form: &'a [(&'a str, &'a str)],
}

/// The answer, and etcd's current index.
pub(super) type Reply = (Result<Answer, Failure>, Option<u64>);

impl Connection {
    pub(super) fn new(settings: Settings) -> Self {
        // Hosts with the same list of servers should not all start with the first.
        let first = fastrand::usize(..settings.servers.len());
        let files = CredentialFiles::new(settings.tls.iter().flat_map(files::of_tls));
        let (current, answered) = (watch::Sender::new(first), AtomicBool::new(false));
        Self { settings, current, client: Mutex::default(), files, answered }
    }

    /// Its settings.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// For the engine.
    pub(super) fn error(&self, failure: Failure) -> RegistryError {
        let place = self.settings.place();
        match failure {
            Failure::Away(reason) => RegistryError::Unreachable(format!("etcd at {place}: {reason}")),
            Failure::Refused(Cause::Rights, said) => {
                let said = format!("wrong password, no such user, or no right to do that ({said})");
                RegistryError::rights(self.settings.not_let_in(&said))
            }
            Failure::Refused(cause, text) => RegistryError::Refused { cause, text },
            Failure::Missing => RegistryError::service("it is not there"),
            Failure::Conflict => {
                RegistryError::Unreachable(format!("etcd at {place}: a condition failed where none was set"))
            }
            Failure::Forgotten => {
                RegistryError::Unreachable(format!("etcd at {place}: its history no longer reaches back far enough"))
            }
            Failure::NotServed => RegistryError::server(format!(
                "etcd at {place} does not serve the v2 API: give it --enable-v2 (before etcd 3.6), or use etcd3://"
            )),
        }
    }

    /// Asks one server and, if it fails, the next, until the deadline.
    pub(super) async fn ask(&self, request: Request<'_>) -> Result<Answer, Failure> {
        self.ask_from(request).await.and_then(|(answer, _)| answer)
    }

    /// As above, with etcd's current index.
    pub(super) async fn ask_from(&self, request: Request<'_>) -> Result<Reply, Failure> {
        let until = Instant::now() + DEADLINE;
        let servers = self.settings.servers.len();
        let attempt = (DEADLINE / u32::try_from(servers).unwrap_or(u32::MAX)).clamp(ATTEMPT.0, ATTEMPT.1);
        let mut failed = Failure::Away("no answer in time".to_owned());
        for _ in 0..servers.max(2) {
            let left = until.saturating_duration_since(Instant::now()).min(attempt);
            if left.is_zero() {
                break;
            }
            let current = *self.current.borrow();
            match self.once(current, request, left).await {
                Ok((Err(Failure::Away(reason)), _)) | Err(Failure::Away(reason)) => failed = Failure::Away(reason),
                done => return done,
            }
            self.leave(current);
        }
        Err(failed)
    }

    /// Waits for the next event below a key, on the server that answered last; ends when that server is given up.
    pub(super) async fn wait(&self, key: &str, index: u64) -> Result<Answer, Failure> {
        let index = index.to_string();
        let query = [("wait", "true"), ("recursive", "true"), ("waitIndex", index.as_str())];
        let mut left = self.current.subscribe();
        let current = *left.borrow_and_update();
        let request = Request { method: &Method::GET, key, query: &query, form: &[] };
        let answer = tokio::select! {
            answer = self.once(current, request, WAIT) => answer.and_then(|(answer, _)| answer),
            // A server that answers no other request reports no changes either.
            _ = left.changed() => return Err(Failure::Forgotten),
        };
        if let Err(Failure::Away(_)) = answer {
            self.leave(current);
        }
        answer
    }

    async fn once(&self, server: usize, request: Request<'_>, deadline: Duration) -> Result<Reply, Failure> {
        let Settings { servers, user, tls, .. } = &self.settings;
        let client = self.client(tls.as_ref())?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let server = &servers[server % servers.len()];
        let mut url = format!("{scheme}://{server}/v2/keys{}", utf8_percent_encode(request.key, PATH));
        if !request.query.is_empty() {
            url = format!("{url}?{}", encoded(request.query));
        }
        let mut asked = ::http::Request::builder().method(request.method.clone()).uri(url);
        if !request.form.is_empty() {
            asked = asked.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some((user, password)) = user {
            asked = asked.header(AUTHORIZATION, http::basic(user, password.expose_secret()));
        }
        let away = |error: &dyn Display| Failure::Away(error.to_string());
        let asked = asked.body(encoded(request.form).into()).map_err(|error| away(&error))?;
        let exchange = async {
            let reply = match client.send(asked).await {
                Ok(reply) => reply,
                Err(error) => {
                    let (fault, reason) = (error.fault(), error.to_string());
                    return Err(Failure::Away(match self.answered.load(Ordering::Relaxed) {
                        true => self.settings.lost(&fault, &reason),
                        false => self.settings.never_reached(server, &fault, &reason).await,
                    }));
                }
            };
            self.answered.store(true, Ordering::Relaxed);
            let index = reply.headers().get("X-Etcd-Index").and_then(|index| index.to_str().ok()?.parse().ok());
            let status = reply.status().as_u16();
            let body = http::body(reply, ANSWER_LIMIT).await.map_err(|error| away(&error))?;
            Ok((Answer::read(status, &body), index))
        };
        let answered = if deadline >= WAIT {
            client.long_poll(deadline, exchange).await
        } else {
            client.in_time(deadline, exchange).await
        };
        answered.unwrap_or_else(|late| Err(away(&late)))
    }

    fn leave(&self, server: usize) {
        // The first caller moves on to the next server; the others use it already.
        self.current.send_if_modified(|current| {
            let first = *current == server;
            *current = current.wrapping_add(usize::from(first));
            first
        });
    }

    /// Returns when a file that TLS is spoken with has changed. The next request makes a new connection.
    pub(super) async fn credentials_changed(&self) {
        self.files.changed().await;
        self.read_files();
    }

    /// The next request makes a new connection, with the files of TLS as they are then.
    pub(super) fn read_files(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn client(&self, tls: Option<&Tls>) -> Result<Client, Failure> {
        let mut held = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*held {
            return Ok(client.clone());
        }
        let made = client(None, &tls.cloned().unwrap_or_default())
            .map_err(|error| Failure::Away(self.settings.names.tls.of_files(&error)))?;
        *held = Some(made.clone());
        Ok(made)
    }
}

/// Escapes a text for a query or a form.
fn encoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
