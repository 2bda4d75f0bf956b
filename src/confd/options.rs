//! confd's options as one table: the flag, the keys of `confd.toml`, the variable, the default and the help of each.
//!
//! The parsers of the command line, the file and the environment, and the usage, are all made from it.

/// An option, by its name in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the table says what each is for")]
pub enum Name {
    AppId,
    AuthToken,
    AuthType,
    Backend,
    BasicAuth,
    CheckConfig,
    ClientCaKeys,
    ClientCert,
    ClientInsecure,
    ClientKey,
    Color,
    Confdir,
    ConfigFile,
    Diff,
    File,
    Filter,
    Interval,
    KeepStageFile,
    LogLevel,
    Node,
    Noop,
    Onetime,
    Password,
    Path,
    Prefix,
    PrefixJoin,
    Resource,
    RoleId,
    Scheme,
    SecretId,
    SecretKeyring,
    Separator,
    SrvDomain,
    SrvRecord,
    SyncOnly,
    Table,
    UserId,
    Username,
    Version,
    Watch,
    AllowSignals,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing, or `=true` and `=false`.
    Switch,
    /// A whole number.
    Number,
    /// A text.
    Text,
    /// A text, as often as it is given.
    List,
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of a switch.
    Switch(bool),
    /// Of a number.
    Number(i64),
    /// Of a text.
    Text(String),
    /// Of a list.
    List(Vec<String>),
}

/// One option: a row of [`OPTIONS`].
#[derive(Debug)]
pub struct Opt {
    /// Which one it is.
    pub name: Name,
    /// The flag, without its dash.
    pub flag: &'static str,
    /// Its key in `confd.toml`; `None` if it is for the command line only.
    pub key: Option<&'static str>,
    /// What it takes.
    pub takes: Takes,
    /// Its default as the usage shows it; empty for none.
    pub default: &'static str,
    /// One line.
    pub help: &'static str,
}

impl Opt {
    /// Its variable: `CONFD_LOG_LEVEL`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("CONFD_{}", self.flag.to_ascii_uppercase().replace('-', "_"))
    }
}

/// The row of an option that may stand in the file under the flag's own name.
const fn row(name: Name, flag: &'static str, takes: Takes, default: &'static str, help: &'static str) -> Opt {
    Opt { name, flag, key: Some(flag), takes, default, help }
}

/// The row of an option that is for the command line and the environment.
const fn flag(name: Name, flag: &'static str, takes: Takes, default: &'static str, help: &'static str) -> Opt {
    Opt { name, flag, key: None, takes, default, help }
}

/// The row of an option that has another name in the file.
const fn keyed(name: Name, flag: &'static str, key: &'static str, takes: Takes, help: &'static str) -> Opt {
    Opt { name, flag, key: Some(key), takes, default: "", help }
}

/// Every option, in the order of the usage.
pub const OPTIONS: &[Opt] = &[
    flag(
        Name::AllowSignals,
        "allow-signals",
        Takes::Switch,
        "",
        "let resources send signals to containers (reload_container), which writes to Docker",
    ),
    row(Name::AppId, "app-id", Takes::Text, "", "for Vault, which is not a back end here"),
    row(Name::AuthToken, "auth-token", Takes::Text, "", "token for the back end (Consul)"),
    row(Name::AuthType, "auth-type", Takes::Text, "", "for Vault, which is not a back end here"),
    row(
        Name::Backend,
        "backend",
        Takes::Text,
        "etcd",
        "where the keys are: consul, docker, env, etcd, etcdv2, etcdv3, file, redis, services or zookeeper",
    ),
    row(Name::BasicAuth, "basic-auth", Takes::Switch, "", "send -username and -password (consul, etcd)"),
    flag(Name::CheckConfig, "check-config", Takes::Switch, "", "check resources and templates, without a back end"),
    keyed(Name::ClientCaKeys, "client-ca-keys", "client_cakeys", Takes::Text, "PEM file of the authority to trust"),
    row(Name::ClientCert, "client-cert", Takes::Text, "", "PEM file of our certificate"),
    row(Name::ClientInsecure, "client-insecure", Takes::Switch, "", "accept any certificate of the back end"),
    row(Name::ClientKey, "client-key", Takes::Text, "", "PEM file of our certificate's key; for Redis, the password"),
    flag(Name::Color, "color", Takes::Switch, "", "colour -diff, also where the output is no terminal"),
    row(Name::Confdir, "confdir", Takes::Text, "/etc/confd", "folder of conf.d and templates"),
    flag(Name::ConfigFile, "config-file", Takes::Text, "/etc/confd/confd.toml", "file of settings"),
    flag(Name::Diff, "diff", Takes::Switch, "", "with -noop: show what would change"),
    row(Name::File, "file", Takes::List, "", "YAML or JSON file, or folder of them (file)"),
    row(Name::Filter, "filter", Takes::Text, "*", "which files of a folder are read (file)"),
    row(Name::Interval, "interval", Takes::Number, "600", "backend polling interval"),
    row(Name::KeepStageFile, "keep-stage-file", Takes::Switch, "", "keep staged files"),
    row(Name::LogLevel, "log-level", Takes::Text, "", "least level to log: panic, fatal, error, warn, info or debug"),
    keyed(Name::Node, "node", "nodes", Takes::List, "list of backend nodes"),
    row(Name::Noop, "noop", Takes::Switch, "", "only show pending changes"),
    flag(Name::Onetime, "onetime", Takes::Switch, "", "run once and exit"),
    row(Name::Password, "password", Takes::Text, "", "password of -basic-auth, or of Redis"),
    row(Name::Path, "path", Takes::Text, "", "for Vault, which is not a back end here"),
    row(Name::Prefix, "prefix", Takes::Text, "", "key path prefix"),
    row(Name::PrefixJoin, "prefix-join", Takes::Switch, "", "put -prefix before a resource's prefix, not in its place"),
    flag(Name::Resource, "resource", Takes::Text, "", "only this resource file, instead of those of conf.d"),
    row(Name::RoleId, "role-id", Takes::Text, "", "for Vault, which is not a back end here"),
    row(Name::Scheme, "scheme", Takes::Text, "http", "http or https (consul, and nodes of SRV records)"),
    row(Name::SecretId, "secret-id", Takes::Text, "", "for Vault, which is not a back end here"),
    row(Name::SecretKeyring, "secret-keyring", Takes::Text, "", "for the functions cget to cgetvs, which are not here"),
    row(Name::Separator, "separator", Takes::Text, "", "what stands in keys instead of / (redis)"),
    row(Name::SrvDomain, "srv-domain", Takes::Text, "", "domain whose record _BACKEND._tcp names the nodes"),
    row(Name::SrvRecord, "srv-record", Takes::Text, "", "SRV record that names the nodes"),
    row(Name::SyncOnly, "sync-only", Takes::Switch, "", "sync without check_cmd and reload_cmd"),
    row(Name::Table, "table", Takes::Text, "", "for DynamoDB, which is not a back end here"),
    row(Name::UserId, "user-id", Takes::Text, "", "for Vault, which is not a back end here"),
    row(Name::Username, "username", Takes::Text, "", "user of -basic-auth, or of Redis"),
    flag(Name::Version, "version", Takes::Switch, "", "print version and exit"),
    row(Name::Watch, "watch", Takes::Switch, "", "enable watch support"),
];

/// Keys of the live fork's `confd.toml` that have no meaning here.
pub const FORKS_KEYS: &[&str] = &[
    "log-format",
    "failure-mode",
    "template-cache",
    "stat-cache-ttl",
    "dial-timeout",
    "read-timeout",
    "write-timeout",
    "retry-max-attempts",
    "retry-base-delay",
    "retry-max-delay",
    "watch-error-backoff",
    "preflight-timeout",
    "metrics-addr",
];

/// The option with this flag.
#[must_use]
pub fn by_flag(flag: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|option| option.flag == flag)
}

/// The option with this key of `confd.toml`: in any case, with hyphens or underscores, as a flag or as a key.
#[must_use]
pub fn by_key(key: &str) -> Option<&'static Opt> {
    let key = plain(key);
    OPTIONS.iter().find(|option| option.key.is_some_and(|known| plain(known) == key || plain(option.flag) == key))
}

/// A key as it is compared.
#[must_use]
pub fn plain(key: &str) -> String {
    key.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn flags_are_sorted_and_no_name_stands_twice() {
        assert!(OPTIONS.is_sorted_by_key(|option| option.flag));
        let names: HashSet<_> = OPTIONS.iter().map(|option| option.name).collect();
        assert_eq!(names.len(), OPTIONS.len());
    }

    #[test]
    fn every_option_is_documented() {
        let page = include_str!("../../docs/files.md");
        for option in OPTIONS {
            assert!(page.contains(&format!("`-{}", option.flag)), "-{} is not in docs/files.md", option.flag);
        }
    }

    #[test]
    fn every_flag_of_confd_0_16_is_there() {
        let flags = "app-id auth-token auth-type backend basic-auth client-ca-keys client-cert client-insecure client-key \
                     confdir config-file file filter interval keep-stage-file log-level node noop onetime password path \
                     prefix role-id scheme secret-id secret-keyring separator srv-domain srv-record sync-only table \
                     user-id username version watch";
        for flag in flags.split_whitespace() {
            assert!(by_flag(flag).is_some(), "{flag}");
        }
    }

    #[test]
    fn every_key_of_confds_file_and_of_the_forks_spelling_is_there() {
        let keys = "backend confdir interval log-level nodes noop prefix scheme srv_domain srv_record sync-only watch \
                    auth_token auth_type basic_auth table separator username password app_id user_id role_id secret_id \
                    file filter path client_cakeys client_cert client_key client_insecure sync_only keep_stage_file \
                    Log_Level NODES client_ca_keys";
        for key in keys.split_whitespace() {
            assert!(by_key(key).is_some(), "{key}");
        }
        for key in ["onetime", "version", "config-file", "nod", ""] {
            assert!(by_key(key).is_none(), "{key}");
        }
    }

    #[test]
    fn a_variable_is_named_as_the_flag_is() {
        assert_eq!(by_flag("client-ca-keys").unwrap().variable(), "CONFD_CLIENT_CA_KEYS");
    }
}
