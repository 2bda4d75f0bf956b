//! What a file's template promises: confd's functions, and errors that say where.

use super::*;

pub(super) fn data<const N: usize>(keys: [(&str, &str); N]) -> Arc<Data> {
    Arc::new(Data { keys: keys.into_iter().collect(), ..Data::default() })
}

pub(super) fn render_with(template: &str, data: &Arc<Data>) -> Result<String, TemplateError> {
    FileTemplate::parse("test.tmpl", template, Path::new("/nonexistent"))?.render(data, &Dot::Nothing)
}

#[track_caller]
pub(super) fn text(template: &str, data: &Arc<Data>) -> String {
    render_with(template, data).unwrap_or_else(|error| panic!("{template}: {error}"))
}

#[track_caller]
pub(super) fn failure(template: &str, data: &Arc<Data>) -> String {
    match render_with(template, data) {
        Ok(text) => panic!("{template} gave {text:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_keys_of_the_store_are_read_as_confd_reads_them() {
    let data = data([("/a", "1"), ("/d/x", "3"), ("/d/y", "2"), ("/d/sub/z", "9")]);
    for (template, expected) in [
        ("{{getv \"/a\"}} {{getv \"/no\" \"d\"}} [{{getv \"/no\" \"\"}}]", "1 d []"),
        ("{{get \"/a\"}} {{(get \"/a\").Value}} {{with get \"/a\"}}{{.Key}}{{end}}", "{/a 1} 1 /a"),
        ("{{range gets \"/d/*\"}}{{.Key}}={{.Value}};{{end}}", "/d/x=3;/d/y=2;"),
        ("{{gets \"/d/*\"}} {{getvs \"/d/*\"}} {{gets \"/no/*\"}}", "[{/d/x 3} {/d/y 2}] [2 3] []"),
        ("{{exists \"/a\"}} {{exists \"/d\"}}", "true false"),
        ("{{ls \"/d\"}} {{lsdir \"/d\"}} {{ls \"/\"}} {{lsdir \"/\"}}", "[sub x y] [sub] [a] []"),
    ] {
        assert_eq!(text(template, &data), expected, "{template}");
    }
}

#[test]
fn an_error_is_gos_with_the_place_in_the_source() {
    let data = data([("/a", "1")]);
    for (template, expected) in [
        (
            "x\n {{`ä`}}{{getv \"/x\" | len}}",
            "template: test.tmpl:2:11: executing \"test.tmpl\" at <getv \"/x\">: error calling getv: key does not exist: \
             /x",
        ),
        (
            "{{gets \"[]a]\"}}",
            "template: test.tmpl:1:3: executing \"test.tmpl\" at <gets \"[]a]\">: error calling gets: syntax error in \
             pattern",
        ),
        (
            "{{define \"t\"}}{{get .}}{{end}}{{template \"t\" \"/y\"}}",
            "template: test.tmpl:1:17: executing \"t\" at <get .>: error calling get: key does not exist: /y",
        ),
        (
            "{{(get \"/a\").Vlaue}}",
            "template: test.tmpl:1:3: executing \"test.tmpl\" at <(get \"/a\").Vlaue>: can't evaluate field Vlaue in \
             this value",
        ),
        (
            "{{getv}}",
            "template: test.tmpl:1:3: executing \"test.tmpl\" at <getv>: wrong number of args for getv: want at least 1 got 0",
        ),
        ("{{nope 1}}", "template: test.tmpl:1:3: function \"nope\" not defined"),
        ("{{$x}}", "template: test.tmpl:1:3: undefined variable \"$x\""),
    ] {
        assert_eq!(failure(template, &data), expected, "{template}");
    }
}

#[test]
fn the_dot_of_a_file_is_no_value() {
    let data = data([]);
    for (template, expected) in [
        ("{{.}} {{.x}} {{.x.y}}", "<no value> <no value> <no value>"),
        ("{{if .}}a{{else}}b{{end}}{{range .}}a{{else}}c{{end}}{{with .x}}a{{else}}d{{end}}", "bcd"),
    ] {
        assert_eq!(text(template, &data), expected, "{template}");
    }
}
