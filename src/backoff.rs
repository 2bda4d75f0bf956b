//! Pauses between attempts at an operation that fails. They grow up to a limit and never end.
//!
//! The jitter is seeded differently in each process, so that many instances do not retry at the same moment.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Pauses that double, without end.
#[derive(Debug)]
pub(crate) struct Backoff {
    pauses: ExponentialBackoff,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses from `first` to `longest`; jitter makes each up to twice as long.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(longest)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(fastrand::u64(..))
            .build();
        Self { pauses, first, longest }
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(self.longest)
    }

    /// Starts again with the first pause, because an attempt succeeded.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.first, self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_the_first_to_the_longest_and_never_end() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(first, longest);
        for _ in 0..2 {
            let pauses: Vec<_> = std::iter::repeat_with(|| backoff.pause()).take(1000).collect();
            assert!(pauses[0] >= first && pauses[0] <= 2 * first, "{:?}", pauses[0]);
            assert!(pauses[999] >= longest && pauses[999] <= 2 * longest, "{:?}", pauses[999]);
            backoff.reset();
        }
    }
}
