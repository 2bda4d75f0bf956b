//! The page of `-status` in a real headless Chromium.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::{HOST, SOON, addresses, registrator_with};
use testkit::chromium::{Chromium, Page};
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::program::Program;
use testkit::wait::{becomes, eventually};

/// A registry that needs nothing.
const LOCAL: &str = "embedded://127.0.0.1:0?dns=127.0.0.1:0";
/// A registry that is not there.
const DEAD: &str = "consul://127.0.0.1:1";

/// A program with its page at this port of the loopback address; 0 for any. Returns the page's URL.
async fn status_at(engine: &FakeEngine, uris: &[&str], port: &str) -> (Program, String) {
    let (last, others) = uris.split_last().unwrap();
    let address = format!("127.0.0.1:{port}");
    let variables = [("DOCKER_HOST", &*engine.host()), ("REGISTRATOR_STATUS", &*address)];
    let program = registrator_with(last, others, &variables);
    let line = program.wait_for("status: http").await;
    program.wait_for("Syncing services").await;
    let url = line.split_once("status: ").unwrap().1.trim().to_owned();
    (program, url)
}

fn web(name: &str, port: u16) -> FakeContainer {
    FakeContainer::new(name).image("nginx:1.27").publish("80/tcp", port)
}

/// The names of the rows that can be seen, in their order.
async fn names(page: &Page) -> Vec<String> {
    let shown = "Array.from(document.querySelectorAll('.row')).filter((row) => row.checkVisibility())";
    let names = page.run(&format!("{shown}.map((row) => row.querySelector('h3').firstChild.textContent.trim())")).await;
    serde_json::from_value(names).unwrap()
}

async fn is_live(page: &Page) {
    becomes("live".to_owned(), SOON, || page.text("#live")).await;
}

/// Waits until the page shows these rows.
async fn shows(page: &Page, expected: &[&str]) {
    becomes(expected.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), SOON, || names(page)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_shown_as_it_starts_changes_and_goes() {
    let engine = FakeEngine::start().await;
    engine.run(web("first", 8001));
    let (_program, url) = status_at(&engine, &[LOCAL], "0").await;
    let browser = Chromium::start().await;
    let page = browser.open(&url).await;
    assert_eq!(page.text("h1").await, HOST);
    is_live(&page).await;
    shows(&page, &["first"]).await;
    let before = Instant::now();
    let second = engine.run(web("second", 8002).env("SERVICE_TAGS=blue"));
    shows(&page, &["first", "second"]).await;
    // A second is what is promised; machines that run tests are slow at times.
    assert!(before.elapsed() < Duration::from_secs(5), "it took {:?}", before.elapsed());
    let row = format!("#c-{second}");
    eventually("it is in sync", SOON, async || page.text(&row).await.contains("in sync").then_some(())).await;
    let text = page.text(&row).await;
    for part in ["second", "nginx:1.27", "192.168.1.102:8002", "blue", "embedded", "running"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let logged = async || page.text("#log").await.contains(&format!("added: {} ", &second[..12])).then_some(());
    eventually("the event is shown", SOON, logged).await;
    becomes("2 containers · nothing needs attention".to_owned(), SOON, || page.text("#summary")).await;
    engine.pause(&second);
    eventually("it is paused", SOON, async || page.text(&row).await.contains("paused").then_some(())).await;
    engine.remove(&second);
    shows(&page, &["first"]).await;
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lives_on_when_the_program_is_another_one() {
    let engine = FakeEngine::start().await;
    let gone = engine.run(web("gone", 8001).image("mine"));
    engine.run(web("stays", 8002).image("mine"));
    engine.run(web("other", 8006));
    let (program, url) = status_at(&engine, &[LOCAL], "0").await;
    let browser = Chromium::start().await;
    let page = browser.open(&format!("{url}?q=mine")).await;
    is_live(&page).await;
    shows(&page, &["gone", "stays"]).await;
    page.run("window.same = true").await;
    drop(program);
    becomes("reconnecting …".to_owned(), SOON, || page.text("#live")).await;
    engine.remove(&gone);
    engine.run(web("second", 8003).image("mine"));
    engine.run(web("another", 8004));
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap();
    let (_program, again) = status_at(&engine, &[LOCAL], port).await;
    assert_eq!(again, url);
    is_live(&page).await;
    // The filter still holds, for what is new too.
    shows(&page, &["second", "stays"]).await;
    // What is shown of events is the new program's.
    let started = async || (page.text("#log").await.matches("Listening for Docker events").count() == 1).then_some(());
    eventually("the new program's events", SOON, started).await;
    engine.run(web("starts", 8005).image("mine"));
    shows(&page, &["second", "starts", "stays"]).await;
    assert_eq!(page.run("window.same").await, true, "the page was loaded again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_containers_stays_text() {
    const EVIL: &str = r#"<img src=x onerror="evil=1"><script>evil=1</script></li></ol>"'&amp;"#;
    let hostile = |name: &str, port: u16| {
        web(&format!("{name}{EVIL}"), port)
            .image(&format!("{EVIL}:1"))
            .env(&format!("SERVICE_NAME={EVIL}"))
            .env(&format!("SERVICE_TAGS={EVIL},javascript:evil=1,{{{{7*7}}}}"))
            .env(&format!("SERVICE_ID={name}{EVIL}\u{202e}"))
            .label("SERVICE_CHECK_INTERVAL", EVIL)
    };
    let engine = FakeEngine::start().await;
    engine.run(hostile("a", 8001));
    engine.run(web("b", 8002));
    let (_program, url) = status_at(&engine, &[LOCAL, DEAD], "0").await;
    let browser = Chromium::start().await;
    let page = browser.open(&format!("{url}?q=%3Cscript%3E")).await;
    is_live(&page).await;
    shows(&page, &[&format!("a{EVIL}")]).await;
    // One that comes while the page is open, as a row and as events.
    engine.run(hostile("c", 8003));
    let name = |name: &str| format!("{name}{EVIL}");
    shows(&page, &[&name("a"), &name("c")]).await;
    let logged = async || page.text("#log").await.contains(&format!("c{EVIL}\u{fffd}")).then_some(());
    eventually("its event is shown", SOON, logged).await;
    assert_eq!(page.text(".row .tag").await, EVIL);
    page.run("document.querySelector('a.explain').click()").await;
    eventually("it is explained", SOON, async || page.text(".why").await.contains(EVIL).then_some(())).await;
    assert_eq!(
        page.run("document.querySelectorAll('img, [onerror], body script, ol ol, a[href^=javascript]').length").await,
        0
    );
    assert_eq!(page.run("typeof evil").await, "undefined");
    assert_eq!(page.run("document.querySelectorAll('#rows > :not(.row)').length").await, 0);
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_is_typed_or_in_the_url_and_the_keyboard_is_enough() {
    let engine = FakeEngine::start().await;
    engine.populate(30, |number| web(&format!("web-{number:02}"), 8100 + u16::try_from(number).unwrap()));
    engine.run(FakeContainer::new("quiet").image("postgres:17").expose("5432/tcp"));
    let (_program, url) = status_at(&engine, &[LOCAL], "0").await;
    let browser = Chromium::start().await;
    let page = browser.open(&url).await;
    is_live(&page).await;
    eventually("all are there", SOON, async || (page.shown(".row").await == 31).then_some(())).await;
    let query = async || page.run("location.search").await.as_str().unwrap().to_owned();
    let focused =
        async || page.run("document.activeElement.querySelector('h3')?.innerText ?? document.activeElement.id").await;
    // Typing filters, by every word of a row, and the URL follows.
    page.press("/").await;
    assert_eq!(focused().await, "filter");
    page.type_text("WEB-1 nginx").await;
    let ten: Vec<_> = (10..20).map(|number| format!("web-{number}")).collect();
    shows(&page, &ten.iter().map(String::as_str).collect::<Vec<_>>()).await;
    becomes("?q=WEB-1+nginx".to_owned(), SOON, query).await;
    becomes("10 of 31 containers".to_owned(), SOON, || page.text("#count")).await;
    // Enter leads to the rows; j and k move between those that are shown.
    page.press("Enter").await;
    assert_eq!(focused().await, "web-10");
    page.press("j").await;
    page.press("j").await;
    assert_eq!(focused().await, "web-12");
    page.press("k").await;
    assert_eq!(focused().await, "web-11");
    assert_ne!(
        page.run("getComputedStyle(document.activeElement).outlineStyle").await,
        "none",
        "the focus is not seen"
    );
    // A row that changes keeps the focus.
    let focused_id = page.run("document.activeElement.id").await.as_str().unwrap().trim_start_matches("c-").to_owned();
    engine.pause(&focused_id);
    let row = format!("#c-{focused_id}");
    eventually("it is paused", SOON, async || page.text(&row).await.contains("paused").then_some(())).await;
    becomes(json!("web-11"), SOON, focused).await;
    // Enter explains it: what decided each field.
    page.press("Enter").await;
    let explained = async || page.text(".row .why").await.contains("port 80/tcp").then_some(());
    eventually("it is explained", SOON, explained).await;
    let why = page.text(".row .why").await;
    assert!(why.contains("nginx") && why.contains("8111") && why.contains("as JSON"), "{why}");
    page.press("Enter").await;
    assert_eq!(page.shown(".row .why").await, 0);
    page.press("Escape").await;
    eventually("all are there", SOON, async || (page.shown(".row").await == 31).then_some(())).await;
    becomes(String::new(), SOON, query).await;
    // A URL filters from the beginning, for why something is not registered too.
    let page = browser.open(&format!("{url}?q=not+published")).await;
    shows(&page, &["quiet"]).await;
    assert!(page.text(".row").await.contains("publish it: docker run -p 5432:5432"), "{}", page.text(".row").await);
    page.press("/").await;
    page.type_text("nothing like it").await;
    eventually("nothing matches", SOON, async || (page.shown("#nothing").await == 1).then_some(())).await;
    // The first stop of the tabulator leads past the cards.
    let page = browser.open(&url).await;
    page.press("Tab").await;
    assert_eq!(page.run("document.activeElement.className").await, "skip");
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_somebody_comes_first_and_is_counted_in_the_title() {
    let engine = FakeEngine::start().await;
    engine.run(web("a", 8001));
    // Part of its metadata cannot be used.
    engine.run(web("z", 8002).env("SERVICE_CHECK_HTTP=/x").env("SERVICE_CHECK_INTERVAL=often"));
    let (_program, url) = status_at(&engine, &[LOCAL, DEAD], "0").await;
    let browser = Chromium::start().await;
    let page = browser.open(&url).await;
    is_live(&page).await;
    becomes(1, SOON, || page.shown(".card.attention")).await;
    let card = page.text(".card.attention").await;
    assert!(card.contains("unreachable") && card.contains("next attempt"), "{card}");
    shows(&page, &["z", "a"]).await;
    becomes("2 containers · 2 need attention".to_owned(), SOON, || page.text("#summary")).await;
    becomes(json!(format!("(2) {HOST} – registrator")), SOON, || page.run("document.title")).await;
    // An engine that is gone needs somebody too; what ran stays.
    engine.go_away().await;
    becomes(2, SOON, || page.shown(".card.attention")).await;
    let docker = page.text(".card").await;
    assert!(docker.contains("lost"), "{docker}");
    becomes("2 containers · 3 need attention".to_owned(), SOON, || page.text("#summary")).await;
    shows(&page, &["z", "a"]).await;
    engine.come_back().await;
    becomes("2 containers · 2 need attention".to_owned(), SOON, || page.text("#summary")).await;
    // The same without scripts, at the first paint.
    let page = browser.page().await;
    page.forbid_scripts().await;
    page.go(&url).await;
    shows(&page, &["z", "a"]).await;
    assert_eq!(page.text("#summary").await, "2 containers · 2 need attention");
    assert!(page.text(".row").await.contains("needs attention"));
    assert!(page.text("#log").await.contains("added: "), "{}", page.text("#log").await);
    assert_eq!(page.shown("#search").await, 0, "a search box that does nothing");
    assert!(page.text("#live").await.contains("reload"), "{}", page.text("#live").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_of_anybody_else_and_nothing_is_wider_than_a_telephone() {
    let engine = FakeEngine::start().await;
    let long = "a-name-without-an-end-".repeat(8);
    engine.run(web(&long, 8001).image(&format!("registry.example.com/{long}:1")).env(&format!("SERVICE_TAGS={long}")));
    engine.run(FakeContainer::new("quiet").expose("5432/tcp"));
    let (_program, url) = status_at(&engine, &[LOCAL, DEAD], "0").await;
    let browser = Chromium::start().await;
    let page = browser.page().await;
    page.resize(360, 740).await;
    page.go(&url).await;
    is_live(&page).await;
    engine.run(web("another", 8002));
    eventually("it is there", SOON, async || (page.shown(".row").await == 3).then_some(())).await;
    page.run("document.querySelector('a.explain').click()").await;
    eventually("it is explained", SOON, async || (page.shown(".why").await == 1).then_some(())).await;
    let wider = "Array.from(document.body.querySelectorAll('*')).filter((e) => e.getBoundingClientRect().right > 361 \
                 && !e.matches('.skip')).map((e) => `${e.tagName}.${e.className}#${e.id}`)";
    let width = page.run("document.documentElement.scrollWidth").await;
    assert!(width.as_u64().unwrap() <= 360, "it is {width} pixels wide: {}", page.run(wider).await);
    let requests = page.requests();
    assert!(requests.len() > 5, "{requests:?}");
    for request in &requests {
        assert!(request.starts_with(&url), "asked of somebody else: {request}");
    }
    assert_eq!(page.complaints(), [""; 0]);
    // What would be asked elsewhere, or run inline, is kept from it; and that is told here.
    page.run("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://192.0.2.1/x\" onerror=\"evil=1\">')")
        .await;
    let told = async || page.complaints().iter().any(|told| told.contains("Content Security Policy")).then_some(());
    eventually("the policy is told of", SOON, told).await;
    assert_eq!(page.run("typeof evil").await, "undefined");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_registry_shows_its_services_in_the_same_way() {
    const EVIL: &str = r#"<script>evil=1</script>"'"#;
    let engine = FakeEngine::start().await;
    engine.run(web("fine", 8001).env("SERVICE_TAGS=blue").health("healthy"));
    let sick = engine.run(web("sick", 8002).env(&format!("SERVICE_NAME=sick{EVIL}")).health("healthy"));
    let program = registrator_with(LOCAL, &[], &[("DOCKER_HOST", &engine.host())]);
    let (http, _) = addresses(&program).await;
    program.wait_for_count("added: ", 2).await;
    let browser = Chromium::start().await;
    let page = browser.page().await;
    page.resize(360, 740).await;
    page.go(&format!("http://{http}/")).await;
    is_live(&page).await;
    shows(&page, &["nginx", &format!("sick{EVIL}")]).await;
    page.run("window.same = true").await;
    engine.set_health(&sick, "unhealthy");
    shows(&page, &[&format!("sick{EVIL}"), "nginx"]).await;
    let row = page.text(".row.attention").await;
    for part in ["critical", "Docker says unhealthy", "192.168.1.102:8002", "needs attention"] {
        assert!(row.contains(part), "{part}: {row}");
    }
    becomes("2 instances · 1 needs attention".to_owned(), SOON, || page.text("#summary")).await;
    page.press("/").await;
    page.type_text("blue passing").await;
    shows(&page, &["nginx"]).await;
    let width = page.run("document.documentElement.scrollWidth").await.as_u64().unwrap();
    assert!(width <= 360, "it is {width} pixels wide");
    let base = format!("http://{http}/");
    assert!(page.requests().iter().all(|request| request.starts_with(&base)), "{:?}", page.requests());
    assert_eq!(page.complaints(), [""; 0]);
    // It comes back by itself when the program does.
    drop(program);
    becomes("reconnecting …".to_owned(), SOON, || page.text("#live")).await;
    let uri = format!("embedded://{http}?dns=127.0.0.1:0");
    let _program = registrator_with(&uri, &[], &[("DOCKER_HOST", &engine.host())]);
    is_live(&page).await;
    assert_eq!(page.run("window.same").await, true);
    // Programs get what they always got, and figures.
    let ask = async |path: &str| page.run(&format!("fetch('{path}').then((answer) => answer.text())")).await;
    assert!(ask("/").await.as_str().unwrap().starts_with("This is registrator's embedded registry"));
    let sick = "registrator_embedded_instances{status=\"critical\"} 1\n";
    let counted = async || ask("/metrics").await.as_str().unwrap().contains(sick).then_some(());
    eventually("the figures", SOON, counted).await;
    assert_eq!((ask("/health").await, ask("/ready").await), (json!("ok\n"), json!("ok\n")));
    let page = browser.page().await;
    page.forbid_scripts().await;
    page.go(&base).await;
    assert!(page.text(".row").await.contains("Docker says unhealthy"));
}

/// Whatever happens while a page is open: in the end it shows what one shows that is loaded then.
async fn shows_in_the_end_what_a_new_page_shows(count: usize) {
    let engine = FakeEngine::start().await;
    let mut ids =
        engine.populate(count, |number| web(&format!("web-{number:03}"), 10_000 + u16::try_from(number).unwrap()));
    let (_program, url) = status_at(&engine, &[LOCAL], "0").await;
    let browser = Chromium::start().await;
    let page = browser.open(&url).await;
    is_live(&page).await;
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..60_u16 {
        let at = random.usize(..ids.len());
        match random.u8(..6) {
            0 | 1 => {
                // In the middle of the others, or with something that needs attention.
                let name = format!("web-{:03}-{round}", random.usize(..count));
                let interval = if random.bool() { "often" } else { "5s" };
                let new = web(&name, 30_000 + round)
                    .env("SERVICE_CHECK_HTTP=/x")
                    .env(&format!("SERVICE_CHECK_INTERVAL={interval}"));
                ids.push(engine.run(new));
            }
            2 => engine.remove(&ids.swap_remove(at)),
            3 => engine.pause(&ids[at]),
            4 => engine.unpause(&ids[at]),
            _ => engine.rename(&ids[at], &format!("renamed-{round}")),
        }
        tokio::time::sleep(Duration::from_millis(random.u64(..120))).await;
    }
    let all = "Array.from(document.getElementById('rows').children).map((row) => row.id + row.dataset.digest)";
    let same = async || {
        let fresh = browser.open(&url).await;
        (page.run(all).await == fresh.run(all).await && page.text("#summary").await == fresh.text("#summary").await)
            .then_some(())
    };
    eventually(&format!("seed {seed}: the page is as a new one"), 2 * SOON, same).await;
    assert_eq!(page.shown(".row").await, ids.len() as u64, "seed {seed}");
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_it_shows_in_the_end_what_a_new_page_shows() {
    shows_in_the_end_what_a_new_page_shows(30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_with_many_rows_which_are_read_one_by_one() {
    shows_in_the_end_what_a_new_page_shows(700).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_containers_do_not_hang_it() {
    const MANY: usize = 10_000;
    let engine = FakeEngine::start().await;
    engine.populate(MANY, |number| {
        web(&format!("web-{number:05}"), 10_000 + u16::try_from(number).unwrap())
            .env(&format!("SERVICE_TAGS=tag{number}"))
    });
    let (program, url) = status_at(&engine, &[LOCAL], "0").await;
    program.wait_for("compared: ").await;
    let browser = Chromium::start().await;
    let page = browser.page().await;
    let began = Instant::now();
    page.go(&url).await;
    is_live(&page).await;
    assert_eq!(page.run("document.querySelectorAll('.row').length").await, MANY);
    assert!(began.elapsed() < SOON, "it took {:?} to load", began.elapsed());
    // How long the page ever kept a person waiting from here on, in milliseconds.
    let watch = "window.longest = 0; let last = performance.now(); setInterval(() => { \
                 const now = performance.now(); longest = Math.max(longest, now - last); last = now; }, 20); 0";
    page.run(watch).await;
    page.press("/").await;
    page.type_text("tag777").await;
    // 777, and 7770 to 7779.
    eventually("they are filtered", SOON, async || (page.shown(".row").await == 11).then_some(())).await;
    let id = engine.run(web("web-new", 9000).env("SERVICE_TAGS=tag777x"));
    eventually("a new one is there", SOON, async || (page.shown(".row").await == 12).then_some(())).await;
    engine.remove(&id);
    eventually("it is gone", SOON, async || (page.shown(".row").await == 11).then_some(())).await;
    page.press("Escape").await;
    let all = async || (page.run("document.querySelectorAll('.row:not([hidden])').length").await == MANY).then_some(());
    eventually("all are there again", SOON, all).await;
    page.press("j").await;
    assert_eq!(page.run("document.activeElement.querySelector('h3').innerText").await, "web-00000");
    let longest = page.run("longest").await.as_f64().unwrap();
    assert!(longest < 10_000.0, "it hung for {longest:.0} ms");
    assert_eq!(page.complaints(), [""; 0]);
}
