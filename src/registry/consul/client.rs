//! Requests to a Consul agent: address, deadlines and errors.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use ::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use crate::http::{self, BodyError, ClientError, Tls, client, try_tls};
use crate::json;
use crate::registry::advice::TlsNames;
use crate::registry::files::{self, CredentialFiles};
use crate::registry::reporter::Reporter;
use crate::registry::site;
use crate::registry::text::one_line;
use crate::registry::{About, Cause, RegistryError, Site, Store};

use super::settings::Settings;
use super::token::Token;

/// How long an ordinary request may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// The maximum size of an answer: ten thousand services with long tags and Meta are well below.
const ANSWER_LIMIT: usize = 64 << 20;
/// The most values of an answer that is read as a whole; an agent's settings have some hundreds.
const MOST_VALUES: usize = 1 << 16;
/// How much of Consul's error message is examined, in bytes, plus the end of the chunk it arrived in.
const WORDS_BYTES: usize = 4 << 10;
/// How many characters of it are repeated.
const WORDS_LIMIT: usize = 300;

/// A client of one agent.
pub(super) struct Client {
    http: Mutex<http::Client>,
    /// What `http` was made with.
    socket: Option<PathBuf>,
    tls: Tls,
    /// The files of the token and of TLS.
    files: CredentialFiles,
    reporter: Reporter,
    base: Url,
    /// Its name for people: `http://host:port` or `unix:///path`.
    name: String,
    token: Token,
    basic: Option<(String, SecretString)>,
    scope: Vec<(&'static str, String)>,
    names: TlsNames,
    /// How many requests had no answer.
    failures: AtomicU64,
}

/// Consumes the body of an answer while it arrives: with ten thousand services, it is megabytes.
pub(super) trait Body {
    /// Takes the next part of the body.
    fn push(&mut self, bytes: &[u8]);
}

/// Keeps the whole body.
impl Body for Vec<u8> {
    fn push(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// What the agent is asked.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// The elements of the path, behind `/v1`.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    /// JSON.
    pub(super) body: Option<Vec<u8>>,
    /// How long it may take.
    pub(super) deadline: Duration,
}

impl<'a> Question<'a> {
    /// Reads what is at this path.
    pub(super) fn get(path: &'a [&'a str]) -> Self {
        Self { method: Method::GET, path, query: &[], body: None, deadline: DEADLINE }
    }

    /// Writes to this path.
    pub(super) fn put(path: &'a [&'a str]) -> Self {
        Self { method: Method::PUT, ..Self::get(path) }
    }

    /// The same, with these parameters.
    pub(super) fn query(self, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { query, ..self }
    }

    /// The same, within this time.
    pub(super) fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }
}

/// What the agent answered.
pub(super) struct Answer<B = Vec<u8>> {
    pub(super) status: StatusCode,
    /// `X-Consul-Index`, if it can be used for waiting.
    pub(super) index: Option<u64>,
    /// When it was given, by the server's clock.
    pub(super) date: Option<HeaderValue>,
    /// How long reading the body took.
    pub(super) reading: Duration,
    /// The consumed body.
    pub(super) body: B,
    /// If it is not a success: the server's reason, without our secrets.
    words: String,
}

impl<B> Answer<B> {
    /// One that is well.
    #[cfg(test)]
    pub(super) fn ok(index: Option<u64>, body: B) -> Self {
        Self { status: StatusCode::OK, index, date: None, reading: Duration::ZERO, body, words: String::new() }
    }
}

impl Answer {
    /// The body as JSON; null if it is not JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        json::owned(&self.body, MOST_VALUES).unwrap_or_default()
    }
}

impl Client {
    pub(super) fn new(settings: Settings, reporter: Reporter) -> Result<Self, ClientError> {
        let http = client(settings.socket.as_deref(), &settings.tls)?;
        if let Some(line) = unencrypted(&settings) {
            reporter.warn("unencrypted", format!("consul: {line}"));
        }
        let name = match &settings.socket {
            Some(path) => format!("unix://{}", path.display()),
            None => settings.base.as_str().trim_end_matches('/').to_owned(),
        };
        let files = CredentialFiles::new(settings.token_file.iter().cloned().chain(files::of_tls(&settings.tls)));
        Ok(Self {
            http: Mutex::new(http),
            socket: settings.socket,
            tls: settings.tls,
            files,
            reporter: reporter.clone(),
            base: settings.base,
            name,
            token: Token::new(settings.token, settings.token_file, reporter),
            basic: settings.basic,
            scope: settings.scope,
            names: settings.names,
            failures: AtomicU64::new(0),
        })
    }

    /// Returns when a file that holds credentials has changed. What they were used for is done with the new ones then.
    pub(super) async fn credentials_changed(&self) {
        self.files.changed().await;
        if let Err(error) = self.read_files() {
            let text = format!("Consul at {}: {}; going on as before", self.name, self.names.of_files(&error));
            self.reporter.warn("credentials", text);
        }
    }

    /// Makes the connections of now on with the files of TLS as they are now.
    fn read_files(&self) -> Result<(), ClientError> {
        let http = client(self.socket.as_deref(), &self.tls)?;
        *self.http.lock().unwrap_or_else(PoisonError::into_inner) = http;
        Ok(())
    }

    /// The leader of its cluster, for the first contact. If there is none, a certificate may have been replaced before the
    /// next: nobody watches the files before.
    pub(super) async fn reach(&self) -> Result<String, RegistryError> {
        let leader = self.leader().await;
        if let Err(RegistryError::Unreachable(_)) = &leader {
            // What cannot be read now is the same as before.
            let _ = self.read_files();
        }
        leader
    }

    /// Where it is, and what is spoken there.
    pub(super) fn site(&self, store: Store) -> Site {
        let host = self.base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = self.base.port_or_known_default().unwrap_or_default();
        let servers = if self.socket.is_none() { vec![(host, port)] } else { Vec::new() };
        let tls = (self.base.scheme() == "https" && self.socket.is_none()).then(|| self.tls.clone());
        Site { store, servers, tls, ..Site::default() }
    }

    /// Who answers. Without the right to ask, only that it does, and its clock.
    pub(super) async fn about(&self) -> Result<About, RegistryError> {
        let answer = self.ask(Question::get(&["agent", "self"])).await?;
        let said = answer.json();
        let text =
            |place: &str| said.pointer(place).and_then(|text| text.as_str()).map(|text| one_line(text, WORDS_LIMIT));
        Ok(About {
            name: format!("Consul at {}", self.name),
            version: text("/Config/Version"),
            node: text("/Config/NodeName"),
            address: text("/Member/Addr"),
            clock: answer.date.as_ref().and_then(site::date),
        })
    }

    /// How often the agent was unreachable so far: it may have restarted each time.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Sends a read. A server error is no answer, so it becomes `Unreachable`.
    pub(super) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        deadline: Duration,
        right: &str,
    ) -> Result<Answer, RegistryError> {
        self.read(Question::get(path).query(query).within(deadline), right, Vec::new()).await
    }

    /// As above, with another consumer of the body.
    pub(super) async fn read<B: Body>(
        &self,
        question: Question<'_>,
        right: &str,
        body: B,
    ) -> Result<Answer<B>, RegistryError> {
        let answer = self.exchange(question, body).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refusal(&answer, true, right)) }
    }

    /// Sends a write; `right` is the ACL rule that it needs, for the error message.
    pub(super) async fn put(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Vec<u8>>,
        right: &str,
    ) -> Result<(), RegistryError> {
        let answer = self.ask(Question { body, ..Question::put(path).query(query) }).await?;
        if answer.status.is_success() { Ok(()) } else { Err(self.refusal(&answer, false, right)) }
    }

    /// A failure of the agent as a whole, with its name.
    pub(super) fn unreachable(&self, reason: &str) -> RegistryError {
        RegistryError::Unreachable(format!("Consul at {}: {reason}", self.name))
    }

    /// The leader of its cluster.
    async fn leader(&self) -> Result<String, RegistryError> {
        let answer = self.ask(Question::get(&["status", "leader"])).await?;
        if !answer.status.is_success() {
            // A server that is not Consul does not have this path, or redirects.
            return Err(match answer.status {
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => self.no_agent(&answer.status.to_string()),
                status if status.is_redirection() => self.no_agent(&status.to_string()),
                _ => self.refusal(&answer, true, "access to status/leader"),
            });
        }
        match answer.json() {
            serde_json::Value::String(leader) if leader.is_empty() => {
                Err(self.unreachable("its cluster has no leader yet, and takes nothing until then"))
            }
            serde_json::Value::String(leader) => Ok(leader),
            _ => Err(self.no_agent("it names no leader")),
        }
    }

    /// Something other than Consul answers; `sign` shows it.
    fn no_agent(&self, sign: &str) -> RegistryError {
        self.unreachable(&format!(
            "what answers there is no Consul agent ({sign}); check the host and the port of the URI"
        ))
    }

    /// There was no answer, for this reason. What is wrong with TLS does not always arrive: a server that refuses our
    /// certificate may close the connection first. Then TLS is examined by itself.
    async fn lost(&self, error: &http::Error) -> RegistryError {
        let reason = error.to_string();
        if self.base.scheme() != "https" {
            return self.unreachable(&reason);
        }
        let explained = self.names.explained(&error.fault(), &reason);
        if explained != reason {
            return self.unreachable(&explained);
        }
        let host = self.base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.base.port_or_known_default().unwrap_or_default();
        match try_tls(host, port, &self.tls).await {
            Some(Err(fault)) => self.unreachable(&self.names.explained(&fault, &reason)),
            Some(Ok(())) | None => self.unreachable(&explained),
        }
    }

    /// The error for an answer that is not a success, to a request that needs this right.
    pub(super) fn refusal<B>(&self, answer: &Answer<B>, reads: bool, right: &str) -> RegistryError {
        let Answer { status, words, .. } = answer;
        if says_that_it_wants_tls(*status, words) {
            self.unreachable(&self.names.wanted())
        } else if says_nobody_is_served(*status, words) || (reads && status.is_server_error()) {
            self.unreachable(words)
        } else {
            let text = explained(*status, words, right);
            // A read concerns everything; the line of a write names the service.
            let text = if reads { format!("Consul at {}: {text}", self.name) } else { text };
            RegistryError::Refused { cause: cause(*status, words), text }
        }
    }

    /// Sends a request, and returns any answer.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Answer, RegistryError> {
        self.exchange(question, Vec::new()).await
    }

    async fn exchange<B: Body>(&self, question: Question<'_>, mut answered: B) -> Result<Answer<B>, RegistryError> {
        let Question { method, path, query, body, deadline } = question;
        let token = self.token.now().await?;
        let mut request = Request::builder().method(method).uri(self.url(path, query).as_str());
        if let Some(token) = &token {
            let mut value = HeaderValue::from_str(token.expose_secret())
                .map_err(|_| RegistryError::rights("the Consul token has characters that no token has"))?;
            value.set_sensitive(true);
            request = request.header("X-Consul-Token", value);
        }
        if let Some((user, password)) = &self.basic {
            request = request.header(AUTHORIZATION, http::basic(user, password.expose_secret()));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(body.unwrap_or_default().into())
            .map_err(|error| RegistryError::service(format!("no request can be made of it: {error}")))?;
        let http = self.http.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // In a box: each future around it holds it twice, and is moved with all it holds.
        let exchange = Box::pin(async {
            let mut response = match http.send(request).await {
                Ok(response) => response,
                Err(error) => return Err(Box::pin(self.lost(&error)).await),
            };
            let status = response.status();
            let index = index(response.headers());
            let date = response.headers().get(DATE).cloned();
            let began = Instant::now();
            let (mut length, mut words) = (0, Vec::new());
            loop {
                let chunk = match response.chunk().await {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => break,
                    Err(error) => return Err(Box::pin(self.lost(&error)).await),
                };
                length += chunk.len();
                if length > ANSWER_LIMIT {
                    return Err(self.unreachable(&BodyError::TooLarge(ANSWER_LIMIT).to_string()));
                }
                answered.push(&chunk);
                if !status.is_success() && words.len() < WORDS_BYTES {
                    words.extend_from_slice(&chunk);
                }
            }
            let words = if status.is_success() { String::new() } else { self.words(status, &words, token.as_ref()) };
            Ok(Answer { status, index, date, reading: began.elapsed(), body: answered, words })
        });
        let answered = if deadline > DEADLINE {
            http.long_poll(deadline, exchange).await
        } else {
            http.in_time(deadline, exchange).await
        };
        let answered = answered.unwrap_or_else(|late| Err(self.unreachable(&late.to_string())));
        if answered.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        answered
    }

    /// The URL of a request; each element of the path is encoded separately.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let scope = self.scope.iter().map(|(name, value)| (*name, value.as_str()));
        let parameters: Vec<_> = query.iter().copied().chain(scope).collect();
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url
    }

    /// The server's message on one line, or the status if there is none; our secrets are removed if it repeats them.
    fn words(&self, status: StatusCode, body: &[u8], token: Option<&SecretString>) -> String {
        let mut words = String::from_utf8_lossy(body).into_owned();
        for secret in token.into_iter().chain(self.basic.iter().map(|(_, password)| password)) {
            if !secret.expose_secret().is_empty() {
                words = words.replace(secret.expose_secret(), "***");
            }
        }
        let words = one_line(&words, WORDS_LIMIT);
        match words.chars().next() {
            None => format!("it answered {status}"),
            // An HTML page of a proxy or another server.
            Some('<') => format!("it answered {status} and a web page"),
            Some(_) => words,
        }
    }
}

/// What is secret and goes over the network without TLS.
fn unencrypted(settings: &Settings) -> Option<String> {
    let Settings { base, socket: None, token, token_file, basic, .. } = settings else { return None };
    let secret = match (token.is_some() || token_file.is_some(), basic.is_some()) {
        (true, _) => "the token",
        (false, true) => "the password",
        (false, false) => return None,
    };
    if base.scheme() == "https" { None } else { settings.names.unencrypted(secret, base.host_str()) }
}

/// The index to wait for the next change with. Zero is unusable: a query with it does not wait
/// (<https://developer.hashicorp.com/consul/api-docs/features/blocking>).
fn index(headers: &HeaderMap) -> Option<u64> {
    headers.get("X-Consul-Index")?.to_str().ok()?.parse().ok().filter(|&index| index > 0)
}

/// Whether a server or proxy says that it requires TLS: in the words of Go's servers, or of nginx.
fn says_that_it_wants_tls(status: StatusCode, words: &str) -> bool {
    const SIGNS: [&str; 2] = ["HTTP request to an HTTPS server", "plain HTTP request was sent to HTTPS port"];
    status == StatusCode::BAD_REQUEST && SIGNS.iter().any(|sign| words.contains(sign))
}

/// Whether an answer says that nobody is served now, whatever the request.
fn says_nobody_is_served(status: StatusCode, words: &str) -> bool {
    const SIGNS: [&str; 4] =
        ["No cluster leader", "No known Consul servers", "rpc error", "not ready to serve consistent reads"];
    let refused = status == StatusCode::FORBIDDEN;
    matches!(
        status,
        StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
    ) || (!refused && !words.contains("Permission denied") && SIGNS.iter().any(|sign| words.contains(sign)))
}

/// What a refusal is about. Consul has the status 500 for much that is wrong with a request.
fn cause(status: StatusCode, words: &str) -> Cause {
    const ABOUT_THE_SERVICE: [&str; 3] = ["Scripts are disabled", "Unknown service", "Unknown check"];
    match status {
        _ if words.contains("Permission denied") || words.contains("ACL not found") => Cause::Rights,
        _ if ABOUT_THE_SERVICE.iter().any(|sign| words.contains(sign)) => Cause::Service,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Cause::Rights,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::NOT_FOUND => Cause::Service,
        _ => Cause::Server,
    }
}

/// A refusal, with what to do about it.
fn explained(status: StatusCode, words: &str, right: &str) -> String {
    match status {
        StatusCode::FORBIDDEN if words.contains("ACL not found") => {
            "ACL not found: Consul does not know the token; look at CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE"
                .to_owned()
        }
        StatusCode::FORBIDDEN => format!("Permission denied: the token needs {right}"),
        StatusCode::UNAUTHORIZED => format!("{words} (401): look at CONSUL_HTTP_AUTH and the token"),
        _ if status.is_redirection() => {
            format!("it answered {status}, as no Consul agent does; check the host and the port of the URI")
        }
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_cannot_be_waited_for_is_none() {
        for (header, expected) in
            [(None, None), (Some("0"), None), (Some("x"), None), (Some("-1"), None), (Some("7"), Some(7))]
        {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert("X-Consul-Index", HeaderValue::from_static(header));
            }
            assert_eq!(index(&headers), expected, "{header:?}");
        }
    }

    #[test]
    fn an_agent_without_a_leader_serves_nobody_and_a_refusal_is_only_ours() {
        for (status, words, nobody) in [
            (500, "No cluster leader", true),
            (500, "rpc error making call: EOF", true),
            (500, "rpc error making call: Permission denied", false),
            (403, "rpc error making call: ACL not found", false),
            (500, "No known Consul servers", true),
            (500, "write /data/services/8a8b.tmp: no space left on device", false),
            (503, "", true),
            (502, "<html>", true),
            (429, "", true),
            (500, "Unknown check \"x\"", false),
            (400, "Invalid service address", false),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(says_nobody_is_served(status, words), nobody, "{status} {words}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_missing() {
        let explained = |status, words| {
            explained(StatusCode::from_u16(status).expect("a status"), words, "service:write on \"web\"")
        };
        assert_eq!(explained(403, "Permission denied"), "Permission denied: the token needs service:write on \"web\"");
        assert!(explained(403, "ACL not found").contains("CONSUL_HTTP_TOKEN"));
        assert!(explained(401, "no").contains("CONSUL_HTTP_AUTH"));
        assert_eq!(explained(400, "Invalid service address"), "Invalid service address");
    }
}
