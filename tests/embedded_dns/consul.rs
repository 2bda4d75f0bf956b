//! The same services in a real Consul 1.8 and in ours, the same questions to both, the answers compared
//! field by field: the code, the flags, the question with its case, whether EDNS came back, and each
//! section as a set of whole records. Where they differ, the difference is listed with its reason.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::OpCode;
use hickory_proto::rr::{DNSClass, RecordType};
use serde_json::json;
use testkit::consul::{Consul, Options};

use crate::client::{Question, Reply};
use crate::fixture::{Fixture, Running, serve, settings};

use RecordType::{A, AAAA, ANY, AXFR, CNAME, MX, NS, PTR, SOA, SRV, TXT};

/// Services that are in both: name, address, port, tags, whether critical.
const SERVICES: &[(&str, &str, u16, &[&str], bool)] = &[
    ("web", "10.0.0.1", 8001, &["blue", "V1", "dotted.tag"], false),
    ("web", "10.0.0.2", 8002, &["green"], false),
    ("web", "10.0.0.3", 8003, &["green"], true),
    ("solo", "", 9000, &[], false),
    ("solo2", "127.0.0.1", 9000, &[], false),
    ("six", "fd00::10", 9001, &[], false),
    ("dual", "10.0.1.1", 9001, &[], false),
    ("dual", "fd00::11", 9001, &[], false),
    ("away", "www.example.com", 80, &[], false),
    ("alias", "web.service.consul", 80, &["near"], false),
    ("alias-of-one", "solo2.service.consul", 80, &[], false),
    ("alias-of-alias", "alias-of-one.service.consul", 80, &[], false),
    ("alias-of-dead", "dead.service.consul", 80, &[], false),
    ("mixed", "b.example.com", 81, &[], false),
    ("mixed", "10.4.4.4", 81, &[], false),
    ("loop", "loop.service.consul", 81, &[], false),
    ("ping", "pong.service.consul", 81, &[], false),
    ("pong", "ping.service.consul", 81, &[], false),
    ("dead", "10.0.2.1", 80, &["blue"], true),
    ("MiXed-Case", "10.0.3.2", 1, &["UPPER"], false),
    ("under_score", "10.0.3.4", 1, &[], false),
    ("shared", "10.1.1.1", 7001, &[], false),
    ("shared", "10.1.1.1", 7002, &[], false),
    ("with-tcp", "10.5.0.1", 53, &["tcp"], false),
    ("with-tcp", "10.5.0.2", 53, &["udp"], false),
];

/// Between two looks at whether Consul is ready.
const PAUSE: Duration = Duration::from_millis(50);

/// Two servers with the same content.
struct Pair {
    consul: Consul,
    ours: Running,
}

impl Pair {
    async fn start(many: u16) -> Self {
        let consul = Consul::with(Options { dns: true, ..Options::default() }).await;
        let mut fixture = Fixture::with_node(&consul.node(), &["127.0.0.1"], &meta(&consul).await);
        let many = (1..=many).map(|host| ("many", format!("10.1.0.{host}"), 7000 + host, &[][..], false));
        let services = SERVICES
            .iter()
            .map(|&(name, address, port, tags, critical)| (name, address.to_owned(), port, tags, critical));
        for (index, (name, address, port, tags, critical)) in services.chain(many).enumerate() {
            fixture.add(name, &address, port, tags).critical = critical;
            let mut body = json!({
                "ID": format!("{name}-{index}"), "Name": name, "Address": address, "Port": port, "Tags": tags,
            });
            if critical {
                body["Check"] = json!({"TTL": "1h", "Status": "critical"});
            }
            consul.put("/v1/agent/service/register", &body).await;
        }
        let ours = serve(settings(&consul.node()), fixture);
        wait_for_the_catalog(&consul).await;
        Self { consul, ours }
    }

    async fn ask(&self, question: &Question) -> (Reply, Reply) {
        (question.ask(self.consul.dns_address()).await, question.ask(self.ours.address).await)
    }

    fn node(&self) -> String {
        self.consul.node()
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [self.consul.dns_address(), self.ours.address]
    }
}

/// What Consul's catalog has of its node; it gets the texts a moment after the node.
async fn meta(consul: &Consul) -> Vec<(String, String)> {
    for _ in 0..600 {
        let node = consul.get(&format!("/v1/catalog/node/{}", consul.node())).await;
        if let Some(meta) = node["Node"]["Meta"].as_object().filter(|meta| meta.contains_key("rack")) {
            return meta.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect();
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("Consul's catalog does not know its node");
}

/// What is registered with the agent comes into the catalog a moment later.
async fn wait_for_the_catalog(consul: &Consul) {
    let agent = consul.services().await.len();
    let critical = SERVICES.iter().filter(|service| service.4).count();
    for _ in 0..600 {
        let node = consul.get(&format!("/v1/catalog/node/{}", consul.node())).await;
        let health = consul.get("/v1/health/state/critical").await;
        // The server itself is a service of its node.
        if node["Services"].as_object().is_some_and(|services| services.len() == agent + 1)
            && health.as_array().is_some_and(|checks| checks.len() == critical)
        {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("Consul's catalog does not take up what its agent has");
}

#[tokio::test]
async fn every_kind_of_question_is_answered_as_by_consul() {
    let pair = Pair::start(0).await;
    let node = pair.node();
    let node = node.as_str();
    let mut questions: Vec<Question> = Vec::new();
    let mut ask = |name: &str, kinds: &[RecordType]| {
        questions.extend(kinds.iter().map(|kind| Question::new(name, *kind)));
    };
    // Services, by name, tag, RFC 2782, with and without the datacenter, in any case.
    let service = [A, AAAA, SRV, ANY, MX, PTR, CNAME];
    for name in SERVICES.iter().map(|service| service.0) {
        // What is behind an alias of ours is a difference for these types: see below.
        let aliases = ["alias", "alias-of-one", "alias-of-alias", "alias-of-dead", "ping", "pong"].contains(&name);
        let kinds: Vec<_> =
            service.into_iter().filter(|kind| !(aliases && matches!(kind, AAAA | MX | PTR | CNAME))).collect();
        ask(&format!("{name}.service.consul"), &kinds);
        ask(&format!("{name}.service.dc1.consul"), &[A, SRV]);
        if !["loop", "ping", "pong"].contains(&name) {
            ask(&format!("{}.SERVICE.Consul", name.to_uppercase()), &[A]);
        }
        ask(&format!("_{name}._tcp.service.consul"), &[A, SRV]);
        ask(&format!("_{name}._tcp.consul"), &[SRV]);
        ask(&format!("_{name}._tcp.service.dc1.consul"), &[SRV]);
        ask(&format!("_{name}._tcp.dc1.consul"), &[SRV]);
    }
    for name in [
        "blue.web.service.consul",
        "BLUE.web.service.dc1.consul",
        "v1.web.service.consul",
        "dotted.tag.web.service.consul",
        "tag.web.service.consul",
        "red.web.service.consul",
        "a.blue.web.service.consul",
        "blue.dead.service.consul",
        "upper.mixed-case.service.consul",
        "near.alias.service.consul",
        "tcp.with-tcp.service.consul",
        "_web._blue.service.consul",
        "_web._red.service.consul",
        "_with-tcp._udp.service.consul",
        "_WITH-TCP._TCP.service.consul",
        "_web._udp.service.consul",
        "_nope._tcp.service.consul",
        "_web.service.consul",
        "_a._web._tcp.service.consul",
        "_web._tcp.service.dc9.consul",
        "web.service.dc9.consul",
        "nope.service.consul",
        "web.consul",
        "web.dc1.consul",
        "nope.consul",
        "web.service.service.consul",
        "a.b.c.d.e.consul",
        "ns.consul",
        "web.query.consul",
        "web.connect.consul",
    ] {
        ask(name, &[A, SRV, ANY]);
    }
    for name in ["_web._GREEN.consul", "_web._GREEN.dc1.consul", "_web._tcp.dc9.consul", "_nope._tcp.consul"] {
        ask(name, &[SRV]);
    }
    // Nodes.
    ask(&format!("{node}.node.consul"), &[A, TXT, ANY]);
    ask(&format!("{}.node.dc1.consul", node.to_uppercase()), &[A, TXT, ANY]);
    for name in [format!("{node}.node.dc9.consul"), format!("a.{node}.node.consul"), "nope.node.consul".to_owned()] {
        ask(&name, &[A, TXT, ANY]);
    }
    // Addresses that are spelled.
    for name in ["0a000001.addr.consul", "0a000001.addr.dc1.consul", "c0000201.addr.dc9.consul"] {
        ask(name, &[A, ANY]);
    }
    ask("fd000000000000000000000000000011.addr.consul", &[AAAA, ANY]);
    ask("x.0a000001.addr.consul", &[A]);
    ask("0a0000zz.addr.consul", &[A]);
    // The zone.
    ask("consul", &[SOA, NS]);
    ask("CONSUL", &[SOA, NS]);
    // Reverse names.
    for name in [
        "1.0.0.10.in-addr.arpa",
        "1.0.0.127.IN-ADDR.arpa",
        "1.1.1.10.in-addr.arpa",
        "1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
    ] {
        ask(name, &[PTR, ANY]);
    }
    // Everything else is somebody else's.
    for name in [".", "example.com", "consul.example.com", "xconsul", "web.service.consul.lan"] {
        ask(name, &[A, NS, SOA, ANY]);
    }
    let mut status = Question::new("web.service.consul", A);
    status.opcode = OpCode::Status;
    let mut update = status.clone();
    update.opcode = OpCode::Update;
    let mut iterative = Question::new("web.service.consul", A);
    iterative.recursion = false;
    let mut any_class = Question::new("solo.service.consul", A);
    any_class.class = DNSClass::ANY;
    let mut chaos = Question::new("version.bind", TXT);
    chaos.class = DNSClass::CH;
    questions.extend([status, update, iterative, any_class, chaos]);

    let mut wrong = Vec::new();
    let mut count = 0;
    for question in questions {
        let variants = match question.opcode {
            OpCode::Query => vec![question.clone(), question.clone().edns(4096), question.clone().tcp()],
            _ => vec![question],
        };
        for question in variants {
            let (mut theirs, ours) = pair.ask(&question).await;
            count += 1;
            if theirs.code == "Refused" {
                // Difference: EDNS that is asked for comes back with every answer (RFC 6891, 6.1.1).
                theirs.edns = ours.edns;
            }
            if theirs != ours {
                wrong.push(format!("{question}\n  Consul: {theirs:?}\n  ours:   {ours:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} answers differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Where ours is not Consul's answer: the question, ours, and why.
fn differences(node: &str) -> Vec<(Question, String, &'static str)> {
    const WRONG_TYPE: &str = "a record of another type than the one asked for makes the answer malformed for a resolver \
         in between, which then fails instead of finding out that there is none";
    const NO_SOA: &str = "without the SOA a resolver does not know how long to remember that there is none (RFC 2308)";
    const EXISTS: &str = "names exist below it, so it exists: NXDOMAIN would deny them all (RFC 8020), and a resolver \
         that asks label by label (RFC 9156) would stop here";
    const NOT_HERE: &str = "it is not the name of the zone";
    const SOA_LINE: &str = "consul. 0 SOA ns.consul. hostmaster.consul. 3600 600 86400 0";
    let none = format!("NoError aa rd |  | {SOA_LINE}");
    let denied = format!("NXDomain aa rd |  | {SOA_LINE}");
    let ns = format!("consul. 0 NS {node}.node.dc1.consul.");
    let glue = format!("{node}.node.dc1.consul. 0 A 127.0.0.1");
    let alias = "NoError aa rd | alias.service.consul. 0 CNAME web.service.consul.".to_owned();
    let at = |name: &str, kind| Question::new(name, kind);
    let mut list = vec![
        (at("web.service.consul", TXT), none.clone(), WRONG_TYPE),
        (at("alias.service.consul", AAAA), alias.clone(), WRONG_TYPE),
        (
            at("ping.service.consul", CNAME),
            "NoError aa rd | ping.service.consul. 0 CNAME pong.service.consul.".to_owned(),
            "who asks for the alias itself does not follow it (RFC 1034, 3.6.2)",
        ),
        (
            at("PING.service.consul", A),
            "NoError aa rd | PING.service.consul. 0 CNAME pong.service.consul., \
             pong.service.consul. 0 CNAME ping.service.consul."
                .to_owned(),
            "a name is the same name in any case, so the circle is closed",
        ),
        (
            at("LOOP.service.consul", A),
            "NoError aa rd | LOOP.service.consul. 0 A 127.0.0.1".to_owned(),
            "a name is the same name in any case, so this is an alias of itself",
        ),
        (at("0a000001.addr.consul", AAAA), none.clone(), WRONG_TYPE),
        (at("0a000001.addr.consul", TXT), none.clone(), WRONG_TYPE),
        (at("fd000000000000000000000000000011.addr.consul", A), none.clone(), WRONG_TYPE),
        (at("1.0.0.10.in-addr.arpa", A), "NoError aa rd".to_owned(), WRONG_TYPE),
        (at("web.service.consul", SOA), none.clone(), NOT_HERE),
        (at("web.service.consul", NS), none.clone(), NOT_HERE),
        (at("nope.service.consul", SOA), denied.clone(), NOT_HERE),
        (at(&format!("{node}.node.consul"), MX), none.clone(), NO_SOA),
        (at(&format!("{node}.node.consul"), SRV), none.clone(), NO_SOA),
        (at("zz.addr.consul", A), denied, "what spells no address is no name, whatever its length"),
        (at("consul", A), none.clone(), EXISTS),
        (at("consul", ANY), format!("NoError aa rd | {ns}, {SOA_LINE} |  | {glue}"), EXISTS),
        (at("service.consul", A), none.clone(), EXISTS),
        (at("node.consul", A), none.clone(), EXISTS),
        (at("addr.consul", A), none.clone(), EXISTS),
        (at("dc1.consul", A), none.clone(), EXISTS),
        (at("service.dc1.consul", A), none.clone(), EXISTS),
        (at("_tcp.service.consul", SRV), none, EXISTS),
        (
            at("_web._green.consul", A),
            "NoError aa rd | _web._green.consul. 0 A 10.0.0.2".to_owned(),
            "a name that exists for one type exists for all",
        ),
        (
            at("9.9.9.9.in-addr.arpa", PTR),
            "Refused rd".to_owned(),
            "SERVFAIL says that we are broken; REFUSED, as for every name outside the zone, that others are to be asked",
        ),
        (
            at("0A000001.ADDR.consul", A),
            "NoError aa rd | 0A000001.ADDR.consul. 0 A 10.0.0.1".to_owned(),
            "the case of the question comes back in the answer, as everywhere else",
        ),
    ];
    let mut chaos = at("web.service.consul", A);
    chaos.class = DNSClass::CH;
    list.push((chaos, "Refused rd".to_owned(), "a record of class IN does not answer a question of another class"));
    let mut notify = at("web.service.consul", A);
    notify.opcode = OpCode::Notify;
    list.push((notify, "NotImp rd".to_owned(), "a NOTIFY is no query"));
    let mut future = at("web.service.consul", A);
    future.edns = Some((1232, 1));
    list.push((
        future,
        "BADVERS rd".to_owned(),
        "a version of EDNS that is not known is said to be so (RFC 6891, 6.1.3)",
    ));
    list
}

#[tokio::test]
async fn every_difference_from_consul_is_known_and_has_a_reason() {
    let pair = Pair::start(0).await;
    for (question, expected, why) in differences(&pair.node()) {
        let (theirs, ours) = pair.ask(&question).await;
        assert_eq!(ours.summary(), expected, "{question} ({why})");
        assert_ne!(theirs, ours, "{question} is no difference any more");
    }
    // A node's absent addresses: the same texts, and the SOA besides.
    let (theirs, ours) = pair.ask(&Question::new(&format!("{}.node.consul", pair.node()), AAAA)).await;
    assert_eq!((theirs.authorities.len(), ours.authorities.len()), (0, 1));
    assert_eq!(Reply { authorities: theirs.authorities.clone(), ..ours }, theirs);
    // A zone is not handed over.
    let [consul, ours] = pair.addresses();
    let transfer = Question::new("consul", AXFR).tcp();
    assert_eq!((transfer.ask(consul).await.answers.len(), transfer.ask(ours).await.answers.len()), (0, 0));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_cut_as_by_consul() {
    let pair = Pair::start(60).await;
    let questions = |kind| {
        let question = Question::new("many.service.consul", kind);
        let sizes = [100, 512, 600, 1232, 4096].map(|size| question.clone().edns(size));
        [question.clone(), question.tcp()].into_iter().chain(sizes)
    };
    for question in questions(A) {
        let (theirs, ours) = pair.ask(&question).await;
        assert_eq!(theirs.answers.len(), ours.answers.len(), "{question}");
        assert_eq!(theirs.code, ours.code);
        // Difference: what the size cuts is said to be cut, which Consul does only with enable_truncate.
        let cut_by_size = question.edns.is_some_and(|(size, _)| size == 600);
        assert_eq!(ours.flags.contains("tc"), cut_by_size, "{question}");
    }
    for question in questions(SRV) {
        let (theirs, ours) = pair.ask(&question).await;
        // Difference: Consul gives the texts of a node once for each of its instances, and then leaves
        // them all out for want of room; once is enough, and then there is more room.
        let (few, lots) = (theirs.answers.len() * 2 / 3, theirs.answers.len() * 4 / 3);
        assert!((few..=lots).contains(&ours.answers.len()), "{question}\n{theirs:?}\n{ours:?}");
        for answer in &ours.answers {
            let target = answer.rsplit(' ').next().unwrap();
            assert!(
                ours.additionals.iter().any(|record| record.starts_with(target)),
                "{question}: no address of {target}"
            );
        }
    }
}

/// What `dig` prints, without what differs from one question to the next: ids, serial numbers, order.
fn dig(server: SocketAddr, question: &str) -> Vec<String> {
    let output = std::process::Command::new("dig")
        .args([format!("@{}", server.ip()), "-p".to_owned(), server.port().to_string()])
        .args(["+noall", "+comments", "+question", "+answer", "+authority", "+additional", "+tries=1", "+time=10"])
        .args(question.split(' '))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("HEADER"), "{question}: {text}");
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .map(|mut words| {
            if let Some(id) = words.iter().position(|word| *word == "id:") {
                words.truncate(id);
            }
            // Difference: the size in EDNS is what we take ourselves (RFC 6891, 6.2.3); Consul repeats the client's.
            // Difference: Consul gives the texts of a node once for each of its instances, and counts them all.
            if let Some(end) = words.iter().position(|word| ["udp:", "ADDITIONAL:"].contains(word)) {
                words.truncate(end);
            }
            // The name, the TTL, IN, SOA, two names: then the serial number.
            if words.get(3) == Some(&"SOA") {
                words[6] = "serial";
            }
            words.join(" ")
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_prints_the_same_of_both() {
    let pair = Pair::start(0).await;
    let [theirs, ours] = pair.addresses();
    let node = pair.node();
    for question in [
        "web.service.consul",
        "WEB.Service.dc1.consul A",
        "web.service.consul SRV",
        "web.service.consul SRV +tcp",
        "web.service.consul ANY +notcp",
        "web.service.consul A +noedns",
        "web.service.consul A +norecurse",
        "web.service.consul SRV +bufsize=512",
        "six.service.consul AAAA",
        "six.service.consul A",
        "away.service.consul A",
        "away.service.consul SRV",
        "blue.web.service.consul SRV",
        "_web._green.service.consul SRV",
        "_web._tcp.service.consul SRV",
        "dead.service.consul A",
        "nope.service.consul A",
        "-x 10.0.0.1",
        "-x fd00::10",
        "consul SOA",
        "consul NS",
        "0a000001.addr.consul A",
        &format!("{node}.node.consul A"),
        &format!("{node}.node.consul TXT"),
        &format!("{node}.node.dc1.consul ANY +notcp"),
    ] {
        assert_eq!(dig(ours, question), dig(theirs, question), "dig {question}");
    }
}
