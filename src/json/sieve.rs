//! Reduces JSON to the needed parts while it arrives, with a limit on its memory.
//!
//! An engine's answers can be far larger than what we need: a container's labels may have 60 MiB, and a list holds the
//! labels of all containers. So members outside the shape are dropped as they arrive, and the kept parts have a limit in
//! bytes and in values (an array of numbers takes twenty times its text in memory). Streaming JSON crates do not fit:
//! serde_json and struson need a blocking reader, and actson buffers whole strings. This parser only looks at brackets,
//! commas and strings; the parser of the kept parts finds invalid JSON.

use memchr::memchr2;
use serde::de::Error as _;
use smallvec::SmallVec;

use super::Shape;

/// Limits for the kept parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// In bytes.
    pub(crate) text: usize,
    /// Number of values: members and elements.
    pub(crate) values: usize,
}

/// The kept parts of one value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sifted {
    /// JSON with the members in the shape, in their order.
    pub(crate) text: Vec<u8>,
    /// The limit was exceeded: JSON with the members that came before.
    pub(crate) too_large: bool,
}

/// Parses one value, piece by piece.
#[derive(Debug)]
pub(crate) struct Sieve {
    shape: &'static Shape,
    limits: Limits,
    kept: Vec<u8>,
    values: usize,
    /// This many bytes of the kept text are valid JSON after closing this many objects.
    safe: (usize, usize),
    too_large: bool,
    broken: bool,
    /// The open objects of which only some members are kept.
    open: SmallVec<[Open; 4]>,
    /// The name of the current member.
    name: Vec<u8>,
    state: State,
}

#[derive(Debug)]
struct Open {
    shape: &'static Shape,
    is_empty: bool,
}

/// What is expected.
#[derive(Debug)]
enum State {
    /// A value: kept in this shape, or dropped.
    Value(Option<&'static Shape>),
    /// The rest of a value that is kept or dropped as a whole.
    Within(Scan, Fate),
    /// A member, or the end of an object.
    Member,
    /// The rest of a member's name.
    Name {
        escaped: bool,
    },
    Colon,
    /// Nothing: the value is complete.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
}

impl Sieve {
    pub(crate) fn new(shape: &'static Shape, limits: Limits) -> Self {
        Self {
            shape,
            limits,
            kept: Vec::new(),
            values: 0,
            safe: (0, 0),
            too_large: false,
            broken: false,
            open: SmallVec::new(),
            name: Vec::new(),
            state: State::Value(Some(shape)),
        }
    }

    /// Takes the next bytes. Returns how many of them belong to the value.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.is_complete() {
            at += self.step(&bytes[at..]);
        }
        at
    }

    /// Whether the value is complete.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.state, State::Nothing)
    }

    /// Whether the limit is exceeded: the rest is dropped.
    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large
    }

    /// The kept parts.
    ///
    /// # Errors
    /// When it is not JSON. Errors within kept texts are left to their parser.
    pub(crate) fn finish(self) -> serde_json::Result<Sifted> {
        if self.broken {
            return Err(serde_json::Error::custom("a name, a colon or a bracket is missing"));
        }
        Ok(Sifted { text: self.kept, too_large: self.too_large })
    }

    /// As above, and starts with the next value in the same buffer.
    pub(super) fn next<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> serde_json::Result<T> {
        let mut kept = std::mem::take(&mut self.kept);
        let outcome = std::mem::replace(self, Self::new(self.shape, self.limits)).finish().map(|_| read(&kept));
        // A large value should not keep its memory for ever.
        kept.clear();
        kept.shrink_to(ROOM);
        self.kept = kept;
        outcome
    }

    /// Consumes at least one byte, or changes the state.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match &mut self.state {
            State::Value(_) if bytes[0].is_ascii_whitespace() => 1,
            State::Value(shape) => {
                let shape = *shape;
                self.begin(shape, bytes[0])
            }
            State::Within(scan, Fate::Dropped) => {
                let (length, is_over) = scan.advance(bytes);
                if is_over {
                    self.value_ended();
                }
                length
            }
            State::Within(scan, Fate::Kept) => {
                let before = scan.values;
                let (length, is_over) = scan.advance(bytes);
                self.values += scan.values - before;
                self.keep(&bytes[..length]);
                if is_over {
                    self.value_ended();
                }
                length
            }
            State::Member => {
                match bytes[0] {
                    byte if byte.is_ascii_whitespace() || byte == b',' => {}
                    b'"' => {
                        self.name.clear();
                        self.state = State::Name { escaped: false };
                    }
                    b'}' => {
                        self.open.pop();
                        self.keep(b"}");
                        self.value_ended();
                    }
                    _ => self.give_up(),
                }
                1
            }
            State::Name { escaped } => {
                let (length, is_over) = string(bytes, escaped);
                if self.name.len() + length <= self.limits.text {
                    self.name.extend_from_slice(&bytes[..length - usize::from(is_over)]);
                } else {
                    self.stop_keeping();
                }
                if is_over {
                    self.state = State::Colon;
                }
                length
            }
            State::Colon => {
                match bytes[0] {
                    byte if byte.is_ascii_whitespace() => {}
                    b':' => self.state = State::Value(self.member()),
                    _ => self.give_up(),
                }
                1
            }
            State::Nothing => bytes.len(),
        }
    }

    /// A value begins with this byte, which is examined again.
    fn begin(&mut self, shape: Option<&'static Shape>, first: u8) -> usize {
        let (fate, length) = match shape {
            None => (Fate::Dropped, 0),
            Some(shape) if shape.is_whole() => (Fate::Kept, 0),
            Some(shape) if first == b'{' => {
                self.keep(b"{");
                self.open.push(Open { shape, is_empty: true });
                self.mark_safe();
                self.state = State::Member;
                return 1;
            }
            Some(_) => {
                self.keep(b"null");
                (Fate::Dropped, 0)
            }
        };
        self.state = State::Within(Scan::default(), fate);
        length
    }

    /// The shape of the member with this name, if it is kept.
    fn member(&mut self) -> Option<&'static Shape> {
        let open = self.open.last_mut()?;
        let shape = match unescaped(&self.name) {
            Some(name) => open.shape.member(&name)?,
            // Its parser reports what is wrong with it.
            None => &Shape::Whole,
        };
        let comma: &[u8] = if std::mem::replace(&mut open.is_empty, false) { b"" } else { b"," };
        let name = std::mem::take(&mut self.name);
        self.values += 1;
        for part in [comma, b"\"", &name, b"\":"] {
            self.keep(part);
        }
        self.name = name;
        Some(shape)
    }

    fn value_ended(&mut self) {
        self.state = if self.open.is_empty() { State::Nothing } else { State::Member };
        self.mark_safe();
    }

    fn mark_safe(&mut self) {
        if !self.too_large {
            self.safe = (self.kept.len(), self.open.len());
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.too_large {
            return;
        }
        if self.kept.len() + bytes.len() <= self.limits.text && self.values <= self.limits.values {
            self.kept.extend_from_slice(bytes);
        } else {
            self.stop_keeping();
        }
    }

    /// The limit is exceeded: closes the open objects.
    fn stop_keeping(&mut self) {
        if std::mem::replace(&mut self.too_large, true) {
            return;
        }
        let (length, open) = self.safe;
        self.kept.truncate(length);
        if length == 0 {
            self.kept.extend_from_slice(b"null");
        }
        self.kept.extend(std::iter::repeat_n(b'}', open));
    }

    fn give_up(&mut self) {
        self.broken = true;
        self.state = State::Nothing;
    }
}

/// The maximum buffer that is kept between two elements of a list.
const ROOM: usize = 64 << 10;

/// The position within a value that is kept or dropped as a whole.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    began: bool,
    /// How many values were inside it so far.
    values: usize,
}

impl Scan {
    /// Goes to the end of the value or of the data. Returns the position, and whether the value is complete.
    fn advance(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_string {
                let (length, is_over) = string(&bytes[at..], &mut self.escaped);
                at += length;
                self.in_string = !is_over;
                if is_over && self.depth == 0 {
                    return (at, true);
                }
                continue;
            }
            let is_outside = self.depth == 0;
            match bytes[at] {
                b',' | b']' | b'}' if is_outside => return (at, true),
                byte if is_outside && self.began && (byte.is_ascii_whitespace() || b"\"[{".contains(&byte)) => {
                    return (at, true);
                }
                b'"' => self.in_string = true,
                b'[' | b'{' => {
                    self.depth += 1;
                    self.values += 1;
                }
                b']' | b'}' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                b',' => self.values += 1,
                _ => {}
            }
            self.began = true;
            at += 1;
        }
        (at, false)
    }
}

/// How many values the first value of a text contains.
pub(super) fn values(text: &[u8]) -> usize {
    let mut scan = Scan::default();
    scan.advance(text.trim_ascii_start());
    scan.values
}

/// The length of the rest of a string, including its closing quote, and whether the quote was found.
pub(super) fn string(bytes: &[u8], escaped: &mut bool) -> (usize, bool) {
    let mut at = 0;
    while at < bytes.len() {
        if std::mem::take(escaped) {
            at += 1;
            continue;
        }
        let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) else { return (bytes.len(), false) };
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return (at, true);
        }
        *escaped = true;
    }
    (at, false)
}

/// A name without escapes; `None` if it is not valid JSON.
pub(super) fn unescaped(name: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let text = super::text(name);
    if !text.contains('\\') {
        return Some(text);
    }
    serde_json::from_str::<String>(&format!("\"{text}\"")).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::Shape::{Each, Members, Whole};
    use super::super::read;
    use super::*;

    const ANY: Limits = Limits { text: usize::MAX, values: usize::MAX };
    const SHAPE: Shape = Members(&[
        ("a", Whole),
        ("b", Members(&[("a", Whole), ("c", Each(&Members(&[("a", Whole)])))])),
        ("\"", Each(&Whole)),
        ("é", Whole),
    ]);

    fn sifted(text: &[u8], sizes: &[usize], limits: Limits) -> serde_json::Result<Sifted> {
        let mut sieve = Sieve::new(&SHAPE, limits);
        let mut left = text;
        for size in sizes.iter().cycle() {
            if left.is_empty() || sieve.is_complete() {
                break;
            }
            let size = (*size).min(left.len());
            let taken = sieve.push(&left[..size]);
            assert!(taken == size || sieve.is_complete());
            left = &left[taken..];
        }
        sieve.finish()
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(json!(null)), any::<i32>().prop_map(|number| json!(number)), any_text()];
        leaf.prop_recursive(4, 30, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[abc\"é]|[,\\[{]{0,3}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn any_text() -> impl Strategy<Value = Value> {
        "[a\"\\\\,\\[\\]{}é\n]{0,6}".prop_map(Value::from)
    }

    proptest! {
        #[test]
        fn what_is_left_means_the_same_to_who_looks_at_that_shape(
            value in any_json(),
            sizes in proptest::collection::vec(1usize..9, 1..6),
            pretty in any::<bool>(),
            limits in prop_oneof![Just(ANY), (0_usize..60, 0_usize..20).prop_map(|(text, values)| Limits { text, values })],
        ) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let left = sifted(text.as_bytes(), &sizes, limits).unwrap();
            let left_text = String::from_utf8(left.text).unwrap();
            let read_left = read(&left_text, &SHAPE).unwrap();
            if left.too_large {
                prop_assert!(left_text.len() <= limits.text.max(4) + 4);
                prop_assert!(limits != ANY);
            } else {
                prop_assert!(left_text.len() <= limits.text);
                prop_assert_eq!(read_left, read(&text, &SHAPE).unwrap());
            }
        }

        #[test]
        fn nothing_that_arrives_makes_it_panic_or_pass_for_json(
            bytes in proptest::collection::vec(prop::sample::select(&b"[]{},:\"\\ ab1"[..]), 0..40),
            sizes in proptest::collection::vec(1usize..9, 1..6),
        ) {
            let one = sifted(&bytes, &sizes, ANY);
            let other = sifted(&bytes, &[usize::MAX], ANY);
            prop_assert_eq!(one.ok(), other.ok(), "it matters how it arrives");
        }
    }

    #[test]
    fn unused_parts_take_no_memory() {
        let mut sieve = Sieve::new(&SHAPE, Limits { text: 100, values: 10 });
        sieve.push(br#"{"a":1,"labels":{"x":""#);
        for _ in 0..1000 {
            sieve.push(&[b'x'; 1000]);
            sieve.push(b"\\\"");
        }
        sieve.push(b"\",\"numbers\":[");
        for _ in 0..1000 {
            sieve.push(&b"1,".repeat(500));
            sieve.push(b"[[[{");
        }
        assert!(sieve.kept.capacity() <= 200 && sieve.name.capacity() <= 200 && sieve.open.len() == 1);
    }

    #[test]
    fn of_what_is_too_large_the_members_before_are_left() {
        let limits = Limits { text: 40, values: 6 };
        for (text, left, too_large) in [
            (r#"{"a":"id","b":{"a":1}}"#, r#"{"a":"id","b":{"a":1}}"#, false),
            (r#"{"a":"id","é":"too long a text for what is kept of it"}"#, r#"{"a":"id"}"#, true),
            (
                r#"{"a":"id","b":{"a":1,"c":{"x":{"a":"too long a text for it"}}}}"#,
                r#"{"a":"id","b":{"a":1,"c":{"x":{}}}}"#,
                true,
            ),
            (r#"{"a":"id","é":[1,1,1,1,1,1]}"#, r#"{"a":"id"}"#, true),
            (r#"{"a":"id","é":[[[[[[]]]]]]}"#, r#"{"a":"id"}"#, true),
            (r#"["much longer than forty bytes, and no object at all"]"#, "null", false),
        ] {
            let sifted = sifted(text.as_bytes(), &[7], limits).unwrap();
            assert_eq!((std::str::from_utf8(&sifted.text).unwrap(), sifted.too_large), (left, too_large), "{text}");
        }
    }

    #[test]
    fn values_are_counted_wherever_they_are_and_not_in_strings() {
        for (text, count) in
            [("1", 0), (" [1,2,[3]]", 4), (r#"{"a":",,[[","b":{"c":[]}}"#, 4), ("[{},{},{}]", 6), ("", 0)]
        {
            assert_eq!(values(text.as_bytes()), count, "{text}");
        }
    }

    #[test]
    fn a_name_with_escapes_is_the_name_that_it_means() {
        let left = sifted(br#"{"\u0061":1,"\u0064":2}"#, &[3], ANY).unwrap();
        assert_eq!(left.text, br#"{"\u0061":1}"#);
    }

    #[test]
    fn bytes_behind_the_value_are_not_taken() {
        for text in [r#"{"a":1}"#, "[1]", "\"x\\\"\"", " 12", "null"] {
            let mut sieve = Sieve::new(&SHAPE, ANY);
            assert_eq!(sieve.push(format!("{text},7").as_bytes()), text.len(), "{text}");
            assert!(sieve.is_complete());
        }
    }
}
