//! The read-only listener (`-status`): what may be asked, and who may ask.

use std::convert::Infallible;

use futures_util::stream;
use http::header::{ALLOW, AUTHORIZATION, HeaderValue, IF_NONE_MATCH, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use percent_encoding::percent_decode_str;
use registrator_web::{Answerer, Foreign, Names, Network, Permits, Room};
use tokio::sync::mpsc;

use super::answer::{Answer, Body, JSON, Out, answer, busy, empty, json, response, tag, tagged, text};
use super::hub::Hub;
use super::token::Token;
use super::{events, health, look, page, query, targets, traefik};

/// Answers of a kind that are made at the same time: they share the tasks that answer.
const COSTLY: Room = Room { most: 4, reserve: 2, share: 2 };
/// Readers of the events at the same time.
const LISTENERS: Room = Room { most: 64, reserve: 8, share: 32 };
/// How many parts of a long answer wait for their reader.
const PARTS: usize = 2;
/// Prometheus's text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers from a hub.
pub struct Desk {
    hub: Hub,
    names: Names,
    token: Option<Token>,
    costly: Permits<Network>,
    turns: Permits<Network>,
    listeners: Permits<Network>,
}

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// `/`
    Page,
    /// A part of the page: `/page/registries`, `/page/containers`, `/page/container/<id>`, `/page/explain/<id>`,
    /// `/page/events`, and its files.
    Part(page::Part),
    /// `/v1/state`
    State,
    /// `/v1/containers`
    Containers,
    /// `/v1/containers/<name or id>`
    Container(String),
    /// `/v1/services`
    Services,
    /// `/v1/registries`
    Registries,
    /// `/v1/plan`
    Plan,
    /// `/v1/events`
    Events,
    /// `/v1/about`
    About,
    /// `/metrics`
    Metrics,
    /// `/health`
    Health,
    /// `/ready`
    Ready,
    /// `/prometheus/targets`
    Targets,
    /// `/traefik`
    Traefik,
    /// None of ours.
    Unknown,
}

impl Path {
    /// What a path (without its query) asks for.
    #[must_use]
    pub fn parse(path: &str) -> Self {
        match path {
            "/" => Self::Page,
            "/v1/state" => Self::State,
            "/v1/containers" | "/v1/containers/" => Self::Containers,
            "/v1/services" => Self::Services,
            "/v1/registries" => Self::Registries,
            "/v1/plan" => Self::Plan,
            "/v1/events" => Self::Events,
            "/v1/about" => Self::About,
            "/metrics" => Self::Metrics,
            "/health" => Self::Health,
            "/ready" => Self::Ready,
            "/prometheus/targets" => Self::Targets,
            "/traefik" => Self::Traefik,
            _ => match path.strip_prefix("/v1/containers/") {
                Some(name) => Self::Container(percent_decode_str(name).decode_utf8_lossy().into_owned()),
                None => page::Part::parse(path).map_or(Self::Unknown, Self::Part),
            },
        }
    }
}

impl Path {
    /// Whether the answer is short, but the tasks are asked for it.
    fn is_short(&self) -> bool {
        matches!(self, Self::Registries | Self::Plan | Self::Metrics | Self::Health | Self::Ready | Self::Container(_))
    }
}

impl Desk {
    /// Answers to these names; with a token, only to whoever has it.
    #[must_use]
    pub fn new(hub: Hub, names: Names, token: Option<Token>) -> Self {
        Self {
            hub,
            names,
            token,
            costly: Permits::new(COSTLY),
            turns: Permits::new(COSTLY),
            listeners: Permits::new(LISTENERS),
        }
    }

    async fn get(&self, path: Path, request: &Parts, client: Network) -> Answer {
        let asked = request.uri.query().unwrap_or_default();
        let hub = &self.hub;
        // Each asks the tasks that serve containers: a few at a time, and every client has its turn.
        let _turn = if path.is_short() { Some(self.turns.acquire(&client).await) } else { None };
        match path {
            Path::Unknown => text(StatusCode::NOT_FOUND, "there is nothing here; / lists what there is\n"),
            Path::About => json(&*hub.about),
            Path::Registries => json(&look::registries(hub).await),
            Path::Plan => json(&look::plans(hub).await),
            Path::Metrics => {
                hub.listeners.meter.set_running(&look::running(hub).await);
                for registry in look::registries(hub).await {
                    hub.listeners.meter.set_registry(&registry);
                }
                match hub.listeners.meter.text() {
                    Ok(metrics) => answer(StatusCode::OK, METRICS, metrics),
                    Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
                }
            }
            Path::Health | Path::Ready => {
                let report = if path == Path::Ready { health::ready(hub).await } else { health::health(hub).await };
                let code = if report.is_well() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                text(code, &report.text(query::is_verbose(asked)))
            }
            Path::Container(name) => {
                let found = look::find(hub, &name).await;
                let count = found.len();
                let code = if count > 1 { StatusCode::CONFLICT } else { StatusCode::NOT_FOUND };
                // One that is gone meanwhile is not there, either.
                let container = if count == 1 { look::containers(hub, found, true).await.pop() } else { None };
                match container {
                    Some(container) => json(&container),
                    None => text(code, &format!("{}\n", look::not_one(&name, if count > 1 { count } else { 0 }))),
                }
            }
            Path::Events => {
                let Some(permit) = self.listeners.try_acquire(&client) else { return busy() };
                events::stream(hub, &request.headers, asked, permit)
            }
            Path::Traefik => {
                let Some(_permit) = self.costly.try_acquire(&client) else { return busy() };
                traefik::send(hub, asked).await
            }
            Path::State | Path::Containers | Path::Services | Path::Targets | Path::Page | Path::Part(_) => {
                self.long(path, request, client).await
            }
        }
    }

    /// Answers that grow with what runs: in parts, and with a tag, so that nothing is sent twice.
    async fn long(&self, path: Path, request: &Parts, client: Network) -> Answer {
        if let Path::Part(page::Part::File(file)) = path {
            let tag = file.tag();
            return match file.is_known(&request.headers) {
                true => tagged(empty(StatusCode::NOT_MODIFIED), &tag),
                false => tagged(answer(StatusCode::OK, file.kind(), file.text()), &tag),
            };
        }
        let tag = tag(look::version(&self.hub).await);
        let known = request.headers.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
        if known.is_some_and(|known| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)) {
            return tagged(empty(StatusCode::NOT_MODIFIED), &tag);
        }
        // With the work, not with whoever asked: that may be gone before it is done.
        let permit = match &path {
            Path::Part(part) if !part.is_long() => self.turns.acquire(&client).await,
            _ => match self.costly.try_acquire(&client) {
                Some(permit) => permit,
                None => return busy(),
            },
        };
        let (sender, receiver) = mpsc::channel(PARTS);
        let hub = self.hub.clone();
        let kind = match path {
            Path::Page | Path::Part(_) => page::HTML,
            _ => JSON,
        };
        tokio::spawn(async move {
            let out = Out::new(sender);
            // A reader that goes away ends it.
            let _ = match path {
                Path::State => parts::state(&hub, &out).await,
                Path::Containers => parts::containers(&hub, &out).await,
                Path::Services => parts::services(&hub, &out).await,
                Path::Targets => targets::send(&hub, &out).await,
                Path::Part(part) => page::send_part(&hub, &part, &out).await,
                _ => page::send(&hub, &out).await,
            };
            drop(permit);
        });
        let parts = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|bytes| (Ok::<_, Infallible>(Frame::data(bytes)), receiver))
        });
        tagged(response(StatusCode::OK, kind, StreamBody::new(parts).boxed_unsync()), &tag)
    }
}

impl Answerer for Desk {
    type Body = Body;

    const WHO: &'static str = "this page";

    async fn answer(&self, request: &Parts, client: Network) -> Answer {
        if let Err(foreign) = self.names.check(&request.headers) {
            let why = match foreign {
                Foreign::Name => "this page answers to IP addresses, and to names without a dot and of this host\n",
                Foreign::Page => "this page answers to no page of another site\n",
            };
            return text(StatusCode::FORBIDDEN, why);
        }
        let path = Path::parse(request.uri.path());
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here: GET and HEAD only\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        // Whether it is well may be asked by whoever watches over it.
        let open = matches!(path, Path::Health | Path::Ready);
        if let Some(token) = self.token.as_ref().filter(|_| !open)
            && !token.is_in(request.headers.get(AUTHORIZATION))
        {
            let mut refused = text(StatusCode::UNAUTHORIZED, "give the token of -status-token-file\n");
            refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"registrator\""));
            return refused;
        }
        if request.method == Method::HEAD && path == Path::Events {
            return empty(StatusCode::OK);
        }
        self.get(path, request, client).await
    }
}

/// Long answers, part by part.
mod parts {
    use super::super::answer::{Gone, Out};
    use super::super::hub::Hub;
    use super::super::{look, view};
    use serde::Serialize;

    fn text(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
    }

    /// `,"name":value`
    fn member(name: &str, value: &impl Serialize) -> String {
        format!(",\"{name}\":{}", text(value))
    }

    pub(super) async fn state(hub: &Hub, out: &Out) -> Result<(), Gone> {
        let mut head = format!("{{\"about\":{}", text(&*hub.about));
        head += &member("docker", &look::docker(hub).await);
        head += &member("registries", &look::registries(hub).await);
        head += &member("files", &hub.listeners.files.view());
        head += ",\"containers\":";
        out.send(head).await?;
        containers(hub, out).await?;
        out.send("}\n").await
    }

    pub(super) async fn containers(hub: &Hub, out: &Out) -> Result<(), Gone> {
        list(hub, out, |container| vec![text(&container)]).await
    }

    pub(super) async fn services(hub: &Hub, out: &Out) -> Result<(), Gone> {
        list(hub, out, |view::Container { id, name, ports, health, .. }| {
            let offered = ports.into_iter().filter_map(|port| Some((port.service?, port.entries)));
            offered
                .map(|(service, entries)| {
                    text(&view::Offered {
                        service,
                        container: name.clone(),
                        container_id: id.clone(),
                        health: health.clone(),
                        entries,
                    })
                })
                .collect()
        })
        .await
    }

    async fn list(hub: &Hub, out: &Out, spell: impl Fn(view::Container) -> Vec<String>) -> Result<(), Gone> {
        let mut between = "[";
        for ids in look::ids(hub).await.chunks(look::PART) {
            let mut part = String::new();
            for container in look::containers(hub, ids.to_vec(), false).await {
                for element in spell(container) {
                    part += between;
                    part += &element;
                    between = ",\n";
                }
            }
            out.send(part).await?;
        }
        out.send(if between == "[" { "[]" } else { "]" }).await
    }
}
