//! The walk through Redis in docs/operations.md, command by command, each with what it prints there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::{HOST, SOON, registrator};
use testkit::docker::{Spec, unique};
use testkit::program::Program;
use testkit::redis::Redis;
use testkit::wait::becomes;

/// A command of the walk, and what it prints.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    prints: String,
}

/// The steps of the walk with this name.
fn steps(page: &str, name: &str) -> Vec<Step> {
    let (_, walk) = page.split_once(&format!("<!-- walk: {name} -->\n\n")).unwrap_or_else(|| panic!("no walk {name}"));
    let mut steps: Vec<Step> = Vec::new();
    for line in walk.lines().map_while(|line| line.strip_prefix("    ")) {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.to_owned(), prints: String::new() }),
            (None, Some(step)) => step.prints += &format!("{line}\n"),
            (None, None) => panic!("the walk begins with no command: {line}"),
        }
    }
    steps
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn the_walk_through_redis_prints_what_the_page_says() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let server = Redis::start().await;
    // Other tests' containers are on the same engine: the names are this test's own.
    let (name, image) = (unique("walk"), unique("walked"));
    let mut container = None;
    let mut program: Option<Program> = None;
    let mut port = String::from("8000");
    let steps = steps(&page, "redis");
    assert!(steps.len() >= 8, "{steps:?}");
    for Step { command, prints } in steps {
        let own = |text: &str| {
            text.replace("web1:web:", &format!("{HOST}:{name}:"))
                .replace("services/nginx", &format!("services/{image}"))
                .replace("'services/*'", &format!("'services/{image}/*'"))
                .replace("10.0.0.5:8000", &format!("{}:{port}", support::IP))
        };
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["docker", "run", "-d", "--name", "web", "-p", "8000:80", "nginx"] => {
                let started = Spec::new(&name).image(&image).publish("80/tcp").start();
                port = started.host_port("80/tcp").to_string();
                container = Some(started);
            }
            ["registrator", "-ip", "10.0.0.5", uri, "&"] => {
                let uri = uri.replace("127.0.0.1:6379", &server.address().to_string());
                program = Some(registrator(&uri, &[]));
            }
            ["docker", "rm", "-f", "web"] => container.take().expect("the container").remove(),
            ["redis-cli", ..] => {
                let command = own(&command);
                let looks = async || {
                    let (cli, libraries) = server.cli();
                    let line =
                        command.replacen("redis-cli", &format!("{} -p {}", cli.display(), server.address().port()), 1);
                    let mut shell = Command::new("sh");
                    printed(&shell.args(["-c", &line]).env("LD_LIBRARY_PATH", libraries).output().expect("a shell"))
                };
                becomes(own(&prints), SOON, looks).await;
            }
            other => panic!("the walk has a step that this test does not know: {other:?}"),
        }
    }
    assert_eq!(program.expect("the program").logged("panicked"), 0);
    let _ = testkit::docker::ask("DELETE", &format!("/images/{image}?force=true"), &serde_json::Value::Null);
}
