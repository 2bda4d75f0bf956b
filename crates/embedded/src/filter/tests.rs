//! What an expression accepts; each row was asked of Consul 1.8.7, which answered the same.

use proptest::prelude::*;
use serde_json::json;

use super::fields::{CATALOG_SERVICE, HEALTH_SERVICE};
use super::*;

fn element() -> Value {
    json!({
        "ID": "bf846d4c", "Node": "host1", "TaggedAddresses": {"lan": "127.0.0.1"},
        "ServiceID": "h:web:80", "ServiceName": "web", "ServiceTags": ["a", "b"], "ServicePort": 80,
        "ServiceTaggedAddresses": {"lan_ipv4": {"Address": "10.0.0.1", "Port": 80}},
        "ServiceMeta": {"region": "us", "x": "1"}, "ServiceWeights": {"Passing": 1, "Warning": 1},
        "ServiceEnableTagOverride": false, "ServiceProxy": {"MeshGateway": {}, "Expose": {}},
    })
}

fn accepts(text: &str) -> bool {
    let filter = Filter::new(text, &CATALOG_SERVICE).unwrap_or_else(|error| panic!("{text}: {error}"));
    Evaluation::new(&filter).accepts(&element())
}

#[test]
fn an_expression_holds_or_not_as_in_consul() {
    for (text, expected) in [
        ("ServiceMeta.region==us", true),
        ("ServiceMeta.region!=us", false),
        ("ServiceMeta.nope==us", false),
        ("ServiceMeta.nope!=us", true),
        ("region in ServiceMeta", true),
        ("region not in ServiceMeta", false),
        ("ServiceMeta contains nope", false),
        ("ServiceMeta is empty", false),
        ("ServiceMeta is not empty", true),
        (r#"ServiceMeta[ "region" ]=="us""#, true),
        (r#"ServiceMeta.region matches "^u.$""#, true),
        ("ServiceMeta.region not matches us", false),
        ("us in ServiceMeta.region", true),
        ("ServiceMeta.x==1", true),
        ("ServiceMeta.x==1.0", false),
        (r#""a" in ServiceTags"#, true),
        ("ServiceTags contains c", false),
        ("ServiceTags not contains c", true),
        ("ServiceTags is empty", false),
        ("not c in ServiceTags", true),
        ("not not a in ServiceTags", true),
        ("(a in ServiceTags)", true),
        (" ( ( a in ServiceTags ) ) ", true),
        ("c in ServiceTags and b in ServiceTags or ServicePort==80", true),
        ("c in ServiceTags and (b in ServiceTags or ServicePort==80)", false),
        ("ServicePort==80", true),
        (r#"ServicePort == "80""#, true),
        ("ServicePort!=80", false),
        ("ServicePort==-1", false),
        ("-1.5 in ServiceTags", false),
        ("ServiceEnableTagOverride==F", true),
        ("ServiceConnect.Native==false", true),
        ("ServiceWeights.Passing==1", true),
        ("ServiceTaggedAddresses.lan_ipv4.Port==80", true),
        ("ServiceTaggedAddresses.nope.Address==x", false),
        ("ServiceTaggedAddresses.nope.Address!=x", true),
        ("lan_ipv4 in ServiceTaggedAddresses", true),
        ("Node contains \"st1\"", true),
        ("ServiceKind==\"\"", true),
        ("ServiceProxy.Upstreams is empty", true),
        ("ServiceProxy.MeshGateway.Mode==``", true),
        ("ServiceProxy.Upstreams.DestinationName == x", false),
        ("ServiceProxy.Expose.Checks==false", true),
        ("ServiceID==`h:web:80`", true),
        (r#"ServiceID=="h:\x77eb:80""#, true),
        (r#"ServiceID=="h:\u0077\145b:80""#, true),
        ("ServiceName==WEB", false),
        ("ServiceMeta.region==a.b", false),
        // Not as in Consul, which finds a match in what is not there.
        ("ServiceMeta.nope matches x", false),
        ("ServiceMeta.nope not matches x", true),
    ] {
        assert_eq!(accepts(text), expected, "{text}");
    }
}

#[test]
fn any_element_of_a_list_will_do() {
    let element = json!({"Checks": [{"Status": "passing", "ServiceTags": []}, {"Status": "critical"}]});
    for (text, expected) in [
        ("Checks.Status==passing", true),
        ("Checks.Status!=passing", true),
        ("Checks.Status==warning", false),
        ("Checks is empty", false),
        ("Checks.ServiceTags is empty", true),
        ("Service.Tags is empty", true),
        ("Node.Meta is empty", true),
    ] {
        let filter = Filter::new(text, &HEALTH_SERVICE).unwrap();
        assert_eq!(Evaluation::new(&filter).accepts(&element), expected, "{text}");
    }
}

#[test]
fn what_is_no_expression_is_refused_with_its_reason() {
    for (text, reason) in [
        ("a", "at character 2: an operator is wanted"),
        ("   ", "at character 4: a name or a value is wanted"),
        ("(a in ServiceTags", "at character 18: a parenthesis is not closed"),
        ("a in ServiceTags)", "at character 17: the expression should end here"),
        ("a in ServiceTags and", "at character 18: the expression should end here"),
        ("a in", "at character 2: an operator is wanted"),
        ("a==", "at character 4: a name or a value is wanted"),
        ("not(ServicePort==80)", "at character 4: an operator is wanted"),
        ("ServicePort==0x50", "that is no number"),
        ("ServicePort==08", "that is no number"),
        ("ServiceMeta[region]==us", "a key is written as"),
        ("ServiceName==\"web", "a text is not closed"),
        (r#"ServiceName=="we\"b""#, "a text holds a wrong escape"),
        ("Bogus==1", "Selector \"Bogus\" is not valid"),
        ("ServiceMeta.a.b==c", "Selector \"ServiceMeta.a.b\" is not valid"),
        ("ServiceProxy.Config.a==b", "Selector \"ServiceProxy.Config\" is not valid"),
        ("ServiceTags==a", "Invalid match operator \"Equal\" for selector \"ServiceTags\""),
        ("ID is not empty", "Invalid match operator \"Is Not Empty\" for selector \"ID\""),
        ("ServicePort==abc", "Failed to coerce value \"abc\" for selector \"ServicePort\""),
        ("ServicePort==99999999999999999999", "Failed to coerce value"),
        ("ServiceEnableTagOverride==no", "Failed to coerce value"),
        ("ServiceName matches \"(\"", "Failed to compile regular expression \"(\": unclosed group"),
    ] {
        let error = Filter::new(text, &CATALOG_SERVICE).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn nothing_is_too_deep_or_too_long_to_be_refused() {
    for text in ["(".repeat(4000), "not ".repeat(1000), "a in b and ".repeat(300), "a".repeat(5000)] {
        assert!(Filter::new(&text, &CATALOG_SERVICE).is_err());
    }
    let long = vec!["a in ServiceTags"; 190].join(" and ");
    assert!(accepts(&long));
}

#[test]
fn the_regular_expressions_of_a_filter_have_a_budget_in_common() {
    let alike = |count: usize, pattern: &str| vec![format!("ServiceName matches `{pattern}`"); count].join(" or ");
    for (text, reason) in [
        (alike(1, &"a".repeat(1025)), "its regular expressions have more than 1024 bytes"),
        (alike(70, "abcdefghijklmnop"), "its regular expressions have more than 1024 bytes"),
        (alike(1, r"\w{1000}"), "its regular expressions take more than 1024 KB when compiled"),
        (alike(20, r"\w+"), "its regular expressions take more than 1024 KB when compiled"),
        (alike(1, "((a{30}){30}){30}"), "its regular expressions take more than 1024 KB when compiled"),
    ] {
        let error = Filter::new(&text, &CATALOG_SERVICE).unwrap_err().to_string();
        assert!(error.ends_with(reason), "{}: {error}", &text[..60]);
    }
    for text in [alike(100, "^web-1"), alike(8, r"\w+"), alike(1, &"a".repeat(1024)), alike(1, "[01]*1[01]{2000}")] {
        let filter = Filter::new(&text, &CATALOG_SERVICE).unwrap();
        assert!(filter.memory <= (1 << 20) + 300 * text.len(), "{} for {text}", filter.memory);
    }
}

#[test]
fn a_filter_that_takes_too_long_says_so_and_ends() {
    let hard = Filter::new("ServiceName matches `[01]*1[01]{8000}x`", &CATALOG_SERVICE).unwrap();
    let element = json!({"ServiceName": "01".repeat(2000)});
    let evaluation = Evaluation::new(&hard);
    let started = std::time::Instant::now();
    let mut asked = 0;
    while !evaluation.is_over() {
        assert!(!evaluation.accepts(&element));
        asked += 1;
    }
    assert!(asked > 1, "once is not too long");
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    // A text that alone would take too long is not looked at.
    let evaluation = Evaluation::new(&hard);
    assert!(!evaluation.accepts(&json!({"ServiceName": "01".repeat(1 << 20)})) && evaluation.is_over());
    assert!(!evaluation.accepts(&json!({"ServiceName": "1"})), "what is over stays over");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,60}") {
        let _ = check(&text);
    }

    #[test]
    fn no_sequence_of_words_makes_it_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "(", ")", "not ", " not ", " in ", " and ", " or ", "Checks", ".", "Status", "==", "!=", " is ", "empty",
            " contains ", " matches ", "\"", "`", "\\x", "[", "]", "-", "1", "0", "é", "Service", "Tags", "Meta", "a",
        ]), 0..20)
    ) {
        let _ = check(&words.concat());
    }

    #[test]
    fn a_negated_expression_says_the_opposite(name in "[a-z]{1,3}", port in 79_i64..82) {
        let text = format!("ServiceName == {name} or ServicePort == {port}");
        prop_assert_eq!(accepts(&text), !accepts(&format!("not ({text})")));
    }
}
