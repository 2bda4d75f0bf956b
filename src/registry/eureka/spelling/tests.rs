use litemap::LiteMap;
use proptest::prelude::*;

use super::*;
use crate::registry::kv::testing::service as plain;

const STYLE: Style<'static> = Style { owner: Some("host"), refresh: None };

fn service(attributes: &[(&str, &str)]) -> Service {
    let attributes: LiteMap<_, _> =
        attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Service { name: "Redis".to_owned(), attributes: Arc::new(attributes), ..plain("web1:redis.0:6379") }
}

fn made(attributes: &[(&str, &str)]) -> Instance {
    instance(&service(attributes), STYLE).unwrap()
}

#[test]
fn a_name_is_an_application_in_upper_case_and_a_vip_in_lower_case() {
    let made = made(&[]);
    assert_eq!((&*made.app, &*made.vip, &*made.secure_vip), ("REDIS", "redis", "redis"));
    assert_eq!(&*made.key(), "REDIS/web1:redis.0:6379");
    assert_eq!(made.key(), key(&service(&[])));
    assert_eq!(made.host, made.address, "Spring connects to the host name");
}

#[test]
fn what_a_path_could_not_hold_is_encoded() {
    for (text, expected) in [
        ("web1:redis.0:6379", "web1:redis.0:6379"),
        ("a/b", "a~2fb"),
        ("a%2Fb", "a~252Fb"),
        ("..", "~2e~2e"),
        (".", "~2e"),
        ("a.b", "a.b"),
        ("a~b", "a~7eb"),
        ("é b", "~c3~a9~20b"),
    ] {
        assert_eq!(part(text), expected, "{text}");
    }
}

#[test]
fn attributes_of_the_fork_with_eureka_set_fields() {
    let made = made(&[
        ("eureka_status", "down"),
        ("eureka_vip", "cache"),
        ("eureka_ipaddr", "1.2.3.4"),
        ("eureka_leaseinfo_renewalintervalinsecs", "5"),
        ("eureka_leaseinfo_durationinsecs", "15"),
        ("eureka_datacenterinfo_name", "Amazon"),
        ("eureka_datacenterinfo_publichostname", "h.example"),
        ("eureka_metadata_management.port", "8081"),
        ("zone", "eu-1"),
    ]);
    assert_eq!((made.status, &*made.vip, &*made.host, &*made.address), (Status::Down, "cache", "1.2.3.4", "1.2.3.4"));
    assert_eq!((made.renewal, made.duration), (5, 15));
    assert_eq!(made.data_center.name, "Amazon");
    assert_eq!(made.data_center.metadata["public-hostname"], "h.example");
    assert_eq!((&*made.metadata["management.port"], &*made.metadata["zone"]), ("8081", "eu-1"));
    assert_eq!((&*made.metadata["is-container"], &*made.metadata["registrator.owner"]), ("true", "host"));
    assert!(!made.metadata.keys().any(|key| key.starts_with("eureka_")), "{:?}", made.metadata);
    let public = [
        ("eureka_register_aws_public_ip", "true"),
        ("eureka_datacenterinfo_name", "Amazon"),
        ("eureka_datacenterinfo_publicipv4", "9.9.9.9"),
    ];
    assert_eq!(self::made(&public).host, "9.9.9.9");
    assert_eq!(self::made(&public[1..]).host, &*service(&[]).address);
}

#[test]
fn what_xml_could_not_hold_is_left_out_and_named() {
    let service = service(&[
        ("a b", "1"),
        ("9", "1"),
        ("xmlish", "1"),
        ("registrator.owner", "me"),
        ("bell", "\u{7}"),
        ("eureka_status", "GREEN"),
        ("eureka_colour", "red"),
        ("eureka_datacenterinfo_name", "Mars"),
        ("eureka_leaseinfo_durationinsecs", "soon"),
        ("eureka_metadata_a/b", "1"),
        ("ok", "1"),
    ]);
    let left_out: Vec<_> = left_out(&service).into_iter().map(|(key, _)| key).collect();
    let mut expected: Vec<_> =
        service.attributes.iter().map(|(key, _)| key.as_str()).filter(|key| *key != "ok").collect();
    expected.sort_unstable();
    assert_eq!(left_out, expected);
    let made = instance(&service, STYLE).unwrap();
    assert_eq!((made.status, made.data_center.name.as_str(), made.duration), (Status::Up, "MyOwn", 90));
    assert_eq!(made.metadata["registrator.owner"], "host");
}

#[test]
fn health_is_a_status_unless_a_status_is_given() {
    for (health, given, expected) in [
        (Health::None, None, Status::Up),
        (Health::Healthy, None, Status::Up),
        (Health::Starting, None, Status::Starting),
        (Health::Unhealthy, None, Status::Down),
        (Health::Unhealthy, Some("UP"), Status::Down),
        (Health::Healthy, Some("OUT_OF_SERVICE"), Status::OutOfService),
        (Health::Healthy, Some("UNKNOWN"), Status::Up),
    ] {
        let attributes: Vec<_> = given.map(|given| ("eureka_status", given)).into_iter().collect();
        let service = Service { health, ..service(&attributes) };
        assert_eq!(instance(&service, STYLE).unwrap().status, expected, "{health:?} {given:?}");
    }
}

#[test]
fn a_lease_is_eurekas_own_or_that_of_a_ttl() {
    let seconds = |ttl: u64| Some(Duration::from_secs(ttl));
    for (ttl, refresh, attributes, expected) in [
        (None, None, &[][..], (30, 90)),
        (None, seconds(10), &[], (30, 90)),
        (seconds(60), seconds(20), &[], (20, 60)),
        (seconds(60), seconds(60), &[], (20, 60)),
        (seconds(1), None, &[], (1, 2)),
        (None, None, &[("eureka_leaseinfo_renewalintervalinsecs", "100")], (100, 101)),
        (None, None, &[("eureka_leaseinfo_renewalintervalinsecs", "0")], (30, 90)),
    ] {
        assert_eq!(lease(&Service { ttl, ..service(attributes) }, refresh), expected);
    }
}

#[test]
fn an_address_that_is_none_is_refused() {
    for address in ["", "a b", "a\nb", "\u{0}"] {
        let odd = Service { address: address.into(), ..service(&[]) };
        assert!(matches!(instance(&odd, STYLE), Err(RegistryError::Refused { .. })), "{address:?}");
    }
    for id in ["", "a\u{7}b"] {
        let odd = Service { id: id.into(), ..service(&[]) };
        assert!(matches!(instance(&odd, STYLE), Err(RegistryError::Refused { .. })), "{id:?}");
    }
}

proptest! {
    #[test]
    fn different_texts_are_different_parts_of_a_path(one in "(?s).{0,12}", other in "(?s).{0,12}") {
        prop_assert_eq!(one == other, part(&one) == part(&other));
        prop_assert!(part(&one).bytes().all(|byte| byte.is_ascii_graphic() && !b"/%;?#\\".contains(&byte)));
        prop_assert!(!matches!(part(&one).as_str(), "." | ".."));
    }

    #[test]
    fn whatever_a_service_is_its_instance_is_read_back_as_it_was_written(
        name in "(?s).{1,20}",
        tags in proptest::collection::vec("(?s).{0,10}", 0..4),
        attributes in proptest::collection::btree_map("(?s)(eureka_)?.{0,12}", "(?s).{0,20}", 0..6),
    ) {
        let service = Service {
            name,
            tags: tags.into(),
            attributes: Arc::new(attributes.into_iter().collect()),
            ..plain("id")
        };
        // An address may be given that is none.
        if let Ok(made) = instance(&service, STYLE) {
            let body = made.to_json().to_string();
            let read = super::super::instance::one(body.as_bytes()).unwrap();
            prop_assert_eq!(read.fingerprint(), made.fingerprint());
            prop_assert_eq!(read, made);
        }
    }
}
