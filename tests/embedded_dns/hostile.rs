//! Bytes that are no query, queries that are no question, names that are no names.

use std::sync::{Arc, LazyLock};

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::{Name, RecordType};
use proptest::collection::vec;
use proptest::prelude::*;
use registrator_embedded::dns::{Responder, Transport};

use crate::client::Question;
use crate::fixture::{Fixture, settings};

static RESPONDER: LazyLock<Responder> = LazyLock::new(|| {
    let mut fixture = Fixture::with_node("Box", &["192.0.2.1"], &[("rack", "r1"), ("note", &"long ".repeat(99))]);
    for host in 0..120 {
        fixture.add("web", &format!("10.0.0.{host}"), 80, &["blue"]);
        fixture.add("six", &format!("2001:db8::{host}"), 80, &["x.y"]);
    }
    fixture.add("self", "self.service.consul", 1, &[]);
    fixture.add("ping", "pong.service.consul", 1, &[]);
    fixture.add("pong", "ping.service.consul", 1, &[]);
    Responder::new(settings("Box"), Arc::new(fixture))
});

/// What must hold for the answer to any message.
fn check(message: &[u8]) -> Result<(), TestCaseError> {
    for transport in [Transport::Udp, Transport::Tcp] {
        let Some(answer) = RESPONDER.respond(message, transport) else { continue };
        let parsed = Message::from_vec(&answer).map_err(|error| TestCaseError::fail(format!("{error}: {answer:?}")))?;
        prop_assert_eq!(parsed.metadata.message_type, MessageType::Response);
        prop_assert_eq!(&answer[..2], &message[..2], "the id");
        let asked = Message::from_vec(message).ok().and_then(|query| query.edns).map_or(512, |edns| edns.max_payload());
        let room = if transport == Transport::Tcp { 65_535 } else { usize::from(asked.clamp(512, 4096)) };
        prop_assert!(answer.len() <= room, "{} bytes where {} are allowed", answer.len(), room);
    }
    Ok(())
}

fn label() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"service".to_vec()),
        Just(b"NODE".to_vec()),
        Just(b"addr".to_vec()),
        Just(b"dc1".to_vec()),
        Just(b"web".to_vec()),
        Just(b"six".to_vec()),
        Just(b"ping".to_vec()),
        Just(b"_web".to_vec()),
        Just(b"_tcp".to_vec()),
        Just(b"_".to_vec()),
        Just(b"Box".to_vec()),
        Just(b"0a000001".to_vec()),
        Just(b"in-addr".to_vec()),
        Just(b"arpa".to_vec()),
        vec(any::<u8>(), 1..64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_answered_within_the_room_or_not_at_all(message in vec(any::<u8>(), 0..600)) {
        check(&message)?;
    }

    #[test]
    fn a_broken_query_is_answered_within_the_room_or_not_at_all(
        size in any::<u16>(),
        cuts in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        length in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut message = Question::new("web.service.consul", RecordType::SRV).edns(size).message().to_vec().unwrap();
        for (place, byte) in cuts {
            let place = place.index(message.len());
            message[place] = byte;
        }
        if !whole {
            message.truncate(length.index(message.len()));
        }
        check(&message)?;
    }

    #[test]
    fn any_name_of_any_type_is_answered(
        labels in vec(label(), 0..6),
        inside in any::<bool>(),
        kind in prop_oneof![
            any::<u16>(),
            prop::sample::select(vec![1_u16, 2, 5, 6, 12, 16, 28, 33, 255]),
        ],
        edns in prop::option::of(any::<u16>()),
    ) {
        let labels = labels.into_iter().chain(inside.then(|| b"consul".to_vec()));
        let Ok(mut name) = Name::from_labels(labels) else { return Ok(()) };
        name.set_fqdn(true);
        let mut question = Question::new(".", RecordType::from(kind));
        question.name = name;
        question.edns = edns.map(|size| (size, 0));
        let query = question.message().to_vec().unwrap();
        check(&query)?;
        prop_assert!(RESPONDER.respond(&query, Transport::Udp).is_some());
    }
}

#[test]
fn an_answer_is_never_answered() {
    let mut message = Question::new("web.service.consul", RecordType::A).message();
    message.metadata.message_type = MessageType::Response;
    assert_eq!(RESPONDER.respond(&message.to_vec().unwrap(), Transport::Udp), None);
    // Not even one that cannot be read.
    assert_eq!(RESPONDER.respond(&[1, 2, 0x80, 0, 0, 9, 0, 9, 0, 9, 0, 9, 1], Transport::Udp), None);
}

#[test]
fn a_message_that_cannot_be_read_is_answered_with_its_header_alone() {
    // Two questions; counts of 65535; a question that is cut off; a name that points at itself.
    let header = [1, 2, 1, 0];
    let tails: [&[u8]; 5] = [
        &[0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1],
        &[255, 255, 255, 255, 255, 255, 255, 255],
        &[0, 1, 255, 255, 255, 255, 255, 255, 0, 0, 1, 0, 1],
        &[0, 1, 0, 0, 0, 0, 0, 0, 3, b'w'],
        &[0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1],
    ];
    for tail in tails {
        let message = [&header[..], tail].concat();
        let answer = RESPONDER.respond(&message, Transport::Udp).unwrap();
        assert_eq!(answer, [1, 2, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0], "{message:?}");
    }
    assert_eq!(RESPONDER.respond(&header, Transport::Udp), None);
}
