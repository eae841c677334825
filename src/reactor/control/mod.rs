//! Control connections: accepting them, access, requests and replies.

pub(crate) mod apply_reload;
pub(crate) mod audit;
pub(crate) mod client_quotas;
pub(crate) mod client_table;
pub(crate) mod connection;
pub(crate) mod connection_mode;
pub(crate) mod event_feed;
pub(crate) mod event_feeds;
pub(crate) mod event_history;
pub(crate) mod fair_queue;
pub(crate) mod flush;
pub(crate) mod listener;
pub(crate) mod log_stream;
pub(crate) mod parameters;
pub(crate) mod pending;
pub(crate) mod permissions;
pub(crate) mod reload_requests;
pub(crate) mod requests;
pub(crate) mod serve;
pub(crate) mod shares;
pub(crate) mod spare_files;
pub(crate) mod status_report;
