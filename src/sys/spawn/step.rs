//! The steps of a start, and the messages of their failures.

use super::child::WRONG_KIND;
use super::{Command, Credentials};
use rustix::fs::Access;
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpawnError {
    /// The step that failed.
    pub step: SpawnStep,
    /// The step's error.
    pub errno: i32,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step.name(), io::Error::from(*self))
    }
}

impl From<SpawnError> for io::Error {
    /// The error of the step alone.
    fn from(error: SpawnError) -> io::Error {
        let wrong = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text);
        match (error.step, error.errno) {
            (SpawnStep::OpenStdin, WRONG_KIND) => {
                wrong("neither a regular file nor a character device")
            }
            (_, WRONG_KIND) => wrong("not a regular file"),
            (_, errno) => io::Error::from_raw_os_error(errno),
        }
    }
}

impl std::error::Error for SpawnError {}

/// The steps of a start, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs)] // The names are the documentation.
pub enum SpawnStep {
    Clone = 1,
    Setsid,
    ControllingTerminal,
    Stdio,
    CloseRange,
    Rlimit,
    OomScore,
    Nice,
    Umask,
    Cgroup,
    Groups,
    Gid,
    Uid,
    VerifyCredentials,
    Chdir,
    OpenStdin,
    OpenStdout,
    OpenStderr,
    NoNewPrivs,
    Exec,
}

impl SpawnStep {
    const ALL: [SpawnStep; 20] = [
        SpawnStep::Clone,
        SpawnStep::Setsid,
        SpawnStep::ControllingTerminal,
        SpawnStep::Stdio,
        SpawnStep::CloseRange,
        SpawnStep::Rlimit,
        SpawnStep::OomScore,
        SpawnStep::Nice,
        SpawnStep::Umask,
        SpawnStep::Cgroup,
        SpawnStep::Groups,
        SpawnStep::Gid,
        SpawnStep::Uid,
        SpawnStep::VerifyCredentials,
        SpawnStep::Chdir,
        SpawnStep::OpenStdin,
        SpawnStep::OpenStdout,
        SpawnStep::OpenStderr,
        SpawnStep::NoNewPrivs,
        SpawnStep::Exec,
    ];

    /// The step's name in error messages.
    pub fn name(self) -> &'static str {
        match self {
            SpawnStep::Clone => "clone",
            SpawnStep::Setsid => "setsid",
            SpawnStep::ControllingTerminal => "controlling terminal",
            SpawnStep::Stdio => "stdio",
            SpawnStep::CloseRange => "close_range",
            SpawnStep::Rlimit => "setrlimit",
            SpawnStep::OomScore => "oom_score_adj",
            SpawnStep::Nice => "nice",
            SpawnStep::Umask => "umask",
            SpawnStep::Cgroup => "cgroup",
            SpawnStep::Groups => "setgroups",
            SpawnStep::Gid => "setgid",
            SpawnStep::Uid => "setuid",
            SpawnStep::VerifyCredentials => "verify credentials",
            SpawnStep::Chdir => "chdir",
            SpawnStep::OpenStdin => "stdin: open",
            SpawnStep::OpenStdout => "stdout: open",
            SpawnStep::OpenStderr => "stderr: open",
            SpawnStep::NoNewPrivs => "no_new_privs",
            SpawnStep::Exec => "exec",
        }
    }

    /// The step with this number.
    pub(crate) fn from_code(code: i32) -> Option<SpawnStep> {
        SpawnStep::ALL.into_iter().find(|step| *step as i32 == code)
    }
}

/// The step and its argument: `chdir /nope`, `exec nosuch`, `setuid 33`.
pub fn step_text(step: SpawnStep, command: &Command) -> String {
    let name = step.name();
    let detail = match step {
        SpawnStep::Chdir => Some(command.workingdir.to_string_lossy().into_owned()),
        SpawnStep::Exec => {
            command
                .argv
                .first()
                .map(|program| match command.candidates.as_slice() {
                    [only] => only.to_string_lossy().into_owned(),
                    _ => program.to_string_lossy().into_owned(),
                })
        }
        SpawnStep::OpenStdin => path_text(&command.files[0]),
        SpawnStep::OpenStdout => path_text(&command.files[1]),
        SpawnStep::OpenStderr => path_text(&command.files[2]),
        SpawnStep::Cgroup => path_text(&command.cgroup),
        SpawnStep::Rlimit => command
            .nofile
            .map(|(soft, hard)| format!("nofile {soft}:{hard}")),
        SpawnStep::OomScore => command.oom_score_adj.map(|score| score.to_string()),
        SpawnStep::Nice => command.nice.map(|nice| nice.to_string()),
        SpawnStep::Umask => Some(format!("{:03o}", command.umask)),
        SpawnStep::Gid => command
            .credentials
            .as_ref()
            .map(|user| user.gid.to_string()),
        SpawnStep::Uid => command
            .credentials
            .as_ref()
            .map(|user| user.uid.to_string()),
        SpawnStep::Groups => command.credentials.as_ref().map(|user| {
            let groups: Vec<String> = user.groups.iter().map(u32::to_string).collect();
            groups.join(",")
        }),
        SpawnStep::Clone
        | SpawnStep::Setsid
        | SpawnStep::ControllingTerminal
        | SpawnStep::Stdio
        | SpawnStep::CloseRange
        | SpawnStep::VerifyCredentials
        | SpawnStep::NoNewPrivs => None,
    };
    match detail {
        Some(detail) if !detail.is_empty() => format!("{name} {detail}"),
        _ => name.to_string(),
    }
}

/// The first directory of PATH that the user of a command cannot search. An exec reports only that
/// some program could not be executed.
pub(crate) fn unsearchable(command: &Command) -> Option<PathBuf> {
    if command.candidates.len() < 2 {
        return None;
    }
    let paths = command.candidates.iter();
    let mut folders = paths.filter_map(|path| {
        let path = Path::new(OsStr::from_bytes(path.as_bytes()));
        path.parent()
    });
    let folder = folders.find(|folder| match &command.credentials {
        None => rustix::fs::access(*folder, Access::EXEC_OK) == Err(Errno::ACCESS),
        Some(user) => std::fs::metadata(folder).is_ok_and(|found| !may_search(user, &found)),
    });
    folder.map(Path::to_path_buf)
}

fn may_search(user: &Credentials, folder: &Metadata) -> bool {
    let is_member = user.gid == folder.gid() || user.groups.contains(&folder.gid());
    let class = match (user.uid == folder.uid(), is_member) {
        (true, _) => 0o100,
        (false, true) => 0o010,
        (false, false) => 0o001,
    };
    user.uid == 0 || folder.mode() & class != 0
}

fn path_text(path: &Option<CString>) -> Option<String> {
    let path = path.as_ref()?;
    Some(path.to_string_lossy().into_owned())
}
