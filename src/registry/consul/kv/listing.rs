//! All keys below a prefix, at one moment.

use std::time::Duration;

use http::StatusCode;

use crate::registry::RegistryError;

use super::super::client::{Client, Question};
use super::item::{Item, inside, parsed};

/// All keys below a prefix.
pub(super) struct Listing {
    pub(super) items: Vec<Item>,
    /// The index to wait for the next change with.
    pub(super) index: Option<u64>,
}

/// Reads all keys below a prefix. With an index: waits for a change, up to a time limit.
pub(super) async fn read(
    client: &Client,
    prefix: &str,
    wait: Option<(u64, Duration)>,
    deadline: Duration,
) -> Result<Listing, RegistryError> {
    let path: Vec<_> = std::iter::once("kv").chain(inside(prefix).split('/')).collect();
    let waiting = wait.map(|(index, wait)| (index.to_string(), format!("{}s", wait.as_secs())));
    let mut query = vec![("recurse", "")];
    if let Some((index, wait)) = &waiting {
        query.extend([("index", index.as_str()), ("wait", wait.as_str())]);
    }
    let answer = client.ask(Question::get(&path).query(&query).within(deadline)).await?;
    let items = match answer.status {
        // Consul answers 404 for an empty prefix. An answer without an index is not from Consul.
        StatusCode::NOT_FOUND if answer.index.is_some() => Vec::new(),
        StatusCode::OK => parsed(client, &answer)?,
        _ => return Err(client.refusal(&answer, true, &format!("key_prefix:read on \"{}\"", inside(prefix)))),
    };
    Ok(Listing { items, index: answer.index })
}
