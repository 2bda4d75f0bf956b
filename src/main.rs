//! Parses, runs, and turns the outcome into an exit code; nothing else.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use registrator::app::{self, Control};
use registrator::ask;
use registrator::cli::{self, Answer, Parsed};
use registrator::config::Config;
use registrator::event::{Event, Events};
use registrator::{log, machine};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tracing::error;

/// How long a stop may take, whatever hangs.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// How long the last line of the log may take.
const LAST_WORD_DEADLINE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let environment = Arc::new(std::env::vars_os().collect());
    let config = match cli::parse(std::env::args_os().skip(1), &environment, &machine::name()) {
        Ok(Parsed::Run(config)) => *config,
        Ok(Parsed::Ask(question)) => return ask::run(&question),
        Err(answer) => return give(&answer),
    };
    log::start(&config.log);
    let events = Events::to_log();
    events.emit(Event::Starting { version: cli::VERSION });
    if let Some(ip) = &config.service.ip {
        events.emit(Event::ForcingIp { ip: ip.clone() });
    }
    let events = Events::to_log();
    for advice in cli::advice(&environment) {
        events.emit(advice);
    }
    run(config, events).unwrap_or_else(|error| {
        error!("cannot start: {error}");
        ExitCode::FAILURE
    })
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
fn run(config: Config, events: Events) -> io::Result<ExitCode> {
    let workers = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let outcome =
        Builder::new_current_thread().enable_all().build()?.block_on(supervise(config, events, workers.handle()));
    workers.shutdown_background();
    outcome
}

async fn supervise(config: Config, events: Events, workers: &Handle) -> io::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let control = Control::default();
    let mut bridge = workers.spawn(app::run(config, control.clone(), events.clone()));
    let mut deadline = None;
    let outcome = loop {
        tokio::select! {
            outcome = &mut bridge => break outcome,
            asked = signals.next() => match asked {
                Asked::Resync => control.resync.notify_one(),
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
    Ok(match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(workers, error.to_string()).await,
        Err(panic) => fail(workers, format!("A fault in registrator itself, please report it: {panic}")).await,
    })
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
}

/// The signals that we handle.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// What the next signal asks for. Safe to cancel: no signal is lost.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            Some(()) = self.terminate.recv() => Asked::Stop(15),
            Some(()) = self.interrupt.recv() => Asked::Stop(2),
            Some(()) = self.hangup.recv() => Asked::Resync,
            // The system delivers no further signals.
            else => std::future::pending().await,
        }
    }
}
