//! The first contact with the engine: `-retry-attempts` and `-retry-interval` hold for it as for a registry.

use tokio::time::sleep;

use super::client::Docker;
use super::errors::ConnectError;
use crate::config::{DockerConfig, Retry};
use crate::event::{Event, Events};

/// Finds the engine and connects to it; where it is away, tries again as often as is allowed.
///
/// # Errors
/// When it is still away after the last attempt, and at once when waiting cannot help ([`ConnectError::is_final`]).
pub async fn reach(config: &DockerConfig, retry: Retry, events: &Events) -> Result<Docker, ConnectError> {
    let attempts = retry.attempts.map_or_else(|| "-1".to_owned(), |attempts| attempts.to_string());
    let mut attempt = 0_u64;
    loop {
        events.emit(Event::ConnectingToDocker { attempt, attempts: attempts.clone() });
        // Without DOCKER_HOST, each time the first of the usual sockets that is there by now.
        let error = match Docker::connect(config).await {
            Ok(docker) => return Ok(docker),
            Err(error) => error,
        };
        if error.is_final() || retry.attempts.is_some_and(|attempts| attempt >= u64::from(attempts)) {
            return Err(error);
        }
        events.emit(Event::DockerAway { why: error.to_string(), pause: retry.interval });
        sleep(retry.interval).await;
        attempt += 1;
    }
}
