//! Times written by Go's layouts: `Mon Jan 2 15:04:05 MST 2006` shows how each part is to be written.

use std::fmt::Write;

use jiff::ZonedDateTime;
use jiff::civil::Weekday;

/// The time, written as the layout shows it.
pub(super) fn written(time: &ZonedDateTime, layout: &str) -> String {
    let mut text = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(next) = rest.chars().next() {
        let length = match part(rest) {
            Some((part, length)) => {
                write_part(time, part, &mut text);
                length
            }
            None => {
                text.push(next);
                next.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    text
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    LongMonth,
    ShortMonth,
    Month {
        zero: bool,
    },
    LongWeekday,
    ShortWeekday,
    Day(Pad),
    DayOfYear(Pad),
    Hour24,
    Hour12 {
        zero: bool,
    },
    Minute {
        zero: bool,
    },
    Second {
        zero: bool,
    },
    LongYear,
    ShortYear,
    Noon {
        upper: bool,
    },
    Zone,
    Offset(Offset),
    /// Digits behind the separator; where zeros may be left out, none of them need be there.
    Fraction {
        separator: char,
        digits: usize,
        trimmed: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pad {
    None,
    Space,
    Zero,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offset {
    /// Whether UTC is written `Z`.
    z: bool,
    colons: bool,
    minutes: bool,
    seconds: bool,
}

/// The parts that begin with a fixed text, longer ones before those that begin alike.
const FIXED: &[(&str, Part)] = &[
    ("January", Part::LongMonth),
    ("Monday", Part::LongWeekday),
    ("MST", Part::Zone),
    ("002", Part::DayOfYear(Pad::Zero)),
    ("01", Part::Month { zero: true }),
    ("02", Part::Day(Pad::Zero)),
    ("03", Part::Hour12 { zero: true }),
    ("04", Part::Minute { zero: true }),
    ("05", Part::Second { zero: true }),
    ("06", Part::ShortYear),
    ("15", Part::Hour24),
    ("1", Part::Month { zero: false }),
    ("2006", Part::LongYear),
    ("2", Part::Day(Pad::None)),
    ("__2", Part::DayOfYear(Pad::Space)),
    ("3", Part::Hour12 { zero: false }),
    ("4", Part::Minute { zero: false }),
    ("5", Part::Second { zero: false }),
    ("PM", Part::Noon { upper: true }),
    ("pm", Part::Noon { upper: false }),
    ("-070000", Part::Offset(Offset { z: false, colons: false, minutes: true, seconds: true })),
    ("-07:00:00", Part::Offset(Offset { z: false, colons: true, minutes: true, seconds: true })),
    ("-0700", Part::Offset(Offset { z: false, colons: false, minutes: true, seconds: false })),
    ("-07:00", Part::Offset(Offset { z: false, colons: true, minutes: true, seconds: false })),
    ("-07", Part::Offset(Offset { z: false, colons: false, minutes: false, seconds: false })),
    ("Z070000", Part::Offset(Offset { z: true, colons: false, minutes: true, seconds: true })),
    ("Z07:00:00", Part::Offset(Offset { z: true, colons: true, minutes: true, seconds: true })),
    ("Z0700", Part::Offset(Offset { z: true, colons: false, minutes: true, seconds: false })),
    ("Z07:00", Part::Offset(Offset { z: true, colons: true, minutes: true, seconds: false })),
    ("Z07", Part::Offset(Offset { z: true, colons: false, minutes: false, seconds: false })),
];

/// The part at the start of a layout, and its length.
fn part(layout: &str) -> Option<(Part, usize)> {
    if let Some((text, part)) = FIXED.iter().find(|(text, _)| layout.starts_with(text)) {
        return Some((*part, text.len()));
    }
    // `Janet` and `Monet` are words.
    let word_goes_on = layout.chars().nth(3).is_some_and(|next| next.is_ascii_lowercase());
    match layout.chars().next()? {
        'J' if layout.starts_with("Jan") && !word_goes_on => Some((Part::ShortMonth, 3)),
        'M' if layout.starts_with("Mon") && !word_goes_on => Some((Part::ShortWeekday, 3)),
        // Of `_2006`, the line is a line, and the year is a year.
        '_' if layout.starts_with("_2") && !layout.starts_with("_2006") => Some((Part::Day(Pad::Space), 2)),
        separator @ ('.' | ',') => {
            let digit = layout[1..].chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
            let digits = layout[1..].chars().take_while(|other| *other == digit).count();
            let goes_on = layout[1 + digits..].starts_with(|next: char| next.is_ascii_digit());
            (!goes_on).then_some((Part::Fraction { separator, digits, trimmed: digit == '9' }, 1 + digits))
        }
        _ => None,
    }
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The month's name.
pub(super) fn month(time: &ZonedDateTime) -> &'static str {
    usize::try_from(time.month() - 1).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or_default()
}

/// The weekday's name.
pub(super) fn weekday(time: &ZonedDateTime) -> &'static str {
    match time.weekday() {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

fn write_part(time: &ZonedDateTime, part: Part, text: &mut String) {
    // Writing into a text cannot fail.
    let _ = match part {
        Part::LongMonth => write!(text, "{}", month(time)),
        Part::ShortMonth => write!(text, "{:.3}", month(time)),
        Part::Month { zero } => number(text, time.month(), zero),
        Part::LongWeekday => write!(text, "{}", weekday(time)),
        Part::ShortWeekday => write!(text, "{:.3}", weekday(time)),
        Part::Day(Pad::None) => number(text, time.day(), false),
        Part::Day(Pad::Space) => write!(text, "{:2}", time.day()),
        Part::Day(Pad::Zero) => number(text, time.day(), true),
        Part::DayOfYear(Pad::Space) => write!(text, "{:3}", time.day_of_year()),
        Part::DayOfYear(_) => write!(text, "{:03}", time.day_of_year()),
        Part::Hour24 => number(text, time.hour(), true),
        Part::Hour12 { zero } => number(text, (time.hour() + 11) % 12 + 1, zero),
        Part::Minute { zero } => number(text, time.minute(), zero),
        Part::Second { zero } => number(text, time.second(), zero),
        Part::LongYear => write!(text, "{:04}", time.year()),
        Part::ShortYear => write!(text, "{:02}", time.year().rem_euclid(100)),
        Part::Noon { upper } => {
            let noon = if time.hour() >= 12 { "PM" } else { "AM" };
            if upper { write!(text, "{noon}") } else { write!(text, "{}", noon.to_ascii_lowercase()) }
        }
        Part::Zone => write!(text, "{}", super::zone(time)),
        Part::Offset(style) => offset(time, style, text),
        Part::Fraction { separator, digits, trimmed } => fraction(time, separator, (digits, trimmed), text),
    };
}

fn number(text: &mut String, number: i8, zero: bool) -> std::fmt::Result {
    if zero { write!(text, "{number:02}") } else { write!(text, "{number}") }
}

fn offset(time: &ZonedDateTime, style: Offset, text: &mut String) -> std::fmt::Result {
    let seconds = time.offset().seconds();
    if style.z && seconds == 0 {
        return text.write_char('Z');
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    let colon = if style.colons { ":" } else { "" };
    write!(text, "{sign}{:02}", seconds / 3600)?;
    if style.minutes {
        write!(text, "{colon}{:02}", seconds / 60 % 60)?;
    }
    if style.seconds {
        write!(text, "{colon}{:02}", seconds % 60)?;
    }
    Ok(())
}

/// So many digits of the second's fraction; if trimmed, without the zeros at its end, and without the separator if
/// nothing is left.
fn fraction(
    time: &ZonedDateTime,
    separator: char,
    (digits, trimmed): (usize, bool),
    text: &mut String,
) -> std::fmt::Result {
    let nanoseconds = format!("{:09}", time.subsec_nanosecond());
    let kept = nanoseconds.get(..digits.min(9)).unwrap_or_default();
    let kept = if trimmed { kept.trim_end_matches('0') } else { kept };
    if kept.is_empty() { Ok(()) } else { write!(text, "{separator}{kept}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> ZonedDateTime {
        time.parse().unwrap()
    }

    #[test]
    fn gos_layouts_are_written() {
        let time = at("2026-02-05T21:03:09.012300000+05:30[+05:30]");
        for (layout, expected) in [
            ("Mon Jan _2 15:04:05 2006", "Thu Feb  5 21:03:09 2026"),
            ("Mon Jan _2 15:04:05 MST 2006", "Thu Feb  5 21:03:09 +0530 2026"),
            ("Mon Jan 02 15:04:05 -0700 2006", "Thu Feb 05 21:03:09 +0530 2026"),
            ("02 Jan 06 15:04 -0700", "05 Feb 26 21:03 +0530"),
            ("Monday, 02-Jan-06 15:04:05", "Thursday, 05-Feb-26 21:03:09"),
            ("2006-01-02T15:04:05Z07:00", "2026-02-05T21:03:09+05:30"),
            ("2006-01-02T15:04:05.999999999Z07:00", "2026-02-05T21:03:09.0123+05:30"),
            ("3:04PM 03 pm", "9:03PM 09 pm"),
            ("Jan 2, 2006 at 3:04pm", "Feb 5, 2026 at 9:03pm"),
            ("January 1 01 2 02 _2", "February 2 02 5 05  5"),
            ("002 __2", "036  36"),
            ("05.000 05.000000 05,000 05.99 05.9", "09.012 09.012300 09,012 09.01 09"),
            ("-07 -07:00 -070000 -07:00:00 Z07 Z0700 Z07:00:00", "+05 +05:30 +053000 +05:30:00 +05 +0530 +05:30:00"),
            ("4 5 6", "3 9 6"),
            ("Janet Monet é .1 .05", "Janet Monet é .2 .09"),
            ("_2006 a_2", "_2026 a 5"),
            ("", ""),
        ] {
            assert_eq!(written(&time, layout), expected, "{layout}");
        }
    }

    #[test]
    fn midnight_noon_and_utc_are_written() {
        let midnight = at("1999-12-31T00:00:00+00:00[UTC]");
        for (layout, expected) in [
            ("3 03 PM pm 15", "12 12 AM am 00"),
            ("Z07:00 Z0700 -0700 MST", "Z Z +0000 UTC"),
            ("06 002 _2 .000 .999", "99 365 31 .000 "),
        ] {
            assert_eq!(written(&midnight, layout), expected, "{layout}");
        }
        assert_eq!(written(&at("1999-12-31T12:00:00+00:00[UTC]"), "3PM"), "12PM");
        assert_eq!(written(&at("1999-12-31T12:00:00-03:30[-03:30]"), "-07:00"), "-03:30");
    }
}
