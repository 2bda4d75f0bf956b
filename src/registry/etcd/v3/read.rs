//! Reads ranges, page by page, and single keys, many at once.

use etcd_client::{GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};

use super::connection::Connection;
use super::failure::Failure;

/// How many keys are read at once: an answer may not be larger than 4 MiB.
const PAGE: i64 = 2000;
/// How many are asked for by name in one transaction; servers take 128 steps.
pub(super) const CHUNK: usize = 120;

/// Everything below a prefix, at one moment.
pub(super) async fn range(connection: &Connection, prefix: &str) -> Result<Vec<KeyValue>, Failure> {
    let (mut from, end) = (prefix.as_bytes().to_vec(), end_of(prefix));
    let mut revision = 0;
    let mut all = Vec::new();
    loop {
        let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(revision);
        let mut page = connection
            .call(|client| {
                let (from, options) = (from.clone(), options.clone());
                async move { client.kv_client().get(from, Some(options)).await }
            })
            .await?;
        revision = page.header().map_or(0, etcd_client::ResponseHeader::revision);
        let more = page.more();
        let keys = page.take_kvs();
        if let Some(last) = keys.last().filter(|_| more) {
            from = [last.key(), b"\0"].concat();
            all.extend(keys);
        } else {
            all.extend(keys);
            return Ok(all);
        }
    }
}

/// Those of at most [`CHUNK`] keys that are there, at one moment: at this revision.
pub(super) async fn chunk(connection: &Connection, keys: &[String]) -> Result<(Vec<KeyValue>, u64), Failure> {
    let gets: Vec<_> = keys.iter().map(|key| TxnOp::get(key.as_str(), None)).collect();
    let answer = connection
        .call(|client| {
            let txn = Txn::new().and_then(gets.clone());
            async move { client.kv_client().txn(txn).await }
        })
        .await?;
    let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision).unsigned_abs();
    let found = answer.op_responses().into_iter().filter_map(|response| match response {
        TxnOpResponse::Get(mut found) => Some(found.take_kvs()),
        _ => None,
    });
    Ok((found.flatten().collect(), revision))
}

/// The first key behind all that begin with this, which ends with a slash.
pub(super) fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
