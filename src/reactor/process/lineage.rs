//! The marks by which an adopted process is attributed, and their order.
//!
//! A process that left its parent is recognised by the first of these that says anything:
//!
//! 1. its cgroup: at or below the leaf that the daemon has made for a process;
//! 2. an earlier survey, which saw it below a process that was attributed then;
//! 3. its group, or else its session: those of a leader, or of another member;
//! 4. its address-space layout, which a fork without an exec shares with its parent;
//! 5. its environment, which a process can write as it likes. It decides only if nothing else does;
//! 6. its name, if the daemon may not inspect it, as after `prctl(PR_SET_DUMPABLE, 0)`.
//!
//! Processes that were below the daemon before its first start are bystanders, by the same marks.

use crate::reactor::process::process_io::ProcessIo;
use crate::reactor::process::process_table::ProcessTable;
use crate::reactor::process::processes::Processes;
use crate::supervisor::ProcessId;
use crate::sys::descendants::{Layout, Name, Stat};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Layouts, and names, of one process that are remembered: one for each exec of a leader.
const LAYOUTS_MAX: usize = 8;

/// The party that an adopted process belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    /// A process of the config.
    Process(ProcessId),
    /// Something that was there before the daemon.
    Bystanders,
}

impl Party {
    /// The process of the config.
    pub(crate) fn process(self) -> Option<ProcessId> {
        match self {
            Party::Process(id) => Some(id),
            Party::Bystanders => None,
        }
    }
}

/// Processes that were attributed, by pid and start time.
pub(crate) type Attributed = BTreeMap<(i32, u64), (Party, Stat)>;

/// The facts of the daemon by which an adopted process is attributed.
pub(crate) struct Owners<'a> {
    /// Live and past leaders.
    pub processes: &'a Processes,
    /// Finds a process by its name.
    pub find: &'a dyn Fn(&str) -> Option<ProcessId>,
    /// Finds the process whose cgroup a pid is in.
    pub leaf: &'a dyn Fn(i32) -> Option<ProcessId>,
    /// The daemon's socket.
    pub socket: &'a str,
}

/// All marks that are known. A mark that two owners have says nothing.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// The groups and sessions of leaders.
    leaders: BTreeMap<i32, Option<Party>>,
    /// Those of members.
    groups: BTreeMap<i32, Option<Party>>,
    sessions: BTreeMap<i32, Option<Party>>,
    layouts: BTreeMap<Layout, Option<Party>>,
    names: BTreeMap<Name, Option<Party>>,
    members: BTreeMap<(i32, u64), Party>,
}

impl Marks {
    /// The marks of leaders, and of what earlier surveys attributed.
    pub(crate) fn new(
        table: &impl ProcessTable,
        processes: &Processes,
        members: &Attributed,
    ) -> Marks {
        let mut marks = Marks::default();
        for io in processes.iter() {
            let owner = Party::Process(io.id);
            for pid in groups_of(table, io) {
                note(&mut marks.leaders, pid, owner);
            }
            for layout in &io.layouts {
                note(&mut marks.layouts, *layout, owner);
            }
            for name in &io.names {
                note(&mut marks.names, *name, owner);
            }
        }
        for (owner, stat) in members.values() {
            marks.add(*owner, stat);
        }
        marks
    }

    /// Adds the marks of a process that is attributed.
    pub(crate) fn add(&mut self, owner: Party, stat: &Stat) {
        if self.members.insert((stat.pid, stat.starttime), owner) == Some(owner) {
            return;
        }
        note(&mut self.groups, stat.pgid, owner);
        note(&mut self.sessions, stat.sid, owner);
        if let Some(layout) = stat.layout {
            note(&mut self.layouts, layout, owner);
        }
    }

    /// The owner of an adopted process.
    pub(crate) fn owner(
        &self,
        table: &impl ProcessTable,
        owners: &Owners<'_>,
        stat: &Stat,
    ) -> Option<Party> {
        // A straggler of a process that was removed may still be in its leaf.
        let by_leaf = (owners.leaf)(stat.pid).filter(|id| owners.processes.io(*id).is_some());
        if let Some(id) = by_leaf {
            return Some(Party::Process(id));
        }
        if let Some(owner) = self.members.get(&(stat.pid, stat.starttime)) {
            return Some(*owner);
        }
        let by_group = only(&self.leaders, &stat.pgid).or_else(|| only(&self.groups, &stat.pgid));
        let by_session =
            || only(&self.leaders, &stat.sid).or_else(|| only(&self.sessions, &stat.sid));
        let by_layout = || only(&self.layouts, &stat.layout?);
        by_group
            .or_else(by_session)
            .or_else(by_layout)
            .or_else(|| by_environment(table, owners, stat.pid))
            .or_else(|| {
                let hidden = stat.layout.is_none() && !table.has_environment(stat.pid);
                only(&self.names, &stat.name).filter(|_| hidden)
            })
    }
}

/// The groups that leaders of a process lead.
fn groups_of<'a>(
    table: &'a impl ProcessTable,
    io: &'a ProcessIo,
) -> impl Iterator<Item = i32> + 'a {
    let live = io.live_leader().map(|leader| leader.pid);
    // A new process has the pid of a past leader only after the last process of its group.
    let past = io.past_leaders.iter().copied();
    past.filter(|pid| table.stat(*pid).is_none()).chain(live)
}

fn note<K: Ord>(marks: &mut BTreeMap<K, Option<Party>>, key: K, owner: Party) {
    match marks.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(Some(owner));
        }
        Entry::Occupied(mut entry) if *entry.get() != Some(owner) => {
            entry.insert(None);
        }
        Entry::Occupied(_) => {}
    }
}

fn only<K: Ord>(marks: &BTreeMap<K, Option<Party>>, key: &K) -> Option<Party> {
    marks.get(key).copied().flatten()
}

/// A process that called setsid still carries its name, unless it changed its environment.
fn by_environment(table: &impl ProcessTable, owners: &Owners<'_>, pid: i32) -> Option<Party> {
    let name = table.variable(pid, "TM_PROCESS")?;
    let id = (owners.find)(&name)?;
    let socket = table.variable(pid, "TM_SOCKET")?;
    (socket == owners.socket).then_some(Party::Process(id))
}

/// Adds the present layout of a live leader to those of its process; it changes with each exec.
/// Returns whether the leader is in the middle of its exec, and has none yet.
pub(crate) fn note_layout(table: &impl ProcessTable, io: &mut ProcessIo) -> bool {
    let stat = io.live_leader().and_then(|leader| table.stat(leader.pid));
    let Some(stat) = stat.filter(|stat| !stat.is_dead()) else {
        return false;
    };
    if !io.names.contains(&stat.name) {
        if io.names.len() >= LAYOUTS_MAX {
            io.names.remove(0);
        }
        io.names.push(stat.name);
    }
    if let Some(layout) = stat.layout
        && !io.layouts.contains(&layout)
    {
        if io.layouts.len() >= LAYOUTS_MAX {
            io.layouts.remove(0);
        }
        io.layouts.push(layout);
    }
    stat.layout.is_none()
}
