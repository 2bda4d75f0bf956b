//! Requests to Eureka's servers, and what their refusals mean.
//!
//! The servers are peers that copy each other's registrations, so any of them may be asked.

use ::http::StatusCode;

use crate::registry::reporter::Reporter;
use crate::registry::web::{self, Answer, Question};
use crate::registry::{About, OpenError, RegistryError, Site, Store};

use super::settings::{KIND, Settings};

/// A client of one or more servers.
pub(super) struct Client {
    web: web::Client,
    /// The path that all is below.
    path: String,
}

impl Client {
    pub(super) fn new(settings: Settings, reporter: Reporter) -> Result<Self, OpenError> {
        Ok(Self { web: web::Client::new(&KIND, settings.web, reporter)?, path: settings.path })
    }

    /// Returns when a file that holds credentials has changed, and is in use.
    pub(super) async fn credentials_changed(&self) {
        self.web.credentials_changed().await;
    }

    /// How often no server answered: they may have lost everything each time.
    pub(super) fn failures(&self) -> u64 {
        self.web.failures()
    }

    pub(super) fn site(&self) -> Site {
        self.web.site(Store::Eureka, self.path.clone())
    }

    /// Who answers.
    pub(super) async fn about(&self) -> Result<About, RegistryError> {
        let answer = self.list().await?;
        Ok(About { name: self.web.name(answer.server), clock: answer.clock(), ..About::default() })
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
        self.web.unreachable(
            answer.server,
            &format!(
                "what answers there is no Eureka server ({sign}); check the host, the port and the path of the URI: \
                 Spring Cloud has /eureka, Netflix's own server /eureka/v2"
            ),
        )
    }

    /// The error for an answer that is not a success.
    pub(super) fn refusal(&self, answer: &Answer, reads: bool) -> RegistryError {
        if let Some(reason) = self.away(answer, reads) {
            return self.web.unreachable(answer.server, &reason);
        }
        let (name, user, path) = (self.web.name(answer.server), self.web.whom(), &self.path);
        match answer.status {
            StatusCode::UNAUTHORIZED => RegistryError::rights(format!(
                "{name} refuses {user} (401): give user:password in the URI, EUREKA_AUTH or EUREKA_AUTH_FILE"
            )),
            StatusCode::FORBIDDEN if reads => RegistryError::rights(format!(
                "{name} refuses {user} (403): give the user the right to read {path}/apps"
            )),
            StatusCode::FORBIDDEN => RegistryError::rights(format!(
                "it refuses {user} (403): give the user the right to write; a server with Spring Security must have its \
                 CSRF protection off for {path}/**"
            )),
            status if status.is_redirection() => self.no_eureka(answer, &status.to_string()),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::URI_TOO_LONG => {
                RegistryError::service(self.web.words(answer))
            }
            _ => RegistryError::server(self.web.words(answer)),
        }
    }

    /// Asks the servers, and returns the first answer.
    ///
    /// # Errors
    /// `Unreachable`, when none answers.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Answer, RegistryError> {
        self.web.ask(&question, |answer| self.away(answer, question.reads())).await
    }

    /// Why a server serves nobody now, if so.
    fn away(&self, answer: &Answer, reads: bool) -> Option<String> {
        // Spring Security's refusals have a body.
        if answer.status == StatusCode::FORBIDDEN && reads && answer.body.is_empty() {
            let reason = "it has just started and waits for the data of its peers (403); it is asked again by itself";
            return Some(reason.to_owned());
        }
        answer.serves_nobody(reads).then(|| self.web.words(answer))
    }
}
