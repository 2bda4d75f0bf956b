//! Decides from what was seen what is wrong, and what to do about it. Pure.

use std::net::IpAddr;
use std::time::Duration;

use super::super::check::is_embedded;
use super::engine::Engine;
use super::look::{Answer, Held, Seen, SeenRegistry};
use super::mounts::Mount;
use super::{About, Finding};
use crate::container::{Container, State};
use crate::machine;
use crate::registry::Store;

/// How many refreshes a TTL should last: one may be late, and one lost.
const REFRESHES: u32 = 3;
/// What to do so that a socket never goes stale.
const MOUNT_FOLDER: &str = "mount its folder instead of the socket: -v /var/run:/host/run:ro -e \
                            DOCKER_HOST=unix:///host/run/docker.sock";
/// How many characters of another program's text are repeated.
const LONGEST: usize = 200;

/// Everything that is wrong, in the order of [`About`].
pub(super) fn all(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    engine(&seen.engine, &mut findings);
    address(seen, &mut findings);
    owners(seen, &mut findings);
    for registry in &seen.registries {
        ttl(registry, &mut findings);
        answer(seen, registry, &mut findings);
    }
    findings.sort_by_key(|finding| finding.about);
    findings
}

fn found(about: About, text: impl Into<String>, cure: impl Into<String>) -> Finding {
    Finding { about, text: text.into(), cure: cure.into() }
}

fn engine(engine: &Engine, findings: &mut Vec<Finding>) {
    let path = engine.socket.as_deref().unwrap_or_default();
    match (engine.mount, &engine.failure) {
        (Some(Mount::Removed), _) => findings.push(found(
            About::StaleSocket,
            format!("the socket {path} is an old one: dockerd was restarted and has made another, which is not mounted here"),
            format!("restart this container, and {MOUNT_FOLDER}"),
        )),
        (Some(Mount::Alone), Some(failure)) => findings.push(found(
            About::StaleSocket,
            format!("nobody answers at the socket {path}, which is mounted alone, so it goes stale when dockerd restarts ({failure})"),
            format!("start Docker, or restart this container, and {MOUNT_FOLDER}"),
        )),
        (Some(Mount::Alone), None) => findings.push(found(
            About::StaleSocket,
            format!("the socket {path} is mounted alone, so it goes stale when dockerd restarts"),
            MOUNT_FOLDER,
        )),
        (None, Some(failure)) => {
            let (text, cure) = parted(failure, "start the engine, or correct DOCKER_HOST");
            findings.push(found(About::Engine, text, cure));
        }
        (None, None) => {}
    }
    for refusal in &engine.refusals {
        findings.push(found(
            About::EngineRights,
            format!("Docker refuses {}: {}", refusal.path, refusal.answer),
            refusal.right,
        ));
    }
}

fn address(seen: &Seen, findings: &mut Vec<Finding>) {
    let Seen { hostname, address, bridge, advice, .. } = seen;
    if let Some(advice) = advice {
        let about = if advice.contains("host name") { About::HostName } else { About::Address };
        let (text, cure) = parted(advice, "run it with --net=host");
        findings.push(found(about, text, cure));
    } else if machine::is_id(hostname) {
        findings.push(found(
            About::HostName,
            format!(
                "the host name {hostname:?} looks like a container's ID: it changes with each container, and the IDs of all \
                 services with it"
            ),
            "give the host's name with -hostname, or run it with --net=host",
        ));
    }
    let Some(address) = address else { return };
    let ip = address.parse::<IpAddr>();
    if ip.as_ref().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified()) {
        findings.push(found(
            About::Address,
            format!("services are registered at {address}, which only this host can reach"),
            "give the address that other hosts use with -ip",
        ));
    } else if let Some(bridge) = bridge {
        findings.push(found(
            About::Address,
            format!("services are registered at {address}, which belongs to the engine's bridge {bridge}: other hosts cannot \
                     reach it"),
            "give the address that other hosts use with -ip",
        ));
    }
}

/// Two instances of one owner: as processes or, where those of other containers are not seen, as containers.
fn owners(seen: &Seen, findings: &mut Vec<Finding>) {
    let mut any = false;
    for (index, one) in seen.instances.iter().enumerate() {
        for other in &seen.instances[index + 1..] {
            // An embedded registry is each instance's own.
            let is_shared = |registry: &&String| !is_embedded(registry) && other.registries.contains(registry);
            let shared = one.registries.iter().find(is_shared);
            let Some(shared) = shared.filter(|_| one.owner == other.owner) else { continue };
            any = true;
            findings.push(found(
                About::Owner,
                format!(
                    "the processes {} and {} both write to {shared} under the owner {:?}",
                    one.process, other.process, one.owner
                ),
                "stop one, or give each its own -owner",
            ));
        }
    }
    let images = seen.engine.containers.iter().flatten().filter(|container| runs_registrator(container, seen));
    let names: Vec<_> = images.map(|container| &*container.name).collect();
    if !any && seen.instances.is_empty() && names.len() > 1 {
        findings.push(found(
            About::Owner,
            format!("the containers {} all run registrator on this engine", names.join(", ")),
            "stop all but one, or give each its own -owner and registry",
        ));
    }
}

fn runs_registrator(container: &Container, seen: &Seen) -> bool {
    let image = container.image.rsplit('/').next().unwrap_or_default();
    let image = image.split([':', '@']).next().unwrap_or_default();
    let is_running = matches!(container.state, State::Running { .. });
    is_running && image == "registrator" && seen.own_container.as_deref() != Some(container.id.as_str())
}

fn ttl(registry: &SeenRegistry, findings: &mut Vec<Finding>) {
    let SeenRegistry { name, ttl: Some(ttl), ttl_refresh: Some(refresh), .. } = registry else { return };
    // Its session is kept alive without a refresh of ours.
    let refreshes = !matches!(&registry.answer, Answer::Read(Held { store: Store::ZooKeeper, .. }));
    if refreshes && *ttl < *refresh * REFRESHES {
        let seconds = |time: Duration| time.as_secs_f64();
        findings.push(found(
            About::Ttl,
            format!(
                "{name}: the TTL of {} s is less than three times its refresh of {} s: when one refresh is late, entries \
                 expire",
                seconds(*ttl),
                seconds(*refresh)
            ),
            format!("give -ttl-refresh {}, or a -ttl of at least {}", (ttl.as_secs() / 3).max(1), seconds(*refresh * REFRESHES)),
        ));
    }
}

fn answer(seen: &Seen, registry: &SeenRegistry, findings: &mut Vec<Finding>) {
    let SeenRegistry { name, owner, .. } = registry;
    let held = match &registry.answer {
        Answer::Embedded => return,
        Answer::Failed(reason) => {
            let (text, cure) = parted(reason, "check the URI, and that it runs and can be reached from here");
            findings.push(found(About::Registry, format!("{name}: {text}"), cure));
            return;
        }
        Answer::Refused(reason) => {
            let (text, _) = parted(reason, "");
            findings.push(found(
                About::RegistryRights,
                format!("{name} refuses to be read: {text}"),
                format!("give it the rights that \"registrator check {name}\" prints"),
            ));
            return;
        }
        Answer::Read(held) => held,
    };
    let Held { about, store, is_here, strays } = held;
    let address = about.address.as_deref().unwrap_or_default();
    let is_elsewhere = *is_here == Some(false) && !seen.on_a_bridge && seen.address.as_deref() != Some(address);
    if *store == Store::Consul && is_elsewhere {
        let node = about.node.as_deref().unwrap_or_default();
        findings.push(found(
            About::OtherHostsConsul,
            format!(
                "{name} is the agent of the node {node:?} at {address}, which is no address of this host: services are \
                 registered as that node's, and it runs their checks"
            ),
            "run an agent on this host, and give consul://127.0.0.1:8500",
        ));
    }
    if let Some(first) = strays.first() {
        let first: String = first.escape_debug().take(LONGEST).collect();
        let (count, have) = match strays.len() {
            1 => ("1 entry".to_owned(), "has"),
            count => (format!("{count} entries"), "have"),
        };
        findings.push(found(
            About::Owner,
            format!("{name}: {count} of the owner {owner:?} {have} no container here, such as {first}"),
            "if another host registers under this owner, give each its own -owner; otherwise run it with -cleanup, which \
             removes them",
        ));
    }
}

/// A line that says what is wrong, then what to do: its two parts.
fn parted<'a>(line: &'a str, otherwise: &'a str) -> (&'a str, &'a str) {
    let ways = [": start ", ": add ", ": correct ", ": run ", "; "];
    let place = ways.into_iter().filter_map(|way| Some((line.find(way)?, way))).min_by_key(|(place, _)| *place);
    match place {
        Some((place, _)) => (&line[..place], &line[place + 2..]),
        None => (line, otherwise),
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::Refusal;
    use super::super::instances::Instance;
    use super::*;
    use crate::registry;

    /// A host on which all is well.
    fn well() -> Seen {
        Seen { hostname: "web1".to_owned(), address: Some("10.0.0.5".to_owned()), ..Seen::default() }
    }

    fn with(change: impl FnOnce(&mut Seen)) -> Seen {
        let mut seen = well();
        change(&mut seen);
        seen
    }

    fn registry(answer: Answer) -> SeenRegistry {
        let (name, owner) = ("consul:".to_owned(), "web1".to_owned());
        SeenRegistry { name, owner, ttl: None, ttl_refresh: None, answer }
    }

    fn agent(address: &str, is_here: bool) -> Held {
        let about = registry::About {
            node: Some("db1".to_owned()),
            address: Some(address.to_owned()),
            ..registry::About::default()
        };
        Held { about, store: Store::Consul, is_here: Some(is_here), strays: Vec::new() }
    }

    fn instance(process: u32, owner: &str, registries: &[&str]) -> Instance {
        let registries = registries.iter().map(|&registry| registry.to_owned()).collect();
        Instance { process, owner: owner.to_owned(), registries }
    }

    /// The finding of a host, if there is exactly one.
    fn only(seen: &Seen) -> Option<(About, String, String)> {
        let mut findings = all(seen);
        assert!(findings.len() <= 1, "{findings:?}");
        findings.pop().map(|Finding { about, text, cure }| (about, text, cure))
    }

    #[test]
    fn a_host_on_which_all_is_well_has_no_finding() {
        let mut seen = well();
        seen.instances =
            vec![instance(1, "a", &["consul:"]), instance(2, "b", &["consul:"]), instance(3, "a", &["etcd:"])];
        seen.registries = vec![
            registry(Answer::Read(agent("10.0.0.5", true))),
            registry(Answer::Embedded),
            SeenRegistry {
                ttl: Some(Duration::from_secs(30)),
                ttl_refresh: Some(Duration::from_secs(10)),
                ..registry(Answer::Read(Held::default()))
            },
        ];
        assert_eq!(all(&seen), []);
    }

    #[test]
    fn each_mistake_is_named_with_its_cure() {
        let engine = |change: fn(&mut Engine)| with(|seen| change(&mut seen.engine));
        let read = |held: Held| with(|seen| seen.registries = vec![registry(Answer::Read(held))]);
        let socket = Some("/tmp/docker.sock".to_owned());
        for (seen, about, text, cure) in [
            (
                with(|seen| {
                    let (socket, mount) = (socket.clone(), Some(Mount::Removed));
                    seen.engine = Engine { socket, mount, ..Engine::default() };
                }),
                About::StaleSocket,
                "/tmp/docker.sock is an old one",
                "restart this container",
            ),
            (
                with(|seen| {
                    let (socket, mount) = (socket.clone(), Some(Mount::Alone));
                    seen.engine = Engine { socket, mount, failure: Some("refused".to_owned()), ..Engine::default() };
                }),
                About::StaleSocket,
                "nobody answers at the socket /tmp/docker.sock",
                "start Docker, or restart this container",
            ),
            (
                with(|seen| {
                    let (socket, mount) = (socket.clone(), Some(Mount::Alone));
                    seen.engine = Engine { socket, mount, ..Engine::default() };
                }),
                About::StaleSocket,
                "goes stale when dockerd restarts",
                "mount its folder",
            ),
            (
                engine(|engine| {
                    engine.failure = Some("nothing listens at unix:///x: start the engine, or correct it".to_owned())
                }),
                About::Engine,
                "nothing listens at unix:///x",
                "start the engine, or correct it",
            ),
            (
                engine(|engine| {
                    engine.refusals =
                        vec![Refusal { path: "/events", answer: "it answers 403: no".to_owned(), right: "EVENTS=1" }];
                }),
                About::EngineRights,
                "Docker refuses /events: it answers 403: no",
                "EVENTS=1",
            ),
            (
                with(|seen| seen.address = Some("127.0.1.1".to_owned())),
                About::Address,
                "127.0.1.1, which only this host can reach",
                "-ip",
            ),
            (with(|seen| seen.address = Some("::".to_owned())), About::Address, "only this host", "-ip"),
            (
                with(|seen| seen.bridge = Some("docker0".to_owned())),
                About::Address,
                "10.0.0.5, which belongs to the engine's bridge docker0",
                "-ip",
            ),
            (
                with(|seen| {
                    seen.advice =
                        Some("services are registered at 172.17.0.2, its own: run it with --net=host".to_owned())
                }),
                About::Address,
                "services are registered at 172.17.0.2, its own",
                "run it with --net=host",
            ),
            (
                with(|seen| seen.hostname = "0123456789ab".to_owned()),
                About::HostName,
                "\"0123456789ab\" looks like a container's ID",
                "-hostname",
            ),
            (
                with(|seen| {
                    seen.instances = vec![
                        instance(7, "web1", &["etcd:", "consul:"]),
                        instance(8, "other", &["consul:"]),
                        instance(9, "web1", &["consul:"]),
                    ];
                }),
                About::Owner,
                "the processes 7 and 9 both write to consul: under the owner \"web1\"",
                "-owner",
            ),
            (
                read(Held { strays: vec!["web1:a:1\n".to_owned(), "web1:b:2".to_owned()], ..Held::default() }),
                About::Owner,
                "consul:: 2 entries of the owner \"web1\" have no container here, such as web1:a:1\\n",
                "-cleanup",
            ),
            (
                read(Held { strays: vec!["web1:a:1".to_owned()], ..Held::default() }),
                About::Owner,
                "1 entry of the owner \"web1\" has no container",
                "-owner",
            ),
            (
                with(|seen| {
                    let (ttl, ttl_refresh) = (Some(Duration::from_secs(30)), Some(Duration::from_secs(11)));
                    seen.registries =
                        vec![SeenRegistry { ttl, ttl_refresh, ..registry(Answer::Read(Held::default())) }];
                }),
                About::Ttl,
                "consul:: the TTL of 30 s is less than three times its refresh of 11 s",
                "give -ttl-refresh 10, or a -ttl of at least 33",
            ),
            (
                read(agent("10.0.0.7", false)),
                About::OtherHostsConsul,
                "the agent of the node \"db1\" at 10.0.0.7, which is no address of this host",
                "consul://127.0.0.1:8500",
            ),
            (
                with(|seen| {
                    seen.registries = vec![registry(Answer::Failed("Consul at h: connection refused".to_owned()))]
                }),
                About::Registry,
                "consul:: Consul at h: connection refused",
                "check the URI",
            ),
            (
                with(|seen| seen.registries = vec![registry(Answer::Failed("etcd: no CA; correct ca=".to_owned()))]),
                About::Registry,
                "consul:: etcd: no CA",
                "correct ca=",
            ),
            (
                with(|seen| seen.registries = vec![registry(Answer::Refused("Permission denied".to_owned()))]),
                About::RegistryRights,
                "consul: refuses to be read: Permission denied",
                "registrator check consul:",
            ),
        ] {
            let Some(found) = only(&seen) else { panic!("nothing is found: {text}") };
            assert_eq!(found.0, about, "{text}");
            assert!(found.1.contains(text) && found.2.contains(cure), "{found:?} for {text}, {cure}");
            assert!(!found.1.contains('\n') && !found.2.contains('\n'), "{found:?}");
        }
    }

    #[test]
    fn what_is_meant_that_way_is_no_mistake() {
        let read = |held: Held| with(|seen| seen.registries = vec![registry(Answer::Read(held))]);
        let short = |store: Store| {
            with(|seen| {
                let (ttl, ttl_refresh) = (Some(Duration::from_secs(15)), Some(Duration::from_secs(10)));
                let held = Held { store, ..Held::default() };
                seen.registries = vec![SeenRegistry { ttl, ttl_refresh, ..registry(Answer::Read(held)) }];
            })
        };
        for (seen, why) in [
            (with(|seen| seen.address = None), "-internal"),
            (with(|seen| seen.address = Some("host.example.org".to_owned())), "a name as -ip"),
            (short(Store::ZooKeeper), "a session needs no refresh"),
            (read(agent("10.0.0.5", false)), "the agent of this host, as -ip names it"),
            (read(Held { store: Store::ConsulKv, ..agent("10.0.0.7", false) }), "a key-value store may be anywhere"),
        ] {
            assert_eq!(only(&seen), None, "{why}");
        }
        assert!(only(&short(Store::Etcd3)).is_some());
        let mut inside = read(agent("10.0.0.7", false));
        inside.on_a_bridge = true;
        assert_eq!(only(&inside), None, "the host's addresses are not seen");
    }

    #[test]
    fn containers_count_where_processes_are_not_seen() {
        let container = |name: &str, image: &str| {
            let json = format!(
                r#"{{"Id":"{name}","Name":"/{name}","State":{{"Status":"running","Running":true}},"Config":{{"Image":"{image}"}}}}"#
            );
            crate::docker::decode::inspect(json.as_bytes(), false).unwrap().unwrap()
        };
        let seen = |images: &[(&str, &str)]| {
            let containers = images.iter().map(|(name, image)| container(name, image)).collect();
            with(|seen| seen.engine = Engine { containers: Some(containers), ..Engine::default() })
        };
        let two = seen(&[("a", "gliderlabs/registrator:latest"), ("b", "localhost:5000/registrator"), ("c", "redis")]);
        let (about, text, _) = only(&two).unwrap();
        assert_eq!(about, About::Owner);
        assert!(text.contains("a, b"), "{text}");
        assert_eq!(only(&seen(&[("a", "registrator@sha256:0"), ("c", "registrator-ui")])), None);
        let mut own = two.clone();
        own.own_container = Some("a".to_owned());
        assert_eq!(only(&own), None, "this question itself is one of them");
        let mut seen_as_processes = two;
        seen_as_processes.instances = vec![instance(1, "a", &["consul:"])];
        assert_eq!(only(&seen_as_processes), None);
    }
}
