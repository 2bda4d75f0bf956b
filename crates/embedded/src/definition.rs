//! What the registry is told of an instance: the words of whoever registers it.

use std::sync::Arc;
use std::time::Duration;

use litemap::LiteMap;
use registrator_traefik::Share;
use registrator_words::authority;

/// One instance of a service, as it is registered. What is shared with others stays shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its own identity; no two have the same.
    pub id: Arc<str>,
    /// The name of the service that it is an instance of.
    pub name: Arc<str>,
    /// Where it is reached: an IP address, or the name of a host.
    pub address: Arc<str>,
    /// The port to reach it at.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`; only Prometheus is told.
    pub protocol: &'static str,
    /// Its tags.
    pub tags: Arc<[String]>,
    /// What Consul calls its `Meta`.
    pub meta: Arc<LiteMap<String, String>>,
    /// How its health is to be checked.
    pub check: Option<Arc<Check>>,
    /// What Docker's HEALTHCHECK says of its container.
    pub health: Health,
    /// What it belongs to, such as its container: checks of one group share what may be run at the same time.
    pub group: Arc<str>,
    /// Where its address leads.
    pub target: Target,
    /// What it adds to Traefik's configuration, if anybody reads the labels for that.
    pub traefik: Option<Share>,
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To what the instance stands for.
    Own,
    /// Wherever somebody says who is not trusted.
    Elsewhere,
}

impl Definition {
    /// `address:port`, an IPv6 address in brackets.
    pub(crate) fn authority(&self) -> String {
        authority(&self.address, self.port)
    }
}

/// A check of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What to do.
    pub kind: CheckKind,
    /// How often; without meaning for [`CheckKind::Ttl`].
    pub interval: Duration,
    /// How long one probe may take; for HTTP, TCP and gRPC.
    pub timeout: Option<Duration>,
    /// The status until the first result: Consul's word.
    pub initial_status: Option<String>,
    /// The instance is withdrawn when it was critical for so long.
    pub deregister_after: Option<Duration>,
}

/// The kinds of checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A request to the instance itself.
    Http {
        /// Whether it is https.
        tls: bool,
        /// The path, with its leading slash.
        path: String,
        /// GET without it.
        method: Option<String>,
        /// Accept any certificate.
        skip_verify: bool,
    },
    /// A connection to the instance.
    Tcp,
    /// gRPC's health protocol.
    Grpc {
        /// Whether it is spoken over TLS.
        tls: bool,
        /// Accept any certificate.
        skip_verify: bool,
    },
    /// A command on this machine: the program, and its arguments.
    Command {
        /// Looked for in `PATH`.
        program: &'static str,
        /// As they are, without a shell.
        arguments: Vec<String>,
    },
    /// Passing as long as somebody says so in time.
    Ttl(Duration),
}

/// What Docker's HEALTHCHECK says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// There is none.
    #[default]
    None,
    /// Not yet known.
    Starting,
    /// The last probe succeeded.
    Healthy,
    /// Too many probes failed.
    Unhealthy,
}
