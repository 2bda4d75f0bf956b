//! Digests, and texts in base64.

use aws_lc_rs::digest::{self, Algorithm};
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, PAD};
use base64::{DecodeError, Engine};
use gtmpl_ng::Value;

use super::args::{Args, Failed, Given, exactly, functions};
use crate::template::engine::Table;

/// As Go's: the bits that no byte needs may be anything.
const CONFIG: GeneralPurposeConfig = PAD.with_decode_allow_trailing_bits(true);

static STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
static URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

pub(in crate::template) static TABLE: Table = functions! {
    "base64Encode", exactly(1), |args| Ok(Value::from(STANDARD.encode(args.text(0)?)));
    "base64Decode", exactly(1), |args| decode(&STANDARD, args);
    "base64URLEncode", exactly(1), |args| Ok(Value::from(URL.encode(args.text(0)?)));
    "base64URLDecode", exactly(1), |args| decode(&URL, args);
    "sha256sum", exactly(1), |args| hex(&digest::SHA256, args);
    "sha256Hex", exactly(1), |args| hex(&digest::SHA256, args);
    "sha1", exactly(1), |args| hex(&digest::SHA1_FOR_LEGACY_USE_ONLY, args);
};

/// As in Go, line breaks are skipped.
fn decode(engine: &GeneralPurpose, args: &Args<'_>) -> Given {
    let text: String = args.text(0)?.chars().filter(|character| !matches!(character, '\r' | '\n')).collect();
    let bytes = engine.decode(&text).map_err(|error| {
        let byte = match error {
            DecodeError::InvalidByte(byte, _) | DecodeError::InvalidLastSymbol { offset: byte, .. } => byte,
            _ => text.len(),
        };
        Failed::new(format_args!("illegal base64 data at input byte {byte}"))
    })?;
    String::from_utf8(bytes).map(Value::from).map_err(|_| Failed::new("the decoded bytes are not UTF-8"))
}

fn hex(algorithm: &'static Algorithm, args: &Args<'_>) -> Given {
    let digest = digest::digest(algorithm, args.text(0)?.as_bytes());
    Ok(Value::from(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}
