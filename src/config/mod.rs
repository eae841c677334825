//! Turns text into validated programs: parsed once, strictly, with all errors reported at once.
//!
//! `load` reads the files and `yaml` builds a tree of nodes that know their location. `lower` and
//! the modules it calls turn the tree into a [`Config`]. Only `load` touches the outside world; the
//! user database is passed as a value.

mod command_line;
mod cross_checks;
mod daemon;
mod diagnostics;
mod dotenv;
mod file_access;
mod foreign_file;
mod foreign_format;
mod given_path;
mod host_environment;
mod identity;
mod interpolate;
mod keys;
mod layers;
mod load;
mod lower;
mod lowering_context;
mod node;
mod path_checks;
mod placeholder_checks;
mod program_entry;
mod program_environment;
mod quantity;
mod restart_keys;
mod shell_habits;
mod source_file;
mod streams;
mod trusted_path;
mod values;
mod yaml;
mod yaml_help;

pub use diagnostics::{ConfigError, Diagnostic, Severity, render};
pub use given_path::{as_given, is_same_file, working_directory};
pub use host_environment::{Environment, SystemUsers, UserEntry, Users};
pub use load::{find, load};
pub use trusted_path::OpenAs;

pub(crate) use crate::supervisor::{Autostart, KillMode, signal_names};
pub(crate) use foreign_file::ForeignFile;
pub(crate) use load::{FILE_NAME, daemon_socket};
pub(crate) use quantity::parse_duration;

use crate::supervisor::{Identity, Program};
use crate::text::plural::plural;
use log::LevelFilter;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A config without errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The main file, absolute, as the user gave it.
    pub path: PathBuf,
    /// The daemon's own settings.
    pub daemon: DaemonSettings,
    /// Programs in the order of the file, then of the files it includes.
    pub programs: Vec<Program>,
    /// Names of groups and their programs.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Warnings about keys that look unintended.
    pub warnings: Vec<Diagnostic>,
    /// All files that were read, canonical, the main one first.
    pub files: Vec<PathBuf>,
}

impl Config {
    /// The line about a valid config: `FILE: OK, 3 programs`.
    pub fn verdict(&self) -> String {
        let programs = plural(self.programs.len(), "program", "programs");
        format!("{}: OK, {programs}", self.path.display())
    }

    /// The uid that a process, `PROGRAM:INDEX`, runs as; none without such a program, or with the
    /// daemon's own user.
    pub(crate) fn user_of(&self, process: &str) -> Option<u32> {
        let (program, _) = process.rsplit_once(':')?;
        let found = self.programs.iter().find(|one| one.name == program)?;
        let daemon = self.daemon.user.as_ref().map(|user| user.uid);
        found
            .launch
            .identity
            .as_ref()
            .map(|user| user.uid)
            .or(daemon)
    }
}

/// The `daemon` section.
#[derive(Debug, Clone, PartialEq)]
pub struct DaemonSettings {
    /// Absolute path of the control socket, if not the default.
    pub socket: Option<PathBuf>,
    /// Permissions of the socket.
    pub socket_mode: u32,
    /// Group of the socket.
    pub socket_group: Option<u32>,
    /// The user that the daemon switches to at start, permanently.
    pub user: Option<Identity>,
    /// Absolute path of the daemon's pidfile.
    pub pidfile: Option<PathBuf>,
    /// The daemon's log.
    pub log: LogSettings,
    /// Other users with access to the daemon.
    pub access: AccessSettings,
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
            access: AccessSettings::default(),
        }
    }
}

/// `daemon.log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Absolute path of a file that receives the log besides standard error.
    pub file: Option<PathBuf>,
    /// The minimum level.
    pub level: LevelFilter,
    /// The format of a line.
    pub format: LogFormat,
    /// Whether the log also goes to syslog.
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

/// The format of the daemon's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `daemon.access`: who can use the daemon besides root and its owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessSettings {
    /// Users and groups with read access.
    pub read: Vec<Principal>,
    /// Users and groups that may also control processes.
    pub control: Vec<Principal>,
    /// The members of these groups by name, as the user database lists them.
    pub members: BTreeMap<u32, BTreeSet<String>>,
    /// Users who were members when an earlier config was loaded: uid and gid. Their processes
    /// still have the group.
    pub former_members: BTreeSet<(u32, u32)>,
}

impl AccessSettings {
    /// Notes who is no longer a member since `before`. `uid` looks up a user.
    pub(crate) fn note_former_members(
        &mut self,
        before: &AccessSettings,
        uid: impl Fn(&str) -> Option<u32>,
    ) {
        self.former_members.clone_from(&before.former_members);
        for (gid, now) in &self.members {
            let Some(then) = before.members.get(gid) else {
                continue;
            };
            let ids = |names: Vec<&String>| -> Vec<(u32, u32)> {
                let ids = names.into_iter().filter_map(|name| uid(name));
                ids.map(|uid| (uid, *gid)).collect()
            };
            let joined = ids(now.difference(then).collect());
            self.former_members.retain(|one| !joined.contains(one));
            self.former_members
                .extend(ids(then.difference(now).collect()));
        }
    }
}

/// A user or all members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// A user id.
    User(u32),
    /// A group id.
    Group(u32),
}
