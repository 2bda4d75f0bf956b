//! What happens to rendered files when something goes wrong: a kill, a full disk, a mounted file, a command that hangs.

// A test that cannot be set up has failed: saying so at once is the point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::status::Status;
use support::{SOON, registrator_with};
use tempfile::TempDir;
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::program::Program;
use testkit::wait::{becomes, eventually};

/// A configuration folder, a folder for files, and an engine of its own.
struct Site {
    folder: TempDir,
    engine: FakeEngine,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["confd/conf.d", "confd/templates", "out"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        Self { folder, engine: FakeEngine::start().await }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A resource whose file is `dest`.
    fn resource(&self, name: &str, dest: &Path, template: &str, more: &str) {
        let text = format!("[template]\nsrc = \"{name}.tmpl\"\ndest = {:?}\n{more}\n", dest.to_str().unwrap());
        fs::write(self.path(&format!("confd/templates/{name}.tmpl")), template).unwrap();
        fs::write(self.path(&format!("confd/conf.d/{name}.toml")), text).unwrap();
    }

    fn start(&self, options: &[&str]) -> Program {
        let confdir = self.path("confd").display().to_string();
        let options = [&["-render", &confdir], options].concat();
        registrator_with("embedded://127.0.0.1:0?dns=off", &options, &[("DOCKER_HOST", &self.engine.host())])
    }

    fn run(&self, number: u16) {
        let name = format!("SERVICE_NAME=s{number}");
        self.engine.run(FakeContainer::new(&format!("c{number}")).env(&name).publish("80/tcp", 8000 + number));
    }

    /// What is in the folder for files, without what is visible.
    fn hidden(&self) -> Vec<String> {
        let names =
            fs::read_dir(self.path("out")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect()
    }
}

fn content(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

const COUNT: &str = "begin {{len services}} end\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_staging_and_rename_leaves_a_whole_file_and_the_next_run_goes_on() {
    let site = Site::new().await;
    let (dest, go) = (site.path("out/f"), site.path("go"));
    // The check waits between both, as long as the test wants.
    let more = format!(
        "check_cmd = \"test -e {}.pass || sleep 30; exit 0\"\nreload_cmd = \"cat {{{{.dest}}}} >> {1}.told\"",
        go.display(),
        go.display()
    );
    site.resource("f", &dest, COUNT, &more);
    fs::write(go.with_extension("pass"), "").unwrap();
    let program = site.start(&[]);
    becomes(Some("begin 0 end\n".to_owned()), SOON, async || content(&dest)).await;
    eventually("it is told", SOON, async || content(&go.with_extension("told"))).await;
    becomes(Vec::<String>::new(), SOON, async || site.hidden()).await;
    fs::remove_file(go.with_extension("pass")).unwrap();
    site.run(1);
    eventually("it is staged", SOON, async || (site.hidden().len() == 1).then_some(())).await;
    let staged = site.path("out").join(&site.hidden()[0]);
    becomes(Some("begin 1 end\n".to_owned()), SOON, async || content(&staged)).await;
    program.signal("KILL");
    drop(program);
    assert_eq!(content(&dest).as_deref(), Some("begin 0 end\n"));
    assert!(staged.exists());
    fs::write(go.with_extension("pass"), "").unwrap();
    let _program = site.start(&[]);
    becomes(Some("begin 1 end\n".to_owned()), SOON, async || content(&dest)).await;
    becomes(Vec::<String>::new(), SOON, async || site.hidden()).await;
    let told = || content(&go.with_extension("told")).unwrap_or_default();
    becomes("begin 0 end\nbegin 1 end\n".to_owned(), SOON, async || told()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_during_the_reload_leaves_it_due_and_the_next_process_does_it() {
    let site = Site::new().await;
    let (dest, told) = (site.path("out/f"), site.path("told"));
    let hang = site.path("hang");
    fs::write(&hang, "").unwrap();
    let more = format!(
        "reload_cmd = \"touch {0}.begun; while test -e {0}; do sleep 0.05; done; cat {1} > {2}\"",
        hang.display(),
        dest.display(),
        told.display()
    );
    site.resource("f", &dest, COUNT, &more);
    let program = site.start(&[]);
    becomes(Some("begin 0 end\n".to_owned()), SOON, async || content(&dest)).await;
    eventually("the command", SOON, async || site.path("hang.begun").exists().then_some(())).await;
    program.signal("KILL");
    drop(program);
    assert_eq!(site.hidden(), [".f.reload-due"]);
    // The abandoned command must not be what tells.
    fs::remove_file(&hang).unwrap();
    eventually("the abandoned command", SOON, async || content(&told)).await;
    fs::remove_file(&told).unwrap();
    let _program = site.start(&[]);
    becomes(Some("begin 0 end\n".to_owned()), SOON, async || content(&told)).await;
    becomes(Vec::<String>::new(), SOON, async || site.hidden()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_kills_never_leave_a_part_of_a_file() {
    let site = Site::new().await;
    let dest = site.path("out/f");
    // Large enough that a write takes a while.
    let template = "{{$n := len services}}{{range seq 1 20000}}line {{$n}}\n{{end}}end";
    site.resource("f", &dest, template, "");
    for number in 0..8 {
        site.run(number);
        let program = site.start(&[]);
        // At another time in each round, from before the first byte to after the rename.
        tokio::time::sleep(Duration::from_millis(60 * u64::from(number))).await;
        program.signal("KILL");
        drop(program);
        if let Some(text) = content(&dest) {
            let lines: Vec<_> = text.lines().collect();
            assert_eq!((lines.len(), lines[20_000]), (20_001, "end"));
            assert!(lines[..20_000].iter().all(|line| *line == lines[0]), "two contents in one file");
        }
    }
    let _program = site.start(&[]);
    eventually("the last one", SOON, async || content(&dest)?.starts_with("line 8\n").then_some(())).await;
    assert_eq!(site.hidden(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_hang_are_killed_named_and_delay_no_other_file() {
    let site = Site::new().await;
    let hangs = "check_cmd = \"echo the output; sleep 600\"\ncheck_cmd_timeout = \"1s\"";
    site.resource("hangs", &site.path("out/hangs"), COUNT, hangs);
    site.resource("reload", &site.path("out/reload"), COUNT, "reload_cmd = \"sleep 600\"\nreload_cmd_timeout = \"1s\"");
    site.resource("other", &site.path("out/other"), COUNT, "");
    let program = site.start(&[]);
    becomes(Some("begin 0 end\n".to_owned()), SOON, async || content(&site.path("out/other"))).await;
    becomes(Some("begin 0 end\n".to_owned()), SOON, async || content(&site.path("out/reload"))).await;
    let line = program.wait_for("hangs stays as it is").await;
    assert!(line.contains("Config check failed: not done within 1 s: killed"), "{line}");
    program.wait_for("printed \"the output\"").await;
    let line = program.wait_for("its program was not told").await;
    assert!(line.contains("reload_cmd failed: not done within 1 s: killed; tried again in "), "{line}");
    assert!(!site.path("out/hangs").exists());
    site.run(1);
    becomes(Some("begin 1 end\n".to_owned()), SOON, async || content(&site.path("out/other"))).await;
    becomes(Some("begin 1 end\n".to_owned()), SOON, async || content(&site.path("out/reload"))).await;
}

/// Mounts something for a test; unmounted when dropped. `None` where that is not allowed.
struct Mount(PathBuf);

impl Mount {
    fn new(arguments: &[&str], at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(arguments).arg(at).output().ok()?;
        if !mounted.status.success() {
            eprintln!("not tested: mount says {}", String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_the_last_good_content_and_room_is_noticed() {
    let site = Site::new().await;
    let Some(_mount) = Mount::new(&["-t", "tmpfs", "-o", "size=256k", "tmpfs"], &site.path("out")) else { return };
    let dest = site.path("out/f");
    let template = "{{len services}}\n{{range seq 1 100}}a line of a configuration file, as long as they are\n{{end}}";
    site.resource("f", &dest, template, "");
    let program = site.start(&[]);
    eventually("the file", SOON, async || content(&dest)).await;
    let before = content(&dest).unwrap();
    // All that is left.
    let filled = Command::new("dd")
        .args(["if=/dev/zero", "bs=4k"])
        .arg(format!("of={}", site.path("out/fill").display()))
        .output()
        .unwrap();
    assert!(!filled.status.success());
    site.run(1);
    let line = program.wait_for("f stays as it is").await;
    assert!(line.contains("No space left on device"), "{line}");
    assert_eq!(content(&dest).as_deref(), Some(before.as_str()));
    assert_eq!(site.hidden(), Vec::<String>::new());
    fs::remove_file(site.path("out/fill")).unwrap();
    // Nothing tells that there is room again: it is tried.
    eventually("the new content", SOON, async || content(&dest)?.starts_with("1\n").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_mounted_is_written_in_place_and_whoever_has_it_mounted_sees_it() {
    let site = Site::new().await;
    let (dest, outside) = (site.path("out/f"), site.path("outside"));
    fs::write(&outside, "a longer text than what is rendered, so that something must be cut off\n").unwrap();
    fs::write(&dest, "").unwrap();
    let Some(_mount) = Mount::new(&["--bind", outside.to_str().unwrap()], &dest) else { return };
    let inode = fs::metadata(&dest).unwrap().ino();
    site.resource("f", &dest, COUNT, "mode = \"0600\"");
    let program = site.start(&[]);
    becomes(Some("begin 0 end\n".to_owned()), SOON, async || content(&dest)).await;
    assert_eq!(content(&outside).as_deref(), Some("begin 0 end\n"));
    program.wait_for("in place, because it is mounted").await;
    let metadata = fs::metadata(&dest).unwrap();
    assert_eq!((metadata.ino(), metadata.mode() & 0o777), (inode, 0o600));
    assert_eq!(site.hidden(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_file_on_a_full_disk_keeps_its_content() {
    let site = Site::new().await;
    let small = site.path("small");
    fs::create_dir(&small).unwrap();
    let Some(_disk) = Mount::new(&["-t", "tmpfs", "-o", "size=64k", "tmpfs"], &small) else { return };
    let (dest, outside) = (site.path("out/f"), small.join("f"));
    fs::write(&outside, "the last good content\n").unwrap();
    fs::write(small.join("fill"), vec![0; 1 << 16]).unwrap_err();
    fs::write(&dest, "").unwrap();
    let Some(_mount) = Mount::new(&["--bind", outside.to_str().unwrap()], &dest) else { return };
    site.run(1);
    site.resource("f", &dest, "{{range seq 1 1000}}much more than fits into what is left\n{{end}}", "");
    let program = site.start(&[]);
    let line = program.wait_for("f stays as it is").await;
    assert!(line.contains("No space left on device"), "{line}");
    assert_eq!(content(&outside).as_deref(), Some("the last good content\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_restarts_empties_no_file() {
    let site = Site::new().await;
    let dest = site.path("out/f");
    site.run(1);
    site.run(2);
    site.resource("f", &dest, COUNT, "");
    let mut before = site.start(&[]);
    becomes(Some("begin 2 end\n".to_owned()), SOON, async || content(&dest)).await;
    before.signal("TERM");
    before.ended(SOON).await;
    // As while it starts: it answers, and knows of nothing yet.
    site.engine.list_nothing(true);
    let program = site.start(&[]);
    let line = program.wait_for("f stays as it is: services: 0, fewer than min_services = 1").await;
    assert!(line.contains("asking Docker again"), "{line}");
    assert_eq!(content(&dest).as_deref(), Some("begin 2 end\n"));
    site.engine.list_nothing(false);
    program.wait_for_count("added:", 2).await;
    assert_eq!(content(&dest).as_deref(), Some("begin 2 end\n"));
    site.run(3);
    becomes(Some("begin 3 end\n".to_owned()), SOON, async || content(&dest)).await;
    program.wait_for("rendered: ").await;
    assert_eq!(program.logged("rendered: "), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_of_each_file_what_is_wrong_with_it_and_when_it_is_over() {
    let site = Site::new().await;
    let (good, bad) = (site.path("out/good"), site.path("out/bad"));
    let allowed = site.path("allowed");
    site.resource("good", &good, COUNT, &format!("reload_cmd = \"test -e {}\"", allowed.display()));
    site.resource("bad", &bad, "{{getv \"/no/such/key\"}}", "");
    let program = site.start(&["-status", "127.0.0.1:0"]);
    let status = Status::of(&program).await;
    program.wait_for("good is new, but its program was not told").await;
    program.wait_for("bad stays as it is").await;
    let states = async || {
        let state = status.json("/v1/state").await;
        let files = state["files"].as_array().unwrap().iter();
        files.map(|file| file["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    becomes(vec!["failed".to_owned(), "not_told".to_owned()], SOON, states).await;
    let health = status.get("/health?verbose").await;
    let said = String::from_utf8(health.body).unwrap();
    assert_eq!(health.status, 503);
    assert!(said.contains(&format!("[-]{} template: bad.tmpl:1:3: ", bad.display())), "{said}");
    let untold = format!("[-]{} its program was not told: reload_cmd failed: exit status 1", good.display());
    assert!(said.contains(&untold), "{said}");
    let metrics = status.text("/metrics").await;
    for line in [
        format!("registrator_template_right{{dest=\"{}\"}} 0", bad.display()),
        format!("registrator_template_right{{dest=\"{}\"}} 1", good.display()),
        format!("registrator_template_told{{dest=\"{}\"}} 0", good.display()),
    ] {
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    let page = status.text("/").await;
    assert!(page.contains("out/bad") && page.contains("not told"), "{page}");
    // What is repaired is right again, and what is no longer rendered is told of no more.
    fs::write(&allowed, "").unwrap();
    fs::remove_file(site.path("confd/conf.d/bad.toml")).unwrap();
    becomes(vec!["right".to_owned()], SOON, states).await;
    becomes(200, SOON, async || status.get("/health").await.status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_engine_nothing_is_rendered_and_the_program_says_so() {
    let site = Site::new().await;
    site.resource("f", &site.path("out/f"), COUNT, "");
    let confdir = site.path("confd").display().to_string();
    let mut program = registrator_with(
        "embedded://127.0.0.1:0?dns=off",
        &["-render", &confdir],
        &[("DOCKER_HOST", "tcp://127.0.0.1:1")],
    );
    assert_eq!(program.ended(SOON).await.code(), Some(1));
    assert!(!site.path("out/f").exists());
}
