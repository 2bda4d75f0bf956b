//! Labels that are left out, and why.

use std::fmt;

use crate::schema::VERSION;
use crate::value::Kind;

/// A label that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The label's key: not escaped, of any length.
    pub label: String,
    /// Its value, where it is the reason and cannot be a secret.
    pub value: Option<String>,
    /// Why.
    pub why: Why,
}

/// Why a label, or what it defines, is left out. Displays what to do as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Traefik has no such option.
    Unknown,
    /// The value is not of this kind.
    NotOf(Kind),
    /// It is longer than is taken.
    TooLong,
    /// The name of a router, service or middleware, or a key of a map, cannot be a key of a store.
    Name(String),
    /// It is read by Traefik's own Docker provider only.
    OfDocker,
    /// Its value is no IP address.
    NotAnAddress,
    /// The service's port is none that is registered.
    NoPort(u16),
    /// The container has no registered port of the service's protocol.
    NoPorts,
    /// The router names a service that is left out.
    NoService(String),
    /// The router names no service, and there are several.
    SeveralServices,
    /// The TCP router has no rule.
    NoRule,
    /// The scheme or URL of a server is none that Traefik speaks.
    NotAUrl,
    /// The container has more labels than are read.
    TooMany,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "Traefik {VERSION} has no such option for labels; check its spelling"),
            Self::NotOf(kind) => write!(f, "{}", kind.wanted()),
            Self::TooLong => f.write_str("its value is too long; 16 KiB are taken"),
            Self::Name(name) => write!(
                f,
                "{:?} cannot be a name in a store; use letters, digits, - and _, and not digits alone",
                name.chars().take(60).collect::<String>()
            ),
            Self::OfDocker => f.write_str(
                "the address is the one that is registered; SERVICE_NETWORK and -internal choose another network",
            ),
            Self::NotAnAddress => f.write_str("it must be an IP address"),
            Self::NoPort(port) => {
                write!(f, "port {port} of the container is not registered; publish it, or register with -internal")
            }
            Self::NoPorts => f.write_str("the container has no registered port of that protocol; publish one"),
            Self::NoService(service) => {
                write!(f, "its service {:?} has no registered port", service.chars().take(60).collect::<String>())
            }
            Self::SeveralServices => {
                f.write_str("the container has several services; name one of them with the router's label service")
            }
            Self::NoRule => f.write_str("a TCP router needs a rule, as HostSNI(`*`)"),
            Self::NotAUrl => f.write_str("the scheme must be http, https or h2c"),
            Self::TooMany => f.write_str("the container has too many labels for Traefik; 1000 are read"),
        }
    }
}
