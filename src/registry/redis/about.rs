//! Who answers: its version from `INFO`, and its clock.

use std::time::{Duration, UNIX_EPOCH};

use redis::cmd;

use super::connection::Connection;
use crate::registry::text::one_line;
use crate::registry::{About, RegistryError};

/// How long each question may take.
const DEADLINE: Duration = Duration::from_secs(4);
/// The longest version that is shown.
const LONGEST: usize = 40;

/// Asks the server.
pub(super) async fn about(connection: &Connection) -> Result<About, RegistryError> {
    let info = connection
        .call(DEADLINE, |mut to| async move { cmd("INFO").arg("server").query_async::<Vec<u8>>(&mut to).await })
        .await;
    let info = match info {
        Ok(info) => String::from_utf8_lossy(&info).into_owned(),
        Err(error @ RegistryError::Unreachable(_)) => return Err(error),
        // Who may not ask gets no version.
        Err(RegistryError::Refused { .. } | RegistryError::Taken(_)) => String::new(),
    };
    let time =
        connection.call(DEADLINE, |mut to| async move { cmd("TIME").query_async::<(u64, u64)>(&mut to).await }).await;
    let since = |(seconds, micros)| Duration::from_secs(seconds).checked_add(Duration::from_micros(micros));
    let clock = time.ok().and_then(since).and_then(|since| UNIX_EPOCH.checked_add(since));
    let Kind { is_valkey, version } = kind(&info);
    let name = connection.name();
    let name = if is_valkey { name.replacen("Redis", "Valkey", 1) } else { name.to_owned() };
    Ok(About { name, version, clock, ..About::default() })
}

/// What `INFO` says of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kind {
    /// Valkey, which says the version of Redis that it is like as well.
    is_valkey: bool,
    /// Its version, on one line.
    version: Option<String>,
}

/// Reads the answer to `INFO`: lines of `name:value`.
fn kind(info: &str) -> Kind {
    let value = |name: &str| {
        let mut values = info.lines().filter_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
        values.next().filter(|value| !value.is_empty()).map(|value| one_line(value, LONGEST))
    };
    match value("valkey_version") {
        Some(version) => Kind { is_valkey: true, version: Some(version) },
        None => Kind { is_valkey: false, version: value("redis_version") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_of_either_server_and_missing_where_it_is_not_told() {
        for (info, is_valkey, version) in [
            ("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n", false, Some("7.0.15")),
            ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n", true, Some("8.0.1")),
            ("redis_version:\r\n", false, None),
            ("redis_version:7\u{1b}[31m", false, Some("7\\u{1b}[31m")),
            ("", false, None),
        ] {
            assert_eq!(kind(info), Kind { is_valkey, version: version.map(str::to_owned) }, "{info:?}");
        }
    }
}
