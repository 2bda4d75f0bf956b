//! A real Redis Sentinel for one test: it watches a master, and makes a replica the master when that one is gone.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::redis::{ask, free_port};
use crate::servers;
use crate::wait::eventually;

/// How long it may take to come up on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A sentinel, killed when dropped.
pub struct RedisSentinel {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl RedisSentinel {
    /// Starts one that knows this master by that name, and waits until it knows a replica of it.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn watching(name: &str, master: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let (ip, of_master) = (master.ip(), master.port());
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {name} {ip} {of_master} 1\n\
             sentinel down-after-milliseconds {name} 1000\nsentinel failover-timeout {name} 5000\n"
        );
        let file = folder.path().join("sentinel.conf");
        fs::write(&file, text).expect("its configuration");
        let log = fs::File::create(folder.path().join("log")).expect("its log");
        let child = Command::new(servers::binary("redis-server"))
            .arg(&file)
            .arg("--sentinel")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn()
            .expect("a sentinel started");
        let sentinel = Self { folder, port, child };
        eventually("the sentinel knows a replica", START_DEADLINE, async || {
            let said = ask(sentinel.address(), &[&["INFO", "sentinel"]]).await.ok()?;
            said.first()?.contains("slaves=1").then_some(())
        })
        .await;
        sentinel
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Makes the replica the master, though the master serves.
    ///
    /// # Panics
    /// When it does not agree.
    pub async fn fail_over(&self, name: &str) {
        let said = ask(self.address(), &[&["SENTINEL", "FAILOVER", name]]).await.expect("an answer");
        assert_eq!(said, ["+OK"]);
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RedisSentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
