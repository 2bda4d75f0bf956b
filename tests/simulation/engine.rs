//! A simulated Docker engine: what runs, how it answers, and how it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use registrator::docker::Carrier;
use registrator::http::{self, Response};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use crate::container::{Container, Made, Network, State};
use crate::oracle::Containers;
use crate::store::Client;
use crate::world::{Shared, World, lock};

/// How an engine fails; each number is how many of a hundred.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// Requests that are refused, or answered with an error.
    pub(crate) failing: u8,
    /// Requests that are never answered.
    pub(crate) hanging: u8,
    /// Requests whose answers come late, with what was true when they were asked.
    pub(crate) old: u8,
    /// Answers that end in the middle.
    pub(crate) cut: u8,
    /// Lists that are not complete, of containers that were inspected before.
    pub(crate) partial: u8,
    /// Events that are not sent.
    pub(crate) dropped: u8,
    /// Events that are sent twice.
    pub(crate) doubled: u8,
    /// Events that come late, and so in another order.
    pub(crate) delayed: u8,
    /// Events that are no JSON.
    pub(crate) mangled: u8,
}

/// An engine and its containers.
#[derive(Default)]
pub(crate) struct Engine {
    /// Whether it is there at all.
    pub(crate) down: bool,
    /// It answers, and knows of no container.
    pub(crate) empty: bool,
    /// It cannot inspect this one.
    pub(crate) blind: Option<String>,
    /// How often it was started: an answer of a life before is lost.
    life: u64,
    pub(crate) faults: Faults,
    pub(crate) containers: Containers,
    /// Those that are gone, as they were last.
    pub(crate) removed: Containers,
    streams: Vec<mpsc::UnboundedSender<Result<Bytes, std::io::Error>>>,
    /// Streams that are open, and on which nothing will ever come.
    mute: Vec<mpsc::UnboundedSender<Result<Bytes, std::io::Error>>>,
    healed: Arc<Notify>,
    created: u64,
    /// The second number of its containers' addresses.
    pub(crate) subnet: u8,
    /// How many addresses and ports were given away.
    given: u16,
    /// When each container was last started.
    started: BTreeMap<String, Instant>,
}

impl Engine {
    /// A container is created; it is not started.
    pub(crate) fn create(&mut self, host: usize, name: String, made: Made) -> String {
        self.created += 1;
        let id = format!("{host:x}{:03x}{:060}", self.created, 0);
        let container = Container {
            id: id.clone(),
            name,
            age: self.created,
            made,
            state: State::Created,
            networks: BTreeMap::new(),
            published: BTreeMap::new(),
            stood: BTreeSet::new(),
            ends: Vec::new(),
            starts: 0,
            told_to_stop: None,
        };
        self.containers.insert(id.clone(), container);
        id
    }

    /// Its process starts, with fresh addresses and ports.
    pub(crate) fn start(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        container.state = State::Running { paused: false, health: None };
        container.starts += 1;
        self.started.insert(id.to_owned(), Instant::now());
        self.connect(id, "bridge");
    }

    /// It is attached to this network, and to no other.
    pub(crate) fn connect(&mut self, id: &str, network: &'static str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if container.made.network != Network::Bridge || !container.state.runs() {
            return;
        }
        self.given += 1;
        let [high, low] = self.given.to_be_bytes();
        container.networks = BTreeMap::from([(network, Ipv4Addr::new(172, self.subnet, high, low))]);
        let asked = container.made.ports.iter().filter(|(_, published)| *published);
        container.published = asked.zip(0..).map(|((port, _), n)| (*port, 32_768 + self.given * 4 + n)).collect();
    }

    /// Its process ends, or it is detached from all networks.
    pub(crate) fn disconnect(&mut self, id: &str) {
        if let Some(container) = self.containers.get_mut(id) {
            container.networks.clear();
            container.published.clear();
        }
    }

    /// It goes away, with all streams.
    pub(crate) fn crash(&mut self) {
        self.down = true;
        self.life += 1;
        self.break_streams(false);
    }

    /// Every stream ends; in the middle of a line, or after one.
    pub(crate) fn break_streams(&mut self, in_a_line: bool) {
        for stream in self.streams.drain(..) {
            if in_a_line {
                let _ = stream.send(Ok(Bytes::from_static(br#"{"Type":"container","Action":"di"#)));
                let _ = stream.send(Err(std::io::Error::other("simulated: the stream broke")));
            }
        }
    }

    /// Every stream stays open, and nothing comes on it any more.
    pub(crate) fn mute_streams(&mut self) {
        self.mute.append(&mut self.streams);
    }

    /// It is well again: it is there, fails in no way, and streams that are mute have ended.
    pub(crate) fn heal(&mut self) {
        self.down = false;
        self.empty = false;
        self.faults = Faults::default();
        self.mute.clear();
        self.healed.notify_waiters();
    }

    /// Since when a container runs.
    pub(crate) fn runs_since(&self, id: &str) -> Option<Instant> {
        self.started.get(id).copied()
    }

    fn list(&self, all: bool) -> Vec<&Container> {
        self.containers.values().filter(|container| !self.empty && (all || container.state.runs())).collect()
    }
}

/// Something happened to a container of this host: whoever listens hears of it, or not.
pub(crate) fn emit(world: &Shared, host: usize, id: &str, action: &str) {
    let mut at = lock(world);
    let at = &mut *at;
    at.hosts[host].remember();
    at.note(|| format!("docker {host}: {action} {}", &id[..4]));
    let engine = &mut at.hosts[host].engine;
    if engine.down || engine.empty {
        return;
    }
    let event = match action.split_once(' ') {
        Some(("network", action)) => {
            json!({"Type": "network", "Action": action, "Actor": {"ID": "net", "Attributes": {"container": id}}})
        }
        Some((action, signal)) => {
            json!({"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": {"signal": signal}}})
        }
        None => json!({"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": {}}}),
    };
    engine.streams.retain(|stream| !stream.is_closed());
    let faults = engine.faults.clone();
    for stream in &engine.streams {
        let mut chance = |of_100: u8| at.rng.u8(0..100) < of_100;
        if chance(faults.dropped) {
            at.counts.events_lost += 1;
            continue;
        }
        let line = if chance(faults.mangled) { format!("{{\"Type\":{action}\n") } else { format!("{event}\n") };
        let times = if chance(faults.doubled) { 2 } else { 1 };
        for _ in 0..times {
            let longest = if at.rng.u8(0..100) < faults.delayed { 20_000 } else { 20 };
            let pause = Duration::from_millis(at.rng.u64(0..longest));
            let cut = at.rng.usize(0..line.len());
            let (stream, line) = (stream.clone(), Bytes::from(line.clone()));
            tokio::spawn(async move {
                sleep(pause).await;
                let _ = stream.send(Ok(line.slice(..cut)));
                let _ = stream.send(Ok(line.slice(cut..)));
            });
        }
    }
}

/// The engine as one life of one process reaches it.
pub(crate) struct Wire {
    pub(crate) world: Shared,
    pub(crate) client: Client,
}

/// What becomes of a request.
struct Fate {
    pause: Duration,
    /// The life of the engine that takes it.
    life: u64,
    refused: bool,
    hangs: bool,
    cut: bool,
    old: bool,
}

enum Answer {
    Stream(mpsc::UnboundedReceiver<Result<Bytes, std::io::Error>>),
    Is(u16, Value),
}

impl Wire {
    fn host(&self) -> usize {
        self.client.0
    }

    /// What will become of a request; nothing, if who asks is dead.
    fn fate(&self) -> Option<Fate> {
        let mut world = lock(&self.world);
        if !world.lives(self.client) {
            return None;
        }
        let world = &mut *world;
        let Engine { life, down, ref faults, .. } = world.hosts[self.host()].engine;
        let mut chance = |of_100: u8| world.rng.u8(0..100) < of_100;
        let [failing, hangs, cut, old] = [faults.failing, faults.hanging, faults.cut, faults.old].map(&mut chance);
        let pause = Duration::from_millis(world.rng.u64(if old { 20..9_500 } else { 1..20 }));
        Some(Fate { pause, life, refused: down || failing, hangs, cut, old })
    }

    async fn ask(&self, url: &str, all: bool) -> Result<Response, http::Error> {
        let path = url.trim_start_matches("http://elsewhere").to_owned();
        let Some(Fate { pause, life, refused, hangs, cut, old }) = self.fate() else {
            return std::future::pending().await;
        };
        let refuse = async || {
            sleep(Duration::from_millis(1)).await;
            lock(&self.world).counts.requests_failed += 1;
            Err(http::Error::broken("simulated: the connection broke"))
        };
        if refused {
            return refuse().await;
        }
        if hangs {
            // As long as the engine fails: then the connection ends.
            let healed = {
                let mut world = lock(&self.world);
                world.counts.requests_hung += 1;
                Arc::clone(&world.hosts[self.host()].engine.healed)
            };
            healed.notified().await;
            return refuse().await;
        }
        // Either what was true when it was asked, or what is when it is answered.
        let early = old.then(|| self.answer(&path, all));
        sleep(pause).await;
        let (lives, now) = {
            let world = lock(&self.world);
            (world.lives(self.client), world.hosts[self.host()].engine.life)
        };
        if !lives {
            return std::future::pending().await;
        }
        if now != life {
            return refuse().await;
        }
        match early.unwrap_or_else(|| self.answer(&path, all)) {
            (Answer::Stream(events), _) => {
                let frame = async |mut events: mpsc::UnboundedReceiver<_>| {
                    events.recv().await.map(|part: Result<Bytes, _>| (part.map(Frame::data), events))
                };
                Ok(::http::Response::new(StreamBody::new(stream::unfold(events, frame))).into())
            }
            (Answer::Is(status, said), learned) => {
                let mut text = said.to_string();
                if cut {
                    text.truncate(text.len() / 2);
                } else if let Some((id, container)) = learned {
                    lock(&self.world).learned(self.client, &id, container);
                }
                let mut response = ::http::Response::new(Full::new(Bytes::from(text)));
                *response.status_mut() = ::http::StatusCode::from_u16(status).unwrap();
                Ok(response.into())
            }
        }
    }

    /// What the engine has to say, and what of it is news of one container.
    fn answer(&self, path: &str, all: bool) -> (Answer, Option<(String, Option<Container>)>) {
        let mut world = lock(&self.world);
        let World { hosts, rng, counts, .. } = &mut *world;
        let host = &mut hosts[self.client.0];
        let engine = &mut host.engine;
        if path == "/version" {
            return (
                Answer::Is(200, json!({"Version": "29.0.0", "ApiVersion": "1.52", "MinAPIVersion": "1.44"})),
                None,
            );
        }
        if path.ends_with("/events") {
            let (sender, receiver) = mpsc::unbounded_channel();
            engine.streams.push(sender);
            return (Answer::Stream(receiver), None);
        }
        if path.ends_with("/containers/json") {
            let mut listed = engine.list(all);
            // Only what was told of can be missed: a list is all that a program without a memory can go by.
            if listed.iter().all(|container| host.known.contains_key(&container.id))
                && rng.u8(0..100) < engine.faults.partial
            {
                let left = rng.usize(0..=listed.len());
                rng.shuffle(&mut listed);
                listed.truncate(left);
                counts.lists_partial += 1;
                let said: Vec<_> = listed.iter().map(|container| container.listed()).collect();
                return (Answer::Is(200, said.into()), None);
            }
            let said: Vec<_> = listed.iter().map(|container| container.listed()).collect();
            return (Answer::Is(200, said.into()), None);
        }
        let id = path.trim_end_matches("/json").rsplit('/').next().unwrap_or_default();
        match engine.containers.get(id).filter(|_| !engine.empty) {
            Some(_) if engine.blind.as_deref() == Some(id) => {
                (Answer::Is(500, json!({"message": "simulated: it cannot be inspected"})), None)
            }
            Some(container) => (Answer::Is(200, container.inspected()), Some((id.to_owned(), Some(container.clone())))),
            None => {
                let said = json!({"message": format!("No such container: {id}")});
                (Answer::Is(404, said), Some((id.to_owned(), None)))
            }
        }
    }
}

impl Carrier for Wire {
    fn get<'a>(
        &'a self,
        url: &'a str,
        query: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<Response, http::Error>> {
        let all = query.contains(&("all", "1"));
        Box::pin(self.ask(url, all))
    }
}
