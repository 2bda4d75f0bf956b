//! Times on the page. The script lets them tick; without it, they are the host's local time.

use std::fmt::{self, Display};

use registrator_web::page::PAST;

/// A time that has passed, in seconds since 1970. That it differs by a second is no change of a row.
pub(super) struct Past(pub(super) u64);

/// A time to come, in seconds since 1970.
pub(super) struct Next(pub(super) u64);

impl Display for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, PAST, self.0)
    }
}

impl Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, "<time class=\"next\" datetime=", self.0)
    }
}

fn write(f: &mut fmt::Formatter<'_>, begin: &str, seconds: u64) -> fmt::Result {
    let time = chrono::DateTime::from_timestamp(i64::try_from(seconds).unwrap_or_default(), 0).unwrap_or_default();
    let exact = time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let shown = time.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S");
    write!(f, "{begin}\"{exact}\" data-at=\"{seconds}\">{shown}</time>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_there_for_people_and_for_the_script() {
        let shown = Past(1_700_000_000).to_string();
        assert!(
            shown.starts_with("<time datetime=\"2023-11-14T22:13:20Z\" data-at=\"1700000000\">2023-11-1"),
            "{shown}"
        );
        assert!(Next(u64::MAX).to_string().ends_with("</time>"));
    }
}
