//! A network of one program's own, that reaches a server by one wire, which can be pulled: then packets are
//! lost without a word, and neither side learns what became of the other.
//!
//! A network namespace with a pair of virtual interfaces (`ip netns`, which needs root), and on the host's
//! side a forwarder to the server, which itself listens on 127.0.0.1 alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use tokio::io::copy_bidirectional;

use crate::net::{Gate, Place};
use crate::program::Program;

/// The network; gone when dropped.
pub struct Island {
    /// Of the namespace, and of the interface on the host's side.
    name: String,
    gate: Gate,
}

impl Island {
    /// Makes one that reaches the server at this address of the host.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn before(server: SocketAddr) -> Self {
        let number = std::process::id() % (1 << 14);
        let name = format!("rt{}", std::process::id());
        // Four addresses for each process, of a range that is for private use.
        let [.., high, low] = (number * 4).to_be_bytes();
        let (host, own) = (Ipv4Addr::new(10, 231, high, low + 1), Ipv4Addr::new(10, 231, high, low + 2));
        let there = format!("{name}x");
        for line in [
            format!("netns add {name}"),
            format!("link add {name} type veth peer name {there} netns {name}"),
            format!("address add {host}/30 dev {name}"),
            format!("link set {name} up"),
            format!("-n {name} address add {own}/30 dev {there}"),
            format!("-n {name} link set {there} up"),
            format!("-n {name} link set lo up"),
        ] {
            ip(&line);
        }
        let gate = Gate::open(Place::Tcp((host, 0).into()), move |mut stream| async move {
            if let Ok(mut other) = Place::Tcp(server).connect().await {
                let _ = copy_bidirectional(&mut stream, &mut other).await;
            }
        })
        .await;
        Self { name, gate }
    }

    /// Where the server is, seen from in here.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self.gate.place() {
            Place::Tcp(address) => *address,
            Place::Unix(path) => panic!("listens on {}, not at an address", path.display()),
        }
    }

    /// Runs a program in here, with an environment of its own.
    #[must_use]
    pub fn run(&self, binary: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Program {
        let binary = binary.to_str().expect("a path of text");
        let inside = ["netns", "exec", &self.name, binary];
        Program::start(
            Path::new("ip"),
            inside.into_iter().chain(arguments.iter().copied()),
            environment.iter().copied(),
        )
    }

    /// Pulls the wire: packets are lost in both directions.
    pub fn cut(&self) {
        ip(&format!("link set {} down", self.name));
    }

    /// Lets the server's side forget every connection; while the wire is cut, the other side does not hear of it.
    pub fn forget_connections(&self) {
        self.gate.cut();
    }

    /// Plugs the wire in again.
    pub fn restore(&self) {
        ip(&format!("link set {} up", self.name));
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        for line in [format!("link delete {}", self.name), format!("netns delete {}", self.name)] {
            let _ = Command::new("ip").args(line.split(' ')).output();
        }
    }
}

/// Runs `ip` with the words of this line.
pub(crate) fn ip(line: &str) {
    let done = Command::new("ip").args(line.split(' ')).output().expect("ip: run dev/install-servers");
    assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
}
