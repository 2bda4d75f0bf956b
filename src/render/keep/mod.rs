//! Keeps files right for as long as it is told to.
//!
//! ```text
//! folder: reads conf.d/ again when it changes ─► one keeper for each resource: watch ─► run ─► reload
//! ```

mod folder;
mod keeper;
mod quiet;
mod stamps;
mod watching;

pub use folder::{Folder, Kept, Noticed, Open};
pub use keeper::Keeper;
pub use watching::Pace;

#[cfg(test)]
mod tests;
