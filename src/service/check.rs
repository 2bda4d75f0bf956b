//! The health check that a container asks for (`SERVICE_CHECK_…`).

use std::time::Duration;

use super::decision::{CheckPart, Decision, Field, Recorder, Rule};
use super::duration;
use super::metadata::{PortMetadata, Setting};
use super::notes::{Notes, quote, quote_key};
use crate::nearest::nearest;

/// The default of `CHECK_INTERVAL`.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);

/// The maximum length of a method, in bytes.
const LONGEST_METHOD: usize = 32;

/// The allowed initial statuses (Consul's agent API, "Register Check").
const STATUSES: [&str; 3] = ["passing", "warning", "critical"];

/// The check of one service. Not every registry can run every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What to do.
    pub kind: CheckKind,
    /// The interval (`CHECK_INTERVAL`, default 10 s); unused for [`CheckKind::Ttl`].
    pub interval: Duration,
    /// The time limit of one probe (`CHECK_TIMEOUT`); for http, https, tcp and grpc.
    pub timeout: Option<Duration>,
    /// The status before the first result (`CHECK_INITIAL_STATUS`): `passing`, `warning` or `critical`.
    pub initial_status: Option<String>,
    /// Remove the service after it has been critical for this long (`CHECK_DEREGISTER_AFTER`).
    pub deregister_after: Option<Duration>,
    /// Who sends the heartbeats of a [`CheckKind::Ttl`] (`CHECK_TTL_HEARTBEAT`); `None` for the application.
    pub heartbeat: Option<Heartbeat>,
}

/// The heartbeats that we send for a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// `container`: heartbeats while the container runs and, if it has a HEALTHCHECK, is healthy.
    Container,
}

/// The kinds of checks, with the metadata keys that ask for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// `CHECK_HTTP`, `CHECK_HTTPS`: a request to the service.
    Http {
        /// Whether it is https.
        tls: bool,
        /// The path, with the leading slash.
        path: String,
        /// `CHECK_HTTP_METHOD`, `CHECK_HTTPS_METHOD`; without it, the registry's default (GET).
        method: Option<String>,
        /// `CHECK_TLS_SKIP_VERIFY`: accept any certificate.
        skip_verify: bool,
    },
    /// `CHECK_CMD`: the arguments of `check-cmd <12> <exposed port>`.
    Command(String),
    /// `CHECK_SCRIPT`: a command for `sh -c`; `$SERVICE_IP` and `$SERVICE_PORT` are already replaced.
    Script(String),
    /// `CHECK_TTL`: passing while heartbeats arrive in time; [`Check::heartbeat`] says who sends them.
    Ttl(Duration),
    /// `CHECK_TCP`: a connection to the service.
    Tcp,
    /// `CHECK_GRPC`: gRPC's health protocol.
    Grpc {
        /// `CHECK_GRPC_USE_TLS`.
        tls: bool,
        /// `CHECK_TLS_SKIP_VERIFY`.
        skip_verify: bool,
    },
}

/// All keys of checks, in lower case.
pub(crate) const KEYS: [&str; 16] = [
    "check_http",
    "check_http_method",
    "check_https",
    "check_https_method",
    "check_cmd",
    "check_script",
    "check_ttl",
    "check_ttl_heartbeat",
    "check_tcp",
    "check_grpc",
    "check_grpc_use_tls",
    "check_tls_skip_verify",
    "check_interval",
    "check_timeout",
    "check_initial_status",
    "check_deregister_after",
];

impl Check {
    /// The check for a service at this address and port: the first that is set of http, https, cmd, script, ttl, tcp
    /// and grpc. Unusable settings are left out with a note.
    #[must_use]
    pub(super) fn wanted(
        metadata: PortMetadata<'_>,
        (address, port): (&str, u16),
        notes: &mut Notes,
        decisions: &mut impl Recorder,
    ) -> Option<Self> {
        let mut reader = Reader { metadata, notes, decisions };
        let kind = reader.kind(address, port)?;
        let probes = matches!(kind, CheckKind::Http { .. } | CheckKind::Tcp | CheckKind::Grpc { .. });
        let periodic = !matches!(kind, CheckKind::Ttl(_));
        Some(Self {
            interval: if periodic { reader.interval() } else { DEFAULT_INTERVAL },
            timeout: if probes { reader.duration(CheckPart::Timeout, "check_timeout", "none is set") } else { None },
            initial_status: reader.status(),
            deregister_after: reader.duration(CheckPart::DeregisterAfter, "check_deregister_after", "none is set"),
            heartbeat: if periodic { None } else { reader.heartbeat() },
            kind,
        })
    }

    /// Its size, in bytes.
    pub(super) fn weight(&self) -> usize {
        match &self.kind {
            CheckKind::Http { path, method, .. } => path.len() + method.as_ref().map_or(0, String::len),
            CheckKind::Command(line) | CheckKind::Script(line) => line.len(),
            CheckKind::Ttl(_) | CheckKind::Tcp | CheckKind::Grpc { .. } => 0,
        }
    }
}

/// Notes unknown check keys, each with the nearest known one.
pub(super) fn note_unknown<'a>(settings: impl Iterator<Item = Setting<'a>>, notes: &mut Notes) {
    for setting in settings.filter(|setting| setting.is_of_check() && !KEYS.contains(&setting.key())) {
        if notes.is_full() {
            return;
        }
        let unknown = quote_key(&setting.to_string());
        notes.add(match nearest(setting.key(), KEYS) {
            Some(known) => format!("{unknown} is no known key; the nearest is SERVICE_{}", known.to_uppercase()),
            None => format!("{unknown} is no known key"),
        });
    }
}

/// Reads the check settings of one port.
struct Reader<'a, 'r, R> {
    metadata: PortMetadata<'a>,
    notes: &'r mut Notes,
    decisions: &'r mut R,
}

impl<'a, R: Recorder> Reader<'a, '_, R> {
    fn kind(&mut self, address: &str, port: u16) -> Option<CheckKind> {
        let set = |key| self.metadata.get(key);
        if let Some(setting) = set("check_http") {
            Some(self.http(false, setting, "check_http_method"))
        } else if let Some(setting) = set("check_https") {
            Some(self.http(true, setting, "check_https_method"))
        } else if let Some(setting) = set("check_cmd") {
            self.decide(CheckPart::Kind, || "command".to_owned(), setting);
            Some(CheckKind::Command(setting.value.to_owned()))
        } else if let Some(setting) = set("check_script") {
            self.decide(CheckPart::Kind, || "script".to_owned(), setting);
            let script = setting.value.replace("$SERVICE_IP", address).replace("$SERVICE_PORT", &port.to_string());
            Some(CheckKind::Script(script))
        } else if set("check_ttl").is_some() {
            self.duration(CheckPart::Kind, "check_ttl", "there is no check").map(CheckKind::Ttl)
        } else if self.switch(CheckPart::Kind, "check_tcp", "tcp") {
            Some(CheckKind::Tcp)
        } else if self.switch(CheckPart::Kind, "check_grpc", "grpc") {
            let tls = self.switch(CheckPart::Tls, "check_grpc_use_tls", "yes");
            Some(CheckKind::Grpc { tls, skip_verify: tls && self.skip_verify() })
        } else {
            None
        }
    }

    fn decide(&mut self, part: CheckPart, value: impl FnOnce() -> String, setting: Setting<'_>) {
        self.decisions.decide(|| Decision::new(Field::Check(part), value(), setting));
    }

    fn http(&mut self, tls: bool, setting: Setting<'_>, method_key: &'static str) -> CheckKind {
        self.decide(CheckPart::Kind, || if tls { "https" } else { "http" }.to_owned(), setting);
        let slash = if setting.value.starts_with('/') { "" } else { "/" };
        CheckKind::Http {
            tls,
            path: format!("{slash}{}", setting.value),
            method: self.method(method_key),
            skip_verify: tls && self.skip_verify(),
        }
    }

    fn method(&mut self, key: &'static str) -> Option<String> {
        let setting = self.metadata.get(key)?;
        let value = setting.value;
        if value.len() <= LONGEST_METHOD && value.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            self.decide(CheckPart::Method, || value.to_owned(), setting);
            return Some(value.to_owned());
        }
        self.notes.add(format!("{setting}={} is no HTTP method; GET is used", quote(value)));
        None
    }

    fn status(&mut self) -> Option<String> {
        let setting = self.metadata.get("check_initial_status")?;
        let value = setting.value;
        if STATUSES.contains(&value) {
            self.decide(CheckPart::InitialStatus, || value.to_owned(), setting);
            return Some(value.to_owned());
        }
        self.notes.add(format!("{setting}={} is none of passing, warning and critical", quote(value)));
        None
    }

    fn interval(&mut self) -> Duration {
        self.duration(CheckPart::Interval, "check_interval", "10s is used").unwrap_or_else(|| {
            let decision = || Decision::new(Field::Check(CheckPart::Interval), "10s", Rule::Default);
            self.decisions.decide(decision);
            DEFAULT_INTERVAL
        })
    }

    /// A duration greater than zero.
    fn duration(&mut self, part: CheckPart, key: &'static str, instead: &str) -> Option<Duration> {
        let setting = self.metadata.get(key)?;
        let value = setting.value;
        let duration = duration::parse(value).filter(|duration| !duration.is_zero());
        if duration.is_none() {
            let value = quote(value);
            self.notes.add(format!("{setting}={value} is no duration like 10s or 1m30s; {instead}"));
        } else {
            let kind = if part == CheckPart::Kind { "ttl " } else { "" };
            self.decide(part, || format!("{kind}{value}"), setting);
        }
        duration
    }

    fn heartbeat(&mut self) -> Option<Heartbeat> {
        let setting = self.metadata.get("check_ttl_heartbeat")?;
        let value = setting.value;
        if value == "container" {
            self.decide(CheckPart::Heartbeat, || value.to_owned(), setting);
            return Some(Heartbeat::Container);
        }
        let value = quote(value);
        self.notes
            .add(format!("{setting}={value} is not \"container\"; the check waits for the application's own pings"));
        None
    }

    fn skip_verify(&mut self) -> bool {
        self.switch(CheckPart::SkipVerify, "check_tls_skip_verify", "yes")
    }

    /// Whether a switch is on. Any value switches it on, as with `SERVICE_IGNORE`.
    fn switch(&mut self, part: CheckPart, key: &'static str, decided: &str) -> bool {
        let Some(setting) = self.metadata.get(key) else { return false };
        if looks_like_a_no(setting.value) {
            let value = quote(setting.value);
            self.notes
                .add(format!("{setting}={value} switches it on, as any value does; leave it out to switch it off"));
        }
        self.decide(part, || decided.to_owned(), setting);
        true
    }
}

/// Whether this value looks like "off".
fn looks_like_a_no(value: &str) -> bool {
    let value = value.trim();
    ["0", "f", "false", "n", "no", "off", "none", "never", "disable", "disabled"]
        .iter()
        .any(|no| value.eq_ignore_ascii_case(no))
}

#[cfg(test)]
mod tests {
    use litemap::LiteMap;
    use proptest::prelude::*;

    use super::*;
    use crate::service::decision::Unrecorded;
    use crate::service::metadata::Metadata;

    /// The check for these environment lines at 10.0.0.1:8000 (exposed as 80), and its notes.
    fn wanted(env: &[&str]) -> (Option<Check>, Vec<String>) {
        let env: Vec<String> = env.iter().map(|&line| line.to_owned()).collect();
        let labels = LiteMap::new();
        let metadata = Metadata::read(&env, &labels);
        let mut notes = Notes::default();
        let check = Check::wanted(
            metadata.port(80, crate::container::Protocol::Tcp),
            ("10.0.0.1", 8000),
            &mut notes,
            &mut Unrecorded,
        );
        note_unknown(
            metadata
                .port(80, crate::container::Protocol::Tcp)
                .general()
                .chain(metadata.port(80, crate::container::Protocol::Tcp).specific()),
            &mut notes,
        );
        (check, notes.into_lines())
    }

    fn kind(env: &[&str]) -> Option<CheckKind> {
        let (check, notes) = wanted(env);
        assert_eq!(notes, [""; 0], "{env:?}");
        check.map(|check| check.kind)
    }

    fn http(path: &str) -> CheckKind {
        CheckKind::Http { tls: false, path: path.to_owned(), method: None, skip_verify: false }
    }

    fn https(path: &str) -> CheckKind {
        CheckKind::Http { tls: true, path: path.to_owned(), method: None, skip_verify: false }
    }

    #[test]
    fn each_key_asks_for_its_check() {
        for (env, expected) in [
            (vec![], None),
            (vec!["SERVICE_CHECK_INTERVAL=15s"], None),
            (vec!["SERVICE_CHECK_HTTP=/health"], Some(http("/health"))),
            (vec!["SERVICE_CHECK_HTTP=health?x=1"], Some(http("/health?x=1"))),
            (vec!["SERVICE_80_CHECK_HTTP=/health"], Some(http("/health"))),
            (vec!["SERVICE_81_CHECK_HTTP=/health"], None),
            (vec!["SERVICE_CHECK_HTTP="], None),
            (
                vec!["SERVICE_CHECK_HTTP=/", "SERVICE_CHECK_HTTP_METHOD=HEAD"],
                Some(CheckKind::Http { tls: false, path: "/".into(), method: Some("HEAD".into()), skip_verify: false }),
            ),
            (vec!["SERVICE_CHECK_HTTPS=/"], Some(https("/"))),
            (
                vec!["SERVICE_CHECK_HTTPS=/", "SERVICE_CHECK_HTTPS_METHOD=POST", "SERVICE_CHECK_TLS_SKIP_VERIFY=true"],
                Some(CheckKind::Http { tls: true, path: "/".into(), method: Some("POST".into()), skip_verify: true }),
            ),
            (vec!["SERVICE_CHECK_HTTP=/", "SERVICE_CHECK_TLS_SKIP_VERIFY=true"], Some(http("/"))),
            (vec!["SERVICE_CHECK_CMD=/check.sh $SERVICE_IP"], Some(CheckKind::Command("/check.sh $SERVICE_IP".into()))),
            (
                vec!["SERVICE_CHECK_SCRIPT=nc $SERVICE_IP $SERVICE_PORT | grep $SERVICE_PORT"],
                Some(CheckKind::Script("nc 10.0.0.1 8000 | grep 8000".into())),
            ),
            (vec!["SERVICE_CHECK_TTL=30s"], Some(CheckKind::Ttl(Duration::from_secs(30)))),
            (vec!["SERVICE_CHECK_TCP=true"], Some(CheckKind::Tcp)),
            (vec!["SERVICE_CHECK_GRPC=1"], Some(CheckKind::Grpc { tls: false, skip_verify: false })),
            (
                vec!["SERVICE_CHECK_GRPC=T", "SERVICE_CHECK_GRPC_USE_TLS=true"],
                Some(CheckKind::Grpc { tls: true, skip_verify: false }),
            ),
            (
                vec!["SERVICE_CHECK_GRPC=T", "SERVICE_CHECK_GRPC_USE_TLS=1", "SERVICE_CHECK_TLS_SKIP_VERIFY=TRUE"],
                Some(CheckKind::Grpc { tls: true, skip_verify: true }),
            ),
        ] {
            assert_eq!(kind(&env), expected, "{env:?}");
        }
    }

    #[test]
    fn the_first_check_in_the_documented_order_wins() {
        let all = [
            "SERVICE_CHECK_HTTP=/",
            "SERVICE_CHECK_HTTPS=/",
            "SERVICE_CHECK_CMD=cmd",
            "SERVICE_CHECK_SCRIPT=script",
            "SERVICE_CHECK_TTL=1s",
            "SERVICE_CHECK_TCP=true",
            "SERVICE_CHECK_GRPC=true",
        ];
        let expected = [
            http("/"),
            https("/"),
            CheckKind::Command("cmd".into()),
            CheckKind::Script("script".into()),
            CheckKind::Ttl(Duration::from_secs(1)),
            CheckKind::Tcp,
            CheckKind::Grpc { tls: false, skip_verify: false },
        ];
        for (first, kind_of_first) in expected.into_iter().enumerate() {
            let mut env = all[first..].to_vec();
            env.reverse();
            assert_eq!(kind(&env), Some(kind_of_first));
        }
    }

    #[test]
    fn the_rest_of_a_check_has_defaults() {
        let (check, notes) = wanted(&["SERVICE_CHECK_TCP=true"]);
        let expected = Check {
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(10),
            timeout: None,
            initial_status: None,
            deregister_after: None,
            heartbeat: None,
        };
        assert_eq!((check, notes), (Some(expected), vec![]));
    }

    #[test]
    fn the_rest_of_a_check_is_taken_from_metadata() {
        let rest = [
            "SERVICE_CHECK_INTERVAL=15s",
            "SERVICE_CHECK_TIMEOUT=500ms",
            "SERVICE_CHECK_INITIAL_STATUS=passing",
            "SERVICE_CHECK_DEREGISTER_AFTER=1.5h",
        ];
        for (asked, interval, timeout) in [
            ("SERVICE_CHECK_HTTP=/", 15, true),
            ("SERVICE_CHECK_HTTPS=/", 15, true),
            ("SERVICE_CHECK_TCP=true", 15, true),
            ("SERVICE_CHECK_GRPC=true", 15, true),
            ("SERVICE_CHECK_CMD=x", 15, false),
            ("SERVICE_CHECK_SCRIPT=x", 15, false),
            ("SERVICE_CHECK_TTL=30s", 10, false),
        ] {
            let mut env = rest.to_vec();
            env.push(asked);
            let (check, notes) = wanted(&env);
            let check = check.unwrap();
            assert_eq!(check.interval, Duration::from_secs(interval), "{asked}");
            assert_eq!(check.timeout, timeout.then_some(Duration::from_millis(500)), "{asked}");
            assert_eq!(check.initial_status.as_deref(), Some("passing"), "{asked}");
            assert_eq!(check.deregister_after, Some(Duration::from_secs(5400)), "{asked}");
            assert_eq!(notes, [""; 0], "{asked}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_noted_and_left_out() {
        let usual = (Duration::from_secs(10), None, None, None);
        for (line, note) in [
            (
                "SERVICE_CHECK_INTERVAL=15",
                r#"SERVICE_CHECK_INTERVAL="15" is no duration like 10s or 1m30s; 10s is used"#,
            ),
            (
                "SERVICE_80_CHECK_INTERVAL=-1s",
                r#"SERVICE_80_CHECK_INTERVAL="-1s" is no duration like 10s or 1m30s; 10s is used"#,
            ),
            (
                "SERVICE_CHECK_INTERVAL=0s",
                r#"SERVICE_CHECK_INTERVAL="0s" is no duration like 10s or 1m30s; 10s is used"#,
            ),
            (
                "SERVICE_CHECK_TIMEOUT=soon",
                r#"SERVICE_CHECK_TIMEOUT="soon" is no duration like 10s or 1m30s; none is set"#,
            ),
            (
                "SERVICE_CHECK_DEREGISTER_AFTER=1d",
                r#"SERVICE_CHECK_DEREGISTER_AFTER="1d" is no duration like 10s or 1m30s; none is set"#,
            ),
            (
                "SERVICE_CHECK_INITIAL_STATUS=fine\nno",
                r#"SERVICE_CHECK_INITIAL_STATUS="fine\nno" is none of passing, warning and critical"#,
            ),
            ("SERVICE_CHECK_HTTP_METHOD=GET /", r#"SERVICE_CHECK_HTTP_METHOD="GET /" is no HTTP method; GET is used"#),
        ] {
            let (check, notes) = wanted(&["SERVICE_CHECK_HTTP=/", line]);
            let check = check.unwrap();
            assert_eq!(check.kind, http("/"), "{line}");
            let rest = (check.interval, check.timeout, check.initial_status, check.deregister_after);
            assert_eq!(rest, usual, "{line}");
            assert_eq!(notes, [note]);
        }
    }

    #[test]
    fn a_bad_ttl_is_no_check_and_is_noted() {
        let (check, notes) = wanted(&["SERVICE_CHECK_TTL=30", "SERVICE_CHECK_TCP=true"]);
        assert_eq!(check, None);
        assert_eq!(notes, [r#"SERVICE_CHECK_TTL="30" is no duration like 10s or 1m30s; there is no check"#]);
    }

    #[test]
    fn any_value_switches_on_and_one_that_looks_like_a_no_is_said() {
        for on in ["1", "t", "true", "TRUE", "yes", "/", "on", "nope", " "] {
            assert_eq!(kind(&[&format!("SERVICE_CHECK_TCP={on}")]), Some(CheckKind::Tcp));
        }
        assert_eq!(kind(&["SERVICE_CHECK_TCP="]), None);
        for no in ["false", "False", "0", "no", "off", "N", " false "] {
            let (check, notes) = wanted(&[&format!("SERVICE_80_CHECK_TCP={no}")]);
            assert_eq!(check.map(|check| check.kind), Some(CheckKind::Tcp));
            let note = "switches it on, as any value does; leave it out to switch it off";
            assert_eq!(notes, [format!("SERVICE_80_CHECK_TCP=\"{no}\" {note}")]);
        }
        for switch in ["GRPC_USE_TLS", "TLS_SKIP_VERIFY"] {
            let line = format!("SERVICE_CHECK_{switch}=no");
            let (check, notes) = wanted(&["SERVICE_CHECK_GRPC=yes", "SERVICE_CHECK_GRPC_USE_TLS=/", &line]);
            assert!(matches!(check.unwrap().kind, CheckKind::Grpc { tls: true, .. }));
            assert_eq!(notes.len(), 1, "{notes:?}");
        }
    }

    #[test]
    fn a_ttl_is_the_applications_heartbeat_unless_ours_is_asked_for() {
        let heartbeat = |env: &[&str]| {
            let (check, notes) = wanted(env);
            (check.unwrap().heartbeat, notes)
        };
        assert_eq!(heartbeat(&["SERVICE_CHECK_TTL=30s"]), (None, vec![]));
        let ours = ["SERVICE_CHECK_TTL=30s", "SERVICE_CHECK_TTL_HEARTBEAT=container"];
        assert_eq!(heartbeat(&ours), (Some(Heartbeat::Container), vec![]));
        let note = "is not \"container\"; the check waits for the application's own pings";
        assert_eq!(
            heartbeat(&["SERVICE_CHECK_TTL=30s", "SERVICE_80_CHECK_TTL_HEARTBEAT=app"]),
            (None, vec![format!("SERVICE_80_CHECK_TTL_HEARTBEAT=\"app\" {note}")])
        );
        assert_eq!(heartbeat(&["SERVICE_CHECK_TCP=1", "SERVICE_CHECK_TTL_HEARTBEAT=container"]), (None, vec![]));
    }

    #[test]
    fn a_key_that_means_nothing_is_named_with_the_nearest_that_does() {
        for (line, note) in [
            (
                "SERVICE_CHECK_METHOD=GET",
                "SERVICE_CHECK_METHOD is no known key; the nearest is SERVICE_CHECK_HTTP_METHOD",
            ),
            ("SERVICE_80_CHECK_HTP=/", "SERVICE_80_CHECK_HTP is no known key; the nearest is SERVICE_CHECK_HTTP"),
            ("SERVICE_CHECK_UDP=/", "SERVICE_CHECK_UDP is no known key; the nearest is SERVICE_CHECK_TCP"),
            (
                "SERVICE_Check_Intervall=",
                "SERVICE_CHECK_INTERVALL is no known key; the nearest is SERVICE_CHECK_INTERVAL",
            ),
            ("SERVICE_CHECK_SOMETHING_ELSE_ENTIRELY=1", "SERVICE_CHECK_SOMETHING_ELSE_ENTIRELY is no known key"),
            ("SERVICE_CHECK_A\nB=1", r#""SERVICE_CHECK_A\nB" is no known key; the nearest is SERVICE_CHECK_CMD"#),
        ] {
            assert_eq!(wanted(&[line]), (None, vec![note.to_owned()]), "{line}");
        }
        // A check for a port that is not registered is ignored.
        assert_eq!(wanted(&["SERVICE_81_CHECK_HTP=/"]), (None, vec![]));
    }

    #[test]
    fn a_flood_of_keys_that_mean_nothing_costs_little_and_says_little() {
        let env: Vec<_> = (0..100_000).map(|number| format!("SERVICE_CHECK_{number}=1")).collect();
        let (_, notes) = wanted(&env.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(notes.len() < 100);
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_the_notes_stay_short_single_lines(
            settings in prop::collection::vec((0_usize..15, "(?s).{0,200}"), 0..6)
        ) {
            const KEYS: [&str; 15] = [
                "HTTP", "HTTPS", "CMD", "SCRIPT", "TTL", "TCP", "GRPC", "INTERVAL", "TIMEOUT", "INITIAL_STATUS",
                "DEREGISTER_AFTER", "HTTP_METHOD", "TLS_SKIP_VERIFY", "GRPC_USE_TLS", "TTL_HEARTBEAT",
            ];
            let env: Vec<String> =
                settings.iter().map(|(key, value)| format!("SERVICE_CHECK_{}={value}", KEYS[*key])).collect();
            let (_, notes) = wanted(&env.iter().map(String::as_str).collect::<Vec<_>>());
            for note in notes {
                prop_assert!(!note.contains(char::is_control) && note.len() < 1000, "{note:?}");
            }
        }
    }
}
