//! Parses, runs, and turns the outcome into an exit code; nothing else.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use registrator::app::telling::{self, Tellers};
use registrator::app::{self, Control, Watching};
use registrator::ask;
use registrator::audit::Audit;
use registrator::cli::{self, Answer, Parsed};
use registrator::confd;
use registrator::config::{Config, Environment, LogLevel, Mode};
use registrator::event::{Event, Events};
use registrator::registry;
use registrator::status::{Listeners, look};
use registrator::{log, machine};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tracing::error;

/// How long a stop may take, whatever hangs.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// How long the last line of the log may take.
const LAST_WORD_DEADLINE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let environment = Arc::new(std::env::vars_os().collect());
    if let Some(code) = as_confd(&environment) {
        return code;
    }
    let config = match cli::parse(std::env::args_os().skip(1), &environment, &machine::name()) {
        Ok(Parsed::Run(config)) => *config,
        Ok(Parsed::Ask(question)) => return ask::run(&question),
        Err(answer) => return give(&answer),
    };
    log::start(&config.log);
    let tellers = match Tellers::prepare(&config) {
        Ok(tellers) => tellers,
        Err(reason) => {
            error!("cannot start: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let events = tellers.events();
    events.emit(Event::Starting { version: cli::VERSION });
    if let Some(ip) = &config.service.ip {
        events.emit(Event::ForcingIp { ip: ip.clone() });
    }
    for advice in cli::advice(&environment) {
        events.emit(advice);
    }
    run(config, events, tellers).unwrap_or_else(|error| {
        error!("cannot start: {error}");
        ExitCode::FAILURE
    })
}

/// Does what confd does, if the program is called by that name or with that command.
fn as_confd(environment: &Arc<Environment>) -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    if confd::is_called_by(&program) {
        return Some(confd::main(&program.to_string_lossy(), arguments, environment));
    }
    let command = arguments.next().is_some_and(|command| command == confd::NAME);
    command.then(|| confd::main(confd::NAME, arguments, environment))
}

/// Prints an answer. A failure to print it is ignored: there is nowhere to report it.
fn give(answer: &Answer) -> ExitCode {
    let _ = io::stdout().write_all(answer.stdout.as_bytes());
    let _ = io::stderr().write_all(answer.stderr.as_bytes());
    ExitCode::from(answer.code)
}

/// Runs the bridge on its own thread. With two threads, a quarter of the work would be waking each other. This thread
/// only listens for signals, so a signal ends the process even if the bridge is blocked, for example by a log that is
/// not read.
fn run(config: Config, events: Events, tellers: Tellers) -> io::Result<ExitCode> {
    let workers = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let outcome = Builder::new_current_thread().enable_all().build()?.block_on(supervise(
        config,
        events,
        tellers,
        workers.handle(),
    ));
    workers.shutdown_background();
    outcome
}

async fn supervise(config: Config, events: Events, tellers: Tellers, workers: &Handle) -> io::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let (tell_settings, known) = watch::channel(None);
    let control = Control::with_settings(known.clone());
    let listeners = tellers.listeners();
    let (ready, mut hub_ready) = oneshot::channel();
    let audit = tellers.audit();
    let mut tellers = Some(tellers);
    let watching = tellers.as_ref().map(|tellers| Watching { listeners: tellers.listeners(), ready, waits: true });
    let mut bridge = workers.spawn(app::run_asked(config.clone(), control.clone(), events.clone(), watching));
    let (mut deadline, mut hub, mut telling, mut rehearsal) = (None, None, None, None);
    let outcome = loop {
        tokio::select! {
            outcome = &mut bridge => break outcome,
            Ok(ready) = &mut hub_ready, if hub.is_none() => {
                let entered = workers.enter();
                if let Some(tellers) = tellers.take() {
                    telling = Some(tellers.begin(&ready, &config, &events, &control.stop)?);
                }
                drop(entered);
                if config.mode == Mode::DryRunOnce {
                    let (ready, stop) = (ready.clone(), control.stop.clone());
                    rehearsal = Some(workers.spawn(async move {
                        look::settle(&ready).await;
                        let unread = look::unread(&ready).await;
                        stop.cancel();
                        unread
                    }));
                }
                hub = Some(ready);
            }
            asked = signals.next() => match asked {
                Asked::Resync => {
                    read_again(&config, &known, &tell_settings, &events, &listeners);
                    control.resync.notify_one();
                    control.read_again.notify_one();
                    audit.iter().for_each(Audit::reopen);
                }
                Asked::State => match hub.clone() {
                    Some(hub) => {
                        let events = events.clone();
                        workers.spawn(async move { telling::write_state(&hub, &events).await });
                    }
                    None => events.emit(Event::State { text: "still starting".to_owned() }),
                },
                Asked::Stop(number) if deadline.is_some() => return Ok(ExitCode::from(128_u8.saturating_add(number))),
                Asked::Stop(number) => {
                    deadline = Some(Instant::now() + STOP_DEADLINE);
                    control.stop.cancel();
                    let events = events.clone();
                    workers.spawn(async move { events.emit(Event::Stopping { signal: number }) });
                }
            },
            () = until(deadline) => return Ok(fail(workers, format!("Not stopped within {STOP_DEADLINE:?}")).await),
        }
    };
    control.stop.cancel();
    if let Some(telling) = telling {
        telling.ended().await;
    }
    Ok(match outcome {
        Ok(Ok(())) => match rehearsal {
            None => ExitCode::SUCCESS,
            Some(rehearsal) => match rehearsal.await.unwrap_or_default().as_slice() {
                [] => ExitCode::SUCCESS,
                unread => fail(workers, format!("these registries could not be read: {}", unread.join(", "))).await,
            },
        },
        Ok(Err(error)) => fail(workers, error.to_string()).await,
        Err(panic) => fail(workers, format!("A fault in registrator itself, please report it: {panic}")).await,
    })
}

/// Reads the settings again (SIGHUP): what can count at once does, and of the rest is said that it counts after a restart.
fn read_again(
    config: &Config,
    known: &watch::Receiver<Option<Arc<Config>>>,
    settings: &watch::Sender<Option<Arc<Config>>>,
    events: &Events,
    listeners: &Listeners,
) {
    let environment = Arc::new(std::env::vars_os().collect());
    let parsed = cli::parse(std::env::args_os().skip(1), &environment, &machine::name());
    let read = parsed.map(Parsed::into_config);
    let read = read.map_err(|answer| answer.stderr.lines().next().unwrap_or_default().to_owned());
    // What would keep the program from starting again is said now.
    let read =
        read.and_then(|read| match read.registries.iter().find_map(|settings| registry::check(settings).err()) {
            None => Ok(read),
            Some(error) => Err(error.to_string()),
        });
    let read = match read {
        Ok(read) => read,
        Err(why) => {
            listeners.meter.reloaded(false);
            let text = format!("the settings were not read again, and stay as they were: {why}");
            return events.emit(Event::Advice { about: "settings", text });
        }
    };
    listeners.meter.reloaded(true);
    let before = known.borrow().clone();
    let changes = cli::changes(before.as_deref().unwrap_or(config), &read);
    if changes.is_empty() {
        return;
    }
    // That the log says more, or less, is itself said.
    let level = read.log.level;
    if matches!(level, LogLevel::Debug | LogLevel::Info) {
        log::set_level(level);
    }
    for change in &changes {
        events.emit(Event::SettingsRead { change: change.to_string() });
    }
    log::set_level(level);
    settings.send_replace(Some(Arc::new(read)));
}

/// Waits for the deadline, or for ever if there is none.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Logs the reason, waits a limited time for the log, and fails.
async fn fail(workers: &Handle, reason: String) -> ExitCode {
    let last_word = workers.spawn(async move { error!("{reason}") });
    let _ = tokio::time::timeout(LAST_WORD_DEADLINE, last_word).await;
    ExitCode::FAILURE
}

/// What a signal asks for.
enum Asked {
    /// To stop; with the signal's number.
    Stop(u8),
    /// To compare everything again.
    Resync,
    /// To write the state to the log.
    State,
}

/// The signals that we handle.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    state: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            state: signal(SignalKind::user_defined1())?,
        })
    }

    /// What the next signal asks for. Safe to cancel: no signal is lost.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            Some(()) = self.terminate.recv() => Asked::Stop(15),
            Some(()) = self.interrupt.recv() => Asked::Stop(2),
            Some(()) = self.hangup.recv() => Asked::Resync,
            Some(()) = self.state.recv() => Asked::State,
            // The system delivers no further signals.
            else => std::future::pending().await,
        }
    }
}
