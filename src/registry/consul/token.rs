//! The ACL token: from the environment, or from a file that may change at run time.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncReadExt;

use crate::registry::RegistryError;
use crate::registry::reporter::Reporter;

/// Longer than any token, so that a wrong file does not fill the memory.
const FILE_LIMIT: u64 = 4096;

/// The source of each request's token.
pub(super) struct Token {
    fixed: Option<SecretString>,
    file: Option<TokenFile>,
    reporter: Reporter,
}

struct TokenFile {
    path: PathBuf,
    /// Its content when it was last readable.
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    token: Option<SecretString>,
    /// Whether the log has already reported that the file cannot be read.
    said: bool,
}

impl Token {
    /// `CONSUL_HTTP_TOKEN` and `CONSUL_HTTP_TOKEN_FILE`; the file wins, unless it is empty.
    pub(super) fn new(fixed: Option<SecretString>, file: Option<PathBuf>, reporter: Reporter) -> Self {
        Self { fixed, file: file.map(|path| TokenFile { path, last: Mutex::default() }), reporter }
    }

    /// The token to send now, if any. The file is read each time: it is small, and only reading it shows every change.
    /// If it cannot be read (while it is being replaced), the last token is used.
    ///
    /// # Errors
    /// When the file has never been readable.
    pub(super) async fn now(&self) -> Result<Option<SecretString>, RegistryError> {
        let Some(file) = &self.file else { return Ok(self.fixed.clone()) };
        let read = file.read().await;
        let mut last = file.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(token) => *last = Last { token: Some(token), said: false },
            Err(reason) => {
                let line = format!("consul: the token file {} cannot be read: {reason}", file.path.display());
                if last.token.is_none() {
                    let cure = "write the token there, or correct CONSUL_HTTP_TOKEN_FILE";
                    return Err(RegistryError::Unreachable(format!("{line}; {cure}")));
                }
                if !last.said {
                    last.said = true;
                    self.reporter.warn("token_file", format!("{line}; going on with the token that was there before"));
                }
            }
        }
        let held = last.token.clone().filter(|token| !token.expose_secret().is_empty());
        Ok(held.or_else(|| self.fixed.clone()))
    }
}

impl TokenFile {
    async fn read(&self) -> Result<SecretString, String> {
        let file = tokio::fs::File::open(&self.path).await.map_err(|error| error.to_string())?;
        let mut text = String::new();
        file.take(FILE_LIMIT + 1).read_to_string(&mut text).await.map_err(|error| error.to_string())?;
        if text.len() as u64 > FILE_LIMIT {
            return Err("too long for a token".to_owned());
        }
        Ok(SecretString::from(text.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shown(token: &Token) -> Result<Option<String>, String> {
        token
            .now()
            .await
            .map(|token| token.map(|token| token.expose_secret().to_owned()))
            .map_err(|error| error.to_string())
    }

    fn some(text: &str) -> Result<Option<String>, String> {
        Ok(Some(text.to_owned()))
    }

    #[tokio::test]
    async fn a_token_file_is_followed_while_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let token = Token::new(Some("fixed".into()), Some(path.clone()), Reporter::silent());
        assert!(shown(&token).await.is_err_and(|reason| reason.contains(&path.display().to_string())));
        std::fs::write(&path, "one\n").expect("written");
        assert_eq!(shown(&token).await, some("one"));
        std::fs::write(&path, "two").expect("written");
        assert_eq!(shown(&token).await, some("two"));
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(shown(&token).await, some("two"));
        std::fs::write(&path, "x".repeat(5000)).expect("written");
        assert_eq!(shown(&token).await, some("two"));
        std::fs::write(&path, " \n").expect("written");
        assert_eq!(shown(&token).await, some("fixed"));
    }

    #[tokio::test]
    async fn without_a_file_the_token_is_the_one_that_was_set() {
        assert_eq!(shown(&Token::new(Some("fixed".into()), None, Reporter::silent())).await, some("fixed"));
        assert_eq!(shown(&Token::new(None, None, Reporter::silent())).await, Ok(None));
    }
}
