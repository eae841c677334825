//! Processes that outlived a daemon of this config, because it was killed.
//!
//! They carry the daemon's socket in their environment. A process could claim that falsely, so only
//! those of users that the config's programs run as count, and nothing happens to them unless the
//! caller asks for it.

use crate::client::daemon::paths;
use crate::client::error::ClientError;
use crate::client::ui::messages::for_stderr;
use crate::config::{Config, KillMode};
use crate::sys::descendants::{self, Stat};
use crate::sys::pidfd;
use crate::text::plural::plural;
use crate::text::printable::printable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long survivors get from SIGTERM to SIGKILL, and from that to their end.
const STOP_TIME: Duration = Duration::from_secs(10);

/// Survivors that a message names.
const NAMED_MAX: usize = 10;

/// The treatment of survivors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnSurvivors {
    /// Ask on a terminal, refuse otherwise.
    Ask,
    /// Stop them.
    Replace,
    /// Leave them running.
    Ignore,
}

/// A process of an earlier daemon.
struct Survivor {
    stat: Stat,
    /// `PROGRAM:INDEX` as it claims.
    process: String,
}

/// The survivors of earlier daemons.
pub(crate) struct Survivors {
    found: Vec<Survivor>,
    /// One of these daemons did not end in order.
    was_killed: bool,
}

impl Survivors {
    /// Whether there are any.
    pub(crate) fn exist(&self) -> bool {
        !self.found.is_empty()
    }
}

/// Looks for the survivors of earlier daemons that listened at one of `sockets`, unless they are to
/// be ignored.
pub(crate) fn look(config: &Config, sockets: &[PathBuf], action: OnSurvivors) -> Survivors {
    Survivors {
        found: match action {
            OnSurvivors::Ignore => Vec::new(),
            OnSurvivors::Ask | OnSurvivors::Replace => find(config, sockets),
        },
        // A daemon that ended in order took its socket along.
        was_killed: sockets.iter().any(|one| one.symlink_metadata().is_ok()),
    }
}

/// Deals with survivors. None of their daemons may have lived when they were looked for, or since.
/// `notice` prints a line.
///
/// # Errors
/// When they are neither to be stopped nor ignored, or do not end.
pub(crate) fn settle(
    config: &Config,
    survivors: Survivors,
    action: OnSurvivors,
    notice: impl Fn(&str),
) -> Result<(), ClientError> {
    let Survivors { found, was_killed } = survivors;
    // A daemon that ended in order has left these on purpose.
    let on_purpose = |one: &Survivor| !was_killed && is_left_by_stops(config, &one.process);
    let (left, found): (Vec<_>, Vec<_>) = found.into_iter().partition(on_purpose);
    if !left.is_empty() {
        notice(&left_running(&left));
    }
    if found.is_empty() {
        return Ok(());
    }
    let text = described(&found);
    match action {
        OnSurvivors::Ask if !asked(&text) => Err(ClientError::Failed(format!(
            "{text}; stop them with --replace, or start beside them with --ignore-survivors"
        ))),
        _ => stop(&found),
    }
}

/// Names the processes that a daemon has left at its end because of their `killmode`.
pub(crate) fn left_by_stops(config: &Config, socket: &Path) -> Option<String> {
    // The search reads the environment of every process.
    let mut programs = config.programs.iter();
    if !programs.any(|one| one.policy.killmode == KillMode::Process) {
        return None;
    }
    let mut found = find(config, &[socket.to_path_buf()]);
    found.retain(|one| is_left_by_stops(config, &one.process));
    (!found.is_empty()).then(|| left_running(&found))
}

/// Whether stops leave the processes that the leader of this one has started.
fn is_left_by_stops(config: &Config, process: &str) -> bool {
    let name = process.rsplit_once(':').map(|(program, _)| program);
    let mut programs = config.programs.iter();
    let program = programs.find(|one| Some(one.name.as_str()) == name);
    program.is_some_and(|one| one.policy.killmode == KillMode::Process)
}

/// The text about survivors.
fn described(found: &[Survivor]) -> String {
    let (count, verb) = match found.len() {
        1 => ("1 process".to_string(), "runs"),
        count => (plural(count, "process", "processes"), "run"),
    };
    let named = named(found);
    format!("{count} of an earlier daemon still {verb}: {named}")
}

/// The text about processes that a stop leaves on purpose.
fn left_running(found: &[Survivor]) -> String {
    format!("left running by killmode: process: {}", named(found))
}

/// Names survivors: their pids, processes and commands.
fn named(found: &[Survivor]) -> String {
    let named = found.iter().take(NAMED_MAX).map(|survivor| {
        let command = descendants::command(survivor.stat.pid);
        let text = format!("{} ({}, {command})", survivor.stat.pid, survivor.process);
        printable(&text)
    });
    let named: Vec<String> = named.collect();
    let more = match found.len() > NAMED_MAX {
        true => ", …",
        false => "",
    };
    format!("{}{more}", named.join(", "))
}

/// Asks on the terminal whether to stop them. False without one.
fn asked(text: &str) -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return false;
    }
    eprint!("{}\nStop them first? [y/N] ", for_stderr(text));
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn find(config: &Config, sockets: &[PathBuf]) -> Vec<Survivor> {
    let mut users = BTreeSet::from([paths::effective_uid()]);
    users.extend(config.daemon.user.as_ref().map(|user| user.uid));
    let identities = config
        .programs
        .iter()
        .map(|program| &program.launch.identity);
    users.extend(identities.flatten().map(|identity| identity.uid));
    let above = ancestors();
    let user_of = |name: &str| config.user_of(name).unwrap_or_else(paths::effective_uid);
    let found = descendants::claimants(sockets, &users, user_of).into_iter();
    let found = found.filter(|(stat, _)| !above.contains(&stat.pid));
    found
        .map(|(stat, process)| Survivor { stat, process })
        .collect()
}

/// This process and those above it, such as the shell of a survivor that the caller works in.
fn ancestors() -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    let mut pid = crate::sys::runtime::own_pid();
    while found.insert(pid)
        && let Some(stat) = descendants::stat(pid)
    {
        pid = stat.ppid;
    }
    found
}

/// Sends SIGTERM, and SIGKILL to those that are left after a while.
fn stop(found: &[Survivor]) -> Result<(), ClientError> {
    let handles: Vec<(&Survivor, OwnedFd)> = found
        .iter()
        .filter_map(|survivor| Some((survivor, pidfd::open(survivor.stat.pid).ok()?)))
        // The pid may have been reused.
        .filter(|(survivor, _)| {
            let now = descendants::stat(survivor.stat.pid);
            now.is_some_and(|now| now.starttime == survivor.stat.starttime)
        })
        .collect();
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        for (_, handle) in &handles {
            for signal in [signal, libc::SIGCONT] {
                // One that has ended needs no signal.
                let _ = pidfd::signal(handle.as_fd(), signal);
            }
        }
        let deadline = Instant::now() + STOP_TIME;
        if handles.iter().all(|(_, handle)| ends(handle, deadline)) {
            return Ok(());
        }
    }
    let left = handles
        .iter()
        .filter(|(_, handle)| !ends(handle, Instant::now()))
        .map(|(survivor, _)| survivor.stat.pid.to_string());
    let left: Vec<String> = left.collect();
    Err(ClientError::Failed(format!(
        "cannot end pid {}",
        left.join(", ")
    )))
}

/// Waits for the end of a process until a deadline.
fn ends(handle: &OwnedFd, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    let mut fds = [PollFd::new(handle, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout)));
    ready.is_ok_and(|count| count > 0)
}
