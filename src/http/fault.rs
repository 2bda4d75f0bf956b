//! The kind of fault behind a failed connection, so that the caller can say what to do.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// What is wrong with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// We used TLS, but the server does not.
    NoTls,
    /// The server's certificate is not signed by a trusted authority.
    UnknownAuthority,
    /// The server's certificate is invalid for another reason, which follows "its certificate ".
    BadCertificate(String),
    /// The server requires a client certificate, or rejects ours.
    Identity,
    /// The connection was made, but closed without an answer.
    Broken,
    /// Any other fault, such as an unreachable server.
    Other,
}

impl Fault {
    /// Finds the fault in an error and its sources.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut fault = Self::Other;
        let mut next = Some(error);
        while let Some(error) = next {
            fault = match (Self::seen(error), fault) {
                (Self::Other, known) => known,
                (found, _) => found,
            };
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                // `io::Error::source` skips the error that it wraps.
                Some(held) => Some(held as &(dyn Error + 'static)),
                None => error.source(),
            };
        }
        fault
    }

    fn seen(error: &(dyn Error + 'static)) -> Self {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Self::of_tls(error);
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return if error.is_incomplete_message() { Self::Broken } else { Self::Other };
        }
        match error.downcast_ref::<io::Error>() {
            // A server without TLS may also close the connection when it reads the handshake.
            Some(error) if error.to_string() == "tls handshake eof" => Self::NoTls,
            Some(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    Self::Broken
                }
                _ => Self::Other,
            },
            // HTTP/2 finds no frame in an HTTP/1.1 answer, if that comes before the connection is closed.
            None if error.to_string().ends_with("frame with invalid size") => Self::Broken,
            None => Self::Other,
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NoTls,
            rustls::Error::InvalidCertificate(reason) => match reason {
                CertificateError::UnknownIssuer => Self::UnknownAuthority,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::BadCertificate("has expired".to_owned())
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::BadCertificate("is not valid yet (is the clock right?)".to_owned())
                }
                CertificateError::NotValidForName => Self::BadCertificate("is for another name".to_owned()),
                CertificateError::NotValidForNameContext { presented, .. } => {
                    Self::BadCertificate(format!("is for other names ({})", presented.join(", ")))
                }
                reason => Self::BadCertificate(format!("is not valid: {reason}")),
            },
            rustls::Error::AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::CertificateRequired
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied,
            ) => Self::Identity,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_found_however_deep_it_is_nested() {
        let tls = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let certificate = |error| tls(rustls::Error::InvalidCertificate(error));
        let alert = |alert| tls(rustls::Error::AlertReceived(alert));
        for (error, fault) in [
            (tls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)), Fault::NoTls),
            (io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"), Fault::NoTls),
            (certificate(CertificateError::UnknownIssuer), Fault::UnknownAuthority),
            (certificate(CertificateError::Expired), Fault::BadCertificate("has expired".to_owned())),
            (certificate(CertificateError::NotValidForName), Fault::BadCertificate("is for another name".to_owned())),
            (alert(AlertDescription::CertificateRequired), Fault::Identity),
            (alert(AlertDescription::InternalError), Fault::Other),
            (io::ErrorKind::ConnectionReset.into(), Fault::Broken),
            (io::ErrorKind::ConnectionRefused.into(), Fault::Other),
        ] {
            let shown = error.to_string();
            assert_eq!(Fault::of(&error), fault, "{shown}");
            let outer = crate::http::Error::broken(error);
            assert_eq!(Fault::of(&outer), fault, "{shown}");
        }
    }
}
