//! The four endpoints, and how they go wrong.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, Request as HttpRequest, State as Extract};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{Fault, Piece, Request, Shared, State};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/version", get(version))
        .route("/{version}/containers/json", get(list))
        .route("/{version}/containers/{id}/json", get(inspect))
        .route("/{version}/events", get(events))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "page not found") })
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), record))
        .with_state(shared)
}

async fn record(Extract(shared): Extract<Arc<Shared>>, request: HttpRequest, next: Next) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let refusal = {
        let mut state = shared.state();
        state.requests.push(Request { method, path: path.clone() });
        wrong_version(&state, &path)
    };
    match refusal {
        Some(reason) => error(StatusCode::BAD_REQUEST, &reason),
        None => next.run(request).await,
    }
}

/// Why this version of the API is not spoken, in dockerd's words.
fn wrong_version(state: &State, path: &str) -> Option<String> {
    let text = path.strip_prefix("/v")?.split('/').next()?;
    let (major, minor) = text.split_once('.')?;
    let asked = (major.parse().ok()?, minor.parse().ok()?);
    let spell = |(major, minor): (u16, u16)| format!("{major}.{minor}");
    if asked > state.api {
        let newest = spell(state.api);
        return Some(format!("client version {text} is too new. Maximum supported API version is {newest}"));
    }
    let oldest = spell(state.oldest_api);
    (asked < state.oldest_api).then(|| {
        format!(
            "client version {text} is too old. Minimum supported API version is {oldest}, please upgrade your client"
        )
    })
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"message": message}))).into_response()
}

fn json_answer(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Answers as the fault has it; `answer` makes the right one.
async fn answer(fault: Fault, answer: impl Fn() -> Response) -> Response {
    match fault {
        Fault::None => answer(),
        Fault::Fail(status) => {
            error(StatusCode::from_u16(status).expect("an HTTP status"), "something went wrong on purpose")
        }
        Fault::Hang => std::future::pending().await,
        Fault::Delay(time) => {
            sleep(time).await;
            answer()
        }
        Fault::Stale(time) => {
            let answer = answer();
            sleep(time).await;
            answer
        }
        Fault::Garbage(bytes) => Body::from(bytes).into_response(),
    }
}

async fn version(Extract(shared): Extract<Arc<Shared>>) -> Response {
    let fault = shared.state().version.clone();
    answer(fault, || {
        let state = shared.state();
        let spell = |(major, minor): (u16, u16)| format!("{major}.{minor}");
        let version = if state.api < (1, 52) { "20.10.24" } else { "29.0.0" };
        Json(json!({
            "Version": version,
            "ApiVersion": spell(state.api),
            "MinAPIVersion": spell(state.oldest_api),
            "Components": [{"Name": "Engine", "Version": version}],
        }))
        .into_response()
    })
    .await
}

async fn list(Extract(shared): Extract<Arc<Shared>>, Query(query): Query<HashMap<String, String>>) -> Response {
    let fault = shared.state().list.clone();
    let all = query.get("all").is_some_and(|all| all == "1" || all == "true");
    answer(fault, || {
        let mut state = shared.state();
        json_answer(if state.is_listing_nothing { Bytes::from_static(b"[]") } else { state.listed(all) })
    })
    .await
}

async fn inspect(Extract(shared): Extract<Arc<Shared>>, Path((_, id)): Path<(String, String)>) -> Response {
    let fault = {
        let state = shared.state();
        match state.inspect_of.get(&id) {
            Some(Fault::None) | None => state.inspect.clone(),
            Some(fault) => fault.clone(),
        }
    };
    answer(fault, || {
        let said = shared.state().inspected(&id);
        match said {
            Some(said) => json_answer(said),
            None => error(StatusCode::NOT_FOUND, &format!("No such container: {id}")),
        }
    })
    .await
}

async fn events(Extract(shared): Extract<Arc<Shared>>) -> Response {
    let fault = shared.state().stream.clone();
    answer(fault, || {
        let (sender, receiver) = mpsc::unbounded_channel();
        shared.state().streams.push(sender);
        let pieces = stream::unfold(receiver, |mut receiver| async move {
            let piece = match receiver.recv().await? {
                Piece::Bytes(bytes) => Ok(bytes),
                Piece::Cut => Err(io::Error::other("cut on purpose")),
            };
            Some((piece, receiver))
        });
        Body::from_stream(pieces).into_response()
    })
    .await
}
