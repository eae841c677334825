//! Where a daemon is, and how it is found: sockets, locks, the folder one is in, and what a start
//! inherits or leaves behind.

#[path = "../support/mod.rs"]
mod support;

mod finding;
mod home;
mod starting;
mod telling;
