//! The cases that confd tests and documents, byte for byte.

use super::tests::{data, text};

#[test]
fn confds_own_unit_cases_give_what_they_give_there() {
    let data = data([
        ("/test/key", "abc"),
        ("/test/user", "mary"),
        ("/nada/url", "url"),
        ("/list/data", "foo:bar:baz"),
        ("/word", "Value"),
        ("/coded", "VmFsdWU="),
        ("/hosts/1", r#"{"Id":"host1", "IP":"192.168.10.11"}"#),
        ("/hosts/2", r#"{"Id":"host2", "IP":"192.168.10.12"}"#),
        ("/array", r#"["1", "2", "3"]"#),
        ("/tree/abc", "123"),
        ("/tree/def/ghi", "456"),
        ("/tree/jkl/mno", "789"),
    ]);
    for (template, expected) in [
        ("\n{{with get \"/test/key\"}}\nkey: {{base .Key}}\nval: {{.Value}}\n{{end}}\n", "\n\nkey: key\nval: abc\n\n"),
        (
            "\n{{range gets \"/test/*\"}}\nkey: {{.Key}}\nval: {{.Value}}\n{{end}}\n",
            "\n\nkey: /test/key\nval: abc\n\nkey: /test/user\nval: mary\n\n",
        ),
        ("\nurl = {{getv \"/nada/url\"}}\nuser = {{getv \"/test/user\"}}\n", "\nurl = url\nuser = mary\n"),
        ("\n{{range getvs \"/test/*\"}}\nval: {{.}}\n{{end}}\n", "\n\nval: abc\n\nval: mary\n\n"),
        (
            "\n{{$data := split (getv \"/list/data\") \":\"}}\nf: {{index $data 0}}\nbr: {{index $data 1}}\nbz: {{index \
             $data 2}}\n",
            "\n\nf: foo\nbr: bar\nbz: baz\n",
        ),
        ("\n{{$data := toUpper (getv \"/word\") }}\nkey: {{$data}}\n", "\n\nkey: VALUE\n"),
        ("\n{{$data := toLower (getv \"/word\") }}\nkey: {{$data}}\n", "\n\nkey: value\n"),
        (
            "\n{{range getvs \"/hosts/*\"}}\n{{$data := json .}}\nid: {{$data.Id}}\nip: {{$data.IP}}\n{{end}}\n",
            "\n\n\nid: host1\nip: 192.168.10.11\n\n\nid: host2\nip: 192.168.10.12\n\n",
        ),
        ("\n{{range jsonArray (getv \"/array\")}}\nnum: {{.}}\n{{end}}\n", "\n\nnum: 1\n\nnum: 2\n\nnum: 3\n\n"),
        ("\n{{range ls \"/tree\"}}\nvalue: {{.}}\n{{end}}\n", "\n\nvalue: abc\n\nvalue: def\n\nvalue: jkl\n\n"),
        ("\n{{range lsdir \"/tree\"}}\nvalue: {{.}}\n{{end}}\n", "\n\nvalue: def\n\nvalue: jkl\n\n"),
        ("\n{{with dir \"/test/data/abc\"}}\ndir: {{.}}\n{{end}}\n", "\n\ndir: /test/data\n\n"),
        ("\n{{range lookupIPV4 \"127.0.0.1\"}}\nip: {{.}}\n{{end}}\n", "\n\nip: 127.0.0.1\n\n"),
        ("\n{{range lookupIPV6 \"::1\"}}\nip: {{.}}\n{{end}}\n", "\n\nip: ::1\n\n"),
        ("\n{{$data := base64Encode (getv \"/word\") }}\nkey: {{$data}}\n", "\n\nkey: VmFsdWU=\n"),
        ("\n{{$data := base64Decode (getv \"/coded\") }}\nkey: {{$data}}\n", "\n\nkey: Value\n"),
        ("\n{{ seq 1 3 }}\n", "\n[1 2 3]\n"),
        ("\n{{ seq 1 (atoi (index (jsonArray (getv \"/array\")) 2)) }}\n", "\n[1 2 3]\n"),
    ] {
        assert_eq!(text(template, &data), expected, "{template}");
    }
}

#[test]
fn confds_integration_cases_give_what_they_give_there() {
    let data = data([
        ("/key", "foobar"),
        ("/database/host", "127.0.0.1"),
        ("/database/password", "p@sSw0rd"),
        ("/database/port", "3306"),
        ("/database/username", "confd"),
        ("/upstream/app1", "10.0.1.10:8080"),
        ("/upstream/app2", "10.0.1.11:8080"),
        ("/nested/production/app1", "10.0.1.10:8080"),
        ("/nested/production/app2", "10.0.1.11:8080"),
        ("/nested/staging/app1", "172.16.1.10:8080"),
    ]);
    for (template, expected) in [
        (
            "[database]\nhost={{ getv \"/database/host\" }}\npassword={{ getv \"/database/password\" }}\nport={{ getv \
             \"/database/port\" }}\nusername={{ getv \"/database/username\" }}\n",
            "[database]\nhost=127.0.0.1\npassword=p@sSw0rd\nport=3306\nusername=confd\n",
        ),
        (
            "{{ if exists \"/key\" }}value: {{ getv \"/key\" }}{{ end }}\n{{- if exists \"/doesnotexist\" }}This line \
             should not be here.{{ end }}\n",
            "value: foobar\n",
        ),
        (
            "upstream app {\n{{- range gets \"/upstream/*\" }}\n  server {{ .Value }};\n{{- end }}\n}\n\nserver {\n  \
             proxy_set_header Host $host;\n}\n",
            "upstream app {\n  server 10.0.1.10:8080;\n  server 10.0.1.11:8080;\n}\n\nserver {\n  proxy_set_header Host \
             $host;\n}\n",
        ),
        ("{{ range gets \"/nested/*\" }}{{ range gets .Key }}server {{ .Value }};{{ end }}{{ end }}", ""),
        (
            "{{ range gets \"/nested/production/*\" }}{{ range gets .Key }}server {{ .Value }};{{ end }}{{ end }}",
            "server 10.0.1.10:8080;server 10.0.1.11:8080;",
        ),
    ] {
        assert_eq!(text(template, &data), expected, "{template}");
    }
}

#[test]
fn the_complex_example_of_confds_documentation_gives_two_upstreams_and_two_servers() {
    let template = r#"{{range $dir := lsdir "/services/web"}}
upstream {{base $dir}} {
    {{$custdir := printf "/services/web/%s/*" $dir}}{{range gets $custdir}}
    server {{$data := json .Value}}{{$data.IP}}:80;
    {{end}}
}

server {
    server_name {{base $dir}}.example.com;
    location / {
        proxy_pass {{base $dir}};
    }
}
{{end}}"#;
    let data = data([
        ("/services/web/cust1/2", r#"{"IP": "10.0.0.2"}"#),
        ("/services/web/cust2/2", r#"{"IP": "10.0.0.4"}"#),
        ("/services/web/cust2/1", r#"{"IP": "10.0.0.3"}"#),
        ("/services/web/cust1/1", r#"{"IP": "10.0.0.1"}"#),
    ]);
    let customer = |name: &str, [one, two]: [&str; 2]| {
        format!(
            "\nupstream {name} {{\n    \n    server {one}:80;\n    \n    server {two}:80;\n    \n}}\n\nserver {{\n    \
             server_name {name}.example.com;\n    location / {{\n        proxy_pass {name};\n    }}\n}}\n"
        )
    };
    let expected = customer("cust1", ["10.0.0.1", "10.0.0.2"]) + &customer("cust2", ["10.0.0.3", "10.0.0.4"]);
    assert_eq!(text(template, &data), expected);
}

#[test]
fn what_people_write_works() {
    let data = data([
        ("/a", "x"),
        ("/mode", "prod"),
        ("/hosts/h1/ip", "10.0.0.1"),
        ("/hosts/h1/tags/a", "1"),
        ("/hosts/h2/ip", "10.0.0.2"),
    ]);
    for (template, expected) in [
        ("{{if eq (getv \"/mode\" \"\") \"prod\"}}yes{{end}}", "yes"),
        ("{{index (split \"10.0.0.1:80\" \":\") 0}}", "10.0.0.1"),
        ("{{with $x := getv \"/a\"}}{{$x}}{{else with getv \"/mode\"}}{{.}}{{end}}", "x"),
        ("{{with getv \"/no\" \"\"}}{{.}}{{else with getv \"/mode\"}}{{.}}!{{else}}none{{end}};", "prod!;"),
        (
            "{{range lsdir \"/hosts\"}}{{$ip := getv (printf \"/hosts/%s/ip\" .)}}{{.}}={{$ip}}{{range ls (printf \
             \"/hosts/%s\" .)}} {{.}}{{end}};{{end}}",
            "h1=10.0.0.1 ip tags;h2=10.0.0.2 ip;",
        ),
        (
            "{{define \"server\"}}server {{.ip}} weight={{.weight}};{{end}}{{range gets \"/hosts/*/ip\"}}{{template \
             \"server\" (map \"ip\" .Value \"weight\" 2)}}{{end}}",
            "server 10.0.0.1 weight=2;server 10.0.0.2 weight=2;",
        ),
        (
            "{{range $i, $p := gets \"/hosts/*/ip\"}}{{if $i}}, {{end}}{{$i}}:{{$p.Value}}{{end}}",
            "0:10.0.0.1, 1:10.0.0.2",
        ),
        ("{{ join (getvs \"/hosts/*/ip\") \",\" }}", "10.0.0.1,10.0.0.2"),
        ("{{range reverse (gets \"/hosts/*/ip\")}}{{base (dir .Key)}} {{end}}", "h2 h1 "),
        ("{{block \"b\" 1}}[{{.}}]{{end}}{{/* note */ -}}  x", "[1]x"),
        ("{{$l := list}}{{range seq 1 3}}{{$l = append $l .}}{{end}}{{$l}}", "[1 2 3]"),
        ("a\r\n{{- \"b\" }}\r\n{{getv\r\n\"/a\"}}", "ab\r\nx"),
        ("\u{feff}{{getv \"/a\"}}", "\u{feff}x"),
        (
            "{{html (get \"/a\")}} {{print (get \"/a\") 1}} {{printf \"%v %s\" (get \"/a\") (gets \"/a\")}}",
            "{/a x} {/a x}1 {/a x} [{/a x}]",
        ),
    ] {
        assert_eq!(text(template, &data), expected, "{template}");
    }
}
