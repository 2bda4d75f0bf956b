//! Any bytes as an event stream: no panic, no endless memory, and the same whichever way they arrive.

use registrator::docker::events::Decoder;

/// Runs the target on one input.
pub fn run(bytes: &[u8]) {
    let whole = Decoder::default().push(bytes);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut decoder = Decoder::default();
    let mut parts = decoder.push(first);
    let rest = decoder.push(second);
    parts.hints.extend(rest.hints);
    parts.signals.extend(rest.signals);
    parts.actions.extend(rest.actions);
    parts.skipped += rest.skipped;
    assert_eq!(parts, whole);
}
