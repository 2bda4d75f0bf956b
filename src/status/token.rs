//! The token that readers of `-status` must give.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

/// The longest token that is read, in bytes.
const LONGEST: u64 = 4096;

/// A token. Never printed.
#[derive(Clone, Debug)]
pub struct Token(SecretString);

impl Token {
    /// Reads it from a file, without the spaces around it.
    ///
    /// # Errors
    /// In one line that says what to do.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let size = std::fs::metadata(path).map_err(|error| format!("-status-token-file {name}: {error}"))?.len();
        if size > LONGEST {
            return Err(format!("-status-token-file {name}: it has {size} bytes; a token has at most {LONGEST}"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| format!("-status-token-file {name}: {error}"))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(format!(
                "-status-token-file {name} is empty: write a token into it, such as `openssl rand -hex 32`"
            ));
        }
        Ok(Self(token.to_owned().into()))
    }

    /// A token for a client to give.
    #[must_use]
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0.expose_secret())
    }

    /// Whether a request gives it: `Bearer TOKEN`, or as the password of any user, as browsers ask for it.
    #[must_use]
    pub fn is_in(&self, given: Option<&HeaderValue>) -> bool {
        let Some((scheme, value)) = given.and_then(|given| given.to_str().ok()?.split_once(' ')) else { return false };
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.is(value.as_bytes());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let decoded = STANDARD.decode(value).unwrap_or_default();
        let password = decoded.iter().position(|byte| *byte == b':').map(|colon| &decoded[colon + 1..]);
        password.is_some_and(|password| self.is(password))
    }

    /// Compares in a time that tells nothing of where the difference is.
    fn is(&self, given: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.expose_secret().as_bytes(), given).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_token_is_given_as_a_bearer_or_as_a_password() {
        let token = Token("s3cret".to_owned().into());
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (given, expected) in [
            ("Bearer s3cret".to_owned(), true),
            ("bearer  s3cret ".to_owned(), true),
            (basic("anybody:s3cret"), true),
            (basic(":s3cret"), true),
            ("Bearer s3cre".to_owned(), false),
            ("Bearer s3crett".to_owned(), false),
            ("Bearer".to_owned(), false),
            (basic("s3cret"), false),
            (basic("s3cret:x"), false),
            ("Basic ???".to_owned(), false),
            ("Digest s3cret".to_owned(), false),
        ] {
            assert_eq!(token.is_in(Some(&HeaderValue::from_str(&given).unwrap())), expected, "{given}");
        }
        assert!(!token.is_in(None));
        assert!(!format!("{token:?}").contains("s3cret"));
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        assert!(Token::read(file.path()).unwrap_err().contains("is empty"));
        file.write_all(b" abc\n").unwrap();
        assert!(Token::read(file.path()).unwrap().is_in(Some(&HeaderValue::from_static("Bearer abc"))));
        assert!(Token::read(Path::new("/nonexistent/token")).is_err());
    }
}
