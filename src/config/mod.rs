//! Text in, validated programs out: parsed once, strictly, with every error in one go.
//!
//! `load` reads the files, `yaml` makes a tree of nodes that know their place, `lower` and what
//! it calls turn the tree into a [`Config`]. Nothing below `load` touches the outside world but
//! the user database, which is given as a value.

mod command_line;
mod cross_checks;
mod daemon;
mod diagnostics;
mod dotenv;
mod host_environment;
mod identity;
mod interpolate;
mod keys;
mod load;
mod lower;
mod lowering;
mod node;
mod placeholder_checks;
mod program_entry;
mod quantity;
mod streams;
mod values;
mod yaml;

pub use diagnostics::{ConfigError, Diagnostic, Severity, SourceLine, render};
pub use host_environment::{Environment, SystemUsers, UserEntry, Users};
pub use load::{FILE_NAME, find, load};
pub use quantity::{parse_duration, parse_size};

pub use crate::supervisor::{Autostart, signal_names};
use crate::supervisor::{Identity, Program};
use log::LevelFilter;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A config without errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The main file, canonical.
    pub path: PathBuf,
    /// The daemon's own settings.
    pub daemon: DaemonSettings,
    /// In the order of the file, then of the files it includes.
    pub programs: Vec<Program>,
    /// Names of groups and their programs.
    pub groups: BTreeMap<String, Vec<String>>,
    /// What looks unintended.
    pub warnings: Vec<Diagnostic>,
    /// Every file that was read, canonical, the main one first.
    pub files: Vec<PathBuf>,
}

/// The `daemon` section.
#[derive(Debug, Clone, PartialEq)]
pub struct DaemonSettings {
    /// Absolute path of the control socket, when it isn't the usual one.
    pub socket: Option<PathBuf>,
    /// Permissions of the socket.
    pub socket_mode: u32,
    /// Group the socket is given to.
    pub socket_group: Option<u32>,
    /// Whom the daemon becomes at start, for good.
    pub user: Option<Identity>,
    /// Absolute path of a file for the daemon's pid.
    pub pidfile: Option<PathBuf>,
    /// The daemon's log.
    pub log: LogSettings,
    /// Who else may talk to the daemon.
    pub access: Access,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        DaemonSettings {
            socket: None,
            socket_mode: 0o600,
            socket_group: None,
            user: None,
            pidfile: None,
            log: LogSettings::default(),
            access: Access::default(),
        }
    }
}

/// `daemon.log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Absolute path, besides standard error.
    pub file: Option<PathBuf>,
    /// What is logged.
    pub level: LevelFilter,
    /// How a line looks.
    pub format: LogFormat,
    /// Whether it goes to syslog too.
    pub syslog: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings {
            file: None,
            level: LevelFilter::Info,
            format: LogFormat::Text,
            syslog: false,
        }
    }
}

/// How a line of the daemon's log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `daemon.access`: who may talk to the daemon besides root and its owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Who may look.
    pub read: Vec<Principal>,
    /// Who may also change things.
    pub control: Vec<Principal>,
}

/// A user or all members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// A user id.
    User(u32),
    /// A group id.
    Group(u32),
}
