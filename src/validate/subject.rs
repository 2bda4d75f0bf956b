//! A container as a file describes it, with the place of everything that a finding may be about.

use std::collections::HashMap;
use std::sync::Arc;

use crate::container::{Container, Protocol, SETTING};
use crate::service::metadata::Source;
use crate::yaml::Position;

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A compose file.
    Compose,
    /// The output of `docker inspect`.
    Inspect,
}

/// One container.
#[derive(Debug)]
pub(super) struct Subject {
    /// Its name, as the file has it.
    pub(super) name: String,
    /// Where it stands.
    pub(super) at: Position,
    /// Where ports would be added.
    pub(super) ports_at: Position,
    /// Its facts. What a variable decides is a stand-in.
    pub(super) container: Arc<Container>,
    /// Its variables and labels.
    pub(super) keys: Keys,
    /// Where each port stands that the file names, with how it is named.
    pub(super) ports: HashMap<(u16, Protocol), Position>,
    /// What the file does not tell.
    pub(super) open: Open,
    /// Whether there will be several of it.
    pub(super) several: bool,
    /// Entries of `ports` and `expose` that cannot be read: why.
    pub(super) wrong_ports: Vec<(Position, String)>,
    /// Settings where no container finds them.
    pub(super) misplaced: Vec<(Position, String)>,
}

/// The variables and labels of a container.
#[derive(Debug, Default)]
pub(super) struct Keys {
    list: Vec<Key>,
    /// The last of the list with this spelling and source.
    last: HashMap<(String, Source), usize>,
}

/// A variable or label.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) key: String,
    pub(super) at: Position,
    /// Whether its value is known.
    pub(super) known: bool,
    pub(super) source: Source,
}

/// What a file leaves open, so that nothing is said of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    /// There may be more settings: from another file, or with a key that a variable decides.
    pub(super) settings: bool,
    /// There may be more ports.
    pub(super) ports: bool,
    /// Host ports are not known.
    pub(super) host_ports: bool,
    /// It uses the network of a container that the file does not know.
    pub(super) network: bool,
}

impl Keys {
    /// Adds one.
    pub(super) fn push(&mut self, key: Key) {
        if let Some(spelled) = canonical(&key.key) {
            self.last.insert((spelled, key.source), self.list.len());
        }
        self.list.push(key);
    }

    /// All of them, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.list.iter()
    }

    /// The settings: those that are for us.
    pub(super) fn settings(&self) -> impl Iterator<Item = &Key> {
        self.list.iter().filter(|key| key.key.starts_with(SETTING))
    }

    /// The key of this setting, as a decision or a note spells it: `SERVICE_80_NAME`. With several, the one that counts.
    pub(super) fn find(&self, spelled: &str, source: Option<Source>) -> Option<&Key> {
        let of = |source| self.last.get(&(spelled.to_owned(), source)).and_then(|index| self.list.get(*index));
        match source {
            Some(source) => of(source),
            None => of(Source::Label).or_else(|| of(Source::Variable)),
        }
    }
}

/// A setting's key as it is spelled in decisions and notes; `None` if it is none.
fn canonical(key: &str) -> Option<String> {
    let rest = key.strip_prefix(SETTING)?;
    Some(format!("{SETTING}{}", rest.to_lowercase().to_uppercase()))
}
