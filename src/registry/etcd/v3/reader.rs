//! Reads keys by the v3 API, all as of one revision, and watches each of them.

use async_trait::async_trait;
use etcd_client::{GetOptions, Txn, TxnOp, TxnOpResponse, WatchOptions};
use tokio::time::{Duration, timeout};

use super::connection::Connection;
use super::failure::Failure;
use super::read::{CHUNK, end_of};
use crate::registry::etcd::Settings;
use crate::registry::reader::{KeyReader, Mark, Values, common_folder, is_below, outermost};
use crate::registry::{Cause, RegistryError};

/// The maximum size of an answer.
const ANSWER_LIMIT: usize = 256 << 20;
/// How long beginning to watch may take.
const BEGIN: Duration = Duration::from_secs(6);
/// So many keys have a watch each; of more, their folder has one.
const WATCHES: usize = 16;
/// How often a reading is begun again that took so long that its revision was compacted meanwhile.
const ATTEMPTS: usize = 3;

/// A reader of the v3 API.
pub(in crate::registry) struct Etcd3Reader {
    connection: Connection,
}

impl Etcd3Reader {
    pub(in crate::registry) fn new(settings: Settings) -> Self {
        Self { connection: Connection::new(settings) }
    }

    /// Reads keys, and all below each of them, as of one revision.
    async fn read_at_once(&self, keys: &[String]) -> Result<(Values, u64), Failure> {
        let keys = outermost(keys, is_below);
        let mut values = Values::new();
        let mut revision = 0;
        // Two steps for each key.
        for keys in keys.chunks(CHUNK / 2) {
            let at = |options: GetOptions| Some(options.with_revision(revision));
            let gets: Vec<_> = keys
                .iter()
                .flat_map(|key| {
                    let folder = folder(key);
                    let below = at(GetOptions::new().with_range(end_of(&folder)));
                    [TxnOp::get(key.as_str(), at(GetOptions::new())), TxnOp::get(folder, below)]
                })
                .collect();
            let answer = self
                .connection
                .call(|client| {
                    let txn = Txn::new().and_then(gets.clone());
                    async move { client.kv_client().max_decoding_message_size(ANSWER_LIMIT).txn(txn).await }
                })
                .await?;
            if revision == 0 {
                revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
            }
            for response in answer.op_responses() {
                let TxnOpResponse::Get(mut found) = response else { continue };
                for held in found.take_kvs() {
                    let (key, value) = held.into_key_value();
                    // A key that is no text cannot be asked for by a template.
                    if let Ok(key) = String::from_utf8(key) {
                        values.insert(key, value);
                    }
                }
            }
        }
        Ok((values, revision.unsigned_abs()))
    }

    async fn read_all(&self, keys: &[String]) -> Result<(Values, u64), Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.read_at_once(keys).await {
                Err(Failure::Away(reason)) if reason.contains("compacted") && attempts < ATTEMPTS => {}
                outcome => return outcome,
            }
        }
    }

    /// Waits for the first change behind a revision. Returns the revision of that.
    async fn wait(&self, keys: &[String], since: Mark) -> Result<Mark, Failure> {
        let mut keys = outermost(keys, is_below);
        if keys.len() > WATCHES {
            keys = vec![common_folder(&keys)];
        }
        let from = i64::try_from(since + 1).unwrap_or(i64::MAX);
        let options = || WatchOptions::new().with_start_revision(from);
        let ranges: Vec<_> = keys
            .iter()
            .flat_map(|key| {
                let folder = folder(key);
                let below = options().with_range(end_of(&folder));
                [(key.clone(), options()), (folder, below)]
            })
            .filter(|(key, _)| !key.is_empty())
            .collect();
        let (client, generation) = self.connection.client().await.inspect_err(|_| self.connection.leave(None))?;
        let followed = async {
            let mut ranges = ranges.into_iter();
            let Some((key, first)) = ranges.next() else { return std::future::pending().await };
            let mut watches = client.watch_client().max_decoding_message_size(ANSWER_LIMIT);
            let begun = async {
                let mut stream = watches.watch(key, Some(first)).await?;
                for (key, options) in ranges {
                    stream.watch(key, Some(options)).await?;
                }
                Ok::<_, etcd_client::Error>(stream)
            };
            let late = || Failure::Away("no answer in time".to_owned());
            let mut stream = timeout(BEGIN, begun).await.map_err(|_| late())??;
            loop {
                let Some(answer) = stream.message().await? else {
                    return Err(Failure::Away("the watch has ended".to_owned()));
                };
                let now = answer.header().map_or(0, etcd_client::ResponseHeader::revision).unsigned_abs();
                if answer.canceled() {
                    // What happened before is forgotten: anything may have changed.
                    if answer.compact_revision() > 0 {
                        return Ok(now.max(answer.compact_revision().unsigned_abs()));
                    }
                    let reason = answer.cancel_reason();
                    return Err(if reason.contains("permission denied") {
                        Failure::Refused(Cause::Rights, reason.to_owned())
                    } else {
                        Failure::Away(format!("the watch was ended: {reason}"))
                    });
                }
                if !answer.events().is_empty() {
                    return Ok(now);
                }
                // A store with less history than ours is another one, as after it was put back from a backup.
                if answer.created() && now != 0 && now < since {
                    return Ok(now);
                }
            }
        };
        let outcome = followed.await;
        if let Err(Failure::Away(_) | Failure::Lost(..)) = &outcome {
            self.connection.leave(Some(generation));
        }
        outcome
    }

    fn error(&self, failure: Failure) -> RegistryError {
        match failure {
            Failure::Refused(Cause::Rights, _) => RegistryError::rights(format!(
                "etcd at {} denies it: the user's role needs read on the keys and on all below them",
                self.connection.settings().place()
            )),
            failure => self.connection.error(failure),
        }
    }
}

/// What all keys below a key begin with.
fn folder(key: &str) -> String {
    format!("{}/", key.trim_end_matches('/'))
}

#[async_trait]
impl KeyReader for Etcd3Reader {
    async fn read(&self, keys: &[String]) -> Result<Values, RegistryError> {
        self.read_all(keys).await.map(|(values, _)| values).map_err(|failure| self.error(failure))
    }

    async fn mark(&self, keys: &[String]) -> Result<Mark, RegistryError> {
        // One key is enough to be told the revision, and whether we may read.
        let key = keys.iter().min().cloned().unwrap_or_else(|| "/".to_owned());
        let asked = self.connection.call(|client| {
            let key = key.clone();
            let options = GetOptions::new().with_keys_only();
            async move { client.kv_client().get(key, Some(options)).await }
        });
        let answer = asked.await.map_err(|failure| self.error(failure))?;
        Ok(answer.header().map_or(0, etcd_client::ResponseHeader::revision).unsigned_abs())
    }

    async fn changed(&self, keys: &[String], since: Mark) -> Result<Mark, RegistryError> {
        self.wait(keys, since).await.map_err(|failure| self.error(failure))
    }
}
