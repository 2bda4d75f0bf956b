//! From the labels `traefik.…` of containers to Traefik's dynamic configuration. Pure.
//!
//! Traefik reads a key-value store as a whole: one key that it does not know, or one value that does not parse, and it takes
//! nothing any more, from any host (seen with Traefik 3.7). So every label is checked against a table of its options
//! before it is passed on, and what does not fit is left out and named.
//!
//! [`Addition::read`] turns the labels of one container into what it adds, with the defaults of Traefik's own Docker
//! provider; [`Addition::part`] gives the share of one registered port as [`Piece`]s. A piece is spelt as keys of a
//! store ([`Piece::keys`]) or joined with others into a JSON document ([`document`]) for Traefik's HTTP provider.
//! Where two containers define one object differently, [`wins`] says which of them counts.
//!
//! This crate knows no Docker, no registry and no entry: names, labels and ports go in.

mod addition;
mod json;
mod keys;
mod label;
mod left_out;
mod name;
mod object;
mod schema;
mod settings;
mod share;
mod value;

pub use addition::{Addition, At, Place, Transport};
pub use json::{Joined, Overruled, document};
pub use keys::{is_key, object_of};
pub use left_out::{LeftOut, Why};
pub use name::normalized;
pub use object::{Object, Piece, Protocol, Rank, Section, wins};
pub use schema::{EVERY_OPTION, Row, VERSION};
pub use settings::Settings;
pub use share::Share;
pub use value::Kind;
