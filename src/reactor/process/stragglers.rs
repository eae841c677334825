//! What an ended leader left alive. The daemon is the subreaper of everything below it, so what
//! outlives its parents becomes the daemon's own child, also what called setsid and forked twice.
//! One look a turn at the daemon's children serves every process that asks; with nothing adopted
//! it costs one read of /proc.

use crate::reactor::Reactor;
use crate::reactor::clock::Timer;
use crate::reactor::poller::{Poller, Source};
use crate::reactor::process::process_io::{ProcessIo, Straggler};
use crate::supervisor::{Event, KillMode, Policy, ProcessId};
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

/// How often in a row to look until two looks show the same.
const LOOKS_MAX: usize = 8;

/// When to look again after looks that did not agree.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// For how long an adopted process without any environment may be in the middle of an exec.
const EXEC_MAX: Duration = Duration::from_millis(50);

impl Reactor {
    /// Tells the supervisor what is left of each process that is due.
    pub(crate) fn look_for_remains(&mut self) {
        if self.remains_due.is_empty() {
            return;
        }
        let due = std::mem::take(&mut self.remains_due);
        let (found, settled) = self.survey();
        for id in due {
            let stats = found.get(&id).map_or(&[][..], Vec::as_slice);
            if stats.is_empty() && !settled {
                // "Nothing" is final, and has to be true.
                let again = self.clock.now() + LOOK_AGAIN;
                self.timers.add(again, Timer::Survey(id));
            } else {
                self.settle_remains(id, stats);
            }
        }
    }

    /// What is left of every process. Who forks, exits and leaves its child to the daemon while
    /// it is looked at would hide that child: looks again until nobody moved. False when that did
    /// not come to rest.
    fn survey(&mut self) -> (BTreeMap<ProcessId, Vec<Stat>>, bool) {
        let mut adopted = self.adopted();
        let mut found = BTreeMap::new();
        for _ in 0..LOOKS_MAX {
            if adopted.is_empty() {
                self.nameless.clear();
                return (BTreeMap::new(), true);
            }
            found = self.attribute(&adopted);
            let now = self.adopted();
            let mark = |stat: &Stat| (stat.pid, stat.starttime, stat.is_dead());
            if adopted.iter().map(mark).eq(now.iter().map(mark)) {
                return (found, !self.awaits_a_name(&now));
            }
            adopted = now;
        }
        (found, false)
    }

    /// The daemon's children that are no leaders, the dead ones among them too.
    fn adopted(&self) -> Vec<Stat> {
        descendants::direct_children()
            .into_iter()
            .filter(|pid| !self.leaders.contains_key(pid))
            .filter_map(descendants::stat)
            .collect()
    }

    /// Whether one of them may be in the middle of an exec, when it has no environment that
    /// tells whose it is.
    fn awaits_a_name(&mut self, adopted: &[Stat]) -> bool {
        let now = self.clock.now();
        let before = std::mem::take(&mut self.nameless);
        for stat in adopted.iter().filter(|stat| !stat.is_dead()) {
            if !descendants::has_environ(stat.pid) {
                let key = (stat.pid, stat.starttime);
                self.nameless
                    .insert(key, before.get(&key).copied().unwrap_or(now));
            }
        }
        self.nameless.values().any(|since| now < *since + EXEC_MAX)
    }

    /// Whose each adopted process is, with everything below it.
    fn attribute(&self, adopted: &[Stat]) -> BTreeMap<ProcessId, Vec<Stat>> {
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
        for stat in adopted {
            let owner = groups
                .get(&stat.pgid)
                .or_else(|| groups.get(&stat.sid))
                .copied()
                .or_else(|| self.owner_by_environment(stat.pid));
            let Some(owner) = owner else { continue };
            let stats = found.entry(owner).or_default();
            stats.extend(descendants::descendants(&[stat.pid]));
            stats.push(*stat);
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
        watch_stragglers(child, stats, &mut self.poller);
        if child.killing {
            kill_stragglers(child);
        }
        if child.killing && !stats.is_empty() {
            // Not every one of them may be watched.
            let again = self.clock.now() + KILL_AGAIN;
            self.timers.add(again, Timer::Survey(id));
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

    /// SIGKILL to everything below the daemon that is left: the last act. Only what programs with
    /// `killmode: process` left is not the daemon's to kill.
    pub(crate) fn sweep_all(&mut self) {
        for _ in 0..LOOKS_MAX {
            let (found, settled) = self.survey();
            let spared: BTreeSet<i32> = found
                .iter()
                .filter(|(id, _)| self.supervisor.policy(**id).is_some_and(spares_the_rest))
                .flat_map(|(_, stats)| stats.iter().map(|stat| stat.pid))
                .collect();
            let mut left = self.adopted();
            left.retain(|stat| !stat.is_dead() && !spared.contains(&stat.pid));
            if left.is_empty() && settled {
                return;
            }
            for stat in left {
                let Stat { pid, .. } = stat;
                log::info!(
                    "killing what is left: pid {pid} {}",
                    descendants::command(pid)
                );
                for below in descendants::descendants(&[pid]) {
                    kill_by_pid(below.pid);
                }
                kill_by_pid(pid);
            }
        }
    }
}

fn spares_the_rest(policy: &Policy) -> bool {
    policy.killmode == KillMode::Process
}

/// Brings the list of watched stragglers up to what was found.
fn watch_stragglers(child: &mut ProcessIo, stats: &[Stat], poller: &mut Poller) {
    let alive: BTreeSet<i32> = stats.iter().map(|stat| stat.pid).collect();
    let (kept, gone): (Vec<Straggler>, Vec<Straggler>) = child
        .stragglers
        .drain(..)
        .partition(|straggler| alive.contains(&straggler.pid));
    child.stragglers = kept;
    for straggler in gone {
        poller.remove(&straggler.pidfd, straggler.token);
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
        if let Ok(token) = poller.add(&pidfd, source, Interest::READABLE) {
            child.stragglers.push(Straggler {
                pid: stat.pid,
                pidfd,
                token,
                command: descendants::command(stat.pid),
            });
        }
    }
}

fn kill_stragglers(child: &ProcessIo) {
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
