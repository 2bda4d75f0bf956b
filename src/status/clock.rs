//! The time of day, as views and metrics give it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970, UTC.
#[must_use]
pub fn seconds() -> u64 {
    since_1970().as_secs()
}

/// The same with a fraction, as Prometheus has times.
pub(super) fn fractional() -> f64 {
    since_1970().as_secs_f64()
}

/// Nanoseconds since 1970, UTC.
pub(super) fn nanoseconds() -> u64 {
    u64::try_from(since_1970().as_nanos()).unwrap_or_default()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
