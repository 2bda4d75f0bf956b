//! Metadata: a container's `SERVICE_…` variables and labels.
//!
//! Parsed once per container ([`Metadata`]), then queried per port ([`PortMetadata`]).
//!
//! A key is for all ports (`SERVICE_NAME`), for one (`SERVICE_80_NAME`), for one of several protocols
//! (`SERVICE_53_UDP_NAME`), or for a range (`SERVICE_8000-8010_NAME`). The most specific counts.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use litemap::LiteMap;

use crate::container::{Protocol, SETTING};

/// Keys with a meaning of their own, besides those of checks. They are not attributes.
pub(crate) const RESERVED: [&str; 7] = ["name", "id", "tags", "ignore", "ip", "port", "network"];

/// The prefix of the keys of checks, which are not attributes either.
pub(crate) const CHECK: &str = "check_";

/// All settings with the prefix, by lower-case key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// `SERVICE_<KEY>`.
    general: Layer<'a>,
    /// `SERVICE_<port>_<KEY>` and the like.
    ports: BTreeMap<Ports, Layer<'a>>,
    /// The ranges among them, the most specific first.
    ranges: Vec<Ports>,
}

/// How many ranges of one container are taken: each is compared with each port.
const MOST_RANGES: usize = 32;

/// The ports that a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// The first and the last number, both included. One that no port can have is possible.
    first: u32,
    last: u32,
    /// Only with this protocol.
    protocol: Option<Protocol>,
}

impl Ports {
    const fn one(number: u32, protocol: Option<Protocol>) -> Self {
        Self { first: number, last: number, protocol }
    }

    /// Splits `80_name`, `53_udp_name` and `8000-8010_name`. A number that no port can have still counts as a port.
    #[must_use]
    pub fn split(key: &str) -> Option<(Self, &str)> {
        let (numbers, rest) = key.split_once('_')?;
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse().unwrap_or(u32::MAX))
        };
        let (first, last) = match numbers.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(numbers)?, number(numbers)?),
        };
        if first > last {
            return None;
        }
        let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter();
        let mut behind = protocols.filter_map(|protocol| {
            let rest = rest.strip_prefix(protocol.as_str())?.strip_prefix('_')?;
            (!rest.is_empty()).then_some((Self { first, last, protocol: Some(protocol) }, rest))
        });
        Some(behind.next().unwrap_or((Self { first, last, protocol: None }, rest)))
    }

    /// The number, if it is one port.
    #[must_use]
    pub fn number(self) -> Option<u32> {
        (self.first == self.last).then_some(self.first)
    }

    /// The numbers, whatever the protocol.
    #[must_use]
    pub fn numbers(self) -> RangeInclusive<u32> {
        self.first..=self.last
    }

    /// Whether it is about ports with this protocol.
    #[must_use]
    pub fn is_for(self, protocol: Protocol) -> bool {
        self.protocol.is_none_or(|only| only == protocol)
    }

    /// The smallest is the most specific.
    fn breadth(self) -> (u32, bool, Self) {
        (self.last - self.first, self.protocol.is_none(), self)
    }
}

/// As in a key: `80`, `53_UDP`, `8000-8010`.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, protocol } = self;
        write!(f, "{first}")?;
        if first != last {
            write!(f, "-{last}")?;
        }
        protocol.map_or(Ok(()), |protocol| write!(f, "_{}", protocol.as_str().to_uppercase()))
    }
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
        let (layer, key) = match Ports::split(&key) {
            Some((ports, rest)) => (self.layer(ports), rest),
            None => (Some(&mut self.general), key.as_str()),
        };
        if let (Some(layer), false) = (layer, key.is_empty()) {
            layer.insert(key.to_owned(), said);
        }
    }

    /// The layer of these ports; `None` if that is one range too many.
    fn layer(&mut self, ports: Ports) -> Option<&mut Layer<'a>> {
        if ports.number().is_none() && !self.ranges.contains(&ports) {
            if self.ranges.len() == MOST_RANGES {
                return None;
            }
            let at = self.ranges.partition_point(|other| other.breadth() < ports.breadth());
            self.ranges.insert(at, ports);
        }
        Some(self.ports.entry(ports).or_default())
    }

    /// What is said for all ports under this lower-case key, unless it is empty.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a str> {
        self.general.get(key).map(|said| said.value).filter(|value| !value.is_empty())
    }

    /// The settings for an exposed port.
    #[must_use]
    pub fn port(&self, number: u16, protocol: Protocol) -> PortMetadata<'_> {
        PortMetadata { all: self, number: number.into(), protocol }
    }
}

/// The settings for one port: the more specific ones, else the general ones.
#[derive(Clone, Copy, Debug)]
pub struct PortMetadata<'a> {
    all: &'a Metadata<'a>,
    number: u32,
    protocol: Protocol,
}

/// A setting. Displays as a person would name it: `SERVICE_PORT` or `SERVICE_80_PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The lower-case key.
    key: &'a str,
    /// The ports it applies to; `None` for all ports.
    ports: Option<Ports>,
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

    /// Whether it does not apply to all ports.
    #[must_use]
    pub fn is_specific(&self) -> bool {
        self.ports.is_some()
    }
}

impl fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.to_uppercase();
        match self.ports {
            Some(ports) => write!(f, "{SETTING}{ports}_{key}"),
            None => write!(f, "{SETTING}{key}"),
        }
    }
}

impl<'a> PortMetadata<'a> {
    /// The layers that are not for all ports, the most specific first.
    fn specific_layers(&self) -> impl Iterator<Item = (Ports, &'a Layer<'a>)> + use<'a> {
        let Self { all, number, protocol } = *self;
        let own = [Ports::one(number, Some(protocol)), Ports::one(number, None)];
        let ranges =
            all.ranges.iter().copied().filter(move |ports| ports.numbers().contains(&number) && ports.is_for(protocol));
        own.into_iter().chain(ranges).filter_map(move |ports| Some((ports, all.ports.get(&ports)?)))
    }

    /// All layers, the most specific first.
    fn layers(&self) -> impl Iterator<Item = (Option<Ports>, &'a Layer<'a>)> + use<'a> {
        self.specific_layers().map(|(ports, layer)| (Some(ports), layer)).chain([(None, &self.all.general)])
    }

    fn said(&self, key: &'a str) -> impl Iterator<Item = Setting<'a>> + use<'a> {
        self.layers().filter_map(move |(ports, layer)| {
            let &Said { value, source } = layer.get(key)?;
            Some(Setting { key, ports, value, source })
        })
    }

    /// The setting with this lower-case key. An empty value counts as unset, but hides a more general one.
    #[must_use]
    pub fn get(&self, key: &'a str) -> Option<Setting<'a>> {
        self.said(key).next().filter(|setting| !setting.value.is_empty())
    }

    /// As above, but an empty value hides nothing.
    #[must_use]
    pub fn get_past_empty(&self, key: &'a str) -> Option<Setting<'a>> {
        self.said(key).find(|setting| !setting.value.is_empty())
    }

    /// The value of this lower-case key, unless unset or empty.
    #[must_use]
    pub fn value(&self, key: &'a str) -> Option<&'a str> {
        self.get(key).map(|setting| setting.value)
    }

    /// All settings for all ports, including empty ones.
    pub fn general(&self) -> impl Iterator<Item = Setting<'a>> + use<'a> {
        self.all.general.iter().map(|(key, &Said { value, source })| Setting { key, ports: None, value, source })
    }

    /// All settings for this port, but the general ones, each key once, including empty ones.
    pub fn specific(&self) -> impl Iterator<Item = Setting<'a>> + use<'a> {
        let mut keys: BTreeMap<&'a str, Setting<'a>> = BTreeMap::new();
        for (ports, layer) in self.specific_layers() {
            for (key, &Said { value, source }) in layer {
                keys.entry(key).or_insert(Setting { key, ports: Some(ports), value, source });
            }
        }
        keys.into_values()
    }

    /// Whether this lower-case key is set for this port, and not only for all, even if just to hide the general one.
    #[must_use]
    pub fn is_own(&self, key: &str) -> bool {
        self.specific_layers().any(|(_, layer)| layer.contains_key(key))
    }

    /// Whether a port-specific setting makes this port's attributes differ from those of others.
    #[must_use]
    pub fn has_own_attributes(&self) -> bool {
        self.specific_layers().any(|(_, layer)| layer.keys().any(|key| is_attribute(key)))
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
        let port = metadata.port(port, Protocol::Tcp);
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
        assert_eq!(metadata.port(80, Protocol::Tcp).get("name"), None);
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
            assert_eq!(
                words(&env, &labels).read().port(80, Protocol::Tcp).value("name"),
                Some(expected),
                "{env:?} {labels:?}"
            );
        }
    }

    #[test]
    fn a_setting_knows_what_it_is_called() {
        let words = words(&["SERVICE_80_NAME=http"], &[("SERVICE_NAME", "web")]);
        let metadata = words.read();
        let known = |port: u16| {
            let setting = metadata.port(port, Protocol::Tcp).get("name").unwrap();
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
    fn the_narrower_wins_and_a_protocol_is_narrower_than_none() {
        let all = [
            "SERVICE_NAME=all",
            "SERVICE_1-9999_NAME=wide",
            "SERVICE_8000-8010_NAME=range",
            "SERVICE_8000-8010_UDP_NAME=range-udp",
            "SERVICE_8001_NAME=one",
            "SERVICE_8001_UDP_NAME=one-udp",
            "SERVICE_8001_sctp_Name=one-sctp",
            "SERVICE_8003-8003_NAME=narrow",
        ];
        for (port, protocol, expected, called) in [
            (10_000, Protocol::Tcp, "all", "SERVICE_NAME"),
            (80, Protocol::Udp, "wide", "SERVICE_1-9999_NAME"),
            (8000, Protocol::Tcp, "range", "SERVICE_8000-8010_NAME"),
            (8010, Protocol::Udp, "range-udp", "SERVICE_8000-8010_UDP_NAME"),
            (8001, Protocol::Tcp, "one", "SERVICE_8001_NAME"),
            (8001, Protocol::Udp, "one-udp", "SERVICE_8001_UDP_NAME"),
            (8001, Protocol::Sctp, "one-sctp", "SERVICE_8001_SCTP_NAME"),
            (8003, Protocol::Udp, "narrow", "SERVICE_8003_NAME"),
            (8011, Protocol::Tcp, "wide", "SERVICE_1-9999_NAME"),
        ] {
            for lines in [all.to_vec(), all.iter().rev().copied().collect()] {
                let words = words(&lines, &[]);
                let metadata = words.read();
                let setting = metadata.port(port, protocol).get("name").unwrap();
                assert_eq!((setting.value, setting.to_string().as_str()), (expected, called), "{port}");
                assert_eq!(setting.is_specific(), port != 10_000);
            }
        }
    }

    #[test]
    fn ranges_that_overlap_add_their_keys_and_an_empty_value_hides_what_is_wider() {
        let words = words(
            &[
                "SERVICE_ZONE=a",
                "SERVICE_8000-8100_ZONE=b",
                "SERVICE_8050-8060_TIER=front",
                "SERVICE_8055_ZONE=",
                "SERVICE_8055_TCP_RACK=r1",
                "SERVICE_9-8_ODD=backwards",
                "SERVICE_8055_UDP=plain",
            ],
            &[],
        );
        let metadata = words.read();
        let odd = ("9-8_odd", "backwards");
        assert_eq!(attributes(&metadata, 8050), pairs(&[odd, ("tier", "front"), ("zone", "b")]));
        let of_8055 = [odd, ("rack", "r1"), ("tier", "front"), ("udp", "plain"), ("zone", "")];
        assert_eq!(attributes(&metadata, 8055), pairs(&of_8055));
        assert_eq!(attributes(&metadata, 80), pairs(&[odd, ("zone", "a")]));
        let port = metadata.port(8055, Protocol::Tcp);
        assert_eq!(port.get("zone"), None);
        assert_eq!(port.get_past_empty("zone").map(|setting| setting.value), Some("b"));
        assert!(port.is_own("tier") && !port.is_own("name") && port.has_own_attributes());
    }

    #[test]
    fn a_container_has_so_many_ranges_and_no_more() {
        let lines: Vec<_> = (0..100).map(|number| format!("SERVICE_{number}-200_A{number}=1")).collect();
        let words = words(&lines.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        assert_eq!(attributes(&words.read(), 150).len(), MOST_RANGES);
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
        assert_eq!(metadata.port(80, Protocol::Tcp).value("name"), None);
        assert_eq!(metadata.port(443, Protocol::Tcp).value("name"), Some("web"));
        assert_eq!(metadata.port(443, Protocol::Tcp).value("ignore"), None);
        assert_eq!(
            metadata.port(80, Protocol::Tcp).get_past_empty("name").map(|setting| setting.to_string()).as_deref(),
            Some("SERVICE_NAME")
        );
        assert_eq!(metadata.port(80, Protocol::Tcp).get_past_empty("ignore"), None);
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
        fn whatever_a_container_says_is_read(env in prop::collection::vec("(SERVICE_)?[0-9]{0,3}(-[0-9]{1,3})?_?(udp_)?.{0,9}=?.*", 0..9), port: u16) {
            let labels = LiteMap::new();
            let metadata = Metadata::read(&env, &labels);
            let keys: Vec<_> = metadata.port(port, Protocol::Tcp).attributes().map(|setting| setting.key).collect();
            prop_assert!(!keys.contains(&"") && !keys.contains(&"name"));
            let each_once: BTreeSet<_> = keys.iter().collect();
            prop_assert_eq!(each_once.len(), keys.len());
        }
    }
}
