//! `registrator confd` does what confd does: its integration cases, its documentation's examples, its log, its exit
//! codes, and what docs/migration.md says is different.

// A test that cannot be set up has failed: saying so at once is the point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backends;
mod command_line;
mod differences;
mod docker;
mod documents;
mod faults;
mod fixture;
mod modes;
mod services;
