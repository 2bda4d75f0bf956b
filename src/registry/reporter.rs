//! Reports what only one kind of registry has to say.

use std::sync::Arc;

use crate::event::{Event, Events, Level};

/// Emits the events of one registry. Clones are for the same registry.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    /// The registry's name.
    registry: Arc<str>,
    events: Events,
}

impl Reporter {
    pub(super) fn new(registry: Arc<str>, events: Events) -> Self {
        Self { registry, events }
    }

    /// Reports something that was done; `about` is a word that never changes.
    pub(super) fn info(&self, about: &'static str, text: String) {
        self.tell(Level::Info, about, text);
    }

    /// Reports something wrong that is being handled.
    pub(super) fn warn(&self, about: &'static str, text: String) {
        self.tell(Level::Warn, about, text);
    }

    /// Reports something that could not be done.
    pub(super) fn error(&self, about: &'static str, text: String) {
        self.tell(Level::Error, about, text);
    }

    /// Reports that the health of a service changed, in what follows its ID.
    pub(super) fn health(&self, id: Arc<str>, change: String) {
        self.events.emit(Event::HealthChanged { registry: Arc::clone(&self.registry), id, change });
    }

    fn tell(&self, level: Level, about: &'static str, text: String) {
        self.events.emit(Event::Adapter { registry: Arc::clone(&self.registry), about, level, text });
    }
}

#[cfg(test)]
impl Reporter {
    /// A reporter without listeners.
    pub(super) fn silent() -> Self {
        Self::new("".into(), Events::new(|_| {}))
    }
}
