//! The client: four GET endpoints of the Engine API, and one POST for signals, over a unix socket or TCP, with or without TLS.
//!
//! Every answer has a deadline and a maximum size, except the event stream, which is read line by line while it lasts.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, timeout};
use url::form_urlencoded;

use super::decode::{self, Listed, Malformed};
use super::endpoint::{self, Endpoint, Surroundings};
use super::errors::{ConnectError, DEADLINE, RequestError};
use super::events::{Decoder, Received};
use super::version::{ApiVersion, EngineInfo, Greeting};
use crate::config::DockerConfig;
use crate::container::{Container, ContainerId};
use crate::http::{self, BodyError, Client, Response, Tls};

/// How long an event stream may take to start. After that, it counts as open but silent.
const STREAM_PATIENCE: Duration = Duration::from_secs(2);
/// How long a list may take if it makes progress every [`DEADLINE`]: very long labels make it slow.
const LONGEST_LIST: Duration = Duration::from_secs(60);
/// Up to this size in bytes, an inspect result is parsed directly, which is cheapest; nearly all are smaller.
const ORDINARY_INSPECT: usize = 256 << 10;
/// The maximum size of an inspect result of which anything is read, in bytes. What is kept of it has its own limit.
const LARGEST_INSPECT: usize = 256 << 20;
/// The maximum size of all other answers, in bytes.
const LARGEST_OTHER: usize = 64 << 10;

/// A connected engine. Cheap to clone.
#[derive(Clone)]
pub struct Docker {
    inner: Arc<Inner>,
}

/// Sends a request to an engine and returns its answer: over HTTP, or in memory in simulations.
pub trait Carrier: Send + Sync + 'static {
    /// Sends a GET request with this query; returns when the answer begins.
    fn get<'a>(&'a self, url: &'a str, query: &'a [(&'a str, &'a str)])
    -> BoxFuture<'a, Result<Response, http::Error>>;

    /// Sends a POST request without a body; returns when the answer begins. Simulated engines are only read.
    fn post<'a>(&'a self, _url: &'a str) -> BoxFuture<'a, Result<Response, http::Error>> {
        Box::pin(ready(Err(http::Error::broken("this engine is only read"))))
    }

    /// Discards the connections that existed at this time, because one of them did not deliver an answer.
    fn drop_connections(&self, _asked: Instant) {}
}

impl Carrier for Client {
    fn get<'a>(
        &'a self,
        url: &'a str,
        query: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<Response, http::Error>> {
        if query.is_empty() {
            return Box::pin(self.get(url));
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        Box::pin(async move { self.get(&format!("{url}?{query}")).await })
    }

    fn post<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Response, http::Error>> {
        Box::pin(async move { self.send(Request::post(url).body(Bytes::new())?).await })
    }

    fn drop_connections(&self, asked: Instant) {
        self.drop_connections(asked);
    }
}

struct Inner {
    carrier: Arc<dyn Carrier>,
    endpoint: Endpoint,
    config: DockerConfig,
    info: EngineInfo,
}

impl Docker {
    /// Finds the engine, and negotiates a version of the API.
    ///
    /// # Errors
    /// When there is no engine, or no common version; the error is one line that says what to do.
    pub async fn connect(config: &DockerConfig) -> Result<Self, ConnectError> {
        let endpoint = endpoint::find(config, &Surroundings::of_process())?;
        let carrier = http::client(endpoint.socket.as_deref(), &endpoint.tls)?;
        Self::greet(Arc::new(carrier), endpoint, config.clone()).await
    }

    /// As above, with another transport than the network.
    ///
    /// # Errors
    /// As for [`Docker::connect`].
    pub async fn over(carrier: Arc<dyn Carrier>, config: &DockerConfig) -> Result<Self, ConnectError> {
        Self::greet(carrier, Endpoint::elsewhere(), config.clone()).await
    }

    /// Connects again to the same address with new connections: the engine may have another version now, and the TLS
    /// files may be new.
    pub(super) async fn reconnect(&self) -> Result<Self, ConnectError> {
        let Inner { carrier, endpoint, config, .. } = &*self.inner;
        carrier.drop_connections(Instant::now());
        let carrier = if endpoint.tls == Tls::default() {
            Arc::clone(carrier)
        } else {
            Arc::new(http::client(None, &endpoint.tls)?)
        };
        Self::greet(carrier, endpoint.clone(), config.clone()).await
    }

    async fn greet(carrier: Arc<dyn Carrier>, endpoint: Endpoint, config: DockerConfig) -> Result<Self, ConnectError> {
        let forced = match config.api_version.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => {
                Some(ApiVersion::parse(text).ok_or_else(|| ConnectError::BadVersion { version: text.to_owned() })?)
            }
            None => None,
        };
        let answer = async {
            let response = carrier
                .get(&format!("{}/version", endpoint.base), &[])
                .await
                .map_err(|error| ConnectError::from_request(&endpoint.name, endpoint.socket.as_deref(), &error))?;
            let status = response.status();
            let body = read(response, LARGEST_OTHER).await;
            let body = body.map_err(|error| ConnectError::not_an_engine(&endpoint.name, &error.to_string()))?;
            if !status.is_success() {
                let said = format!("it answers {}: {}", status.as_u16(), message(&body));
                return Err(ConnectError::not_an_engine(&endpoint.name, &said));
            }
            Greeting::decode(&body).map_err(|error| ConnectError::not_an_engine(&endpoint.name, &error.to_string()))
        };
        let asked = Instant::now();
        let greeting = timeout(DEADLINE, answer).await.unwrap_or_else(|_| {
            carrier.drop_connections(asked);
            Err(ConnectError::silent(&endpoint.name))
        })?;
        let info = greeting
            .agree(forced)
            .map_err(|reason| ConnectError::Version { endpoint: endpoint.name.clone(), reason })?;
        Ok(Self { inner: Arc::new(Inner { carrier, endpoint, config, info }) })
    }

    /// The endpoint as people write it, without credentials: `unix:///tmp/docker.sock`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.inner.endpoint.name
    }

    /// Whether it is a unix socket.
    pub(super) fn is_socket(&self) -> bool {
        self.inner.endpoint.socket.is_some()
    }

    /// The engine, and the negotiated version of the API.
    #[must_use]
    pub fn version(&self) -> &EngineInfo {
        &self.inner.info
    }

    /// The running containers; with [`DockerConfig::list_all`], all of them.
    ///
    /// # Errors
    /// When the engine does not answer in time, or the answer is not a list.
    pub async fn list(&self) -> Result<Vec<Listed>, RequestError> {
        let all = if self.inner.config.list_all { "1" } else { "0" };
        let whole = async {
            let mut response =
                self.in_time(async { well(self.get("/containers/json", &[("all", all)]).await?).await }).await?;
            let mut listing = decode::Listing::default();
            while let Some(chunk) = self.in_time(next(&mut response)).await? {
                listing.push(&chunk)?;
            }
            Ok(listing.end()?)
        };
        timeout(LONGEST_LIST, whole).await.unwrap_or(Err(RequestError::Timeout))
    }

    /// One container; `None` if the engine does not know it, or is removing it.
    ///
    /// # Errors
    /// When the engine does not answer in time, or the answer is not about this container.
    pub async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, RequestError> {
        self.in_time(async {
            let response = self.get(&format!("/containers/{id}/json"), &[]).await?;
            if response.status() == StatusCode::NOT_FOUND {
                let body = read(response, LARGEST_OTHER).await?;
                return if says_no_such_container(&body) {
                    Ok(None)
                } else {
                    Err(refused(StatusCode::NOT_FOUND, &body))
                };
            }
            let config = &self.inner.config;
            let mut said = decode::inspect(&inspected(response, config.keep_inspect).await?, config.keep_inspect)?;
            if let Some(container) = &mut said {
                if container.id != *id {
                    return Err(Malformed::Missing("container that was asked for").into());
                }
                // Reuses existing strings: there may be ten thousand.
                container.id = id.clone();
                container.forget_what_is_not_ours(config.ip_label.as_deref());
            }
            Ok(said)
        })
        .await
    }

    /// The events of containers and networks from now on.
    ///
    /// An engine without events may not even begin its answer (Podman 2.0, 5.0 to 5.2). So the stream counts as open
    /// after a while, and [`EventStream::next`] returns the error if it is not.
    ///
    /// # Errors
    /// When the engine answers, but not with a stream.
    pub async fn events(&self) -> Result<EventStream, RequestError> {
        let docker = self.clone();
        let answer = async move {
            let filters = r#"{"type":["container","network"]}"#;
            let response = docker.get("/events", &[("filters", filters)]).await?;
            well(response).await
        };
        let mut stream = EventStream { source: Source::Asked(Box::pin(answer)), decoder: Decoder::default() };
        if let Ok(answered) = timeout(STREAM_PATIENCE, stream.answered()).await {
            answered?;
        }
        Ok(stream)
    }

    /// Sends a signal (`HUP`) to the main process of the container with this name or ID. The only request that changes
    /// something: it is made only for a rendered file whose resource asks for it, where the operator allows it.
    ///
    /// # Errors
    /// When the engine does not know the container, or it does not run, or the engine does not answer in time.
    pub async fn signal(&self, container: &str, signal: &str) -> Result<(), RequestError> {
        let Inner { carrier, endpoint, info, .. } = &*self.inner;
        let [container, signal] = [container, signal].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
        let url = format!("{}/v{}/containers/{container}/kill?signal={signal}", endpoint.base, info.api);
        self.in_time(async {
            let sent = carrier.post(&url).await.map_err(|error| RequestError::Transport(error.to_string()))?;
            well(sent).await.map(drop)
        })
        .await
    }

    async fn in_time<T>(&self, request: impl Future<Output = Result<T, RequestError>>) -> Result<T, RequestError> {
        let asked = Instant::now();
        timeout(DEADLINE, request).await.unwrap_or_else(|_| {
            self.inner.carrier.drop_connections(asked);
            Err(RequestError::Timeout)
        })
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Response, RequestError> {
        let Inner { carrier, endpoint, info, .. } = &*self.inner;
        let url = format!("{}/v{}{path}", endpoint.base, info.api);
        carrier.get(&url, query).await.map_err(|error| RequestError::Transport(error.to_string()))
    }
}

impl fmt::Debug for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Docker({})", self.endpoint())
    }
}

/// An event stream.
pub struct EventStream {
    source: Source,
    decoder: Decoder,
}

enum Source {
    /// Requested, but not yet answered.
    Asked(BoxFuture<'static, Result<Response, RequestError>>),
    Open(Response),
}

impl EventStream {
    /// The next part of the stream. Safe to cancel and call again: nothing is lost.
    ///
    /// # Errors
    /// When the stream breaks or ends; it cannot be used any more.
    pub async fn next(&mut self) -> Result<Received, RequestError> {
        self.answered().await?;
        let Source::Open(response) = &mut self.source else { return Ok(Received::default()) };
        match response.chunk().await {
            Ok(Some(bytes)) => Ok(self.decoder.push(&bytes)),
            Ok(None) => Err(RequestError::Transport("the event stream ended".to_owned())),
            Err(error) => Err(RequestError::Transport(format!("the event stream broke: {error}"))),
        }
    }

    /// Waits until the engine begins its answer.
    async fn answered(&mut self) -> Result<(), RequestError> {
        if let Source::Asked(answer) = &mut self.source {
            self.source = Source::Open(answer.await?);
        }
        Ok(())
    }
}

/// The body of a successful answer to an inspect; from a large one, unused parts are removed.
async fn inspected(response: Response, keep: bool) -> Result<Vec<u8>, RequestError> {
    let mut response = well(response).await?;
    let mut body = Vec::new();
    while let Some(chunk) = next(&mut response).await? {
        body.extend_from_slice(&chunk);
        if body.len() > ORDINARY_INSPECT {
            return sifted(response, &body, keep).await;
        }
    }
    Ok(body)
}

/// As above, for a body that begins with these bytes.
async fn sifted(mut response: Response, begin: &[u8], keep: bool) -> Result<Vec<u8>, RequestError> {
    if !begin.trim_ascii_start().starts_with(b"{") {
        return Err(Malformed::Missing("container").into());
    }
    let mut sieve = decode::sieve(keep);
    sieve.push(begin);
    let mut length = begin.len();
    while !sieve.is_too_large()
        && let Some(chunk) = next(&mut response).await?
    {
        sieve.push(&chunk);
        length += chunk.len();
        if length > LARGEST_INSPECT {
            return Err(RequestError::TooLarge { limit: LARGEST_INSPECT });
        }
    }
    let sifted = sieve.finish().map_err(Malformed::from)?;
    if sifted.too_large {
        return Err(RequestError::ContainerTooLarge { name: decode::name(&sifted) });
    }
    Ok(sifted.text)
}

async fn next(response: &mut Response) -> Result<Option<Bytes>, RequestError> {
    response.chunk().await.map_err(|error| RequestError::Transport(error.to_string()))
}

/// The answer, if it is a success.
async fn well(response: Response) -> Result<Response, RequestError> {
    let status = response.status();
    if status.is_success() { Ok(response) } else { Err(refused(status, &read(response, LARGEST_OTHER).await?)) }
}

async fn read(response: Response, limit: usize) -> Result<Vec<u8>, RequestError> {
    Ok(http::body(response, limit).await?)
}

impl From<BodyError> for RequestError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(limit) => Self::TooLarge { limit },
            BodyError::Broken(error) => Self::Transport(error.to_string()),
        }
    }
}

fn refused(status: StatusCode, body: &[u8]) -> RequestError {
    RequestError::Refused { status: status.as_u16(), message: message(body) }
}

/// The message in an error's body, on one line and not too long.
fn message(body: &[u8]) -> String {
    let said = decode::value(body).ok().and_then(|json| Some(json["message"].as_str()?.to_owned()));
    let said = said.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    said.trim().chars().take(200).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Whether a 404 is the engine's answer about a container, rather than a proxy's about a path.
///
/// Docker says `No such container: …`, Podman `no container with name or ID … found: no such container`.
fn says_no_such_container(body: &[u8]) -> bool {
    decode::value(body)
        .is_ok_and(|json| json["message"].as_str().is_some_and(|said| said.to_lowercase().contains("container")))
}
