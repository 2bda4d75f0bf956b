//! Requests to one of several servers: which one, deadlines and errors.
//!
//! A request goes to the server that answered last; if it does not answer, to the next.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName};
use ::http::{HeaderMap, Method, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use crate::http::{self, BodyError, client};
use crate::registry::files::{self, CredentialFiles};
use crate::registry::reporter::Reporter;
use crate::registry::servers::place;
use crate::registry::site;
use crate::registry::text::one_line;
use crate::registry::{OpenError, RegistryError, Site, Store};

use super::settings::{Credentials, Kind, Settings};

/// How long one of several servers is waited for, at least.
const LEAST_DEADLINE: Duration = Duration::from_secs(3);
/// The maximum size of an answer: twenty thousand instances are well below.
const ANSWER_LIMIT: usize = 64 << 20;
/// How many characters of a server's message are repeated.
const WORDS_LIMIT: usize = 300;

/// A client of one or more servers.
pub(in crate::registry) struct Client {
    kind: &'static Kind,
    settings: Settings,
    /// What changes with files: connections, and the user.
    current: Mutex<(http::Client, Option<Credentials>)>,
    files: CredentialFiles,
    /// The index of the server that answered last.
    server: AtomicUsize,
    /// How many requests no server answered.
    failures: AtomicU64,
    reporter: Reporter,
}

/// What a server answered.
#[derive(Debug)]
pub(in crate::registry) struct Answer {
    pub(in crate::registry) status: StatusCode,
    pub(in crate::registry) body: Vec<u8>,
    headers: HeaderMap,
    /// The index of the server.
    pub(in crate::registry) server: usize,
}

impl Answer {
    /// A header, if it is there and is text.
    pub(in crate::registry) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The time of the server's clock.
    pub(in crate::registry) fn clock(&self) -> Option<SystemTime> {
        self.headers.get(DATE).and_then(site::date)
    }

    /// Whether it says that nobody is served now, whatever the request.
    pub(in crate::registry) fn serves_nobody(&self, reads: bool) -> bool {
        const SIGNS: [StatusCode; 4] = [
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        SIGNS.contains(&self.status) || (reads && self.status.is_server_error())
    }
}

/// What is asked: a method, a path below the base with its query, and a body of JSON.
pub(in crate::registry) struct Question<'a> {
    method: Method,
    path: &'a str,
    body: Option<Vec<u8>>,
}

impl<'a> Question<'a> {
    pub(in crate::registry) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None }
    }

    pub(in crate::registry) fn put(path: &'a str) -> Self {
        Self { method: Method::PUT, path, body: None }
    }

    pub(in crate::registry) fn delete(path: &'a str) -> Self {
        Self { method: Method::DELETE, path, body: None }
    }

    pub(in crate::registry) fn post(path: &'a str, body: Vec<u8>) -> Self {
        Self { method: Method::POST, path, body: Some(body) }
    }

    /// With a body.
    pub(in crate::registry) fn with(self, body: Vec<u8>) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Whether it changes nothing.
    pub(in crate::registry) fn reads(&self) -> bool {
        self.method == Method::GET
    }
}

impl Client {
    /// A client. Warns of a password that others can read on the way.
    ///
    /// # Errors
    /// When a file of the TLS settings cannot be used.
    pub(in crate::registry) fn new(
        kind: &'static Kind,
        settings: Settings,
        reporter: Reporter,
    ) -> Result<Self, OpenError> {
        if let Some(line) = settings.unencrypted(kind) {
            reporter.warn("unencrypted", format!("{}: {line}", kind.topic));
        }
        let http = client(None, &settings.tls.clone().unwrap_or_default())
            .map_err(|error| OpenError::Settings(kind.of_files(&error)))?;
        let files = settings.file.iter().cloned().chain(settings.tls.iter().flat_map(files::of_tls));
        Ok(Self {
            kind,
            files: CredentialFiles::new(files.collect::<Vec<_>>()),
            current: Mutex::new((http, settings.credentials.clone())),
            settings,
            server: AtomicUsize::default(),
            failures: AtomicU64::default(),
            reporter,
        })
    }

    /// Returns when a file that holds credentials has changed, and is in use.
    pub(in crate::registry) async fn credentials_changed(&self) {
        self.files.changed().await;
        let credentials = self.settings.fresh_credentials(self.kind);
        let http = client(None, &self.settings.tls.clone().unwrap_or_default());
        let http = http.map_err(|error| self.kind.of_files(&error));
        match credentials.and_then(|credentials| Ok((http?, credentials))) {
            Ok(new) => *self.current.lock().unwrap_or_else(PoisonError::into_inner) = new,
            Err(reason) => self.reporter.warn("credentials", format!("{reason}; going on as before")),
        }
    }

    /// How often no server answered: they may have lost everything each time.
    pub(in crate::registry) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The user that we are, if any.
    pub(in crate::registry) fn user(&self) -> Option<String> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).1.as_ref().map(|(user, _)| user.clone())
    }

    /// Who is refused, for a message.
    pub(in crate::registry) fn whom(&self) -> String {
        match self.user() {
            Some(user) => format!("the user {:?}", one_line(&user, WORDS_LIMIT)),
            None => "whoever has no user".to_owned(),
        }
    }

    /// Where the servers are.
    pub(in crate::registry) fn site(&self, store: Store, root: String) -> Site {
        let Settings { servers, tls, .. } = &self.settings;
        Site {
            store,
            servers: servers.iter().map(|server| (server.host.clone(), server.port)).collect(),
            tls: tls.clone(),
            root,
            user: self.user(),
            ..Site::default()
        }
    }

    /// A server for people: what it is, and where.
    pub(in crate::registry) fn name(&self, server: usize) -> String {
        let base = self.settings.bases.get(server).map(|base| base.as_str().trim_end_matches('/'));
        format!("{} at {}", self.kind.name, base.unwrap_or_default())
    }

    /// The error of a server that cannot be used now.
    pub(in crate::registry) fn unreachable(&self, server: usize, reason: &str) -> RegistryError {
        RegistryError::Unreachable(format!("{}: {reason}", self.name(server)))
    }

    /// Asks the servers, beginning with the one that answered last, and returns the first answer. `away` says why an
    /// answer is none: then the next server is asked.
    ///
    /// # Errors
    /// `Unreachable`, when none answers.
    pub(in crate::registry) async fn ask(
        &self,
        question: &Question<'_>,
        away: impl Fn(&Answer) -> Option<String>,
    ) -> Result<Answer, RegistryError> {
        let count = self.settings.bases.len();
        let first = self.server.load(Ordering::Relaxed);
        let share = self.kind.deadline / u32::try_from(count).unwrap_or(u32::MAX);
        let mut failed = Vec::new();
        for server in (0..count).map(|step| (first + step) % count) {
            let base = self.settings.bases.get(server).map_or("", |base| base.as_str());
            let answered = self.exchange(&self.name(server), base, question, share.max(LEAST_DEADLINE)).await;
            match answered.map(|answer| Answer { server, ..answer }) {
                Ok(answer) => match away(&answer) {
                    Some(reason) if count > 1 => failed.push(self.unreachable(server, &reason)),
                    _ => {
                        self.server.store(server, Ordering::Relaxed);
                        return Ok(answer);
                    }
                },
                Err(error @ RegistryError::Unreachable(_)) => failed.push(error),
                Err(error) => return Err(error),
            }
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        let (place, name) = (place(&self.settings.servers), self.kind.name);
        match (failed.pop(), count) {
            (Some(RegistryError::Unreachable(last)), 2..) => Err(RegistryError::Unreachable(format!(
                "none of {name}'s servers {place} answers; the last one: {last}"
            ))),
            (error, _) => Err(error.unwrap_or_else(|| self.unreachable(first, "it was not asked"))),
        }
    }

    /// Asks again at the address that a server named. Only for a kind without users: the address may be anybody's.
    ///
    /// # Errors
    /// `Unreachable`, when there is no answer.
    pub(in crate::registry) async fn follow(
        &self,
        answer: &Answer,
        question: &Question<'_>,
        base: &str,
    ) -> Result<Answer, RegistryError> {
        let name = format!("{}, which sends us on to {}", self.name(answer.server), one_line(base, WORDS_LIMIT));
        let exchange = self.exchange(&name, base, question, self.kind.deadline).await;
        exchange.map(|found| Answer { server: answer.server, ..found })
    }

    async fn exchange(
        &self,
        name: &str,
        base: &str,
        question: &Question<'_>,
        deadline: Duration,
    ) -> Result<Answer, RegistryError> {
        let (http, credentials) = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(format!("{base}{}", question.path))
            .header(ACCEPT, self.kind.media);
        if let Some((user, password)) = &credentials {
            request = request.header(AUTHORIZATION, http::basic(user, password.expose_secret()));
        }
        if question.body.is_some() {
            request = request.header(CONTENT_TYPE, self.kind.media);
        }
        let request = request
            .body(question.body.clone().unwrap_or_default().into())
            .map_err(|error| RegistryError::service(format!("no request can be made of it: {error}")))?;
        let unreachable = |reason: &str| RegistryError::Unreachable(format!("{name}: {reason}"));
        let exchange = async {
            let response = http.send(request).await.map_err(|error| unreachable(&self.lost(&error)))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = http::body(response, ANSWER_LIMIT).await.map_err(|error| match &error {
                BodyError::Broken(broken) => unreachable(&self.lost(broken)),
                BodyError::TooLarge(_) => unreachable(&error.to_string()),
            })?;
            Ok(Answer { status, body, headers, server: 0 })
        };
        let answered = http.in_time(deadline, exchange).await;
        answered.unwrap_or_else(|late| Err(unreachable(&late.to_string())))
    }

    /// Why there was no answer, and what to do where TLS is the reason.
    fn lost(&self, error: &http::Error) -> String {
        let reason = error.to_string();
        match (&self.settings.tls, &self.kind.access) {
            (Some(_), Some(access)) => access.tls.explained(&error.fault(), &reason),
            _ => reason,
        }
    }

    /// The server's message on one line, or its status; our password is removed if it repeats it.
    pub(in crate::registry) fn words(&self, answer: &Answer) -> String {
        let mut words = String::from_utf8_lossy(&answer.body).into_owned();
        let credentials = self.current.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
        let secret = credentials.as_ref().map(|(_, password): &(String, SecretString)| password.expose_secret());
        if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
            words = words.replace(secret, "***");
        }
        let (status, words) = (answer.status, one_line(&words, WORDS_LIMIT));
        match words.chars().next() {
            None => format!("it answered {status}"),
            Some('<') => format!("it answered {status} and a web page"),
            Some(_) => format!("it answered {status}: {words}"),
        }
    }
}
