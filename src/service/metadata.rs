//! Metadata: what a container says of itself in `SERVICE_…` variables and labels.
//!
//! Read once for a container ([`Metadata`]), then asked port by port ([`PortMetadata`]).

use std::collections::BTreeMap;

use litemap::LiteMap;

use crate::container::SETTING;

/// Keys that say how to describe a service, and so are none of its attributes; besides those of checks.
const RESERVED: [&str; 7] = ["name", "id", "tags", "ignore", "ip", "port", "network"];

/// Keys of checks begin with this; they are no attributes either.
const CHECK: &str = "check_";

/// Everything a container says with the prefix, by lower-case key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `SERVICE_<KEY>`.
    general: BTreeMap<String, String>,
    /// `SERVICE_<port>_<KEY>`, by port.
    ports: BTreeMap<u32, BTreeMap<String, String>>,
}

impl Metadata {
    /// Reads environment lines, then labels, which win over them where they are equally specific.
    #[must_use]
    pub fn read(env: &[String], labels: &LiteMap<String, String>) -> Self {
        let mut metadata = Self::default();
        let variables = env.iter().filter_map(|line| line.split_once('='));
        for (key, value) in variables.chain(labels.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
            metadata.add(key, value);
        }
        metadata
    }

    fn add(&mut self, key: &str, value: &str) {
        let Some(key) = key.strip_prefix(SETTING).map(str::to_lowercase) else { return };
        let (layer, key) = match port_of(&key) {
            Some((port, rest)) => (self.ports.entry(port).or_default(), rest),
            None => (&mut self.general, key.as_str()),
        };
        if !key.is_empty() {
            layer.insert(key.to_owned(), value.to_owned());
        }
    }

    /// What is said of the exposed port of this number.
    #[must_use]
    pub fn port(&self, number: u16) -> PortMetadata<'_> {
        PortMetadata { number, general: &self.general, specific: self.ports.get(&number.into()) }
    }
}

/// Splits `80_name`; what begins with a number that no port can have is for a port all the same.
fn port_of(key: &str) -> Option<(u32, &str)> {
    let (digits, rest) = key.split_once('_')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| (digits.parse().unwrap_or(u32::MAX), rest))
}

/// What a container says of one of its ports: the port's own keys, else the general ones.
#[derive(Clone, Copy, Debug)]
pub struct PortMetadata<'a> {
    number: u16,
    general: &'a BTreeMap<String, String>,
    specific: Option<&'a BTreeMap<String, String>>,
}

/// A value that is set, and what a person would call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// `SERVICE_PORT` or `SERVICE_80_PORT`.
    pub variable: String,
    /// Never empty.
    pub value: &'a str,
    /// Whether it was said of this port alone.
    pub specific: bool,
}

impl<'a> PortMetadata<'a> {
    /// The setting of this lower-case key. An empty value is as good as none, but still hides a more general one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Setting<'a>> {
        let own = self.specific.and_then(|layer| layer.get(key));
        let value = own.or_else(|| self.general.get(key)).filter(|value| !value.is_empty())?;
        let specific = own.is_some();
        let upper = key.to_uppercase();
        let variable = if specific { format!("{SETTING}{}_{upper}", self.number) } else { format!("{SETTING}{upper}") };
        Some(Setting { variable, value, specific })
    }

    /// The value of this lower-case key, unless it is unset or empty.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a str> {
        self.get(key).map(|setting| setting.value)
    }

    /// Every key that means nothing to us, with its value, empty ones as well.
    #[must_use]
    pub fn attributes(&self) -> LiteMap<String, String> {
        let own = self.specific.into_iter().flatten();
        self.general
            .iter()
            .chain(own)
            .filter(|(key, _)| !RESERVED.contains(&key.as_str()) && !key.starts_with(CHECK))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// Splits a list of tags at commas, and drops empty ones; `\,` is a comma inside a tag.
#[must_use]
pub fn split_tags(list: &str) -> Vec<String> {
    let mut tags = vec![String::new()];
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        let literal = match character {
            ',' => {
                tags.push(String::new());
                continue;
            }
            '\\' => characters.next_if_eq(&',').unwrap_or('\\'),
            other => other,
        };
        if let Some(tag) = tags.last_mut() {
            tag.push(literal);
        }
    }
    tags.retain(|tag| !tag.is_empty());
    tags
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(env: &[&str], labels: &[(&str, &str)]) -> Metadata {
        let env: Vec<String> = env.iter().map(|&line| line.to_owned()).collect();
        let labels = labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Metadata::read(&env, &labels)
    }

    fn attributes(metadata: &Metadata, port: u16) -> Vec<(String, String)> {
        metadata.port(port).attributes().into_iter().collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_key_is_case_sensitive_in_its_prefix_and_lower_cased_behind_it() {
        let metadata = read(
            &["SERVICE_Region=us2", "service_a=1", "Service_B=2", "MY_SERVICE_C=3", "SERVICE=4", "SERVICE_ÄÖ=5"],
            &[("SERVICE_Zone", "a"), ("service_d", "6")],
        );
        assert_eq!(attributes(&metadata, 80), pairs(&[("region", "us2"), ("zone", "a"), ("äö", "5")]));
    }

    #[test]
    fn an_entry_without_an_equals_sign_is_skipped_and_only_the_first_one_splits() {
        let metadata = read(&["SERVICE_NAME", "SERVICE_OPTIONS=a=b=c", "SERVICE_EMPTY=", ""], &[]);
        assert_eq!(metadata.port(80).get("name"), None);
        assert_eq!(attributes(&metadata, 80), pairs(&[("empty", ""), ("options", "a=b=c")]));
    }

    #[test]
    fn the_more_specific_wins_then_the_label() {
        let env_general = "SERVICE_NAME=env";
        let env_specific = "SERVICE_80_NAME=env-80";
        let label_general = ("SERVICE_NAME", "label");
        let label_specific = ("SERVICE_80_NAME", "label-80");
        for (env, labels, expected) in [
            (vec![env_general], vec![], "env"),
            (vec![env_general], vec![label_general], "label"),
            (vec![env_general, env_specific], vec![], "env-80"),
            (vec![env_specific, env_general], vec![], "env-80"),
            (vec![env_specific], vec![label_general], "env-80"),
            (vec![env_general], vec![label_specific], "label-80"),
            (vec![env_specific], vec![label_specific], "label-80"),
            (vec![env_general, env_specific], vec![label_general, label_specific], "label-80"),
        ] {
            assert_eq!(read(&env, &labels).port(80).value("name"), Some(expected), "{env:?} {labels:?}");
        }
    }

    #[test]
    fn a_setting_knows_what_it_is_called() {
        let metadata = read(&["SERVICE_NAME=web", "SERVICE_80_NAME=http"], &[]);
        let specific = Setting { variable: "SERVICE_80_NAME".to_owned(), value: "http", specific: true };
        let general = Setting { variable: "SERVICE_NAME".to_owned(), value: "web", specific: false };
        assert_eq!(metadata.port(80).get("name"), Some(specific));
        assert_eq!(metadata.port(443).get("name"), Some(general));
    }

    #[test]
    fn a_numbered_key_is_for_the_port_of_that_number_alone() {
        let metadata = read(
            &[
                "SERVICE_80_SNI=a",
                "SERVICE_443_SNI=b",
                "SERVICE_0443_ALPN=c",
                "SERVICE_99999_SNI=d",
                "SERVICE_99999999999999999999_SNI=e",
                "SERVICE_80=plain",
                "SERVICE_8O_X=letter",
                "SERVICE__X=empty",
            ],
            &[],
        );
        let everywhere = [("80", "plain"), ("8o_x", "letter"), ("_x", "empty")];
        let mut of_80 = pairs(&everywhere);
        of_80.push(("sni".to_owned(), "a".to_owned()));
        of_80.sort();
        assert_eq!(attributes(&metadata, 80), of_80);
        let mut of_443 = pairs(&everywhere);
        of_443.extend(pairs(&[("sni", "b"), ("alpn", "c")]));
        of_443.sort();
        assert_eq!(attributes(&metadata, 443), of_443);
        let mut of_others = pairs(&everywhere);
        of_others.sort();
        assert_eq!(attributes(&metadata, 8080), of_others);
        assert_eq!(attributes(&metadata, u16::MAX), of_others);
    }

    #[test]
    fn a_prefix_with_nothing_behind_it_is_skipped() {
        let metadata = read(&["SERVICE_=a", "SERVICE_80_=b"], &[("SERVICE_", "c")]);
        assert_eq!(attributes(&metadata, 80), []);
    }

    #[test]
    fn an_empty_value_is_unset_and_still_hides_the_general_one() {
        let metadata = read(&["SERVICE_NAME=web", "SERVICE_80_NAME=", "SERVICE_IGNORE="], &[]);
        assert_eq!(metadata.port(80).value("name"), None);
        assert_eq!(metadata.port(443).value("name"), Some("web"));
        assert_eq!(metadata.port(443).value("ignore"), None);
    }

    #[test]
    fn keys_that_mean_something_are_no_attributes() {
        let metadata = read(
            &[
                "SERVICE_NAME=a",
                "SERVICE_ID=a",
                "SERVICE_80_TAGS=a",
                "SERVICE_IGNORE=",
                "SERVICE_IP=a",
                "SERVICE_PORT=a",
                "SERVICE_NETWORK=a",
                "SERVICE_CHECK_HTTP=/",
                "SERVICE_80_CHECK_ANYTHING=a",
                "SERVICE_CHECKED=yes",
                "SERVICE_NAMES=a",
            ],
            &[],
        );
        assert_eq!(attributes(&metadata, 80), pairs(&[("checked", "yes"), ("names", "a")]));
    }

    #[test]
    fn tags_are_split_at_commas_in_order_without_empty_ones() {
        for (list, tags) in [
            ("", vec![]),
            (",,", vec![]),
            ("master,backups", vec!["master", "backups"]),
            (",b,,a,", vec!["b", "a"]),
            ("a,a", vec!["a", "a"]),
            (r"x\,y,z", vec!["x,y", "z"]),
            (r"\,", vec![","]),
            (r"a\b\", vec![r"a\b\"]),
            (r"a\\,b", vec![r"a\,b"]),
            (" a , b ", vec![" a ", " b "]),
        ] {
            assert_eq!(split_tags(list), tags, "{list:?}");
        }
    }

    proptest! {
        #[test]
        fn tags_with_their_commas_escaped_come_back(tags in prop::collection::vec("[^\\\\]{1,9}", 0..6)) {
            let list = tags.iter().map(|tag| tag.replace(',', "\\,")).collect::<Vec<_>>().join(",");
            prop_assert_eq!(split_tags(&list), tags);
        }

        #[test]
        fn whatever_a_container_says_is_read(env in prop::collection::vec("(SERVICE_)?[0-9]{0,3}_?.{0,9}=?.*", 0..9), port: u16) {
            let metadata = Metadata::read(&env, &LiteMap::new());
            let attributes = metadata.port(port).attributes();
            prop_assert!(!attributes.contains_key("") && !attributes.contains_key("name"));
        }
    }
}
