//! IDs that several services of a file have: only one of them can be registered.

use std::collections::BTreeMap;

use super::Subject;
use super::finding::{Finding, Kind};
use crate::service::Service;
use crate::service::notes::{quote, quote_key};
use crate::yaml::Position;

/// A service, the container it is of, and where its ID is decided.
type Located<'a> = (&'a Subject, Service, Position);

/// The clashes. Each is said at the later service, and names the earlier one.
pub(super) fn clashes(services: &[Located<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by_id: BTreeMap<&str, &Located<'_>> = BTreeMap::new();
    for located in services {
        let (subject, service, at) = located;
        let finding = |text: String, fix: &str| Finding {
            at: *at,
            subject: subject.name.clone(),
            kind: Kind::Clash,
            text,
            fix: fix.to_owned(),
        };
        // Swarm fills {{.Task.Slot}} in for each.
        if subject.several && service.origin.claimed && !service.id.contains("{{") {
            let text = format!(
                "there will be several containers with the ID {}, of which one is registered",
                quote(&service.id)
            );
            findings.push(finding(text, "leave SERVICE_ID out, so that each has its own"));
        }
        let Some((other, first, first_at)) = by_id.get(&*service.id) else {
            by_id.insert(&service.id, located);
            continue;
        };
        let id = quote(&service.id);
        let port = service.origin.exposed_port;
        findings.push(if std::ptr::eq(*other, *subject) {
            let text = format!(
                "ports {} and {port} have the same ID {id}, so one of them is not registered",
                first.origin.exposed_port
            );
            finding(text, &format!("give each its own: SERVICE_{port}_ID"))
        } else {
            let text = format!(
                "the ID {id} is also that of {} (line {}), so one of them is not registered",
                quote_key(&other.name),
                first_at.line
            );
            finding(text, "give each its own SERVICE_ID, or none")
        });
    }
    findings
}
