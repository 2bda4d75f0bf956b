//! No template and no store costs too much, escapes its folder, or ends the program.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

use proptest::prelude::*;

use super::tests::{data, failure, text};
use super::*;
use crate::template::{Instance, Keys};

#[test]
fn a_store_of_ten_megabytes_renders() {
    let value = "x".repeat(1000);
    let keys: Keys = (0..10_000).map(|number| (format!("/big/{number}"), value.clone())).collect();
    let data = Arc::new(Data { keys, ..Data::default() });
    assert_eq!(text("{{range gets \"/big/*\"}}{{.Value}}{{end}}", &data).len(), 10_000_000);
    assert_eq!(text("{{join (getvs \"/big/*\") \"\"}}", &data).len(), 10_000_000);
}

#[test]
fn a_value_of_ten_megabytes_renders() {
    let large = "x".repeat(10_000_000);
    let data = data([("/large", large.as_str())]);
    assert_eq!(text("{{getv \"/large\"}}{{with get \"/large\"}}{{.Value}}{{end}}", &data).len(), 20_000_000);
}

#[test]
fn what_a_rendering_may_cost_is_bounded() {
    let data = data([]);
    for template in [
        "{{define \"r\"}}{{template \"r\" .}}{{end}}{{template \"r\" .}}",
        "{{range 1000000000}}{{end}}",
        "{{seq 1 1000000000}}",
        "{{loop 1000000000}}",
        "{{repeat 1000000000 \"xxxxxxxxxx\"}}",
        "{{indent 1000000000 \"a\"}}",
        "{{$s := \"xxxxxxxxxx\"}}{{range 60}}{{$s = print $s $s}}{{end}}{{$s}}",
        "{{$s := repeat 100000 \"x\"}}{{replace $s \"x\" $s -1}}",
        "{{$s := repeat 100000 \"x\"}}{{regexReplaceAll \"x\" $s $s}}",
        "{{$s := repeat 100000 \"x\"}}{{join (split $s \"\") $s}}",
        "{{$s := repeat 30000 \"x\"}}{{regexReplaceAll \"x+\" $s (repeat 30000 \"$0\")}}",
        "{{printf (repeat 100000 \"%-[1]s\") (repeat 100000 \"x\")}}",
        "{{printf (repeat 100000 \"%[1]s\") (repeat 100000 \"x\")}}",
        "{{split (repeat 10000000 \"x\") \"\"}}",
        "{{splitN (repeat 10000000 \"x\") \"\" -1}}",
        "{{printf \"%1000000000d\" 1}}{{printf \"%0.1000000000f\" 1.5}}{{div 1 0}}",
        "{{$l := list}}{{range 1000}}{{$l = list $l}}{{end}}{{$l}}",
    ] {
        failure(template, &data);
    }
}

#[test]
fn a_long_list_is_searched_in_time() {
    let data = data([]);
    let begun = Instant::now();
    assert_eq!(text("{{$l := seq 1 200000}}{{len (uniq $l)}} {{len (intersect $l $l)}}", &data), "200000 200000");
    assert!(begun.elapsed() < Duration::from_secs(50));
    assert_eq!(text("{{uniq (list 1 \"1\" 1 (list 1) (list \"1\"))}}", &data), "[1 1 [1] [1]]");
}

#[test]
fn parentheses_and_blocks_nest_only_so_deep() {
    for count in [60, 1000, 100_000] {
        let (open, close) = ("(".repeat(count), ")".repeat(count));
        for template in [format!("{{{{{open}1{close}}}}}"), format!("{{{{{open}"), format!("{{{{{open}}}}}")] {
            assert!(FileTemplate::parse("t", &template, Path::new("/")).is_err());
        }
        let blocks = format!("{}{}", "{{if 1}}".repeat(count), "{{end}}".repeat(count));
        assert_eq!(FileTemplate::parse("t", &blocks, Path::new("/")).is_err(), count > 64);
    }
    let chain = format!("{{{{with 0}}}}{}{{{{end}}}}", "{{else with 0}}".repeat(1000));
    assert!(FileTemplate::parse("t", &chain, Path::new("/")).is_err());
}

#[test]
fn a_template_that_is_not_utf8_says_where() {
    let error = FileTemplate::parse_bytes("a.tmpl", b"ab\xffc", Path::new("/")).unwrap_err();
    assert_eq!(error.to_string(), "template: a.tmpl: byte 2 is not UTF-8: write the template in UTF-8");
}

/// A folder of templates, and what one of them gives.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new<const N: usize>(files: [(&str, &str); N]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("templates/sub")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join("templates").join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("templates")
    }

    fn render(&self, template: &str) -> Result<String, TemplateError> {
        let data = data([("/a", "x")]);
        FileTemplate::parse("main.tmpl", template, &self.path())?.render(&data, &Dot::Nothing)
    }
}

#[test]
fn a_template_includes_others_with_its_keys_and_their_data() {
    let folder = Folder::new([
        ("one.tmpl", "<{{.}} {{getv \"/a\"}}{{include \"sub/two.tmpl\" (map \"k\" 1)}}>"),
        ("sub/two.tmpl", "[{{.k}}]{{scratch.Set \"kept\" 2}}"),
        ("plain.tmpl", "{{.}}"),
    ]);
    assert_eq!(
        folder.render("{{scratch.Set \"kept\" 1}}{{include \"one.tmpl\" \"d\"}}{{scratch.Get \"kept\"}}").unwrap(),
        "<d x[1]>1"
    );
    assert_eq!(
        folder.render("{{include \"plain.tmpl\"}} {{include \"./sub/../plain.tmpl\" 5}}").unwrap(),
        "<no value> 5"
    );
}

#[test]
fn an_include_stays_in_its_folder_and_ends() {
    let deep = |number: usize| format!("{{{{include \"{}.tmpl\"}}}}", number + 1);
    let folder = Folder::new([
        ("self.tmpl", "{{include \"self.tmpl\"}}"),
        ("ping.tmpl", "{{include \"pong.tmpl\"}}"),
        ("pong.tmpl", "{{include \"sub/../ping.tmpl\"}}"),
        ("broken.tmpl", "a\n{{nope}}"),
        ("failing.tmpl", "a\n{{getv \"/x\"}}"),
    ]);
    for number in 0..12 {
        fs::write(folder.path().join(format!("{number}.tmpl")), deep(number)).unwrap();
    }
    fs::write(folder.path().join("latin.tmpl"), b"a\xe4").unwrap();
    fs::write(folder.0.path().join("outside.tmpl"), "secret").unwrap();
    symlink(folder.0.path().join("outside.tmpl"), folder.path().join("link.tmpl")).unwrap();
    for (file, expected) in [
        ("../outside.tmpl", "is outside template directory"),
        ("/etc/passwd", "is outside template directory"),
        ("link.tmpl", "is outside template directory"),
        ("self.tmpl", "include cycle detected"),
        ("ping.tmpl", "include cycle detected"),
        ("0.tmpl", "maximum include depth (10) exceeded"),
        ("none.tmpl", "include none.tmpl: No such file or directory"),
        ("sub", "it is not a file"),
        ("latin.tmpl", "byte 1 is not UTF-8"),
        ("broken.tmpl", "template: broken.tmpl:2:3: function \"nope\" not defined"),
        (
            "failing.tmpl",
            "template: failing.tmpl:2:3: executing \"failing.tmpl\" at <getv \"/x\">: error calling getv: key does not exist: /x",
        ),
    ] {
        let error = folder.render(&format!("{{{{include {file:?}}}}}")).unwrap_err().to_string();
        assert!(error.contains(expected) && error.starts_with("template: main.tmpl:1:3: "), "{file}: {error}");
    }
}

#[test]
fn a_check_finds_what_is_wrong_with_included_files_without_data() {
    let folder = Folder::new([
        ("good.tmpl", "{{getv \"/not/there\"}}{{include \"sub/inner.tmpl\"}}"),
        ("sub/inner.tmpl", "{{.}}"),
        ("broken.tmpl", "{{if}}"),
        ("outer.tmpl", "x {{include `broken.tmpl` 1}}"),
        ("ping.tmpl", "{{ include \"pong.tmpl\" . }}"),
        ("pong.tmpl", "{{ include \"ping.tmpl\" . }}"),
    ]);
    let check = |template: &str| FileTemplate::parse("main.tmpl", template, &folder.path()).unwrap().check();
    for template in ["", "{{include \"good.tmpl\" .}}", "{{/* include \"no.tmpl\" */}}{{include .name}}"] {
        assert_eq!(check(template), Ok(()), "{template}");
    }
    for (template, expected) in [
        ("a\n{{include \"none.tmpl\"}}", "template: main.tmpl:2:3: include none.tmpl: No such file"),
        ("{{if 1}}{{(include \"../a\")}}{{end}}", "template: main.tmpl:1:12: include ../a: No such file"),
        ("{{include \"outer.tmpl\"}}", "template: broken.tmpl:1:5: missing value for if"),
        ("{{include \"ping.tmpl\"}}", "template: pong.tmpl:1:4: include cycle detected"),
    ] {
        let error = check(template).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{template}: {error}");
    }
}

#[test]
fn deep_templates_that_include_each_other_fit_their_stacks() {
    let nest = |inner: &str| format!("{}{inner}{}", "{{range seq 1 1}}".repeat(60), "{{end}}".repeat(60));
    let folder = Folder::new([]);
    for number in 0..9 {
        let inner = format!("{{{{include \"{}.tmpl\"}}}}", number + 1);
        fs::write(folder.path().join(format!("{number}.tmpl")), nest(&inner)).unwrap();
    }
    fs::write(folder.path().join("9.tmpl"), nest("x")).unwrap();
    assert_eq!(folder.render(&nest("{{include \"0.tmpl\"}}")).unwrap(), "x");
}

#[test]
fn a_rendering_ends_when_its_time_is_over() {
    let limits = limits(Duration::from_millis(100));
    let template = "{{range 100000000}}{{range 100000000}}{{end}}{{end}}";
    let compiled = Compiled::parse("t", template, &functions::files(), limits).unwrap_or_else(|_| panic!("{template}"));
    let begun = Instant::now();
    assert!(compiled.execute(Value::NoValue).is_err());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn templates_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<FileTemplate>();
    shared::<TemplateError>();
}

#[test]
fn renderings_at_the_same_time_see_their_own_data() {
    let template = FileTemplate::parse("t", "{{scratch.Set \"v\" (getv \"/a\")}}{{scratch.Get \"v\"}}", Path::new("/"));
    let template = template.unwrap();
    std::thread::scope(|threads| {
        for number in 0..8 {
            let template = &template;
            threads.spawn(move || {
                let data = data([("/a", number.to_string().as_str())]);
                for _ in 0..50 {
                    assert_eq!(template.render(&data, &Dot::Nothing).unwrap(), number.to_string());
                }
            });
        }
    });
}

/// Templates from pieces that fit together often enough to run.
fn any_template() -> impl Strategy<Value = String> {
    let functions: Vec<&str> = functions::files()
        .into_iter()
        .flat_map(|table| table.iter().map(|(name, _)| *name))
        // These ask the machine's name servers, which may take seconds.
        .filter(|name| !name.starts_with("lookup"))
        .collect();
    let atom = prop_oneof![
        Just(".".to_owned()),
        Just("$".to_owned()),
        Just("nil".to_owned()),
        Just("datetime".to_owned()),
        Just("services".to_owned()),
        Just("(gets \"/*\")".to_owned()),
        Just("(json \"{\\\"a\\\":[1,{}]}\")".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        (-3..9_i64).prop_map(|number| number.to_string()),
        "\"[/a-c*?\\[é]{0,4}\"",
        "\\.(Key|Value|ID|Tags|Format|a)",
    ];
    let call = (prop::sample::select(functions), prop::collection::vec(atom.clone(), 0..4))
        .prop_map(|(name, args)| format!("({name} {})", args.join(" ")));
    let term = prop_oneof![atom, call];
    let pipeline = prop::collection::vec(term, 1..4).prop_map(|terms| terms.join(" | "));
    let field = prop_oneof![Just(""), Just(".Key"), Just(".UTC.Format \"Jan\""), Just(".a.b")];
    let action = (pipeline, field, 0..6_u8).prop_map(|(value, field, kind)| match kind {
        0 => format!("{{{{range {value}}}}}{{{{.}}}}{{{{else}}}}n{{{{end}}}}"),
        1 => format!("{{{{with {value}}}}}{{{{.}}}}{{{{else with .x}}}}{{{{end}}}}"),
        2 => format!("{{{{if {value}}}}}y{{{{end}}}}"),
        3 => format!("{{{{$x := {value}}}}}{{{{$x{field}}}}}"),
        4 => format!("{{{{({value}){field}}}}}"),
        _ => format!("{{{{{value}}}}}"),
    });
    prop::collection::vec(action, 1..4).prop_map(|actions| actions.join("\n"))
}

proptest! {
    #[test]
    fn any_template_renders_or_says_why_in_one_line(template in any_template()) {
        let instance = Arc::new(Instance { id: "1".to_owned(), tags: vec!["a".to_owned()], ..Instance::default() });
        let keys = [("/a", "1"), ("/b/c", "é")].into_iter().collect();
        let data = Arc::new(Data { keys, instances: vec![instance] });
        if let Err(error) = super::tests::render_with(&template, &data) {
            let line = error.to_string();
            prop_assert!(!line.contains(char::is_control) && line.chars().count() < 1200, "{line:?}");
            prop_assert!(line.starts_with("template: test.tmpl"), "{line:?}");
        }
    }

    #[test]
    fn any_text_is_a_template_or_refused(template in "(?s)(\\{\\{|\\}\\}|[a-z.$:=\"'`|() \\\\u0é]|.){0,30}") {
        let _ = super::tests::render_with(&template, &data([("/a", "1")]));
    }

    #[test]
    fn any_store_renders_or_says_why(
        keys in prop::collection::btree_map("(?s)[/a-b*\\[é\n]{0,6}|.{0,4}", "(?s).{0,9}", 0..8),
        name in "(?s).{0,6}",
    ) {
        let instance = Arc::new(Instance { id: name.clone(), name: name.clone(), tags: vec![name], ..Instance::default() });
        let keys: Keys = keys.into_iter().collect();
        let data = Arc::new(Data { keys: keys.clone(), instances: vec![instance] });
        for template in [
            "{{range gets \"/*\"}}{{.}}{{end}}{{getvs \"/*/*\"}}{{ls \"/\"}}{{lsdir \"/a\"}}{{tree \"\"}}",
            "{{range gets \"*\"}}{{gets .Key}}{{end}}",
            "{{range gets \"*\"}}{{json .Value}}{{end}}",
            "{{range services}}{{.Name | quote}}{{byTag .Instances}}{{toYAML .}}{{toJson .}}{{end}}",
            "{{range gets \"*\"}}{{atoi .Value}}{{base64Decode .Value}}{{regexMatch .Key .Value}}{{end}}",
        ] {
            if let Err(error) = super::tests::render_with(template, &data) {
                let line = error.to_string();
                prop_assert!(!line.contains(char::is_control) && line.chars().count() < 1200, "{line:?}");
            }
        }
    }
}
