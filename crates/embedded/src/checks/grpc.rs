//! gRPC checks: `grpc.health.v1.Health/Check` of the whole server
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).
//!
//! The question is an empty message and the answer holds one number, so both are spoken by hand over an
//! HTTP/2 connection: a gRPC library would bring a code generator and its runtime for seven bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::dial::Dialer;
use super::policy::Policy;
use super::{Outcome, Status};
use crate::Tls;
use crate::definition::Definition;

/// An uncompressed message of no bytes: the question for the server as a whole.
const QUESTION: &[u8] = &[0, 0, 0, 0, 0];
/// `SERVING` of `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;
/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 1024;

/// The two ways of TLS that checks need.
pub(super) struct Connectors {
    verifying: TlsConnector,
    trusting: TlsConnector,
}

impl Connectors {
    pub(super) fn new(tls: &Tls) -> Self {
        let of = |config: &Arc<ClientConfig>| {
            let mut config = ClientConfig::clone(config);
            config.alpn_protocols = vec![b"h2".to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        Self { verifying: of(&tls.verifying), trusting: of(&tls.trusting) }
    }

    pub(super) fn connector(&self, skip_verify: bool) -> &TlsConnector {
        if skip_verify { &self.trusting } else { &self.verifying }
    }
}

pub(super) async fn probe(
    definition: &Definition,
    tls: Option<&TlsConnector>,
    dialer: Dialer<'_>,
    limit: Duration,
) -> Outcome {
    match timeout(limit, connect(definition, tls, dialer)).await {
        Ok(Ok(())) => (Status::Passing, format!("gRPC check {}: success", definition.authority())),
        Ok(Err(reason)) => (Status::Critical, reason),
        Err(_) => (Status::Critical, "rpc error: code = DeadlineExceeded desc = context deadline exceeded".to_owned()),
    }
}

async fn connect(definition: &Definition, tls: Option<&TlsConnector>, dialer: Dialer<'_>) -> Result<(), String> {
    let unavailable = |reason: String| {
        format!("rpc error: code = Unavailable desc = connection error: desc = \"transport: {reason}\"")
    };
    let (host, target) = (&definition.address, definition.authority());
    let dialing = |reason| unavailable(format!("Error while dialing {reason}"));
    let stream = dialer.connect(host, definition.port).await.map_err(dialing)?;
    let shown = Policy::shows_answers(definition.target);
    match tls {
        None => ask(stream, &format!("http://{target}"), shown).await,
        Some(connector) => {
            let failed = |reason: String| unavailable(format!("authentication handshake failed: {reason}"));
            let name = ServerName::try_from(host.to_string()).map_err(|error| failed(error.to_string()))?;
            let stream = connector.connect(name, stream).await.map_err(|error| failed(error.to_string()))?;
            ask(stream, &format!("https://{target}"), shown).await
        }
    }
    .map_err(|reason| if reason.is_empty() { unhealthy() } else { reason })
}

fn unhealthy() -> String {
    "gRPC application didn't report service healthy".to_owned()
}

/// Asks over a connection; an empty reason is an answer other than yes. What the server says is repeated where it is
/// to be `shown`.
async fn ask<S>(stream: S, server: &str, shown: bool) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| format!("rpc error: code = Unavailable desc = {error}");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(failed)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // Its end is seen by the request, too.
        let _ = connection.await;
    }));
    let request = Request::post(format!("{server}/grpc.health.v1.Health/Check"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(QUESTION)))
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(format!("rpc error: code = Unknown desc = HTTP status {}", answer.status()));
    }
    verdict(answer.headers(), shown)?;
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
    let body = body.map_err(|error| format!("rpc error: code = Internal desc = {error}"))?;
    if let Some(trailers) = body.trailers() {
        verdict(trailers, shown)?;
    }
    if serving_status(&body.to_bytes()) == Some(SERVING) { Ok(()) } else { Err(String::new()) }
}

/// `grpc-status`, which stands in the trailers, or in the headers of an answer without a message.
fn verdict(headers: &HeaderMap, shown: bool) -> Result<(), String> {
    let word = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    match word("grpc-status") {
        None | Some("0") => Ok(()),
        Some(code) if !shown => Err(format!("rpc error: code = {}", code_name(code))),
        Some(code) => Err(format!(
            "rpc error: code = {} desc = {}",
            code_name(code),
            word("grpc-message").unwrap_or_default().chars().take(200).collect::<String>()
        )),
    }
}

/// The names of gRPC's status codes that a health check meets.
fn code_name(code: &str) -> &str {
    match code {
        "1" => "Canceled",
        "2" => "Unknown",
        "4" => "DeadlineExceeded",
        "5" => "NotFound",
        "7" => "PermissionDenied",
        "12" => "Unimplemented",
        "13" => "Internal",
        "14" => "Unavailable",
        "16" => "Unauthenticated",
        code if code.len() < 3 && code.bytes().all(|byte| byte.is_ascii_digit()) => code,
        _ => "none that there is",
    }
}

/// Field 1 of an uncompressed `HealthCheckResponse`; a message without it says 0, unknown.
fn serving_status(framed: &[u8]) -> Option<u64> {
    let [0, a, b, c, d, rest @ ..] = framed else { return None };
    let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?;
    let mut message = rest.get(..length)?;
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let value = match key & 7 {
            0 => varint(&mut message)?,
            1 => skip(&mut message, 8)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                skip(&mut message, length)?
            }
            5 => skip(&mut message, 4)?,
            _ => return None,
        };
        if key == 8 {
            status = value;
        }
    }
    Some(status)
}

fn skip(message: &mut &[u8], length: usize) -> Option<u64> {
    *message = message.get(length..)?;
    Some(0)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_is_read_as_protocol_buffers() {
        for (framed, expected) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], Some(1)),
            (&[0, 0, 0, 0, 2, 8, 2], Some(2)),
            (&[0, 0, 0, 0, 0], Some(0)),
            (&[0, 0, 0, 0, 5, 0x12, 1, b'x', 8, 1], Some(1)),
            (&[1, 0, 0, 0, 2, 8, 1], None),
            (&[0, 0, 0, 0, 9, 8, 1], None),
            (&[], None),
        ] {
            assert_eq!(serving_status(framed), expected, "{framed:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = serving_status(&bytes);
            let mut framed = vec![0, 0, 0, 0, u8::try_from(bytes.len()).unwrap()];
            framed.extend(bytes);
            let _ = serving_status(&framed);
        }
    }
}
