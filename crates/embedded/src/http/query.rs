//! What stands after a path's `?`, as Consul reads it. Pure.

use std::time::Duration;

use registrator_traefik::Settings;
use registrator_words::duration;
use url::form_urlencoded;

/// How long a blocking query waits without being told.
const DEFAULT_WAIT: Duration = Duration::from_secs(5 * 60);
/// How long it may be told to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);
/// Which part of the wait is added at random, so that many who began together do not end together.
const JITTER_FRACTION: u32 = 16;

/// What a query asks for; each endpoint heeds what concerns it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Wait for an index beyond this one; 0 is not to wait.
    pub index: u64,
    /// How long to wait at most, without the jitter.
    pub wait: Duration,
    /// Every one of these tags, in any case.
    pub tags: Vec<String>,
    /// The node has these keys with these values.
    pub node_meta: Vec<(String, String)>,
    /// Only instances that pass.
    pub passing: bool,
    /// The datacenter that is asked; empty for ours.
    pub datacenter: String,
    /// With line breaks and indents.
    pub pretty: bool,
    /// Consul's word for how fresh the answer must be; ours always is.
    pub consistency: Consistency,
    /// An answer from a cache would do.
    pub cached: bool,
    /// An expression that elements must match; empty for none.
    pub filter: String,
    /// One service only (`/sd/prometheus`).
    pub service: Option<String>,
    /// Which containers are taken, and how (`/traefik`).
    pub traefik: Settings,
}

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Nothing said.
    #[default]
    Leader,
    /// `stale`
    Stale,
    /// `consistent`
    Consistent,
}

/// Why a query is none; each prints as Consul's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// `index` is no number.
    #[error("Invalid index")]
    Index,
    /// `wait` is no duration.
    #[error("Invalid wait time")]
    Wait,
    /// `passing` is no boolean.
    #[error("Invalid value for ?passing")]
    Passing,
    /// `stale` and `consistent` exclude each other.
    #[error("Cannot specify ?stale with ?consistent, conflicting semantics.")]
    Conflict,
}

impl Query {
    /// Reads the parameters of the endpoints whose answers have an index; where one stands twice, the
    /// first counts, unless both do (`tag`, `node-meta`).
    ///
    /// # Errors
    /// With what Consul answers.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let mut query = Self { wait: DEFAULT_WAIT, ..Self::lenient(text) };
        let first = |wanted: &str| form_urlencoded::parse(text.as_bytes()).find(|(key, _)| key == wanted);
        if let Some((_, wait)) = first("wait").filter(|(_, wait)| !wait.is_empty()) {
            query.wait = match wait_of(&wait).ok_or(QueryError::Wait)? {
                Duration::ZERO => DEFAULT_WAIT,
                wait => wait.min(LONGEST_WAIT),
            };
        }
        if let Some((_, index)) = first("index").filter(|(_, index)| !index.is_empty()) {
            let digits = index.bytes().all(|byte| byte.is_ascii_digit());
            query.index = index.parse().ok().filter(|_| digits).ok_or(QueryError::Index)?;
        }
        if let Some((_, passing)) = first("passing") {
            query.passing = match &*passing {
                "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                _ => return Err(QueryError::Passing),
            };
        }
        query.consistency = match (first("stale").is_some(), first("consistent").is_some()) {
            (true, true) => return Err(QueryError::Conflict),
            (true, false) => Consistency::Stale,
            (false, true) => Consistency::Consistent,
            (false, false) => Consistency::Leader,
        };
        Ok(query)
    }

    /// Reads only what cannot be wrong, as the agent's endpoints do.
    #[must_use]
    pub fn lenient(text: &str) -> Self {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*key {
                "tag" => query.tags.push(value.to_lowercase()),
                "node-meta" => {
                    let (key, value) = value.split_once(':').unwrap_or((&value, ""));
                    query.node_meta.push((key.to_owned(), value.to_owned()));
                }
                "dc" if query.datacenter.is_empty() => query.datacenter = value.into_owned(),
                "filter" if query.filter.is_empty() => query.filter = value.into_owned(),
                "service" if query.service.is_none() => query.service = Some(value.into_owned()),
                "pretty" => query.pretty = true,
                "cached" => query.cached = true,
                // What is wrong in it is refused before.
                name if Settings::PARAMETERS.contains(&name) => drop(query.traefik.set(name, &value)),
                _ => {}
            }
        }
        query
    }

    /// What is wrong with the settings for Traefik, in one line.
    #[must_use]
    pub fn fault_for_traefik(text: &str) -> Option<String> {
        let mut settings = Settings::default();
        form_urlencoded::parse(text.as_bytes()).find_map(|(name, value)| settings.set(&name, &value).err())
    }

    /// How long to wait, with its jitter.
    #[must_use]
    pub fn wait_with_jitter(&self) -> Duration {
        self.wait + (self.wait / JITTER_FRACTION).mul_f64(fastrand::f64())
    }
}

/// Go's spelling of a duration; a negative one is nothing.
fn wait_of(text: &str) -> Option<Duration> {
    match text.strip_prefix('-') {
        Some(negative) if !negative.starts_with('+') => duration::parse(negative).map(|_| Duration::ZERO),
        _ => duration::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_parameter_is_read() {
        let text = "index=7&wait=1m30s&tag=A&tag=b&node-meta=k:v&node-meta=x&passing&dc=dc1&pretty=false&stale&cached\
                    &filter=a+in+b&service=web&token=secret&exposed=false";
        let expected = Query {
            index: 7,
            wait: Duration::from_secs(90),
            tags: vec!["a".into(), "b".into()],
            node_meta: vec![("k".into(), "v".into()), ("x".into(), String::new())],
            passing: true,
            datacenter: "dc1".into(),
            pretty: true,
            consistency: Consistency::Stale,
            cached: true,
            filter: "a in b".into(),
            service: Some("web".into()),
            traefik: Settings { exposed: false, ..Settings::default() },
        };
        assert_eq!(Query::parse(text), Ok(expected));
    }

    #[test]
    fn what_consul_refuses_is_refused_with_its_words() {
        for (text, said) in [
            ("index=abc", "Invalid index"),
            ("index=-1", "Invalid index"),
            ("index=%2B1", "Invalid index"),
            ("index=18446744073709551616", "Invalid index"),
            ("wait=abc", "Invalid wait time"),
            ("wait=10", "Invalid wait time"),
            ("wait=s", "Invalid wait time"),
            ("wait=1.2.3s", "Invalid wait time"),
            ("passing=maybe", "Invalid value for ?passing"),
            ("stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
        ] {
            assert_eq!(Query::parse(text).map_err(|error| error.to_string()), Err(said.to_owned()), "{text}");
            let _ = Query::lenient(text);
        }
    }

    #[test]
    fn a_wait_has_a_default_and_a_cap() {
        for (text, seconds) in [
            ("", 300.0),
            ("wait=0s", 300.0),
            ("wait=-5s", 300.0),
            ("wait=10ms", 0.01),
            ("wait=11m", 600.0),
            ("wait=1h1us", 600.0),
        ] {
            assert_eq!(Query::parse(text).unwrap().wait, Duration::from_secs_f64(seconds), "{text}");
        }
    }

    #[test]
    fn the_jitter_is_at_most_a_sixteenth() {
        let query = Query::parse("wait=16s").unwrap();
        for _ in 0..100 {
            let wait = query.wait_with_jitter();
            assert!((16.0..=17.0).contains(&wait.as_secs_f64()), "{wait:?}");
        }
    }

    #[test]
    fn passing_takes_gos_booleans() {
        for (text, passing) in
            [("passing=", true), ("passing=1", true), ("passing=false", false), ("passing=0", false), ("", false)]
        {
            assert_eq!(Query::parse(text).unwrap().passing, passing, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,80}", wait in "[-+0-9.a-zµ]{0,12}") {
            let _ = Query::parse(&text);
            let _ = Query::parse(&format!("wait={wait}"));
        }
    }
}
