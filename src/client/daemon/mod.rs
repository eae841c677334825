//! The way to the daemon: find it, connect, call, switch to frames.

pub(crate) mod by_config;
pub(crate) mod daemon_connection;
pub(crate) mod frames;
pub(crate) mod select;
