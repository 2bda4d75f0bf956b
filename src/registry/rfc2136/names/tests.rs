use std::collections::BTreeMap;
use std::sync::Arc;

use hickory_proto::op::Message;
use litemap::LiteMap;
use proptest::prelude::*;

use super::*;
use crate::container::{ContainerId, Health, Moment};
use crate::registry::dns::fits;
use crate::registry::rfc2136::message::Update;
use crate::registry::rfc2136::zone::Zone;
use crate::service::{AddressOf, Origin, Service};

fn service(id: &str, name: &str, address: &str) -> Service {
    Service {
        id: id.into(),
        name: name.to_owned(),
        address: address.into(),
        port: 8080,
        protocol: Protocol::Tcp,
        tags: Arc::default(),
        attributes: Arc::default(),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container: ContainerId::from("0123"),
            container_name: "web".into(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: AddressOf::Container,
            hostname: "inside".into(),
            exposed_port: 80,
        },
    }
}

fn names() -> Names {
    let zone = |text| Name::from_ascii(text).unwrap();
    Names { zone: zone("example.com."), ptr_zones: vec![zone("10.in-addr.arpa."), zone("0.10.in-addr.arpa.")] }
}

/// All records of a service, as lines of a zone.
fn lines(service: &Service) -> Vec<String> {
    let names = names();
    let (spot, claim) = (Spot::of(service, LONGEST), Claim::of(service, "web1", 60));
    all(&names, &spot, &claim)
        .iter()
        .map(|record| format!("{} {} {}", record.name, record.record_type(), record.data))
        .collect()
}

fn all(names: &Names, spot: &Spot, claim: &Claim) -> Vec<Record> {
    let mut records = vec![names.claim(spot, claim)];
    records.extend(names.own_address(spot, claim));
    records.extend(names.shared_records(spot, claim));
    records.extend(names.pointer(spot, claim).map(|(_, record)| record));
    records
}

#[test]
fn a_service_is_the_records_that_are_documented() {
    assert_eq!(
        lines(&service("nginx-1", "nginx", "10.0.0.5")),
        [
            "nginx-1.nginx.example.com. TXT heritage=registratorowner=web1proto=tcpport=8080ttl=60address=10.0.0.5id=nginx-1name=nginx",
            "nginx-1.nginx.example.com. A 10.0.0.5",
            "nginx.example.com. A 10.0.0.5",
            "_nginx._tcp.example.com. SRV 0 0 8080 nginx-1.nginx.example.com.",
            "5.0.0.10.in-addr.arpa. PTR nginx-1.nginx.example.com.",
        ]
    );
    let mut udp = service("dns", "dns", "2001:db8::1");
    udp.protocol = Protocol::Udp;
    udp.attributes = Arc::new(LiteMap::from_iter(
        [("priority", "5"), ("weight", " 7"), ("ttl", "30")].map(|(key, value)| (key.to_owned(), value.to_owned())),
    ));
    let said = lines(&udp);
    assert_eq!(said[1], "dns.dns.example.com. AAAA 2001:db8::1");
    assert_eq!(said[3..], ["_dns._udp.example.com. SRV 5 7 8080 dns.dns.example.com."]);
    assert!(said[0].contains("ttl=30"), "{said:?}");
    // Of an ID or a name with an underscore, BIND takes no address.
    let odd = lines(&service("my_app_1", "my_app", "10.0.0.5"));
    assert!(odd[1].starts_with("my-app-1-") && !odd[1].contains('_') && odd[3].starts_with("_my-app-"), "{odd:?}");
    // The name of a host is only SRV's target.
    let host = lines(&service("a", "a", "Host.example."));
    assert_eq!(host[1..], ["_a._tcp.example.com. SRV 0 0 8080 host.example."]);
}

#[test]
fn a_reverse_name_is_of_the_nearest_zone() {
    let zone = |address| {
        let service = service("a", "a", address);
        names().pointer(&Spot::of(&service, LONGEST), &Claim::of(&service, "o", 1)).map(|(zone, _)| zone.to_ascii())
    };
    assert_eq!(zone("10.0.0.5").as_deref(), Some("0.10.in-addr.arpa."));
    assert_eq!(zone("10.1.0.5").as_deref(), Some("10.in-addr.arpa."));
    assert_eq!((zone("192.0.2.1"), zone("2001:db8::1"), zone("host.example")), (None, None, None));
}

#[test]
fn what_dns_cannot_hold_is_refused_in_one_line() {
    for address in ["", "a b", "fe80::1%eth0", "[::1]", "a/b", "-a", "a_b.example", "日本", &"x".repeat(64)] {
        let reason = fits(&service("a", "a", address)).unwrap_err().to_string();
        assert!(reason.contains("neither an IP address nor the name of a host"), "{reason}");
    }
    for (id, name) in [("", "a"), ("a", "")] {
        assert!(fits(&service(id, name, "10.0.0.1")).is_err());
    }
    assert_eq!(fits(&service("a:b", "ä ö", "host.example.")), Ok(()));
}

#[test]
fn a_claim_of_another_program_is_none() {
    for strings in [
        vec![],
        vec!["heritage=external-dns,external-dns/owner=me"],
        vec!["v=spf1 -all"],
        vec!["heritage=registrator"],
        vec!["heritage=registrator", "owner=a", "proto=tcp", "port=80", "ttl=1"],
        vec!["heritage=registrator", "owner=a", "proto=icmp", "port=80", "ttl=1", "address=a"],
        vec!["heritage=registrator", "owner=%FF", "proto=tcp", "port=80", "ttl=1", "address=a"],
        vec!["owner=a", "heritage=registrator", "proto=tcp", "port=80", "ttl=1", "address=a"],
    ] {
        let txt = TXT::new(strings.iter().map(|&string| string.to_owned()).collect());
        assert_eq!(Claim::read(&txt), None, "{strings:?}");
    }
}

#[test]
fn an_entry_that_misses_a_record_or_has_another_address_is_not_as_it_should_be() {
    let names = names();
    let web = service("web-1", "web", "10.0.0.5");
    let (spot, claim) = (Spot::of(&web, LONGEST), Claim::of(&web, "o", 60));
    let whole = all(&names, &spot, &claim);
    let fingerprint = |records: &[Record]| {
        let mut zone = Zone::default();
        zone.extend(records.iter().cloned());
        let claims = zone.claims(&names);
        claims.iter().next().map(|claim| zone.entry(&names, claim, false).fingerprint)
    };
    assert_eq!(fingerprint(&whole), Some(claim.fingerprint()));
    for missing in 1..whole.len() {
        let mut rest = whole.clone();
        rest.remove(missing);
        assert_eq!(fingerprint(&rest), Some(!claim.fingerprint()), "without {}", whole[missing]);
    }
    assert_eq!(fingerprint(&whole[1..]), None);
    let more = Record::from_rdata(names.own(&spot), 60, RData::A("10.0.0.6".parse().unwrap()));
    assert_eq!(fingerprint(&[whole.clone(), vec![more]].concat()), Some(!claim.fingerprint()));
}

proptest! {
    #[test]
    fn whatever_a_service_is_its_records_fit_and_are_read_back(
        id in "(?s).{0,300}|[a-z:.]{1,20}", name in "(?s).{0,300}|[a-z-]{1,70}", owner in "[a-zA-Z0-9._-]{1,200}",
        address in prop_oneof!["10\\.0\\.0\\.[0-9]", "[a-f0-9]{1,4}::1", "[a-z]{1,60}\\.example"], port in 1u16..,
    ) {
        let service = Service { port, ..service(&id, &name, &address) };
        prop_assume!(fits(&service).is_ok());
        let names = names();
        let (spot, claim) = (Spot::of(&service, LONGEST), Claim::of(&service, &owner, 60));
        prop_assert_eq!(names.spot(&names.key(&spot)), Some(spot.clone()));
        let records = all(&names, &spot, &claim);
        let mut update = Update::default();
        records.iter().cloned().for_each(|record| update.add(record));
        // As a server would read it.
        let read = Message::from_vec(&update.message(&names.zone).to_vec().unwrap()).unwrap();
        let mut zone = Zone::default();
        zone.extend(read.authorities);
        prop_assert_eq!(zone.claims(&names), BTreeMap::from([(spot.clone(), claim.clone())]));
        let entry = zone.entry(&names, (&spot, &claim), true);
        prop_assert_eq!(entry.fingerprint, claim.fingerprint());
        prop_assert_eq!(entry.owner.as_deref(), Some(owner.as_str()));
        for record in &records {
            prop_assert!(names.zone.zone_of(&record.name) || record.record_type() == RecordType::PTR);
        }
    }
}
