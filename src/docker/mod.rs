//! What is running: a small, lenient client of the Docker Engine API, and a watch.
//!
//! The first step in the data's way: it reads an engine (Docker, or Podman with Docker's API) and produces
//! [`crate::container::Container`]s. It changes nothing, except that it sends a signal where the operator allows that.
//!
//! - [`client`] sends requests to an engine: its version, its containers, its events;
//! - [`decode`] and [`events`] parse the answers, purely;
//! - [`watch()`] turns them into [`Change`]s, and misses none.
//!
//! It is our own client because engines differ and change: with a strict decoder, one unknown word about one container
//! would make a whole list unreadable.

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
pub(crate) use refusals::Request;
pub use start::reach;
pub use version::{ApiVersion, EngineInfo};
pub use watch::watch;

use crate::config::DockerConfig;
use crate::container::{Container, ContainerId};

/// The engine's address by these settings, as people write it and without credentials, whether or not an engine is
/// there.
///
/// # Errors
/// When `DOCKER_HOST` is invalid, or nothing says where an engine is.
pub fn place(config: &DockerConfig) -> Result<String, ConnectError> {
    Ok(endpoint::find(config, &endpoint::Surroundings::of_process())?.name)
}

/// The output of a watch: a full snapshot, then each change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// All containers: at first, and after each reconnect and resync.
    Snapshot(Snapshot),
    /// This container is new or has changed.
    Changed(Arc<Container>),
    /// This running container was sent its stop signal.
    Stopping(ContainerId),
    /// The engine says that the container does not exist, or is being removed.
    Gone(ContainerId),
    /// As above, but no event about the container has arrived since it was last seen: events were lost, or the engine
    /// lost its data.
    Missing(ContainerId),
}

/// All containers at one time, by ID.
///
/// With [`crate::config::DockerConfig::list_all`], also those that do not run. A container in neither `containers` nor
/// `unknown` does not exist, by the engine's own list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The inspected containers. Those also in `unknown` were inspected before the engine was lost.
    pub containers: Vec<Arc<Container>>,
    /// Containers that cannot be inspected now. They are retried, and then reported as [`Change::Changed`] or
    /// [`Change::Gone`]; until then, their state counts as unchanged.
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
