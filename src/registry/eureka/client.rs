//! Requests to one of Eureka's servers: which one, deadlines and errors.
//!
//! The servers are peers that copy each other's registrations. A request goes to the server that answered last; if it does
//! not answer, to the next.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE};
use ::http::{HeaderValue, Method, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use crate::http::{self, BodyError, ClientError, client};
use crate::registry::files::{self, CredentialFiles};
use crate::registry::reporter::Reporter;
use crate::registry::servers::place;
use crate::registry::site;
use crate::registry::text::one_line;
use crate::registry::{About, RegistryError, Site, Store};

use super::settings::{Credentials, Settings, TLS_NAMES, from_file};

/// How long one request may take, over all servers.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long one of several servers is waited for, at least.
const LEAST_DEADLINE: Duration = Duration::from_secs(3);
/// The maximum size of an answer: twenty thousand instances are well below.
const ANSWER_LIMIT: usize = 64 << 20;
/// How many characters of a server's message are repeated.
const WORDS_LIMIT: usize = 300;

/// A client of one or more servers.
pub(super) struct Client {
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
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    date: Option<HeaderValue>,
    /// The index of the server.
    server: usize,
}

/// What is asked: a method, a path below the base with its query, and a body of JSON.
pub(super) struct Question<'a> {
    method: Method,
    path: &'a str,
    body: Option<Vec<u8>>,
}

impl<'a> Question<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None }
    }

    pub(super) fn put(path: &'a str) -> Self {
        Self { method: Method::PUT, path, body: None }
    }

    pub(super) fn delete(path: &'a str) -> Self {
        Self { method: Method::DELETE, path, body: None }
    }

    pub(super) fn post(path: &'a str, body: Vec<u8>) -> Self {
        Self { method: Method::POST, path, body: Some(body) }
    }

    fn reads(&self) -> bool {
        self.method == Method::GET
    }
}

impl Client {
    pub(super) fn new(settings: Settings, reporter: Reporter) -> Result<Self, ClientError> {
        if let Some(line) = settings.unencrypted() {
            reporter.warn("unencrypted", format!("eureka: {line}"));
        }
        let http = client(None, &settings.tls.clone().unwrap_or_default())?;
        let files = settings.file.iter().cloned().chain(settings.tls.iter().flat_map(files::of_tls));
        Ok(Self {
            files: CredentialFiles::new(files.collect::<Vec<_>>()),
            current: Mutex::new((http, settings.credentials.clone())),
            settings,
            server: AtomicUsize::default(),
            failures: AtomicU64::default(),
            reporter,
        })
    }

    /// Returns when a file that holds credentials has changed, and is in use.
    pub(super) async fn credentials_changed(&self) {
        self.files.changed().await;
        let credentials = match &self.settings.file {
            Some(path) => from_file(path).map(Some),
            None => Ok(self.settings.credentials.clone()),
        };
        let http = client(None, &self.settings.tls.clone().unwrap_or_default())
            .map_err(|error| format!("eureka: {}", TLS_NAMES.of_files(&error)));
        match credentials.and_then(|credentials| Ok((http?, credentials))) {
            Ok(new) => *self.current.lock().unwrap_or_else(PoisonError::into_inner) = new,
            Err(reason) => self.reporter.warn("credentials", format!("{reason}; going on as before")),
        }
    }

    /// How often no server answered: they may have lost everything each time.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn site(&self) -> Site {
        let Settings { servers, tls, path, .. } = &self.settings;
        let user = self.current.lock().unwrap_or_else(PoisonError::into_inner).1.as_ref().map(|(user, _)| user.clone());
        Site {
            store: Store::Eureka,
            servers: servers.iter().map(|server| (server.host.clone(), server.port)).collect(),
            tls: tls.clone(),
            root: path.clone(),
            user,
            ..Site::default()
        }
    }

    /// Who answers.
    pub(super) async fn about(&self) -> Result<About, RegistryError> {
        let answer = self.list().await?;
        Ok(About {
            name: format!("Eureka at {}", self.name(answer.server)),
            clock: answer.date.as_ref().and_then(site::date),
            ..About::default()
        })
    }

    /// The list of all instances, which a server keeps for up to half a minute.
    pub(super) async fn list(&self) -> Result<Answer, RegistryError> {
        let answer = self.ask(Question::get("apps/")).await?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_ACCEPTABLE => {
                Err(self.no_eureka(&answer, &format!("{} to a list of applications", answer.status)))
            }
            _ => Err(self.refusal(&answer, true)),
        }
    }

    /// Something else answers; `sign` shows it.
    pub(super) fn no_eureka(&self, answer: &Answer, sign: &str) -> RegistryError {
        self.unreachable(
            answer.server,
            &format!(
                "what answers there is no Eureka server ({sign}); check the host, the port and the path of the URI: \
                 Spring Cloud has /eureka, Netflix's own server /eureka/v2"
            ),
        )
    }

    /// The name of a server for people.
    fn name(&self, server: usize) -> String {
        let base = self.settings.bases.get(server).map(|base| base.as_str().trim_end_matches('/'));
        base.unwrap_or_default().to_owned()
    }

    fn unreachable(&self, server: usize, reason: &str) -> RegistryError {
        RegistryError::Unreachable(format!("Eureka at {}: {reason}", self.name(server)))
    }

    /// The error for an answer that is not a success.
    pub(super) fn refusal(&self, answer: &Answer, reads: bool) -> RegistryError {
        let words = self.words(answer);
        if waits_for_peers(answer, reads) {
            let reason = "it has just started and waits for the data of its peers (403); it is asked again by itself";
            return self.unreachable(answer.server, reason);
        }
        if nobody_is_served(answer, reads) {
            return self.unreachable(answer.server, &words);
        }
        let name = self.name(answer.server);
        let user = match &self.site().user {
            Some(user) => format!("the user {:?}", one_line(user, WORDS_LIMIT)),
            None => "whoever has no user".to_owned(),
        };
        match answer.status {
            StatusCode::UNAUTHORIZED => RegistryError::rights(format!(
                "Eureka at {name} refuses {user} (401): give user:password in the URI, EUREKA_AUTH or EUREKA_AUTH_FILE"
            )),
            StatusCode::FORBIDDEN if reads => RegistryError::rights(format!(
                "Eureka at {name} refuses {user} (403): give the user the right to read {}/apps",
                self.settings.path
            )),
            StatusCode::FORBIDDEN => RegistryError::rights(format!(
                "it refuses {user} (403): give the user the right to write; a server with Spring Security must have its \
                 CSRF protection off for {}/**",
                self.settings.path
            )),
            status if status.is_redirection() => self.no_eureka(answer, &status.to_string()),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::URI_TOO_LONG => {
                RegistryError::service(words)
            }
            _ => RegistryError::server(words),
        }
    }

    /// Asks the servers, beginning with the one that answered last, and returns the first answer.
    ///
    /// # Errors
    /// `Unreachable`, when none answers.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Answer, RegistryError> {
        let count = self.settings.bases.len();
        let first = self.server.load(Ordering::Relaxed);
        let share = DEADLINE / u32::try_from(count).unwrap_or(u32::MAX);
        let mut failed = Vec::new();
        for server in (0..count).map(|step| (first + step) % count) {
            match self.exchange(server, &question, share.max(LEAST_DEADLINE)).await {
                Ok(answer) if count == 1 || !nobody_is_served(&answer, question.reads()) => {
                    self.server.store(server, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(answer) => failed.push(self.refusal(&answer, question.reads())),
                Err(error @ RegistryError::Unreachable(_)) => failed.push(error),
                Err(error) => return Err(error),
            }
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        let place = place(&self.settings.servers);
        match (failed.pop(), count) {
            (Some(RegistryError::Unreachable(last)), 2..) => Err(RegistryError::Unreachable(format!(
                "none of Eureka's servers {place} answers; the last one: {last}"
            ))),
            (error, _) => Err(error.unwrap_or_else(|| self.unreachable(first, "it was not asked"))),
        }
    }

    async fn exchange(
        &self,
        server: usize,
        question: &Question<'_>,
        deadline: Duration,
    ) -> Result<Answer, RegistryError> {
        let (http, credentials) = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let base = self.settings.bases.get(server).map_or("", |base| base.as_str());
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(format!("{base}{}", question.path))
            .header(ACCEPT, "application/json");
        if let Some((user, password)) = &credentials {
            request = request.header(AUTHORIZATION, http::basic(user, password.expose_secret()));
        }
        if question.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(question.body.clone().unwrap_or_default().into())
            .map_err(|error| RegistryError::service(format!("no request can be made of it: {error}")))?;
        let exchange = async {
            let response = http.send(request).await.map_err(|error| self.lost(server, &error))?;
            let (status, date) = (response.status(), response.headers().get(DATE).cloned());
            let body = http::body(response, ANSWER_LIMIT).await.map_err(|error| match &error {
                BodyError::Broken(broken) => self.lost(server, broken),
                BodyError::TooLarge(_) => self.unreachable(server, &error.to_string()),
            })?;
            Ok(Answer { status, body, date, server })
        };
        let answered = http.in_time(deadline, exchange).await;
        answered.unwrap_or_else(|late| Err(self.unreachable(server, &late.to_string())))
    }

    /// There was no answer, for this reason.
    fn lost(&self, server: usize, error: &http::Error) -> RegistryError {
        let reason = error.to_string();
        match &self.settings.tls {
            Some(_) => self.unreachable(server, &TLS_NAMES.explained(&error.fault(), &reason)),
            None => self.unreachable(server, &reason),
        }
    }

    /// The server's message on one line, or its status; our password is removed if it repeats it.
    fn words(&self, answer: &Answer) -> String {
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

/// Whether a server has just started, and waits for its peers' data. Spring Security's refusals have a body.
fn waits_for_peers(answer: &Answer, reads: bool) -> bool {
    answer.status == StatusCode::FORBIDDEN && reads && answer.body.is_empty()
}

/// Whether an answer says that nobody is served now, whatever the request.
fn nobody_is_served(answer: &Answer, reads: bool) -> bool {
    const SIGNS: [StatusCode; 4] = [
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    SIGNS.contains(&answer.status) || (reads && answer.status.is_server_error()) || waits_for_peers(answer, reads)
}
