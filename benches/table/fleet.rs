//! Many hosts on one cluster: all of them begin at once, and then it comes back with nothing in it.
//!
//! A host is a keeper in this process, with a registry and connections of its own, as the program has one: what the
//! cluster sees is the same, and five hundred of them fit on one machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use etcd_client::{Client, GetOptions};
use futures_util::future::BoxFuture;
use registrator::config::{Deregister, OnShutdown, RegistryConfig};
use registrator::container::{Health, Moment, Protocol};
use registrator::desired::{Command, Compare, Desired, Mode, Occasion, Update};
use registrator::event::Events;
use registrator::reconcile::{Keeper, Rules};
use registrator::registry::{self, Change, Entry, Policy, Registry, RegistryError, Write, open};
use registrator::service::{Origin, Service};
use testkit::consul::Consul;
use testkit::etcd::{EtcdServer, Options};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Bench;
use crate::report::Cell;

/// Services of each host.
const SERVICES: usize = 50;
/// How long the fleet may take to be whole.
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn measure(bench: &mut Bench) {
    bench.report.table(
        "A fleet on a cluster of three servers, 50 services on each host",
        &[
            "registry",
            "hosts / services",
            "what happens",
            "whole after, s",
            "services there by then",
            "reads",
            "writes",
            "most writes in a second",
        ],
    );
    for (store, start) in
        [("etcd", Cluster::etcd as Start), ("consulkv", Cluster::consul_kv), ("consul", Cluster::consul)]
    {
        if bench.store.as_deref().is_some_and(|only| only != store) {
            continue;
        }
        for hosts in bench.hosts.clone() {
            let mut cluster = start().await;
            let fleet = Fleet::start(hosts, &cluster);
            let row = fleet.becomes_whole(&cluster).await;
            let whole = row.whole.is_some();
            bench.report.row(cells(&cluster, hosts, "all begin at once", row));
            if whole {
                cluster.restart_empty().await;
                let row = fleet.becomes_whole(&cluster).await;
                bench.report.row(cells(&cluster, hosts, "the cluster comes back empty", row));
            }
            fleet.stop.cancel();
            // What is too much for it will not get better with more.
            if !whole {
                break;
            }
        }
    }
}

/// Begins a cluster.
type Start = fn() -> BoxFuture<'static, Cluster>;

/// Three servers.
enum Cluster {
    Etcd([EtcdServer; 3]),
    /// Its key-value store.
    ConsulKv([Consul; 3]),
    /// Its agents, each of a third of the hosts.
    Consul([Consul; 3]),
}

impl Cluster {
    fn etcd() -> BoxFuture<'static, Self> {
        Box::pin(async { Self::Etcd(EtcdServer::cluster(Options::default()).await) })
    }

    fn consul_kv() -> BoxFuture<'static, Self> {
        Box::pin(async { Self::ConsulKv(Consul::cluster().await) })
    }

    fn consul() -> BoxFuture<'static, Self> {
        Box::pin(async { Self::Consul(Consul::cluster().await) })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Etcd(_) => "etcd 3.4, v3",
            Self::ConsulKv(_) => "Consul 1.8.7, KV",
            Self::Consul(_) => "Consul 1.8.7, agents of the servers",
        }
    }

    /// The registry of a host.
    fn uri(&self, host: usize) -> String {
        match self {
            Self::Etcd(servers) => {
                let servers: Vec<_> = servers.iter().map(|server| server.address().to_string()).collect();
                format!("etcd3://{}/fleet", servers.join(","))
            }
            Self::ConsulKv(servers) => format!("consulkv://{}/fleet", servers[host % 3].address()),
            Self::Consul(servers) => servers[host % 3].uri(),
        }
    }

    async fn restart_empty(&mut self) {
        match self {
            Self::Etcd(servers) => EtcdServer::restart_cluster(servers, true).await,
            Self::ConsulKv(servers) | Self::Consul(servers) => Consul::restart_cluster_empty(servers).await,
        }
    }

    /// How many entries there are; `None` while it does not answer.
    async fn count(&self) -> Option<usize> {
        let asked = async {
            match self {
                Self::Etcd(servers) => {
                    let mut client = Client::connect([servers[0].address().to_string()], None).await.ok()?;
                    let options = GetOptions::new().with_prefix().with_count_only();
                    let answer = client.get("/fleet/", Some(options)).await.ok()?;
                    usize::try_from(answer.count()).ok()
                }
                Self::ConsulKv(servers) => Some(servers[0].keys("fleet/").await?.len()),
                Self::Consul(servers) => {
                    let mut count = 0;
                    for server in servers {
                        // Its node has a service of its own: Consul itself.
                        count += server.catalog().await?.saturating_sub(1);
                    }
                    Some(count)
                }
            }
        };
        timeout(Duration::from_secs(5), asked).await.ok()?
    }
}

/// Hosts that run.
struct Fleet {
    hosts: usize,
    counts: Arc<Counts>,
    stop: CancellationToken,
}

/// What they asked of the registry.
#[derive(Default)]
struct Counts {
    reads: AtomicUsize,
    writes: AtomicUsize,
}

/// How it became whole.
struct Row {
    whole: Option<f64>,
    there: usize,
    reads: usize,
    writes: usize,
    peak: usize,
}

fn cells(cluster: &Cluster, hosts: usize, what: &str, row: Row) -> Vec<Cell> {
    vec![
        cluster.name().into(),
        format!("{hosts} / {}", hosts * SERVICES).into(),
        what.into(),
        row.whole.map_or_else(|| format!("not in {} s", PATIENCE.as_secs()).into(), |took| Cell::Number(took, 1)),
        row.there.into(),
        row.reads.into(),
        row.writes.into(),
        row.peak.into(),
    ]
}

impl Fleet {
    fn start(hosts: usize, cluster: &Cluster) -> Self {
        let fleet = Self { hosts, counts: Arc::default(), stop: CancellationToken::new() };
        for host in 0..hosts {
            let owner = format!("host{host}");
            let config = RegistryConfig {
                uri: cluster.uri(host),
                owner: owner.clone(),
                hostname: "host".to_owned(),
                record_owner: true,
                ttl: None,
                ttl_refresh: None,
                environment: Arc::default(),
            };
            let registry = Counted {
                registry: open(&config, &Events::new(|_| {})).unwrap().registry,
                counts: Arc::clone(&fleet.counts),
            };
            let rules = Rules {
                owner: owner.as_str().into(),
                hostname: format!("host{host}"),
                policy: Policy::Sync,
                deregister: Deregister::Always,
                on_shutdown: OnShutdown::Keep,
                adopt: false,
                dry_run: false,
            };
            let (commands, receiver) = mpsc::unbounded_channel();
            let updates: Vec<_> = (0..SERVICES).map(|number| update(host, number)).collect();
            let _ = commands.send(Command::Updates(updates.into(), None));
            let _ = commands.send(Command::Compare(Compare {
                unknown: Arc::default(),
                cleanup: false,
                occasion: Occasion::Listed,
            }));
            let stop = fleet.stop.clone();
            tokio::spawn(async move {
                Keeper::new(format!("the fleet's, of host{host}"), Arc::new(registry), rules, Events::new(|_| {}))
                    .run(receiver, stop)
                    .await;
                // Kept until then: a bridge that is gone ends its keepers.
                drop(commands);
            });
        }
        fleet
    }

    /// Waits until every service is there, and tells what that took from now on.
    async fn becomes_whole(&self, cluster: &Cluster) -> Row {
        let (reads, writes) = self.counts.now();
        let began = Instant::now();
        let (mut last, mut peak, mut there) = (writes, 0, 0);
        let mut whole = None;
        while whole.is_none() && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.counts.now().1;
            peak = peak.max(now - last);
            last = now;
            there = cluster.count().await.unwrap_or(there);
            whole = (there == self.hosts * SERVICES).then(|| began.elapsed().as_secs_f64());
        }
        let (all_reads, all_writes) = self.counts.now();
        Row { whole, there, reads: all_reads - reads, writes: all_writes - writes, peak }
    }
}

impl Counts {
    fn now(&self) -> (usize, usize) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }
}

fn update(host: usize, number: usize) -> Update {
    let service = Service {
        id: format!("host{host}:c{number}:80").into(),
        name: format!("app{number}"),
        address: format!("10.0.{}.{}", host / 250, host % 250).into(),
        port: 20_000 + u16::try_from(number).unwrap(),
        protocol: Protocol::Tcp,
        tags: Arc::default(),
        attributes: Arc::default(),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container: format!("{host:012x}{number:052x}").as_str().into(),
            container_name: "web".into(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: registrator::service::AddressOf::Container,
            hostname: format!("c{number}").into(),
            exposed_port: 80,
        },
    };
    Update { source: service.source(), was: None, desired: Desired::Present(Arc::new(service), Mode::Serving) }
}

/// A registry that counts what is asked of it.
struct Counted {
    registry: Arc<dyn Registry>,
    counts: Arc<Counts>,
}

#[async_trait]
impl Registry for Counted {
    fn key(&self, service: &Service) -> Arc<str> {
        self.registry.key(service)
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        self.registry.fingerprint(service)
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        self.registry.ping().await
    }

    async fn read(&self, scope: &registry::Scope) -> Result<Vec<Entry>, RegistryError> {
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        self.registry.read(scope).await
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        self.counts.writes.fetch_add(writes.len(), Ordering::Relaxed);
        self.registry.apply(writes).await
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        self.registry.refresh_interval(service)
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        self.registry.refresh(services).await
    }

    async fn changed(&self) -> Change {
        self.registry.changed().await
    }
}
