//! Looks at the engine: whether it answers, what it refuses, and what runs there.

use std::fs;

use futures_util::{StreamExt, stream};

use super::mounts::{self, Mount};
use crate::config::DockerConfig;
use crate::container::Container;
use crate::docker::{self, Docker, Request, RequestError};

/// How many containers are inspected at once.
const CONCURRENCY: usize = 8;

/// What was seen of the engine.
#[derive(Clone, Debug, Default)]
pub(super) struct Engine {
    /// How its socket came here, if it is one that is mounted alone.
    pub(super) mount: Option<Mount>,
    /// Its socket.
    pub(super) socket: Option<String>,
    /// Why it cannot be used; one line that says what to do.
    pub(super) failure: Option<String>,
    /// The requests that it refuses: the path, the answer, and the missing right.
    pub(super) refusals: Vec<Refusal>,
    /// Its containers; `None` if not all of them are known.
    pub(super) containers: Option<Vec<Container>>,
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) path: &'static str,
    pub(super) answer: String,
    pub(super) right: &'static str,
}

/// Looks, with every kind of request that the daemon sends.
pub(super) async fn look(config: &DockerConfig) -> Engine {
    let mut engine = Engine { socket: socket(config), ..Engine::default() };
    if let Some(path) = &engine.socket {
        // Mounts are listed without symbolic links, such as /var/run.
        let path = fs::canonicalize(path).map_or_else(|_| path.clone(), |path| path.display().to_string());
        engine.mount = mounts::of(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), &path);
    }
    let docker = match Docker::connect(config).await {
        Ok(docker) => docker,
        Err(error) => {
            engine.failure = Some(error.to_string());
            return engine;
        }
    };
    if let Err(error) = docker.events().await {
        engine.note(Request::Events, &docker, &error);
    }
    match containers(&docker).await {
        Ok(containers) => engine.containers = containers,
        Err((request, error)) => engine.note(request, &docker, &error),
    }
    engine
}

impl Engine {
    fn note(&mut self, request: Request, docker: &Docker, error: &RequestError) {
        if error.is_refusal() {
            self.refusals.push(Refusal { path: request.path(), answer: error.to_string(), right: request.right() });
        } else {
            self.failure = Some(format!("{}: {}: {error}", docker.endpoint(), request.path()));
        }
    }
}

/// The path of the socket, if it is one.
fn socket(config: &DockerConfig) -> Option<String> {
    docker::place(config).ok()?.strip_prefix("unix://").map(str::to_owned)
}

/// All containers; `None` if one of them cannot be described now.
async fn containers(docker: &Docker) -> Result<Option<Vec<Container>>, (Request, RequestError)> {
    let listed = docker.list().await.map_err(|error| (Request::List, error))?;
    let ids: Vec<_> = listed.into_iter().map(|listed| listed.id).collect();
    let mut inspected = stream::iter(ids.iter().map(|id| docker.inspect(id))).buffer_unordered(CONCURRENCY);
    let (mut found, mut all) = (Vec::with_capacity(ids.len()), true);
    while let Some(result) = inspected.next().await {
        match result {
            Ok(container) => found.extend(container),
            Err(error) if error.is_refusal() => return Err((Request::Inspect, error)),
            Err(_) => all = false,
        }
    }
    Ok(all.then_some(found))
}
