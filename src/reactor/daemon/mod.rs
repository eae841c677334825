//! The daemon around the turn: command line, settings, identity, signals, start and end.

pub(crate) mod child_environment;
pub(crate) mod config_loader;
pub(crate) mod instance;
pub(crate) mod logging;
pub(crate) mod open_files;
pub(crate) mod options;
pub(crate) mod other_daemons;
pub(crate) mod settings;
pub(crate) mod shutdown;
pub(crate) mod signals;
pub(crate) mod startup;
