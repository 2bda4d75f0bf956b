//! Where the engine is: from `DOCKER_HOST` and related variables, or the first usual socket that exists.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::errors::ConnectError;
use crate::config::DockerConfig;
use crate::http::Tls;

/// Where the documented command line mounts the engine's socket.
const MOUNTED: &str = "/tmp/docker.sock";
/// Docker's default socket.
const DOCKER: &str = "/var/run/docker.sock";
/// Podman's socket: the system's and, below `$XDG_RUNTIME_DIR`, a user's.
const PODMAN: &str = "/run/podman/podman.sock";
const PODMAN_OF_USER: &str = "podman/podman.sock";

/// How to reach an engine.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The endpoint as people write it, without credentials: `unix:///tmp/docker.sock`.
    pub(super) name: String,
    /// The unix socket, if it is one.
    pub(super) socket: Option<PathBuf>,
    /// The base URL, without a slash at its end.
    pub(super) base: String,
    /// The TLS settings if `base` is https.
    pub(super) tls: Tls,
}

impl Endpoint {
    /// An endpoint without a network address: something else carries its requests.
    pub(super) fn elsewhere() -> Self {
        Self { name: "elsewhere".to_owned(), socket: None, base: "http://elsewhere".to_owned(), tls: Tls::default() }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `base` may hold credentials.
        write!(f, "Endpoint({})", self.name)
    }
}

/// The relevant facts of this machine.
pub(super) struct Surroundings<'a> {
    /// `$HOME`.
    pub(super) home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub(super) runtime_dir: Option<PathBuf>,
    /// Whether a path exists.
    pub(super) exists: &'a dyn Fn(&Path) -> bool,
}

impl Surroundings<'_> {
    /// The facts of this process.
    pub(super) fn of_process() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self { home: variable("HOME"), runtime_dir: variable("XDG_RUNTIME_DIR"), exists: &|path| path.exists() }
    }
}

/// Finds the engine.
pub(super) fn find(config: &DockerConfig, around: &Surroundings<'_>) -> Result<Endpoint, ConnectError> {
    let Some(host) = config.host.as_deref().filter(|host| !host.is_empty()) else { return usual(around) };
    let shown = || without_credentials(host).escape_debug().to_string();
    let bad = |reason: &str| ConnectError::BadHost { host: shown(), reason: reason.to_owned() };
    if host.contains(char::is_control) {
        return Err(bad("no address has control characters"));
    }

    if let Some(path) = host.strip_prefix("unix://").or_else(|| host.strip_prefix("unix:")) {
        return if path.starts_with('/') {
            Ok(socket(PathBuf::from(path)))
        } else {
            Err(bad("the path of a socket is absolute: unix:///var/run/docker.sock"))
        };
    }
    match host.split_once("://") {
        Some(("tcp", rest)) => tcp(host, rest, config.tls_verify, config, around),
        Some(("http", rest)) => tcp(host, rest, config.tls_verify, config, around),
        Some(("https", rest)) => tcp(host, rest, true, config, around),
        Some(("ssh", _)) => Err(bad("ssh is not spoken here: forward the engine's socket, and give unix:// or tcp://")),
        Some((_, _)) => Err(bad("give unix:///path, tcp://host:port, http://host:port or https://host:port")),
        None if host.starts_with('/') => Err(bad(&format!("write unix://{host}"))),
        None if names_port(host) => tcp(&format!("tcp://{host}"), host, config.tls_verify, config, around),
        None => Err(bad("write tcp://host:port or unix:///path")),
    }
}

/// Whether this is `host:port`, which people write instead of `tcp://host:port`.
fn names_port(text: &str) -> bool {
    Url::parse(&format!("tcp://{text}")).is_ok_and(|url| url.has_host() && url.port().is_some())
}

/// The first usual socket that exists.
fn usual(around: &Surroundings<'_>) -> Result<Endpoint, ConnectError> {
    [
        Some(MOUNTED.into()),
        Some(DOCKER.into()),
        around.runtime_dir.as_ref().map(|dir| dir.join(PODMAN_OF_USER)),
        Some(PODMAN.into()),
    ]
    .into_iter()
    .flatten()
    .find(|path: &PathBuf| (around.exists)(path))
    .map(socket)
    .ok_or(ConnectError::NoSocket)
}

fn socket(path: PathBuf) -> Endpoint {
    let name = format!("unix://{}", path.display());
    Endpoint { name, socket: Some(path), base: "http://localhost".to_owned(), tls: Tls::default() }
}

fn tcp(
    host: &str,
    rest: &str,
    tls: bool,
    config: &DockerConfig,
    around: &Surroundings<'_>,
) -> Result<Endpoint, ConnectError> {
    let bad = |reason: &str| ConnectError::BadHost { host: without_credentials(host), reason: reason.to_owned() };
    let tcp = host.starts_with("tcp:");
    // For Docker's own client, `tcp://` and `tcp://:2375` mean this host.
    let rest =
        if tcp && (rest.is_empty() || rest.starts_with(':')) { format!("localhost{rest}") } else { rest.to_owned() };
    let mut url = Url::parse(&format!("{}://{rest}", if tls { "https" } else { "http" }))
        .map_err(|error| bad(&format!("{error}; give tcp://host:port")))?;
    if url.path().contains('@') {
        return Err(bad("there is an @ after its host: in a user or password, write / as %2F"));
    }
    // An explicit port 80 is lost in an `http` URL, so a scheme without a default port is used.
    let no_port = Url::parse(&format!("tcp://{rest}")).is_ok_and(|url| url.port().is_none());
    if tcp && no_port {
        // Docker's registered ports, without and with TLS.
        let _ = url.set_port(Some(if tls { 2376 } else { 2375 }));
    }
    url.set_query(None);
    url.set_fragment(None);
    let base = url.as_str().trim_end_matches('/').to_owned();
    let name = without_credentials(&base);
    Ok(Endpoint { name, socket: None, base, tls: if tls { files(config, around)? } else { Tls::default() } })
}

/// The PEM files in `DOCKER_CERT_PATH`, by default `~/.docker`.
fn files(config: &DockerConfig, around: &Surroundings<'_>) -> Result<Tls, ConnectError> {
    let folder = match (&config.cert_path, &around.home) {
        (Some(folder), _) => folder.clone(),
        // An https:// URL needs no files: the system's authorities may be enough.
        (None, _) if !config.tls_verify => return Ok(Tls::default()),
        (None, Some(home)) => home.join(".docker"),
        (None, None) => return Err(ConnectError::NoCertificates { file: PathBuf::from("~/.docker/ca.pem") }),
    };
    let [ca, certificate, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| folder.join(name));
    if !(around.exists)(&ca) {
        return Err(ConnectError::NoCertificates { file: ca });
    }
    let identity = ((around.exists)(&certificate) || (around.exists)(&key)).then_some((certificate, key));
    Ok(Tls { ca: Some(ca), identity, skip_verify: false })
}

/// The URL without the user and password, even if they contain an unescaped slash.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.rsplit_once('@').map_or(url, |(_, host)| host).to_owned();
    };
    let host = rest.rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(host: Option<&str>, tls_verify: bool, cert_path: Option<&str>) -> DockerConfig {
        DockerConfig {
            host: host.map(str::to_owned),
            tls_verify,
            cert_path: cert_path.map(PathBuf::from),
            api_version: None,
            keep_inspect: false,
            ip_label: None,
            list_all: false,
            resync: None,
        }
    }

    fn find_among(config: &DockerConfig, there: &[&str]) -> Result<Endpoint, ConnectError> {
        let exists = |path: &Path| there.iter().any(|other| Path::new(other) == path);
        let around =
            Surroundings { home: Some("/home/me".into()), runtime_dir: Some("/run/user/7".into()), exists: &exists };
        find(config, &around)
    }

    #[test]
    fn without_docker_host_the_first_of_the_usual_sockets_is_taken() {
        let all = [MOUNTED, DOCKER, "/run/user/7/podman/podman.sock", PODMAN];
        for first in 0..all.len() {
            let found = find_among(&config(None, false, None), &all[first..]).unwrap();
            assert_eq!(found.socket.as_deref(), Some(Path::new(all[first])));
            assert_eq!(found.name, format!("unix://{}", all[first]));
            assert_eq!(found.base, "http://localhost");
        }
        assert!(matches!(find_among(&config(None, false, None), &[]), Err(ConnectError::NoSocket)));
    }

    #[test]
    fn docker_host_says_where_the_engine_is() {
        for (host, tls, base, name) in [
            ("tcp://10.0.0.1:2375", false, "http://10.0.0.1:2375", "http://10.0.0.1:2375"),
            ("tcp://10.0.0.1", false, "http://10.0.0.1:2375", "http://10.0.0.1:2375"),
            ("tcp://", false, "http://localhost:2375", "http://localhost:2375"),
            ("tcp://:99", false, "http://localhost:99", "http://localhost:99"),
            ("tcp://engine:80/", false, "http://engine", "http://engine"),
            ("tcp://[::1]:2375", false, "http://[::1]:2375", "http://[::1]:2375"),
            ("http://engine:2375/proxy/", false, "http://engine:2375/proxy", "http://engine:2375/proxy"),
            ("https://engine:2376", false, "https://engine:2376", "https://engine:2376"),
            ("tcp://engine", true, "https://engine:2376", "https://engine:2376"),
            ("http://engine:2376", true, "https://engine:2376", "https://engine:2376"),
            ("tcp://me:secret@engine:1", false, "http://me:secret@engine:1", "http://engine:1"),
            // Without a scheme.
            ("10.0.0.1:2375", false, "http://10.0.0.1:2375", "http://10.0.0.1:2375"),
            ("engine:80", false, "http://engine", "http://engine"),
            ("[::1]:2376", true, "https://[::1]:2376", "https://[::1]:2376"),
            ("me:secret@engine:1", false, "http://me:secret@engine:1", "http://engine:1"),
        ] {
            let found = find_among(&config(Some(host), tls, None), &["/home/me/.docker/ca.pem"]).unwrap();
            assert_eq!((found.base.as_str(), found.name.as_str()), (base, name), "{host}");
        }
        let unix = find_among(&config(Some("unix:///run/x.sock"), true, None), &[]).unwrap();
        assert_eq!((unix.name.as_str(), unix.tls), ("unix:///run/x.sock", Tls::default()));
    }

    #[test]
    fn a_bad_docker_host_is_one_line_that_says_what_to_write() {
        for (host, line) in [
            (
                "ssh://me:secret@far",
                "DOCKER_HOST=ssh://far: ssh is not spoken here: forward the engine's socket, and give unix:// or tcp://",
            ),
            ("/var/run/docker.sock", "DOCKER_HOST=/var/run/docker.sock: write unix:///var/run/docker.sock"),
            ("10.0.0.1", "DOCKER_HOST=10.0.0.1: write tcp://host:port or unix:///path"),
            ("engine:port", "DOCKER_HOST=engine:port: write tcp://host:port or unix:///path"),
            ("me:secret@engine", "DOCKER_HOST=engine: write tcp://host:port or unix:///path"),
            (":2375", "DOCKER_HOST=:2375: write tcp://host:port or unix:///path"),
            (
                "npipe:////./pipe/docker",
                "DOCKER_HOST=npipe:////./pipe/docker: give unix:///path, tcp://host:port, http://host:port or https://host:port",
            ),
            (
                "unix://run/docker.sock",
                "DOCKER_HOST=unix://run/docker.sock: the path of a socket is absolute: unix:///var/run/docker.sock",
            ),
            ("tcp://host:port", "DOCKER_HOST=tcp://host:port: invalid port number; give tcp://host:port"),
        ] {
            assert_eq!(find_among(&config(Some(host), false, None), &[]).unwrap_err().to_string(), line);
        }
    }

    #[test]
    fn tls_files_come_from_the_cert_path_or_the_home() {
        let there = ["/c/ca.pem", "/c/cert.pem", "/c/key.pem", "/home/me/.docker/ca.pem"];
        let given = find_among(&config(Some("tcp://e"), true, Some("/c")), &there).unwrap();
        assert_eq!(given.tls.ca.as_deref(), Some(Path::new("/c/ca.pem")));
        assert_eq!(given.tls.identity, Some(("/c/cert.pem".into(), "/c/key.pem".into())));
        let home = find_among(&config(Some("tcp://e"), true, None), &there).unwrap();
        assert_eq!((home.tls.ca.as_deref(), home.tls.identity), (Some(Path::new("/home/me/.docker/ca.pem")), None));
        let system = find_among(&config(Some("https://e"), false, None), &there).unwrap();
        assert_eq!(system.tls, Tls::default());
    }

    #[test]
    fn a_missing_authority_is_named() {
        let error = find_among(&config(Some("tcp://e"), true, Some("/c")), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/c/ca.pem is missing: put ca.pem, cert.pem and key.pem there, or correct DOCKER_CERT_PATH"
        );
    }
}
