//! Keeps the files of a whole configuration folder right: a keeper for each resource, and other keepers when the
//! resources change.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use super::stamps::Stamps;
use super::watching::Pace;
use crate::render::find::{Confdir, FindError, Found};
use crate::render::resource::{Remark, Resource};
use crate::render::run::Renderer;
use crate::render::source::Source;
use crate::render::step::{Step, Steps};

/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What keeps the files of one resource right.
pub struct Kept {
    /// Renders it.
    pub renderer: Renderer,
    /// Where it reads.
    pub source: Arc<dyn Source>,
    /// How it learns of changes.
    pub pace: Pace,
}

/// Chooses what keeps a resource's files right; fails in one line, as for a back end that is not known.
pub type Open = Arc<dyn Fn(&Arc<Resource>) -> Result<Kept, String> + Send + Sync>;

/// What is noticed about the folder itself.
#[derive(Debug)]
pub enum Noticed {
    /// A file cannot be used, or its resource cannot be kept right.
    Error(Remark),
    /// Something is probably a mistake.
    Remark(Remark),
    /// There is no folder to read; what was read before goes on.
    Unreadable(FindError),
    /// The resources were read again: so many are new, were changed and are gone.
    ReadAgain {
        /// How many are new or changed.
        begun: usize,
        /// How many are gone or changed.
        ended: usize,
    },
}

/// A configuration folder whose files are kept right.
pub struct Folder {
    confdir: Confdir,
    open: Open,
    notice: Arc<dyn Fn(&Noticed) + Send + Sync>,
    running: Vec<Running>,
    /// What was told already.
    told: HashSet<String>,
}

/// A keeper at work.
struct Running {
    resource: Arc<Resource>,
    steps: Steps,
    again: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Folder {
    /// For this folder.
    #[must_use]
    pub fn new(confdir: Confdir, open: Open, notice: impl Fn(&Noticed) + Send + Sync + 'static) -> Self {
        Self { confdir, open, notice: Arc::new(notice), running: Vec::new(), told: HashSet::new() }
    }

    /// Keeps everything right until it is told to stop. `found`: what was read of the folder just now. `read_again`:
    /// notified when a person wants everything to be read again (SIGHUP).
    pub async fn run(mut self, found: Found, read_again: Arc<Notify>, stop: CancellationToken) {
        self.adopt(found).await;
        let mut seen = self.stamps().await;
        loop {
            let asked = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = read_again.notified() => true,
                () = sleep(LOOK_EVERY) => false,
            };
            let now = self.stamps().await;
            if asked {
                self.told.clear();
            } else if now == seen {
                continue;
            }
            self.read().await;
            self.running.iter().for_each(|running| running.again.notify_one());
            // A new resource's template may be elsewhere.
            seen = if now == seen { now } else { self.stamps().await };
        }
        self.running.iter().for_each(|running| running.stop.cancel());
        for Running { task, .. } in self.running {
            let _ = task.await;
        }
    }

    async fn stamps(&self) -> Stamps {
        let confdir = self.confdir.clone();
        let resources: Vec<_> = self.running.iter().map(|running| Arc::clone(&running.resource)).collect();
        let look = move || Stamps::look(&confdir, resources.iter().map(|resource| &**resource));
        spawn_blocking(look).await.unwrap_or_default()
    }

    /// Reads the resources again. What cannot be read is left as it was.
    async fn read(&mut self) {
        let confdir = self.confdir.clone();
        match spawn_blocking(move || confdir.find()).await {
            Ok(Ok(found)) => {
                let (begun, ended) = self.adopt(found).await;
                if begun + ended > 0 {
                    (self.notice)(&Noticed::ReadAgain { begun, ended });
                }
            }
            Ok(Err(error)) => {
                if self.told.insert(error.to_string()) {
                    (self.notice)(&Noticed::Unreadable(error));
                }
            }
            Err(_) => {}
        }
    }

    /// Begins what is new or changed, and ends what is gone or changed. A file that cannot be used now leaves what it
    /// said before at work.
    async fn adopt(&mut self, found: Found) -> (usize, usize) {
        let broken: HashSet<PathBuf> = found.errors.iter().map(|error| error.path.clone()).collect();
        self.tell(&found);
        let wanted: Vec<Arc<Resource>> = found.resources.into_iter().map(Arc::new).collect();
        let stays = |running: &Running| wanted.contains(&running.resource) || broken.contains(&running.resource.path);
        let (kept, ended): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running).into_iter().partition(stays);
        self.running = kept;
        let count = ended.len();
        ended.iter().for_each(|running| running.stop.cancel());
        for Running { resource, steps, task, .. } in ended {
            let _ = task.await;
            steps.tell(&Step::Gone { dest: resource.subject() });
        }
        let mut begun = 0;
        for resource in wanted {
            if self.running.iter().all(|running| running.resource != resource) {
                begun += usize::from(self.begin(resource));
            }
        }
        (begun, count)
    }

    fn begin(&mut self, resource: Arc<Resource>) -> bool {
        match (self.open)(&resource) {
            Ok(Kept { renderer, source, pace }) => {
                let steps = renderer.steps().clone();
                let (again, stop) = (Arc::new(Notify::new()), CancellationToken::new());
                let keeper = Keeper::new(renderer, source, pace, Arc::clone(&again));
                let task = tokio::spawn(keeper.run(stop.clone()));
                self.running.push(Running { resource, steps, again, stop, task });
                true
            }
            Err(reason) => {
                self.error(Remark { path: resource.path.clone(), place: None, reason });
                false
            }
        }
    }

    fn tell(&mut self, found: &Found) {
        for error in &found.errors {
            self.error(error.clone());
        }
        for remark in &found.remarks {
            if self.told.insert(remark.to_string()) {
                (self.notice)(&Noticed::Remark(remark.clone()));
            }
        }
    }

    fn error(&mut self, error: Remark) {
        if self.told.insert(error.to_string()) {
            (self.notice)(&Noticed::Error(error));
        }
    }
}
