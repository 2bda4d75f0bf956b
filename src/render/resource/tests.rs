use proptest::prelude::*;

use super::*;

const PATH: &str = "/etc/confd/conf.d/web.toml";

fn read_text(text: &str) -> Result<Read, Remark> {
    parse(Path::new(PATH), text)
}

fn template(more: &str) -> Result<Read, Remark> {
    read_text(&format!("[template]\nsrc = \"web.tmpl\"\ndest = \"/etc/web.conf\"\n{more}"))
}

/// The remarks without the file's name.
fn remarks(read: &Read) -> Vec<String> {
    read.remarks.iter().map(|remark| remark.to_string().replace(PATH, "")).collect()
}

#[test]
fn every_key_of_confd_is_read() {
    let read = read_text(
        r#"[template]
        src = "nginx.tmpl"
        dest = "/tmp/nginx.conf"
        keys = ["/subdomain", "/upstream"]
        prefix = "/yourapp"
        mode = "0600"
        uid = 0
        gid = -1
        owner = "nginx"
        group = "www"
        check_cmd = "/usr/sbin/nginx -t -c {{.src}}"
        reload_cmd = "/usr/sbin/service nginx reload"
        "#,
    )
    .unwrap();
    assert_eq!(remarks(&read), Vec::<String>::new());
    let expected = Resource {
        path: PATH.into(),
        src: "nginx.tmpl".into(),
        dest: "/tmp/nginx.conf".to_owned(),
        keys: vec!["/subdomain".to_owned(), "/upstream".to_owned()],
        prefix: Some("/yourapp".to_owned()),
        mode: Some(0o600),
        ownership: Ownership {
            uid: Some(0),
            gid: None,
            owner: Some("nginx".to_owned()),
            group: Some("www".to_owned()),
        },
        mkdir: false,
        for_each: None,
        min_services: None,
        format: None,
        check: Some(CommandLine { text: "/usr/sbin/nginx -t -c {{.src}}".to_owned(), deadline: CHECK_DEADLINE }),
        reload: Reload {
            command: Some(CommandLine { text: "/usr/sbin/service nginx reload".to_owned(), deadline: RELOAD_DEADLINE }),
            signal: None,
            min_interval: Duration::ZERO,
        },
        debounce: Duration::ZERO,
        backend: None,
    };
    assert_eq!(read.resource, expected);
}

#[test]
fn the_keys_of_the_fork_and_ours_are_read() {
    let read = read_text(
        r#"[template]
        src = "t"
        dest = "/etc/nginx/conf.d/{{.Name}}.conf"
        check_cmd = "true"
        check_cmd_timeout = "5s"
        reload_cmd_timeout = "1m30s"
        reload_cmd = "true"
        min_reload_interval = "10s"
        debounce = "500ms"
        output_format = "JSON"
        mkdir = true
        for_each = "services"
        min_services = 2
        reload_container = "nginx"
        reload_signal = "SIGUSR1"
        [backend]
        backend = "etcd"
        nodes = ["http://one:2379"]
        Client_Insecure = true
        password = "secret"
        "#,
    )
    .unwrap();
    assert_eq!(remarks(&read), Vec::<String>::new());
    let resource = read.resource;
    let seconds = Duration::from_secs;
    assert_eq!(resource.check.as_ref().unwrap().deadline, seconds(5));
    assert_eq!(resource.reload.command.as_ref().unwrap().deadline, seconds(90));
    assert_eq!((resource.reload.min_interval, resource.debounce), (seconds(10), Duration::from_millis(500)));
    assert_eq!(resource.format, Some(Format::Json));
    assert_eq!((resource.mkdir, resource.for_each, resource.min_services), (true, Some(ForEach::Service), Some(2)));
    let signal = Signal { to: SignalTo::Container("nginx".to_owned()), name: "USR1".to_owned() };
    assert_eq!(resource.reload.signal, Some(signal));
    let backend = resource.backend.clone().unwrap();
    assert_eq!(backend["backend"], Setting::Text("etcd".to_owned()));
    assert_eq!(backend["nodes"], Setting::List(vec!["http://one:2379".to_owned()]));
    assert_eq!(backend["client_insecure"], Setting::Flag(true));
    assert!(!format!("{resource:?}").contains("secret"));
}

#[test]
fn keys_are_found_in_any_case_and_an_exact_spelling_wins() {
    let read = read_text("[Template]\nSRC = \"other\"\nsrc = \"t\"\nDest = \"/d\"\nReload_Cmd = \"r\"\n").unwrap();
    assert_eq!(read.resource.src, Path::new("t"));
    assert_eq!(read.resource.dest, "/d");
    assert_eq!(read.resource.reload.command.unwrap().text, "r");
    assert_eq!(read.remarks, []);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_and_the_resource_works() {
    let read = template("relaod_cmd = \"x\"\nbanana = 1\n[tempalte]\nx = 1\n").unwrap();
    assert_eq!(
        remarks(&read),
        [
            ":6:2: the key tempalte is unknown and has no effect; did you mean template?",
            ":4:1: the key relaod_cmd is unknown and has no effect; did you mean reload_cmd?",
            ":5:1: the key banana is unknown and has no effect",
        ]
    );
    assert_eq!(read.resource.dest, "/etc/web.conf");
}

#[test]
fn a_mode_without_its_zero_is_octal_and_said_to_be() {
    let read = template("mode = \"644\"").unwrap();
    assert_eq!(read.resource.mode, Some(0o644));
    assert_eq!(
        remarks(&read),
        [":4:1: mode \"644\" means 0644 here, where confd reads a decimal number: write \"0644\""]
    );
    assert_eq!(remarks(&template("mode = \"0644\"").unwrap()), Vec::<String>::new());
}

#[test]
fn each_mistake_has_its_place_and_a_way_out() {
    for (more, said) in [
        ("mode = 644", ":4:1: mode takes octal digits in quotes: \"0644\""),
        ("mode = \"rw\"", ":4:1: mode takes octal digits in quotes: \"0644\""),
        ("keys = \"/a\"", ":4:1: keys takes a list of texts: [\"/one\", \"/two\"]"),
        ("  keys = [1]", ":4:3: keys takes a list of texts: [\"/one\", \"/two\"]"),
        ("uid = \"0\"", ":4:1: uid takes a whole number, without quotes"),
        ("uid = -2", ":4:1: uid takes a number from 0 on, or -1 for the default"),
        ("prefix = 1", ":4:1: prefix takes a text in quotes"),
        (
            "check_cmd_timeout = \"5\"",
            ":4:1: check_cmd_timeout takes a duration with its unit: \"500ms\", \"30s\", \"1m30s\"",
        ),
        ("mkdir = \"yes\"", ":4:1: mkdir takes true or false, without quotes"),
        ("output_format = \"ini\"", ":4:1: output_format takes json, yaml or toml"),
        ("for_each = \"container\"", ":4:1: for_each takes \"services\" or \"instances\""),
        ("min_services = -1", ":4:1: min_services takes a number from 0 on"),
        ("reload_signal = \"RELOAD\"", ":4:1: reload_signal takes the name of a signal: \"HUP\", \"USR1\""),
        (
            "reload_container = \"a\"\nreload_pid_file = \"b\"",
            ":5:1: give reload_container or reload_pid_file, not both",
        ),
        (
            "for_each = \"services\"",
            ":1:2: with for_each, dest needs the name of what it is for: dest = \"/etc/…/{{.Name}}.conf\"",
        ),
        ("src = \"again\"", ":4:1: duplicate key"),
        ("keys = [\"/a\"", ":4:13: unclosed array, expected `]`"),
    ] {
        assert_eq!(template(more).unwrap_err().to_string().replace(PATH, ""), said, "{more}");
    }
}

#[test]
fn a_resource_without_src_or_dest_is_refused() {
    for text in ["", "[other]\nx = 1", "[template]\ndest = \"/d\"", "[template]\nsrc = \"\"\ndest = \"/d\""] {
        assert_eq!(read_text(text).unwrap_err().reason, "empty src template", "{text:?}");
    }
    assert!(read_text("[template]\nsrc = \"t\"").unwrap_err().reason.starts_with("empty dest"));
    assert!(read_text("[template]\nsrc = \"t\"\ndest = \"/d/\"").unwrap_err().reason.contains("directory"));
    assert!(read_text("template = 1").unwrap_err().reason.contains("[template]"));
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.toml");
    std::fs::write(&path, b"[template]\nsrc = \"\xff\"").unwrap();
    assert_eq!(read(&path).unwrap_err().reason, "it is not UTF-8: byte 18");
    std::fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
    assert_eq!(read(&path).unwrap_err().reason, "it is larger than 1024 KiB");
    assert!(read(&folder.path().join("no")).is_err());
}

proptest! {
    #[test]
    fn no_text_panics_and_each_remark_is_one_line(text in "\\PC{0,60}", more in "[a-z_]{1,20} = ((\\PC{0,20})|\"[^\"]*\"|[0-9]+|\\[[^\\]]*\\])") {
        for text in [&text, &format!("[template]\n{more}"), &format!("[template]\nsrc=\"a\"\ndest=\"/b\"\n{more}\n{text}")] {
            let said = match read_text(text) {
                Ok(read) => read.remarks.iter().map(ToString::to_string).collect(),
                Err(error) => vec![error.to_string()],
            };
            for line in said {
                prop_assert!(!line.contains('\n'), "{line:?}");
            }
        }
    }
}
