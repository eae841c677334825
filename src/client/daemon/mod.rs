//! The way to the daemon: find it, connect, call, switch to frames; its start and its end.

pub(crate) mod by_config;
pub(crate) mod daemon_connection;
pub(crate) mod frames;
pub(crate) mod lifecycle;
pub(crate) mod paths;
pub(crate) mod received;
pub(crate) mod select;
pub(crate) mod signal_guard;
pub(crate) mod survivors;
pub(crate) mod trust;
