//! Supervised processes: start, descriptors, input, exit, stragglers, pidfile.

pub(crate) mod leader_exit;
pub(crate) mod pidfile;
pub(crate) mod process_io;
pub(crate) mod start;
pub(crate) mod stragglers;
