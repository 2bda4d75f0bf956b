//! The forms of an answer: Consul's headers around a body, or a line of text.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION, VARY};
use http::{Response, StatusCode};
use http_body_util::Full;
use registrator_web::page::protect;

use super::query::Consistency;

/// An answer, whole.
pub(super) type Answer = Response<Full<Bytes>>;

const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
const EFFECTIVE_CONSISTENCY: HeaderName = HeaderName::from_static("x-consul-effective-consistency");
const CACHE: HeaderName = HeaderName::from_static("x-cache");
const AGE: HeaderName = HeaderName::from_static("age");

/// What may be asked of an endpoint.
const METHODS: HeaderValue = HeaderValue::from_static("OPTIONS,GET");

/// A body and its index, for endpoints that have one.
pub(super) struct Body {
    pub(super) index: Option<u64>,
    pub(super) json: Bytes,
}

impl Body {
    pub(super) fn into_answer(self, consistency: Consistency, cached: bool) -> Answer {
        let mut answer = Response::new(Full::new(self.json));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if let Some(index) = self.index {
            headers.insert(INDEX, index.max(1).into());
            headers.insert(KNOWN_LEADER, HeaderValue::from_static("true"));
            headers.insert(LAST_CONTACT, HeaderValue::from_static("0"));
            let consistency = match consistency {
                Consistency::Leader => "leader",
                Consistency::Stale => "stale",
                Consistency::Consistent => "consistent",
            };
            headers.insert(EFFECTIVE_CONSISTENCY, HeaderValue::from_static(consistency));
        }
        if cached {
            headers.insert(CACHE, HeaderValue::from_static("HIT"));
            headers.insert(AGE, HeaderValue::from_static("0"));
        }
        answer
    }
}

/// No body.
pub(super) fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// A line for a person.
pub(super) fn text(code: StatusCode, text: &str) -> Answer {
    let mut answer = status(code);
    *answer.body_mut() = Full::from(text.to_owned());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// Something for a browser, with its tag.
pub(super) fn page(body: Bytes, kind: &'static str, tag: &str) -> Answer {
    let mut answer = Response::new(Full::new(body));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
    protect(headers);
    answer
}

/// An answer of Eureka's, which has another form for each reader.
pub(super) fn eureka(body: Bytes, kind: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    answer
}

/// The browser has it already.
pub(super) fn same(kind: &'static str, tag: &str) -> Answer {
    let mut answer = page(Bytes::new(), kind, tag);
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    answer
}

/// The same, saying what may be asked.
pub(super) fn with_methods(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(ALLOW, METHODS);
    answer
}

/// It is elsewhere, with the same query.
pub(super) fn moved(to: &str, query: &str) -> Answer {
    let to = if query.is_empty() { to.to_owned() } else { format!("{to}?{query}") };
    let mut answer = status(StatusCode::MOVED_PERMANENTLY);
    if let Ok(to) = HeaderValue::try_from(to) {
        answer.headers_mut().insert(LOCATION, to);
    }
    answer
}
