//! What runs here as a source: the services that a host wants to exist, with no store in between.
//!
//! Stands where a registry's keeper stands: it is told what a host tells keepers, and holds it for whoever renders. Keys
//! are those of the key-value stores, `/<name>/<id>` = `ip:port`, below whatever prefix a resource has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Reading, Source, SourceError, Trust, Wanted, Watch, clean};
use crate::container;
use crate::desired::{Command, Desired, Evidence, Kept, Mode, Occasion, Update};
use crate::registry::key_part;
use crate::service::{self, Service};
use crate::template::{Health, Instance};

/// How long containers that could not be described yet are waited for at the start.
const DESCRIBED_WITHIN: Duration = Duration::from_secs(10);

/// How long a reading waits for the engine's first list, and a recheck for another one.
const LISTED_WITHIN: Duration = Duration::from_secs(30);

/// What runs here. Clones share it.
#[derive(Clone)]
pub struct Running {
    known: Arc<Mutex<Known>>,
    /// Changes with every change of what is known; 0 as long as nothing is.
    version: watch::Sender<u64>,
    /// Counts the engine's lists.
    lists: watch::Sender<u64>,
    /// Notified: list the containers again.
    relist: Arc<Notify>,
    /// The host's name, for `.Node`.
    node: Arc<str>,
}

/// What is known of what runs.
#[derive(Debug, Default)]
struct Known {
    services: BTreeMap<service::Source, (Arc<Service>, Mode)>,
    /// A list, rather than an event, said last that something is gone; or nothing was there yet.
    by_list: bool,
}

impl Running {
    /// Knows nothing yet. `node`: the host's name; `relist`: notified when the engine is to be asked again.
    #[must_use]
    pub fn new(node: &str, relist: Arc<Notify>) -> Self {
        Self {
            known: Arc::new(Mutex::new(Known { by_list: true, ..Known::default() })),
            version: watch::Sender::new(0),
            lists: watch::Sender::new(0),
            relist,
            node: node.into(),
        }
    }

    /// Takes what a host tells, until it ends.
    pub async fn follow(self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut patience = None;
        loop {
            let waits = patience.filter(|_| *self.version.borrow() == 0);
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.take(&command, &mut patience),
                    None => return,
                },
                () = sleep_until(waits.unwrap_or_else(Instant::now)), if waits.is_some() => self.changed(),
            }
        }
    }

    fn take(&self, command: &Command, patience: &mut Option<Instant>) {
        match command {
            Command::Updates(updates, _) => {
                {
                    let mut known = self.lock();
                    updates.iter().for_each(|update| known.take(update));
                }
                // Before the first list, this may be a part of it.
                if *self.version.borrow() > 0 {
                    self.changed();
                }
            }
            Command::Compare(compare) => {
                let complete = compare.unknown.is_empty() || compare.occasion == Occasion::Completed;
                if *self.version.borrow() == 0 {
                    if complete {
                        self.changed();
                    } else {
                        patience.get_or_insert_with(|| Instant::now() + DESCRIBED_WITHIN);
                    }
                }
                self.lists.send_modify(|count| *count += 1);
            }
        }
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn take(&mut self, update: &Update) {
        match &update.desired {
            Desired::Present(service, mode) if serves(*mode) => {
                self.services.insert(update.source.clone(), (Arc::clone(service), *mode));
                self.by_list = false;
            }
            // It can no longer be used, whatever registries keep of it.
            Desired::Present(..) | Desired::Forgotten | Desired::Absent(Evidence::Event) => {
                self.services.remove(&update.source);
            }
            Desired::Absent(Evidence::List) => {
                self.services.remove(&update.source);
                self.by_list = true;
            }
        }
    }

    /// Everything, each identity once: of two containers with one, the older has it, as in registries.
    fn instances(&self, node: &str) -> Vec<Arc<Instance>> {
        let mut services: Vec<_> = self.services.iter().collect();
        services.sort_by(|(source, (service, _)), (other_source, (other, _))| {
            (&service.name, &service.id, service.origin.created, source).cmp(&(
                &other.name,
                &other.id,
                other.origin.created,
                other_source,
            ))
        });
        services.dedup_by(|(_, (later, _)), (_, (first, _))| (&later.name, &later.id) == (&first.name, &first.id));
        services.into_iter().map(|(_, (service, mode))| Arc::new(instance(service, *mode, node))).collect()
    }
}

fn serves(mode: Mode) -> bool {
    match mode {
        Mode::Serving | Mode::Paused => true,
        Mode::Kept(Kept::Failed | Kept::Ended | Kept::Draining) => false,
    }
}

/// A service as templates see it.
fn instance(service: &Service, mode: Mode, node: &str) -> Instance {
    Instance {
        id: service.id.to_string(),
        name: service.name.clone(),
        address: service.address.to_string(),
        port: service.port,
        tags: service.tags.to_vec(),
        attrs: service.attributes.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        health: health(service.health, mode),
        node: node.to_owned(),
        container: service.origin.container_name.to_string(),
    }
}

/// Whether it can be used: a container that is paused, or whose HEALTHCHECK has not succeeded yet, cannot.
fn health(health: container::Health, mode: Mode) -> Health {
    match (mode, health) {
        (Mode::Serving, container::Health::None | container::Health::Healthy) => Health::Passing,
        _ => Health::Critical,
    }
}

#[async_trait]
impl Source for Running {
    async fn fetch(&self, wanted: &Wanted) -> Result<Reading, SourceError> {
        let mut version = self.version.subscribe();
        let known = timeout(LISTED_WITHIN, version.wait_for(|version| *version > 0)).await;
        if !matches!(known, Ok(Ok(_))) {
            return Err(SourceError("Docker has not listed its containers yet".to_owned()));
        }
        let (instances, by_list) = {
            let known = self.lock();
            (known.instances(&self.node), known.by_list)
        };
        let trust = if by_list { Trust::Partial } else { Trust::Whole };
        Ok(Reading { keys: keys(&instances, wanted), instances, trust })
    }

    fn watch(&self, _: &Wanted) -> Box<dyn Watch> {
        Box::new(Changes { version: self.version.subscribe(), seen: 0 })
    }

    async fn recheck(&self) {
        let (mut lists, mut version) = (self.lists.subscribe(), self.version.subscribe());
        self.relist.notify_one();
        // An engine that does not answer says nothing against what is known, and whatever it tells meanwhile counts.
        let answered = async {
            tokio::select! {
                _ = lists.changed() => {}
                _ = version.changed() => {}
            }
        };
        let _ = timeout(LISTED_WITHIN, answered).await;
    }
}

/// The keys that are wanted, under the prefix that they are wanted under.
fn keys(instances: &[Arc<Instance>], wanted: &Wanted) -> BTreeMap<String, String> {
    if wanted.keys.is_empty() {
        return BTreeMap::new();
    }
    let prefix = clean(&wanted.prefix);
    let is_wanted = |key: &str| {
        wanted.keys.iter().any(|wanted| {
            key.strip_prefix(wanted.as_str())
                .is_some_and(|rest| wanted == "/" || rest.is_empty() || rest.starts_with('/'))
        })
    };
    instances
        .iter()
        .map(|instance| {
            let key = format!("{prefix}/{}/{}", key_part(&instance.name), key_part(&instance.id));
            let key = key.strip_prefix('/').filter(|rest| rest.starts_with('/')).map_or(key.clone(), str::to_owned);
            (key, service::authority(&instance.address, instance.port))
        })
        .filter(|(key, _)| is_wanted(key))
        .collect()
}

/// Tells of changes.
struct Changes {
    version: watch::Receiver<u64>,
    seen: u64,
}

#[async_trait]
impl Watch for Changes {
    async fn changed(&mut self) -> Result<(), SourceError> {
        let seen = self.seen;
        let version = self.version.wait_for(|version| *version > seen).await;
        self.seen = *version.map_err(|_| SourceError("what runs here is no longer followed".to_owned()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use litemap::LiteMap;
    use proptest::prelude::*;

    use super::*;
    use crate::container::{ContainerId, Moment, Protocol};
    use crate::desired::Compare;
    use crate::service::{AddressOf, Origin};

    /// A source, and where a host would tell.
    fn start() -> (Running, mpsc::UnboundedSender<Command>, Arc<Notify>) {
        let relist = Arc::new(Notify::new());
        let running = Running::new("host1", Arc::clone(&relist));
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(running.clone().follow(told));
        (running, tell, relist)
    }

    fn compare(unknown: usize, occasion: Occasion) -> Command {
        let unknown = std::iter::repeat_n(crate::desired::Unknown { name: None }, unknown).collect();
        Command::Compare(Compare { unknown, cleanup: false, occasion })
    }

    fn update(service: &Service, desired: Desired) -> Command {
        let update = Update { source: service.source(), was: None, desired };
        Command::Updates([update].into(), None)
    }

    fn present(service: &Service, mode: Mode) -> Command {
        update(service, Desired::Present(Arc::new(service.clone()), mode))
    }

    fn named(name: &str, id: &str, container: &str) -> Service {
        let origin = Origin {
            container: ContainerId::from(container),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: AddressOf::Container,
            container_name: container.into(),
            hostname: "inside".into(),
            exposed_port: 80,
        };
        Service {
            id: id.into(),
            name: name.to_owned(),
            address: "10.0.0.1".into(),
            port: 80,
            protocol: Protocol::Tcp,
            tags: Arc::new([]),
            attributes: Arc::new(LiteMap::new()),
            ttl: None,
            check: None,
            health: container::Health::None,
            traefik: None,
            origin,
        }
    }

    fn all() -> Wanted {
        Wanted::new("/", &["/".to_owned()])
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_told_before_the_first_list_and_then_everything() {
        let (running, tell, _) = start();
        let mut watch = running.watch(&all());
        tell.send(present(&named("web", "h:web:80", "c1"), Mode::Serving)).unwrap();
        assert!(timeout(Duration::from_secs(5), watch.changed()).await.is_err());
        assert!(timeout(Duration::from_secs(5), running.fetch(&all())).await.is_err());
        tell.send(compare(0, Occasion::Listed)).unwrap();
        let mut watch = running.watch(&all());
        watch.changed().await.unwrap();
        let reading = running.fetch(&all()).await.unwrap();
        assert_eq!(reading.keys.keys().collect::<Vec<_>>(), ["/web/h:web:80"]);
        assert_eq!((reading.instances.len(), &*reading.instances[0].node), (1, "host1"));
        assert!(timeout(Duration::from_secs(5), watch.changed()).await.is_err());
        tell.send(present(&named("db", "h:db:1", "c2"), Mode::Serving)).unwrap();
        watch.changed().await.unwrap();
        assert_eq!(running.fetch(&all()).await.unwrap().instances.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn containers_that_are_not_described_yet_are_waited_for_a_while() {
        for completed in [true, false] {
            let (running, tell, _) = start();
            tell.send(compare(1, Occasion::Listed)).unwrap();
            let began = Instant::now();
            if completed {
                tell.send(compare(0, Occasion::Completed)).unwrap();
            }
            running.fetch(&all()).await.unwrap();
            let waited = if completed { Duration::ZERO } else { DESCRIBED_WITHIN };
            assert!(began.elapsed() >= waited && began.elapsed() < waited + Duration::from_secs(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_never_lists_is_an_error_and_no_empty_list() {
        let (running, _tell, _) = start();
        assert!(running.fetch(&all()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_no_longer_be_used_is_gone_and_what_cannot_be_used_now_is_critical() {
        let (running, tell, _) = start();
        tell.send(compare(0, Occasion::Listed)).unwrap();
        let web = named("web", "h:web:80", "c1");
        let health_of = async |health, mode| {
            let service = Service { health, ..web.clone() };
            tell.send(present(&service, mode)).unwrap();
            tell.send(compare(0, Occasion::Listed)).unwrap();
            running.watch(&all()).changed().await.unwrap();
            tokio::task::yield_now().await;
            let reading = running.fetch(&all()).await.unwrap();
            reading.instances.first().map(|instance| instance.health)
        };
        use container::Health as Docker;
        assert_eq!(health_of(Docker::None, Mode::Serving).await, Some(Health::Passing));
        assert_eq!(health_of(Docker::Unhealthy, Mode::Serving).await, Some(Health::Critical));
        assert_eq!(health_of(Docker::Healthy, Mode::Serving).await, Some(Health::Passing));
        assert_eq!(health_of(Docker::Starting, Mode::Serving).await, Some(Health::Critical));
        assert_eq!(health_of(Docker::Healthy, Mode::Paused).await, Some(Health::Critical));
        for kept in [Kept::Draining, Kept::Ended, Kept::Failed] {
            assert_eq!(health_of(Docker::None, Mode::Kept(kept)).await, None, "{kept:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_only_a_list_tells_is_doubted_until_something_runs() {
        let (running, tell, _) = start();
        tell.send(compare(0, Occasion::Listed)).unwrap();
        let trust = async || {
            tokio::task::yield_now().await;
            running.fetch(&all()).await.unwrap().trust
        };
        assert_eq!(trust().await, Trust::Partial);
        let web = named("web", "h:web:80", "c1");
        tell.send(present(&web, Mode::Serving)).unwrap();
        assert_eq!(trust().await, Trust::Whole);
        tell.send(update(&web, Desired::Absent(Evidence::Event))).unwrap();
        assert_eq!(trust().await, Trust::Whole);
        tell.send(present(&web, Mode::Serving)).unwrap();
        tell.send(update(&web, Desired::Absent(Evidence::List))).unwrap();
        assert_eq!(trust().await, Trust::Partial);
    }

    #[tokio::test(start_paused = true)]
    async fn a_recheck_asks_the_engine_and_waits_for_its_list() {
        let (running, tell, relist) = start();
        tell.send(compare(0, Occasion::Listed)).unwrap();
        running.fetch(&all()).await.unwrap();
        let engine = async {
            relist.notified().await;
            tell.send(compare(0, Occasion::Listed)).unwrap();
        };
        let ((), ()) = tokio::join!(running.recheck(), engine);
        // An engine that does not answer does not hold up for ever.
        running.recheck().await;
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_containers_with_one_identity_the_older_has_it() {
        let (running, tell, _) = start();
        for (container, created, port) in [("c1", 5, 1), ("c2", 3, 2), ("c3", 4, 3)] {
            let mut service = named("web", "same", container);
            service.origin.created = Moment(created);
            service.origin.container = ContainerId::from(container);
            service.port = port;
            tell.send(present(&service, Mode::Serving)).unwrap();
        }
        tell.send(compare(0, Occasion::Listed)).unwrap();
        let reading = running.fetch(&all()).await.unwrap();
        assert_eq!(reading.instances.iter().map(|instance| instance.port).collect::<Vec<_>>(), [2]);
    }

    /// One thing that a host may tell, and how it leaves a container's service.
    fn told(choice: u8, service: &Service) -> (Command, Option<bool>) {
        let modes = [
            Mode::Serving,
            Mode::Paused,
            Mode::Kept(Kept::Draining),
            Mode::Kept(Kept::Failed),
            Mode::Kept(Kept::Ended),
        ];
        match choice {
            0..5 => {
                let mode = modes[usize::from(choice)];
                (present(service, mode), Some(matches!(mode, Mode::Serving | Mode::Paused)))
            }
            5 => (update(service, Desired::Absent(Evidence::Event)), Some(false)),
            6 => (update(service, Desired::Absent(Evidence::List)), Some(false)),
            7 => (update(service, Desired::Forgotten), Some(false)),
            _ => (compare(0, Occasion::Listed), None),
        }
    }

    proptest! {
        /// The histories are those that keepers of registries get.
        #[test]
        fn whatever_a_host_tells_the_last_state_of_each_service_counts(history in prop::collection::vec((0_usize..5, 0_u8..9), 0..60)) {
            let services: Vec<_> = (0..5).map(|n| named(&format!("s{}", n % 3), &format!("h:{n}:80"), &format!("c{n}"))).collect();
            let running = Running::new("host1", Arc::default());
            let mut there = [false; 5];
            let mut patience = None;
            for (number, choice) in history {
                let (command, serves) = told(choice, &services[number]);
                running.take(&command, &mut patience);
                there[number] = serves.unwrap_or(there[number]);
            }
            running.take(&compare(0, Occasion::Listed), &mut patience);
            let mut ids: Vec<_> = running.lock().instances("host1").iter().map(|instance| instance.id.clone()).collect();
            ids.sort();
            let expected: Vec<_> = (0..5).filter(|n| there[*n]).map(|n| format!("h:{n}:80")).collect();
            prop_assert_eq!(ids, expected);
            prop_assert!(*running.version.borrow() > 0);
        }
    }

    #[test]
    fn keys_are_those_of_the_stores_below_any_prefix() {
        let instance = |name: &str, id: &str, address: &str| {
            Arc::new(Instance {
                id: id.to_owned(),
                name: name.to_owned(),
                address: address.to_owned(),
                port: 80,
                ..Instance::default()
            })
        };
        let instances = [instance("web", "h:web:80", "10.0.0.1"), instance("a/b", "x", "fd00::1")];
        for (prefix, wanted, expected) in [
            ("/", &["/"][..], &[("/a%2Fb/x", "[fd00::1]:80"), ("/web/h:web:80", "10.0.0.1:80")][..]),
            ("/", &["/web"], &[("/web/h:web:80", "10.0.0.1:80")]),
            ("/", &["/we"], &[]),
            ("/", &["/web/h:web:80"], &[("/web/h:web:80", "10.0.0.1:80")]),
            ("/", &[], &[]),
            ("/services", &["/web"], &[("/services/web/h:web:80", "10.0.0.1:80")]),
            ("services/", &["/"], &[("/services/a%2Fb/x", "[fd00::1]:80"), ("/services/web/h:web:80", "10.0.0.1:80")]),
        ] {
            let wanted: Vec<_> = wanted.iter().map(|key| (*key).to_owned()).collect();
            let keys = keys(&instances, &Wanted::new(prefix, &wanted));
            let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(keys, expected, "{prefix} {wanted:?}");
        }
    }
}
