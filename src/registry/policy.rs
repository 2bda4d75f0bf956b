//! Which changes of a registry's entries are allowed.

/// Which changes of one registry's entries are allowed (`?policy=` in its URI).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// All changes that make it equal to the desired state.
    #[default]
    Sync,
    /// Entries are added and changed, never removed.
    UpsertOnly,
}

impl Policy {
    /// The policy with this name.
    ///
    /// # Errors
    /// When there is no such policy: the reason.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "sync" => Ok(Self::Sync),
            "upsert-only" => Ok(Self::UpsertOnly),
            other => Err(format!("policy={other:?} is neither sync nor upsert-only")),
        }
    }
}
