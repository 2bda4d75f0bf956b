//! The first contact with the engine. `-retry-attempts` and `-retry-interval` apply as for a registry.

use tokio::time::sleep;

use super::client::Docker;
use super::errors::ConnectError;
use crate::config::{DockerConfig, Retry};
use crate::event::{Event, Events};

/// Finds the engine and connects to it; retries as often as the settings allow.
///
/// # Errors
/// When the last attempt failed, or at once when waiting cannot help ([`ConnectError::is_final`]).
pub async fn reach(config: &DockerConfig, retry: Retry, events: &Events) -> Result<Docker, ConnectError> {
    let attempts = retry.attempts.map_or_else(|| "-1".to_owned(), |attempts| attempts.to_string());
    let mut attempt = 0_u64;
    loop {
        events.emit(Event::ConnectingToDocker { attempt, attempts: attempts.clone() });
        // Without DOCKER_HOST, each attempt uses the first usual socket that exists by then.
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
