use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::registry::kv::testing::service;
use crate::registry::webhook::endpoint;
use crate::service::Service;

fn names() -> Names {
    Names { zone: "example.com".to_owned() }
}

/// A zone with these sets: a name, a type and targets.
fn zone(sets: &[(&str, &str, &[&str])]) -> Zone {
    let set = |(name, kind, targets): &(&str, &str, &[&str])| json!({"dnsName": name, "recordType": kind, "targets": targets});
    let body = serde_json::Value::Array(sets.iter().map(set).collect()).to_string();
    Zone::new(&names(), true, endpoint::read(body.as_bytes()).unwrap())
}

fn at(id: &str, address: &str) -> (Spot, Claim) {
    let service = Service { address: address.into(), ..service(id) };
    (Names::place(&service), Claim::of(&service, "web1", 60).unwrap())
}

/// Makes sets as they should be, by the claims.
fn fill(zone: &mut Zone, entries: &[(Spot, Claim)]) {
    let mut wanted = Wanted::new();
    for (spot, claim) in entries {
        zone.set_claim(spot, Some(claim.clone()));
    }
    for (spot, _) in entries {
        zone.own(spot, &mut wanted);
        zone.shared(&spot.name, &mut wanted);
    }
    for (key, set) in wanted {
        zone.put(&key, set.as_ref());
    }
}

/// All sets, as lines.
fn lines(zone: &Zone) -> Vec<String> {
    let line = |((name, kind), set): (&Key, &Set)| {
        let targets: Vec<_> = set.targets.iter().map(|target| target.split(',').nth(1).unwrap_or(target)).collect();
        format!("{name} {} {}", kind.as_str(), targets.join(" "))
    };
    let mut lines: Vec<_> = zone.sets.iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn a_service_has_these_records() {
    let mut zone = zone(&[]);
    fill(&mut zone, &[at("a", "10.0.0.1"), at("b", "10.0.0.1"), at("c", "2001:db8::1"), at("d", "host.example")]);
    let expected = [
        "_web._tcp.example.com SRV 0 0 8000 a.web.example.com 0 0 8000 b.web.example.com 0 0 8000 c.web.example.com 0 0 8000 \
         host.example",
        "a-a.web.example.com TXT external-dns/owner=web1",
        "a-b.web.example.com TXT external-dns/owner=web1",
        "a-web.example.com TXT external-dns/owner=registrator",
        "a.web.example.com A 10.0.0.1",
        "aaaa-c.web.example.com TXT external-dns/owner=web1",
        "aaaa-web.example.com TXT external-dns/owner=registrator",
        "b.web.example.com A 10.0.0.1",
        "c.web.example.com AAAA 2001:db8::1",
        "srv-_web._tcp.example.com TXT external-dns/owner=registrator",
        "srv-d.web.example.com TXT external-dns/owner=web1",
        "web.example.com A 10.0.0.1",
        "web.example.com AAAA 2001:db8::1",
    ];
    assert_eq!(lines(&zone), expected);
}

#[test]
fn records_go_with_the_last_entry_that_needs_them() {
    let mut zone = zone(&[]);
    let entries = [at("a", "10.0.0.1"), at("b", "10.0.0.1"), at("c", "10.0.0.2")];
    fill(&mut zone, &entries);
    for ((spot, _), left) in entries.iter().zip([vec!["10.0.0.1", "10.0.0.2"], vec!["10.0.0.2"], vec![]]) {
        zone.set_claim(spot, None);
        let mut wanted = Wanted::new();
        zone.own(spot, &mut wanted);
        zone.shared("web", &mut wanted);
        for (key, set) in wanted {
            zone.put(&key, set.as_ref());
        }
        let set = zone.set(&("web.example.com".to_owned(), Kind::A));
        let targets: Vec<_> = set.iter().flat_map(|set| &set.targets).map(String::as_str).collect();
        assert_eq!(targets, left);
    }
    assert_eq!(lines(&zone), Vec::<String>::new());
}

#[test]
fn what_is_not_ours_is_in_the_way_and_stays() {
    let (spot, claim) = at("a", "10.0.0.1");
    let external = "\"heritage=external-dns,external-dns/owner=default,external-dns/resource=ingress/x/y\"";
    for (name, kind, target, part) in [
        ("web.example.com", "A", "10.9.9.9", "web.example.com has a record without"),
        ("web.example.com", "A", "10.0.0.1", "web.example.com has a record without"),
        ("web.example.com", "CNAME", "x.example.org", "web.example.com has a record without"),
        ("_web._tcp.example.com", "SRV", "0 0 1 x.", "_web._tcp.example.com has a record without"),
        ("a.web.example.com", "A", "10.9.9.9", "a.web.example.com has a record without"),
        ("a.web.example.com", "AAAA", "2001:db8::1", "a.web.example.com has a record without"),
        ("a-web.example.com", "TXT", external, "owner \"default\" of external-dns"),
        ("a-a.web.example.com", "TXT", external, "owner \"default\" of external-dns"),
    ] {
        let zone = zone(&[(name, kind, &[target])]);
        let said = zone.permits(&spot, &claim, &HashSet::new()).unwrap_err().to_string();
        assert!(said.contains(part) && said.contains("SERVICE_NAME"), "{name} {kind}: {said}");
        // Nothing is asked of it when we leave.
        let mut wanted = Wanted::new();
        zone.own(&spot, &mut wanted);
        zone.shared("web", &mut wanted);
        let key = zone.sets.keys().next().unwrap();
        assert!(wanted.get(key).is_none_or(|set| set.is_some()), "{name} {kind}: {wanted:?}");
    }
    for (name, kind, target) in [
        // What we may have left there, since nobody says that it is theirs.
        ("a.web.example.com", "A", "10.0.0.1"),
        // Nothing that we would write.
        ("web.example.com", "TXT", "\"v=spf1\""),
        ("web.example.com", "AAAA", "2001:db8::1"),
        ("web.example.org", "A", "10.9.9.9"),
        ("a-web.example.com", "TXT", "\"something else\""),
    ] {
        let zone = zone(&[(name, kind, &[target])]);
        assert_eq!(zone.permits(&spot, &claim, &HashSet::new()), Ok(()), "{name} {kind}");
    }
    // What a provider made of a request that it broke off.
    let broken = zone(&[("web.example.com", "A", &["10.0.0.1"])]);
    let tried = HashSet::from([("web.example.com".to_owned(), Kind::A)]);
    assert_eq!(broken.permits(&spot, &claim, &tried), Ok(()));
}

#[test]
fn a_set_for_a_policy_is_another_programs() {
    let body = json!([{"dnsName": "web.example.com", "recordType": "A", "targets": ["10.0.0.1"], "setIdentifier": "eu"},
        {"dnsName": "a-web.example.com", "recordType": "TXT", "targets": [mark("web")]}]);
    let zone = Zone::new(&names(), true, endpoint::read(body.to_string().as_bytes()).unwrap());
    let (spot, claim) = at("a", "10.0.0.1");
    assert!(zone.permits(&spot, &claim, &HashSet::new()).is_err());
}

#[test]
fn another_owners_entry_is_taken() {
    let mut zone = zone(&[]);
    let (spot, claim) = at("a", "10.0.0.1");
    fill(&mut zone, &[(spot.clone(), Claim { owner: "web2".to_owned(), ..claim.clone() })]);
    let said = zone.permits(&spot, &claim, &HashSet::new());
    assert!(matches!(&said, Err(RegistryError::Taken(text)) if text.contains("\"web2\"")), "{said:?}");
}

#[test]
fn a_text_beside_ours_stays() {
    let mut zone = zone(&[("a-web.example.com", "TXT", &["\"v=spf1\""])]);
    let (spot, claim) = at("a", "10.0.0.1");
    fill(&mut zone, &[(spot.clone(), claim)]);
    let texts = |zone: &Zone| zone.set(&("a-web.example.com".to_owned(), Kind::Txt)).map_or(0, |set| set.targets.len());
    assert_eq!(texts(&zone), 2);
    zone.set_claim(&spot, None);
    let mut wanted = Wanted::new();
    zone.shared("web", &mut wanted);
    for (key, set) in wanted {
        zone.put(&key, set.as_ref());
    }
    assert_eq!(texts(&zone), 1);
}

proptest! {
    #[test]
    fn what_was_filled_is_read_back_whole_and_a_missing_set_is_seen(
        ids in proptest::collection::hash_set("[a-z]{1,8}|(?s).{1,20}", 1..6), missing in any::<proptest::sample::Index>(),
    ) {
        let mut zone = zone(&[]);
        let addresses = ["10.0.0.1", "10.0.0.2", "2001:db8::1", "host.example"];
        let entries: Vec<_> = ids.iter().zip(addresses.iter().cycle()).map(|(id, address)| at(id, address)).collect();
        fill(&mut zone, &entries);
        let mut wanted = Wanted::new();
        for (spot, _) in &entries {
            zone.own(spot, &mut wanted);
        }
        zone.shared("web", &mut wanted);
        let mut again = Zone::new(&names(), true, zone.sets.clone());
        prop_assert_eq!(&again.claims, &zone.claims);
        prop_assert!(again.is_as(&wanted) && again.digest() == zone.digest());
        let key = missing.get(&zone.sets.keys().cloned().collect::<Vec<_>>()).clone();
        again.put(&key, None);
        prop_assert!(!again.is_as(&wanted) && again.digest() != zone.digest());
    }
}
