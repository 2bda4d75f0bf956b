//! What the command line promises, except streams and exit codes (tests/cli.rs).

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use proptest::prelude::*;

use super::options::{Group, OPTIONS, Opt, Takes};
use super::typed::Typed;
use super::*;
use crate::config::{Deregister, LogFormat, LogLevel, OnShutdown};

const NO_VARIABLES: [(&str, &str); 0] = [];

fn environment(variables: &[(&str, &str)]) -> Arc<Environment> {
    Arc::new(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect())
}

fn parse_file(arguments: &[&str], variables: &[(&str, &str)], file: &str) -> Result<Parsed, Answer> {
    let file = |_: &Path| Ok(file.to_owned());
    parse_with(arguments.iter().map(OsString::from), &environment(variables), "machine", &file)
}

fn parsed(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, Answer> {
    parse_file(arguments, variables, "").map(Parsed::into_config)
}

fn config(arguments: &[&str]) -> Config {
    parsed(arguments, &NO_VARIABLES).unwrap()
}

fn ask_of(arguments: &[&str]) -> Ask {
    match parse_file(arguments, &NO_VARIABLES, "") {
        Ok(Parsed::Ask(ask)) => *ask,
        other => panic!("{arguments:?} is no question: {other:?}"),
    }
}

fn typed(arguments: &[&str], variables: &[(&str, &str)]) -> Typed {
    let reading = read::read(arguments.iter().map(OsString::from), &environment(variables), &|_| Ok(String::new()));
    assert_eq!(reading.problems, []);
    reading.typed
}

/// A value that the option accepts and that is not its default.
fn example(option: &Opt) -> &'static str {
    match (option.takes, option.name) {
        (Takes::Flag, _) if option.default == "true" => "false",
        (Takes::Flag, _) => "true",
        (_, "status") => "0.0.0.0:9120",
        (Takes::Choice(_, words), _) => words.last().copied().unwrap(),
        (Takes::Value("ADDR"), _) => "10.0.0.5",
        (Takes::Value("SECONDS" | "MS" | "N" | "PERCENT"), _) => "17",
        (Takes::Value(_), _) => "some-value",
    }
}

fn settings() -> impl Iterator<Item = &'static Opt> {
    OPTIONS.iter().filter(|option| option.is_setting())
}

// === What comes out ===

#[test]
fn without_options_the_defaults_of_the_replaced_program_hold() {
    let config = config(&["consul:"]);
    assert_eq!(config.log, crate::config::LogConfig { format: LogFormat::Text, level: LogLevel::Info });
    assert_eq!(config.service.hostname, "machine");
    assert_eq!(config.service.ip, None);
    assert!(!config.service.internal && !config.service.explicit);
    assert_eq!((config.service.ip_label, config.service.tags, config.service.ttl), (None, None, None));
    assert_eq!(config.bridge.deregister, Deregister::Always);
    assert_eq!(config.bridge.on_shutdown, OnShutdown::Keep);
    assert_eq!((config.bridge.drain, config.bridge.removal_guard), (None, 100));
    assert!(!config.bridge.cleanup);
    assert_eq!(config.docker.resync, None);
    assert_eq!(config.bridge.retry_attempts, Some(0));
    assert_eq!(config.bridge.retry_interval, Duration::from_secs(2));
    let [registry] = config.registries.as_slice() else { panic!("one registry") };
    assert_eq!((registry.uri.as_str(), registry.owner.as_str()), ("consul:", "machine"));
    assert!(registry.record_owner);
    assert_eq!(registry.ttl_refresh, None);
}

#[test]
fn every_option_reaches_its_room() {
    let config = config(&[
        "-ip=10.0.0.5",
        "-internal",
        "-explicit",
        "-useIpFromLabel",
        "net.ip",
        "-tags",
        "a,b",
        "-hostname",
        "web1",
        "-ttl",
        "30",
        "-ttl-refresh",
        "10",
        "-resync",
        "600",
        "-deregister",
        "on-success",
        "-cleanup",
        "-on-shutdown",
        "critical",
        "-drain",
        "20",
        "-removal-guard",
        "50",
        "-owner",
        "me",
        "-owner-meta=false",
        "-retry-attempts",
        "-1",
        "-retry-interval",
        "500",
        "-log-format",
        "json",
        "-log-level",
        "debug",
        "consul://a:1",
        "consul://b:2",
    ]);
    assert_eq!(config.log, crate::config::LogConfig { format: LogFormat::Json, level: LogLevel::Debug });
    assert_eq!(config.service.hostname, "web1");
    assert_eq!(config.service.ip.as_deref(), Some("10.0.0.5"));
    assert!(config.service.internal && config.service.explicit);
    assert_eq!(config.service.ip_label.as_deref(), Some("net.ip"));
    assert_eq!(config.service.tags.as_deref(), Some("a,b"));
    assert_eq!(config.service.ttl, Some(Duration::from_secs(30)));
    assert_eq!(config.bridge.deregister, Deregister::OnSuccess);
    assert_eq!(config.bridge.on_shutdown, OnShutdown::Critical);
    assert_eq!(config.bridge.drain, Some(Duration::from_secs(20)));
    assert_eq!(config.bridge.removal_guard, 50);
    assert!(config.bridge.cleanup);
    assert_eq!(config.docker.resync, Some(Duration::from_secs(600)));
    assert_eq!(config.bridge.retry_attempts, None);
    assert_eq!(config.bridge.retry_interval, Duration::from_millis(500));
    assert_eq!(config.docker.resync, config.docker.resync);
    assert!(config.docker.list_all);
    let uris: Vec<_> = config.registries.iter().map(|registry| registry.uri.as_str()).collect();
    assert_eq!(uris, ["consul://a:1", "consul://b:2"]);
    for registry in &config.registries {
        assert_eq!((registry.owner.as_str(), registry.record_owner), ("me", false));
        assert_eq!(registry.ttl_refresh, Some(Duration::from_secs(10)));
    }
}

#[test]
fn the_owner_is_the_host_name_unless_it_is_given() {
    assert_eq!(config(&["-hostname", "web1", "consul:"]).registries[0].owner, "web1");
}

#[test]
fn the_inspect_result_is_kept_for_templates_only() {
    assert!(!config(&["-tags", "a,b", "consul:"]).docker.keep_inspect);
    assert!(config(&["-tags", "{{.Name}}", "consul:"]).docker.keep_inspect);
}

#[test]
fn the_engines_variables_are_read_as_its_own_client_reads_them() {
    let docker = |variables: &[(&str, &str)]| parsed(&["consul:"], variables).unwrap().docker;
    let plain = docker(&[]);
    assert_eq!((plain.host, plain.tls_verify, plain.cert_path, plain.api_version), (None, false, None, None));
    let tls = docker(&[
        ("DOCKER_HOST", "tcp://h:2376"),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", "/certs"),
        ("DOCKER_API_VERSION", "1.41"),
    ]);
    assert_eq!(tls.host.as_deref(), Some("tcp://h:2376"));
    assert!(tls.tls_verify);
    assert_eq!(tls.cert_path.as_deref(), Some("/certs".as_ref()));
    assert_eq!(tls.api_version.as_deref(), Some("1.41"));
}

// === How it is spelled ===

#[test]
fn a_boolean_takes_gos_spellings_behind_an_equals_sign_and_no_separate_value() {
    for (text, value) in [("1", true), ("t", true), ("T", true), ("true", true), ("TRUE", true), ("True", true)]
        .into_iter()
        .chain([("0", false), ("f", false), ("F", false), ("false", false), ("FALSE", false), ("False", false)])
    {
        assert_eq!(config(&[&format!("-cleanup={text}"), "consul:"]).bridge.cleanup, value, "{text}");
    }
    let typed = typed(&["-cleanup", "consul:", "false"], &NO_VARIABLES);
    assert!(typed.cleanup);
    assert_eq!(typed.uris, ["consul:", "false"]);
}

#[test]
fn the_last_of_an_option_wins() {
    assert_eq!(config(&["-resync", "1", "-resync=2", "consul:"]).docker.resync, Some(Duration::from_secs(2)));
}

#[test]
fn two_dashes_end_the_options() {
    let typed = typed(&["-internal", "--", "-explicit", "--", "consul:"], &NO_VARIABLES);
    assert!(typed.internal && !typed.explicit);
    assert_eq!(typed.uris, ["-explicit", "--", "consul:"]);
}

#[test]
fn a_value_may_hold_equals_signs_and_begin_with_a_dash() {
    assert_eq!(typed(&["-tags=a=b"], &NO_VARIABLES).tags.as_deref(), Some("a=b"));
    assert_eq!(typed(&["-tags", "-x"], &NO_VARIABLES).tags.as_deref(), Some("-x"));
}

#[test]
fn empty_tags_and_an_empty_label_are_none_at_all() {
    let typed = typed(&["-tags", "", "-useIpFromLabel="], &NO_VARIABLES);
    assert_eq!((typed.tags, typed.ip_label), (None, None));
}

// === Commands ===

#[test]
fn the_first_word_that_is_no_uri_is_a_command() {
    let explain = || Command::Explain { container: "web".to_owned() };
    for (arguments, command) in [
        (&["explain", "web"][..], explain()),
        (&["-internal", "explain", "-format", "json", "web", "consul:"], explain()),
        (&["plan", "consul:"], Command::Plan),
        (&["plan", "-status", ":1"], Command::Plan),
        (&["services"], Command::Services),
        (&["containers"], Command::Containers),
        (&["registries", "etcd://h"], Command::Registries),
        (&["watch", "-status=h:1"], Command::Watch),
        (&["validate", "compose.yml"], Command::Validate { file: "compose.yml".into() }),
        (&["validate", "--", "-odd-"], Command::Validate { file: "-odd-".into() }),
        (&["check", "consul:"], Command::Check),
        (&["doctor"], Command::Doctor),
        (&["config", "show"], Command::ConfigShow),
        (&["config", "-ttl=30", "-ttl-refresh=10", "show"], Command::ConfigShow),
        (&["config", "check", "consul:"], Command::ConfigCheck { problems: Vec::new() }),
        (&["support-dump"], Command::SupportDump),
        (&["-healthcheck"], Command::Healthcheck),
        (&["-healthcheck", "-status", ":9120"], Command::Healthcheck),
    ] {
        assert_eq!(ask_of(arguments).command, command, "{arguments:?}");
    }
    let ask = ask_of(&["explain", "web", "-internal", "-status", ":9120", "-format=json", "consul:", "etcd:"]);
    assert_eq!(ask.format, Format::Json);
    assert_eq!(ask.status.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:9120"));
    assert!(ask.config.service.internal);
    assert_eq!(ask.config.registries.len(), 2);
}

#[test]
fn a_command_is_none_after_a_uri_or_after_two_dashes() {
    for arguments in [&["consul:", "plan"][..], &["--", "plan"]] {
        match parse_file(arguments, &NO_VARIABLES, "") {
            Ok(Parsed::Run(config)) => {
                assert_eq!(config.registries.len(), arguments.len() - usize::from(arguments[0] == "--"))
            }
            other => panic!("{arguments:?}: {other:?}"),
        }
    }
}

#[test]
fn a_word_that_is_no_command_goes_the_way_of_a_uri() {
    // The registries say what is wrong with it.
    for word in ["consul", "Etcd", "zookeper", "banana", "stauts"] {
        assert!(matches!(parse_file(&[word], &NO_VARIABLES, ""), Ok(Parsed::Run(_))), "{word}");
    }
}

#[test]
fn a_command_that_is_misused_says_how_it_is_called_and_exits_with_64() {
    let mut seen = String::new();
    for arguments in [
        &["explain"][..],
        &["plan"],
        &["check", "-status", ":1"],
        &["watch"],
        &["validate", "a.yml", "b.yml"],
        &["plan", "-nonsense", "consul:"],
        &["plan", "-ttl", "soon", "consul:"],
        &["plan", "-ttl", "30", "consul:"],
        &["config"],
        &["config", "shwo"],
        &["help", "plna"],
        &["help", "nothing like it"],
    ] {
        let answer = parsed(arguments, &NO_VARIABLES).unwrap_err();
        assert_eq!((answer.code, answer.stdout.as_str()), (64, ""), "{arguments:?}");
        write!(seen, "{arguments:?}\n{}", answer.stderr).unwrap();
    }
    insta::assert_snapshot!("misused", seen);
}

#[test]
fn help_about_a_command_is_found_in_three_ways() {
    let help = |arguments: &[&str]| parsed(arguments, &NO_VARIABLES).unwrap_err();
    let plan = help(&["help", "plan"]);
    assert_eq!(plan.code, 0);
    assert_eq!(help(&["plan", "-help"]), plan);
    assert_eq!(help(&["plan", "consul:", "-h"]), plan);
    assert_eq!(help(&["help"]), help(&["-help"]));
    assert_eq!(help(&["help", "config", "show"]), help(&["config", "show", "--help"]));
    for row in commands::COMMANDS {
        let page = render::help(row);
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    }
    insta::assert_snapshot!("help_of_plan", plan.stdout);
}

// === The file of settings ===

const FILE: &str = r#"
# A comment.
ttl = "1m30s"
ttl-refresh = 10
cleanup = true
log-level = "debug"
useIpFromLabel = "net.ip"
registries = [
  "consul://a:1",
  "etcd://me:hunter2@b:2/p",
]
"#;

fn with_file(arguments: &[&str], variables: &[(&str, &str)], file: &str) -> Result<Config, Answer> {
    let arguments: Vec<_> = [&["-config", "/etc/r.toml"], arguments].concat();
    parse_file(&arguments, variables, file).map(Parsed::into_config)
}

#[test]
fn an_option_wins_over_a_variable_and_a_variable_over_the_file() {
    let config = with_file(&["-ttl=40"], &[("REGISTRATOR_TTL_REFRESH", "7"), ("REGISTRATOR_TTL", "x")], FILE).unwrap();
    let registry = &config.registries[0];
    assert_eq!(registry.ttl, Some(Duration::from_secs(40)));
    assert_eq!(registry.ttl_refresh, Some(Duration::from_secs(7)));
    assert!(config.bridge.cleanup);
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(config.service.ip_label.as_deref(), Some("net.ip"));
    let uris = |config: &Config| config.registries.iter().map(|registry| registry.uri.clone()).collect::<Vec<_>>();
    assert_eq!(uris(&config), ["consul://a:1", "etcd://me:hunter2@b:2/p"]);
    assert_eq!(uris(&with_file(&["consul:"], &[], FILE).unwrap()), ["consul:"]);
    assert_eq!(uris(&with_file(&[], &[("REGISTRATOR_URI", "etcd:")], FILE).unwrap()), ["etcd:"]);
    let by_variable = parse_file(&[], &[("REGISTRATOR_CONFIG", "/etc/r.toml")], FILE).unwrap().into_config();
    assert_eq!(by_variable.registries[0].ttl, Some(Duration::from_secs(90)));
}

#[test]
fn each_setting_knows_where_it_came_from() {
    let config = with_file(&["-cleanup=f"], &[("REGISTRATOR_TTL_REFRESH", "7")], FILE).unwrap();
    let found = |option: &str| {
        let setting = config.settings.iter().find(|setting| setting.option == option).unwrap();
        format!("{} from {}", setting.value, setting.origin)
    };
    assert_eq!(found("cleanup"), "false from option");
    assert_eq!(found("ttl"), "90 from file /etc/r.toml:3");
    assert_eq!(found("ttl-refresh"), "7 from variable REGISTRATOR_TTL_REFRESH");
    assert_eq!(found("deregister"), "always from default");
    assert_eq!(found("owner"), "machine from default");
    assert_eq!(found("registries"), "consul://a:1 from file /etc/r.toml:9");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn every_setting_of_the_command_line_can_stand_in_the_file() {
    for option in settings().filter(|option| option.group != Group::File) {
        let value = example(option);
        let text = match option.takes {
            Takes::Flag => format!("{} = {value}", option.name),
            Takes::Value(_) | Takes::Choice(..) => format!("{} = \"{value}\"", option.name),
        };
        let file = |_: &Path| Ok(text.clone());
        let reading = read::read(["-config=x"].map(OsString::from), &Environment::default(), &file);
        assert_eq!(reading.problems, [], "{text}");
        let typed = Typed { config: None, ..reading.typed };
        assert_eq!(typed, self::typed(&[&format!("-{}={value}", option.name)], &NO_VARIABLES), "{text}");
    }
}

#[test]
fn a_mistake_in_the_file_is_said_with_its_line() {
    let mut seen = String::new();
    for file in [
        "ttl = soon",
        "ttl = \"soon\"\n",
        "\n\nttl-refersh = 10",
        "-ttl = 3\n",
        "ttl = 30",
        "ttl = 1.5",
        "ttl = [1]",
        "ttl = 0x10",
        "ttl = 1_000",
        "cleanup = \"true\"",
        "cleanup = 1",
        "log-level = 3",
        "log-level = \"loud\"",
        "deregister = \"sometimes\"",
        "help = true",
        "format = \"json\"",
        "config = \"other.toml\"",
        "uri = \"consul:\"",
        "registry = [\"consul:\"]",
        "registries = \"consul:\"",
        "registries = [1]",
        "[consul]\nttl = 3",
        "ttl = 3\nttl = 4",
        "registries = [\"consul://me:hunter2@h]\n",
        "\u{1b}[31m = 1",
        "owner = \"a\nb\"",
        "owner = 'a",
        "\"\\u001b\" = 1",
    ] {
        let answer = with_file(&["consul:"], &[], file).unwrap_err();
        assert_eq!((answer.code, answer.stdout.as_str()), (1, ""), "{file}");
        assert_eq!(answer.stderr.matches('\n').count(), 1, "{}", answer.stderr);
        assert!(!answer.stderr.contains("hunter2"), "{}", answer.stderr);
        write!(seen, "{file:?}\n  {}", answer.stderr).unwrap();
    }
    insta::assert_snapshot!("mistakes_in_a_file", seen);
}

#[test]
fn a_check_of_the_settings_finds_every_mistake() {
    let arguments = ["config", "check", "-config=x", "-resync", "often", "-ttl", "30"];
    let variables = [("REGISTRATOR_DRAIN", "-1"), ("REGISTRATOR_RESINC", "1"), ("REGISTRATOR_PORT_80_TCP", "k8s")];
    let Ok(Parsed::Ask(ask)) = parse_file(&arguments, &variables, "cleanup = 1\nowner = 3\n") else { panic!("ask") };
    let Command::ConfigCheck { problems } = ask.command else { panic!("{:?}", ask.command) };
    insta::assert_snapshot!("problems", problems.join("\n"));
}

#[test]
fn what_has_changed_says_when_it_counts() {
    let old = with_file(&[], &[], FILE).unwrap();
    assert_eq!(changes(&old, &old), []);
    assert_eq!(changes(&old, &with_file(&[], &[], &FILE.replace("1m30s", "90s")).unwrap()), []);
    let file =
        FILE.replace("hunter2", "hunter3").replace("debug", "warn").replace("ttl-refresh = 10", "ttl-refresh = 20");
    let said = |new: &Config| changes(&old, new).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        said(&with_file(&[], &[], &file).unwrap()),
        [
            r#"-ttl-refresh was "10", is "20", and counts after a restart"#,
            r#"-log-level was "debug", is "warn", and counts now"#,
            "a password or token in registries has changed, and counts after a restart",
        ]
    );
    let other = with_file(&["consul://a:1"], &[], FILE).unwrap();
    let line = r#"registries was "consul://a:1 etcd://me:***@b:2/p", is "consul://a:1", and counts after a restart"#;
    assert_eq!(said(&other), [line]);
}

#[test]
fn seconds_and_milliseconds_are_taken_as_durations_too() {
    for (text, seconds) in
        [("30", 30), ("30s", 30), ("5m", 300), ("1h", 3600), ("1.5h", 5400), ("+5", 5), ("1m30s", 90)]
    {
        assert_eq!(config(&["-resync", text, "consul:"]).docker.resync, Some(Duration::from_secs(seconds)), "{text}");
    }
    for (text, milliseconds) in [("500", 500), ("500ms", 500), ("2s", 2000), ("0.5s", 500)] {
        let interval = config(&["-retry-interval", text, "consul:"]).bridge.retry_interval;
        assert_eq!(interval, Duration::from_millis(milliseconds), "{text}");
    }
}

#[test]
fn a_status_address_without_a_host_is_this_machine_only() {
    let at = |text: &str| config(&["-status", text, "consul:"]).status.address.map(|address| address.to_string());
    for (text, expected) in [
        (":9120", Some("127.0.0.1:9120")),
        ("0.0.0.0:9120", Some("0.0.0.0:9120")),
        ("[::1]:80", Some("[::1]:80")),
        ("web1.example:9120", Some("web1.example:9120")),
        ("", None),
    ] {
        assert_eq!(at(text).as_deref(), expected, "{text}");
    }
    let config = config(&["-status=:1", "-status-tls-cert=c", "-status-tls-key=k", "-dry-run", "-once", "consul:"]);
    let tls = crate::config::StatusTls { certificate: "c".into(), key: "k".into() };
    assert_eq!(config.status.tls, Some(tls));
    assert_eq!(config.mode, crate::config::Mode::DryRunOnce);
}

// === The environment ===

#[test]
fn variables_are_named_after_their_options() {
    for (option, variable) in [
        ("ip", "REGISTRATOR_IP"),
        ("ttl-refresh", "REGISTRATOR_TTL_REFRESH"),
        ("useIpFromLabel", "REGISTRATOR_USE_IP_FROM_LABEL"),
        ("owner-meta", "REGISTRATOR_OWNER_META"),
    ] {
        assert_eq!(Opt::find(option).unwrap().variable().as_deref(), Some(variable));
    }
}

#[test]
fn every_option_but_a_question_can_be_set_by_its_variable() {
    for option in OPTIONS {
        let Some(variable) = option.variable() else {
            assert!(matches!(option.group, Group::Questions | Group::Commands), "{}", option.name);
            continue;
        };
        let by_argument = typed(&[&format!("-{}={}", option.name, example(option))], &NO_VARIABLES);
        assert_eq!(typed(&[], &[(&variable, example(option))]), by_argument, "{variable}");
        assert_ne!(by_argument, Typed::default(), "{variable}");
    }
}

#[test]
fn the_command_line_wins_over_a_variable_even_over_a_bad_one() {
    let resync = |value| parsed(&["-resync=1", "consul:"], &[("REGISTRATOR_RESYNC", value)]).unwrap().docker.resync;
    assert_eq!(resync("2"), Some(Duration::from_secs(1)));
    assert_eq!(resync("soon"), Some(Duration::from_secs(1)));
}

#[test]
fn an_empty_variable_is_no_variable() {
    assert_eq!(typed(&[], &[("REGISTRATOR_IP", ""), ("REGISTRATOR_TTL", "")]), Typed::default());
}

#[test]
fn uris_come_from_the_environment_only_when_the_command_line_has_none() {
    let variables = [("REGISTRATOR_URI", " consul://a:1  consul://b:2 ")];
    assert_eq!(typed(&["-internal"], &variables).uris, ["consul://a:1", "consul://b:2"]);
    assert_eq!(typed(&["consul:"], &variables).uris, ["consul:"]);
}

// === The table ===

#[test]
fn the_defaults_in_the_table_are_those_that_hold() {
    for option in settings().filter(|option| !option.default.is_empty() && !option.default.contains(' ')) {
        assert_eq!(typed(&[&format!("-{}={}", option.name, option.default)], &NO_VARIABLES), Typed::default());
    }
}

#[test]
fn every_choice_in_the_table_is_taken() {
    for option in OPTIONS {
        if let Takes::Choice(_, words) = option.takes {
            for word in words {
                assert!((option.set)(&mut Typed::default(), word).is_ok(), "-{} {word}", option.name);
            }
        }
    }
}

#[test]
fn the_usage_fits_a_terminal() {
    let usage = render::usage();
    let (explained, _examples) = usage.split_once("Examples:").unwrap();
    for line in explained.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

// === What is said ===

#[test]
fn help_and_version_answer_before_anything_else_is_asked() {
    assert_eq!(parsed(&["-help"], &NO_VARIABLES).unwrap_err().code, 0);
    assert_eq!(
        parsed(&["-h"], &NO_VARIABLES).unwrap_err(),
        parsed(&["--help", "-nonsense"], &NO_VARIABLES).unwrap_err()
    );
    let version = parsed(&["-version"], &[("REGISTRATOR_TTL", "soon")]).unwrap_err();
    assert_eq!(version, Answer { stdout: format!("{VERSION}\n"), ..Answer::default() });
}

#[test]
fn the_usage_is_as_it_was_reviewed() {
    insta::assert_snapshot!("usage", render::usage());
}

#[test]
fn every_mistake_is_explained_in_one_line() {
    type Typed<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);
    let none: &[(&str, &str)] = &[];
    let mistakes: &[Typed<'_>] = &[
        (&[], none),
        (&["-internal"], none),
        (&["-nonsense", "consul:"], none),
        (&["-ttl-refersh", "10", "consul:"], none),
        (&["--useipfromlabel=x", "consul:"], none),
        (&["---ip", "consul:"], none),
        (&["-=x", "consul:"], none),
        (&["-a\u{1b}[31m\n", "consul:"], none),
        (&["consul:", "-ip"], none),
        (&["consul:", "-deregister"], none),
        (&["-cleanup=maybe", "consul:"], none),
        (&["-cleanup=", "consul:"], none),
        (&["-cleanup", "true", "consul:"], none),
        (&["-retry-attempts", "-1", "-internal", "false", "consul:"], none),
        (&["-tags", "{{ .Nope", "consul:"], none),
        (&["-tags={{ nosuch 1 }}", "consul:"], none),
        (&["-ip", " ", "consul:"], none),
        (&["-ip", "10.0.0.5\n", "consul:"], none),
        (&["-ip", "\u{1b}[31m", "consul:"], none),
        (&["-ip", "-internal", "consul:"], none),
        (&["-hostname", "", "consul:"], none),
        (&["-hostname", "web 1", "consul:"], none),
        (&["-owner=", "consul:"], none),
        (&["-useIpFromLabel", "a\u{7}", "consul:"], none),
        (&["-ttl", "soon", "consul:"], none),
        (&["-ttl", "1.5s", "consul:"], none),
        (&["-drain", "3000000000s", "consul:"], none),
        (&["-ttl", "1.5", "consul:"], none),
        (&["-ttl", "-1", "consul:"], none),
        (&["-ttl", "010", "consul:"], none),
        (&["-resync", "2147483648", "consul:"], none),
        (&["-resync", "99999999999999999999999", "consul:"], none),
        (&["-retry-attempts", "-2", "consul:"], none),
        (&["-retry-interval", "fast", "consul:"], none),
        (&["-retry-interval", "0s", "consul:"], none),
        (&["-retry-interval", "1us", "consul:"], none),
        (&["-status", "9120", "consul:"], none),
        (&["-status", "http://h:1", "consul:"], none),
        (&["-status", "[h]:1", "consul:"], none),
        (&["-status-tls-cert", "c.pem", "-status", ":1", "consul:"], none),
        (&["-status-token-file", "t", "consul:"], none),
        (&["-once", "consul:"], none),
        (&["-format", "json", "consul:"], none),
        (&["-config", "/nonexistent/\u{1b}", "consul:"], none),
        (&["explian", "web"], none),
        (&["containres\n"], none),
        (&["-log-format", "xml", "consul:"], none),
        (&["-log-level", "INFO", "consul:"], none),
        (&["-generate", "html"], none),
        (&["-ttl", "30", "consul:"], none),
        (&["-ttl-refresh", "30", "consul:"], none),
        (&["-ttl", "30", "-ttl-refresh", "30", "consul:"], none),
        (&["-ttl", "10", "-ttl-refresh", "30", "consul:"], none),
        (&["-retry-interval", "0", "consul:"], none),
        (&["-retry-interval", "-5", "consul:"], none),
        (&["-deregister", "sometimes", "consul:"], none),
        (&["consul:"], &[("REGISTRATOR_TTL", "soon")]),
        (&["consul:"], &[("REGISTRATOR_CLEANUP", "maybe")]),
        (&["consul:"], &[("REGISTRATOR_IP", "10.0.0.5\u{fffd}")]),
        (&["consul:"], &[("REGISTRATOR_DEREGISTER", "sometimes")]),
        (&["consul:"], &[("REGISTRATOR_RETRY_INTERVAL", "0")]),
        (&["consul:"], &[("REGISTRATOR_TTL", "30")]),
        (&["consul:"], &[("REGISTRATOR_TAGS", "{{")]),
    ];
    let mut seen = String::new();
    for (arguments, variables) in mistakes {
        let answer = parsed(arguments, variables).unwrap_err();
        assert_eq!(answer.stdout, "", "{arguments:?}");
        let line = match answer.code {
            2 => answer.stderr.strip_suffix(&render::hint()).unwrap(),
            _ => &answer.stderr,
        };
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let environment: String = variables.iter().map(|(name, value)| format!("{name}={value:?} ")).collect();
        write!(seen, "{environment}{arguments:?}\n  {}: {line}", answer.code).unwrap();
    }
    insta::assert_snapshot!("mistakes", seen);
}

#[test]
fn a_variable_that_is_no_options_is_named_with_the_one_that_was_meant() {
    let said = |name: &str| {
        let events = advice(&environment(&[(name, "s3cret"), ("REGISTRATOR_TTL", "30"), ("PATH", "/bin")]));
        events.iter().map(|event| event.line().text).collect::<Vec<_>>()
    };
    for (name, hint) in [
        ("REGISTRATOR_RESINC", "did you mean REGISTRATOR_RESYNC?"),
        ("REGISTRATOR_TTLREFRESH", "did you mean REGISTRATOR_TTL_REFRESH?"),
        ("REGISTRATOR_USEIPFROMLABEL", "did you mean REGISTRATOR_USE_IP_FROM_LABEL?"),
        ("REGISTRATOR_URIS", "did you mean REGISTRATOR_URI?"),
        ("REGISTRATOR_PORT_8500_TCP", "registrator -help lists the options"),
        ("REGISTRATOR_HELP", "registrator -help lists the options"),
    ] {
        assert_eq!(said(name), [format!("{name} is the variable of no option, and ignored; {hint}")]);
    }
    for name in ["REGISTRATOR_URI", "REGISTRATOR_IP", "registrator_ip", "DOCKER_HOST"] {
        assert_eq!(said(name), [""; 0], "{name}");
    }
    assert!(advice(&environment(&[("REGISTRATOR_RESINC", "")])).is_empty());
    assert!(!said("REGISTRATOR_A\u{1b}\n")[0].contains(char::is_control));
}

#[test]
fn a_machine_without_a_usable_name_needs_one_given() {
    for machine in ["", "my host", "a\u{fffd}b"] {
        let answer = parse([OsString::from("consul:")], &environment(&[]), machine).unwrap_err();
        assert_eq!(answer.code, 1);
        assert!(answer.stderr.contains("give one with -hostname"), "{}", answer.stderr);
        let arguments = ["-hostname=web1", "consul:"].map(OsString::from);
        assert!(parse(arguments, &environment(&[]), machine).is_ok());
    }
}

#[test]
fn no_error_repeats_the_value_of_another_option() {
    let answer = parsed(&["-tags", "s3cret", "-nonsense", "consul://:s3cret@host"], &NO_VARIABLES).unwrap_err();
    assert!(!answer.stderr.contains("s3cret"));
}

#[test]
fn the_documents_are_what_the_table_makes() {
    for (word, file) in [
        ("reference", "docs/reference.md"),
        ("man", "deploy/man/registrator.1"),
        ("bash", "deploy/completions/registrator.bash"),
        ("zsh", "deploy/completions/_registrator"),
        ("fish", "deploy/completions/registrator.fish"),
    ] {
        let kept = std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let made = parsed(&["-generate", word], &NO_VARIABLES).unwrap_err();
        assert!(
            made == Answer { stdout: kept, ..Answer::default() },
            "{file} is not what the options say: run dev/docs"
        );
    }
}

// === Whatever is typed ===

/// An option with its value in one argument, and URI-like words between options.
fn any_setting() -> impl Strategy<Value = (&'static Opt, &'static str)> {
    (0..settings().count())
        .prop_map(|index| settings().nth(index).unwrap())
        .prop_map(|option| (option, example(option)))
}

proptest! {
    #[test]
    fn the_spellings_of_an_option_are_equivalent((option, value) in any_setting()) {
        let name = option.name;
        let expected = typed(&[&format!("-{name}={value}"), "consul:"], &NO_VARIABLES);
        prop_assert_eq!(&typed(&[&format!("--{name}={value}"), "consul:"], &NO_VARIABLES), &expected);
        if option.takes != Takes::Flag {
            prop_assert_eq!(&typed(&[&format!("-{name}"), value, "consul:"], &NO_VARIABLES), &expected);
            prop_assert_eq!(&typed(&[&format!("--{name}"), value, "consul:"], &NO_VARIABLES), &expected);
        } else if value == "true" {
            prop_assert_eq!(&typed(&[&format!("-{name}"), "consul:"], &NO_VARIABLES), &expected);
        }
    }

    #[test]
    fn options_and_uris_may_stand_in_any_order(
        (arguments, shuffled) in proptest::sample::subsequence(settings().collect::<Vec<_>>(), 0..=settings().count())
            .prop_map(|options| {
                let spelled = options.into_iter().map(|option| format!("-{}={}", option.name, example(option)));
                spelled.chain(["consul:".to_owned()]).collect::<Vec<_>>()
            })
            .prop_flat_map(|arguments| (Just(arguments.clone()), Just(arguments).prop_shuffle())),
    ) {
        let read = |arguments: &[String]| {
            read::read(arguments.iter().map(OsString::from), &Environment::default(), &|_| Ok(String::new())).typed
        };
        prop_assert_eq!(read(&arguments), read(&shuffled));
    }

    #[test]
    fn no_file_of_settings_makes_it_panic(
        lines in proptest::collection::vec(
            prop_oneof![
                any_setting().prop_map(|(option, value)| format!("{} = {value}", option.name)),
                any_setting().prop_map(|(option, value)| format!("{} = \"{value}\"", option.name)),
                "registries = \\[(\"[a-z:/]{0,9}\",?){0,3}\\]?",
                "[a-z-]{0,5} ?= ?[0-9a-z\"'\\[{#.-]{0,6}",
                "(?s).{0,8}",
            ],
            0..6,
        ),
    ) {
        let file = lines.join("\n");
        for arguments in [&["-config=x"][..], &["config", "check", "-config=x"]] {
            match parse_file(arguments, &NO_VARIABLES, &file) {
                Ok(Parsed::Run(config)) => prop_assert!(!config.registries.is_empty()),
                Ok(Parsed::Ask(ask)) => match ask.command {
                    Command::ConfigCheck { problems } => {
                        prop_assert!(problems.iter().all(|line| !line.contains(char::is_control)), "{problems:?}");
                    }
                    other => prop_assert!(false, "{other:?}"),
                },
                Err(answer) => prop_assert!(!answer.stderr.trim_end().is_empty() && answer.code <= 2),
            }
        }
    }

    #[test]
    fn no_bytes_at_all_make_it_panic(
        arguments in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..12),
                "-{0,3}[a-z-]{0,8}(=.{0,6})?".prop_map(String::into_bytes),
                any_setting().prop_map(|(option, _)| format!("-{}", option.name).into_bytes()),
            ],
            0..6,
        ),
        variable in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let environment: Environment = settings()
            .filter_map(Opt::variable)
            .map(|name| (OsString::from(name), OsString::from_vec(variable.clone())))
            .collect();
        if let Err(answer) = parse(arguments.into_iter().map(OsString::from_vec), &Arc::new(environment), "machine") {
            prop_assert!(matches!(answer.code, 0..=2 | 64));
            prop_assert!(!answer.stderr.chars().any(|character| character.is_control() && character != '\n'));
        }
    }
}
