//! Hosts of one test's own on a network of their own: each with its address, its loopback and its usual ports, and with a
//! Docker engine where one is asked for.
//!
//! A host is a network namespace (`ip netns`, which needs root) with a wire to a switch, which is in a namespace as well. So
//! nothing of it touches the machine's network or another test's, and every test has the same addresses.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::island::ip;
use crate::private_engine::PrivateEngine;
use crate::program::Program;

/// The network; gone when dropped, after its hosts.
struct Switch {
    namespace: String,
}

/// Some hosts on one network, with the addresses 10.0.0.11, 10.0.0.12 and so on.
pub struct Hosts {
    hosts: Vec<Host>,
    _switch: Switch,
}

/// One of them.
pub struct Host {
    /// What it is called: `host1`, `host2` and so on.
    pub name: String,
    /// Where others reach it.
    pub address: Ipv4Addr,
    /// Its Docker engine.
    pub engine: PrivateEngine,
    // After the engine, which lives in it.
    namespace: Namespace,
}

struct Namespace(String);

impl Hosts {
    /// Makes so many hosts, and starts an engine on each.
    ///
    /// # Panics
    /// When one cannot be made.
    pub async fn start(count: u8) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let own = format!("rt{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let switch = Switch::make(format!("{own}s"));
        let plugged = (1..=count).map(|number| {
            let address = Ipv4Addr::new(10, 0, 0, 10 + number);
            (format!("host{number}"), address, switch.plug(format!("{own}h{number}"), number, address))
        });
        let mut hosts = Vec::new();
        for (name, address, namespace) in plugged.collect::<Vec<_>>() {
            let engine = PrivateEngine::in_namespace(&namespace.0).await;
            hosts.push(Host { name, address, engine, namespace });
        }
        Self { hosts, _switch: switch }
    }

    /// All of them, in order.
    #[must_use]
    pub fn all(&self) -> &[Host] {
        &self.hosts
    }
}

impl Host {
    /// Runs a program on it, with an environment of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run<'a>(&'a self, binary: &'a Path, arguments: &[&'a str]) -> Program {
        let docker = self.engine.host();
        let inside = [self.namespace.option(), binary.to_str().expect("a path of text").to_owned()];
        let all = inside.iter().map(String::as_str).chain(arguments.iter().copied());
        Program::start(Path::new("nsenter"), all, [("DOCKER_HOST", docker.as_str())])
    }

    /// Types a line into a shell on it, and gives what that prints, whether it succeeds or not.
    ///
    /// # Panics
    /// When there is no shell.
    #[must_use]
    pub fn shell(&self, line: &str) -> String {
        let mut command = Command::new("nsenter");
        command.args([&self.namespace.option(), "sh", "-c", line]).env("DOCKER_HOST", self.engine.host());
        let done = command.output().expect("a shell");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }
}

impl Switch {
    fn make(name: String) -> Self {
        ip(&format!("netns add {name}"));
        let switch = Self { namespace: name };
        for line in ["link add switch type bridge", "link set switch up", "link set lo up"] {
            ip(&format!("-n {} {line}", switch.namespace));
        }
        switch
    }

    /// A new host's namespace, with a wire to this switch.
    fn plug(&self, name: String, port: u8, address: Ipv4Addr) -> Namespace {
        ip(&format!("netns add {name}"));
        let host = Namespace(name);
        let (name, switch) = (&host.0, &self.namespace);
        for line in [
            format!("-n {name} link add eth0 type veth peer name port{port} netns {switch}"),
            format!("-n {switch} link set port{port} master switch"),
            format!("-n {switch} link set port{port} up"),
            format!("-n {name} address add {address}/24 dev eth0"),
            format!("-n {name} link set eth0 up"),
            format!("-n {name} link set lo up"),
            // Programs look for the interface of the default route.
            format!("-n {name} route add default via 10.0.0.1"),
        ] {
            ip(&line);
        }
        host
    }
}

impl Namespace {
    /// As `nsenter` takes it.
    fn option(&self) -> String {
        format!("--net=/run/netns/{}", self.0)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.namespace]).output();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
    }
}
