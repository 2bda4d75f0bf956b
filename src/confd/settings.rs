//! From the options of all places to what one run does. The environment, the file and the command line are read here,
//! in confd's order: command line, environment, file, default.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::layer::Layer;
use super::options::Name;
use super::{environment, file};
use crate::config::Environment;
use crate::event::Events;
use crate::http::Tls;
use crate::render::source::{Backend, BackendSettings, unknown_backend};

/// The default of `-confdir`, and of `-config-file` in it.
const CONFDIR: &str = "/etc/confd";
const CONFIG_FILE: &str = "/etc/confd/confd.toml";
/// The default of `-interval`, in seconds.
const INTERVAL: i64 = 600;
/// The maximum size of `confd.toml`, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// The least level that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Nothing but the panics that we do not have.
    Panic,
    /// Why the program ends.
    Fatal,
    /// What failed.
    Error,
    /// What is odd.
    Warning,
    /// What was done.
    #[default]
    Info,
    /// All of it.
    Debug,
}

impl Level {
    /// The level of this name, in any case.
    #[must_use]
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "panic" => Self::Panic,
            "fatal" => Self::Fatal,
            "error" => Self::Error,
            "warn" | "warning" => Self::Warning,
            "info" => Self::Info,
            "debug" => Self::Debug,
            _ => return None,
        })
    }
}

/// When resources are rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Once.
    Onetime,
    /// Again and again, with a pause.
    Interval(Duration),
    /// When the back end has changed.
    Watch,
    /// Not at all: resources and templates are only read.
    CheckConfig,
}

/// What one run does.
#[derive(Clone)]
pub(super) struct Settings {
    /// Where the keys are.
    pub(super) backend: BackendSettings,
    /// All options, for resources that have a back end of their own.
    layer: Layer,
    /// The folder of `conf.d` and `templates`.
    pub(super) confdir: PathBuf,
    /// The only resource, if one is named.
    pub(super) resource: Option<PathBuf>,
    /// When resources are rendered.
    pub(super) mode: Mode,
    /// The prefix of all keys; empty for none.
    pub(super) prefix: String,
    /// Whether it stands before a resource's own prefix, and not in its place.
    pub(super) prefix_join: bool,
    /// Nothing is written.
    pub(super) noop: bool,
    /// What would be written is shown, in colour or not; `None` if it is not shown.
    pub(super) diff: Option<Color>,
    /// Staged files stay.
    pub(super) keep_stage_file: bool,
    /// Neither command is run.
    pub(super) sync_only: bool,
    /// Resources may send signals to containers.
    pub(super) allow_signals: bool,
    /// The SRV record that names the nodes, if they are not named.
    pub(super) srv_record: Option<String>,
}

/// Whether a difference is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    /// It is.
    Always,
    /// On a terminal.
    Auto,
}

/// The options of all places, and what is to be said about them.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// All values.
    pub(super) layer: Layer,
    /// The least level that is logged.
    pub(super) level: Level,
    /// What was read, at `DEBUG`.
    pub(super) notes: Vec<String>,
    /// What is odd, at `WARNING`.
    pub(super) warnings: Vec<String>,
}

/// Gathers the options of all places.
///
/// # Errors
/// Why the program cannot go on; one line.
pub(super) fn gather(flags: Layer, variables: &Environment) -> Result<Gathered, String> {
    let upper = flags.over(environment::read(variables)?);
    let path = PathBuf::from(upper.text(Name::ConfigFile).unwrap_or(CONFIG_FILE));
    let mut gathered = Gathered::default();
    let shown = path.display().to_string().escape_debug().to_string();
    let lower = match read(&path).map_err(|reason| format!("{shown}: {reason}"))? {
        None => {
            gathered.notes.push("Skipping confd config file.".to_owned());
            Layer::default()
        }
        Some(text) => {
            gathered.notes.push(format!("Loading {shown}"));
            let file = file::parse(&text).map_err(|reason| format!("{shown}:{reason}"))?;
            gathered.warnings.extend(file.warnings.iter().map(|warning| format!("{shown}:{warning}")));
            file.layer
        }
    };
    gathered.layer = upper.over(lower);
    if let Some(level) = gathered.layer.text(Name::LogLevel) {
        gathered.level = Level::named(level).ok_or_else(|| format!("not a valid level: {level:?}"))?;
    }
    Ok(gathered)
}

/// The text of a file; `None` if it is not there.
fn read(path: &Path) -> Result<Option<String>, String> {
    use std::io::Read;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut text = String::new();
    file.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(format!("it is larger than {} KiB", LARGEST_FILE >> 10));
    }
    Ok(Some(text))
}

impl Settings {
    /// Makes settings of the options. Odd ones are added to `warnings`.
    ///
    /// # Errors
    /// Why the program cannot go on; one line.
    pub(super) fn new(
        layer: &Layer,
        variables: &Arc<Environment>,
        events: &Events,
        warnings: &mut Vec<String>,
    ) -> Result<Self, String> {
        let text = |name| layer.text(name);
        let path = |name| text(name).map(PathBuf::from);
        let on = |name| layer.switch(name).unwrap_or_default();
        let name = text(Name::Backend).unwrap_or("etcd");
        let kind = Backend::named(name).ok_or_else(|| unknown_backend(name))?;
        let srv_record = match (text(Name::SrvRecord), text(Name::SrvDomain)) {
            (Some(record), _) => Some(record.to_owned()),
            (None, Some(domain)) => Some(format!("_{name}._tcp.{domain}.")),
            (None, None) => None,
        }
        .filter(|_| kind.has_nodes());
        let interval = layer.number(Name::Interval).unwrap_or(INTERVAL);
        let mode = if on(Name::CheckConfig) {
            Mode::CheckConfig
        } else if on(Name::Onetime) {
            Mode::Onetime
        } else if on(Name::Watch) {
            Mode::Watch
        } else {
            // Without a pause, the back end would be asked without an end.
            Mode::Interval(Duration::from_secs(u64::try_from(interval).unwrap_or_default().max(1)))
        };
        if layer.number(Name::Interval).is_some_and(|interval| interval < 1) {
            warnings.push(format!("-interval {interval} is no number of seconds; every second is the most often"));
        }
        let noop = on(Name::Noop);
        if on(Name::Diff) && !noop {
            warnings.push("-diff shows what -noop would change, and does nothing without it".to_owned());
        }
        Ok(Self {
            backend: backend(layer, kind, variables, events, warnings)?,
            layer: layer.clone(),
            confdir: path(Name::Confdir).unwrap_or_else(|| CONFDIR.into()),
            resource: path(Name::Resource),
            mode,
            prefix: text(Name::Prefix).unwrap_or_default().to_owned(),
            prefix_join: on(Name::PrefixJoin),
            noop,
            diff: on(Name::Diff).then(|| if on(Name::Color) { Color::Always } else { Color::Auto }),
            keep_stage_file: on(Name::KeepStageFile),
            sync_only: on(Name::SyncOnly),
            allow_signals: on(Name::AllowSignals),
            srv_record,
        })
    }
}

impl Settings {
    /// The back end of a resource that has one of its own; what it does not say is as for all. Nodes and credentials are
    /// for one back end only.
    ///
    /// # Errors
    /// When it cannot be used; one line.
    pub(super) fn of_resource(&self, own: Layer, warnings: &mut Vec<String>) -> Result<BackendSettings, String> {
        let kind = match own.text(Name::Backend) {
            Some(name) => Backend::named(name).ok_or_else(|| unknown_backend(name))?,
            None => self.backend.backend,
        };
        let layer = if kind == self.backend.backend { own.over(self.layer.clone()) } else { own };
        backend(&layer, kind, &self.backend.environment, &self.backend.events, warnings)
    }
}

/// How a back end is reached.
fn backend(
    layer: &Layer,
    backend: Backend,
    variables: &Arc<Environment>,
    events: &Events,
    warnings: &mut Vec<String>,
) -> Result<BackendSettings, String> {
    let scheme = match layer.text(Name::Scheme) {
        None | Some("http") => None,
        Some("https") => Some("https".to_owned()),
        Some(other) => return Err(format!("-scheme {other:?} is neither http nor https")),
    };
    // An empty one is that of a variable that is not set: `-node "$NODE"`.
    let given = layer.list(Name::Node).unwrap_or_default().iter().filter(|node| !node.trim().is_empty());
    let given: Vec<_> = given.cloned().collect();
    Ok(BackendSettings {
        backend,
        nodes: if given.is_empty() { backend.default_nodes(variables) } else { given },
        scheme,
        user: user(layer, backend, warnings),
        token: layer.text(Name::AuthToken).map(SecretString::from),
        tls: tls(layer, backend)?,
        separator: layer.text(Name::Separator).unwrap_or_default().to_owned(),
        files: layer.list(Name::File).unwrap_or_default().iter().map(PathBuf::from).collect(),
        filter: layer.text(Name::Filter).unwrap_or("*").to_owned(),
        environment: Arc::clone(variables),
        events: events.clone(),
    })
}

/// Whether `-client-key` is a password: with Redis it is in confd, and stays so where no `-client-cert` stands beside it.
fn key_is_password(layer: &Layer, backend: Backend) -> bool {
    backend == Backend::Redis && layer.text(Name::ClientCert).is_none()
}

/// The user and the password.
fn user(layer: &Layer, backend: Backend, warnings: &mut Vec<String>) -> Option<(String, SecretString)> {
    let (user, password) = (layer.text(Name::Username), layer.text(Name::Password));
    let pair = |user: Option<&str>, password: Option<&str>| {
        (user.unwrap_or_default().to_owned(), SecretString::from(password.unwrap_or_default()))
    };
    if backend == Backend::Redis {
        let key = layer.text(Name::ClientKey).filter(|_| key_is_password(layer, backend));
        let password = password.or(key);
        return password.map(|password| pair(user, Some(password)));
    }
    if layer.switch(Name::BasicAuth).unwrap_or_default() {
        return Some(pair(user, password));
    }
    if backend.has_nodes() && (user.is_some() || password.is_some()) {
        warnings.push("-username and -password are not sent without -basic-auth".to_owned());
    }
    None
}

/// The files of TLS.
fn tls(layer: &Layer, backend: Backend) -> Result<Tls, String> {
    let path = |name| layer.text(name).map(PathBuf::from);
    let key = path(Name::ClientKey).filter(|_| !key_is_password(layer, backend));
    let identity = match (path(Name::ClientCert), key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err("-client-cert and -client-key must be set together or not at all".to_owned()),
    };
    let skip_verify = layer.switch(Name::ClientInsecure).unwrap_or_default();
    Ok(Tls { ca: path(Name::ClientCaKeys), identity, skip_verify })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use secrecy::ExposeSecret;

    use super::super::flags;
    use super::*;

    /// The settings of a command line, with these variables and this file.
    fn settings(line: &str, variables: &[(&str, &str)], file: &str) -> Result<(Settings, Vec<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("confd.toml");
        std::fs::write(&path, file).unwrap();
        let line = format!("-config-file {} {line}", path.display());
        let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let variables: Environment =
            variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        let gathered = gather(flags::parse(&arguments).unwrap().layer, &variables)?;
        let mut warnings = Vec::new();
        let settings = Settings::new(&gathered.layer, &Arc::new(variables), &Events::new(|_| {}), &mut warnings)?;
        Ok((settings, warnings))
    }

    #[test]
    fn the_command_line_counts_before_the_environment_and_that_before_the_file() {
        let file = "prefix = \"/file\"\nbackend = \"consul\"\ninterval = 7\n";
        let variables = [("CONFD_PREFIX", "/environment"), ("CONFD_INTERVAL", "5")];
        let (all, _) = settings("-prefix /flag", &variables, file).unwrap();
        assert_eq!(all.prefix, "/flag");
        assert_eq!(all.mode, Mode::Interval(Duration::from_secs(5)));
        assert_eq!(all.backend.backend, Backend::Consul);
        assert_eq!(settings("", &variables, file).unwrap().0.prefix, "/environment");
        assert_eq!(settings("", &[], file).unwrap().0.prefix, "/file");
        let (none, _) = settings("", &[], "").unwrap();
        assert_eq!(none.mode, Mode::Interval(Duration::from_secs(600)));
        assert_eq!((none.backend.backend, none.confdir), (Backend::Etcd, PathBuf::from("/etc/confd")));
        assert_eq!(none.backend.nodes, ["http://127.0.0.1:4001"]);
        assert_eq!(settings("-node= -node=a:1", &[], "").unwrap().0.backend.nodes, ["a:1"]);
        assert_eq!(settings("-node=", &[], "").unwrap().0.backend.nodes, ["http://127.0.0.1:4001"]);
    }

    #[test]
    fn once_counts_before_watching_and_that_before_the_interval() {
        for (line, mode) in [
            ("-onetime -watch -interval 5", Mode::Onetime),
            ("-watch -interval 5", Mode::Watch),
            ("-interval 5", Mode::Interval(Duration::from_secs(5))),
            ("-interval 0", Mode::Interval(Duration::from_secs(1))),
            ("-check-config -onetime", Mode::CheckConfig),
        ] {
            assert_eq!(settings(line, &[], "").unwrap().0.mode, mode, "{line}");
        }
    }

    #[test]
    fn an_srv_domain_is_the_record_of_the_back_end_there() {
        let record = |line: &str| settings(line, &[], "").unwrap().0.srv_record;
        assert_eq!(record("-srv-domain example.com").as_deref(), Some("_etcd._tcp.example.com."));
        assert_eq!(record("-backend consul -srv-record _x._tcp.y").as_deref(), Some("_x._tcp.y"));
        assert_eq!(record("-srv-domain a -srv-record b").as_deref(), Some("b"));
        assert_eq!(record("-backend env -srv-domain a"), None);
    }

    #[test]
    fn a_user_is_sent_only_where_it_is_asked_for_and_redis_has_its_password_in_the_key() {
        let user = |line: &str| {
            let (settings, warnings) = settings(line, &[], "").unwrap();
            let user = settings.backend.user.map(|(user, password)| format!("{user}:{}", password.expose_secret()));
            (user, warnings.len())
        };
        assert_eq!(user("-basic-auth -username u -password p"), (Some("u:p".to_owned()), 0));
        assert_eq!(user("-username u -password p"), (None, 1));
        assert_eq!(user("-backend redis -client-key p"), (Some(":p".to_owned()), 0));
        assert_eq!(user("-backend redis -password q -client-key p"), (Some(":q".to_owned()), 0));
        assert_eq!(user("-backend redis"), (None, 0));
    }

    #[test]
    fn what_cannot_be_used_is_said_in_one_line() {
        for (line, file, reason) in [
            ("-backend consull", "", "Invalid backend: there is no consull; did you mean consul?"),
            ("-log-level loud", "", "not a valid level: \"loud\""),
            ("-client-cert /c", "", "-client-cert and -client-key must be set together or not at all"),
            ("-scheme ftp", "", "-scheme \"ftp\" is neither http nor https"),
        ] {
            assert_eq!(settings(line, &[], file).err().as_deref(), Some(reason), "{line}");
        }
        let reason = settings("", &[], "interval = \"x\"\n").err().unwrap();
        assert!(reason.ends_with("confd.toml:1: interval has a value of another kind; it is written as interval = 60"));
        let reason = settings("", &[("CONFD_WATCH", "maybe")], "").err().unwrap();
        assert_eq!(reason, "CONFD_WATCH=\"maybe\" is not true or false");
    }

    #[test]
    fn a_file_that_is_not_there_is_no_mistake() {
        let arguments = ["-config-file".to_owned(), "/nowhere/confd.toml".to_owned()];
        let gathered = gather(flags::parse(&arguments).unwrap().layer, &Environment::default()).unwrap();
        assert_eq!(gathered.notes, ["Skipping confd config file."]);
    }
}
