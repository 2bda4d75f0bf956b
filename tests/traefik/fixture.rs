//! Hosts with engines of their own, servers that answer, and stores that Traefik reads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use testkit::consul::Consul;
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::etcd::EtcdServer;
use testkit::program::Program;
use testkit::redis::Redis;
use testkit::traefik::Traefik;
#[cfg(feature = "zookeeper")]
use testkit::zookeeper::ZooKeeper;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A store with a Traefik that reads it.
pub(crate) enum Store {
    Etcd(EtcdServer),
    Consul(Consul),
    Redis(Redis),
    #[cfg(feature = "zookeeper")]
    ZooKeeper(ZooKeeper),
}

impl Store {
    pub(crate) async fn etcd() -> Self {
        Self::Etcd(EtcdServer::start().await)
    }

    pub(crate) async fn consul() -> Self {
        Self::Consul(Consul::start().await)
    }

    pub(crate) async fn redis() -> Self {
        Self::Redis(Redis::start().await)
    }

    #[cfg(feature = "zookeeper")]
    pub(crate) async fn zookeeper() -> Self {
        Self::ZooKeeper(ZooKeeper::start().await)
    }

    /// Its URI, with these parameters more.
    pub(crate) fn uri(&self, more: &str) -> String {
        match self {
            Self::Etcd(server) => format!("etcd://{}/?layout=traefik{more}", server.address()),
            Self::Consul(server) => format!("consulkv://{}/?layout=traefik{more}", server.address()),
            Self::Redis(server) => format!("redis://{}?layout=traefik{more}", server.address()),
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(server) => format!("zookeeper://{}/?layout=traefik{more}", server.address()),
        }
    }

    /// What Traefik calls it.
    pub(crate) fn provider(&self) -> &'static str {
        match self {
            Self::Etcd(_) => "etcd",
            Self::Consul(_) => "consul",
            Self::Redis(_) => "redis",
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(_) => "zookeeper",
        }
    }

    pub(crate) async fn traefik(&self) -> Traefik {
        let address = match self {
            Self::Etcd(server) => server.address(),
            Self::Consul(server) => server.address(),
            Self::Redis(server) => server.address(),
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(server) => server.address(),
        };
        Traefik::start(&[&format!("{}.endpoints={address}", self.provider())]).await
    }

    /// Traefik's keys, below its root.
    pub(crate) async fn keys(&self) -> BTreeMap<String, String> {
        let keys = match self {
            Self::Etcd(server) => server.keys("traefik/"),
            Self::Consul(server) => {
                let items = server.items("traefik/").await.into_iter();
                items.map(|(key, item)| (key, item["Value"].as_str().unwrap_or_default().to_owned())).collect()
            }
            Self::Redis(server) => server.keys("traefik/*").await,
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(server) => nodes(server, "/traefik").await,
        };
        keys.into_iter().map(|(key, value)| (key.trim_start_matches("traefik/").to_owned(), value)).collect()
    }

    /// The keys beside Traefik's.
    pub(crate) async fn records(&self) -> usize {
        match self {
            Self::Etcd(server) => server.keys("/_registrator/traefik/offers").len(),
            Self::Consul(server) => server.items("_registrator/traefik/offers").await.len(),
            Self::Redis(server) => server.keys("_registrator/traefik/offers*").await.len(),
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(server) => nodes(server, "/_registrator/traefik/offers").await.len(),
        }
    }

    /// Writes or removes a key below Traefik's root by hand.
    pub(crate) async fn set(&self, key: &str, value: Option<&str>) {
        match (self, value) {
            (Self::Etcd(server), Some(value)) => drop(server.ctl(&["put", &format!("traefik/{key}"), value])),
            (Self::Etcd(server), None) => drop(server.ctl(&["del", &format!("traefik/{key}")])),
            (Self::Consul(server), Some(value)) => server.put_key(&format!("traefik/{key}"), value).await,
            (Self::Consul(server), None) => drop(server.delete(&format!("/v1/kv/traefik/{key}")).await),
            (Self::Redis(server), Some(value)) => {
                drop(server.command(&["SET", &format!("traefik/{key}"), value]).await)
            }
            (Self::Redis(server), None) => drop(server.command(&["DEL", &format!("traefik/{key}")]).await),
            #[cfg(feature = "zookeeper")]
            (Self::ZooKeeper(_), _) => panic!("nothing is set by hand in ZooKeeper"),
        }
    }
}

/// The nodes with data below this path, without its slash.
#[cfg(feature = "zookeeper")]
async fn nodes(server: &ZooKeeper, root: &str) -> BTreeMap<String, String> {
    let client = server.client().await;
    let (mut found, mut level) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = level.pop() {
        for name in client.list_children(&path).await.unwrap_or_default() {
            level.push(format!("{path}/{name}"));
        }
        if let Ok((data, _)) = client.get_data(&path).await
            && !data.is_empty()
        {
            found.insert(path.trim_start_matches('/').to_owned(), String::from_utf8(data).unwrap());
        }
    }
    found
}

/// A host: an engine of its own, and the program.
pub(crate) struct Host {
    pub(crate) engine: FakeEngine,
    pub(crate) program: Program,
}

impl Host {
    pub(crate) async fn start(name: &str, uri: &str, options: &[&str]) -> Self {
        let engine = FakeEngine::start().await;
        let program = Self::program(&engine, name, uri, options);
        program.wait_for("Listening for Docker events").await;
        Self { engine, program }
    }

    pub(crate) fn program(engine: &FakeEngine, name: &str, uri: &str, options: &[&str]) -> Program {
        let arguments = [&["-hostname", name, "-ip", "127.0.0.1"], options, &[uri]].concat();
        let host = engine.host();
        Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, [("DOCKER_HOST", host.as_str())])
    }
}

/// A server that answers every request with its name.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        };
        Self { address, _task: AbortOnDropHandle::new(tokio::spawn(serve)) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A container whose port 80 is this server.
    pub(crate) fn container(&self, name: &str) -> FakeContainer {
        FakeContainer::new(name).image("web").publish("80/tcp", self.address.port())
    }
}
