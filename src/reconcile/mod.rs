//! Reconciling: what is desired and what a registry holds make the next writes.
//!
//! ```text
//!  updates ─► Records ─► Rules ─► Plan ─► Keeper ─► registry
//!             one a key  what may  writes  the task      │
//!                ▲       be done   with    that performs │
//!                └──────────────── reasons ◄── outcomes ─┘
//! ```
//!
//! [`Reconciler`] is pure: it is handed [`Input`]s with the time, and answers with [`Effect`]s. All that is known of one
//! key is its [`Record`](record::Record). What has a life of its own is a small type beside it: the removal [`guard`],
//! [`refusals`], [`contests`], and when to read ([`readings`]). The [`Keeper`] is the only part that waits: one task for
//! each registry, which performs effects one after the other and feeds back what came of them. So writes to one key are in
//! order, the last state wins, and a registry that hangs holds up only itself.

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

pub use effect::{Effect, Input, Outcome, Status};
pub use keeper::{Guarded, Keeper, OPERATION_DEADLINE};
pub use plan::{Left, Plan};
pub use reconciler::Reconciler;
pub use record::SyncState;
pub use rules::Rules;
