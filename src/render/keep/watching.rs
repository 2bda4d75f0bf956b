//! The changes of a source, for a keeper: one message for any number of changes that were not yet looked at.

use std::future::pending;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;
use crate::render::source::{Source, SourceError, Wanted, Watch};

/// The first pause after a watch has failed; confd's own.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest. Short, so that a source that is back is noticed soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How a keeper learns that something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The source tells (`-watch`).
    Watch,
    /// It looks after each interval (`-interval`).
    Every(Duration),
}

/// What is heard of a source.
#[derive(Debug)]
pub(super) enum Heard {
    /// Something may have changed.
    Changed,
    /// The watch failed, and is tried again after this pause.
    Failed(SourceError, Duration),
}

/// Listens to a source on a task of its own, so that a watch is never cut off in the middle.
#[derive(Debug)]
pub(super) struct Watching {
    heard: mpsc::Receiver<Heard>,
    _task: AbortOnDropHandle<()>,
}

impl Watching {
    pub(super) fn begin(source: &dyn Source, wanted: &Wanted, pace: Pace) -> Self {
        let (tell, heard) = mpsc::channel(1);
        let task = match pace {
            Pace::Watch => tokio::spawn(listen(source.watch(wanted), tell)),
            Pace::Every(interval) => tokio::spawn(tick(interval, tell)),
        };
        Self { heard, _task: AbortOnDropHandle::new(task) }
    }

    /// What is heard next. Safe to cancel.
    pub(super) async fn next(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => pending().await,
        }
    }
}

async fn listen(mut watch: Box<dyn Watch>, tell: mpsc::Sender<Heard>) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        match watch.changed().await {
            Ok(()) => {
                backoff.reset();
                if tell.send(Heard::Changed).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                let pause = backoff.pause();
                if tell.send(Heard::Failed(error, pause)).await.is_err() {
                    return;
                }
                sleep(pause).await;
            }
        }
    }
}

/// Says every `interval` that something may have changed, the first time at once. As in confd, the interval counts from
/// when it was looked at.
async fn tick(interval: Duration, tell: mpsc::Sender<Heard>) {
    while let Ok(place) = tell.reserve().await {
        place.send(Heard::Changed);
        sleep_until(Instant::now() + interval).await;
    }
}
