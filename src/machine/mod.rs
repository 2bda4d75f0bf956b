//! The machine that the program runs on: its name, its address, and whether both belong only to a container.
//!
//! On the same floor as [`crate::config`]. Decisions are pure; the few system calls are in thin functions.

mod address;
mod container;

pub use address::{HostAddress, How, address, default_route, name};
pub use container::{advice, is_id, is_on_a_bridge, own_container};
