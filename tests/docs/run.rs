//! Runs the blocks of a page, in their order, on a machine as the page has it.

use std::path::Path;
use std::time::{Duration, Instant};

use testkit::discoverd::Discoverd;
use testkit::eureka::Eureka;
use testkit::machine::{Machine, Running, Said};
use testkit::redis::Redis;
use testkit::webhook::Webhook;

use crate::compare;
use crate::page::{Block, Item, Page};

/// How long what is asked may take to be as the page says; `DOCS_PATIENCE` sets another number of seconds, for whoever
/// writes a page.
fn soon() -> Instant {
    let seconds = std::env::var("DOCS_PATIENCE").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(60);
    Instant::now() + Duration::from_secs(seconds)
}

/// Programs that only ask: they are run again until they print what the page says.
const ASKING: &[&str] = &[
    "cat",
    "consul",
    "curl",
    "dig",
    "docker logs",
    "docker ps",
    "docker run --rm",
    "etcdctl get",
    "head",
    "ls",
    "redis-cli",
    "registrator check",
    "registrator config",
    "registrator containers",
    "registrator doctor",
    "registrator explain",
    "registrator plan",
    "registrator registries",
    "registrator services",
    "registrator validate",
];

/// What containers are made of, with what makes each of them what its name says.
const IMAGES: &[(&str, &[&str])] = &[
    ("busybox", &["CMD [\"sh\"]"]),
    ("nginx", &["EXPOSE 80", "CMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/\"]"]),
    ("redis", &["EXPOSE 6379", "CMD [\"httpd\", \"-f\", \"-p\", \"6379\", \"-h\", \"/\"]"]),
    ("example/shop:3", &["EXPOSE 80", "EXPOSE 81", "CMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/\"]"]),
];

/// The servers that a page may name: the line that starts each, and one that succeeds when it serves.
const SERVERS: &[(&str, &str, &str)] = &[
    (
        "consul",
        "exec consul agent -dev -bind 127.0.0.1 -node web1 -log-level err",
        "curl -s 127.0.0.1:8500/v1/catalog/node/web1 | grep -q serfHealth || curl -s 127.0.0.1:8500/v1/health/node/web1 | grep -q serfHealth",
    ),
    ("etcd", "exec etcd --data-dir data --enable-v2=false --log-level error", "ETCDCTL_API=3 etcdctl endpoint health"),
    (
        "etcd-v2",
        "exec etcd --data-dir data --enable-v2=true --log-level error",
        "ETCDCTL_API=3 etcdctl endpoint health",
    ),
    ("redis", "exec redis-server --save ''", "redis-cli ping"),
    (
        "zookeeper",
        "printf 'tickTime=500\\ndataDir=zookeeper\\nclientPort=2181\\nadmin.enableServer=false\\n' >zoo.cfg; exec zookeeper zoo.cfg",
        // One that has just begun to listen may never answer the first connection.
        "timeout 2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/2181 && echo srvr >&3 && grep -q Mode <&3'",
    ),
];

/// A machine with what a page has made of it.
struct Walk {
    machine: Machine,
    /// What the page started last in its first terminal.
    first: Option<Running>,
    /// What goes on beside it.
    beside: Vec<Running>,
    /// What the last block printed.
    printed: Option<(String, Said)>,
    /// What was not as the page says.
    faults: Vec<String>,
    /// Doubles that the machine reaches.
    _webhook: Option<Webhook>,
    _discoverd: Option<Discoverd>,
    _eureka: Option<Eureka>,
}

/// Runs what a page marks as run.
///
/// # Panics
/// When something is not as the page says; the message names the lines.
pub(crate) async fn page(page: &Page) {
    let mut walk: Option<Walk> = None;
    let mut faults = Vec::new();
    let mut servers = String::new();
    let mut before: Vec<String> = Vec::new();
    for item in &page.items {
        match item {
            Item::Mark(_, mark) if mark.name == "machine" => {
                faults.extend(walk.take().into_iter().flat_map(|walk| walk.faults));
                servers.clone_from(&mark.value);
                before.clear();
            }
            Item::Mark(_, mark) if mark.name == "before" => before.push(mark.value.clone()),
            Item::Mark(line, mark) => {
                let known = ["tested", "not run"].contains(&mark.name.as_str()) || mark.value.is_empty();
                assert!(known, "{}:{line}: no block follows the mark {}", page.path, mark.name);
            }
            Item::Block(block) => {
                let place = format!("{}:{}", page.path, block.line);
                let runs = ["run", "prints", "logs", "file"].iter().any(|name| block.mark(name).is_some());
                if !runs {
                    continue;
                }
                let walk = match &mut walk {
                    Some(walk) => walk,
                    none => none.insert(Walk::start(&servers).await),
                };
                for line in before.drain(..) {
                    walk.prepare(&place, &line);
                }
                walk.block(&place, block).await;
            }
        }
    }
    let told = walk.as_ref().map(Walk::told).unwrap_or_default();
    faults.extend(walk.into_iter().flat_map(|walk| walk.faults));
    assert!(faults.is_empty(), "{}\n{told}", faults.join("\n"));
}

impl Walk {
    async fn start(servers: &str) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_registrator"));
        let machine = Machine::start(&[("registrator", program), ("confd", program)]).await;
        for (name, changes) in IMAGES {
            machine.image(name, changes);
        }
        let mut walk = Self {
            machine,
            first: None,
            beside: Vec::new(),
            printed: None,
            faults: Vec::new(),
            _webhook: None,
            _discoverd: None,
            _eureka: None,
        };
        let (cli, libraries) = Redis::tools();
        let line = format!(
            "printf '#!/bin/sh\\nLD_LIBRARY_PATH={} exec {} \"$@\"\\n' >../bin/redis-cli; chmod +x ../bin/redis-cli",
            libraries.display(),
            cli.display()
        );
        walk.prepare("redis-cli", &line);
        for name in servers.split_whitespace() {
            walk.serve(name, program).await;
        }
        walk
    }

    async fn serve(&mut self, name: &str, program: &Path) {
        match name {
            "webhook" => {
                let server = Webhook::start().await;
                self.machine.forward(([127, 0, 0, 1], 8888).into(), server.address());
                self._webhook = Some(server);
            }
            "eureka" => {
                let server = Eureka::start().await;
                self.machine.forward(([127, 0, 0, 1], 8761).into(), server.address());
                self._eureka = Some(server);
            }
            "discoverd" => {
                let server = Discoverd::ticking().await;
                self.prepare(name, "ip address add 10.0.0.2/32 dev lo");
                self.machine.forward(([10, 0, 0, 2], 1111).into(), server.address());
                self._discoverd = Some(server);
            }
            "image" => self.machine.image_of("registrator", program),
            name => {
                let known = SERVERS.iter().find(|(known, ..)| *known == name);
                let (_, line, serves) = known.unwrap_or_else(|| panic!("there is no server {name}"));
                self.beside.push(self.machine.spawn(line));
                self.machine.until(serves).await;
            }
        }
    }

    /// Runs a line that readers do not see.
    fn prepare(&mut self, place: &str, line: &str) {
        if line.ends_with('&') {
            self.beside.push(self.machine.spawn(line.trim_end_matches('&')));
            return;
        }
        let said = self.machine.run(line);
        assert!(said.status.success(), "{place}: {line}: {}", said.text);
    }

    async fn block(&mut self, place: &str, block: &Block) {
        if let Some(path) = block.mark("file") {
            self.machine.write(path, &block.text);
        } else if block.mark("logs").is_some() {
            self.logs(place, &block.text).await;
        } else if block.mark("prints").is_some() {
            let (command, said) = self.printed.take().unwrap_or_else(|| panic!("{place}: nothing ran before"));
            self.compare(place, &command, said, &block.text).await;
        } else if let Some(how) = block.mark("run") {
            self.run(place, block, how).await;
        }
    }

    async fn run(&mut self, place: &str, block: &Block, how: &str) {
        if how == "stays" {
            if let Some(mut running) = self.first.take() {
                self.machine.end(&mut running).await;
            }
            self.first = Some(self.machine.spawn(&block.text));
            return;
        }
        let exit: i32 = match how.strip_prefix("exits ") {
            Some(code) => code.parse().unwrap_or_else(|_| panic!("{place}: {how}")),
            None if how.is_empty() => 0,
            None => panic!("{place}: a block is run, run: stays, or run: exits CODE; not {how:?}"),
        };
        let steps = steps(&block.text);
        let last = steps.len().saturating_sub(1);
        for (number, (command, prints)) in steps.into_iter().enumerate() {
            let wanted = if number == last { exit } else { 0 };
            if let Some(line) = command.trim_end().strip_suffix('&') {
                self.beside.push(self.machine.spawn(line));
                continue;
            }
            let said = self.machine.run(&command);
            let said =
                if said.status.code() == Some(wanted) { said } else { self.again(place, &command, said, wanted).await };
            match prints {
                Some(prints) => self.compare(place, &command, said, &prints).await,
                None => self.printed = Some((command, said)),
            }
        }
    }

    /// Runs a command that asks until it ends as it should.
    async fn again(&mut self, place: &str, command: &str, mut said: Said, wanted: i32) -> Said {
        let end = soon();
        while said.status.code() != Some(wanted) {
            if !asks(command) || Instant::now() > end {
                self.faults.push(format!("{place}: {command}\nends with {}:\n{}", said.status, said.text));
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            said = self.machine.run(command);
        }
        said
    }

    async fn compare(&mut self, place: &str, command: &str, mut said: Said, expected: &str) {
        let end = soon();
        while !compare::equal(expected, &said.text) {
            if !asks(command) || Instant::now() > end {
                let text = &said.text;
                self.faults.push(format!("{place}: {command}\nshould print\n{expected}\nand prints\n{text}"));
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            said = self.machine.run(command);
        }
    }

    async fn logs(&mut self, place: &str, expected: &str) {
        let end = soon();
        loop {
            let log = self.first.as_ref().or(self.beside.last()).map(Running::log).unwrap_or_default();
            if compare::within(expected, &log) {
                return;
            }
            if Instant::now() > end {
                self.faults.push(format!("{place}: the log should have\n{expected}\nand is\n{log}"));
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the programs that go on have said, for a message.
    fn told(&self) -> String {
        let logs = self.first.iter().chain(&self.beside).map(Running::log).collect::<Vec<_>>();
        format!("--- logs\n{}", logs.join("---\n"))
    }
}

/// The commands of a block, each with what it prints, if the block says so by `$ ` before each command. Without, all of it
/// is one script.
fn steps(text: &str) -> Vec<(String, Option<String>)> {
    if !text.starts_with("$ ") {
        return vec![(text.to_owned(), None)];
    }
    let mut steps: Vec<(String, Option<String>)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push((command.to_owned(), None)),
            (None, Some((command, None))) if command.ends_with('\\') => *command += &format!("\n{line}"),
            (None, Some((_, prints))) => *prints.get_or_insert_default() += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    steps
}

/// Whether a script asks only, so that it may be run again.
fn asks(script: &str) -> bool {
    let lines = script.replace("\\\n", " ");
    let mut lines = lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.all(|line| ASKING.iter().any(|name| line == *name || line.starts_with(&format!("{name} "))))
}

#[test]
fn a_block_with_prompts_is_a_step_for_each_and_one_without_is_a_script() {
    let step = |command: &str, prints: Option<&str>| (command.to_owned(), prints.map(str::to_owned));
    assert_eq!(steps("a\nb\n"), [step("a\nb\n", None)]);
    assert_eq!(
        steps("$ a \\\n  b\nc\nd\n$ e\n$ f\ng\n"),
        [step("a \\\n  b", Some("c\nd\n")), step("e", None), step("f", Some("g\n"))]
    );
}
