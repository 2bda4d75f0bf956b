//! What the registry has to say to whoever runs it, as values: nothing is logged here.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::health::HealthChange;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It serves from now on; `None` where it does not.
    Listening {
        /// Where HTTP is served.
        http: Option<SocketAddr>,
        /// Where DNS is served, over UDP and TCP.
        dns: Option<SocketAddr>,
    },
    /// This process may open too few files for the connections that are allowed, so it takes fewer.
    FewerConnections {
        /// Files that may be open.
        files: u64,
        /// Connections that are taken at the same time.
        taken: usize,
        /// Connections that the settings allow.
        allowed: usize,
    },
    /// How an instance is, changed.
    Health(HealthChange),
    /// An answer could not be made: a fault of this program.
    AnswerFailed {
        /// Why.
        reason: String,
    },
}

/// Is handed each notice as it happens, and must not wait for anything.
pub type Tell = Arc<dyn Fn(Notice) + Send + Sync>;
