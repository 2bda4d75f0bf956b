//! Pauses between attempts that grow while nothing happens. An attempt because something has changed comes at once, and
//! says nothing about how long the fault will last, so it does not make the pause longer.

use std::time::Duration;

use crate::backoff::Backoff;

/// Why something was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cause {
    /// Something has changed.
    #[default]
    Change,
    /// It had failed, and its pause was over.
    Retry,
}

/// The pauses of one thing.
#[derive(Debug)]
pub(super) struct Pauses {
    backoff: Backoff,
    current: Option<Duration>,
}

impl Pauses {
    /// Pauses from `first` to `longest`; jitter makes each up to twice as long.
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { backoff: Backoff::new(first, longest), current: None }
    }

    /// The pause after an attempt that failed.
    pub(super) fn failed(&mut self, cause: Cause) -> Duration {
        match (self.current, cause) {
            (Some(pause), Cause::Change) => pause,
            _ => *self.current.insert(self.backoff.pause()),
        }
    }

    /// It succeeded: the next failure begins again.
    pub(super) fn succeeded(&mut self) {
        if self.current.take().is_some() {
            self.backoff.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_retries_and_not_with_changes() {
        let second = Duration::from_secs(1);
        let mut pauses = Pauses::new(second, 60 * second);
        let first = pauses.failed(Cause::Change);
        assert!(first >= second && first <= 2 * second);
        for _ in 0..10 {
            assert_eq!(pauses.failed(Cause::Change), first);
        }
        let longest = (0..20).map(|_| pauses.failed(Cause::Retry)).last().unwrap();
        assert!(longest >= 60 * second);
        pauses.succeeded();
        assert!(pauses.failed(Cause::Retry) <= 2 * second);
    }
}
