//! The registry of Consul's agent against a real Consul: the contract of every registry, and what is Consul's own.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use conformance::batches::{Batches as _, open};
use conformance::{Subject, assert_held, check, entries, register, service, with};
use registrator::config::RegistryConfig;
use registrator::container::Health;
use registrator::registry::{Content, Entry, Marked, OpenError, Registry, RegistryError, Scope};
use registrator::service::{Check, CheckKind, Heartbeat};
use serde_json::{Value, json};
use testkit::consul::{Consul, MASTER_TOKEN, Options};
use testkit::proxy::{HttpRecorder, Mode};

const OWNER: &str = "this-host";

fn config(uri: &str, environment: &[(&str, &str)]) -> RegistryConfig {
    RegistryConfig {
        uri: uri.to_owned(),
        owner: OWNER.to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::new(
            environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect(),
        ),
    }
}

fn opened(uri: &str, environment: &[(&str, &str)]) -> Arc<dyn Registry> {
    open(&config(uri, environment)).expect("a registry").registry
}

fn at(address: SocketAddr) -> Arc<dyn Registry> {
    opened(&format!("consul://{address}"), &[])
}

/// One result of a batch of one.
fn only(results: Vec<Result<(), RegistryError>>) -> Result<(), RegistryError> {
    results.into_iter().next().expect("a result")
}

fn rejected(result: Result<(), RegistryError>) -> String {
    match result {
        Err(RegistryError::Refused { text: reason, .. }) => reason,
        other => panic!("{other:?} is no refusal"),
    }
}

fn unreachable(result: Result<(), RegistryError>) -> String {
    match result {
        Err(RegistryError::Unreachable(reason)) => reason,
        other => panic!("{other:?}: it was reached"),
    }
}

/// Waits until it is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so().await {
        assert!(Instant::now() < deadline, "{what}: not so in time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether `changed` returns before that time is up.
async fn changes_within(registry: &dyn Registry, seconds: u64) -> bool {
    tokio::time::timeout(Duration::from_secs(seconds), registry.changed()).await.is_ok()
}

/// Waits until nothing has changed for two seconds: what was written before has been told of.
async fn settled(registry: &dyn Registry) {
    until("quiet", async || !changes_within(registry, 2).await).await;
}

/// The lines that this thread logs while it is held.
struct Log(Arc<Mutex<Vec<u8>>>, #[expect(dead_code, reason = "holds the log")] tracing::subscriber::DefaultGuard);

impl Log {
    fn capture() -> Self {
        #[derive(Clone)]
        struct Buffer(Arc<Mutex<Vec<u8>>>);
        impl Write for Buffer {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().expect("the log").write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let buffer = Buffer(Arc::default());
        let held = Arc::clone(&buffer.0);
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || buffer.clone()).finish();
        Self(held, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self, part: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0.lock().expect("the log")).into_owned();
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn it_keeps_the_contract_of_every_registry() {
    let consul = Consul::start().await;
    let theirs = open(&RegistryConfig { owner: "other-host".to_owned(), ..config(&consul.uri(), &[]) });
    let theirs = Some(theirs.expect("a registry").registry);
    conformance::prove(&Subject { ours: at(consul.address()), theirs, owner: OWNER }).await;
}

#[tokio::test]
async fn it_keeps_the_contract_whatever_becomes_of_consul() {
    let mut consul = Consul::with(Options { keeps: true, ..Options::default() }).await;
    conformance::prove_outages(&mut consul, at).await;
}

#[tokio::test]
async fn it_keeps_the_contract_when_it_is_refused() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let wrong = "22222222-dead-beef-0000-000000000000";
    conformance::prove_refused(&*opened(&consul.uri(), &[("CONSUL_HTTP_TOKEN", wrong)]), wrong).await;
    assert!(consul.services().await.is_empty());
}

#[tokio::test]
async fn without_the_owner_entries_are_what_the_old_program_wrote_and_are_read_back_as_well() {
    let consul = Consul::start().await;
    let plain =
        open(&RegistryConfig { record_owner: false, ..config(&consul.uri(), &[]) }).expect("a registry").registry;
    let checked = with(service("host:web:80"), |service| service.check = Some(Box::new(check(CheckKind::Tcp))));
    register(&*plain, std::slice::from_ref(&checked)).await;
    let held = &consul.services().await["host:web:80"];
    assert_eq!(held["Meta"], json!({"region": "us2"}));
    assert_eq!(consul.checks().await["service:host:web:80"]["Notes"], "");
    assert_held(&*plain, std::slice::from_ref(&checked)).await;
    assert_eq!(entries(&*plain).await["host:web:80"].owner, None);
}

#[tokio::test]
async fn an_entry_of_the_old_program_is_adopted_by_one_write() {
    let consul = Consul::start().await;
    let old = json!({
        "ID": "host:web:80", "Name": "web", "Port": 8000, "Address": "10.1.2.3",
        "Tags": ["www", "b"], "Meta": {"region": "us2"},
    });
    consul.put("/v1/agent/service/register", &old).await;
    let registry = at(consul.address());
    let service = Arc::new(service("host:web:80"));
    let found = entries(&*registry).await.remove("host:web:80").expect("the entry");
    assert_eq!(found.owner, None);
    assert_ne!(found.fingerprint, registry.canonical(&service).fingerprint);
    register(&*registry, std::slice::from_ref(&service)).await;
    assert_held(&*registry, std::slice::from_ref(&service)).await;
    let meta = &consul.services().await["host:web:80"]["Meta"];
    assert_eq!(*meta, json!({"region": "us2", "external-source": "registrator", "registrator-owner": OWNER}));
}

#[tokio::test]
async fn every_kind_of_check_is_registered_compared_and_replaced() {
    let consul = Consul::with(Options { script_checks: true, ..Options::default() }).await;
    let registry = at(consul.address());
    let kinds = [
        ("http", CheckKind::Http { tls: false, path: "/up".to_owned(), method: None, skip_verify: false }),
        (
            "http",
            CheckKind::Http { tls: true, path: "/up".to_owned(), method: Some("HEAD".to_owned()), skip_verify: true },
        ),
        ("script", CheckKind::Command("true".to_owned())),
        ("script", CheckKind::Script("true".to_owned())),
        ("ttl", CheckKind::Ttl(Duration::from_secs(30))),
        ("tcp", CheckKind::Tcp),
        ("grpc", CheckKind::Grpc { tls: true, skip_verify: true }),
    ];
    for address in ["127.0.0.1", "::1"] {
        for (kind, asked) in &kinds {
            let service = with(service("checked"), |service| {
                service.address = address.into();
                service.check = Some(Box::new(Check {
                    initial_status: Some("warning".to_owned()),
                    deregister_after: Some(Duration::from_secs(600)),
                    heartbeat: None,
                    timeout: Some(Duration::from_millis(500)),
                    interval: Duration::from_secs(300),
                    ..check(asked.clone())
                }));
            });
            assert_ne!(
                entries(&*registry).await.get("checked").map(|entry| entry.fingerprint),
                Some(registry.canonical(&service).fingerprint),
                "{asked:?} passes for another"
            );
            register(&*registry, std::slice::from_ref(&service)).await;
            assert_held(&*registry, std::slice::from_ref(&service)).await;
            let held = consul.checks().await;
            assert_eq!(held.len(), 1, "the check of before is still there");
            assert_eq!(held["service:checked"]["Type"], *kind);
        }
    }
    // And without any.
    let plain = Arc::new(service("checked"));
    register(&*registry, std::slice::from_ref(&plain)).await;
    assert_held(&*registry, &[plain]).await;
    assert!(consul.checks().await.is_empty());
}

#[tokio::test]
async fn consul_truly_runs_the_checks_that_were_asked_for() {
    let consul = Consul::with(Options { script_checks: true, ..Options::default() }).await;
    let registry = at(consul.address());
    let target = HttpRecorder::start(consul.address()).await;
    target.set(Mode::Answer(200, "fine".to_owned()));
    let checked = |id: &str, kind| {
        with(service(id), |service| {
            service.address = "127.0.0.1".into();
            service.port = target.address().port();
            service.check = Some(Box::new(Check { interval: Duration::from_millis(500), ..check(kind) }));
        })
    };
    let http = |path: &str, method: Option<&str>| CheckKind::Http {
        tls: false,
        path: path.to_owned(),
        method: method.map(str::to_owned),
        skip_verify: false,
    };
    let services = [
        checked("http", http("/up?a=b", None)),
        checked("head", http("/head", Some("HEAD"))),
        checked("tcp", CheckKind::Tcp),
        checked("script", CheckKind::Script("echo \"$((6 * 7))\" && test -n \"$HOME$PATH\"".to_owned())),
    ];
    register(&*registry, &services).await;
    for service in &services {
        until(&format!("{} is passing", service.id), async || {
            consul.checks().await[&format!("service:{}", service.id)]["Status"] == "passing"
        })
        .await;
    }
    assert!(target.count("GET", "/up?a=b") > 0 && target.count("HEAD", "/head") > 0);
    until("the script's output", async || consul.checks().await["service:script"]["Output"] == "42\n").await;
    assert_held(&*registry, &services).await;
}

#[tokio::test]
async fn scripts_that_the_agent_does_not_allow_cost_that_service_alone() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    let script =
        with(service("script"), |service| service.check = Some(Box::new(check(CheckKind::Script("true".to_owned())))));
    let results = registry.register(&[script, Arc::new(service("plain"))]).await;
    assert!(rejected(results[0].clone()).contains("enable_script_checks"));
    assert_eq!(results[1], Ok(()));
    assert_eq!(consul.services().await.len(), 1);
}

#[tokio::test]
async fn a_heartbeat_of_ours_is_passing_from_the_start_as_long_as_it_is_refreshed() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    let ttl = with(service("ttl"), |service| service.check = Some(Box::new(heartbeat(2))));
    let ttl = std::slice::from_ref(&ttl);
    let status = async || consul.checks().await["service:ttl"]["Status"].clone();
    register(&*registry, ttl).await;
    let interval = registry.refresh_interval(&ttl[0]).expect("an interval");
    assert!(interval < Duration::from_secs(1));
    for _ in 0..6 {
        assert_eq!(status().await, "passing");
        tokio::time::sleep(interval).await;
        assert_eq!(registry.refresh(ttl).await, [Ok(())]);
    }
    until("it lapsed", async || status().await == "critical").await;
    assert_eq!(registry.refresh(ttl).await, [Ok(())]);
    assert_eq!(status().await, "passing");
    until("it lapsed", async || status().await == "critical").await;
    // As after a restart of ours: the agent remembers that it lapsed.
    register(&*registry, ttl).await;
    assert_eq!(status().await, "passing");
}

/// A TTL check that is ours to keep passing.
fn heartbeat(seconds: u64) -> Check {
    let ttl = check(CheckKind::Ttl(Duration::from_secs(seconds)));
    Check { heartbeat: Some(Heartbeat::Container), ..ttl }
}

#[tokio::test]
async fn a_heartbeat_of_ours_follows_the_health_of_its_container() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    let status = async || consul.checks().await["service:web"]["Status"].clone();
    let of = |health| {
        with(service("web"), |service| {
            service.check = Some(Box::new(heartbeat(60)));
            service.health = health;
        })
    };
    for (health, expected) in [
        (Health::Starting, "critical"),
        (Health::Healthy, "passing"),
        (Health::Unhealthy, "critical"),
        (Health::None, "passing"),
    ] {
        let service = of(health);
        let before = entries(&*registry).await.remove("web").map(|entry| entry.fingerprint);
        assert_ne!(before, Some(registry.fingerprint(&service)), "{health:?}: there is nothing to write");
        register(&*registry, std::slice::from_ref(&service)).await;
        assert_eq!(status().await, expected, "{health:?}");
        assert_held(&*registry, std::slice::from_ref(&service)).await;
        assert_eq!(registry.refresh(&[service]).await, [Ok(())]);
        assert_eq!(status().await, expected, "{health:?}, refreshed");
    }
}

#[tokio::test]
async fn a_ttl_check_is_the_applications_own_and_never_pinged_by_us() {
    let consul = Consul::start().await;
    let proxy = HttpRecorder::start(consul.address()).await;
    let registry = at(proxy.address());
    let status = async || consul.checks().await["service:app"]["Status"].clone();
    let mut app = with(service("app"), |service| {
        service.check = Some(Box::new(check(CheckKind::Ttl(Duration::from_secs(600)))));
    });
    register(&*registry, std::slice::from_ref(&app)).await;
    assert_eq!(registry.refresh_interval(&app), None);
    assert_eq!(registry.refresh(std::slice::from_ref(&app)).await, [Ok(())]);
    assert_eq!(status().await, "critical", "before the first heartbeat");
    consul.put("/v1/agent/check/pass/service:app", &Value::Null).await;
    assert_held(&*registry, std::slice::from_ref(&app)).await;
    // Its state outlives a change of the service.
    Arc::make_mut(&mut app).port += 1;
    register(&*registry, std::slice::from_ref(&app)).await;
    assert_eq!(status().await, "passing");
    assert_eq!(proxy.requests().iter().filter(|request| request.path.contains("/agent/check/")).count(), 0);
    // And one that is to begin as passing does.
    let hopeful = with(service("hopeful"), |service| {
        let ttl = check(CheckKind::Ttl(Duration::from_secs(600)));
        service.check = Some(Box::new(Check { initial_status: Some("passing".to_owned()), ..ttl }));
    });
    register(&*registry, &[hopeful]).await;
    assert_eq!(consul.checks().await["service:hopeful"]["Status"], "passing");
}

#[tokio::test]
async fn an_id_that_a_container_claims_is_read_before_it_is_written_or_removed() {
    let consul = Consul::start().await;
    let proxy = HttpRecorder::start(consul.address()).await;
    let (ours, theirs) = (at(proxy.address()), at(consul.address()));
    let theirs_too = open(&RegistryConfig { owner: "other-host".to_owned(), ..config(&consul.uri(), &[]) });
    let theirs_too = theirs_too.expect("a registry").registry;
    let claimed = |port: u16| {
        with(service("vault"), |service| {
            service.origin.claimed = true;
            service.port = port;
        })
    };
    // Read by us when nobody had it, then taken by another owner.
    assert!(entries(&*ours).await.is_empty());
    register(&*theirs_too, &[claimed(8200)]).await;
    let refused = only(ours.register(&[claimed(1)]).await);
    assert!(matches!(&refused, Err(RegistryError::Taken(text)) if text.contains("other-host")), "{refused:?}");
    assert_eq!(consul.services().await["vault"]["Port"], 8200);
    // Ours when it was read, and another owner's when it is to be removed.
    let entry = entries(&*theirs_too).await.remove("vault").expect("the entry");
    assert_eq!(theirs_too.deregister(&[entry]).await, [Ok(())]);
    register(&*ours, &[claimed(1)]).await;
    let entry = entries(&*ours).await.remove("vault").expect("the entry");
    assert_eq!(theirs.deregister(std::slice::from_ref(&entry)).await, [Ok(())]);
    register(&*theirs_too, &[claimed(8200)]).await;
    assert!(matches!(only(ours.deregister(&[entry]).await), Err(RegistryError::Taken(_))));
    assert_eq!(consul.services().await["vault"]["Port"], 8200);
    // The host's own ids cost no request more.
    let own = Arc::new(service("host:web:80"));
    register(&*ours, std::slice::from_ref(&own)).await;
    let entry = entries(&*ours).await.remove("host:web:80").expect("the entry");
    assert_eq!(ours.deregister(&[entry]).await, [Ok(())]);
    assert_eq!(proxy.count("GET", "/v1/agent/service/host:web:80"), 0);
    assert!(proxy.count("GET", "/v1/agent/service/vault") > 0);
}

#[tokio::test]
async fn consuls_own_service_is_never_taken() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    let taken = with(service("consul"), |service| service.origin.claimed = true);
    assert!(rejected(only(registry.register(&[Arc::clone(&taken)]).await)).contains("Consul's own"));
    let canonical = registry.canonical(&taken);
    let entry = Entry {
        key: canonical.key,
        service_id: "consul".into(),
        owner: None,
        fingerprint: 0,
        marked: Marked::No,
        critical: false,
        content: None,
    };
    assert!(rejected(only(registry.deregister(&[entry]).await)).contains("Consul's own"));
    // The server's own entry is in the catalog as before.
    let catalog = consul.get("/v1/catalog/service/consul").await;
    assert_eq!(catalog[0]["ServiceID"], "consul");
}

#[tokio::test]
async fn what_an_entry_without_an_owner_says_is_told_and_of_others_where_it_is_asked_for() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    let by_hand = json!({"ID": "vault", "Name": "vault", "Port": 8200, "Address": "10.9.9.9", "Tags": ["a", "b"]});
    consul.put("/v1/agent/service/register", &by_hand).await;
    register(&*registry, &[Arc::new(service("ours"))]).await;
    let read = async |contents| {
        let entries = registry.read(&Scope { keys: None, contents, looks: false }).await.expect("the entries");
        let of = |key: &str| entries.iter().find(|entry| *entry.key == *key).expect("the entry").content.clone();
        (of("vault"), of("ours"))
    };
    let content = Content {
        name: "vault".to_owned(),
        address: "10.9.9.9".to_owned(),
        port: 8200,
        tags: vec!["a".to_owned(), "b".to_owned()],
    };
    assert_eq!(read(false).await, (Some(Box::new(content.clone())), None));
    let (by_hand, ours) = read(true).await;
    assert_eq!((by_hand, ours.map(|ours| ours.port)), (Some(Box::new(content)), Some(8000)));
}

#[tokio::test]
async fn a_service_that_consul_may_remove_is_known_to_be_critical_before_it_is_removed() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    let probed = |id: &str, port: u16, deregister_after| {
        with(service(id), |service| {
            service.address = "127.0.0.1".into();
            service.port = port;
            let tcp = check(CheckKind::Tcp);
            let interval = Duration::from_millis(500);
            service.check = Some(Box::new(Check { interval, deregister_after, ..tcp }));
        })
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    // Consul removes nothing sooner than a minute, and looks every half.
    let minute = Some(Duration::from_secs(60));
    register(&*registry, &[probed("dies", port, minute), probed("stays", port, None)]).await;
    until("it is passing", async || consul.checks().await["service:dies"]["Status"] == "passing").await;
    settled(&*registry).await;
    let is_critical = async |id: &str| entries(&*registry).await.get(id).map(|entry| entry.critical);
    assert_eq!((is_critical("dies").await, is_critical("stays").await), (Some(false), Some(false)));
    let before = registry.continuity();
    drop(listener);
    assert!(changes_within(&*registry, 25).await, "that a service is critical was not noticed");
    assert_eq!((is_critical("dies").await, is_critical("stays").await), (Some(true), Some(false)));
    let deadline = Instant::now() + Duration::from_secs(180);
    while is_critical("dies").await.is_some() {
        assert!(Instant::now() < deadline, "Consul did not remove it");
        assert!(changes_within(&*registry, 180).await, "that it was removed was not noticed");
    }
    assert_eq!(registry.continuity(), before, "nothing says that Consul lost it");
    assert_eq!(is_critical("stays").await, Some(false), "what is not to be removed is none of this");
}

#[tokio::test]
async fn attributes_that_consul_refuses_are_left_out_and_named_once() {
    let log = Log::capture();
    let consul = Consul::start().await;
    let registry = at(consul.address());
    let odd = with(service("odd"), |service| {
        Arc::make_mut(&mut service.attributes).extend((0..70).map(|n| (format!("k{n:02}"), "v".to_owned())));
        for key in ["a.b", "consul-x", "new\nline", "registrator-owner", ""] {
            Arc::make_mut(&mut service.attributes).insert(key.to_owned(), "hidden-value".to_owned());
        }
        Arc::make_mut(&mut service.attributes).insert("big".to_owned(), "x".repeat(513));
        Arc::make_mut(&mut service.attributes).insert("fits".to_owned(), "é".repeat(256));
    });
    register(&*registry, std::slice::from_ref(&odd)).await;
    assert_held(&*registry, std::slice::from_ref(&odd)).await;
    let meta = consul.services().await["odd"]["Meta"].clone();
    assert_eq!(meta.as_object().map(serde_json::Map::len), Some(64));
    assert_eq!((&meta["registrator-owner"], &meta["fits"]), (&json!(OWNER), &json!("é".repeat(256))));
    let said = log.lines("left out");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("a.b (a name with other characters") && said[0].contains("new\\nline"), "{said:?}");
    assert!(!said[0].contains("hidden-value"));
}

#[tokio::test]
async fn a_service_that_could_not_be_removed_again_is_not_registered() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    for id in ["", "/", "..", "a/../b", "a//b", "a\nb", "\u{202e}"] {
        let reason = rejected(only(registry.register(&[Arc::new(service(id))]).await));
        assert!(reason.contains("the ID"), "{id:?}: {reason}");
    }
    assert!(consul.services().await.is_empty());
}

#[tokio::test]
async fn the_leader_is_named_in_the_log() {
    let log = Log::capture();
    let consul = Consul::start().await;
    let leader = consul.get("/v1/status/leader").await;
    at(consul.address()).ping().await.expect("it is there");
    let expected = format!("consul: current leader  {}", leader.as_str().expect("a leader"));
    assert_eq!(log.lines(&expected).len(), 1);
}

#[tokio::test]
async fn a_consul_that_serves_nobody_is_unreachable_and_one_that_refuses_is_not() {
    let consul = Consul::start().await;
    let proxy = HttpRecorder::start(consul.address()).await;
    let registry = at(proxy.address());
    let services = [Arc::new(service("web"))];
    for (status, text, said) in [
        (500, "No cluster leader", "No cluster leader"),
        (500, "rpc error making call: EOF", "rpc error making call: EOF"),
        (502, "<html>", "it answered 502 Bad Gateway and a web page"),
        (503, "", "it answered 503"),
        (504, "late", "late"),
    ] {
        proxy.set(Mode::Answer(status, text.to_owned()));
        assert!(unreachable(registry.ping().await).contains(said));
        unreachable(only(registry.register(&services).await));
    }
    for (status, text) in [(200, "\"\""), (200, "<html>"), (200, "[]")] {
        proxy.set(Mode::Answer(status, text.to_owned()));
        unreachable(registry.ping().await);
        unreachable(registry.entries().await.map(drop));
    }
    proxy.set(Mode::Answer(400, format!("no\nnot\u{1b}[31m {}", "x".repeat(5000))));
    let reason = rejected(only(registry.register(&services).await));
    assert!(reason.starts_with("no\\nnot\\u{1b}[31m xxx") && reason.chars().count() < 400, "{reason}");
    proxy.set(Mode::Answer(301, String::new()));
    assert!(unreachable(registry.ping().await).contains("is no Consul agent"));
}

#[tokio::test]
async fn a_frozen_consul_is_left_in_time_and_used_again_when_it_goes_on() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    let services: Vec<_> = (0..50).map(|n| Arc::new(service(&format!("s{n}")))).collect();
    registry.ping().await.expect("it is there");
    consul.freeze();
    let began = Instant::now();
    for result in registry.register(&services).await {
        assert!(unreachable(result).contains("no answer in time"));
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    consul.thaw();
    until("it answers", async || registry.ping().await.is_ok()).await;
    register(&*registry, &services).await;
    assert_held(&*registry, &services).await;
}

#[tokio::test]
async fn what_another_hand_changes_is_noticed_within_seconds_and_other_nodes_are_not() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    register(&*registry, &[Arc::new(service("web")), Arc::new(service("api"))]).await;
    assert!(changes_within(&*registry, 5).await, "what was before the first look may have changed");
    settled(&*registry).await;

    let foreign = async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        consul.put("/v1/agent/service/deregister/web", &Value::Null).await;
    };
    let (noticed, ()) = tokio::join!(changes_within(&*registry, 5), foreign());
    assert!(noticed, "a removal");
    settled(&*registry).await;

    // Between two calls, nothing is missed.
    consul.put("/v1/agent/service/deregister/api", &Value::Null).await;
    assert!(changes_within(&*registry, 5).await, "a removal between two calls");
    settled(&*registry).await;

    let node = json!({"Node": "other", "Address": "10.9.9.9", "Service": {"ID": "s", "Service": "s", "Port": 1}});
    consul.put("/v1/catalog/register", &node).await;
    assert!(!changes_within(&*registry, 3).await, "another node's service");
}

#[tokio::test]
async fn many_changes_are_told_at_most_once_a_second() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    settled(&*registry).await;
    let busy = async {
        for n in 0..40 {
            register(&*registry, &[Arc::new(service(&format!("s{n}")))]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::pin!(busy);
    let mut told = 0;
    loop {
        tokio::select! {
            () = &mut busy => break,
            _ = registry.changed() => told += 1,
        }
    }
    assert!((2..=6).contains(&told), "told {told} times in 4 seconds");
}

#[tokio::test]
async fn a_server_that_knows_no_blocking_queries_is_neither_hammered_nor_misread() {
    let consul = Consul::start().await;
    let (strip, ignore) = tokio::join!(HttpRecorder::start(consul.address()), HttpRecorder::start(consul.address()));
    strip.set(Mode::StripIndex);
    ignore.set(Mode::IgnoreIndex);
    let watch = async |proxy: &HttpRecorder| {
        let registry = at(proxy.address());
        assert!(changes_within(&*registry, 5).await, "the first look");
        // A server that has just started goes on writing to its catalog for a moment.
        while changes_within(&*registry, 4).await {}
        proxy.forget();
        assert!(!changes_within(&*registry, 12).await, "nothing changed");
        let asked = proxy.count("GET", "/v1/catalog/node");
        assert!((1..=4).contains(&asked), "asked {asked} times");
        // Nothing is missed for good, either.
        consul.put("/v1/agent/service/register", &json!({"ID": "x", "Name": "x"})).await;
        assert!(changes_within(&*registry, 40).await, "a change");
    };
    tokio::join!(watch(&strip), async {
        let registry = at(ignore.address());
        assert!(changes_within(&*registry, 5).await, "the first look");
        // Whoever drops the wait all the time asks no faster.
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            let _ = tokio::time::timeout(Duration::from_millis(5), registry.changed()).await;
        }
        let asked = ignore.count("GET", "/v1/");
        assert!(asked <= 20, "asked {asked} times");
    });
}

#[tokio::test]
async fn a_token_that_may_not_see_the_node_is_told_once_what_is_missed() {
    let log = Log::capture();
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let token = consul.token("service_prefix \"\" { policy = \"write\" }").await;
    let proxy = HttpRecorder::start(consul.address()).await;
    let registry = opened(&format!("consul://{}", proxy.address()), &[("CONSUL_HTTP_TOKEN", &token)]);
    for _ in 0..3 {
        assert!(!changes_within(&*registry, 1).await);
    }
    assert_eq!(proxy.count("GET", "/v1/agent/self"), 1);
    let said = log.lines("agent:read and node:read");
    assert_eq!(said.len(), 1, "{said:?}");
    // All the rest works.
    let services = [Arc::new(service("web"))];
    register(&*registry, &services).await;
    assert_held(&*registry, &services).await;
}

#[tokio::test]
async fn a_token_is_taken_from_the_environment_and_its_lack_of_rights_is_named() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let token = consul.token("service \"web\" { policy = \"write\" }").await;
    let registry = opened(&consul.uri(), &[("CONSUL_HTTP_TOKEN", &token)]);
    let web = with(service("web"), |service| service.check = Some(Box::new(heartbeat(30))));
    let db = with(service("db"), |service| service.name = "db".to_owned());
    let results = registry.register(&[Arc::clone(&web), Arc::clone(&db)]).await;
    assert_eq!(results[0], Ok(()));
    assert_eq!(rejected(results[1].clone()), "Permission denied: the token needs service:write on \"db\"");
    assert_held(&*registry, std::slice::from_ref(&web)).await;

    // With ACLs, the agent minds that there is nothing to remove; we do not.
    let entry = entries(&*registry).await.remove("web").expect("the entry");
    for _ in 0..2 {
        assert_eq!(registry.deregister(std::slice::from_ref(&entry)).await, [Ok(())]);
    }
    let master = opened(&consul.uri(), &[("CONSUL_HTTP_TOKEN", MASTER_TOKEN)]);
    register(&*master, std::slice::from_ref(&db)).await;
    let entry = entries(&*master).await.remove("db").expect("the entry");
    assert_eq!(
        rejected(only(registry.deregister(&[entry]).await)),
        "Permission denied: the token needs service:write for the service with the ID \"db\""
    );

    let wrong = "22222222-dead-beef-0000-000000000000";
    let stranger = opened(&consul.uri(), &[("CONSUL_HTTP_TOKEN", wrong)]);
    for reason in [
        rejected(stranger.entries().await.map(drop)),
        rejected(only(stranger.register(&[db]).await)),
        rejected(only(stranger.refresh(&[web]).await)),
    ] {
        assert!(reason.contains("does not know the token") && !reason.contains(wrong), "{reason}");
    }
}

#[tokio::test]
async fn a_token_file_is_followed_without_a_restart() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let good = consul.token("service_prefix \"\" { policy = \"write\" }").await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let registry = opened(&consul.uri(), &[("CONSUL_HTTP_TOKEN_FILE", file.to_str().expect("a path"))]);
    let services = [Arc::new(service("web"))];
    assert!(unreachable(only(registry.register(&services).await)).contains("token file"));
    std::fs::write(&file, "33333333-dead-beef-0000-000000000000\n").expect("written");
    rejected(only(registry.register(&services).await));
    std::fs::write(&file, format!("{good}\n")).expect("written");
    register(&*registry, &services).await;
    std::fs::remove_file(&file).expect("removed");
    register(&*registry, &services).await;
}

#[tokio::test]
async fn a_secret_is_in_no_message_even_if_the_server_repeats_it() {
    let proxy = HttpRecorder::start(([127, 0, 0, 1], 1).into()).await;
    let registry =
        opened(&format!("consul://me:hunter2@{}", proxy.address()), &[("CONSUL_HTTP_TOKEN", "secret-token")]);
    proxy.set(Mode::Answer(400, "your token secret-token and password hunter2 are wrong".to_owned()));
    let said = format!("Consul at http://{}: your token *** and password *** are wrong", proxy.address());
    assert_eq!(rejected(registry.ping().await), said);
    let request = proxy.requests().remove(0);
    assert_eq!(request.header("x-consul-token"), Some("secret-token"));
}

#[tokio::test]
async fn basic_authentication_comes_from_the_uri_or_the_environment() {
    let consul = Consul::start().await;
    let proxy = HttpRecorder::start(consul.address()).await;
    // Base64 of `me:pa:ss`.
    proxy.set(Mode::Require("authorization".to_owned(), "Basic bWU6cGE6c3M=".to_owned()));
    let uri = format!("consul://{}", proxy.address());
    assert!(rejected(opened(&uri, &[]).ping().await).contains("CONSUL_HTTP_AUTH"));
    opened(&uri, &[("CONSUL_HTTP_AUTH", "me:pa:ss")]).ping().await.expect("let in");
    let uri = format!("consul://me:pa%3Ass@{}", proxy.address());
    opened(&uri, &[("CONSUL_HTTP_AUTH", "you:x")]).ping().await.expect("let in");
}

#[tokio::test]
async fn namespace_and_partition_go_with_every_request() {
    let proxy = HttpRecorder::start(([127, 0, 0, 1], 1).into()).await;
    proxy.set(Mode::Answer(200, "{}".to_owned()));
    let registry =
        opened(&format!("consul://{}", proxy.address()), &[("CONSUL_NAMESPACE", "team a"), ("CONSUL_PARTITION", "p")]);
    register(&*registry, &[Arc::new(service("web"))]).await;
    registry.entries().await.expect("entries");
    let requests = proxy.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert!(request.path.ends_with("ns=team+a&partition=p"), "{}", request.path);
    }
}

#[tokio::test]
async fn tls_is_spoken_with_the_authority_and_certificate_of_the_environment() {
    let consul = Consul::with(Options { tls: true, ..Options::default() }).await;
    let files = consul.certificates();
    let [ca, certificate, key] =
        [&files.ca, &files.client.certificate, &files.client.key].map(|path| path.to_str().expect("a path"));
    let ours = [("CONSUL_CLIENT_CERT", certificate), ("CONSUL_CLIENT_KEY", key)];
    let trusted = [&ours[..], &[("CONSUL_CACERT", ca)]].concat();
    let uri = format!("consul-tls://{}", consul.tls_address());

    let registry = opened(&uri, &trusted);
    registry.ping().await.expect("it is there");
    let services = [Arc::new(service("web"))];
    register(&*registry, &services).await;
    assert_held(&*registry, &services).await;

    let plain = format!("consul://{}", consul.tls_address());
    opened(&plain, &[&trusted[..], &[("CONSUL_HTTP_SSL", "true")]].concat()).ping().await.expect("by CONSUL_HTTP_SSL");
    let address = format!("https://{}", consul.tls_address());
    opened("consul:", &[&trusted[..], &[("CONSUL_HTTP_ADDR", &address)]].concat())
        .ping()
        .await
        .expect("by its address");
    opened(&uri, &[&ours[..], &[("CONSUL_HTTP_SSL_VERIFY", "false")]].concat()).ping().await.expect("unverified");

    assert!(unreachable(opened(&uri, &ours).ping().await).contains("certificate"), "an authority that is not known");
    unreachable(opened(&uri, &[("CONSUL_CACERT", ca)]).ping().await);
    assert!(unreachable(opened(&plain, &[]).ping().await).contains("it speaks only TLS there"));

    let missing = open(&config(&uri, &[("CONSUL_CACERT", "/nowhere/ca.pem")])).err();
    assert!(matches!(missing, Some(OpenError::Settings(line)) if line.contains("/nowhere/ca.pem")));
}

#[tokio::test]
async fn a_unix_socket_is_as_good_as_a_port() {
    let consul = Consul::with(Options { socket: true, ..Options::default() }).await;
    let socket = consul.socket().display().to_string();
    let registry = opened(&format!("consul-unix://{socket}"), &[]);
    registry.ping().await.expect("it is there");
    let services = [Arc::new(service("web"))];
    register(&*registry, &services).await;
    assert_held(&*registry, &services).await;
    let address = format!("unix://{socket}");
    opened("consul:", &[("CONSUL_HTTP_ADDR", &address)]).ping().await.expect("by its address");
    let nowhere = opened("consul-unix:///nowhere/consul.sock", &[]);
    assert!(unreachable(nowhere.ping().await).contains("unix:///nowhere/consul.sock"));
}
