//! Nothing that a container, an engine or a registry says reaches a terminal as anything but text: no line is
//! forged, nothing is coloured, erased or turned around, in either format of the log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::{Value, json};
use support::{SOON, registrator_with};
use testkit::consul::Consul;
use testkit::engine::{FakeContainer, FakeEngine, Fault};
use testkit::program::Program;
use testkit::proxy::{HttpRecorder, Mode};
use testkit::wait::becomes;

/// What breaks lines, terminals and eyes: C0 and C1 controls, an escape sequence, Unicode's line breaks,
/// characters that turn the direction of writing, one that has no width.
const EVIL: &str = "\0\u{7}\u{8}\t\n\r\u{b}\u{1b}[2J\u{1b}]0;title\u{7}\u{7f}\u{85}\u{9b}31m\u{2028}\u{2029}\u{202e}\u{2066}\u{feff}\n2026/01/01 00:00:00 added: 123456789012 forged";

/// What is not seen: a zero-width space, a soft hyphen, a tag, a joiner, a filler, a selector of variants.
const INVISIBLE: &str = "\u{200b}\u{ad}\u{e0041}\u{2060}\u{3164}\u{fe0f}";

/// Everything that an engine says of a container, as bad as it can be.
fn evil() -> Vec<FakeContainer> {
    let everywhere = FakeContainer::new(&format!("evil{EVIL}"))
        .image(&format!("image{EVIL}:tag{EVIL}"))
        .label(&format!("label{EVIL}"), EVIL)
        .env(&format!("ENV{EVIL}={EVIL}"))
        .with("/Config/Hostname", json!(format!("host{EVIL}")))
        .publish("80/tcp", 8001);
    let names = FakeContainer::new("names")
        .env(&format!("SERVICE_NAME=name{EVIL}"))
        .env(&format!("SERVICE_ID=id{EVIL}"))
        .env(&format!("SERVICE_TAGS=a{EVIL},b"))
        .label(&format!("SERVICE_KEY{EVIL}"), &format!("value{EVIL}"))
        .publish("80/tcp", 8002);
    let checks = FakeContainer::new("checks")
        .env(&format!("SERVICE_CHECK_HTTP=/{EVIL}"))
        .env(&format!("SERVICE_CHECK_INTERVAL={EVIL}"))
        .env(&format!("SERVICE_CHECK_TIMEOUT={EVIL}"))
        .env(&format!("SERVICE_CHECK_INITIAL_STATUS={EVIL}"))
        .publish("80/tcp", 8003);
    let addresses = FakeContainer::new("addresses")
        .env(&format!("SERVICE_IP=1.2.3.4{EVIL}"))
        .env(&format!("SERVICE_PORT=80{EVIL}"))
        .env(&format!("SERVICE_NETWORK=net{EVIL}"))
        .env(&format!("SERVICE_WEIGHT=1{EVIL}"))
        .publish_on("80/tcp", &format!("1.2.3.4{EVIL}"), 8004)
        .expose(&format!("81/tcp{EVIL}"));
    let sharing = FakeContainer::new("sharing").network_mode(&format!("container:x{EVIL}")).expose("80/tcp");
    let networked = FakeContainer::new("networked").network(&format!("net{EVIL}"), &format!("10.0.0.1{EVIL}"));
    // An ID and a name that can be registered, and that look like those of another.
    let hidden = FakeContainer::new("hidden")
        .env(&format!("SERVICE_ID=sa{INVISIBLE}ne-id"))
        .env(&format!("SERVICE_NAME=sa{INVISIBLE}ne-name"))
        .publish("80/tcp", 8005);
    vec![everywhere, names, checks, addresses, sharing, networked.expose("80/tcp"), hidden]
}

fn breaks_out(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        || INVISIBLE.contains(character)
}

fn assert_tame(program: &Program, format: &str) {
    for line in program.log() {
        assert!(!line.chars().any(breaks_out), "{line:?}");
        assert!(line.len() < 4000, "a line that fills the log: {line:?}");
        if format == "json" {
            let object: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
            assert!(object["message"].is_string(), "{line:?}");
        } else {
            assert!(line.starts_with("20") && line.as_bytes().get(19) == Some(&b' '), "no stamp: {line:?}");
        }
        assert!(!line.starts_with("2026/01/01 00:00:00 added"), "a forged line: {line:?}");
    }
}

#[tokio::test]
async fn whatever_containers_engine_and_registry_say_every_line_is_one_line_of_text() {
    for format in ["text", "json"] {
        let consul = Consul::start().await;
        let recorder = HttpRecorder::start(consul.address()).await;
        let engine = FakeEngine::start().await;
        for container in evil() {
            engine.run(container);
        }
        engine.run(FakeContainer::new("sane").publish("80/tcp", 8000));
        let uri = format!("consul://{}", recorder.address());
        let options = ["-resync", "1", "-log-level", "debug", "-log-format", format, "-tags", "{{.Config.Hostname}}"];
        let host = engine.host();
        let program = registrator_with(&uri, &options, &[("DOCKER_HOST", &host)]);
        let held = async || consul.services().await.keys().any(|id| id.contains("sane"));
        becomes(true, SOON, held).await;
        program.wait_for("names").await;
        program.wait_for("ne-id").await;

        // The registry's words, the engine's words, and garbage instead of events.
        recorder.set(Mode::Answer(400, format!("refused{EVIL}")));
        engine.run(FakeContainer::new("late").publish("80/tcp", 8009));
        program.wait_for("refused").await;
        recorder.set(Mode::Pass);
        becomes(true, SOON, async || consul.services().await.keys().any(|id| id.contains("late"))).await;
        engine.send_raw(format!("{EVIL}\n"));
        engine.fault_list(Fault::Garbage(format!(r#"{{"message":{}}}"#, json!(EVIL)).into()));
        engine.fault_version(Fault::Garbage(format!(r#"{{"Version":{0},"ApiVersion":{0}}}"#, json!(EVIL)).into()));
        program.signal("HUP");
        engine.cut_streams();
        program.wait_for("is lost").await;
        engine.fault_version(Fault::None);
        engine.fault_list(Fault::None);
        let gone: Vec<_> = engine.running();
        for id in gone {
            engine.stop(&id, 0);
            engine.remove(&id);
        }
        becomes(false, SOON, held).await;
        assert_tame(&program, format);
    }
}
