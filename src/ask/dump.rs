//! `support-dump`: texts for a bug report as one tar archive, with secrets replaced.
//!
//! Pure: what goes in is given as texts, and nothing is read here. Secrets are replaced twice: those that are known word
//! for word, and whatever looks like one.

use std::fmt::Write as _;
use std::io;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::config::Config;

/// What stands in the place of a secret.
const REPLACED: &str = "***";
/// The shortest secret that is replaced word for word: a shorter one would be found in other words.
const SHORTEST: usize = 4;
/// Words in the name of a variable, a setting or a header whose value is secret.
const SECRET_NAMES: &str =
    "token|password|passwd|passphrase|secret|credential|authorization|auth|api[_-]?key|private[_-]?key";

/// One file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its name: letters, digits, `.`, `-` and `_`.
    pub name: String,
    /// What it is, for the list.
    pub what: String,
    /// Its content.
    pub content: String,
}

/// Secrets that are known word for word.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// The secrets in the settings: passwords in URIs, and the values of variables with such a name. Files that hold
    /// secrets are not read; nothing of them is in a dump.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut secrets = Vec::new();
        let uris = config.registries.iter().map(|registry| registry.uri.as_str()).chain(config.docker.host.as_deref());
        for uri in uris {
            let userinfo = uri.rsplit_once('@').map_or("", |(before, _)| before);
            if let Some((_, password)) = userinfo.rsplit_once(':') {
                secrets.push(password.trim_start_matches('/').to_owned());
                secrets.push(decoded(password.trim_start_matches('/')));
            }
        }
        for environment in config.registries.iter().map(|registry| &registry.environment) {
            for name in environment.names().filter(|name| is_secret_name(name) && !name.ends_with("_FILE")) {
                let value = environment.get(name).unwrap_or_default();
                secrets.push(value.to_owned());
                // user:password
                secrets.extend(value.split_once(':').map(|(_, password)| password.to_owned()));
            }
            for user in ["ETCD_USER", "ZOOKEEPER_AUTH", "EUREKA_AUTH", "WEBHOOK_AUTH"]
                .iter()
                .filter_map(|name| environment.get(name))
            {
                secrets.extend(user.split_once(':').map(|(_, password)| password.to_owned()));
            }
        }
        Self::from_iter(secrets)
    }
}

impl FromIterator<String> for Secrets {
    fn from_iter<I: IntoIterator<Item = String>>(secrets: I) -> Self {
        let mut secrets: Vec<_> = secrets.into_iter().filter(|secret| secret.len() >= SHORTEST).collect();
        // A longer one first, since it may contain a shorter one.
        secrets.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self(secrets)
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Whether the value of a variable or a setting with this name is secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("(?i){SECRET_NAMES}")).ok());
    NAME.as_ref().is_none_or(|pattern| pattern.is_match(name))
}

/// The text with its secrets replaced.
#[must_use]
pub fn redact(text: &str, secrets: &Secrets) -> String {
    let mut text = text.to_owned();
    for secret in &secrets.0 {
        text = text.replace(secret.as_str(), REPLACED);
    }
    for pattern in &*PATTERNS {
        text = match pattern {
            // Without its pattern, nothing can be said to be safe. The test below shows that all of them are patterns.
            None => return REPLACED.to_owned(),
            Some(pattern) => pattern
                .replace_all(&text, |found: &Captures<'_>| {
                    let part = |name| found.name(name).map_or("", |part| part.as_str());
                    // An image and its digest, which looks like a user and a host.
                    if part("after").strip_prefix("@sha256:").is_some_and(is_digest) {
                        return found[0].to_owned();
                    }
                    format!("{}{REPLACED}{}", part("before"), part("after"))
                })
                .into_owned(),
        };
    }
    text
}

fn is_digest(text: &str) -> bool {
    text.get(..64).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What looks like a secret: each keeps what is `before` and `after` it.
static PATTERNS: LazyLock<Vec<Option<Regex>>> = LazyLock::new(|| {
    let patterns = [
        // scheme://user:password@host; a password may hold what should have been encoded.
        r#"(?P<before>[A-Za-z][A-Za-z0-9+.-]*:(?://)?(?:[^\s:/@"'<>]*:)?)[^\s"'<>]*(?P<after>@[^\s"'<>@]*)"#.to_owned(),
        // Authorization: Bearer …, and the same in JSON.
        r#"(?i)(?P<before>\b(?:bearer|basic|digest)\s+)[A-Za-z0-9+/=._~-]{6,}(?P<after>)"#.to_owned(),
        // ?token=…
        format!(r#"(?i)(?P<before>[?&;][a-z0-9_.-]*(?:{SECRET_NAMES}|key)[a-z0-9_.-]*=)[^\s&;"'<>]+(?P<after>)"#),
        // "NAME": "value" in JSON, also inside a string of JSON.
        format!(
            r#"(?i)(?P<before>\\?"[a-z0-9_. -]*(?:{SECRET_NAMES})[a-z0-9_. -]*\\?"\s*:\s*\\?")(?:[^"\\]|\\[^"])+(?P<after>\\?")"#
        ),
        // NAME=value, NAME = "value", Name: value, to the end of the line or of the string; but no parameter, as above.
        format!(
            r#"(?im)(?P<before>(?:^|[^?&;a-z0-9_.-])[a-z0-9_.-]*(?:{SECRET_NAMES})[a-z0-9_.-]*[ \t]*[=:][ \t]*["']?)(?:[^\s"'][^"'\r\n]*)(?P<after>)"#
        ),
    ];
    patterns.iter().map(|pattern| Regex::new(pattern).ok()).collect()
});

/// The texts as a tar archive below one folder, with their secrets replaced. `time` is when they were collected, in seconds
/// since 1970.
///
/// # Errors
/// When a name is not one, or is given twice.
pub fn archive(folder: &str, texts: &[Text], secrets: &Secrets, time: u64) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut names = Vec::new();
    for text in texts {
        if !is_name(&text.name) || !is_name(folder) || names.contains(&&text.name) {
            let reason = format!("{:?} is no name for a file of the archive, or is there twice", text.name);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        names.push(&text.name);
        let content = redact(&text.content, secrets);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(time);
        archive.append_data(&mut header, format!("{folder}/{}", text.name), content.as_bytes())?;
    }
    archive.into_inner()
}

/// What is in the archive, for a person who decides whether to hand it on.
#[must_use]
pub fn listing(texts: &[Text]) -> String {
    let width = texts.iter().map(|text| text.name.len()).max().unwrap_or_default();
    let mut list = String::new();
    for Text { name, what, content } in texts {
        let size = content.len().div_ceil(1024);
        // Writing to a string cannot fail.
        let _ = writeln!(list, "{name:<width$}  {size:>6} KiB  {what}");
    }
    list.push_str("passwords and tokens are replaced by ***; names of containers, services and hosts are not: look before you hand it on\n");
    list
}

fn is_name(name: &str) -> bool {
    let fits = (1..=80).contains(&name.len()) && !name.starts_with('.');
    fits && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn none() -> Secrets {
        Secrets::default()
    }

    #[test]
    fn every_pattern_is_one() {
        assert!(PATTERNS.iter().all(Option::is_some));
    }

    #[test]
    fn whatever_looks_like_a_secret_is_replaced_and_the_rest_stays() {
        for (text, expected) in [
            ("consul://me:hunter2@h:8500/p", "consul://me:***@h:8500/p"),
            ("etcd:me:hunter2@h", "etcd:me:***@h"),
            ("consul://hunter2@h", "consul://***@h"),
            ("at consul://me:hunter/2@x@h, and etcd://h", "at consul://me:***@h, and etcd://h"),
            (r#"{"uri":"consul://me:hunter2@h"}"#, r#"{"uri":"consul://me:***@h"}"#),
            ("CONSUL_HTTP_TOKEN=hunter2", "CONSUL_HTTP_TOKEN=***"),
            ("CONSUL_HTTP_TOKEN = \"hunter2\"", "CONSUL_HTTP_TOKEN = \"***\""),
            ("DB_PASSWORD=hunter2 and more\nA=b", "DB_PASSWORD=***\nA=b"),
            ("MY_SECRET: hunter2", "MY_SECRET: ***"),
            (r#"{"Env":["DB_PASSWORD=hunter2","A=b"]}"#, r#"{"Env":["DB_PASSWORD=***","A=b"]}"#),
            (r#"{"db_password":"hun\\ter2","a":"b"}"#, r#"{"db_password":"***","a":"b"}"#),
            (r#""{\"token\":\"hunter2\",\"a\":1}""#, r#""{\"token\":\"***\",\"a\":1}""#),
            ("Authorization: Bearer hunter2hunter2", "Authorization: ***"),
            ("X-Consul-Token: hunter2", "X-Consul-Token: ***"),
            ("sent Bearer abcdef0123456789 there", "sent Bearer *** there"),
            ("zookeeper://h?auth=digest:me:hunter2&ttl=3", "zookeeper://h?auth=***&ttl=3"),
            ("http://h/?api_key=hunter2&x=1", "http://h/?api_key=***&x=1"),
            // What is none.
            ("consul://127.0.0.1:8500", "consul://127.0.0.1:8500"),
            (
                "2026/11/21 19:18:12 added: 3d1f5a9c0b7e web1:redis.0:6379",
                "2026/11/21 19:18:12 added: 3d1f5a9c0b7e web1:redis.0:6379",
            ),
            (r#"{"name":"web","port":80}"#, r#"{"name":"web","port":80}"#),
        ] {
            assert_eq!(redact(text, &none()), expected);
        }
    }

    #[test]
    fn the_digest_of_an_image_is_no_host() {
        let image = format!(r#"{{"image":"registry:5000/team/app@sha256:{}"}}"#, "0123456789abcdef".repeat(4));
        assert_eq!(redact(&image, &none()), image);
        assert_eq!(redact("etcd://me:hunter2@sha256:2379", &none()), "etcd://me:***@sha256:2379");
    }

    #[test]
    fn known_secrets_are_replaced_wherever_they_are() {
        let secrets = Secrets::from_iter(["hunter2", "hunter2-long", "abc"].map(str::to_owned));
        assert_eq!(redact("a hunter2, b hunter2-long, abc", &secrets), "a ***, b ***, abc");
    }

    #[test]
    fn the_secrets_of_the_settings_are_known() {
        let environment = [
            ("CONSUL_HTTP_TOKEN", "t0ken-value"),
            ("CONSUL_HTTP_AUTH", "me:authpass"),
            ("ETCD_USER", "root:etcdpass"),
            ("CONSUL_HTTP_TOKEN_FILE", "/run/secrets/token"),
            ("CONSUL_HTTP_ADDR", "10.0.0.5:8500"),
            ("DOCKER_HOST", "tcp://me:dockerpass@h:2375"),
        ];
        let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let arguments = ["consul://me:uri%2Fpass@h"].map(Into::into);
        let config = crate::cli::parse(arguments, &std::sync::Arc::new(environment), "web1").unwrap();
        let secrets = Secrets::of(&config.into_config());
        for secret in ["t0ken-value", "authpass", "etcdpass", "dockerpass", "uri%2Fpass", "uri/pass"] {
            assert_eq!(redact(&format!("x {secret} y"), &secrets), "x *** y", "{secret}");
        }
        for kept in ["/run/secrets/token", "10.0.0.5:8500"] {
            assert_eq!(redact(kept, &secrets), kept);
        }
    }

    fn text(name: &str, content: &str) -> Text {
        Text { name: name.to_owned(), what: "a test".to_owned(), content: content.to_owned() }
    }

    #[test]
    fn an_archive_holds_what_was_given_without_its_secrets() {
        let texts = [text("options.txt", "CONSUL_HTTP_TOKEN=hunter2\n"), text("events.jsonl", "{}\n")];
        let archived = archive("registrator-support", &texts, &none(), 1_000).unwrap();
        let mut read = BTreeMap::new();
        for entry in tar::Archive::new(&archived[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!((entry.header().mode().unwrap(), entry.header().mtime().unwrap()), (0o600, 1_000));
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            read.insert(entry.path().unwrap().display().to_string(), content);
        }
        let expected = [
            ("registrator-support/events.jsonl", "{}\n"),
            ("registrator-support/options.txt", "CONSUL_HTTP_TOKEN=***\n"),
        ];
        assert_eq!(read, expected.map(|(name, content)| (name.to_owned(), content.to_owned())).into());
        assert_eq!(archive("registrator-support", &texts, &none(), 1_000).unwrap(), archived);
        for name in ["", "..", ".hidden", "a/b", "a b", "é"] {
            assert!(archive("x", &[text(name, "")], &none(), 0).is_err(), "{name}");
        }
        assert!(archive("x", &[text("a", ""), text("a", "")], &none(), 0).is_err());
    }

    #[test]
    fn the_list_says_what_is_in_it_and_what_is_not() {
        let said = listing(&[text("options.txt", "x"), text("a", &"x".repeat(3000))]);
        assert_eq!(said.lines().next(), Some("options.txt       1 KiB  a test"));
        assert_eq!(said.lines().nth(1), Some("a                 3 KiB  a test"));
        assert!(said.contains("replaced by ***"));
    }

    proptest! {
        #[test]
        fn no_password_of_a_uri_survives(
            user in "[a-z]{0,5}",
            password in "[a-zA-Z0-9!#$%^&*()_+=,./?@-]{4,20}",
            around in "[ a-z\n]{0,10}",
        ) {
            // As a word that nothing else in the text has.
            let password = format!("Z9{password}9Z");
            let text = format!("{around} consul://{user}:{password}@host:8500 {around}");
            prop_assert!(!redact(&text, &none()).contains(&password));
        }

        #[test]
        fn no_value_of_a_secret_variable_survives(
            name in "[A-Z_]{0,8}(TOKEN|PASSWORD|SECRET)[A-Z_]{0,8}",
            value in "[a-zA-Z0-9 ./:@-]{4,20}",
        ) {
            let value = format!("Z9{value}9Z");
            for text in [format!("{name}={value}"), serde_json::json!({ &name: &value }).to_string(), format!("{name}: {value}\nx")] {
                prop_assert!(!redact(&text, &none()).contains(&value), "{}", text);
            }
        }

        #[test]
        fn a_known_secret_survives_in_no_text(before in any::<String>(), after in any::<String>(), secret in "[!-~]{4,20}") {
            let secret = format!("Z9{secret}9Z");
            let secrets = Secrets::from_iter([secret.clone()]);
            let redacted = redact(&format!("{before}{secret}{after}"), &secrets);
            prop_assert!(!redacted.contains(&secret));
        }
    }
}
