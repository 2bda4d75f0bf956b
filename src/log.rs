//! The log: one line per event, on the standard error.
//!
//! The text format is the one that scripts for the replaced program read: Go's time stamp in local time, then the
//! message. The JSON format is one object with the event's fields. Messages quote text from containers, so characters
//! that could break a line or a terminal are escaped here, for all messages.

use std::cmp::Ordering;
use std::fmt;
use std::io;
use std::sync::OnceLock;

use chrono::{Local, SecondsFormat};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, reload};

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Changes which levels are written.
type Levels = reload::Handle<Targets, tracing_subscriber::Registry>;

/// The levels of the log of this process, once it is started.
static LEVELS: OnceLock<Levels> = OnceLock::new();

/// Starts the log for the whole process. A log that was started earlier stays.
pub fn start(config: &LogConfig) {
    let (subscriber, levels) = subscriber(config, io::stderr);
    // Fails only if a log is already set.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let _ = LEVELS.set(levels);
    }
}

/// Writes this level and higher ones from now on.
pub fn set_level(level: LogLevel) {
    if let Some(levels) = LEVELS.get() {
        // Fails only if the log is gone.
        let _ = levels.reload(filter(level));
    }
}

fn subscriber<W>(config: &LogConfig, writer: W) -> (impl Subscriber + Send + Sync, Levels)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Line(config.format))
        .with_writer(writer)
        // A closed standard error is no reason to stop, and there is nowhere to report it.
        .log_internal_errors(false);
    let (filter, levels) = reload::Layer::new(filter(config.level));
    (tracing_subscriber::registry().with(lines.with_filter(filter)), levels)
}

/// Our own events from `level` up; those of libraries from `warn` up, whatever the level.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target(env!("CARGO_PKG_NAME"), level)
}

/// Writes an event in the chosen format.
struct Line(LogFormat);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut content = Content { message: String::new(), fields: (self.0 == LogFormat::Json).then(Map::new) };
        event.record(&mut content);
        let now = Local::now();
        match self.0 {
            LogFormat::Text => {
                write!(writer, "{} ", now.format("%Y/%m/%d %H:%M:%S"))?;
                write_escaped(&mut writer, &content.message, |writer, unsafe_one| {
                    write!(writer, "{}", unsafe_one.escape_default())
                })?;
            }
            LogFormat::Json => {
                let mut line = Map::new();
                line.insert("time".to_owned(), now.to_rfc3339_opts(SecondsFormat::Millis, false).into());
                line.insert("level".to_owned(), event.metadata().level().as_str().to_ascii_lowercase().into());
                line.insert("message".to_owned(), content.message.into());
                if let Some(fields) = content.fields.filter(|fields| !fields.is_empty()) {
                    line.insert("fields".to_owned(), fields.into());
                }
                // JSON leaves some of these characters unescaped; they occur only inside strings.
                write_escaped(&mut writer, &Value::Object(line).to_string(), |writer, unsafe_one| {
                    unsafe_one.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))
                })?;
            }
        }
        writeln!(writer)
    }
}

/// Writes the text. Passes each character that could break a line or a terminal to `escape`.
fn write_escaped(
    writer: &mut Writer<'_>,
    text: &str,
    escape: impl Fn(&mut Writer<'_>, char) -> fmt::Result,
) -> fmt::Result {
    text.chars().try_for_each(|character| {
        if breaks_out(character) { escape(writer, character) } else { writer.write_char(character) }
    })
}

/// The text on one line; each character that could break it or a terminal is escaped.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if breaks_out(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Control characters, Unicode's line breaks, and characters that are invisible or change their neighbours.
fn breaks_out(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}')
        || INVISIBLE.binary_search_by(|&(first, last)| order(first, last, character)).is_ok()
}

fn order(first: char, last: char, character: char) -> Ordering {
    if last < character {
        Ordering::Less
    } else if first > character {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

/// Invisible characters: Unicode's category Cf (format), which includes bidirectional controls and tag characters, and
/// the rest of its property `Default_Ignorable_Code_Point`: fillers, joiners and variation selectors.
const INVISIBLE: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// The content of an event: its message, and its other fields if they are written.
struct Content {
    message: String,
    fields: Option<Map<String, Value>>,
}

impl Content {
    /// Takes a field. The value is not computed if it is not written.
    fn put(&mut self, field: &Field, value: impl FnOnce() -> Value) {
        match (field.name(), &mut self.fields) {
            ("message", _) => {
                self.message = match value() {
                    Value::String(message) => message,
                    other => other.to_string(),
                }
            }
            (name, Some(fields)) => drop(fields.insert(name.to_owned(), value())),
            (_, None) => {}
        }
    }
}

impl Visit for Content {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, || format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, || value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, || value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, || value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, || value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, || value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, warn};

    use super::*;

    /// What the log wrote while `work` ran.
    fn written(format: LogFormat, level: LogLevel, work: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Captured(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Captured {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let captured = Captured::default();
        let writer = captured.clone();
        tracing::subscriber::with_default(subscriber(&LogConfig { format, level }, move || writer.clone()).0, work);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn text(work: impl FnOnce()) -> String {
        written(LogFormat::Text, LogLevel::Info, work)
    }

    fn json(work: impl FnOnce()) -> Value {
        let line = written(LogFormat::Json, LogLevel::Info, work);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_text_line_is_gos_stamp_and_the_message_alone() {
        let line = text(|| info!(container = "abc", "added: 0123456789ab web1:web:80"));
        let (stamp, message) = line.split_at("2015/08/30 19:18:12 ".len());
        assert!(chrono::NaiveDateTime::parse_from_str(stamp, "%Y/%m/%d %H:%M:%S ").is_ok(), "{stamp}");
        assert_eq!(message, "added: 0123456789ab web1:web:80\n");
    }

    #[test]
    fn warnings_and_errors_have_no_prefix() {
        for line in [text(|| warn!("register failed: x")), text(|| error!("register failed: x"))] {
            assert_eq!(&line["2015/08/30 19:18:12 ".len()..], "register failed: x\n");
        }
    }

    #[test]
    fn nothing_from_a_container_breaks_a_line_or_a_terminal() {
        let name = "a\nb\r\x1b[31mc\u{7f}\u{9b}\u{202e}d\u{2028}é";
        let line = text(|| info!("added: {name}"));
        assert!(line.ends_with("added: a\\nb\\r\\u{1b}[31mc\\u{7f}\\u{9b}\\u{202e}d\\u{2028}é\n"), "{line}");

        let hidden = "web\u{200b}\u{ad}\u{e0041}\u{2060}\u{3164}\u{fe0f}1";
        let line = text(|| info!("added: {hidden}"));
        assert!(line.ends_with("added: web\\u{200b}\\u{ad}\\u{e0041}\\u{2060}\\u{3164}\\u{fe0f}1\n"), "{line}");

        let line = written(LogFormat::Json, LogLevel::Info, || info!(hidden, "added: {hidden}"));
        assert!(line.is_ascii(), "{line}");
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["fields"]["hidden"], hidden);

        let line = written(LogFormat::Json, LogLevel::Info, || info!(name, "added: {name}"));
        assert!(!line.trim_end_matches('\n').chars().any(breaks_out), "{line}");
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["message"], format!("added: {name}"));
        assert_eq!(object["fields"]["name"], name);
    }

    #[test]
    fn all_that_is_invisible_is_in_the_table_and_nothing_else() {
        let invisible = regex::Regex::new(r"^[\p{Cf}\p{Default_Ignorable_Code_Point}]$").unwrap();
        let mut expected: Vec<(char, char)> = Vec::new();
        for character in
            (char::MIN..=char::MAX).filter(|character| invisible.is_match(character.encode_utf8(&mut [0; 4])))
        {
            match expected.last_mut() {
                Some((_, last)) if u32::from(*last) + 1 == u32::from(character) => *last = character,
                _ => expected.push((character, character)),
            }
        }
        assert_eq!(INVISIBLE, expected);
        for plain in ['a', ' ', '~', 'é', '日', '😀', '\u{300}'] {
            assert!(!breaks_out(plain), "{plain:?}");
        }
    }

    #[test]
    fn a_json_line_has_time_level_message_and_fields() {
        let object = json(|| warn!(container = "abc", ports = 2, known = true, "ignored: {}", "abc"));
        assert!(chrono::DateTime::parse_from_rfc3339(object["time"].as_str().unwrap()).is_ok());
        assert_eq!(object["level"], "warn");
        assert_eq!(object["message"], "ignored: abc");
        assert_eq!(object["fields"], serde_json::json!({"container": "abc", "ports": 2, "known": true}));
    }

    #[test]
    fn a_field_cannot_take_the_place_of_the_message() {
        let object = json(|| info!(level = "none", time = 0, "hello"));
        assert_eq!(object["level"], "info");
        assert_eq!(object["message"], "hello");
    }

    #[test]
    fn a_level_leaves_out_what_is_less() {
        let work = || {
            debug!("1");
            info!("2");
            warn!("3");
            error!("4");
        };
        for (level, lines) in [(LogLevel::Debug, 4), (LogLevel::Info, 3), (LogLevel::Warn, 2), (LogLevel::Error, 1)] {
            assert_eq!(written(LogFormat::Text, level, work).lines().count(), lines, "{level:?}");
        }
    }

    #[test]
    fn libraries_are_heard_from_warn_on() {
        let work = || {
            debug!(target: "hyper::client", "1");
            info!(target: "hyper::client", "2");
            warn!(target: "hyper::client", "3");
            error!(target: "hyper::client", "4");
        };
        for (level, lines) in [(LogLevel::Debug, 2), (LogLevel::Info, 2), (LogLevel::Warn, 2), (LogLevel::Error, 1)] {
            assert_eq!(written(LogFormat::Text, level, work).lines().count(), lines, "{level:?}");
        }
    }

    #[test]
    fn a_reader_that_is_gone_stops_nothing() {
        struct Gone;
        impl io::Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let config = LogConfig { format: LogFormat::Text, level: LogLevel::Info };
        tracing::subscriber::with_default(subscriber(&config, || Gone).0, || info!("hello"));
    }
}
