//! Sockets, locks and folders through which a daemon is found, and everything that a start inherits
//! or leaves behind.

#[path = "../support/mod.rs"]
mod support;

mod finding;
mod home;
mod runtime_dirs;
mod starting;
mod telling;
