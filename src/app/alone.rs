//! What runs here as a source, with no registry: for `registrator confd -backend docker`.
//!
//! A host of its own follows the engine, as in a run, and tells nobody but the source.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Error;
use super::rendering::EngineSignaller;
use crate::asking::asking;
use crate::config::Config;
use crate::docker;
use crate::event::Events;
use crate::host::desired::DesiredServices;
use crate::host::pacing::Pacing;
use crate::host::{self, Address, Host, Locate};
use crate::machine;
use crate::render::run::Signaller;
use crate::render::source::Running;
use crate::template::ForcedTags;

/// What runs here, followed until it is dropped.
pub struct Alone {
    source: Running,
    signaller: Arc<dyn Signaller>,
    _stop: DropGuard,
}

impl Alone {
    /// Connects to the engine and begins to follow it. Of the settings, those of the engine and of services count.
    ///
    /// # Errors
    /// When the engine cannot be reached, or `-tags` is no template.
    pub async fn follow(config: &Config, events: &Events) -> Result<Self, Error> {
        let tagging = Arc::new(ForcedTags::parse(config.service.tags.as_deref().unwrap_or_default())?);
        let docker = docker::reach(&config.docker, config.bridge.retry(), events).await?;
        let hostname = config.service.hostname.clone();
        let locate: Locate = Arc::new(move || {
            let hostname = hostname.clone();
            Box::pin(async move { machine::address(&hostname).await })
        });
        let address = locate().await.address;
        let (relist, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let source = Running::new(&config.service.hostname, Arc::clone(&relist));
        let (keeper, told) = mpsc::unbounded_channel();
        tokio::spawn(source.clone().follow(told));
        let signaller = Arc::new(EngineSignaller { docker: docker.clone() });
        let host = Host {
            docker,
            tagging,
            pacing: Pacing::new(config.bridge.drain),
            desired: DesiredServices::new(config.service.clone(), config.bridge.deregister, address),
            address: Address::new(locate),
            cleanup: false,
        };
        let surroundings = host::Surroundings {
            stop: stop.clone(),
            asked: Arc::default(),
            relist,
            keepers: vec![keeper],
            events: events.clone(),
            questions: asking().1,
            settings: watch::channel(None).1,
        };
        let settings = config.docker.clone();
        tokio::spawn(async move { host.run(&settings, surroundings).await });
        Ok(Self { source, signaller, _stop: stop.drop_guard() })
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> Running {
        self.source.clone()
    }

    /// Sends signals to its containers, and to processes.
    #[must_use]
    pub fn signaller(&self) -> Arc<dyn Signaller> {
        Arc::clone(&self.signaller)
    }
}
