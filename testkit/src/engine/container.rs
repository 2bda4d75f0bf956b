//! A container of the fake engine, and how an engine words it.

use serde_json::{Map, Value, json};

/// A container, made by a builder; all it holds can be changed later.
#[derive(Clone, Debug)]
pub struct FakeContainer {
    name: String,
    config: Value,
    host_config: Value,
    /// Where each port will be published when it runs.
    published: Map<String, Value>,
    /// Its networks: name and IPv4 address; without one, one of the bridge's.
    networks: Vec<(String, String)>,
    state: Value,
    created: u64,
    /// Members of its inspect result that stand above all else: JSON pointer and value.
    overrides: Vec<(String, Value)>,
}

impl FakeContainer {
    /// A container of this name on the engine's bridge, of the image `scratch`, without ports.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            config: json!({"Image": "scratch", "Hostname": name, "Env": [], "Labels": {}, "ExposedPorts": {}}),
            host_config: json!({"NetworkMode": "default"}),
            published: Map::new(),
            networks: Vec::new(),
            state: state("created"),
            created: 0,
            overrides: Vec::new(),
        }
    }

    /// Of this image.
    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        self.config["Image"] = json!(image);
        self
    }

    /// With this `KEY=value` in its environment, after those before.
    #[must_use]
    pub fn env(mut self, line: &str) -> Self {
        if let Some(lines) = self.config["Env"].as_array_mut() {
            lines.push(json!(line));
        }
        self
    }

    /// With this label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.config["Labels"][key] = json!(value);
        self
    }

    /// With this port (`53/udp`) exposed.
    #[must_use]
    pub fn expose(mut self, port: &str) -> Self {
        self.config["ExposedPorts"][port] = json!({});
        self
    }

    /// With this port (`80/tcp`) exposed, and published at this one on all of the host's IPv4 addresses.
    #[must_use]
    pub fn publish(self, port: &str, host_port: u16) -> Self {
        self.publish_on(port, "0.0.0.0", host_port)
    }

    /// The same on one address of the host.
    #[must_use]
    pub fn publish_on(self, port: &str, host_ip: &str, host_port: u16) -> Self {
        let mut container = self.expose(port);
        let bindings = container.published.entry(port).or_insert_with(|| json!([]));
        if let Some(bindings) = bindings.as_array_mut() {
            bindings.push(json!({"HostIp": host_ip, "HostPort": host_port.to_string()}));
        }
        container
    }

    /// On this network, with this address, besides those before.
    #[must_use]
    pub fn network(mut self, name: &str, ip: &str) -> Self {
        if self.networks.is_empty() {
            self.host_config["NetworkMode"] = json!(name);
        }
        self.attach(name, ip);
        self
    }

    /// With this `--network`: `host`, `none`, `container:<id>`.
    #[must_use]
    pub fn network_mode(mut self, mode: &str) -> Self {
        self.host_config["NetworkMode"] = json!(mode);
        self
    }

    /// With a HEALTHCHECK that says this.
    #[must_use]
    pub fn health(mut self, status: &str) -> Self {
        self.set_health(status);
        self
    }

    /// With this value at this place (a JSON pointer, whose parents exist) of its inspect result, whatever else is said.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        self.overrides.push((pointer.to_owned(), value));
        self
    }
}

// === what happens to it ===

impl FakeContainer {
    /// Whether its process runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state["Running"] == true
    }

    /// Gives it another name.
    pub fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// Puts it on one more network.
    pub fn attach(&mut self, network: &str, ip: &str) {
        self.networks.push((network.to_owned(), ip.to_owned()));
    }

    /// Sets what its HEALTHCHECK says.
    pub fn set_health(&mut self, status: &str) {
        self.state["Health"] = json!({"Status": status, "FailingStreak": 0, "Log": []});
    }

    pub(super) fn start(&mut self) {
        let health = self.state["Health"].take();
        self.state = state("running");
        if !health.is_null() {
            self.state["Health"] = health;
        }
    }

    pub(super) fn stop(&mut self, code: i64) {
        self.state = state("exited");
        self.state["ExitCode"] = json!(code);
    }

    pub(super) fn begin_removal(&mut self) {
        self.state = state("removing");
    }

    pub(super) fn set_state(&mut self, key: &str, value: Value, status: &str) {
        self.state[key] = value;
        self.state["Status"] = json!(status);
    }

    pub(super) fn created_as(mut self, number: u64) -> Self {
        self.created = number;
        if self.networks.is_empty() && matches!(self.mode(), "default" | "bridge") {
            let (high, low) = (number / 250 % 250, number % 250 + 2);
            self.attach("bridge", &format!("172.17.{high}.{low}"));
        }
        self
    }
}

// === how an engine words it ===

impl FakeContainer {
    fn mode(&self) -> &str {
        self.host_config["NetworkMode"].as_str().unwrap_or_default()
    }

    /// The answer to an inspect.
    pub(super) fn inspect(&self, id: &str, api: (u16, u16)) -> Value {
        let mut host_config = self.host_config.clone();
        host_config["PortBindings"] = Value::Object(self.published.clone());
        let mut said = json!({
            "Id": id,
            "Created": self.created_at(),
            "Name": format!("/{}", self.name),
            "Image": format!("sha256:{}", "a".repeat(64)),
            "State": self.state,
            "Config": self.config,
            "HostConfig": host_config,
            "NetworkSettings": {"SandboxID": "", "Ports": self.ports(), "Networks": self.networks()},
        });
        if api < (1, 52) {
            let ip = said.pointer("/NetworkSettings/Networks/bridge/IPAddress").cloned();
            said["NetworkSettings"]["IPAddress"] = ip.unwrap_or_else(|| json!(""));
        }
        for (pointer, value) in &self.overrides {
            let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer");
            said.pointer_mut(parent).expect("its parent")[key] = value.clone();
        }
        said
    }

    /// Its entry in a list.
    pub(super) fn entry(&self, id: &str) -> Value {
        let status = match (self.state["Status"].as_str(), self.state["Health"]["Status"].as_str()) {
            (Some("running"), Some(health)) => format!("Up 5 minutes ({health})"),
            (Some("running"), None) => "Up 5 minutes".to_owned(),
            (Some("paused"), _) => "Up 5 minutes (Paused)".to_owned(),
            (Some("exited"), _) => format!("Exited ({}) 2 minutes ago", self.state["ExitCode"]),
            (other, _) => other.unwrap_or_default().to_owned(),
        };
        json!({
            "Id": id,
            "Names": [format!("/{}", self.name)],
            "Image": self.config["Image"],
            "Created": 1_700_000_000 + self.created,
            "Labels": self.config["Labels"],
            "State": self.state["Status"],
            "Status": status,
            "Ports": self.ports().as_object().into_iter().flatten().map(|(port, bindings)| json!([port, bindings])).collect::<Vec<_>>(),
            "HostConfig": {"NetworkMode": self.mode()},
            "NetworkSettings": {"Networks": self.networks()},
        })
    }

    /// An event of it, as of API 1.52.
    pub(super) fn event(&self, id: &str, action: &str) -> Value {
        let attributes = json!({"image": self.config["Image"], "name": self.name});
        json!({"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": attributes}})
    }

    fn created_at(&self) -> String {
        format!("2026-01-01T00:00:00.{:09}Z", self.created)
    }

    fn ports(&self) -> Value {
        if !self.is_running() || self.networks.is_empty() {
            return json!({});
        }
        let exposed = self.config["ExposedPorts"].as_object().into_iter().flatten();
        let mut ports: Map<_, _> = exposed.map(|(port, _)| (port.clone(), Value::Null)).collect();
        ports.extend(self.published.clone());
        Value::Object(ports)
    }

    fn networks(&self) -> Value {
        let on = |(name, ip): &(String, String)| {
            let ip = if self.is_running() { ip.as_str() } else { "" };
            (name.clone(), json!({"IPAddress": ip, "GlobalIPv6Address": "", "NetworkID": name}))
        };
        match self.mode() {
            mode @ ("host" | "none") => json!({mode: {"IPAddress": "", "GlobalIPv6Address": "", "NetworkID": mode}}),
            _ => self.networks.iter().map(on).collect::<Map<_, _>>().into(),
        }
    }
}

fn state(status: &str) -> Value {
    json!({
        "Status": status,
        "Running": status == "running",
        "Paused": false,
        "Restarting": false,
        "Dead": false,
        "ExitCode": 0,
    })
}
