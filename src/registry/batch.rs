//! A batch of writes to a server that takes one at a time: several at once, and an end in time.

use std::sync::OnceLock;

use tokio::time::{Duration, Instant};

use super::error::RegistryError;
use super::throttle::Throttle;

/// How long a batch may start new writes; with the deadline of the last one, this limits the whole batch.
const DEADLINE: Duration = Duration::from_secs(60);

/// Makes `count` writes, several at once; returns the results in order. If the server `who` proves to be unreachable,
/// writes that have not started get the same error, so that a batch ends in about the time of one request.
pub(super) async fn all<F>(
    throttle: &Throttle,
    who: &str,
    count: usize,
    write: impl Fn(usize) -> F,
) -> Vec<Result<(), RegistryError>>
where
    F: Future<Output = Result<(), RegistryError>>,
{
    let (away, write) = (&OnceLock::new(), &write);
    let until = Instant::now() + DEADLINE;
    let attempt = |place| async move {
        if let Some(failure) = away.get() {
            return Err(RegistryError::clone(failure));
        }
        if Instant::now() >= until {
            return Err(RegistryError::Unreachable(format!("{who} is too slow for so many writes at once")));
        }
        let result = write(place).await;
        if let Err(failure @ RegistryError::Unreachable(_)) = &result {
            // Only the first is kept; the others say the same.
            let _ = away.set(failure.clone());
        }
        result
    };
    throttle.all(count, attempt).await
}
