//! An instance, as Eureka stores it: what we compare, written as JSON and read from it.
//!
//! The form is that of Netflix's `InstanceInfo`; what we do not use is ignored. A server may be of any age, so numbers may be
//! texts, and one element may stand where a list is expected.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::json;
use crate::registry::{Content, Entry, Marked};

/// The metadata key of the owner.
pub(super) const OWNER: &str = "registrator.owner";
/// The metadata key of the service's ID.
pub(super) const SERVICE_ID: &str = "registrator.id";
/// The metadata key of the status that an entry has without a mark.
pub(super) const STATUS: &str = "registrator.status";
/// The metadata key of our mark.
pub(super) const MARK: &str = "registrator.mark";

/// The most values of a list that are read: some 60,000 instances.
const MOST_VALUES: usize = 1 << 22;

/// The owner that is told of what another program registered.
const ANOTHER_PROGRAM: &str = "a program other than registrator";

/// A status of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Status {
    Up,
    Down,
    Starting,
    OutOfService,
    Unknown,
}

impl Status {
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Up, Self::Down, Self::Starting, Self::OutOfService, Self::Unknown]
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(text))
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::Starting => "STARTING",
            Self::OutOfService => "OUT_OF_SERVICE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A port, and whether it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) enabled: bool,
}

/// Where an instance runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct DataCenter {
    pub(super) name: String,
    /// Amazon's alone has some.
    pub(super) metadata: BTreeMap<String, String>,
}

impl DataCenter {
    /// The names that servers take.
    pub(super) const NAMES: [&str; 3] = ["MyOwn", "Amazon", "Netflix"];

    fn to_json(&self) -> Value {
        if self.name == "Amazon" {
            json!({"@class": "com.netflix.appinfo.AmazonInfo", "name": self.name, "metadata": self.metadata})
        } else {
            json!({"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": self.name})
        }
    }
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) app: String,
    pub(super) id: String,
    pub(super) host: String,
    pub(super) address: String,
    pub(super) port: Port,
    pub(super) secure_port: Port,
    pub(super) status: Status,
    /// The status that somebody set beside ours, if any. It wins until it is taken away.
    pub(super) overridden: Option<Status>,
    pub(super) vip: String,
    pub(super) secure_vip: String,
    pub(super) home_page: String,
    pub(super) health_check: Option<String>,
    pub(super) data_center: DataCenter,
    /// How often its lease is renewed, in seconds.
    pub(super) renewal: u64,
    /// How long its lease lasts, in seconds.
    pub(super) duration: u64,
    pub(super) metadata: BTreeMap<String, String>,
    /// When it was last changed, in milliseconds; grows with each change.
    pub(super) dirty: u64,
}

impl Instance {
    /// Its path below `apps/`.
    pub(super) fn key(&self) -> Arc<str> {
        format!("{}/{}", self.app, self.id).into()
    }

    pub(super) fn owner(&self) -> Option<&str> {
        self.metadata.get(OWNER).map(String::as_str)
    }

    /// Whether registrator wrote it.
    pub(super) fn is_of_registrator(&self) -> bool {
        self.metadata.contains_key(SERVICE_ID)
    }

    pub(super) fn is_marked(&self) -> bool {
        self.metadata.contains_key(MARK)
    }

    /// The same, not to be used, for this reason; or to be used again.
    pub(super) fn marked(mut self, reason: Option<&str>) -> Self {
        match reason {
            Some(reason) => {
                self.metadata.insert(MARK.to_owned(), reason.to_owned());
                self.status = Status::OutOfService;
            }
            None => {
                self.metadata.remove(MARK);
                self.status = self.meant();
            }
        }
        self
    }

    /// The status that it has without marks.
    fn meant(&self) -> Status {
        self.metadata.get(STATUS).and_then(|text| Status::parse(text)).unwrap_or(self.status)
    }

    /// A digest of what we would write. A mark, and a status that somebody set, do not count: they stand beside it.
    pub(super) fn fingerprint(&self) -> u64 {
        let status = match (self.overridden, self.is_marked()) {
            (Some(_), _) => self.meant(),
            (None, true) if self.status == Status::OutOfService => self.meant(),
            // Marked, and yet in use: as nothing that we write.
            (None, true) => Status::Unknown,
            (None, false) => self.status,
        };
        let Self { app, id, host, address, port, secure_port, vip, secure_vip, home_page, health_check, .. } = self;
        let mut digest = DefaultHasher::new();
        (app, id, host, address, port, secure_port, status, vip, secure_vip, home_page, health_check).hash(&mut digest);
        (&self.data_center, self.renewal, self.duration).hash(&mut digest);
        for (key, value) in self.metadata.iter().filter(|(key, _)| *key != MARK) {
            (key, value).hash(&mut digest);
        }
        digest.finish()
    }

    /// As the reconciler sees it.
    pub(super) fn entry(&self, contents: bool) -> Entry {
        let owner = match self.owner() {
            Some(owner) => Some(owner.into()),
            None if self.is_of_registrator() => None,
            // Spring's IDs have the form of ours: without this, -cleanup would remove them.
            None => Some(ANOTHER_PROGRAM.into()),
        };
        let key = self.key();
        let content = (contents || owner.is_none()).then(|| {
            let tags =
                self.metadata.get("tags").map_or_else(Vec::new, |tags| tags.split(',').map(str::to_owned).collect());
            Box::new(Content { name: self.vip.clone(), address: self.host.clone(), port: self.port.number, tags })
        });
        Entry {
            service_id: self.metadata.get(SERVICE_ID).map_or_else(|| Arc::clone(&key), |id| id.as_str().into()),
            key,
            owner,
            fingerprint: self.fingerprint(),
            marked: match (self.is_marked(), self.overridden) {
                (true, _) => Marked::Ours,
                (false, Some(Status::OutOfService | Status::Down)) => Marked::Theirs,
                (false, _) => Marked::No,
            },
            critical: false,
            content,
        }
    }

    /// The body of its registration.
    pub(super) fn to_json(&self) -> Value {
        let port = |port: Port| json!({"$": port.number, "@enabled": port.enabled.to_string()});
        let mut instance = json!({
            "instanceId": self.id, "hostName": self.host, "app": self.app, "ipAddr": self.address,
            "status": self.status.as_str(), "overriddenStatus": "UNKNOWN", "sid": "na", "countryId": 1,
            "port": port(self.port), "securePort": port(self.secure_port),
            "dataCenterInfo": self.data_center.to_json(),
            "leaseInfo": {"renewalIntervalInSecs": self.renewal, "durationInSecs": self.duration},
            "metadata": self.metadata,
            "homePageUrl": self.home_page,
            "vipAddress": self.vip, "secureVipAddress": self.secure_vip,
            "isCoordinatingDiscoveryServer": "false",
            "lastUpdatedTimestamp": self.dirty.to_string(), "lastDirtyTimestamp": self.dirty.to_string(),
        });
        if let (Some(url), Value::Object(fields)) = (&self.health_check, &mut instance) {
            fields.insert("healthCheckUrl".to_owned(), url.as_str().into());
        }
        json!({ "instance": instance })
    }

    /// Reads an instance; `None` if it has no ID or no application.
    fn read(said: &Value) -> Option<Self> {
        let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let lease = said.get("leaseInfo");
        let seconds = |name: &str| lease.and_then(|lease| lease.get(name)).and_then(number).unwrap_or_default();
        let overridden = ["overriddenStatus", "overriddenstatus"]
            .into_iter()
            .filter_map(|name| Status::parse(said.get(name)?.as_str()?))
            .find(|status| *status != Status::Unknown);
        let data_center = said.get("dataCenterInfo");
        let host = text("hostName");
        // Servers before 1.4 know no IDs: there, the host name is one.
        let id = Some(text("instanceId")).filter(|id| !id.is_empty()).unwrap_or_else(|| host.clone());
        let instance = Self {
            app: text("app"),
            id,
            host,
            address: text("ipAddr"),
            port: port(said.get("port")),
            secure_port: port(said.get("securePort")),
            status: Status::parse(&text("status")).unwrap_or(Status::Unknown),
            overridden,
            vip: text("vipAddress"),
            secure_vip: text("secureVipAddress"),
            home_page: text("homePageUrl"),
            health_check: said.get("healthCheckUrl").and_then(Value::as_str).map(str::to_owned),
            data_center: DataCenter {
                name: data_center.and_then(|it| it.get("name")?.as_str()).unwrap_or_default().to_owned(),
                metadata: texts(data_center.and_then(|it| it.get("metadata"))),
            },
            renewal: seconds("renewalIntervalInSecs"),
            duration: seconds("durationInSecs"),
            metadata: texts(said.get("metadata")),
            dirty: said.get("lastDirtyTimestamp").and_then(number).unwrap_or_default(),
        };
        (!instance.app.is_empty() && !instance.id.is_empty()).then_some(instance)
    }
}

/// A number, or the text of one.
fn number(said: &Value) -> Option<u64> {
    said.as_u64().or_else(|| said.as_str()?.parse().ok())
}

fn port(said: Option<&Value>) -> Port {
    let number = said.and_then(|port| number(port.get("$")?)).and_then(|number| u16::try_from(number).ok());
    let enabled = said.and_then(|port| port.get("@enabled"));
    Port {
        number: number.unwrap_or_default(),
        enabled: enabled.is_some_and(|it| it.as_bool() == Some(true) || it.as_str() == Some("true")),
    }
}

/// An object of texts; a server marks an empty one with a class.
fn texts(said: Option<&Value>) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let none = Map::new();
    let said = said.and_then(Value::as_object).unwrap_or(&none);
    said.iter().filter(|(key, _)| *key != "@class").map(|(key, value)| (key.clone(), text(value))).collect()
}

/// One element where a list may be.
fn elements(said: Option<&Value>) -> &[Value] {
    match said {
        None | Some(Value::Null) => &[],
        Some(Value::Array(elements)) => elements,
        Some(element) => std::slice::from_ref(element),
    }
}

/// All instances of a list (`GET apps/`); one that cannot be read is left out. `None` if it is no list of Eureka's.
pub(super) fn list(body: &[u8]) -> Option<Vec<Instance>> {
    let said: Value = json::owned(body, MOST_VALUES).ok()?;
    let applications = said.get("applications")?.as_object()?;
    let applications = elements(applications.get("application")).iter();
    let instances = applications.flat_map(|application| elements(application.get("instance")));
    Some(instances.filter_map(Instance::read).collect())
}

/// One instance (`GET apps/<app>/<id>`). `None` if it is none of Eureka's.
pub(super) fn one(body: &[u8]) -> Option<Instance> {
    let said: Value = json::owned(body, MOST_VALUES).ok()?;
    Instance::read(said.get("instance")?)
}

#[cfg(test)]
mod tests;
