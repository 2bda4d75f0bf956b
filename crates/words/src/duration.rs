//! Durations as Go writes them: `10s`, `1m30s`, `1.5h`; a bare number is none.

use std::time::Duration;

/// The units in nanoseconds; `ms` before `m`, as the first that fits is taken.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The most nanoseconds that Go's `time.Duration` holds, some 292 years.
const LONGEST: u128 = i64::MAX as u128;

/// No text is longer that tells a duration, in bytes; what is longer comes from somebody who wants it to take long.
const LONGEST_TEXT: usize = 64;

/// More digits than these in a fraction change no nanosecond.
const FRACTION_DIGITS: usize = 18;

/// Reads what Go's `time.ParseDuration` reads, except negative ones, which no check can use.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() || rest.len() > LONGEST_TEXT {
        return None;
    }
    let mut total = 0;
    while !rest.is_empty() {
        let (nanoseconds, behind) = part(rest)?;
        total += nanoseconds;
        rest = behind;
        if total > LONGEST {
            return None;
        }
    }
    u64::try_from(total).ok().map(Duration::from_nanos)
}

/// Reads one number with its unit: its nanoseconds, and what stands behind it.
fn part(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (spelling, unit) = UNITS.iter().find(|(spelling, _)| rest.starts_with(spelling))?;
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok().filter(|&number| number <= LONGEST)? };
    let (mut numerator, mut denominator) = (0, 1);
    for digit in fraction.bytes().take(FRACTION_DIGITS) {
        numerator = numerator * 10 + u128::from(digit - b'0');
        denominator *= 10;
    }
    Some((whole * unit + numerator * unit / denominator, &rest[spelling.len()..]))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_go_reads_is_read() {
        for (text, expected) in [
            ("10s", Duration::from_secs(10)),
            ("1m30s", Duration::from_secs(90)),
            ("500ms", Duration::from_millis(500)),
            ("1.5h", Duration::from_secs(5400)),
            ("0", Duration::ZERO),
            ("+0", Duration::ZERO),
            ("0s", Duration::ZERO),
            ("+5s", Duration::from_secs(5)),
            ("007s", Duration::from_secs(7)),
            (".5s", Duration::from_millis(500)),
            ("5.s", Duration::from_secs(5)),
            ("1h2m3s4ms5us6ns", Duration::new(3723, 4_005_006)),
            ("1s1h", Duration::from_secs(3601)),
            ("12µs", Duration::from_micros(12)),
            ("12μs", Duration::from_micros(12)),
            ("39h9m14.425s", Duration::from_millis(140_954_425)),
            ("0.9ns", Duration::ZERO),
            ("9223372036854775807ns", Duration::from_nanos(9_223_372_036_854_775_807)),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused_and_so_is_less_than_nothing() {
        for text in [
            "", "+", "-", "10", "1.5", ".s", ".", "s", "10 s", " 10s", "10s ", "10x", "10d", "1e3s", "--5s", "++5s",
            "-5s", "10S", "1,5s", "10s5", "٣s",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        for too_long in ["9223372036854775808ns", "2562048h", "9999999999999999999999999999999999999999h"] {
            assert_eq!(parse(too_long), None, "{too_long}");
        }
    }

    proptest! {
        #[test]
        fn a_sum_of_whole_parts_is_their_sum(h in 0_u64..1000, m in 0_u64..1000, s in 0_u64..1000, ms in 0_u64..1000) {
            let expected = Duration::from_secs(h * 3600 + m * 60 + s) + Duration::from_millis(ms);
            prop_assert_eq!(parse(&format!("{h}h{m}m{s}s{ms}ms")), Some(expected));
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC*", numbers in "[+-]?([0-9]{0,40}\\.?[0-9]{0,40}(ns|us|µs|ms|s|m|h)?){0,4}") {
            let _ = parse(&text);
            let _ = parse(&numbers);
        }
    }
}
