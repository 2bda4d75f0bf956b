//! Polling with a deadline, instead of sleeping and hoping.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(25);

/// Looks until `check` gives a value.
///
/// # Panics
/// When it has given none within `deadline`; the message says `what` was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    deadline: Duration,
    mut check: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks until `look` sees what is expected.
///
/// # Panics
/// When it has not within `deadline`; the message shows what was seen last.
pub async fn becomes<T: PartialEq + Debug, F: Future<Output = T>>(
    expected: T,
    deadline: Duration,
    mut look: impl FnMut() -> F,
) {
    let end = Instant::now() + deadline;
    loop {
        let seen = look().await;
        if seen == expected {
            return;
        }
        assert!(Instant::now() < end, "not within {deadline:?}:\nexpected {expected:?}\n    seen {seen:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks for as long as `period`, and fails as soon as `check` does not hold.
///
/// # Panics
/// When it does not hold.
pub async fn stays<F: Future<Output = bool>>(what: &str, period: Duration, mut check: impl FnMut() -> F) {
    let end = Instant::now() + period;
    while Instant::now() < end {
        assert!(check().await, "did not stay: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
