//! `/metrics`: how many services there are and how they are, and what was answered. Prometheus's text format.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

use crate::catalog::{Catalog, Status};

/// Prometheus's text format.
pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How many requests were answered, by the first digit of the status code.
#[derive(Debug, Default)]
pub(super) struct Requests([AtomicU64; 5]);

impl Requests {
    pub(super) fn count(&self, code: StatusCode) {
        let class = usize::from(code.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.0.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All figures.
pub(super) fn text(catalog: &Catalog, requests: &Requests) -> String {
    let (_, groups) = catalog.groups();
    let mut instances = [(Status::Passing, 0), (Status::Warning, 0), (Status::Critical, 0)];
    for instance in groups.iter().flat_map(|group| &group.instances) {
        for (status, count) in &mut instances {
            *count += usize::from(instance.status() == *status);
        }
    }
    let mut text = String::new();
    let mut family = |name: &str, help: &str, kind: &str, samples: &[(String, u64)]| {
        let name = format!("registrator_embedded_{name}");
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    family("services", "Names of services.", "gauge", &[(String::new(), number(groups.len()))]);
    let by_status = instances.map(|(status, count)| (format!("{{status=\"{}\"}}", status.as_str()), number(count)));
    family("instances", "Instances of services, by their worst check.", "gauge", &by_status);
    let mut class = 0;
    let by_class = requests.0.each_ref().map(|counter| {
        class += 1;
        (format!("{{code=\"{class}xx\"}}"), counter.load(Ordering::Relaxed))
    });
    family("http_requests_total", "Requests that were answered, by status code.", "counter", &by_class);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_the_kind_of_answer() {
        let requests = Requests::default();
        for code in [StatusCode::OK, StatusCode::NOT_MODIFIED, StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
            requests.count(code);
        }
        assert_eq!(requests.0.map(AtomicU64::into_inner), [0, 2, 1, 1, 0]);
    }
}
