//! `-watch` and `-interval`: every resource is kept right, each by itself, until a signal.

use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::place::Place;
use super::settings::Mode;
use super::{fatal, lines};
use crate::render::keep::{Folder, Kept, Open, Pace};

/// Keeps everything right until SIGINT or SIGTERM; SIGHUP reads the resources again.
pub(super) async fn run(place: Arc<Place>) -> ExitCode {
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [Ok(interrupt), Ok(terminate), Ok(hangup)] = signals else { return fatal("no signals can be received") };
    let confdir = place.confdir();
    let found = match confdir.find() {
        Ok(found) => found,
        Err(failure) => return fatal(&format!("Cannot load template resources: {failure}")),
    };
    if found.resources.is_empty() && found.errors.is_empty() {
        lines::nothing();
    }
    let pace = match place.settings().mode {
        Mode::Interval(interval) => Pace::Every(interval),
        Mode::Watch | Mode::Onetime | Mode::CheckConfig => Pace::Watch,
    };
    let open: Open = Arc::new(move |resource| {
        Ok(Kept { renderer: place.renderer(resource), source: place.source(resource)?, pace })
    });
    let (again, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let folder = Folder::new(confdir, open, lines::notice);
    let running = tokio::spawn(folder.run(found, Arc::clone(&again), stop.clone()));
    let captured = until_stopped(interrupt, terminate, hangup, &again).await;
    info!("Captured {captured}. Exiting...");
    stop.cancel();
    // A run gets a moment to end; a reload in progress is left to itself, as confd does.
    let _ = tokio::time::timeout(LAST_RUNS, running).await;
    ExitCode::SUCCESS
}

/// How long runs in progress may take to end.
const LAST_RUNS: std::time::Duration = std::time::Duration::from_secs(1);

/// Waits for a signal to end, and says which it was in Go's words.
async fn until_stopped(
    mut interrupt: Signal,
    mut terminate: Signal,
    mut hangup: Signal,
    again: &Notify,
) -> &'static str {
    loop {
        tokio::select! {
            _ = interrupt.recv() => return "interrupt",
            _ = terminate.recv() => return "terminated",
            _ = hangup.recv() => {
                info!("Captured hangup. Reading template resources again");
                again.notify_one();
            }
        }
    }
}
