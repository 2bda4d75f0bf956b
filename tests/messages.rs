//! What keeps a registry from being used is said in one line: what happened, where, why, and what to do about it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{SOON, registrator_with};
use testkit::consul::{self, Consul};
use testkit::etcd::EtcdServer;
use testkit::program::Program;
use testkit::proxy::{HttpRecorder, Mode};
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
