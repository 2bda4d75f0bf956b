//! Turns the event stream into hints about which containers may have changed.
//!
//! Pure: bytes in, IDs out. Only the ID is read from an event, and the container is then inspected: engines lose
//! events, repeat them, and change their shape (1.52 no longer has the top-level `status`, `id` and `from`). The
//! container's labels, which can be very long, are dropped as they arrive.

use memchr::memchr;

use super::decode::{self, Malformed};
use crate::container::ContainerId;
use crate::json::Shape::{self, Members, Whole};
use crate::json::{self, Limits, Sieve, Value};

/// The parts of an event that are read.
const EVENT: Shape = Members(&[
    ("status", Whole),
    ("id", Whole),
    ("Type", Whole),
    ("Action", Whole),
    ("Actor", Members(&[("ID", Whole), ("Attributes", Members(&[("container", Whole), ("signal", Whole)]))])),
]);

/// Limits for one event.
const LARGEST: Limits = Limits { text: 64 << 10, values: 1 << 10 };

/// The content of some bytes of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Containers that may have changed, in the stream's order.
    pub hints: Vec<ContainerId>,
    /// Containers that were sent a signal, with its number, in the stream's order; they are also among the hints.
    pub signals: Vec<(ContainerId, u32)>,
    /// What happened to the containers of the hints: one of [`ACTIONS`] each.
    pub actions: Vec<&'static str>,
    /// The number of lines that were too long or invalid.
    pub skipped: usize,
}

/// Splits the stream into lines and parses each, however the bytes arrive.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Line,
}

impl Decoder {
    /// Takes the next bytes of the stream. An incomplete line waits for the rest.
    pub fn push(&mut self, mut bytes: &[u8]) -> Received {
        let mut received = Received::default();
        while let Some(end) = memchr(b'\n', bytes) {
            self.line.push(&bytes[..end]);
            match std::mem::take(&mut self.line).said() {
                Ok(Some(Said { id, signal, action })) => {
                    received.signals.extend(signal.map(|signal| (id.clone(), signal)));
                    received.hints.push(id);
                    received.actions.push(action);
                }
                Ok(None) => {}
                Err(_) => received.skipped += 1,
            }
            bytes = &bytes[end + 1..];
        }
        self.line.push(bytes);
        received
    }
}

/// An incomplete line of the stream.
#[derive(Debug)]
struct Line {
    event: Sieve,
    /// Only blanks so far.
    is_empty: bool,
    /// There is something after the event.
    is_broken: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self { event: Sieve::new(&EVENT, LARGEST), is_empty: true, is_broken: false }
    }
}

impl Line {
    fn push(&mut self, mut bytes: &[u8]) {
        if self.is_empty {
            // RFC 7464 puts a record separator before each text.
            let begin = bytes.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != 0x1e);
            bytes = &bytes[begin.unwrap_or(bytes.len())..];
            self.is_empty = bytes.is_empty();
        }
        let taken = self.event.push(bytes);
        self.is_broken |= bytes[taken..].iter().any(|byte| !byte.is_ascii_whitespace());
    }

    /// What the event says of a container, if it is about one.
    fn said(self) -> Result<Option<Said>, Malformed> {
        if self.is_empty {
            return Ok(None);
        }
        if self.is_broken {
            return Err(Malformed::Missing("end of an event"));
        }
        let event = self.event.finish()?.text;
        said(&json::read(&json::text(&event), &EVENT)?)
    }
}

/// The container that a line of the stream is about, if it may have changed it.
///
/// # Errors
/// When the line is not a JSON object, or is about a container without its ID.
pub fn hint(line: &[u8]) -> Result<Option<ContainerId>, Malformed> {
    let mut read = Line::default();
    read.push(line);
    Ok(read.said()?.map(|said| said.id))
}

/// What an event says of a container.
struct Said {
    id: ContainerId,
    /// The signal that it was sent, if any.
    signal: Option<u32>,
    action: &'static str,
}

/// The content of an event.
fn said(event: &Value<'_>) -> Result<Option<Said>, Malformed> {
    let Value::Object(_) = event else { return Err(Malformed::Missing("event")) };
    let text = |value: &Value<'_>| value.as_str().unwrap_or_default().to_owned();
    let first =
        |values: [&Value<'_>; 2]| values.into_iter().map(text).find(|text| !text.is_empty()).unwrap_or_default();
    let actor = &event["Actor"];
    let action = first([&event["Action"], &event["status"]]);
    let id = match event["Type"].as_str() {
        Some("container") | None if is_idle(&action) => return Ok(None),
        Some("container") | None => first([&actor["ID"], &event["id"]]),
        // In Podman's network events, the actor is the container.
        Some("network") if matches!(action.as_str(), "connect" | "disconnect") => {
            first([&actor["Attributes"]["container"], &actor["ID"]])
        }
        Some(_) => return Ok(None),
    };
    // `prune` is one event for all containers; each removed container has its own as well.
    if id.is_empty() && action == "prune" {
        return Ok(None);
    }
    let signal = (action == "kill").then(|| decode::signal(&text(&actor["Attributes"]["signal"]))).flatten();
    let id = decode::container_id(&id).ok_or(Malformed::Missing("container in an event"))?;
    Ok(Some(Said { id, signal, action: counted(&action) }))
}

/// The actions that are counted by name. Of others, which may be any text, the sum is counted.
pub const ACTIONS: [&str; 14] = [
    "create",
    "start",
    "restart",
    "kill",
    "stop",
    "die",
    "oom",
    "pause",
    "unpause",
    "rename",
    "update",
    "health_status",
    "destroy",
    "other",
];

fn counted(action: &str) -> &'static str {
    let verb = action.split(':').next().unwrap_or_default().trim_end();
    ACTIONS.into_iter().find(|known| *known == verb).unwrap_or("other")
}

/// Actions that never change what a service is made of. Unknown actions may change anything.
fn is_idle(action: &str) -> bool {
    // `exec_create: sh -c true`.
    let verb = action.split(':').next().unwrap_or_default().trim_end();
    verb.starts_with("exec_")
        || matches!(
            verb,
            "exec"
                | "top"
                | "attach"
                | "detach"
                | "resize"
                | "copy"
                | "export"
                | "commit"
                | "archive-path"
                | "extract-to-dir"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hinted(line: &str) -> Option<String> {
        hint(line.as_bytes()).unwrap().map(|id| id.to_string())
    }

    #[test]
    fn every_shape_of_an_event_names_its_container() {
        for (line, id) in [
            // Engine 20.10, 29 (API 1.52), Podman, and one that has only the old fields.
            (
                r#"{"status":"start","id":"aa","from":"web","Type":"container","Action":"start","Actor":{"ID":"aa"}}"#,
                Some("aa"),
            ),
            (
                r#"{"Type":"container","Action":"die","Actor":{"ID":"aa","Attributes":{"exitCode":"0"}},"scope":"local"}"#,
                Some("aa"),
            ),
            (
                r#"{"status":"health_status","id":"aa","Type":"container","Action":"health_status","Actor":{"ID":"aa"},"HealthStatus":"healthy"}"#,
                Some("aa"),
            ),
            (r#"{"status":"start","id":"aa","from":"web","time":1}"#, Some("aa")),
            // Unknown words.
            (r#"{"Type":"container","Action":"teleport","Actor":{"ID":"aa"}}"#, Some("aa")),
            // Networks: the container is in an attribute; for Podman, it is the actor.
            (
                r#"{"Type":"network","Action":"connect","Actor":{"ID":"net","Attributes":{"container":"aa"}}}"#,
                Some("aa"),
            ),
            (
                r#"{"Type":"network","Action":"disconnect","Actor":{"ID":"aa","Attributes":{"network":"n"}}}"#,
                Some("aa"),
            ),
            (r#"{"Type":"network","Action":"create","Actor":{"ID":"net"}}"#, None),
            (r#"{"Type":"image","Action":"pull","Actor":{"ID":"busybox"}}"#, None),
            (r#"{"Type":"container","Action":"prune","Actor":{"ID":"","Attributes":{"reclaimed":"0"}}}"#, None),
            // An engine that separates records as RFC 7464 says.
            ("\u{1e}{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"aa\"}}", Some("aa")),
            ("", None),
            ("\r", None),
        ] {
            assert_eq!(hinted(line).as_deref(), id, "{line}");
        }
    }

    #[test]
    fn actions_that_change_nothing_are_no_hints() {
        for action in ["exec_create: sh -c true", "exec_die", "exec", "top", "attach", "copy", "commit", "archive-path"]
        {
            let line = format!(r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"aa"}}}}"#);
            assert_eq!(hinted(&line), None, "{action}");
        }
        for action in ["health_status: healthy", "topple", "rename", "update", "oom", "kill"] {
            let line = format!(r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"aa"}}}}"#);
            assert_eq!(hinted(&line).as_deref(), Some("aa"), "{action}");
        }
    }

    #[test]
    fn an_identifier_that_could_leave_its_place_in_a_url_is_refused() {
        for id in ["../../images/json", "a?b", "a/b", "", ".", "a b", "é", "a\\nb"] {
            let line = format!(r#"{{"Type":"container","Action":"start","Actor":{{"ID":"{id}"}}}}"#);
            assert!(hint(line.as_bytes()).is_err(), "{id}");
        }
    }

    #[test]
    fn a_bad_line_is_skipped_and_the_next_one_read() {
        let good = r#"{"Type":"container","Action":"start","Actor":{"ID":"aa"}}"#;
        let mut decoder = Decoder::default();
        let mut stream = b"garbage\n\xff\xfe\x00\n[1]\n{\"Type\":\n".to_vec();
        stream.extend_from_slice(good.as_bytes());
        stream.push(b'\n');
        let received = decoder.push(&stream);
        assert_eq!((received.hints, received.skipped), (vec![ContainerId::from("aa")], 4));
    }

    #[test]
    fn a_signal_is_told_with_its_container() {
        let mut decoder = Decoder::default();
        for (attributes, signal) in [
            (r#"{"signal":"15"}"#, Some(15)),
            (r#"{"signal":"SIGQUIT"}"#, Some(3)),
            (r#"{"signal":"0"}"#, None),
            (r#"{"signal":""}"#, None),
            (r#"{"signal":15}"#, None),
            ("{}", None),
            ("null", None),
        ] {
            let actor = format!(r#"{{"ID":"aa","Attributes":{attributes}}}"#);
            let line = format!("{{\"Type\":\"container\",\"Action\":\"kill\",\"Actor\":{actor}}}\n");
            let received = decoder.push(line.as_bytes());
            let expected: Vec<_> = signal.map(|signal| (ContainerId::from("aa"), signal)).into_iter().collect();
            assert_eq!((received.signals, received.hints.len()), (expected, 1), "{attributes}");
        }
    }

    #[test]
    fn a_line_of_any_length_still_names_its_container_and_is_never_held_in_memory() {
        let mut decoder = Decoder::default();
        let begin = r#"{"Type":"container","Action":"kill","Actor":{"ID":"aa","Attributes":{"label":"#;
        assert_eq!(decoder.push(begin.as_bytes()), Received::default());
        decoder.push(b"\"");
        for _ in 0..1000 {
            assert_eq!(decoder.push(&[b'x'; 10_000]), Received::default());
        }
        let received = decoder.push(b"\",\"signal\":\"9\"}}}\n");
        assert_eq!((received.hints, received.signals), (vec!["aa".into()], vec![("aa".into(), 9)]));
        // The relevant parts need no more memory than usual.
        decoder.push(begin.replace("label", "container").as_bytes());
        decoder.push(b"\"");
        for _ in 0..1000 {
            assert_eq!(decoder.push(&[b'x'; 10_000]), Received::default());
        }
        let received = decoder.push(b"\"}}}\n");
        assert_eq!((received.hints, received.skipped), (vec!["aa".into()], 0));
        // Nor does garbage.
        for _ in 0..1000 {
            assert_eq!(decoder.push(&[b'x'; 10_000]), Received::default());
        }
        let received = decoder.push(b"\n{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"aa\"}}\n");
        assert_eq!((received.hints.len(), received.skipped), (1, 1));
    }

    #[test]
    fn a_line_of_bytes_that_are_no_text_still_names_its_container() {
        let line =
            b"{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"aa\",\"Attributes\":{\"l\":\"\xff\"}}}";
        assert_eq!(hint(line).unwrap(), Some(ContainerId::from("aa")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = hint(&bytes);
        }

        #[test]
        fn it_does_not_matter_how_the_bytes_arrive(
            lines in prop::collection::vec(
                prop_oneof![
                    "[a-f0-9]{1,8}".prop_map(|id| format!(r#"{{"Type":"container","Action":"die","Actor":{{"ID":"{id}"}}}}"#)),
                    "\\PC{0,20}",
                ],
                0..12,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let stream = lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
            let whole = Decoder::default().push(&stream);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let mut decoder = Decoder::default();
            let mut parts = Received::default();
            for pair in cuts.windows(2) {
                let received = decoder.push(&stream[pair[0]..pair[1]]);
                parts.hints.extend(received.hints);
                parts.signals.extend(received.signals);
                parts.actions.extend(received.actions);
                parts.skipped += received.skipped;
            }
            prop_assert_eq!(parts, whole);
        }
    }
}
