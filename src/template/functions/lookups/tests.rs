//! Real lookups of what every machine knows, and SRV records from a name server of the test's own.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RData, Record};

use super::srv::{Srv, ask_any};
use super::*;

#[test]
fn localhost_and_its_interface_are_known() {
    let all = addresses("localhost", |_| true);
    assert!(matches!(&all, Value::Array(found) if found.contains(&Value::from("127.0.0.1"))), "{all}");
    assert_eq!(addresses("127.0.0.1", |address| address.contains('.')), Value::from(vec!["127.0.0.1"]));
    assert_eq!(addresses("127.0.0.1", |address| address.contains(':')), Value::Array(Vec::new()));
    assert_eq!(addresses("no such host.invalid", |_| true), Value::Array(Vec::new()));
    assert_eq!(of_interface("lo", IpAddr::is_ipv4), "127.0.0.1");
    assert_eq!(of_interface("no-such-interface", IpAddr::is_ipv4), "");
}

/// A name server that answers one question with these records.
fn name_server(records: &'static [(&'static str, u16)]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 512];
        let (length, client) = socket.recv_from(&mut bytes).unwrap();
        let question = Message::from_vec(&bytes[..length]).unwrap();
        let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        let name = question.queries[0].name().clone();
        assert_eq!(name.to_utf8(), "_http._tcp.example.com.");
        answer.add_queries(question.queries);
        for (target, port) in records {
            let srv = SRV::new(1, 2, *port, Name::from_utf8(target).unwrap());
            answer.add_answer(Record::from_rdata(name.clone(), 60, RData::SRV(srv)));
        }
        // Another's answer comes first, and is not taken for ours.
        let other = Message::new(question.metadata.id.wrapping_add(1), MessageType::Response, OpCode::Query);
        socket.send_to(&other.to_vec().unwrap(), client).unwrap();
        socket.send_to(&answer.to_vec().unwrap(), client).unwrap();
    });
    address
}

#[test]
fn srv_records_are_those_of_the_first_name_server_that_answers() {
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alive = name_server(&[("b.example.com.", 80), ("a.example.com.", 81)]);
    let found = ask_any("_http._tcp.example.com", &[dead, alive], Duration::from_secs(20));
    let record = |target: &str, port| Srv { target: target.to_owned(), port, priority: 1, weight: 2 };
    assert_eq!(found, [record("b.example.com.", 80), record("a.example.com.", 81)]);
}

#[test]
fn a_name_server_that_is_silent_is_waited_for_no_longer_than_allowed() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    assert_eq!(ask_any("a.example.com", &[silent.local_addr().unwrap()], Duration::from_millis(100)), []);
    assert_eq!(ask_any("..", &[], Duration::from_millis(100)), []);
    assert!(begun.elapsed() < Duration::from_secs(5));
}
