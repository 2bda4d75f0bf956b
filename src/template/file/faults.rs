//! What functions say when they fail, and what they give at their edges.

use super::tests::{data, failure, text};
use super::*;
use crate::template::{Health, Instance};

/// The reason, without the place.
#[track_caller]
fn reason(template: &str) -> String {
    let failure = failure(template, &data([("/a", "x")]));
    failure.split_once(">: ").unwrap_or_else(|| panic!("{failure}")).1.to_owned()
}

#[test]
fn functions_fail_in_gos_words() {
    for (template, expected) in [
        ("{{getv \"/x\"}}", "error calling getv: key does not exist: /x"),
        ("{{get \"/x\"}}", "error calling get: key does not exist: /x"),
        ("{{key \"x/y\"}}", "error calling key: key does not exist: /x/y"),
        ("{{gets \"[\"}}", "error calling gets: syntax error in pattern"),
        ("{{getvs \"[\"}}", "error calling getvs: syntax error in pattern"),
        (
            "{{json \"[1]\"}}",
            "error calling json: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            "{{json \"1\"}}",
            "error calling json: json: cannot unmarshal number into Go value of type map[string]interface {}",
        ),
        (
            "{{jsonArray \"{}\"}}",
            "error calling jsonArray: json: cannot unmarshal object into Go value of type []interface {}",
        ),
        ("{{json \"{\"}}", "error calling json: unexpected end of JSON input"),
        ("{{json \"\"}}", "error calling json: unexpected end of JSON input"),
        ("{{map \"a\"}}", "error calling map: invalid map call"),
        ("{{map 1 2}}", "error calling map: map keys must be strings"),
        ("{{parseBool \"x\"}}", "error calling parseBool: strconv.ParseBool: parsing \"x\": invalid syntax"),
        ("{{atoi \"x\"}}", "error calling atoi: strconv.Atoi: parsing \"x\": invalid syntax"),
        ("{{atoi \" 5\"}}", "error calling atoi: strconv.Atoi: parsing \" 5\": invalid syntax"),
        (
            "{{atoi \"9223372036854775808\"}}",
            "error calling atoi: strconv.Atoi: parsing \"9223372036854775808\": value out of range",
        ),
        ("{{add 1 \"2\"}}", "error calling add: wrong type for value; expected int; got string"),
        ("{{div 1 0}}", "error calling div: division by zero"),
        ("{{mod 1 0}}", "error calling mod: modulo by zero"),
        ("{{base64Decode \"a!\"}}", "error calling base64Decode: illegal base64 data at input byte 1"),
        ("{{base64Decode \"/w==\"}}", "error calling base64Decode: the decoded bytes are not UTF-8"),
        ("{{index (split \"a\" \":\") 1}}", "error calling index: index out of range: 1"),
        ("{{index (split \"a\" \":\") -1}}", "error calling index: index out of range: -1"),
        ("{{index (dict) 1}}", "error calling index: value has type int; should be string"),
        ("{{index (get \"/a\") 1}}", "error calling index: can't index item of type memkv.KVPair"),
        ("{{toUpper .x}}", "error calling toUpper: invalid value; expected string"),
        ("{{toUpper (get \"/a\")}}", "error calling toUpper: wrong type for value; expected string; got memkv.KVPair"),
        ("{{join \"a\" \",\"}}", "error calling join: wrong type for value; expected []string; got string"),
        ("{{lt 1 \"a\"}}", "error calling lt: incompatible types for comparison"),
        ("{{len 1}}", "error calling len: len of type int"),
        ("{{regexMatch \"(\" \"a\"}}", "error calling regexMatch: error parsing regexp: \"(\""),
        (
            "{{service \"web|well\"}}",
            "error calling service: \"well\" is no state of health: passing, warning, critical or any",
        ),
        ("{{toTOML 1}}", "error calling toTOML: wrong type for value; expected map[string]interface {}; got int"),
        ("{{mustEnv \"NO_SUCH_VARIABLE\"}}", "error calling mustEnv: environment variable NO_SUCH_VARIABLE is not set"),
        ("{{split \"a\"}}", "wrong number of args for split: want 2 got 1"),
        ("{{add 1 2 3}}", "wrong number of args for add: want 2 got 3"),
        ("{{datetime.Format}}", "wrong number of args for Format: want 1 got 0"),
        ("{{datetime.Unix 1}}", "wrong number of args for Unix: want 0 got 1"),
        ("{{scratch.Set \"a\"}}", "wrong number of args for Set: want 2 got 1"),
        ("{{datetime.Format 1}}", "error calling Format: wrong type for value; expected string; got int"),
        ("{{datetime.Nope \"a\"}}", "Nope is not a method of this value"),
        ("{{(get \"/a\").Key \"a\"}}", "Key has arguments but cannot be invoked as function"),
        ("{{(getv \"/a\").Key}}", "can't evaluate field Key in a value that has no fields"),
        ("{{range \"text\"}}{{end}}", "range can't iterate over this value"),
        ("{{template \"none\"}}", "template \"none\" not defined"),
    ] {
        assert_eq!(reason(template), expected, "{template}");
    }
}

#[test]
fn a_failure_quotes_no_value_of_the_store() {
    let data = data([("/secret", "geheim"), ("/json", r#"{"password":"geheim"}"#)]);
    for template in [
        "{{(json (getv \"/json\")).x.y.z 1}}",
        "{{(get \"/secret\").Nope}}",
        "{{range getv \"/secret\"}}{{end}}",
        "{{lt (getv \"/secret\") 1}}",
        "{{len (get \"/secret\")}}",
        "{{index (json (getv \"/json\")) 1}}",
        "{{slice (getv \"/secret\") 99}}",
        "{{slice (gets \"/*\") 99}}",
        "{{printf (get \"/secret\")}}{{add (getv \"/secret\") 1}}",
        "{{json (getv \"/secret\")}}",
        "{{template \"x\" (getv \"/secret\")}}",
        "{{call (getv \"/secret\")}}",
    ] {
        let Err(error) = super::tests::render_with(template, &data) else { continue };
        let line = error.to_string();
        assert!(!line.contains("geheim") && !line.contains(char::is_control), "{template}: {line}");
    }
}

#[test]
fn a_tree_that_is_no_tree_does_not_explode() {
    let data = data([("/t/a/b", "1"), ("/t/a/c/d", "2"), ("/t/e", ""), ("/both/x", "1"), ("/both/x/y", "2")]);
    assert_eq!(text("{{tree \"t\" | explode | toJson}}", &data), r#"{"a":{"b":"1","c":{"d":"2"}},"e":""}"#);
    assert!(failure("{{tree \"both\" | explode}}", &data).ends_with("a part of x/y is both a key and a folder"));
    let deep = "/a".repeat(100_000);
    let data = super::tests::data([(deep.as_str(), "1")]);
    assert!(failure("{{tree \"\" | explode}}", &data).ends_with("a key has more than 100 parts"));
}

#[test]
fn a_value_is_never_read_as_a_template() {
    let data = data([("/a", "{{getv \"/b\"}}"), ("/b", "{{")]);
    assert_eq!(
        text("{{getv \"/a\"}} {{printf \"%s\" (getv \"/a\")}} {{range gets \"/*\"}}{{.Value}}{{end}}", &data),
        "{{getv \"/b\"}} {{getv \"/b\"}} {{getv \"/b\"}}{{"
    );
}

#[test]
fn functions_give_what_gos_give_at_their_edges() {
    let data = data([("/a", "x")]);
    for (template, expected) in [
        (
            "[{{base \"\"}}] [{{base \"/\"}}] [{{base \"a//\"}}] [{{dir \"\"}}] [{{dir \"a//b/../c\"}}]",
            "[.] [/] [a] [.] [a]",
        ),
        (
            "{{len (split \"\" \",\")}} {{len (split \"\" \"\")}} {{split \"aé\" \"\"}} {{split \"a\" \",\"}}",
            "1 0 [a é] [a]",
        ),
        ("{{splitN \"abc\" \"\" 2}} {{splitN \"a:b\" \":\" 0}} {{splitN \"a:b\" \":\" -1}}", "[a bc] [] [a b]"),
        ("{{replace \"ab\" \"\" \"-\" -1}} {{replace \"aaa\" \"a\" \"b\" 0}}", "-a-b- aaa"),
        ("{{toUpper \"straße\"}} {{toLower \"ÄÖ\"}}", "STRAßE äö"),
        ("{{json \"null\"}} {{jsonArray \"null\"}} {{(json \"{}\").x}}", "map[] [] <no value>"),
        (
            "{{$j := json \"{\\\"a\\\":8080,\\\"b\\\":1000000,\\\"c\\\":1.5,\\\"d\\\":12345678901}\"}}{{$j.a}} {{$j.b}} {{$j.c}} {{$j.d}}",
            "8080 1000000 1.5 12345678901",
        ),
        (
            "{{$j := json \"{\\\"a\\\":null,\\\"b\\\":[null]}\"}}{{$j.a}} {{$j.b}} {{if $j.a}}a{{end}}{{default 1 $j.a}}",
            "<no value> [<nil>] 1",
        ),
        ("{{seq 3 1}} {{seq 2 2}} {{seq -1 1}}", "[] [2] [-1 0 1]"),
        ("{{div -7 2}} {{mod -7 2}} {{mod 7 -2}} {{div 7 -2}}", "-3 -1 1 -3"),
        ("{{add 9223372036854775807 1}} {{div -9223372036854775808 -1}}", "-9223372036854775808 -9223372036854775808"),
        ("{{atoi \"+5\"}} {{atoi \"-5\"}} {{atoi \"007\"}}", "5 -5 7"),
        ("{{parseBool \"1\"}} {{parseBool \"F\"}} {{parseBool \"True\"}}", "true false true"),
        ("{{trimSuffix \"aa\" \"a\"}} {{trimPrefix \"aa\" \"b\"}} {{contains \"a\" \"\"}}", "a aa true"),
        ("{{base64Decode \"YQ==\\n\"}} {{base64Decode \"YR==\"}} [{{base64Encode \"\"}}]", "a a []"),
        ("{{index (dict \"a\" \"b\") \"c\"}}|{{index (dict \"a\" 1) \"c\"}}|{{index \"abc\" 1}}", "|<no value>|98"),
        ("{{sortByLength (list \"bb\" \"a\" \"aa\" \"\")}}", "[ a bb aa]"),
        ("{{reverse (list 1 2)}} {{first (list)}} {{last (list 1)}} {{empty (list)}}", "[2 1] <no value> 1 true"),
        ("{{closest (list \"a\" \"b\") \"c\"}}|{{closest (list \"ab\" \"bc\") \"abc\"}}", "|ab"),
        ("{{indent 2 \"a\\nb\"}}|{{nindent 1 \"a\\nb\"}}", "  a\n  b|\n a\n b"),
        (
            "{{snakecase \"HTTPServer2Go my-name\"}} {{kebabcase \"a_bC\"}} {{camelcase \"my-http Server\"}}",
            "http_server2_go_my_name a-b-c myHttpServer",
        ),
        ("{{regexReplaceAll \"a(x*)b\" \"-ab-axxb-\" \"${1}W\"}} {{regexFind \"x\" \"a\"}}", "-W-xxW- "),
        (
            "{{toJson (get \"/a\")}} {{toJson .x}} {{toJson (list 1.5 \"<&>\")}}",
            "{\"Key\":\"/a\",\"Value\":\"x\"} null [1.5,\"\\u003c\\u0026\\u003e\"]",
        ),
        ("{{toPrettyJson (dict \"a\" (list 1))}}", "{\n  \"a\": [\n    1\n  ]\n}"),
        ("{{toYAML (dict \"a\" (list 1 (dict \"b\" \"yes\")) \"c\" (dict))}}", "a:\n  - 1\n  -\n    b: \"yes\"\nc: {}"),
        ("{{toTOML (dict \"a\" 1 \"t\" (dict \"b\" \"x\"))}}", "a = 1\n\n[t]\nb = \"x\""),
        ("{{getenv \"NO_SUCH_VARIABLE\"}}|{{fileExists \"/nonexistent/x\"}}", "|false"),
        ("{{default \"d\" .x}} {{default \"d\" 0}} {{default \"d\" false}} {{coalesce .x \"\"}}", "d d d <no value>"),
        ("{{$t := datetime.UTC}}{{($t.Add 1000000000).After $t}} {{$t.Equal $t.Local}}", "true true"),
        ("{{len (datetime.UTC.Format \"2006-01-02\")}} {{\"06\" | datetime.Format | len}}", "10 2"),
        ("{{getv \"/a\" 1 | len}}", "1"),
    ] {
        if template.contains("getv \"/a\" 1") {
            // A default that is no text is refused, as in Go, even where it is not needed.
            assert!(failure(template, &data).ends_with("expected string; got int"));
            continue;
        }
        assert_eq!(text(template, &data), expected, "{template}");
    }
}

#[test]
fn what_runs_is_chosen_by_name_tag_and_health() {
    let instance = |id: &str, name: &str, tags: &[&str], health| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Arc::new(Instance { id: id.to_owned(), name: name.to_owned(), tags, health, ..Instance::default() })
    };
    let instances = vec![
        instance("2", "web", &["a"], Health::Warning),
        instance("1", "web", &["a", "b"], Health::Passing),
        instance("3", "web", &["b"], Health::Critical),
        instance("4", "a.web", &["c"], Health::Passing),
    ];
    let data = Arc::new(Data { instances, ..Data::default() });
    for (call, expected) in [
        ("service \"web\"", "1"),
        ("service \"web\" \"passing\"", "1"),
        ("service \"web\" \"any\"", "123"),
        ("service \"web\" \"passing,warning\"", "12"),
        ("service \"web|critical\"", "3"),
        ("service \"web\" \"a\" \"any\"", "12"),
        ("service \"web\" \"a\" \"b\" \"any\"", "1"),
        ("service \"b.web\" \"any\"", "13"),
        // A service that has a point in its name comes first.
        ("service \"a.web\" \"any\"", "4"),
        ("service \"c.a.web\"", "4"),
        ("service \"none\"", ""),
    ] {
        assert_eq!(text(&format!("{{{{range {call}}}}}{{{{.ID}}}}{{{{end}}}}"), &data), expected, "{call}");
    }
    assert_eq!(text("{{range services}}{{.Name}}{{.Tags}} {{end}}", &data), "a.web[c] web[a b] ");
    let printed = "[{1 web  0 [a b] map[] passing  }]";
    assert_eq!(text("{{service \"web\"}}", &data), printed);
}

#[test]
fn the_dot_may_be_a_service_or_an_instance() {
    let instance = Arc::new(Instance {
        id: "1".to_owned(),
        name: "web".to_owned(),
        attrs: [("zone".to_owned(), "b".to_owned())].into(),
        ..Instance::default()
    });
    let template = |text| FileTemplate::parse("t", text, Path::new("/")).unwrap();
    let data = Arc::default();
    let service = Dot::Service { name: "web".to_owned(), instances: vec![Arc::clone(&instance)] };
    let rendered = template("{{.Name}}:{{range .Instances}}{{.ID}}{{.Attrs.zone}}{{end}}").render(&data, &service);
    assert_eq!(rendered.unwrap(), "web:1b");
    let rendered = template("{{.ID}} {{.Name}} {{.Health}} {{$.Attrs.none}}").render(&data, &Dot::Instance(instance));
    assert_eq!(rendered.unwrap(), "1 web passing <no value>");
}
