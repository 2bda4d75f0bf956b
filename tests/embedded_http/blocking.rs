//! Blocking queries, beside a real Consul.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::beside::{Beside, get, service, services};

/// How long an answer took, and what it was.
async fn timed(server: SocketAddr, path: String) -> (Duration, super::beside::Answer) {
    let started = Instant::now();
    let answer = get(server, &path).await;
    (started.elapsed(), answer)
}

const ENDPOINTS: [&str; 7] = [
    "/v1/catalog/services",
    "/v1/catalog/nodes",
    "/v1/catalog/service/web",
    "/v1/health/service/web",
    "/v1/health/service/nosuch",
    "/v1/health/state/any",
    "/v1/health/checks/web",
];

/// Waits until nothing changes any more: Consul writes what it was told a moment later.
async fn settled(server: SocketAddr) {
    let indexes = async || {
        let mut all = Vec::new();
        for path in ENDPOINTS {
            all.push(get(server, path).await.index());
        }
        all
    };
    let mut before = Vec::new();
    for _ in 0..60 {
        let now = indexes().await;
        if now == before {
            return;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{server} does not settle");
}

#[tokio::test]
async fn a_query_without_a_change_waits_for_its_time_and_has_the_same_index() {
    let both = Beside::start(&services()[..3]).await;
    for server in [both.consul.address(), both.ours()] {
        settled(server).await;
        for path in ENDPOINTS {
            let index = get(server, path).await.index();
            for asked in [index, index + 1000] {
                let (took, answer) = timed(server, format!("{path}?index={asked}&wait=320ms")).await;
                assert!(took >= Duration::from_millis(320), "{server}{path}: {took:?}");
                assert_eq!(answer.index(), index, "{server}{path}");
            }
        }
    }
}

#[tokio::test]
async fn an_index_of_the_past_is_answered_at_once() {
    let both = Beside::start(&services()[..3]).await;
    for server in [both.consul.address(), both.ours()] {
        for path in ENDPOINTS {
            let index = get(server, path).await.index();
            for asked in [0, 1, index - 1] {
                let (took, _) = timed(server, format!("{path}?index={asked}&wait=50s")).await;
                assert!(took < Duration::from_secs(50), "{server}{path}?index={asked}: {took:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_change_of_a_service_wakes_who_waits_for_it_and_nobody_else() {
    let both = Beside::start(&services()[..3]).await;
    both.register(&service("h:other:1", "other", "10.0.0.7", 1)).await;
    for server in [both.consul.address(), both.ours()] {
        settled(server).await;
        let mut waiting = Vec::new();
        for (path, woken) in [
            ("/v1/catalog/services", true),
            ("/v1/catalog/service/web", true),
            ("/v1/health/service/web", true),
            ("/v1/health/service/web?passing", true),
            ("/v1/catalog/service/other", false),
            ("/v1/health/service/other", false),
            ("/v1/catalog/nodes", false),
        ] {
            let before = get(server, path).await.index();
            let query = if path.contains('?') { '&' } else { '?' };
            // Who is to be woken waits for as long as a slow machine may take.
            let wait = Duration::from_secs(if woken { 50 } else { 4 });
            let asked = tokio::spawn(timed(server, format!("{path}{query}index={before}&wait={}s", wait.as_secs())));
            waiting.push((path, woken, wait, before, asked));
        }
        // Most wait by now; one that does not is answered with the change at once, which is as good.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut web = services().remove(0);
        web.port = if server == both.ours() { 1001 } else { 1000 };
        both.register(&web).await;
        for (path, woken, wait, before, asked) in waiting {
            let (took, answer) = asked.await.unwrap();
            assert_eq!(took < wait, woken, "{server}{path}: {took:?}");
            assert_eq!(answer.index() > before, woken, "{server}{path}: {before} {}", answer.index());
        }
    }
}

#[tokio::test]
async fn a_service_that_comes_or_goes_wakes_who_waits_for_it() {
    let both = Beside::start(&services()[..1]).await;
    for (id, comes) in [("h:new:1", true), ("h:new:1", false), ("h:new:1", true)] {
        let mut waiting = Vec::new();
        for server in [both.consul.address(), both.ours()] {
            settled(server).await;
            let path = "/v1/health/service/new";
            let index = get(server, path).await.index();
            waiting.push((index, tokio::spawn(timed(server, format!("{path}?index={index}&wait=50s")))));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        if comes {
            both.register(&service(id, "new", "10.0.0.8", 1)).await;
        } else {
            both.deregister(id).await;
        }
        for (index, asked) in waiting {
            let (took, answer) = asked.await.unwrap();
            assert!(took < Duration::from_secs(50), "{took:?}");
            assert!(answer.index() > index);
            assert_eq!(answer.json().as_array().unwrap().len(), usize::from(comes));
        }
    }
}
