use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::render::find::Confdir;
use crate::render::resource::{Resource, Signal, parse};
use crate::render::run::{Prefix, Renderer, Rules, Signaller};
use crate::render::source::testing::{Told, keys, services};
use crate::render::step::{Step, Steps};

/// Longer than any test takes; in virtual time mostly.
const PATIENCE: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);

/// A program that reads its file when it is told to, and may refuse.
struct Reader {
    path: PathBuf,
    read: Mutex<Vec<(Instant, String)>>,
    /// How the next attempts end; then all succeed.
    refusals: Mutex<VecDeque<()>>,
}

impl Reader {
    fn refuse(&self, times: usize) {
        self.refusals.lock().unwrap().extend(std::iter::repeat_n((), times));
    }

    fn contents(&self) -> Vec<String> {
        self.read.lock().unwrap().iter().map(|(_, content)| content.clone()).collect()
    }
}

#[async_trait]
impl Signaller for Reader {
    async fn send(&self, _: &Signal) -> Result<(), String> {
        if self.refusals.lock().unwrap().pop_front().is_some() {
            return Err("it is busy".to_owned());
        }
        let content = fs::read_to_string(&self.path).unwrap_or_default();
        self.read.lock().unwrap().push((Instant::now(), content));
        Ok(())
    }
}

/// A keeper at work on `out/f`.
struct Bench {
    folder: TempDir,
    source: Told,
    steps: Arc<Mutex<Vec<Step>>>,
    reader: Arc<Reader>,
    again: Arc<Notify>,
    stop: CancellationToken,
}

impl Bench {
    fn start(source: Told, more: &str) -> Self {
        Self::start_with(source, "{{range gets \"/*/*\"}}{{.Value}} {{end}}.", more)
    }

    fn start_with(source: Told, template: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("templates")).unwrap();
        fs::write(folder.path().join("templates/t"), template).unwrap();
        let path = folder.path().join("f");
        let reader = Reader { path: path.clone(), read: Mutex::default(), refusals: Mutex::default() };
        let bench = Self {
            folder,
            source,
            steps: Arc::default(),
            reader: Arc::new(reader),
            again: Arc::default(),
            stop: CancellationToken::new(),
        };
        let text = format!("[template]\nsrc = \"t\"\ndest = {:?}\nreload_pid_file = \"/x\"\n{more}", path);
        let resource = parse(Path::new("r.toml"), &text).unwrap().resource;
        let renderer = bench.renderer(Arc::new(resource));
        let keeper = Keeper::new(renderer, Arc::new(bench.source.clone()), Pace::Watch, Arc::clone(&bench.again));
        tokio::spawn(keeper.run(bench.stop.clone()));
        bench
    }

    fn renderer(&self, resource: Arc<Resource>) -> Renderer {
        let rules = Rules {
            templates: self.folder.path().join("templates"),
            prefix: Prefix::default(),
            noop: false,
            keep_stage_file: false,
            sync_only: false,
            diff: None,
            signaller: Some(self.reader.clone()),
        };
        let sink = Arc::clone(&self.steps);
        let steps = Steps::new(move |step| sink.lock().unwrap().push(step.clone()));
        Renderer::new(resource, Arc::new(rules), steps)
    }

    fn content(&self) -> Option<String> {
        fs::read_to_string(self.folder.path().join("f")).ok()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            let steps = self.steps.lock().unwrap().clone();
            assert!(Instant::now() < end, "never: {what}; {:?}; {steps:#?}", self.content());
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_content(&self, content: &str) {
        self.until(content, |bench| bench.content().as_deref() == Some(content)).await;
    }

    fn told(&self, holds: impl Fn(&Step) -> bool) -> usize {
        self.steps.lock().unwrap().iter().filter(|step| holds(step)).count()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_follows_its_source_and_its_program_reads_each_content() {
    let bench = Bench::start(Told::new(keys(&[("/a/b", "1")])), "");
    bench.until_content("1 .").await;
    bench.until("it is read", |bench| bench.reader.contents() == ["1 ."]).await;
    bench.source.say(Ok(keys(&[("/a/b", "2")])));
    bench.until_content("2 .").await;
    bench.until("it is read", |bench| bench.reader.contents() == ["1 .", "2 ."]).await;
    // What changes nothing in the file is told to nobody.
    bench.source.say(Ok(keys(&[("/a/b", "2"), ("/other", "x")])));
    sleep(60 * SECOND).await;
    assert_eq!(bench.reader.contents().len(), 2);
    bench.until("nothing is due", |bench| !bench.folder.path().join(".f.reload-due").exists()).await;
    assert!(!bench.folder.path().join(".f.reload-due").exists());
}

#[tokio::test(start_paused = true)]
async fn a_failed_reload_is_tried_until_it_succeeds_though_the_file_stays() {
    let bench = Bench::start(Told::new(keys(&[("/a/b", "1")])), "");
    bench.reader.refuse(5);
    bench.until("it is read", |bench| bench.reader.contents() == ["1 ."]).await;
    bench.until("it is told", |bench| bench.told(|step| matches!(step, Step::Reloaded { failures: 5, .. })) == 1).await;
    assert_eq!(
        bench.told(|step| matches!(step, Step::ReloadFailed { why, pause: Some(_), .. } if why == "it is busy")),
        5
    );
    assert_eq!(bench.told(|step| matches!(step, Step::Updated { .. })), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_fails_keeps_its_pauses_whatever_else_changes() {
    let bench = Bench::start(Told::new(keys(&[("/a/b", "1")])), "");
    bench.reader.refuse(1000);
    let failures = |bench: &Bench| bench.told(|step| matches!(step, Step::ReloadFailed { .. }));
    bench.until("a failure", |bench| failures(bench) == 1).await;
    for number in 0..40 {
        // Nothing that the file shows.
        bench.source.say(Ok(keys(&[("/a/b", "1"), ("/other", &number.to_string())])));
        sleep(SECOND / 4).await;
    }
    assert!((3..=5).contains(&failures(&bench)), "{}", failures(&bench));
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_a_former_process_left_undone_is_done() {
    let source = Told::new(keys(&[("/a/b", "1")]));
    let first = Bench::start(source, "");
    first.reader.refuse(1000);
    first.until("a failure", |bench| bench.told(|step| matches!(step, Step::ReloadFailed { .. })) > 0).await;
    first.stop.cancel();
    let mark = first.folder.path().join(".f.reload-due");
    assert!(mark.exists());
    first.reader.refusals.lock().unwrap().clear();
    let before = first.reader.contents().len();
    // Another process, which finds the file as it should be.
    let text = format!("[template]\nsrc = \"t\"\ndest = {:?}\nreload_pid_file = \"/x\"", first.folder.path().join("f"));
    let resource = parse(Path::new("r.toml"), &text).unwrap().resource;
    let renderer = first.renderer(Arc::new(resource));
    let stop = CancellationToken::new();
    let keeper = Keeper::new(renderer, Arc::new(first.source.clone()), Pace::Watch, Arc::default());
    tokio::spawn(keeper.run(stop.clone()));
    first.until("it is read", |bench| bench.reader.contents().len() > before).await;
    first.until("the mark goes", |_| !mark.exists()).await;
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn reloads_keep_their_distance_and_the_last_content_is_read() {
    let bench = Bench::start(Told::new(keys(&[("/a/b", "0")])), "min_reload_interval = \"30s\"");
    bench.until("it is read", |bench| bench.reader.contents() == ["0 ."]).await;
    for number in 1..=5 {
        bench.source.say(Ok(keys(&[("/a/b", &number.to_string())])));
        bench.until_content(&format!("{number} .")).await;
        sleep(SECOND).await;
    }
    bench.until("it is read", |bench| bench.reader.contents() == ["0 .", "5 ."]).await;
    let read = bench.reader.read.lock().unwrap().clone();
    assert!(read[1].0 - read[0].0 >= 30 * SECOND);
    assert!(bench.told(|step| matches!(step, Step::ReloadThrottled { .. })) >= 1);
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_one_run_and_one_that_never_ends_is_not_waited_for() {
    let bench = Bench::start(Told::new(keys(&[("/a/b", "0")])), "debounce = \"2s\"");
    bench.until_content("0 .").await;
    let before = bench.source.fetched();
    for number in 1..=10 {
        bench.source.say(Ok(keys(&[("/a/b", &number.to_string())])));
        sleep(SECOND / 2).await;
    }
    bench.until_content("10 .").await;
    assert_eq!(bench.source.fetched(), before + 1);
    let began = Instant::now();
    while bench.source.fetched() == before + 1 {
        bench.source.say(Ok(keys(&[("/a/b", "x")])));
        sleep(SECOND).await;
        assert!(began.elapsed() < 25 * SECOND, "it waits for ever");
    }
    assert!(began.elapsed() >= 19 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_failed_is_tried_again_by_itself() {
    let bench = Bench::start(Told::new(keys(&[("/a/b", "1")])), "");
    bench.until_content("1 .").await;
    bench.source.say(Err("the store is away"));
    let told = |bench: &Bench, again_is: bool| {
        bench.told(
            |step| matches!(step, Step::Failed { why, again, .. } if why == "the store is away" && *again == again_is),
        )
    };
    // The same reason is told from time to time, however often it fails.
    bench.until("failures", |bench| told(bench, true) >= 2).await;
    bench.until("another line", |bench| told(bench, false) >= 2).await;
    assert_eq!(bench.content().as_deref(), Some("1 ."));
    // A template that is repaired needs no news of the source.
    bench.source.say(Ok(keys(&[("/a/b", "2")])));
    bench.until_content("2 .").await;
    fs::write(bench.folder.path().join("templates/t"), "{{").unwrap();
    bench.again.notify_one();
    let failed = |bench: &Bench| {
        bench.told(|step| matches!(step, Step::Failed { why, .. } if why.contains("Unable to process template")))
    };
    bench.until("a failure", |bench| failed(bench) >= 1).await;
    fs::write(bench.folder.path().join("templates/t"), "repaired").unwrap();
    bench.until_content("repaired").await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_empties_a_file_only_if_it_is_still_empty_a_while_later() {
    let bench = Bench::start(Told::new(services(&["web"])), "");
    bench.until_content("10.0.0.1:80 .").await;
    // An engine that restarts lists nothing for a moment.
    bench.source.say(Ok(services(&[])));
    bench
        .until("it is told", |bench| {
            bench.told(|step| matches!(step, Step::Guarded { services: 0, least: 1, .. })) == 1
        })
        .await;
    sleep(5 * SECOND).await;
    assert_eq!(bench.content().as_deref(), Some("10.0.0.1:80 ."));
    bench.source.say(Ok(services(&["web", "db"])));
    bench.until_content("10.0.0.1:80 10.0.0.1:80 .").await;
    sleep(60 * SECOND).await;
    assert_eq!(bench.content().as_deref(), Some("10.0.0.1:80 10.0.0.1:80 ."));
    // And this time nothing runs indeed.
    let began = Instant::now();
    bench.source.say(Ok(services(&[])));
    bench.until_content(".").await;
    assert!(began.elapsed() >= 10 * SECOND, "{:?}", began.elapsed());
    // That was believed: what follows is not doubted again, and a service is there at once.
    fs::write(bench.folder.path().join("f"), "changed by hand").unwrap();
    bench.again.notify_one();
    let began = Instant::now();
    bench.until_content(".").await;
    bench.source.say(Ok(services(&["web"])));
    bench.until_content("10.0.0.1:80 .").await;
    assert!(began.elapsed() < 5 * SECOND);
}

#[tokio::test]
async fn a_reload_that_hangs_does_not_keep_the_file_from_being_right() {
    let bench =
        Bench::start(Told::new(keys(&[("/a/b", "1")])), "reload_cmd = \"sleep 600\"\nreload_cmd_timeout = \"20s\"");
    bench.until("it hangs", |bench| bench.told(|step| matches!(step, Step::Running { .. })) == 1).await;
    bench.source.say(Ok(keys(&[("/a/b", "2")])));
    bench.until_content("2 .").await;
    assert_eq!(bench.told(|step| matches!(step, Step::Ran { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn with_an_interval_it_looks_after_each() {
    let bench = Bench::start(Told::new(keys(&[("/a/b", "1")])), "");
    bench.stop.cancel();
    let source = Told::new(keys(&[("/a/b", "2")]));
    let text = format!("[template]\nsrc = \"t\"\ndest = {:?}", bench.folder.path().join("g"));
    let renderer = bench.renderer(Arc::new(parse(Path::new("r.toml"), &text).unwrap().resource));
    let stop = CancellationToken::new();
    let keeper = Keeper::new(renderer, Arc::new(source.clone()), Pace::Every(600 * SECOND), Arc::default());
    let task = tokio::spawn(keeper.run(stop.clone()));
    sleep(599 * SECOND).await;
    assert_eq!(source.fetched(), 1);
    sleep(1000 * SECOND).await;
    assert_eq!(source.fetched(), 3);
    stop.cancel();
    task.await.unwrap();
}

// --- a folder ---

/// A configuration folder that is kept right.
struct Site {
    bench: Bench,
    noticed: Arc<Mutex<Vec<String>>>,
    read_again: Arc<Notify>,
}

impl Site {
    fn start(resources: &[(&str, &str)]) -> Self {
        let bench = Bench::start(Told::new(keys(&[("/a/b", "1")])), "");
        fs::create_dir_all(bench.folder.path().join("conf.d")).unwrap();
        let site = Self { bench, noticed: Arc::default(), read_again: Arc::default() };
        resources.iter().for_each(|(name, template)| site.resource(name, template));
        let confdir = Confdir::new(site.bench.folder.path());
        let found = confdir.find().unwrap();
        let renderer =
            site.bench.renderer(Arc::new(parse(Path::new("r"), "[template]\nsrc='t'\ndest='/d'").unwrap().resource));
        let source = site.bench.source.clone();
        let open: Open = Arc::new(move |resource| {
            if resource.src == Path::new("no-back-end") {
                return Err("there is no such back end".to_owned());
            }
            let renderer = renderer.clone().of(Arc::clone(resource));
            Ok(Kept { renderer, source: Arc::new(source.clone()), pace: Pace::Watch })
        });
        let sink = Arc::clone(&site.noticed);
        let folder = Folder::new(confdir, open, move |noticed| sink.lock().unwrap().push(format!("{noticed:?}")));
        tokio::spawn(folder.run(found, Arc::clone(&site.read_again), site.bench.stop.clone()));
        site
    }

    /// A resource that renders the template of this name to `out-<name>`.
    fn resource(&self, name: &str, template: &str) {
        let root = self.bench.folder.path();
        let text = format!("[template]\nsrc = \"{template}\"\ndest = {:?}\n", root.join(format!("out-{name}")));
        fs::write(root.join(format!("conf.d/{name}.toml")), text).unwrap();
    }

    fn template(&self, name: &str, text: &str) {
        fs::write(self.bench.folder.path().join("templates").join(name), text).unwrap();
    }

    async fn until(&self, name: &str, content: &str) {
        let path = self.bench.folder.path().join(format!("out-{name}"));
        self.bench.until(content, |_| fs::read_to_string(&path).is_ok_and(|text| text == content)).await;
    }

    fn noticed(&self, what: &str) -> usize {
        self.noticed.lock().unwrap().iter().filter(|noticed| noticed.contains(what)).count()
    }
}

#[tokio::test(start_paused = true)]
async fn resources_and_templates_count_as_soon_as_they_change() {
    let site = Site::start(&[("one", "t")]);
    site.until("one", "1 .").await;
    site.resource("two", "u");
    site.template("u", "u {{getv \"/a/b\"}}");
    site.until("two", "u 1").await;
    site.template("u", "other");
    site.until("two", "other").await;
    site.resource("one", "u");
    site.until("one", "other").await;
    fs::remove_file(site.bench.folder.path().join("conf.d/one.toml")).unwrap();
    site.bench.until("it is noticed", |_| site.noticed("begun: 0, ended: 1") == 1).await;
    site.template("u", "last");
    site.until("two", "last").await;
    sleep(10 * SECOND).await;
    site.until("one", "other").await;
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_breaks_goes_on_as_it_was_and_is_named_once() {
    let site = Site::start(&[("one", "t"), ("bad", "no-back-end")]);
    site.until("one", "1 .").await;
    assert_eq!(site.noticed("there is no such back end"), 1);
    fs::write(site.bench.folder.path().join("conf.d/one.toml"), "[template").unwrap();
    site.bench.until("it is named", |_| site.noticed("one.toml") == 1).await;
    site.bench.source.say(Ok(keys(&[("/a/b", "2")])));
    site.until("one", "2 .").await;
    site.template("t", "new");
    site.until("one", "new").await;
    assert_eq!(site.noticed("one.toml"), 1);
    // Whoever asks is told again.
    site.read_again.notify_one();
    site.bench.until("it is named again", |_| site.noticed("one.toml") == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_vanishes_leaves_everything_at_work() {
    let site = Site::start(&[("one", "t")]);
    site.until("one", "1 .").await;
    fs::rename(site.bench.folder.path().join("conf.d"), site.bench.folder.path().join("away")).unwrap();
    site.bench.until("it is noticed", |_| site.noticed("Unreadable") == 1).await;
    site.bench.source.say(Ok(keys(&[("/a/b", "2")])));
    site.until("one", "2 .").await;
    fs::rename(site.bench.folder.path().join("away"), site.bench.folder.path().join("conf.d")).unwrap();
    site.resource("two", "t");
    site.until("two", "2 .").await;
}
