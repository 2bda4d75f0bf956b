//! The share of one registered port, for whoever holds it without knowing containers.

use std::sync::Arc;

use crate::addition::{Addition, At, Transport};
use crate::object::{Piece, Rank};
use crate::settings::Settings;

/// The share of one registered port in what its container adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// What the container adds.
    pub addition: Arc<Addition>,
    /// The port inside the container.
    pub exposed: u16,
    /// How it is reached.
    pub transport: Transport,
    /// When the container was created.
    pub since: i64,
}

impl Share {
    /// Whether it adds anything with these settings.
    #[must_use]
    pub fn adds(&self, settings: &Settings) -> bool {
        self.addition.is_taken(settings) && self.addition.has_part(self.exposed, self.transport)
    }

    /// What is added by the port at this address, which is registered under this owner and ID.
    #[must_use]
    pub fn pieces(&self, (address, port): (&str, u16), holder: (&str, &str), settings: &Settings) -> Vec<Piece> {
        let Self { addition, exposed, transport, .. } = self;
        addition.part(&At { exposed: *exposed, transport: *transport, address, port, holder }, settings)
    }

    /// How its definitions stand beside those of others.
    #[must_use]
    pub fn rank<'a>(&self, (owner, id): (&'a str, &'a str)) -> Rank<'a> {
        Rank { since: self.since, owner, id }
    }
}
