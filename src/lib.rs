//! Keep programs alive, and attach to any of them: the library behind `tmd` (the daemon) and
//! `tm` (its client).
//!
//! Facts go up once, decisions come down once: [`supervisor`] is a pure state machine, the
//! [`reactor`] around it does every system call and never decides. `ARCHITECTURE.md` has the
//! whole picture.

pub mod client;
pub mod config;
pub mod reactor;
pub mod ring;
pub mod supervisor;
pub mod sys;
pub mod terminal;
pub mod text;
pub mod wire;
