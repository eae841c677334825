//! What an ended leader left alive. The daemon is the subreaper of everything below it, so what
//! outlives its parents becomes the daemon's own child, also what called setsid and forked twice.
//! One look a turn at the daemon's children serves every process that asks; with nothing adopted
//! it costs one read of /proc.

use super::Reactor;
use super::child::{Child, Straggler};
use super::clock::Timer;
use super::token::{Source, Watch};
use crate::supervisor::{Event, ProcessId};
use crate::sys;
use crate::sys::descendants::{self, Stat};
use mio::Interest;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::time::Duration;

/// How many stragglers of one process are watched; the end of any of them causes another look.
const WATCHED_MAX: usize = 256;

/// While something is being killed: when to look again if no end of it is heard of.
const KILL_AGAIN: Duration = Duration::from_millis(100);

impl Reactor {
    /// Tells the supervisor what is left of each process that is due.
    pub(super) fn look_for_remains(&mut self) {
        if self.remains_due.is_empty() {
            return;
        }
        let due = std::mem::take(&mut self.remains_due);
        let adopted: Vec<i32> = descendants::direct_children()
            .into_iter()
            .filter(|pid| !self.leaders.contains_key(pid))
            .collect();
        let found = if adopted.is_empty() {
            BTreeMap::new()
        } else {
            self.attribute(&adopted)
        };
        for id in due {
            let stats = found.get(&id).map_or(&[][..], Vec::as_slice);
            self.settle_remains(id, stats);
        }
    }

    /// Whose each adopted process is, with everything below it.
    fn attribute(&self, adopted: &[i32]) -> BTreeMap<ProcessId, Vec<Stat>> {
        let groups: BTreeMap<i32, ProcessId> = self
            .children
            .values()
            .flat_map(|child| {
                let leader = child.leader.as_ref().map(|leader| leader.pid);
                child
                    .former
                    .iter()
                    .copied()
                    .chain(leader)
                    .map(|pid| (pid, child.id))
            })
            .collect();
        let mut found: BTreeMap<ProcessId, Vec<Stat>> = BTreeMap::new();
        for &pid in adopted {
            let Some(stat) = descendants::stat(pid) else {
                continue;
            };
            let owner = groups
                .get(&stat.pgid)
                .or_else(|| groups.get(&stat.sid))
                .copied()
                .or_else(|| self.owner_by_environment(pid));
            let Some(owner) = owner else { continue };
            let stats = found.entry(owner).or_default();
            stats.extend(descendants::descendants(&[pid]));
            stats.push(stat);
        }
        for stats in found.values_mut() {
            stats.retain(|stat| !stat.is_dead());
            stats.sort_by_key(|stat| stat.pid);
            stats.dedup_by_key(|stat| stat.pid);
        }
        found
    }

    /// What called setsid still carries its name, unless it cleared its environment.
    fn owner_by_environment(&self, pid: i32) -> Option<ProcessId> {
        let name = descendants::environ_value(pid, "TM_PROCESS")?;
        let id = self.supervisor.find(&name)?;
        let socket = descendants::environ_value(pid, "TM_SOCKET")?;
        (socket == self.listener.path().to_string_lossy()).then_some(id)
    }

    /// Watches what is left of a process, kills it if that is decided, and tells the supervisor.
    fn settle_remains(&mut self, id: ProcessId, stats: &[Stat]) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        watch_stragglers(child, stats, &mut self.watch);
        if child.killing {
            kill_stragglers(child);
        }
        if child.killing && !stats.is_empty() {
            // Not every one of them may be watched.
            let again = self.clock.now() + KILL_AGAIN;
            self.timers.add(again, Timer::Remains(id));
        }
        let grouped = stats
            .iter()
            .filter(|stat| child.former.contains(&stat.pgid));
        let event = Event::Remains {
            id,
            stragglers: stats.len() as u32,
            in_group: grouped.count() as u32,
        };
        if stats.is_empty() {
            child.former.clear();
            child.killing &= child.leader.is_some();
        }
        self.supervisor.handle_event(event, self.clock.now());
    }

    /// SIGKILL to everything below the daemon that belongs to nobody any more: the last act.
    pub(super) fn sweep_all(&mut self) {
        for pid in descendants::direct_children() {
            for stat in descendants::descendants(&[pid]) {
                kill_by_pid(stat.pid);
            }
            kill_by_pid(pid);
        }
    }
}

/// Brings the list of watched stragglers up to what was found.
fn watch_stragglers(child: &mut Child, stats: &[Stat], watch: &mut Watch) {
    let alive: BTreeSet<i32> = stats.iter().map(|stat| stat.pid).collect();
    let (kept, gone): (Vec<Straggler>, Vec<Straggler>) = child
        .stragglers
        .drain(..)
        .partition(|straggler| alive.contains(&straggler.pid));
    child.stragglers = kept;
    for straggler in gone {
        watch.remove(&straggler.pidfd, straggler.token);
    }
    for stat in stats {
        let known = child.stragglers.iter().any(|other| other.pid == stat.pid);
        if known || child.stragglers.len() >= WATCHED_MAX {
            continue;
        }
        let Ok(pidfd) = sys::pidfd::open(stat.pid) else {
            continue;
        };
        // The pid may have been used again between the look and the open.
        if descendants::stat(stat.pid).is_none_or(|now| now.starttime != stat.starttime) {
            continue;
        }
        let source = Source::Straggler(child.id);
        if let Ok(token) = watch.add(&pidfd, source, Interest::READABLE) {
            child.stragglers.push(Straggler {
                pid: stat.pid,
                pidfd,
                token,
                command: descendants::command(stat.pid),
            });
        }
    }
}

fn kill_stragglers(child: &Child) {
    for straggler in &child.stragglers {
        let sent = sys::pidfd::signal(straggler.pidfd.as_fd(), libc::SIGKILL);
        if let Err(error) = sent
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            let Straggler { pid, command, .. } = straggler;
            log::error!("{}: cannot kill pid {pid} ({command}): {error}", child.name);
        }
    }
}

fn kill_by_pid(pid: i32) {
    if let Ok(pidfd) = sys::pidfd::open(pid) {
        // What is gone already needs no signal; what may not be killed stays.
        let _ = sys::pidfd::signal(pidfd.as_fd(), libc::SIGKILL);
    }
}
