//! Intervals and patience, on a clock of the test's own.

use std::net::SocketAddr;

use tokio::time::sleep;

use super::*;
use crate::catalog::Node;
use crate::definition::Target;
use crate::testing::{definition, reports, tls};

fn catalog() -> Arc<Catalog> {
    let node = Node {
        id: String::new(),
        name: "n".to_owned(),
        address: "127.0.0.1".parse().unwrap(),
        datacenter: "dc1".to_owned(),
        index: 1,
    };
    Arc::new(Catalog::new(node, reports()))
}

fn instance(kind: CheckKind, deregister_after: Option<Duration>) -> Definition {
    let check =
        Check { kind, interval: Duration::from_secs(10), timeout: None, initial_status: None, deregister_after };
    let address = "127.0.0.1".into();
    Definition { address, port: 1, check: Some(Arc::new(check)), ..definition("i", "web") }
}

/// The instance with another check.
fn with(mut instance: Definition, change: impl FnOnce(&mut Check)) -> Definition {
    change(Arc::make_mut(instance.check.as_mut().unwrap()));
    instance
}

/// Registers it, as the registry does.
fn register(checks: &Checks, definition: &Definition) -> ProbeId {
    let registered = checks.catalog.register(definition.clone(), 0);
    let probe = registered.probe;
    checks.follow(registered);
    probe
}

fn status(checks: &Checks) -> Option<Status> {
    checks.catalog.service("web", true).group.map(|group| group.instances[0].status())
}

#[tokio::test(start_paused = true)]
async fn a_ttl_that_is_missed_turns_critical_then_withdraws_and_a_keep_alive_brings_it_back() {
    let checks = Checks::new(catalog(), &tls(), Vec::new());
    // Less than a minute is a minute.
    let instance = instance(CheckKind::Ttl(Duration::from_secs(30)), Some(Duration::from_secs(1)));
    let probe = register(&checks, &instance);
    assert_eq!(status(&checks), Some(Status::Passing));
    sleep(Duration::from_secs(29)).await;
    checks.keep_alive("i", probe);
    sleep(Duration::from_secs(29)).await;
    assert_eq!(status(&checks), Some(Status::Passing));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(status(&checks), Some(Status::Critical));
    sleep(Duration::from_secs(58)).await;
    assert_eq!(status(&checks), Some(Status::Critical));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(status(&checks), None);
    checks.keep_alive("i", probe);
    assert_eq!(status(&checks), Some(Status::Passing));
    // And so on.
    sleep(Duration::from_secs(31)).await;
    assert_eq!(status(&checks), Some(Status::Critical));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stays_critical_is_withdrawn_in_time_between_two_probes() {
    let checks = Checks::new(catalog(), &tls(), Vec::new());
    let instance = instance(CheckKind::Tcp, Some(Duration::from_secs(90)));
    register(&checks, &with(instance, |check| check.interval = Duration::from_secs(3600)));
    sleep(Duration::from_secs(89)).await;
    assert_eq!(status(&checks), Some(Status::Critical));
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(status(&checks), None);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_begins_as_passing_is_not_withdrawn_before_its_first_probe() {
    let checks = Checks::new(catalog(), &tls(), Vec::new());
    let instance = with(instance(CheckKind::Tcp, Some(Duration::from_secs(90))), |check| {
        check.interval = Duration::from_secs(50_000_000);
        check.initial_status = Some("passing".to_owned());
    });
    register(&checks, &instance);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(status(&checks), Some(Status::Passing));
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_a_keep_alive_and_a_service_that_goes_takes_its_check_along() {
    let checks = Checks::new(catalog(), &tls(), Vec::new());
    let instance = instance(CheckKind::Ttl(Duration::from_secs(30)), None);
    for _ in 0..3 {
        register(&checks, &instance);
        sleep(Duration::from_secs(20)).await;
    }
    assert_eq!(status(&checks), Some(Status::Passing));
    checks.forget("i");
    assert!(checks.running().is_empty());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(status(&checks), Some(Status::Passing));
}

#[tokio::test]
async fn a_script_that_takes_too_long_is_ended_with_all_it_started() {
    let marker = format!("sleep 7{}.25", std::process::id());
    let line = format!("echo before; {marker} & {marker}");
    let (status, output) = script::run("sh", &["-c", &line], Duration::from_millis(300)).await;
    assert_eq!((status, &*output), (Status::Critical, "Timed out (300ms) running check\n\nbefore\n"));
    let deadline = Instant::now() + Duration::from_secs(5);
    while running(&marker) {
        assert!(Instant::now() < deadline, "{marker} still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether any process has this command line.
fn running(command: &str) -> bool {
    let command_line =
        |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry.ok()?.path().join("cmdline")).ok();
    let command = command.replace(' ', "\0");
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(command_line)
        .any(|line| String::from_utf8_lossy(&line).trim_end_matches('\0') == command)
}

#[tokio::test]
async fn a_script_is_given_no_secret_of_ours_and_one_that_is_missing_is_said_so() {
    let (status, output) = script::run("env", &[""; 0], Duration::from_secs(5)).await;
    assert_eq!(status, Status::Passing);
    for line in output.lines() {
        let name = line.split('=').next().unwrap();
        assert!(["PATH", "HOME", "LANG", "TZ", "USER"].contains(&name), "{line}");
    }
    let (status, output) = script::run("nonesuch-check", &[""; 0], Duration::from_secs(5)).await;
    assert_eq!(status, Status::Critical);
    assert_eq!(output, "exec: \"nonesuch-check\": executable file not found in $PATH");
}

/// What one probe of this kind finds at an address, within 200 ms; the check comes from there, or from elsewhere.
async fn found(at: SocketAddr, kind: CheckKind, target: Target) -> Outcome {
    let check = Check {
        kind,
        interval: Duration::from_secs(10),
        timeout: Some(Duration::from_millis(200)),
        initial_status: None,
        deregister_after: None,
    };
    let checks = Checks::new(catalog(), &tls(), Vec::new());
    let address = at.ip().to_string().into();
    let definition = Definition { address, port: at.port(), target, ..definition("i", "web") };
    let permit = Arc::new(checks.tools.permits.acquire(&definition.group).await);
    probe(&definition, &check, &checks.tools, &permit).await
}

fn http_check(method: Option<&str>) -> CheckKind {
    CheckKind::Http { tls: false, path: "/".to_owned(), method: method.map(str::to_owned), skip_verify: false }
}

#[tokio::test]
async fn a_probe_ends_in_its_time_whatever_the_service_does() {
    // It accepts, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let (status, output) = found(at, http_check(None), Target::Own).await;
    assert_eq!((status, output), (Status::Critical, format!("Get \"http://{at}/\": no answer within 200ms")));
    let (status, output) = found(at, CheckKind::Grpc { tls: false, skip_verify: false }, Target::Own).await;
    assert_eq!(status, Status::Critical);
    assert!(output.contains("DeadlineExceeded"), "{output}");
}

#[tokio::test]
async fn every_kind_of_check_heeds_where_it_may_go_and_connects_to_nobody_else() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let at = listener.local_addr().unwrap();
    for kind in [http_check(None), CheckKind::Tcp, CheckKind::Grpc { tls: false, skip_verify: false }] {
        let (status, output) = found(at, kind, Target::Elsewhere).await;
        assert_eq!(status, Status::Critical);
        assert!(output.contains("no check goes to 127.0.0.1 (loopback)"), "{output}");
    }
    let (status, output) = found(at, http_check(Some("POST")), Target::Own).await;
    assert_eq!(
        (status, output),
        (Status::Critical, format!("Post \"http://{at}/\": POST is not sent: a check is GET or HEAD"))
    );
    let accepted = listener.accept();
    assert!(accepted.is_err(), "{accepted:?} was connected to");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_may_not_run_in_time_says_so_and_goes_on_when_it_may() {
    let checks = Checks::new(catalog(), &tls(), Vec::new());
    let instance = with(instance(CheckKind::Tcp, None), |check| check.initial_status = Some("passing".to_owned()));
    let mut held = Vec::new();
    for _ in 0..ROOM.share {
        held.push(checks.tools.permits.acquire(&instance.group).await);
    }
    register(&checks, &instance);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(status(&checks), Some(Status::Passing));
    sleep(Duration::from_secs(12)).await;
    assert_eq!(status(&checks), Some(Status::Critical));
    let output = || {
        let group = checks.catalog.service("web", true).group.unwrap();
        group.instances[0].checks[0].output.clone()
    };
    assert!(output().starts_with("not checked for 10s: too many checks run here"), "{}", output());
    held.clear();
    sleep(Duration::from_secs(1)).await;
    assert!(output().starts_with("dial tcp 127.0.0.1:1"), "{}", output());
}
