use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::render::once::once;
use crate::render::resource::parse;
use crate::render::source::testing::{Told, keys, services};
use crate::render::stage::Stage;

/// A configuration folder with one resource, a folder for its files, and what happened.
struct Bench {
    folder: TempDir,
    source: Told,
    steps: Arc<Mutex<Vec<Step>>>,
}

impl Bench {
    fn new(reading: Reading) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("templates")).unwrap();
        fs::create_dir_all(folder.path().join("out")).unwrap();
        Self { folder, source: Told::new(reading), steps: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn out(&self) -> PathBuf {
        self.path("out")
    }

    fn dest(&self) -> PathBuf {
        self.path("out/web.conf")
    }

    fn template(&self, text: &str) {
        fs::write(self.path("templates/t"), text).unwrap();
    }

    fn rules(&self) -> Rules {
        Rules {
            templates: self.path("templates"),
            prefix: Prefix::default(),
            noop: false,
            keep_stage_file: false,
            sync_only: false,
            diff: None,
            signaller: None,
        }
    }

    /// A renderer of a resource whose `dest` is `name` in the folder for files.
    fn renderer_for(&self, name: &str, more: &str, rules: Rules) -> Renderer {
        let dest = self.out().join(name);
        let text = format!("[template]\nsrc = \"t\"\ndest = {:?}\n{more}", dest.to_str().unwrap());
        let resource = parse(&self.path("web.toml"), &text).unwrap().resource;
        let sink = Arc::clone(&self.steps);
        let steps = Steps::new(move |step| sink.lock().unwrap().push(step.clone()));
        Renderer::new(Arc::new(resource), Arc::new(rules), steps)
    }

    fn renderer(&self, more: &str) -> Renderer {
        self.renderer_for("web.conf", more, self.rules())
    }

    async fn once(&self, renderer: &Renderer) -> Result<Outcome, RunError> {
        self.steps.lock().unwrap().clear();
        once(renderer, &self.source).await
    }

    fn content(&self) -> Option<String> {
        fs::read_to_string(self.dest()).ok()
    }

    /// The names of all files, hidden ones as well.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.out()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn told(&self, holds: impl Fn(&Step) -> bool) -> usize {
        self.steps.lock().unwrap().iter().filter(|step| holds(step)).count()
    }
}

#[tokio::test]
async fn a_file_is_made_once_and_then_left_alone() {
    let bench = Bench::new(keys(&[("/app/port", "80")]));
    bench.template("port = {{getv \"/port\"}}\n");
    let renderer = bench.renderer("keys = [\"/port\"]\nprefix = \"/app\"\nmode = \"0640\"");
    let outcome = bench.once(&renderer).await.unwrap();
    assert_eq!(outcome.changed, [bench.dest()]);
    assert_eq!(bench.content().as_deref(), Some("port = 80\n"));
    assert_eq!(fs::metadata(bench.dest()).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(bench.files(), ["web.conf"]);
    let before = fs::metadata(bench.dest()).unwrap().modified().unwrap();
    assert_eq!(bench.once(&renderer).await.unwrap(), Outcome::default());
    assert_eq!(fs::metadata(bench.dest()).unwrap().modified().unwrap(), before);
    assert_eq!(bench.told(|step| matches!(step, Step::InSync { .. })), 1);
}

#[tokio::test]
async fn what_happens_is_told_in_confds_order() {
    let bench = Bench::new(keys(&[("/a", "1")]));
    bench.template("{{getv \"/a\"}}");
    fs::write(bench.dest(), "old").unwrap();
    let renderer = bench.renderer("keys = [\"/a\"]\ncheck_cmd = \"true\"\nreload_cmd = \"echo hi\"\nmode = \"0600\"");
    bench.once(&renderer).await.unwrap();
    let steps = bench.steps.lock().unwrap();
    let told: Vec<_> =
        steps.iter().map(|step| format!("{step:?}").split([' ', '(']).next().unwrap().to_owned()).collect();
    assert_eq!(
        told,
        [
            "Retrieving",
            "Retrieved",
            "UsingTemplate",
            "Comparing",
            "Differs",
            "Differs",
            "OutOfSync",
            "Running",
            "Ran",
            "Replaced",
            "Running",
            "Ran",
            "Updated"
        ]
    );
}

#[tokio::test]
async fn a_run_that_fails_leaves_the_file_and_nothing_else_behind() {
    for (template, more, said) in [
        ("{{getv \"/missing\"}}", "", "error calling getv: key does not exist: /missing"),
        ("{{if}}", "", "Unable to process template"),
        ("{{nofunc}}", "", "t:1"),
        ("new", "check_cmd = \"exit 1\"", "Config check failed: exit status 1"),
        ("new", "check_cmd = \"grep old {{.src}}\"", "Config check failed: exit status 1"),
        ("new", "check_cmd = \"{{.source}}\"", "template: check_cmd:1:3"),
        ("{", "output_format = \"json\"", "web.conf: the rendered text is no JSON: 1:1: "),
        ("new", "owner = \"no-such-user\"", "there is no user \"no-such-user\""),
    ] {
        let bench = Bench::new(keys(&[("/a", "1")]));
        bench.template(template);
        fs::write(bench.dest(), "last good").unwrap();
        let error = bench.once(&bench.renderer(more)).await.unwrap_err().to_string();
        assert!(error.contains(said), "{template}: {error}");
        assert!(!error.contains('\n'), "{error}");
        assert_eq!(bench.content().as_deref(), Some("last good"), "{template}");
        assert_eq!(bench.files(), ["web.conf"], "{template}");
    }
}

#[tokio::test]
async fn a_missing_template_a_directory_and_a_missing_folder_are_named() {
    let bench = Bench::new(Reading::default());
    let error = bench.once(&bench.renderer("")).await.unwrap_err().to_string();
    assert_eq!(error, format!("Missing template: {}", bench.path("templates/t").display()));
    bench.template("x");
    fs::create_dir(bench.dest()).unwrap();
    let error = bench.once(&bench.renderer("")).await.unwrap_err().to_string();
    assert_eq!(error, format!("{} is a directory; dest names a file", bench.dest().display()));
    let deep = bench.renderer_for("a/b/f", "", bench.rules());
    assert!(bench.once(&deep).await.unwrap_err().to_string().ends_with("make it, or set mkdir = true"));
    let deep = bench.renderer_for("a/b/f", "mkdir = true", bench.rules());
    bench.once(&deep).await.unwrap();
    assert_eq!(fs::read(bench.path("out/a/b/f")).unwrap(), b"x");
}

#[tokio::test]
async fn a_source_that_fails_leaves_the_file() {
    let bench = Bench::new(Reading::default());
    bench.template("x");
    bench.source.say(Err("etcd is away"));
    assert_eq!(bench.once(&bench.renderer("")).await.unwrap_err().to_string(), "etcd is away");
    assert!(bench.files().is_empty());
}

#[tokio::test]
async fn noop_changes_nothing_says_so_and_shows_the_difference() {
    let bench = Bench::new(Reading::default());
    bench.template("new\n");
    fs::write(bench.dest(), "old\n").unwrap();
    let marker = bench.path("ran");
    let more = format!("check_cmd = \"touch {0}\"\nreload_cmd = \"touch {0}\"", marker.display());
    let rules = Rules { noop: true, diff: Some(Look::default()), ..bench.rules() };
    let renderer = bench.renderer_for("web.conf", &more, rules);
    bench.once(&renderer).await.unwrap();
    assert_eq!(bench.content().as_deref(), Some("old\n"));
    assert!(!marker.exists());
    assert_eq!(bench.files(), ["web.conf"]);
    assert_eq!(bench.told(|step| matches!(step, Step::Noop { .. })), 1);
    let dest = bench.dest().display().to_string();
    let diff = format!("--- {dest}\n+++ {dest} (rendered)\n@@ -1 +1 @@\n-old\n+new\n");
    assert_eq!(bench.told(|step| matches!(step, Step::Diff { text, .. } if *text == diff)), 1);
    // Also of an equal file.
    bench.template("old\n");
    bench.once(&renderer).await.unwrap();
    assert_eq!(bench.told(|step| matches!(step, Step::Noop { .. })), 1);
}

#[tokio::test]
async fn a_staged_file_stays_if_that_is_wanted_also_when_the_file_changed() {
    let bench = Bench::new(Reading::default());
    bench.template("new");
    let kept = |bench: &Bench| {
        let files = bench.files();
        files.iter().filter(|name| name.starts_with(".web.conf")).cloned().collect::<Vec<_>>()
    };
    let rules = Rules { keep_stage_file: true, noop: true, ..bench.rules() };
    bench.once(&bench.renderer_for("web.conf", "", rules)).await.unwrap();
    assert_eq!(kept(&bench).len(), 1);
    assert_eq!(bench.content(), None);
    let rules = Rules { keep_stage_file: true, ..bench.rules() };
    bench.once(&bench.renderer_for("web.conf", "", rules)).await.unwrap();
    assert_eq!(bench.content().as_deref(), Some("new"));
    assert_eq!(kept(&bench).len(), 2);
    assert_eq!(bench.told(|step| matches!(step, Step::Kept { .. })), 1);
}

#[tokio::test]
async fn sync_only_runs_no_command() {
    let bench = Bench::new(Reading::default());
    bench.template("new");
    let rules = Rules { sync_only: true, ..bench.rules() };
    bench.once(&bench.renderer_for("web.conf", "check_cmd = \"false\"\nreload_cmd = \"false\"", rules)).await.unwrap();
    assert_eq!(bench.files(), ["web.conf"]);
}

#[tokio::test]
async fn a_failed_reload_is_an_error_and_the_next_run_tries_it_again_though_the_file_is_right() {
    let bench = Bench::new(Reading::default());
    bench.template("new");
    let allowed = bench.path("allowed");
    let renderer = bench.renderer(&format!("reload_cmd = \"test -e {}\"", allowed.display()));
    for _ in 0..2 {
        let error = bench.once(&renderer).await.unwrap_err().to_string();
        let dest = bench.dest().display().to_string();
        let state = format!("; {dest} is new, and the next run tries this again");
        assert_eq!(error, format!("reload_cmd failed: exit status 1{state}"));
        assert_eq!(bench.content().as_deref(), Some("new"));
        assert_eq!(bench.told(|step| matches!(step, Step::Updated { .. })), 0);
    }
    fs::write(&allowed, "").unwrap();
    assert!(bench.once(&renderer).await.unwrap().reload);
    assert_eq!(bench.once(&renderer).await.unwrap(), Outcome::default());
    assert_eq!(bench.files(), ["web.conf"]);
}

#[tokio::test]
async fn both_commands_know_the_file() {
    let bench = Bench::new(Reading::default());
    bench.template("new");
    let seen = bench.path("seen");
    let more = format!(
        "check_cmd = \"cp {{{{.src}}}} {0}; echo {{{{.dest}}}} >> {0}\"\nreload_cmd = \"echo {{{{.src}}}} {{{{.dest}}}} >> {0}\"",
        seen.display()
    );
    bench.once(&bench.renderer(&more)).await.unwrap();
    let dest = bench.dest().display().to_string();
    assert_eq!(fs::read_to_string(seen).unwrap(), format!("new{dest}\n{dest} {dest}\n"));
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_by_the_next_run() {
    let bench = Bench::new(Reading::default());
    bench.template("new");
    let left = Stage::file(&bench.out(), OsStr::new("web.conf")).unwrap().keep();
    let in_use = Stage::file(&bench.out(), OsStr::new("web.conf")).unwrap();
    bench.once(&bench.renderer("")).await.unwrap();
    assert!(!left.exists() && in_use.path().exists());
    assert_eq!(bench.told(|step| matches!(step, Step::Cleaned { .. })), 1);
}

#[tokio::test]
async fn signals_need_the_operators_permission() {
    let bench = Bench::new(Reading::default());
    bench.template("new");
    let error = bench.once(&bench.renderer("reload_container = \"nginx\"")).await.unwrap_err().to_string();
    assert!(error.contains("-allow-signals"), "{error}");
    assert_eq!(bench.content().as_deref(), Some("new"));
}

#[test]
fn a_general_prefix_replaces_a_resources_own_or_stands_before_it() {
    let bench = Bench::new(Reading::default());
    let (own, none) = (bench.renderer("prefix = \"/own\""), bench.renderer(""));
    for (general, joined, of_own, of_none) in [
        ("", false, "/own", "/"),
        ("", true, "/own", "/"),
        ("general", false, "general", "general"),
        ("/general", true, "/general/own", "/general"),
    ] {
        let prefix = Prefix { general: general.to_owned(), joined };
        assert_eq!(prefix.of(own.resource()), of_own);
        assert_eq!(prefix.of(none.resource()), of_none);
    }
}

// --- for_each ---

const EACH: &str = "for_each = \"services\"";

fn each(bench: &Bench, more: &str) -> Renderer {
    bench.template("{{.Name}}:{{range .Instances}} {{.Address}}:{{.Port}}{{end}}\n");
    bench.renderer_for("{{.Name}}.conf", &format!("{EACH}\n{more}"), bench.rules())
}

fn visible(bench: &Bench) -> Vec<String> {
    bench.files().into_iter().filter(|name| !name.starts_with('.')).collect()
}

#[tokio::test]
async fn each_service_has_a_file_and_only_files_of_ours_go_with_their_service() {
    let bench = Bench::new(services(&["web", "db"]));
    fs::write(bench.path("out/other.conf"), "an operator's").unwrap();
    let outcome = bench.once(&each(&bench, "")).await.unwrap();
    assert_eq!(outcome.changed.len(), 2);
    assert_eq!(visible(&bench), ["db.conf", "other.conf", "web.conf"]);
    assert_eq!(fs::read_to_string(bench.path("out/web.conf")).unwrap(), "web: 10.0.0.1:80\n");
    // A restart in between: nothing but the files is remembered.
    bench.source.say(Ok(services(&["web", "cache"])));
    let outcome = bench.once(&each(&bench, "")).await.unwrap();
    assert_eq!((outcome.changed.len(), outcome.removed), (1, 1));
    assert_eq!(visible(&bench), ["cache.conf", "other.conf", "web.conf"]);
    assert_eq!(bench.once(&each(&bench, "")).await.unwrap(), Outcome::default());
}

#[tokio::test]
async fn a_file_that_somebody_else_made_is_neither_changed_nor_removed() {
    let bench = Bench::new(services(&["default", "web"]));
    fs::write(bench.path("out/default.conf"), "the package's").unwrap();
    let outcome = bench.once(&each(&bench, "")).await.unwrap();
    assert_eq!((outcome.changed.len(), outcome.refused), (1, 1));
    assert_eq!(bench.told(|step| matches!(step, Step::Refused { why } if why.contains("service default: ") && why.contains("somebody else"))), 1);
    bench.source.say(Ok(services(&["web"])));
    bench.once(&each(&bench, "")).await.unwrap();
    assert_eq!(fs::read_to_string(bench.path("out/default.conf")).unwrap(), "the package's");
}

#[tokio::test]
async fn a_name_that_would_leave_the_folder_is_refused_and_the_others_are_made() {
    let bench = Bench::new(services(&["../evil", "web", "a/b"]));
    let outcome = bench.once(&each(&bench, "mkdir = true")).await.unwrap();
    assert_eq!((outcome.changed.len(), outcome.refused), (1, 2));
    assert_eq!(visible(&bench), ["web.conf"]);
    assert!(!bench.path("evil.conf").exists());
}

#[tokio::test]
async fn of_two_with_one_file_the_first_keeps_it() {
    let bench = Bench::new(services(&["a", "b"]));
    bench.template("{{.Name}}");
    let renderer = bench.renderer_for("{{if .Name}}same{{end}}", EACH, bench.rules());
    let outcome = bench.once(&renderer).await.unwrap();
    assert_eq!((outcome.changed.len(), outcome.refused), (1, 1));
    assert_eq!(fs::read_to_string(bench.path("out/same")).unwrap(), "a");
    assert_eq!(bench.told(|step| matches!(step, Step::Refused { why } if why.starts_with("service b: ") && why.ends_with("is already made for service a; it keeps it"))), 1);
}

#[tokio::test]
async fn a_set_is_checked_and_reloaded_once_and_the_check_sees_all_of_it() {
    let bench = Bench::new(services(&["web", "db"]));
    let seen = bench.path("seen");
    let more = format!(
        "check_cmd = \"ls {{{{.src}}}} >> {0}; cat {{{{.src}}}}/* >> {0}\"\nreload_cmd = \"echo reload {{{{.dest}}}} >> {0}\"",
        seen.display()
    );
    bench.once(&each(&bench, &more)).await.unwrap();
    let out = bench.out().display().to_string();
    assert_eq!(
        fs::read_to_string(&seen).unwrap(),
        format!("db.conf\nweb.conf\ndb: 10.0.0.1:80\nweb: 10.0.0.1:80\nreload {out}\n")
    );
    fs::remove_file(&seen).unwrap();
    bench.source.say(Ok(services(&["web", "db", "cache"])));
    bench.once(&each(&bench, &more)).await.unwrap();
    assert!(fs::read_to_string(&seen).unwrap().starts_with("cache.conf\ndb.conf\nweb.conf\n"));
    // What fails its check changes nothing at all.
    bench.source.say(Ok(services(&["new"])));
    let error = bench.once(&each(&bench, "check_cmd = \"false\"")).await.unwrap_err();
    assert!(matches!(error, RunError::Check(_)));
    assert_eq!(visible(&bench), ["cache.conf", "db.conf", "web.conf"]);
    assert_eq!(bench.files().iter().filter(|name| name.starts_with(".web")).count(), 1, "{:?}", bench.files());
}

#[tokio::test]
async fn one_that_fails_keeps_its_last_content_and_the_others_are_made() {
    let bench = Bench::new(services(&["bad", "web"]));
    bench.once(&each(&bench, "")).await.unwrap();
    bench.template("{{if eq .Name \"bad\"}}{{index .Instances 7}}{{end}}new {{.Name}}");
    let renderer = bench.renderer_for("{{.Name}}.conf", EACH, bench.rules());
    let outcome = bench.once(&renderer).await.unwrap();
    assert_eq!((outcome.changed.len(), outcome.refused), (1, 1));
    assert_eq!(fs::read_to_string(bench.path("out/bad.conf")).unwrap(), "bad: 10.0.0.1:80\n");
    assert_eq!(fs::read_to_string(bench.path("out/web.conf")).unwrap(), "new web");
}

#[tokio::test]
async fn instances_have_files_too_in_folders_of_their_own() {
    let bench = Bench::new(services(&["web"]));
    bench.template("{{.ID}} {{.Address}}");
    let renderer =
        bench.renderer_for("{{.Name}}/{{.Port}}.conf", "for_each = \"instances\"\nmkdir = true", bench.rules());
    bench.once(&renderer).await.unwrap();
    assert_eq!(fs::read_to_string(bench.path("out/web/80.conf")).unwrap(), "host:web:80 10.0.0.1");
}

#[tokio::test(start_paused = true)]
async fn no_services_at_all_are_believed_only_when_they_are_said_twice() {
    let bench = Bench::new(services(&["web"]));
    bench.template("{{range gets \"/*/*\"}}{{.Value}}{{end}}.");
    let renderer = bench.renderer("");
    bench.once(&renderer).await.unwrap();
    assert_eq!(bench.content().as_deref(), Some("10.0.0.1:80."));
    bench.source.say(Ok(services(&[])));
    let before = bench.source.fetched();
    bench.once(&renderer).await.unwrap();
    assert_eq!(bench.source.fetched(), before + 2);
    assert_eq!(bench.told(|step| matches!(step, Step::Guarded { services: 0, least: 1, .. })), 1);
    assert_eq!(bench.content().as_deref(), Some("."));
    // Nothing would change: nothing is to be doubted.
    bench.once(&renderer).await.unwrap();
    assert_eq!(bench.source.fetched(), before + 3);
    // Where it is switched off, or the source is a store, it counts at once.
    for (reading, more) in [(services(&[]), "min_services = 0"), (keys(&[]), "")] {
        fs::write(bench.dest(), "other").unwrap();
        bench.source.say(Ok(reading));
        let before = bench.source.fetched();
        bench.once(&bench.renderer(more)).await.unwrap();
        assert_eq!(bench.source.fetched(), before + 1);
    }
}
