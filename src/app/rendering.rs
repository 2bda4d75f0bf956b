//! `-render`: files that are kept equal to what runs, beside the registries.
//!
//! What a host tells keepers is told here as well ([`Running`]), so files follow events, and nothing is polled. What
//! happens becomes events.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Mode, RenderConfig};
use crate::desired::Command;
use crate::docker::Docker;
use crate::event::{Event, Events, FileEvent};
use crate::render::find::{Confdir, FindError, Found};
use crate::render::keep::{Folder, Kept, Noticed, Open, Pace};
use crate::render::resource::{Signal, SignalTo};
use crate::render::run::{Prefix, Renderer, Rules, Signaller};
use crate::render::signal;
use crate::render::source::Running;
use crate::render::step::{How, Step, Steps};

/// Files that are to be kept right, as their folder says.
pub(super) struct Rendering {
    config: RenderConfig,
    confdir: Confdir,
    found: Found,
}

/// What rendering needs of a run.
pub(super) struct Surroundings<'r> {
    /// The settings.
    pub(super) config: &'r Config,
    /// The engine, for signals.
    pub(super) docker: &'r Docker,
    /// Notified: list the containers again.
    pub(super) relist: &'r Arc<Notify>,
    /// Notified: read the resources again.
    pub(super) read_again: &'r Arc<Notify>,
    /// Where events go.
    pub(super) events: &'r Events,
}

impl Rendering {
    /// Reads the folder of `-render`; `None` if there is none.
    ///
    /// # Errors
    /// When the folder is not there. A bad resource is no error: it is told when rendering begins.
    pub(super) fn open(config: &Config) -> Result<Option<Self>, FindError> {
        let Some(config) = config.render.clone() else { return Ok(None) };
        let confdir = Confdir::new(&config.folder);
        let found = confdir.find()?;
        Ok(Some(Self { config, confdir, found }))
    }

    /// Begins to render. Returns where a host tells what should exist.
    pub(super) fn begin(
        self,
        surroundings: &Surroundings<'_>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> mpsc::UnboundedSender<Command> {
        let Surroundings { config, docker, relist, read_again, events } = surroundings;
        let running = Running::new(&config.service.hostname, Arc::clone(relist));
        let (sender, receiver) = mpsc::unbounded_channel();
        tasks.spawn(running.clone().follow(receiver));
        let signaller = EngineSignaller { docker: Docker::clone(docker) };
        let rules = Arc::new(Rules {
            templates: self.confdir.templates(),
            prefix: Prefix::default(),
            noop: config.mode != Mode::Write,
            keep_stage_file: false,
            sync_only: false,
            diff: None,
            signaller: self.config.allow_signals.then(|| Arc::new(signaller) as Arc<dyn Signaller>),
        });
        let told = Events::clone(events);
        let open: Open = Arc::new(move |resource| {
            if resource.backend.is_some() {
                return Err(
                    "-render renders from what runs here, and [backend] names another source: use registrator \
                            confd for it, or remove [backend]"
                        .to_owned(),
                );
            }
            let subject: Arc<str> = resource.subject().display().to_string().into();
            let events = told.clone();
            let steps = Steps::new(move |step| {
                if let Some(what) = event_of(step) {
                    events.emit(Event::File { dest: Arc::clone(&subject), what });
                }
            });
            let renderer = Renderer::new(Arc::clone(resource), Arc::clone(&rules), steps);
            Ok(Kept { renderer, source: Arc::new(running.clone()), pace: Pace::Watch })
        });
        let told = Events::clone(events);
        let folder = Folder::new(self.confdir, open, move |noticed| notice(&told, noticed));
        tasks.spawn(folder.run(self.found, Arc::clone(read_again), stop.clone()));
        sender
    }
}

/// What is noticed about the folder, as an event.
fn notice(events: &Events, noticed: &Noticed) {
    let text = match noticed {
        Noticed::Error(error) => format!("-render: {error}"),
        Noticed::Remark(remark) => format!("-render: {remark}"),
        Noticed::Unreadable(error) => format!("-render: {error}; what was read before goes on"),
        Noticed::ReadAgain { begun, ended } => {
            let change = format!("-render: resources were read again: {begun} new or changed, {ended} gone or changed");
            return events.emit(Event::SettingsRead { change });
        }
    };
    events.emit(Event::Advice { about: "render", text });
}

/// What is told of a step; `None` for what only a debugger wants.
fn event_of(step: &Step) -> Option<FileEvent> {
    let shown = |path: &std::path::Path| path.display().to_string();
    Some(match step {
        Step::Right { unchanged, .. } => FileEvent::Right { unchanged: *unchanged },
        Step::Gone { .. } => FileEvent::Gone,
        Step::Noop { dest, differs: true } => FileEvent::Would { path: shown(dest) },
        Step::Replaced { dest, how } => FileEvent::Written { path: shown(dest), in_place: *how == How::InPlace },
        Step::Removed { dest } => FileEvent::Removed { path: shown(dest) },
        Step::Ran { command, output, well, .. } => {
            FileEvent::Ran { command: command.clone(), output: output.clone(), well: *well }
        }
        Step::Failed { why, pause, again, .. } => FileEvent::Failed { why: why.clone(), pause: *pause, again: *again },
        Step::WatchFailed { why, pause, .. } => {
            FileEvent::Failed { why: why.clone(), pause: Some(*pause), again: false }
        }
        Step::Reloaded { failures, .. } => FileEvent::Reloaded { failures: *failures },
        Step::ReloadFailed { why, pause, .. } => FileEvent::ReloadFailed { why: why.clone(), pause: *pause },
        Step::ReloadThrottled { pause, .. } => FileEvent::Throttled { pause: *pause },
        Step::Guarded { services, least, pause, .. } => {
            FileEvent::Guarded { services: *services, least: *least, pause: *pause }
        }
        Step::Refused { why } => FileEvent::Refused { why: why.clone() },
        Step::Cleaned { path } => FileEvent::Cleaned { path: shown(path) },
        Step::Retrieving { .. }
        | Step::Retrieved { .. }
        | Step::UsingTemplate { .. }
        | Step::Comparing { .. }
        | Step::InSync { .. }
        | Step::Differs { .. }
        | Step::Noop { differs: false, .. }
        | Step::Diff { .. }
        | Step::OutOfSync { .. }
        | Step::Running { .. }
        | Step::Kept { .. }
        | Step::Updated { .. } => return None,
    })
}

/// Sends signals: to containers through the engine, to processes itself.
pub(super) struct EngineSignaller {
    /// The engine.
    pub(super) docker: Docker,
}

#[async_trait]
impl Signaller for EngineSignaller {
    async fn send(&self, signal: &Signal) -> Result<(), String> {
        match &signal.to {
            SignalTo::Container(name) => {
                let sent = self.docker.signal(name, &signal.name).await;
                sent.map_err(|error| format!("cannot send {} to the container {name:?}: {error}", signal.name))
            }
            SignalTo::Process(path) => signal::to_process(path, &signal.name),
        }
    }
}
