//! Redis: its connection, and the reading of keys for rendered files. Nothing is registered in it.

mod connection;
pub(super) mod reader;
