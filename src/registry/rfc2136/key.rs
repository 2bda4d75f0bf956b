//! The key that messages are signed with (TSIG, RFC 8945): its secret from the variable, or from a file that may change.

use hickory_proto::rr::TSigner;
use secrecy::ExposeSecret;
use tokio::io::AsyncReadExt;

use crate::registry::RegistryError;

use super::settings::{KeySettings, Secret, secret_of};

/// By how many seconds the clocks may differ, as usual.
const FUDGE: u16 = 300;
/// Longer than any secret, so that a wrong file does not fill the memory.
const FILE_LIMIT: u64 = 4096;

/// The signer of now. The file is read each time: it is small, and only reading it shows every change.
///
/// # Errors
/// When the secret cannot be read.
pub(super) async fn signer(key: &KeySettings) -> Result<TSigner, RegistryError> {
    let secret = match &key.secret {
        Secret::Fixed(secret) => secret_of(secret.expose_secret()),
        Secret::File(path) => {
            let read = read(path).await.and_then(|text| secret_of(&text));
            read.map_err(|reason| format!("the file {} {reason}", path.display()))
        }
    };
    let cure = "write the key's secret there, in base64";
    let secret = secret.map_err(|reason| RegistryError::Unreachable(format!("{reason}; {cure}")))?;
    TSigner::new(secret, key.algorithm.clone(), key.name.clone(), FUDGE)
        .map_err(|error| RegistryError::server(format!("the key cannot be used: {error}")))
}

async fn read(path: &std::path::Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mut text = String::new();
    file.take(FILE_LIMIT + 1).read_to_string(&mut text).await.map_err(unreadable)?;
    if text.len() as u64 > FILE_LIMIT { Err("is too long for a secret".to_owned()) } else { Ok(text) }
}
