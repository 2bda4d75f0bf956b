//! Watches for changes by external writers and for services that Consul lost, without polling.
//!
//! The agent's own lists do not support blocking queries. So a blocking query waits on the catalog's view of the
//! agent's node (<https://developer.hashicorp.com/consul/api-docs/features/blocking>), which the agent keeps up to
//! date. The index also changes because of other nodes, so the answers themselves are compared.

use std::hash::{DefaultHasher, Hasher};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::registry::RegistryError;
use crate::registry::reporter::Reporter;
use crate::registry::text::one_line;

use super::client::{Answer, Body, Client, DEADLINE, Question};

/// The wait time of a blocking query.
const WAIT: Duration = Duration::from_secs(60);
/// Consul adds up to a sixteenth of the wait time, to spread the load.
const WAIT_DEADLINE: Duration = Duration::from_millis(60_000 + 60_000 / 16 + 10_000);
/// The shortest time between two queries, if the first was answered.
const PACE: Duration = Duration::from_secs(1);
/// The shortest time between two queries, even if each is cancelled before its answer.
const LEAST_GAP: Duration = Duration::from_millis(250);
/// Reading answers may take one part in this many of the time.
const READING_SHARE: u32 = 20;
/// The shortest time between two queries per KiB of the answer, because long answers cost the server time.
const REST_EACH_KIB: Duration = Duration::from_micros(500);
/// The longest pause while Consul is unreachable.
const AWAY_PACE: Duration = Duration::from_secs(10);
/// The longest pause if queries do not block, or are refused.
const BLIND_PACE: Duration = Duration::from_secs(60);

/// If a write of ours does not show in the catalog within this time, it may have been undone before it got there.
const UNSEEN: Duration = Duration::from_secs(2);

/// How much of an answer is kept, in bytes.
const BEGINNING: usize = 16;

/// Waits for changes. Its state survives a cancelled wait.
pub(super) struct Watch {
    state: Mutex<State>,
    /// Notified after a write of ours.
    wrote: Notify,
    reporter: Reporter,
}

#[derive(Default)]
struct State {
    /// The name of the agent's node, once known.
    node: Option<String>,
    /// The last answer; `None` at first and after a failure, when anything may have changed.
    seen: Option<Seen>,
    /// A change that has not been reported yet.
    news: bool,
    /// When to report a change although the catalog shows none: we wrote, and it may have been undone.
    unseen: Option<Instant>,
    /// The pause that the last answer's cost requires.
    rest: Duration,
    /// No query before this time.
    not_before: Option<Instant>,
    /// The pause before the next query; it doubles while queries give no new information.
    pause: Duration,
    /// Whether the log has reported that changes cannot be noticed.
    said_blind: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    /// The index to wait for the next change with, if the server sends one.
    index: Option<u64>,
    digest: u64,
}

/// What is compared between answers.
#[derive(Default)]
struct Digest {
    hasher: DefaultHasher,
    length: usize,
    /// The first bytes of the answer, which show whether it is empty.
    beginning: Vec<u8>,
}

impl Body for Digest {
    fn push(&mut self, bytes: &[u8]) {
        self.hasher.write(bytes);
        self.length += bytes.len();
        let room = BEGINNING.saturating_sub(self.beginning.len());
        self.beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl Watch {
    pub(super) fn new(reporter: Reporter) -> Self {
        Self { state: Mutex::default(), wrote: Notify::new(), reporter }
    }

    /// We wrote. The agent tells the catalog a while later, and answers from there are compared only once a second: an
    /// entry that another hand removes at once may never show there.
    pub(super) fn wrote(&self) {
        self.state().unseen.get_or_insert_with(|| Instant::now() + UNSEEN);
        self.wrote.notify_one();
    }

    /// Returns when the services of the agent's node may have changed, at most once a second.
    pub(super) async fn changed(&self, client: &Client) {
        loop {
            let pause = self.state().pause();
            if let Some(until) = pause {
                self.until(until).await;
            }
            {
                let mut state = self.state();
                let now = Instant::now();
                if state.take_news(now) {
                    state.not_before = Some(now + PACE.max(state.rest).min(AWAY_PACE));
                    return;
                }
                if state.not_before.is_some_and(|not_before| not_before > now) {
                    continue;
                }
                state.not_before = Some(now + LEAST_GAP);
            }
            let mut look = pin!(self.look(client));
            loop {
                let unseen = self.state().unseen;
                tokio::select! {
                    () = &mut look => break,
                    () = sleep_until(unseen.unwrap_or_else(Instant::now)), if unseen.is_some() => break,
                    () = self.wrote.notified() => {}
                }
            }
        }
    }

    /// Waits until this time, or until we write.
    async fn until(&self, time: Instant) {
        tokio::select! {
            () = sleep_until(time) => {}
            () = self.wrote.notified() => {}
        }
    }

    /// Sends one query, and waits for the answer.
    async fn look(&self, client: &Client) {
        let (node, seen) = {
            let state = self.state();
            (state.node.clone(), state.seen)
        };
        let node = match node {
            Some(node) => node,
            None => match own_node(client).await {
                Ok(node) => {
                    self.state().node = Some(node.clone());
                    node
                }
                Err(error) => return self.failed(&error),
            },
        };
        let began = Instant::now();
        match query(client, &node, seen.and_then(|seen| seen.index)).await {
            Ok(answer) => {
                let blind = self.state().answered(&answer, began.elapsed());
                if blind {
                    self.say_blind("Consul's catalog does not show us our own node");
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &RegistryError) {
        self.state().failed(error);
        if let RegistryError::Refused { text, .. } = error {
            self.say_blind(text);
        }
    }

    /// Reports once that changes cannot be noticed.
    fn say_blind(&self, reason: &str) {
        let said = std::mem::replace(&mut self.state().said_blind, true);
        if !said {
            let reason = one_line(reason, 300);
            let text = format!(
                "consul: what others change is only noticed at a resync: {reason}; a token with agent:read and \
                 node:read helps"
            );
            self.reporter.warn("blind", text);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Until when there is nothing to do.
    fn pause(&self) -> Option<Instant> {
        [self.not_before?].into_iter().chain(self.unseen).min()
    }

    /// Takes what is to be reported, if anything is.
    fn take_news(&mut self, now: Instant) -> bool {
        let unseen = self.unseen.take_if(|unseen| *unseen <= now).is_some();
        std::mem::take(&mut self.news) | unseen
    }

    /// Takes an answer. Returns whether it shows that changes cannot be noticed.
    fn answered(&mut self, answer: &Answer<Digest>, took: Duration) -> bool {
        let now = Instant::now();
        let mut seen = Seen { index: answer.index, digest: answer.body.hasher.finish() };
        let before = self.seen;
        let backwards =
            matches!((before.and_then(|seen| seen.index), seen.index), (Some(before), Some(now)) if now < before);
        if backwards {
            // Another server's state, or a restored one: start again without knowledge.
            seen.index = None;
        }
        self.seen = Some(seen);
        let long = REST_EACH_KIB * u32::try_from(answer.body.length >> 10).unwrap_or(u32::MAX);
        self.rest = (answer.reading * READING_SHARE).max(long);
        let same = before.is_some_and(|before| before.digest == seen.digest);
        // Other nodes move the index, too. But after a write of ours, it can mean that the write was undone.
        let undone = same && self.unseen.is_some() && before.is_some_and(|before| before.index != seen.index);
        if backwards || !same || undone {
            if before.is_some() {
                self.unseen = None;
            }
            self.news = true;
            self.pause = Duration::ZERO;
            self.not_before = None;
            return false;
        }
        if took >= WAIT / 2 {
            // The query blocked, as it should.
            self.pause = Duration::ZERO;
        } else if seen.index.is_some() && before.is_some_and(|before| before.index != seen.index) {
            // Another node changed.
            self.pause = PACE;
        } else {
            self.pause = doubled(self.pause, BLIND_PACE);
        }
        self.not_before = Some(now + self.pause);
        answer.body.beginning.trim_ascii() == b"null"
    }

    fn failed(&mut self, error: &RegistryError) {
        self.seen = None;
        self.node = None;
        self.pause = match error {
            RegistryError::Unreachable(_) => doubled(self.pause, AWAY_PACE),
            RegistryError::Refused { .. } | RegistryError::Taken(_) => BLIND_PACE,
        };
        self.not_before = Some(Instant::now() + self.pause);
    }
}

fn doubled(pause: Duration, limit: Duration) -> Duration {
    (pause * 2).clamp(PACE, limit)
}

/// The name of the agent's node.
async fn own_node(client: &Client) -> Result<String, RegistryError> {
    let answer = client.get(&["agent", "self"], &[], DEADLINE, "agent:read").await?.json();
    match answer["Config"]["NodeName"].as_str() {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(RegistryError::server("the agent does not name its node")),
    }
}

async fn query(client: &Client, node: &str, index: Option<u64>) -> Result<Answer<Digest>, RegistryError> {
    let path = ["catalog", "node", node];
    match index {
        None => client.read(Question::get(&path), "node:read", Digest::default()).await,
        Some(index) => {
            let wait = format!("{}s", WAIT.as_secs());
            let query = [("index", &*index.to_string()), ("wait", &wait)];
            let question = Question::get(&path).query(&query).within(WAIT_DEADLINE);
            client.read(question, "node:read", Digest::default()).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::from_millis(3);

    fn answer(index: Option<u64>, body: &str) -> Answer<Digest> {
        let mut digest = Digest::default();
        body.bytes().for_each(|byte| digest.push(&[byte]));
        Answer::ok(index, digest)
    }

    /// A state that has reported its first answer.
    fn looked(index: Option<u64>) -> State {
        let mut state = State::default();
        state.answered(&answer(index, "a"), AT_ONCE);
        assert!(std::mem::take(&mut state.news), "nothing is known before the first look");
        state
    }

    #[tokio::test]
    async fn only_another_answer_is_news() {
        let mut state = looked(Some(5));
        state.answered(&answer(Some(9), "a"), AT_ONCE);
        assert!(!state.news, "another node changed");
        assert_eq!(state.seen.and_then(|seen| seen.index), Some(9));
        state.answered(&answer(Some(10), "b"), AT_ONCE);
        assert!(state.news);
    }

    #[tokio::test]
    async fn a_write_that_was_undone_before_it_was_seen_is_news() {
        let wrote = |state: &mut State| state.unseen = Some(Instant::now() + UNSEEN);
        // It was in the catalog, and is not any more.
        let mut state = looked(Some(5));
        wrote(&mut state);
        state.answered(&answer(Some(7), "a"), AT_ONCE);
        assert!(state.take_news(Instant::now()));
        // It never was there.
        let mut state = looked(Some(5));
        wrote(&mut state);
        state.answered(&answer(Some(5), "a"), AT_ONCE);
        assert!(!state.take_news(Instant::now()));
        assert!(state.take_news(Instant::now() + UNSEEN));
        assert!(!state.take_news(Instant::now() + UNSEEN), "once");
        // It is there.
        let mut state = looked(Some(5));
        wrote(&mut state);
        state.answered(&answer(Some(7), "b"), AT_ONCE);
        assert!(state.take_news(Instant::now()));
        assert!(!state.take_news(Instant::now() + UNSEEN));
        // The first answer shows the time before it.
        let mut state = State::default();
        wrote(&mut state);
        state.answered(&answer(Some(5), "a"), AT_ONCE);
        assert!(state.take_news(Instant::now()));
        assert!(state.take_news(Instant::now() + UNSEEN));
    }

    #[tokio::test]
    async fn an_index_that_goes_backwards_starts_over() {
        let mut state = looked(Some(9));
        state.answered(&answer(Some(5), "a"), AT_ONCE);
        assert!(state.news);
        assert_eq!(state.seen.and_then(|seen| seen.index), None);
    }

    #[tokio::test]
    async fn answers_that_tell_nothing_are_asked_for_ever_more_slowly() {
        for index in [None, Some(5)] {
            let mut state = looked(index);
            let mut pauses = Vec::new();
            for _ in 0..8 {
                state.answered(&answer(index, "a"), AT_ONCE);
                pauses.push(state.pause.as_secs());
            }
            assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
            state.answered(&answer(index, "a"), WAIT);
            assert_eq!(state.pause, Duration::ZERO, "it waited after all");
        }
    }

    #[tokio::test]
    async fn after_a_failure_anything_may_have_changed() {
        let mut state = looked(Some(5));
        for seconds in [1, 2, 4, 8, 10, 10] {
            state.failed(&RegistryError::Unreachable(String::new()));
            assert_eq!(state.pause.as_secs(), seconds);
        }
        state.answered(&answer(Some(5), "a"), AT_ONCE);
        assert!(state.news);
    }
}
