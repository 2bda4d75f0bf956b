//! Whatever is given as `-tags` parses or is refused, and whatever a container is, it makes tags or says why not.
//!
//! The input is a template, and behind its first NUL the inspect result: JSON, or one value of a label.

use litemap::LiteMap;
use std::sync::Arc;

use registrator::container::{Container, Moment, NetworkMode, State};
use registrator::template::{ForcedTags, TagsError};
use serde_json::{Value, json};

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (template, inspect) = text.split_once('\0').unwrap_or((&text, "{}"));
    // Requests to wherever would be found are none of a fuzzer's business.
    if template.contains("httpGet") {
        return;
    }
    let outcome = ForcedTags::parse(template).and_then(|tags| tags.evaluate(&container(inspect)));
    match outcome {
        Ok(tags) => assert!(!tags.iter().any(String::is_empty), "an empty tag: {tags:?}"),
        Err(error) => assert_reason(&error),
    }
}

/// A reason is one short line.
fn assert_reason(error: &TagsError) {
    let line = error.to_string();
    assert!(!line.contains(char::is_control) && line.chars().count() < 300, "{line:?}");
}

fn container(inspect: &str) -> Container {
    let inspect: Value = serde_json::from_str(inspect).unwrap_or_else(|_| {
        json!({
            "Id": "0123456789abcdef",
            "Name": inspect,
            "Config": {"Env": ["A=b", inspect], "Labels": {"a": inspect}},
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
        })
    });
    Container {
        id: "0123456789abcdef".into(),
        name: "web".into(),
        image: "nginx".into(),
        hostname: "inside".into(),
        env: Arc::default(),
        labels: LiteMap::new(),
        network_mode: NetworkMode::Host,
        networks: LiteMap::new(),
        ports: Vec::new(),
        state: State::Created,
        created: Moment::default(),
        started: Moment::default(),
        stop: registrator::container::Stop::default(),
        inspect: Some(Arc::new(inspect)),
    }
}
