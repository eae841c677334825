//! The daemon's command line.

use log::LevelFilter;
use std::path::PathBuf;

/// The options of the command line.
#[derive(Debug, Clone, Default)]
pub struct DaemonOptions {
    /// Config file; searched for when not given.
    pub config: Option<PathBuf>,
    /// Run in the background.
    pub daemonize: bool,
    /// Only check the config.
    pub check: bool,
    /// Control socket; overrides the config.
    pub socket: Option<PathBuf>,
    /// Log level; overrides the config.
    pub log_level: Option<LevelFilter>,
    /// The warnings of the config are printed already.
    pub warned: bool,
}
