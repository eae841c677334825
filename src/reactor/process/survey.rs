//! The survey: finds the stragglers of every process in one pass over the daemon's children.
//!
//! The daemon is the subreaper of everything below it. A process whose parent exits becomes the
//! daemon's own child ("adopted"), even if it called setsid and forked twice. A process can fork
//! and exit during a pass and so hide its child from it. Therefore:
//!
//! 1. List the adopted processes. If there are none, nothing is left of any process: done.
//! 2. Attribute each adopted process, and everything below it, to a process of the config: by its
//!    group, else by its session, else by its environment.
//! 3. List the adopted processes again. If the list has changed, repeat step 2 with the new list,
//!    up to [`PASSES_MAX`] passes.
//! 4. The result is final when two lists agree and no adopted process can be in the middle of an
//!    exec, when it has no environment to be attributed by.
//!
//! Stragglers that are found count in any case. An empty result counts only if it is final;
//! otherwise the survey is repeated after [`REPEAT_AFTER`].

use crate::reactor::process::processes::Processes;
use crate::supervisor::{ProcessId, Time};
use crate::sys::descendants::{self, Stat};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Passes in one survey.
pub(crate) const PASSES_MAX: usize = 8;

/// Time until a survey without a final result is repeated.
pub(crate) const REPEAT_AFTER: Duration = Duration::from_millis(5);

/// How long an adopted process without an environment can be in the middle of an exec.
const EXEC_MAX: Duration = Duration::from_millis(50);

/// Processes whose stragglers are to be found, and what earlier surveys have seen.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    due: BTreeSet<ProcessId>,
    /// Adopted processes without an environment, by pid and start time, and when they were first
    /// seen.
    unattributed: BTreeMap<(i32, u64), Time>,
}

/// The result of a survey.
#[derive(Debug, Default)]
pub(crate) struct SurveyResult {
    /// The live stragglers of each process, by pid.
    pub by_process: BTreeMap<ProcessId, Vec<Stat>>,
    /// Nothing was missed.
    pub is_final: bool,
}

impl SurveyResult {
    /// The stragglers of a process.
    pub(crate) fn stragglers_of(&self, id: ProcessId) -> &[Stat] {
        self.by_process.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// The kernel's process table, as far as a survey reads it.
pub(crate) trait ProcessTable {
    /// The pids of the daemon's children, zombies included.
    fn children(&self) -> Vec<i32>;
    /// One process.
    fn stat(&self, pid: i32) -> Option<Stat>;
    /// Everything below a process, zombies included.
    fn descendants(&self, pid: i32) -> Vec<Stat>;
    /// Whether a process has an environment that can be read.
    fn has_environment(&self, pid: i32) -> bool;
    /// A variable of a process's environment.
    fn variable(&self, pid: i32, name: &str) -> Option<String>;
}

/// `/proc`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelTable;

impl ProcessTable for KernelTable {
    fn children(&self) -> Vec<i32> {
        descendants::direct_children()
    }

    fn stat(&self, pid: i32) -> Option<Stat> {
        descendants::stat(pid)
    }

    fn descendants(&self, pid: i32) -> Vec<Stat> {
        descendants::descendants(&[pid])
    }

    fn has_environment(&self, pid: i32) -> bool {
        descendants::has_environ(pid)
    }

    fn variable(&self, pid: i32, name: &str) -> Option<String> {
        descendants::environ_value(pid, name)
    }
}

/// The marks by which adopted processes are attributed.
pub(crate) struct Owners<'a> {
    /// Live and past leaders.
    pub processes: &'a Processes,
    /// Finds a process by its name.
    pub find: &'a dyn Fn(&str) -> Option<ProcessId>,
    /// The daemon's socket.
    pub socket: &'a str,
}

impl Survey {
    /// Plans to look for stragglers of a process.
    pub(crate) fn add(&mut self, id: ProcessId) {
        self.due.insert(id);
    }

    /// Whether a survey is due.
    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Takes the processes whose stragglers are to be found.
    pub(crate) fn take_due(&mut self) -> BTreeSet<ProcessId> {
        std::mem::take(&mut self.due)
    }

    /// Finds the stragglers of every process.
    pub(crate) fn run(
        &mut self,
        table: &impl ProcessTable,
        owners: &Owners<'_>,
        now: Time,
    ) -> SurveyResult {
        let mut listed = adopted(table, owners.processes);
        let mut found = SurveyResult::default();
        for _ in 0..PASSES_MAX {
            if listed.is_empty() {
                self.unattributed.clear();
                return SurveyResult {
                    by_process: BTreeMap::new(),
                    is_final: true,
                };
            }
            found.by_process = attribute(table, owners, &listed);
            let again = adopted(table, owners.processes);
            let key = |stat: &Stat| (stat.pid, stat.starttime, stat.is_dead());
            if listed.iter().map(key).eq(again.iter().map(key)) {
                found.is_final = !self.has_unattributed(table, &again, now);
                return found;
            }
            listed = again;
        }
        found
    }

    /// Whether an adopted process may be in the middle of an exec.
    fn has_unattributed(&mut self, table: &impl ProcessTable, adopted: &[Stat], now: Time) -> bool {
        let before = std::mem::take(&mut self.unattributed);
        for stat in adopted.iter().filter(|stat| !stat.is_dead()) {
            if !table.has_environment(stat.pid) {
                let key = (stat.pid, stat.starttime);
                let since = before.get(&key).copied().unwrap_or(now);
                self.unattributed.insert(key, since);
            }
        }
        let mut since = self.unattributed.values();
        since.any(|since| now < *since + EXEC_MAX)
    }
}

/// The daemon's children other than leaders, zombies included.
pub(crate) fn adopted(table: &impl ProcessTable, processes: &Processes) -> Vec<Stat> {
    let children = table.children().into_iter();
    children
        .filter(|pid| !processes.is_own_child(*pid))
        .filter_map(|pid| table.stat(pid))
        .collect()
}

/// The live stragglers of each process: the adopted processes and everything below them.
fn attribute(
    table: &impl ProcessTable,
    owners: &Owners<'_>,
    adopted: &[Stat],
) -> BTreeMap<ProcessId, Vec<Stat>> {
    let mut groups: BTreeMap<i32, ProcessId> = BTreeMap::new();
    for io in owners.processes.iter() {
        let live = io.live_leader().map(|leader| leader.pid);
        let leaders = io.past_leaders.iter().copied().chain(live);
        groups.extend(leaders.map(|pid| (pid, io.id)));
    }
    let mut found: BTreeMap<ProcessId, Vec<Stat>> = BTreeMap::new();
    for stat in adopted {
        let owner = groups
            .get(&stat.pgid)
            .or_else(|| groups.get(&stat.sid))
            .copied()
            .or_else(|| owner_by_environment(table, owners, stat.pid));
        let Some(owner) = owner else { continue };
        let stats = found.entry(owner).or_default();
        stats.extend(table.descendants(stat.pid));
        stats.push(*stat);
    }
    for stats in found.values_mut() {
        stats.retain(|stat| !stat.is_dead());
        stats.sort_by_key(|stat| stat.pid);
        stats.dedup_by_key(|stat| stat.pid);
    }
    found
}

/// A process that called setsid still carries its name, unless it cleared its environment.
fn owner_by_environment(
    table: &impl ProcessTable,
    owners: &Owners<'_>,
    pid: i32,
) -> Option<ProcessId> {
    let name = table.variable(pid, "TM_PROCESS")?;
    let id = (owners.find)(&name)?;
    let socket = table.variable(pid, "TM_SOCKET")?;
    (socket == owners.socket).then_some(id)
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
