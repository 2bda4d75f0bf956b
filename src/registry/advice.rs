//! What a person can do about a registry that cannot be reached: the setting that is wrong, by its name.

use crate::http::{ClientError, Fault, Pem};

/// How the settings for TLS are called in one kind of registry.
pub(super) struct TlsNames {
    /// What makes a connection one over TLS.
    pub(super) with: &'static str,
    /// What makes it one without.
    pub(super) without: &'static str,
    /// The file of the authorities to trust.
    pub(super) authorities: &'static str,
    /// The file of our certificate.
    pub(super) certificate: &'static str,
    /// The file of its key.
    pub(super) key: &'static str,
}

impl TlsNames {
    /// What is wrong with a connection over TLS and what to do; `reason` is what the connection itself says.
    pub(super) fn explained(&self, fault: &Fault, reason: &str) -> String {
        let Self { with: _, without, authorities, certificate, key } = self;
        match fault {
            Fault::NoTls => {
                format!("it speaks no TLS there; connect without ({without}), or to the port that serves TLS")
            }
            Fault::UnknownAuthority => format!(
                "its certificate is signed by no authority that is trusted here; name the PEM file of its authority in \
                 {authorities}"
            ),
            Fault::BadCertificate(why) => {
                format!("its certificate {why}; give the server a new one, or use a name that is in it")
            }
            Fault::Identity => {
                format!(
                    "it wants a certificate of ours that it trusts; name one in {certificate}, and its key in {key}"
                )
            }
            Fault::Broken | Fault::Other => reason.to_owned(),
        }
    }

    /// A server that was spoken to without TLS and wants it.
    pub(super) fn wanted(&self) -> String {
        format!("it speaks only TLS there; connect with TLS ({}), or to the port that serves none", self.with)
    }

    /// Why a client cannot be made with these files.
    pub(super) fn of_files(&self, error: &ClientError) -> String {
        match error {
            ClientError::Pem { what, .. } => {
                let setting = match what {
                    Pem::Authorities => self.authorities,
                    Pem::Certificate => self.certificate,
                    Pem::Key => self.key,
                };
                format!("{error}; correct {setting}")
            }
            ClientError::Tls(_) => {
                format!("{error}; {}, {} and {} must fit together", self.authorities, self.certificate, self.key)
            }
        }
    }
}
