//! What happens to services when containers come, go and change.

use litemap::LiteMap;

use super::*;
use crate::container::{Binding, ContainerPort, Health, Moment, NetworkAddress, Protocol};

const RUNNING: State = State::Running { paused: false, health: Health::None };

fn desired(deregister: Deregister) -> DesiredServices {
    let config = ServiceConfig {
        hostname: "host".to_owned(),
        ip: None,
        internal: false,
        explicit: false,
        ip_label: None,
        tags: None,
        ttl: None,
        max_services: 1000,
        traefik: false,
    };
    DesiredServices::new(config, deregister, "192.0.2.7".to_owned())
}

/// A container that publishes port 80 at 8080, unless it is changed.
fn container(name: &str) -> Container {
    Container {
        id: ContainerId::from(format!("{name:0<64}").as_str()),
        name: name.into(),
        image: "web".into(),
        hostname: name.into(),
        env: Arc::default(),
        labels: LiteMap::new(),
        network_mode: NetworkMode::Network("default".to_owned()),
        networks: LiteMap::new(),
        ports: vec![ContainerPort {
            number: 80,
            protocol: Protocol::Tcp,
            exposed: true,
            bindings: vec![Binding { ip: None, port: 8080 }],
        }],
        state: RUNNING,
        created: Moment::default(),
        started: Moment::default(),
        stop: crate::container::Stop::default(),
        inspect: None,
    }
}

fn tagged(container: Container) -> Tagged {
    Tagged { container: Arc::new(container), tags: Arc::default() }
}

/// `+id address:port` or `=id` for what is desired, `-container:port` for what is not.
fn told(updates: &[Update]) -> Vec<String> {
    let mut told: Vec<_> = updates
        .iter()
        .map(|Update { source, desired, .. }| match desired {
            Desired::Present(service, Mode::Serving) => format!("+{} {}", service.id, service.authority()),
            Desired::Present(service, Mode::Paused) => format!("~{}", service.id),
            Desired::Present(service, Mode::Kept(why)) => format!("={} {why:?}", service.id),
            Desired::Absent(Evidence::Event) => {
                format!("-{}:{}", source.container.as_str().trim_end_matches('0'), source.port)
            }
            Desired::Absent(Evidence::List) => {
                format!("!{}:{}", source.container.as_str().trim_end_matches('0'), source.port)
            }
            Desired::Forgotten => format!("?{}:{}", source.container.as_str().trim_end_matches('0'), source.port),
        })
        .collect();
    told.sort();
    told
}

#[test]
fn a_container_is_registered_while_it_runs() {
    let mut desired = desired(Deregister::Always);
    let web = container("web");
    assert_eq!(told(&desired.set(tagged(web.clone()))), ["+host:web:80 192.0.2.7:8080"]);
    assert_eq!(told(&desired.set(tagged(web.clone()))), [""; 0], "the same again changes nothing");
    let exited = Container { state: State::Exited { code: 1 }, ..web.clone() };
    assert_eq!(told(&desired.set(tagged(exited))), ["-web:80"]);
    assert_eq!(told(&desired.set(tagged(web.clone()))), ["+host:web:80 192.0.2.7:8080"]);
    let paused = Container { state: State::Running { paused: true, health: Health::None }, ..web.clone() };
    assert_eq!(told(&desired.set(tagged(paused))), ["~host:web:80"]);
    assert_eq!(told(&desired.set(tagged(web.clone()))), ["+host:web:80 192.0.2.7:8080"]);
    assert_eq!(told(&desired.remove(&web.id)), ["-web:80"]);
    assert_eq!(told(&desired.remove(&web.id)), [""; 0]);
}

#[test]
fn a_rename_changes_the_id() {
    let mut desired = desired(Deregister::Always);
    let web = container("web");
    desired.set(tagged(web.clone()));
    let renamed = Container { name: "api".into(), ..web };
    assert_eq!(told(&desired.set(tagged(renamed))), ["+host:api:80 192.0.2.7:8080"]);
}

#[test]
fn what_a_snapshot_does_not_hold_is_gone_unless_it_is_unknown() {
    let mut desired = desired(Deregister::Always);
    let names = ["a", "b", "c"];
    let updates = desired.replace(names.map(|name| tagged(container(name))).into(), &[]);
    assert_eq!(updates.len(), 3);
    let updates = desired.replace(vec![tagged(container("a"))], &[container("b").id]);
    assert_eq!(told(&updates), ["!c:80"]);
    let updates = desired.replace(vec![tagged(container("a"))], &[]);
    assert_eq!(told(&updates), ["!b:80"]);
    assert_eq!(told(&desired.lose(&container("a").id)), ["!a:80"]);
}

#[test]
fn on_success_keeps_the_entries_of_a_failed_container_alone() {
    for (code, expected) in
        [(0, "-web:80"), (1, "=host:web:80 Failed"), (127, "=host:web:80 Failed"), (137, "-web:80"), (143, "-web:80")]
    {
        let mut desired = desired(Deregister::OnSuccess);
        let web = container("web");
        desired.set(tagged(web.clone()));
        let exited = Container { state: State::Exited { code }, ..web.clone() };
        assert_eq!(told(&desired.set(tagged(exited))), [expected], "exit code {code}");
        // Removed from the engine: its entries have no reason to stay.
        let gone = if expected.starts_with('=') { vec!["-web:80"] } else { vec![] };
        assert_eq!(told(&desired.remove(&web.id)), gone);
    }
}

#[test]
fn never_is_anything_removed_for_a_container_that_ended_or_is_gone() {
    for code in [0, 1, 137] {
        let mut desired = desired(Deregister::Never);
        let web = container("web");
        desired.set(tagged(web.clone()));
        let exited = Container { state: State::Exited { code }, ..web.clone() };
        assert_eq!(told(&desired.set(tagged(exited))), ["=host:web:80 Ended"]);
        assert_eq!(told(&desired.remove(&web.id)), ["?web:80"]);
    }
    // What a running container no longer offers is removed.
    let mut desired = desired(Deregister::Never);
    let mut web = container("web");
    desired.set(tagged(web.clone()));
    web.ports.clear();
    assert_eq!(told(&desired.set(tagged(web))), ["-web:80"]);
}

#[test]
fn a_container_that_failed_before_we_started_keeps_its_entries() {
    let mut desired = desired(Deregister::OnSuccess);
    let mut web = Container { state: State::Exited { code: 1 }, ..container("web") };
    // By then, the engine has forgotten the host port that it chose.
    web.ports[0].bindings[0].port = 0;
    assert_eq!(told(&desired.set(tagged(web.clone()))), ["=host:web:80 Failed"]);
    web.state = RUNNING;
    web.ports[0].bindings[0].port = 8081;
    assert_eq!(told(&desired.set(tagged(web))), ["+host:web:80 192.0.2.7:8081"]);
}

fn parent(address: &str) -> Container {
    let mut parent = container("parent");
    let address = NetworkAddress { ipv4: Some(address.parse().unwrap()), ipv6: None };
    parent.networks.insert("bridge".to_owned(), address);
    parent.ports.clear();
    parent
}

/// A container that shares the network of another.
fn sharer(name: &str, with: &str) -> Container {
    let mut sharer = container(name);
    sharer.network_mode = NetworkMode::Container(with.to_owned());
    sharer.ports[0].bindings.clear();
    sharer
}

#[test]
fn never_is_anything_removed_because_a_shared_network_ended() {
    let mut desired = desired(Deregister::Never);
    let direct = sharer("direct", parent("172.17.0.2").id.as_str());
    desired.replace([direct.clone(), parent("172.17.0.2")].map(tagged).into(), &[]);
    assert_eq!(told(&desired.lose(&parent("172.17.0.2").id)), ["=host:direct:80 Ended"]);
    assert_eq!(told(&desired.set(tagged(parent("172.17.0.9")))), ["+host:direct:80 172.17.0.9:80"]);
    let stopped = Container { state: State::Exited { code: 0 }, ..parent("172.17.0.9") };
    assert_eq!(told(&desired.set(tagged(stopped))), ["=host:direct:80 Ended"]);
    assert_eq!(told(&desired.lose(&direct.id)), ["?direct:80"]);
}

#[test]
fn one_that_ended_before_its_network_was_known_is_where_that_is() {
    let mut desired = desired(Deregister::Never);
    let direct = sharer("direct", parent("172.17.0.2").id.as_str());
    let direct = tagged(Container { state: State::Exited { code: 2 }, ..direct });
    let mut places = |tagged| -> Vec<String> {
        let updates = desired.set(tagged);
        updates.iter().filter_map(|update| update.desired.service()).map(|service| service.authority()).collect()
    };
    assert_eq!(places(direct), [":80"]);
    assert_eq!(places(tagged(parent("172.17.0.2"))), ["172.17.0.2:80"]);
    assert_eq!(places(tagged(parent("172.17.0.9"))), [""; 0], "where it ended is known");
}

#[test]
fn who_shares_a_network_changes_with_it() {
    let direct = sharer("direct", parent("172.17.0.2").id.as_str());
    let through = sharer("through", "direct");
    let mut desired = desired(Deregister::Always);
    // In any order.
    let updates = desired.replace([through, direct, parent("172.17.0.2")].map(tagged).into(), &[]);
    assert_eq!(told(&updates), ["+host:direct:80 172.17.0.2:80", "+host:through:80 172.17.0.2:80"]);
    let updates = desired.set(tagged(parent("172.17.0.9")));
    assert_eq!(told(&updates), ["+host:direct:80 172.17.0.9:80", "+host:through:80 172.17.0.9:80"]);
    let updates = desired.remove(&parent("172.17.0.9").id);
    assert_eq!(told(&updates), ["-direct:80", "-through:80"]);
}

#[test]
fn another_host_address_moves_what_is_reached_there() {
    let mut desired = desired(Deregister::Always);
    let mut bound = container("bound");
    bound.ports[0].bindings[0].ip = Some("198.51.100.1".parse().unwrap());
    desired.replace([container("web"), bound].map(tagged).into(), &[]);
    assert_eq!(told(&desired.set_host_address("192.0.2.7".to_owned())), [""; 0]);
    assert_eq!(told(&desired.set_host_address("192.0.2.8".to_owned())), ["+host:web:80 192.0.2.8:8080"]);
}

#[test]
fn what_a_container_leaves_is_told_after_what_another_no_longer_offers() {
    let mut desired = desired(Deregister::Never);
    let mut other = container("other");
    desired.replace([container("web"), other.clone()].map(tagged).into(), &[]);
    other.ports.clear();
    let updates = desired.replace([other, container("new")].map(tagged).into(), &[]);
    let desired: Vec<_> = updates.iter().map(|update| &update.desired).collect();
    assert!(
        matches!(desired[..], [Desired::Absent(_), Desired::Forgotten, Desired::Present(_, Mode::Serving)]),
        "{desired:?}"
    );
}

#[test]
fn a_container_that_is_known_can_be_explained() {
    let mut desired = desired(Deregister::Always);
    let web = container("web");
    let offered = desired.set(Tagged { container: Arc::new(web.clone()), tags: vec!["forced".to_owned()].into() });
    let explanation = desired.explain(&web.id).unwrap();
    let [port] = explanation.ports.as_slice() else { panic!("{explanation:?}") };
    assert_eq!(port.outcome.as_ref().ok(), offered[0].desired.service().map(|service| &**service));
    let tags: Vec<_> = port.decisions.iter().map(ToString::to_string).filter(|line| line.starts_with("tags")).collect();
    assert_eq!(tags, [r#"tags "forced": -tags"#]);
    assert_eq!(desired.explain(&container("other").id), None);
}
