//! Answers readers over HTTP, and bounds what each of them can take.
//!
//! Used by the embedded registry and by `-status`, which share the look of their pages too ([`page`]). Nothing that comes in can change anything: the body of a request is
//! never read. A client is a network of addresses ([`Network`]), so that nobody has more by having many addresses.

mod deadline;
mod network;
mod origin;
pub mod page;
mod permits;
mod serve;
mod unsent;

pub use network::Network;
pub use origin::{Foreign, Names};
pub use permits::{Permit, Permits, Room};
pub use serve::{Answerer, Limits, RESERVE_FRACTION, serve};
pub use unsent::Unsent;
