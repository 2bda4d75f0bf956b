//! Many files from one template (`for_each`): which there are to be, and which were ours and are no longer.

pub mod items;
pub mod ledger;
