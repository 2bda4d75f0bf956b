//! Times: `datetime`, with the methods of Go's `time.Time`, and `timestamp`.

mod layout;

use std::collections::HashMap;
use std::time::Duration;

use gtmpl_ng::{Func, Value};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};

use super::args::{Args, Failed, Given, at_least, exactly, functions, method, text};
use crate::template::engine::{self, Table};
use crate::template::scope;

pub(in crate::template) static TABLE: Table = functions! {
    "datetime", exactly(0), |_| Ok(value(&now()));
    "timestamp", at_least(0), timestamp;
};

/// The field, which no template can name, with the time in a form that can be read again: the instant, then the zone. The
/// machine's zone may have no name, so it is written as [`LOCAL`].
const TIME: &str = " ";

const LOCAL: &str = "local";
const UTC: &str = "UTC";

/// Go's layout of the same name.
const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

/// How Go prints a time.
const PRINTED: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// The methods of `time.Time` that templates use.
static METHODS: &[(&str, Func)] = functions! {
    "Format", method(1), |args| Ok(Value::from(layout::written(&time(args)?, args.text(1)?)));
    "Unix", method(0), |args| Ok(Value::from(time(args)?.timestamp().as_second()));
    "UnixMilli", method(0), |args| Ok(Value::from(time(args)?.timestamp().as_millisecond()));
    "UnixNano", method(0), |args| Ok(i64::try_from(time(args)?.timestamp().as_nanosecond()).map(Value::from)?);
    "Year", method(0), |args| Ok(Value::from(i64::from(time(args)?.year())));
    "Month", method(0), |args| Ok(Value::from(layout::month(&time(args)?)));
    "Day", method(0), |args| Ok(Value::from(i64::from(time(args)?.day())));
    "YearDay", method(0), |args| Ok(Value::from(i64::from(time(args)?.day_of_year())));
    "Weekday", method(0), |args| Ok(Value::from(layout::weekday(&time(args)?)));
    "Hour", method(0), |args| Ok(Value::from(i64::from(time(args)?.hour())));
    "Minute", method(0), |args| Ok(Value::from(i64::from(time(args)?.minute())));
    "Second", method(0), |args| Ok(Value::from(i64::from(time(args)?.second())));
    "Nanosecond", method(0), |args| Ok(Value::from(i64::from(time(args)?.subsec_nanosecond())));
    "UTC", method(0), |args| Ok(value(&time(args)?.with_time_zone(TimeZone::UTC)));
    "Local", method(0), |args| Ok(value(&time(args)?.with_time_zone(local())));
    "String", method(0), |args| Ok(Value::from(layout::written(&time(args)?, PRINTED)));
    "Add", method(1), add;
    "AddDate", method(3), add_date;
    "Before", method(1), |args| Ok(Value::from(time(args)?.timestamp() < other(args)?.timestamp()));
    "After", method(1), |args| Ok(Value::from(time(args)?.timestamp() > other(args)?.timestamp()));
    "Equal", method(1), |args| Ok(Value::from(time(args)?.timestamp() == other(args)?.timestamp()));
};

/// The present time, in the machine's time zone.
fn now() -> ZonedDateTime {
    let now = scope::with(|scope| scope.now).flatten().unwrap_or_else(Timestamp::now);
    ZonedDateTime::new(now, local())
}

fn local() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

/// The zone's abbreviation; its offset, if it has none.
fn zone(time: &ZonedDateTime) -> String {
    let info = time.time_zone().to_offset_info(time.timestamp());
    match info.abbreviation() {
        name if name.starts_with(|first: char| first.is_ascii_alphabetic()) => name.to_owned(),
        name if time.offset().seconds() == 0 && name.is_empty() => "UTC".to_owned(),
        _ => layout::written(time, if time.offset().seconds() % 3600 == 0 { "-07" } else { "-0700" }),
    }
}

/// A time as templates see it: its methods, and how it prints.
fn value(time: &ZonedDateTime) -> Value {
    let mut fields: HashMap<String, Value> =
        METHODS.iter().map(|(name, method)| ((*name).to_owned(), Value::from(*method))).collect();
    fields.insert(engine::TEXT.to_owned(), Value::from(layout::written(time, PRINTED)));
    let zone = time.time_zone();
    let zone = if *zone == TimeZone::UTC {
        UTC
    } else if *zone == local() {
        LOCAL
    } else {
        zone.iana_name().unwrap_or(LOCAL)
    };
    fields.insert(TIME.to_owned(), Value::from(format!("{} {zone}", time.timestamp())));
    Value::Object(fields)
}

/// The time whose method is called.
fn time(args: &Args<'_>) -> Result<ZonedDateTime, Failed> {
    read(args.value(0))
}

/// The time that a method is given.
fn other(args: &Args<'_>) -> Result<ZonedDateTime, Failed> {
    read(args.value(1))
}

fn read(value: &Value) -> Result<ZonedDateTime, Failed> {
    let Value::Object(fields) = value else { return Err(Failed::expected("time.Time", value)) };
    let Some((instant, zone)) = fields.get(TIME).and_then(|time| text(time).ok()?.split_once(' ')) else {
        return Err(Failed::expected("time.Time", value));
    };
    let zone = match zone {
        UTC => TimeZone::UTC,
        LOCAL => local(),
        name => TimeZone::get(name)?,
    };
    Ok(ZonedDateTime::new(instant.parse()?, zone))
}

/// `Add NANOSECONDS`
fn add(args: &Args<'_>) -> Given {
    let nanoseconds = args.int(1)?;
    let span = Duration::from_nanos(nanoseconds.unsigned_abs());
    let time = time(args)?;
    Ok(value(&if nanoseconds < 0 { time.checked_sub(span) } else { time.checked_add(span) }?))
}

/// `AddDate YEARS MONTHS DAYS`. As in Go, a day that a month does not have is one of the next month: a month after
/// January 31 is March 3.
fn add_date(args: &Args<'_>) -> Given {
    let time = time(args)?;
    let months = args.int(1)?.checked_mul(12).and_then(|months| months.checked_add(args.int(2).ok()?));
    let months =
        months.and_then(|months| months.checked_add(i64::from(time.year()) * 12 + i64::from(time.month()) - 1));
    let months = months.ok_or_else(|| Failed::new("the date is out of range"))?;
    let (year, month) = (i16::try_from(months.div_euclid(12))?, i8::try_from(months.rem_euclid(12) + 1)?);
    let days = args.int(3)?.saturating_add(i64::from(time.day()) - 1);
    let date = Date::new(year, month, 1)?.checked_add(Span::new().try_days(days)?)?;
    Ok(value(&time.with().date(date).build()?))
}

/// `timestamp [LAYOUT]`, in UTC: as RFC 3339 has it, in seconds since 1970 (`unix`), or by a layout.
fn timestamp(args: &Args<'_>) -> Given {
    let now = now().with_time_zone(TimeZone::UTC);
    Ok(Value::from(match args.optional_text(0)? {
        None => layout::written(&now, RFC3339),
        Some("unix") => now.timestamp().as_second().to_string(),
        Some(layout) => layout::written(&now, layout),
    }))
}

#[cfg(test)]
mod tests {
    use gtmpl_ng::FuncError;

    use super::*;

    /// What a method gives for this time.
    fn method(time: &str, name: &str, args: &[Value]) -> Result<String, FuncError> {
        let time: ZonedDateTime = time.parse().unwrap();
        let (_, method) = METHODS.iter().find(|(method, _)| *method == name).unwrap();
        method(&[&[value(&time)], args].concat()).map(|value| engine::shown(&value))
    }

    #[test]
    fn the_methods_of_a_time_are_gos() {
        let time = "2026-11-26T17:31:58.123456789+00:00[UTC]";
        for (name, expected) in [
            ("String", "2026-11-26 17:31:58.123456789 +0000 UTC"),
            ("UTC", "2026-11-26 17:31:58.123456789 +0000 UTC"),
            ("Unix", "1795714318"),
            ("UnixMilli", "1795714318123"),
            ("UnixNano", "1795714318123456789"),
            ("Year", "2026"),
            ("Month", "November"),
            ("Day", "26"),
            ("YearDay", "330"),
            ("Weekday", "Thursday"),
            ("Hour", "17"),
            ("Minute", "31"),
            ("Second", "58"),
            ("Nanosecond", "123456789"),
        ] {
            assert_eq!(method(time, name, &[]).unwrap(), expected, "{name}");
        }
        let ns = |nanoseconds: i64| [Value::from(nanoseconds)];
        assert_eq!(method(time, "Add", &ns(-58_123_456_789)).unwrap(), "2026-11-26 17:31:00 +0000 UTC");
        assert_eq!(method(time, "Add", &ns(2_000_000_000)).unwrap(), "2026-11-26 17:32:00.123456789 +0000 UTC");
        for (from, [years, months, days], expected) in [
            (time, [0, -6, 1], "2026-05-27 17:31:58.123456789 +0000 UTC"),
            ("2026-01-31T00:00:00Z[UTC]", [0, 1, 0], "2026-03-03 00:00:00 +0000 UTC"),
            ("2024-02-29T00:00:00Z[UTC]", [1, 0, 0], "2025-03-01 00:00:00 +0000 UTC"),
            ("2026-01-01T00:00:00Z[UTC]", [-1, 13, -1], "2026-01-31 00:00:00 +0000 UTC"),
        ] {
            let date = [years, months, days].map(Value::from);
            assert_eq!(method(from, "AddDate", &date).unwrap(), expected, "{from}");
        }
        let later = [value(&"2026-11-26T17:31:59Z[UTC]".parse().unwrap())];
        assert_eq!(method(time, "Before", &later).unwrap(), "true");
        assert_eq!(method(time, "After", &later).unwrap(), "false");
        assert_eq!(method(time, "Equal", &later).unwrap(), "false");
        assert!(method(time, "Before", &[Value::from("x")]).is_err());
        assert!(method(time, "AddDate", &[Value::from(i64::MAX), Value::from(0), Value::from(0)]).is_err());
        assert!(method(time, "Add", &[Value::from(i64::MAX)]).is_ok());
    }

    #[test]
    fn a_zone_is_named_and_without_a_name_it_is_its_offset() {
        // Zones that need no data of the system's.
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let delhi = TimeZone::fixed(jiff::tz::Offset::from_seconds(19_800).unwrap());
        let sao_paulo = TimeZone::posix("<-03>3").unwrap();
        for (instant, zone, expected) in [
            ("2026-07-01T10:00:00Z", berlin.clone(), "2026-07-01 12:00:00 +0200 CEST"),
            ("2026-12-01T10:00:00Z", berlin, "2026-12-01 11:00:00 +0100 CET"),
            ("2026-07-01T10:00:00Z", TimeZone::UTC, "2026-07-01 10:00:00 +0000 UTC"),
            ("2026-07-01T10:00:00Z", delhi, "2026-07-01 15:30:00 +0530 +0530"),
            ("2026-07-01T10:00:00Z", sao_paulo, "2026-07-01 07:00:00 -0300 -03"),
        ] {
            let time = ZonedDateTime::new(instant.parse().unwrap(), zone);
            assert_eq!(layout::written(&time, PRINTED), expected);
        }
    }

    #[test]
    fn a_time_in_the_machines_zone_stays_in_it() {
        let instant: Timestamp = "2026-07-01T10:00:00Z".parse().unwrap();
        let time = ZonedDateTime::new(instant, local());
        assert_eq!(read(&value(&time)).unwrap(), time);
        assert_eq!(zone(&read(&value(&time)).unwrap()), zone(&time));
    }
}
