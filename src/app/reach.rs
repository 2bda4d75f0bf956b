//! The first contact with the registries.
//!
//! The start waits for one registry. The first that answers is served at once. The others are tried as often as
//! `-retry-attempts` says; after that, their keepers go on trying. The start fails only if no registry could be
//! reached.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::config::BridgeConfig;
use crate::event::{Event, Events};
use crate::registry::{Opened, Registry, RegistryError};

/// Waits until one registry is reached. The returned task goes on trying the others, and reports each on which it gives
/// up.
///
/// # Errors
/// When none is reached in all attempts: the error of each, in no order.
pub(super) async fn one_of(
    registries: &[Opened],
    config: &BridgeConfig,
    events: &Events,
) -> Result<AbortOnDropHandle<()>, Vec<RegistryError>> {
    let mut reaching = JoinSet::new();
    for Opened { name, registry, .. } in registries {
        let (name, registry) = (Arc::clone(name), Arc::clone(registry));
        let (config, events) = (config.clone(), events.clone());
        reaching.spawn(async move {
            let reached = reach(&name, registry.as_ref(), &config, &events).await;
            reached.map_err(|error| (name, error))
        });
    }
    let mut failed: Vec<(Arc<str>, RegistryError)> = Vec::new();
    while let Some(ended) = reaching.join_next().await {
        match ended {
            Ok(Ok(())) => {
                for (name, error) in failed {
                    report_unreachable(name, &error, events);
                }
                return Ok(AbortOnDropHandle::new(tokio::spawn(report_the_rest(reaching, events.clone()))));
            }
            Ok(Err(failure)) => failed.push(failure),
            // A task that was aborted has no result.
            Err(_) => {}
        }
    }
    Err(failed.into_iter().map(|(_, error)| error).collect())
}

/// Reaches a registry for the first time, as often as `-retry-attempts` allows.
async fn reach(
    name: &Arc<str>,
    registry: &dyn Registry,
    config: &BridgeConfig,
    events: &Events,
) -> Result<(), RegistryError> {
    let attempts = config.retry_attempts.map_or_else(|| "-1".to_owned(), |attempts| attempts.to_string());
    for attempt in 0_u64.. {
        events.emit(Event::Connecting { registry: Arc::clone(name), attempt, attempts: attempts.clone() });
        let Err(error) = registry.ping().await else { break };
        if config.retry_attempts.is_some_and(|attempts| attempt >= u64::from(attempts)) {
            return Err(error);
        }
        let (registry, why, pause) = (Arc::clone(name), error.to_string(), config.retry_interval);
        events.emit(Event::ConnectFailed { registry, why, pause });
        sleep(config.retry_interval).await;
    }
    Ok(())
}

async fn report_the_rest(mut reaching: JoinSet<Result<(), (Arc<str>, RegistryError)>>, events: Events) {
    while let Some(ended) = reaching.join_next().await {
        if let Ok(Err((name, error))) = ended {
            report_unreachable(name, &error, &events);
        }
    }
}

fn report_unreachable(registry: Arc<str>, error: &RegistryError, events: &Events) {
    events.emit(Event::StartingWithout { registry, why: error.to_string() });
}
