//! How an adapter tells what only its kind of registry has to say.

use std::sync::Arc;

use crate::event::{Event, Events, Level};

/// Emits the events of one registry. Clones emit those of the same one.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    /// What the registry is called.
    registry: Arc<str>,
    events: Events,
}

impl Reporter {
    pub(super) fn new(registry: Arc<str>, events: Events) -> Self {
        Self { registry, events }
    }

    /// Tells what was done; `about` is a word that stays the same.
    pub(super) fn info(&self, about: &'static str, text: String) {
        self.tell(Level::Info, about, text);
    }

    /// Tells what is not as it should be.
    pub(super) fn warn(&self, about: &'static str, text: String) {
        self.tell(Level::Warn, about, text);
    }

    /// Tells what could not be done.
    pub(super) fn error(&self, about: &'static str, text: String) {
        self.tell(Level::Error, about, text);
    }

    fn tell(&self, level: Level, about: &'static str, text: String) {
        self.events.emit(Event::Adapter { registry: Arc::clone(&self.registry), about, level, text });
    }
}

#[cfg(test)]
impl Reporter {
    /// One that nobody listens to.
    pub(super) fn silent() -> Self {
        Self::new("".into(), Events::new(|_| {}))
    }
}
