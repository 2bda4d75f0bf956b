//! How many requests a server is sent at once: as many as make it faster, and no more.
//!
//! Nobody can say beforehand: an agent on this machine is kept busy by a few, one behind a slow link by many, and more
//! than a server can use only wait in it. So the number is doubled for as long as more are answered
//! in the same time, halved when that was no use, and tried again now and then.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Duration, Instant};

/// The fewest at once, and how many at first.
const LEAST: usize = 8;
/// The most at once. Each takes a connection.
const MOST: usize = 64;
/// More are worth while when they are answered so much faster.
const GAIN: f64 = 1.2;
/// How many rounds a number is kept for before it is tried to double it again, when that was no use.
const CALM: u32 = 32;
/// How many rounds it is measured for at least: one that was held up by something else makes the next look fast.
const MEASURED: u32 = 3;
/// A round that takes so long is measured well enough by itself.
const LONG: Duration = Duration::from_millis(5);

/// What was learned of one server; it outlasts a batch.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    limit: usize,
    /// The most answers a second with the present number so far.
    best: f64,
    /// The same with half as many, while it is found out whether the present number is of use.
    before: Option<f64>,
    /// How many rounds more the number is kept for.
    calm: u32,
}

impl Default for State {
    fn default() -> Self {
        Self { limit: LEAST, best: 0.0, before: None, calm: MEASURED }
    }
}

impl Throttle {
    /// Waits for so many requests, as many at once as the server bears; the results are in their order.
    /// Each is made when its turn has come: all of a batch at once would take megabytes.
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
            // Towards the end of a batch fewer are under way, which tells nothing.
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
    /// Takes in how many answers a second there were with the present number, and whether that was a long round.
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

    /// The number that is arrived at with a server that does so many at once, each in 5 ms.
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
        // While it is tried whether more would help, there are twice as many for a round.
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
