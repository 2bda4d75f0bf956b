//! A slow template delays only its own container, and the changes of one container stay in order.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Mutex;

use litemap::LiteMap;
use serde_json::json;

use super::*;
use crate::container::{Health, Moment, NetworkMode, State, Stop};

/// A server that answers only when told to, and then always with "slow".
struct Server {
    address: SocketAddr,
    held: Arc<Mutex<Option<Vec<std::net::TcpStream>>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let held = Arc::new(Mutex::new(Some(Vec::new())));
        let shared = Arc::clone(&held);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                match shared.lock().unwrap().as_mut() {
                    Some(held) => held.push(connection),
                    None => answer(connection),
                }
            }
        });
        Self { address, held }
    }

    fn answer(&self) {
        let held = self.held.lock().unwrap().take();
        held.into_iter().flatten().for_each(answer);
    }
}

fn answer(mut connection: std::net::TcpStream) {
    let _ = connection.read(&mut [0; 4096]);
    let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nslow");
}

/// A container whose template asks this server, or has none.
fn container(name: &str, asks: Option<&Server>) -> Arc<Container> {
    let url = asks.map_or(String::new(), |server| format!("http://{}/", server.address));
    Arc::new(Container {
        id: name.into(),
        name: name.into(),
        image: "web".into(),
        hostname: name.into(),
        env: Arc::default(),
        labels: LiteMap::new(),
        network_mode: NetworkMode::Network("default".to_owned()),
        networks: LiteMap::new(),
        ports: Vec::new(),
        state: State::Running { paused: false, health: Health::None },
        created: Moment::default(),
        started: Moment::default(),
        stop: Stop::default(),
        inspect: Some(Arc::new(json!({"Id": name, "Config": {"Labels": {"meta": url}}}))),
    })
}

/// The same container, changed.
fn renamed(container: &Arc<Container>, name: &str) -> Arc<Container> {
    Arc::new(Container { name: name.into(), ..Container::clone(container) })
}

/// A tagging stage with its input and output.
struct Bench<S> {
    changes: mpsc::Sender<Change>,
    seen: Pin<Box<S>>,
}

fn stage(template: &str) -> Bench<impl Stream<Item = Seen>> {
    let tags = Arc::new(ForcedTags::parse(template).unwrap());
    let (changes, receiver) = mpsc::channel(100);
    Bench { changes, seen: Box::pin(tagged(receiver, tags, Events::new(|_| {}))) }
}

const ASKING: &str = r#"{{with index .Config.Labels "meta"}}{{httpGet .}}{{end}}"#;

impl<S: Stream<Item = Seen>> Bench<S> {
    async fn change(&self, change: Change) {
        self.changes.send(change).await.unwrap();
    }

    async fn changed(&self, container: &Arc<Container>) {
        self.change(Change::Changed(Arc::clone(container))).await;
    }

    /// The next output, in words.
    async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(8), self.seen.next());
        match next.await.expect("nothing is seen").expect("the end") {
            Seen::Changed(tagged) => told(&tagged),
            Seen::Stopping(id) => format!("{id} stops"),
            Seen::Gone(id) => format!("{id} gone"),
            Seen::Missing(id) => format!("{id} missing"),
            Seen::Snapshot { containers, unknown, .. } => {
                let containers: Vec<_> = containers.iter().map(told).collect();
                format!("{containers:?} without {unknown:?}")
            }
        }
    }
}

fn told(tagged: &Tagged) -> String {
    let Tagged { container, tags } = tagged;
    format!("{} {tags:?}", container.name)
}

#[tokio::test]
async fn a_waiting_template_delays_no_other_container() {
    let server = Server::start();
    let mut stage = stage(ASKING);
    stage.changed(&container("waits", Some(&server))).await;
    for name in ["a", "b"] {
        stage.changed(&container(name, None)).await;
    }
    stage.change(Change::Gone("c".into())).await;
    let mut seen = [stage.next().await, stage.next().await, stage.next().await];
    seen.sort();
    assert_eq!(seen, ["a []", "b []", "c gone"]);
    server.answer();
    assert_eq!(stage.next().await, r#"waits ["slow"]"#);
}

#[tokio::test]
async fn what_is_seen_of_one_container_stays_in_order_and_the_last_counts() {
    let server = Server::start();
    let mut stage = stage(ASKING);
    let first = container("waits", Some(&server));
    stage.changed(&first).await;
    stage.changed(&renamed(&first, "skipped")).await;
    stage.changed(&renamed(&first, "last")).await;
    stage.change(Change::Stopping(first.id.clone())).await;
    stage.changed(&container("other", None)).await;
    assert_eq!(stage.next().await, "other []");
    server.answer();
    assert_eq!(stage.next().await, r#"waits ["slow"]"#);
    assert_eq!(stage.next().await, r#"last ["slow"]"#);
    assert_eq!(stage.next().await, "waits stops");
}

#[tokio::test]
async fn a_container_that_is_gone_waits_for_nothing() {
    let server = Server::start();
    let mut stage = stage(ASKING);
    let waits = container("waits", Some(&server));
    stage.changed(&waits).await;
    stage.change(Change::Gone(waits.id.clone())).await;
    assert_eq!(stage.next().await, "waits gone");
    server.answer();
    // The result of the old evaluation is dropped, even if the container exists again.
    stage.changed(&renamed(&waits, "again")).await;
    assert_eq!(stage.next().await, r#"again ["slow"]"#);
    stage.change(Change::Missing("end".into())).await;
    assert_eq!(stage.next().await, "end missing");
}

#[tokio::test]
async fn a_snapshot_is_not_held_up_by_one_that_waits_which_follows() {
    let server = Server::start();
    let mut stage = stage(ASKING);
    let waits = container("waits", Some(&server));
    let containers = vec![container("b", None), Arc::clone(&waits), container("a", None)];
    let unknown = vec![Unknown { id: "u".into(), name: None, why: Unread::NotYet }];
    stage.change(Change::Snapshot(Snapshot { containers: containers.clone(), unknown })).await;
    assert_eq!(stage.next().await, r#"["b []", "a []"] without [u, waits]"#);
    // An unchanged container in the next snapshot is not evaluated again; a stop signal is not forgotten.
    stage.change(Change::Stopping(waits.id.clone())).await;
    stage.change(Change::Snapshot(Snapshot { containers, unknown: Vec::new() })).await;
    assert_eq!(stage.next().await, r#"["b []", "a []"] without [waits]"#);
    assert_eq!(server.held.lock().unwrap().as_ref().map(Vec::len), Some(1));
    server.answer();
    assert_eq!(stage.next().await, r#"waits ["slow"]"#);
    assert_eq!(stage.next().await, "waits stops");
}

#[tokio::test]
async fn a_snapshot_replaces_what_was_seen_before() {
    let server = Server::start();
    let mut stage = stage(ASKING);
    let waits = container("waits", Some(&server));
    let gone = container("gone", Some(&server));
    stage.changed(&waits).await;
    stage.changed(&gone).await;
    let now = Arc::new(Container { name: "now".into(), ..Container::clone(&container("waits", None)) });
    stage.change(Change::Snapshot(Snapshot { containers: vec![now], unknown: Vec::new() })).await;
    assert_eq!(stage.next().await, r#"["now []"] without []"#);
    server.answer();
    stage.change(Change::Missing("end".into())).await;
    assert_eq!(stage.next().await, "end missing");
}

#[tokio::test]
async fn without_requests_everything_stays_in_order() {
    let mut stage = stage("{{.ID}}");
    stage.changed(&container("a", None)).await;
    stage.change(Change::Stopping("a".into())).await;
    stage.change(Change::Snapshot(Snapshot { containers: vec![container("b", None)], unknown: Vec::new() })).await;
    stage.change(Change::Gone("b".into())).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(stage.next().await);
    }
    assert_eq!(seen, [r#"a ["a"]"#, "a stops", r#"["b [\"b\"]"] without []"#, "b gone"]);
}
