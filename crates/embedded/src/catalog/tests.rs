//! What a change means for indexes and for those who wait.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::definition::Health;
use crate::testing::{checked, definition, reports};

fn catalog() -> Catalog {
    let node = Node {
        id: String::new(),
        name: "n".to_owned(),
        address: "127.0.0.1".parse().unwrap(),
        datacenter: "dc1".to_owned(),
        index: 100,
    };
    Catalog::new(node, reports())
}

fn put(catalog: &Catalog, definition: Definition) -> Registered {
    let fingerprint = u64::from(definition.port);
    catalog.register(definition, fingerprint)
}

fn ids(catalog: &Catalog, name: &str) -> Vec<String> {
    let group = catalog.service(name, true).group;
    group.map_or(Vec::new(), |group| group.instances.iter().map(|one| one.definition.id.to_string()).collect())
}

fn status(catalog: &Catalog, name: &str) -> Status {
    catalog.service(name, true).group.unwrap().instances[0].status()
}

#[test]
fn a_change_of_one_service_leaves_the_index_of_another() {
    let catalog = catalog();
    put(&catalog, definition("a", "web"));
    put(&catalog, definition("b", "db"));
    let db = catalog.service("db", true).index;
    put(&catalog, Definition { port: 81, ..definition("a", "web") });
    assert_eq!(catalog.service("db", true).index, db);
    assert!(catalog.service("web", true).index > db);
    assert_eq!(catalog.indexes().services, catalog.service("web", true).index);
}

#[test]
fn registering_the_same_again_changes_nothing() {
    let catalog = catalog();
    put(&catalog, checked("a", "web"));
    let before = catalog.indexes();
    assert!(!put(&catalog, checked("a", "web")).fresh);
    assert_eq!(catalog.indexes(), before);
}

#[test]
fn a_change_that_nobody_is_told_of_changes_no_index_but_the_fingerprint() {
    let catalog = catalog();
    put(&catalog, checked("a", "web"));
    let before = catalog.indexes();
    let mut other = checked("a", "web");
    Arc::make_mut(other.check.as_mut().unwrap()).interval = Duration::from_secs(2);
    assert!(catalog.register(other, 7).fresh);
    assert_eq!(catalog.indexes(), before);
    assert_eq!(catalog.registered(), [crate::Registered { id: "a".into(), fingerprint: 7, marked: false }]);
}

#[test]
fn names_are_found_in_any_case_and_ids_stand_in_consuls_order() {
    let catalog = catalog();
    for (id, name) in [("h:web:80", "web"), ("H:UP", "WEB"), ("h:web2:80", "Web")] {
        put(&catalog, definition(id, name));
    }
    assert_eq!(ids(&catalog, "wEB"), ["H:UP", "h:web2:80", "h:web:80"]);
}

#[test]
fn a_service_that_is_renamed_leaves_its_old_name() {
    let catalog = catalog();
    put(&catalog, definition("a", "old"));
    put(&catalog, definition("a", "new"));
    assert_eq!((ids(&catalog, "old").len(), ids(&catalog, "new").len()), (0, 1));
    assert_eq!(catalog.instances().1.len(), 1);
}

#[test]
fn the_index_of_a_missing_service_is_that_of_the_last_one_that_went() {
    let catalog = catalog();
    assert_eq!(catalog.service("none", true).index, 100);
    put(&catalog, definition("a", "web"));
    let there = catalog.service("none", true).index;
    assert_eq!(there, catalog.indexes().services);
    assert!(catalog.deregister("a"));
    assert!(!catalog.deregister("a"));
    let gone = catalog.service("none", true).index;
    assert!(gone > there);
    put(&catalog, definition("b", "db"));
    assert_eq!(catalog.service("none", true).index, gone);
}

#[test]
fn a_result_changes_the_checks_and_the_service_but_not_the_list_of_services() {
    let catalog = catalog();
    let probe = put(&catalog, checked("a", "web")).probe;
    let before = catalog.indexes();
    catalog.report("a", probe, Status::Passing, "fine");
    let after = catalog.indexes();
    assert_eq!((after.services, after.checks), (before.services, before.checks.max(before.services) + 1));
    assert_eq!(catalog.service("web", true).index, after.checks);
    catalog.report("a", probe, Status::Passing, "fine");
    assert_eq!(catalog.indexes(), after);
    assert_eq!(status(&catalog, "web"), Status::Passing);
}

#[test]
fn a_check_that_was_replaced_reports_in_vain() {
    let catalog = catalog();
    let old = put(&catalog, checked("a", "web")).probe;
    let new = put(&catalog, Definition { port: 81, ..checked("a", "web") });
    assert!(new.fresh);
    catalog.report("a", old, Status::Passing, "");
    assert_eq!(status(&catalog, "web"), Status::Critical);
    catalog.report("a", new.probe, Status::Passing, "");
    // The state survives what has nothing to do with the check, and a new one of the same service, too.
    put(&catalog, Definition { tags: vec!["t".to_owned()].into(), ..checked("a", "web") });
    assert_eq!(status(&catalog, "web"), Status::Passing);
}

#[test]
fn a_withdrawn_service_is_in_no_answer_until_its_check_passes() {
    let catalog = catalog();
    let probe = put(&catalog, checked("a", "web")).probe;
    catalog.withdraw("a", probe);
    assert_eq!((ids(&catalog, "web").len(), catalog.instances().1.len()), (0, 0));
    assert_eq!(catalog.registered().len(), 1, "whoever registered it would write it again and again");
    assert!(catalog.instance_at("10.0.0.1".parse().unwrap()).is_none());
    put(&catalog, checked("a", "web"));
    catalog.report("a", probe, Status::Critical, "still");
    assert_eq!(ids(&catalog, "web").len(), 0);
    catalog.report("a", probe, Status::Warning, "better");
    assert_eq!(ids(&catalog, "web"), ["a"]);
    catalog.withdraw("a", probe);
    assert!(catalog.deregister("a"));
    assert_eq!(catalog.registered(), []);
}

#[test]
fn each_change_of_health_is_reported_once() {
    let (reports, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let catalog = Catalog { reports, ..catalog() };
    let mut told = || {
        let mut told = Vec::new();
        while let Ok(report) = heard.try_recv() {
            told.push(match report {
                Report::Changed(change) => {
                    format!("{} {:?} {} {} {}", change.id, change.source, change.from, change.to, change.reason)
                }
                Report::Gone(id) => format!("{id} gone"),
            });
        }
        told
    };
    let probe = put(&catalog, checked("a", "web")).probe;
    assert_eq!(told(), [""; 0], "how it begins is no change");
    catalog.report("a", probe, Status::Passing, "well");
    catalog.report("a", probe, Status::Passing, "well again");
    put(&catalog, Definition { tags: vec!["t".to_owned()].into(), ..checked("a", "web") });
    catalog.mark("a", Some("paused"));
    catalog.mark("a", None);
    assert_eq!(told(), ["a Check not checked yet passing well"]);
    put(&catalog, Definition { health: Health::Healthy, ..checked("a", "web") });
    put(&catalog, Definition { health: Health::Unhealthy, ..checked("a", "web") });
    assert_eq!(told(), ["a Docker passing critical Docker says unhealthy"]);
    catalog.report("a", probe, Status::Critical, "ill");
    catalog.withdraw("a", probe);
    catalog.report("a", probe, Status::Warning, "so so");
    assert_eq!(
        told(),
        ["a Check passing critical ill", "a Check critical withdrawn ill", "a Check withdrawn warning so so"]
    );
    catalog.deregister("a");
    assert_eq!(told(), ["a gone"]);
}

#[test]
fn an_address_leads_to_its_service_while_it_is_there() {
    let catalog = catalog();
    let at = |address: &str| catalog.instance_at(address.parse().unwrap()).map(|one| one.definition.id.to_string());
    put(&catalog, definition("b", "web"));
    put(&catalog, definition("a", "web"));
    assert_eq!(at("10.0.0.1").as_deref(), Some("a"));
    put(&catalog, Definition { address: "10.0.0.2".into(), ..definition("a", "web") });
    assert_eq!(at("10.0.0.1").as_deref(), Some("b"));
    assert_eq!(at("10.0.0.2").as_deref(), Some("a"));
    catalog.deregister("a");
    assert_eq!(at("10.0.0.2"), None);
}

#[tokio::test]
async fn a_topic_that_nobody_waits_for_any_more_takes_no_memory() {
    let catalog = catalog();
    let (one, two) = (catalog.subscribe(Topic::health("web")), catalog.subscribe(Topic::health("WEB")));
    assert!(Arc::ptr_eq(&one.notify, &two.notify));
    drop(one);
    let notified = two.notify.notified();
    put(&catalog, definition("a", "web"));
    notified.await;
    drop(two);
    assert!(catalog.notifier.has_no_subscriber());
}

#[derive(Clone, Debug)]
enum Step {
    Register { id: u8, name: u8, port: u16, check: bool, health: bool },
    Deregister { id: u8 },
    Report { id: u8, passing: bool },
    Withdraw { id: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..5_u8, 0..3_u8, 1..3_u16, any::<bool>(), any::<bool>())
            .prop_map(|(id, name, port, check, health)| Step::Register { id, name, port, check, health }),
        (0..5_u8).prop_map(|id| Step::Deregister { id }),
        (0..5_u8, any::<bool>()).prop_map(|(id, passing)| Step::Report { id, passing }),
        (0..5_u8).prop_map(|id| Step::Withdraw { id }),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_maps_agree_and_no_index_goes_back(steps in prop::collection::vec(step(), 0..40)) {
        let catalog = catalog();
        let mut expected = BTreeSet::new();
        let mut before = catalog.indexes();
        for step in steps {
            match step {
                Step::Register { id, name, port, check, health } => {
                    let (id, name) = (format!("i{id}"), format!("n{name}"));
                    let mut definition = if check { checked(&id, &name) } else { definition(&id, &name) };
                    definition.port = port;
                    definition.health = if health { Health::Healthy } else { Health::None };
                    put(&catalog, definition);
                    expected.insert(id);
                }
                Step::Deregister { id } => {
                    let id = format!("i{id}");
                    prop_assert_eq!(catalog.deregister(&id), expected.remove(&id));
                }
                Step::Report { id, passing } => {
                    let id = format!("i{id}");
                    if let Some(probe) = catalog.probe(&id) {
                        let status = if passing { Status::Passing } else { Status::Critical };
                        catalog.report(&id, probe, status, "said");
                    }
                }
                Step::Withdraw { id } => {
                    let id = format!("i{id}");
                    if let Some(probe) = catalog.probe(&id) {
                        catalog.withdraw(&id, probe);
                    }
                }
            }
            let now = catalog.indexes();
            prop_assert!(now.services >= before.services && now.checks >= before.checks);
            prop_assert!(now.last <= before.last + 1);
            before = now;

            let entries: BTreeSet<_> = catalog.registered().into_iter().map(|one| one.id.to_string()).collect();
            prop_assert_eq!(&entries, &expected);
            let (_, instances) = catalog.instances();
            let (_, groups) = catalog.groups();
            let mut grouped: Vec<_> = groups.iter().flat_map(|group| group.instances.clone()).collect();
            grouped.sort_by(|a, b| a.sort_key.cmp(&b.sort_key));
            prop_assert!(groups.iter().all(|group| !group.instances.is_empty()));
            prop_assert_eq!(grouped.len(), instances.len());
            for (one, other) in grouped.iter().zip(&instances) {
                prop_assert!(Arc::ptr_eq(one, other));
            }
            let address = "10.0.0.1".parse().unwrap();
            prop_assert_eq!(catalog.instance_at(address).is_some(), !instances.is_empty());
        }
    }
}
