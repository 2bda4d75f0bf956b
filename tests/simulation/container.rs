//! A container of the simulated engine, and how the engine words it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// A container. Everything about it may change but its id, its age and what it was created with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    /// How many were created before it.
    pub(crate) age: u64,
    pub(crate) made: Made,
    pub(crate) state: State,
    /// Its networks and addresses, while it runs.
    pub(crate) networks: BTreeMap<&'static str, Ipv4Addr>,
    /// Where the host publishes its ports, while it runs.
    pub(crate) published: BTreeMap<Port, u16>,
    /// Where its services stood while it ran: their keys, and what was there; only the oracle reads them.
    pub(crate) stood: BTreeSet<(String, String)>,
    /// When its process ended, each time; only the oracle reads them.
    pub(crate) ends: Vec<Instant>,
    /// How often its process was started.
    pub(crate) starts: u64,
    /// When it was last sent the signal that asks it to stop; only the oracle reads it.
    pub(crate) told_to_stop: Option<Instant>,
}

/// What a container is created with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Made {
    pub(crate) image: &'static str,
    pub(crate) ports: Vec<(Port, bool)>,
    pub(crate) network: Network,
    /// `SERVICE_NAME`.
    pub(crate) service_name: Option<&'static str>,
    /// `SERVICE_ID`.
    pub(crate) service_id: Option<&'static str>,
    /// `SERVICE_TAGS`.
    pub(crate) tags: Vec<&'static str>,
    /// `SERVICE_IGNORE`.
    pub(crate) ignored: bool,
    /// It says of itself what cannot be.
    pub(crate) nonsense: bool,
    /// `SERVICE_CHECK_HTTP`, with `SERVICE_CHECK_DEREGISTER_AFTER` in seconds.
    pub(crate) reaped_after: Option<u64>,
}

/// A port inside a container, and whether it is UDP.
pub(crate) type Port = (u16, bool);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Network {
    Bridge,
    Host,
    /// That of the container with this id.
    Shared(String),
    None,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    Created,
    Running { paused: bool, health: Option<&'static str> },
    Exited(i64),
    Restarting(i64),
    Removing,
}

impl State {
    pub(crate) fn runs(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running { paused: false, .. } => "running",
            Self::Running { paused: true, .. } => "paused",
            Self::Exited(_) => "exited",
            Self::Restarting(_) => "restarting",
            Self::Removing => "removing",
        }
    }

    fn code(self) -> i64 {
        match self {
            Self::Exited(code) | Self::Restarting(code) => code,
            Self::Created | Self::Running { .. } | Self::Removing => 0,
        }
    }
}

pub(crate) fn spelled((number, udp): Port) -> String {
    format!("{number}/{}", if udp { "udp" } else { "tcp" })
}

impl Container {
    fn network_mode(&self) -> String {
        match &self.made.network {
            Network::Bridge => "default".to_owned(),
            Network::Host => "host".to_owned(),
            Network::Shared(other) => format!("container:{other}"),
            Network::None => "none".to_owned(),
        }
    }

    fn networks(&self) -> Value {
        self.networks
            .iter()
            .map(|(name, ip)| ((*name).to_owned(), json!({"IPAddress": ip.to_string(), "GlobalIPv6Address": ""})))
            .collect::<Map<_, _>>()
            .into()
    }

    /// Its entry in `GET /containers/json`.
    pub(crate) fn listed(&self) -> Value {
        let ports: Vec<_> = self
            .published
            .iter()
            .map(|((number, udp), public)| {
                json!({"IP": "0.0.0.0", "PrivatePort": number, "PublicPort": public, "Type": if *udp { "udp" } else { "tcp" }})
            })
            .collect();
        let status = match self.state {
            State::Running { paused: true, .. } => "Up 5 minutes (Paused)".to_owned(),
            State::Running { health: Some(health), .. } => format!("Up 5 minutes ({health})"),
            State::Running { .. } => "Up 5 minutes".to_owned(),
            other => format!("Exited ({}) 5 minutes ago", other.code()),
        };
        json!({
            "Id": self.id, "Names": [format!("/{}", self.name)], "State": self.state.word(), "Status": status,
            "Ports": ports, "NetworkSettings": {"Networks": self.networks()},
        })
    }

    /// What `GET /containers/{id}/json` says.
    pub(crate) fn inspected(&self) -> Value {
        let made = &self.made;
        let mut env = vec!["PATH=/bin".to_owned()];
        env.extend(made.service_name.map(|name| format!("SERVICE_NAME={name}")));
        env.extend(made.service_id.map(|id| format!("SERVICE_ID={id}")));
        if !made.tags.is_empty() {
            env.push(format!("SERVICE_TAGS={}", made.tags.join(",")));
        }
        if made.ignored {
            env.push("SERVICE_IGNORE=true".to_owned());
        }
        if let Some(seconds) = made.reaped_after {
            env.extend(["SERVICE_CHECK_HTTP=/".to_owned(), format!("SERVICE_CHECK_DEREGISTER_AFTER={seconds}s")]);
        }
        if made.nonsense {
            env.extend([
                "SERVICE_NAME=two\nlines".to_owned(),
                "SERVICE_PORT=70000".to_owned(),
                "SERVICE_IP= ".to_owned(),
            ]);
        }
        let exposed: Map<_, _> = made.ports.iter().map(|(port, _)| (spelled(*port), json!({}))).collect();
        let asked = made.ports.iter().filter(|(_, published)| *published);
        let bindings: Map<_, _> =
            asked.map(|(port, _)| (spelled(*port), json!([{"HostIp": "", "HostPort": ""}]))).collect();
        let published: Map<_, _> = if self.networks.is_empty() {
            Map::new()
        } else {
            let place = |port| match self.published.get(port) {
                Some(public) => json!([{"HostIp": "0.0.0.0", "HostPort": public.to_string()}]),
                None => Value::Null,
            };
            made.ports.iter().map(|(port, _)| (spelled(*port), place(port))).collect()
        };
        let state = self.state;
        let restarting = matches!(state, State::Restarting(_));
        let mut said = json!({
            "Id": self.id, "Name": format!("/{}", self.name), "Created": self.created(),
            "Config": {"Image": made.image, "Hostname": &self.id[..12], "Env": env, "Labels": {}, "ExposedPorts": exposed},
            "HostConfig": {"NetworkMode": self.network_mode(), "PortBindings": bindings},
            "NetworkSettings": {"Ports": published, "Networks": self.networks()},
            "State": {
                "Status": state.word(), "Running": state.runs() || restarting, "Restarting": restarting, "Dead": false,
                "Paused": matches!(state, State::Running { paused: true, .. }), "ExitCode": state.code(),
                "StartedAt": self.started(),
            },
        });
        if let State::Running { health: Some(health), .. } = state {
            said["State"]["Health"] = json!({"Status": health});
        }
        said
    }

    fn created(&self) -> String {
        format!("2026-01-01T00:{:02}:{:02}Z", self.age / 60, self.age % 60)
    }

    fn started(&self) -> String {
        format!("2026-01-02T{:02}:{:02}:{:02}Z", self.age % 24, self.starts / 60 % 60, self.starts % 60)
    }
}
