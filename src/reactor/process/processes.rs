//! All processes: whose leader a pid is, which output is to be read, and which is new.

use crate::reactor::poller::Poller;
use crate::reactor::process::channel::Reading;
use crate::reactor::process::process_io::{Leader, LiveLeader, ProcessIo};
use crate::supervisor::{Process, ProcessId};
use std::collections::{HashMap, HashSet, VecDeque};

/// The processes.
#[derive(Default)]
pub(crate) struct Processes {
    all: HashMap<ProcessId, ProcessIo>,
    /// The processes of live leaders, by pid.
    leaders: HashMap<i32, ProcessId>,
    /// Children that have not exec'd, or are left of a failed start.
    unborn: HashSet<i32>,
    /// Channels with something to read, each once.
    outputs_ready: VecDeque<(ProcessId, u32)>,
    /// Processes with new output, each once.
    dirty: Vec<ProcessId>,
    /// Processes of which more is to be asked to end.
    asking: VecDeque<ProcessId>,
}

/// Processes that are asked to end, of one process of the config at a time.
const ASKED_AT_ONCE: usize = 32;

impl Processes {
    /// One process.
    pub(crate) fn io(&self, id: ProcessId) -> Option<&ProcessIo> {
        self.all.get(&id)
    }

    /// One process.
    pub(crate) fn io_mut(&mut self, id: ProcessId) -> Option<&mut ProcessIo> {
        self.all.get_mut(&id)
    }

    /// All processes, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ProcessIo> {
        self.all.values()
    }

    /// Adds a process, unless it is known. Returns whether it is new.
    pub(crate) fn add(&mut self, process: &Process) -> bool {
        let new = !self.all.contains_key(&process.id);
        if new {
            let io = ProcessIo::new(process.id, &process.name, &process.launch);
            self.all.insert(process.id, io);
        }
        new
    }

    /// Frees a process.
    pub(crate) fn remove(&mut self, id: ProcessId, poller: &mut Poller) {
        if let Some(mut io) = self.all.remove(&id) {
            io.close(poller);
        }
    }

    /// The process whose live leader this pid is.
    pub(crate) fn by_leader(&self, pid: i32) -> Option<ProcessId> {
        self.leaders.get(&pid).copied()
    }

    /// Whether a child of the daemon is a leader, or was to become one: it is no straggler.
    pub(crate) fn is_own_child(&self, pid: i32) -> bool {
        self.leaders.contains_key(&pid) || self.unborn.contains(&pid)
    }

    /// A start has a child.
    pub(crate) fn set_starting(&mut self, id: ProcessId, pid: i32) {
        self.unborn.insert(pid);
        if let Some(io) = self.all.get_mut(&id) {
            io.leader = Leader::Starting;
        }
    }

    /// The child of a failed start is reaped.
    pub(crate) fn forget_unborn(&mut self, pid: i32) {
        self.unborn.remove(&pid);
    }

    /// A process has a new leader.
    pub(crate) fn set_leader(&mut self, id: ProcessId, leader: LiveLeader) {
        if let Some(io) = self.all.get_mut(&id) {
            self.unborn.remove(&leader.pid);
            self.leaders.insert(leader.pid, id);
            io.leader = Leader::Alive(leader);
        }
    }

    /// The leader of a process is reaped.
    pub(crate) fn leader_exited(&mut self, id: ProcessId, poller: &mut Poller) {
        let Some(io) = self.all.get_mut(&id) else {
            return;
        };
        if let Some(pid) = io.leader_exited(poller) {
            self.leaders.remove(&pid);
        }
        io.close_input(poller);
    }

    /// Puts a channel on the list of those to read. `hung_up` says that its other side was closed.
    pub(crate) fn queue_output(&mut self, id: ProcessId, number: u32, hung_up: bool) {
        if let Some(io) = self.all.get_mut(&id)
            && let Some(channel) = io.channel(number)
        {
            channel.hung_up |= hung_up;
            if channel.reading != Reading::Queued {
                channel.reading = Reading::Queued;
                self.outputs_ready.push_back((id, number));
            }
        }
    }

    /// Takes the next channel to read. It counts as queued until
    /// [`requeue_output`](Self::requeue_output) or [`output_read`](Self::output_read).
    pub(crate) fn next_output(&mut self) -> Option<(ProcessId, u32)> {
        self.outputs_ready.pop_front()
    }

    /// Puts a channel that [`next_output`](Self::next_output) returned at the end of the list.
    pub(crate) fn requeue_output(&mut self, id: ProcessId, number: u32) {
        self.outputs_ready.push_back((id, number));
    }

    /// Leaves a channel off the list.
    pub(crate) fn output_read(&mut self, id: ProcessId, number: u32, reading: Reading) {
        if let Some(io) = self.all.get_mut(&id)
            && let Some(channel) = io.channel(number)
        {
            channel.reading = reading;
        }
    }

    /// Whether a channel waits to be read.
    pub(crate) fn has_output_ready(&self) -> bool {
        !self.outputs_ready.is_empty()
    }

    /// Reads the paused channels of a process again.
    pub(crate) fn resume_reading(&mut self, id: ProcessId) {
        let Some(io) = self.all.get_mut(&id) else {
            return;
        };
        for channel in &mut io.channels {
            if channel.reading == Reading::Paused {
                channel.reading = Reading::Queued;
                self.outputs_ready.push_back((id, channel.number));
            }
        }
    }

    /// Notes that a process has new output.
    pub(crate) fn mark_dirty(&mut self, id: ProcessId) {
        if let Some(io) = self.all.get_mut(&id)
            && !std::mem::replace(&mut io.dirty, true)
        {
            self.dirty.push(id);
        }
    }

    /// Begins to ask all of a process to end; the rest of a large one follows in later turns.
    pub(crate) fn ask_all(&mut self, id: ProcessId, signal: i32) {
        if let Some(io) = self.all.get_mut(&id) {
            io.ask_all(signal);
            self.ask_part(id);
        }
    }

    /// Whether there are processes to be asked to end.
    pub(crate) fn has_asking(&self) -> bool {
        !self.asking.is_empty()
    }

    /// Asks processes to end, by turns, as long as there is `more` time.
    pub(crate) fn continue_asking(&mut self, more: impl Fn() -> bool) {
        while more()
            && let Some(id) = self.asking.pop_front()
        {
            self.ask_part(id);
        }
    }

    /// Asks the next of a process to end, and puts the rest at the end of the list.
    pub(crate) fn ask_part(&mut self, id: ProcessId) {
        let mut left = ASKED_AT_ONCE;
        let more = || {
            left -= 1;
            left > 0
        };
        if let Some(io) = self.all.get_mut(&id)
            && !io.ask_more(more)
            && !self.asking.contains(&id)
        {
            self.asking.push_back(id);
        }
    }

    /// Takes the processes with new output.
    pub(crate) fn take_dirty(&mut self) -> Vec<ProcessId> {
        let dirty = std::mem::take(&mut self.dirty);
        for id in &dirty {
            if let Some(io) = self.all.get_mut(id) {
                io.dirty = false;
            }
        }
        dirty
    }
}

#[cfg(test)]
#[path = "processes_tests.rs"]
mod tests;
