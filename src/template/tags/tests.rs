//! What `-tags` promises: Go's templates, the documented functions, and that no container can do harm.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use litemap::LiteMap;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::container::{Health, Moment, NetworkMode, State};

/// An excerpt of Docker 20.10's inspect result.
fn inspect() -> Json {
    json!({
        "Id": "e20f9c1a76565d62ae24a3bb877b17b862b6eab94f4e95a0e07ccf25087aaf4f",
        "Created": "2015-08-30T19:18:12.123456000Z",
        "Args": ["-g", "daemon off;"],
        "State": {"Status": "running", "Running": true, "Pid": 4711, "ExitCode": 0, "StartedAt": "2015-08-30T19:18:13Z"},
        "Image": "sha256:9f86d081884c7d65",
        "Name": "/nginx.0",
        "RestartCount": 2,
        "HostConfig": {
            "NetworkMode": "default", "CpuShares": 512, "Dns": ["10.0.0.53"], "Binds": null,
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8000"}]},
        },
        "Config": {
            "Hostname": "e20f9c1a7656",
            "Env": ["PATH=/bin", "REGION=us2", "NODE_ROLE=web", "PASSWORD=geheim", "NODE_ZONE=b"],
            "Image": "registry:5000/team/nginx:1.2",
            "Cmd": null,
            "Labels": {"com.example.team": "Blue", "list": "a,b", "template": "{{.ID}}", "empty": ""},
        },
        "NetworkSettings": {
            "IPAddress": "172.17.0.2",
            "Ports": {"443/tcp": null, "80/tcp": [{"HostIp": "10.1.1.1", "HostPort": "8000"}]},
            "Networks": {
                "bridge": {"IPAddress": "172.17.0.2", "Gateway": "172.17.0.1", "IPPrefixLen": 16},
                "front": {"IPAddress": "172.18.0.2", "Gateway": "172.18.0.1", "IPPrefixLen": 16},
            },
        },
    })
}

fn container(inspect: Option<Json>) -> Container {
    Container {
        id: "e20f9c1a7656".into(),
        name: "nginx.0".into(),
        image: "nginx".into(),
        hostname: "e20f9c1a7656".into(),
        env: [].into(),
        labels: LiteMap::new(),
        network_mode: NetworkMode::Network("default".to_owned()),
        networks: LiteMap::new(),
        ports: vec![],
        state: State::Running { paused: false, health: Health::None },
        created: Moment::default(),
        started: Moment::default(),
        stop: crate::container::Stop::default(),
        inspect: inspect.map(Arc::new),
    }
}

fn evaluate_on(tags: &str, inspect: Json) -> Result<Vec<String>, TagsError> {
    ForcedTags::parse(tags)?.evaluate(&container(Some(inspect)))
}

fn evaluate(tags: &str) -> Result<Vec<String>, TagsError> {
    evaluate_on(tags, inspect())
}

/// A template's result: one tag, or none.
fn text(tags: &str) -> String {
    match evaluate(tags) {
        Ok(tags) => tags.join("|"),
        Err(error) => panic!("{tags}: {error}"),
    }
}

fn failure(tags: &str) -> String {
    match evaluate(tags) {
        Ok(made) => panic!("{tags} made {made:?}"),
        Err(error) => error.to_string(),
    }
}

// Lists.

#[test]
fn tags_without_an_action_are_a_list() {
    let tags = ForcedTags::parse(r"a,,b\,c,} }").unwrap();
    assert_eq!(tags.evaluate(&container(None)).unwrap(), ["a", "b,c", "} }"]);
    assert!(!tags.needs_inspect() && !tags.may_block());
    assert_eq!(ForcedTags::parse("").unwrap().evaluate(&container(None)).unwrap(), [""; 0]);
}

#[test]
fn what_a_template_writes_is_split_as_tags() {
    assert_eq!(
        evaluate(r"x,{{.Config.Hostname}},,{{.Config.Labels.list}},{{.Config.Labels.empty}},a\,b").unwrap(),
        ["x", "e20f9c1a7656", "a", "b", "a,b"]
    );
}

#[test]
fn a_template_says_what_it_needs() {
    let plain = ForcedTags::parse("{{.ID}}").unwrap();
    assert!(plain.needs_inspect() && !plain.may_block());
    let fetching = ForcedTags::parse(r#"{{httpGet "http://127.0.0.1/"}}"#).unwrap();
    assert!(fetching.needs_inspect() && fetching.may_block());
    assert_eq!(plain.evaluate(&container(None)), Err(TagsError::NoInspect));
}

#[test]
fn forced_tags_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&ForcedTags::parse("{{.ID}}").unwrap());
}

// The data.

#[test]
fn fields_have_gos_names() {
    for (template, expected) in [
        ("{{.ID}}", "e20f9c1a76565d62ae24a3bb877b17b862b6eab94f4e95a0e07ccf25087aaf4f"),
        ("{{.Id}}", "e20f9c1a76565d62ae24a3bb877b17b862b6eab94f4e95a0e07ccf25087aaf4f"),
        ("{{.Name}}", "/nginx.0"),
        ("{{.Image}}", "sha256:9f86d081884c7d65"),
        ("{{.Created}}", "2015-08-30 19:18:12.123456 +0000 UTC"),
        ("{{.RestartCount}}", "2"),
        ("{{.Config.Image}}", "registry:5000/team/nginx:1.2"),
        ("{{.Config.Hostname}}", "e20f9c1a7656"),
        ("{{.Config.Env}}", "[PATH=/bin REGION=us2 NODE_ROLE=web PASSWORD=geheim NODE_ZONE=b]"),
        ("{{.Config.Labels.empty}}", ""),
        ("{{index .Config.Labels \"com.example.team\"}}", "Blue"),
        ("{{.HostConfig.NetworkMode}}", "default"),
        ("{{.HostConfig.CPUShares}} {{.HostConfig.CpuShares}}", "512 512"),
        ("{{.HostConfig.DNS}}", "[10.0.0.53]"),
        ("{{.NetworkSettings.IPAddress}}", "172.17.0.2"),
        ("{{.NetworkSettings.Networks.front.IPAddress}}", "172.18.0.2"),
        ("{{(index .NetworkSettings.Networks \"front\").IPPrefixLen}}", "16"),
        ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostIP}}", "10.1.1.1"),
        ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostIp}}", "10.1.1.1"),
        ("{{.State.Status}} {{.State.Running}} {{.State.Pid}}", "running true 4711"),
        ("{{.State.StartedAt}}", "2015-08-30 19:18:13 +0000 UTC"),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
}

#[test]
fn a_field_that_the_engine_leaves_out_has_its_zero_value() {
    for (template, expected) in [
        ("{{.Config.Domainname}}{{.Driver}}{{.State.Health.Status}}", ""),
        ("{{.Config.Cmd}} {{.HostConfig.Binds}} {{.Config.Volumes}}", "[] [] map[]"),
        ("{{.State.Paused}} {{.State.ExitCode}}", "false 0"),
        ("{{.State.FinishedAt}}", "0001-01-01 00:00:00 +0000 UTC"),
        ("{{len .Config.Cmd}}", "0"),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
    let bare = |template: &str| evaluate_on(template, json!({})).unwrap().join("|");
    assert_eq!(bare("{{.Config.Hostname}}x{{range .Config.Env}}y{{end}}{{index .Config.Labels \"a\"}}"), "x");
    assert_eq!(evaluate_on("{{.Config.Labels.a.b}}", json!({"Config": null})).unwrap(), ["<no value>"]);
}

#[test]
fn a_field_that_no_struct_has_is_an_error() {
    assert_eq!(failure("x{{.Config.Hostnam}}"), "-tags failed: line 1, column 4: no field `Hostnam`");
    for template in ["{{.Nope}}", "{{.State.Nope}}", "{{.NetworkSettings.Nope}}", "{{.HostConfig.Nope}}", "{{.Name.X}}"]
    {
        failure(template);
    }
}

#[test]
fn a_key_that_a_map_does_not_have_is_what_it_is_in_go() {
    for (template, expected) in [
        ("{{.Config.Labels.missing}}", "<no value>"),
        ("{{.Config.Labels.missing.deeper}}", "<no value>"),
        ("[{{index .Config.Labels \"missing\"}}]", "[]"),
        ("{{if index .Config.Labels \"missing\"}}yes{{else}}no{{end}}", "no"),
        ("{{if .Config.Labels.missing}}yes{{else}}no{{end}}", "no"),
        ("{{with .Config.Labels.missing}}yes{{else}}no{{end}}", "no"),
        ("[{{mIndex \"missing\" .Config.Labels}}]", "[]"),
        ("[{{(index .NetworkSettings.Networks \"missing\").IPAddress}}]", "[]"),
        ("{{(index .NetworkSettings.Networks \"missing\").IPPrefixLen}}", "0"),
        ("[{{index .Config.Volumes \"missing\"}}]", "[]"),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
    assert!(failure("{{toUpper .Config.Labels.missing}}").ends_with("a text was expected, and there is no value"));
}

#[test]
fn the_address_is_filled_in_where_a_newer_engine_leaves_it_out() {
    let with = |settings: Json| {
        let inspect = json!({"NetworkSettings": settings});
        evaluate_on("{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}", inspect).unwrap().join("|")
    };
    let front = json!({"IPAddress": "172.18.0.2", "Gateway": "172.18.0.1"});
    let bridge = json!({"IPAddress": "172.17.0.2", "Gateway": "172.17.0.1"});
    let detached = json!({"IPAddress": "", "Gateway": ""});
    assert_eq!(with(json!({"Networks": {"a": front, "bridge": bridge}})), "172.17.0.2 172.17.0.1");
    assert_eq!(with(json!({"Networks": {"bridge": detached, "front": front}})), "172.18.0.2 172.18.0.1");
    assert_eq!(with(json!({"IPAddress": "", "Networks": {"front": front}})), " 172.18.0.1");
    assert_eq!(with(json!({"IPAddress": "10.0.0.1", "Gateway": "g", "Networks": {"bridge": bridge}})), "10.0.0.1 g");
    assert_eq!(with(json!({"Networks": {}})), " ");
    assert_eq!(with(json!({"Networks": null})), " ");
    assert_eq!(with(json!(null)), " ");
}

#[test]
fn times_are_printed_as_go_prints_them() {
    for (json, expected) in [
        ("2015-08-30T19:18:12Z", "2015-08-30 19:18:12 +0000 UTC"),
        ("2015-08-30T19:18:12.500Z", "2015-08-30 19:18:12.5 +0000 UTC"),
        ("2015-08-30T19:18:12.000000001Z", "2015-08-30 19:18:12.000000001 +0000 UTC"),
        ("2015-08-30T19:18:12.5+02:00", "2015-08-30 19:18:12.5 +0200 +0200"),
        ("never", "never"),
    ] {
        assert_eq!(evaluate_on("{{.Created}}", json!({"Created": json})).unwrap(), [expected]);
    }
}

#[test]
fn a_value_of_a_container_is_never_read_as_a_template() {
    assert_eq!(text("{{.Config.Labels.template}}"), "{{.ID}}");
}

// The language.

#[test]
fn gos_actions_work() {
    for (template, expected) in [
        ("{{/* a comment */}}x", "x"),
        ("{{if eq .HostConfig.NetworkMode \"host\"}}host{{else if true}}other{{end}}", "other"),
        ("{{range $i, $e := .Config.Env}}{{if $i}};{{end}}{{$i}}{{end}}", "0;1;2;3;4"),
        (
            "{{range $name, $n := .NetworkSettings.Networks}}{{$name}}={{$n.IPAddress}};{{end}}",
            "bridge=172.17.0.2;front=172.18.0.2;",
        ),
        ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
        ("{{range $port, $b := .NetworkSettings.Ports}}{{$port}}{{if not $b}}!{{end}} {{end}}", "443/tcp! 80/tcp "),
        ("{{with .Config}}{{.Hostname}}{{$.Name}}{{end}}", "e20f9c1a7656/nginx.0"),
        ("{{$x := .Name}}{{$x}}", "/nginx.0"),
        ("a {{- .Name -}} b", "a/nginx.0b"),
        ("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Name}}", "</nginx.0>"),
        ("{{printf \"%s-%d-%q\" .Name 7 \"x\"}}", "/nginx.0-7-\"x\""),
        ("{{.Name | printf \"%s!\" | toUpper}}", "/NGINX.0!"),
        ("{{len .Config.Env}} {{and 1 0}} {{or 0 \"x\"}} {{not true}}", "5 0 x false"),
        ("{{if and (gt 2 1) (ne 1 2) (le 1 1)}}ok{{end}}", "ok"),
        ("{{slice .ID 0 4}} {{index .Config.Env 1}}", "e20f REGION=us2"),
        ("{{html \"<\"}} {{urlquery \"a b\"}} {{js \"'\"}}", "&lt; a+b \\'"),
        ("{{print 1 2 \"x\"}} {{println 1}}", "1 2x 1\n"),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
}

// The functions, in the order of the contract.

#[test]
fn str_slice_cuts_a_text() {
    for (template, expected) in [
        ("{{strSlice .ID 0 12}}", "e20f9c1a7656"),
        ("{{strSlice \"hello\"}}", "hello"),
        ("{{.Name | strSlice}}", "/nginx.0"),
        ("{{strSlice \"hello\" 1}}", "ello"),
        ("{{strSlice \"hello\" 1 3}}", "el"),
        ("{{strSlice \"hello\" 0 5}}", "hello"),
        ("{{strSlice \"hello\" 5}}", ""),
        ("{{strSlice \"hello\" 2 2}}", ""),
        ("{{strSlice \"abc\" 0 12}}", "abc"),
        ("{{strSlice \"abc\" 7}}", "abc"),
        ("{{strSlice \"hello\" 3 1}}", "lo"),
        ("{{strSlice \"aéo\" 0 2}}", "a"),
        ("{{strSlice \"aéo\" 2}}", "o"),
        ("{{strSlice \"é\" 1 1}}", ""),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
    for template in
        ["{{strSlice \"a\" -1}}", "{{strSlice 1 2}}", "{{strSlice}}", "{{strSlice 1}}", "{{strSlice \"a\" \"b\"}}"]
    {
        failure(template);
    }
}

#[test]
fn s_index_picks_from_a_list() {
    for (template, expected) in [
        ("{{sIndex 0 .Config.Env}}", "PATH=/bin"),
        ("{{sIndex 1 .Config.Env}}", "REGION=us2"),
        ("{{sIndex -1 .Config.Env}}", "NODE_ZONE=b"),
        ("{{sIndex -5 .Config.Env}}", "PATH=/bin"),
        ("{{sIndex 99 .Config.Env}}", "NODE_ZONE=b"),
        ("{{sIndex -99 .Config.Env}}", "PATH=/bin"),
        ("{{sIndex -9223372036854775808 .Config.Env}}", "PATH=/bin"),
        ("[{{sIndex 0 .Config.Cmd}}]", "[]"),
        ("[{{sIndex -1 .Config.Cmd}}]", "[]"),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
    for template in ["{{sIndex \"0\" .Config.Env}}", "{{sIndex 0 .Name}}", "{{sIndex 0}}"] {
        failure(template);
    }
}

#[test]
fn m_index_picks_from_a_map() {
    assert_eq!(text("{{mIndex \"com.example.team\" .Config.Labels}}"), "Blue");
    assert_eq!(text("[{{mIndex \"nope\" .Config.Labels}}]"), "[]");
    for template in [
        "{{mIndex \"a\" .Config.Env}}",
        "{{mIndex 1 .Config.Labels}}",
        "{{mIndex \"bridge\" .NetworkSettings.Networks}}",
    ] {
        failure(template);
    }
}

#[test]
fn texts_change_case_and_are_replaced() {
    for (template, expected) in [
        ("{{toUpper \"Grün\"}}", "GRÜN"),
        ("{{toLower (mIndex \"com.example.team\" .Config.Labels)}}", "blue"),
        ("{{replace 1 \"a\" \"x\" \"banana\"}}", "bxnana"),
        ("{{replace 2 \"a\" \"x\" \"banana\"}}", "bxnxna"),
        ("{{replace -1 \"a\" \"x\" \"banana\"}}", "bxnxnx"),
        ("{{replace 0 \"a\" \"x\" \"banana\"}}", "banana"),
        ("{{replace -1 \"\" \"-\" \"ab\"}}", "-a-b-"),
        ("{{.Name | replace 1 \"/\" \"\"}}", "nginx.0"),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
    for template in
        ["{{toUpper 1}}", "{{toLower}}", "{{replace \"a\" \"b\" \"c\"}}", "{{replace \"1\" \"a\" \"b\" \"c\"}}"]
    {
        failure(template);
    }
}

#[test]
fn texts_are_joined_and_split() {
    for (template, expected) in [
        ("{{join \"-\" .Args}}", "-g-daemon off;"),
        ("[{{join \"-\" .Config.Cmd}}]", "[]"),
        ("{{split \"/\" \"a/b//c\"}}", "[a b  c]"),
        ("{{len (split \"/\" \"\")}}", "1"),
        ("{{split \"\" \"aé\"}}", "[a é]"),
        ("{{split \":\" .Config.Image | sIndex -1}}", "1.2"),
        ("{{splitIndex 0 \":\" .Config.Image}}", "registry"),
        ("{{splitIndex -1 \"/\" .Config.Image}}", "nginx:1.2"),
        ("{{splitIndex 99 \"/\" .Config.Image}}", "nginx:1.2"),
        ("{{splitIndex 1 \"=\" (sIndex 1 .Config.Env)}}", "us2"),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
    for template in
        ["{{join \",\" .Name}}", "{{split 1 \"a\"}}", "{{splitIndex 0 \"a\"}}", "{{join .Config.Env \",\"}}"]
    {
        failure(template);
    }
}

#[test]
fn elements_are_found_by_expression() {
    for (template, expected) in [
        ("{{matchFirstElement \"^NODE_\" .Config.Env}}", "NODE_ROLE=web"),
        ("[{{matchFirstElement \"^NOPE\" .Config.Env}}]", "[]"),
        ("{{matchAllElements \"^NODE_\" .Config.Env}}", "[NODE_ROLE=web NODE_ZONE=b]"),
        ("{{matchAllElements \"^NOPE\" .Config.Env}}", "[]"),
        ("{{range matchAllElements \"^NODE_\" .Config.Env}}{{splitIndex 1 \"=\" .}};{{end}}", "web;b;"),
        ("{{matchFirstElement `REGION=\\w+` .Config.Env | splitIndex -1 \"=\"}}", "us2"),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
    assert!(failure("{{matchFirstElement \"(\" .Config.Env}}").ends_with("the regular expression is not a valid one"));
    failure("{{matchAllElements \"a\" .Name}}");
}

#[test]
fn json_is_read_along_a_path() {
    let of = |path: &str| {
        let json = r#"{\"a\":{\"b\":\"x\",\"n\":5,\"f\":1.5,\"t\":true,\"z\":null,\"l\":[1,2]},\"\":\"e\"}"#;
        text(&format!("[{{{{jsonParse \"{json}\" \"{path}\"}}}}]"))
    };
    for (path, expected) in [
        ("a::b", "[x]"),
        ("a::n", "[5]"),
        ("a::f", "[1.5]"),
        ("a::t", "[true]"),
        ("a::z", "[]"),
        ("a::nope", "[]"),
        ("a::b::c", "[]"),
        ("nope", "[]"),
        ("", "[e]"),
    ] {
        assert_eq!(of(path), expected, "{path}");
    }
    assert_eq!(of("a::l"), "[[1|2]]");
    assert_eq!(text("[{{jsonParse \"not json\" \"a\"}}]"), "[]");
    failure("{{jsonParse 1 \"a\"}}");
}

#[test]
fn each_example_of_the_page_gives_what_the_page_says() {
    let page = include_str!("../../../docs/templates.md").replace("\\|", "\u{0}");
    let code = |cell: &str| Some(cell.trim().strip_prefix('`')?.strip_suffix('`')?.replace('\u{0}', "|"));
    let mut names = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        if let [calls, _, example, output] = cells[..]
            && let (Some(example), Some(output)) = (code(example), code(output))
        {
            assert_eq!(text(&example), output, "{example}");
            names.extend(calls.trim().split("`, `").map(|call| call.trim_matches('`').split(' ').next().unwrap()));
        }
    }
    names.sort_unstable();
    let mut functions: Vec<_> = functions::ALL.iter().map(|(name, _)| *name).collect();
    functions.sort_unstable();
    assert_eq!(names, functions);
}

// Requests.

/// A server that sends one of these answers per connection, and then stops.
fn server(answers: Vec<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut connection, _) = listener.accept().unwrap();
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    address
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

#[test]
fn http_get_gives_what_a_server_answers() {
    let address = server(vec![answer("200 OK", "", r#"{"zone":{"name":"b"}}"#)]);
    assert_eq!(text(&format!("{{{{jsonParse (httpGet \"http://{address}/x\") \"zone::name\"}}}}")), "b");
}

#[test]
fn http_get_follows_redirects() {
    let address = server(vec![answer("302 Found", "Location: /there\r\n", ""), answer("200 OK", "", "there")]);
    assert_eq!(text(&format!("{{{{httpGet \"http://{address}/here\"}}}}")), "there");
}

#[test]
fn http_get_is_empty_on_failure() {
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let missing = server(vec![answer("404 Not Found", "", "nothing here")]);
    let endless = server(vec![answer("200 OK", "", &"x".repeat(1_000_001))]);
    let circle = server(vec![answer("302 Found", "Location: /\r\n", ""); 20]);
    for url in [
        format!("http://{refused}/"),
        format!("http://{missing}/"),
        format!("http://{endless}/"),
        format!("http://{circle}/"),
        "not a url".to_owned(),
        "ftp://127.0.0.1/".to_owned(),
        String::new(),
    ] {
        assert_eq!(text(&format!("[{{{{httpGet \"{url}\"}}}}]")), "[]", "{url}");
    }
}

#[test]
fn http_get_waits_no_longer_than_it_may() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let begun = Instant::now();
    assert_eq!(fetch::get(&url, 100, Some(Duration::from_millis(100))), None);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn http_get_works_on_any_thread_of_a_runtime() {
    let address = server(vec![answer("200 OK", "", "a"), answer("200 OK", "", "b")]);
    let template = format!("{{{{httpGet \"http://{address}/\"}}}}");
    assert_eq!(text(&template), "a");
    assert_eq!(tokio::task::spawn_blocking(move || text(&template)).await.unwrap(), "b");
}

// Failures.

#[test]
fn a_template_that_does_not_parse_says_why() {
    for template in
        ["{{", "{{.ID", "{{end}}", "{{if}}", "{{nope .ID}}", "{{.ID | nope}}", "{{range .Config.Env}}", "{{\"a}}"]
    {
        let error = ForcedTags::parse(template).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("-tags is not a valid template: "), "{template}: {error}");
        assert!(!error.contains(char::is_control), "{template}: {error}");
    }
    let unknown = ForcedTags::parse("{{nope .ID}}").map(|_| ()).unwrap_err().to_string();
    assert!(unknown.contains("nope"), "{unknown}");
}

#[test]
fn a_failure_shows_no_secret_of_the_container() {
    for template in [
        "{{.Nope}}",
        "{{.Config.Nope}}",
        "{{index . \"Nope\"}}",
        "{{index .Config \"Nope\"}}",
        "{{index .Config.Env \"Nope\"}}",
        "{{index .Config.Env 99}}",
        "{{lt .Config.Env 1}}",
        "{{.Config.Env.Nope}}",
        "{{range $a, $b := 1}}{{end}}{{template \"nope\" .}}",
        "{{toUpper .Config.Env}}",
        "{{slice .Config.Env 0 99}}",
        "{{slice . 1}}",
        "{{call .}}",
        "{{len true}}",
        "{{printf .}}",
    ] {
        let error = failure(template);
        assert!(!error.contains("geheim") && !error.contains("PASSWORD"), "{template}: {error}");
        assert!(error.starts_with("-tags failed: ") && error.len() < 300, "{template}: {error}");
    }
}

#[test]
fn a_template_that_fails_on_one_container_works_on_the_next() {
    let tags = ForcedTags::parse("{{index .Args 0}}").unwrap();
    assert!(tags.evaluate(&container(Some(json!({"Args": []})))).is_err());
    assert_eq!(tags.evaluate(&container(Some(json!({"Args": ["a"]})))).unwrap(), ["a"]);
}

#[test]
fn what_an_evaluation_may_cost_is_bounded() {
    for template in [
        "{{define \"r\"}}{{template \"r\" .}}{{end}}{{template \"r\" .}}",
        "{{range 1000000000}}{{end}}",
        "{{$s := \"xxxxxxxxxx\"}}{{range 40}}{{$s = print $s $s}}{{end}}{{$s}}",
        "{{$s := \"xxxxxxxxxx\"}}{{range 16}}{{$s = print $s $s}}{{end}}{{replace -1 \"x\" $s $s}}",
        "{{$s := \"xxxxxxxxxx\"}}{{range 16}}{{$s = print $s $s}}{{end}}{{join $s (split \"\" $s)}}",
        "{{$s := \"xxxxxxxxxx\"}}{{range 16}}{{$s = print $s $s}}{{end}}{{range 9}}{{$s}}{{end}}",
    ] {
        failure(template);
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "(?s).{0,9}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = prop_oneof![
            "Id|Created|State|Config|NetworkSettings|Networks|Labels|Env|Health|HostIp|IPAddress|bridge",
            "(?s).{0,4}"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::hash_map(key, inner, 0..5).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_an_engine_sends_an_evaluation_ends_in_tags_or_one_line(inspect in any_json()) {
        for template in [
            "{{.}}",
            "{{.ID}},{{.Config.Hostname}},{{.Created}},{{.State.Health.Status}},{{.NetworkSettings.IPAddress}}",
            "{{range .Config.Env}}{{toUpper .}},{{end}}{{mIndex \"a\" .Config.Labels}}{{sIndex -1 .Config.Env}}",
            "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}},{{end}}",
            "{{index .Config.Labels \"a\"}}{{strSlice .Name 1 2}}{{jsonParse .Name \"a\"}}",
        ] {
            if let Err(error) = evaluate_on(template, inspect.clone()) {
                let line = error.to_string();
                prop_assert!(!line.contains(char::is_control) && line.chars().count() < 300, "{line:?}");
            }
        }
    }

    #[test]
    fn whatever_is_given_as_tags_is_parsed_or_refused_in_one_line(tags in "(?s)(\\{\\{|\\}\\}|[a-z.$:=\"'`|() \\\\u0é]|.){0,20}") {
        match ForcedTags::parse(&tags) {
            Ok(parsed) => {
                let _ = parsed.evaluate(&container(Some(inspect())));
            }
            Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
        }
    }

    #[test]
    fn a_slice_of_any_text_is_a_part_of_it(text in "\\PC{0,9}", start in 0_usize..12, end in 0_usize..12) {
        let inspect = json!({"Name": text});
        let made = evaluate_on(&format!("{{{{strSlice .Name {start} {end}}}}}"), inspect);
        prop_assert!(made.is_ok());
    }
}
