//! The keys that a file's template reads: confd's in-memory store, with its rules.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::paths::{self, BadPattern};

/// Keys and their values. Keys are absolute, without the prefix under which a store has them: `/nginx/port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    keys: BTreeMap<String, String>,
    /// How many keys are no clean paths (`/a//b`), which can be below a directory without beginning with its name.
    odd: usize,
}

impl Keys {
    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The value of exactly this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    /// Sets a key; its former value is replaced.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let key = key.into();
        let is_odd = !is_clean(&key);
        if self.keys.insert(key, value.into()).is_none() && is_odd {
            self.odd += 1;
        }
    }

    /// All keys with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The keys that match a pattern of Go's `path.Match`, in order.
    ///
    /// # Errors
    /// When the pattern is not well formed. Without any key, no pattern is read.
    pub fn matching(&self, pattern: &str) -> Result<Vec<(&str, &str)>, BadPattern> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        // Whether a pattern is well formed does not depend on what it is matched with.
        paths::matches(pattern, "")?;
        let literal = &pattern[..pattern.find(['*', '?', '[', '\\']).unwrap_or(pattern.len())];
        let mut found = Vec::new();
        for (key, value) in self.beginning_with(literal) {
            if paths::matches(pattern, key)? {
                found.push((key.as_str(), value.as_str()));
            }
        }
        Ok(found)
    }

    fn beginning_with<'k, 'p>(
        &'k self,
        prefix: &'p str,
    ) -> impl Iterator<Item = (&'k String, &'k String)> + use<'k, 'p> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        self.keys.range::<str, _>(from).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// All keys that can be below a clean directory, or be it.
    fn near<'k, 'd>(&'k self, directory: &'d str) -> impl Iterator<Item = &'k String> + use<'k, 'd> {
        let prefix = if self.odd == 0 { directory } else { "" };
        self.beginning_with(prefix).map(|(key, _)| key)
    }

    /// The names one level below a directory, leaves and directories, in order. A key that is the directory itself is
    /// listed by its own name.
    #[must_use]
    pub fn list(&self, directory: &str) -> Vec<&str> {
        let clean = paths::clean(directory);
        let terms = terms(&clean);
        let mut names = BTreeSet::new();
        for key in self.near(&clean) {
            if key == directory {
                names.insert(paths::base(key));
            } else if starts_with(&self::terms(&paths::dir(key)), &terms) {
                let rest = key.strip_prefix(directory).unwrap_or(key);
                let rest = rest.strip_prefix('/').unwrap_or(rest);
                names.insert(rest.split('/').next().unwrap_or_default());
            }
        }
        names.into_iter().collect()
    }

    /// The names one level below a directory that have something below them, in order.
    #[must_use]
    pub fn list_directories(&self, directory: &str) -> Vec<String> {
        let prefix = terms(directory);
        let below = self.beginning_with(directory).filter_map(|(key, _)| {
            let mut terms = terms(&paths::dir(key));
            (starts_with(&terms, &prefix) && terms.len() > prefix.len()).then(|| terms.swap_remove(prefix.len()))
        });
        below.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Keys {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(keys: T) -> Self {
        let mut collected = Self::default();
        keys.into_iter().for_each(|(key, value)| collected.insert(key, value));
        collected
    }
}

/// Whether it is an absolute path that [`paths::clean`] would leave as it is.
fn is_clean(key: &str) -> bool {
    key == "/" || key.strip_prefix('/').is_some_and(|rest| !rest.split('/').any(|name| matches!(name, "" | "." | "..")))
}

/// The elements of a path. The root has two, both empty, so nothing but its own leaves is ever below it.
fn terms(path: &str) -> Vec<String> {
    paths::clean(path).split('/').map(str::to_owned).collect()
}

fn starts_with(terms: &[String], prefix: &[String]) -> bool {
    terms.starts_with(prefix)
}

#[cfg(test)]
mod tests;
