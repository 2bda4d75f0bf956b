//! Nothing more than reading is asked of an engine, and no right of this machine is needed but its socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::{HOST, IP, SOON, id, ids, registrator_with, set};
use testkit::consul::Consul;
use testkit::docker::{Network, SOCKET, Spec, unique};
use testkit::guard::Guard;
use testkit::program::Program;
use testkit::wait::becomes;

#[tokio::test]
async fn behind_a_proxy_that_lets_only_four_questions_through_everything_works_and_nothing_else_is_tried() {
    let consul = Consul::start().await;
    let guard = Guard::before(SOCKET.as_ref()).await;
    let name = unique("guard");
    let docker = format!("unix://{}", guard.path().display());
    let tags = "{{.Config.Hostname}}";
    let options = ["-resync", "1", "-cleanup", "-tags", tags, "-deregister", "on-success"];
    let program = registrator_with(&consul.uri(), &options, &[("DOCKER_HOST", &docker)]);

    let network = Network::create(&unique("net"));
    let parent = Spec::new(&format!("{name}-parent")).publish("80/tcp").network(&network.name).start();
    let host = Spec::new(&format!("{name}-host")).expose("82/tcp").network("host").env("SERVICE_CHECK_TTL=30s").start();
    let sharing = Spec::new(&format!("{name}-child")).network(&format!("container:{}", parent.id)).start();
    becomes(set([id(&parent, "80"), id(&host, "82")]), SOON, || ids(&consul, &name)).await;
    let passes = program.logged("Syncing services");
    becomes(true, SOON, async || program.logged("Syncing services") > passes + 1).await;
    guard.cut();
    host.act("pause");
    host.act("unpause");
    drop(sharing);
    host.act("stop?t=0");
    becomes(set([id(&parent, "80")]), SOON, || ids(&consul, &name)).await;
    program.signal("HUP");
    drop(parent);
    becomes(set::<String>([]), SOON, || ids(&consul, &name)).await;

    let asked = guard.asked();
    let refused: Vec<_> = asked.iter().filter(|asked| !asked.passed).collect();
    assert!(refused.is_empty(), "{refused:?}");
    for question in ["/version", "/containers/json", "/events", &format!("/containers/{}/json", host.id)] {
        assert!(asked.iter().any(|asked| asked.what.contains(question)), "never asked for {question}");
    }
}

#[tokio::test]
async fn what_a_proxy_refuses_is_named_with_the_missing_right_and_works_as_soon_as_it_is_granted() {
    let consul = Consul::start().await;
    let guard = Guard::before(SOCKET.as_ref()).await;
    let name = unique("refused");
    let docker = format!("unix://{}", guard.path().display());
    guard.forbid("/events");
    let program = registrator_with(&consul.uri(), &[], &[("DOCKER_HOST", &docker)]);
    let line = program.wait_for("refuses /events").await;
    assert!(line.contains("403") && line.contains("GET /events") && line.contains("EVENTS=1"), "{line}");
    let web = Spec::new(&format!("{name}-web")).publish("80/tcp").start();
    // Long enough for several attempts.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((program.logged("refuses /events"), program.logged("is lost")), (1, 0), "it is said once");
    guard.allow();
    becomes(set([id(&web, "80")]), SOON, || ids(&consul, &name)).await;
    program.wait_for("answers /events again").await;

    // Containers that are there stay; one that comes is registered once it may be looked at.
    guard.forbid("/json");
    let other = Spec::new(&format!("{name}-other")).publish("80/tcp").start();
    let line = program.wait_for("refuses /containers/{id}/json").await;
    assert!(line.contains("CONTAINERS=1"), "{line}");
    assert_eq!(program.logged("cannot inspect"), 0, "no line for each container");
    assert_eq!(ids(&consul, &name).await, set([id(&web, "80")]));
    guard.allow();
    becomes(set([id(&web, "80"), id(&other, "80")]), SOON, || ids(&consul, &name)).await;
}

#[tokio::test]
async fn a_user_without_any_capability_needs_nothing_but_the_group_of_the_socket_and_writes_no_file() {
    let consul = Consul::start().await;
    let name = unique("nobody");
    let container = Spec::new(&name).publish("80/tcp").start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let binary = folder.path().join("registrator");
    std::fs::copy(env!("CARGO_BIN_EXE_registrator"), &binary).unwrap();
    let group = format!("--groups={}", std::fs::metadata(SOCKET).unwrap().gid());
    let limits = ["--reuid=65534", "--regid=65534", &group, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"];
    let uri = consul.uri();
    let arguments = limits.into_iter().chain([binary.to_str().unwrap(), "-hostname", HOST, "-ip", IP, &uri]);
    let program = Program::start(Path::new("setpriv"), arguments, []);
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;

    let process = PathBuf::from("/proc").join(program.id().to_string());
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert!(field("Uid:").starts_with("65534"), "{status}");
    for capabilities in ["CapEff:", "CapPrm:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(capabilities).trim_start_matches('0'), "", "{capabilities} {status}");
    }
    // What is open is sockets, pipes and what the system makes for waiting: no file to write to.
    for descriptor in std::fs::read_dir(process.join("fd")).unwrap() {
        let target = std::fs::read_link(descriptor.unwrap().path()).unwrap_or_default();
        let kind = target.to_string_lossy().into_owned();
        let harmless = ["socket:", "pipe:", "anon_inode:", "/dev/null"].iter().any(|known| kind.starts_with(known));
        assert!(harmless, "{kind} is open");
    }
    drop(container);
    becomes(set::<String>([]), SOON, || ids(&consul, &name)).await;
}
