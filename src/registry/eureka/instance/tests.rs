use super::super::spelling::{self, Style};
use super::*;
use crate::registry::kv::testing::service;

fn made() -> Instance {
    let style = Style { owner: Some("host"), refresh: None };
    spelling::instance(&service("host:web:80"), style).unwrap()
}

#[test]
fn a_list_is_read_whatever_the_age_of_the_server() {
    let newer = r#"{"applications":{"versions__delta":"1","apps__hashcode":"UP_2_","application":[
        {"name":"A","instance":[{"instanceId":"i","app":"A","hostName":"h","port":{"$":1,"@enabled":"true"}},
            {"instanceId":"j","app":"A","hostName":"h","port":{"$":2,"@enabled":"false"}}]}]}}"#;
    let older = r#"{"applications":{"application":{"name":"A","instance":
        {"app":"A","hostName":"h","port":{"$":"1","@enabled":true},"lastDirtyTimestamp":"7",
         "overriddenstatus":"OUT_OF_SERVICE","metadata":{"@class":"java.util.Collections$EmptyMap"}}}}}"#;
    let newer = list(newer.as_bytes()).unwrap();
    assert_eq!(
        newer.iter().map(|it| (&*it.id, it.port)).collect::<Vec<_>>(),
        [("i", Port { number: 1, enabled: true }), ("j", Port { number: 2, enabled: false }),]
    );
    let older = list(older.as_bytes()).unwrap().remove(0);
    assert_eq!((&*older.id, older.port.number, older.port.enabled, older.dirty), ("h", 1, true, 7));
    assert_eq!((older.overridden, older.metadata.len()), (Some(Status::OutOfService), 0));
}

#[test]
fn what_cannot_be_read_is_left_out_and_its_neighbours_are_read() {
    let odd = r#"{"applications":{"application":[7,null,{"instance":[3,{"app":""},{"instanceId":"i","app":"A"}]},
        {"name":"B"}]}}"#;
    assert_eq!(list(odd.as_bytes()).unwrap().len(), 1);
    for none in ["", "{}", "[]", "{\"applications\":3}", "<applications/>", "{\"applications\":"] {
        assert!(list(none.as_bytes()).is_none(), "{none}");
        assert!(one(none.as_bytes()).is_none(), "{none}");
    }
    assert_eq!(list(br#"{"applications":{"application":[]}}"#), Some(Vec::new()));
}

#[test]
fn an_id_that_looks_like_ours_is_another_programs_without_our_metadata() {
    // Spring's default ID is host:app:port, as ours.
    let spring = Instance { metadata: BTreeMap::new(), ..made() };
    assert_eq!(spring.entry(false).owner.as_deref(), Some(ANOTHER_PROGRAM));
    assert_eq!(made().entry(false).owner.as_deref(), Some("host"));
    let mut unowned = made();
    unowned.metadata.remove(OWNER);
    assert_eq!(unowned.entry(false).owner, None);
    assert!(unowned.entry(false).content.is_some() && made().entry(false).content.is_none());
}

#[test]
fn a_mark_does_not_change_what_an_entry_is() {
    let plain = made();
    let marked = plain.clone().marked(Some("paused"));
    assert_eq!((marked.status, marked.entry(false).marked), (Status::OutOfService, Marked::Ours));
    assert_eq!(marked.fingerprint(), plain.fingerprint());
    assert_eq!(marked.clone().marked(None), plain);
    // A server that kept the old status has not taken it.
    let kept = Instance { status: Status::Up, ..marked };
    assert_ne!(kept.fingerprint(), plain.fingerprint());
}

#[test]
fn a_status_that_somebody_set_stands_beside_ours() {
    let plain = made();
    let set = Instance { status: Status::OutOfService, overridden: Some(Status::OutOfService), ..plain.clone() };
    assert_eq!((set.fingerprint(), set.entry(false).marked), (plain.fingerprint(), Marked::Theirs));
    // A status that a server keeps by itself is a difference.
    let stale = Instance { status: Status::OutOfService, ..plain.clone() };
    assert_ne!(stale.fingerprint(), plain.fingerprint());
}

#[test]
fn the_body_is_what_spring_clients_need() {
    let made =
        Instance { dirty: 1_700_000_000_000, health_check: Some("http://10.0.0.1:80/health".to_owned()), ..made() };
    let text = serde_json::to_string_pretty(&made.to_json()).unwrap();
    insta::assert_snapshot!(text);
}
