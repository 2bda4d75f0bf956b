//! The last events, for whoever asks later, and the next ones for whoever listens.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::event::{Level, Line};

/// How many events are kept.
const KEPT: usize = 1000;
/// The longest text that is kept of one, in bytes.
const LONGEST: usize = 2000;

/// An event that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Happened {
    /// Its number, from 1 at the program's start.
    pub number: u64,
    /// When, in milliseconds since 1970, UTC.
    pub at: u64,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The kind of event: a word that never changes.
    pub event: String,
    /// The line of the log.
    pub text: String,
    /// Why it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// The ID of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The first 12 characters of the container's ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The container's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
}

/// The last events.
#[derive(Debug)]
pub struct Journal {
    kept: Mutex<VecDeque<Arc<Happened>>>,
    /// The number of the last event.
    last: watch::Sender<u64>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { kept: Mutex::default(), last: watch::channel(0).0 }
    }
}

impl Journal {
    /// Takes an event. Debug events are not kept.
    pub fn take(&self, line: &Line<'_>) {
        if line.level == Level::Debug {
            return;
        }
        let owned = |text: Option<&str>| text.map(|text| cut(text).to_owned());
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut kept = self.lock();
        let number = *self.last.borrow() + 1;
        kept.push_back(Arc::new(Happened {
            number,
            at: u64::try_from(at).unwrap_or(u64::MAX),
            level: line.level.as_str().to_owned(),
            event: line.event.to_owned(),
            text: cut(&line.text).to_owned(),
            reason: owned(line.fields.reason),
            registry: owned(line.fields.registry),
            service: owned(line.fields.service),
            container: owned(line.fields.container),
            container_name: owned(line.fields.container_name),
        }));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        // While the lock is held, so that the numbers are in order.
        self.last.send_replace(number);
    }

    /// The kept events after this number, oldest first.
    #[must_use]
    pub fn after(&self, number: u64) -> Vec<Arc<Happened>> {
        let kept = self.lock();
        // A number from before a restart is beyond all.
        let number = if number > *self.last.borrow() { 0 } else { number };
        let skipped = kept.partition_point(|happened| happened.number <= number);
        kept.range(skipped..).cloned().collect()
    }

    /// The number of the last event, and a way to wait for the next.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Happened>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of a text.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn happened(journal: &Journal, containers: usize) {
        journal.take(&Event::Syncing { containers }.line());
    }

    #[test]
    fn the_last_thousand_are_kept_in_order() {
        let journal = Journal::default();
        (0..1500).for_each(|number| happened(&journal, number));
        let all = journal.after(0);
        assert_eq!((all.len(), all[0].number, all[999].number), (1000, 501, 1500));
        assert_eq!(journal.after(1498).iter().map(|happened| happened.number).collect::<Vec<_>>(), [1499, 1500]);
        assert!(journal.after(1500).is_empty());
        assert_eq!(journal.after(9999).len(), 1000, "a number from before a restart");
        assert_eq!(*journal.listen().borrow(), 1500);
    }

    #[test]
    fn a_flood_of_text_is_cut() {
        let journal = Journal::default();
        journal.take(&Event::Metadata { container: "a".into(), note: "é".repeat(5000) }.line());
        assert!(journal.after(0)[0].text.len() <= LONGEST);
    }

    #[test]
    fn what_is_for_developers_is_not_kept() {
        let journal = Journal::default();
        journal.take(&Event::DockerEvents { actions: vec!["start"] }.line());
        assert!(journal.after(0).is_empty());
    }
}
