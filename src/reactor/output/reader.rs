//! Output of the children under the turn's budget, and the end of a leader.

use crate::reactor::Reactor;
use crate::reactor::clock::unix_ns;
use crate::reactor::process::process_io::ReadOutcome;
use crate::supervisor::{Event, Exit, ProcessId};
use crate::sys;
use crate::sys::pidfd::ExitStatus;
use std::os::fd::AsFd;
use std::time::Duration;

/// Output read in one turn, in bytes: then signals, exits and requests have their say.
const BYTES_A_TURN: usize = 64 * 1024;

/// Time spent on output in one turn.
const TIME_A_TURN: Duration = Duration::from_micros(300);

/// What a leader may leave in its terminal and pipes and still be read before its end is told:
/// the largest pipe there is.
const LAST_WORDS_MAX: usize = 1024 * 1024;

impl Reactor {
    /// One read for each output that is ready, round robin, until the turn's budget is spent.
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
                    self.output_rests(id, number, ReadOutcome::Drained);
                    budget = budget.saturating_sub(n);
                }
                outcome => self.output_rests(id, number, outcome),
            }
            if budget == 0 || self.clock.spent().saturating_sub(started) > TIME_A_TURN {
                break;
            }
        }
    }

    /// One read, unless the log has to catch up first.
    fn read_output(&mut self, id: ProcessId, number: u32, wall_ns: u64) -> ReadOutcome {
        let Some(max) = self.may_read(id) else {
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

    /// An output leaves the list.
    fn output_rests(&mut self, id: ProcessId, number: u32, outcome: ReadOutcome) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        if let Some(channel) = child.channel(number) {
            channel.queued = false;
            channel.paused = outcome == ReadOutcome::Paused;
        }
        // To close a terminal hangs up on the leader, which may have closed its own side only for
        // now, or as daemons do.
        let tty = child.channel(number).is_some_and(|channel| channel.tty);
        let kept = tty && child.leader.is_some();
        if outcome == ReadOutcome::Closed && !kept {
            self.close_output(id, number);
        }
    }

    fn close_output(&mut self, id: ProcessId, number: u32) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.close_channel(number, &mut self.watch);
        if child.channels.is_empty() {
            self.finish_logs(id);
        }
    }

    /// Reads on what waited for the log.
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

    /// Remembers that a process has output to hand on.
    pub(crate) fn mark_dirty(&mut self, id: ProcessId) {
        if let Some(child) = self.children.get_mut(&id)
            && !child.dirty
        {
            child.dirty = true;
            self.dirty.push(id);
        }
    }

    /// A leader's pidfd is readable: takes its last words, then its status. `false` when it has
    /// not ended after all.
    pub(crate) fn leader_readable(&mut self, id: ProcessId) -> bool {
        let Some(leader) = self
            .children
            .get(&id)
            .and_then(|child| child.leader.as_ref())
        else {
            return false;
        };
        let status = match sys::pidfd::wait(leader.pidfd.as_fd()) {
            Ok(Some(status)) => status,
            Ok(None) => return false,
            Err(error) => {
                // Somebody else reaped it; its status is lost but its end is a fact.
                log::error!("pid {}: cannot take its status: {error}", leader.pid);
                ExitStatus::Code(255)
            }
        };
        self.take_last_words(id);
        if let Some(child) = self.children.get_mut(&id) {
            if let Some(pid) = child.leader_ended(&mut self.watch) {
                self.leaders.remove(&pid);
            }
            child.close_input(&mut self.watch);
        }
        self.remove_pidfile(id);
        self.remains_due.insert(id);
        let exit = match status {
            ExitStatus::Code(code) => Exit::Code(code),
            ExitStatus::Signal { signal, core } => Exit::Signal { signal, core },
        };
        self.supervisor
            .handle_event(Event::Exited { id, exit }, self.clock.now());
        true
    }

    /// Reads dry what a leader wrote before it ended, so that its log is whole when its end is
    /// announced. Bounded, since a grandchild may go on writing.
    fn take_last_words(&mut self, id: ProcessId) {
        let wall_ns = unix_ns();
        let mut budget = LAST_WORDS_MAX;
        let numbers: Vec<u32> = match self.children.get(&id) {
            Some(child) => child
                .channels
                .iter()
                .map(|channel| channel.number)
                .collect(),
            None => return,
        };
        for number in numbers {
            loop {
                match self.read_output(id, number, wall_ns) {
                    ReadOutcome::More(n) | ReadOutcome::Rest(n) if n < budget => budget -= n,
                    ReadOutcome::Closed => {
                        self.close_output(id, number);
                        break;
                    }
                    _ => break,
                }
            }
            // Edge-triggered: whatever is left must be on the list.
            self.queue_output(id, number, false);
        }
        if let Some(child) = self.children.get_mut(&id) {
            child.feeds.iter_mut().for_each(|feed| feed.feed.hurry());
        }
    }
}
