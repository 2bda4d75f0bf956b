//! What containers add, as keys.

use proptest::prelude::*;

use super::*;
use crate::{Joined, Rank, document, is_key};

const WEB: Place = Place { exposed: 80, registered: 8080, transport: Transport::Tcp };
const ADMIN: Place = Place { exposed: 9000, registered: 9001, transport: Transport::Tcp };
const DNS: Place = Place { exposed: 53, registered: 5353, transport: Transport::Udp };

fn at(place: Place) -> At<'static> {
    let Place { exposed, registered: port, transport } = place;
    At { exposed, transport, address: "10.0.0.1", port, holder: ("host", "host:web:80") }
}

/// The keys that a container adds, with numbers of servers as `N`, and what is left out.
fn added(labels: &[(&str, &str)], ports: &[Place], settings: &Settings) -> (Vec<String>, Vec<String>) {
    let (addition, left_out) = Addition::read("shop.web", labels.iter().copied(), ports);
    let mut keys = Vec::new();
    for place in ports {
        for piece in addition.part(&at(*place), settings) {
            for (key, value) in piece.keys() {
                assert!(is_key(&key), "{key}");
                let key = key.split('/').map(|part| if part.len() == 20 { "N" } else { part }).collect::<Vec<_>>();
                keys.push(format!("{} = {value}", key.join("/")));
            }
        }
    }
    let shown = |out: LeftOut| format!("{}: {}", out.label, out.why);
    (keys, left_out.into_iter().map(shown).collect())
}

fn keys(labels: &[(&str, &str)], ports: &[Place]) -> Vec<String> {
    let (keys, left_out) = added(labels, ports, &Settings::default());
    assert_eq!(left_out, [""; 0]);
    keys
}

#[test]
fn a_container_without_labels_has_a_service_and_a_router_of_its_name() {
    let expected = [
        "http/services/shop-web/loadBalancer/servers/N/url = http://10.0.0.1:8080",
        "http/routers/shop-web/rule = Host(`shop-web`)",
        "http/routers/shop-web/service = shop-web",
    ];
    assert_eq!(keys(&[], &[WEB]), expected);
    // The smallest of several ports.
    assert_eq!(keys(&[], &[ADMIN, WEB]), expected);
    assert_eq!(keys(&[("traefik.enable", "true"), ("other", "x")], &[WEB]), expected);
    assert_eq!(keys(&[], &[]), [""; 0]);
    assert_eq!(keys(&[], &[DNS]), [""; 0]);
}

#[test]
fn whether_a_container_is_taken_is_its_label_or_the_default() {
    let hidden = Settings { exposed: false, ..Settings::default() };
    for (labels, settings, taken) in [
        (&[][..], &Settings::default(), true),
        (&[("traefik.enable", "false")], &Settings::default(), false),
        (&[], &hidden, false),
        (&[("Traefik.Enable", "True")], &hidden, true),
    ] {
        let (keys, _) = added(labels, &[WEB], settings);
        assert_eq!(!keys.is_empty(), taken, "{labels:?}");
    }
    let staging = Settings { namespaces: vec!["dev".to_owned(), "staging".to_owned()], ..Settings::default() };
    for (labels, taken) in
        [(&[][..], false), (&[("kop.namespace", "staging,experimental")], true), (&[("kop.namespace", "prod")], false)]
    {
        assert_eq!(!added(labels, &[WEB], &staging).0.is_empty(), taken, "{labels:?}");
    }
    let (keys, left_out) = added(&[("traefik.enable", "perhaps")], &[WEB], &hidden);
    assert_eq!((keys.len(), left_out.as_slice()), (0, &["traefik.enable: it must be true or false".to_owned()][..]));
}

#[test]
fn the_default_rule_is_a_setting() {
    let settings = Settings { rule: "Host(`{}.example.com`)".to_owned(), ..Settings::default() };
    let (keys, _) = added(&[("traefik.http.routers.a.entrypoints", "web,websecure")], &[WEB], &settings);
    assert_eq!(
        keys,
        [
            "http/services/shop-web/loadBalancer/servers/N/url = http://10.0.0.1:8080",
            "http/routers/a/entryPoints/0 = web",
            "http/routers/a/entryPoints/1 = websecure",
            "http/routers/a/rule = Host(`shop-web.example.com`)",
            "http/routers/a/service = shop-web",
        ]
    );
}

#[test]
fn routers_go_to_the_only_service_and_ports_are_those_inside_the_container_or_on_the_host() {
    for port in ["9000", "9001"] {
        let labels = [
            ("traefik.http.routers.a.rule", "Host(`a`)"),
            ("traefik.http.routers.a.tls", "true"),
            ("traefik.http.routers.a.middlewares", "auth@file, strip"),
            ("traefik.http.middlewares.strip.stripprefix.prefixes", "/a"),
            ("traefik.http.services.b.loadbalancer.server.port", port),
            ("traefik.http.services.b.loadbalancer.server.scheme", "https"),
            ("traefik.http.services.b.loadbalancer.passhostheader", "false"),
        ];
        assert_eq!(
            keys(&labels, &[WEB, ADMIN]),
            [
                "http/services/b/loadBalancer/passHostHeader = false",
                "http/services/b/loadBalancer/servers/N/url = https://10.0.0.1:9001",
                "http/middlewares/strip/stripPrefix/prefixes/0 = /a",
                "http/routers/a/middlewares/0 = auth@file",
                "http/routers/a/middlewares/1 = strip",
                "http/routers/a/rule = Host(`a`)",
                "http/routers/a/service = b",
                "http/routers/a/tls = true",
            ]
        );
    }
}

#[test]
fn a_container_with_several_services_says_which_router_goes_where() {
    let labels = [
        ("traefik.http.routers.a.rule", "Host(`a`)"),
        ("traefik.http.routers.a.service", "a"),
        ("traefik.http.routers.b.rule", "Host(`b`)"),
        ("traefik.http.services.a.loadbalancer.server.port", "80"),
        ("traefik.http.services.b.loadbalancer.server.port", "9000"),
        ("traefik.http.services.c.loadbalancer.server.port", "7"),
        ("traefik.http.routers.c.service", "c"),
    ];
    let (keys, left_out) = added(&labels, &[WEB, ADMIN], &Settings::default());
    assert_eq!(
        keys,
        [
            "http/services/a/loadBalancer/servers/N/url = http://10.0.0.1:8080",
            "http/routers/a/rule = Host(`a`)",
            "http/routers/a/service = a",
            "http/services/b/loadBalancer/servers/N/url = http://10.0.0.1:9001",
        ]
    );
    assert_eq!(
        left_out,
        [
            "traefik.http.routers.b.rule: the container has several services; name one of them with the router's \
             label service",
            "traefik.http.services.c.loadbalancer.server.port: port 7 of the container is not registered; publish \
             it, or register with -internal",
            "traefik.http.routers.c.service: its service \"c\" has no registered port",
        ]
    );
}

#[test]
fn tcp_and_udp_have_no_router_by_default() {
    let labels = [("traefik.tcp.routers.db.rule", "HostSNI(`*`)"), ("traefik.udp.routers.dns.entrypoints", "dns")];
    assert_eq!(
        keys(&labels, &[WEB, DNS]),
        [
            "tcp/services/shop-web/loadBalancer/servers/N/address = 10.0.0.1:8080",
            "tcp/routers/db/rule = HostSNI(`*`)",
            "tcp/routers/db/service = shop-web",
            "udp/services/shop-web/loadBalancer/servers/N/address = 10.0.0.1:5353",
            "udp/routers/dns/entryPoints/0 = dns",
            "udp/routers/dns/service = shop-web",
        ]
    );
    let (keys, left_out) = added(&[("traefik.tcp.routers.db.entrypoints", "db")], &[WEB], &Settings::default());
    assert_eq!(keys, ["tcp/services/shop-web/loadBalancer/servers/N/address = 10.0.0.1:8080"]);
    assert_eq!(left_out, ["traefik.tcp.routers.db.entrypoints: a TCP router needs a rule, as HostSNI(`*`)"]);
}

#[test]
fn a_router_to_another_providers_service_needs_none_here() {
    let labels = [("traefik.http.routers.api.rule", "Host(`t`)"), ("traefik.http.routers.api.service", "api@internal")];
    let expected = ["http/routers/api/rule = Host(`t`)", "http/routers/api/service = api@internal"];
    assert_eq!(keys(&labels, &[WEB]), expected);
}

#[test]
fn what_is_switched_off_is_gone_with_all_below() {
    let labels = [
        ("traefik.http.routers.a.rule", "Host(`a`)"),
        ("traefik.http.routers.a.tls", "false"),
        ("traefik.http.routers.a.tls.certresolver", "le"),
        ("traefik.http.routers.a.service", "x@file"),
    ];
    assert_eq!(keys(&labels, &[WEB]), ["http/routers/a/rule = Host(`a`)", "http/routers/a/service = x@file"]);
}

#[test]
fn the_labels_of_traefik_kop_are_known() {
    let labels = [
        ("kop.bind.ip", "192.168.1.75"),
        ("kop.B.bind.ip", "fd00::1"),
        ("kop.merge-lbs", "true"),
        ("traefik.http.services.a.loadbalancer.server.port", "80"),
        ("traefik.http.services.b.loadbalancer.server.port", "9001"),
    ];
    assert_eq!(
        keys(&labels, &[WEB, ADMIN]),
        [
            "http/services/a/loadBalancer/servers/N/url = http://192.168.1.75:8080",
            "http/services/b/loadBalancer/servers/N/url = http://[fd00::1]:9001",
        ]
    );
    let (_, left_out) = added(&[("kop.bind.ip", "here"), ("kop.nosuch", "1")], &[WEB], &Settings::default());
    assert_eq!(left_out[0], "kop.bind.ip: it must be an IP address");
    assert_eq!(left_out.len(), 2);
}

#[test]
fn one_bad_label_is_left_out_alone_and_says_why_without_its_secret() {
    let labels = [
        ("traefik.http.middlewares.auth.basicauth.user", "me:secret"),
        ("traefik.http.routers.a.priority", "notanumber"),
        ("traefik.http.routers.a.rule", "Host(`a`)"),
        ("traefik.docker.network", "web"),
        ("traefik.consulcatalog.connect", "true"),
    ];
    let (addition, left_out) = Addition::read("web", labels, &[WEB]);
    assert!(addition.has_part(80, Transport::Tcp) && !addition.has_part(81, Transport::Tcp));
    let shown: Vec<_> = left_out.iter().map(|out| (out.label.as_str(), out.value.as_deref())).collect();
    assert_eq!(
        shown,
        [
            ("traefik.http.middlewares.auth.basicauth.user", None),
            ("traefik.http.routers.a.priority", Some("notanumber")),
            ("traefik.docker.network", None),
        ]
    );
    assert!(addition.part(&at(WEB), &Settings::default()).iter().any(|piece| piece.keys().len() == 2));
}

#[test]
fn servers_of_different_holders_have_different_numbers_that_stay() {
    assert_eq!(number(&["host", "host:web:80", "web"]), number(&["host", "host:web:80", "web"]));
    let all = [["a", "b", "c"], ["ab", "", "c"], ["a", "bc", ""], ["b", "a", "c"]].map(|parts| number(&parts));
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(number(&["host", "host:web:80", "web"]).len(), 20);
}

#[test]
fn the_document_is_that_of_traefiks_http_provider() {
    let labels = [
        ("traefik.http.routers.a.rule", "Host(`a`)"),
        ("traefik.http.routers.a.priority", "7"),
        ("traefik.http.routers.a.tls", "true"),
        ("traefik.http.routers.a.tls.domains[0].main", "a"),
        ("traefik.http.routers.a.tls.domains[0].sans", "b,c"),
        ("traefik.http.middlewares.z.compress", "true"),
        ("traefik.http.services.s.loadbalancer.sticky.cookie.httponly", "1"),
    ];
    let (addition, _) = Addition::read("web", labels, &[WEB]);
    let one = At { holder: ("one", "x"), ..at(WEB) };
    let two = At { holder: ("two", "x"), address: "10.0.0.2", ..at(WEB) };
    let pieces = [(5, one), (9, two)].into_iter().flat_map(|(since, at)| {
        let rank = Rank { since, owner: at.holder.0, id: "x" };
        addition.part(&at, &Settings::default()).into_iter().map(move |piece| (rank.clone(), piece))
    });
    let document = document(pieces).document;
    let servers = document["http"]["services"]["s"]["loadBalancer"]["servers"].as_array().unwrap();
    let mut urls: Vec<_> = servers.iter().map(|server| server["url"].as_str().unwrap()).collect();
    urls.sort_unstable();
    assert_eq!(urls, ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]);
    assert_eq!(document["http"]["services"]["s"]["loadBalancer"]["sticky"]["cookie"]["httpOnly"], true);
    assert_eq!(document["http"]["middlewares"]["z"]["compress"], serde_json::json!({}));
    let router = &document["http"]["routers"]["a"];
    assert_eq!(router["priority"], 7);
    assert_eq!(router["tls"], serde_json::json!({"domains": [{"main": "a", "sans": ["b", "c"]}]}));
}

#[test]
fn of_two_definitions_the_older_counts_in_any_order() {
    let define = |rule: &str| Addition::read("web", [("traefik.http.routers.a.rule", rule)], &[WEB]).0;
    let (old, new) = (define("Host(`old`)"), define("Host(`new`)"));
    let piece = |addition: &Addition, since, owner| {
        let pieces = addition.part(&At { holder: (owner, "x"), ..at(WEB) }, &Settings::default());
        pieces.into_iter().map(move |piece| (Rank { since, owner, id: "x" }, piece)).collect::<Vec<_>>()
    };
    let (old, new) = (piece(&old, 1, "z"), piece(&new, 2, "a"));
    for pieces in [[old.clone(), new.clone()].concat(), [new, old].concat()] {
        let Joined { document, overruled } = document(pieces);
        assert_eq!(overruled.iter().map(|over| over.object.as_str()).collect::<Vec<_>>(), ["http/routers/a"]);
        assert_eq!(document["http"]["routers"]["a"]["rule"], "Host(`old`)");
        assert_eq!(document["http"]["services"]["web"]["loadBalancer"]["servers"].as_array().unwrap().len(), 2);
    }
}

proptest! {
    #[test]
    fn whatever_labels_say_keys_are_keys_and_nothing_panics(
        labels in prop::collection::vec(
            ("(traefik|kop)\\.(http|tcp|udp)\\.(routers|services|middlewares)\\.[a-zA-Z0-9@/.\\[\\]]{0,20}\\.(rule|service|tls|loadbalancer\\.server\\.(port|url))|(?s).{0,30}", "(?s).{0,12}"),
            0..12,
        ),
        exposed: bool,
    ) {
        let (addition, left_out) =
            Addition::read("we b", labels.iter().map(|(label, value)| (label.as_str(), value.as_str())), &[WEB, DNS]);
        let settings = Settings { exposed, ..Settings::default() };
        for place in [WEB, DNS] {
            for piece in addition.part(&at(place), &settings) {
                for (key, _) in piece.keys() {
                    prop_assert!(is_key(&key), "{}", key);
                }
            }
        }
        for out in left_out {
            prop_assert!(!out.why.to_string().contains('\n'));
        }
    }
}
