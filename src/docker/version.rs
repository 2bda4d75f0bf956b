//! The version of the Engine API, and the engine that answers.
//!
//! An engine supports all versions from its `MinAPIVersion` to its `ApiVersion` (Docker Engine API, "Versioning"):
//! 20.10 supports 1.12 to 1.41, 29 supports 1.44 and later. So the version is always negotiated: the newest that both
//! sides know.

use std::fmt;

use serde_json::Value;

use super::decode::{self, Malformed};

/// The newest version that this program was written for.
pub const NEWEST: ApiVersion = ApiVersion { major: 1, minor: 52 };
/// The oldest version with everything we need (Docker 1.12).
pub const OLDEST: ApiVersion = ApiVersion { major: 1, minor: 24 };

/// A version of the Engine API: `1.41`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    major: u16,
    minor: u16,
}

impl ApiVersion {
    /// Parses `1.41` or `v1.41`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().trim_start_matches('v').split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The engine, and the negotiated version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// `Docker` or `Podman`.
    pub name: &'static str,
    /// The engine's own version: `20.10.24`.
    pub version: String,
    /// The negotiated version of the API.
    pub api: ApiVersion,
}

/// The maximum number of characters of a version that is shown.
const LONGEST_VERSION: usize = 64;

/// The engine's description of itself (`GET /version`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    name: &'static str,
    version: String,
    newest: ApiVersion,
    /// `None` if it does not say, as engines before 1.13.
    oldest: Option<ApiVersion>,
}

impl Greeting {
    /// Parses the answer to `GET /version`.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let said = decode::value(bytes)?;
        let newest = said["ApiVersion"].as_str().and_then(ApiVersion::parse).ok_or(Malformed::Missing("ApiVersion"))?;
        let podman = |component: &Value| component["Name"].as_str().is_some_and(|name| name.contains("Podman"));
        Ok(Self {
            name: if said["Components"].as_array().is_some_and(|all| all.iter().any(podman)) {
                "Podman"
            } else {
                "Docker"
            },
            version: said["Version"].as_str().unwrap_or_default().escape_debug().take(LONGEST_VERSION).collect(),
            newest,
            oldest: said["MinAPIVersion"].as_str().and_then(ApiVersion::parse),
        })
    }

    /// The engine, with the newest version that both sides know, or with `forced` if the engine supports that.
    pub(super) fn agree(self, forced: Option<ApiVersion>) -> Result<EngineInfo, NoCommonVersion> {
        let oldest = self.oldest.unwrap_or(OLDEST);
        let api = match forced {
            Some(forced) if forced > self.newest || self.oldest.is_some_and(|oldest| forced < oldest) => {
                return Err(NoCommonVersion::Forced { forced, oldest, newest: self.newest });
            }
            Some(forced) => forced,
            None if oldest > NEWEST => return Err(NoCommonVersion::EngineTooNew(oldest)),
            None if self.newest < OLDEST => return Err(NoCommonVersion::EngineTooOld(self.newest)),
            None => self.newest.min(NEWEST),
        };
        Ok(EngineInfo { name: self.name, version: self.version, api })
    }
}

/// Why no version fits both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCommonVersion {
    /// The engine no longer supports any version that we know.
    #[error("the engine speaks API {0} and later, this program up to {NEWEST}: update this program")]
    EngineTooNew(ApiVersion),
    /// The engine is too old for what we need.
    #[error("the engine speaks API up to {0}, this program {OLDEST} and later: update the engine")]
    EngineTooOld(ApiVersion),
    /// The engine does not support the version in `DOCKER_API_VERSION`.
    #[error(
        "the engine speaks API {oldest} to {newest}, and not DOCKER_API_VERSION={forced}: unset it to take the newest \
         that fits"
    )]
    Forced {
        /// The requested version.
        forced: ApiVersion,
        /// The engine's oldest version.
        oldest: ApiVersion,
        /// The engine's newest version.
        newest: ApiVersion,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(newest: &str, oldest: &str, forced: Option<&str>) -> Result<String, NoCommonVersion> {
        let said = format!(r#"{{"Version":"1","ApiVersion":"{newest}","MinAPIVersion":"{oldest}"}}"#);
        let forced = forced.map(|text| ApiVersion::parse(text).unwrap());
        Greeting::decode(said.as_bytes()).unwrap().agree(forced).map(|info| info.api.to_string())
    }

    #[test]
    fn the_newest_version_that_both_sides_know_is_spoken() {
        for (newest, oldest, spoken) in
            [("1.41", "1.12", "1.41"), ("1.52", "1.44", "1.52"), ("1.60", "1.44", "1.52"), ("1.24", "1.12", "1.24")]
        {
            assert_eq!(agree(newest, oldest, None), Ok(spoken.to_owned()), "{newest} {oldest}");
        }
    }

    #[test]
    fn an_engine_too_new_or_too_old_is_refused_with_what_to_do() {
        let new = agree("1.70", "1.53", None).unwrap_err();
        assert_eq!(
            new.to_string(),
            "the engine speaks API 1.53 and later, this program up to 1.52: update this program"
        );
        let old = agree("1.23", "1.12", None).unwrap_err();
        assert_eq!(old.to_string(), "the engine speaks API up to 1.23, this program 1.24 and later: update the engine");
    }

    #[test]
    fn a_forced_version_is_spoken_where_the_engine_speaks_it() {
        assert_eq!(agree("1.52", "1.24", Some("v1.30")), Ok("1.30".to_owned()));
        assert_eq!(agree("1.60", "1.44", Some("1.60")), Ok("1.60".to_owned()));
        for forced in ["1.43", "1.53", "9.99"] {
            let refused = agree("1.52", "1.44", Some(forced)).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!(
                    "the engine speaks API 1.44 to 1.52, and not DOCKER_API_VERSION={forced}: unset it to take the \
                     newest that fits"
                )
            );
        }
        // An engine that does not report its oldest version.
        let old = Greeting::decode(br#"{"Version":"1.12.6","ApiVersion":"1.24"}"#).unwrap();
        assert_eq!(old.agree(ApiVersion::parse("1.20")).unwrap().api.to_string(), "1.20");
    }

    #[test]
    fn podman_is_known_by_its_component() {
        let said =
            br#"{"Components":[{"Name":"Podman Engine","Version":"4.3.1"}],"Version":"4.3.1","ApiVersion":"1.41"}"#;
        let info = Greeting::decode(said).unwrap().agree(None).unwrap();
        assert_eq!((info.name, info.version.as_str()), ("Podman", "4.3.1"));
    }

    #[test]
    fn what_has_no_api_version_is_no_engine() {
        for said in ["", "null", "[]", "<html>", r#"{"Version":"1.8.7"}"#, r#"{"ApiVersion":141}"#] {
            assert!(Greeting::decode(said.as_bytes()).is_err(), "{said}");
        }
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert!(ApiVersion::parse("1.9") < ApiVersion::parse("1.41"));
        for bad in ["", "1", "1.", ".1", "1.x", "one", "1.2.3"] {
            assert_eq!(ApiVersion::parse(bad), None, "{bad}");
        }
    }
}
