//! What happened, line by line with its time; what the program logs stands among it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

/// The lines, where somebody wants them.
pub(crate) struct Trace {
    started: Instant,
    lines: Option<Mutex<Vec<String>>>,
}

impl Trace {
    /// A trace that is kept, or is not.
    pub(crate) fn new(kept: bool) -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), lines: kept.then(Mutex::default) })
    }

    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let line = format!("{:>9.3} {}", self.started.elapsed().as_secs_f64(), what());
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines
            .as_ref()
            .map(|lines| lines.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .unwrap_or_default()
    }

    /// Until this is dropped, the program's log goes here, where the trace is kept.
    pub(crate) fn listen(self: &Arc<Self>) -> Option<tracing::subscriber::DefaultGuard> {
        self.lines.as_ref()?;
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(Log(Arc::clone(self)))
            .finish();
        Some(tracing::subscriber::set_default(subscriber))
    }
}

struct Log(Arc<Trace>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.note(|| format!("    | {}", String::from_utf8_lossy(bytes).trim_end()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
