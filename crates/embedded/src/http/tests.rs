//! What one client can take, with limits that a test can reach.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use registrator_web::Names;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::catalog::{Catalog, Node};
use crate::definition::Definition;
use crate::testing::{definition, reports};

fn catalog() -> Arc<Catalog> {
    let node = Node {
        id: String::new(),
        name: "n".to_owned(),
        address: "127.0.0.1".parse().unwrap(),
        datacenter: "dc1".to_owned(),
        index: 10,
    };
    Arc::new(Catalog::new(node, reports()))
}

fn put(catalog: &Catalog, id: &str, name: &str, tags: &[&str]) {
    let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    catalog.register(Definition { tags, ..definition(id, name) }, 0);
}

/// The API over a catalog, with these limits.
fn api(catalog: Arc<Catalog>, limits: Limits) -> Arc<Api> {
    Arc::new(Api::new(catalog, Names::default(), limits, Arc::new(|notice| panic!("{notice:?}"))))
}

/// Who asks.
fn client() -> Network {
    Network::of_client("192.0.2.1".parse().unwrap())
}

async fn ask(api: &Arc<Api>, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(()).unwrap();
    let (head, body) = api.answer(&request.into_parts().0, client()).await.into_parts();
    (head.status, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

/// Serves with these limits; says where.
async fn serving(limits: Limits) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(registrator_web::serve(listener, api(catalog(), limits), limits.web, None, stop.clone()));
    (address, stop)
}

#[tokio::test]
async fn one_query_too_many_that_waits_is_told_to_come_back() {
    let limits = Limits { blocked_queries: 1, ..Limits::default() };
    let api = api(catalog(), limits);
    let waiting = tokio::spawn({
        let api = Arc::clone(&api);
        async move { ask(&api, "/v1/catalog/services?index=99&wait=1h").await }
    });
    // It waits before we go on: there is one thread, and nothing else to do for it.
    tokio::task::yield_now().await;
    let (status, text) = ask(&api, "/v1/health/service/web?index=99&wait=1ms").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(text.contains("too many queries wait"), "{text}");
    // Who need not wait is answered as ever.
    assert_eq!(ask(&api, "/v1/health/service/web?index=1").await.0, StatusCode::OK);
    waiting.abort();
    let _ = waiting.await;
    assert_eq!(ask(&api, "/v1/health/service/web?index=99&wait=1ms").await.0, StatusCode::OK);
}

#[tokio::test]
async fn large_answers_that_nobody_takes_are_not_held_without_end() {
    let catalog = catalog();
    for n in 0..100 {
        put(&catalog, &format!("i{n}"), "web", &["a"]);
    }
    let api = api(catalog, Limits { unsent_bytes: 100 << 10, ..Limits::default() });
    let slow = async |path: &str| {
        let request = Request::get(path).body(()).unwrap();
        api.answer(&request.into_parts().0, client()).await
    };
    // Some 80 KB of its own; the same for all takes nothing, however many are slow.
    let own = "/v1/health/service/web?tag=a";
    let held = slow(own).await;
    assert_eq!(held.status(), StatusCode::OK);
    let (status, text) = ask(&api, own).await;
    assert_eq!((status, text.as_str()), (StatusCode::TOO_MANY_REQUESTS, answer::TOO_MUCH_UNSENT));
    for _ in 0..9 {
        assert_eq!(ask(&api, "/v1/health/service/web").await.0, StatusCode::OK);
        assert_eq!(ask(&api, "/v1/health/service/nosuch?tag=a").await.0, StatusCode::OK);
    }
    drop(held);
    assert_eq!(ask(&api, own).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_hung_up_on() {
    let web = registrator_web::Limits { idle: Duration::from_millis(200), ..Default::default() };
    let (address, _stop) = serving(Limits { web, ..Limits::default() }).await;
    for start in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\n", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let closed = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{start:?} keeps a connection");
    }
}

/// What is told where in a round of the next test.
fn told(round: u8) -> [(&'static str, String); 5] {
    [
        ("/v1/catalog/services", format!("\"s{round}\"")),
        ("/v1/catalog/node/n", format!("\"i{round}\"")),
        ("/v1/catalog/service/web", format!("\"t{round}\"")),
        ("/v1/health/service/web", format!("\"t{round}\"")),
        ("/v1/health/service/web?passing", format!("\"t{round}\"")),
    ]
}

#[tokio::test]
async fn what_is_remembered_is_never_older_than_a_change() {
    let catalog = catalog();
    let api = api(Arc::clone(&catalog), Limits::default());
    for round in 0..3 {
        for _ in 0..2 {
            for (path, part) in told(round) {
                let before = ask(&api, path).await.1.contains(&part);
                assert!(!before, "{path} knows {part} already");
            }
        }
        put(&catalog, &format!("i{round}"), &format!("s{round}"), &[]);
        put(&catalog, "web", "web", &[&format!("t{round}")]);
        for (path, part) in told(round) {
            let (_, text) = ask(&api, path).await;
            assert!(text.contains(&part), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn a_pretty_answer_and_another_node_are_not_remembered_for_others() {
    let catalog = catalog();
    let api = api(Arc::clone(&catalog), Limits::default());
    put(&catalog, "i", "web", &["a"]);
    assert_eq!(ask(&api, "/v1/catalog/services?pretty").await.1, "{\n    \"web\": [\n        \"a\"\n    ]\n}\n");
    assert_eq!(ask(&api, "/v1/catalog/services").await.1, "{\"web\":[\"a\"]}");
    assert_eq!(ask(&api, "/v1/catalog/node/other").await.1, "null");
    assert!(ask(&api, "/v1/catalog/node/N").await.1.starts_with("{\"Node\":"));
}
