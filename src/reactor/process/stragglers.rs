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

/// Killed processes that are named at once.
const NAMED_MAX: usize = 8;

/// Killed processes that are logged at once by name.
const LOGGED_MAX: usize = 8;

/// Stragglers that one message names.
const SHOWN_MAX: usize = 3;

/// Processes below a leader that are looked at for their names. Some may be zombies.
const LOOKED_AT_MAX: usize = 64;

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
    let mut events = Vec::new();
    let mut refused = None;
    if io.killing {
        let victims;
        (victims, refused) = kill_stragglers(io);
        if !victims.is_empty() {
            events.push(Event::Killed { id: io.id, victims });
        }
    } else if let Some(asking) = &mut io.asking {
        asking.add_stragglers(stats);
    }
    events.push(Event::Remains {
        id: io.id,
        stragglers: stats.len() as u32,
    });
    events.extend(refused.map(|error| signal_failed(io.id, libc::SIGKILL, &error)));
    if stats.is_empty() {
        io.past_leaders.clear();
        let alive = io.live_leader().is_some();
        if !alive {
            io.layouts.clear();
            io.names.clear();
        }
        io.killing &= alive;
        io.asking.take_if(|_| !alive);
    }
    events
}

/// Names a live leader and the processes below it, which SIGKILL is about to end. A leader without
/// such processes is not named: there is no doubt about it.
pub(crate) fn name_live_victims(io: &mut ProcessIo) -> Vec<String> {
    let Some(leader) = io.live_leader() else {
        return Vec::new();
    };
    let below = descendants::first_descendants(leader.pid, LOOKED_AT_MAX).into_iter();
    let below: Vec<Stat> = below.filter(|stat| !stat.is_dead()).collect();
    if below.is_empty() {
        return Vec::new();
    }
    let leader = descendants::stat(leader.pid).into_iter();
    let all: Vec<Stat> = leader.chain(below).take(NAMED_MAX).collect();
    io.victims = all.iter().map(|stat| (stat.pid, stat.starttime)).collect();
    let named: Vec<String> = all.iter().map(|stat| named(stat.pid)).collect();
    log_victims(&io.name, &named);
    named
}

/// Some of the stragglers, such as `pid 4121 node server.js, pid 4122 cat …`.
pub(crate) fn named_stragglers(io: &ProcessIo) -> String {
    let some = io.stragglers.iter().take(SHOWN_MAX);
    let some: Vec<String> = some
        .map(|straggler| format!("pid {} {}", straggler.pid, straggler.command()))
        .collect();
    let more = match io.stragglers.len() > SHOWN_MAX {
        true => " …",
        false => "",
    };
    some.join(", ") + more
}

/// Names a process that gets SIGKILL.
fn named(pid: i32) -> String {
    format!("{pid} {}", descendants::command(pid))
}

/// Logs the processes that get SIGKILL. Of thousands, most are counted: a process must not fill the
/// log by its descendants.
fn log_victims(process: &str, victims: &[String]) {
    for victim in victims.iter().take(LOGGED_MAX) {
        log::warn!("{process}: killing pid {victim}");
    }
    if let Some(more) = victims
        .len()
        .checked_sub(SHOWN_MAX)
        .filter(|more| *more > 0)
    {
        log::warn!("{process}: killing {more} more");
    }
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
    let watched = io.stragglers.iter();
    let watched: BTreeSet<i32> = watched.map(|straggler| straggler.pid).collect();
    for stat in stats.iter().filter(|stat| !watched.contains(&stat.pid)) {
        if io.stragglers.len() >= WATCHED_MAX {
            break;
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
                starttime: stat.starttime,
                pidfd,
                token,
                first_command: descendants::command(stat.pid),
                killed: false,
                refused: false,
            });
        }
    }
}

/// Kills the watched stragglers. Returns those that get the signal for the first time, and the
/// error of one that cannot be killed.
fn kill_stragglers(io: &mut ProcessIo) -> (Vec<String>, Option<io::Error>) {
    let mut victims = Vec::new();
    let mut refused = None;
    for straggler in &mut io.stragglers {
        let key = (straggler.pid, straggler.starttime);
        if !std::mem::replace(&mut straggler.killed, true) && !io.victims.contains(&key) {
            victims.push(named(straggler.pid));
        }
        let sent = sys::pidfd::signal(straggler.pidfd.as_fd(), libc::SIGKILL);
        if let Err(error) = sent
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            // Once: this is repeated as long as it lives.
            if !std::mem::replace(&mut straggler.refused, true) {
                let (pid, command) = (straggler.pid, straggler.command());
                log::error!("{}: cannot kill pid {pid} ({command}): {error}", io.name);
            }
            refused = Some(error);
        }
    }
    log_victims(&io.name, &victims);
    (victims, refused)
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
