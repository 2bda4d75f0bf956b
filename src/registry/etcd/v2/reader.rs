//! Reads keys by the v2 API, and waits for changes by `waitIndex`.

use async_trait::async_trait;
use http::Method;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::TOO_SOON;
use super::answer::{Answer, Failure};
use super::connection::{Connection, Request};
use crate::registry::RegistryError;
use crate::registry::etcd::Settings;
use crate::registry::reader::{KeyReader, Mark, Values, common_folder, is_below, outermost};

/// How often several keys are read again when something was written meanwhile: the API has no common moment for them.
const ATTEMPTS: usize = 3;
/// How long a change is waited for before the server is asked whether it still answers.
const CHECK: Duration = Duration::from_secs(15);

/// A reader of the v2 API. Folders give no key of their own, and a missing key gives none.
pub(in crate::registry) struct Etcd2Reader {
    connection: Connection,
}

impl Etcd2Reader {
    pub(in crate::registry) fn new(settings: Settings) -> Self {
        Self { connection: Connection::new(settings) }
    }

    /// Reads one key and all below it; also the index of the moment.
    async fn get(&self, key: &str) -> Result<(Option<Answer>, u64), Failure> {
        let query = [("recursive", "true"), ("sorted", "true"), ("quorum", "true")];
        let (answer, index) =
            self.connection.ask_from(Request { method: &Method::GET, key, query: &query, form: &[] }).await?;
        match answer {
            Ok(answer) => Ok((Some(answer), index.unwrap_or_default())),
            Err(Failure::Missing) => Ok((None, index.unwrap_or_default())),
            Err(failure) => Err(failure),
        }
    }

    async fn read_all(&self, keys: &[String]) -> Result<Values, Failure> {
        let keys = outermost(keys, is_below);
        let mut values = Values::new();
        for _ in 0..ATTEMPTS {
            values.clear();
            let mut moments = Vec::with_capacity(keys.len());
            for key in &keys {
                let (answer, index) = self.get(key).await?;
                moments.push(index);
                let held = answer.and_then(|answer| answer.node).map(|node| node.held(None)).unwrap_or_default();
                values.extend(held.into_iter().map(|held| (held.key, held.value)));
            }
            if moments.windows(2).all(|pair| pair[0] == pair[1]) {
                break;
            }
        }
        Ok(values)
    }

    /// How far the history is.
    async fn moment(&self, key: &str) -> Result<Mark, Failure> {
        let query = [("quorum", "true")];
        let asked = self.connection.ask_from(Request { method: &Method::GET, key, query: &query, form: &[] });
        match asked.await? {
            (Ok(_) | Err(Failure::Missing), index) => Ok(index.unwrap_or_default()),
            (Err(failure), _) => Err(failure),
        }
    }

    async fn wait(&self, keys: &[String], since: Mark) -> Result<Mark, Failure> {
        let folder = common_folder(keys);
        let mut index = since;
        loop {
            let began = Instant::now();
            let waited = match timeout(CHECK, self.connection.wait(&folder, index + 1)).await {
                Ok(waited) => waited,
                // A server that hangs looks like one where nothing happens.
                Err(_) => {
                    self.moment(&folder).await?;
                    continue;
                }
            };
            match waited {
                Ok(Answer { node: Some(node), .. }) => {
                    index = node.modified_index.max(index + 1);
                    // A folder that goes takes all below it along.
                    let concerns = |key: &String| is_below(key, &node.key) || node.dir && is_below(&node.key, key);
                    if keys.iter().any(concerns) {
                        return Ok(index);
                    }
                }
                Ok(_) => sleep(TOO_SOON).await,
                // The history does not reach back so far: anything may have changed.
                Err(Failure::Forgotten) => {
                    sleep(TOO_SOON).await;
                    return self.moment(&folder).await;
                }
                // Nothing seems to have happened.
                Err(Failure::Away(_)) if began.elapsed() > TOO_SOON => {}
                Err(failure) => return Err(failure),
            }
        }
    }
}

#[async_trait]
impl KeyReader for Etcd2Reader {
    async fn read(&self, keys: &[String]) -> Result<Values, RegistryError> {
        self.read_all(keys).await.map_err(|failure| self.connection.error(failure))
    }

    async fn mark(&self, keys: &[String]) -> Result<Mark, RegistryError> {
        self.moment(&common_folder(keys)).await.map_err(|failure| self.connection.error(failure))
    }

    async fn changed(&self, keys: &[String], since: Mark) -> Result<Mark, RegistryError> {
        self.wait(keys, since).await.map_err(|failure| self.connection.error(failure))
    }
}
