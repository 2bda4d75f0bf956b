//! What keeps a registry from being used is said in one line: what happened, where, why, and what to do about it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{SOON, registrator_with};
use testkit::consul::{self, Consul};
use testkit::etcd::{self, EtcdServer};
use testkit::program::Program;
use testkit::proxy::{HttpRecorder, Mode};
use testkit::redis::{self, Redis};
use testkit::wait::becomes;

/// The line with which the program ends that cannot use this registry, without its stamp.
async fn last_words(uri: &str, environment: &[(&str, &str)]) -> String {
    let mut program = registrator_with(uri, &[], environment);
    assert_eq!(program.ended(SOON).await.code(), Some(1), "{:?}", program.log());
    let said = |program: &Program| program.log().last().cloned().unwrap_or_default();
    becomes(true, SOON, async || !said(&program).contains("Connecting to backend")).await;
    let line = said(&program);
    line["2015/08/30 19:18:12 ".len()..].to_owned()
}

/// Asserts that this registry cannot be used, and that the program's last line says so in these words.
async fn refuses(uri: &str, environment: &[(&str, &str)], words: &str) {
    assert_eq!(last_words(uri, environment).await, words, "{uri} {environment:?}");
}

#[tokio::test]
async fn a_consul_that_nobody_answers_for_is_looked_for_and_waited_for() {
    let cure = "check the URI and that it runs, or wait for it with -retry-attempts";
    refuses(
        "consul://127.0.0.1:1",
        &[],
        &format!("Consul at http://127.0.0.1:1: Connection refused (os error 111); {cure}"),
    )
    .await;
    let missing = "Consul at unix:///nonexistent/consul.sock: No such file or directory (os error 2)";
    refuses("consul-unix:///nonexistent/consul.sock", &[], &format!("{missing}; {cure}")).await;
}

#[tokio::test]
async fn tls_with_consul_that_goes_wrong_names_the_setting_that_is_wrong() {
    let plain = Consul::start().await;
    let secure = Consul::with(consul::Options { tls: true, ..consul::Options::default() }).await;
    let (http, https) = (plain.address(), secure.tls_address());
    let (over_tls, without) = (format!("consul-tls://{https}"), format!("consul://{https}"));
    let made = secure.certificates();
    let [ca, certificate] = [&made.ca, &made.client.certificate].map(|path| path.to_str().unwrap());
    let place = format!("Consul at https://{https}");
    for (uri, environment, words) in [
        (
            format!("consul-tls://{http}"),
            vec![],
            format!(
                "Consul at https://{http}: it speaks no TLS there; connect without (consul:// or consulkv://, and no \
                 CONSUL_HTTP_SSL), or to the port that serves TLS"
            ),
        ),
        (
            without,
            vec![],
            format!(
                "Consul at http://{https}: it speaks only TLS there; connect with TLS (consul-tls://, consulkv-tls:// or \
                 CONSUL_HTTP_SSL=true), or to the port that serves none"
            ),
        ),
        (
            over_tls.clone(),
            vec![],
            format!(
                "{place}: its certificate is signed by no authority that is trusted here; name the PEM file of its \
                 authority in CONSUL_CACERT"
            ),
        ),
        (
            over_tls.clone(),
            vec![("CONSUL_CACERT", ca)],
            format!(
                "{place}: it wants a certificate of ours that it trusts; name one in CONSUL_CLIENT_CERT, and its key in \
                 CONSUL_CLIENT_KEY"
            ),
        ),
        (
            over_tls.clone(),
            vec![("CONSUL_CACERT", "/nonexistent/ca.pem")],
            "consul: the authorities to trust cannot be read from /nonexistent/ca.pem: No such file or directory (os error \
             2); correct CONSUL_CACERT"
                .to_owned(),
        ),
        (
            over_tls.clone(),
            vec![("CONSUL_CLIENT_CERT", certificate), ("CONSUL_CLIENT_KEY", certificate)],
            format!(
                "consul: the key of our certificate cannot be read from {certificate}: it holds no private key; correct \
                 CONSUL_CLIENT_KEY"
            ),
        ),
    ] {
        refuses(&uri, &environment, &words).await;
    }
}

#[tokio::test]
async fn a_consul_token_that_is_missing_or_unknown_is_told_apart_from_a_consul_that_is_away() {
    let consul = Consul::with(consul::Options { acl: true, ..consul::Options::default() }).await;
    let missing = "consul: the token file /nonexistent/token cannot be read: No such file or directory (os error 2); write \
                   the token there, or correct CONSUL_HTTP_TOKEN_FILE";
    refuses(&consul.uri(), &[("CONSUL_HTTP_TOKEN_FILE", "/nonexistent/token")], missing).await;

    let unknown = [("CONSUL_HTTP_TOKEN", "00000000-0000-4000-8000-00000000dead")];
    let program = registrator_with(&consul.uri(), &[], &unknown);
    let line = program
        .wait_for(&format!(
            " Consul at http://{}: ACL not found: Consul does not know the token; look at CONSUL_HTTP_TOKEN or \
             CONSUL_HTTP_TOKEN_FILE",
            consul.address()
        ))
        .await;
    assert!(!line.contains("check the URI"), "{line}");
}

#[tokio::test]
async fn a_server_that_is_no_consul_is_said_to_be_none_and_its_pages_are_not_repeated() {
    let etcd = EtcdServer::start().await;
    let cure = "check the host and the port of the URI";
    let words =
        |address, sign| format!("Consul at http://{address}: what answers there is no Consul agent ({sign}); {cure}");
    refuses(&format!("consul://{}", etcd.address()), &[], &words(etcd.address(), "404 Not Found")).await;

    // What nobody has at hand here: servers that answer with pages.
    let pages = HttpRecorder::start(etcd.address()).await;
    let page = "<!DOCTYPE html><html><body>It works!</body></html>".to_owned();
    let (address, uri) = (pages.address(), format!("consul://{}", pages.address()));
    for (status, said) in [
        (200, words(address, "it names no leader")),
        (404, words(address, "404 Not Found")),
        (302, words(address, "302 Found")),
        (
            502,
            format!(
                "Consul at http://{address}: it answered 502 Bad Gateway and a web page; check the URI and that it runs, \
                 or wait for it with -retry-attempts"
            ),
        ),
    ] {
        pages.set(Mode::Answer(status, page.clone()));
        refuses(&uri, &[], &said).await;
    }
}

#[tokio::test]
async fn etcd_names_the_user_that_it_refuses_and_where_one_is_given() {
    for (v2, scheme, refused) in [
        (false, "etcd", "wrong password, or no such user"),
        (false, "etcd3", "wrong password, or no such user"),
        (true, "etcd", "wrong password, no such user, or no right to do that (Insufficient credentials)"),
        (true, "etcd2", "wrong password, no such user, or no right to do that (Insufficient credentials)"),
    ] {
        let server = EtcdServer::with(etcd::Options { v2, ..etcd::Options::default() }).await;
        server.enable_users();
        let (address, cure) = (server.address(), "correct the URI, or ETCD_USER");
        let words = format!("etcd at {address} refuses the user \"root\": {refused}; {cure}");
        refuses(&format!("{scheme}://root:hunter2@{address}"), &[], &words).await;
        refuses(&format!("{scheme}://{address}"), &[("ETCD_USER", "root:hunter2")], &words).await;
        let words = format!("etcd at {address} wants a user; give one as user:password@ in the URI, or in ETCD_USER");
        refuses(&format!("{scheme}://{address}"), &[], &words).await;
    }
}

#[tokio::test]
async fn tls_with_etcd_that_goes_wrong_names_the_setting_that_is_wrong() {
    let plain = EtcdServer::with(etcd::Options { v2: true, ..etcd::Options::default() }).await;
    let secure = EtcdServer::with(etcd::Options { v2: true, tls: true, ..etcd::Options::default() }).await;
    let consul = Consul::start().await;
    let (http, https) = (plain.address(), secure.address());
    let ca = secure.certificates().ca.to_str().unwrap();
    for scheme in ["etcd", "etcd2", "etcd3"] {
        for (uri, words) in [
            (
                format!("{scheme}-tls://{http}"),
                format!(
                    "etcd at {http}: it speaks no TLS there; connect without (etcd://, no https:// in ETCD_ENDPOINTS, and \
                     no ca=, cert= or key=), or to the port that serves TLS"
                ),
            ),
            (
                format!("{scheme}://{https}"),
                format!(
                    "etcd at {https}: it speaks only TLS there; connect with TLS (etcd-tls://, or https:// in \
                     ETCD_ENDPOINTS), or to the port that serves none"
                ),
            ),
            (
                format!("{scheme}-tls://{https}"),
                format!(
                    "etcd at {https}: its certificate is signed by no authority that is trusted here; name the PEM file of \
                     its authority in ca= of the URI, or ETCD_CA_CERT_FILE"
                ),
            ),
            (
                format!("{scheme}-tls://{https}?ca={ca}"),
                format!(
                    "etcd at {https}: it wants a certificate of ours that it trusts; name one in cert= of the URI, or \
                     ETCD_CERT_FILE, and its key in key= of the URI, or ETCD_KEY_FILE"
                ),
            ),
        ] {
            refuses(&uri, &[], &words).await;
        }
    }
    let words = last_words(&format!("etcd3://{}", consul.address()), &[]).await;
    let (begin, end) = ("what answers there is no etcd (", "); check the host and the port of the URI");
    assert!(words.starts_with(&format!("etcd at {}: {begin}", consul.address())) && words.ends_with(end), "{words}");
}

#[tokio::test]
async fn redis_names_what_it_refuses_and_where_it_is_corrected() {
    let open = Redis::start().await;
    let closed = Redis::with(redis::Options { password: Some("sesame"), tls: true, ..redis::Options::default() }).await;
    let consul = Consul::start().await;
    let (plain, locked, secure) = (open.address(), closed.address(), closed.tls_address());
    let ca = closed.certificates().ca.to_str().unwrap();
    let cure = "check the URI and that it runs, or wait for it with -retry-attempts";
    for (uri, environment, words) in [
        ("redis://127.0.0.1:1".to_owned(), vec![], format!("Redis at 127.0.0.1:1: Connection refused (os error 111); {cure}")),
        (
            format!("redis://{locked}"),
            vec![],
            format!(
                "Redis at {locked} wants a password; give one as user:password@ or :password@ in the URI, or in REDIS_USER"
            ),
        ),
        (
            format!("redis://me:hunter2@{locked}"),
            vec![],
            format!("Redis at {locked} refuses the user: wrong password, or no such user; correct the URI, or REDIS_USER"),
        ),
        (
            format!("redis://{locked}"),
            vec![("REDIS_USER", ":hunter2")],
            format!("Redis at {locked} refuses the user: wrong password, or no such user; correct the URI, or REDIS_USER"),
        ),
        (
            format!("redis://:hunter2@{plain}"),
            vec![],
            format!("Redis at {plain} has no password for its default user; take it out of the URI, or REDIS_USER"),
        ),
        (
            format!("redis://{plain}/99"),
            vec![],
            format!("Redis at {plain} has no database of this number (DB index is out of range); correct it in the URI"),
        ),
        (
            format!("rediss://{plain}"),
            vec![],
            format!(
                "Redis at {plain}: it speaks no TLS there; connect without (redis://), or to the port that serves TLS"
            ),
        ),
        (
            format!("redis://{secure}"),
            vec![],
            format!(
                "Redis at {secure}: it speaks only TLS there; connect with TLS (rediss://), or to the port that serves none"
            ),
        ),
        (
            format!("rediss://:sesame@{secure}"),
            vec![],
            format!(
                "Redis at {secure}: its certificate is signed by no authority that is trusted here; name the PEM file of its \
                 authority in ca= of the URI, or REDIS_CA_CERT_FILE"
            ),
        ),
        (
            format!("rediss://:sesame@{secure}?ca={ca}"),
            vec![],
            format!(
                "Redis at {secure}: it wants a certificate of ours that it trusts; name one in cert= of the URI, or \
                 REDIS_CERT_FILE, and its key in key= of the URI, or REDIS_KEY_FILE"
            ),
        ),
        (
            format!("redis://{}", consul.address()),
            vec![],
            format!(
                "what answers there is no Redis at {}; correct the host and the port of the URI",
                consul.address()
            ),
        ),
        (
            format!("redis+sentinel://127.0.0.1:1,{plain}/mine"),
            vec![],
            format!(
                "Redis at 127.0.0.1:1,{plain}/mine: the sentinel {plain} is a Redis server and no sentinel; correct the host \
                 and the port in the URI"
            ),
        ),
        (
            "redis://127.0.0.1:6379/services".to_owned(),
            vec![],
            "bad adapter uri: redis://127.0.0.1:6379/services: \"services\" is no number of a database; the prefix of the \
             keys is a parameter, as ?prefix=services"
                .to_owned(),
        ),
    ] {
        refuses(&uri, &environment, &words).await;
    }
}

#[cfg(feature = "zookeeper")]
#[tokio::test]
async fn zookeeper_that_begins_no_session_says_why() {
    use testkit::zookeeper::{self, ZooKeeper};

    let plain = ZooKeeper::start().await;
    let secure = ZooKeeper::with(zookeeper::Options { tls: true, sasl: true }).await;
    let consul = Consul::start().await;
    let (http, https) = (plain.address(), secure.tls_address());
    let ca = secure.certificates().ca.to_str().unwrap();
    let silent = "it accepts connections and begins no session; check that it is ZooKeeper, and that it serves";
    for (uri, words) in [
        (
            format!("zookeeper-tls://{http}?ca={ca}"),
            format!(
                "ZooKeeper at {http}: it speaks no TLS there; connect without (zookeeper://), or to the port that serves TLS"
            ),
        ),
        (
            format!("zookeeper://{https}"),
            format!(
                "ZooKeeper at {https}: it speaks only TLS there; connect with TLS (zookeeper-tls://), or to the port that \
                 serves none"
            ),
        ),
        (
            format!("zookeeper-tls://{https}?ca={ca}"),
            format!(
                "ZooKeeper at {https}: it wants a certificate of ours that it trusts; name one in cert= of the URI, or \
                 ZOOKEEPER_CLIENT_CERT, and its key in key= of the URI, or ZOOKEEPER_CLIENT_KEY"
            ),
        ),
        (
            format!("zookeeper://me:hunter2@{}?auth=sasl", secure.address()),
            format!(
                "ZooKeeper at {} refuses the user \"me\": authentication failed: wrong password, or no such user; correct \
                 the URI, or ZOOKEEPER_AUTH",
                secure.address()
            ),
        ),
        (format!("zookeeper://{}", consul.address()), format!("ZooKeeper at {}: {silent}", consul.address())),
        (
            "zookeeper://127.0.0.1:1".to_owned(),
            "ZooKeeper at 127.0.0.1:1: Connection refused (os error 111); check the URI and that it runs, or wait for it \
             with -retry-attempts"
                .to_owned(),
        ),
    ] {
        refuses(&uri, &[], &words).await;
    }
}

#[tokio::test]
async fn a_secret_that_goes_to_another_machine_unencrypted_is_said_once_at_the_start() {
    // Nobody has this address.
    let elsewhere = "192.0.2.1";
    let cure = "unencrypted, so others on the network can read it; connect with TLS (";
    for (uri, environment, secret) in [
        (format!("consul://{elsewhere}:8500"), vec![("CONSUL_HTTP_TOKEN", "hunter2")], Some("consul: the token")),
        (
            format!("consulkv://{elsewhere}:8500/a"),
            vec![("CONSUL_HTTP_TOKEN_FILE", "/dev/null")],
            Some("consul: the token"),
        ),
        (format!("consul://me:hunter2@{elsewhere}:8500"), vec![], Some("consul: the password")),
        (format!("etcd://me:hunter2@127.0.0.1:2,{elsewhere}:2"), vec![], Some("etcd: the password")),
        (format!("redis://:hunter2@{elsewhere}:2"), vec![], Some("redis: the password")),
        (format!("consul://{elsewhere}:8500"), vec![], None),
        (format!("consul-tls://{elsewhere}:8500"), vec![("CONSUL_HTTP_TOKEN", "hunter2")], None),
        ("consul://127.0.0.1:2".to_owned(), vec![("CONSUL_HTTP_TOKEN", "hunter2")], None),
    ] {
        let program = registrator_with(&uri, &["-retry-attempts", "-1"], &environment);
        program.wait_for("Connecting to backend").await;
        let said = secret.map(|secret| format!("{secret} goes to {elsewhere} {cure}"));
        assert_eq!(program.logged(cure), usize::from(said.is_some()), "{uri}: {:?}", program.log());
        assert_eq!(said.map_or(1, |said| program.logged(&said)), 1, "{uri}: {:?}", program.log());
    }
}

#[tokio::test]
async fn a_provider_a_discoverd_and_a_dns_server_that_are_none_are_each_named_with_what_to_look_at() {
    let consul = Consul::start().await;
    let at = consul.address();
    let cure = "check the URI and that it runs, or wait for it with -retry-attempts";
    let port = "check the host and the port of the URI";
    for (uri, words) in [
        (
            "webhook+http://127.0.0.1:1/zone.example".to_owned(),
            format!("webhook provider at http://127.0.0.1:1: Connection refused (os error 111); {cure}"),
        ),
        (
            format!("webhook+http://{at}/zone.example"),
            format!(
                "webhook provider at http://{at}: what answers there is no webhook provider of external-dns (301 Moved \
                 Permanently); {port}: providers listen on port 8888, and their health is on another"
            ),
        ),
        (
            format!("webhook+https://{at}/zone.example"),
            format!(
                "webhook provider at https://{at}: it speaks no TLS there; connect without (webhook+http://), or to the \
                 port that serves TLS"
            ),
        ),
        (
            "discoverd://127.0.0.1:1".to_owned(),
            format!("discoverd at http://127.0.0.1:1: Connection refused (os error 111); {cure}"),
        ),
        (
            format!("discoverd://{at}"),
            format!("discoverd at http://{at}: what answers there is no discoverd (404 Not Found to /ping); {port}"),
        ),
        (
            "rfc2136://127.0.0.1:1/zone.example".to_owned(),
            format!("DNS server at 127.0.0.1:1: Connection refused (os error 111); {cure}"),
        ),
        (
            "webhook+http://h".to_owned(),
            "bad adapter uri: webhook+http://h: the zone is missing, as in \
             webhook+http://localhost:8888/services.example.com"
                .to_owned(),
        ),
        (
            "webhook://h/zone.example".to_owned(),
            "unrecognized adapter: webhook://h/zone.example; did you mean webhook+http://h/zone.example?".to_owned(),
        ),
    ] {
        refuses(&uri, &[], &words).await;
    }
}
