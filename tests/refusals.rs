//! No refusal is final: what a registry refuses is repaired as soon as it is allowed, without a restart, a resync or a
//! signal.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::json;
use support::{HOST, SOON, registrator_with, set};
use testkit::consul::{Consul, Options};
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::etcd::{self, EtcdServer};
use testkit::program::Program;
use testkit::proxy::{HttpRecorder, Mode};
use testkit::wait::becomes;
use tokio::time::{Instant, sleep};

/// Within this everything is repaired once it is allowed again.
const REPAIRED: Duration = Duration::from_secs(30);
/// Within this it is repaired once a file that holds a credential has changed.
const AT_ONCE: Duration = Duration::from_secs(8);
/// After this the program tries again so rarely that within [`AT_ONCE`] it would not by chance: 1, 2, 4, 8 and 16 seconds
/// after each other, and then 25.
const RARELY: Duration = Duration::from_secs(34);

/// The rules of a token that may do all that the program does.
const RULES: &str =
    r#"service_prefix "" { policy = "write" } agent_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
/// A token that can be deleted and made again.
const SECRET: &str = "c0ffee00-0000-4000-8000-000000000001";
const ACCESSOR: &str = "c0ffee00-0000-4000-8000-0000000000aa";

fn container(name: &str, port: u16) -> FakeContainer {
    FakeContainer::new(name).image("web").publish("80/tcp", port)
}

fn start(uri: &str, engine: &FakeEngine, environment: &[(&str, &str)]) -> Program {
    let host = engine.host();
    registrator_with(uri, &[], &[&[("DOCKER_HOST", host.as_str())], environment].concat())
}

/// The IDs of containers of these names.
fn of(names: &[&str]) -> BTreeSet<String> {
    set(names.iter().map(|name| format!("{HOST}:{name}:80")))
}

async fn in_consul(consul: &Consul) -> BTreeSet<String> {
    consul.services().await.into_iter().map(|(id, _)| id).collect()
}

/// Makes the token with these rules, or gives it these.
async fn grant(consul: &Consul, rules: &str) {
    let policy = json!({"Name": "host", "Rules": rules});
    let held = consul.get("/v1/acl/policies").await;
    let known = held.as_array().into_iter().flatten().find(|policy| policy["Name"] == "host");
    let path = known.map_or("/v1/acl/policy".to_owned(), |policy| {
        format!("/v1/acl/policy/{}", policy["ID"].as_str().unwrap_or_default())
    });
    consul.put(&path, &policy).await;
    let tokens = consul.get("/v1/acl/tokens").await;
    if !tokens.as_array().into_iter().flatten().any(|token| token["AccessorID"] == ACCESSOR) {
        let token = json!({"SecretID": SECRET, "AccessorID": ACCESSOR, "Policies": [{"Name": "host"}]});
        consul.put("/v1/acl/token", &token).await;
    }
}

async fn revoke(consul: &Consul) {
    consul.delete(&format!("/v1/acl/token/{ACCESSOR}")).await;
}

#[tokio::test]
async fn a_token_of_consul_that_is_deleted_and_made_again() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    grant(&consul, RULES).await;
    let engine = FakeEngine::start().await;
    let goes = engine.run(container("goes", 8000));
    let program = start(&consul.uri(), &engine, &[("CONSUL_HTTP_TOKEN", SECRET)]);
    becomes(of(&["goes"]), SOON, || in_consul(&consul)).await;
    revoke(&consul).await;
    engine.run(container("comes", 8001));
    engine.stop(&goes, 0);
    let line = program.wait_for("failed: hostname:comes:80").await;
    assert!(line.contains("CONSUL_HTTP_TOKEN"), "{line}");
    program.wait_for("deregister failed: hostname:goes:80").await;
    grant(&consul, RULES).await;
    becomes(of(&["comes"]), REPAIRED, || in_consul(&consul)).await;
}

#[tokio::test]
async fn another_token_in_the_file_is_used_at_once() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    grant(&consul, RULES).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, SECRET).unwrap();
    let engine = FakeEngine::start().await;
    let goes = engine.run(container("goes", 8000));
    let program = start(&consul.uri(), &engine, &[("CONSUL_HTTP_TOKEN_FILE", file.to_str().unwrap())]);
    becomes(of(&["goes"]), SOON, || in_consul(&consul)).await;
    let other = consul.token(RULES).await;
    revoke(&consul).await;
    engine.run(container("comes", 8001));
    engine.stop(&goes, 0);
    program.wait_for("failed: hostname:comes:80").await;
    sleep(RARELY).await;
    // As who is careful replaces a file: nobody reads half of it.
    let next = folder.path().join("next");
    fs::write(&next, other).unwrap();
    fs::rename(&next, &file).unwrap();
    becomes(of(&["comes"]), AT_ONCE, || in_consul(&consul)).await;
}

#[tokio::test]
async fn a_policy_of_consul_that_is_widened() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let narrow =
        r#"service "web" { policy = "write" } agent_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
    grant(&consul, narrow).await;
    let engine = FakeEngine::start().await;
    engine.run(container("web", 8000));
    engine.run(container("db", 8001).env("SERVICE_NAME=db"));
    let program = start(&consul.uri(), &engine, &[("CONSUL_HTTP_TOKEN", SECRET)]);
    becomes(of(&["web"]), SOON, || in_consul(&consul)).await;
    let line = program.wait_for("register failed: hostname:db:80").await;
    assert!(line.contains("service:write on \"db\""), "{line}");
    grant(&consul, RULES).await;
    becomes(of(&["web", "db"]), REPAIRED, || in_consul(&consul)).await;
}

#[tokio::test]
async fn the_same_in_consuls_key_value_store() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let rules = r#"key_prefix "" { policy = "write" } session_prefix "" { policy = "write" }"#;
    grant(&consul, rules).await;
    let engine = FakeEngine::start().await;
    let goes = engine.run(container("goes", 8000));
    let uri = format!("consulkv://{}/r", consul.address());
    let program = start(&uri, &engine, &[("CONSUL_HTTP_TOKEN", SECRET)]);
    let held = async || {
        let keys = consul.keys("r/").await.unwrap_or_default();
        keys.into_iter().filter_map(|key| Some(key.strip_prefix("r/web/")?.to_owned())).collect::<BTreeSet<_>>()
    };
    becomes(of(&["goes"]), SOON, held).await;
    revoke(&consul).await;
    engine.run(container("comes", 8001));
    engine.stop(&goes, 0);
    program.wait_for("ACL not found").await;
    grant(&consul, rules).await;
    becomes(of(&["comes"]), REPAIRED, held).await;
}

#[tokio::test]
async fn a_server_that_answers_everything_with_500_for_three_seconds() {
    let consul = Consul::start().await;
    let proxy = HttpRecorder::start(consul.address()).await;
    let engine = FakeEngine::start().await;
    let goes = engine.run(container("goes", 8000));
    let program = start(&format!("consul://{}", proxy.address()), &engine, &[]);
    becomes(of(&["goes"]), SOON, || in_consul(&consul)).await;
    let until = Instant::now() + Duration::from_secs(3);
    proxy.set(Mode::Answer(500, "the flux capacitor is empty".to_owned()));
    engine.run(container("comes", 8001));
    engine.stop(&goes, 0);
    program.wait_for("flux capacitor").await;
    tokio::time::sleep_until(until).await;
    proxy.set(Mode::Pass);
    becomes(of(&["comes"]), REPAIRED, || in_consul(&consul)).await;
}

/// What etcd has of an owner of these rights, and how it is asked.
struct Etcd {
    server: EtcdServer,
    v2: bool,
}

impl Etcd {
    /// One with a user `web`, whose password is `first`, and who may write what the program writes.
    async fn start(v2: bool) -> Self {
        let server = EtcdServer::with(etcd::Options { v2, ..etcd::Options::default() }).await;
        server.enable_users();
        let etcd = Self { server, v2 };
        if v2 {
            etcd.root(&["role", "add", "web"]);
            etcd.root(&["user", "add", "web:first"]);
            etcd.root(&["user", "grant", "web", "--roles", "web"]);
        } else {
            etcd.root(&["role", "add", "web"]);
            etcd.root(&["user", "add", "web:first"]);
            etcd.root(&["user", "grant-role", "web", "web"]);
        }
        etcd.permit(true);
        etcd
    }

    fn root(&self, arguments: &[&str]) {
        let (user, password) = etcd::ROOT;
        let both = format!("{user}:{password}");
        if self.v2 {
            self.server.ctl_v2(&[&["--username", &both], arguments].concat());
        } else {
            self.server.ctl(&[&[format!("--user={both}").as_str()], arguments].concat());
        }
    }

    fn permit(&self, may: bool) {
        if self.v2 {
            let verb = if may { "grant" } else { "revoke" };
            self.root(&["role", verb, "web", "--path", "/r*", "--readwrite"]);
            return;
        }
        for prefix in ["/r/", "/_registrator/r/"] {
            if may {
                self.root(&["role", "grant-permission", "web", "--prefix=true", "readwrite", prefix]);
            } else {
                self.root(&["role", "revoke-permission", "web", "--prefix=true", prefix]);
            }
        }
    }

    fn set_password(&self, password: &str) {
        self.server.set_password("web", "web", password);
    }

    async fn held(&self) -> BTreeSet<String> {
        let both = format!("{}:{}", etcd::ROOT.0, etcd::ROOT.1);
        let keys: Vec<String> = if self.v2 {
            let listed = self.server.try_ctl_v2(&["--username", &both, "ls", "--recursive", "-p", "/r"]);
            listed.unwrap_or_default().lines().map(str::to_owned).collect()
        } else {
            self.server.keys_as(&[&format!("--user={both}")], "/r/").into_keys().collect()
        };
        let ids = keys.iter().filter_map(|key| key.strip_prefix("/r/web/").filter(|id| !id.is_empty()));
        ids.map(str::to_owned).collect()
    }

    fn uri(&self) -> String {
        format!("etcd{}://web:first@{}/r", if self.v2 { 2 } else { 3 }, self.server.address())
    }
}

async fn a_permission_that_is_revoked_and_granted(v2: bool) {
    let etcd = Etcd::start(v2).await;
    let engine = FakeEngine::start().await;
    let goes = engine.run(container("goes", 8000));
    let program = start(&etcd.uri(), &engine, &[]);
    becomes(of(&["goes"]), SOON, || etcd.held()).await;
    etcd.permit(false);
    engine.run(container("comes", 8001));
    engine.stop(&goes, 0);
    program.wait_for("failed: hostname:comes:80").await;
    etcd.permit(true);
    becomes(of(&["comes"]), REPAIRED, || etcd.held()).await;
}

async fn a_password_that_is_changed_and_restored(v2: bool) {
    let etcd = Etcd::start(v2).await;
    let engine = FakeEngine::start().await;
    let goes = engine.run(container("goes", 8000));
    let program = start(&etcd.uri(), &engine, &[]);
    becomes(of(&["goes"]), SOON, || etcd.held()).await;
    etcd.set_password("second");
    engine.run(container("comes", 8001));
    engine.stop(&goes, 0);
    program.wait_for("refuses the user \"web\"").await;
    etcd.set_password("first");
    becomes(of(&["comes"]), REPAIRED, || etcd.held()).await;
}

#[tokio::test]
async fn a_permission_of_etcd_v3() {
    a_permission_that_is_revoked_and_granted(false).await;
}

#[tokio::test]
async fn a_permission_of_etcd_v2() {
    a_permission_that_is_revoked_and_granted(true).await;
}

#[tokio::test]
async fn a_password_of_etcd_v3() {
    a_password_that_is_changed_and_restored(false).await;
}

#[tokio::test]
async fn a_password_of_etcd_v2() {
    a_password_that_is_changed_and_restored(true).await;
}

#[cfg(feature = "zookeeper")]
#[tokio::test]
async fn an_acl_of_zookeeper() {
    use testkit::zookeeper::ZooKeeper;
    use zookeeper_client::{Acl, Acls, AuthId, CreateMode, Permission};

    let server = ZooKeeper::start().await;
    let client = server.client().await;
    client.create("/r", b"", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    let engine = FakeEngine::start().await;
    let goes = engine.run(container("goes", 8000));
    let program = start(&format!("zookeeper://{}/r", server.address()), &engine, &[]);
    let held = async || {
        let nodes = server.nodes("/r").await.into_keys();
        nodes.filter_map(|path| Some(path.rsplit_once(':')?.1.to_owned())).collect::<BTreeSet<_>>()
    };
    becomes(set(["8000"]), SOON, held).await;
    // Nobody may make a node below it.
    let narrow = [Acl::new(Permission::READ | Permission::ADMIN, AuthId::anyone())];
    client.set_acl("/r", &narrow, None).await.unwrap();
    engine.run(container("comes", 8001).env("SERVICE_NAME=other"));
    engine.stop(&goes, 0);
    program.wait_for("gives us no right").await;
    client.set_acl("/r", &[Acl::new(Permission::ALL, AuthId::anyone())], None).await.unwrap();
    becomes(set(["8001"]), REPAIRED, held).await;
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_used_without_a_restart() {
    let consul = Consul::with(Options { tls: true, ..Options::default() }).await;
    let certificates = consul.certificates();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    // At first one that Consul does not trust.
    let stranger = tempfile::tempdir().unwrap();
    let other = testkit::certificates::Certificates::make(stranger.path());
    let copy = |from: &std::path::Path, to: &std::path::Path| assert!(fs::copy(from, to).unwrap() > 0);
    copy(&other.client.certificate, &certificate);
    copy(&other.client.key, &key);
    let engine = FakeEngine::start().await;
    engine.run(container("web", 8000));
    let uri = format!("consul-tls://{}", consul.tls_address());
    let ca = certificates.ca.display().to_string();
    let host = engine.host();
    let environment = [
        ("DOCKER_HOST", host.as_str()),
        ("CONSUL_CACERT", ca.as_str()),
        ("CONSUL_CLIENT_CERT", certificate.to_str().unwrap()),
        ("CONSUL_CLIENT_KEY", key.to_str().unwrap()),
    ];
    let program = registrator_with(&uri, &["-retry-attempts", "-1"], &environment);
    program.wait_for("trying again").await;
    copy(&certificates.client.key, &key);
    copy(&certificates.client.certificate, &certificate);
    becomes(of(&["web"]), REPAIRED, || in_consul(&consul)).await;
}
