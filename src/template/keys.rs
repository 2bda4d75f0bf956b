//! The keys that a file's template reads: confd's in-memory store, with its rules.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{self, BadPattern};

/// Keys and their values. Keys are absolute, without the prefix under which a store has them: `/nginx/port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<String, String>);

impl Keys {
    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of exactly this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Sets a key; its former value is replaced.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// All keys with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The keys that match a pattern of Go's `path.Match`, in order.
    ///
    /// # Errors
    /// When the pattern is not well formed. Without any key, no pattern is read.
    pub fn matching(&self, pattern: &str) -> Result<Vec<(&str, &str)>, BadPattern> {
        let mut found = Vec::new();
        for (key, value) in self.iter() {
            if paths::matches(pattern, key)? {
                found.push((key, value));
            }
        }
        Ok(found)
    }

    /// The names one level below a directory, leaves and directories, in order. A key that is the directory itself is
    /// listed by its own name.
    #[must_use]
    pub fn list(&self, directory: &str) -> Vec<&str> {
        let terms = terms(directory);
        let mut names = BTreeSet::new();
        for key in self.0.keys() {
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
        let below = self.0.keys().filter(|key| key.starts_with(directory)).filter_map(|key| {
            let mut terms = terms(&paths::dir(key));
            (starts_with(&terms, &prefix) && terms.len() > prefix.len()).then(|| terms.swap_remove(prefix.len()))
        });
        below.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Keys {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(keys: T) -> Self {
        Self(keys.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
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
