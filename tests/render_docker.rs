//! Files that are kept equal to what runs, on the machine's real engine: `-render`.

// A test that cannot be set up has failed: saying so at once is the point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::{IP, SOON, registrator, registrator_with};
use tempfile::TempDir;
use testkit::consul::Consul;
use testkit::docker::{Spec, unique};
use testkit::program::Program;
use testkit::wait::{becomes, eventually};

/// A configuration folder, and a folder for files.
struct Site {
    folder: TempDir,
    /// What the names of this test's services begin with: every test sees every container.
    mark: String,
}

impl Site {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["confd/conf.d", "confd/templates", "out"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        Self { folder, mark: unique(name) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn confdir(&self) -> String {
        self.path("confd").display().to_string()
    }

    /// A resource with this template, whose file is `out/<dest>`.
    fn resource(&self, name: &str, dest: &str, template: &str, more: &str) {
        let dest = self.path("out").join(dest);
        let text = format!("[template]\nsrc = \"{name}.tmpl\"\ndest = {:?}\n{more}\n", dest.to_str().unwrap());
        fs::write(self.path(&format!("confd/templates/{name}.tmpl")), template).unwrap();
        fs::write(self.path(&format!("confd/conf.d/{name}.toml")), text).unwrap();
    }

    fn out(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path("out").join(name)).ok()
    }

    fn service(&self, name: &str) -> Spec {
        let service = format!("{}-{name}", self.mark);
        Spec::new(&unique(name)).env(&format!("SERVICE_NAME={service}")).publish("80/tcp")
    }

    async fn becomes(&self, name: &str, content: &str) {
        becomes(Some(content.to_owned()), SOON, async || self.out(name)).await;
    }
}

/// The program with `-render`, and its registry.
fn start(site: &Site, options: &[&str]) -> Program {
    let confdir = site.confdir();
    let options = [&["-render", &confdir], options].concat();
    registrator("embedded://127.0.0.1:0?dns=off", &options)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_follows_containers_with_the_keys_of_old() {
    let site = Site::new("keys");
    let name = format!("{}-web", site.mark);
    let more = format!("keys = [\"/{name}\"]\nmode = \"0640\"");
    site.resource("web", "web.conf", &format!("{{{{range getvs \"/{name}/*\"}}}}{{{{.}}}};{{{{end}}}}"), &more);
    let program = start(&site, &[]);
    site.becomes("web.conf", "").await;
    let container = site.service("web").start();
    let port = container.host_port("80/tcp");
    site.becomes("web.conf", &format!("{IP}:{port};")).await;
    program.wait_for("rendered: ").await;
    container.act("pause");
    container.act("unpause");
    container.act("stop?t=0");
    // An event told the end: nothing is doubted, and nothing waits.
    site.becomes("web.conf", "").await;
    assert_eq!(program.logged("stays as it is"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_has_a_file_that_goes_with_it() {
    let site = Site::new("each");
    let template = "{{.Name}}{{range .Instances}} {{.Address}}:{{.Port}} {{.Node}}{{end}}\n";
    site.resource("each", "{{.Name}}.conf", template, "for_each = \"services\"");
    let _program = start(&site, &[]);
    let (web, db) = (site.service("web").start(), site.service("db").start());
    let file = |name: &str| format!("{}-{name}.conf", site.mark);
    let content = |name: &str, port: u16| format!("{}-{name} {IP}:{port} hostname\n", site.mark);
    site.becomes(&file("web"), &content("web", web.host_port("80/tcp"))).await;
    site.becomes(&file("db"), &content("db", db.host_port("80/tcp"))).await;
    drop(web);
    becomes(None, SOON, async || site.out(&file("web"))).await;
    assert!(site.out(&file("db")).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_by_a_command_and_a_container_by_a_signal_where_that_is_allowed() {
    let site = Site::new("reload");
    let name = format!("{}-web", site.mark);
    let proxy = Spec::new(&unique("proxy")).shell("trap 'echo hup; exit 7' HUP; while :; do sleep 0.1; done").start();
    let template = format!("{{{{range getvs \"/{name}/*\"}}}}{{{{.}}}}{{{{end}}}}.");
    let told = site.path("told");
    site.resource(
        "one",
        "one",
        &template,
        &format!("keys = [\"/\"]\nreload_cmd = \"cat {{{{.dest}}}} >> {}\"", told.display()),
    );
    site.resource("two", "two", &template, &format!("keys = [\"/\"]\nreload_container = {:?}", proxy.name));
    let forbidden = start(&site, &[]);
    site.becomes("two", ".").await;
    let line = forbidden.wait_for("its program was not told").await;
    assert!(line.contains("-allow-signals"), "{line}");
    becomes(Some(".".to_owned()), SOON, async || fs::read_to_string(&told).ok()).await;
    assert_eq!(proxy.inspect()["State"]["Running"], true);
    drop(forbidden);
    // Its reload is still due, and is done by the next process, although the file is right.
    let program = start(&site, &["-allow-signals"]);
    program.wait_for(&format!("reloaded: {}", site.path("out/two").display())).await;
    becomes(serde_json::json!(7), SOON, async || proxy.inspect()["State"]["ExitCode"].clone()).await;
    // A container that does not run is said to be so, and tried again.
    let _web = site.service("web").start();
    let line = program.wait_for("cannot send HUP to the container").await;
    assert!(line.contains("tried again in"), "{line}");
    proxy.act("start");
    becomes(serde_json::json!(7), SOON, async || {
        let state = proxy.inspect()["State"].clone();
        if state["Running"] == true { serde_json::Value::Null } else { state["ExitCode"].clone() }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_resource_is_one_line_and_the_others_are_rendered() {
    let site = Site::new("bad");
    site.resource("good", "good", "good", "");
    site.resource("missing", "missing", "{{getv \"/no/such/key\"}}", "");
    site.resource("broken", "broken", "a\n{{if}}", "");
    fs::write(site.path("confd/conf.d/half.toml"), "[template]\nsrc = ").unwrap();
    site.resource("unknown", "unknown", "unknown", "relaod_cmd = \"x\"");
    fs::create_dir(site.path("out/folder")).unwrap();
    site.resource("folder", "folder", "x", "");
    let program = start(&site, &[]);
    site.becomes("good", "good").await;
    site.becomes("unknown", "unknown").await;
    for text in [
        "missing stays as it is: template: missing.tmpl:1:3: executing",
        "broken stays as it is: Unable to process template",
        "half.toml:2:",
        "unknown.toml:4:1: the key relaod_cmd is unknown and has no effect; did you mean reload_cmd?",
        "is a directory; dest names a file",
    ] {
        program.wait_for(text).await;
    }
    assert!(site.out("missing").is_none() && site.out("broken").is_none());
    // A repair counts by itself.
    fs::write(site.path("confd/templates/broken.tmpl"), "repaired").unwrap();
    site.becomes("broken", "repaired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_is_said_before_anything_begins() {
    let mut program = registrator("embedded://127.0.0.1:0?dns=off", &["-render", "/no/such/folder"]);
    assert_eq!(program.ended(SOON).await.code(), Some(1));
    let log = program.log().join("\n");
    assert!(log.contains("-render: confdir '/no/such/folder' does not exist; give the folder"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_writes_no_file() {
    let site = Site::new("trial");
    site.resource("one", "one", "text", "reload_cmd = \"touch /no/such/folder/x\"");
    let program = start(&site, &["-dry-run"]);
    program.wait_for(&format!("would render: {}", site.path("out/one").display())).await;
    assert!(site.out("one").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_delays_no_file() {
    let site = Site::new("away");
    let name = format!("{}-web", site.mark);
    site.resource("web", "web", &format!("{{{{len (gets \"/{name}/*\")}}}}"), &format!("keys = [\"/{name}\"]"));
    let consul = Consul::start().await;
    let confdir = site.confdir();
    let program = registrator_with(&consul.uri(), &["-render", &confdir], &[]);
    site.becomes("web", "0").await;
    drop(consul);
    let _web = site.service("web").start();
    site.becomes("web", "1").await;
    assert_eq!(program.logged("stays as it is"), 0);
}

/// The promise is a tenth of a second; a busy machine gets more, but never as much as a poll would take.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_right_soon_after_a_start() {
    let site = Site::new("soon");
    let name = format!("{}-web", site.mark);
    site.resource("web", "web", &format!("{{{{len (gets \"/{name}/*\")}}}}"), &format!("keys = [\"/{name}\"]"));
    let _program = start(&site, &[]);
    site.becomes("web", "0").await;
    let mut delays = Vec::new();
    for _ in 0..5 {
        let container = site.service("web").create();
        container.act("start");
        let started = Instant::now();
        eventually("the file", SOON, async || (site.out("web")? == "1").then_some(())).await;
        delays.push(started.elapsed());
        drop(container);
        site.becomes("web", "0").await;
    }
    delays.sort();
    assert!(delays[2] < Duration::from_millis(500), "{delays:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_somebody_else_changes_is_right_again_after_a_hangup() {
    let site = Site::new("hangup");
    site.resource("one", "one", "text", "");
    let program = start(&site, &[]);
    site.becomes("one", "text").await;
    fs::write(site.path("out/one"), "by hand").unwrap();
    program.signal("HUP");
    site.becomes("one", "text").await;
    // Nothing is left beside the files.
    let names: Vec<_> = files(&site.path("out"));
    assert_eq!(names, ["one"]);
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
