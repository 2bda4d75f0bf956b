//! The log in confd's format: `TIME HOST PROGRAM[PID]: LEVEL message`, on the standard error.
//!
//! confd's own lines, and those of the parts that we share with the daemon, pass here, so that each is one line.

use std::fmt;
use std::io;

use chrono::{Local, SecondsFormat};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use super::settings::Level;
use crate::log::one_line;

/// The field of an event that says that it is the reason of the end.
pub(super) const FATAL: &str = "fatal";

/// Starts the log for the whole process. A log that was started earlier stays.
pub(super) fn start(level: Level, host: &str, program: &str) {
    // Fails only if a log is already set.
    let _ = tracing::subscriber::set_global_default(subscriber(level, host, program, io::stderr));
}

fn subscriber<W>(level: Level, host: &str, program: &str, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let line = Line { level, origin: format!("{host} {program}[{}]", std::process::id()) };
    let lines = tracing_subscriber::fmt::layer()
        .event_format(line)
        .with_writer(writer)
        // A closed standard error is no reason to stop, and there is nowhere to report it.
        .log_internal_errors(false);
    tracing_subscriber::registry().with(lines.with_filter(filter(level)))
}

/// Our own events from this level up; those of libraries from `WARN` up, whatever the level.
fn filter(level: Level) -> Targets {
    let level = match level {
        Level::Panic => LevelFilter::OFF,
        Level::Fatal | Level::Error => LevelFilter::ERROR,
        Level::Warning => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target(env!("CARGO_PKG_NAME"), level)
}

/// Writes an event as one line.
struct Line {
    level: Level,
    origin: String,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut content = Content::default();
        event.record(&mut content);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR if content.fatal => "FATAL",
            tracing::Level::ERROR => "ERROR",
            tracing::Level::WARN => "WARNING",
            tracing::Level::INFO => "INFO",
            tracing::Level::DEBUG | tracing::Level::TRACE => "DEBUG",
        };
        if self.level == Level::Fatal && !content.fatal {
            return Ok(());
        }
        let now = Local::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        writeln!(writer, "{now} {}: {level} {}", self.origin, one_line(&content.message))
    }
}

/// The content of an event.
#[derive(Default)]
struct Content {
    message: String,
    fatal: bool,
}

impl Visit for Content {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fatal |= field.name() == FATAL && value;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(level: Level) -> Vec<String> {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = subscriber(level, "web1", "/usr/bin/confd", move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            debug!("d");
            info!("i\nj\u{1b}[31m");
            warn!("w");
            error!("e");
            error!(fatal = true, "f");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_has_the_time_the_host_the_program_and_the_level() {
        let lines = written(Level::Debug);
        let (time, rest) = lines[0].split_once(' ').unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
        assert_eq!(rest, format!("web1 /usr/bin/confd[{}]: DEBUG d", std::process::id()));
        let ends: Vec<_> = lines.iter().map(|line| line.split_once("]: ").unwrap().1).collect();
        assert_eq!(ends, ["DEBUG d", r"INFO i\nj\u{1b}[31m", "WARNING w", "ERROR e", "FATAL f"]);
    }

    #[test]
    fn the_level_decides_which_lines_are_written() {
        for (level, lines) in
            [(Level::Info, 4), (Level::Warning, 3), (Level::Error, 2), (Level::Fatal, 1), (Level::Panic, 0)]
        {
            assert_eq!(written(level).len(), lines, "{level:?}");
        }
    }
}
