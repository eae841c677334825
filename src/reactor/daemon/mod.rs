//! The daemon as a process: start, shutdown, signals, its log, its lock and socket, and the
//! environment that it passes on.

pub(crate) mod child_environment;
pub(crate) mod instance;
pub(crate) mod logging;
pub(crate) mod shutdown;
pub(crate) mod signals;
pub(crate) mod startup;
