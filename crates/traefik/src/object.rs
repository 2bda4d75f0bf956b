//! Objects of Traefik's configuration: what is defined as a whole.

use std::collections::BTreeMap;
use std::fmt;

use crate::value::Value;

/// What a router, a service or a middleware is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// `http`
    Http,
    /// `tcp`
    Tcp,
    /// `udp`
    Udp,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Http, Self::Tcp, Self::Udp];

    /// As in keys and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The kinds of objects, in the order in which they are written: what others refer to comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The options of a service.
    Services,
    /// A middleware.
    Middlewares,
    /// A router.
    Routers,
}

impl Section {
    pub(crate) const ALL: [Self; 3] = [Self::Services, Self::Middlewares, Self::Routers];

    /// As in keys and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Middlewares => "middlewares",
            Self::Routers => "routers",
        }
    }
}

/// One object: a router, a middleware, the options of a service, or one server of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    pub(crate) section: Section,
    pub(crate) protocol: Protocol,
    pub(crate) name: String,
    /// The number of the server, if it is one.
    pub(crate) server: Option<String>,
}

/// Its key below the root: `http/routers/web`, `http/services/web/loadBalancer/servers/7`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { section, protocol, name, server } = self;
        write!(f, "{}/{}/{name}", protocol.as_str(), section.as_str())?;
        match server {
            Some(number) => write!(f, "/loadBalancer/servers/{number}"),
            None => Ok(()),
        }
    }
}

/// One step of an option's path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A field, or a key of a map.
    Name(String),
    /// A place in a list.
    At(usize),
}

/// An option's path within its object.
pub(crate) type Path = Vec<Step>;

/// An object with its options, as one container defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which object.
    pub object: Object,
    pub(crate) options: BTreeMap<Path, Value>,
}

impl Piece {
    /// As keys below the root with their values, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<(String, String)> {
        let mut keys = Vec::new();
        for (path, value) in &self.options {
            let mut key = self.object.to_string();
            for step in path {
                key.push('/');
                match step {
                    Step::Name(name) => key.push_str(name),
                    Step::At(at) => key.push_str(&at.to_string()),
                }
            }
            for (below, text) in value.spelt() {
                keys.push((below.map_or_else(|| key.clone(), |below| format!("{key}/{below}")), text));
            }
        }
        keys
    }
}

/// How old a definition is, and whose: the smallest wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank<'a> {
    /// When the container was created that it is of.
    pub since: i64,
    /// The owner that it is written under.
    pub owner: &'a str,
    /// The ID of the service that it is of.
    pub id: &'a str,
}

/// Whether this definition counts where both define one object differently. The older container wins, so that nobody
/// takes over a router by starting a container; every host comes to the same result.
#[must_use]
pub fn wins(one: &Rank<'_>, other: &Rank<'_>) -> bool {
    one < other
}
