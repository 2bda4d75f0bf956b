//! Who answers: every etcd serves its version over HTTP, to everybody, and its clock with it.

use std::time::Duration;

use ::http::header::DATE;

use crate::http;
use crate::json;
use crate::registry::site::{self, About, Site};
use crate::registry::text::one_line;
use crate::registry::{RegistryError, Store};

use super::Settings;

/// How long one server may take.
const DEADLINE: Duration = Duration::from_secs(3);
/// The maximum size of the answer, in bytes, and of the values in it.
const ANSWER_LIMIT: usize = 4 << 10;
const MOST_VALUES: usize = 32;
/// The longest version that is shown.
const LONGEST: usize = 40;

/// Where it is.
pub(super) fn site(settings: &Settings, store: Store) -> Site {
    Site {
        store,
        servers: settings.servers.iter().map(|server| (server.host.clone(), server.port)).collect(),
        tls: settings.tls.clone(),
        user: settings.user.as_ref().map(|(user, _)| user.clone()),
        ..Site::default()
    }
}

/// Asks the first server that answers.
///
/// # Errors
/// When none does.
pub(super) async fn about(settings: &Settings) -> Result<About, RegistryError> {
    let name = format!("etcd at {}", settings.place());
    let away = |reason: &str| RegistryError::Unreachable(format!("{name}: {reason}"));
    let client = http::client(None, &settings.tls.clone().unwrap_or_default())
        .map_err(|error| away(&settings.names.tls.of_files(&error)))?;
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let mut last = away("no answer in time");
    for server in &settings.servers {
        let exchange = async {
            let reply = client.get(&format!("{scheme}://{server}/version")).await.map_err(|error| error.to_string())?;
            let clock = reply.headers().get(DATE).and_then(site::date);
            let body = http::body(reply, ANSWER_LIMIT).await.map_err(|error| error.to_string())?;
            let said: serde_json::Value = json::owned(&body, MOST_VALUES).unwrap_or_default();
            let version = said["etcdserver"].as_str().map(|version| one_line(version, LONGEST));
            Ok::<_, String>(About { name: name.clone(), version, clock, ..About::default() })
        };
        match client.in_time(DEADLINE, exchange).await {
            Ok(Ok(about)) => return Ok(about),
            Ok(Err(reason)) => last = away(&reason),
            Err(late) => last = away(&late.to_string()),
        }
    }
    Err(last)
}
