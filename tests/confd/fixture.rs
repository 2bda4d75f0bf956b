//! A configuration folder for one test, the program over it, and the data and templates of confd's integration cases.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;
use testkit::program::Program;
use testkit::wait::becomes;

/// How long anything may take that should happen at once; machines are slow at times.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The program.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_registrator");

/// The data of confd's integration cases, in every back end.
pub(crate) const DATA: [(&str, &str); 9] = [
    ("/key", "foobar"),
    ("/database/host", "127.0.0.1"),
    ("/database/password", "p@sSw0rd"),
    ("/database/port", "3306"),
    ("/database/username", "confd"),
    ("/upstream/app1", "10.0.1.10:8080"),
    ("/upstream/app2", "10.0.1.11:8080"),
    ("/nested/east/app1", "10.0.1.10:8080"),
    ("/nested/west/app2", "10.0.1.11:8080"),
];

/// The data, and the same again below `/prefix`.
pub(crate) fn all_data() -> Vec<(String, String)> {
    let plain = DATA.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let prefixed = DATA.iter().map(|(key, value)| (format!("/prefix{key}"), (*value).to_owned()));
    plain.chain(prefixed).collect()
}

/// A folder with `conf.d`, `templates` and the place of the rendered files.
pub(crate) struct Confdir {
    folder: TempDir,
}

impl Confdir {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["conf.d", "templates", "out"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// One with confd's integration cases.
    pub(crate) fn with_cases() -> Self {
        let confdir = Self::new();
        let basic = ["/database/host", "/database/password", "/database/port", "/database/username"];
        let many: Vec<_> = basic.iter().cycle().take(204).copied().collect();
        let database = "hostname: {{ getenv \"HOSTNAME\" }}\n[database]\nhost={{ getv \"/database/host\" }}\n\
                        password={{ getv \"/database/password\" }}\nport={{ getv \"/database/port\" }}\n\
                        username={{ getv \"/database/username\" }}\n";
        confdir.case("basic", &basic, database);
        confdir.case("manykeys", &many, database);
        confdir.case(
            "exists",
            &["/key"],
            "{{ if exists \"/key\" }}value: {{ getv \"/key\" }}{{ end }}\n{{- if exists \"/doesnotexist\" }}\n\
             This line will not be printed\nvalue: {{ getv \"/doesnotexist\" }}\n{{ end }}\n",
        );
        confdir.case(
            "iteration",
            &["/upstream"],
            "upstream app {\n{{- range gets \"/upstream/*\" }}\n  server {{ .Value }};\n{{- end }}\n}\n\nserver {\n  \
             server_name www.example.com;\n  location / {\n    proxy_pass http://app;\n    \
             proxy_set_header Host $host;\n  }\n}\n",
        );
        confdir.case(
            "nested",
            &["/nested"],
            "{{ range gets \"/nested/*\" }}\n  {{ range gets .Key }}\n    server {{ .Value }};\n  {{ end }}\n{{ end }}\n",
        );
        confdir
    }

    fn case(&self, name: &str, keys: &[&str], template: &str) {
        let keys: Vec<_> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        self.template(&format!("{name}.conf.tmpl"), template);
        self.resource(name, &format!("mode = \"0644\"\nsrc = \"{name}.conf.tmpl\"\nkeys = [{}]\n", keys.join(", ")));
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a rendered file.
    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    /// Writes a template.
    pub(crate) fn template(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join("templates").join(name), text).unwrap();
    }

    /// Writes the resource NAME.toml, whose `dest` is NAME among the rendered files.
    pub(crate) fn resource(&self, name: &str, lines: &str) {
        let dest = self.out(name);
        let text = format!("[template]\ndest = \"{}\"\n{lines}", dest.display());
        fs::write(self.folder.path().join("conf.d").join(format!("{name}.toml")), text).unwrap();
    }

    /// What a rendered file holds; `None` if it is not there.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.out(name)).ok()
    }

    /// Waits until a rendered file holds this.
    pub(crate) async fn becomes(&self, name: &str, text: &str) {
        becomes(Some(text.to_owned()), SOON, async || self.read(name)).await;
    }

    /// What is left among the rendered files but the files of these names.
    pub(crate) fn others(&self, names: &[&str]) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("out")).unwrap();
        let names_there = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut others: Vec<_> = names_there.filter(|name| !names.contains(&name.as_str())).collect();
        others.sort();
        others
    }

    /// Runs the program to its end, with these options and variables of its own.
    pub(crate) fn run_with(&self, options: &[&str], variables: &[(&str, &str)]) -> Ended {
        let output = Command::new(BINARY)
            .arg("confd")
            .arg("-confdir")
            .arg(self.path())
            .args(options)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOSTNAME", "localhost")
            .envs(variables.iter().copied())
            .current_dir(self.path())
            .output()
            .unwrap();
        Ended::from(output)
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, options: &[&str]) -> Ended {
        self.run_with(options, &[])
    }

    /// Starts the program, to be stopped by the test.
    pub(crate) fn start(&self, options: &[&str]) -> Program {
        let confdir = self.path().to_str().unwrap();
        let arguments = ["confd", "-confdir", confdir].into_iter().chain(options.iter().copied());
        Program::start(Path::new(BINARY), arguments, [("HOSTNAME", "localhost")])
    }

    /// The rendered files are what confd makes of its integration cases.
    pub(crate) fn has_cases(&self) {
        let database =
            "hostname: localhost\n[database]\nhost=127.0.0.1\npassword=p@sSw0rd\nport=3306\nusername=confd\n";
        for (name, expected) in [
            ("basic", database),
            ("manykeys", database),
            ("exists", "value: foobar\n"),
            (
                "iteration",
                "upstream app {\n  server 10.0.1.10:8080;\n  server 10.0.1.11:8080;\n}\n\nserver {\n  \
                 server_name www.example.com;\n  location / {\n    proxy_pass http://app;\n    \
                 proxy_set_header Host $host;\n  }\n}\n",
            ),
            // No leaf matches, as in confd.
            ("nested", "\n"),
        ] {
            assert_eq!(self.read(name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(self.others(&["basic", "manykeys", "exists", "iteration", "nested"]), [""; 0]);
    }
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    /// The log, line by line.
    pub(crate) log: Vec<String>,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            log: String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect(),
        }
    }
}

impl Ended {
    /// It ended well.
    pub(crate) fn well(&self) {
        assert_eq!(self.code, Some(0), "{}", self.log.join("\n"));
        assert!(self.said().iter().all(|line| !line.starts_with("ERROR")), "{}", self.log.join("\n"));
    }

    /// The lines of its log from the level on.
    pub(crate) fn said(&self) -> Vec<&str> {
        self.log.iter().map(|line| line.split_once("]: ").map_or(line.as_str(), |(_, said)| said)).collect()
    }

    /// Whether a line of its log is this, from the level on.
    pub(crate) fn says(&self, line: &str) -> bool {
        self.said().contains(&line)
    }
}
