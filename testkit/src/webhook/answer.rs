//! From a request to its answer.

use axum::body::Body;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use serde_json::{Value, json};

use super::{MEDIA, Seen, State, ZONE, Zone};

/// Answers a request.
pub(super) fn answer(state: &mut State, request: &Parts, body: &[u8]) -> Response<Body> {
    let path = request.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    state.seen.push(Seen { method: request.method.to_string(), path });
    let (status, kind, text) = reply(state, request, body);
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status.try_into().expect("a status");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(VARY, HeaderValue::from_static("Content-Type"));
    response
}

fn reply(state: &mut State, request: &Parts, body: &[u8]) -> (u16, &'static str, String) {
    const PLAIN: &str = "text/plain";
    if let Some(status) = state.status {
        return (status, PLAIN, "no such luck".to_owned());
    }
    let header = |name: HeaderName| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some((user, password)) = state.options.user
        && header(AUTHORIZATION).as_bytes() != registrator::http::basic(user, password).as_bytes()
    {
        return (401, PLAIN, String::new());
    }
    if header(ACCEPT) != MEDIA {
        return (406, PLAIN, "client must provide a valid accept header".to_owned());
    }
    if request.method == Method::POST && header(CONTENT_TYPE) != MEDIA {
        return (415, PLAIN, "client must provide a valid content type".to_owned());
    }
    let read = || serde_json::from_slice::<Value>(body);
    let said = |value: &Value| (200, MEDIA, value.to_string());
    match (request.method.as_str(), request.uri.path()) {
        ("GET", "/") => said(&json!({"include": [ZONE]})),
        ("GET", "/records") => said(&state.zone.to_json(state.options)),
        ("POST", "/adjustendpoints") => match read() {
            Ok(sets) => said(&Zone::adjusted(state.options, &sets)),
            Err(error) => (400, PLAIN, error.to_string()),
        },
        ("POST", "/records") => match read() {
            Ok(changes) => {
                if let Some(meanwhile) = state.meanwhile.take() {
                    meanwhile(&mut state.zone);
                }
                let most = state.stops_after.take().unwrap_or(usize::MAX);
                match state.zone.apply(state.options, &changes, most) {
                    Ok(()) => (204, MEDIA, String::new()),
                    Err(reason) => (500, PLAIN, reason),
                }
            }
            Err(error) => (400, PLAIN, error.to_string()),
        },
        _ => (404, PLAIN, "404 page not found".to_owned()),
    }
}
