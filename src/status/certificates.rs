//! Until when the certificates of registries are valid: for the metrics.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::hub::Hub;
use super::meter::Meter;
use crate::http::{served_until, valid_until};
use crate::registry::Site;

/// How often certificates are looked at.
const PACE: Duration = Duration::from_secs(3600);
/// How long after a failure: the server may be away.
const RETRY: Duration = Duration::from_secs(60);
/// How long a server may take to show its certificate.
const DEADLINE: Duration = Duration::from_secs(10);

/// Looks at the certificates of all registries that use TLS, again and again. Never ends.
pub async fn follow(hub: Hub) {
    loop {
        let mut all = true;
        for kept in hub.registries.iter() {
            if let Some(site) = &kept.site {
                all &= look(&hub.listeners.meter, &kept.name, site).await;
            }
        }
        sleep(if all { PACE } else { RETRY }).await;
    }
}

/// Returns whether every certificate could be looked at.
async fn look(meter: &Meter, registry: &Arc<str>, site: &Site) -> bool {
    let Some(tls) = &site.tls else { return true };
    let mut all = true;
    // The server whose certificate is over first counts.
    let mut soonest: Option<i64> = None;
    for (host, port) in &site.servers {
        match timeout(DEADLINE, served_until(host, *port, tls)).await {
            Ok(Ok(until)) => soonest = Some(soonest.map_or(until, |soonest| soonest.min(until))),
            _ => all = false,
        }
    }
    let files = [("client", tls.identity.as_ref().map(|(path, _)| path)), ("authority", tls.ca.as_ref())];
    let of_files = files.into_iter().filter_map(|(kind, path)| Some((kind, valid_until(path?).ok()??)));
    for (kind, until) in soonest.map(|until| ("server", until)).into_iter().chain(of_files) {
        meter.certificate(registry, kind, until);
    }
    all
}
