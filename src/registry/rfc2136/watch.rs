//! Hears of changes by external writers: DNS has no watch, but a zone's serial number changes with each update.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant, sleep_until};

/// How often the serial number is asked for.
const PACE: Duration = Duration::from_secs(5);

/// What is known of the serial number.
#[derive(Default)]
pub(super) struct Watch(Mutex<State>);

#[derive(Default)]
struct State {
    /// Our own updates since the serial number was last asked for.
    ours: u32,
    /// The last serial number.
    serial: Option<u32>,
    /// When to ask next. It stands when a wait is cancelled.
    next: Option<Instant>,
    /// The server did not answer, and may have lost what it held.
    was_away: bool,
}

impl State {
    /// Takes a serial number, and how many updates of ours were made since the last one; whether anything else changed.
    fn learn(&mut self, serial: Option<u32>, ours: u32) -> bool {
        let Some(serial) = serial else {
            self.was_away = true;
            return false;
        };
        let before = self.serial.replace(serial);
        let was_away = std::mem::take(&mut self.was_away);
        // A server counts one for each update that changes something, or goes by the clock.
        was_away || before.is_some_and(|before| serial.wrapping_sub(before) > ours)
    }
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an update of ours.
    pub(super) fn updated(&self) {
        self.state().ours += 1;
    }

    /// Notes that the zone was read with this serial number: earlier changes are known.
    pub(super) fn seen(&self, serial: u32) {
        let mut state = self.state();
        (state.serial, state.ours, state.was_away) = (Some(serial), 0, false);
    }

    /// Returns when an external writer may have changed the zone. `serial` asks for the serial number; `None` when
    /// nobody answers. Safe to cancel.
    pub(super) async fn changed<F: Future<Output = Option<u32>>>(&self, serial: impl Fn() -> F) {
        loop {
            let next = *self.state().next.get_or_insert_with(|| Instant::now() + PACE);
            sleep_until(next).await;
            let ours = self.state().ours;
            let found = serial().await;
            let mut state = self.state();
            state.next = Some(Instant::now() + PACE);
            // Those since then are for the next time.
            state.ours = state.ours.saturating_sub(ours);
            if state.learn(found, ours) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn only_what_others_did_is_a_change() {
        let mut state = State::default();
        for (serial, ours, is_change) in [
            (Some(7), 0, false),
            (Some(7), 0, false),
            (Some(10), 3, false),
            (Some(11), 3, false),
            (Some(13), 1, true),
            (Some(13), 0, false),
            // It starts again without its data.
            (Some(1), 0, true),
            // It was away, and might have.
            (None, 0, false),
            (None, 0, false),
            (Some(1), 0, true),
            (Some(1), 0, false),
            (Some(u32::MAX), 0, true),
            (Some(1), 2, false),
        ] {
            assert_eq!(state.learn(serial, ours), is_change, "{serial:?} after {ours} of ours");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_changed_since_a_reading_is_told_of_and_what_was_read_is_not() {
        let watch = Watch::default();
        let is_told =
            async |serial| tokio::time::timeout(PACE * 2, watch.changed(|| async { Some(serial) })).await.is_ok();
        watch.seen(7);
        assert!(!is_told(7).await);
        watch.seen(9);
        assert!(!is_told(9).await);
        watch.updated();
        assert!(!is_told(10).await);
        assert!(is_told(1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_goes_on_where_it_was() {
        let watch = Watch::default();
        let asked = AtomicU32::new(0);
        let serial = || async { Some(asked.fetch_add(1, Ordering::Relaxed) * 5) };
        let began = Instant::now();
        let mut waits = 0;
        while tokio::time::timeout(Duration::from_millis(700), watch.changed(serial)).await.is_err() {
            waits += 1;
            assert!(waits < 100, "nobody tells of it");
        }
        assert!(began.elapsed() <= PACE * 2 + Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
