//! The data that a template sees: an engine's inspect result, with Go's field names.
//!
//! Go has structs and maps. A struct always has the same fields: an unknown one is an error, and one that the engine
//! omits has its zero value. A map (labels, networks) has any keys. JSON does not distinguish them, so the structs are
//! listed here, with the field names of the Docker Engine API (`ContainerInspect`).

use std::collections::HashMap;

use chrono::DateTime;
use gtmpl_ng::{Number, Value};
use serde_json::{Map, Value as Json};

/// The fields of a struct by kind, whether or not the engine sends them.
struct Shape {
    texts: &'static [&'static str],
    times: &'static [&'static str],
    numbers: &'static [&'static str],
    flags: &'static [&'static str],
    lists: &'static [&'static str],
    maps: &'static [&'static str],
    structs: &'static [(&'static str, &'static Shape)],
    /// Fields that Go spells differently: the engine's spelling, Go's spelling.
    spellings: &'static [(&'static str, &'static str)],
}

const EMPTY: Shape =
    Shape { texts: &[], times: &[], numbers: &[], flags: &[], lists: &[], maps: &[], structs: &[], spellings: &[] };

static CONTAINER: Shape = Shape {
    texts: &[
        "Id",
        "Path",
        "Image",
        "ResolvConfPath",
        "HostnamePath",
        "HostsPath",
        "LogPath",
        "Name",
        "Driver",
        "Platform",
        "MountLabel",
        "ProcessLabel",
        "AppArmorProfile",
    ],
    times: &["Created"],
    numbers: &["RestartCount"],
    lists: &["Args", "ExecIDs", "Mounts"],
    maps: &["GraphDriver"],
    structs: &[
        ("Config", &CONFIG),
        ("HostConfig", &HOST_CONFIG),
        ("NetworkSettings", &NETWORK_SETTINGS),
        ("State", &STATE),
    ],
    spellings: &[("Id", "ID")],
    ..EMPTY
};

static CONFIG: Shape = Shape {
    texts: &["Hostname", "Domainname", "User", "Image", "WorkingDir", "MacAddress", "StopSignal"],
    numbers: &["StopTimeout"],
    flags: &[
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
        "ArgsEscaped",
        "NetworkDisabled",
    ],
    lists: &["Env", "Cmd", "Entrypoint", "OnBuild", "Shell"],
    maps: &["ExposedPorts", "Volumes", "Labels", "Healthcheck"],
    ..EMPTY
};

static HOST_CONFIG: Shape = Shape {
    texts: &[
        "NetworkMode",
        "ContainerIDFile",
        "VolumeDriver",
        "CgroupnsMode",
        "Cgroup",
        "CgroupParent",
        "IpcMode",
        "PidMode",
        "UTSMode",
        "UsernsMode",
        "Runtime",
        "Isolation",
        "CpusetCpus",
        "CpusetMems",
    ],
    numbers: &[
        "CpuShares",
        "Memory",
        "NanoCpus",
        "CpuPeriod",
        "CpuQuota",
        "MemoryReservation",
        "MemorySwap",
        "PidsLimit",
        "OomScoreAdj",
        "ShmSize",
        "BlkioWeight",
    ],
    flags: &["AutoRemove", "Privileged", "PublishAllPorts", "ReadonlyRootfs", "OomKillDisable", "Init"],
    lists: &[
        "Binds",
        "CapAdd",
        "CapDrop",
        "Dns",
        "DnsOptions",
        "DnsSearch",
        "ExtraHosts",
        "GroupAdd",
        "Links",
        "SecurityOpt",
        "VolumesFrom",
        "Devices",
        "Mounts",
        "Ulimits",
    ],
    maps: &["PortBindings", "RestartPolicy", "LogConfig", "Annotations", "StorageOpt", "Sysctls", "Tmpfs"],
    spellings: &[("Dns", "DNS"), ("DnsOptions", "DNSOptions"), ("DnsSearch", "DNSSearch"), ("CpuShares", "CPUShares")],
    ..EMPTY
};

static NETWORK_SETTINGS: Shape = Shape {
    texts: &[
        "Bridge",
        "SandboxID",
        "SandboxKey",
        "EndpointID",
        "Gateway",
        "GlobalIPv6Address",
        "IPAddress",
        "IPv6Gateway",
        "LinkLocalIPv6Address",
        "MacAddress",
    ],
    numbers: &["GlobalIPv6PrefixLen", "IPPrefixLen", "LinkLocalIPv6PrefixLen"],
    flags: &["HairpinMode"],
    lists: &["SecondaryIPAddresses", "SecondaryIPv6Addresses"],
    maps: &["Ports", "Networks"],
    ..EMPTY
};

static STATE: Shape = Shape {
    texts: &["Status", "Error"],
    times: &["StartedAt", "FinishedAt"],
    numbers: &["Pid", "ExitCode"],
    flags: &["Running", "Paused", "Restarting", "OOMKilled", "Dead"],
    structs: &[("Health", &HEALTH)],
    ..EMPTY
};

static HEALTH: Shape = Shape { texts: &["Status"], numbers: &["FailingStreak"], lists: &["Log"], ..EMPTY };

/// The fields of the network `bridge` that `NetworkSettings` repeated until engine 29 removed them.
const REPEATED: [&str; 8] = [
    "EndpointID",
    "Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "MacAddress",
];

/// The inspect result as a template sees it.
pub(super) fn of(inspect: &Json) -> Value {
    let mut fields = inspect.as_object().cloned().unwrap_or_default();
    if let Some(Json::Object(settings)) = fields.get_mut("NetworkSettings") {
        repeat_address(settings);
    }
    structure(Some(&Json::Object(fields)), &CONTAINER)
}

/// Fills these fields, which newer engines send per network only: from `bridge`, else from the first network with an
/// address.
fn repeat_address(settings: &mut Map<String, Json>) {
    let address = |network: &&Json| network["IPAddress"].as_str().is_some_and(|address| !address.is_empty());
    let network = settings.get("Networks").and_then(|networks| {
        networks.get("bridge").filter(address).or_else(|| networks.as_object()?.values().find(address))
    });
    let Some(network) = network.cloned() else { return };
    for field in REPEATED {
        if settings.get(field).is_none_or(Json::is_null) {
            settings.insert(field.to_owned(), network[field].clone());
        }
    }
}

fn structure(json: Option<&Json>, shape: &Shape) -> Value {
    let json = json.and_then(Json::as_object);
    let present = |field: &str| json.and_then(|fields| fields.get(field)).filter(|value| !value.is_null());
    let mut fields: HashMap<String, Value> =
        json.into_iter().flatten().map(|(field, value)| (field.clone(), plain(value))).collect();
    let zeros = [
        (shape.texts, Value::from("")),
        (shape.times, Value::from(time("0001-01-01T00:00:00Z"))),
        (shape.numbers, Value::from(0_i64)),
        (shape.flags, Value::from(false)),
        (shape.lists, Value::Array(Vec::new())),
        (shape.maps, Value::Map(HashMap::new())),
    ];
    for (names, zero) in zeros {
        for name in names.iter().filter(|name| present(name).is_none()) {
            fields.insert((*name).to_owned(), zero.clone());
        }
    }
    for name in shape.times {
        if let Some(text) = present(name).and_then(Json::as_str) {
            fields.insert((*name).to_owned(), Value::from(time(text)));
        }
    }
    for (name, shape) in shape.structs {
        fields.insert((*name).to_owned(), structure(present(name), shape));
    }
    for (theirs, gos) in shape.spellings {
        if let Some(value) = fields.get(*theirs).cloned() {
            fields.insert((*gos).to_owned(), value);
        }
    }
    Value::Object(fields)
}

/// A value of unknown shape: an object is a map, and null is no value.
fn plain(json: &Json) -> Value {
    match json {
        Json::Null => Value::NoValue,
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => Value::from(signed),
            (None, Some(unsigned)) => Value::from(unsigned),
            (None, None) => Value::Number(Number::float(number.as_f64().unwrap_or_default())),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::Array(items.iter().map(item).collect()),
        Json::Object(fields) => Value::Map(fields.iter().map(|(field, value)| (field.clone(), plain(value))).collect()),
    }
}

/// An element of a list. One field of a port's binding has another spelling in Go.
fn item(json: &Json) -> Value {
    let mut value = plain(json);
    if let Value::Map(fields) = &mut value
        && let Some(ip) = fields.get("HostIp").cloned()
    {
        fields.insert("HostIP".to_owned(), ip);
    }
    value
}

/// A time as Go prints it: `2015-08-30 19:18:12.5 +0000 UTC`.
fn time(text: &str) -> String {
    let Ok(time) = DateTime::parse_from_rfc3339(text) else { return text.to_owned() };
    let zone = if time.offset().local_minus_utc() == 0 { "+0000 UTC" } else { &time.format("%z %z").to_string() };
    let nanoseconds = time.format("%.9f").to_string();
    let fraction = nanoseconds.trim_end_matches('0').trim_end_matches('.');
    format!("{}{fraction} {zone}", time.format("%Y-%m-%d %H:%M:%S"))
}
