//! The zone in a URI.

use crate::registry::label;

/// The longest zone, in bytes: a name has 255, and two labels of ours stand before the zone.
const LONGEST: usize = 120;

/// A zone in lower case, without a dot at its end.
///
/// # Errors
/// When it is none: one line.
pub(in crate::registry) fn zone(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let whole = lower.strip_suffix('.').unwrap_or(&lower);
    let part = |part: &str| label::is_label(part.trim_start_matches('_'));
    if whole.len() <= LONGEST && whole.split('.').all(part) {
        Ok(whole.to_owned())
    } else {
        Err(format!("{text:?} is no zone: it is written as services.example.com, with at most {LONGEST} bytes"))
    }
}
