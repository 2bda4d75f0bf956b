//! How large it is, and how soon it is there.

use std::fs;
use std::process::Command;
use std::time::Duration;

use testkit::agent::FakeAgent;
use testkit::docker::unique;
use testkit::engine::FakeEngine;

use crate::Bench;
use crate::report::{Cell, median};
use crate::subject::Subject;

/// How often it is started.
const STARTS: usize = 40;

/// What stands beside the program in an image.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

pub async fn measure(bench: &mut Bench) {
    bench.report.table(
        "Size, and the time from exec until it listens for events (nothing runs yet)",
        &[
            "program",
            "binary, MB",
            "image, MB",
            "ready, ms",
            "CPU until then, ms",
            "resident then, MB",
            "of which not the program's file",
        ],
    );
    for subject in bench.subjects.clone() {
        let (engine, agent) = (FakeEngine::start().await, FakeAgent::start().await);
        let (mut ready, mut cpu, mut resident, mut own) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let running = subject.run(&engine.host(), &agent.uri(), &[]);
            ready.push(running.listens().await);
            cpu.push(running.cpu() * 1e3);
            tokio::time::sleep(Duration::from_millis(50)).await;
            resident.push(running.resident());
            own.push(running.own());
        }
        let image = tokio::task::block_in_place(|| image(&subject));
        bench.report.row([
            subject.name.into(),
            Cell::Number(fs::metadata(&subject.path).unwrap().len() as f64 / 1e6, 1),
            image.map_or(Cell::None, |bytes| Cell::Number(bytes / 1e6, 1)),
            Cell::Number(median(ready), 1),
            Cell::Number(median(cpu), 1),
            Cell::Number(median(resident), 1),
            Cell::Number(median(own), 1),
        ]);
    }
}

/// The bytes of an image that holds the program and certificates, and nothing else; none where there is no engine.
fn image(subject: &Subject) -> Option<f64> {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(&subject.path, folder.path().join("registrator")).unwrap();
    let certificates = fs::copy(CERTIFICATES, folder.path().join("ca-certificates.crt")).is_ok();
    let copy = if certificates { format!("COPY ca-certificates.crt {CERTIFICATES}\n") } else { String::new() };
    let file = format!("FROM scratch\n{copy}COPY registrator /bin/registrator\nENTRYPOINT [\"/bin/registrator\"]\n");
    fs::write(folder.path().join("Dockerfile"), file).unwrap();
    let tag = unique("bench");
    let docker = |arguments: &[&str]| {
        let output = Command::new("docker").env("DOCKER_BUILDKIT", "0").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    docker(&["build", "-q", "-t", &tag, folder.path().to_str()?])?;
    let size = docker(&["image", "inspect", "-f", "{{.Size}}", &tag]);
    docker(&["rmi", &tag]);
    size?.parse().ok()
}
