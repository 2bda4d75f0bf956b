//! `check URI` against real servers: what it proves, what it says when something is wrong, and that it leaves nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::OsString;
use std::sync::Arc;

use registrator::ask::check::{Name, Outcome, Report, check};
use registrator::config::RegistryConfig;
use testkit::certificates::Certificates;
use testkit::consul::{self, Consul};
use testkit::discoverd::Discoverd;
use testkit::dns_server::{DnsServer, KEY, Kind, ZONE};
use testkit::etcd::{self, EtcdServer};
use testkit::eureka::{self, Eureka};
use testkit::proxy::{HttpRecorder, Mode};
use testkit::redis::Redis;
use testkit::webhook::{self, Webhook};

/// What a report says of each step, in order.
type Said = Vec<(Name, Outcome)>;

async fn checked(uri: &str, environment: &[(&str, &str)]) -> Report {
    with_ttl(uri, environment, None).await
}

async fn with_ttl(uri: &str, environment: &[(&str, &str)], ttl: Option<u64>) -> Report {
    let report = check(&RegistryConfig {
        uri: uri.to_owned(),
        owner: "this-host".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: ttl.map(std::time::Duration::from_secs),
        ttl_refresh: None,
        environment: Arc::new(
            environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect(),
        ),
    })
    .await;
    // What a person reads is one line for each step, and holds no secret.
    let shown = report.to_string();
    assert!(shown.starts_with("check "), "{shown}");
    for step in &report.steps {
        assert!(!step.text.is_empty() && !step.text.contains('\n'), "{step:?}");
    }
    assert!(!shown.contains("sesame") && !serde_json::to_string(&report).unwrap().contains("sesame"), "{shown}");
    report
}

fn said(report: &Report) -> Said {
    report.steps.iter().map(|step| (step.step, step.result)).collect()
}

/// All steps of a registry without TLS went well.
fn assert_well(report: &Report) {
    use Outcome::{NotApplicable, Ok};
    let expected = [
        (Name::Reach, Ok),
        (Name::Read, Ok),
        (Name::Write, Ok),
        (Name::Delete, Ok),
        (Name::Certificates, NotApplicable),
        (Name::Clock, Ok),
    ];
    assert_eq!(said(report), expected, "{report}");
    assert_eq!(report.exit_code(), 0);
    let scratch = report.scratch.as_deref().unwrap();
    let first = report.to_string().lines().next().unwrap().to_owned();
    assert!(first.contains(scratch) && first.contains("removes it again"), "{first}");
}

fn text(report: &Report, step: Name) -> String {
    report.steps.iter().find(|said| said.step == step).unwrap().text.clone()
}

/// This step failed, for a reason with these words; the exit code says so.
fn assert_failed(report: &Report, step: Name, words: &[&str]) {
    let found = report.steps.iter().find(|said| said.step == step).unwrap();
    assert_eq!(found.result, Outcome::Failed, "{report}");
    for word in words {
        assert!(found.text.contains(word), "{word}: {report}");
    }
    assert_eq!(report.exit_code(), 1);
}

fn rights(report: &Report) -> &str {
    &report.rights.as_ref().unwrap().text
}

#[tokio::test]
async fn consul_is_named_and_holds_nothing_afterwards() {
    let consul = Consul::start().await;
    let report = checked(&consul.uri(), &[]).await;
    assert_well(&report);
    let who = text(&report, Name::Reach);
    assert!(who.starts_with("Consul 1.") && who.contains(&consul.node()), "{who}");
    let report = with_ttl(&format!("{}?policy=upsert-only", consul.uri()), &[], Some(30)).await;
    assert_well(&report);
    assert!(consul.services().await.is_empty());
    assert_eq!(consul.checks().await.keys().filter(|id| id.contains("registrator")).count(), 0);
}

#[tokio::test]
async fn the_rights_that_are_printed_for_consul_are_enough_and_fewer_are_named() {
    let consul = Consul::with(consul::Options { acl: true, ..consul::Options::default() }).await;
    let all = consul.token(r#"service_prefix "" { policy = "write" } agent_prefix "" { policy = "read" }"#).await;
    let report = checked(&consul.uri(), &[("CONSUL_HTTP_TOKEN", &all)]).await;
    let least = consul.token(rights(&report)).await;
    assert!(rights(&report).contains(&consul.node()), "{report}");
    assert_well(&checked(&consul.uri(), &[("CONSUL_HTTP_TOKEN", &least)]).await);

    let reader = consul.token(r#"service_prefix "" { policy = "read" }"#).await;
    let report = checked(&consul.uri(), &[("CONSUL_HTTP_TOKEN", &reader)]).await;
    assert_failed(&report, Name::Write, &["service:write", "rights below"]);
    assert_eq!(said(&report)[3], (Name::Delete, Outcome::Skipped), "{report}");
    assert!(text(&report, Name::Reach).contains("agent:read"), "{report}");
    assert!(rights(&report).contains("service_prefix"));

    let report = checked(&consul.uri(), &[("CONSUL_HTTP_TOKEN", "5e5a0e00-dead-beef-0000-00000sesame0")]).await;
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(consul.services().await.is_empty());
}

#[tokio::test]
async fn the_rights_that_are_printed_for_consuls_key_value_store_are_enough() {
    let consul = Consul::with(consul::Options { acl: true, ..consul::Options::default() }).await;
    let uri = format!("consulkv://{}/a/b", consul.address());
    let none = consul.token(r#"key_prefix "other/" { policy = "write" }"#).await;
    for ttl in [None, Some(30)] {
        let report = with_ttl(&uri, &[("CONSUL_HTTP_TOKEN", &none)], ttl).await;
        assert_failed(&report, Name::Write, &["rights below"]);
        let least = consul.token(rights(&report)).await;
        assert_well(&with_ttl(&uri, &[("CONSUL_HTTP_TOKEN", &least)], ttl).await);
    }
    for prefix in ["a/", "_registrator/"] {
        let left = consul.keys(prefix).await.unwrap_or_default();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn tls_says_the_days_that_are_left_and_which_authority_is_not_trusted() {
    let consul = Consul::with(consul::Options { tls: true, ..consul::Options::default() }).await;
    let uri = format!("consul-tls://127.0.0.1:{}", consul.tls_address().port());
    let certificates = consul.certificates();
    let file = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (ca, certificate, key) =
        (file(&certificates.ca), file(&certificates.client.certificate), file(&certificates.client.key));
    let identity = [("CONSUL_CLIENT_CERT", certificate.as_str()), ("CONSUL_CLIENT_KEY", key.as_str())];
    let report = checked(&uri, &[identity.as_slice(), &[("CONSUL_CACERT", ca.as_str())]].concat()).await;
    assert_eq!(report.exit_code(), 0, "{report}");
    let days: Vec<_> = report.steps.iter().filter(|step| step.step == Name::Certificates).collect();
    assert_eq!(days.len(), 3, "the server's, ours and the authority's: {report}");
    assert!(days.iter().all(|step| step.text.contains("replace it soon")), "{report}");

    let folder = tempfile::tempdir().unwrap();
    let other = file(&Certificates::make(folder.path()).ca);
    let report = checked(&uri, &[identity.as_slice(), &[("CONSUL_CACERT", other.as_str())]].concat()).await;
    assert_failed(&report, Name::Reach, &["no authority that is trusted", "CONSUL_CACERT"]);
    assert_eq!(said(&report)[1..4].iter().filter(|(_, result)| *result == Outcome::Skipped).count(), 3, "{report}");
    let report = checked(&uri, &[("CONSUL_CACERT", "/nowhere")]).await;
    assert_failed(&report, Name::Settings, &["/nowhere", "CONSUL_CACERT"]);
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_to_do() {
    let report = checked("consul://me:sesame@127.0.0.1:1", &[]).await;
    assert_failed(&report, Name::Reach, &["127.0.0.1:1", "check the URI"]);
    assert_eq!(report.uri, "consul://me:***@127.0.0.1:1");
    assert!(report.scratch.is_none() && !report.to_string().contains("scratch"), "{report}");
    assert!(report.rights.is_some(), "what it needs is known without it");
    for uri in ["etcd3://127.0.0.1:1/a", "etcd2://127.0.0.1:1/a", "etcd://127.0.0.1:1/a", "consulkv://127.0.0.1:1/a"] {
        assert_failed(&checked(uri, &[]).await, Name::Reach, &["check the URI"]);
    }
    assert_failed(&checked("nosuch://h", &[]).await, Name::Settings, &["a registry URI begins with"]);
}

#[tokio::test]
async fn eureka_is_checked_its_rule_is_printed_and_nothing_stays() {
    let user = Some(("me", "sesame"));
    let server = Eureka::with(eureka::Options { user, ..eureka::Options::default() }).await;
    let report = checked(&format!("eureka://me:sesame@{}/eureka", server.address()), &[]).await;
    assert_well(&report);
    assert!(rights(&report).contains("csrf(c -> c.ignoringRequestMatchers(\"/eureka/**\"))"), "{report}");
    let report = checked(&format!("eureka://{}/eureka", server.address()), &[("EUREKA_AUTH", "me:sesame2")]).await;
    assert_failed(&report, Name::Reach, &["refuses the user \"me\" (401)", "EUREKA_AUTH"]);
    let locked = Eureka::with(eureka::Options { csrf: true, ..eureka::Options::default() }).await;
    assert_failed(&checked(&locked.uri(), &[]).await, Name::Write, &["403", "CSRF protection off for /eureka/**"]);
    assert!(server.keys().is_empty() && locked.keys().is_empty());
}

/// All steps of a store without a clock went well.
fn assert_well_without_a_clock(report: &Report) {
    use Outcome::{NotApplicable, Ok};
    let expected = [
        (Name::Reach, Ok),
        (Name::Read, Ok),
        (Name::Write, Ok),
        (Name::Delete, Ok),
        (Name::Certificates, NotApplicable),
        (Name::Clock, NotApplicable),
    ];
    assert_eq!((said(report), report.exit_code()), (expected.to_vec(), 0), "{report}");
}

#[tokio::test]
async fn a_dns_server_is_checked_with_its_key_and_nothing_stays() {
    let secret = [("RFC2136_TSIG_SECRET", KEY.1)];
    for kind in [Kind::Bind, Kind::Knot, Kind::PowerDns] {
        let server = DnsServer::start(kind).await;
        let uri = |zone: &str, key: &str| format!("rfc2136://{}/{zone}?tsig-keyname={key}", server.address());
        let report = checked(&uri(ZONE, KEY.0), &secret).await;
        assert_well_without_a_clock(&report);
        assert!(rights(&report).contains(&format!("grant {:?} subdomain {ZONE}", KEY.0)), "{report}");
        let signed = format!("hmac-sha256:{}:{}", KEY.0, KEY.1);
        let left = server.dig(&["-y", &signed, ZONE, "AXFR"]);
        assert!(!left.is_empty() && !left.iter().any(|line| line.contains("heritage=")), "{left:?}");
        // Another secret, another key, another zone.
        let other = [("RFC2136_TSIG_SECRET", "c2VzYW1lMg==")];
        assert_failed(&checked(&uri(ZONE, KEY.0), &other).await, Name::Reach, &["the key", KEY.0]);
        assert_failed(&checked(&uri(ZONE, "nobody"), &secret).await, Name::Reach, &["nobody"]);
        let elsewhere = checked(&uri("elsewhere.example", KEY.0), &secret).await;
        assert_failed(
            &elsewhere,
            Name::Reach,
            &["does not serve the zone elsewhere.example", "correct the zone in the URI"],
        );
    }
    let eureka = Eureka::start().await;
    let report = checked(&format!("rfc2136://{}/{ZONE}", eureka.address()), &[]).await;
    assert_failed(&report, Name::Reach, &["DNS server at "]);
}

#[tokio::test]
async fn a_provider_of_external_dns_is_checked_and_nothing_stays() {
    let user = Some(("me", "sesame"));
    let server = Webhook::with(webhook::Options { user, ..webhook::Options::default() }).await;
    let uri = |zone: &str| format!("webhook+http://{}/{zone}", server.address());
    let report = checked(&uri(webhook::ZONE), &[("WEBHOOK_AUTH", "me:sesame")]).await;
    assert_well(&report);
    assert!(report.rights.is_none(), "{report}");
    let wrong = checked(&uri(webhook::ZONE), &[("WEBHOOK_AUTH", "me:sesame2")]).await;
    assert_failed(&wrong, Name::Reach, &["refuses the user \"me\" (401)", "WEBHOOK_AUTH"]);
    let elsewhere = checked(&uri("elsewhere.example"), &[("WEBHOOK_AUTH", "me:sesame")]).await;
    assert_failed(&elsewhere, Name::Reach, &["and not elsewhere.example", "correct the zone in the URI"]);
    assert_eq!(server.lines(), Vec::<String>::new());
    let forgets = Webhook::with(webhook::Options { forgets: Some("TXT"), ..webhook::Options::default() }).await;
    assert_failed(&checked(&forgets.uri(), &[]).await, Name::Write, &["keeps TXT records"]);
    let eureka = Eureka::start().await;
    let report = checked(&format!("webhook+http://{}/{}", eureka.address(), webhook::ZONE), &[]).await;
    assert_failed(&report, Name::Reach, &["is no webhook provider of external-dns", "check the host and the port"]);
}

#[tokio::test]
async fn discoverd_is_checked_and_nothing_stays() {
    let server = Discoverd::start().await;
    let report = checked(&server.uri(), &[]).await;
    assert_well(&report);
    assert!(report.rights.is_none(), "{report}");
    let eureka = Eureka::start().await;
    let report = checked(&format!("discoverd://{}", eureka.address()), &[]).await;
    assert_failed(&report, Name::Reach, &["is no discoverd", "check the host and the port"]);
}

#[tokio::test]
async fn the_embedded_registry_is_explained_and_not_opened() {
    let report = checked("embedded://127.0.0.1:1", &[]).await;
    assert_eq!(said(&report), [(Name::Reach, Outcome::NotApplicable)]);
    assert_eq!((report.exit_code(), &report.rights), (0, &None));
}

/// Answers as a Consul agent does that holds nothing and takes everything, an hour ago.
async fn an_hour_behind() -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let (status, body) = if request.contains("/v1/status/leader") {
                ("200 OK", r#""127.0.0.1:8300""#)
            } else if request.starts_with("GET /v1/agent/service/") {
                ("404 Not Found", "unknown service ID")
            } else {
                ("200 OK", "{}")
            };
            let date = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
            let date = chrono::DateTime::<chrono::Utc>::from(date).format("%a, %d %b %Y %H:%M:%S GMT");
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn a_clock_that_is_behind_and_a_store_that_forgets_are_named() {
    let report = checked(&format!("consul://{}", an_hour_behind().await), &[]).await;
    assert_failed(&report, Name::Clock, &["s behind ours", "NTP"]);
    assert_failed(&report, Name::Write, &["was accepted, but is not there"]);
    assert_eq!(said(&report)[3], (Name::Delete, Outcome::Ok), "what was accepted is removed, seen or not: {report}");
}

#[tokio::test]
async fn what_is_written_is_removed_even_if_the_store_forgets_to_answer() {
    let consul = Consul::start().await;
    let recorder = HttpRecorder::start(consul.address()).await;
    let uri = format!("consul://{}", recorder.address());
    recorder.set(Mode::Answer(500, "the flux capacitor is empty".to_owned()));
    let report = checked(&uri, &[]).await;
    assert_eq!(report.exit_code(), 1, "{report}");
    recorder.set(Mode::Pass);
    assert_well(&checked(&uri, &[]).await);
    assert!(consul.services().await.is_empty());
    assert_eq!(recorder.count("PUT", "/v1/agent/service/register"), 1);
}

#[tokio::test]
async fn the_rights_that_are_printed_for_etcd_v3_are_enough() {
    let server = EtcdServer::start().await;
    let uri = |user: &str| format!("etcd3://{user}{}/a/b", server.address());
    let report = checked(&uri(""), &[]).await;
    assert_well(&report);
    assert!(text(&report, Name::Reach).starts_with("etcd 3."), "{report}");
    server.enable_users();
    assert_failed(&checked(&uri(""), &[]).await, Name::Reach, &["wants a user"]);
    let root = |arguments: &[&str]| drop(server.ctl(&[&["--user=root:sesame"], arguments].concat()));
    root(&["user", "add", "me:open-sesame"]);
    let report = checked(&uri("me:open-sesame@"), &[]).await;
    assert_failed(&report, Name::Write, &["rights below"]);
    for line in rights(&report).lines().filter(|line| !line.contains("user add")) {
        let arguments: Vec<_> = line.split(' ').skip(1).collect();
        root(&arguments);
    }
    assert_well(&checked(&uri("me:open-sesame@"), &[]).await);
    assert_well(&with_ttl(&uri("me:open-sesame@"), &[], Some(30)).await);
    let left = server.keys_as(&["--user=root:sesame"], "/");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_rights_that_are_printed_for_etcd_v2_are_enough_and_either_api_is_found() {
    let server = EtcdServer::with(etcd::Options { v2: true, ..etcd::Options::default() }).await;
    let uri = |scheme: &str, user: &str| format!("{scheme}://{user}{}/a", server.address());
    assert_well(&checked(&uri("etcd2", ""), &[]).await);
    let report = checked(&uri("etcd", ""), &[]).await;
    assert_well(&report);
    assert!(rights(&report).contains("--path '/a/*'"), "etcd:// takes v2 here: {report}");
    server.enable_users();
    let root = |arguments: &[&str]| drop(server.ctl_v2(&[&["--username", "root:sesame"], arguments].concat()));
    root(&["user", "add", "me:open-sesame"]);
    let report = checked(&uri("etcd2", "me:open-sesame@"), &[]).await;
    assert_failed(&report, Name::Reach, &["no right to do that"]);
    for line in rights(&report).lines().filter(|line| !line.contains("user add")) {
        let line = line.replace('\'', "");
        let arguments: Vec<_> = line.split(' ').skip(1).collect();
        root(&arguments);
    }
    assert_well(&checked(&uri("etcd2", "me:open-sesame@"), &[]).await);
}

#[tokio::test]
async fn the_rights_that_are_printed_for_redis_are_enough() {
    let server = Redis::start().await;
    let uri = |user: &str| format!("redis://{user}{}?prefix=a/b", server.address());
    let report = checked(&uri(""), &[]).await;
    assert_well(&report);
    assert!(text(&report, Name::Reach).starts_with("Redis 7."), "{report}");
    server.command(&["ACL", "SETUSER", "registrator", "on", ">PASSWORD"]).await;
    let report = checked(&uri("registrator:PASSWORD@"), &[]).await;
    assert_failed(&report, Name::Write, &["denies it"]);
    let words: Vec<_> = rights(&report).split(' ').collect();
    assert_eq!(words[..3], ["ACL", "SETUSER", "registrator"]);
    server.command(&words).await;
    assert_well(&checked(&uri("registrator:PASSWORD@"), &[]).await);
    assert_well(&with_ttl(&uri("registrator:PASSWORD@"), &[], Some(30)).await);
    // Not a key more: another prefix is another's.
    let other = format!("redis://registrator:PASSWORD@{}?prefix=c", server.address());
    assert_failed(&checked(&other, &[]).await, Name::Write, &["denies it"]);
    assert!(server.keys("*").await.is_empty());
}

#[tokio::test]
async fn skydns_and_coredns_are_checked_as_what_they_are_stored_in() {
    let server = EtcdServer::start().await;
    for uri in [
        format!("skydns2://{}/cluster.local", server.address()),
        format!("coredns://{}/skydns?zone=cluster.local", server.address()),
    ] {
        let report = checked(&uri, &[]).await;
        assert_well(&report);
        assert!(rights(&report).contains("/skydns/local/cluster/"), "{report}");
    }
    assert!(server.keys("/skydns").is_empty());
}

#[cfg(feature = "zookeeper")]
mod zookeeper {
    use testkit::zookeeper::{Options, ZooKeeper};
    use zookeeper_client::{Acl, Acls, AuthId, CreateMode, Permission};

    use super::*;

    #[tokio::test]
    async fn zookeeper_is_named_its_clock_is_read_and_nothing_stays_but_the_path() {
        let server = ZooKeeper::start().await;
        let report = checked(&format!("zookeeper://{}/a", server.address()), &[]).await;
        assert_well(&report);
        assert!(text(&report, Name::Reach).starts_with("ZooKeeper 3."), "{report}");
        let left = server.nodes("/a").await;
        assert_eq!(left.into_keys().collect::<Vec<_>>(), ["/a"], "the path itself, and nothing below it");
    }

    #[tokio::test]
    async fn the_rights_that_are_printed_for_zookeeper_are_enough_and_a_foreign_acl_is_named() {
        let server = ZooKeeper::start().await;
        let client = server.client().await;
        let user = zookeeper_client::Client::connector().with_auth("digest", b"other:x");
        let other = user.connect(&server.address().to_string()).await.unwrap();
        let theirs = [Acl::new(Permission::ALL, AuthId::new("auth", "")), Acl::new(Permission::READ, AuthId::anyone())];
        other.create("/a", b"", &CreateMode::Persistent.with_acls(Acls::new(&theirs))).await.unwrap();
        let uri = format!("zookeeper://me:open-sesame@{}/a", server.address());
        let report = checked(&uri, &[]).await;
        assert_failed(&report, Name::Write, &["ACL", "rights below"]);
        let line = rights(&report).lines().last().unwrap();
        assert_eq!(line, "setAcl /a auth:me:PASSWORD:cdr,world:anyone:r");
        // cdr for the user, r for everybody.
        let mine = zookeeper_client::Client::connector().with_auth("digest", b"me:open-sesame");
        let mine = mine.connect(&server.address().to_string()).await.unwrap();
        let right = Permission::CREATE | Permission::DELETE | Permission::READ;
        let ours = [Acl::new(right, AuthId::new("auth", "")), Acl::new(Permission::READ, AuthId::anyone())];
        mine.create("/b", b"", &CreateMode::Persistent.with_acls(Acls::new(&ours))).await.unwrap();
        assert_well(&checked(&uri.replace("/a", "/b"), &[]).await);
        drop(client);
    }

    #[tokio::test]
    async fn zookeeper_by_tls_has_days_left() {
        let server = ZooKeeper::with(Options { tls: true, ..Options::default() }).await;
        let certificates = server.certificates();
        let (ca, own) = (&certificates.ca, &certificates.client);
        let uri = format!(
            "zookeeper-tls://127.0.0.1:{}/a?ca={}&cert={}&key={}",
            server.tls_address().port(),
            ca.display(),
            own.certificate.display(),
            own.key.display()
        );
        let report = checked(&uri, &[]).await;
        assert_eq!(report.exit_code(), 0, "{report}");
        assert!(text(&report, Name::Certificates).contains("replace it soon"), "{report}");
        assert!(text(&report, Name::Reach).starts_with("ZooKeeper 3."), "{report}");
        assert_failed(&checked("zookeeper://127.0.0.1:1/a", &[]).await, Name::Reach, &["check the URI"]);
    }
}

/// Runs the program with these arguments; its exit code, and what it prints.
fn program(arguments: &[&str]) -> (i32, String, String) {
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_registrator")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

#[tokio::test]
async fn the_command_prints_a_report_for_each_registry_and_its_exit_code_says_how_it_went() {
    let consul = Consul::start().await;
    let uri = consul.uri();
    let (code, said, error) = program(&["check", &uri]);
    assert_eq!((code, error.as_str()), (0, ""), "{said}");
    assert!(said.starts_with(&format!("check {uri}: writes one scratch entry, ")), "{said}");
    let (code, said, error) = program(&["check", "-format", "json", &uri, "consul://me:sesame@127.0.0.1:1"]);
    assert_eq!((code, error.as_str()), (1, ""), "{said}");
    let reports: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(reports[0]["steps"][0]["result"], "ok");
    assert_eq!(reports[1]["steps"][0]["result"], "failed");
    assert_eq!(reports[1]["uri"], "consul://me:***@127.0.0.1:1");
}
