//! confd's command line: as Go's package `flag` reads it, with confd's texts and exit codes.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::fixture::{BINARY, Confdir};

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(BINARY).args(arguments).env_clear().output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_version_is_one_line_whose_second_word_is_confds() {
    for flag in ["-version", "--version", "-version=true"] {
        let (code, stdout, stderr) = run(&["confd", flag]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert_eq!(stdout, format!("confd 0.16.0 (registrator {})\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn help_is_the_usage_on_the_standard_error() {
    for flag in ["-h", "--help"] {
        let (code, stdout, stderr) = run(&["confd", flag]);
        assert_eq!((code, stdout.as_str()), (Some(0), ""));
        assert!(stderr.starts_with("Usage of confd:\n"), "{stderr}");
        assert!(stderr.contains("  -onetime\n    \trun once and exit\n"), "{stderr}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2_after_the_reason_and_the_usage() {
    for (arguments, reason) in [
        (&["confd", "-nonsense"][..], "flag provided but not defined: -nonsense"),
        (&["confd", "-interval", "soon"], "invalid value \"soon\" for flag -interval: parse error"),
        (&["confd", "-watch=perhaps"], "invalid boolean value \"perhaps\" for -watch: parse error"),
        (&["confd", "-node"], "flag needs an argument: -node"),
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.starts_with(&format!("{reason}\nUsage of confd:\n")), "{stderr}");
    }
}

#[test]
fn a_link_of_the_name_confd_is_confd() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("confd");
    symlink(BINARY, &link).unwrap();
    let output = Command::new(&link).arg("-version").env_clear().output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("confd 0.16.0 "));
    // Its lines carry the name that it was called by.
    let output =
        Command::new(&link).args(["-onetime", "-backend", "env", "-confdir", "/nowhere"]).env_clear().output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains(&format!(" {}[", link.display())), "{log}");
}

#[test]
fn a_line_of_the_log_has_time_host_program_process_and_level() {
    let confdir = Confdir::new();
    let ended = confdir.run(&["-onetime", "-backend", "env"]);
    ended.well();
    for line in &ended.log {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.len() == 20 || time.len() == 25, "{time}");
        assert!(time.as_bytes()[10] == b'T', "{time}");
        let (origin, said) = rest.split_once("]: ").unwrap();
        let (_host, program) = origin.split_once(' ').unwrap();
        let process = program.strip_prefix("confd[").unwrap();
        assert!(process.parse::<u32>().is_ok(), "{line}");
        assert!(["INFO ", "WARNING "].iter().any(|level| said.starts_with(level)), "{line}");
    }
    assert_eq!(
        ended.said(),
        [
            "INFO Backend set to env",
            "INFO Starting confd",
            "INFO Backend source(s) set to ",
            "WARNING Found no templates"
        ]
    );
}

#[test]
fn the_back_end_and_its_nodes_are_logged_at_the_start_without_passwords() {
    let confdir = Confdir::new();
    let ended = confdir.run(&["-onetime", "-backend", "redis", "-node", "h:6379/1", "-client-key", "sesame"]);
    ended.well();
    assert!(ended.says("INFO Backend set to redis") && ended.says("INFO Backend source(s) set to h:6379/1"));
    let ended = confdir.run(&["-onetime", "-backend", "consul", "-node", "http://me:sesame@h:8500"]);
    assert!(ended.log.iter().all(|line| !line.contains("sesame")), "{:?}", ended.log);
}

#[test]
fn a_start_that_cannot_succeed_is_fatal_and_exits_with_1() {
    let confdir = Confdir::new();
    for (options, reason) in [
        (&["-backend", "vault"][..], "Invalid backend: vault is not built in here; there are consul, "),
        (&["-backend", "consull"], "Invalid backend: there is no consull; did you mean consul?"),
        (&["-log-level", "loud"], "not a valid level: \"loud\""),
        (&["-backend", "file"], "the backend file needs -file: a YAML or JSON file, or a folder of them"),
        (&["-backend", "etcd", "-node", "no host"], "etcd: \"no host\" is no host:port, "),
        (&["-backend", "etcd", "-node", "https://h:1", "-client-ca-keys", "/nowhere"], "etcd: "),
        (&["-client-cert", "/x"], "-client-cert and -client-key must be set together or not at all"),
    ] {
        let ended = confdir.run(&[options, &["-onetime"]].concat());
        assert_eq!(ended.code, Some(1), "{options:?}");
        let last = *ended.said().last().unwrap();
        assert!(last.starts_with(&format!("FATAL {reason}")), "{last}");
    }
}

#[test]
fn the_fatal_reason_of_a_file_of_tls_names_the_option() {
    let ended = Confdir::new().run(&["-onetime", "-node", "https://h:1", "-client-ca-keys", "/nowhere"]);
    let last = *ended.said().last().unwrap();
    assert!(last.ends_with("; correct -client-ca-keys"), "{last}");
}

#[test]
fn debug_tells_each_step_of_a_run_and_no_value() {
    let confdir = Confdir::new();
    confdir.template("t", "{{ getv \"/secret/key\" }}\n");
    confdir.resource("t", "src = \"t\"\nkeys = [\"/secret\"]\n");
    let run = || confdir.run_with(&["-onetime", "-backend", "env", "-log-level", "debug"], &[("SECRET_KEY", "sesame")]);
    let ended = run();
    ended.well();
    let (template, dest) = (confdir.path().join("templates/t"), confdir.out("t"));
    let (template, dest) = (template.display(), dest.display());
    let said: Vec<_> = ended.said().into_iter().skip(4).map(str::to_owned).collect();
    assert_eq!(
        said,
        [
            "DEBUG Retrieving keys from store".to_owned(),
            "DEBUG Key prefix set to /".to_owned(),
            "DEBUG Got the following keys from store: [/secret/key]".to_owned(),
            format!("DEBUG Using source template {template}"),
            format!("DEBUG Compiling source template {template}"),
            format!("DEBUG Comparing candidate config to {dest}"),
            format!("INFO Target config {dest} out of sync"),
            format!("INFO Target config {dest} has been updated"),
        ]
    );
    assert!(run().says(&format!("DEBUG Target config {dest} in sync")));
    assert!(ended.log.iter().all(|line| !line.contains("sesame")));
    assert_eq!(confdir.read("t").as_deref(), Some("sesame\n"));
}

#[test]
fn the_name_of_a_back_end_may_stand_first_as_with_confds_fork() {
    let confdir = Confdir::new();
    let output = Command::new(BINARY)
        .args(["confd", "env", "--onetime", "--confdir"])
        .arg(confdir.path())
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stderr).unwrap().contains("INFO Backend set to env"));
}

/// In a network of its own, where a name server knows one record; takes root.
#[test]
fn nodes_come_from_srv_records() {
    if !nix::unistd::getuid().is_root() {
        return;
    }
    let confdir = Confdir::new();
    confdir.template("t", "{{ getv \"/key\" }}\n");
    confdir.resource("t", "src = \"t\"\nkeys = [\"/key\"]\n");
    let (resolver, redis) = (confdir.path().join("resolv.conf"), testkit::servers::binary("redis-server"));
    std::fs::write(&resolver, "nameserver 127.0.0.1\n").unwrap();
    let script = format!(
        "set -e; ip link set lo up; mount --bind {resolver} /etc/resolv.conf\n\
         dnsmasq --keep-in-foreground --conf-file --no-hosts --no-resolv --listen-address=127.0.0.1 --bind-interfaces \
         --address=/store.example.com/127.0.0.1 --pid-file= --user=root \
         --srv-host=_redis._tcp.example.com,store.example.com,6399 & dns=$!\n\
         {redis} --port 6399 --save '' --daemonize no >redis.log & redis=$!\n\
         trap 'kill $dns $redis' EXIT\n\
         for try in $(seq 100); do (echo 'SET /key value' >/dev/tcp/127.0.0.1/6399) 2>/dev/null && break; sleep 0.1; done\n\
         for try in $(seq 100); do dig +short +time=1 +tries=1 SRV _redis._tcp.example.com | grep -q store && break; sleep 0.1; done\n\
         for options in '-srv-domain example.com' '-srv-record _redis._tcp.example.com'; do\n\
         {program} confd -onetime -backend redis -confdir {confdir} $options; done\n\
         ! {program} confd -onetime -backend redis -confdir {confdir} -srv-domain nowhere.example.com\n",
        resolver = resolver.display(),
        redis = redis.display(),
        program = BINARY,
        confdir = confdir.path().display(),
    );
    let output = Command::new("unshare")
        .args(["--net", "--mount", "bash", "-c", &script])
        .current_dir(confdir.path())
        .output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    assert_eq!(confdir.read("t").as_deref(), Some("value\n"));
    let lines: Vec<_> = log.lines().filter_map(|line| Some(line.split_once("]: ")?.1)).collect();
    for line in [
        "INFO SRV record set to _redis._tcp.example.com.",
        "INFO SRV record set to _redis._tcp.example.com",
        "INFO Backend source(s) set to store.example.com:6399",
    ] {
        assert!(lines.contains(&line), "{line}: {log}");
    }
    let last = lines.last().unwrap();
    assert!(last.starts_with("FATAL Cannot get nodes from SRV records _redis._tcp.nowhere.example.com."), "{last}");
}
