//! How many requests are sent to a server at once: as many as increase its throughput, and no more.
//!
//! The right number is unknown in advance: a few requests keep a local agent busy, a server behind a slow network needs
//! many, and any above its capacity only wait. So the number is doubled while that increases the throughput, halved
//! when it did not, and doubled again now and then as a trial.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Duration, Instant};

/// The minimum number, which is also the first.
const LEAST: usize = 8;
/// The maximum number. Each request needs a connection.
const MOST: usize = 64;
/// Doubling is worth it if the throughput grows by this factor.
const GAIN: f64 = 1.2;
/// For how many rounds a number is kept after a doubling that did not help.
const CALM: u32 = 32;
/// The minimum number of rounds of a measurement: a single round may be delayed by something else, and make the next
/// one look fast.
const MEASURED: u32 = 3;
/// A round of this length is a sufficient measurement by itself.
const LONG: Duration = Duration::from_millis(5);

/// What was learned about one server; kept between batches.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    limit: usize,
    /// The best throughput with the present number, in answers per second.
    best: f64,
    /// The best throughput with half the number, while the present number is on trial.
    before: Option<f64>,
    /// For how many more rounds the number is kept.
    calm: u32,
}

impl Default for State {
    fn default() -> Self {
        Self { limit: LEAST, best: 0.0, before: None, calm: MEASURED }
    }
}

impl Throttle {
    /// Waits for all requests, with as many at once as the server can use. Results are in the order of the requests.
    /// Each request is created when it is sent: all of a batch at once would take megabytes.
    pub(super) async fn all<F: Future>(&self, count: usize, request: impl Fn(usize) -> F) -> Vec<F::Output> {
        let mut waiting = 0..count;
        let mut flying = FuturesUnordered::new();
        let mut done = Vec::new();
        let (mut answers, mut since) = (0, Instant::now());
        loop {
            let limit = self.limit();
            while flying.len() < limit
                && let Some(place) = waiting.next()
            {
                let request = request(place);
                flying.push(async move { (place, request.await) });
            }
            let is_full = flying.len() == limit;
            let Some(answer) = flying.next().await else { break };
            done.push(answer);
            answers += 1;
            // At the end of a batch fewer requests are in progress, so that part is not measured.
            if is_full && answers >= 2 * limit {
                self.learn(answers, since.elapsed());
                (answers, since) = (0, Instant::now());
            }
        }
        done.sort_unstable_by_key(|(place, _)| *place);
        done.into_iter().map(|(_, answer)| answer).collect()
    }

    fn limit(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).limit
    }

    fn learn(&self, answers: usize, took: Duration) {
        let rate = answers as f64 / took.as_secs_f64().max(1e-6);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).learn(rate, took >= LONG);
    }
}

impl State {
    /// Takes the throughput with the present number, and whether the round was long.
    fn learn(&mut self, rate: f64, long: bool) {
        match self.before.take() {
            Some(before) if rate < before * GAIN => {
                self.limit /= 2;
                self.best = before;
                self.calm = CALM;
                return;
            }
            Some(_) => {
                self.best = rate;
                self.calm = MEASURED;
            }
            None => self.best = self.best.max(rate),
        }
        self.calm = if long && self.calm <= MEASURED { 0 } else { self.calm.saturating_sub(1) };
        if self.calm == 0 && self.limit < MOST {
            self.limit *= 2;
            self.before = Some(self.best);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;
    use tokio::time::sleep;

    use super::*;

    /// The number found for a server that handles this many at once, each in 5 ms.
    async fn learned(server: usize) -> usize {
        let (throttle, seats) = (Throttle::default(), Semaphore::new(server));
        let request = |_| async {
            let _seat = seats.acquire().await.unwrap();
            sleep(Duration::from_millis(5)).await;
        };
        throttle.all(4_000, request).await;
        throttle.limit()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_sent_as_many_as_it_can_use() {
        // During a trial, twice as many are used for a round.
        for (server, expected) in [(1, LEAST), (8, LEAST), (16, 16), (33, 32), (1_000, MOST)] {
            let found = learned(server).await;
            assert!(found == expected || found == 2 * expected, "{found} for one that does {server} at once");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn results_are_in_order_and_never_more_than_the_most_are_under_way() {
        let (now, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let request = |number| {
            let (now, peak) = (&now, &peak);
            async move {
                peak.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                sleep(Duration::from_millis(number as u64 * 7 % 13)).await;
                now.fetch_sub(1, Ordering::Relaxed);
                number
            }
        };
        assert!(Throttle::default().all(3_000, request).await.into_iter().eq(0..3_000));
        assert!(peak.load(Ordering::Relaxed) <= MOST);
    }

    #[test]
    fn a_server_that_grows_slow_is_sent_fewer_only_where_more_were_no_use() {
        let mut state = State::default();
        let rates = [(90.0, 8), (100.0, 8), (20.0, 16), (190.0, 16), (180.0, 16), (60.0, 32), (200.0, 16), (50.0, 16)];
        for (rate, limit) in rates {
            state.learn(rate, false);
            assert_eq!(state.limit, limit, "after {rate}");
        }
        let mut state = State::default();
        for (rate, limit) in [(100.0, 16), (190.0, 32), (200.0, 16), (50.0, 16)] {
            state.learn(rate, true);
            assert_eq!(state.limit, limit, "after a long round with {rate}");
        }
    }
}
