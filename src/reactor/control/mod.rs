//! Control connections: accepting them, access, requests and replies.

pub(crate) mod access;
pub(crate) mod clients;
pub(crate) mod connection;
pub(crate) mod events;
pub(crate) mod flush;
pub(crate) mod listener;
pub(crate) mod logs;
pub(crate) mod parameters;
pub(crate) mod pending;
pub(crate) mod reload;
pub(crate) mod requests;
pub(crate) mod serve;
pub(crate) mod status;
