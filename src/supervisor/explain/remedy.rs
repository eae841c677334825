//! The remedies of `tm why`.

use crate::supervisor::{Autorestart, Exit, Policy, Process, SpawnFailure, State, signal_name};
use crate::text::builtins::builtin;

/// The most likely fix for a process that is not as the user wants it. One that gave up or ended
/// needs a start afterwards.
pub(super) fn remedy(process: &Process, policy: &Policy) -> Option<String> {
    let fix = fix(process, policy)?;
    let down = matches!(process.state, State::Fatal | State::Exited);
    Some(match down && !fix.contains("tm start") {
        true => format!("{fix}, then: tm start {}", process.name),
        false => fix,
    })
}

fn fix(process: &Process, policy: &Policy) -> Option<String> {
    match process.state {
        State::Stopped if process.last_killed && !process.kill_requested => {
            Some(ignored_signal(policy))
        }
        State::Stopped => Some(format!("tm start {}", process.name)),
        State::Waiting | State::Starting => None,
        State::Stopping if process.signal_failure.is_some() => Some(
            "a process of it runs as another user: end it as root, or end the daemon without it \
             by a second SIGTERM"
                .to_string(),
        ),
        State::Stopping if process.kill_requested => None,
        State::Stopping => process.killed.then(|| ignored_signal(policy)),
        State::Exited if process.last_exit.is_some_and(|exit| policy.expects(exit)) => None,
        State::Running if process.restarts == 0 => None,
        State::Running | State::Exited => exit_remedy(process, process.last_exit?),
        State::Backoff | State::Fatal => {
            if let Some(failure) = &process.last_failure {
                return spawn_remedy(failure);
            }
            let exit = process.last_exit?;
            if process.failures == 0 {
                return exit_remedy(process, exit);
            }
            match exit {
                Exit::Code(0) => Some(one_shot(policy)),
                Exit::Code(_) | Exit::Signal { .. } => exit_remedy(process, exit),
            }
        }
    }
}

/// The remedy for a process that survived its stop signal.
fn ignored_signal(policy: &Policy) -> String {
    let signal = sig(policy.stopsignal);
    format!("if it ignores {signal}, change stopsignal; if it is slow to stop, raise stoptime")
}

fn one_shot(policy: &Policy) -> String {
    let also = match policy.autorestart {
        Autorestart::Always => " and autorestart: unexpected",
        Autorestart::Never | Autorestart::Unexpected => "",
    };
    format!(
        "it exited with 0 before starttime was over. A one-shot needs starttime: 0{also}. A \
         server needs its option to stay in the foreground"
    )
}

fn exit_remedy(process: &Process, exit: Exit) -> Option<String> {
    let name = &process.name;
    let then = match process.state {
        State::Fatal | State::Exited => format!(", then: tm start {name}"),
        _ => String::new(),
    };
    Some(match exit {
        Exit::Code(0) => return None,
        Exit::Code(127) => format!("check cmd: it runs a command that does not exist{then}"),
        Exit::Code(126) => format!("check cmd: it runs a file that is not executable{then}"),
        Exit::Signal { signal: 9, .. } => {
            "check `dmesg` for an out-of-memory kill, else find out who sent the signal".to_string()
        }
        Exit::Signal {
            signal: 4 | 6 | 7 | 8 | 11,
            core,
        } => {
            let fix = match core {
                true => "debug its core file",
                false => "fix the cause",
            };
            format!("the program crashed: {fix}{then}")
        }
        Exit::Code(_) | Exit::Signal { .. } if then.is_empty() => {
            format!("find out why it ended: tm logs {name}")
        }
        Exit::Code(_) | Exit::Signal { .. } => format!("fix the cause{then}"),
    })
}

/// Linux errno values that have an obvious remedy.
mod errno {
    pub(super) const EPERM: i32 = 1;
    pub(super) const ENOENT: i32 = 2;
    pub(super) const ENXIO: i32 = 6;
    pub(super) const E2BIG: i32 = 7;
    pub(super) const ENOEXEC: i32 = 8;
    pub(super) const EAGAIN: i32 = 11;
    pub(super) const ENOMEM: i32 = 12;
    pub(super) const EACCES: i32 = 13;
    pub(super) const EISDIR: i32 = 21;
    pub(super) const ENFILE: i32 = 23;
    pub(super) const EMFILE: i32 = 24;
    pub(super) const ENOSPC: i32 = 28;
    pub(super) const ELOOP: i32 = 40;
    pub(super) const ETIMEDOUT: i32 = 110;
}

/// The remedy for a step of a start that failed.
pub(crate) fn spawn_remedy(failure: &SpawnFailure) -> Option<String> {
    use errno::*;
    let (step, object) = failure.step.split_once(' ').unwrap_or((&failure.step, ""));
    let text = match (step, failure.errno) {
        (_, ETIMEDOUT) => {
            format!("find out who holds up {object}: its file system, a lease, or a stop signal")
        }
        ("exec", ENOENT) => {
            if let Some((message, help)) = builtin(object) {
                format!("check cmd: {message}; {help}")
            } else if object.contains('/') {
                format!("check cmd: {object} does not exist, or its interpreter does not")
            } else {
                format!("check cmd: {object} was not found in PATH")
            }
        }
        ("exec", EACCES) if failure.error.ends_with("in PATH") => {
            "let the user search that directory, or take it out of PATH".to_string()
        }
        ("exec", EACCES) => {
            format!("check cmd: {object} is not executable for this user (chmod +x?)")
        }
        ("exec", ENOEXEC) => {
            format!("check cmd: {object} is not a program; a script needs a #! line")
        }
        ("exec", E2BIG) => "shorten cmd and env: together they exceed the system's limit (a \
                            single word: 128 KiB)"
            .to_string(),
        ("exec", _) => format!("check cmd: {object}"),
        ("chdir", ENOENT) => format!("create {object} or change workingdir"),
        ("chdir", _) => format!("check workingdir: {object}"),
        (_, EMFILE | ENFILE) => "raise the limit of open files".to_string(),
        (_, EAGAIN | ENOMEM) => "the system is out of processes or memory".to_string(),
        (_, ENOSPC) => "free space on that disk".to_string(),
        ("open", ENOENT) if failure.error.contains("cannot create files") => {
            format!("choose another directory than {}", folder_of(object))
        }
        ("open", ENOENT) => format!("create {}", folder_of(object)),
        ("open", EISDIR) => format!("name a file instead of the directory {object}"),
        ("open", ELOOP) => format!("name the target of the symbolic link {object}"),
        ("open", ENXIO) => format!("name a regular file instead of {object}"),
        (_, EACCES | EPERM) => "check the permissions and `user`".to_string(),
        _ => return None,
    };
    Some(text)
}

/// The directory of a file.
fn folder_of(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((folder, _)) if !folder.is_empty() => folder,
        _ => "/",
    }
}

/// The name of a signal, such as `SIGTERM`.
pub(crate) fn sig(number: i32) -> String {
    match signal_name(number) {
        Some(name) => format!("SIG{name}"),
        None => format!("signal {number}"),
    }
}
