//! What is running: a thin, lenient client of the Docker Engine API, and a watch on it.
//!
//! First in the data's way: it reads an engine (Docker, or Podman speaking Docker's API) and hands
//! [`crate::container::Container`]s to [`crate::bridge`]. It only ever asks; it never changes anything.
//!
//! - [`client`] speaks to an engine: its version, its containers, its events;
//! - [`decode`] and [`events`] make sense of what it says, purely;
//! - [`watch()`] turns that into [`Change`]s, and misses none.
//!
//! The client is our own because engines differ and grow: a strict decoder turns one unknown word
//! of one container into a list that cannot be read at all.

pub mod client;
pub mod decode;
mod endpoint;
mod errors;
pub mod events;
mod outage;
mod refusals;
mod start;
mod tracker;
pub mod version;
mod watch;

use std::fmt;
use std::sync::Arc;

pub use client::{Carrier, Docker};
pub use errors::{ConnectError, RequestError};
pub use start::reach;
pub use version::{ApiVersion, EngineInfo};
pub use watch::watch;

use crate::config::DockerConfig;
use crate::container::{Container, ContainerId};

/// Where the engine of these settings is, as people write it and without credentials, whether one is there or not.
///
/// # Errors
/// When `DOCKER_HOST` cannot be understood, or nothing says where an engine is.
pub fn place(config: &DockerConfig) -> Result<String, ConnectError> {
    Ok(endpoint::find(config, &endpoint::Surroundings::of_process())?.name)
}

/// What a watch tells: the whole, then every difference from it.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Everything that is there: said first, and again after each reconnect and resync.
    Snapshot(Snapshot),
    /// This container is new, or is no longer as it was.
    Changed(Arc<Container>),
    /// This container, which runs, was sent the signal that asks it to stop.
    Stopping(ContainerId),
    /// The engine says that there is no such container, or that it is being removed.
    Gone(ContainerId),
    /// The same, though no event about this container was heard since it was last there: events were lost, or the
    /// engine is not what it was.
    Missing(ContainerId),
}

/// Every container at one time, by id.
///
/// With [`crate::config::DockerConfig::list_all`] those that do not run as well. What is neither in
/// `containers` nor `unknown` is not there: the engine itself has said so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Those that were inspected; of those in `unknown` as well, before the engine was lost.
    pub containers: Vec<Arc<Container>>,
    /// Those that cannot be inspected now. They are tried again, and then told of as
    /// [`Change::Changed`] or [`Change::Gone`]; until then, nothing is known to have changed for them.
    pub unknown: Vec<Unknown>,
}

/// A container that cannot be inspected now.
#[derive(Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Which.
    pub id: ContainerId,
    /// Its name, where the list or an inspect told it.
    pub name: Option<Box<str>>,
    /// Why nothing else is known of it.
    pub why: Unread,
}

/// Why nothing is known of a container that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The engine does not answer, or not with what it knows of it. It may yet.
    NotYet,
    /// There is more to it than is read, now and later: what a container is made of does not change.
    TooLarge,
}

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}
