//! Watches for changes with one blocking query per prefix
//! (<https://developer.hashicorp.com/consul/api-docs/features/blocking>), and compares the answers.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use tokio::time::{Instant, sleep};

use crate::registry::RegistryError;
use crate::registry::kv::StoreEvent;

use super::super::client::{Client, DEADLINE};
use super::listing::{self, Listing};

/// The wait time of a query.
const WAIT: Duration = Duration::from_secs(60);
/// Consul adds up to a sixteenth of the wait time, to spread the load.
const WAIT_DEADLINE: Duration = Duration::from_millis(60_000 + 60_000 / 16 + 10_000);
/// The shortest time between two queries, because each reads everything; and the additional time per key.
const PACE: Duration = Duration::from_millis(500);
const PACE_OF_A_KEY: Duration = Duration::from_millis(1);
/// The longest pause if queries do not block.
const BLIND_PACE: Duration = Duration::from_secs(60);

/// Reports changes below the prefixes until that fails. Returns why.
pub(super) async fn watch(
    client: &Client,
    prefixes: &[String],
    report: &(dyn Fn(StoreEvent) + Send + Sync),
) -> RegistryError {
    let first = join_all(prefixes.iter().map(|prefix| listing::read(client, prefix, None, DEADLINE))).await;
    let first: Vec<_> = match first.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(first) => first,
        Err(error) => return error,
    };
    report(StoreEvent::Started);
    let followed = prefixes.iter().zip(first).map(|(prefix, first)| Box::pin(follow(client, prefix, first, report)));
    select_all(followed).await.0
}

async fn follow(
    client: &Client,
    prefix: &str,
    first: Listing,
    report: &(dyn Fn(StoreEvent) + Send + Sync),
) -> RegistryError {
    let mut seen = versions(&first);
    let mut index = first.index;
    let mut pause = PACE;
    loop {
        let Some(waiting) = index else {
            // A proxy removed the index, so waiting is impossible.
            return std::future::pending().await;
        };
        let began = Instant::now();
        let listing = match listing::read(client, prefix, Some((waiting, WAIT)), WAIT_DEADLINE).await {
            Ok(listing) => listing,
            Err(error) => return error,
        };
        if listing.index.is_some_and(|now| now < waiting) {
            return client.unreachable("its index went back, as after a restart without data");
        }
        let now = versions(&listing);
        let news = changes(&seen, &now, listing.index.unwrap_or(waiting));
        // A query that neither blocks nor shows changes is sent less and less often.
        pause = if news.is_empty() && began.elapsed() < PACE { (pause * 2).min(BLIND_PACE) } else { PACE };
        news.into_iter().for_each(report);
        (seen, index) = (now, listing.index);
        let size = u32::try_from(seen.len()).unwrap_or(u32::MAX);
        sleep(pause.max((PACE_OF_A_KEY * size).min(BLIND_PACE))).await;
    }
}

fn versions(listing: &Listing) -> HashMap<String, u64> {
    listing.items.iter().map(|item| (format!("/{}", item.key), item.modify_index)).collect()
}

/// The changes between two answers; the second has this index.
fn changes(before: &HashMap<String, u64>, now: &HashMap<String, u64>, index: u64) -> Vec<StoreEvent> {
    let written = now.iter().filter(|(key, version)| before.get(*key) != Some(version));
    let gone = before.keys().filter(|key| !now.contains_key(*key));
    let written =
        written.map(|(key, version)| StoreEvent::Seen { key: key.clone(), version: Some(*version), at: *version });
    written.chain(gone.map(|key| StoreEvent::Seen { key: key.clone(), version: None, at: index })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_and_what_is_gone_is_told_and_nothing_else() {
        let keys = |keys: &[(&str, u64)]| keys.iter().map(|(key, version)| ((*key).to_owned(), *version)).collect();
        let (before, now) = (keys(&[("/a", 1), ("/b", 2), ("/c", 3)]), keys(&[("/a", 1), ("/b", 5), ("/d", 4)]));
        let mut news: Vec<_> = changes(&before, &now, 6)
            .into_iter()
            .filter_map(|news| match news {
                StoreEvent::Seen { key, version, at } => Some((key, version, at)),
                StoreEvent::Started => None,
            })
            .collect();
        news.sort();
        assert_eq!(news, [("/b".to_owned(), Some(5), 5), ("/c".to_owned(), None, 6), ("/d".to_owned(), Some(4), 4)]);
        assert_eq!(changes(&now, &now, 7), []);
    }
}
