//! What to do about a registry that cannot be reached because of TLS: names the setting that is wrong.

use std::net::IpAddr;

use crate::http::{ClientError, Fault, Pem};

/// The names of the TLS settings of one kind of registry.
#[derive(Clone, Copy)]
pub(super) struct TlsNames {
    /// The setting that turns TLS on.
    pub(super) with: &'static str,
    /// The setting that turns TLS off.
    pub(super) without: &'static str,
    /// The file of trusted authorities.
    pub(super) authorities: &'static str,
    /// The file of the client certificate.
    pub(super) certificate: &'static str,
    /// The file of the certificate's key.
    pub(super) key: &'static str,
}

impl TlsNames {
    /// What is wrong with a TLS connection, and what to do. `reason` is the connection's own error.
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

    /// The server requires TLS, but was addressed without it.
    pub(super) fn wanted(&self) -> String {
        format!("it speaks only TLS there; connect with TLS ({}), or to the port that serves none", self.with)
    }

    /// A warning about a secret that is sent to another machine without TLS; `secret` names it, as in "the token". `None`
    /// if it stays on this machine.
    pub(super) fn unencrypted<'a>(&self, secret: &str, hosts: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let host = hosts.into_iter().find(|host| !is_loopback(host))?;
        let with = self.with;
        Some(format!(
            "{secret} goes to {host} unencrypted, so others on the network can read it; connect with TLS ({with})"
        ))
    }

    /// Why a client cannot be created with these files.
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

/// Whether a host of a URI is this machine itself, whatever its own names resolve to.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_leaves_this_machine_without_tls_is_said() {
        let names = TlsNames { with: "x-tls://", without: "x://", authorities: "a", certificate: "b", key: "c" };
        for here in ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "::1", "[::1]", "::ffff:127.0.0.1"] {
            assert_eq!(names.unencrypted("the token", [here]), None, "{here}");
        }
        for there in ["10.0.0.5", "consul", "::2", "localhost.example.org"] {
            let said = format!(
                "the token goes to {there} unencrypted, so others on the network can read it; connect with TLS (x-tls://)"
            );
            assert_eq!(names.unencrypted("the token", ["127.0.0.1", there]), Some(said));
        }
        assert_eq!(names.unencrypted("the token", []), None);
    }
}
