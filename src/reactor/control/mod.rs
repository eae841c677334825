//! Control connections: who may call, what was asked, what is answered and when.

pub(crate) mod access;
pub(crate) mod apply_reload;
pub(crate) mod connection;
pub(crate) mod event_history;
pub(crate) mod flush;
pub(crate) mod listener;
pub(crate) mod log_stream;
pub(crate) mod pending;
pub(crate) mod requests;
pub(crate) mod status_report;
