//! One resource, once: `-onetime`.

use std::time::Duration;

use tokio::time::sleep;

use super::run::{Belief, Fetched, Outcome, Renderer, RunError};
use super::source::Source;
use super::step::Step;

/// The pause before a source with suspiciously few services is read again.
const RECHECK_AFTER: Duration = Duration::from_secs(2);

/// Brings the files of a resource up to date, and tells their program. A reload is tried once; one that is undone, now
/// or by a former process, is tried by the next run.
///
/// # Errors
/// When something failed. After a failed reload, the files are new nevertheless.
pub async fn once(renderer: &Renderer, source: &dyn Source) -> Result<Outcome, RunError> {
    let mut fetched = renderer.fetch(source).await?;
    let mut outcome = render(renderer, &fetched, doubt(renderer, &fetched)).await?;
    if outcome.held {
        let (services, least) = (fetched.services, least(renderer));
        renderer.steps().tell(&Step::Guarded { dest: renderer.subject(), services, least, pause: RECHECK_AFTER });
        sleep(RECHECK_AFTER).await;
        source.recheck().await;
        fetched = renderer.fetch(source).await?;
        outcome = render(renderer, &fetched, Belief::Sure).await?;
    }
    if outcome.reload {
        let told = renderer.reload().await;
        told.map_err(|error| RunError::NotTold { dest: renderer.subject(), error: Box::new(error) })?;
        renderer.settle().await;
    }
    for dest in &outcome.changed {
        renderer.steps().tell(&Step::Updated { dest: dest.clone() });
    }
    Ok(outcome)
}

async fn render(renderer: &Renderer, fetched: &Fetched, belief: Belief) -> Result<Outcome, RunError> {
    renderer.render(fetched.data.clone(), belief).await
}

/// The fewest services with which a reading counts at once.
pub(super) fn least(renderer: &Renderer) -> usize {
    renderer.resource().min_services.unwrap_or(1)
}

/// Whether a reading has suspiciously few services: fewer than `min_services`, where the source may be incomplete or the
/// resource says a number itself.
pub(super) fn doubt(renderer: &Renderer, fetched: &Fetched) -> Belief {
    use super::source::Trust;
    let asked = fetched.trust == Trust::Partial || renderer.resource().min_services.is_some();
    if asked && fetched.services < least(renderer) { Belief::Doubted } else { Belief::Sure }
}
