//! What is found in files, with place and cure, and what is left alone.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

fn config() -> ServiceConfig {
    ServiceConfig {
        hostname: "host".to_owned(),
        ip: None,
        internal: false,
        explicit: false,
        ip_label: None,
        tags: None,
        ttl: None,
        max_services: 1000,
        traefik: false,
    }
}

fn lines(text: &str, config: &ServiceConfig) -> Vec<String> {
    validate(text, config, &[]).unwrap().iter().map(ToString::to_string).collect()
}

fn said(text: &str) -> String {
    lines(text, &config()).iter().fold(String::new(), |mut all, line| {
        writeln!(all, "{line}").unwrap();
        all
    })
}

/// Compose files, each with what is wrong in it.
const WRONG: &[(&str, &str)] = &[
    (
        "a misspelt key, as a map and as a list",
        "services:
  web:
    image: nginx
    ports: [\"80\"]
    environment:
      SERVICE_NAEM: web
    labels:
      - SERVICE_TAG=a,b
      - service_id=x
",
    ),
    (
        "a key of a check, and values that cannot be used",
        "services:
  web:
    image: nginx
    ports: [\"80:80\"]
    labels:
      SERVICE_CHECK_HTPP: /
      SERVICE_CHECK_TCP: \"true\"
      SERVICE_CHECK_INTERVAL: soon
    environment: [SERVICE_PORT=http, SERVICE_IP=0.0.0.0]
",
    ),
    (
        "the host's port instead of the container's",
        "services:
  web:
    image: nginx
    ports:
      - 8080:80
      - target: 443
        published: \"8443\"
    environment:
      SERVICE_8080_NAME: web
      SERVICE_8443_TAGS: tls
      SERVICE_81_NAME: other
",
    ),
    (
        "ports that are exposed, but not published",
        "services:
  db:
    image: postgres
    expose:
      - 5432
      - \"53/udp\"
  worker:
    image: worker
    environment: [SERVICE_NAME=worker]
  many:
    image: many
    expose: [\"1-100\"]
",
    ),
    (
        "one ID twice, in one service and in two",
        "services:
  one:
    image: app
    ports: [\"80\", \"81\", \"53/udp\", \"53\"]
    environment: [SERVICE_ID=app, SERVICE_53_ID=dns]
  two:
    image: app
    ports: [\"80\"]
    labels: {SERVICE_ID: app}
  three:
    image: app
    ports: [\"80\"]
    environment: [\"SERVICE_ID=${X}\"]
    deploy: {replicas: 2}
",
    ),
    (
        "names that DNS or Consul refuses",
        "services:
  web:
    image: my.registry:5000/my.app:1.2
    ports: [\"80\"]
  api:
    image: app
    ports: [\"80\", \"81\"]
    environment:
      SERVICE_NAME: my api
      SERVICE_80_ID: a//b
      SERVICE_a.b: x
",
    ),
    (
        "no network, and a service that shares one",
        "services:
  lonely:
    image: app
    network_mode: none
    ports: [\"80\"]
    environment: [SERVICE_NAME=x]
  side:
    image: app
    network_mode: service:nothing
    expose: [\"80\"]
",
    ),
    (
        "labels that no container has",
        "services:
  web:
    image: app
    ports: [\"80\"]
    deploy:
      labels:
        SERVICE_NAME: web
        other: x
  api:
    image: app
    ports: [\"80\"]
    deploy: {labels: [SERVICE_TAGS=a, b]}
",
    ),
    (
        "what is no port",
        "services:
  web:
    image: app
    ports: [\"http:80\", \"80:80:80:80\", {published: 80}]
",
    ),
    (
        "what comes by an anchor stands where it is written",
        "x-env: &env
  SERVICE_TGAS: a
services:
  web:
    image: app
    ports: [\"80\"]
    environment:
      <<: *env
      SERVICE_NAME: web
",
    ),
];

#[test]
fn what_is_wrong_is_said_with_its_place_and_its_cure() {
    let mut seen = String::new();
    for (what, text) in WRONG {
        write!(seen, "=== {what}\n{text}---\n{}\n", said(text)).unwrap();
    }
    insta::assert_snapshot!("wrong", seen);
}

#[test]
fn what_is_right_or_left_open_is_left_alone() {
    for text in [
        "services: {}",
        "services:\n  web: {image: nginx, ports: [\"80\"]}",
        "services:\n  web: {image: nginx, ports: [\"80:80\", \"8443:443\"], labels: [SERVICE_80_NAME=a, SERVICE_443_NAME=b]}",
        "services:\n  web: {image: \"${REPO}/app:${TAG:-1.0}\", ports: [\"${PORT:-8080}:80\"]}",
        "services:\n  web: {image: a, ports: [\"8080:${PORT}\"], environment: {SERVICE_9_NAME: a}}",
        "services:\n  web: {image: a, ports: [\"80\"], environment: {SERVICE_NAME: \"${N}\", SERVICE_CHECK_TTL: \"${T:-30s}\"}}",
        "services:\n  web: {image: a, ports: [\"80\"], environment: [SERVICE_NAME, \"SERVICE_${P}_ID=x\"]}",
        "services:\n  a: {image: a, ports: [\"80\"], labels: {SERVICE_ID: \"a-${N}\"}}\n  b: {image: b, ports: [\"80\"], labels: {SERVICE_ID: \"a-${M}\"}}",
        // A worker, and a port that nobody is to find.
        "services:\n  worker: {image: w, environment: [FOO=1]}",
        "services:\n  db: {image: db, expose: [5432], labels: {SERVICE_IGNORE: \"true\"}}",
        "services:\n  web: {image: a, network_mode: host, labels: {SERVICE_80_NAME: web}}",
        "services:\n  web: {image: a, network_mode: \"container:other\", expose: [80]}",
        "services:\n  a: {image: a, ports: [\"80\"]}\n  b: {image: b, network_mode: \"service:a\", labels: {SERVICE_9_NAME: b}}",
        "services:\n  web: {extends: {service: base}, labels: {SERVICE_80_NAME: web}}",
        "services:\n  web: {image: a, ports: [\"80\"], environment: {SERVICE_REGION: eu, SERVER_NAME: x}}",
        "services:\n  web: {image: a, ports: [\"80\"], labels: {SERVICE_ID: \"a-{{.Task.Slot}}\"}, deploy: {replicas: 3}}",
        "services:\n  dns: {image: a, ports: [\"53\", \"53/udp\"], labels: {SERVICE_ID: dns}}",
        "services:\n  web: {build: ., ports: [\"80\"]}",
        // An override, which another file completes.
        "services:\n  web: {environment: [SERVICE_80_NAME=web]}",
        "\u{feff}services:\n  web:\n    image: a\n    ports:\n    - '80'\n",
    ] {
        assert_eq!(said(text), "", "{text}");
    }
}

#[test]
fn the_options_of_the_daemon_count() {
    let exposed = "services:\n  db: {image: db, expose: [5432]}";
    assert_eq!(lines(exposed, &config()).len(), 1);
    assert_eq!(lines(exposed, &ServiceConfig { internal: true, ..config() }), [""; 0]);
    let explicit = ServiceConfig { explicit: true, ..config() };
    let unnamed = "services:\n  web: {image: a, ports: [\"80\"]}";
    assert_eq!(
        lines(unnamed, &explicit),
        ["2:27: web: not registered: service on port 80 has neither SERVICE_NAME nor SERVICE_80_NAME (-explicit); \
          write SERVICE_80_NAME: a-name"]
    );
    for open in [
        "services:\n  web: {image: a, ports: [\"80\"], env_file: .env}",
        "services:\n  web: {image: a, ports: [\"80\"], environment: [\"SERVICE_NAME=${N}\"]}",
    ] {
        assert_eq!(lines(open, &explicit), [""; 0], "{open}");
    }
}

#[test]
fn with_uris_only_what_these_registries_refuse_is_said() {
    let dotted = "services:\n  web: {image: my.app, ports: [\"80\"]}";
    assert_eq!(validate(dotted, &config(), &["etcd://h"]), Ok(vec![]));
    let found = validate(dotted, &config(), &["skydns2://h/local"]).unwrap();
    let line = "2:3: web: name \"my.app\": it is no name for DNS, so it is \"my-app-104b9c4c\" there; write SERVICE_NAME: my-app";
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [line]);
}

#[test]
fn what_docker_inspect_prints_is_read_as_well() {
    let running = include_str!("../../tests/fixtures/engine/docker-29-running.json");
    insta::assert_snapshot!("inspect", said(&format!("[{running}]")));
    assert_eq!(said(running).lines().count(), said(&format!("[{running}]")).lines().count());
    let small = r#"[
  {
    "Id": "0123456789ab",
    "Name": "/web",
    "State": {"Status": "running", "Running": true},
    "Config": {
      "Image": "nginx",
      "Env": ["PATH=/bin", "SERVICE_NAEM=web"],
      "Labels": {"SERVICE_TAG": "a"},
      "ExposedPorts": {"80/tcp": {}, "443/tcp": {}}
    },
    "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}}
  }
]"#;
    insta::assert_snapshot!("inspect_small", said(small));
}

#[test]
fn a_file_that_is_neither_is_told_so_with_its_place() {
    for (text, line) in [
        ("", "1:1: it is empty"),
        ("a: 1", "1:1: this is neither a compose file, which has services:, nor the output of docker inspect"),
        ("just text", "1:1: this is neither a compose file, which has services:, nor the output of docker inspect"),
        ("[1]", "1:2: this is no container, as docker inspect prints it: the answer has no Id"),
    ] {
        assert_eq!(validate(text, &config(), &[]).unwrap_err().to_string(), line, "{text}");
    }
    for text in ["services:\n\tweb: 1", "services: [", "- a: 'b", "[{\"Id\": 1,]"] {
        let line = validate(text, &config(), &[]).unwrap_err().to_string();
        assert!(!line.contains(char::is_control) && !line.starts_with('0'), "{line}");
    }
}

#[test]
fn a_file_of_many_ports_and_keys_is_judged_in_time() {
    let mut text = String::from("services:\n  web:\n    image: my.app\n    ports: [\"1-65535\"]\n    labels:\n");
    for number in 0..1000 {
        writeln!(text, "      SERVICE_{number}.x: \"${{A{number}}}\"\n      SERVICE_{number}_NAEM: a").unwrap();
    }
    let begun = std::time::Instant::now();
    assert!(validate(&text, &config(), &[]).unwrap().len() > 1000);
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

proptest! {
    #[test]
    fn no_file_is_too_odd(
        parts in prop::collection::vec(
            prop_oneof![
                Just("services:\n".to_owned()),
                "  [a-z.]{1,3}:\n",
                "    image: [a-z./:${}]{1,6}\n",
                "    ports: \\[\"[0-9:/$-]{1,8}\"\\]\n",
                "    (environment|labels):\n      - SERVICE_[A-Z0-9_]{1,6}=.{0,6}\n",
                "    expose: [0-9]{1,5}\n",
                "    <<: [*]?[a-z]\n",
                "(?s).{0,10}",
            ],
            0..12,
        ),
        internal: bool,
        explicit: bool,
    ) {
        let text = parts.concat();
        let config = ServiceConfig { internal, explicit, ..config() };
        match validate(&text, &config, &[]) {
            Ok(findings) => for finding in findings {
                let line = finding.to_string();
                prop_assert!(!line.contains(char::is_control), "{:?}", line);
                prop_assert!(finding.at.line >= 1 && finding.at.line <= text.lines().count() + 1);
            },
            Err(unreadable) => prop_assert!(!unreadable.to_string().contains(char::is_control)),
        }
    }
}
