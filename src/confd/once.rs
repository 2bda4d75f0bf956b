//! `-onetime`: every resource once, in order. One that fails stops no other, and the exit code tells.

use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use super::place::Place;
use super::{fatal, lines};
use crate::render::once::once;
use crate::render::resource::Resource;

/// Renders everything once. A signal ends it, with the exit code that the shell gives for one.
pub(super) async fn run(place: &Arc<Place>) -> ExitCode {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return fatal("no signals can be received") };
    let code = tokio::select! {
        code = render(place) => return code,
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    info!("Captured {}. Exiting...", if code == 130 { "interrupt" } else { "terminated" });
    ExitCode::from(code)
}

async fn render(place: &Arc<Place>) -> ExitCode {
    let confdir = place.confdir();
    let found = match confdir.find() {
        Ok(found) => found,
        Err(failure) => return fatal(&format!("Cannot load template resources: {failure}")),
    };
    found.remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
    found.errors.iter().for_each(lines::broken);
    if found.resources.is_empty() && found.errors.is_empty() {
        lines::nothing();
    }
    let mut last = found.errors.last().map(|broken| format!("Cannot process template resource {broken}"));
    for resource in found.resources {
        if let Err(reason) = one(place, Arc::new(resource)).await {
            error!("{reason}");
            last = Some(reason);
        }
    }
    match last {
        None => ExitCode::SUCCESS,
        Some(reason) => fatal(&reason),
    }
}

async fn one(place: &Place, resource: Arc<Resource>) -> Result<(), String> {
    let source = place.source(&resource).map_err(|reason| {
        format!("Cannot process template resource {} - {reason}", super::place::shown(&resource.path))
    })?;
    let outcome = once(&place.renderer(&resource), &*source).await.map_err(|error| error.to_string())?;
    match outcome.refused {
        0 => Ok(()),
        count => Err(format!("{count} files of {} could not be made", super::place::shown(&resource.path))),
    }
}
