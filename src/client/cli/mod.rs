//! The command line: verbs, flags, help, completions.

pub(crate) mod command;
pub(crate) mod complete;
pub(crate) mod copied_commands;
pub mod daemon_cli;
pub(crate) mod help;
pub(crate) mod man;
pub mod usage;
