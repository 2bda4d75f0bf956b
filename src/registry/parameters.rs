//! The parameters of a registry URI, after its question mark.

use percent_encoding::percent_decode_str;

/// The parameters that every registry accepts; [`super::common`] takes these.
pub(super) const COMMON: [&str; 2] = ["ttl", "policy"];

/// Names with decoded values, in the order of the URI. Each is taken once by the code that knows it; those left at the
/// end are unknown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Parses `name=value&name=value`.
    ///
    /// # Errors
    /// Why it cannot be parsed, for [`super::OpenError::BadUri`].
    pub(super) fn read(query: Option<&str>) -> Result<Self, String> {
        let mut parameters = Self::default();
        for parameter in query.unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err("its parameters are not UTF-8".to_owned());
            };
            if parameters.0.iter().any(|(other, _)| *other == name) {
                return Err(format!("the parameter {name} is given twice"));
            }
            parameters.0.push((name, value));
        }
        Ok(parameters)
    }

    /// Takes the value of a parameter, if present.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(given, _)| given == name)?;
        Some(self.0.remove(index).1)
    }

    /// Checks that no parameter is left. `known` are the names that this registry accepts, besides the common ones.
    ///
    /// # Errors
    /// When one is left: a message that names the known ones.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let known = [known, &COMMON].concat().join(", ");
                Err(format!("it does not know the parameter {name:?}; it knows {known}"))
            }
        }
    }
}

/// Decodes percent-encoding; `None` if the result is not text.
pub(super) fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_is_taken_once_and_decoded() {
        let mut parameters = Parameters::read(Some("a=1&b=%2Fx%3D&&c")).unwrap();
        assert_eq!(parameters.take("b").as_deref(), Some("/x="));
        assert_eq!(parameters.take("b"), None);
        assert_eq!(parameters.take("c").as_deref(), Some(""));
        assert_eq!(parameters.take("a").as_deref(), Some("1"));
        assert_eq!(parameters.finish(&["a", "b", "c"]), Ok(()));
        assert_eq!(Parameters::read(None), Ok(Parameters::default()));
    }

    #[test]
    fn unknown_parameters_are_refused_with_the_known_ones() {
        let parameters = Parameters::read(Some("acls=1")).unwrap();
        let reason = "it does not know the parameter \"acls\"; it knows acl, auth, ttl, policy";
        assert_eq!(parameters.finish(&["acl", "auth"]), Err(reason.to_owned()));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (query, reason) in
            [("a=1&a=2", "the parameter a is given twice"), ("a=%FF", "its parameters are not UTF-8")]
        {
            assert_eq!(Parameters::read(Some(query)), Err(reason.to_owned()));
        }
    }
}
