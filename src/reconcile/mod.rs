//! Reconciling: computes the next writes from the desired state and the entries of a registry.
//!
//! ```text
//!  updates ─► Records ─► Rules ─► Plan ─► Keeper ─► registry
//!             one a key  what may  writes  the task      │
//!                ▲       be done   with    that performs │
//!                └──────────────── reasons ◄── outcomes ─┘
//! ```
//!
//! [`Reconciler`] is pure: it takes [`Input`]s with the time, and returns [`Effect`]s. Everything known about one key is
//! its `Record`. Parts with their own state are small types beside it: the removal `guard`,
//! `refusals`, `contests`, and when to read (`readings`). The [`Keeper`] is the only part that waits: one task per
//! registry performs the effects one after the other, and returns their results. So writes to one key are in order, the
//! last state wins, and a registry that hangs delays only itself.

mod answers;
mod contests;
mod decide;
mod effect;
mod failures;
mod guard;
mod keeper;
mod plan;
mod readings;
mod reconciler;
mod record;
mod records;
mod refusals;
mod rules;

pub use answers::{LastWrite, Reach, Regard, Status, Summary};
pub use effect::{Effect, Input, Outcome};
pub use keeper::{Guarded, Keeper, OPERATION_DEADLINE};
pub use plan::{Left, Plan, Planned};
pub use reconciler::Reconciler;
pub use record::SyncState;
pub use refusals::StillRefused;
pub use rules::Rules;
