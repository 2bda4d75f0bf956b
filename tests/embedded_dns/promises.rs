//! What is promised beyond what Consul does, and what every answer must be.

use std::collections::BTreeSet;

use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::{DNSClass, RecordType};
use registrator_embedded::dns::{Responder, Settings, SettingsError, Transport};

use crate::client::{Question, Reply};
use crate::fixture::{Fixture, Running, serve, serve_at, settings};

const SOA: &str = "consul. 0 SOA ns.consul. hostmaster.consul. 3600 600 86400 0";

fn fixture() -> Fixture {
    let mut fixture = Fixture::with_node("Box", &["192.0.2.1", "2001:db8::1"], &[("rack", "r1")]);
    fixture.add("web", "10.0.0.1", 8001, &["blue", "V1", "dotted.tag"]);
    fixture.add("web", "10.0.0.2", 8002, &[]);
    fixture.add("web", "10.0.0.3", 8003, &["blue"]).critical = true;
    fixture.add("local", "", 9000, &[]);
    fixture.add("away", "www.example.com", 443, &[]);
    for host in 1..=200 {
        fixture.add("many", &format!("10.1.0.{host}"), 7000 + host, &[]);
    }
    fixture
}

fn server() -> Running {
    serve(settings("Box"), fixture())
}

async fn summary(question: Question) -> String {
    question.ask(server().address).await.summary()
}

#[tokio::test]
async fn a_name_that_exists_without_such_records_is_told_from_one_that_does_not_exist() {
    for name in [
        "consul",
        "service.consul",
        "service.dc1.consul",
        "node.consul",
        "addr.consul",
        "dc1.consul",
        "_tcp.service.consul",
        "web.service.consul",
        "box.node.consul",
        "0a000001.addr.consul",
    ] {
        let found = summary(Question::new(name, RecordType::MX)).await;
        assert_eq!(found, format!("NoError aa rd |  | {SOA}"), "{name}");
    }
    for name in ["nope.service.consul", "nope.consul", "red.web.service.consul", "xyz.addr.consul", "dc2.consul"] {
        let found = summary(Question::new(name, RecordType::A)).await;
        assert_eq!(found, format!("NXDomain aa rd |  | {SOA}"), "{name}");
    }
}

#[tokio::test]
async fn names_outside_the_zone_are_refused_so_that_a_resolver_asks_its_next_server() {
    for (name, kind) in [
        ("example.com", RecordType::A),
        (".", RecordType::NS),
        ("notconsul", RecordType::A),
        ("xconsul", RecordType::SOA),
        ("consul.example.com", RecordType::A),
        ("9.9.9.9.in-addr.arpa", RecordType::PTR),
        ("0.0.10.in-addr.arpa", RecordType::PTR),
        ("in-addr.arpa", RecordType::NS),
    ] {
        assert_eq!(summary(Question::new(name, kind)).await, "Refused rd", "{name}");
    }
}

#[tokio::test]
async fn other_classes_and_operations_are_declined_with_the_right_code() {
    let mut chaos = Question::new("web.service.consul", RecordType::A);
    chaos.class = DNSClass::CH;
    assert_eq!(summary(chaos).await, "Refused rd");
    for opcode in [OpCode::Notify, OpCode::Status, OpCode::Update] {
        let mut question = Question::new("web.service.consul", RecordType::A);
        question.opcode = opcode;
        assert_eq!(summary(question).await, "NotImp rd");
    }
    assert_eq!(summary(Question::new("consul", RecordType::AXFR).tcp()).await, "NotImp rd");
    let mut future = Question::new("web.service.consul", RecordType::A);
    future.edns = Some((1232, 1));
    let reply = future.ask(server().address).await;
    assert_eq!((reply.code.as_str(), reply.edns, reply.answers.len()), ("BADVERS", true, 0));
}

#[tokio::test]
async fn edns_is_answered_only_where_it_is_asked_for() {
    let server = server();
    let question = Question::new("web.service.consul", RecordType::A);
    assert!(!question.ask(server.address).await.edns);
    assert!(question.clone().edns(1232).ask(server.address).await.edns);
    assert!(Question::new("nope.service.consul", RecordType::A).edns(1232).ask(server.address).await.edns);
}

#[tokio::test]
async fn the_case_of_the_question_comes_back() {
    let reply = Question::new("wEb.SERVICE.cOnsul", RecordType::A).ask(server().address).await;
    assert_eq!(reply.question, ["wEb.SERVICE.cOnsul."]);
    assert!(reply.answers.contains("wEb.SERVICE.cOnsul. 0 A 10.0.0.1"), "{reply:?}");
}

#[tokio::test]
async fn a_node_with_addresses_of_both_families_answers_for_each() {
    let server = server();
    let ask = async |name, kind| Question::new(name, kind).ask(server.address).await.answers;
    let set = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(ask("box.node.consul", RecordType::A).await, set(&["box.node.consul. 0 A 192.0.2.1"]));
    assert_eq!(ask("local.service.consul", RecordType::AAAA).await, set(&["local.service.consul. 0 AAAA 2001:db8::1"]));
    let srv = Question::new("local.service.consul", RecordType::SRV).ask(server.address).await;
    assert_eq!(srv.answers, set(&["local.service.consul. 0 SRV 1 1 9000 Box.node.dc1.consul."]));
    assert!(srv.additionals.contains("Box.node.dc1.consul. 0 AAAA 2001:db8::1"), "{srv:?}");
}

#[tokio::test]
async fn without_edns_three_answers_are_chosen_anew_each_time() {
    let server = server();
    let question = Question::new("many.service.consul", RecordType::A);
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let reply = question.ask(server.address).await;
        assert_eq!((reply.flags.as_str(), reply.answers.len()), ("aa rd", 3));
        seen.extend(reply.answers);
    }
    assert!(seen.len() > 20, "only {} of 200 instances were told in 20 answers", seen.len());
}

#[tokio::test]
async fn what_does_not_fit_is_cut_and_said_to_be() {
    let server = server();
    let question = Question::new("many.service.consul", RecordType::A).edns(1232);
    let bytes = question.bytes(server.address).await;
    let message = Message::from_vec(&bytes).unwrap();
    assert!(message.metadata.truncation && bytes.len() <= 1232, "{} bytes", bytes.len());
    // Full to the last record that fits, and EDNS is not what is cut.
    assert!(bytes.len() + 16 > 1232, "{} bytes", bytes.len());
    assert!(message.edns.is_some());

    let srv = Question::new("many.service.consul", RecordType::SRV).edns(1232).ask(server.address).await;
    assert!(srv.flags.contains("tc") && !srv.answers.is_empty());
    assert_eq!(srv.answers.len(), srv.additionals.len(), "each target with its address, and nothing else");

    for kind in [RecordType::A, RecordType::SRV] {
        let whole = Question::new("many.service.consul", kind).tcp().ask(server.address).await;
        assert_eq!((whole.flags.as_str(), whole.answers.len()), ("aa rd", 200));
    }
}

#[test]
fn an_answer_of_thousands_of_instances_fits_into_tcp() {
    let mut fixture = fixture();
    for host in 0..6000 {
        fixture.add("huge", &format!("10.2.{}.{}", host / 250, host % 250), 80, &[]);
    }
    let responder = Responder::new(settings("Box"), std::sync::Arc::new(fixture));
    for kind in [RecordType::A, RecordType::SRV, RecordType::ANY] {
        let query = Question::new("huge.service.consul", kind).edns(4096).message().to_vec().unwrap();
        let answer = Message::from_vec(&responder.respond(&query, Transport::Tcp).unwrap()).unwrap();
        assert!(answer.metadata.truncation && answer.edns.is_some());
        assert!(answer.answers.len() > 500, "{} answers", answer.answers.len());
    }
}

#[tokio::test]
async fn an_edns_size_of_the_client_is_honoured_up_to_our_own() {
    let mut fixture = fixture();
    for host in 0..1000 {
        fixture.add("huge", &format!("10.2.{}.{}", host / 250, host % 250), 80, &[]);
    }
    let server = serve(settings("Box"), fixture);
    for (size, most) in [(0, 512), (512, 512), (600, 600), (1232, 1232), (4096, 4096), (65_535, 4096)] {
        let length = Question::new("huge.service.consul", RecordType::A).edns(size).bytes(server.address).await.len();
        assert!(length <= most, "{length} bytes for {size}");
    }
}

#[tokio::test]
async fn another_domain_and_datacenter_are_served() {
    let settings = Settings::new("Svc.Example.", "Home", "Box").unwrap();
    let server = serve(settings, fixture());
    let reply = Question::new("web.service.home.svc.example", RecordType::SRV).ask(server.address).await;
    assert!(
        reply.answers.contains("web.service.home.svc.example. 0 SRV 1 1 8001 0a000001.addr.home.svc.example."),
        "{reply:?}"
    );
    assert_eq!(Question::new("web.service.consul", RecordType::A).ask(server.address).await.code, "Refused");
}

#[tokio::test]
async fn answers_may_be_given_a_time_to_live() {
    let mut settings = settings("Box");
    settings.ttl = 30;
    let server = serve(settings, fixture());
    let reply = Question::new("0a000001.addr.consul", RecordType::A).ask(server.address).await;
    assert_eq!(reply.summary(), "NoError aa rd | 0a000001.addr.consul. 30 A 10.0.0.1");
}

#[tokio::test]
async fn ipv6_is_served() {
    let server = serve_at("[::1]:0".parse().unwrap(), settings("Box"), fixture());
    for question in [
        Question::new("dotted.tag.web.service.consul", RecordType::A),
        Question::new("dotted.tag.web.service.consul", RecordType::A).tcp(),
    ] {
        let reply = question.ask(server.address).await;
        assert_eq!(reply.summary(), "NoError aa rd | dotted.tag.web.service.consul. 0 A 10.0.0.1");
    }
}

#[test]
fn what_no_name_can_hold_is_left_out_of_answers() {
    let mut fixture = fixture();
    fixture.add("odd", &"x".repeat(300), 1, &[]);
    fixture.add("odd", "10.0.9.9", 2, &[]);
    fixture.add("lost", "a..b", 1, &[]);
    fixture.add("host", "My_Host.local", 1, &[]);
    let responder = Responder::new(settings("Box"), std::sync::Arc::new(fixture));
    let ask = |name, kind| {
        let query = Question::new(name, kind).message().to_vec().unwrap();
        Reply::new(&Message::from_vec(&responder.respond(&query, Transport::Udp).unwrap()).unwrap())
    };
    assert_eq!(ask("odd.service.consul", RecordType::SRV).answers.len(), 1);
    assert_eq!(
        ask("host.service.consul", RecordType::CNAME).summary(),
        "NoError aa rd | host.service.consul. 0 CNAME My_Host.local."
    );
    assert_eq!(ask("lost.service.consul", RecordType::A).summary(), format!("NoError aa rd |  | {SOA}"));
}

#[test]
fn settings_that_cannot_stand_in_a_name_are_refused() {
    let long = ["a".repeat(63).as_str(); 4].join(".");
    for domain in ["", ".", "a..b", &long, &format!("{}.b", "a".repeat(64))] {
        assert_eq!(Settings::new(domain, "dc1", "n"), Err(SettingsError::Domain(domain.to_owned())), "{domain}");
    }
    assert_eq!(Settings::new("consul", "dc.1", "n"), Err(SettingsError::Datacenter("dc.1".to_owned())));
    assert!(Settings::new("my_zone.lan.", "dc1", "box.example.com").is_ok());
    assert_eq!(Settings::new("consul", "dc1", ""), Err(SettingsError::Node(String::new())));
}
