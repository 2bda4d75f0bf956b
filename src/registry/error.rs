//! What can go wrong with a registry, in the kinds that are acted on.

/// What keeps a registry from being opened; each is a mistake in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No registry has this scheme.
    #[error("unrecognized adapter: {uri}; {hint}")]
    Unrecognized {
        /// The URI, as it may be shown.
        uri: String,
        /// What was probably meant.
        hint: String,
    },
    /// The URI is not written as that registry's URIs are.
    #[error("bad adapter uri: {uri}: {reason}")]
    BadUri {
        /// The URI, as it may be shown.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else in the settings cannot be used: one line that says what, and what to do.
    #[error("{0}")]
    Settings(String),
}

/// Why a registry did not do what it was asked. Each prints as one line, without secrets.
///
/// No kind is final: what failed is tried again, and the kind decides when.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The store could not be reached, did not answer in time, or cannot serve anyone now: all of it is away.
    /// The text names the store and where it is.
    #[error("{0}")]
    Unreachable(String),
    /// The store answered, and did not do this.
    #[error("{text}")]
    Refused {
        /// What has to change before it can succeed.
        cause: Cause,
        /// Why, and what to do.
        text: String,
    },
    /// When it was written, another owner's entry stood at its key, whatever was read before.
    #[error("{0}")]
    Taken(String),
}

/// What a refusal is about: what has to change before the same request can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Our rights: a token, a user or an ACL. Another credential or a wider policy helps.
    Rights,
    /// The service: this store does not take it as it is. Other metadata helps.
    Service,
    /// The server: it could not do it (a full disk, a quota, an answer that nobody knows). It may help itself.
    Server,
}

/// What registries said that could not be reached at the start, in one line, with what a person can do about it.
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
    /// Whether it says itself what to do, which follows the reason after a semicolon; otherwise nobody answers.
    fn is_advised(&self) -> bool {
        match self {
            Self::Unreachable(text) => text.contains("; "),
            Self::Refused { .. } | Self::Taken(_) => true,
        }
    }

    /// A refusal for want of rights.
    #[must_use]
    pub fn rights(text: impl Into<String>) -> Self {
        Self::Refused { cause: Cause::Rights, text: text.into() }
    }

    /// A refusal of a service as it is.
    #[must_use]
    pub fn service(text: impl Into<String>) -> Self {
        Self::Refused { cause: Cause::Service, text: text.into() }
    }

    /// A failure of the server's own.
    #[must_use]
    pub fn server(text: impl Into<String>) -> Self {
        Self::Refused { cause: Cause::Server, text: text.into() }
    }
}
