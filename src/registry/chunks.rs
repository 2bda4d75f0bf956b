//! Splits a batch into chunks, one per request, and tries each item alone where a chunk fails.

use futures_util::{StreamExt, stream};

/// How many items of a chunk are tried alone before all the others are.
const PROBES: usize = 8;

/// The limits of one request, and what one item counts towards them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) steps: usize,
    pub(super) bytes: usize,
}

/// Splits items into chunks, in order, each with as many neighbours as fit. An item above the limits goes alone.
pub(super) fn chunks<T>(items: &[T], room: Room, takes: impl Fn(&T) -> Room) -> Vec<&[T]> {
    let mut chunks = Vec::new();
    let mut start = 0;
    let mut taken = Room { steps: 0, bytes: 0 };
    for (index, item) in items.iter().enumerate() {
        let Room { steps, bytes } = takes(item);
        if index > start && (taken.steps + steps > room.steps || taken.bytes + bytes > room.bytes) {
            chunks.push(&items[start..index]);
            start = index;
            taken = Room { steps: 0, bytes: 0 };
        }
        taken.steps += steps;
        taken.bytes += bytes;
    }
    if start < items.len() {
        chunks.push(&items[start..]);
    }
    chunks
}

/// Tries each item of a chunk alone that failed as a whole; the results are in order.
///
/// Where all of a sample fail for a cause that they have in common, such as missing rights or a full disk, the others
/// fail with them: twenty thousand refused services cost a few requests. The sample is another each time, so no item that
/// would succeed is left out for ever. Each `kind` has a sample of its own, since a full disk takes removals.
pub(super) async fn each_alone<T, R: Clone, F: Future<Output = R>>(
    items: &[T],
    concurrency: usize,
    kind: impl Fn(&T) -> bool,
    attempt: impl Fn(&T) -> F,
    in_common: impl Fn(&R) -> bool,
) -> Vec<R> {
    let (mut one, mut other): (Vec<_>, Vec<_>) = (0..items.len()).partition(|&index| kind(&items[index]));
    let mut tried = Vec::with_capacity(items.len());
    for order in [&mut one, &mut other] {
        fastrand::shuffle(order);
        let (probes, others) = order.split_at(PROBES.min(order.len()));
        let all = async |indices: &[usize]| {
            let attempts: Vec<_> = indices.iter().map(|&index| attempt(&items[index])).collect();
            stream::iter(attempts).buffered(concurrency).collect::<Vec<_>>().await
        };
        let mut results = all(probes).await;
        match results.first().filter(|_| results.iter().all(&in_common)).cloned() {
            Some(common) => results.resize(order.len(), common),
            None => results.extend(all(others).await),
        }
        tried.extend(order.iter().copied().zip(results));
    }
    tried.sort_unstable_by_key(|(index, _)| *index);
    tried.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    const ROOM: Room = Room { steps: 10, bytes: 100 };

    fn cut(items: &[(usize, usize)]) -> Vec<&[(usize, usize)]> {
        chunks(items, ROOM, |&(steps, bytes)| Room { steps, bytes })
    }

    #[test]
    fn a_bundle_ends_where_the_next_does_not_fit() {
        for (items, sizes) in [
            (vec![], vec![]),
            (vec![(1, 1)], vec![1]),
            (vec![(1, 1); 25], vec![10, 10, 5]),
            (vec![(3, 1); 4], vec![3, 1]),
            (vec![(1, 40); 5], vec![2, 2, 1]),
            (vec![(11, 1), (1, 1), (1, 101), (1, 1)], vec![1, 1, 1, 1]),
            (vec![(0, 0); 3], vec![3]),
        ] {
            assert_eq!(cut(&items).into_iter().map(<[_]>::len).collect::<Vec<_>>(), sizes, "{items:?}");
        }
    }

    /// The results of a chunk of a hundred, and how many were tried.
    async fn tried(refused: impl Fn(usize) -> bool) -> (Vec<Result<usize, ()>>, usize) {
        let items: Vec<usize> = (0..100).collect();
        let count = AtomicUsize::new(0);
        let attempt = |item: &usize| {
            count.fetch_add(1, Ordering::Relaxed);
            let result = if refused(*item) { Err(()) } else { Ok(*item) };
            async move { result }
        };
        let results = each_alone(&items, 16, |item| *item < 50, attempt, Result::is_err).await;
        (results, count.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn each_is_tried_alone_unless_all_of_a_sample_fail() {
        let (results, count) = tried(|_| false).await;
        assert_eq!((results, count), ((0..100).map(Ok).collect(), 100));
        let (results, count) = tried(|_| true).await;
        assert_eq!((results, count), (vec![Err(()); 100], 2 * PROBES));
        // Of one kind all, of the other none.
        let (results, count) = tried(|item| item < 50).await;
        assert_eq!((results[50..].iter().filter(|result| result.is_ok()).count(), count), (50, 50 + PROBES));
        let (results, count) = tried(|item| item == 17).await;
        assert_eq!(count, 100);
        assert!(results.iter().enumerate().all(|(index, result)| result.is_err() == (index == 17)));
        // One that would succeed among many is found sooner or later.
        let found = async || tried(|item| item != 42).await.0[42].is_ok();
        let mut attempts = 0;
        while !found().await {
            attempts += 1;
            assert!(attempts < 1000);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_bundle_is_too_large(items in proptest::collection::vec((0..12_usize, 0..120_usize), 0..60)) {
            let cut = cut(&items);
            prop_assert_eq!(cut.concat(), items.as_slice());
            for chunk in cut {
                let taken = |part: fn(&(usize, usize)) -> usize| chunk.iter().map(part).sum::<usize>();
                prop_assert!(chunk.len() == 1 || taken(|item| item.0) <= ROOM.steps && taken(|item| item.1) <= ROOM.bytes);
            }
        }
    }
}
