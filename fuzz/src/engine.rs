//! Any bytes as an engine's answers: who it is, its list, one container, its events. Never a panic, and every
//! refusal is one line.
//!
//! The input is four answers, split at NULs; each begins with a byte that chooses its status.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use registrator::config::DockerConfig;
use registrator::docker::{Carrier, Docker};
use registrator::http::{Error, Response};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let mut answers = data.splitn(4, |byte| *byte == 0).map(<[u8]>::to_vec);
    let answers: [Vec<u8>; 4] = std::array::from_fn(|_| answers.next().unwrap_or_default());
    RUNTIME.block_on(ask(Answers(answers)));
}

async fn ask(answers: Answers) {
    let config = DockerConfig {
        host: None,
        tls_verify: false,
        cert_path: None,
        api_version: None,
        keep_inspect: true,
        ip_label: None,
        list_all: true,
        resync: None,
    };
    let docker = match Docker::over(Arc::new(answers), &config).await {
        Ok(docker) => docker,
        Err(error) => return assert_line(&error.to_string()),
    };
    assert_line(&docker.version().version);
    match docker.list().await {
        Ok(list) => {
            for listed in list {
                match docker.inspect(&listed.id).await {
                    Ok(container) => assert!(container.is_none_or(|container| container.id == listed.id)),
                    Err(error) => assert_line(&error.to_string()),
                }
            }
        }
        Err(error) => assert_line(&error.to_string()),
    }
    match docker.events().await {
        Ok(mut stream) => while stream.next().await.is_ok() {},
        Err(error) => assert_line(&error.to_string()),
    }
}

fn assert_line(line: &str) {
    assert!(!line.contains(char::is_control), "a broken line: {line:?}");
    assert!(line.len() < 2000, "a very long line: {line:?}");
}

/// An engine that always answers the same.
struct Answers([Vec<u8>; 4]);

impl Carrier for Answers {
    fn get<'a>(&'a self, url: &'a str, _: &'a [(&'a str, &'a str)]) -> BoxFuture<'a, Result<Response, Error>> {
        let which = match url {
            _ if url.ends_with("/version") => 0,
            _ if url.ends_with("/containers/json") => 1,
            _ if url.ends_with("/events") => 3,
            _ => 2,
        };
        let (status, body) = self.0[which].split_first().map_or((200, Vec::new()), |(first, rest)| {
            (
                match first {
                    b'4' => 404,
                    b'5' => 500,
                    b'3' => 301,
                    _ => 200,
                },
                rest.to_vec(),
            )
        });
        let mut response = http::Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        Box::pin(async move { Ok(response.into()) })
    }
}
