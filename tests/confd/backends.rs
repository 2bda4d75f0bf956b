//! confd's integration cases, on every back end: once, and when something changes.

use std::fs;

use testkit::consul::Consul;
use testkit::etcd::{self, EtcdServer};
use testkit::redis::{self, Redis};

use crate::fixture::{Confdir, DATA, all_data};

/// Renders the cases once: as they are, and below `/prefix`.
fn renders(backend: &[&str]) {
    let confdir = Confdir::with_cases();
    confdir.run(&[&["-onetime", "-log-level", "debug"], backend].concat()).well();
    confdir.has_cases();
    let again = confdir.run(&[&["-onetime", "-log-level", "debug"], backend].concat());
    again.well();
    assert!(again.said().iter().filter(|line| line.ends_with(" in sync")).count() == 5, "{:?}", again.log);
    let prefixed = Confdir::with_cases();
    prefixed.run(&[&["-onetime", "-prefix", "/prefix"], backend].concat()).well();
    prefixed.has_cases();
}

/// A resource of one key, which is watched. Others write meanwhile what does not concern it.
fn watched() -> Confdir {
    let confdir = Confdir::new();
    confdir.template("upstream", "{{ range gets \"/upstream/*\" }}{{ .Key }}={{ .Value }};{{ end }}\n");
    confdir.resource("upstream", "src = \"upstream\"\nkeys = [\"/upstream\"]\n");
    confdir
}

const BEFORE: &str = "/upstream/app1=10.0.1.10:8080;/upstream/app2=10.0.1.11:8080;\n";
const CHANGED: &str = "/upstream/app1=10.0.1.10:8080;/upstream/app2=10.0.9.9:80;\n";
const GONE: &str = "/upstream/app2=10.0.9.9:80;\n";

async fn fill_consul(consul: &Consul) {
    for (key, value) in all_data() {
        consul.put_key(&key[1..], &value).await;
    }
}

fn fill_etcd(etcd: &EtcdServer) {
    for (key, value) in all_data() {
        etcd.ctl(&["put", &key, &value]);
    }
}

fn fill_etcd_v2(etcd: &EtcdServer) {
    for (key, value) in all_data() {
        etcd.ctl_v2(&["set", &key, &value]);
    }
}

async fn fill_redis(redis: &Redis) {
    for (key, value) in all_data() {
        redis.command(&["SET", &key, &value]).await;
    }
}

#[tokio::test]
async fn consul_gives_what_confd_gets_of_it() {
    let consul = Consul::start().await;
    fill_consul(&consul).await;
    renders(&["-backend", "consul", "-node", &consul.address().to_string()]);
}

#[tokio::test]
async fn a_key_of_consul_brings_along_all_that_begin_with_it_and_folder_keys_are_empty() {
    let consul = Consul::start().await;
    for (key, value) in [("foo", "1"), ("foobar", "2"), ("foo/x", "3"), ("foo/folder/", ""), ("bar", "4")] {
        consul.put_key(key, value).await;
    }
    let confdir = Confdir::new();
    confdir.template(
        "t",
        "{{ range gets \"/*\" }}{{ .Key }}={{ .Value }};{{ end }}{{ exists \"/foo/folder\" }}{{ getv \"/foo/x\" }}\n",
    );
    for (name, keys) in [("one", "\"/foo\""), ("several", "\"/foo/\", \"/nothing\"")] {
        confdir.resource(name, &format!("src = \"t\"\nkeys = [{keys}]\n"));
    }
    confdir.run(&["-onetime", "-backend", "consul", "-node", &consul.address().to_string()]).well();
    for name in ["one", "several"] {
        assert_eq!(confdir.read(name).as_deref(), Some("/foo=1;/foobar=2;true3\n"), "{name}");
    }
}

#[tokio::test]
async fn consul_tells_of_changes() {
    let consul = Consul::start().await;
    fill_consul(&consul).await;
    let confdir = watched();
    let confd = confdir.start(&["-watch", "-backend", "consul", "-node", &consul.address().to_string()]);
    confdir.becomes("upstream", BEFORE).await;
    consul.put_key("other", "x").await;
    consul.put_key("upstream/app2", "10.0.9.9:80").await;
    confdir.becomes("upstream", CHANGED).await;
    consul.delete("/v1/kv/upstream/app1").await;
    confdir.becomes("upstream", GONE).await;
    assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
}

#[tokio::test]
async fn etcd_gives_what_confd_gets_of_it_by_v3() {
    let etcd = EtcdServer::start().await;
    fill_etcd(&etcd);
    let node = etcd.address().to_string();
    renders(&["-backend", "etcdv3", "-node", &node]);
    // Without the v2 API, etcd is read by v3.
    renders(&["-backend", "etcd", "-node", &format!("http://{node}")]);
}

#[tokio::test]
async fn a_key_of_etcd_brings_along_only_what_is_below_it() {
    let etcd = EtcdServer::start().await;
    for (key, value) in [("/foo", "1"), ("/foobar", "2"), ("/foo/x", "3"), ("/foo-x", "4"), ("plain", "5")] {
        etcd.ctl(&["put", key, value]);
    }
    let confdir = Confdir::new();
    confdir.template("t", "{{ range gets \"/*\" }}{{ .Key }}={{ .Value }};{{ end }}\n");
    confdir.resource("foo", "src = \"t\"\nkeys = [\"/foo\"]\n");
    confdir.resource("all", "src = \"t\"\nkeys = [\"/\"]\n");
    confdir.run(&["-onetime", "-backend", "etcdv3", "-node", &etcd.address().to_string()]).well();
    assert_eq!(confdir.read("foo").as_deref(), Some("/foo=1;\n"));
    assert_eq!(confdir.read("all").as_deref(), Some("/foo=1;/foo-x=4;/foobar=2;\n"));
}

#[tokio::test]
async fn etcd_tells_of_changes_by_v3() {
    let etcd = EtcdServer::start().await;
    fill_etcd(&etcd);
    let confdir = watched();
    let confd = confdir.start(&["-watch", "-backend", "etcdv3", "-node", &etcd.address().to_string()]);
    confdir.becomes("upstream", BEFORE).await;
    etcd.ctl(&["put", "/upstreams", "x"]);
    etcd.ctl(&["put", "/upstream/app2", "10.0.9.9:80"]);
    confdir.becomes("upstream", CHANGED).await;
    etcd.ctl(&["del", "/upstream/app1"]);
    confdir.becomes("upstream", GONE).await;
    assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
}

#[tokio::test]
async fn etcd_gives_what_confd_gets_of_it_by_v2() {
    let etcd = EtcdServer::with(etcd::Options { v2: true, ..etcd::Options::default() }).await;
    fill_etcd_v2(&etcd);
    renders(&["-backend", "etcd", "-node", &format!("http://{}", etcd.address())]);
}

#[tokio::test]
async fn etcd_tells_of_changes_by_v2() {
    let etcd = EtcdServer::with(etcd::Options { v2: true, ..etcd::Options::default() }).await;
    fill_etcd_v2(&etcd);
    let confdir = watched();
    let confd = confdir.start(&["-watch", "-backend", "etcd", "-node", &etcd.address().to_string()]);
    confdir.becomes("upstream", BEFORE).await;
    etcd.ctl_v2(&["set", "/other", "x"]);
    etcd.ctl_v2(&["set", "/upstream/app2", "10.0.9.9:80"]);
    confdir.becomes("upstream", CHANGED).await;
    etcd.ctl_v2(&["rm", "/upstream/app1"]);
    confdir.becomes("upstream", GONE).await;
    etcd.ctl_v2(&["rm", "--recursive", "/upstream"]);
    confdir.becomes("upstream", "\n").await;
    assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
}

#[cfg(feature = "zookeeper")]
mod zookeeper {
    use testkit::zookeeper::ZooKeeper;
    use zookeeper_client::{Acls, Client, CreateMode};

    use super::*;

    async fn put(client: &Client, key: &str, value: &str) {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let (folder, _) = key.rsplit_once('/').unwrap();
        if !folder.is_empty() {
            client.mkdir(folder, &options).await.unwrap();
        }
        client.create(key, value.as_bytes(), &options).await.unwrap();
    }

    async fn fill(server: &ZooKeeper) -> Client {
        let client = server.client().await;
        for (key, value) in all_data() {
            put(&client, &key, &value).await;
        }
        client
    }

    #[tokio::test]
    async fn zookeeper_gives_what_confd_gets_of_it() {
        let server = ZooKeeper::start().await;
        fill(&server).await;
        renders(&["-backend", "zookeeper", "-node", &server.address().to_string()]);
    }

    #[tokio::test]
    async fn a_node_that_has_others_below_it_gives_no_value_and_a_missing_key_is_an_error() {
        let server = ZooKeeper::start().await;
        let client = server.client().await;
        put(&client, "/app", "inner").await;
        put(&client, "/app/x", "leaf").await;
        let confdir = Confdir::new();
        confdir.template("t", "{{ exists \"/app\" }} {{ getv \"/app/x\" }}\n");
        confdir.resource("t", "src = \"t\"\nkeys = [\"/app/*\"]\n");
        let node = server.address().to_string();
        confdir.run(&["-onetime", "-backend", "zookeeper", "-node", &node]).well();
        assert_eq!(confdir.read("t").as_deref(), Some("false leaf\n"));
        confdir.resource("t", "src = \"t\"\nkeys = [\"/nowhere\"]\n");
        let missing = confdir.run(&["-onetime", "-backend", "zookeeper", "-node", &node]);
        assert_eq!(missing.code, Some(1));
        assert!(missing.says("ERROR zk: node does not exist: /nowhere"), "{:?}", missing.log);
    }

    #[tokio::test]
    async fn zookeeper_tells_of_changes() {
        let server = ZooKeeper::start().await;
        let client = fill(&server).await;
        let confdir = watched();
        let confd = confdir.start(&["-watch", "-backend", "zookeeper", "-node", &server.address().to_string()]);
        confdir.becomes("upstream", BEFORE).await;
        client.set_data("/upstream/app2", b"10.0.9.9:80", None).await.unwrap();
        confdir.becomes("upstream", CHANGED).await;
        client.delete("/upstream/app1", None).await.unwrap();
        confdir.becomes("upstream", GONE).await;
        put(&client, "/upstream/app1", "10.0.1.10:8080").await;
        confdir.becomes("upstream", CHANGED).await;
        assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
    }
}

#[tokio::test]
async fn redis_gives_what_confd_gets_of_it() {
    let redis = Redis::start().await;
    fill_redis(&redis).await;
    let node = redis.address().to_string();
    renders(&["-backend", "redis", "-node", &node]);
    renders(&["-backend", "redis", "-node", &format!("{node}/0")]);
    renders(&["-backend", "redis", "-node", redis.socket().to_str().unwrap()]);
}

#[tokio::test]
async fn the_fields_of_redis_hashes_are_keys_below_them() {
    let redis = Redis::start().await;
    redis.command(&["SET", "/key", "foobar"]).await;
    redis.command(&["SET", "/prefix/key", "foobar"]).await;
    for (key, value) in all_data() {
        let (hash, field) = key.rsplit_once('/').unwrap();
        if field != "key" {
            redis.command(&["HSET", hash, field, &value]).await;
        }
    }
    renders(&["-backend", "redis", "-node", &redis.address().to_string()]);
}

#[tokio::test]
async fn redis_is_read_with_a_password_another_database_and_another_separator() {
    let redis = Redis::with(redis::Options { password: Some("sesame"), ..redis::Options::default() }).await;
    let confdir = Confdir::new();
    confdir.template("t", "{{ getv \"/app/db/host\" }} {{ getv \"/app/list\" \"none\" }}\n");
    confdir.resource("t", "src = \"t\"\nkeys = [\"/app\"]\n");
    redis.command(&["SET", "app:db:host", "10.0.0.1"]).await;
    redis.command(&["RPUSH", "app:list", "x"]).await;
    let node = redis.address().to_string();
    let backend = ["-onetime", "-backend", "redis", "-separator", ":", "-node"];
    confdir.run(&[&backend[..], &[&node, "-client-key", "sesame"]].concat()).well();
    assert_eq!(confdir.read("t").as_deref(), Some("10.0.0.1 none\n"));
    // The other database has no such key.
    let other = confdir.run(&[&backend[..], &[&format!("{node}/3"), "-password", "sesame"]].concat());
    assert_eq!(other.code, Some(1));
    assert!(other.log.iter().any(|line| line.contains("key does not exist: /app/db/host")), "{:?}", other.log);
}

#[tokio::test]
async fn redis_tells_of_changes_or_is_compared_from_time_to_time() {
    for events in [true, false] {
        let redis = Redis::with(redis::Options { events, ..redis::Options::default() }).await;
        fill_redis(&redis).await;
        let confdir = watched();
        let confd = confdir.start(&["-watch", "-backend", "redis", "-node", &redis.address().to_string()]);
        confdir.becomes("upstream", BEFORE).await;
        redis.command(&["SET", "/upstream/app2", "10.0.9.9:80"]).await;
        confdir.becomes("upstream", CHANGED).await;
        redis.command(&["DEL", "/upstream/app1"]).await;
        confdir.becomes("upstream", GONE).await;
        assert_eq!(confd.logged("notify-keyspace-events"), usize::from(!events), "{:?}", confd.log());
        assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
    }
}

#[tokio::test]
async fn variables_of_the_environment_are_keys() {
    let variables: Vec<_> =
        all_data().into_iter().map(|(key, value)| (key[1..].to_uppercase().replace('/', "_"), value)).collect();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for prefix in ["", "/prefix"] {
        let confdir = Confdir::with_cases();
        confdir.run_with(&["-onetime", "-backend", "env", "-prefix", prefix], &variables).well();
        confdir.has_cases();
    }
}

const YAML: &str = "key: foobar\ndatabase:\n  host: 127.0.0.1\n  password: p@sSw0rd\n  port: 3306\n  username: confd\n\
                    upstream:\n  app1: 10.0.1.10:8080\n  app2: 10.0.1.11:8080\nnested:\n  east:\n    app1: 10.0.1.10:8080\n  \
                    west:\n    app2: 10.0.1.11:8080\n";

#[tokio::test]
async fn files_give_what_confd_gets_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let (yaml, json) = (folder.path().join("data.yml"), folder.path().join("data.json"));
    let indented: String = YAML.lines().map(|line| format!("  {line}\n")).collect();
    fs::write(&yaml, format!("{YAML}prefix:\n{indented}")).unwrap();
    let mut tree = serde_json::json!({});
    for (key, value) in all_data() {
        let mut at = &mut tree;
        for part in key[1..].split('/') {
            at = &mut at[part];
        }
        *at = value.into();
    }
    fs::write(&json, tree.to_string()).unwrap();
    renders(&["-backend", "file", "-file", yaml.to_str().unwrap()]);
    renders(&["-backend", "file", "-file", json.to_str().unwrap()]);
    // A folder; a later file wins.
    fs::write(folder.path().join("a.yml"), "key: not this\n").unwrap();
    fs::write(folder.path().join("z.txt"), "key: nor this\n").unwrap();
    renders(&["-backend", "file", "-file", folder.path().to_str().unwrap(), "-filter", "*.yml"]);
    assert_eq!(DATA.len() * 2, all_data().len());
}

#[tokio::test]
async fn files_are_watched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.yml");
    fs::write(&file, YAML).unwrap();
    let confdir = watched();
    let confd = confdir.start(&["-watch", "-backend", "file", "-file", folder.path().to_str().unwrap()]);
    confdir.becomes("upstream", BEFORE).await;
    fs::write(folder.path().join("more.yml"), "upstream:\n  app2: 10.0.9.9:80\n").unwrap();
    confdir.becomes("upstream", CHANGED).await;
    fs::write(&file, "{}").unwrap();
    confdir.becomes("upstream", GONE).await;
    assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
}

/// A resource of two hundred keys, more than one transaction of any store takes.
#[tokio::test]
async fn more_keys_than_a_transaction_takes_are_all_read() {
    let etcd = EtcdServer::start().await;
    let consul = Consul::start().await;
    let numbers = 0..200;
    for number in numbers.clone() {
        etcd.ctl(&["put", &format!("/many/{number}/value"), &number.to_string()]);
        consul.put_key(&format!("many/{number}/value"), &number.to_string()).await;
    }
    let keys: Vec<_> = numbers.clone().map(|number| format!("\"/many/{number}/\"")).collect();
    let expected: String = numbers.map(|number| format!("{number} ")).collect();
    for (backend, node) in [("etcdv3", etcd.address().to_string()), ("consul", consul.address().to_string())] {
        let confdir = Confdir::new();
        confdir.template("t", "{{ range seq 0 199 }}{{ getv (printf \"/many/%d/value\" .) }} {{ end }}");
        confdir.resource("t", &format!("src = \"t\"\nkeys = [{}]\n", keys.join(", ")));
        let confd = confdir.start(&["-watch", "-backend", backend, "-node", &node]);
        confdir.becomes("t", &expected).await;
        etcd.ctl(&["put", "/many/7/value", "seven"]);
        consul.put_key("many/7/value", "seven").await;
        confdir.becomes("t", &expected.replacen(" 7 ", " seven ", 1)).await;
        etcd.ctl(&["put", "/many/7/value", "7"]);
        consul.put_key("many/7/value", "7").await;
        assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
    }
}

#[tokio::test]
async fn with_an_interval_every_back_end_is_asked_again() {
    let etcd = EtcdServer::start().await;
    let consul = Consul::start().await;
    let redis = Redis::start().await;
    for (backend, node) in [
        ("etcdv3", etcd.address().to_string()),
        ("consul", consul.address().to_string()),
        ("redis", redis.address().to_string()),
    ] {
        let put = async |value: &str| {
            etcd.ctl(&["put", "/key", value]);
            consul.put_key("key", value).await;
            redis.command(&["SET", "/key", value]).await;
        };
        put("one").await;
        let confdir = Confdir::new();
        confdir.template("t", "{{ getv \"/key\" }}\n");
        confdir.resource("t", "src = \"t\"\nkeys = [\"/key\"]\n");
        let _confd = confdir.start(&["-interval", "1", "-backend", backend, "-node", &node]);
        confdir.becomes("t", "one\n").await;
        put("two").await;
        confdir.becomes("t", "two\n").await;
    }
}

/// Reads a file again and again while two keys are written together; they must never differ in it.
async fn never_apart(confdir: &Confdir, write: impl AsyncFn(u32)) {
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..60 {
        write(number).await;
        for _ in 0..5 {
            seen.extend(confdir.read("t"));
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    confdir.becomes("t", "59 59\n").await;
    assert!(seen.len() > 5, "{seen:?}");
    for content in seen {
        let (one, other) = content.trim().split_once(' ').unwrap();
        assert_eq!(one, other);
    }
}

fn two_folders() -> Confdir {
    let confdir = Confdir::new();
    confdir.template("t", "{{ getv \"/a/x\" \"\" }} {{ getv \"/b/x\" \"\" }}\n");
    confdir.resource("t", "src = \"t\"\nkeys = [\"/a\", \"/b\"]\n");
    confdir
}

#[tokio::test]
async fn the_keys_of_a_resource_are_read_as_of_one_moment() {
    use base64::Engine;
    let etcd = EtcdServer::start().await;
    let confdir = two_folders();
    let confd = confdir.start(&["-watch", "-backend", "etcdv3", "-node", &etcd.address().to_string()]);
    let client = etcd_client::Client::connect([etcd.address().to_string()], None).await.unwrap();
    never_apart(&confdir, async |number| {
        let put = |key: &str| etcd_client::TxnOp::put(key, number.to_string(), None);
        let both = etcd_client::Txn::new().and_then([put("/a/x"), put("/b/x")]);
        client.kv_client().txn(both).await.unwrap();
    })
    .await;
    assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
    let consul = Consul::start().await;
    let confdir = two_folders();
    let confd = confdir.start(&["-watch", "-backend", "consul", "-node", &consul.address().to_string()]);
    never_apart(&confdir, async |number| {
        let value = base64::prelude::BASE64_STANDARD.encode(number.to_string());
        let set = |key: &str| serde_json::json!({"KV": {"Verb": "set", "Key": key, "Value": value}});
        consul.put("/v1/txn", &serde_json::json!([set("a/x"), set("b/x")])).await;
    })
    .await;
    assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
}
