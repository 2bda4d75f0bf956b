//! What runs here for Traefik's HTTP provider (<https://doc.traefik.io/traefik/providers/http/>).

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use http::StatusCode;
use registrator_traefik::{Joined, Overruled, Settings, document};

use super::answer::{Answer, JSON, answer, text};
use super::hub::Hub;
use super::look;
use crate::desired::Mode;
use crate::event::Event;
use crate::host::Knowledge;
use crate::registry::traefik_settings;
use crate::service::notes::quote;
use crate::service::{Service, traefik};

/// The most definitions that are named when they are found not to count.
const MOST_TOLD: usize = 20;

/// The document, for the settings in the query.
pub(super) async fn send(hub: &Hub, query: &str) -> Answer {
    let settings = match traefik_settings(query) {
        Ok(settings) => settings,
        Err(reason) => return text(StatusCode::BAD_REQUEST, &format!("{reason}\n")),
    };
    let (reads, listed) = hub.host.ask(|known| (known.desired.reads_traefik(), known.listed)).await.unwrap_or_default();
    if !reads {
        let why = "labels for Traefik are not read: run registrator with -traefik\n";
        return text(StatusCode::NOT_FOUND, why);
    }
    if !listed {
        // An empty document would take every route away; Traefik keeps the last one after an error.
        return text(StatusCode::SERVICE_UNAVAILABLE, "the containers are not listed yet\n");
    }
    let mut services: Vec<Arc<Service>> = Vec::new();
    for ids in look::ids(hub).await.chunks(look::PART) {
        let ids = ids.to_vec();
        let serving = move |known: &Knowledge| {
            let offers = ids.iter().flat_map(|id| known.desired.offers(id));
            let serving = offers.filter(|(_, mode)| *mode == Mode::Serving);
            serving.map(|(service, _)| Arc::clone(service)).collect::<Vec<_>>()
        };
        services.extend(hub.host.ask(serving).await.unwrap_or_default());
    }
    let Joined { document, overruled } = joined(&services, &hub.about.hostname, &settings);
    tell(hub, overruled);
    answer(StatusCode::OK, JSON, format!("{document}\n"))
}

fn joined(services: &[Arc<Service>], owner: &str, settings: &Settings) -> Joined {
    document(services.iter().filter_map(|service| Some((traefik::share(service)?, service))).flat_map(
        |(share, service)| {
            let pieces = traefik::pieces(service, owner, settings);
            pieces.into_iter().map(move |piece| (share.rank((owner, &service.id)), piece))
        },
    ))
}

/// Says once which definitions do not count.
fn tell(hub: &Hub, overruled: Vec<Overruled>) {
    let now: BTreeSet<_> = overruled.into_iter().collect();
    let mut told = hub.listeners.overruled.lock().unwrap_or_else(PoisonError::into_inner);
    let new: Vec<_> = now.difference(&told).take(MOST_TOLD).cloned().collect();
    *told = now;
    drop(told);
    for Overruled { object, by, id } in new {
        let [object, by, id] = [object, by, id].map(|text| quote(&text));
        let text = format!(
            "traefik: {object} counts as {by} defines it, whose container is older, and not as {id} does; give one of \
             them another name"
        );
        hub.listeners.events().emit(Event::Advice { about: "traefik", text });
    }
}
