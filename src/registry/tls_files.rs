//! The files of TLS: from the URI's `ca`, `cert` and `key`, then from the variables of the registry.

use std::path::PathBuf;

use super::OpenError;
use super::parameters::Parameters;
use crate::config::Environment;

/// The variables that name the files where the URI does not.
#[derive(Clone, Copy)]
pub(super) struct TlsVariables {
    /// The registry, for a message.
    pub(super) registry: &'static str,
    /// The authorities to trust, our certificate, and its key.
    pub(super) ca: &'static str,
    pub(super) certificate: &'static str,
    pub(super) key: &'static str,
}

/// The files, not yet read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsFiles {
    pub(super) ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Takes them out of the parameters.
    ///
    /// # Errors
    /// When there is a certificate without a key, or a key without a certificate.
    pub(super) fn take(
        parameters: &mut Parameters,
        environment: &Environment,
        variables: &TlsVariables,
    ) -> Result<Self, OpenError> {
        let TlsVariables { registry, ca, certificate, key } = *variables;
        let mut either = |parameter, variable| {
            parameters.take(parameter).or_else(|| environment.get(variable).map(str::to_owned)).map(PathBuf::from)
        };
        let authorities = either("ca", ca);
        let identity = match (either("cert", certificate), either("key", key)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err(OpenError::Settings(format!(
                    "{registry}: a certificate and its key must be set together or not at all (cert and key in the URI, or \
                     {certificate} and {key})"
                )));
            }
        };
        Ok(Self { ca: authorities, identity })
    }

    /// Whether any is named.
    pub(super) fn any(&self) -> bool {
        self.ca.is_some() || self.identity.is_some()
    }
}
