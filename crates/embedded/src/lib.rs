//! A service registry in the process: its only store is what it is told, so that one machine needs nothing else.
//!
//! Whoever runs it registers instances ([`Server::register`]) and hears what happens ([`Notice`]). Everybody else
//! reads, over HTTP as from Consul (`http`) and over DNS ([`dns`]). It checks the instances itself (`checks`).
//! Nothing is stored: after a restart everything is registered again.

mod catalog;
mod checks;
mod definition;
mod directory;
pub mod dns;
mod eureka;
mod files;
mod filter;
mod flaps;
mod health;
mod http;
mod notice;
mod prometheus;
mod server;
mod settings;
#[cfg(test)]
mod testing;
mod traefik;

pub use definition::{Check, CheckKind, Definition, Health, Target};
pub use eureka::Question as EurekaQuestion;
pub use filter::{FilterError, check as check_filter};
pub use health::{Condition, HealthChange, Source};
pub use http::query::{Consistency, Query, QueryError};
pub use http::route::{Endpoint, route};
pub use notice::{Notice, Tell};
pub use registrator_web::{Names, Network};
pub use server::{Face, Registered, Server, StartError, Surroundings, Tls};
pub use settings::{PARAMETERS, Settings};
