//! The remedies of `tm why`.

use crate::supervisor::{Autorestart, Exit, Policy, Process, SpawnFailure, State, signal_name};
use crate::text::builtins::builtin;

/// A fix, without the command that applies it.
pub(crate) struct Fix {
    text: String,
    /// It changes the config.
    in_config: bool,
    /// Another one, which changes the config.
    or: Option<&'static str>,
}

impl Fix {
    /// A change of the config.
    fn config(text: impl Into<String>) -> Fix {
        Fix {
            in_config: true,
            ..Fix::of(text)
        }
    }

    /// Any other fix.
    fn of(text: impl Into<String>) -> Fix {
        Fix {
            text: text.into(),
            in_config: false,
            or: None,
        }
    }

    /// The words for it. A changed config applies by a reload. A process that is `down` needs a
    /// start after any other fix.
    pub(crate) fn in_words(&self, down: Option<&str>) -> String {
        let text = &self.text;
        let fix = match (self.in_config, down) {
            (true, _) => format!("{text}, then: tm reload"),
            (false, Some(name)) => format!("{text}, then: tm start {name}"),
            (false, None) => text.clone(),
        };
        match self.or {
            Some(or) => format!("{fix}; or {or}, then: tm reload"),
            None => fix,
        }
    }
}

/// The most likely fix for a process that is not as the user wants it, and how to apply it.
pub(super) fn remedy(process: &Process, policy: &Policy) -> Option<String> {
    if process.state == State::Stopped && (!process.last_killed || process.kill_requested) {
        return Some(format!("tm start {}", process.name));
    }
    let down = process.has_ended().then_some(process.name.as_str());
    Some(fix(process, policy)?.in_words(down))
}

fn fix(process: &Process, policy: &Policy) -> Option<Fix> {
    match process.state {
        State::Stopped => Some(ignored_signal(policy)),
        State::Waiting | State::Starting => None,
        State::Stopping if process.signal_failure.is_some() => Some(Fix::of(
            "a process of it runs as another user: end it as root, or end the daemon without it \
             by a second SIGTERM",
        )),
        State::Stopping if process.kill_requested => None,
        State::Stopping => process.killed.then(|| ignored_signal(policy)),
        State::Exited if process.last_exit.is_some_and(|exit| policy.expects(exit)) => None,
        State::Running if process.restarts == 0 => None,
        State::Running | State::Exited => exit_remedy(process, process.last_exit?),
        State::Backoff | State::Fatal => {
            if let Some(failure) = &process.last_failure {
                return spawn_fix(failure, process.launch.identity.is_some());
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
fn ignored_signal(policy: &Policy) -> Fix {
    let signal = sig(policy.stopsignal);
    Fix::config(format!(
        "if it ignores {signal}, change stopsignal; if it is slow to stop, raise stoptime"
    ))
}

fn one_shot(policy: &Policy) -> Fix {
    let also = match policy.autorestart {
        Autorestart::Always => " and autorestart: unexpected",
        Autorestart::Never | Autorestart::Unexpected => "",
    };
    Fix::config(format!(
        "it exited with 0 before starttime was over. A one-shot needs starttime: 0{also}. A \
         server needs its option to stay in the foreground"
    ))
}

fn exit_remedy(process: &Process, exit: Exit) -> Option<Fix> {
    Some(match exit {
        Exit::Code(0) => return None,
        Exit::Code(127) => Fix::config("check cmd: it runs a command that does not exist"),
        Exit::Code(126) => Fix::config("check cmd: it runs a file that is not executable"),
        Exit::Signal { signal: 9, .. } => {
            Fix::of("check `dmesg` for an out-of-memory kill, else find out who sent the signal")
        }
        Exit::Signal {
            signal: 4 | 6 | 7 | 8 | 11,
            core,
        } => Fix::of(match core {
            true => "the program crashed: debug its core file",
            false => "the program crashed: fix the cause",
        }),
        Exit::Code(_) | Exit::Signal { .. } if process.has_ended() => Fix::of("fix the cause"),
        Exit::Code(_) | Exit::Signal { .. } => {
            Fix::of(format!("find out why it ended: tm logs {}", process.name))
        }
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

/// The fix for a step of a start that failed. `has_user` if the program has a `user`.
pub(crate) fn spawn_fix(failure: &SpawnFailure, has_user: bool) -> Option<Fix> {
    use errno::*;
    let (step, object) = failure.step.split_once(' ').unwrap_or((&failure.step, ""));
    Some(match (step, failure.errno) {
        (_, ETIMEDOUT) => Fix::of(format!(
            "find out who holds up {object}: its file system, a lease, or a stop signal"
        )),
        ("exec", ENOENT) => Fix::config(if let Some((message, help)) = builtin(object) {
            format!("check cmd: {message}; {help}")
        } else if object.contains('/') {
            format!("check cmd: {object} does not exist, or its interpreter does not")
        } else {
            format!("check cmd: {object} was not found in PATH")
        }),
        ("exec", EACCES) if failure.error.ends_with("in PATH") => {
            Fix::of("let the user search that directory, or take it out of PATH")
        }
        ("exec", EACCES) => Fix {
            or: Some("change cmd"),
            ..Fix::of(format!(
                "make {object} executable for this user (chmod +x?)"
            ))
        },
        ("exec", ENOEXEC) => Fix {
            or: Some("change cmd"),
            ..Fix::of(format!(
                "{object} is not a program; a script needs a #! line: add it"
            ))
        },
        ("exec", E2BIG) => Fix::config(
            "shorten cmd and env: together they exceed the system's limit (a single word: 128 \
             KiB)",
        ),
        ("exec", _) => Fix::config(format!("check cmd: {object}")),
        ("chdir", ENOENT) => Fix {
            or: Some("change workingdir"),
            ..Fix::of(format!("create {object}"))
        },
        ("chdir", _) => Fix::config(format!("check workingdir: {object}")),
        (_, EMFILE | ENFILE) => Fix::of("raise the limit of open files"),
        (_, EAGAIN | ENOMEM) => Fix::of("the system is out of processes or memory"),
        (_, ENOSPC) => Fix::of("free space on that disk"),
        ("open", ENOENT) if failure.error.contains("cannot create files") => Fix::config(format!(
            "choose another directory than {}",
            folder_of(object)
        )),
        ("open", ENOENT) => Fix::of(format!("create {}", folder_of(object))),
        ("open", EISDIR) => Fix::config(format!("name a file instead of the directory {object}")),
        ("open", ELOOP) => Fix::config(format!("name the target of the symbolic link {object}")),
        ("open", ENXIO) => Fix::config(format!("name a regular file instead of {object}")),
        (_, EACCES | EPERM) if has_user => Fix {
            or: Some("change `user`"),
            ..Fix::of("check the permissions")
        },
        (_, EACCES | EPERM) => Fix::of("check the permissions"),
        _ => return None,
    })
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
