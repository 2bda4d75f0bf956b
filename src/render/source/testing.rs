//! A source for tests of what reads one.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Reading, Source, SourceError, Trust, Wanted, Watch};
use crate::template::Instance;

/// A source that says what it is told to. Clones share it.
#[derive(Clone)]
pub(crate) struct Told {
    said: Arc<Mutex<Result<Reading, SourceError>>>,
    changes: watch::Sender<u64>,
    fetched: Arc<Mutex<u64>>,
}

impl Told {
    pub(crate) fn new(reading: Reading) -> Self {
        let said = Arc::new(Mutex::new(Ok(reading)));
        Self { said, changes: watch::Sender::new(0), fetched: Arc::default() }
    }

    /// It says this from now on, and that it has changed.
    pub(crate) fn say(&self, said: Result<Reading, &str>) {
        *self.said.lock().unwrap() = said.map_err(|error| SourceError(error.to_owned()));
        self.changes.send_modify(|version| *version += 1);
    }

    /// How often it was read.
    pub(crate) fn fetched(&self) -> u64 {
        *self.fetched.lock().unwrap()
    }
}

/// A reading with these keys.
pub(crate) fn keys(keys: &[(&str, &str)]) -> Reading {
    let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Reading { keys, ..Reading::default() }
}

/// A list of services, each with one instance on port 80.
pub(crate) fn services(names: &[&str]) -> Reading {
    let instance = |name: &&str| {
        Arc::new(Instance {
            id: format!("host:{name}:80"),
            name: (*name).to_owned(),
            address: "10.0.0.1".to_owned(),
            port: 80,
            ..Instance::default()
        })
    };
    let key = |name: &&str| (format!("/{name}/host:{name}:80"), "10.0.0.1:80".to_owned());
    Reading {
        keys: names.iter().map(key).collect(),
        instances: names.iter().map(instance).collect(),
        trust: Trust::Partial,
    }
}

#[async_trait]
impl Source for Told {
    async fn fetch(&self, _: &Wanted) -> Result<Reading, SourceError> {
        *self.fetched.lock().unwrap() += 1;
        self.said.lock().unwrap().clone()
    }

    fn watch(&self, _: &Wanted) -> Box<dyn Watch> {
        let mut changes = self.changes.subscribe();
        changes.mark_changed();
        Box::new(Changes(changes))
    }
}

struct Changes(watch::Receiver<u64>);

#[async_trait]
impl Watch for Changes {
    async fn changed(&mut self) -> Result<(), SourceError> {
        self.0.changed().await.map_err(|_| SourceError("it is gone".to_owned()))
    }
}
