//! The functions of templates for files and commands, by subject. Those of `-tags` are a table of their own.

pub(super) mod args;
mod consul;
mod digest;
mod environment;
mod go;
mod group;
pub(super) mod include;
mod json;
mod list;
mod logic;
pub(super) mod lookups;
mod map;
mod math;
mod path;
mod regex;
pub(super) mod scratch;
pub(super) mod services;
mod sprig;
mod store;
mod text;
mod time;
mod toml;
mod yaml;

use super::engine::Table;

/// What works on its arguments, the machine and the clock only.
const PURE: [Table; 18] = [
    go::TABLE,
    text::TABLE,
    regex::TABLE,
    list::TABLE,
    map::TABLE,
    logic::TABLE,
    math::TABLE,
    path::TABLE,
    environment::TABLE,
    digest::TABLE,
    json::TABLE,
    yaml::TABLE,
    toml::TABLE,
    lookups::TABLE,
    time::TABLE,
    group::TABLE,
    services::PURE,
    sprig::TABLE,
];

/// What reads the store, what runs, and files.
const READING: [Table; 6] = [path::FILES, store::TABLE, consul::TABLE, services::TABLE, scratch::TABLE, include::TABLE];

/// For commands and paths: nothing that reads the store or files.
pub(super) static FIELDS: &[Table] = &PURE;

/// For files: all there are.
pub(super) fn files() -> Vec<Table> {
    [PURE.as_slice(), READING.as_slice()].concat()
}
