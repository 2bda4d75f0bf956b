//! What is shipped for Prometheus and Grafana: the alerts do as their own tests say, and nothing names a metric or a label
//! that there is not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::Value;
use testkit::consul::Consul;
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::program::Program;
use testkit::prometheus::Prometheus;
use testkit::servers::binary;

/// The metrics, without `registrator_`, and their own labels; `true` for a histogram.
const METRICS: &[(&str, &[&str], bool)] = &[
    ("build_info", &["version", "commit"], false),
    ("containers", &["state"], false),
    ("services", &[], false),
    ("ports_ignored", &["reason"], false),
    ("entries_desired", &["registry"], false),
    ("entries_actual", &["registry"], false),
    ("entries_foreign", &["registry"], false),
    ("entries_owner_mismatch", &["registry"], false),
    ("entries", &["registry", "state"], false),
    ("plan_pending", &["registry", "action"], false),
    ("writes_total", &["registry", "action", "result"], false),
    ("write_duration_seconds", &["registry", "action"], true),
    ("request_duration_seconds", &["registry", "operation"], true),
    ("event_to_entry_seconds", &["registry"], true),
    ("queue_depth", &["registry"], false),
    ("consecutive_errors", &["registry"], false),
    ("last_success_timestamp_seconds", &["registry"], false),
    ("last_reconcile_timestamp_seconds", &["registry"], false),
    ("noop_reconciles_total", &["registry"], false),
    ("docker_events_total", &["action"], false),
    ("docker_reconnects_total", &[], false),
    ("docker_connected", &[], false),
    ("docker_list_duration_seconds", &[], false),
    ("guard_refusals_total", &["registry"], false),
    ("heartbeats_total", &["registry", "result"], false),
    ("leases_lost_total", &["registry"], false),
    ("registry_up", &["registry"], false),
    ("certificate_not_after_timestamp_seconds", &["registry", "kind"], false),
    ("config_last_reload_successful", &[], false),
    ("config_last_reload_success_timestamp_seconds", &[], false),
    ("templates_rendered_total", &["dest", "result"], false),
    ("template_reload_total", &["dest", "result"], false),
    ("template_last_change_timestamp_seconds", &["dest"], false),
    ("template_right", &["dest"], false),
    ("template_told", &["dest"], false),
];

/// The metrics of any process that are used.
const OF_PROCESS: &[&str] = &["process_resident_memory_bytes", "process_cpu_seconds_total"];

/// The labels that Prometheus adds, and that of a bucket.
const ADDED: &[&str] = &["instance", "job", "le"];

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap()
}

fn promtool(arguments: &[&str], folder: &Path) {
    let done = Command::new(binary("promtool")).args(arguments).current_dir(folder).output().unwrap();
    let said = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(done.status.success(), "promtool {arguments:?}: {said}");
}

/// The metrics that a query names: none that there is not, and of each only labels that it has.
fn named(query: &str) -> BTreeSet<String> {
    let names = Regex::new(r"\b(?:registrator|process)_[a-z_]+").unwrap();
    let mut found = BTreeSet::new();
    let mut labels: BTreeSet<&str> = ADDED.iter().copied().collect();
    for name in names.find_iter(query).map(|name| name.as_str()) {
        if OF_PROCESS.contains(&name) {
            continue;
        }
        let own = name.trim_start_matches("registrator_");
        let metric = METRICS.iter().find(|(metric, _, histogram)| match histogram {
            true => own.strip_suffix("_bucket") == Some(metric),
            false => own == *metric,
        });
        let Some((metric, own, _)) = metric else { panic!("{query}: there is no {name}") };
        labels.extend(*own);
        found.insert((*metric).to_owned());
    }
    let used = Regex::new(r#"(?:\b(?:by|without|on)\s*\(([a-z_, ]*)\))|(?:[{,]\s*([a-z_]+)\s*[=!]~?")"#).unwrap();
    for captured in used.captures_iter(query) {
        let list = captured.get(1).or_else(|| captured.get(2)).unwrap().as_str();
        for label in list.split(',').map(str::trim).filter(|label| !label.is_empty()) {
            assert!(labels.contains(label), "{query}: no metric in it has the label {label}");
        }
    }
    found
}

/// The alerts of rules.yml by name, each as the lines of it.
fn alerts() -> BTreeMap<String, String> {
    let rules = read("deploy/prometheus/rules.yml");
    let alerts = rules.split("- alert: ").skip(1);
    alerts.map(|alert| alert.split_once('\n').unwrap()).map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
}

#[test]
fn the_alerts_fire_when_their_tests_say_so_and_not_before() {
    let folder = file("deploy/prometheus");
    promtool(&["check", "rules", "rules.yml"], &folder);
    promtool(&["test", "rules", "rules_test.yml"], &folder);
}

#[test]
fn each_alert_is_tested_and_says_what_a_tired_person_needs() {
    let (operations, tests) = (read("docs/alerts.md"), read("deploy/prometheus/rules_test.yml"));
    let alerts = alerts();
    assert_eq!(alerts.len(), 12);
    for (name, rule) in &alerts {
        for part in ["        for: ", "          summary: ", "          description: ", "          severity: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        let anchor = format!("runbook_url: docs/alerts.md#{}\n", name.to_lowercase());
        assert!(rule.contains(&anchor) || rule.ends_with(anchor.trim_end()), "{name} does not lead to its paragraph");
        let paragraph = operations.split(&format!("\n## {name}\n")).nth(1).unwrap_or_default();
        let paragraph = paragraph.split("\n##").next().unwrap_or_default();
        for part in ["**What it means.**", "**What to look at.**", "**What to do.**"] {
            assert!(paragraph.contains(part), "docs/alerts.md does not say of {name}: {part}");
        }
        assert!(tests.contains(&format!("alertname: {name}\n        exp_alerts:")), "{name} is never seen to fire");
        assert!(tests.contains(&format!("alertname: {name} }}")), "{name} is never seen not to fire");
        let expression = rule.split("        for: ").next().unwrap();
        if name != "RegistratorDown" {
            assert!(!named(expression).is_empty(), "{name} asks for nothing");
        }
    }
}

/// The queries of the dashboard with the labels that their legends use.
fn queries(dashboard: &Value) -> Vec<(String, String, String)> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap().to_owned();
        panel["targets"].as_array().into_iter().flatten().map(move |target| (title.clone(), target))
    });
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    targets.map(|(title, target)| (title, text(&target["expr"]), text(&target["legendFormat"]))).collect()
}

#[test]
fn each_query_of_the_dashboard_parses_and_names_only_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/registrator.json")).unwrap();
    let queries = queries(&dashboard);
    let legend = Regex::new(r"\{\{([a-z_]+)\}\}").unwrap();
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    let mut shown = BTreeSet::new();
    for (number, (title, query, named_by)) in queries.iter().enumerate() {
        let metrics = named(query);
        assert!(!metrics.is_empty(), "{title} shows nothing of ours");
        for label in legend.captures_iter(named_by).map(|label| label.get(1).unwrap().as_str()) {
            let kept = query.split("by (").skip(1).any(|list| list.split(')').next().unwrap().contains(label));
            let whole = !query.contains("by (")
                && METRICS.iter().any(|(metric, labels, _)| {
                    metrics.contains(*metric) && (labels.contains(&label) || ADDED.contains(&label))
                });
            assert!(kept || whole, "{title}: the series of {query} have no label {label}");
        }
        shown.extend(metrics);
        let query = query.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$registry", ".*");
        assert!(!query.contains('$'), "{title}: a variable that there is not: {query}");
        // A text of JSON is one of YAML.
        writeln!(rules, "      - record: query{number}\n        expr: {}", Value::from(query)).unwrap();
    }
    let missing: Vec<_> =
        METRICS.iter().map(|(metric, ..)| *metric).filter(|metric| !shown.contains(*metric)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "not on the dashboard");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("queries.yml"), rules).unwrap();
    promtool(&["check", "rules", "queries.yml"], folder.path());
}

/// A configuration folder with one resource, whose program is told.
fn rendered(confdir: &Path) {
    for folder in ["conf.d", "templates"] {
        std::fs::create_dir(confdir.join(folder)).unwrap();
    }
    std::fs::write(confdir.join("templates/t"), "{{len services}}").unwrap();
    let resource = format!("[template]\nsrc = \"t\"\ndest = {:?}\nreload_cmd = \"true\"\n", confdir.join("file"));
    std::fs::write(confdir.join("conf.d/one.toml"), resource).unwrap();
}

/// What Prometheus says to this query.
async fn result(prometheus: &Prometheus, query: &str) -> Value {
    let query = percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC);
    let told = prometheus.ask(&format!("/api/v1/query?query={query}")).await;
    assert_eq!(told["status"], "success", "{query}: {told}");
    told["data"]["result"].clone()
}

#[tokio::test]
async fn what_is_shipped_is_answered_by_a_prometheus_that_scrapes_a_running_instance() {
    let (engine, consul) = (FakeEngine::start().await, Consul::start().await);
    for number in 0..3_u16 {
        engine.run(FakeContainer::new(&format!("c{number}")).publish("80/tcp", 8000 + number).expose("81/tcp"));
    }
    let options = ["-hostname", "h", "-ip", "10.0.0.1", "-status", "127.0.0.1:0", "-ttl", "30", "-ttl-refresh", "1"];
    let uri = consul.uri();
    let confdir = tempfile::tempdir().unwrap();
    rendered(confdir.path());
    let render = confdir.path().to_str().unwrap();
    let arguments = options.into_iter().chain(["-resync", "1", "-render", render, &uri]);
    let host = engine.host();
    let program =
        Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, [("DOCKER_HOST", host.as_str())]);
    let line = program.wait_for("status: http://").await;
    let address = line.rsplit("://").next().unwrap().trim_end_matches('/').to_owned();
    program.wait_for_count("added:", 3).await;
    let prometheus = Prometheus::start(
        "prometheus",
        &format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: registrator\n  static_configs:\n  - targets: [\"{address}\"]\n"
        ),
    );
    prometheus.scrapes().await;
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/registrator.json")).unwrap();
    let mut empty = Vec::new();
    for (title, query, _) in queries(&dashboard) {
        let query = query.replace("$__rate_interval", "10s").replace("$instance", ".*").replace("$registry", ".*");
        // A rate needs two scrapes, and an event between them.
        let mut found = Value::Null;
        for number in 0..20_u16 {
            found = result(&prometheus, &query).await;
            if found.as_array().is_some_and(|found| !found.is_empty()) {
                break;
            }
            engine.run(FakeContainer::new(&format!("n{number}{}", empty.len())).publish("80/tcp", 9000 + number));
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        if found.as_array().is_none_or(Vec::is_empty) {
            empty.push(format!("{title}: {query}"));
        }
    }
    // No registry of this one uses TLS.
    empty.retain(|query| !query.contains("certificate"));
    assert_eq!(empty, Vec::<String>::new(), "without a series");
    for (name, rule) in alerts() {
        let expression = rule.split("expr:").nth(1).unwrap().split("        for: ").next().unwrap();
        let expression = expression.trim().trim_start_matches(['|', '>', '-']).trim();
        let firing = result(&prometheus, expression).await;
        assert_eq!(firing.as_array().map(Vec::len), Some(0), "{name} fires for an instance that is well: {firing}");
    }
}

#[test]
fn the_panels_of_the_dashboard_lie_side_by_side_and_each_has_its_own_number() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/registrator.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let numbers: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies on another panel", panel["title"]);
            }
        }
    }
}
