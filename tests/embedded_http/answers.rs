//! Every endpoint and parameter, field by field.
//!
//! What may differ, and why, is all in [`comparable`], [`HEADERS`] and [`their_own_way`].

use serde_json::{Value, json};

use super::beside::{Answer, Beside, ask, services, until_equal};

/// Makes the allowed differences equal.
pub(crate) fn comparable(mut value: Value) -> Value {
    smooth(&mut value);
    value
}

fn smooth(value: &mut Value) {
    match value {
        Value::Array(elements) => {
            // Consul is a service of its own, on ports where nobody listens here.
            elements.retain(|element| element["ServiceName"] != "consul" && element["Name"] != "consul");
            elements.iter_mut().for_each(smooth);
        }
        Value::Object(fields) => {
            fields.remove("consul");
            for (name, value) in fields.iter_mut() {
                match name.as_str() {
                    // Our indexes begin at the clock, Consul's at 1.
                    "CreateIndex" | "ModifyIndex" => *value = json!(0),
                    // Consul draws its node's ID at random.
                    "ID" if value.as_str().is_some_and(is_uuid) => *value = json!("<uuid>"),
                    "NodeID" | "id" => *value = json!("<uuid>"),
                    // Consul has no order of a service's tags over all its instances.
                    _ if value.as_array().is_some_and(|tags| tags.iter().all(Value::is_string)) => {
                        let tags = value.as_array_mut().unwrap();
                        tags.sort_by_key(ToString::to_string);
                    }
                    _ => smooth(value),
                }
            }
        }
        _ => {}
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().filter(|byte| *byte == b'-').count() == 4
}

/// Headers that must be there on both sides with the same value.
const HEADERS: [&str; 7] = [
    "content-type",
    "vary",
    "allow",
    "location",
    "x-consul-knownleader",
    "x-consul-lastcontact",
    "x-consul-effective-consistency",
];

fn same_headers(path: &str, theirs: &Answer, ours: &Answer) {
    for name in HEADERS {
        assert_eq!(ours.headers.get(name), theirs.headers.get(name), "{name} of {path}");
    }
    let has_index = |answer: &Answer| answer.headers.contains_key("x-consul-index");
    assert_eq!(has_index(ours), has_index(theirs), "x-consul-index of {path}");
}

#[tokio::test]
async fn every_endpoint_and_parameter_answers_as_consul_does() {
    let both = Beside::start(&services()).await;
    let node = both.consul.node();
    let mut paths: Vec<String> = [
        "/v1/catalog/services",
        "/v1/catalog/services?node-meta=consul-network-segment",
        "/v1/catalog/services?node-meta=a:b",
        "/v1/catalog/services?stale",
        "/v1/catalog/services?consistent",
        "/v1/catalog/services?cached",
        "/v1/catalog/services?near=_agent&pretty",
        "/v1/catalog/services?filter=bogus+expression",
        "/v1/catalog/nodes",
        "/v1/catalog/nodes?node-meta=a:b",
        "/v1/catalog/nodes?filter=Meta+is+empty",
        "/v1/catalog/nodes?near=_agent&dc=dc1",
        "/v1/catalog/nodes?stale&pretty",
        "/v1/catalog/datacenters",
        "/v1/catalog/datacenters?dc=elsewhere",
        "/v1/catalog/node/nosuch",
        "/v1/catalog/service/web",
        "/v1/catalog/service/WEB",
        "/v1/catalog/service/we%62",
        "/v1/catalog/service/upper",
        "/v1/catalog/service/web?tag=b",
        "/v1/catalog/service/web?tag=a&tag=B",
        "/v1/catalog/service/web?tag=nosuch",
        "/v1/catalog/service/web?node-meta=a:b",
        "/v1/catalog/service/web?near=nosuch",
        "/v1/catalog/service/web?filter=a+in+ServiceTags",
        "/v1/catalog/service/nosuch",
        "/v1/catalog/service/named",
        "/v1/catalog/service/six",
        "/v1/catalog/service/web?stale",
        "/v1/catalog/service/web?consistent",
        "/v1/catalog/service/web?cached",
        "/v1/catalog/service/web?pretty",
        "/v1/catalog/service/web?dc=dc1",
        "/v1/catalog/service/web?dc=",
        "/v1/health/service/web",
        "/v1/health/service/WEB",
        "/v1/health/service/web?passing",
        "/v1/health/service/web?passing=1&tag=b",
        "/v1/health/service/web?passing=false",
        "/v1/health/service/web?tag=a&tag=b",
        "/v1/health/service/web?node-meta=a:b",
        "/v1/health/service/web?filter=Checks.Status==warning",
        "/v1/health/service/web?near=_agent",
        "/v1/health/service/web?stale",
        "/v1/health/service/web?consistent",
        "/v1/health/service/web?cached",
        "/v1/health/service/web?dc=dc1&pretty",
        "/v1/health/service/nosuch",
        "/v1/health/service/six",
        "/v1/health/service/named",
        "/v1/health/service/db?passing",
        "/v1/health/node/nosuch",
        "/v1/health/state/any",
        "/v1/health/state/any?node-meta=a:b",
        "/v1/health/state/passing",
        "/v1/health/state/warning",
        "/v1/health/state/critical",
        "/v1/health/state/nosuch",
        "/v1/health/state/any?filter=ServiceName==web",
        "/v1/health/state/any?near=_agent&stale&dc=dc1",
        "/v1/health/checks/web",
        "/v1/health/checks/web?node-meta=a:b",
        "/v1/health/checks/web?near=_agent&consistent&filter=Status==warning",
        "/v1/health/checks/nosuch",
        "/v1/agent/services",
        "/v1/agent/services?filter=Service==web",
        "/v1/agent/checks",
        "/v1/agent/checks?filter=Status==critical",
    ]
    .map(str::to_owned)
    .into();
    for prefix in ["/v1/catalog/node/", "/v1/health/node/"] {
        paths.push(format!("{prefix}{node}"));
        paths.push(format!("{prefix}{}", node.to_uppercase()));
    }
    paths.push(format!("/v1/catalog/node/{node}?filter=Service==web"));
    paths.push(format!("/v1/health/node/{node}?filter=Status==critical"));
    for path in &paths {
        until_equal(&both, path, comparable).await;
        let (theirs, ours) = both.get(path).await;
        same_headers(path, &theirs, &ours);
    }
}

#[tokio::test]
async fn a_pretty_answer_has_the_lines_that_consuls_has() {
    let both = Beside::start(&services()[..1]).await;
    // How far each line is indented; Consul's development mode indents every answer.
    let indents = |text: &str| text.lines().map(|line| line.len() - line.trim_start().len()).collect::<Vec<_>>();
    for path in ["/v1/health/service/web?pretty", "/v1/catalog/service/web?pretty", "/v1/catalog/nodes?pretty"] {
        until_equal(&both, path, comparable).await;
        let (theirs, ours) = both.get(path).await;
        assert_eq!(indents(&ours.text), indents(&theirs.text), "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_answered_as_consul_does() {
    let both = Beside::start(&[]).await;
    for path in [
        "/v1/health/service/web?index=abc",
        "/v1/health/service/web?index=-1",
        "/v1/health/service/web?wait=abc",
        "/v1/health/service/web?wait=10",
        "/v1/catalog/services?wait=10",
        "/v1/health/service/web?stale&consistent",
        "/v1/health/service/web?passing=maybe",
        "/v1/health/service/web?dc=elsewhere",
        "/v1/catalog/services?dc=elsewhere",
        "/v1/health/service",
        "/v1/health/service/",
        "/v1/catalog/service/",
        "/v1/catalog/node/",
        "/v1/health/node/",
        "/v1/health/state/",
        "/v1/health/checks/",
        "/v1/",
        "/v1/nosuch",
        "/v1/catalog/services/",
        "/v1/kv/nosuch",
    ] {
        let (theirs, ours) = both.get(path).await;
        assert_eq!(ours.status, theirs.status, "{path}");
        assert_eq!(ours.headers.get("location"), theirs.headers.get("location"), "{path}");
        // Go puts a sentence of HTML into a redirect.
        if ours.status != 301 {
            assert_eq!(ours.text, theirs.text, "{path}");
        }
    }
    for (method, path) in [
        ("OPTIONS", "/v1/catalog/services"),
        ("PUT", "/v1/catalog/services"),
        ("DELETE", "/v1/health/service/web"),
        ("POST", "/v1/status/leader"),
    ] {
        let theirs = ask(both.consul.address(), method, path).await;
        let ours = ask(both.ours(), method, path).await;
        assert_eq!(ours.status, theirs.status, "{method} {path}");
        assert_eq!(ours.headers.get("allow"), theirs.headers.get("allow"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_change_a_check_and_an_end_are_told_as_consul_tells_them() {
    let mut all = services();
    let both = Beside::start(&all).await;
    all[0].tags = [&*all[0].tags, &["new".to_owned()]].concat().into();
    all[0].port = 8080;
    both.register(&all[0]).await;
    both.deregister("h:web2:80").await;
    for path in ["/v1/health/service/web", "/v1/catalog/service/web", "/v1/catalog/services", "/v1/agent/checks"] {
        until_equal(&both, path, comparable).await;
    }
}

#[tokio::test]
async fn what_the_agent_says_of_itself_is_what_clients_read() {
    let both = Beside::start(&[]).await;
    let (theirs, ours) = both.get("/v1/agent/self").await;
    let (theirs, ours) = (comparable(theirs.json()), comparable(ours.json()));
    assert_eq!(ours["Config"], theirs["Config"]);
    assert_eq!(ours["Meta"], theirs["Meta"]);
    their_own_way(&theirs["Member"], &ours["Member"]);
    let (theirs, ours) = both.get("/v1/agent/members").await;
    their_own_way(&comparable(theirs.json())[0], &comparable(ours.json())[0]);
    for path in ["/v1/status/leader", "/v1/status/peers"] {
        let (theirs, ours) = both.get(path).await;
        // The port is that of a server, which is Consul's own.
        let host = |text: &str| text.rsplit_once(':').unwrap().0.replace([' ', '\n'], "");
        assert_eq!(host(&ours.text), host(&theirs.text), "{path}");
    }
}

/// A member, but for what depends on Consul's ports and on features that are not here.
fn their_own_way(theirs: &Value, ours: &Value) {
    let plain = |member: &Value| {
        let mut member = member.clone();
        member["Port"] = Value::Null;
        for tag in ["port", "wan_join_port", "ft_fs"] {
            member["Tags"].as_object_mut().unwrap().remove(tag);
        }
        member
    };
    assert_eq!(plain(ours), plain(theirs));
}
