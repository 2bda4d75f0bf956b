//! A container as a file describes it, with the place of everything that a finding may be about.

use std::collections::HashMap;
use std::sync::Arc;

use super::tree::Position;
use crate::container::{Container, Protocol, SETTING};
use crate::service::metadata::Source;

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
    pub(super) keys: Vec<Key>,
    /// Where each port stands that the file names, with how it is named.
    pub(super) ports: HashMap<(u16, Protocol), Position>,
    /// What the file does not tell.
    pub(super) open: Open,
    /// Whether there will be several of it.
    pub(super) several: bool,
    /// Entries of `ports` and `expose` that cannot be read.
    pub(super) wrong_ports: Vec<(Position, String)>,
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

impl Subject {
    /// The key of this setting, as a decision or a note spells it: `SERVICE_80_NAME`. With several, the one that counts.
    pub(super) fn key(&self, spelled: &str, source: Option<Source>) -> Option<&Key> {
        let same = |key: &&Key| canonical(&key.key).as_deref() == Some(spelled);
        let of = |wanted: Source| self.keys.iter().rev().filter(same).find(move |key| key.source == wanted);
        match source {
            Some(source) => of(source),
            None => of(Source::Label).or_else(|| of(Source::Variable)),
        }
    }

    /// Its settings: variables and labels that are for us.
    pub(super) fn settings(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| key.key.starts_with(SETTING))
    }
}

/// A setting's key as it is spelled in decisions and notes; `None` if it is none.
pub(super) fn canonical(key: &str) -> Option<String> {
    let rest = key.strip_prefix(SETTING)?;
    Some(format!("{SETTING}{}", rest.to_lowercase().to_uppercase()))
}
