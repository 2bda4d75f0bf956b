//! A real headless Chromium, and its pages: what a person sees, and whatever the browser complains of.
//!
//! Speaks the DevTools protocol (<https://chromedevtools.github.io/devtools-protocol/>) over the browser's pipe: JSON
//! messages that end with a zero byte, on its file descriptors 3 and 4.
//!
//! ```no_run
//! # async fn example() {
//! use testkit::chromium::Chromium;
//!
//! let browser = Chromium::start().await;
//! let page = browser.open("http://127.0.0.1:9120/").await;
//! assert_eq!(page.text("h1").await, "web1");
//! page.press("/").await;
//! page.type_text("redis").await;
//! assert!(page.complaints().is_empty());
//! # }
//! ```

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::wait::eventually;

/// How long the browser may take for anything; machines are slow at times.
const PATIENCE: Duration = Duration::from_secs(60);

/// The machine got a network, or lost one.
const NETWORK_CHANGED: &str = "net::ERR_NETWORK_CHANGED";

/// A browser of its own, with a profile of its own; killed when dropped.
pub struct Chromium {
    process: Child,
    connection: Arc<Connection>,
    /// Removed at the end.
    _profile: TempDir,
}

struct Connection {
    to: Mutex<ChildStdin>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    /// What happened, by the session of its page.
    happened: HashMap<String, Vec<Value>>,
}

/// A page of the browser.
pub struct Page {
    connection: Arc<Connection>,
    session: String,
}

impl Chromium {
    /// Starts it.
    ///
    /// # Panics
    /// When there is none on this machine, or it does not start.
    pub async fn start() -> Self {
        let profile = TempDir::new().expect("a folder for the profile");
        let flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
        let quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"];
        // A shell puts our pipes where the browser expects them.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, "sh", "--remote-debugging-pipe"])
            .args(flags.into_iter().chain(quiet))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let to = Mutex::new(process.stdin.take().unwrap());
        let connection = Arc::new(Connection { to, state: Mutex::default() });
        let from = BufReader::new(process.stdout.take().unwrap());
        let reader = Arc::clone(&connection);
        std::thread::spawn(move || {
            for message in from.split(0).map_while(Result::ok) {
                reader.hear(serde_json::from_slice(&message).unwrap_or_default());
            }
            // Whoever still waits learns that the browser is gone.
            reader.state.lock().unwrap().waiting.clear();
        });
        let browser = Self { process, connection, _profile: profile };
        browser.connection.call(None, "Browser.getVersion", json!({})).await;
        browser
    }

    /// An empty page.
    ///
    /// # Panics
    /// When the browser makes none.
    pub async fn page(&self) -> Page {
        let call = |method, parameters| self.connection.call(None, method, parameters);
        let target = call("Target.createTarget", json!({"url": "about:blank"})).await["targetId"].clone();
        let attached = call("Target.attachToTarget", json!({"targetId": target, "flatten": true})).await;
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        let page = Page { connection: Arc::clone(&self.connection), session };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        page
    }

    /// A page that has loaded this URL.
    ///
    /// # Panics
    /// When it does not load.
    pub async fn open(&self, url: &str) -> Page {
        let page = self.page().await;
        page.go(url).await;
        page
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // With all of its processes, which are a group of their own.
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.process.wait();
    }
}

impl Connection {
    fn hear(&self, mut message: Value) {
        let mut state = self.state.lock().unwrap();
        if let Some(waiting) = message["id"].as_u64().and_then(|id| state.waiting.remove(&id)) {
            let _ = waiting.send(message);
        } else if let Some(session) = message["sessionId"].take().as_str() {
            state.happened.entry(session.to_owned()).or_default().push(message);
        }
    }

    async fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut state = self.state.lock().unwrap();
            state.last += 1;
            let id = state.last;
            state.waiting.insert(id, answer);
            id
        };
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let sent = self.to.lock().unwrap().write_all(format!("{message}\0").as_bytes());
        sent.unwrap_or_else(|error| panic!("{method}: {error}; is chromium installed? dev/install-servers does it"));
        let answer = timeout(PATIENCE, answered).await.unwrap_or_else(|_| panic!("{method} is not answered"));
        let mut answer = answer
            .unwrap_or_else(|_| panic!("{method}: the browser is gone; is it installed? dev/install-servers does it"));
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].take()
    }
}

// === impl Page: what is done ===

impl Page {
    async fn call(&self, method: &str, parameters: Value) -> Value {
        self.connection.call(Some(&self.session), method, parameters).await
    }

    /// Loads a URL, and waits until all of it is there.
    ///
    /// # Panics
    /// When it does not load.
    pub async fn go(&self, url: &str) {
        let mut attempts = 0;
        loop {
            let before = self.interrupted();
            let answer = self.call("Page.navigate", json!({"url": url})).await;
            let error = answer["errorText"].as_str().unwrap_or_default();
            assert!(error.is_empty() || error == NETWORK_CHANGED, "{url}: {error}");
            let loaded = async || (self.run("document.readyState").await == "complete").then_some(());
            eventually(&format!("{url} loads"), PATIENCE, loaded).await;
            if self.interrupted() == before && error.is_empty() {
                return;
            }
            attempts += 1;
            assert!(attempts < 50, "{url}: the machine's networks change all the time");
        }
    }

    /// How many requests were given up because a network of the machine came or went, as they do while other tests start
    /// containers. Chromium gives up those to this machine, too.
    fn interrupted(&self) -> usize {
        let failed = self.happened("Network.loadingFailed");
        failed.iter().filter(|failed| failed["errorText"] == NETWORK_CHANGED).count()
    }

    /// What an expression of JavaScript gives; a promise is waited for.
    ///
    /// # Panics
    /// When it throws.
    pub async fn run(&self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", parameters).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// The text that is shown of the first element of a selector; empty without one.
    pub async fn text(&self, selector: &str) -> String {
        let expression = format!("document.querySelector({})?.innerText ?? ''", json!(selector));
        self.run(&expression).await.as_str().unwrap_or_default().to_owned()
    }

    /// How many elements of a selector can be seen.
    pub async fn shown(&self, selector: &str) -> u64 {
        let all = format!("Array.from(document.querySelectorAll({}))", json!(selector));
        let expression = format!("{all}.filter((element) => element.checkVisibility()).length");
        self.run(&expression).await.as_u64().unwrap_or_default()
    }

    /// Types text where the cursor is.
    pub async fn type_text(&self, text: &str) {
        for character in text.chars() {
            self.press(&character.to_string()).await;
        }
    }

    /// Presses a key and lets it go: a character, or a name as `Escape`.
    pub async fn press(&self, key: &str) {
        let code = match key {
            "Escape" => 27,
            "Enter" => 13,
            "Tab" => 9,
            "Backspace" => 8,
            "ArrowDown" => 40,
            _ => 0,
        };
        let mut down = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code});
        if key.chars().count() == 1 {
            down["text"] = json!(key);
        }
        self.call("Input.dispatchKeyEvent", down).await;
        let up = json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", up).await;
    }

    /// From the next page that is loaded on, no script runs.
    pub async fn forbid_scripts(&self) {
        self.call("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    }

    /// Gives the page this size, in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }
}

// === impl Page: what happened ===

impl Page {
    fn happened(&self, method: &str) -> Vec<Value> {
        let state = self.connection.state.lock().unwrap();
        let all = state.happened.get(&self.session).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|event| event["method"] == method).map(|event| event["params"].clone()).collect()
    }

    /// The URLs of all requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let requests = self.happened("Network.requestWillBeSent");
        requests.iter().filter_map(|request| Some(request["request"]["url"].as_str()?.to_owned())).collect()
    }

    /// What the browser complained of so far: exceptions, messages of the console, violations of the policy, dialogs.
    /// Connections that were refused are not among them.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let kinds =
            ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Page.javascriptDialogOpening"];
        let all = kinds.iter().flat_map(|kind| self.happened(kind)).map(|complaint| complaint.to_string());
        all.filter(|complaint| !complaint.contains("net::ERR_")).collect()
    }
}
