//! Errors of registries, by what to do about them.

/// Why a registry cannot be opened; always a mistake in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No registry has this scheme.
    #[error("unrecognized adapter: {uri}; {hint}")]
    Unrecognized {
        /// The URI without secrets.
        uri: String,
        /// What was probably meant.
        hint: String,
    },
    /// The URI does not have the form of this registry's URIs.
    #[error("bad adapter uri: {uri}: {reason}")]
    BadUri {
        /// The URI without secrets.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another setting is invalid: one line that says which, and what to do.
    #[error("{0}")]
    Settings(String),
}

/// Why a registry did not do what it was asked. Each prints as one line, without secrets.
///
/// No error is final: failed requests are retried, and the kind decides when.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The registry could not be reached, did not answer in time, or can serve nobody now. The text names the registry
    /// and its address.
    #[error("{0}")]
    Unreachable(String),
    /// The registry answered, and refused.
    #[error("{text}")]
    Refused {
        /// What has to change before it can succeed.
        cause: Cause,
        /// Why, and what to do.
        text: String,
    },
    /// At the time of the write, the key had another owner's entry, although the last read did not show it.
    #[error("{0}")]
    Taken(String),
}

/// The cause of a refusal: what must change before the same request can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Missing rights: a token, a user or an ACL. Other credentials or a wider policy help.
    Rights,
    /// The service: the registry does not accept it as it is. Other metadata helps.
    Service,
    /// The server: it was unable to (a full disk, a quota, an unknown answer). It may recover by itself.
    Server,
}

/// One line about the registries that could not be reached at the start, with what a person can do.
#[must_use]
pub fn said_at_the_start(errors: &[RegistryError]) -> String {
    let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let said = said.join("; ");
    if errors.iter().all(RegistryError::is_advised) {
        said
    } else {
        format!("{said}; check the URI and that it runs, or wait for it with -retry-attempts")
    }
}

impl RegistryError {
    /// Whether the error says what to do, after a semicolon. If not, the server does not answer.
    fn is_advised(&self) -> bool {
        match self {
            Self::Unreachable(text) => text.contains("; "),
            Self::Refused { .. } | Self::Taken(_) => true,
        }
    }

    /// A refusal because of missing rights.
    #[must_use]
    pub fn rights(text: impl Into<String>) -> Self {
        Self::Refused { cause: Cause::Rights, text: text.into() }
    }

    /// A refusal of the service as it is.
    #[must_use]
    pub fn service(text: impl Into<String>) -> Self {
        Self::Refused { cause: Cause::Service, text: text.into() }
    }

    /// A failure of the server.
    #[must_use]
    pub fn server(text: impl Into<String>) -> Self {
        Self::Refused { cause: Cause::Server, text: text.into() }
    }
}
