//! Keeps equal values once: the services of a thousand replicas share their tags, attributes and address.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Up to this size, the pool does not look for values that are no longer used.
const FEW: usize = 64;

/// Keeps each value once, for as long as it is used.
#[derive(Debug)]
pub(crate) struct Pool<T: ?Sized>(HashSet<Arc<T>>);

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: Eq + Hash + ?Sized> Pool<T> {
    /// Replaces the value by the equal one in the pool, if there is one.
    pub(crate) fn share(&mut self, value: &mut Arc<T>) {
        if let Some(known) = self.0.get(value) {
            *value = Arc::clone(known);
            return;
        }
        // When the set is full. Afterwards it has room for twice the values that are left.
        if self.0.len() >= FEW && self.0.len() == self.0.capacity() {
            self.0.retain(|value| Arc::strong_count(value) > 1);
            self.0.reserve(self.0.len());
        }
        self.0.insert(Arc::clone(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_kept_once_and_unused_ones_are_dropped() {
        let mut pool = Pool::<str>::default();
        let [mut first, mut second] = ["a", "a"].map(Arc::<str>::from);
        pool.share(&mut first);
        pool.share(&mut second);
        assert!(Arc::ptr_eq(&first, &second));
        for number in 0..100_000 {
            pool.share(&mut number.to_string().into());
        }
        assert!(pool.0.len() < 1_000 && pool.0.contains("a"), "{}", pool.0.len());
        let held: Vec<_> = (0..10_000)
            .map(|number| {
                let mut value = Arc::from(format!("held {number}"));
                pool.share(&mut value);
                value
            })
            .collect();
        assert!(held.iter().all(|value| pool.0.contains(value)) && pool.0.capacity() < 64_000);
    }
}
