//! Validated settings, one small struct for each module.
//!
//! [`crate::cli`] builds them once, at the start, from the command line and the environment. Each module gets only its
//! own part.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// All settings of one run.
#[derive(Clone, Debug)]
pub struct Config {
    /// For [`crate::log`].
    pub log: LogConfig,
    /// For [`crate::docker`].
    pub docker: DockerConfig,
    /// For [`crate::service`].
    pub service: ServiceConfig,
    /// For [`crate::registry`], one for each URI.
    pub registries: Vec<RegistryConfig>,
    /// For [`crate::reconcile`].
    pub bridge: BridgeConfig,
    /// Who may see what is known.
    pub status: StatusConfig,
    /// Which files are kept right.
    pub render: Option<RenderConfig>,
    /// `-audit`: the file for each write to a registry, as one JSON line.
    pub audit: Option<PathBuf>,
    /// Whether registries are written to.
    pub mode: Mode,
    /// Each option's effective value and its origin, in the order of the table of options; then the registries.
    pub settings: Vec<Setting>,
}

/// What is shown of a running instance, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusConfig {
    /// `-status`: where to listen or, for a command, whom to ask; `None` for nowhere.
    pub address: Option<StatusAddress>,
    /// `-status-tls-cert` and `-status-tls-key`; `None` for no TLS.
    pub tls: Option<StatusTls>,
    /// `-status-token-file`: the file of the bearer token; `None` if nobody needs one.
    pub token_file: Option<PathBuf>,
    /// `-prometheus-file`: where targets are written for Prometheus.
    pub prometheus_file: Option<PathBuf>,
}

/// The files that are kept equal to what runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderConfig {
    /// `-render`: the folder of `conf.d/` and `templates/`.
    pub folder: PathBuf,
    /// `-allow-signals`: whether `reload_container` and `reload_pid_file` may send signals.
    pub allow_signals: bool,
}

/// The address of a status listener. Displays as `host:port`, an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusAddress {
    /// An IP address or a name, without brackets.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl fmt::Display for StatusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&registrator_words::authority(&self.host, self.port))
    }
}

/// The files for TLS of a status listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusTls {
    /// The PEM file of the certificate and its chain.
    pub certificate: PathBuf,
    /// The PEM file of its key.
    pub key: PathBuf,
}

/// Whether registries are written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    #[default]
    Write,
    /// `-dry-run`: what would be written is only said.
    DryRun,
    /// `-dry-run -once`: as above, until everything was compared once.
    DryRunOnce,
}

/// One option's effective value, and where it came from.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// The option's name without its dash; [`REGISTRIES`] for a registry's URI.
    pub option: &'static str,
    /// Its value as a person would type it; empty for none. A URI may hold a password: show it redacted.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    /// When another value would count.
    pub applies: Applies,
}

/// The name of the settings that are registries' URIs, and their key in a file.
pub const REGISTRIES: &str = "registries";

// Without the value: a URI can hold a password.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, value: _, origin, applies } = self;
        f.debug_struct("Setting")
            .field("option", option)
            .field("origin", origin)
            .field("applies", applies)
            .finish_non_exhaustive()
    }
}

/// Where a setting came from. Displays as a person would name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Option,
    /// The environment variable with this name.
    Variable(String),
    /// The file of `-config`.
    File {
        /// Its path, as given.
        path: String,
        /// The line, from 1 on.
        line: usize,
    },
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option => f.write_str("option"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File { path, line } => write!(f, "file {}:{line}", path.escape_debug()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// When a changed setting counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// As soon as the settings are read again.
    AtOnce,
    /// At the next start.
    AtStart,
}

/// How the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Its shape.
    pub format: LogFormat,
    /// The lowest level that is written.
    pub level: LogLevel,
}

/// Shapes of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `2015/08/30 19:18:12 message`, local time.
    Text,
    /// One JSON object per line, with the event's fields.
    Json,
}

/// Levels of the log, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Every step, to see why something happens.
    Debug,
    /// What was done.
    Info,
    /// Something is wrong, and is being handled.
    Warn,
    /// Something could not be done.
    Error,
}

/// Where Docker is, and how to connect to it.
#[derive(Clone, PartialEq, Eq)]
pub struct DockerConfig {
    /// `DOCKER_HOST`: `unix://…`, `tcp://…`, `http://…`, `https://…`; without it, the usual sockets.
    pub host: Option<String>,
    /// `DOCKER_TLS_VERIFY`: use TLS, and verify the certificate.
    pub tls_verify: bool,
    /// `DOCKER_CERT_PATH`: the folder of `ca.pem`, `cert.pem` and `key.pem`.
    pub cert_path: Option<PathBuf>,
    /// `DOCKER_API_VERSION`: use this version instead of negotiating one.
    pub api_version: Option<String>,
    /// Keep the whole inspect result with each container, for tag templates.
    pub keep_inspect: bool,
    /// The label that holds an address (`-useIpFromLabel`). Other labels are kept only if they are settings.
    pub ip_label: Option<String>,
    /// List containers that do not run, too (for `-deregister on-success` and `never`).
    pub list_all: bool,
    /// How often everything is listed and inspected again (`-resync`); `None` for never.
    pub resync: Option<Duration>,
}

// Not shown: a URL can hold a password.
impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host: _, tls_verify, cert_path, api_version, keep_inspect, ip_label, list_all, resync } = self;
        f.debug_struct("DockerConfig")
            .field("tls_verify", tls_verify)
            .field("cert_path", cert_path)
            .field("api_version", api_version)
            .field("keep_inspect", keep_inspect)
            .field("ip_label", ip_label)
            .field("list_all", list_all)
            .field("resync", resync)
            .finish_non_exhaustive()
    }
}

/// How containers are described as services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// The host's name, the first part of default IDs.
    pub hostname: String,
    /// `-ip`.
    pub ip: Option<String>,
    /// `-internal`.
    pub internal: bool,
    /// `-explicit`.
    pub explicit: bool,
    /// `-useIpFromLabel`.
    pub ip_label: Option<String>,
    /// `-tags`: a list of tags, or a template that yields one.
    pub tags: Option<String>,
    /// `-ttl`.
    pub ttl: Option<Duration>,
    /// `-max-services`: the maximum number of services of one container.
    pub max_services: usize,
    /// Whether labels for Traefik are read: a registry's URI has `layout=traefik`, or `-traefik` is given.
    pub traefik: bool,
}

/// One registry to write to.
#[derive(Clone)]
pub struct RegistryConfig {
    /// The URI as given.
    pub uri: String,
    /// The identity under which this instance writes.
    pub owner: String,
    /// The host's name, the first part of default IDs.
    pub hostname: String,
    /// Whether the owner is stored with each entry (`-owner-meta`).
    pub record_owner: bool,
    /// `-ttl`.
    pub ttl: Option<Duration>,
    /// `-ttl-refresh`.
    pub ttl_refresh: Option<Duration>,
    /// The environment, where registries look up their own variables.
    pub environment: Arc<Environment>,
}

// Not shown: a URI can hold a password.
impl fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uri: _, owner, hostname, record_owner, ttl, ttl_refresh, environment: _ } = self;
        f.debug_struct("RegistryConfig")
            .field("owner", owner)
            .field("hostname", hostname)
            .field("record_owner", record_owner)
            .field("ttl", ttl)
            .field("ttl_refresh", ttl_refresh)
            .finish_non_exhaustive()
    }
}

/// How the bridge keeps registries equal to what runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeConfig {
    /// `-deregister`.
    pub deregister: Deregister,
    /// `-on-shutdown`.
    pub on_shutdown: OnShutdown,
    /// `-cleanup`.
    pub cleanup: bool,
    /// `-adopt`: take over entries without an owner, whatever they are.
    pub adopt: bool,
    /// `-drain`: the minimum time for which an entry is critical before it is removed at its container's end; `None`
    /// for none.
    pub drain: Option<Duration>,
    /// `-removal-guard`: the percentage of a registry's entries from which on removals wait for another list; 0 turns it
    /// off.
    pub removal_guard: u8,
    /// `-retry-attempts`: attempts beyond the first to reach the engine or a registry at the start; `None` if
    /// unlimited.
    pub retry_attempts: Option<u32>,
    /// `-retry-interval`: the pause between these attempts.
    pub retry_interval: Duration,
}

impl BridgeConfig {
    /// How often, and with which pause, the start retries an engine or a registry that does not answer.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry { attempts: self.retry_attempts, interval: self.retry_interval }
    }
}

/// The retries of the start, for the engine and the registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts beyond the first; `None` if unlimited.
    pub attempts: Option<u32>,
    /// The pause between two attempts.
    pub interval: Duration,
}

/// When the entries of a container that ended are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deregister {
    /// Whatever its exit code.
    #[default]
    Always,
    /// When it succeeded, was killed by a signal, or is gone.
    OnSuccess,
    /// Not even when it is gone; only `-cleanup` removes entries without a container.
    Never,
}

/// What happens to entries at shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnShutdown {
    /// They stay as they are.
    #[default]
    Keep,
    /// They are removed.
    Deregister,
    /// They are marked as critical, if the registry has health.
    Critical,
}

/// The environment variables of the process, read once. Never printed: they hold tokens.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The value of a variable, unless it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All variables with their values, sorted by name; values may be empty.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names of the variables that are set and not empty, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.as_str())
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
                .collect(),
        )
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}
