//! What a template is given besides keys: the services that run, instance by instance.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::keys::Keys;

/// One instance of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its identity in the registry: `host:web.1:80`.
    pub id: String,
    /// The service's name.
    pub name: String,
    /// Where it is reached: an IP address or a name.
    pub address: String,
    /// The port there.
    pub port: u16,
    /// Its tags, in order.
    pub tags: Vec<String>,
    /// Its attributes, or what the registry calls metadata.
    pub attrs: BTreeMap<String, String>,
    /// Whether it is well.
    pub health: Health,
    /// The host that it runs on; empty if nobody says.
    pub node: String,
    /// The container's name; empty if nobody says.
    pub container: String,
}

/// The health of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// All its checks pass, or it has none.
    #[default]
    Passing,
    /// A check warns.
    Warning,
    /// A check fails.
    Critical,
}

impl Health {
    /// As templates see it: `passing`, `warning` or `critical`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All that the templates of files read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// What `getv` and its like read.
    pub keys: Keys,
    /// What `service` and its like read.
    pub instances: Vec<Arc<Instance>>,
}

impl Data {
    /// The services by name, each with its instances in order of their identities.
    #[must_use]
    pub fn services(&self) -> BTreeMap<&str, Vec<&Arc<Instance>>> {
        let mut services: BTreeMap<&str, Vec<&Arc<Instance>>> = BTreeMap::new();
        for instance in &self.instances {
            services.entry(&instance.name).or_default().push(instance);
        }
        for instances in services.values_mut() {
            instances.sort_by(|one, other| one.id.cmp(&other.id));
        }
        services
    }
}

/// The dot of a file's template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dot {
    /// No value, as confd has it.
    #[default]
    Nothing,
    /// One service of `for_each = "services"`: `.Name`, `.Tags` and `.Instances`.
    Service {
        /// Its name.
        name: String,
        /// Its instances, in order.
        instances: Vec<Arc<Instance>>,
    },
    /// One instance of `for_each = "instances"`.
    Instance(Arc<Instance>),
}
