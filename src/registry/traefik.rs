//! `?layout=traefik`: what a URI says about Traefik's keys, for every registry that is a key-value store.

use registrator_traefik::Settings;

use super::error::OpenError;
use super::parameters::{Parameters, decoded};
use super::uri::{Uri, redacted};

/// The parameters; the others count only with the first.
const PARAMETERS: [&str; 4] = ["layout", "exposed", "namespace", "rule"];

/// The default root of Traefik's keys (its option `rootKey`).
pub(super) const ROOT: &str = "traefik";

/// Takes these parameters out of a URI. Returns the settings if the layout is Traefik's, and the query without them.
///
/// # Errors
/// When a value cannot be used.
pub(super) fn take(uri: &Uri<'_>, whole: &str) -> Result<(Option<Settings>, Option<String>), OpenError> {
    let bad = |reason: String| OpenError::BadUri { uri: redacted(whole), reason };
    let mut parameters = Parameters::read(uri.query).map_err(bad)?;
    let query = uri.query.map(str::to_owned);
    match parameters.take("layout").as_deref() {
        None => return Ok((None, query)),
        Some("plain") => return Ok((None, query.map(|query| without(&query, &PARAMETERS[..1])))),
        Some("traefik") => {}
        Some(other) => return Err(bad(format!("layout={other:?} is neither plain nor traefik"))),
    }
    let mut settings = Settings::default();
    for name in Settings::PARAMETERS {
        if let Some(value) = parameters.take(name) {
            settings.set(name, &value).map_err(bad)?;
        }
    }
    Ok((Some(settings), query.map(|query| without(&query, &PARAMETERS)).filter(|query| !query.is_empty())))
}

/// What the query of a request says of the same: its other parameters are left alone.
///
/// # Errors
/// When a value cannot be used: one line that says what would be right.
pub fn traefik_settings(query: &str) -> Result<Settings, String> {
    let mut parameters = Parameters::read(Some(query))?;
    let mut settings = Settings::default();
    for name in Settings::PARAMETERS {
        if let Some(value) = parameters.take(name) {
            settings.set(name, &value)?;
        }
    }
    Ok(settings)
}

/// A query without these parameters; the others are unchanged.
fn without(query: &str, names: &[&str]) -> String {
    let name = |parameter: &str| decoded(parameter.split('=').next().unwrap_or_default());
    let others = query.split('&').filter(|parameter| name(parameter).is_none_or(|name| !names.contains(&&*name)));
    others.collect::<Vec<_>>().join("&")
}

/// Whether a registry's URI asks for Traefik's layout.
#[must_use]
pub fn is_for_traefik(uri: &str) -> bool {
    let query = Uri::split(uri).and_then(|uri| uri.query.map(str::to_owned));
    Parameters::read(query.as_deref())
        .is_ok_and(|mut parameters| parameters.take("layout").as_deref() == Some("traefik"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(uri: &str) -> Result<(Option<Settings>, Option<String>), String> {
        take(&Uri::split(uri).unwrap(), uri).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_about_traefik_is_taken_off_and_the_rest_is_left() {
        let traefik = Settings::default();
        let ours = Settings {
            exposed: false,
            namespaces: vec!["dev".to_owned(), "qa".to_owned()],
            rule: "Host(`{}.example.com`)".to_owned(),
        };
        for (uri, settings, rest) in [
            ("x://h", None, None),
            ("x://h?exposed=false", None, Some("exposed=false")),
            ("x://h?layout=plain&ca=x", None, Some("ca=x")),
            ("x://h?layout=traefik", Some(traefik.clone()), None),
            ("x://h?ca=%2F&layout=traefik&cert=y", Some(traefik), Some("ca=%2F&cert=y")),
            (
                "x://h?layout=traefik&exposed=false&namespace=dev,qa&rule=Host(`{{normalize%20.Name}}.example.com`)",
                Some(ours),
                None,
            ),
        ] {
            assert_eq!(taken(uri), Ok((settings.clone(), rest.map(str::to_owned))), "{uri}");
            assert_eq!(is_for_traefik(uri), settings.is_some(), "{uri}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        for (uri, said) in [
            ("x://h?layout=nginx", "layout=\"nginx\" is neither plain nor traefik"),
            ("x://h?layout=traefik&exposed=1", "exposed=\"1\" is neither true nor false"),
        ] {
            assert_eq!(taken(uri), Err(format!("bad adapter uri: {uri}: {said}")));
        }
    }
}
