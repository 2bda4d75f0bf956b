//! Containers on the machine's real engine, from images made of nothing but busybox.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

/// An image of nothing but busybox.
const BUSYBOX: &str = r#"FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
ENV PATH=/bin
RUN ["/bin/busybox", "--install", "-s", "/bin"]"#;

/// The engine's socket.
pub const SOCKET: &str = "/var/run/docker.sock";

/// The image that containers are made of unless they say otherwise.
pub const IMAGE: &str = "registrator-test/web";

/// Asks the engine, and gives its status and its answer.
///
/// # Panics
/// When there is no engine.
pub fn ask(method: &str, path: &str, body: &Value) -> (u16, Value) {
    ask_at(SOCKET.as_ref(), method, path, body)
}

/// The same of the engine at this socket.
///
/// # Panics
/// When there is none.
pub fn ask_at(socket: &Path, method: &str, path: &str, body: &Value) -> (u16, Value) {
    try_ask(socket, method, path, body).unwrap_or_else(|error| panic!("{}: {error}: run dev/test", socket.display()))
}

/// The same of an engine that may be away.
///
/// # Errors
/// When it does not answer.
pub fn try_ask(socket: &Path, method: &str, path: &str, body: &Value) -> io::Result<(u16, Value)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        stream,
        "{method} /v1.41{path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// A name that no other test uses.
#[must_use]
pub fn unique(name: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("rt-{}-{}-{name}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// What a container is to be.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Of the engine that it is to be on.
    socket: PathBuf,
    image: String,
    name: String,
    body: Value,
}

/// A container; removed when dropped.
#[derive(Debug)]
pub struct Container {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    socket: PathBuf,
}

impl Spec {
    /// A container of this name, which must be unique, that sleeps until it is told to stop.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            socket: SOCKET.into(),
            image: IMAGE.to_owned(),
            name: name.to_owned(),
            body: json!({
                "Cmd": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"],
                "Env": [], "Labels": {}, "ExposedPorts": {},
                "HostConfig": {"PortBindings": {}, "StopTimeout": 1},
            }),
        }
    }

    /// On the engine at this socket, which has its image.
    #[must_use]
    pub fn on(mut self, socket: &Path) -> Self {
        socket.clone_into(&mut self.socket);
        self
    }

    /// Made of the image of this name, which is made if it is not there.
    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        image.clone_into(&mut self.image);
        self
    }

    /// Runs this in a shell.
    #[must_use]
    pub fn shell(mut self, line: &str) -> Self {
        self.body["Cmd"] = json!(["sh", "-c", line]);
        self
    }

    /// With this line (`KEY=value`) in its environment.
    #[must_use]
    pub fn env(mut self, line: &str) -> Self {
        self.body["Env"].as_array_mut().unwrap().push(json!(line));
        self
    }

    /// With this label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.body["Labels"][key] = json!(value);
        self
    }

    /// With a port (`80/tcp`) that is not published.
    #[must_use]
    pub fn expose(mut self, port: &str) -> Self {
        self.body["ExposedPorts"][port] = json!({});
        self
    }

    /// With a port (`80/tcp`) published at a host port that the engine chooses.
    #[must_use]
    pub fn publish(self, port: &str) -> Self {
        self.publish_at(port, "", "")
    }

    /// With a port (`80/tcp`) published at this address and port of the host.
    #[must_use]
    pub fn publish_at(mut self, port: &str, address: &str, host_port: &str) -> Self {
        self.body["HostConfig"]["PortBindings"][port] = json!([{"HostIp": address, "HostPort": host_port}]);
        self.expose(port)
    }

    /// With every port that it exposes published at a host port that the engine chooses.
    #[must_use]
    pub fn publish_all(mut self) -> Self {
        self.body["HostConfig"]["PublishAllPorts"] = json!(true);
        self
    }

    /// On this network (`host`, `none`, `container:…`, or a network's name).
    #[must_use]
    pub fn network(mut self, mode: &str) -> Self {
        self.body["HostConfig"]["NetworkMode"] = json!(mode);
        self
    }

    /// Started again by the engine whenever it ends.
    #[must_use]
    pub fn restart_always(mut self) -> Self {
        self.body["HostConfig"]["RestartPolicy"] = json!({"Name": "always"});
        self
    }

    /// With any other field of the engine's create request.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.body[field] = value;
        self
    }

    /// Makes it, and does not start it.
    ///
    /// # Panics
    /// When the engine refuses.
    #[must_use]
    pub fn create(mut self) -> Container {
        if self.socket == Path::new(SOCKET) {
            image(&self.image, &[]);
        }
        self.body["Image"] = json!(self.image);
        let path = format!("/containers/create?name={}", self.name);
        let (status, answer) = ask_at(&self.socket, "POST", &path, &self.body);
        assert_eq!(status, 201, "creating {}: {answer}", self.name);
        Container { id: answer["Id"].as_str().unwrap().to_owned(), name: self.name, socket: self.socket }
    }

    /// Makes it and starts it.
    ///
    /// # Panics
    /// When the engine refuses.
    #[must_use]
    pub fn start(self) -> Container {
        let container = self.create();
        container.act("start");
        container
    }
}

impl Container {
    /// Does one of the engine's verbs with it: `start`, `stop?t=0`, `kill`, `pause`, `rename?name=…`.
    ///
    /// # Panics
    /// When the engine refuses.
    pub fn act(&self, verb: &str) {
        let path = format!("/containers/{}/{verb}", self.id);
        let (status, answer) = ask_at(&self.socket, "POST", &path, &Value::Null);
        assert!(status < 400, "{verb} of {}: {status} {answer}", self.name);
    }

    /// Removes it, whether it runs or not.
    pub fn remove(&self) {
        // An engine of a test's own may be away; what ran on it ends with it.
        let _ = try_ask(&self.socket, "DELETE", &format!("/containers/{}?force=1&v=1", self.id), &Value::Null);
    }

    /// The first 12 characters of its ID.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.id[..12]
    }

    /// What the engine says of it.
    #[must_use]
    pub fn inspect(&self) -> Value {
        ask_at(&self.socket, "GET", &format!("/containers/{}/json", self.id), &Value::Null).1
    }

    /// The host port that a port (`80/tcp`) is published at.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn host_port(&self, port: &str) -> u16 {
        let inspect = self.inspect();
        let binding = &inspect["NetworkSettings"]["Ports"][port][0]["HostPort"];
        binding
            .as_str()
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("{port} is not published: {inspect}"))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A network; removed when dropped.
#[derive(Debug)]
pub struct Network {
    /// Its name.
    pub name: String,
}

impl Network {
    /// A bridge network of this name, which must be unique.
    ///
    /// # Panics
    /// When the engine refuses.
    #[must_use]
    pub fn create(name: &str) -> Self {
        let (status, answer) = ask("POST", "/networks/create", &json!({"Name": name, "CheckDuplicate": true}));
        assert_eq!(status, 201, "creating the network {name}: {answer}");
        Self { name: name.to_owned() }
    }
}

impl Network {
    /// Connects a container to it.
    ///
    /// # Panics
    /// When the engine refuses.
    pub fn connect(&self, container: &Container) {
        attach(&self.name, "connect", container);
    }

    /// Takes a container off it.
    ///
    /// # Panics
    /// When the engine refuses.
    pub fn disconnect(&self, container: &Container) {
        attach(&self.name, "disconnect", container);
    }
}

/// Connects a container to the network of this name (`connect`), or takes it off (`disconnect`).
///
/// # Panics
/// When the engine refuses.
pub fn attach(network: &str, verb: &str, container: &Container) {
    let path = format!("/networks/{network}/{verb}");
    let (status, answer) = ask("POST", &path, &json!({"Container": container.id}));
    assert!(status < 400, "{verb} of {} and {network}: {status} {answer}", container.name);
}

impl Drop for Network {
    fn drop(&mut self) {
        ask("DELETE", &format!("/networks/{}", self.name), &Value::Null);
    }
}

/// Makes the image of this name where it is missing: busybox, with these lines behind it in its Dockerfile.
///
/// # Panics
/// When it cannot be made.
pub fn image(name: &str, lines: &[&str]) {
    if ask("GET", &format!("/images/{name}/json"), &Value::Null).0 == 200 {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(busybox(), folder.path().join("busybox")).unwrap();
    std::fs::write(folder.path().join("Dockerfile"), format!("{BUSYBOX}\n{}\n", lines.join("\n"))).unwrap();
    let built = Command::new("docker")
        .args(["build", "-q", "-t", name, "."])
        .env("DOCKER_BUILDKIT", "0")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(built.status.success(), "building {name}: {}", String::from_utf8_lossy(&built.stderr));
}

/// Debian's static busybox.
pub(crate) fn busybox() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        ["/bin/busybox", "/usr/bin/busybox"]
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .unwrap_or_else(|| panic!("there is no busybox: run dev/install-servers"))
    })
}
