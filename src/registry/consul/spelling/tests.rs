use std::time::Duration;

use litemap::LiteMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::container::{Health, Moment, Protocol};
use crate::service::{Check, CheckKind, Heartbeat, Origin};

/// An entry from this value, parsed from text as Consul sends it.
fn read(id: &str, held: &Value, checks: &Checks, compare: Compare) -> Entry {
    let text = held.to_string();
    entry(id, &json::read(&text, &READ).unwrap(), Reader { checks, compare, owner: None, contents: true })
}

fn service() -> Service {
    Service {
        id: "host:web:80".into(),
        name: "web".to_owned(),
        address: "10.0.0.1".into(),
        port: 8000,
        protocol: Protocol::Tcp,
        tags: vec!["a".to_owned(), "b".to_owned()].into(),
        attributes: Arc::new(LiteMap::from_iter([("region".to_owned(), "us2".to_owned())])),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container: "0123456789abcdef".into(),
            container_name: "web".into(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: crate::service::AddressOf::Container,
            hostname: "c".into(),
            exposed_port: 80,
        },
    }
}

fn tcp_check() -> Check {
    Check {
        kind: CheckKind::Tcp,
        interval: Duration::from_secs(10),
        timeout: None,
        initial_status: None,
        deregister_after: None,
        heartbeat: None,
    }
}

fn with(change: impl FnOnce(&mut Service)) -> Service {
    let mut service = service();
    change(&mut service);
    service
}

fn sent(service: &Service, owner: Option<&str>) -> Value {
    serde_json::to_value(registration(service, owner)).expect("JSON")
}

#[test]
fn without_an_owner_nothing_of_ours_is_added() {
    assert_eq!(
        sent(&with(|service| service.check = Some(Box::new(tcp_check()))), None),
        json!({
            "ID": "host:web:80", "Name": "web", "Port": 8000, "Address": "10.0.0.1", "Tags": ["a", "b"],
            "Meta": {"region": "us2"}, "Check": {"TCP": "10.0.0.1:8000", "Interval": "10s"},
        })
    );
}

#[test]
fn with_an_owner_entry_and_check_tell_of_us() {
    assert_eq!(
        sent(&with(|service| service.check = Some(Box::new(tcp_check()))), Some("me")),
        json!({
            "ID": "host:web:80", "Name": "web", "Port": 8000, "Address": "10.0.0.1", "Tags": ["a", "b"],
            "Meta": {"region": "us2", "external-source": "registrator", "registrator-owner": "me"},
            "Check": {"TCP": "10.0.0.1:8000", "Interval": "10s", "Notes": "tcp 10.0.0.1:8000 every 10s"},
        })
    );
    assert!(sent(&service(), Some("me")).get("Check").is_none());
}

/// A check from this value, parsed from text as Consul sends it.
fn check_of(said: &Value) -> HeldCheck {
    HeldCheck::read(&json::read(&said.to_string(), &HeldCheck::SHAPE).unwrap())
}

/// The agent's answer after a registration, as it really looks: without tags, they are null; a check has a type.
fn held(service: &Service, owner: Option<&str>) -> (Value, Checks) {
    let sent = sent(service, owner);
    let mut checks = Checks::new();
    let mut put = |id: String, kind: Option<&str>, sent: &Value| {
        let check = json!({"CheckID": id, "Type": kind, "Notes": sent["Notes"], "Status": "critical"});
        checks.insert(id, check_of(&check));
    };
    if let Some(check) = sent.get("Check") {
        put(check_id(&service.id), check::kind(service), check);
    }
    if let Some(lease) = sent.get("Checks").map(|checks| &checks[0]) {
        put(lease["CheckID"].as_str().unwrap_or_default().to_owned(), Some("ttl"), lease);
    }
    let tags = if service.tags.is_empty() { Value::Null } else { sent["Tags"].clone() };
    let entry = json!({
        "ID": sent["ID"], "Service": sent["Name"], "Port": sent["Port"], "Address": sent["Address"], "Tags": tags,
        "Meta": sent["Meta"], "Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": false,
    });
    (entry, checks)
}

#[test]
fn each_difference_changes_the_fingerprint() {
    let changes: [(&str, Service); 11] = [
        ("nothing", service()),
        ("name", with(|service| service.name.push('x'))),
        ("address", with(|service| service.address = "10.0.0.2".into())),
        ("port", with(|service| service.port += 1)),
        ("tags", with(|service| service.tags = ["v2".to_owned()].into())),
        (
            "attribute",
            with(|service| drop(Arc::make_mut(&mut service.attributes).insert("region".to_owned(), "us1".to_owned()))),
        ),
        ("check", with(|service| service.check = Some(Box::new(tcp_check())))),
        ("ttl", with(|service| service.ttl = Some(Duration::from_secs(30)))),
        ("another ttl", with(|service| service.ttl = Some(Duration::from_secs(60)))),
        (
            "check's interval",
            with(|service| service.check = Some(Box::new(Check { interval: Duration::from_secs(20), ..tcp_check() }))),
        ),
        (
            "check's kind",
            with(|service| {
                service.check = Some(Box::new(Check { kind: CheckKind::Script("true".to_owned()), ..tcp_check() }))
            }),
        ),
    ];
    let mut seen = BTreeMap::new();
    for (what, service) in &changes {
        let fingerprint = fingerprint(service, Some("me"), Compare::Notes);
        assert_eq!(seen.insert(fingerprint, *what), None, "{what}");
        let (entry_held, checks) = held(service, Some("me"));
        let entry = read(&service.id, &entry_held, &checks, Compare::Notes);
        assert_eq!(entry.fingerprint, fingerprint, "{what}");
        assert_eq!(entry.owner.as_deref(), Some("me"));
    }
}

#[test]
fn an_entry_of_another_owner_or_of_none_differs_from_ours() {
    let ours = fingerprint(&service(), Some("me"), Compare::Notes);
    for owner in [None, Some("you")] {
        let (held, checks) = held(&service(), owner);
        let entry = read("host:web:80", &held, &checks, Compare::Notes);
        assert_ne!(entry.fingerprint, ours);
        assert_eq!(entry.owner.as_deref(), owner);
    }
}

#[test]
fn an_entry_with_a_ttl_has_a_check_of_ours_beside_its_own() {
    let lively = |check| {
        with(|service| {
            service.ttl = Some(Duration::from_secs(30));
            service.check = check;
        })
    };
    let lease = json!({
        "CheckID": "registrator:host:web:80", "Name": "registrator looks after it", "TTL": "30s", "Status": "passing",
        "DeregisterCriticalServiceAfter": "60s",
    });
    let sent_without = sent(&lively(None), None);
    assert_eq!((&sent_without["Checks"], sent_without.get("Check")), (&json!([lease]), None));
    let both = sent(&lively(Some(Box::new(tcp_check()))), Some("me"));
    assert_eq!(both["Check"]["CheckID"], "service:host:web:80");
    assert_eq!(both["Checks"][0]["Notes"], "ttl 30s");
    let long = sent(&with(|service| service.ttl = Some(Duration::from_secs(90))), None);
    assert_eq!(long["Checks"][0]["DeregisterCriticalServiceAfter"], "90s");
    for compare in [Compare::Type, Compare::Presence] {
        let (held, checks) = held(&lively(None), None);
        let entry = read("host:web:80", &held, &checks, compare);
        assert_eq!(entry.fingerprint, fingerprint(&lively(None), None, compare));
        assert_ne!(entry.fingerprint, fingerprint(&service(), None, compare));
    }
}

#[test]
fn a_heartbeat_of_ours_is_right_when_it_is_passing_as_its_container_is_well() {
    let beating = |health| {
        with(|service| {
            let kind = CheckKind::Ttl(Duration::from_secs(30));
            service.check = Some(Box::new(Check { kind, heartbeat: Some(Heartbeat::Container), ..tcp_check() }));
            service.health = health;
        })
    };
    let owner: Arc<str> = "me".into();
    let read = |status, compare| {
        let (entry, mut checks) = held(&beating(Health::None), Some("me"));
        checks.values_mut().for_each(|check| check.status = status);
        let text = entry.to_string();
        let reader = Reader { checks: &checks, compare, owner: Some(&owner), contents: false };
        super::entry("host:web:80", &json::read(&text, &READ).unwrap(), reader).fingerprint
    };
    let wanted = |health, compare| fingerprint(&beating(health), Some("me"), compare);
    for (status, health, equal) in [
        (Status::Passing, Health::None, true),
        (Status::Passing, Health::Healthy, true),
        (Status::Passing, Health::Unhealthy, false),
        (Status::Critical, Health::Unhealthy, true),
        (Status::Critical, Health::Starting, true),
        (Status::Critical, Health::Healthy, false),
    ] {
        let compare = Compare::Notes;
        assert_eq!(read(status, compare) == wanted(health, compare), equal, "{status:?} {health:?}");
        // Without notes, it is unknown who sends the heartbeats.
        assert_eq!(read(status, Compare::Type), wanted(health, Compare::Type));
    }
}

#[test]
fn an_entry_is_critical_where_consul_removes_it_for_that() {
    let probed =
        |deregister_after| with(|service| service.check = Some(Box::new(Check { deregister_after, ..tcp_check() })));
    let minute = Some(Duration::from_secs(60));
    for (owner, after, status, compare, critical) in [
        (Some("me"), minute, Status::Critical, Compare::Notes, true),
        (Some("me"), minute, Status::Passing, Compare::Notes, false),
        (Some("me"), minute, Status::Other, Compare::Notes, false),
        (Some("me"), None, Status::Critical, Compare::Notes, false),
        // Nothing says what becomes of it.
        (None, minute, Status::Critical, Compare::Type, true),
        (None, None, Status::Critical, Compare::Type, true),
    ] {
        let (entry, mut checks) = held(&probed(after), owner);
        checks.values_mut().for_each(|check| check.status = status);
        assert_eq!(
            read("host:web:80", &entry, &checks, compare).critical,
            critical,
            "{after:?} {status:?} {compare:?}"
        );
    }
}

#[test]
fn what_an_entry_says_is_told_of_those_without_an_owner_and_of_all_where_it_is_asked_for() {
    let owner: Arc<str> = "me".into();
    let content = |recorded, contents| {
        let (entry, checks) = held(&service(), recorded);
        let text = entry.to_string();
        let reader = Reader { checks: &checks, compare: Compare::Notes, owner: Some(&owner), contents };
        super::entry("host:web:80", &json::read(&text, &READ).unwrap(), reader).content
    };
    let said = Content {
        name: "web".to_owned(),
        address: "10.0.0.1".to_owned(),
        port: 8000,
        tags: vec!["a".to_owned(), "b".to_owned()],
    };
    for (recorded, contents, told) in [
        (Some("me"), true, true),
        (Some("other"), true, true),
        (None, true, true),
        (Some("me"), false, false),
        (Some("other"), false, false),
        (None, false, true),
    ] {
        assert_eq!(content(recorded, contents).as_deref(), told.then_some(&said), "{recorded:?} {contents}");
    }
}

#[test]
fn a_maintenance_mode_is_ours_by_its_reason() {
    let checks = |notes: &str| {
        let id = "_service_maintenance:host:web:80".to_owned();
        Checks::from_iter([(id.clone(), check_of(&json!({"CheckID": id, "Notes": notes, "Status": "critical"})))])
    };
    for (checks, expected) in [
        (Checks::new(), Marked::No),
        (checks(&mark_reason("its container is paused")), Marked::Ours),
        (checks("Maintenance mode is enabled for this service, but no reason was provided."), Marked::Theirs),
        (checks(""), Marked::Theirs),
    ] {
        assert_eq!(marked("host:web:80", &checks), expected);
        assert_eq!(marked("host:web:8", &checks), Marked::No);
    }
}

#[test]
fn without_notes_a_check_is_compared_by_its_type_or_its_presence() {
    let checked = with(|service| service.check = Some(Box::new(tcp_check())));
    let slower =
        with(|service| service.check = Some(Box::new(Check { interval: Duration::from_secs(20), ..tcp_check() })));
    let script = with(|service| {
        service.check = Some(Box::new(Check { kind: CheckKind::Script("true".to_owned()), ..tcp_check() }))
    });
    for (compare, other, equal) in [
        (Compare::Type, &slower, true),
        (Compare::Type, &script, false),
        (Compare::Type, &service(), false),
        (Compare::Presence, &script, true),
        (Compare::Presence, &service(), false),
    ] {
        let (held, checks) = held(other, None);
        let entry = read("host:web:80", &held, &checks, compare);
        assert_eq!(entry.fingerprint == fingerprint(&checked, None, compare), equal, "{compare:?} {:?}", other.check);
    }
}

#[test]
fn attributes_that_consul_refuses_are_left_out_with_the_reason() {
    let long = "k".repeat(129);
    let attributes: Vec<(&str, String, Option<&str>)> = vec![
        ("region", "us2".to_owned(), None),
        ("A_b-9", "é".repeat(256), None),
        ("fits", "x".repeat(512), None),
        ("big", "x".repeat(513), Some("a value of more than 512 bytes")),
        ("wide", "é".repeat(257), Some("a value of more than 512 bytes")),
        ("a.b", String::new(), Some("a name with other characters than A-Z, a-z, 0-9, _ and -")),
        ("é", String::new(), Some("a name with other characters than A-Z, a-z, 0-9, _ and -")),
        ("", String::new(), Some("no name")),
        (&long, String::new(), Some("a name of more than 128 characters")),
        ("consul-x", String::new(), Some("a name that is Consul's")),
        ("registrator-owner", "me".to_owned(), Some("a name that is ours")),
    ];
    let service = with(|service| {
        service.attributes =
            Arc::new(attributes.iter().map(|(key, value, _)| ((*key).to_owned(), value.clone())).collect());
    });
    for owner in [None, Some("host")] {
        let (meta, left_out) = meta(&service, owner);
        for (key, value, reason) in &attributes {
            let said = left_out.iter().find(|(left, _)| left == key).map(|(_, reason)| *reason);
            assert_eq!(said, *reason, "{key}");
            if reason.is_none() {
                assert_eq!(meta.get(key), Some(&value.as_str()));
            }
        }
        assert_eq!(meta.get(OWNER_KEY).copied(), owner);
    }
}

#[test]
fn a_container_cannot_forge_an_owner_or_a_source() {
    let forged = with(|service| {
        for key in [OWNER_KEY, SOURCE_KEY] {
            Arc::make_mut(&mut service.attributes).insert(key.to_owned(), "forged".to_owned());
        }
    });
    let (owned, _) = meta(&forged, Some("me"));
    assert_eq!((owned[OWNER_KEY], owned[SOURCE_KEY]), ("me", SOURCE));
    let (plain, _) = meta(&forged, None);
    assert_eq!((plain.get(OWNER_KEY), plain.get(SOURCE_KEY)), (None, Some(&"forged")));
}

#[test]
fn of_too_many_attributes_the_last_by_name_are_left_out() {
    let many = with(|service| {
        service.attributes = Arc::new((0..70).map(|n| (format!("k{n:02}"), String::new())).collect());
    });
    for (owner, kept) in [(None, 64), (Some("me"), 62)] {
        let (meta, left_out) = meta(&many, owner);
        assert_eq!(meta.len(), 64);
        let expected: Vec<_> = (kept..70).map(|n| format!("k{n:02}")).collect();
        assert_eq!(left_out.iter().map(|(key, _)| (*key).to_owned()).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn ids_that_could_not_be_removed_are_recognised() {
    for id in
        ["a", "host:web:80", "a b", "a/b", "x/", "a%2Fb", "é", "日本", "a.b", "...", "..a/b", "e\u{301}", "\"'\\", "🐳"]
    {
        assert_eq!(id_objection(id), None, "{id:?}");
    }
    for id in
        ["", ".", "..", "a/..", "a/../b", "/", "/x", "a//b", "a\nb", "a\0", "\u{202e}", "\u{a0}", "\u{200d}", "\t"]
    {
        assert!(id_objection(id).is_some(), "{id:?}");
    }
}

#[test]
fn an_odd_entry_is_read_as_far_as_it_goes() {
    let checks = Checks::from_iter([("service:id".to_owned(), check_of(&json!({"Notes": 3})))]);
    for odd in
        [json!(null), json!(7), json!({}), json!({"Tags": 1, "Meta": [], "Port": "x", "Service": {}, "New": true})]
    {
        let entry = read("id", &odd, &checks, Compare::Notes);
        assert_eq!((&*entry.key, &*entry.service_id, entry.owner), ("id", "id", None));
    }
}

proptest! {
    #[test]
    fn whatever_the_attributes_consul_is_sent_only_what_it_takes(
        attributes in proptest::collection::btree_map(".{0,9}|[a-z]{1,9}|k{126,131}", "x{0,9}|é{254,259}", 0..100),
        owned: bool,
    ) {
        let service = with(|service| service.attributes = Arc::new(attributes.into_iter().collect()));
        let (meta, left_out) = meta(&service, owned.then_some("me"));
        prop_assert!(meta.len() <= 64);
        prop_assert_eq!(meta.len() + left_out.len(), service.attributes.len() + if owned { 2 } else { 0 });
        for (key, value) in meta {
            prop_assert!(!key.is_empty() && key.len() <= 128 && value.len() <= 512);
            prop_assert!(key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-'));
        }
    }
}
