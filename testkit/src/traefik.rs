//! A real Traefik on ports of its own, and what it says of the configuration that it took.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Reply, Request, send};
use crate::net::Place;
use crate::servers::binary;
use crate::wait::eventually;

/// How long its start, and a change of its configuration, may take on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A running Traefik; killed when dropped.
pub struct Traefik {
    api: SocketAddr,
    web: SocketAddr,
    folder: TempDir,
    child: Child,
}

impl Traefik {
    /// Starts it with one provider: `redis.endpoints=127.0.0.1:6379` and more of its options.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start(provider: &[&str]) -> Self {
        Self::started(|_, api, web| {
            let mut arguments: Vec<String> = [
                "--global.checknewversion=false",
                "--global.sendanonymoususage=false",
                "--api.insecure=true",
                "--log.level=DEBUG",
                "--providers.providersthrottleduration=200ms",
            ]
            .map(str::to_owned)
            .to_vec();
            arguments.push(format!("--entrypoints.traefik.address={api}"));
            arguments.push(format!("--entrypoints.web.address={web}"));
            arguments.extend(provider.iter().map(|option| format!("--providers.{option}")));
            arguments
        })
        .await
    }

    /// Starts it with a configuration file, in which `":80"` is the address that it serves at.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn of_file(config: &str) -> Self {
        Self::started(|folder, api, web| {
            let entry_points = format!("entryPoints:\n  traefik:\n    address: \"{api}\"\n");
            let config = config.replace("\":80\"", &format!("\"{web}\"")).replace("entryPoints:\n", &entry_points);
            let more = "api:\n  insecure: true\nglobal:\n  checkNewVersion: false\n  sendAnonymousUsage: false\n";
            let file = folder.join("traefik.yml");
            fs::write(&file, format!("{config}{more}")).expect("its configuration");
            vec![format!("--configFile={}", file.display())]
        })
        .await
    }

    /// Starts it with arguments that are made of its folder, and of the addresses of its API and of what it serves.
    async fn started(arguments: impl Fn(&Path, SocketAddr, SocketAddr) -> Vec<String>) -> Self {
        // A port may be taken between finding and using it: then it exits, and others are tried.
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a folder");
            let (api, web) = (free_port(), free_port());
            let log = fs::File::create(folder.path().join("log")).expect("its log");
            let child = Command::new(binary("traefik"))
                .args(arguments(folder.path(), api, web))
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("its log"))
                .stderr(log)
                .spawn()
                .expect("Traefik started");
            let mut traefik = Self { api, web, folder, child };
            if traefik.comes_up().await {
                return traefik;
            }
        }
        panic!("Traefik does not start");
    }

    async fn comes_up(&mut self) -> bool {
        let child = std::sync::Mutex::new(&mut self.child);
        let api = self.api;
        eventually("Traefik comes up", START, async || {
            let ended = child.lock().is_ok_and(|mut child| child.try_wait().is_ok_and(|ended| ended.is_some()));
            if ended {
                return Some(false);
            }
            get(api, "/api/overview").await.filter(|reply| reply.status == 200).map(|_| true)
        })
        .await
    }

    /// Where it serves what it routes.
    #[must_use]
    pub fn web(&self) -> SocketAddr {
        self.web
    }

    /// The answer of its API; null while it gives none.
    pub async fn ask(&self, path: &str) -> Value {
        let reply = get(self.api, path).await.filter(|reply| reply.status == 200);
        reply.and_then(|reply| serde_json::from_slice(&reply.body).ok()).unwrap_or_default()
    }

    /// The addresses of a service's servers, in order, as the provider's service of this name has them.
    pub async fn servers(&self, protocol: &str, service: &str) -> Vec<String> {
        let service = self.ask(&format!("/api/{protocol}/services/{service}")).await;
        let servers = service["loadBalancer"]["servers"].as_array().cloned().unwrap_or_default();
        let place = |server: Value| server["url"].as_str().or(server["address"].as_str()).map(str::to_owned);
        let mut places: Vec<_> = servers.into_iter().filter_map(place).collect();
        places.sort();
        places
    }

    /// The names of what it has of this kind (`http/routers`) from this provider.
    pub async fn names(&self, kind: &str, provider: &str) -> Vec<String> {
        let all = self.ask(&format!("/api/{kind}?per_page=1000")).await;
        let names = all.as_array().cloned().unwrap_or_default().into_iter();
        let names = names.filter_map(|object| object["name"].as_str().map(str::to_owned));
        let mut names: Vec<_> =
            names.filter_map(|name| Some(name.strip_suffix(&format!("@{provider}"))?.to_owned())).collect();
        names.sort();
        names
    }

    /// What it answers to a request for this host.
    pub async fn get(&self, host: &str, path: &str) -> Option<Reply> {
        let headers = vec![("host".to_owned(), host.to_owned())];
        let request = Request { method: "GET".to_owned(), path: path.to_owned(), headers, body: Vec::new() };
        let answer = tokio::time::timeout(Duration::from_secs(5), send(&Place::Tcp(self.web), &request)).await;
        answer.ok()?.ok()
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Traefik {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn get(place: SocketAddr, path: &str) -> Option<Reply> {
    let request = Request { method: "GET".to_owned(), path: path.to_owned(), ..Request::default() };
    let answer = tokio::time::timeout(Duration::from_secs(10), send(&Place::Tcp(place), &request)).await;
    answer.ok()?.ok()
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address")
}
