//! A long list, cut up as it arrives: so that it is never there as a whole, which for ten thousand containers is 10 MB.

/// What of a JSON array or object has arrived, and was not yet handed on.
///
/// Looks at brackets, commas and strings alone: what is no JSON is handed on for whoever reads it to say so.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    held: Vec<u8>,
    /// How much of it was looked at.
    seen: usize,
    /// After the last element that is there as a whole.
    end: Option<usize>,
    /// The bracket that the list began with.
    open: Option<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Pieces {
    /// Takes in what comes next, and gives the elements that it completes, as a list of the same kind.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.held.extend_from_slice(bytes);
        while let Some(&byte) = self.held.get(self.seen) {
            self.look_at(byte);
            self.seen += 1;
        }
        let end = self.end.take()?;
        let mut piece: Vec<u8> = self.held.drain(..=end).collect();
        self.seen -= piece.len();
        // The comma gives way to the bracket that closes.
        *piece.last_mut()? = if self.open == Some(b'{') { b'}' } else { b']' };
        self.held.insert(0, self.open?);
        self.seen += 1;
        Some(piece)
    }

    /// What is left when everything has arrived.
    pub(crate) fn rest(self) -> Vec<u8> {
        self.held
    }

    fn look_at(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'[' | b'{' => {
                self.depth += 1;
                self.open.get_or_insert(byte);
            }
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b',' if self.depth == 1 => self.end = Some(self.seen),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn cut_up(text: &str, sizes: &[usize]) -> Vec<Vec<u8>> {
        let mut pieces = Pieces::default();
        let mut found = Vec::new();
        let mut left = text.as_bytes();
        for size in sizes.iter().cycle() {
            if left.is_empty() {
                break;
            }
            let (now, later) = left.split_at((*size).min(left.len()));
            found.extend(pieces.push(now));
            left = later;
        }
        found.push(pieces.rest());
        found
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(json!(null)), any::<i32>().prop_map(|number| json!(number)), any_text()];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a\"\\\\,\\[{é]{0,4}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn any_text() -> impl Strategy<Value = Value> {
        "[a\"\\\\,\\[\\]{}é\n]{0,6}".prop_map(Value::from)
    }

    proptest! {
        #[test]
        fn however_a_list_is_cut_its_pieces_are_the_whole(
            elements in proptest::collection::vec(any_json(), 0..8),
            sizes in proptest::collection::vec(1usize..9, 1..6),
            pretty in any::<bool>(),
        ) {
            let spelt = |list: &Value| if pretty { format!("{list:#}") } else { list.to_string() };
            let array = Value::Array(elements.clone());
            let mut read: Vec<Value> = Vec::new();
            for piece in cut_up(&spelt(&array), &sizes) {
                read.extend(serde_json::from_slice::<Vec<Value>>(&piece).unwrap());
            }
            prop_assert_eq!(&Value::Array(read), &array);
            let object: Map<_, _> = elements.into_iter().enumerate().map(|(at, it)| (format!("{at}\","), it)).collect();
            let mut read = Map::new();
            for piece in cut_up(&spelt(&Value::Object(object.clone())), &sizes) {
                read.extend(serde_json::from_slice::<Map<_, _>>(&piece).unwrap());
            }
            prop_assert_eq!(read, object);
        }

        #[test]
        fn whatever_arrives_is_handed_on(
            bytes in proptest::collection::vec(prop::sample::select(&b"[]{},\"\\ a"[..]), 0..40),
            sizes in proptest::collection::vec(1usize..9, 1..6),
        ) {
            let text = String::from_utf8(bytes).unwrap();
            let pieces = cut_up(&text, &sizes);
            // Each piece but the first begins with a bracket, and each but the last ends with one, for one comma.
            let handed: usize = pieces.iter().map(Vec::len).sum();
            prop_assert_eq!(handed, text.len() + pieces.len() - 1);
        }
    }

    #[test]
    fn nothing_is_held_but_what_is_incomplete() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.push(b"[{\"a\":1},{\"b\""), Some(b"[{\"a\":1}]".to_vec()));
        assert_eq!(pieces.held, b"[{\"b\"");
        assert_eq!(pieces.push(b":[1,2]}"), None);
        assert_eq!(pieces.push(b"]"), None);
        assert_eq!(pieces.rest(), b"[{\"b\":[1,2]}]");
    }
}
