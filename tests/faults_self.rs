//! What becomes of ourselves: killed at any moment, without descriptors, with a clock that jumps, with a log
//! that cannot be written. What is registered is right in the end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use support::{HOST, IP, SOON, id, ids, registrator, registrator_with, set};
use testkit::consul::Consul;
use testkit::docker::{SOCKET, Spec, unique};
use testkit::program::Program;
use testkit::proxy::Cutter;
use testkit::wait::{becomes, eventually, stays};

const REGISTRATOR: &str = env!("CARGO_BIN_EXE_registrator");

#[tokio::test]
async fn killed_at_any_moment_and_started_again_it_leaves_exactly_what_runs_and_what_is_anothers() {
    let consul = Consul::start().await;
    let name = unique("crash");
    let others =
        json!({"ID": format!("{name}-other"), "Name": "other", "Port": 1, "Meta": {"registrator-owner": "other"}});
    let manual = json!({"ID": format!("{name}-manual"), "Name": "manual", "Port": 1});
    for entry in [&others, &manual] {
        consul.put("/v1/agent/service/register", entry).await;
    }
    let stays_up = Spec::new(&format!("{name}-stays")).expose("80/tcp").network("host").start();
    let over = Arc::new(AtomicBool::new(false));
    let churn = {
        let (over, name) = (Arc::clone(&over), name.clone());
        tokio::task::spawn_blocking(move || {
            let spec = |number: usize| {
                Spec::new(&format!("{name}-{number}")).expose("81/tcp").network("host").shell("sleep 3600").start()
            };
            let mut living = std::collections::VecDeque::new();
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                living.push_back(spec(count));
                count += 1;
                if living.len() > 3 {
                    living.pop_front();
                }
            }
            living
        })
    };
    let mut kills = Vec::new();
    for _ in 0..12 {
        // Between its first breath and some time after its first writes.
        let pause = Duration::from_millis(u64::from(moment(kills.len())));
        kills.push(pause);
        let program = registrator(&consul.uri(), &["-cleanup"]);
        tokio::time::sleep(pause).await;
        program.signal("KILL");
    }
    over.store(true, Ordering::Relaxed);
    let living = churn.await.unwrap();
    let program = registrator(&consul.uri(), &["-cleanup"]);
    let mut expected = set(living.iter().map(|container| id(container, "81")));
    expected.extend([id(&stays_up, "80"), format!("{name}-other"), format!("{name}-manual")]);
    becomes(expected, SOON, || ids(&consul, &name)).await;
    assert_eq!(program.logged("panicked"), 0, "after {kills:?}");
}

/// When to kill it, in milliseconds: from before its first word until after its first writes, the early ones dense.
fn moment(number: usize) -> u32 {
    [3, 20, 45, 70, 110, 160, 230, 330, 450, 600, 800, 1100][number % 12]
}

#[tokio::test]
async fn a_clock_that_jumps_by_years_disturbs_no_ttl() {
    let consul = Consul::start().await;
    let name = unique("clock");
    let container = Spec::new(&name)
        .publish("80/tcp")
        .env("SERVICE_CHECK_TTL=3s")
        .env("SERVICE_CHECK_TTL_HEARTBEAT=container")
        .start();
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let library = faketime();
    let uri = consul.uri();
    let arguments = ["-hostname", HOST, "-ip", IP, "-log-level", "debug", &uri];
    let environment = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // A clock that is set, by hand or by NTP, leaves the monotonic one alone.
        ("DONT_FAKE_MONOTONIC", "1"),
        ("TZ", "UTC"),
    ];
    let program = Program::start(Path::new(REGISTRATOR), arguments, environment);
    let key = id(&container, "80");
    let passing =
        async || consul.checks().await.values().any(|check| check["ServiceID"] == *key && check["Status"] == "passing");
    becomes(true, SOON, passing).await;
    let refreshes = format!("refreshed: {} {key}", container.short());
    let this_year = year(&program);
    for (jump, years) in [("+3y", 3), ("-5y", -5)] {
        fs::write(&clock, jump).unwrap();
        eventually("the clock jumps", SOON, async || (year(&program) == this_year + years).then_some(())).await;
        let refreshed = program.logged(&refreshes);
        stays(&format!("passing after {jump}"), Duration::from_secs(4), passing).await;
        let since = program.logged(&refreshes) - refreshed;
        assert!((2..=10).contains(&since), "{since} refreshes in 4 s after {jump}");
    }
}

/// The year of its last line.
fn year(program: &Program) -> i32 {
    program.log().last().and_then(|line| line.get(..4)?.parse().ok()).unwrap_or_default()
}

/// Debian's library that shows a program another time.
fn faketime() -> String {
    let folders =
        fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let found = folders.into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("there is no libfaketime: run dev/install-servers")).display().to_string()
}

#[tokio::test]
async fn out_of_descriptors_it_neither_ends_nor_spins_and_goes_on_when_there_are_some_again() {
    let consul = Consul::start().await;
    let cutter = Cutter::unix(SOCKET.as_ref()).await;
    let docker = format!("unix://{}", cutter.path().display());
    let name = unique("descriptors");
    let stays_up = Spec::new(&format!("{name}-stays")).publish("80/tcp").start();
    let goes = Spec::new(&format!("{name}-goes")).publish("80/tcp").start();
    let program = registrator_with(&consul.uri(), &[], &[("DOCKER_HOST", &docker)]);
    becomes(set([id(&stays_up, "80"), id(&goes, "80")]), SOON, || ids(&consul, &name)).await;
    let limit = |most: &str| {
        let process = program.id().to_string();
        let set = Command::new("prlimit").args(["--pid", &process, &format!("--nofile={most}:")]).status();
        assert!(set.unwrap().success(), "prlimit");
    };
    // What is open stays open, and no more can be.
    limit("3");
    cutter.cut();
    let line = program.wait_for("is lost").await;
    drop(goes);
    let comes = Spec::new(&format!("{name}-comes")).publish("80/tcp").start();
    let before = busy(program.id());
    stays("what runs", Duration::from_secs(3), async || ids(&consul, &name).await.contains(&id(&stays_up, "80"))).await;
    let spent = busy(program.id()) - before;
    assert!(spent < 150, "{spent} hundredths of a second of work in three seconds of nothing to do, after {line}");
    limit("1024");
    becomes(set([id(&stays_up, "80"), id(&comes, "80")]), Duration::from_secs(60), || ids(&consul, &name)).await;
    assert_eq!(program.logged("panicked"), 0);
}

/// How much a process has worked, in hundredths of a second.
fn busy(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn a_log_on_a_full_disk_or_without_a_reader_stops_nothing() {
    let consul = Consul::start().await;
    let name = unique("full");
    let container = Spec::new(&name).publish("80/tcp").start();
    let uri = consul.uri();
    for full in [true, false] {
        let stderr =
            if full { Stdio::from(File::options().write(true).open("/dev/full").unwrap()) } else { Stdio::piped() };
        let mut program = Command::new(REGISTRATOR)
            .args(["-hostname", HOST, "-ip", IP, &uri])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        // Nobody reads any more.
        drop(program.stderr.take());
        becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
        let more = Spec::new(&format!("{name}-more")).publish("80/tcp").start();
        becomes(set([id(&container, "80"), id(&more, "80")]), SOON, || ids(&consul, &name)).await;
        drop(more);
        becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
        assert!(Command::new("kill").arg(program.id().to_string()).status().unwrap().success());
        let end = Instant::now() + Duration::from_secs(10);
        let status = loop {
            if let Some(status) = program.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(status.code(), Some(0));
        consul.put(&format!("/v1/agent/service/deregister/{}", id(&container, "80")), &json!(null)).await;
    }
}
