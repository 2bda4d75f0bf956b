//! A provider of external-dns as a registry, on a stand-in made from the contract: what every registry promises, and what is
//! the contract's own.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use conformance::batches::{Batches as _, open};
use conformance::{Subject, assert_held, at_port, entries, register, service, with};
use futures_util::future::join_all;
use registrator::config::RegistryConfig;
use registrator::registry::{Cause, Registry, RegistryError};
use registrator::service::Service;
use testkit::wait::becomes;
use testkit::webhook::{Options, Webhook, ZONE};

const OWNER: &str = "this-host";
/// How long anything may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn of(owner: &str, uri: &str) -> Arc<dyn Registry> {
    let config = RegistryConfig {
        uri: uri.to_owned(),
        owner: owner.to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    };
    open(&config).expect("a registry").registry
}

fn opened(uri: &str) -> Arc<dyn Registry> {
    of(OWNER, uri)
}

fn at(id: &str, address: &str) -> Arc<Service> {
    with(service(id), |service| service.address = address.into())
}

async fn put(registry: &dyn Registry, service: Arc<Service>) -> Result<(), RegistryError> {
    registry.register(&[service]).await.remove(0)
}

fn refused(result: Result<(), RegistryError>) -> (Cause, String) {
    match result {
        Err(RegistryError::Refused { cause, text }) => (cause, text),
        other => panic!("{other:?} is no refusal"),
    }
}

async fn prove(options: Options) {
    let server = Webhook::with(options).await;
    let uri = server.uri();
    // Each change of a shared set has the whole set, so a thousand instances have some names.
    let subject = Subject { ours: opened(&uri), theirs: Some(of("other-host", &uri)), owner: OWNER };
    conformance::prove_spread(&subject, 16).await;
    assert_eq!(server.lines(), Vec::<String>::new(), "something of ours is left");
}

#[tokio::test]
async fn it_keeps_the_contract_of_every_registry() {
    prove(Options::default()).await;
}

#[tokio::test]
async fn it_keeps_the_contract_with_a_provider_that_spells_otherwise() {
    prove(Options { is_odd: true, least_ttl: 300, ..Options::default() }).await;
}

#[tokio::test]
async fn it_keeps_the_contract_with_a_provider_that_drops_srv() {
    prove(Options { drops: Some("SRV"), ..Options::default() }).await;
}

#[tokio::test]
async fn it_keeps_the_contract_whatever_becomes_of_the_provider() {
    let mut server = Webhook::start().await;
    let open = |address: SocketAddr| opened(&format!("webhook+http://{address}/{ZONE}?interval=1s"));
    conformance::prove_outages(&mut server, open).await;
}

#[tokio::test]
async fn it_keeps_the_contract_when_it_is_refused() {
    let server = Webhook::with(Options { user: Some(("me", "sesame")), ..Options::default() }).await;
    let uri = |password: &str| format!("webhook+http://me:{password}@{}/{ZONE}", server.address());
    let wrong = opened(&uri("wrong-sesame"));
    conformance::prove_refused(&*wrong, "wrong-sesame").await;
    let (cause, text) = refused(wrong.ping().await);
    assert!(cause == Cause::Rights && text.contains("the user \"me\" (401): give user:password"), "{text}");
    let right = opened(&uri("sesame"));
    register(&*right, &[at("a", "10.0.0.1")]).await;
    assert_held(&*right, &[at("a", "10.0.0.1")]).await;
}

#[tokio::test]
async fn several_hosts_share_a_name_and_each_removes_only_its_own() {
    let server = Webhook::start().await;
    let [one, two] = ["web1", "web2"].map(|owner| of(owner, &server.uri()));
    register(&*one, &[at("a", "10.0.0.1"), at("b", "10.0.0.1")]).await;
    register(&*two, &[at("c", "10.0.0.2"), at("d", "2001:db8::4"), at("e", "host.example")]).await;
    let name = format!("web.{ZONE}");
    assert_eq!(server.targets(&name, "A"), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(server.targets(&name, "AAAA"), ["2001:db8::4"]);
    assert_eq!(server.targets(&format!("b.{name}"), "A"), ["10.0.0.1"]);
    let srv = server.targets(&format!("_web._tcp.{ZONE}"), "SRV");
    assert_eq!(srv.len(), 5, "{srv:?}");
    assert!(srv.contains(&format!("0 0 8000 b.{name}.")) && srv.contains(&"0 0 8000 host.example.".to_owned()));
    let [claim] = &server.targets(&format!("a-b.{name}"), "TXT")[..] else { panic!("no claim") };
    assert!(
        claim.starts_with("\"heritage=external-dns,external-dns/owner=web1,external-dns/resource=registrator/"),
        "{claim}"
    );
    assert_held(&*one, &[at("a", "10.0.0.1"), at("b", "10.0.0.1")]).await;

    // An address goes with the last that has it.
    let remove = async |registry: &dyn Registry, service: &Service| {
        let entry = entries(registry).await.remove(&registry.key(service)).expect("the entry");
        assert_eq!(registry.deregister(&[entry]).await, [Ok(())]);
    };
    remove(&*one, &at("b", "10.0.0.1")).await;
    assert_eq!(server.targets(&name, "A"), ["10.0.0.1", "10.0.0.2"]);
    remove(&*one, &at("a", "10.0.0.1")).await;
    assert_eq!(server.targets(&name, "A"), ["10.0.0.2"]);
    // What another owner has stays, and is changed by nobody else.
    let taken = put(&*one, at("c", "10.0.0.9")).await;
    assert!(matches!(&taken, Err(RegistryError::Taken(text)) if text.contains("\"web2\"")), "{taken:?}");
    let theirs = entries(&*one).await.remove(&two.key(&at("c", "10.0.0.2"))).expect("the entry");
    assert_eq!(one.deregister(&[theirs]).await, [Ok(())]);
    assert_held(&*two, &[at("c", "10.0.0.2"), at("d", "2001:db8::4"), at("e", "host.example")]).await;
    // A service that moves takes its records along.
    register(&*two, &[at("c", "10.0.0.3")]).await;
    assert_eq!(server.targets(&name, "A"), ["10.0.0.3"]);
    register(&*two, &[at("c", "2001:db8::5")]).await;
    assert_eq!((server.targets(&name, "A"), server.targets(&name, "AAAA").len()), (Vec::new(), 2));
    assert_held(&*two, &[at("c", "2001:db8::5")]).await;
}

#[tokio::test]
async fn hosts_that_write_one_name_at_the_same_moment_all_stand_in_it() {
    let server = Webhook::start().await;
    let hosts: Vec<_> = (1..=6).map(|n| (of(&format!("web{n}"), &server.uri()), format!("10.0.0.{n}"))).collect();
    for round in 0..5 {
        let services: Vec<_> = hosts.iter().map(|(_, address)| at(&format!("{round}-{address}"), address)).collect();
        // Each writes again what it finds not to be as it was meant, as the reconciler does.
        let write = async |(registry, _): &(Arc<dyn Registry>, String), service: &Arc<Service>| {
            let is_held = async || {
                let held = registry.entries().await.expect("the entries");
                let canonical = registry.canonical(service);
                held.iter().any(|entry| entry.key == canonical.key && entry.fingerprint == canonical.fingerprint)
            };
            becomes(true, SOON, async || {
                let _ = put(&**registry, Arc::clone(service)).await;
                is_held().await
            })
            .await;
        };
        join_all(hosts.iter().zip(&services).map(|(host, service)| write(host, service))).await;
        for ((registry, _), service) in hosts.iter().zip(&services) {
            becomes(true, SOON, async || {
                let _ = put(&**registry, Arc::clone(service)).await;
                server.targets(&format!("web.{ZONE}"), "A").len() == hosts.len()
            })
            .await;
        }
        let srv = server.targets(&format!("_web._tcp.{ZONE}"), "SRV");
        assert_eq!(srv.len(), hosts.len() * (round + 1), "{srv:?}");
    }
}

#[tokio::test]
async fn what_another_host_wrote_over_in_between_is_written_again() {
    let server = Webhook::start().await;
    let [one, two] = ["web1", "web2"].map(|owner| of(owner, &server.uri()));
    register(&*one, &[at("a", "10.0.0.1")]).await;
    register(&*two, &[at("b", "10.0.0.2")]).await;
    // Between our reading and our change, the other writes its entry, and the set as it knew it.
    let [claim] = &server.targets(&format!("a-b.web.{ZONE}"), "TXT")[..] else { panic!("no claim") };
    let (own, txt, shared) = (format!("z.web.{ZONE}"), format!("a-z.web.{ZONE}"), format!("web.{ZONE}"));
    let claim = claim.replace("10.0.0.2", "10.0.0.9");
    server.put_meanwhile(&[
        (&own, "A", &["10.0.0.9"]),
        (&txt, "TXT", &[&claim]),
        (&shared, "A", &["10.0.0.1", "10.0.0.2", "10.0.0.9"]),
    ]);
    register(&*one, &[at("c", "10.0.0.3")]).await;
    assert_eq!(server.targets(&shared, "A"), ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9"]);
    assert_held(&*one, &[at("a", "10.0.0.1"), at("c", "10.0.0.3")]).await;
    assert_held(&*two, &[at("b", "10.0.0.2")]).await;
}

#[tokio::test]
async fn what_other_programs_wrote_is_never_touched() {
    let server = Webhook::start().await;
    let (www, own) = (format!("www.{ZONE}"), format!("id.web.{ZONE}"));
    let external = "\"heritage=external-dns,external-dns/owner=default,external-dns/resource=ingress/shop/api\"";
    server.put(&www, "A", &["192.0.2.1"]);
    server.put(&own, "A", &["192.0.2.2"]);
    server.put(&format!("_ldap._tcp.{ZONE}"), "SRV", &["0 0 389 dc.example."]);
    server.put(&format!("api.{ZONE}"), "A", &["192.0.2.3"]);
    server.put(&format!("a-api.{ZONE}"), "TXT", &[external]);
    server.put(&format!("mail.{ZONE}"), "MX", &["10 mx.example"]);
    server.put(&format!("note.{ZONE}"), "TXT", &["\"v=spf1 -all\""]);
    let before = server.lines();
    let registry = opened(&server.uri());
    let named = |name: &str| {
        let name = name.to_owned();
        with(service(&format!("x-{name}")), |service| service.name = name)
    };
    let results =
        registry.register(&[named("www"), Arc::new(service("id")), named("ldap"), named("api"), named("mail")]).await;
    for result in &results[..4] {
        let (cause, text) = refused(result.clone());
        assert!(cause == Cause::Service && text.contains("SERVICE_NAME"), "{text}");
    }
    assert!(refused(results[3].clone()).1.contains("the owner \"default\" of external-dns"), "{results:?}");
    assert_eq!(results[4], Ok(()));
    let held: Vec<_> = entries(&*registry).await.into_values().collect();
    assert_eq!(registry.deregister(&held).await, [Ok(())]);
    assert_eq!(server.lines(), before);
    // It is free again for whoever deletes what blocked it.
    server.delete(&www, "A");
    register(&*registry, &[named("www")]).await;
}

#[tokio::test]
async fn a_provider_that_stops_halfway_is_tried_again_and_nothing_is_left_or_lost() {
    for stops_after in 0..6 {
        let server = Webhook::start().await;
        let registry = opened(&server.uri());
        server.stop_after(stops_after);
        let (cause, text) = refused(put(&*registry, at("a", "10.0.0.1")).await);
        assert_eq!(cause, Cause::Server, "{text}");
        assert!(text.contains("500 Internal Server Error: the upstream is down; its log says why"), "{text}");
        // The reconciler tries it again.
        register(&*registry, &[at("a", "10.0.0.1")]).await;
        assert_held(&*registry, &[at("a", "10.0.0.1")]).await;
        let held: Vec<_> = entries(&*registry).await.into_values().collect();
        server.stop_after(stops_after);
        assert_eq!(refused(registry.deregister(&held).await.remove(0)).0, Cause::Server);
        // Whatever of it is still known as ours is found and removed.
        let left: Vec<_> = entries(&*registry).await.into_values().collect();
        let again = if left.is_empty() { held } else { left };
        assert_eq!(registry.deregister(&again).await, [Ok(())]);
        let left: Vec<_> = server.lines().into_iter().filter(|line| !line.contains("external-dns/")).collect();
        assert!(left.is_empty(), "after {stops_after}: {left:?}");
    }
}

#[tokio::test]
async fn one_bad_record_does_not_stop_its_neighbours() {
    let server = Webhook::with(Options { refuses: Some("AAAA"), ..Options::default() }).await;
    let registry = opened(&server.uri());
    let services: Vec<_> = (0..60)
        .map(|n| at(&format!("s{n}"), &if n % 20 == 7 { format!("2001:db8::{n}") } else { format!("10.0.0.{n}") }))
        .collect();
    let results = registry.register(&services).await;
    for (n, result) in results.iter().enumerate() {
        match n % 20 {
            7 => assert!(refused(result.clone()).1.contains("AAAA records are not supported"), "{n}"),
            _ => assert_eq!(*result, Ok(()), "{n}"),
        }
    }
    assert_eq!(server.targets(&format!("web.{ZONE}"), "A").len(), 57);
}

#[tokio::test]
async fn what_a_provider_cannot_hold_is_said_in_one_line() {
    let server = Webhook::with(Options { refuses: Some("SRV"), ..Options::default() }).await;
    let (_, text) = refused(put(&*opened(&server.uri()), at("a", "10.0.0.1")).await);
    assert!(text.contains("SRV records are not supported") && text.ends_with("add srv=off to the URI"), "{text}");
    let without = opened(&format!("{}&srv=off", server.uri()));
    register(&*without, &[at("a", "10.0.0.1")]).await;
    assert_held(&*without, &[at("a", "10.0.0.1")]).await;
    assert_eq!(server.targets(&format!("web.{ZONE}"), "A"), ["10.0.0.1"]);

    let server = Webhook::with(Options { drops: Some("AAAA"), ..Options::default() }).await;
    let registry = opened(&server.uri());
    let results = registry.register(&[at("a", "2001:db8::1"), at("b", "10.0.0.1")]).await;
    let (cause, text) = refused(results[0].clone());
    assert!(cause == Cause::Service && text.contains("does not take the AAAA record a.web."), "{text}");
    assert_eq!(results[1], Ok(()));

    let server = Webhook::with(Options { forgets: Some("TXT"), ..Options::default() }).await;
    let (cause, text) = refused(put(&*opened(&server.uri()), at("a", "10.0.0.1")).await);
    assert!(cause == Cause::Server && text.contains("use a provider that keeps TXT records"), "{text}");
}

#[tokio::test]
async fn a_provider_that_is_away_is_no_refusal_and_what_it_refuses_is() {
    let server = Webhook::start().await;
    let registry = opened(&server.uri());
    register(&*registry, &[at("a", "10.0.0.1")]).await;
    for (status, reads, writes) in [
        (500, "away", "away"),
        (502, "away", "away"),
        (503, "away", "away"),
        (429, "away", "away"),
        (401, "Rights", "Rights"),
        (403, "Rights", "Rights"),
        (404, "away", "away"),
    ] {
        server.set_status(Some(status));
        let about = |result: Result<(), RegistryError>| match result {
            Err(RegistryError::Unreachable(_)) => "away".to_owned(),
            Err(RegistryError::Refused { cause, .. }) => format!("{cause:?}"),
            other => format!("{other:?}"),
        };
        assert_eq!(about(registry.entries().await.map(drop)), reads, "{status}");
        assert_eq!(about(put(&*registry, at("b", "10.0.0.2")).await), writes, "{status}");
    }
    server.set_status(None);
    assert_held(&*registry, &[at("a", "10.0.0.1")]).await;
}

#[tokio::test]
async fn a_wrong_zone_and_a_server_of_another_kind_are_each_one_line() {
    let server = Webhook::start().await;
    let other = opened(&format!("webhook+http://{}/elsewhere.example", server.address()));
    let (_, text) = refused(other.ping().await);
    assert!(text.contains(&format!("serves {ZONE}, and not elsewhere.example; correct the zone in the URI")), "{text}");
    assert_eq!(refused(put(&*other, at("a", "10.0.0.1")).await).1, text);
    let eureka = testkit::eureka::Eureka::start().await;
    let registry = opened(&format!("webhook+http://{}/{ZONE}", eureka.address()));
    let text = registry.ping().await.expect_err("it is none").to_string();
    assert!(
        text.contains("is no webhook provider of external-dns (404 Not Found); check the host and the port"),
        "{text}"
    );
    let nobody = opened(&format!("webhook+http://127.0.0.1:1/{ZONE}")).ping().await.expect_err("nobody").to_string();
    assert!(nobody.starts_with("webhook provider at http://127.0.0.1:1: Connection refused"), "{nobody}");
}

#[tokio::test]
async fn what_a_crashed_run_left_is_found_by_the_next() {
    let server = Webhook::start().await;
    let services: Vec<_> = (0..40).map(|n| Arc::new(at_port(&format!("host:s{n}:80"), 8000 + n))).collect();
    register(&*opened(&server.uri()), &services).await;
    register(&*of("other-host", &server.uri()), &[Arc::new(service("theirs"))]).await;
    let next = opened(&server.uri());
    assert_held(&*next, &services).await;
    let ours: Vec<_> =
        entries(&*next).await.into_values().filter(|entry| entry.owner.as_deref() == Some(OWNER)).collect();
    assert_eq!(ours.len(), services.len());
    assert_eq!(next.deregister(&ours).await, vec![Ok(()); services.len()]);
    assert_eq!(entries(&*next).await.len(), 1);
}

#[tokio::test]
async fn what_is_right_is_not_written_and_changes_of_others_are_told_of() {
    let server = Webhook::start().await;
    let registry = opened(&server.uri());
    let told = async |seconds| tokio::time::timeout(Duration::from_secs(seconds), registry.changed()).await.is_ok();
    register(&*registry, &[at("a", "10.0.0.1")]).await;
    let _ = server.take_seen();
    register(&*registry, &[at("a", "10.0.0.1")]).await;
    let written = server.take_seen().iter().filter(|seen| seen.method == "POST" && seen.path == "/records").count();
    assert_eq!(written, 0);
    assert!(!told(4).await, "our own change is told of");
    for (name, kind) in [(format!("web.{ZONE}"), "A"), (format!("a-web.{ZONE}"), "TXT"), (format!("a.web.{ZONE}"), "A")]
    {
        server.delete(&name, kind);
        assert!(told(20).await, "{name}: nobody told of it");
        let key = registry.key(&at("a", "10.0.0.1"));
        assert_ne!(entries(&*registry).await[&key].fingerprint, registry.fingerprint(&at("a", "10.0.0.1")), "{name}");
        if kind == "TXT" {
            // Without its mark, the set is another program's; it goes back to us when somebody removes it.
            let (_, text) = refused(put(&*registry, at("a", "10.0.0.1")).await);
            assert!(text.contains("has a record without a TXT record"), "{text}");
            server.delete(&format!("web.{ZONE}"), "A");
        }
        register(&*registry, &[at("a", "10.0.0.1")]).await;
        assert_held(&*registry, &[at("a", "10.0.0.1")]).await;
    }
}

#[tokio::test]
async fn a_password_in_a_file_is_followed_while_it_changes() {
    let server = Webhook::with(Options { user: Some(("me", "sesame")), ..Options::default() }).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("auth");
    std::fs::write(&path, "me:closed\n").expect("written");
    let config = RegistryConfig {
        uri: server.uri(),
        owner: OWNER.to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::new([("WEBHOOK_AUTH_FILE".into(), path.clone().into())].into_iter().collect()),
    };
    let registry = open(&config).expect("a registry").registry;
    assert_eq!(refused(put(&*registry, at("a", "10.0.0.1")).await).0, Cause::Rights);
    std::fs::write(&path, "me:sesame\n").expect("written");
    let change = tokio::time::timeout(SOON, registry.changed()).await;
    assert_eq!(change.expect("it is noticed"), registrator::registry::Change::Credentials);
    register(&*registry, &[at("a", "10.0.0.1")]).await;
}
