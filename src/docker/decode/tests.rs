use litemap::LiteMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::docker::events::Decoder;

fn inspected(fixture: &str) -> Container {
    inspect(fixture.as_bytes(), false).unwrap().unwrap()
}

fn decoded(said: &Value) -> Container {
    inspected(&said.to_string())
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn port(number: u16, protocol: Protocol, exposed: bool, bindings: &[(&str, u16)]) -> ContainerPort {
    let bindings = bindings.iter().map(|(ip, port)| Binding { ip: ip.parse().ok(), port: *port }).collect();
    ContainerPort { number, protocol, exposed, bindings }
}

const DOCKER_20_RUNNING: &str = include_str!("../../../tests/fixtures/engine/docker-20.10-running.json");
const DOCKER_20_EXITED: &str = include_str!("../../../tests/fixtures/engine/docker-20.10-exited.json");
const DOCKER_20_LIST: &str = include_str!("../../../tests/fixtures/engine/docker-20.10-list.json");
const DOCKER_20_EVENTS: &str = include_str!("../../../tests/fixtures/engine/docker-20.10-events.jsonl");
const DOCKER_29_RUNNING: &str = include_str!("../../../tests/fixtures/engine/docker-29-running.json");
const DOCKER_29_LIST: &str = include_str!("../../../tests/fixtures/engine/docker-29-list.json");
const DOCKER_29_EVENTS: &str = include_str!("../../../tests/fixtures/engine/docker-29-events.jsonl");
const PODMAN_4_RUNNING: &str = include_str!("../../../tests/fixtures/engine/podman-4-running.json");
const PODMAN_4_EXITED: &str = include_str!("../../../tests/fixtures/engine/podman-4-exited.json");
const PODMAN_4_LIST: &str = include_str!("../../../tests/fixtures/engine/podman-4-list.json");
const PODMAN_4_EVENTS: &str = include_str!("../../../tests/fixtures/engine/podman-4-events.jsonl");
const PODMAN_3_CONFIGURED: &str = include_str!("../../../tests/fixtures/engine/podman-3-configured.json");

#[test]
fn how_a_container_is_told_to_stop_is_read_however_it_is_written() {
    let stop = |config: Value| {
        let said = json!({"Id": "aa", "State": {"Running": true, "Status": "running"}, "Config": config});
        let container = inspect(said.to_string().as_bytes(), false).unwrap().unwrap();
        (container.stop.signal, container.stop.timeout.as_secs())
    };
    assert_eq!(stop(json!({})), (15, 10));
    assert_eq!(stop(json!({"StopSignal": "SIGQUIT", "StopTimeout": 60})), (3, 60));
    assert_eq!(stop(json!({"StopSignal": "SIGRTMIN+3", "StopTimeout": 0})), (37, 0));
    assert_eq!(stop(json!({"StopSignal": "nonsense", "StopTimeout": -1})), (15, LONGEST_STOP));
    for (text, number) in [
        ("9", Some(9)),
        ("term", Some(15)),
        ("SIGRTMIN", Some(34)),
        ("RTMAX-1", Some(63)),
        ("SIGRTMAX", Some(64)),
        ("0", None),
        ("65", None),
        ("SIGRTMIN+31", None),
        ("SIGRTMAX-99", None),
        ("SIGRTMIN3", None),
        ("SIGRTMIN-1", None),
        ("RTMIN\u{e9}", None),
        ("", None),
    ] {
        assert_eq!(signal(text), number, "{text}");
    }
}

#[test]
fn a_running_container_of_engine_20_is_read() {
    let bridge = NetworkAddress { ipv4: ip("172.17.0.2"), ipv6: None };
    let shop = NetworkAddress { ipv4: ip("172.18.0.2"), ipv6: None };
    assert_eq!(
        inspected(DOCKER_20_RUNNING),
        Container {
            id: ContainerId::from("3a82d7c2758195172b1fd6441f72031601e2cf7ddbc3d12bc170d79d66cd81ce"),
            name: "nginx.0".into(),
            image: "registry.example:5000/shop/nginx:1.2".into(),
            hostname: "web1".into(),
            env: vec![
                "SERVICE_443_NAME=https".into(),
                "SERVICE_TAGS=www".into(),
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            ]
            .into(),
            labels: LiteMap::from_iter([("SERVICE_80_NAME".into(), "http".into())]),
            network_mode: NetworkMode::Network("default".into()),
            networks: LiteMap::from_iter([("bridge".into(), bridge), ("shop-net".into(), shop)]),
            ports: vec![
                port(53, Protocol::Udp, true, &[]),
                port(80, Protocol::Tcp, true, &[("127.0.0.1", 8000)]),
                port(443, Protocol::Tcp, true, &[("0.0.0.0", 4443), ("::", 4443)]),
            ],
            state: State::Running { paused: false, health: Health::Starting },
            created: Moment(1_795_260_575_135_682_954),
            started: Moment(1_795_260_576_047_995_198),
            stop: crate::container::Stop::default(),
            inspect: None,
        }
    );
}

#[test]
fn what_an_exited_container_had_published_is_read_from_its_host_config() {
    let container = inspected(DOCKER_20_EXITED);
    assert_eq!(container.state, State::Exited { code: 137 });
    assert_eq!(container.networks, LiteMap::from_iter([("bridge".into(), NetworkAddress::default())]));
    assert_eq!(
        container.ports,
        [
            port(53, Protocol::Udp, true, &[]),
            port(80, Protocol::Tcp, true, &[("127.0.0.1", 8000)]),
            port(443, Protocol::Tcp, true, &[("", 4443)]),
        ]
    );
}

#[test]
fn a_running_container_of_engine_29_is_read() {
    let container = inspected(DOCKER_29_RUNNING);
    assert_eq!(&*container.name, "shop-nginx-1");
    assert!(container.image.starts_with("nginx:1.29@sha256:"));
    assert_eq!(*container.env, ["SERVICE_NAME=shop", "NO_VALUE"]);
    assert_eq!(container.network_mode, NetworkMode::Network("shop_front".into()));
    let front = NetworkAddress { ipv4: ip("172.20.0.3"), ipv6: ip("fd00:20::3") };
    assert_eq!(container.networks, LiteMap::from_iter([("shop_front".into(), front)]));
    assert_eq!(
        container.ports,
        [port(80, Protocol::Tcp, true, &[("0.0.0.0", 8080), ("::", 8080)]), port(443, Protocol::Udp, false, &[])]
    );
    assert_eq!(container.state, State::Running { paused: false, health: Health::Healthy });
}

#[test]
fn containers_of_podman_are_read() {
    let running = inspected(PODMAN_4_RUNNING);
    assert_eq!((&*running.name, &*running.image), ("redis.0", "registry.example:5000/shop/redis:7"));
    assert_eq!(&*running.hostname, "a1e18f6648d4");
    assert!(running.env.contains(&"SERVICE_NAME=db".to_owned()));
    assert_eq!(running.labels, LiteMap::from_iter([("role".into(), "cache".into())]));
    assert_eq!(running.network_mode, NetworkMode::Network("bridge".into()));
    let podman = NetworkAddress { ipv4: ip("10.88.0.5"), ipv6: None };
    assert_eq!(running.networks, LiteMap::from_iter([("podman".into(), podman)]));
    assert_eq!(running.ports, [port(6379, Protocol::Tcp, true, &[("", 10000)])]);
    assert_eq!(running.state, State::Running { paused: false, health: Health::None });

    let exited = inspected(PODMAN_4_EXITED);
    assert_eq!((&*exited.name, exited.state), ("redis.1", State::Exited { code: 137 }));
    assert_eq!(exited.networks.keys().collect::<Vec<_>>(), ["podman", "shop"]);
    assert_eq!(exited.ports, running.ports);

    let configured = inspected(PODMAN_3_CONFIGURED);
    assert_eq!((&*configured.name, configured.state), ("redis.0", State::Created));
    assert_eq!(configured.network_mode, NetworkMode::Network("slirp4netns".into()));
    assert_eq!(configured.ports, [port(6379, Protocol::Tcp, false, &[("127.0.0.1", 10000)])]);
}

#[test]
fn without_a_map_of_networks_the_address_is_that_of_the_bridge() {
    for networks in [json!(null), json!({}), json!("none")] {
        let container = decoded(&json!({
            "Id": "aa",
            "State": {"Running": true},
            "NetworkSettings": {"IPAddress": "172.17.0.9", "GlobalIPv6Address": "fd00::9", "Networks": networks},
        }));
        let bridge = NetworkAddress { ipv4: ip("172.17.0.9"), ipv6: ip("fd00::9") };
        assert_eq!(container.networks, LiteMap::from_iter([("bridge".into(), bridge)]));
    }
}

#[test]
fn what_a_container_does_is_read_from_flags_and_words() {
    let running = |paused| Some(State::Running { paused, health: Health::None });
    for (said, read) in [
        (json!({"Running": true}), running(false)),
        (json!({"Running": true, "Paused": true, "Status": "paused"}), running(true)),
        (json!({"Status": "running"}), running(false)),
        (json!({"Status": "paused"}), running(true)),
        (json!({"Status": "running", "Running": "yes"}), running(false)),
        (json!({"Running": true, "Restarting": true, "ExitCode": 3}), Some(State::Exited { code: 3 })),
        (json!({"Status": "restarting", "ExitCode": 3}), Some(State::Exited { code: 3 })),
        (json!({"Running": false, "Status": "exited", "ExitCode": "3"}), Some(State::Exited { code: 0 })),
        (json!({"Running": false, "Status": "created"}), Some(State::Created)),
        (json!({"Running": false, "Status": "initialized"}), Some(State::Created)),
        (json!({"Running": false, "Status": "hibernating", "ExitCode": -1}), Some(State::Exited { code: -1 })),
        (json!({"Running": false, "Status": "removing"}), None),
        (json!({"Running": false, "Status": "dead", "Dead": true}), None),
        (json!({"Running": false, "Dead": true}), None),
    ] {
        let answer = json!({"Id": "aa", "State": said}).to_string();
        let state = inspect(answer.as_bytes(), false).unwrap().map(|container| container.state);
        assert_eq!(state, read, "{said}");
    }
}

#[test]
fn what_a_healthcheck_says_is_read_in_any_spelling() {
    for (said, read) in [
        (json!({"Health": {"Status": "starting"}}), Health::Starting),
        (json!({"Health": {"Status": "healthy"}}), Health::Healthy),
        (json!({"Health": {"Status": "unhealthy"}}), Health::Unhealthy),
        (json!({"Health": {"Status": "none"}}), Health::None),
        (json!({"Health": {"Status": ""}}), Health::None),
        (json!({"Health": {"Status": "excellent"}}), Health::None),
        (json!({"Health": null}), Health::None),
        (json!({"Healthcheck": {"Status": "healthy"}}), Health::Healthy),
    ] {
        let text = said.to_string();
        assert_eq!(health(&json::read(&text, &Whole).unwrap()), read, "{text}");
    }
}

#[test]
fn network_modes_are_told_apart() {
    for (said, read) in [
        ("host", NetworkMode::Host),
        ("none", NetworkMode::None),
        ("container:aa", NetworkMode::Container("aa".into())),
        ("", NetworkMode::Network("default".into())),
        ("default", NetworkMode::Network("default".into())),
        ("shop", NetworkMode::Network("shop".into())),
        ("ns:/run/netns/x", NetworkMode::Network("ns:/run/netns/x".into())),
    ] {
        assert_eq!(network_mode(said), read);
    }
}

#[test]
fn a_port_that_makes_no_sense_costs_itself_alone() {
    let container = decoded(&json!({
        "Id": "aa",
        "State": {"Running": true},
        "Config": {"ExposedPorts": {"80/tcp": {}, "0/tcp": {}, "http/tcp": {}, "70000/tcp": {}, "9/quic": {}, "81": {}, "/": {}}},
        "NetworkSettings": {"Ports": {
            "80/TCP": [{"HostIp": "10.0.0.1", "HostPort": 8080}, {"HostIp": 4, "HostPort": "90"}, "junk", null, {"HostPort": "x"}],
            "82/sctp": [{"HostIp": "[::1]", "HostPort": ""}, {"HostIp": "::", "HostPort": "8000-8010"}],
            "83/tcp": "junk",
        }},
    }));
    assert_eq!(
        container.ports,
        [
            port(80, Protocol::Tcp, true, &[("10.0.0.1", 8080), ("", 90)]),
            port(81, Protocol::Tcp, true, &[]),
            port(82, Protocol::Sctp, false, &[("::1", 0), ("::", 0)]),
            port(83, Protocol::Tcp, false, &[]),
        ]
    );
}

#[test]
fn times_are_compared_as_times_however_they_are_written() {
    let ordered = ["", "2026-01-01T01:00:00+02:00", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"].map(moment);
    assert!(ordered.is_sorted() && ordered[0] == Moment::default());
    assert_eq!(ordered[3].0 - ordered[2].0, 500_000_000);
    assert_eq!(moment("2021-03-04 05:06:07.080910111 +0100 CET"), Moment(1_614_830_767_080_910_111));
    for never in ["0001-01-01T00:00:00Z", "yesterday", "5"] {
        assert_eq!(moment(never), Moment::default(), "{never}");
    }
}

#[test]
fn a_field_of_another_type_costs_itself_alone() {
    let container = decoded(&json!({
        "Id": "aa",
        "Name": ["x"],
        "Created": 5,
        "State": {"Running": true, "Health": "well"},
        "Config": {"Image": null, "Hostname": {}, "Env": ["A=1", null, 7, "B=2"], "Labels": {"a": "b", "c": 1}},
        "HostConfig": "junk",
        "NetworkSettings": {"Networks": {"n": null, "m": {"IPAddress": "one", "GlobalIPv6Address": 6}}},
    }));
    assert_eq!((&*container.name, container.created), ("", Moment::default()));
    assert_eq!(*container.env, ["A=1", "B=2"]);
    assert_eq!(container.labels, LiteMap::from_iter([("a".into(), "b".into())]));
    assert_eq!(container.networks.len(), 2);
    assert!(container.networks.values().all(|network| network.preferred().is_none()));
    assert!(container.state.is_running());
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let said = b"{\"Id\":\"aa\",\"State\":{\"Running\":true},\"Config\":{\"Env\":[\"A=\xff\"]}}";
    assert_eq!(*inspect(said, false).unwrap().unwrap().env, ["A=\u{fffd}"]);
}

#[test]
fn an_answer_about_nothing_is_refused_rather_than_taken_for_a_stopped_container() {
    for said in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"Id":"aa"}"#,
        r#"{"Id":"aa","State":null}"#,
        r#"{"Id":"../x","State":{"Running":true}}"#,
    ] {
        assert!(inspect(said.as_bytes(), false).is_err(), "{said}");
    }
}

#[test]
fn the_whole_answer_is_kept_where_it_is_wanted() {
    let container = inspect(DOCKER_29_RUNNING.as_bytes(), true).unwrap().unwrap();
    assert_eq!(container.inspect.unwrap()["State"]["Pid"], 4242);
}

#[test]
fn a_list_is_read_entry_by_entry() {
    let said = json!([null, 7, {"Id": 5}, {"Id": "aa", "Names": 3, "Ports": "x"}, {"Id": "a/b"}, {"Id": "bb"}]);
    let ids: Vec<_> =
        list(said.to_string().as_bytes()).unwrap().into_iter().map(|entry| entry.id.to_string()).collect();
    assert_eq!(ids, ["aa", "bb"]);
    assert_eq!(list(b"null").unwrap(), []);
    for said in ["", "{}", "{\"message\":\"no\"}", "[{"] {
        assert!(list(said.as_bytes()).is_err(), "{said}");
    }
}

#[test]
fn time_and_order_alone_do_not_change_a_digest() {
    let entry = |status: &str, names: &[&str], ports: [u16; 2]| {
        let ports = ports.map(|port| json!({"PrivatePort": port, "Type": "tcp"}));
        json!([{"Id": "aa", "Names": names, "State": "running", "Status": status, "Ports": ports}]).to_string()
    };
    let digest = |said: &str| list(said.as_bytes()).unwrap()[0].said.digest;
    let one = digest(&entry("Up 3 seconds (healthy)", &["/a", "/b"], [1, 2]));
    assert_eq!(one, digest(&entry("Up 5 minutes (healthy)", &["/b", "/a"], [2, 1])));
    assert_ne!(one, digest(&entry("Up 5 minutes (unhealthy)", &["/b", "/a"], [2, 1])));
    assert_ne!(one, digest(&entry("Up 5 minutes (healthy)", &["/b"], [2, 1])));
    assert_ne!(one, digest(&entry("Up 5 minutes (healthy)", &["/a", "/b"], [2, 3])));
}

#[test]
fn the_lists_of_every_engine_are_read() {
    for (said, id, name) in [
        (DOCKER_20_LIST, "3a82d7c27581", "nginx.0"),
        (DOCKER_29_LIST, "9f3c1d2e4b5a", "shop-nginx-1"),
        (PODMAN_4_LIST, "a1e18f6648d4", "redis.0"),
    ] {
        let entries = list(said.as_bytes()).unwrap();
        assert_eq!((entries[0].said.running, &*entries[0].said.names), (Some(true), &[name.into()][..]));
        assert_eq!(entries.iter().map(|entry| entry.id.short()).collect::<Vec<_>>(), [id]);
    }
}

#[test]
fn the_events_of_every_engine_are_read() {
    // How many of the lines are about this container, and may have changed it.
    for (said, id, hints) in [
        (DOCKER_20_EVENTS, "3a82d7c27581", 11),
        (DOCKER_29_EVENTS, "9f3c1d2e4b5a", 3),
        (PODMAN_4_EVENTS, "a1e18f6648d4", 8),
    ] {
        let heard = Decoder::default().push(said.as_bytes());
        assert_eq!(heard.skipped, 0);
        assert!(heard.hints.iter().all(|hint| hint.short() == id));
        assert_eq!(heard.hints.len(), hints, "{id}");
    }
}

/// Any JSON of limited depth.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["80/tcp", "10.0.0.1", "container:x", "running", "0", "65536"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any_key(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "Status",
            "Running",
            "Health",
            "Env",
            "Labels",
            "ExposedPorts",
            "Ports",
            "Networks",
            "IPAddress",
            "HostIp",
            "HostPort",
            "NetworkMode",
            "PortBindings",
            "80/tcp",
            "53/udp",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = list(&bytes);
        let _ = inspect(&bytes, true);
    }

    #[test]
    fn whatever_the_fields_hold_a_container_that_says_its_state_is_read(
        name in any_json(), config in any_json(), host in any_json(), network in any_json(),
    ) {
        let said = json!({
            "Id": "aa", "Name": name, "State": {"Running": true}, "Config": config, "HostConfig": host, "NetworkSettings": network,
        });
        let container = decoded(&said);
        let mut whole = inspect(said.to_string().as_bytes(), true).unwrap().unwrap();
        whole.inspect = None;
        prop_assert_eq!(&container, &whole, "what is skipped makes no difference");
        prop_assert!(container.state.is_running());
        prop_assert!(!container.name.starts_with('/'));
        let ports: Vec<_> = container.ports.iter().map(|port| (port.number, port.protocol)).collect();
        prop_assert!(ports.is_sorted_by(|one, other| one < other), "ports are in order, each once");
    }
}

#[test]
fn a_network_that_is_given_by_its_id_is_called_by_its_name() {
    let id = "30d2cacff701f686da508da7a0cd45f711666a251d3bae429c6632ec46d512bb";
    let mode = |given: &str| {
        let networks = json!({
            "a": {"NetworkID": "89393be7abfb".repeat(5), "IPAddress": "172.18.0.2"},
            "web": {"NetworkID": id, "IPAddress": "172.19.0.2"},
            "cafecafecafe": {"NetworkID": "", "IPAddress": ""},
        });
        let said = json!({
            "Id": "a", "State": {"Status": "running", "Running": true},
            "HostConfig": {"NetworkMode": given}, "NetworkSettings": {"Networks": networks},
        });
        inspect(said.to_string().as_bytes(), false).unwrap().unwrap().network_mode
    };
    for (given, name) in [
        (id, "web"),
        (&id[..12], "web"),
        ("web", "web"),
        ("cafecafecafe", "cafecafecafe"),
        // A network that it has left, and what is too short for an ID.
        ("0123456789abcdef", "0123456789abcdef"),
        ("30d2", "30d2"),
    ] {
        assert_eq!(mode(given), NetworkMode::Network(name.to_owned()), "{given}");
    }
}
