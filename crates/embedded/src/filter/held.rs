//! The filters of all readers: equal ones are one, and what they take together has a bound.
//!
//! A blocking query holds its filter for as long as it waits, and a reader that asks again and again would have it compiled
//! each time. So those that are in use are shared, and the last ones are kept.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::fields::Kind;
use super::{Filter, FilterError};

/// What all filters that are in use or kept may take, in bytes.
const MEMORY: usize = 16 << 20;
/// How many are kept that nobody uses.
const KEPT: usize = 8;

/// The filters of all readers.
#[derive(Default)]
pub(crate) struct Filters {
    state: Mutex<State>,
    taken: Arc<AtomicUsize>,
}

/// A filter is told from others by its text, and by what it is asked of.
type Key = (usize, Arc<str>);

#[derive(Default)]
struct State {
    known: HashMap<Key, Weak<Held>>,
    /// The last ones, latest last.
    kept: VecDeque<(Key, Arc<Held>)>,
}

/// A filter that is counted while anybody holds it.
#[derive(Debug)]
pub(crate) struct Held {
    filter: Filter,
    memory: usize,
    taken: Arc<AtomicUsize>,
}

/// Why there is no filter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is none.
    Wrong(FilterError),
    /// Too many are in use.
    TooMany,
}

impl Held {
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.memory, Ordering::Relaxed);
    }
}

impl Filters {
    /// One that is known already.
    pub(crate) fn known(&self, text: &str, kind: &'static Kind) -> Option<Arc<Held>> {
        let key = key(text, kind);
        let mut state = self.lock();
        let held = state.known.get(&key)?.upgrade()?;
        state.keep(key, &held);
        Some(held)
    }

    /// Reads one, which can take a tenth of a second.
    ///
    /// # Errors
    /// When it is none, or too many are in use.
    pub(crate) fn read(&self, text: &str, kind: &'static Kind) -> Result<Arc<Held>, Refusal> {
        if let Some(held) = self.known(text, kind) {
            return Ok(held);
        }
        let filter = Filter::new(text, kind).map_err(Refusal::Wrong)?;
        let key = key(text, kind);
        let memory = size_of::<Held>() + filter.memory + 2 * text.len();
        let mut state = self.lock();
        // Those that nobody uses make room first.
        while self.taken.load(Ordering::Relaxed) + memory > MEMORY {
            state.kept.pop_front().ok_or(Refusal::TooMany)?;
        }
        self.taken.fetch_add(memory, Ordering::Relaxed);
        let held = Arc::new(Held { filter, memory, taken: Arc::clone(&self.taken) });
        state.known.retain(|_, known| known.strong_count() > 0);
        state.known.insert(key.clone(), Arc::downgrade(&held));
        state.keep(key, &held);
        Ok(held)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, key: Key, held: &Arc<Held>) {
        self.kept.retain(|(known, _)| *known != key);
        self.kept.push_back((key, Arc::clone(held)));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }
}

/// Kinds are static: their addresses tell them apart.
fn key(text: &str, kind: &'static Kind) -> Key {
    (std::ptr::from_ref(kind).addr(), text.into())
}

#[cfg(test)]
mod tests {
    use super::super::fields::{CHECK, HEALTH_SERVICE};
    use super::*;

    #[test]
    fn equal_filters_are_one_and_the_same_text_of_another_kind_is_another() {
        let filters = Filters::default();
        let first = filters.read("Node matches web", &CHECK).unwrap();
        let again = filters.read("Node matches web", &CHECK).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(filters.known("Node matches web", &HEALTH_SERVICE).is_none());
        assert!(filters.read("Status == passing", &HEALTH_SERVICE).is_err());
        assert!(filters.read("Status == passing", &CHECK).is_ok());
    }

    #[test]
    fn what_is_held_has_a_bound_and_what_nobody_uses_makes_room() {
        let filters = Filters::default();
        let large = |number: usize| format!("Node matches \"x{number}[01]*1[01]{{4000}}\"");
        for number in 0..100 {
            filters.read(&large(number), &CHECK).unwrap();
        }
        let mut held = Vec::new();
        let refused = loop {
            match filters.read(&large(1000 + held.len()), &CHECK) {
                Ok(filter) => held.push(filter),
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refused, Refusal::TooMany);
        assert!(filters.taken.load(Ordering::Relaxed) <= MEMORY && held.len() > 10, "{}", held.len());
        // One that is held already takes nothing more.
        assert!(filters.read(&large(1000), &CHECK).is_ok());
        held.clear();
        assert!(filters.read(&large(5), &CHECK).is_ok());
        let state = filters.lock();
        assert!(state.known.len() <= KEPT + 1 && state.kept.len() <= KEPT);
    }

    #[test]
    fn a_filter_that_went_is_counted_no_more() {
        let filters = Filters::default();
        drop(filters.read("Node matches web", &CHECK).unwrap());
        assert!(filters.taken.load(Ordering::Relaxed) > 0);
        filters.lock().kept.clear();
        assert_eq!(filters.taken.load(Ordering::Relaxed), 0);
    }
}
