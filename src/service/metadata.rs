//! Metadata: a container's `SERVICE_…` variables and labels.
//!
//! Parsed once per container ([`Metadata`]), then queried per port ([`PortMetadata`]).

use std::collections::BTreeMap;
use std::fmt;

use litemap::LiteMap;

use crate::container::SETTING;

/// Keys with a meaning of their own, besides those of checks. They are not attributes.
pub(crate) const RESERVED: [&str; 7] = ["name", "id", "tags", "ignore", "ip", "port", "network"];

/// The prefix of the keys of checks, which are not attributes either.
pub(crate) const CHECK: &str = "check_";

/// All settings with the prefix, by lower-case key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// `SERVICE_<KEY>`.
    general: Layer<'a>,
    /// `SERVICE_<port>_<KEY>`, by port.
    ports: BTreeMap<u32, Layer<'a>>,
}

type Layer<'a> = BTreeMap<String, Said<'a>>;

/// A value, and its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said<'a> {
    value: &'a str,
    source: Source,
}

/// The source of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// In its environment.
    Variable,
    /// In a label.
    Label,
}

impl Source {
    /// A word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Variable => "variable",
            Self::Label => "label",
        }
    }
}

impl<'a> Metadata<'a> {
    /// Reads environment lines, then labels. A label wins over an equally specific variable.
    #[must_use]
    pub fn read(env: &'a [String], labels: &'a LiteMap<String, String>) -> Self {
        let mut metadata = Self::default();
        for (key, value) in env.iter().filter_map(|line| line.split_once('=')) {
            metadata.add(key, Said { value, source: Source::Variable });
        }
        for (key, value) in labels.iter() {
            metadata.add(key, Said { value, source: Source::Label });
        }
        metadata
    }

    fn add(&mut self, key: &str, said: Said<'a>) {
        let Some(key) = key.strip_prefix(SETTING).map(str::to_lowercase) else { return };
        let (layer, key) = match port_of(&key) {
            Some((port, rest)) => (self.ports.entry(port).or_default(), rest),
            None => (&mut self.general, key.as_str()),
        };
        if !key.is_empty() {
            layer.insert(key.to_owned(), said);
        }
    }

    /// The settings for the exposed port with this number.
    #[must_use]
    pub fn port(&self, number: u16) -> PortMetadata<'_> {
        PortMetadata { number, general: &self.general, specific: self.ports.get(&number.into()) }
    }
}

/// Splits `80_name`. A number that no port can have still counts as a port.
pub(crate) fn port_of(key: &str) -> Option<(u32, &str)> {
    let (digits, rest) = key.split_once('_')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| (digits.parse().unwrap_or(u32::MAX), rest))
}

/// The settings for one port: its own keys, else the general ones.
#[derive(Clone, Copy, Debug)]
pub struct PortMetadata<'a> {
    number: u16,
    general: &'a Layer<'a>,
    specific: Option<&'a Layer<'a>>,
}

/// A setting. Displays as a person would name it: `SERVICE_PORT` or `SERVICE_80_PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The lower-case key.
    key: &'a str,
    /// The port it applies to; `None` for all ports.
    port: Option<u16>,
    /// The value; never empty, except for attributes.
    pub value: &'a str,
    /// Where it stands.
    pub source: Source,
}

impl<'a> Setting<'a> {
    /// The lower-case key, without prefix and port.
    #[must_use]
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// Whether it is about a check.
    #[must_use]
    pub fn is_of_check(&self) -> bool {
        self.key.starts_with(CHECK)
    }

    /// Whether it applies to this port only.
    #[must_use]
    pub fn is_specific(&self) -> bool {
        self.port.is_some()
    }
}

impl fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.to_uppercase();
        match self.port {
            Some(port) => write!(f, "{SETTING}{port}_{key}"),
            None => write!(f, "{SETTING}{key}"),
        }
    }
}

impl<'a> PortMetadata<'a> {
    /// The setting with this lower-case key. An empty value counts as unset, but hides a more general one.
    #[must_use]
    pub fn get(&self, key: &'a str) -> Option<Setting<'a>> {
        let own = self.specific.and_then(|layer| layer.get(key));
        let Said { value, source } = *own.or_else(|| self.general.get(key))?;
        (!value.is_empty()).then(|| Setting { key, port: own.map(|_| self.number), value, source })
    }

    /// As above, but an empty value hides nothing.
    #[must_use]
    pub fn get_past_empty(&self, key: &'a str) -> Option<Setting<'a>> {
        self.get(key).or_else(|| Self { specific: None, ..*self }.get(key))
    }

    /// The value of this lower-case key, unless unset or empty.
    #[must_use]
    pub fn value(&self, key: &'a str) -> Option<&'a str> {
        self.get(key).map(|setting| setting.value)
    }

    /// All settings for all ports, including empty ones.
    pub fn general(&self) -> impl Iterator<Item = Setting<'a>> {
        self.general.iter().map(|(key, &Said { value, source })| Setting { key, port: None, value, source })
    }

    /// All settings for this port only, including empty ones.
    pub fn specific(&self) -> impl Iterator<Item = Setting<'a>> {
        let port = Some(self.number);
        self.specific.into_iter().flatten().map(move |(key, &Said { value, source })| Setting {
            key,
            port,
            value,
            source,
        })
    }

    /// Whether this lower-case key is set for this port only, even if just to hide the general one.
    #[must_use]
    pub fn is_own(&self, key: &str) -> bool {
        self.specific.is_some_and(|layer| layer.contains_key(key))
    }

    /// Whether a port-specific setting makes this port's attributes differ from those of others.
    #[must_use]
    pub fn has_own_attributes(&self) -> bool {
        self.specific.is_some_and(|layer| layer.keys().any(|key| is_attribute(key)))
    }

    /// All attributes: settings whose keys have no other meaning, each key once, including empty ones.
    pub fn attributes(&self) -> impl Iterator<Item = Setting<'a>> {
        let port = *self;
        let general = self.general().filter(move |setting| !port.is_own(setting.key));
        general.chain(self.specific()).filter(|setting| is_attribute(setting.key))
    }
}

fn is_attribute(key: &str) -> bool {
    !RESERVED.contains(&key) && !key.starts_with(CHECK)
}

/// Splits a list of tags at commas, without empty ones; `\,` is a comma inside a tag.
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
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What a container says.
    struct Words {
        env: Vec<String>,
        labels: LiteMap<String, String>,
    }

    fn words(env: &[&str], labels: &[(&str, &str)]) -> Words {
        Words {
            env: env.iter().map(|&line| line.to_owned()).collect(),
            labels: labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }
    }

    impl Words {
        fn read(&self) -> Metadata<'_> {
            Metadata::read(&self.env, &self.labels)
        }
    }

    fn attributes(metadata: &Metadata<'_>, port: u16) -> Vec<(String, String)> {
        let port = metadata.port(port);
        let attributes: BTreeMap<_, _> = port.attributes().map(|setting| (setting.key, setting.value)).collect();
        attributes.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_key_is_case_sensitive_in_its_prefix_and_lower_cased_behind_it() {
        let words = words(
            &["SERVICE_Region=us2", "service_a=1", "Service_B=2", "MY_SERVICE_C=3", "SERVICE=4", "SERVICE_ÄÖ=5"],
            &[("SERVICE_Zone", "a"), ("service_d", "6")],
        );
        let metadata = words.read();
        assert_eq!(attributes(&metadata, 80), pairs(&[("region", "us2"), ("zone", "a"), ("äö", "5")]));
    }

    #[test]
    fn an_entry_without_an_equals_sign_is_skipped_and_only_the_first_one_splits() {
        let words = words(&["SERVICE_NAME", "SERVICE_OPTIONS=a=b=c", "SERVICE_EMPTY=", ""], &[]);
        let metadata = words.read();
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
            assert_eq!(words(&env, &labels).read().port(80).value("name"), Some(expected), "{env:?} {labels:?}");
        }
    }

    #[test]
    fn a_setting_knows_what_it_is_called() {
        let words = words(&["SERVICE_80_NAME=http"], &[("SERVICE_NAME", "web")]);
        let metadata = words.read();
        let known = |port: u16| {
            let setting = metadata.port(port).get("name").unwrap();
            (setting.to_string(), setting.value, setting.is_specific(), setting.source)
        };
        assert_eq!(known(80), ("SERVICE_80_NAME".to_owned(), "http", true, Source::Variable));
        assert_eq!(known(443), ("SERVICE_NAME".to_owned(), "web", false, Source::Label));
    }

    #[test]
    fn a_numbered_key_is_for_the_port_of_that_number_alone() {
        let words = words(
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
        let metadata = words.read();
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
        let words = words(&["SERVICE_=a", "SERVICE_80_=b"], &[("SERVICE_", "c")]);
        let metadata = words.read();
        assert_eq!(attributes(&metadata, 80), []);
    }

    #[test]
    fn an_empty_value_is_unset_and_still_hides_the_general_one() {
        let words = words(&["SERVICE_NAME=web", "SERVICE_80_NAME=", "SERVICE_IGNORE="], &[]);
        let metadata = words.read();
        assert_eq!(metadata.port(80).value("name"), None);
        assert_eq!(metadata.port(443).value("name"), Some("web"));
        assert_eq!(metadata.port(443).value("ignore"), None);
        assert_eq!(
            metadata.port(80).get_past_empty("name").map(|setting| setting.to_string()).as_deref(),
            Some("SERVICE_NAME")
        );
        assert_eq!(metadata.port(80).get_past_empty("ignore"), None);
    }

    #[test]
    fn keys_that_mean_something_are_no_attributes() {
        let words = words(
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
        let metadata = words.read();
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
            let labels = LiteMap::new();
            let metadata = Metadata::read(&env, &labels);
            let keys: Vec<_> = metadata.port(port).attributes().map(|setting| setting.key).collect();
            prop_assert!(!keys.contains(&"") && !keys.contains(&"name"));
            let each_once: BTreeSet<_> = keys.iter().collect();
            prop_assert_eq!(each_once.len(), keys.len());
        }
    }
}
