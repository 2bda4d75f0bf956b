//! Where a service stands in a registry, as a view: never more than is true. Pure, but for the clock.

use tokio::time::Instant;

use super::hub::{ago, ahead};
use super::view::{Entry, LastWrite, UNKNOWN};
use crate::reconcile::{Status, SyncState};
use crate::service::notes::quote;

/// Where a service stands in a registry. `dry_run`: nothing is written.
pub(super) fn view(registry: &str, status: &Status, remark: Option<String>, dry_run: bool) -> Entry {
    let now = Instant::now();
    let known = status.state;
    Entry {
        registry: registry.to_owned(),
        state: if status.present { known.as_str() } else { UNKNOWN }.to_owned(),
        text: in_words(status, dry_run),
        last_known: (!status.present).then(|| known.as_str().to_owned()),
        since: ago(status.since),
        exists: status.exists,
        owner: status.owner.as_ref().map(ToString::to_string),
        error: status.error.as_ref().map(ToString::to_string),
        last_write: status.last_write.as_ref().map(|write| LastWrite {
            at: ago(now.saturating_duration_since(write.at)),
            action: write.action.as_str().to_owned(),
            reason: write.reason.in_words().to_owned(),
            answer: write.error.as_ref().map_or_else(|| "done".to_owned(), ToString::to_string),
        }),
        remark,
        next_attempt: status.next.map(|next| ahead(next.saturating_duration_since(now))),
    }
}

/// Where an entry stands, as it follows its state.
fn in_words(status: &Status, dry_run: bool) -> String {
    match (status.present, status.state, &status.owner) {
        (false, SyncState::InSync, _) => {
            "the registry cannot be reached; the entry was right when it was last read".to_owned()
        }
        (false, ..) => "the registry cannot be reached".to_owned(),
        (true, SyncState::Contested, Some(owner)) => {
            format!("the owner {} has this entry: give the container another SERVICE_ID", quote(owner))
        }
        (true, SyncState::Pending, _) => {
            let is = if status.exists { "it differs" } else { "it is not there" };
            let when = if dry_run { "would be written" } else { "is about to be written" };
            format!("{is}, and {when}")
        }
        (true, state, _) => state.in_words().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    /// Every state that an entry can have, as `explain` says it: (state, there, reached) and what is said.
    #[test]
    fn an_entry_is_said_to_be_what_it_is_and_no_more() {
        let status = |state, exists, present, owner: Option<&str>| Status {
            state,
            present,
            exists,
            owner: owner.map(Arc::from),
            since: Duration::ZERO,
            error: None,
            last_write: None,
            next: None,
        };
        let away = "the registry cannot be reached";
        for (state, exists, owner, said) in [
            (SyncState::InSync, true, None, "as it should be"),
            (SyncState::Pending, false, None, "it is not there, and is about to be written"),
            (SyncState::Pending, true, None, "it differs, and is about to be written"),
            (SyncState::InFlight, false, None, "being written"),
            (SyncState::Refused, false, None, "refused by the registry"),
            (SyncState::Contested, true, None, "another owner or instance has this entry"),
            (
                SyncState::Contested,
                true,
                Some("web\n2"),
                r#"the owner "web\n2" has this entry: give the container another SERVICE_ID"#,
            ),
            (SyncState::Held, true, None, "the removal guard asks Docker again first"),
            (SyncState::InDoubt, false, None, "the last write failed on the way"),
            (SyncState::Reaped, false, None, "removed by the registry's own rule"),
        ] {
            let now = view("consul:", &status(state, exists, true, owner), None, false);
            assert_eq!((now.state.as_str(), now.text.as_str(), now.last_known), (state.as_str(), said, None));
            // What a registry held before it went away is not said to be there now.
            let now = view("consul:", &status(state, exists, false, owner), None, false);
            assert_eq!((now.state.as_str(), now.last_known.as_deref()), ("unknown", Some(state.as_str())));
            assert!(now.text.starts_with(away), "{}", now.text);
            assert_eq!(now.text.contains("was right"), state == SyncState::InSync, "{}", now.text);
        }
        let pending = view("consul:", &status(SyncState::Pending, false, true, None), None, true);
        assert_eq!(pending.text, "it is not there, and would be written");
    }
}
