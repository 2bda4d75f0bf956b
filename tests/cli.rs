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
            "invalid value \"soon\" for -resync: must be a whole number from 0 to 2147483647",
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
