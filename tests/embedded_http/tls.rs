//! Checks over TLS: which certificates are taken, beside a real Consul, from a container's own metadata.

use std::net::SocketAddr;

use serde_json::{Value, json};
use testkit::certificates::Certificates;
use testkit::consul::{Consul, Options};
use testkit::docker::{Spec, unique};
use testkit::tls_front::TlsFront;
use testkit::wait::becomes;

use super::beside::get;
use super::support::{HOST, SOON, addresses, registrator_with};
use super::targets::{grpc_server, web_server};

/// Status and output of one of the container's checks.
async fn check(server: SocketAddr, container: &str, port: usize) -> (Value, String) {
    let id = format!("service:{HOST}:{container}:{port}");
    let check = get(server, "/v1/agent/checks").await.json()[id].take();
    (check["Status"].clone(), check["Output"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_check_over_tls_takes_the_certificates_that_consuls_takes_and_any_where_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = Certificates::make(folder.path());
    let other = tempfile::tempdir().unwrap();
    let foreign = Certificates::make(other.path());
    // What the machine trusts is all that a check trusts; here that is one authority.
    let authority = [("SSL_CERT_FILE", trusted.ca.to_str().unwrap()), ("SSL_CERT_DIR", "/nowhere")];
    let cases = [
        (trusted.server.clone(), ""),
        (trusted.server("elsewhere", "DNS:elsewhere.example", 1), "not valid for name"),
        (trusted.server("expired", "IP:127.0.0.1", -1), "xpired"),
        (foreign.server.clone(), "UnknownIssuer"),
    ];
    let (web, grpc) = (web_server().await, grpc_server(1).await);
    let name = unique("tls");
    let mut spec = Spec::new(&name).env("SERVICE_IP=127.0.0.1").env("SERVICE_CHECK_INTERVAL=1s");
    let (mut fronts, mut expected) = (Vec::new(), Vec::new());
    for (identity, wrong) in &cases {
        for (upstream, protocol, keys) in
            [(web, "http/1.1", &["HTTPS=/ok"][..]), (grpc, "h2", &["GRPC=true", "GRPC_USE_TLS=true"])]
        {
            let front = TlsFront::tcp(upstream, identity, protocol).await;
            for trusting in [false, true] {
                expected.push(if trusting { "" } else { wrong });
                let port = expected.len();
                spec =
                    spec.expose(&format!("{port}/tcp")).env(&format!("SERVICE_{port}_PORT={}", front.address().port()));
                let skip = trusting.then_some("TLS_SKIP_VERIFY=true");
                for key in keys.iter().copied().chain(skip) {
                    spec = spec.env(&format!("SERVICE_{port}_CHECK_{key}"));
                }
            }
            fronts.push(front);
        }
    }
    let consul = Consul::with_environment(Options::default(), &authority).await;
    // Both in one run: the one has what the other has.
    let options = ["-internal", &consul.uri()];
    let program =
        registrator_with("embedded://127.0.0.1:0?dns=127.0.0.1:0&check-networks=127.0.0.1", &options, &authority);
    let (ours, _) = addresses(&program).await;
    let _container = spec.start();
    for (wrong, port) in expected.iter().zip(1..) {
        let status = if wrong.is_empty() { "passing" } else { "critical" };
        for server in [consul.address(), ours] {
            let probed = async || {
                let (status, output) = check(server, &name, port).await;
                (status, !output.is_empty())
            };
            becomes((json!(status), true), SOON, probed).await;
        }
        let (theirs, ours) = (check(consul.address(), &name, port).await.1, check(ours, &name, port).await.1);
        if wrong.is_empty() {
            // But for the body, which is of a server that only metadata speaks for.
            assert!(!ours.is_empty() && theirs.starts_with(&ours), "{ours} (Consul: {theirs})");
        } else {
            // What is wrong with a certificate is said in each one's own words.
            assert!(ours.contains(wrong), "{wrong}: {ours} (Consul: {theirs})");
        }
    }
}
