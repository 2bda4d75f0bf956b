//! What a server does with registrations, heartbeats and time. Pure, but for its clock.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Options;

/// The lease of those who ask for none, in seconds.
const DEFAULT_DURATION: u64 = 90;
/// How long a change is in `apps/delta`, in milliseconds.
const DELTA: u64 = 180_000;
/// Of all heartbeats of a minute, how many must come, or nothing expires.
const RENEWAL_PERCENT: f64 = 0.85;

/// The statuses that there are.
const STATUSES: [&str; 5] = ["UP", "DOWN", "STARTING", "OUT_OF_SERVICE", "UNKNOWN"];

/// An answer without a body: its status and a text.
pub(super) type Said = (u16, String);

struct Lease {
    instance: Map<String, Value>,
    /// In seconds.
    duration: u64,
    registered: u64,
    /// In milliseconds. A renewal adds the duration, which is why expiry takes two of them (a known fault of the real one).
    renewed: u64,
}

/// What a server holds.
pub(super) struct Registry {
    options: Options,
    leases: BTreeMap<(String, String), Lease>,
    /// Statuses that were set beside the registration; they outlive it.
    overrides: BTreeMap<String, String>,
    renewals: Vec<u64>,
    /// How many clients should send heartbeats.
    clients: usize,
    changes: Vec<(u64, Value)>,
    version: u64,
    /// By how much its clock is ahead, in milliseconds.
    ahead: u64,
    /// The last list, and when it was made.
    cached: Option<(u64, Vec<Value>)>,
}

impl Registry {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            leases: BTreeMap::new(),
            overrides: BTreeMap::new(),
            renewals: Vec::new(),
            clients: 0,
            changes: Vec::new(),
            version: 1,
            ahead: 0,
            cached: None,
        }
    }

    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX) + self.ahead
    }

    /// Lets time pass, a minute at most at once, each with its task that ends leases.
    pub(super) fn pass(&mut self, time: Duration) {
        let mut left = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        while left > 0 {
            let step = left.min(60_000);
            left -= step;
            self.ahead += step;
            self.evict();
        }
    }

    fn evict(&mut self) {
        let now = self.now();
        self.renewals.retain(|at| at + 60_000 > now);
        let threshold = (self.clients as f64 * 2.0 * RENEWAL_PERCENT) as usize;
        if self.options.self_preservation && self.renewals.len() <= threshold {
            return;
        }
        let is_expired = |lease: &Lease| now > lease.renewed + lease.duration * 1000;
        let expired: Vec<_> =
            self.leases.iter().filter(|(_, lease)| is_expired(lease)).map(|(key, _)| key.clone()).collect();
        // At most so many at once.
        let most = self.leases.len() - (self.leases.len() as f64 * RENEWAL_PERCENT) as usize;
        for (app, id) in expired.into_iter().take(most) {
            self.cancel(&app, &id);
        }
    }

    /// The status of a registration or a heartbeat: the first rule that fits.
    fn status(&self, key: &(String, String), status: &str) -> String {
        if !matches!(status, "UP" | "OUT_OF_SERVICE") {
            return status.to_owned();
        }
        if let Some(set) = self.overrides.get(&key.1) {
            return set.clone();
        }
        let held = self.leases.get(key).map(|lease| text(&lease.instance, "status"));
        held.filter(|held| matches!(*held, "UP" | "OUT_OF_SERVICE")).unwrap_or(status).to_owned()
    }

    pub(super) fn register(&mut self, app: &str, body: &Value) -> Said {
        let Some(said) = body.get("instance").and_then(Value::as_object) else {
            return (400, "no instance".to_owned());
        };
        let mut instance = said.clone();
        let (id, named) = (text(said, "instanceId").to_owned(), text(said, "app").to_owned());
        let center = said.get("dataCenterInfo");
        let fault = if id.is_empty() {
            "Missing instanceId".to_owned()
        } else if text(said, "hostName").is_empty() {
            "Missing hostname".to_owned()
        } else if text(said, "ipAddr").is_empty() {
            "Missing ip address".to_owned()
        } else if named.is_empty() {
            "Missing appName".to_owned()
        } else if named != app {
            format!("Mismatched appName, expecting {app} but was {named}")
        } else if center.is_none() {
            "Missing dataCenterInfo".to_owned()
        } else if center.and_then(|center| center.get("name")).is_none() {
            "Missing dataCenterInfo Name".to_owned()
        } else {
            String::new()
        };
        if !fault.is_empty() {
            return (400, fault);
        }
        // Jackson knows the data centre by its class.
        if center.and_then(|center| center.get("@class")).is_none() {
            return (500, "missing type id property '@class'".to_owned());
        }
        if !STATUSES.contains(&text(said, "status")) {
            instance.insert("status".to_owned(), "UNKNOWN".into());
        }
        let now = self.now();
        let key = (app.to_owned(), id);
        let existing = self.leases.get(&key);
        if let Some(held) = existing.filter(|held| dirty(&held.instance) > dirty(&instance)) {
            // It keeps its own, and says nothing of it.
            instance = held.instance.clone();
        }
        if existing.is_none() {
            self.clients += 1;
        }
        let status = self.status(&key, text(&instance, "status"));
        instance.insert("status".to_owned(), status.into());
        let set = self.overrides.get(&key.1).map_or("UNKNOWN", String::as_str);
        instance.insert("overriddenStatus".to_owned(), set.into());
        instance.remove("overriddenstatus");
        instance.insert("actionType".to_owned(), "ADDED".into());
        instance.insert("lastUpdatedTimestamp".to_owned(), now.to_string().into());
        let duration = instance.get("leaseInfo").and_then(|lease| lease.get("durationInSecs")).and_then(Value::as_u64);
        let duration = duration.unwrap_or(DEFAULT_DURATION);
        self.changed(Value::Object(instance.clone()));
        self.leases.insert(key, Lease { instance, duration, registered: now, renewed: now });
        (204, String::new())
    }

    pub(super) fn renew(&mut self, app: &str, id: &str, theirs: Option<u64>) -> Said {
        let (now, key) = (self.now(), (app.to_owned(), id.to_owned()));
        let Some(held) = self.leases.get(&key).map(|lease| text(&lease.instance, "status").to_owned()) else {
            return (404, String::new());
        };
        let status = self.status(&key, &held);
        if status == "UNKNOWN" {
            return (404, String::new());
        }
        self.renewals.push(now);
        let Some(lease) = self.leases.get_mut(&key) else { return (404, String::new()) };
        lease.instance.insert("status".to_owned(), status.into());
        lease.renewed = now + lease.duration * 1000;
        // What the client has is newer: it shall register again.
        let newer = theirs.is_some_and(|theirs| theirs > dirty(&lease.instance));
        (if newer { 404 } else { 200 }, String::new())
    }

    pub(super) fn cancel(&mut self, app: &str, id: &str) -> Said {
        let Some(mut lease) = self.leases.remove(&(app.to_owned(), id.to_owned())) else { return (404, String::new()) };
        self.overrides.remove(id);
        self.clients = self.clients.saturating_sub(1);
        lease.instance.insert("actionType".to_owned(), "DELETED".into());
        self.changed(Value::Object(lease.instance));
        (200, String::new())
    }

    /// Sets a status beside the registration; `None` takes it away.
    pub(super) fn set_status(&mut self, app: &str, id: &str, set: Option<&str>, after: Option<&str>) -> Said {
        if [set, after].into_iter().flatten().any(|status| !STATUSES.contains(&status)) {
            return (500, "No enum constant".to_owned());
        }
        let now = self.now();
        let Some(lease) = self.leases.get_mut(&(app.to_owned(), id.to_owned())) else { return (404, String::new()) };
        match set {
            Some(status) => self.overrides.insert(id.to_owned(), status.to_owned()),
            None => self.overrides.remove(id),
        };
        lease.renewed = now + lease.duration * 1000;
        lease.instance.insert("overriddenStatus".to_owned(), set.unwrap_or("UNKNOWN").into());
        lease.instance.insert("status".to_owned(), set.or(after).unwrap_or("UNKNOWN").into());
        lease.instance.insert("actionType".to_owned(), "MODIFIED".into());
        let changed = Value::Object(lease.instance.clone());
        self.changed(changed);
        (200, String::new())
    }

    pub(super) fn add_metadata(&mut self, app: &str, id: &str, pairs: &[(String, String)]) -> Said {
        let Some(lease) = self.leases.get_mut(&(app.to_owned(), id.to_owned())) else { return (404, String::new()) };
        let metadata = lease.instance.entry("metadata").or_insert_with(|| json!({}));
        for (key, value) in pairs {
            metadata[key] = value.as_str().into();
        }
        let changed = Value::Object(lease.instance.clone());
        self.changed(changed);
        (200, String::new())
    }

    fn changed(&mut self, instance: Value) {
        let now = self.now();
        self.version += 1;
        self.changes.retain(|(at, _)| at + DELTA > now);
        self.changes.push((now, instance));
    }

    /// An instance as it is.
    pub(super) fn instance(&self, app: &str, id: &str) -> Option<Value> {
        self.leases.get(&(app.to_owned(), id.to_owned())).map(Lease::said)
    }

    /// An instance of any application.
    pub(super) fn any(&self, id: &str) -> Option<Value> {
        self.leases.iter().find(|((_, held), _)| held == id).map(|(_, lease)| lease.said())
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.leases.keys().map(|(app, id)| format!("{app}/{id}")).collect()
    }

    /// All instances, as of the time of the cache.
    pub(super) fn list(&mut self) -> Vec<Value> {
        let now = self.now();
        let age = self.options.cache.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        match (&self.cached, age) {
            (Some((at, list)), Some(age)) if now < at + age => list.clone(),
            _ => {
                let list: Vec<_> = self.leases.values().map(Lease::said).collect();
                self.cached = Some((now, list.clone()));
                list
            }
        }
    }

    /// What has changed lately.
    pub(super) fn delta(&self) -> (u64, Vec<Value>) {
        (self.version, self.changes.iter().map(|(_, instance)| instance.clone()).collect())
    }
}

impl Lease {
    fn said(&self) -> Value {
        let mut instance = self.instance.clone();
        let lease = instance.entry("leaseInfo").or_insert_with(|| json!({}));
        lease["durationInSecs"] = self.duration.into();
        lease["registrationTimestamp"] = self.registered.into();
        lease["lastRenewalTimestamp"] = self.renewed.into();
        lease["evictionTimestamp"] = 0.into();
        lease["serviceUpTimestamp"] = self.registered.into();
        let metadata = instance.entry("metadata").or_insert_with(|| json!({}));
        if metadata.as_object().is_none_or(Map::is_empty) {
            *metadata = json!({"@class": "java.util.Collections$EmptyMap"});
        }
        Value::Object(instance)
    }
}

fn text<'a>(instance: &'a Map<String, Value>, name: &str) -> &'a str {
    instance.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn dirty(instance: &Map<String, Value>) -> u64 {
    let said = instance.get("lastDirtyTimestamp");
    said.and_then(|said| said.as_u64().or_else(|| said.as_str()?.parse().ok())).unwrap_or_default()
}
