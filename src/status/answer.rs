//! The forms of an answer of `-status`: whole or in parts, each with the headers that all have.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use registrator_web::page::protect;
use serde::Serialize;
use tokio::sync::mpsc;

/// A body, whole or in parts.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;
/// An answer.
pub type Answer = Response<Body>;

/// The media type of JSON.
pub const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Takes the parts of a long answer.
pub struct Out(mpsc::Sender<Bytes>);

/// The reader is gone.
#[derive(Debug)]
pub struct Gone;

impl Out {
    /// Parts go here, and on to their reader.
    pub fn new(parts: mpsc::Sender<Bytes>) -> Self {
        Self(parts)
    }

    /// Sends a part, when the reader has taken those before.
    ///
    /// # Errors
    /// When the reader is gone.
    pub async fn send(&self, part: impl Into<Bytes>) -> Result<(), Gone> {
        self.0.send(part.into()).await.map_err(|_| Gone)
    }
}

/// A value as JSON.
pub fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(mut text) => {
            text.push(b'\n');
            answer(StatusCode::OK, JSON, text)
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

/// One too many.
pub fn busy() -> Answer {
    text(StatusCode::TOO_MANY_REQUESTS, "too many long answers are being made: ask again later\n")
}

/// A text.
pub fn text(code: StatusCode, text: &str) -> Answer {
    answer(code, TEXT, text.to_owned())
}

/// No body.
pub fn empty(code: StatusCode) -> Answer {
    answer(code, TEXT, Bytes::new())
}

/// A whole body of this media type.
pub fn answer(code: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    response(code, kind, Full::new(body.into()).boxed_unsync())
}

/// An answer with the headers that all have.
pub fn response(code: StatusCode, kind: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    protect(headers);
    answer
}

/// The entity tag of a version of all that runs.
pub fn tag(version: u64) -> String {
    format!("\"{version:x}\"")
}

/// The same with a tag.
pub fn tagged(mut answer: Answer, tag: &str) -> Answer {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        answer.headers_mut().insert(ETAG, tag);
    }
    answer
}
