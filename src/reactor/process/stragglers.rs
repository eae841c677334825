//! Stragglers that a survey found: watched, reported to the supervisor, killed if that is decided.

use crate::reactor::poller::{EventSource, Poller};
use crate::reactor::process::lineage::Owners;
use crate::reactor::process::process_io::{ProcessIo, WatchedStraggler};
use crate::reactor::process::process_table::KernelTable;
use crate::reactor::process::survey::{PASSES_MAX, Survey, SurveyResult, adopted};
use crate::supervisor::{Event, KillMode, ProcessId, SignalFailure, Supervisor, Time};
use crate::sys;
use crate::sys::descendants::{self, Stat};
use mio::Interest;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Stragglers of one process that are watched; the exit of any of them causes another survey.
const WATCHED_MAX: usize = 256;

/// Time until another survey while stragglers are being killed. Not all of them may be watched.
pub(crate) const KILL_AGAIN: Duration = Duration::from_millis(100);

/// Watches the stragglers of a process, and kills them if that is decided. Returns the events for
/// the supervisor.
pub(crate) fn record_stragglers(
    io: &mut ProcessIo,
    stats: &[Stat],
    poller: &mut Poller,
) -> Vec<Event> {
    watch_stragglers(io, stats, poller);
    let refused = match io.killing {
        true => kill_stragglers(io),
        false => None,
    };
    let grouped = stats
        .iter()
        .filter(|stat| io.past_leaders.contains(&stat.pgid));
    let mut events = vec![Event::Remains {
        id: io.id,
        stragglers: stats.len() as u32,
        in_group: grouped.count() as u32,
    }];
    events.extend(refused.map(|error| signal_failed(io.id, libc::SIGKILL, &error)));
    if stats.is_empty() {
        io.past_leaders.clear();
        if io.live_leader().is_none() {
            io.layouts.clear();
        }
        io.killing &= io.live_leader().is_some();
    }
    events
}

/// The event of a signal that could not be sent.
pub(crate) fn signal_failed(id: ProcessId, signal: i32, error: &io::Error) -> Event {
    Event::SignalFailed {
        id,
        failure: SignalFailure {
            signal,
            error: sys::error_text(error),
            errno: error.raw_os_error().unwrap_or(0),
        },
    }
}

/// Brings the list of watched stragglers up to date.
fn watch_stragglers(io: &mut ProcessIo, stats: &[Stat], poller: &mut Poller) {
    let alive: BTreeSet<i32> = stats.iter().map(|stat| stat.pid).collect();
    let gone = io
        .stragglers
        .extract_if(.., |straggler| !alive.contains(&straggler.pid));
    for straggler in gone {
        poller.remove(&straggler.pidfd, straggler.token);
    }
    for stat in stats {
        let known = io.stragglers.iter().any(|other| other.pid == stat.pid);
        if known || io.stragglers.len() >= WATCHED_MAX {
            continue;
        }
        let Ok(pidfd) = sys::pidfd::open(stat.pid) else {
            continue;
        };
        // The pid may have been reused since the survey.
        if descendants::stat(stat.pid).is_none_or(|now| now.starttime != stat.starttime) {
            continue;
        }
        let source = EventSource::Straggler(io.id);
        if let Ok(token) = poller.add(&pidfd, source, Interest::READABLE) {
            io.stragglers.push(WatchedStraggler {
                pid: stat.pid,
                pidfd,
                token,
                command: descendants::command(stat.pid),
                refused: false,
            });
        }
    }
}

/// Kills the watched stragglers. Returns the error of one that cannot be killed.
fn kill_stragglers(io: &mut ProcessIo) -> Option<io::Error> {
    let mut refused = None;
    for straggler in &mut io.stragglers {
        let sent = sys::pidfd::signal(straggler.pidfd.as_fd(), libc::SIGKILL);
        if let Err(error) = sent
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            let WatchedStraggler { pid, command, .. } = straggler;
            // Once: this is repeated as long as it lives.
            if !std::mem::replace(&mut straggler.refused, true) {
                log::error!("{}: cannot kill pid {pid} ({command}): {error}", io.name);
            }
            refused = Some(error);
        }
    }
    refused
}

/// Kills every straggler below the daemon before it exits, except those of programs with
/// `killmode: process`.
pub(crate) fn kill_all(
    survey: &mut Survey,
    owners: &Owners<'_>,
    supervisor: &Supervisor,
    now: Time,
) {
    for _ in 0..PASSES_MAX {
        let found = survey.run(&KernelTable, owners, now);
        let spared = spared_pids(&found, supervisor);
        let mut left = adopted(&KernelTable, owners.processes);
        left.retain(|stat| {
            !stat.is_dead() && !spared.contains(&stat.pid) && !survey.may_be_bystander(stat)
        });
        if left.is_empty() && found.is_final {
            return;
        }
        for Stat { pid, .. } in left {
            let command = descendants::command(pid);
            log::info!("killing straggler {pid} ({command})");
            for below in descendants::descendants(&[pid]) {
                kill_by_pid(below.pid);
            }
            kill_by_pid(pid);
        }
    }
}

/// The stragglers that the config leaves alive.
fn spared_pids(found: &SurveyResult, supervisor: &Supervisor) -> BTreeSet<i32> {
    let spared = found.by_process.iter().filter(|(id, _)| {
        let policy = supervisor.policy(**id);
        policy.is_some_and(|policy| policy.killmode == KillMode::Process)
    });
    spared
        .flat_map(|(_, stats)| stats.iter().map(|stat| stat.pid))
        .collect()
}

fn kill_by_pid(pid: i32) {
    if let Ok(pidfd) = sys::pidfd::open(pid) {
        // A process that has exited needs no signal; one that may not be killed stays.
        let _ = sys::pidfd::signal(pidfd.as_fd(), libc::SIGKILL);
    }
}
