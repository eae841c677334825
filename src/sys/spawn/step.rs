//! The steps of a start and how their failures read.

use super::Command;
use std::fmt;
use std::io;

/// Why there is no child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpawnError {
    /// What was being done.
    pub step: Step,
    /// Why it failed.
    pub errno: i32,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = io::Error::from_raw_os_error(self.errno);
        write!(f, "{}: {error}", self.step.name())
    }
}

impl std::error::Error for SpawnError {}

/// The steps of a start, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs)] // The names are the documentation.
pub enum Step {
    Clone = 1,
    Setsid,
    ControllingTerminal,
    Stdio,
    CloseRange,
    Rlimit,
    OomScore,
    Nice,
    Umask,
    Groups,
    Gid,
    Uid,
    VerifyCredentials,
    Chdir,
    NoNewPrivs,
    Exec,
}

impl Step {
    const ALL: [Step; 16] = [
        Step::Clone,
        Step::Setsid,
        Step::ControllingTerminal,
        Step::Stdio,
        Step::CloseRange,
        Step::Rlimit,
        Step::OomScore,
        Step::Nice,
        Step::Umask,
        Step::Groups,
        Step::Gid,
        Step::Uid,
        Step::VerifyCredentials,
        Step::Chdir,
        Step::NoNewPrivs,
        Step::Exec,
    ];

    /// The step as error messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Clone => "clone",
            Step::Setsid => "setsid",
            Step::ControllingTerminal => "controlling terminal",
            Step::Stdio => "stdio",
            Step::CloseRange => "close_range",
            Step::Rlimit => "setrlimit",
            Step::OomScore => "oom_score_adj",
            Step::Nice => "nice",
            Step::Umask => "umask",
            Step::Groups => "setgroups",
            Step::Gid => "setgid",
            Step::Uid => "setuid",
            Step::VerifyCredentials => "verify credentials",
            Step::Chdir => "chdir",
            Step::NoNewPrivs => "no_new_privs",
            Step::Exec => "exec",
        }
    }

    /// The step with this number.
    pub(super) fn from_code(code: i32) -> Option<Step> {
        Step::ALL.into_iter().find(|step| *step as i32 == code)
    }
}

/// The step with what it worked on: `chdir /nope`, `exec nosuch`, `setuid 33`.
pub fn step_text(step: Step, command: &Command) -> String {
    let name = step.name();
    let detail = match step {
        Step::Chdir => Some(command.workingdir.to_string_lossy().into_owned()),
        Step::Exec => command
            .argv
            .first()
            .map(|program| match command.candidates.as_slice() {
                [only] => only.to_string_lossy().into_owned(),
                _ => program.to_string_lossy().into_owned(),
            }),
        Step::Rlimit => command
            .nofile
            .map(|(soft, hard)| format!("nofile {soft}:{hard}")),
        Step::OomScore => command.oom_score_adj.map(|score| score.to_string()),
        Step::Nice => command.nice.map(|nice| nice.to_string()),
        Step::Umask => Some(format!("{:03o}", command.umask)),
        Step::Gid => command
            .credentials
            .as_ref()
            .map(|user| user.gid.to_string()),
        Step::Uid => command
            .credentials
            .as_ref()
            .map(|user| user.uid.to_string()),
        Step::Groups => command.credentials.as_ref().map(|user| {
            let groups: Vec<String> = user.groups.iter().map(u32::to_string).collect();
            groups.join(",")
        }),
        Step::Clone
        | Step::Setsid
        | Step::ControllingTerminal
        | Step::Stdio
        | Step::CloseRange
        | Step::VerifyCredentials
        | Step::NoNewPrivs => None,
    };
    match detail {
        Some(detail) if !detail.is_empty() => format!("{name} {detail}"),
        _ => name.to_string(),
    }
}
