//! Until when certificates are valid: those that a server shows, and those in our files.
//!
//! Only the end of a certificate's validity is read. The crates for whole certificates would bring several others, and
//! refuse ones that TLS itself accepts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tls::{ClientError, Pem, Tls, certificates, tls_config};

/// How long connecting and the handshake may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// When the first certificate of the chain that a server shows expires, in seconds since 1970. Whether we trust it does
/// not matter here.
///
/// # Errors
/// Why it shows none, in a few words.
pub async fn served_until(host: &str, port: u16, tls: &Tls) -> Result<i64, String> {
    let any = Tls { skip_verify: true, ..tls.clone() };
    let config = tls_config(&any).map_err(|error| error.to_string())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no name of a server"))?;
    let handshake = async {
        let stream = TcpStream::connect((host, port)).await?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok::<_, std::io::Error>(shown.iter().filter_map(|certificate| not_after(certificate)).min())
    };
    match timeout(DEADLINE, handshake).await {
        Ok(Ok(Some(until))) => Ok(until),
        Ok(Ok(None)) => Err("it shows no certificate that can be read".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

/// When the first certificate in a PEM file expires, in seconds since 1970; `None` if none can be read.
///
/// # Errors
/// When the file is missing, or holds no certificate.
pub fn valid_until(path: &Path) -> Result<Option<i64>, ClientError> {
    Ok(certificates(Pem::Certificate, path)?.iter().filter_map(|certificate| not_after(certificate)).min())
}

/// The end of a certificate's validity, in seconds since 1970 (RFC 5280, section 4.1).
#[must_use]
pub fn not_after(der: &[u8]) -> Option<i64> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut signed, _) = element(certificate, SEQUENCE)?;
    // The version is left out of certificates of version 1.
    if let Some((_, rest)) = element(signed, VERSION) {
        signed = rest;
    }
    let (_serial, rest) = element(signed, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, rest) = element(validity, UTC_TIME).or_else(|| element(validity, GENERALIZED_TIME))?;
    match element(rest, UTC_TIME) {
        Some((time, _)) => {
            let (year, rest) = digits(time, 2)?;
            moment(if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        None => {
            let (time, _) = element(rest, GENERALIZED_TIME)?;
            let (year, rest) = digits(time, 4)?;
            moment(year, rest)
        }
    }
}

// Tags of DER (ITU-T X.690).
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The content of the first element, if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // The number of bytes that hold the length.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

/// The number of these first digits, and what follows them.
fn digits(text: &[u8], count: usize) -> Option<(i32, &[u8])> {
    let (digits, rest) = text.split_at_checked(count)?;
    let number = digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i32::from(digit - b'0')))?;
    Some((number, rest))
}

/// `MMDDHHMMSSZ` of a year.
fn moment(year: i32, rest: &[u8]) -> Option<i64> {
    let mut numbers = [0; 5];
    let mut rest = rest;
    for number in &mut numbers {
        let (found, after) = digits(rest, 2)?;
        *number = u32::try_from(found).ok()?;
        rest = after;
    }
    let [month, day, hour, minute, second] = numbers;
    let time = NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(hour, minute, second)?;
    (rest == b"Z").then(|| time.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    use testkit::certificates::Certificates;

    use super::*;

    /// A certificate as far as it is read, with this end of its validity.
    fn certificate(version: bool, tag: u8, time: &str) -> Vec<u8> {
        let wrap = |tag: u8, content: &[u8]| {
            let mut der = vec![tag, 0x82];
            der.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            der.extend(content);
            der
        };
        let start = wrap(UTC_TIME, b"200101000000Z");
        let validity = wrap(SEQUENCE, &[start, wrap(tag, time.as_bytes())].concat());
        let version = if version { wrap(VERSION, &wrap(INTEGER, &[2])) } else { Vec::new() };
        let empty = wrap(SEQUENCE, &[]);
        let signed = [version, wrap(INTEGER, &[0xff; 20]), empty.clone(), empty.clone(), validity, empty].concat();
        wrap(SEQUENCE, &wrap(SEQUENCE, &signed))
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        for (version, tag, time, expected) in [
            (true, UTC_TIME, "300102030405Z", Some(1_893_553_445)),
            (false, UTC_TIME, "300102030405Z", Some(1_893_553_445)),
            (true, UTC_TIME, "700101000000Z", Some(0)),
            (true, GENERALIZED_TIME, "20300102030405Z", Some(1_893_553_445)),
            (true, GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (true, UTC_TIME, "300230000000Z", None),
            (true, UTC_TIME, "3001020304Z", None),
            (true, UTC_TIME, "300102030405+0100", None),
            (true, GENERALIZED_TIME, "2030x102030405Z", None),
            (true, INTEGER, "300102030405Z", None),
        ] {
            assert_eq!(not_after(&certificate(version, tag, time)), expected, "{time}");
        }
    }

    #[test]
    fn the_certificates_of_openssl_are_read_to_the_second() {
        let folder = tempfile::tempdir().unwrap();
        let made = Certificates::make(folder.path());
        let now = chrono::Utc::now().timestamp();
        for (path, days) in [(&made.ca, 2), (&made.server.certificate, 2)] {
            let until = valid_until(path).unwrap().unwrap();
            assert!((until - now - days * 86_400).abs() < 60, "{until}");
        }
        let over = made.server("over", "DNS:localhost", -1);
        assert!(valid_until(&over.certificate).unwrap().unwrap() < now);
        let der = CertificateDer::from_pem_file(&made.ca).unwrap();
        // Cut anywhere before the end of the validity, nothing is found and nothing breaks.
        for length in 0..60 {
            assert_eq!(not_after(&der[..length]), None);
        }
        assert!(valid_until(Path::new("/nowhere")).is_err());
    }

    proptest! {
        #[test]
        fn whatever_a_server_shows_is_survived(
            der in proptest::collection::vec(any::<u8>(), 0..200),
            place in 0_usize..400,
            byte in any::<u8>(),
        ) {
            let _ = not_after(&der);
            let mut changed = certificate(true, UTC_TIME, "300102030405Z");
            let place = place % changed.len();
            changed[place] = byte;
            let _ = not_after(&changed);
        }
    }
}
