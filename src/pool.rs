//! What many have in common, kept once: the services of a thousand replicas have the same tags, attributes and address.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// So many are kept without looking for those that nobody has any more.
const FEW: usize = 64;

/// Values of which each is kept once, for as long as somebody has it.
#[derive(Debug)]
pub(crate) struct Pool<T: ?Sized>(HashSet<Arc<T>>);

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: Eq + Hash + ?Sized> Pool<T> {
    /// The same value, as it is kept already, if it is.
    pub(crate) fn share(&mut self, value: &mut Arc<T>) {
        if let Some(known) = self.0.get(value) {
            *value = Arc::clone(known);
            return;
        }
        // When there is no more room: what is left then is at most half of what there is room for.
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
    fn what_is_equal_is_kept_once_and_what_nobody_has_is_let_go() {
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
