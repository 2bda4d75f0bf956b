//! The parsed options: each value is valid by itself.

use std::path::PathBuf;

use super::commands::{Format, Row};
use crate::config::{Deregister, LogFormat, LogLevel, OnShutdown, StatusAddress};

/// The options with their values or defaults, and the URIs in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) ip: Option<String>,
    pub(super) internal: bool,
    pub(super) explicit: bool,
    pub(super) ip_label: Option<String>,
    pub(super) tags: Option<String>,
    pub(super) max_services: i64,
    pub(super) traefik: bool,
    pub(super) hostname: Option<String>,
    /// Seconds.
    pub(super) ttl: i64,
    /// Seconds.
    pub(super) ttl_refresh: i64,
    /// Seconds.
    pub(super) resync: i64,
    pub(super) deregister: Deregister,
    pub(super) on_shutdown: OnShutdown,
    pub(super) cleanup: bool,
    pub(super) adopt: bool,
    /// Seconds.
    pub(super) drain: i64,
    /// Percent.
    pub(super) removal_guard: u8,
    pub(super) owner: Option<String>,
    pub(super) owner_meta: bool,
    /// -1 means unlimited.
    pub(super) retry_attempts: i64,
    /// Milliseconds.
    pub(super) retry_interval: i64,
    pub(super) log_format: LogFormat,
    pub(super) log_level: LogLevel,
    pub(super) status: Option<StatusAddress>,
    pub(super) status_tls_cert: Option<PathBuf>,
    pub(super) status_tls_key: Option<PathBuf>,
    pub(super) status_token_file: Option<PathBuf>,
    pub(super) prometheus_file: Option<PathBuf>,
    pub(super) audit: Option<PathBuf>,
    pub(super) render: Option<PathBuf>,
    pub(super) allow_signals: bool,
    pub(super) dry_run: bool,
    pub(super) once: bool,
    /// The file of further settings.
    pub(super) config: Option<String>,
    /// For commands.
    pub(super) format: Option<Format>,
    /// Asks the status listener instead of running.
    pub(super) healthcheck: bool,
    pub(super) question: Option<Question>,
    pub(super) uris: Vec<String>,
}

impl Default for Typed {
    fn default() -> Self {
        Self {
            ip: None,
            internal: false,
            explicit: false,
            ip_label: None,
            tags: None,
            max_services: 1000,
            traefik: false,
            hostname: None,
            ttl: 0,
            ttl_refresh: 0,
            resync: 0,
            deregister: Deregister::Always,
            on_shutdown: OnShutdown::Keep,
            cleanup: false,
            adopt: false,
            drain: 0,
            removal_guard: 100,
            owner: None,
            owner_meta: true,
            retry_attempts: 0,
            retry_interval: 2000,
            log_format: LogFormat::Text,
            log_level: LogLevel::Info,
            status: None,
            status_tls_cert: None,
            status_tls_key: None,
            status_token_file: None,
            prometheus_file: None,
            audit: None,
            render: None,
            allow_signals: false,
            dry_run: false,
            once: false,
            config: None,
            format: None,
            healthcheck: false,
            question: None,
            uris: Vec::new(),
        }
    }
}

/// What is answered instead of running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Help,
    HelpOf(&'static Row),
    Version,
    Generate(Document),
}

/// A document that `-generate` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    Man,
    Bash,
    Zsh,
    Fish,
    Reference,
}

impl Document {
    /// The documents, each with its word on the command line.
    pub(super) const ALL: [(&'static str, Self); 5] = [
        ("man", Self::Man),
        ("bash", Self::Bash),
        ("zsh", Self::Zsh),
        ("fish", Self::Fish),
        ("reference", Self::Reference),
    ];
}

/// Why a value is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// It cannot be parsed: what it must be, as text that follows the value.
    Value(String),
    /// It breaks a rule: the replaced program's words, which follow the option's name.
    Rule(&'static str),
}
