//! The four requests of the contract, and what refusals of them mean.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use ::http::StatusCode;
use ::http::header::CONTENT_TYPE;

use crate::registry::reporter::Reporter;
use crate::registry::text::one_line;
use crate::registry::web::{self, Answer, Question};
use crate::registry::{About, OpenError, RegistryError, Site, Store};

use super::endpoint::{self, Changes, Key, Kind, Set, endpoint};
use super::names::Names;
use super::negotiate::{foreign, serves};
use super::settings::{KIND, Settings};
use super::zone::{Wanted, Zone};

/// How many characters of what a provider says of itself a line repeats.
const LIMIT: usize = 200;

/// A client of one provider.
pub(super) struct Client {
    web: web::Client,
    names: Names,
    srv: bool,
    /// How many failures there were when it last proved to be a provider, and one more; 0 for never.
    negotiated: AtomicU64,
}

impl Client {
    pub(super) fn new(settings: Settings, reporter: Reporter) -> Result<Self, OpenError> {
        let Settings { web, names, srv, .. } = settings;
        Ok(Self { web: web::Client::new(&KIND, web, reporter)?, names, srv, negotiated: AtomicU64::default() })
    }

    /// Returns when a file that holds credentials has changed, and is in use.
    pub(super) async fn credentials_changed(&self) {
        self.web.credentials_changed().await;
    }

    /// How often it did not answer.
    pub(super) fn failures(&self) -> u64 {
        self.web.failures()
    }

    pub(super) fn site(&self) -> Site {
        self.web.site(Store::Webhook, self.names.zone.clone())
    }

    /// Who answers.
    pub(super) async fn about(&self) -> Result<About, RegistryError> {
        let answer = self.negotiate().await?;
        Ok(About { name: self.web.name(answer.server), clock: answer.clock(), ..About::default() })
    }

    /// Asks what answers there whether it is a provider, and whether it serves the zone.
    ///
    /// # Errors
    /// When it is none, or does not.
    pub(super) async fn negotiate(&self) -> Result<Answer, RegistryError> {
        let failures = self.web.failures();
        let answer = self.ask(Question::get("")).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refusal(&answer, true));
        }
        if let Some(reason) = foreign(answer.header(CONTENT_TYPE)) {
            return Err(self.no_provider(&answer, &one_line(&reason, LIMIT)));
        }
        if let Err(domains) = serves(&self.names.zone, &answer.body) {
            return Err(RegistryError::server(format!(
                "{} serves {}, and not {}; correct the zone in the URI, or the provider's domain filter",
                self.web.name(answer.server),
                one_line(&domains, LIMIT),
                self.names.zone
            )));
        }
        self.negotiated.store(failures + 1, Ordering::Relaxed);
        Ok(answer)
    }

    /// All records, as a zone.
    ///
    /// # Errors
    /// When they cannot be read completely.
    pub(super) async fn zone(&self) -> Result<Zone, RegistryError> {
        // What answers there may be another after it was away.
        if self.negotiated.load(Ordering::Relaxed) != self.web.failures() + 1 {
            self.negotiate().await?;
        }
        let answer = self.ask(Question::get("records")).await?;
        Ok(Zone::new(&self.names, self.srv, self.sets(&answer)?))
    }

    fn sets(&self, answer: &Answer) -> Result<HashMap<Key, Set>, RegistryError> {
        if answer.status != StatusCode::OK {
            return Err(self.refusal(answer, true));
        }
        endpoint::read(&answer.body).ok_or_else(|| self.no_provider(answer, "its answer is no list of records"))
    }

    /// Lets the provider adjust sets to what it can hold. Sets that it drops are left out of what is wanted.
    ///
    /// # Errors
    /// When it does not answer with sets.
    pub(super) async fn adjust(&self, wanted: &mut Wanted) -> Result<(), RegistryError> {
        let sets: Vec<_> = wanted.iter().filter_map(|(key, set)| Some(endpoint(key, set.as_ref()?))).collect();
        if sets.is_empty() {
            return Ok(());
        }
        let body = serde_json::to_vec(&sets).map_err(|error| RegistryError::service(error.to_string()))?;
        let answer = self.ask(Question::post("adjustendpoints", body)).await?;
        let mut adjusted = self.sets(&answer)?;
        wanted.retain(|key, set| {
            let Some(set) = set else { return true };
            adjusted.remove(key).map(|adjusted| *set = adjusted).is_some()
        });
        Ok(())
    }

    /// Makes changes. If it fails, some of them may have been made.
    ///
    /// # Errors
    /// When the provider does not accept them.
    pub(super) async fn apply(&self, changes: &Changes) -> Result<(), RegistryError> {
        let is_claim = |(name, _): &Key| self.names.claimed(name).is_some();
        let body = changes.to_json(is_claim).map_err(|error| RegistryError::service(error.to_string()))?;
        let answer = self.ask(Question::post("records", body)).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(match self.refusal(&answer, false) {
            RegistryError::Refused { cause, text } if changes.has(Kind::Srv) && !text.contains("; ") => {
                let text = format!("{text}; its log says why; if it takes no SRV records, add srv=off to the URI");
                RegistryError::Refused { cause, text }
            }
            RegistryError::Refused { cause, text } if !text.contains("; ") => {
                RegistryError::Refused { cause, text: format!("{text}; its log says why") }
            }
            other => other,
        })
    }

    /// The provider did what it was told, and yet it is not there.
    pub(super) fn not_kept(&self, name: &str) -> RegistryError {
        RegistryError::server(format!(
            "{} accepts the records of {name}, but does not list its TXT record, without which nothing is ours; use a \
             provider that keeps TXT records, or clear its cache",
            self.web.name(0)
        ))
    }

    async fn ask(&self, question: Question<'_>) -> Result<Answer, RegistryError> {
        self.web.ask(&question, |answer| answer.serves_nobody(question.reads()).then(|| self.web.words(answer))).await
    }

    fn no_provider(&self, answer: &Answer, sign: &str) -> RegistryError {
        self.web.unreachable(
            answer.server,
            &format!(
                "what answers there is no webhook provider of external-dns ({sign}); check the host and the port of the URI: \
                 providers listen on port 8888, and their health is on another"
            ),
        )
    }

    fn refusal(&self, answer: &Answer, reads: bool) -> RegistryError {
        let words = self.web.words(answer);
        if answer.serves_nobody(reads) {
            return self.web.unreachable(answer.server, &words);
        }
        let name = self.web.name(answer.server);
        match answer.status {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => RegistryError::rights(format!(
                "{name} refuses {} ({}): give user:password in the URI, WEBHOOK_AUTH or WEBHOOK_AUTH_FILE",
                self.web.whom(),
                status.as_u16()
            )),
            status @ (StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE) => self.no_provider(answer, &status.to_string()),
            status if status.is_redirection() || reads => self.no_provider(answer, &status.to_string()),
            status if status.is_client_error() => RegistryError::service(format!("{name}: {words}")),
            _ => RegistryError::server(format!("{name}: {words}")),
        }
    }
}
