//! The survey: finds the stragglers of every process in one pass over the daemon's children.
//!
//! The daemon is the subreaper of everything below it. A process whose parent exits becomes the
//! daemon's own child ("adopted"), even if it called setsid and forked twice. A process can fork
//! and exit during a pass and so hide its child from it. Therefore:
//!
//! 1. List the adopted processes. If there are none, nothing is left of any process: done.
//! 2. Attribute each adopted process, and everything below it, to a process of the config: see
//!    [`lineage`](crate::reactor::process::lineage).
//! 3. List and attribute the adopted processes again, up to [`PASSES_MAX`] times.
//! 4. The result is final for a process when two passes agree about what belongs to it and about
//!    what belongs to none, and no adopted process can be in the middle of an exec, when it has no
//!    environment to be attributed by. What another process starts meanwhile does not count.
//!
//! Stragglers that are found count in any case. An empty result counts only if it is final;
//! otherwise the survey is repeated after [`REPEAT_AFTER`], for at most [`UNSURE_MAX`].
//!
//! A process can fork faster than a survey follows. So a survey does a limited amount of work in a
//! turn, and continues in the next one.

use crate::reactor::process::lineage::{Attributed, Marks, Owners, Party};
use crate::reactor::process::process_table::ProcessTable;
use crate::reactor::process::processes::Processes;
use crate::supervisor::{ProcessId, Time};
use crate::sys::descendants::Stat;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Passes in one survey.
pub(crate) const PASSES_MAX: usize = 8;

/// Time until a survey without a final result is repeated.
pub(crate) const REPEAT_AFTER: Duration = Duration::from_millis(5);

/// How long a result that is not final keeps a process waiting. A process that forks without end
/// must not keep another one from its restart.
const UNSURE_MAX: Duration = Duration::from_millis(500);

/// Processes below one adopted process that are looked at in one pass.
const BELOW_MAX: usize = 4096;

/// How long an adopted process without an environment can be in the middle of an exec.
const EXEC_MAX: Duration = Duration::from_millis(50);

/// Processes whose stragglers are to be found, and what earlier surveys have seen.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    due: BTreeSet<ProcessId>,
    /// The survey that continues in the next turn, and the processes that it is for.
    ongoing: Option<(Passes, BTreeSet<ProcessId>)>,
    /// Since when a process waits for a final result.
    unsure: BTreeMap<ProcessId, Time>,
    /// Adopted processes without an environment, by pid and start time, and when they were first
    /// seen.
    unattributed: BTreeMap<(i32, u64), Time>,
    /// The processes that the last survey attributed.
    members: Attributed,
    /// There were processes below the daemon before its first start.
    has_bystanders: bool,
    /// Processes whose leaders were in the middle of their exec, so that they had no layout, and
    /// until when they are looked at again.
    without_layout: Vec<(ProcessId, Time)>,
}

/// The result of a survey.
#[derive(Debug, Default)]
pub(crate) struct SurveyResult {
    /// The live stragglers of each process, by pid.
    pub by_process: BTreeMap<ProcessId, Vec<Stat>>,
    /// Nothing was missed.
    pub is_final: bool,
    /// Something may have been missed, of these processes only.
    unsure_of: BTreeSet<ProcessId>,
}

impl SurveyResult {
    /// The stragglers of a process.
    pub(crate) fn stragglers_of(&self, id: ProcessId) -> &[Stat] {
        self.by_process.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Whether nothing of a process was missed.
    fn is_final_for(&self, id: ProcessId) -> bool {
        self.is_final && !self.unsure_of.contains(&id)
    }
}

impl Survey {
    /// A survey that leaves these alone: processes below the daemon that it did not start.
    pub(crate) fn sparing(bystanders: &[Stat]) -> Survey {
        let key = |stat: &Stat| (stat.pid, stat.starttime);
        let bystanders = bystanders.iter();
        let members: Attributed = bystanders
            .map(|stat| (key(stat), (Party::Bystanders, *stat)))
            .collect();
        Survey {
            has_bystanders: !members.is_empty(),
            members,
            ..Survey::default()
        }
    }

    /// Notes that the layout of a leader could not be read.
    pub(crate) fn add_without_layout(&mut self, id: ProcessId, now: Time) {
        self.without_layout.push((id, now + EXEC_MAX));
    }

    /// Tries the leaders that had no layout again. `read` says whether one still has none.
    pub(crate) fn retry_layouts(&mut self, now: Time, mut read: impl FnMut(ProcessId) -> bool) {
        self.without_layout
            .retain(|(id, until)| read(*id) && now < *until);
    }

    /// Whether a process may be one that the daemon did not start, or below such a process.
    pub(crate) fn may_be_bystander(&self, stat: &Stat) -> bool {
        match self.members.get(&(stat.pid, stat.starttime)) {
            Some((owner, _)) => *owner == Party::Bystanders,
            None => self.has_bystanders,
        }
    }

    /// Plans to look for stragglers of a process.
    pub(crate) fn add(&mut self, id: ProcessId) {
        self.due.insert(id);
    }

    /// Whether a survey is due.
    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty() || self.ongoing.is_some()
    }

    /// Begins or continues a survey, as long as there is `more` time. Returns its result, and the
    /// processes that it is for. Those that were added since it began need another one.
    pub(crate) fn advance(
        &mut self,
        table: &impl ProcessTable,
        owners: &Owners<'_>,
        now: Time,
        more: &dyn Fn() -> bool,
    ) -> Option<(BTreeSet<ProcessId>, SurveyResult)> {
        let (mut passes, due) = match self.ongoing.take() {
            Some(ongoing) => ongoing,
            None => {
                let passes = Passes::begin(table, owners, &self.members);
                (passes, std::mem::take(&mut self.due))
            }
        };
        if !passes.advance(table, owners, more) {
            self.ongoing = Some((passes, due));
            return None;
        }
        Some((due, self.conclude(table, passes, now)))
    }

    /// Whether the result about a process counts: it shows stragglers, or surely none.
    pub(crate) fn counts(&mut self, id: ProcessId, found: &SurveyResult, now: Time) -> bool {
        if found.is_final_for(id) || !found.stragglers_of(id).is_empty() {
            self.unsure.remove(&id);
            return true;
        }
        let since = *self.unsure.entry(id).or_insert(now);
        let over = now.since(since) >= UNSURE_MAX;
        if over {
            self.unsure.remove(&id);
        }
        over
    }

    /// Finds the stragglers of every process.
    pub(crate) fn run(
        &mut self,
        table: &impl ProcessTable,
        owners: &Owners<'_>,
        now: Time,
    ) -> SurveyResult {
        let mut passes = Passes::begin(table, owners, &self.members);
        while !passes.advance(table, owners, &|| true) {}
        self.conclude(table, passes, now)
    }

    fn conclude(&mut self, table: &impl ProcessTable, passes: Passes, now: Time) -> SurveyResult {
        let Passes { seen, before, .. } = passes;
        self.members = seen.members().collect();
        // With nothing adopted, nothing is left, whatever was there before.
        let before = before.filter(|_| !seen.listed.is_empty());
        let changed = before.map_or_else(Vec::new, |before| before.differences(&seen));
        let agreed = changed.iter().all(Option::is_some) && !seen.cut;
        let exec = self.has_unattributed(table, seen.without_owner(), now);
        SurveyResult {
            by_process: seen.live(),
            is_final: agreed && !exec,
            unsure_of: changed.into_iter().flatten().collect(),
        }
    }

    /// Whether an adopted process may be in the middle of an exec.
    fn has_unattributed<'a>(
        &mut self,
        table: &impl ProcessTable,
        without_owner: impl Iterator<Item = &'a Stat>,
        now: Time,
    ) -> bool {
        let before = std::mem::take(&mut self.unattributed);
        for stat in without_owner.filter(|stat| !stat.is_dead()) {
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

/// The passes of one survey so far.
#[derive(Debug)]
struct Passes {
    count: usize,
    /// Adopted processes of this pass that are still to be looked at.
    rest: VecDeque<i32>,
    /// Parents whose children are still to be looked at, all below the latest adopted process.
    below: Vec<Stat>,
    /// The parent whose children are being looked at, and the rest of them.
    parent: i32,
    children: Vec<i32>,
    owner: Option<Party>,
    marks: Marks,
    seen: OnePass,
    /// The pass before.
    before: Option<OnePass>,
}

/// The processes that one pass has seen.
#[derive(Debug, Default)]
struct OnePass {
    listed: Vec<Stat>,
    /// The owner of each adopted process.
    owners: Vec<Option<Party>>,
    /// The processes of each owner, by pid.
    found: BTreeMap<Party, BTreeMap<i32, Stat>>,
    /// There were more processes than are looked at.
    cut: bool,
}

impl Passes {
    fn begin(table: &impl ProcessTable, owners: &Owners<'_>, members: &Attributed) -> Passes {
        Passes {
            count: 0,
            rest: adopted_pids(table, owners.processes).collect(),
            below: Vec::new(),
            parent: 0,
            children: Vec::new(),
            owner: None,
            marks: Marks::new(table, owners.processes, members),
            seen: OnePass::default(),
            before: None,
        }
    }

    /// Works as long as there is `more` time. Returns whether the survey is over.
    fn advance(
        &mut self,
        table: &impl ProcessTable,
        owners: &Owners<'_>,
        more: &dyn Fn() -> bool,
    ) -> bool {
        loop {
            if let Some(child) = self.children.pop() {
                self.look_at_child(table, child);
            } else if let Some(parent) = self.below.pop() {
                self.list_children(table, &parent);
            } else if let Some(pid) = self.rest.pop_front() {
                self.look_at(table, owners, pid);
            } else if self.is_over() {
                return true;
            } else {
                self.count += 1;
                for (_, (owner, stat)) in self.seen.members() {
                    self.marks.add(owner, &stat);
                }
                self.before = Some(std::mem::take(&mut self.seen));
                self.rest = adopted_pids(table, owners.processes).collect();
            }
            if !more() {
                return false;
            }
        }
    }

    fn is_over(&self) -> bool {
        let agreed = |before: &OnePass| !self.seen.cut && before.differences(&self.seen).is_empty();
        self.seen.listed.is_empty()
            || self.count + 1 >= PASSES_MAX
            || self.before.as_ref().is_some_and(agreed)
    }

    fn look_at(&mut self, table: &impl ProcessTable, owners: &Owners<'_>, pid: i32) {
        let Some(stat) = table.stat(pid) else { return };
        self.owner = self.marks.owner(table, owners, &stat);
        self.seen.listed.push(stat);
        self.seen.owners.push(self.owner);
        if let Some(owner) = self.owner {
            let found = self.seen.found.entry(owner).or_default();
            found.insert(pid, stat);
            self.below.push(stat);
        }
    }

    fn list_children(&mut self, table: &impl ProcessTable, parent: &Stat) {
        let children = table.children_of(parent.pid);
        // Since it was listed, it may have ended, and another process may have its pid. The daemon
        // has adopted its children then, and the next pass finds them.
        let lives = |now: Stat| now.starttime == parent.starttime;
        if !children.is_empty() && table.stat(parent.pid).is_some_and(lives) {
            self.children = children;
            self.parent = parent.pid;
        }
    }

    fn look_at_child(&mut self, table: &impl ProcessTable, child: i32) {
        let Some(owner) = self.owner else { return };
        let found = self.seen.found.entry(owner).or_default();
        if found.len() >= BELOW_MAX {
            self.seen.cut |= owner != Party::Bystanders;
            self.below.clear();
            self.children.clear();
            return;
        }
        let stat = table.stat(child);
        if let Some(stat) = stat.filter(|stat| stat.ppid == self.parent) {
            // A pid reused during the walk must not cause an endless loop.
            if found.insert(stat.pid, stat).is_none() {
                self.below.push(stat);
            }
        }
    }
}

impl OnePass {
    /// The owners whose adopted processes differ; none for those without an owner.
    fn differences(&self, other: &OnePass) -> Vec<Option<ProcessId>> {
        let mine: BTreeSet<_> = self.keys().collect();
        let theirs: BTreeSet<_> = other.keys().collect();
        let differing = mine.symmetric_difference(&theirs);
        let owners = differing.map(|(owner, ..)| *owner);
        let ours = owners.filter(|owner| *owner != Some(Party::Bystanders));
        let mut owners: Vec<_> = ours.map(|owner| owner.and_then(Party::process)).collect();
        owners.dedup();
        owners
    }

    fn without_owner(&self) -> impl Iterator<Item = &Stat> {
        let listed = self.owners.iter().zip(&self.listed);
        listed.filter_map(|(owner, stat)| owner.is_none().then_some(stat))
    }

    /// The attributed processes.
    fn members(&self) -> impl Iterator<Item = ((i32, u64), (Party, Stat))> {
        let found = self.found.iter();
        found.flat_map(|(owner, stats)| {
            let stats = stats.values();
            stats.map(|stat| ((stat.pid, stat.starttime), (*owner, *stat)))
        })
    }

    fn keys(&self) -> impl Iterator<Item = (Option<Party>, i32, u64, bool)> {
        let listed = self.owners.iter().zip(&self.listed);
        listed.map(|(owner, stat)| (*owner, stat.pid, stat.starttime, stat.is_dead()))
    }

    /// The live processes of each owner, by pid.
    fn live(self) -> BTreeMap<ProcessId, Vec<Stat>> {
        let live = |stats: BTreeMap<i32, Stat>| -> Vec<Stat> {
            let stats = stats.into_values();
            stats.filter(|stat| !stat.is_dead()).collect()
        };
        let found = self.found.into_iter();
        found
            .filter_map(|(owner, stats)| Some((owner.process()?, live(stats))))
            .collect()
    }
}

fn adopted_pids(table: &impl ProcessTable, processes: &Processes) -> impl Iterator<Item = i32> {
    let children = table.children().into_iter();
    children.filter(|pid| !processes.is_own_child(*pid))
}

/// The daemon's children other than leaders, zombies included.
pub(crate) fn adopted(table: &impl ProcessTable, processes: &Processes) -> Vec<Stat> {
    adopted_pids(table, processes)
        .filter_map(|pid| table.stat(pid))
        .collect()
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
