//! Renews keys by renewing the sessions that they are bound to, whichever instance created these. So entries of a dead
//! instance stay without being written.

use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt, stream};

use crate::registry::RegistryError;

use super::super::client::Client;
use super::{session, txn};

/// How many sessions are renewed at once.
const CONCURRENCY: usize = 8;

/// Renews the sessions of these keys. Returns one result per key.
pub(super) async fn keys(client: &Client, keys: &[&str]) -> Vec<Result<(), RegistryError>> {
    let holders: Vec<Result<String, RegistryError>> = txn::get(client, keys)
        .await
        .into_iter()
        .map(|found| match found? {
            None => Err(RegistryError::service("it is not there")),
            Some(item) => item.session.ok_or_else(|| RegistryError::service("it does not expire")),
        })
        .collect();
    let sessions: BTreeSet<_> = holders.iter().flatten().cloned().collect();
    let renewed: HashMap<_, _> = stream::iter(sessions)
        .map(async |session| {
            let renewed = session::renew(client, &session).await;
            (session, renewed)
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    let gone = || Err(RegistryError::service("it has expired"));
    holders.into_iter().map(|session| renewed.get(&session?).cloned().unwrap_or_else(gone)).collect()
}
