//! The requests that discoverd takes, and what its answers mean.

use ::http::StatusCode;
use ::http::header::{HeaderName, LOCATION};
use url::Url;

use crate::registry::web::{self, Answer, Question};
use crate::registry::{RegistryError, Site, Store};

use super::instance::{self, Instance};

/// What every answer of a discoverd has.
const SIGN: HeaderName = HeaderName::from_static("discoverd-index");
/// What a name is created with: the oldest instance leads, as discoverd's own client has it.
const NEW_SERVICE: &[u8] = br#"{"leader_type":"oldest"}"#;
/// How often a request is sent on from one server to another.
const HOPS: usize = 3;

/// A client of one or more servers.
pub(super) struct Client {
    web: web::Client,
}

impl Client {
    pub(super) fn new(web: web::Client) -> Self {
        Self { web }
    }

    /// How often no server answered.
    pub(super) fn failures(&self) -> u64 {
        self.web.failures()
    }

    pub(super) fn site(&self) -> Site {
        self.web.site(Store::Discoverd, String::new())
    }

    /// Who answered.
    pub(super) fn place(&self, answer: &Answer) -> String {
        self.web.name(answer.server)
    }

    /// Asks whether it is there.
    ///
    /// # Errors
    /// When it is not, or is no discoverd.
    pub(super) async fn ping(&self) -> Result<Answer, RegistryError> {
        let answer = self.ask(Question::get("ping")).await?;
        match (answer.status, answer.header(SIGN)) {
            (StatusCode::OK, Some(_)) => Ok(answer),
            (status, _) => Err(self.no_discoverd(&answer, &format!("{status} to /ping"))),
        }
    }

    /// The instances of a name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) async fn instances(&self, name: &str) -> Result<Vec<Instance>, RegistryError> {
        let path = format!("services/{name}/instances");
        let answer = self.ask(Question::get(&path)).await?;
        match (answer.status, answer.header(SIGN)) {
            (StatusCode::NOT_FOUND, Some(_)) => Ok(Vec::new()),
            (StatusCode::OK, _) => instance::list(name, &answer.body)
                .ok_or_else(|| self.no_discoverd(&answer, "its answer is no list of instances")),
            (status, _) => Err(self.no_discoverd(&answer, &format!("{status} to a list of instances"))),
        }
    }

    /// Registers an instance, and its name where that is missing.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) async fn register(&self, wanted: &Instance) -> Result<(), RegistryError> {
        let path = format!("services/{}/instances/{}", wanted.name, wanted.id());
        let body = || {
            let body = serde_json::to_vec(&wanted.to_json());
            body.map_err(|error| RegistryError::service(error.to_string()))
        };
        let mut answer = self.ask(Question::put(&path).with(body()?)).await?;
        if answer.status == StatusCode::NOT_FOUND && answer.header(SIGN).is_some() {
            let service = format!("services/{}", wanted.name);
            let made = self.ask(Question::put(&service).with(NEW_SERVICE.to_vec())).await?;
            // Another instance may have made it.
            let exists = json_code(&made).as_deref() == Some("object_exists");
            if !made.status.is_success() && !exists {
                return Err(self.refusal(&made));
            }
            answer = self.ask(Question::put(&path).with(body()?)).await?;
        }
        if answer.status.is_success() { Ok(()) } else { Err(self.refusal(&answer)) }
    }

    /// Removes an instance.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) async fn remove(&self, found: &Instance) -> Result<(), RegistryError> {
        let path = format!("services/{}/instances/{}", found.name, found.id());
        let answer = self.ask(Question::delete(&path)).await?;
        match answer.status {
            StatusCode::NOT_FOUND if answer.header(SIGN).is_some() => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(self.refusal(&answer)),
        }
    }

    /// Asks the servers; one that is not the leader sends us on to it.
    async fn ask(&self, question: Question<'_>) -> Result<Answer, RegistryError> {
        let away = |answer: &Answer| answer.serves_nobody(question.reads()).then(|| self.web.words(answer));
        let mut answer = self.web.ask(&question, away).await?;
        for _ in 0..HOPS {
            if answer.status != StatusCode::TEMPORARY_REDIRECT {
                break;
            }
            let base = answer.header(LOCATION).and_then(base);
            let Some(base) = base else { return Err(self.no_discoverd(&answer, "it sends us on to no address")) };
            answer = self.web.follow(&answer, &question, &base).await?;
        }
        match away(&answer) {
            Some(reason) => Err(self.web.unreachable(answer.server, &reason)),
            None => Ok(answer),
        }
    }

    fn no_discoverd(&self, answer: &Answer, sign: &str) -> RegistryError {
        let reason = format!("what answers there is no discoverd ({sign}); check the host and the port of the URI");
        self.web.unreachable(answer.server, &reason)
    }

    fn refusal(&self, answer: &Answer) -> RegistryError {
        let words = self.web.words(answer);
        match answer.status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => RegistryError::service(words),
            status if status.is_redirection() || answer.header(SIGN).is_none() => {
                self.no_discoverd(answer, &status.to_string())
            }
            _ => RegistryError::server(words),
        }
    }
}

/// The server of a `Location`, with a slash at the end.
fn base(location: &str) -> Option<String> {
    let url = Url::parse(location).ok().filter(|url| url.scheme() == "http" && url.username().is_empty())?;
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    Some(format!("http://{host}:{port}/"))
}

/// The code of an error, as discoverd names it.
fn json_code(answer: &Answer) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    Some(body.get("code")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_on_to_http_servers_alone() {
        for (location, expected) in [
            ("http://10.0.0.1:1111/services/web", Some("http://10.0.0.1:1111/")),
            ("http://[::1]:1111/", Some("http://[::1]:1111/")),
            ("http://host", Some("http://host:80/")),
            ("https://host/", None),
            ("http://user@host/", None),
            ("/services/web", None),
            ("", None),
        ] {
            assert_eq!(base(location).as_deref(), expected, "{location}");
        }
    }
}
