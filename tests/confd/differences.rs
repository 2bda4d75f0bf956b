//! What is different from confd 0.16 on purpose: a test for each row of docs/migration.md.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use testkit::etcd::{self, EtcdServer};
use testkit::wait::eventually;

use crate::fixture::{Confdir, SOON};

/// A resource `t` over one variable, with these lines more.
fn simple(lines: &str) -> Confdir {
    let confdir = Confdir::new();
    confdir.template("t", "key={{ getv \"/key\" \"none\" }}\n");
    confdir.resource("t", &format!("src = \"t\"\nkeys = [\"/key\"]\n{lines}"));
    confdir
}

const ENV: [&str; 3] = ["-onetime", "-backend", "env"];

#[test]
fn the_command_line_counts_before_the_environment_and_that_before_the_file() {
    let confdir = simple("");
    let config = confdir.path().join("confd.toml");
    fs::write(&config, "backend = \"vault\"\nprefix = \"/file\"\n").unwrap();
    let variables = [
        ("CONFD_PREFIX", "/environment"),
        ("CONFD_CONFIG_FILE", config.to_str().unwrap()),
        ("FLAG_KEY", "of the flag"),
        ("ENVIRONMENT_KEY", "of the environment"),
        ("FILE_KEY", "of the file"),
    ];
    confdir.run_with(&[&ENV[..], &["-prefix", "/flag"]].concat(), &variables).well();
    assert_eq!(confdir.read("t").as_deref(), Some("key=of the flag\n"));
    confdir.run_with(&ENV, &variables).well();
    assert_eq!(confdir.read("t").as_deref(), Some("key=of the environment\n"));
    confdir.run_with(&ENV, &variables[1..]).well();
    assert_eq!(confdir.read("t").as_deref(), Some("key=of the file\n"));
}

#[test]
fn a_mode_of_three_digits_is_octal_and_a_line_says_so() {
    let confdir = simple("mode = \"640\"\n");
    let ended = confdir.run(&ENV);
    ended.well();
    assert_eq!(fs::metadata(confdir.out("t")).unwrap().permissions().mode() & 0o7777, 0o640);
    assert!(ended.said().iter().any(|line| line.contains("640") && line.contains("0640")), "{:?}", ended.log);
}

#[test]
fn a_missing_folder_is_an_error() {
    let confdir = simple("");
    for missing in ["conf.d", ""] {
        fs::remove_dir_all(confdir.path().join(missing)).unwrap();
        let ended = std::process::Command::new(crate::fixture::BINARY)
            .args(["confd", "-onetime", "-backend", "env", "-confdir"])
            .arg(confdir.path())
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(1), "{missing}");
        let log = String::from_utf8(ended.stderr).unwrap();
        let last = log.lines().last().unwrap();
        assert!(last.contains("]: FATAL Cannot load template resources: "), "{last}");
        if missing.is_empty() {
            assert!(last.contains(&format!("confdir '{}' does not exist", confdir.path().display())), "{last}");
        }
    }
    // For the folder's own removal at the end.
    fs::create_dir(confdir.path()).unwrap();
}

#[test]
fn one_bad_resource_stops_no_other_and_the_exit_code_tells() {
    for (name, bad, template) in [
        ("a", "src = 5\n", ""),
        ("a", "nothing\n", ""),
        ("a", "src = \"nowhere\"\n", ""),
        ("a", "src = \"bad\"\n", "{{ getv \"/key\" \n"),
        ("a", "src = \"bad\"\n", "{{ getv \"/nowhere\" }}\n"),
        ("a", "src = \"bad\"\ncheck_cmd = \"false\"\n", "text\n"),
        ("a", "src = \"bad\"\nreload_cmd = \"exit 3\"\n", "text\n"),
    ] {
        let confdir = simple("");
        confdir.template("bad", template);
        confdir.resource(name, bad);
        let ended = confdir.run(&ENV);
        assert_eq!(ended.code, Some(1), "{bad}");
        assert_eq!(confdir.read("t").as_deref(), Some("key=none\n"), "{bad}: {:?}", ended.log);
        let last = *ended.said().last().unwrap();
        assert!(last.starts_with("FATAL "), "{last}");
        assert!(ended.said().iter().any(|line| line.starts_with("ERROR ")), "{:?}", ended.log);
        assert!(
            confdir.others(&["a", "t"]).iter().all(|name| name.ends_with(".reload-due")),
            "{:?}",
            confdir.others(&[])
        );
    }
}

#[tokio::test]
async fn a_bad_resource_stops_no_other_in_a_daemon_either_and_is_taken_when_it_is_right() {
    let confdir = simple("");
    confdir.resource("a", "src = 5\n");
    let confd = confdir.start(&["-backend", "env", "-interval", "1"]);
    confdir.becomes("t", "key=none\n").await;
    confd.wait_for("ERROR Cannot process template resource ").await;
    confdir.resource("a", "src = \"t\"\nkeys = [\"/key\"]\n");
    confdir.becomes("a", "key=none\n").await;
}

#[tokio::test]
async fn a_reload_that_failed_is_tried_again_until_it_succeeds() {
    let confdir = simple("");
    let allowed = confdir.path().join("allowed");
    confdir.resource("t", &format!("src = \"t\"\nkeys = [\"/key\"]\nreload_cmd = \"test -e {}\"\n", allowed.display()));
    let confd = confdir.start(&["-backend", "env", "-interval", "600"]);
    confd.wait_for("reload_cmd failed: exit status 1").await;
    let updated = format!("INFO Target config {} has been updated", confdir.out("t").display());
    assert_eq!(confd.logged(&updated), 0);
    fs::write(&allowed, "").unwrap();
    confd.wait_for(&updated).await;
}

#[test]
fn a_reload_that_failed_once_is_tried_by_the_next_run() {
    let confdir = simple("");
    let allowed = confdir.path().join("allowed");
    confdir.resource("t", &format!("src = \"t\"\nkeys = [\"/key\"]\nreload_cmd = \"test -e {}\"\n", allowed.display()));
    assert_eq!(confdir.run(&ENV).code, Some(1));
    assert_eq!(confdir.read("t").as_deref(), Some("key=none\n"));
    assert_eq!(confdir.run(&ENV).code, Some(1));
    fs::write(&allowed, "").unwrap();
    confdir.run(&ENV).well();
    assert_eq!(confdir.others(&["t"]), [""; 0]);
}

#[test]
fn a_reload_knows_the_file_and_a_reload_that_hangs_is_ended() {
    let confdir = simple("reload_cmd = \"cp {{.dest}} copy\"\n");
    confdir.run(&ENV).well();
    assert_eq!(fs::read_to_string(confdir.path().join("copy")).unwrap(), "key=none\n");
    let confdir = simple("reload_cmd = \"sleep 60\"\nreload_cmd_timeout = \"300ms\"\n");
    let ended = confdir.run(&ENV);
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.iter().any(|line| line.contains("reload_cmd failed: not done within 300 ms")), "{:?}", ended.log);
}

#[test]
fn owner_and_group_are_names_and_missing_folders_are_made_where_that_is_asked_for() {
    let root = nix::unistd::getuid().is_root();
    let owner = if root { "nobody" } else { "root" };
    let confdir = simple(&format!("owner = \"{owner}\"\n"));
    let ended = confdir.run(&ENV);
    if root {
        ended.well();
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid.as_raw();
        assert_eq!(fs::metadata(confdir.out("t")).unwrap().uid(), nobody);
    } else {
        assert_eq!(ended.code, Some(1));
    }
    let confdir = Confdir::new();
    confdir.template("t", "text\n");
    let dest = confdir.path().join("new/folder/t");
    let file = confdir.path().join("conf.d/t.toml");
    fs::write(&file, format!("[template]\nsrc = \"t\"\ndest = \"{}\"\n", dest.display())).unwrap();
    assert_eq!(confdir.run(&ENV).code, Some(1));
    fs::write(&file, format!("[template]\nsrc = \"t\"\ndest = \"{}\"\nmkdir = true\n", dest.display())).unwrap();
    confdir.run(&ENV).well();
    assert_eq!(fs::read_to_string(dest).unwrap(), "text\n");
}

#[test]
fn unknown_keys_are_a_warning_with_the_nearest_one() {
    let confdir = simple("reload_comand = \"x\"\n");
    let config = confdir.path().join("confd.toml");
    fs::write(&config, "prefx = \"/a\"\n").unwrap();
    let ended = confdir.run(&[&ENV[..], &["-config-file", config.to_str().unwrap()]].concat());
    ended.well();
    let warnings: Vec<_> = ended.said().into_iter().filter(|line| line.starts_with("WARNING ")).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].ends_with("confd.toml:1: prefx is no key that is known here, and is ignored; did you mean prefix?")
    );
    assert!(warnings[1].contains("reload_comand") && warnings[1].contains("reload_cmd"), "{}", warnings[1]);
}

#[test]
fn words_that_are_no_options_are_told_of() {
    let ended = simple("").run(&[&ENV[..], &["now", "-prefix", "/x"]].concat());
    ended.well();
    assert!(ended.says("WARNING \"now\" is no option: it and all that follows it is ignored"), "{:?}", ended.log);
}

#[test]
fn the_general_prefix_replaces_that_of_a_resource_or_stands_before_it() {
    let confdir = simple("prefix = \"/own\"\n");
    let variables = [("OWN_KEY", "own"), ("GENERAL_KEY", "general"), ("GENERAL_OWN_KEY", "both")];
    for (options, expected) in [
        (&[][..], "key=own\n"),
        (&["-prefix", "/general"], "key=general\n"),
        (&["-prefix", "general", "-prefix-join"], "key=both\n"),
    ] {
        confdir.run_with(&[&ENV[..], options].concat(), &variables).well();
        assert_eq!(confdir.read("t").as_deref(), Some(expected), "{options:?}");
    }
}

#[tokio::test]
async fn a_missing_key_is_no_error_with_etcds_v2_api_as_it_is_none_with_v3() {
    let etcd = EtcdServer::with(etcd::Options { v2: true, ..etcd::Options::default() }).await;
    let node = etcd.address().to_string();
    for backend in ["etcdv2", "etcdv3"] {
        let confdir = simple("");
        confdir.run(&["-onetime", "-backend", backend, "-node", &node]).well();
        assert_eq!(confdir.read("t").as_deref(), Some("key=none\n"));
    }
}

#[test]
fn a_resource_may_have_a_back_end_of_its_own() {
    let confdir = simple("");
    fs::write(confdir.path().join("data.yml"), "key: of the file\n").unwrap();
    confdir.resource("own", "src = \"t\"\nkeys = [\"/key\"]\n[backend]\nbackend = \"file\"\nfile = [\"data.yml\"]\n");
    confdir.resource("odd", "src = \"t\"\nkeys = [\"/key\"]\n[backend]\nbackend = \"fil\"\n");
    let ended = confdir.run_with(&ENV, &[("KEY", "of the environment")]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.log.iter().any(|line| line.contains("[backend] Invalid backend: there is no fil; did you mean file?"))
    );
    assert_eq!(confdir.read("t").as_deref(), Some("key=of the environment\n"));
    assert_eq!(confdir.read("own").as_deref(), Some("key=of the file\n"));
}

#[tokio::test]
async fn a_signal_during_one_run_is_told_by_the_exit_code() {
    let confdir = simple("");
    let started = confdir.path().join("started");
    confdir.resource(
        "t",
        &format!("src = \"t\"\nkeys = [\"/key\"]\ncheck_cmd = \"touch {}; sleep 30\"\n", started.display()),
    );
    let mut confd = confdir.start(&ENV);
    eventually("the check begins", SOON, async || started.exists().then_some(())).await;
    confd.signal("TERM");
    assert_eq!(confd.ended(Duration::from_secs(5)).await.code(), Some(143));
    assert_eq!(confdir.read("t"), None);
}
