//! What the fuzz targets do with their bytes, one file for each; `fuzz_targets/` hands them to libFuzzer.
//!
//! They stand apart from it so that the project's own tests can run every target over its seeds
//! (`tests/fuzz_seeds.rs`): a target cannot rot, and what one has found stays fixed.

pub mod answers;
pub mod cli;
pub mod confd;
pub mod dns;
pub mod dns_update;
pub mod docker_host;
pub mod engine;
pub mod events;
pub mod file_template;
pub mod filter;
pub mod http_query;
pub mod inspect;
pub mod metadata;
pub mod redis;
pub mod status;
pub mod template;
pub mod traefik;
pub mod uri;
pub mod validate;
pub mod words;

/// A target's name, and what it does with an input; it panics where a promise is broken.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("answers", answers::run),
    ("cli", cli::run),
    ("confd", confd::run),
    ("dns", dns::run),
    ("dns_update", dns_update::run),
    ("docker_host", docker_host::run),
    ("engine", engine::run),
    ("events", events::run),
    ("file_template", file_template::run),
    ("filter", filter::run),
    ("http_query", http_query::run),
    ("inspect", inspect::run),
    ("metadata", metadata::run),
    ("redis", redis::run),
    ("status", status::run),
    ("template", template::run),
    ("traefik", traefik::run),
    ("uri", uri::run),
    ("validate", validate::run),
    ("words", words::run),
];
