//! Files from what runs: keeps configuration files equal to templates over what a source holds, as confd does.
//!
//! ```text
//! conf.d/*.toml ─► resource ─► run: fetch ─► stage ─► compare ─► check ─► replace ─► reload
//! templates/       what to       source      beside   with the   check_   by a       reload_cmd,
//!                  keep right                the file  file      cmd      rename     tried until it succeeds
//! ```
//!
//! [`find`] reads the resources of a folder, [`run`] brings one of them up to date once, and [`keep`] keeps it right.
//! Whatever happens is a [`step::Step`]: `registrator confd` prints confd's log lines from them, the daemon its events.

pub mod command;
pub mod compare;
pub mod diff;
pub mod find;
pub mod format;
pub mod keep;
pub mod many;
pub mod once;
pub mod pending;
pub mod reload;
pub mod resource;
mod retry;
pub mod run;
pub mod signal;
pub mod source;
pub mod stage;
pub mod step;
pub mod target;
