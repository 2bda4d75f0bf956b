//! The walk of docs/traefik.md: two hosts, labels, one Traefik.

use std::collections::BTreeSet;

use testkit::traefik::Traefik;
use testkit::wait::{becomes, eventually};

use crate::fixture::{Host, Server, Store};
use crate::support::SOON;

/// The block of the page with this name.
fn block(name: &str) -> String {
    let page = include_str!("../../docs/traefik.md");
    let begin = format!("```{name}\n");
    let block = page.split_once(&begin).unwrap_or_else(|| panic!("docs/traefik.md has no block {name}")).1;
    block.split_once("```").unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_of_the_page_works_as_it_says() {
    let page = include_str!("../../docs/traefik.md");
    assert!(page.contains("registrator -ip 10.0.0.11 -drain 1 'etcd://10.0.0.5:2379/?layout=traefik'"));
    let store = Store::etcd().await;
    let Store::Etcd(etcd) = &store else { unreachable!() };
    let config = block("yaml").replace("10.0.0.5:2379", &etcd.address().to_string());
    let traefik = Traefik::of_file(&config).await;
    let (one, two) = (Server::start("one").await, Server::start("two").await);
    let host_a = Host::start("hosta", &store.uri(""), &["-drain", "1"]).await;
    let host_b = Host::start("hostb", &store.uri(""), &["-drain", "1"]).await;
    for (host, server) in [(&host_a, &one), (&host_b, &two)] {
        let labels = block("labels");
        let labels = labels.lines().map(|line| line.split_once('=').unwrap());
        let container = server.container("shop");
        host.engine.run(labels.fold(container, |container, (label, value)| container.label(label, value)));
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let answered = async || traefik.get("shop.example.com", "/").await.filter(|reply| reply.status == 200);
        let reply = eventually("Traefik answers", SOON, answered).await;
        assert_eq!(reply.header("x-hello"), Some("there"));
        seen.insert(String::from_utf8(reply.body).unwrap());
    }
    assert_eq!(seen, BTreeSet::from(["one".to_owned(), "two".to_owned()]));
    let page =
        block("keys").replace("http://10.0.0.11:32768", &one.url()).replace("http://10.0.0.12:32768", &two.url());
    let mut expected: Vec<String> = page.lines().map(str::to_owned).collect();
    expected.sort();
    let keys = async || {
        let spelt = |(key, value): (String, String)| {
            let number = |part: &str| part.len() == 20 && part.bytes().all(|byte| byte.is_ascii_digit());
            let parts = key.split('/').map(|part| if number(part) { "<number>" } else { part });
            format!("traefik/{} = {value}", parts.collect::<Vec<_>>().join("/"))
        };
        let mut keys: Vec<_> = store.keys().await.into_iter().map(spelt).collect();
        keys.sort();
        keys
    };
    becomes(expected, SOON, keys).await;
}
