//! Go text/template: for `-tags`, executed with a container's inspect result, and for files, executed with what a store
//! holds or what runs.
//!
//! ```text
//! tags ─┐
//!       ├─► engine ─► functions ─► keys, instances
//! file ─┘
//! ```
//!
//! The operator writes a template. Values of a store or a container are data, and never parsed as a template. What one
//! execution costs is bounded, because others decide how much data there is.

mod engine;
mod error;
mod fields;
mod file;
mod functions;
mod instance;
mod keys;
pub mod paths;
mod scope;
mod tags;

pub use error::{Fault, TemplateError};
pub use fields::FieldsTemplate;
pub use file::FileTemplate;
pub(crate) use functions::lookups::srv::{Srv, lookup as lookup_srv};
pub use instance::{Data, Dot, Health, Instance};
pub use keys::Keys;
pub use tags::{Evaluated, ForcedTags, TagsError};
