//! What may be done to a registry's entries at all.

/// What may be done to the entries of one registry (`?policy=` in its URI).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Whatever makes it equal to what runs.
    #[default]
    Sync,
    /// Nothing is ever removed: entries are added and changed.
    UpsertOnly,
}

impl Policy {
    /// The policy that the parameter names.
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
