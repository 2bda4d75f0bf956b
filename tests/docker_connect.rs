//! Finding an engine; and where there is none that can be spoken to, one line that says what to do.

// A test that cannot be set up has failed: saying so at once is the point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use registrator::config::DockerConfig;
use registrator::docker::{ConnectError, Docker};
use tempfile::TempDir;
use testkit::engine::{FakeContainer, FakeEngine, Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;

/// What is recommended to who runs it in a container.
const MOUNT: &str = "in a container, mount the directory of the socket: -v /var/run:/host/run:ro -e \
                     DOCKER_HOST=unix:///host/run/docker.sock";

fn at(host: &str) -> DockerConfig {
    DockerConfig {
        host: Some(host.to_owned()),
        tls_verify: false,
        cert_path: None,
        api_version: None,
        keep_inspect: false,
        ip_label: None,
        list_all: false,
        resync: None,
    }
}

fn unix(path: &Path) -> DockerConfig {
    at(&format!("unix://{}", path.display()))
}

async fn refusal(config: &DockerConfig) -> String {
    let refused = timeout(Duration::from_secs(15), Docker::connect(config)).await.expect("an answer in time");
    let line = refused.expect_err("no engine").to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[tokio::test]
async fn an_engine_is_found_on_a_socket_and_on_tcp() {
    for engine in [FakeEngine::start().await, FakeEngine::start_tcp().await] {
        let id = engine.run(FakeContainer::new("web"));
        let docker = Docker::connect(&at(&engine.host())).await.unwrap();
        assert_eq!(docker.endpoint(), engine.host().replace("tcp:", "http:"));
        assert_eq!((docker.version().name, docker.version().version.as_str()), ("Docker", "20.10.24"));
        assert_eq!(docker.version().api.to_string(), "1.41");
        let listed = docker.list().await.unwrap();
        assert_eq!(listed[0].id.as_str(), id);
        assert_eq!(&*docker.inspect(&listed[0].id).await.unwrap().unwrap().name, "web");
        assert_eq!(docker.inspect(&"nobody".into()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_version_is_negotiated_or_forced() {
    let engine = FakeEngine::start().await;
    engine.set_api((1, 60), (1, 44));
    let docker = Docker::connect(&at(&engine.host())).await.unwrap();
    assert_eq!(docker.version().api.to_string(), "1.52");
    docker.list().await.unwrap();

    let forced = |version: &str| DockerConfig { api_version: Some(version.to_owned()), ..at(&engine.host()) };
    assert_eq!(Docker::connect(&forced("1.45")).await.unwrap().version().api.to_string(), "1.45");
    assert_eq!(
        refusal(&forced("1.41")).await,
        format!(
            "{}: the engine speaks API 1.44 to 1.60, and not DOCKER_API_VERSION=1.41: unset it to take the newest that fits",
            engine.host()
        )
    );
    assert_eq!(
        refusal(&forced("latest")).await,
        "DOCKER_API_VERSION=latest: give a version like 1.41, or unset it to take the newest that fits"
    );
    engine.set_api((1, 70), (1, 60));
    assert!(refusal(&at(&engine.host())).await.ends_with("update this program"));
    engine.set_api((1, 20), (1, 12));
    assert!(refusal(&at(&engine.host())).await.ends_with("update the engine"));
}

#[tokio::test]
async fn a_missing_socket_is_said_to_be_missing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("docker.sock");
    assert_eq!(
        refusal(&unix(&path)).await,
        format!("there is no socket at {}: start the engine, or correct DOCKER_HOST; {MOUNT}", path.display())
    );
}

#[tokio::test]
async fn a_folder_where_the_socket_should_be_is_explained() {
    let folder = TempDir::new().unwrap();
    assert_eq!(
        refusal(&unix(folder.path())).await,
        format!(
            "{} is not a socket but a directory, which Docker makes where there is nothing to mount: correct DOCKER_HOST; \
             {MOUNT}",
            folder.path().display()
        )
    );
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_said_to_be_silent() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("docker.sock");
    drop(UnixListener::bind(&path).unwrap());
    let expected = "start the engine, or correct DOCKER_HOST";
    assert_eq!(refusal(&unix(&path)).await, format!("nothing listens at unix://{}: {expected}", path.display()));

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    assert_eq!(
        refusal(&at(&format!("tcp://{address}"))).await,
        format!("nothing listens at http://{address}: {expected}")
    );
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_may_not_be_used_says_who_may() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("docker.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    let refused = Docker::connect(&unix(&path)).await.unwrap_err();
    // Root may use any socket; there, nobody accepts the connection.
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    match refused {
        ConnectError::Denied { endpoint } if !is_root => assert_eq!(endpoint, format!("unix://{}", path.display())),
        ConnectError::Unreachable { .. } if is_root => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_engine_is_not_taken_for_one() {
    let engine = FakeEngine::start().await;
    for (fault, reason, hint) in [
        (Fault::Garbage("<html>".into()), "the answer is not JSON", "correct DOCKER_HOST"),
        (Fault::Garbage("{}".into()), "the answer has no ApiVersion", "correct DOCKER_HOST"),
        (Fault::Garbage(vec![b' '; 1 << 20].into()), "the answer is larger than 64 KiB", "correct DOCKER_HOST"),
        (Fault::Fail(404), "it answers 404: something went wrong on purpose", "correct DOCKER_HOST"),
        (
            Fault::Fail(403),
            "it answers 403",
            "let the proxy before it pass GET /version, /containers/json, /containers/{id}/json and /events",
        ),
    ] {
        engine.fault_version(fault);
        let line = refusal(&at(&engine.host())).await;
        assert!(line.starts_with(&format!("{} is not a Docker engine: {reason}", engine.host())), "{line}");
        assert!(line.ends_with(&format!("; {hint}")), "{line}");
    }
}

#[tokio::test]
async fn plain_http_to_a_tls_port_says_which_setting_is_missing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 1024]).await;
        let body = "Client sent an HTTP request to an HTTPS server.\n";
        let answer = format!("HTTP/1.0 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let _ = connection.write_all(answer.as_bytes()).await;
        let _ = connection.shutdown().await;
    });
    let line = refusal(&at(&format!("tcp://{address}"))).await;
    assert!(line.ends_with("; set DOCKER_TLS_VERIFY=1"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_never_answers_is_given_up_after_ten_seconds() {
    let engine = FakeEngine::start().await;
    engine.fault_version(Fault::Hang);
    let line = refusal(&at(&engine.host())).await;
    assert_eq!(
        line,
        format!("{} cannot be reached: no answer within 10 s; start the engine, or correct DOCKER_HOST", engine.host())
    );
}

#[tokio::test]
async fn tls_files_that_cannot_be_used_are_named() {
    let folder = TempDir::new().unwrap();
    let secure =
        DockerConfig { tls_verify: true, cert_path: Some(folder.path().to_owned()), ..at("tcp://127.0.0.1:1") };
    let ca = folder.path().join("ca.pem");
    assert!(refusal(&secure).await.starts_with(&format!("{} is missing: put", ca.display())));
    std::fs::write(&ca, "not a certificate").unwrap();
    let line = refusal(&secure).await;
    assert_eq!(
        line,
        format!(
            "TLS with Docker: the authorities to trust cannot be read from {}: it holds no certificate; check the files of \
             DOCKER_CERT_PATH",
            ca.display()
        )
    );
}

#[tokio::test]
async fn credentials_in_the_address_are_used_and_never_printed() {
    let engine = FakeEngine::start_tcp().await;
    let host = engine.host().replace("tcp://", "tcp://me:secret@");
    let docker = Docker::connect(&at(&host)).await.unwrap();
    assert!(!format!("{docker:?} {}", docker.endpoint()).contains("secret"));
    engine.go_away().await;
    let line = refusal(&at(&host)).await;
    assert!(!line.contains("secret"), "{line}");
    let error = docker.list().await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("secret"));
}
