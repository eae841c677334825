//! The command line: verbs, flags, help, completions.

pub mod command;
pub(crate) mod complete;
pub mod daemon_cli;
