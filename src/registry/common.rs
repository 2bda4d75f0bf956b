//! The parameters that every registry's URI may have: `?ttl=60&policy=upsert-only`.
//!
//! They are removed from the URI before the registry sees it.

use std::borrow::Cow;
use std::time::Duration;

use super::error::OpenError;
use super::parameters::{COMMON, Parameters, decoded};
use super::policy::Policy;
use super::uri::{Uri, redacted};
use crate::config::RegistryConfig;
use crate::service::duration;

/// The values of these parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Common {
    /// The TTL of entries, if the URI sets it; `Some(None)` for no TTL.
    pub(super) ttl: Option<Option<Duration>>,
    /// What may be done.
    pub(super) policy: Policy,
}

impl Common {
    /// Takes these parameters out of a URI; the second value is the query without them.
    pub(super) fn take(uri: &Uri<'_>, whole: &str) -> Result<(Self, Option<String>), OpenError> {
        let bad = |reason| OpenError::BadUri { uri: redacted(whole), reason };
        let mut parameters = Parameters::read(uri.query).map_err(bad)?;
        let ttl = match parameters.take("ttl") {
            None => None,
            Some(text) => {
                let wrong = || bad(format!("ttl={text:?} is no number of seconds, and no duration such as 30s"));
                Some(seconds(&text).ok_or_else(wrong)?)
            }
        };
        let policy = parameters.take("policy").map(|text| Policy::parse(&text)).transpose().map_err(bad)?;
        Ok((Self { ttl, policy: policy.unwrap_or_default() }, uri.query.map(rest).filter(|rest| !rest.is_empty())))
    }

    /// The settings of the registry, with the URI's values instead of the options'. If the refresh interval is missing
    /// or too long for the TTL, a third of the TTL is used.
    pub(super) fn applied<'a>(&self, config: &'a RegistryConfig) -> Cow<'a, RegistryConfig> {
        let Some(ttl) = self.ttl else { return Cow::Borrowed(config) };
        let ttl_refresh = ttl.map(|ttl| config.ttl_refresh.filter(|refresh| *refresh < ttl).unwrap_or(ttl / 3));
        Cow::Owned(RegistryConfig { ttl, ttl_refresh, ..config.clone() })
    }
}

/// A whole number of seconds, or a duration of whole seconds; 0 for none.
fn seconds(text: &str) -> Option<Option<Duration>> {
    let ttl = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => duration::parse(text).filter(|ttl| ttl.subsec_nanos() == 0)?,
    };
    let fits = u32::try_from(ttl.as_secs()).is_ok();
    fits.then_some(Some(ttl).filter(|ttl| !ttl.is_zero()))
}

/// A query without these parameters; the others are unchanged.
fn rest(query: &str) -> String {
    let name = |parameter: &str| decoded(parameter.split('=').next().unwrap_or_default());
    let others: Vec<_> = query
        .split('&')
        .filter(|parameter| name(parameter).is_none_or(|name| !COMMON.contains(&name.as_str())))
        .collect();
    others.join("&")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn taken(uri: &str) -> Result<(Common, Option<String>), String> {
        Common::take(&Uri::split(uri).unwrap(), uri).map_err(|error| error.to_string())
    }

    #[test]
    fn what_every_registry_knows_is_taken_off_and_the_rest_is_left_as_it_was() {
        let secs = Duration::from_secs;
        for (uri, ttl, policy, rest) in [
            ("x://h", None, Policy::Sync, None),
            ("x://h?", None, Policy::Sync, None),
            ("x://h?ttl=60", Some(Some(secs(60))), Policy::Sync, None),
            ("x://h?ttl=0", Some(None), Policy::Sync, None),
            ("x://h?ttl=1m30s", Some(Some(secs(90))), Policy::Sync, None),
            ("x://h?policy=sync", None, Policy::Sync, None),
            ("x://h?policy=upsert-only&ttl=5", Some(Some(secs(5))), Policy::UpsertOnly, None),
            ("x://h?a=%2F&ttl=5&b", Some(Some(secs(5))), Policy::Sync, Some("a=%2F&b")),
            ("x://h?%74tl=5&c=ttl=7", Some(Some(secs(5))), Policy::Sync, Some("c=ttl=7")),
        ] {
            assert_eq!(taken(uri), Ok((Common { ttl, policy }, rest.map(str::to_owned))), "{uri}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_in_one_line_without_secrets() {
        for (uri, reason) in [
            (
                "x://me:pw@h?ttl=1.5s",
                r#"bad adapter uri: x://me:***@h?ttl=1.5s: ttl="1.5s" is no number of seconds, and no duration such as 30s"#,
            ),
            (
                "x://h?ttl=-1",
                r#"bad adapter uri: x://h?ttl=-1: ttl="-1" is no number of seconds, and no duration such as 30s"#,
            ),
            ("x://h?ttl", r#"bad adapter uri: x://h?ttl: ttl="" is no number of seconds, and no duration such as 30s"#),
            ("x://h?policy=add", r#"bad adapter uri: x://h?policy=add: policy="add" is neither sync nor upsert-only"#),
            ("x://h?ttl=1&ttl=2", "bad adapter uri: x://h?ttl=1&ttl=2: the parameter ttl is given twice"),
        ] {
            assert_eq!(taken(uri), Err(reason.to_owned()));
        }
    }

    #[test]
    fn a_ttl_of_the_uri_wins_and_is_refreshed_in_time() {
        let secs = Duration::from_secs;
        for (uri, options, expected) in [
            ("x://h", (Some(60), Some(20)), (Some(60), Some(20))),
            ("x://h?ttl=90", (None, None), (Some(90), Some(30))),
            ("x://h?ttl=90", (Some(60), Some(20)), (Some(90), Some(20))),
            ("x://h?ttl=15", (Some(60), Some(20)), (Some(15), Some(5))),
            ("x://h?ttl=0", (Some(60), Some(20)), (None, None)),
        ] {
            let (ttl, ttl_refresh) = options;
            let config = RegistryConfig {
                uri: uri.to_owned(),
                owner: "host".to_owned(),
                hostname: "host".to_owned(),
                record_owner: true,
                ttl: ttl.map(secs),
                ttl_refresh: ttl_refresh.map(secs),
                environment: Arc::default(),
            };
            let (common, _) = taken(uri).unwrap();
            let applied = common.applied(&config);
            assert_eq!((applied.ttl, applied.ttl_refresh), (expected.0.map(secs), expected.1.map(secs)), "{uri}");
        }
    }
}
