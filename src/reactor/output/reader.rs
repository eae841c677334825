//! Reads the output of processes into their rings, under the turn's budget.

use crate::reactor::Reactor;
use crate::reactor::clock::unix_ns;
use crate::reactor::process::process_io::ReadOutcome;
use crate::supervisor::ProcessId;
use std::time::Duration;

/// Output read in one turn, in bytes. After that, signals, exits and requests are served.
const BYTES_A_TURN: usize = 64 * 1024;

/// Time spent on output in one turn.
const TIME_A_TURN: Duration = Duration::from_micros(300);

impl Reactor {
    /// Reads each ready output once, round robin, until the turn's budget is spent.
    pub(crate) fn read_outputs(&mut self) {
        let wall_ns = if self.outputs_ready.is_empty() {
            0
        } else {
            unix_ns()
        };
        let started = self.clock.spent();
        let mut budget = BYTES_A_TURN;
        while let Some((id, number)) = self.outputs_ready.pop_front() {
            match self.read_output(id, number, wall_ns) {
                ReadOutcome::More(n) => {
                    self.outputs_ready.push_back((id, number));
                    budget = budget.saturating_sub(n);
                }
                ReadOutcome::Rest(n) => {
                    self.finish_read(id, number, ReadOutcome::Drained);
                    budget = budget.saturating_sub(n);
                }
                outcome => self.finish_read(id, number, outcome),
            }
            if budget == 0 || self.clock.spent().saturating_sub(started) > TIME_A_TURN {
                break;
            }
        }
    }

    /// Reads once, unless the log has to catch up first.
    pub(crate) fn read_output(&mut self, id: ProcessId, number: u32, wall_ns: u64) -> ReadOutcome {
        let Some(max) = self.read_budget(id) else {
            return ReadOutcome::Paused;
        };
        let Some(child) = self.children.get_mut(&id) else {
            return ReadOutcome::Closed;
        };
        let outcome = child.read_channel(number, max, wall_ns);
        if let ReadOutcome::More(_) | ReadOutcome::Rest(_) = outcome {
            self.answer_queries(id);
            self.mark_dirty(id);
        }
        outcome
    }

    /// Takes an output off the list of those to read.
    fn finish_read(&mut self, id: ProcessId, number: u32, outcome: ReadOutcome) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        if let Some(channel) = child.channel(number) {
            channel.queued = false;
            channel.paused = outcome == ReadOutcome::Paused;
        }
        // Closing the master sends SIGHUP to the leader, which may have closed its side only
        // temporarily, or to become a daemon.
        let tty = child.channel(number).is_some_and(|channel| channel.tty);
        let kept = tty && child.leader.is_some();
        if outcome == ReadOutcome::Closed && !kept {
            self.close_output(id, number);
        }
    }

    pub(crate) fn close_output(&mut self, id: ProcessId, number: u32) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.close_channel(number, &mut self.poller);
        if child.channels.is_empty() {
            self.finish_logs(id);
        }
    }

    /// Puts outputs that waited for the log back on the list of those to read.
    pub(crate) fn resume_outputs(&mut self, id: ProcessId) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let paused: Vec<u32> = child
            .channels
            .iter_mut()
            .filter(|channel| channel.paused)
            .map(|channel| {
                channel.paused = false;
                channel.number
            })
            .collect();
        for number in paused {
            self.queue_output(id, number, false);
        }
    }

    /// Remembers that a process has new output for its readers.
    pub(crate) fn mark_dirty(&mut self, id: ProcessId) {
        if let Some(child) = self.children.get_mut(&id)
            && !child.dirty
        {
            child.dirty = true;
            self.dirty.push(id);
        }
    }
}
