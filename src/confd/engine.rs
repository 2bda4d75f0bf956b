//! The engine: what runs on this host as a back end, and signals to containers.
//!
//! Its settings are those of the daemon, by their variables: `DOCKER_HOST`, `REGISTRATOR_IP` and the like.

use std::sync::Arc;

use async_trait::async_trait;

use crate::app::Alone;
use crate::cli::{self, Parsed};
use crate::config::{Config, Environment};
use crate::docker::Docker;
use crate::machine;
use crate::render::resource::{Signal, SignalTo};
use crate::render::run::Signaller;
use crate::render::signal;
use crate::render::source::BackendSettings;

/// A question that needs no registry, so that the settings are read without one.
const QUESTION: &str = "services";

/// Connects to the engine, and follows what runs.
///
/// # Errors
/// When the settings cannot be used, or the engine cannot be reached; one line.
pub(super) async fn follow(settings: &BackendSettings) -> Result<Alone, String> {
    let config = config(&settings.environment)?;
    Alone::follow(&config, &settings.events).await.map_err(|error| error.to_string())
}

/// Sends signals to processes, and to containers through the engine, to which it connects for each.
pub(super) fn signaller(settings: &BackendSettings) -> Arc<dyn Signaller> {
    Arc::new(Connecting(Arc::clone(&settings.environment)))
}

fn config(variables: &Arc<Environment>) -> Result<Config, String> {
    let parsed = cli::parse([QUESTION.into()], variables, &machine::name()).map(Parsed::into_config);
    parsed.map_err(|answer| answer.stderr.lines().next().unwrap_or_default().to_owned())
}

/// The engine of these variables.
struct Connecting(Arc<Environment>);

#[async_trait]
impl Signaller for Connecting {
    async fn send(&self, signal: &Signal) -> Result<(), String> {
        let name = match &signal.to {
            SignalTo::Process(path) => return signal::to_process(path, &signal.name),
            SignalTo::Container(name) => name,
        };
        let failed = |why: String| format!("cannot send {} to the container {name:?}: {why}", signal.name);
        let config = config(&self.0).map_err(failed)?;
        let docker = Docker::connect(&config.docker).await.map_err(|error| failed(error.to_string()))?;
        docker.signal(name, &signal.name).await.map_err(|error| failed(error.to_string()))
    }
}
