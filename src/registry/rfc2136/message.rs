//! Messages: questions and updates, as RFC 2136 has them. Pure.

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// A question for one set of records.
pub(super) fn question(name: &Name, kind: RecordType) -> Message {
    let mut message = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name.clone(), kind));
    message
}

/// What has to hold before an update is made, and what it changes; all of it, or nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Update {
    conditions: Vec<Record>,
    changes: Vec<Record>,
}

impl Update {
    /// Whether it changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Takes another's conditions and changes along; what is there already is left out.
    pub(super) fn join(&mut self, other: Self) {
        for condition in other.conditions {
            self.require(condition);
        }
        self.changes.extend(other.changes);
    }

    fn require(&mut self, condition: Record) {
        if !self.conditions.contains(&condition) {
            self.conditions.push(condition);
        }
    }

    /// The name has no records at all (section 2.4.5).
    pub(super) fn unused(&mut self, name: &Name) {
        self.require(empty(name, RecordType::ANY, DNSClass::NONE));
    }

    /// There is no such set (section 2.4.3).
    pub(super) fn absent(&mut self, name: &Name, kind: RecordType) {
        self.require(empty(name, kind, DNSClass::NONE));
    }

    /// The set is exactly this one (section 2.4.2).
    pub(super) fn exactly(&mut self, name: &Name, set: &[RData]) {
        for data in set {
            self.require(Record::from_rdata(name.clone(), 0, data.clone()));
        }
    }

    /// Adds a record to its set (section 2.5.1).
    pub(super) fn add(&mut self, record: Record) {
        self.changes.push(record);
    }

    /// Deletes a set (section 2.5.2).
    pub(super) fn delete_set(&mut self, name: &Name, kind: RecordType) {
        self.changes.push(empty(name, kind, DNSClass::ANY));
    }

    /// Deletes one record of a set (section 2.5.4).
    pub(super) fn delete(&mut self, mut record: Record) {
        record.dns_class = DNSClass::NONE;
        record.ttl = 0;
        self.changes.push(record);
    }

    /// The message to the server of a zone.
    pub(super) fn message(&self, zone: &Name) -> Message {
        let mut message = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Update);
        message.add_query(Query::query(zone.clone(), RecordType::SOA));
        message.add_answers(self.conditions.iter().cloned());
        message.add_authorities(self.changes.iter().cloned());
        message
    }
}

/// A record without data, which stands for a set or a name.
fn empty(name: &Name, kind: RecordType, class: DNSClass) -> Record {
    let mut record = Record::update0(name.clone(), 0, kind);
    record.dns_class = class;
    record
}
