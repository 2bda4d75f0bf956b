//! When resources are rendered, and how that ends: once, with an interval, when something changes; only looking; signals.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use testkit::consul::Consul;
use testkit::wait::{eventually, stays};

use crate::fixture::{Confdir, SOON};

/// A resource over one file of keys, whose check and reload leave a line each.
fn with_commands(confdir: &Confdir) {
    fs::write(confdir.path().join("data.yml"), "key: one\n").unwrap();
    confdir.template("t", "key={{ getv \"/key\" }}\n");
    let calls = confdir.path().join("calls");
    let calls = calls.display();
    confdir.resource(
        "t",
        &format!(
            "src = \"t\"\nkeys = [\"/key\"]\nmode = \"0640\"\ncheck_cmd = \"grep -q key= {{{{.src}}}} && echo check >> {calls}\"\n\
             reload_cmd = \"echo reload >> {calls}\"\n"
        ),
    );
}

fn calls(confdir: &Confdir) -> String {
    fs::read_to_string(confdir.path().join("calls")).unwrap_or_default()
}

const FILE: [&str; 4] = ["-backend", "file", "-file", "data.yml"];

fn options<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&FILE, more].concat()
}

#[test]
fn once_renders_checks_replaces_and_reloads_and_does_nothing_when_all_is_right() {
    let confdir = Confdir::new();
    with_commands(&confdir);
    let ended = confdir.run(&options(&["-onetime"]));
    ended.well();
    assert_eq!(confdir.read("t").as_deref(), Some("key=one\n"));
    assert_eq!(calls(&confdir), "check\nreload\n");
    assert_eq!(fs::metadata(confdir.out("t")).unwrap().permissions().mode() & 0o7777, 0o640);
    confdir.run(&options(&["-onetime"])).well();
    assert_eq!(calls(&confdir), "check\nreload\n");
    // What differs is told.
    fs::write(confdir.out("t"), "other\n").unwrap();
    fs::set_permissions(confdir.out("t"), fs::Permissions::from_mode(0o644)).unwrap();
    let ended = confdir.run(&options(&["-onetime"]));
    let dest = confdir.out("t");
    let dest = dest.display();
    assert!(ended.says(&format!("INFO {dest} has mode -rw-r--r-- should be -rw-r-----")), "{:?}", ended.log);
    let (is, should) = (md5::compute("other\n"), md5::compute("key=one\n"));
    assert!(ended.says(&format!("INFO {dest} has md5sum {is:x} should be {should:x}")), "{:?}", ended.log);
    assert!(ended.says(&format!("INFO Target config {dest} out of sync")));
    assert!(ended.says(&format!("INFO Target config {dest} has been updated")));
    assert_eq!(confdir.others(&["t"]), [""; 0]);
}

#[test]
fn a_look_changes_nothing_and_shows_the_difference_where_that_is_asked_for() {
    let confdir = Confdir::new();
    with_commands(&confdir);
    let dest = confdir.out("t");
    let line = format!("WARNING Noop mode enabled. {} will not be modified", dest.display());
    let ended = confdir.run(&options(&["-onetime", "-noop"]));
    ended.well();
    assert!(ended.says(&line), "{:?}", ended.log);
    assert_eq!((confdir.read("t"), calls(&confdir)), (None, String::new()));
    assert_eq!(confdir.others(&[]), [""; 0]);
    // Also where nothing would change.
    confdir.run(&options(&["-onetime"])).well();
    assert!(confdir.run(&options(&["-onetime", "-noop"])).says(&line));
    fs::write(&dest, "key=zero\n").unwrap();
    let ended = confdir.run(&options(&["-onetime", "-noop", "-diff"]));
    assert!(ended.stdout.starts_with(&format!("--- {}\n+++ ", dest.display())), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("@@ -1 +1 @@\n-key=zero\n+key=one\n"), "{}", ended.stdout);
    let coloured = confdir.run(&options(&["-onetime", "-noop", "-diff", "-color"])).stdout;
    assert!(coloured.contains("\u{1b}[31m-key=zero\u{1b}[0m"), "{coloured:?}");
    assert_eq!(confdir.read("t").as_deref(), Some("key=zero\n"));
}

#[test]
fn staged_files_stay_where_that_is_asked_for_and_commands_are_left_out_in_a_mere_sync() {
    let confdir = Confdir::new();
    with_commands(&confdir);
    let ended = confdir.run(&options(&["-onetime", "-keep-stage-file", "-noop"]));
    let kept: Vec<_> =
        ended.said().into_iter().filter_map(|line| line.strip_prefix("INFO Keeping staged file: ")).collect();
    assert_eq!(kept.len(), 1, "{:?}", ended.log);
    assert_eq!(fs::read_to_string(kept[0]).unwrap(), "key=one\n");
    fs::remove_file(kept[0]).unwrap();
    confdir.run(&options(&["-onetime", "-sync-only"])).well();
    assert_eq!((confdir.read("t").as_deref(), calls(&confdir)), (Some("key=one\n"), String::new()));
    // Also where the file changes.
    fs::write(confdir.out("t"), "other\n").unwrap();
    let ended = confdir.run(&options(&["-onetime", "-sync-only", "-keep-stage-file"]));
    ended.well();
    let kept: Vec<_> =
        ended.said().into_iter().filter_map(|line| line.strip_prefix("INFO Keeping staged file: ")).collect();
    assert_eq!(kept.len(), 1, "{:?}", ended.log);
    assert_eq!(fs::read_to_string(kept[0]).unwrap(), "key=one\n");
    assert_eq!(confdir.read("t").as_deref(), Some("key=one\n"));
}

#[tokio::test]
async fn with_an_interval_changes_are_noticed_and_a_signal_ends_it_with_0() {
    let confdir = Confdir::new();
    with_commands(&confdir);
    let data = confdir.path().join("data.yml");
    for (signal, word) in [("TERM", "terminated"), ("INT", "interrupt")] {
        fs::write(&data, "key: one\n").unwrap();
        let file = data.to_str().unwrap();
        let mut confd = confdir.start(&["-backend", "file", "-file", file, "-interval", "1"]);
        confdir.becomes("t", "key=one\n").await;
        fs::write(&data, "key: two\n").unwrap();
        confdir.becomes("t", "key=two\n").await;
        confd.signal(signal);
        assert_eq!(confd.ended(Duration::from_secs(5)).await.code(), Some(0));
        assert_eq!(confd.logged(&format!("INFO Captured {word}. Exiting...")), 1, "{:?}", confd.log());
    }
}

#[tokio::test]
async fn a_signal_ends_it_at_once_also_while_a_reload_hangs() {
    let confdir = Confdir::new();
    with_commands(&confdir);
    let started = confdir.path().join("started");
    confdir.resource(
        "t",
        &format!("src = \"t\"\nkeys = [\"/key\"]\nreload_cmd = \"touch {}; sleep 30\"\n", started.display()),
    );
    let data = confdir.path().join("data.yml");
    let mut confd = confdir.start(&["-backend", "file", "-file", data.to_str().unwrap(), "-watch"]);
    eventually("the reload begins", SOON, async || started.exists().then_some(())).await;
    confd.signal("TERM");
    assert_eq!(confd.ended(Duration::from_secs(5)).await.code(), Some(0));
}

#[tokio::test]
async fn new_resources_are_taken_without_a_restart_and_a_hangup_reads_them_again() {
    let confdir = Confdir::new();
    with_commands(&confdir);
    let data = confdir.path().join("data.yml");
    let confd = confdir.start(&["-backend", "file", "-file", data.to_str().unwrap(), "-watch"]);
    confdir.becomes("t", "key=one\n").await;
    confdir.template("u", "also {{ getv \"/key\" }}\n");
    confdir.resource("u", "src = \"u\"\nkeys = [\"/key\"]\n");
    confdir.becomes("u", "also one\n").await;
    confd.signal("HUP");
    confd.wait_for("Captured hangup").await;
    fs::write(&data, "key: two\n").unwrap();
    confdir.becomes("u", "also two\n").await;
}

#[tokio::test]
async fn watching_changes_nothing_while_nothing_changes() {
    let consul = Consul::start().await;
    consul.put_key("key", "one").await;
    let confdir = Confdir::new();
    with_commands(&confdir);
    let node = consul.address().to_string();
    let confd = confdir.start(&["-backend", "consul", "-node", &node, "-watch", "-log-level", "debug"]);
    confdir.becomes("t", "key=one\n").await;
    confd.wait_for("has been updated").await;
    let runs = confd.logged("Retrieving keys from store");
    consul.put_key("other", "x").await;
    stays("nothing is read", Duration::from_secs(2), async || confd.logged("Retrieving keys from store") == runs).await;
    assert_eq!(calls(&confdir), "check\nreload\n");
}

#[test]
fn what_is_wrong_with_resources_and_templates_is_found_without_a_back_end() {
    let confdir = Confdir::with_cases();
    let well = confdir.run(&["-check-config", "-node", "127.0.0.1:1"]);
    well.well();
    assert!(well.says("INFO 5 template resources are right"), "{:?}", well.log);
    confdir.template("broken", "{{ getv \"/a\" }\n");
    confdir.resource("broken", "src = \"broken\"\n");
    confdir.resource("missing", "src = \"nowhere\"\n");
    confdir.resource("unread", "src = 5\n");
    let ended = confdir.run(&["-check-config"]);
    assert_eq!(ended.code, Some(1));
    let errors: Vec<_> = ended.said().into_iter().filter(|line| line.starts_with("ERROR ")).collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(
        errors
            .iter()
            .any(|line| line.starts_with("ERROR Cannot process template resource ") && line.contains("unread.toml"))
    );
    assert!(errors.iter().any(|line| line.contains("broken:1:")));
    assert!(errors.iter().any(|line| line.starts_with("ERROR Missing template: ")));
}

#[test]
fn only_the_resource_that_is_named_is_rendered() {
    let confdir = Confdir::new();
    with_commands(&confdir);
    confdir.resource("u", "src = \"t\"\nkeys = [\"/key\"]\n");
    let only = confdir.path().join("conf.d/u.toml");
    confdir.run(&options(&["-onetime", "-resource", only.to_str().unwrap()])).well();
    assert_eq!((confdir.read("t"), confdir.read("u").as_deref()), (None, Some("key=one\n")));
}
