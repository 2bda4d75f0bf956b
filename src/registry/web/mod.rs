//! What registries that speak HTTP have in common: servers, users, TLS, deadlines, and the words for what fails.
//!
//! Stands below Eureka, discoverd and the providers of external-dns. A [`Kind`] says what differs.

mod client;
mod settings;

pub(super) use client::{Answer, Client, Question};
pub(super) use settings::{Access, Kind, Settings};
