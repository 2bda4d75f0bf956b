//! From a request to its answer.

use std::collections::BTreeMap;

use axum::body::Body;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::rules::Said;
use super::{Seen, State, xml};

/// What is answered: a status, and a body with its type.
struct Reply {
    status: u16,
    kind: &'static str,
    body: String,
}

impl From<Said> for Reply {
    fn from((status, body): Said) -> Self {
        Self { status, kind: "text/plain", body }
    }
}

/// Answers a request.
pub(super) fn answer(state: &mut State, request: &Parts, body: &[u8]) -> Response<Body> {
    let reply = reply(state, request, body);
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status.try_into().expect("a status");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(reply.kind));
    response
}

fn reply(state: &mut State, request: &Parts, body: &[u8]) -> Reply {
    let path = request.uri.path();
    // Spring Security and Tomcat refuse these in any path.
    if ["%2f", "%25", "%5c", "%00", "%3b", "//"].iter().any(|odd| path.to_ascii_lowercase().contains(odd)) {
        return page(400);
    }
    let Some(path) = path.strip_prefix(state.options.path).and_then(|path| path.strip_prefix('/')) else {
        return page(404);
    };
    if !is_allowed(state.options.user, &request.headers) {
        return Reply {
            status: 401,
            kind: "application/json",
            body: r#"{"status":401,"error":"Unauthorized"}"#.to_owned(),
        };
    }
    if state.options.csrf && request.method != Method::GET {
        return Reply {
            status: 403,
            kind: "application/json",
            body: r#"{"status":403,"error":"Forbidden"}"#.to_owned(),
        };
    }
    let query = request.uri.query().unwrap_or_default();
    let whole = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    state.seen.push(Seen { method: request.method.to_string(), path: whole });
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).map(unescaped).collect();
    let segments: Vec<_> = segments.iter().map(String::as_str).collect();
    let parameters: BTreeMap<_, _> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (unescaped(key), unescaped(value)))
        .collect();
    if request.method == Method::GET {
        return read(state, &segments, &request.headers);
    }
    let registry = &mut state.registry;
    let value = |name: &str| parameters.get(name).map(String::as_str);
    let said = match (request.method.as_str(), &*segments) {
        ("POST", ["apps", app]) => {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            registry.register(&app.to_uppercase(), &body)
        }
        ("PUT", ["apps", app, id]) => {
            registry.renew(&app.to_uppercase(), id, value("lastDirtyTimestamp").and_then(|it| it.parse().ok()))
        }
        ("DELETE", ["apps", app, id]) => registry.cancel(&app.to_uppercase(), id),
        ("PUT", ["apps", app, id, "status"]) => {
            registry.set_status(&app.to_uppercase(), id, value("value").or(Some("")), None)
        }
        ("DELETE", ["apps", app, id, "status"]) => registry.set_status(&app.to_uppercase(), id, None, value("value")),
        ("PUT", ["apps", app, id, "metadata"]) => {
            let pairs: Vec<_> = parameters.clone().into_iter().collect();
            registry.add_metadata(&app.to_uppercase(), id, &pairs)
        }
        _ => return page(404),
    };
    said.into()
}

fn read(state: &mut State, segments: &[&str], headers: &HeaderMap) -> Reply {
    if state.waits && matches!(segments, ["apps" | "vips" | "svips", ..]) {
        return (403, String::new()).into();
    }
    let (name, list, version) = match segments {
        ["apps"] => ("applications", state.registry.list(), 1),
        ["apps", "delta"] => {
            let (version, changes) = state.registry.delta();
            ("applications", changes, version)
        }
        ["vips", vip] => ("applications", with(state.registry.list(), "vipAddress", vip), 1),
        ["svips", vip] => ("applications", with(state.registry.list(), "secureVipAddress", vip), 1),
        ["apps", app] => ("application", with(state.registry.list(), "app", &app.to_uppercase()), 1),
        ["apps", app, id] => {
            return one(state.registry.instance(&app.to_uppercase(), id), headers);
        }
        ["instances", id] => return one(state.registry.any(id), headers),
        _ => return page(404),
    };
    if list.is_empty() && !matches!(segments, ["apps"] | ["apps", "delta"]) {
        return (404, String::new()).into();
    }
    let mut applications = BTreeMap::<String, Vec<Value>>::new();
    for instance in &list {
        applications.entry(instance["app"].as_str().unwrap_or_default().to_owned()).or_default().push(instance.clone());
    }
    // The number of instances of each status, of all there are.
    let mut counts = BTreeMap::<String, usize>::new();
    for instance in &state.registry.list() {
        *counts.entry(instance["status"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let code: String = counts.iter().map(|(status, count)| format!("{status}_{count}_")).collect();
    let application = |(name, instances): (&String, &Vec<Value>)| json!({"name": name, "instance": instances});
    let said: Vec<_> = applications.iter().map(application).collect();
    let value = match name {
        "application" => said.into_iter().next().unwrap_or_default(),
        _ => json!({"versions__delta": version.to_string(), "apps__hashcode": code, "application": said}),
    };
    spelled(name, &value, headers)
}

fn with(list: Vec<Value>, field: &str, wanted: &str) -> Vec<Value> {
    list.into_iter().filter(|instance| instance[field].as_str() == Some(wanted)).collect()
}

fn one(instance: Option<Value>, headers: &HeaderMap) -> Reply {
    match instance {
        Some(instance) => spelled("instance", &instance, headers),
        None => (404, String::new()).into(),
    }
}

/// As JSON where that is wanted, else as XML.
fn spelled(name: &str, value: &Value, headers: &HeaderMap) -> Reply {
    let wants_json = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|it| it.contains("json"));
    if wants_json {
        Reply { status: 200, kind: "application/json", body: json!({ name: value }).to_string() }
    } else {
        Reply { status: 200, kind: "application/xml", body: xml::spelled(name, value) }
    }
}

fn is_allowed(user: Option<(&str, &str)>, headers: &HeaderMap) -> bool {
    let Some((user, password)) = user else { return true };
    let expected = registrator::http::basic(user, password);
    headers.get(AUTHORIZATION).is_some_and(|given| given.as_bytes() == expected.as_bytes())
}

fn unescaped(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What a web server says of itself.
fn page(status: u16) -> Reply {
    Reply { status, kind: "text/html", body: "<!doctype html><title>Tomcat</title>".to_owned() }
}
