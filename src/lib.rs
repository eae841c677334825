//! Keep programs alive, and attach to any of them: the library behind `tmd` (the daemon) and
//! `tm` (its client).
//!
//! [`supervisor`] is a pure state machine: it receives facts and returns decisions. The
//! [`reactor`] around it makes all system calls and decides nothing. `ARCHITECTURE.md` explains
//! the structure.

#![warn(unreachable_pub)]

pub mod client;
pub mod config;
pub mod reactor;
pub mod ring;
pub mod supervisor;
pub mod sys;
pub mod terminal;
pub(crate) mod text;
pub mod wire;
