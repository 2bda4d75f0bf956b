//! Hears of changes, on one stream to one server: of single keys, each with a watch of its own, or of all below a prefix.
//!
//! A watch of a key begins now, not at a revision of the past: once etcd has confirmed it, the key is read. So nothing is
//! missed between two streams, whatever became of etcd's history meanwhile: compacted, lost with the data, or another
//! one, put back from a backup. A server that no longer answers is noticed by the connection's own signs of life, and one
//! that has lost its cluster ends its streams.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Duration, timeout};

use crate::registry::Cause;
use crate::registry::kv::{Keys, StoreEvent};

use super::connection::Connection;
use super::failure::Failure;
use super::read::{self, CHUNK, end_of};

/// How long beginning to watch may take.
const BEGIN: Duration = Duration::from_secs(6);

/// Whom changes are reported to.
type Report<'a> = &'a (dyn Fn(StoreEvent) + Send + Sync);

/// How far etcd's history had come when we last heard of it.
#[derive(Default)]
pub(super) struct History(AtomicU64);

impl History {
    /// It has come so far.
    pub(super) fn reached(&self, revision: u64) {
        self.0.fetch_max(revision, Ordering::Relaxed);
    }

    /// How far that is.
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A reading found it here that began when it had come so far. Whether it went back.
    fn found(&self, before: u64, revision: u64) -> bool {
        if revision < before {
            self.0.store(revision, Ordering::Relaxed);
        } else {
            self.reached(revision);
        }
        revision < before
    }
}

/// Reports what happens below prefixes, until that can no longer be told.
pub(super) async fn below(connection: &Connection, prefixes: &[String], report: Report<'_>) -> Failure {
    let Some((first, others)) = prefixes.split_first() else { return nothing_to_watch() };
    let range = |prefix: &str| WatchOptions::new().with_range(end_of(prefix));
    let (mut stream, generation) = match begin(connection, first, range(first)).await {
        Ok(begun) => begun,
        Err(failure) => return failure,
    };
    for prefix in others {
        if let Err(error) = stream.watch(prefix.as_str(), Some(range(prefix))).await {
            return left(connection, generation, error.into());
        }
    }
    let mut unconfirmed = prefixes.len();
    loop {
        let answer = match next(stream.message().await) {
            Ok(answer) if answer.canceled() => return cancelled(&answer),
            Ok(answer) => answer,
            Err(failure) => return left(connection, generation, failure),
        };
        if answer.created() {
            unconfirmed -= 1;
            if unconfirmed == 0 {
                report(StoreEvent::Started);
            }
        }
        tell(&answer, report);
    }
}

/// Reports what happens to each key of a set that may change meanwhile, until that can no longer be told.
pub(super) async fn keys(
    connection: &Connection,
    history: &History,
    keys: &mut watch::Receiver<Keys>,
    report: Report<'_>,
) -> Failure {
    let first = loop {
        let first = keys.borrow().first().cloned();
        match first {
            Some(first) => break first,
            None if keys.changed().await.is_err() => return nothing_to_watch(),
            None => {}
        }
    };
    let (stream, generation) = match begin(connection, &first, WatchOptions::new()).await {
        Ok(begun) => begun,
        Err(failure) => return failure,
    };
    let (mut requests, mut answers) = stream.split();
    let mut watches = Watches { unconfirmed: VecDeque::from([first]), ..Watches::default() };
    watches.are(&keys.borrow_and_update());
    let mut reading: Option<BoxFuture<'_, Result<(), Failure>>> = None;
    loop {
        if reading.is_none()
            && let Some(some) = watches.take_to_read()
        {
            reading = Some(Box::pin(report_all(connection, history, some, report)));
        }
        let read = async {
            match &mut reading {
                Some(reading) => reading.await,
                None => std::future::pending().await,
            }
        };
        // Answers are taken while requests are sent: etcd takes no more of these while nobody takes its answers.
        let ask = async {
            match watches.to_ask.front() {
                Some(Ask::Begin(key)) => requests.watch(key.as_str(), None).await,
                Some(Ask::End(id)) => requests.cancel(*id).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            answer = answers.message() => match next(answer) {
                Ok(answer) => {
                    let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
                    history.reached(revision.unsigned_abs());
                    if let Err(failure) = watches.answered(&answer) {
                        return failure;
                    }
                    tell(&answer, report);
                }
                Err(failure) => return left(connection, generation, failure),
            },
            asked = ask => match asked {
                Ok(()) => watches.asked(),
                Err(error) => return left(connection, generation, error.into()),
            },
            changed = keys.changed() => match changed {
                Ok(()) => watches.are(&keys.borrow_and_update()),
                Err(_) => return nothing_to_watch(),
            },
            read = read => match read {
                Ok(()) => reading = None,
                Err(failure) => return failure,
            },
        }
    }
}

/// Reads keys, and reports how each stands.
async fn report_all(
    connection: &Connection,
    history: &History,
    keys: Vec<String>,
    report: Report<'_>,
) -> Result<(), Failure> {
    let before = history.now();
    let (found, revision) = read::chunk(connection, &keys).await?;
    if history.found(before, revision) {
        report(StoreEvent::Started);
    }
    let versions: HashMap<_, _> = found.iter().map(|held| (held.key(), held.mod_revision().unsigned_abs())).collect();
    for key in keys {
        let version = versions.get(key.as_bytes()).copied();
        report(StoreEvent::Seen { key, version, at: revision });
    }
    Ok(())
}

/// The watches of one stream.
#[derive(Default)]
struct Watches {
    wanted: Keys,
    to_ask: VecDeque<Ask>,
    /// Asked for and not confirmed, in this order, which is that of the confirmations.
    unconfirmed: VecDeque<String>,
    confirmed: HashMap<String, i64>,
    ended: HashSet<i64>,
    /// Confirmed, and not read since.
    unread: Vec<String>,
}

/// What etcd is to be asked.
enum Ask {
    Begin(String),
    End(i64),
}

impl Watches {
    /// These keys are to be watched.
    fn are(&mut self, keys: &Keys) {
        let before = std::mem::replace(&mut self.wanted, Arc::clone(keys));
        for gone in before.difference(keys) {
            if let Some(id) = self.confirmed.remove(gone) {
                self.to_ask.push_back(Ask::End(id));
            }
        }
        self.to_ask.retain(|ask| !matches!(ask, Ask::Begin(key) if !keys.contains(key)));
        for new in keys.difference(&before).filter(|key| !self.unconfirmed.contains(key)) {
            self.to_ask.push_back(Ask::Begin(new.clone()));
        }
    }

    /// The first request was sent.
    fn asked(&mut self) {
        match self.to_ask.pop_front() {
            Some(Ask::Begin(key)) => self.unconfirmed.push_back(key),
            Some(Ask::End(id)) => drop(self.ended.insert(id)),
            None => {}
        }
    }

    /// Takes a confirmation.
    fn answered(&mut self, answer: &WatchResponse) -> Result<(), Failure> {
        let id = answer.watch_id();
        if answer.canceled() {
            return if self.ended.remove(&id) { Ok(()) } else { Err(cancelled(answer)) };
        }
        if answer.created()
            && let Some(key) = self.unconfirmed.pop_front()
        {
            if self.wanted.contains(&key) {
                self.unread.push(key.clone());
                self.confirmed.insert(key, id);
            } else {
                self.to_ask.push_back(Ask::End(id));
            }
        }
        Ok(())
    }

    /// What is to be read next: as many keys at once as there are.
    fn take_to_read(&mut self) -> Option<Vec<String>> {
        let all = self.unconfirmed.is_empty() && !self.to_ask.iter().any(|ask| matches!(ask, Ask::Begin(_)));
        let enough = self.unread.len() >= CHUNK || all && !self.unread.is_empty();
        enough.then(|| self.unread.drain(..self.unread.len().min(CHUNK)).collect())
    }
}

/// Begins to watch, on one server.
async fn begin(connection: &Connection, key: &str, options: WatchOptions) -> Result<(WatchStream, u64), Failure> {
    let (client, generation) = match connection.client().await {
        Ok(client) => client,
        Err(failure) => {
            connection.leave(None);
            return Err(failure);
        }
    };
    match timeout(BEGIN, client.watch_client().watch(key, Some(options))).await {
        Ok(Ok(stream)) => Ok((stream, generation)),
        Ok(Err(error)) => Err(left(connection, generation, error.into())),
        Err(_) => Err(left(connection, generation, Failure::Away("no answer in time".to_owned()))),
    }
}

/// The connection is of no more use.
fn left(connection: &Connection, generation: u64, failure: Failure) -> Failure {
    connection.leave(Some(generation));
    failure
}

fn next(answer: Result<Option<WatchResponse>, etcd_client::Error>) -> Result<WatchResponse, Failure> {
    answer?.ok_or_else(|| Failure::Away("the watch has ended".to_owned()))
}

fn cancelled(answer: &WatchResponse) -> Failure {
    let reason = match answer.compact_revision() {
        0 => answer.cancel_reason(),
        _ => "it was too slow, and what it has not heard of was compacted",
    };
    Failure::Away(format!("the watch was ended: {reason}"))
}

fn nothing_to_watch() -> Failure {
    Failure::Refused(Cause::Server, "nothing to watch".to_owned())
}

fn tell(answer: &WatchResponse, report: Report<'_>) {
    for event in answer.events() {
        let Some((key, kv)) = event.kv().and_then(|kv| Some((kv.key_str().ok()?.to_owned(), kv))) else { continue };
        let at = kv.mod_revision().unsigned_abs();
        let version = (event.event_type() == EventType::Put).then_some(at);
        report(StoreEvent::Seen { key, version, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Keys {
        Arc::new(keys.iter().map(|key| (*key).to_owned()).collect())
    }

    /// What etcd is asked, in order, until nothing is left; it confirms nothing yet.
    fn asked(watches: &mut Watches) -> Vec<String> {
        let mut asked = Vec::new();
        while let Some(ask) = watches.to_ask.front() {
            asked.push(match ask {
                Ask::Begin(key) => format!("+{key}"),
                Ask::End(id) => format!("-{id}"),
            });
            watches.asked();
        }
        asked
    }

    #[test]
    fn only_what_differs_is_asked_for() {
        let mut watches = Watches::default();
        watches.are(&keys(&["a", "b", "c"]));
        assert_eq!(asked(&mut watches), ["+a", "+b", "+c"]);
        // Before it is confirmed, it is asked for once, however often it comes and goes.
        watches.are(&keys(&["a"]));
        watches.are(&keys(&["a", "b"]));
        assert_eq!(asked(&mut watches), [""; 0]);
        watches.unconfirmed.clear();
        watches.confirmed = [("a".to_owned(), 1), ("b".to_owned(), 2)].into();
        watches.are(&keys(&["b", "d"]));
        watches.are(&keys(&["b"]));
        assert_eq!(asked(&mut watches), ["-1"]);
        assert!(watches.ended.contains(&1));
    }

    #[test]
    fn what_is_confirmed_is_read_as_much_as_possible_at_once() {
        let mut watches = Watches::default();
        assert_eq!(watches.take_to_read(), None);
        watches.unread = vec!["a".to_owned(), "b".to_owned()];
        watches.unconfirmed.push_back("c".to_owned());
        assert_eq!(watches.take_to_read(), None);
        watches.unconfirmed.clear();
        assert_eq!(watches.take_to_read().map(|keys| keys.len()), Some(2));
        watches.unread = vec!["x".to_owned(); CHUNK + 1];
        watches.unconfirmed.push_back("c".to_owned());
        assert_eq!(watches.take_to_read().map(|keys| keys.len()), Some(CHUNK));
        assert_eq!(watches.take_to_read(), None);
    }

    #[test]
    fn a_history_that_went_back_is_noticed_once() {
        let history = History::default();
        assert!(!history.found(history.now(), 5));
        history.reached(9);
        history.reached(7);
        let before = history.now();
        // It went on while it was read.
        history.reached(12);
        assert!(!history.found(before, 9));
        assert!(history.found(history.now(), 3));
        assert!(!history.found(history.now(), 4));
    }
}
