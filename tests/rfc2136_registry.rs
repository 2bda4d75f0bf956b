//! The DNS registry against real servers: the contract of every registry, and what is DNS's own.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use conformance::batches::{Batches as _, open};
use conformance::{Subject, assert_held, entries, register, service, with};
use registrator::config::RegistryConfig;
use registrator::registry::{Registry, RegistryError};
use registrator::service::Service;
use testkit::dns_server::{DnsServer, KEY, Kind, Options, REVERSE, ZONE};
use testkit::proxy::Cutter;

const OWNER: &str = "this-host";

fn config(uri: &str, owner: &str, secret: Option<&str>) -> RegistryConfig {
    RegistryConfig {
        uri: uri.to_owned(),
        owner: owner.to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::new(
            secret.into_iter().map(|secret| (OsString::from("RFC2136_TSIG_SECRET"), OsString::from(secret))).collect(),
        ),
    }
}

fn opened(uri: &str, owner: &str, secret: Option<&str>) -> Arc<dyn Registry> {
    open(&config(uri, owner, secret)).expect("a registry").registry
}

fn uri(address: SocketAddr) -> String {
    format!("rfc2136://{address}/{ZONE}?tsig-keyname={}", KEY.0)
}

fn at(address: SocketAddr) -> Arc<dyn Registry> {
    opened(&uri(address), OWNER, Some(KEY.1))
}

fn theirs(address: SocketAddr) -> Arc<dyn Registry> {
    opened(&uri(address), "other-host", Some(KEY.1))
}

async fn prove(kind: Kind, options: Options) {
    let server = DnsServer::with(kind, options).await;
    let address = server.address();
    // DNS answers with at most 64 KiB; PowerDNS writes all records of a name for each.
    let names = if kind == Kind::PowerDns { 16 } else { 4 };
    let subject = Subject { ours: at(address), theirs: Some(theirs(address)), owner: OWNER };
    conformance::prove_spread(&subject, names).await;
    // No entry is left.
    if options.transfer {
        let key = format!("hmac-sha256:{}:{}", KEY.0, KEY.1);
        let left = server.dig(&["-y", &key, ZONE, "AXFR"]);
        let ours: Vec<_> = left.iter().filter(|line| line.contains("proto=") || line.contains("10.1.2.3")).collect();
        assert!(!left.is_empty() && ours.is_empty(), "{left:?}");
    }
}

async fn prove_outages(kind: Kind) {
    let mut server = DnsServer::start(kind).await;
    conformance::prove_outages(&mut server, at).await;
}

#[tokio::test]
async fn bind_keeps_the_contract() {
    prove(Kind::Bind, Options::default()).await;
}

#[tokio::test]
async fn knot_keeps_the_contract() {
    prove(Kind::Knot, Options::default()).await;
}

#[tokio::test]
async fn powerdns_keeps_the_contract() {
    prove(Kind::PowerDns, Options::default()).await;
}

#[tokio::test]
async fn without_transfers_the_contract_is_kept_by_asking() {
    prove(Kind::Bind, Options { transfer: false, ..Options::default() }).await;
}

#[tokio::test]
async fn bind_may_be_away_or_lose_its_data() {
    prove_outages(Kind::Bind).await;
}

#[tokio::test]
async fn knot_may_be_away_or_lose_its_data() {
    prove_outages(Kind::Knot).await;
}

#[tokio::test]
async fn powerdns_may_be_away_or_lose_its_data() {
    prove_outages(Kind::PowerDns).await;
}

fn refused(result: Result<(), RegistryError>) -> String {
    match result {
        Err(RegistryError::Refused { text, .. }) => text,
        other => panic!("{other:?} is no refusal"),
    }
}

async fn put(registry: &dyn Registry, service: Service) -> Result<(), RegistryError> {
    registry.register(&[Arc::new(service)]).await.remove(0)
}

const KINDS: [Kind; 3] = [Kind::Bind, Kind::Knot, Kind::PowerDns];

#[tokio::test]
async fn dig_finds_what_runs_on_several_hosts_and_each_host_removes_only_its_own() {
    for kind in KINDS {
        let server = DnsServer::start(kind).await;
        let uri = format!("{}&record-ttl=30&ptr-zone={REVERSE}", uri(server.address()));
        let [one, two] = ["web1", "web2"].map(|owner| opened(&uri, owner, Some(KEY.1)));
        let at = |id: &str, address: &str| with(service(id), |service| service.address = address.into());
        register(&*one, &[at("web1:a", "10.0.0.1"), at("b", "10.0.0.1")]).await;
        register(&*two, &[at("c", "10.0.0.2"), at("d", "2001:db8::4"), at("e", "host.example")]).await;
        let name = format!("web.{ZONE}");
        assert_eq!(server.dig(&[&name, "A"]), ["10.0.0.1", "10.0.0.2"], "{kind:?}");
        assert_eq!(server.dig(&[&name, "AAAA"]), ["2001:db8::4"]);
        assert_eq!(server.dig(&[&format!("b.{name}"), "A"]), ["10.0.0.1"]);
        let srv = server.dig(&[&format!("_web._tcp.{ZONE}"), "SRV"]);
        assert_eq!(srv.len(), 5, "{srv:?}");
        assert!(srv.contains(&format!("0 0 8000 b.{name}.")) && srv.contains(&"0 0 8000 host.example.".to_owned()));
        assert_eq!(server.dig(&["-x", "10.0.0.2"]), [format!("c.{name}.")]);
        let [claim] = &server.dig(&[&format!("b.{name}"), "TXT"])[..] else { panic!("no claim") };
        assert!(claim.starts_with("\"heritage=registrator\" \"owner=web1\" "), "{claim}");
        assert_held(&*one, &[at("web1:a", "10.0.0.1"), at("b", "10.0.0.1")]).await;

        // An address goes with the last that has it.
        let remove = async |registry: &dyn Registry, service: &Service| {
            let entry = entries(registry).await.remove(&registry.key(service)).expect("the entry");
            assert_eq!(registry.deregister(&[entry]).await, [Ok(())]);
        };
        remove(&*one, &at("b", "10.0.0.1")).await;
        assert_eq!(server.dig(&[&name, "A"]), ["10.0.0.1", "10.0.0.2"]);
        remove(&*one, &at("web1:a", "10.0.0.1")).await;
        assert_eq!(server.dig(&[&name, "A"]), ["10.0.0.2"]);
        assert_eq!(server.dig(&["-x", "10.0.0.1"]), Vec::<String>::new());
        // What another owner has stays, and is changed by nobody else.
        let taken = put(&*one, Service::clone(&at("c", "10.0.0.9"))).await;
        assert!(matches!(&taken, Err(RegistryError::Taken(text)) if text.contains("\"web2\"")), "{taken:?}");
        let theirs = entries(&*one).await.remove(&two.key(&at("c", "10.0.0.2"))).expect("the entry");
        assert_eq!(one.deregister(&[theirs]).await, [Ok(())]);
        assert_held(&*two, &[at("c", "10.0.0.2"), at("d", "2001:db8::4"), at("e", "host.example")]).await;
        // A service that moves takes its records along.
        register(&*two, &[at("c", "10.0.0.3")]).await;
        assert_eq!(server.dig(&[&name, "A"]), ["10.0.0.3"]);
        assert_eq!((server.dig(&["-x", "10.0.0.2"]), server.dig(&["-x", "10.0.0.3"]).len()), (Vec::new(), 1));
    }
}

#[tokio::test]
async fn what_a_crashed_run_left_is_found_by_the_next_with_or_without_transfers() {
    for (kind, transfer) in KINDS.into_iter().flat_map(|kind| [(kind, true), (kind, false)]) {
        let server = DnsServer::with(kind, Options { transfer, ..Options::default() }).await;
        let services: Vec<_> =
            (0..40).map(|n| with(service(&format!("host:s{n}:80")), |service| service.port = 8000 + n)).collect();
        register(&*at(server.address()), &services).await;
        register(&*theirs(server.address()), &[Arc::new(service("theirs"))]).await;
        // The next run.
        let next = at(server.address());
        let ours = next.own_entries(&[]).await.expect("our own");
        let ours: Vec<_> = ours.into_iter().filter(|entry| entry.owner.as_deref() == Some(OWNER)).collect();
        assert_eq!(ours.len(), services.len(), "{kind:?}, transfer: {transfer}");
        assert_eq!(next.deregister(&ours).await, vec![Ok(()); services.len()]);
        assert_eq!(entries(&*next).await.len(), 1, "{kind:?}, transfer: {transfer}");
    }
}

#[tokio::test]
async fn names_that_other_programs_use_get_no_record_of_ours() {
    for kind in KINDS {
        let server = DnsServer::start(kind).await;
        let (name, own) = (format!("www.{ZONE}"), format!("id.web.{ZONE}"));
        server.nsupdate(ZONE, &[&format!("update add {name} 60 A 192.0.2.1")]);
        server.nsupdate(ZONE, &[&format!("update add {own} 60 A 192.0.2.2")]);
        server.nsupdate(ZONE, &[&format!("update add _ldap._tcp.{ZONE} 60 SRV 0 0 389 dc.example.")]);
        let registry = at(server.address());
        let named = |name: &str| {
            let name = name.to_owned();
            with(service(&format!("x-{name}")), |service| service.name = name)
        };
        let results = registry.register(&[named("www"), Arc::new(service("id")), named("ldap"), named("api")]).await;
        for result in &results[..3] {
            let text = refused(result.clone());
            assert!(
                text.contains("another program has records at") && text.contains("SERVICE_NAME"),
                "{kind:?}: {text}"
            );
        }
        assert_eq!(results[3], Ok(()), "{kind:?}");
        assert_eq!(server.dig(&[&name, "A"]), ["192.0.2.1"]);
        assert_eq!(server.dig(&[&own, "A"]), ["192.0.2.2"]);
        assert_eq!(server.dig(&[&format!("_ldap._tcp.{ZONE}"), "SRV"]), ["0 0 389 dc.example."]);
        // Other records at a name of ours stay when it goes.
        server.nsupdate(ZONE, &[&format!("update add api.{ZONE} 60 TXT \"theirs\"")]);
        let ours: Vec<_> = entries(&*registry).await.into_values().collect();
        assert_eq!(registry.deregister(&ours).await, [Ok(())]);
        assert!(server.dig(&[&format!("api.{ZONE}"), "TXT"]).contains(&"\"theirs\"".to_owned()), "{kind:?}");
        // It is free again for whoever deletes what blocked it.
        server.nsupdate(ZONE, &[&format!("update delete {name} A")]);
        register(&*registry, &[named("www")]).await;
    }
}

#[tokio::test]
async fn wrong_credentials_are_one_line_each() {
    let other = "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItMTI=";
    for kind in KINDS {
        let server = DnsServer::start(kind).await;
        let address = server.address();
        let wrong = opened(&uri(address), OWNER, Some(other));
        conformance::prove_refused(&*wrong, other).await;
        let text = refused(put(&*wrong, service("a")).await);
        assert!(text.contains("registrator-key"), "{kind:?}: {text}");
        let unknown = opened(&format!("rfc2136://{address}/{ZONE}?tsig-keyname=nobody"), OWNER, Some(KEY.1));
        let text = refused(put(&*unknown, service("a")).await);
        assert!(text.contains("nobody"), "{kind:?}: {text}");
        let unsigned = opened(&format!("rfc2136://{address}/{ZONE}"), OWNER, None);
        let text = refused(put(&*unsigned, service("a")).await);
        assert!(text.contains("name one with tsig-keyname="), "{kind:?}: {text}");
        assert!(entries(&*at(address)).await.is_empty());
    }
}

#[tokio::test]
async fn a_zone_that_is_not_served_and_updates_that_are_refused_are_said() {
    for kind in KINDS {
        let server = DnsServer::with(kind, Options { signed: false, updates: false, ..Options::default() }).await;
        let address = server.address();
        for zone in ["elsewhere.example", &format!("below.{ZONE}"), "example"] {
            let registry = opened(&format!("rfc2136://{address}/{zone}"), OWNER, None);
            let text = refused(registry.ping().await);
            assert!(text.contains(&format!("does not serve the zone {zone};")), "{kind:?}: {text}");
            refused(registry.entries().await.map(drop));
        }
        let registry = opened(&format!("rfc2136://{address}/{ZONE}"), OWNER, None);
        assert_eq!(registry.ping().await, Ok(()));
        let text = refused(put(&*registry, service("a")).await);
        assert!(text.contains(ZONE) && text.contains("; "), "{kind:?}: {text}");
    }
}

#[tokio::test]
async fn a_server_that_takes_unsigned_updates_needs_no_key() {
    for kind in KINDS {
        let server = DnsServer::with(kind, Options { signed: false, ..Options::default() }).await;
        let registry = opened(&format!("rfc2136://{}/{ZONE}", server.address()), OWNER, None);
        let services = [Arc::new(service("a"))];
        register(&*registry, &services).await;
        assert_held(&*registry, &services).await;
        assert_eq!(server.dig(&[&format!("_registrator.{ZONE}"), "TXT"]), [format!("\"owner={OWNER}\"")]);
        let ours: Vec<_> = entries(&*registry).await.into_values().collect();
        assert_eq!(registry.deregister(&ours).await, [Ok(())]);
        // Nothing of ours is left.
        let left = server.dig(&[ZONE, "AXFR"]);
        let ours = |line: &&String| ["heritage", "owner=", "10.1.2.3", "8000"].iter().any(|word| line.contains(word));
        assert!(!left.is_empty() && !left.iter().any(|line| ours(&line)), "{kind:?}: {left:?}");
    }
}

#[tokio::test]
async fn more_instances_than_dns_can_answer_with_are_refused_and_the_zone_stays_whole() {
    let server = DnsServer::start(Kind::Knot).await;
    let registry = at(server.address());
    let services: Vec<_> =
        (0..1200).map(|n| with(service(&format!("host:web-{n}:80")), |service| service.port = 10_000 + n)).collect();
    let results = registry.register(&services).await;
    let held: Vec<_> = services.iter().zip(&results).filter(|(_, result)| result.is_ok()).collect();
    assert!((700..1000).contains(&held.len()), "{} are taken", held.len());
    let text = refused(results.iter().find(|result| result.is_err()).cloned().expect("a refusal"));
    assert!(text.contains("64 KiB") && text.contains("SERVICE_NAME"), "{text}");
    let held: Vec<_> = held.into_iter().map(|(service, _)| Arc::clone(service)).collect();
    assert_held(&*registry, &held).await;
    assert_eq!(server.dig(&[&format!("_web._tcp.{ZONE}"), "SRV"]).len(), held.len());
}

#[tokio::test]
async fn of_several_servers_the_next_one_is_asked_when_one_is_away() {
    // Two ways to one zone, as two primaries with one database are.
    let server = DnsServer::start(Kind::Knot).await;
    let mut way = Cutter::tcp(server.address()).await;
    let several = format!("rfc2136://{},{}/{ZONE}?tsig-keyname={}", way.address(), server.address(), KEY.0);
    let registry = opened(&several, OWNER, Some(KEY.1));
    let services: Vec<_> =
        (0..20).map(|n| with(service(&format!("host:s{n}:80")), |service| service.port = 8000 + n)).collect();
    register(&*registry, &services[..10]).await;
    way.refuse().await;
    register(&*registry, &services).await;
    assert_held(&*registry, &services).await;
    way.restore().await;
    // One that accepts connections and answers nothing is left, too.
    let hung = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let hung = hung.local_addr().map(|address| (address, hung)).expect("its address");
    let several = format!("rfc2136://{},{}/{ZONE}?tsig-keyname={}", hung.0, server.address(), KEY.0);
    let registry = opened(&several, OWNER, Some(KEY.1));
    assert_held(&*registry, &services).await;
    let nobody = opened(&format!("rfc2136://127.0.0.1:1,127.0.0.1:2/{ZONE}"), OWNER, None);
    let said = nobody.ping().await.expect_err("nobody is there").to_string();
    let words = "none of the DNS servers 127.0.0.1:1,127.0.0.1:2 answers; the last one: Connection refused";
    assert!(said.starts_with(words), "{said}");
}

#[tokio::test]
async fn what_is_no_dns_server_is_said() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        }
    });
    let registry = opened(&format!("rfc2136://{address}/{ZONE}"), OWNER, None);
    let said = registry.ping().await.expect_err("it is none").to_string();
    assert!(said.contains("no DNS server") || said.contains("connection was lost"), "{said}");
    let nobody = opened(&format!("rfc2136://127.0.0.1:1/{ZONE}"), OWNER, None).ping().await;
    let said = nobody.expect_err("there is none").to_string();
    assert!(said.starts_with("DNS server at 127.0.0.1:1: Connection refused"), "{said}");
}

#[tokio::test]
async fn a_secret_in_a_file_is_followed_while_it_changes() {
    let server = DnsServer::start(Kind::Knot).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    let uri = format!("{}&tsig-secret-file={}", uri(server.address()), path.display());
    let registry = opened(&uri, OWNER, None);
    let said = put(&*registry, service("a")).await.expect_err("there is no file").to_string();
    assert!(said.contains("secret cannot be read") && said.contains("in base64"), "{said}");
    std::fs::write(&path, format!("{}\n", KEY.1)).expect("written");
    let change = tokio::time::timeout(Duration::from_secs(20), registry.changed()).await;
    assert_eq!(change.expect("it is noticed"), registrator::registry::Change::Credentials);
    register(&*registry, &[Arc::new(service("a"))]).await;
}

#[tokio::test]
async fn changes_of_others_are_told_of_and_our_own_are_not() {
    let server = DnsServer::start(Kind::Bind).await;
    let registry = at(server.address());
    let told = async |seconds| tokio::time::timeout(Duration::from_secs(seconds), registry.changed()).await.is_ok();
    while told(8).await {}
    register(&*registry, &[Arc::new(service("a"))]).await;
    assert!(!told(8).await, "our own update is told of");
    server.nsupdate(ZONE, &[&format!("update delete web.{ZONE} A")]);
    assert!(told(20).await, "nobody told of it");
    let key = registry.key(&service("a"));
    assert_ne!(entries(&*registry).await[&key].fingerprint, registry.fingerprint(&service("a")));
    register(&*registry, &[Arc::new(service("a"))]).await;
    assert_held(&*registry, &[Arc::new(service("a"))]).await;
}
