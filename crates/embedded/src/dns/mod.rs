//! The registry's DNS face: names that Consul's DNS serves, answered as Consul 1.8 answers them.
//!
//! It knows nothing of containers or health checks: a [`Directory`] tells it what is there.

mod directory;
mod limiter;
mod message;
mod resolve;
mod server;
mod settings;
mod zone;

pub use directory::{Directory, Instance, Node, Owner};
pub use message::{Responder, Transport};
pub use server::serve;
pub use settings::{Limits, Settings, SettingsError};
