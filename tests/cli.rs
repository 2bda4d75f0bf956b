//! The program as a process: what it prints where, how it ends, and what signals do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, PipeReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

fn registrator() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("registrator"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("REGISTRATOR_") {
            command.env_remove(variable);
        }
    }
    command
}

fn output(arguments: &[&str]) -> Output {
    registrator().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn version_and_help_go_to_the_standard_output() {
    for arguments in [["-version"], ["--version"]] {
        let output = output(&arguments);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout), concat!(env!("CARGO_PKG_VERSION"), "\n"));
        assert_eq!(text(&output.stderr), "");
    }
    for arguments in [["-help"], ["--help"], ["-h"]] {
        let output = output(&arguments);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stderr), "");
        assert!(text(&output.stdout).contains("Usage: registrator [options] <registry URI>"));
    }
}

#[test]
fn a_usage_error_says_the_reason_first_then_how_it_is_called_and_where_help_is_and_exits_with_2() {
    for (arguments, reason) in [
        (&["-nonsense", "consul:"][..], "unknown option -nonsense"),
        (&["-ttl-refersh", "5", "consul:"], "unknown option -ttl-refersh; did you mean -ttl-refresh?"),
        (
            &["-resync", "soon", "consul:"],
            "invalid value \"soon\" for -resync: must be seconds from 0 to 2147483647, or a duration such as 30s, 5m or 1h",
        ),
        (&[], "Missing required argument for registry URI."),
    ] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "");
        let usage = "Usage: registrator [options] <registry URI> [<registry URI> ...]\nHelp: registrator -help\n";
        assert_eq!(text(&output.stderr), format!("registrator: {reason}\n{usage}"));
    }
}

#[test]
fn what_a_value_of_an_option_must_be_is_said_before_anybody_is_asked_and_exits_with_2() {
    for tags in ["{{ .Nope", "{{ nosuch 1 }}"] {
        let output = output(&["-tags", tags, "consul://127.0.0.1:1"]);
        assert_eq!(output.status.code(), Some(2), "{tags}");
        let reason = format!("registrator: invalid value {tags:?} for -tags: not a valid template: ");
        assert!(text(&output.stderr).starts_with(&reason), "{}", text(&output.stderr));
    }
}

#[test]
fn a_switch_whose_value_stands_apart_is_told_how_it_takes_one() {
    let output = output(&["-cleanup", "true", "consul:"]);
    assert_eq!(output.status.code(), Some(1));
    let line = "unrecognized adapter: true; a switch takes its value with an equals sign: -cleanup=true\n";
    assert_eq!(text(&output.stderr), line);
}

#[test]
fn a_wrong_combination_is_one_line_and_exits_with_1() {
    let output = output(&["-ttl", "30", "consul:"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(text(&output.stderr), "-ttl and -ttl-refresh must be specified together or not at all\n");
}

#[test]
fn an_answer_that_nobody_reads_is_no_fault() {
    let mut child = registrator().args(["-generate", "reference"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn bash_completes_names_choices_and_uris() {
    let script = text(&output(&["-generate", "bash"]).stdout).to_owned();
    let complete = |words: &[&str]| {
        let typed: String = words.iter().map(|word| format!("'{word}' ")).collect();
        let session = format!(
            "compopt() {{ :; }}\n{script}\nCOMP_WORDS=(registrator {typed}) COMP_CWORD={}\n_registrator\n\
             echo \"${{COMPREPLY[*]}}\"",
            words.len()
        );
        let output = Command::new("bash").args(["--norc", "-c", &session]).output().unwrap();
        assert_eq!(text(&output.stderr), "");
        text(&output.stdout).trim_end().to_owned()
    };
    assert_eq!(complete(&["-ttl"]), "-ttl -ttl-refresh");
    assert_eq!(complete(&["--use"]), "-useIpFromLabel");
    assert_eq!(complete(&["-deregister", "on"]), "on-success");
    assert_eq!(complete(&["-log-level", "=", "w"]), "warn");
    assert_eq!(complete(&["-log-format", "="]), "text json");
    assert_eq!(complete(&["-ip", "c"]), "");
    assert_eq!(complete(&["-internal", "consul-t"]), "consul-tls://");
    assert_eq!(complete(&["consul-t"]), "consul-tls://");
    assert_eq!(complete(&["pla"]), "plan");
    assert_eq!(complete(&["con"]).split(' ').take(2).collect::<Vec<_>>(), ["containers", "config"]);
    assert_eq!(complete(&["config", ""]), "show check");
    assert_eq!(complete(&["help", "expl"]), "explain");
    let this = format!("{}/tests/cli.r", env!("CARGO_MANIFEST_DIR"));
    assert_eq!(complete(&["validate", &this]), format!("{this}s"));
    assert_eq!(complete(&["-config", &this]), format!("{this}s"));
    assert_eq!(complete(&["plan", "pla"]), "");
}

/// A folder with one file in it.
fn folder_with(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

#[test]
fn a_compose_file_is_validated_with_places_and_an_exit_code() {
    let (_folder, path) = folder_with(
        "compose.yml",
        "services:\n  web:\n    image: nginx\n    ports: [\"80\"]\n    environment:\n      SERVICE_NAEM: web\n",
    );
    let found = output(&["validate", &path]);
    assert_eq!(found.status.code(), Some(2));
    let line = format!("{path}:6:7: web: SERVICE_NAEM is an attribute, not a setting; did you mean SERVICE_NAME?\n");
    assert_eq!((text(&found.stdout), text(&found.stderr)), (&*line, ""));
    let json = output(&["validate", &path, "-format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["findings"][0]["line"], &json["findings"][0]["kind"]), (&6.into(), &"key".into()));

    std::fs::write(&path, "services:\n  web: {image: nginx, ports: [\"80\"]}\n").unwrap();
    let right = output(&["validate", &path]);
    assert_eq!((right.status.code(), text(&right.stdout), text(&right.stderr)), (Some(0), "", ""));

    std::fs::write(&path, "services: [\n").unwrap();
    let broken = output(&["validate", &path]);
    assert_eq!((broken.status.code(), text(&broken.stdout)), (Some(1), ""));
    assert!(text(&broken.stderr).starts_with(&format!("registrator: {path}:")), "{broken:?}");
    let missing = output(&["validate", "/nonexistent"]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(text(&missing.stderr).matches('\n').count(), 1);
}

#[test]
fn the_settings_are_shown_with_where_they_came_from_and_without_passwords() {
    let file = "ttl = \"1m\"\nregistries = [\"consul://me:hunter2@a:1\"]\n";
    let (_folder, path) = folder_with("registrator.toml", file);
    let shown = registrator()
        .args(["config", "show", "-config", &path, "-internal"])
        .env("REGISTRATOR_TTL_REFRESH", "10")
        .output()
        .unwrap();
    assert_eq!((shown.status.code(), text(&shown.stderr)), (Some(0), ""));
    let rows: Vec<Vec<&str>> = text(&shown.stdout).lines().map(|row| row.split_whitespace().collect()).collect();
    for row in [
        &["OPTION", "VALUE", "FROM"][..],
        &["internal", "true", "option"],
        &["ttl", "60", "file", &format!("{path}:1")],
        &["ttl-refresh", "10", "variable", "REGISTRATOR_TTL_REFRESH"],
        &["deregister", "always", "default"],
        &["registries", "consul://me:***@a:1", "file", &format!("{path}:2")],
    ] {
        assert!(rows.contains(&row.to_vec()), "{row:?} is not in {}", text(&shown.stdout));
    }
    let json = output(&["config", "show", "-format=json", "-config", &path, "-ttl-refresh=10"]);
    assert!(!text(&json.stdout).contains("hunter2"));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let ttl = json.as_array().unwrap().iter().find(|setting| setting["option"] == "ttl").unwrap();
    assert_eq!((&ttl["value"], &ttl["from"], &ttl["line"]), (&"60".into(), &"file".into(), &1.into()));
}

#[test]
fn the_settings_are_checked_without_asking_anybody() {
    let check = |arguments: &[&str]| {
        let arguments = [&["config", "check"], arguments].concat();
        registrator().args(arguments).env("DOCKER_HOST", "tcp://127.0.0.1:1").output().unwrap()
    };
    // Nobody listens there, and the embedded registry does not either.
    let right = check(&["consul://127.0.0.1:1", "etcd://127.0.0.1:1/p", "embedded://"]);
    assert_eq!((right.status.code(), text(&right.stdout)), (Some(0), "the settings are right\n"), "{right:?}");
    let wrong =
        check(&["conusl://h", "embedded://?nonsense=1", "-ttl=30", "-status=:1", "-status-token-file=/nonexistent"]);
    assert_eq!((wrong.status.code(), text(&wrong.stderr)), (Some(1), ""));
    let lines: Vec<&str> = text(&wrong.stdout).lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[0], "-ttl and -ttl-refresh must be specified together or not at all");
    assert_eq!(lines[1], "unrecognized adapter: conusl://h; did you mean consul://h?");
    assert!(lines[2].starts_with("bad adapter uri: embedded://?nonsense=1: "), "{lines:?}");
    assert!(lines[3].starts_with("-status-token-file /nonexistent: "), "{lines:?}");
}

#[test]
fn a_command_that_is_misused_exits_with_64_and_the_daemon_keeps_its_own_codes() {
    let misused = output(&["plan"]);
    assert_eq!((misused.status.code(), text(&misused.stdout)), (Some(64), ""));
    let usage = "Usage: registrator plan [options] [URI ...]\nHelp: registrator help plan\n";
    assert!(text(&misused.stderr).ends_with(usage), "{misused:?}");
    let misspelt = output(&["explian", "web"]);
    assert_eq!(misspelt.status.code(), Some(1));
    let line = "unrecognized adapter: explian; did you mean registrator explain?\n";
    assert_eq!(text(&misspelt.stderr), line);
}

#[test]
fn a_file_of_settings_that_never_ends_is_refused() {
    let output = output(&["-config", "/dev/zero", "consul:"]);
    assert_eq!(output.status.code(), Some(1));
    let line = "/dev/zero cannot be read: it is larger than 1 MiB; -config names a file of settings in TOML\n";
    assert_eq!(text(&output.stderr), line);
}

/// A run against an engine and a registry that take connections and never answer.
struct Run {
    child: Child,
    log: Option<BufReader<PipeReader>>,
    _silent: TcpListener,
}

impl Run {
    fn start(arguments: &[&str]) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        Self::with_log(arguments, writer.into(), Some(reader))
    }

    fn with_log(arguments: &[&str], writer: Stdio, reader: Option<PipeReader>) -> Self {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let child = registrator()
            .args(arguments)
            .args(["-retry-attempts", "-1", &format!("consul://{address}")])
            .env("DOCKER_HOST", format!("tcp://{address}"))
            .env_remove("DOCKER_TLS_VERIFY")
            .stderr(writer)
            .spawn()
            .unwrap();
        Self { child, log: reader.map(BufReader::new), _silent: silent }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.log.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    /// Waits until it listens for signals: before, one would end it by itself.
    fn listening(self) -> Self {
        const SIGTERM: u64 = 1 << 14;
        let caught = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
            u64::from_str_radix(&mask, 16).unwrap() & SIGTERM != 0
        };
        poll(Duration::from_secs(10), || caught().then_some(())).expect("it never listens for signals");
        self
    }

    fn signal(&self, name: &str) {
        let status =
            Command::new("bash").args(["-c", "kill -s \"$0\" \"$1\"", name, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    fn end(&mut self, deadline: Duration) -> Option<ExitStatus> {
        poll(deadline, || self.child.try_wait().unwrap())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn poll<T>(deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_log_begins_with_the_version_and_the_forced_address() {
    let mut run = Run::start(&["-ip", "10.0.0.5"]);
    let stamped = "2015/08/30 19:18:12 ".len();
    assert_eq!(&run.line()[stamped..], concat!("Starting registrator ", env!("CARGO_PKG_VERSION"), " ...\n"));
    assert_eq!(&run.line()[stamped..], "Forcing host IP to 10.0.0.5\n");
}

#[test]
fn a_variable_that_is_no_options_is_named_in_the_log() {
    // Of a service's variables, which Kubernetes and Docker's links make, no harm is done.
    let output = registrator()
        .args(["consul://127.0.0.1:1"])
        .env("REGISTRATOR_RESINC", "600")
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .output()
        .unwrap();
    let line = "REGISTRATOR_RESINC is the variable of no option, and ignored; did you mean REGISTRATOR_RESYNC?";
    assert_eq!(text(&output.stderr).lines().filter(|logged| logged.ends_with(line)).count(), 1, "{output:?}");
}

#[test]
fn the_log_is_json_where_that_is_asked_for() {
    let mut run = Run::start(&["-log-format", "json"]);
    let line: serde_json::Value = serde_json::from_str(&run.line()).unwrap();
    assert_eq!(line["message"], concat!("Starting registrator ", env!("CARGO_PKG_VERSION"), " ..."));
}

#[test]
fn sigterm_and_sigint_stop_it_within_two_seconds_whatever_hangs() {
    for signal in ["TERM", "INT"] {
        let mut run = Run::start(&[]).listening();
        run.signal(signal);
        let status = run.end(Duration::from_secs(3)).expect("it still runs");
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

#[test]
fn sighup_does_not_stop_it() {
    let mut run = Run::start(&[]).listening();
    run.signal("HUP");
    assert_eq!(run.end(Duration::from_millis(500)), None);
}

#[test]
fn a_log_whose_reader_is_gone_or_asleep_does_not_keep_it_from_stopping() {
    for asleep in [false, true] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut run = Run::with_log(&[], writer.try_clone().unwrap().into(), None).listening();
        // Filled up by another hand, the pipe takes no more from us; it ends with its reader.
        let (reader, filler) = if asleep {
            (Some(reader), Some(std::thread::spawn(move || while writer.write_all(&[b'x'; 4096]).is_ok() {})))
        } else {
            drop(reader);
            (None, None)
        };
        run.signal("HUP");
        run.signal("TERM");
        let status = run.end(Duration::from_secs(4));
        drop(run);
        drop(reader);
        if let Some(filler) = filler {
            filler.join().unwrap();
        }
        assert!(status.is_some_and(|status| asleep || status.success()), "asleep: {asleep}, {status:?}");
    }
}
