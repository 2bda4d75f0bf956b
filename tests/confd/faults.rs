//! What goes wrong with back ends: each is one line, the file keeps its content, and when all is well again, so is the
//! file.

use std::time::{Duration, Instant};

use testkit::consul::{self, Consul};
use testkit::etcd::{self, EtcdServer};
use testkit::redis::{self, Redis};
use testkit::servers::Server;
use testkit::wait::eventually;
use tokio::net::TcpListener;

use crate::fixture::Confdir;

/// A resource `t` of the key `/key`.
fn simple() -> Confdir {
    let confdir = Confdir::new();
    confdir.template("t", "key={{ getv \"/key\" }}\n");
    confdir.resource("t", "src = \"t\"\nkeys = [\"/key\"]\n");
    confdir
}

/// One run fails, soon, with a line that has all of these parts.
fn fails(backend: &[&str], parts: &[&str]) {
    let confdir = simple();
    let began = Instant::now();
    let ended = confdir.run(&[&["-onetime"], backend].concat());
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    assert_eq!((ended.code, confdir.read("t")), (Some(1), None), "{backend:?}");
    let last = *ended.said().last().unwrap();
    assert!(last.starts_with("FATAL ") && parts.iter().all(|part| last.contains(part)), "{last}");
    assert!(ended.log.iter().all(|line| !line.contains("wrong-password")), "{:?}", ended.log);
}

/// A port where nobody listens.
async fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_store_that_is_away_is_an_error_of_the_run_that_names_it() {
    let node = nobody().await;
    for backend in ["consul", "etcd", "etcdv2", "etcdv3", "redis", "zookeeper"] {
        fails(&["-backend", backend, "-node", &node], &[&node, "onnection refused"]);
    }
}

#[tokio::test]
async fn a_node_that_is_another_server_is_told_apart() {
    let consul = Consul::start().await;
    let redis = Redis::start().await;
    let (consul, redis) = (consul.address().to_string(), redis.address().to_string());
    fails(&["-backend", "redis", "-node", &consul], &["what answers there is no Redis", "of -node"]);
    fails(&["-backend", "etcdv3", "-node", &redis], &["etcd at ", &redis]);
    fails(&["-backend", "consul", "-node", &redis], &[&redis]);
    fails(&["-backend", "zookeeper", "-node", &redis], &[&redis, "check that it is ZooKeeper"]);
}

#[tokio::test]
async fn wrong_credentials_are_told_with_the_options_to_correct() {
    let redis = Redis::with(redis::Options { password: Some("sesame"), ..redis::Options::default() }).await;
    let node = redis.address().to_string();
    for (more, said) in [
        (&[][..], "wants a password; give one by -client-key"),
        (&["-client-key", "wrong-password"], "correct -client-key"),
    ] {
        let backend = [&["-backend", "redis", "-node", &node], more].concat();
        fails(&backend, &[&node, said]);
    }
    let etcd = EtcdServer::start().await;
    etcd.enable_users();
    let node = etcd.address().to_string();
    fails(&["-backend", "etcdv3", "-node", &node], &["wants a user; give one by -basic-auth"]);
    let user = ["-basic-auth", "-username", "root", "-password", "wrong-password"];
    fails(&[&["-backend", "etcdv3", "-node", &node], &user[..]].concat(), &["refuses the user", "-username"]);
    let consul = Consul::with(consul::Options { acl: true, ..consul::Options::default() }).await;
    consul.put_key("key", "value").await;
    let node = consul.address().to_string();
    fails(&["-backend", "consul", "-node", &node, "-auth-token", "wrong-password"], &["ACL"]);
}

#[tokio::test]
async fn right_credentials_are_used() {
    let etcd = EtcdServer::start().await;
    etcd.ctl(&["put", "/key", "value"]);
    etcd.enable_users();
    let consul = Consul::with(consul::Options { acl: true, ..consul::Options::default() }).await;
    consul.put_key("key", "value").await;
    let token = consul.token("key_prefix \"\" { policy = \"read\" }").await;
    let (etcd, consul) = (etcd.address().to_string(), consul.address().to_string());
    let (user, password) = etcd::ROOT;
    let user = ["-backend", "etcdv3", "-node", &etcd, "-basic-auth", "-username", user, "-password", password];
    for (options, variables) in [
        (&user[..], vec![]),
        (&["-backend", "consul", "-node", &consul], vec![("CONSUL_HTTP_TOKEN", token.as_str())]),
        (&["-backend", "consul", "-node", &consul, "-auth-token", &token], vec![]),
    ] {
        let confdir = simple();
        confdir.run_with(&[&["-onetime"], options].concat(), &variables).well();
        assert_eq!(confdir.read("t").as_deref(), Some("key=value\n"));
    }
}

#[tokio::test]
async fn tls_is_spoken_with_the_files_of_the_options() {
    let etcd = EtcdServer::with(etcd::Options { tls: true, ..etcd::Options::default() }).await;
    etcd.ctl(&["put", "/key", "value"]);
    let consul = Consul::with(consul::Options { tls: true, ..consul::Options::default() }).await;
    consul.put_key("key", "value").await;
    let redis = Redis::with(redis::Options { tls: true, ..redis::Options::default() }).await;
    redis.command(&["SET", "/key", "value"]).await;
    let etcd_node = etcd.address().to_string();
    let consul_node = format!("https://{}", consul.tls_address());
    let redis_node = format!("https://{}", redis.tls_address());
    for (backend, node, certificates) in [
        ("etcdv3", etcd_node, etcd.certificates()),
        ("consul", consul_node, consul.certificates()),
        ("redis", redis_node, redis.certificates()),
    ] {
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let (ca, client) = (path(&certificates.ca), &certificates.client);
        let (certificate, key) = (path(&client.certificate), path(&client.key));
        let confdir = simple();
        let options = ["-onetime", "-backend", backend, "-node", &node, "-client-ca-keys", &ca];
        confdir.run(&[&options[..], &["-client-cert", &certificate, "-client-key", &key]].concat()).well();
        assert_eq!(confdir.read("t").as_deref(), Some("key=value\n"), "{backend}");
        // The server wants a certificate of ours.
        let without = confdir.run(&options);
        assert_eq!(without.code, Some(1));
        let last = *without.said().last().unwrap();
        assert!(last.contains("-client-cert"), "{last}");
    }
}

/// A store that goes away, comes back, hangs and goes on, while confd watches it.
async fn outages<S: Server>(mut server: S, backend: &str, put: impl AsyncFn(&S, &str)) {
    let node = server.address().to_string();
    put(&server, "one").await;
    let confdir = simple();
    let confd = confdir.start(&["-watch", "-backend", backend, "-node", &node]);
    confdir.becomes("t", "key=one\n").await;
    server.restart_empty().await;
    confd.wait_for("ERROR ").await;
    // Nothing is there: the template fails, and the file keeps its content.
    assert_eq!(confdir.read("t").as_deref(), Some("key=one\n"));
    put(&server, "two").await;
    confdir.becomes("t", "key=two\n").await;
    server.freeze();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.thaw();
    put(&server, "three").await;
    confdir.becomes("t", "key=three\n").await;
    let lines = confd.log().len();
    assert!(lines < 60, "it does not stop talking: {lines} lines");
}

#[tokio::test]
async fn a_consul_that_goes_away_and_comes_back_is_read_again() {
    outages(Consul::start().await, "consul", async |consul, value| consul.put_key("key", value).await).await;
}

#[tokio::test]
async fn an_etcd_that_goes_away_and_comes_back_is_read_again_by_v3() {
    outages(EtcdServer::start().await, "etcdv3", async |etcd, value| drop(etcd.ctl(&["put", "/key", value]))).await;
}

#[tokio::test]
async fn an_etcd_that_goes_away_and_comes_back_is_read_again_by_v2() {
    let etcd = EtcdServer::with(etcd::Options { v2: true, ..etcd::Options::default() }).await;
    outages(etcd, "etcdv2", async |etcd, value| drop(etcd.ctl_v2(&["set", "/key", value]))).await;
}

#[tokio::test]
async fn a_redis_that_goes_away_and_comes_back_is_read_again() {
    let redis = Redis::with(redis::Options { events: true, ..redis::Options::default() }).await;
    outages(redis, "redis", async |redis, value| drop(redis.command(&["SET", "/key", value]).await)).await;
}

#[cfg(feature = "zookeeper")]
mod zookeeper {
    use testkit::zookeeper::ZooKeeper;
    use zookeeper_client::{Acls, CreateMode};

    use super::*;

    async fn put(server: &ZooKeeper, value: &str) {
        let client = server.client().await;
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        if client.create("/key", value.as_bytes(), &options).await.is_err() {
            client.set_data("/key", value.as_bytes(), None).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_zookeeper_that_goes_away_and_comes_back_is_read_again() {
        outages(ZooKeeper::start().await, "zookeeper", put).await;
    }

    #[tokio::test]
    async fn a_zookeeper_that_hangs_is_noticed_and_read_again_when_it_goes_on() {
        hangs(ZooKeeper::start().await, "zookeeper", put).await;
    }
}

#[tokio::test]
async fn a_store_that_hangs_ends_one_run_within_its_deadline() {
    let redis = Redis::start().await;
    redis.freeze();
    fails(&["-backend", "redis", "-node", &redis.address().to_string()], &["no answer in time"]);
    let consul = Consul::start().await;
    consul.freeze();
    fails(&["-backend", "consul", "-node", &consul.address().to_string()], &["no answer in time"]);
    let etcd = EtcdServer::start().await;
    etcd.freeze();
    fails(&["-backend", "etcdv3", "-node", &etcd.address().to_string()], &["etcd at "]);
}

#[tokio::test]
async fn a_store_that_is_away_at_the_start_of_a_daemon_is_waited_for() {
    let mut redis = Redis::with(redis::Options { events: true, ..redis::Options::default() }).await;
    redis.kill();
    let confdir = simple();
    let confd = confdir.start(&["-watch", "-backend", "redis", "-node", &redis.address().to_string()]);
    confd.wait_for("ERROR Redis at ").await;
    redis.restart().await;
    redis.command(&["SET", "/key", "value"]).await;
    confdir.becomes("t", "key=value\n").await;
}

/// A store that hangs while confd watches it, for longer than any deadline, and goes on.
async fn hangs<S: Server>(server: S, backend: &str, put: impl AsyncFn(&S, &str)) {
    let node = server.address().to_string();
    put(&server, "one").await;
    let confdir = simple();
    let confd = confdir.start(&["-watch", "-backend", backend, "-node", &node]);
    confdir.becomes("t", "key=one\n").await;
    server.freeze();
    eventually("it is noticed", Duration::from_secs(60), async || (confd.logged("ERROR ") > 0).then_some(())).await;
    assert_eq!(confdir.read("t").as_deref(), Some("key=one\n"));
    server.thaw();
    put(&server, "two").await;
    confdir.becomes("t", "key=two\n").await;
}

#[tokio::test]
async fn a_store_that_hangs_while_it_is_watched_is_noticed_and_read_again_when_it_goes_on() {
    let redis = Redis::with(redis::Options { events: true, ..redis::Options::default() }).await;
    let (consul, etcd) = (Consul::start().await, EtcdServer::start().await);
    let old = EtcdServer::with(etcd::Options { v2: true, ..etcd::Options::default() }).await;
    tokio::join!(
        hangs(redis, "redis", async |redis, value| drop(redis.command(&["SET", "/key", value]).await)),
        hangs(consul, "consul", async |consul, value| consul.put_key("key", value).await),
        hangs(etcd, "etcdv3", async |etcd, value| drop(etcd.ctl(&["put", "/key", value]))),
        hangs(old, "etcdv2", async |etcd, value| drop(etcd.ctl_v2(&["set", "/key", value]))),
    );
}
