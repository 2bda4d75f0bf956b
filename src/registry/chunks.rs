//! Splits a batch into chunks, one per request.

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

#[cfg(test)]
mod tests {
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
