//! What rendered files are for: nginx and HAProxy, real, follow containers that come and go while requests are made. No
//! request is lost, and each configuration is one that the program accepts.

// A test that cannot be set up has failed: saying so at once is the point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{SOON, registrator};
use tempfile::TempDir;
use testkit::docker::{Container, Spec, unique};
use testkit::program::Program;
use testkit::servers::binary;
use testkit::wait::{becomes, eventually};

/// How long requests are made while containers come and go.
const LOAD: Duration = Duration::from_secs(12);

/// A port that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A configuration folder, and a proxy that reads what is rendered.
struct Site {
    folder: TempDir,
    service: String,
    port: u16,
}

/// A proxy; killed when dropped.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        // The master tells its workers.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let end = Instant::now() + Duration::from_secs(5);
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["confd/conf.d", "confd/templates"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        Self { folder, service: unique("app"), port: free_port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn resource(&self, template: &str, more: &str) {
        let dest = self.path("proxy.conf");
        let keys = format!("keys = [\"/{}\"]", self.service);
        let text = format!("[template]\nsrc = \"t\"\ndest = {:?}\n{keys}\n{more}\n", dest.to_str().unwrap());
        fs::write(self.path("confd/templates/t"), template).unwrap();
        fs::write(self.path("confd/conf.d/proxy.toml"), text).unwrap();
    }

    /// A container that answers, and goes on answering after it was told to stop, for longer than a proxy on a busy
    /// machine needs to be told and to follow.
    fn container(&self) -> Container {
        let serve = "mkdir /www; echo well >/www/index.html; httpd -p 80 -h /www; trap 'sleep 8; exit 0' TERM; \
                     while :; do sleep 3600 & wait $!; done";
        let name = format!("SERVICE_NAME={}", self.service);
        Spec::new(&unique("app")).shell(serve).env(&name).publish_at("80/tcp", "127.0.0.1", "").start()
    }

    fn start(&self, options: &[&str]) -> Program {
        let confdir = self.path("confd").display().to_string();
        let options = [&["-render", &confdir, "-ip", "127.0.0.1", "-drain", "1"], options].concat();
        registrator("embedded://127.0.0.1:0?dns=off", &options)
    }

    /// The servers that the file names, in order.
    fn servers(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("proxy.conf")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("server "));
        let mut servers: Vec<String> =
            lines.filter_map(|line| Some(line[line.find("127.")?..].trim_end_matches(';').to_owned())).collect();
        servers.sort();
        servers
    }

    async fn has(&self, containers: &VecDeque<Container>) {
        let mut expected: Vec<_> =
            containers.iter().map(|container| format!("127.0.0.1:{}", container.host_port("80/tcp"))).collect();
        expected.sort();
        becomes(expected, SOON, async || self.servers()).await;
    }

    fn spawn(&self, program: &str, arguments: &[&str]) -> Proxy {
        let log = fs::File::create(self.path("proxy.log")).unwrap();
        let child = Command::new(binary(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Proxy(child)
    }

    async fn answers(&self) {
        let address = format!("http://127.0.0.1:{}/", self.port);
        eventually("the proxy answers", SOON, async || {
            let answer = Command::new("curl").args(["-sf", "--max-time", "2", &address]).output().unwrap();
            (answer.stdout == b"well\n").then_some(())
        })
        .await;
    }

    /// Makes requests while containers come and go, and gives what `wrk` says.
    async fn load(&self, containers: &mut VecDeque<Container>) -> String {
        let seconds = format!("-d{}s", LOAD.as_secs());
        let address = format!("http://127.0.0.1:{}/", self.port);
        let wrk = Command::new("wrk").args(["-t1", "-c4", &seconds, &address]).stdout(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        let mut stopping = Vec::new();
        while began.elapsed() + Duration::from_secs(4) < LOAD {
            containers.push_back(self.container());
            self.has(containers).await;
            let oldest = containers.pop_front().unwrap();
            stopping.push(std::thread::spawn(move || oldest.act("stop?t=20")));
            self.has(containers).await;
            // A pace that a proxy on a busy machine can follow; how fast it follows is not what is promised.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let done = wrk.wait_with_output().unwrap();
        for container in stopping {
            container.join().unwrap();
        }
        String::from_utf8_lossy(&done.stdout).into_owned()
    }
}

/// Whether a run of `wrk` lost nothing, and made requests at all.
fn assert_nothing_lost(said: &str, log: &Path) {
    let proxy = || fs::read_to_string(log).unwrap_or_default();
    assert!(!said.contains("Socket errors"), "{said}\n{}", proxy());
    assert!(!said.contains("Non-2xx"), "{said}\n{}", proxy());
    let requests = said.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<u64>().ok());
    assert!(requests.is_some_and(|requests| requests > 100), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_follows_containers_and_loses_no_request() {
    let site = Site::new();
    let (root, port, service) = (site.folder.path().display().to_string(), site.port, &site.service);
    // Connections are not kept, because a client can always meet the end of one that is idle.
    let template = format!(
        "daemon off;\nmaster_process on;\nworker_processes 1;\nuser root;\npid {root}/nginx.pid;\nerror_log {root}/proxy.log;\n\
         events {{ worker_connections 256; }}\nhttp {{\n  access_log off;\n  keepalive_timeout 0;\n  \
         client_body_temp_path {root}/body;\n  proxy_temp_path {root}/proxy;\n  fastcgi_temp_path {root}/fastcgi;\n  \
         uwsgi_temp_path {root}/uwsgi;\n  scgi_temp_path {root}/scgi;\n  upstream app {{\n\
         {{{{- range getvs \"/{service}/*\"}}}}\n    server {{{{.}}}};\n{{{{- else}}}}\n    server 127.0.0.1:1;\n{{{{- end}}}}\n  }}\n  \
         server {{\n    listen 127.0.0.1:{port};\n    location / {{ proxy_pass http://app; }}\n  }}\n}}\n"
    );
    let nginx = binary("nginx").display().to_string();
    let (config, prefix) = (format!("{root}/proxy.conf"), format!("{root}/"));
    let commands = format!(
        "check_cmd = \"{nginx} -t -p {prefix} -c {{{{.src}}}}\"\nreload_cmd = \"test ! -s {root}/nginx.pid || {nginx} -s reload -p {prefix} -c {config}\""
    );
    site.resource(&template, &commands);
    let program = site.start(&[]);
    let mut containers: VecDeque<_> = [site.container(), site.container()].into();
    site.has(&containers).await;
    let _proxy = site.spawn("nginx", &["-p", &prefix, "-c", &config]);
    site.answers().await;
    let said = site.load(&mut containers).await;
    assert_nothing_lost(&said, &site.path("proxy.log"));
    site.has(&containers).await;
    assert_eq!(program.logged("stays as it is"), 0, "{:#?}", program.log());
    assert_eq!(program.logged("was not told"), 0, "{:#?}", program.log());
    assert!(program.logged("reloaded: ") >= 4, "{:#?}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_follows_containers_by_a_signal_and_loses_no_request() {
    let site = Site::new();
    let (root, port, service) = (site.folder.path().display().to_string(), site.port, &site.service);
    let template = format!(
        "global\n  stats socket {root}/haproxy.sock mode 600 level admin expose-fd listeners\n\ndefaults\n  mode http\n  \
         option httpclose\n  option redispatch\n  retries 3\n  retry-on conn-failure empty-response\n  timeout connect 2s\n  \
         timeout client 10s\n  timeout server 10s\n\nfrontend all\n  bind 127.0.0.1:{port}\n  default_backend app\n\nbackend app\n\
         {{{{range gets \"/{service}/*\"}}}}  server {{{{replace (base .Key) \":\" \"_\" -1}}}} {{{{.Value}}}}\n{{{{end}}}}"
    );
    let haproxy = binary("haproxy").display().to_string();
    let commands = format!(
        "check_cmd = \"{haproxy} -c -f {{{{.src}}}}\"\nreload_pid_file = \"{root}/haproxy.pid\"\nreload_signal = \"USR2\""
    );
    site.resource(&template, &commands);
    // The signal needs a process: until HAProxy runs, the reload is due.
    let program = site.start(&["-allow-signals"]);
    let mut containers: VecDeque<_> = [site.container(), site.container()].into();
    site.has(&containers).await;
    let config = format!("{root}/proxy.conf");
    let pid = format!("{root}/haproxy.pid");
    let _proxy = site.spawn("haproxy", &["-W", "-db", "-f", &config, "-p", &pid]);
    site.answers().await;
    program.wait_for("reloaded: ").await;
    let said = site.load(&mut containers).await;
    assert_nothing_lost(&said, &site.path("proxy.log"));
    site.has(&containers).await;
    assert_eq!(program.logged("Config check failed"), 0, "{:#?}", program.log());
    assert!(program.logged("reloaded: ") >= 4, "{:#?}", program.log());
}
