//! The pauses between attempts at an engine that fails.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first pause; jitter makes it up to twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause; jitter makes it up to twice as long, which is 10 s.
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that grow, without end.
#[derive(Debug)]
pub(super) struct Backoff(ExponentialBackoff);

impl Backoff {
    /// A fresh row of pauses, with its own jitter.
    pub(super) fn new() -> Self {
        Self(
            ExponentialBuilder::new()
                .with_min_delay(FIRST)
                .with_max_delay(LONGEST)
                .without_max_times()
                .with_jitter()
                .with_jitter_seed(fastrand::u64(..))
                .build(),
        )
    }

    /// The next pause.
    pub(super) fn pause(&mut self) -> Duration {
        self.0.next().unwrap_or(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_tenth_of_a_second_to_ten_seconds_and_never_end() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = std::iter::repeat_with(|| backoff.pause()).take(1000).collect();
        assert!(pauses[0] >= FIRST && pauses[0] <= 2 * FIRST, "{:?}", pauses[0]);
        assert!(pauses[999] >= LONGEST && pauses[999] <= 2 * LONGEST, "{:?}", pauses[999]);
    }
}
