//! What registries are called in rows: briefly, as long as that says which one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::hub::Hub;

/// Names of registries for rows.
#[derive(Debug, Default)]
pub(super) struct Labels(BTreeMap<Arc<str>, String>);

impl Labels {
    pub(super) fn new(hub: &Hub) -> Self {
        Self::of(hub.registries.iter().map(|kept| (Arc::clone(&kept.name), kept.adapter)))
    }

    /// The scheme where no other registry has it, else the whole name.
    fn of(registries: impl Iterator<Item = (Arc<str>, &'static str)> + Clone) -> Self {
        let alone = |adapter: &str| registries.clone().filter(|(_, other)| *other == adapter).count() == 1;
        let label = |name: &str, adapter: &str| if alone(adapter) { adapter.to_owned() } else { name.to_owned() };
        Self(registries.clone().map(|(name, adapter)| (Arc::clone(&name), label(&name, adapter))).collect())
    }

    pub(super) fn get<'a>(&'a self, registry: &'a str) -> &'a str {
        self.0.get(registry).map_or(registry, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_enough_where_it_says_which() {
        let names = [("consul://a", "consul"), ("consul://b", "consul"), ("etcd://c", "etcd")];
        let labels = Labels::of(names.into_iter().map(|(name, adapter)| (Arc::from(name), adapter)));
        assert_eq!(["consul://a", "etcd://c", "x://y"].map(|name| labels.get(name)), ["consul://a", "etcd", "x://y"]);
    }
}
