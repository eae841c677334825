//! Reading the output of all processes, under the turn's budget.

use crate::reactor::clock::{Clock, Timer, unix_ns};
use crate::reactor::console::Consoles;
use crate::reactor::output::log_feed::Gate;
use crate::reactor::output::log_files::LogFiles;
use crate::reactor::process::channel::{ReadOutcome, Reading};
use crate::reactor::process::process_io::{ANNOUNCE_MAX, UNREAD};
use crate::supervisor::ProcessId;
use std::time::Duration;

/// Output read in one turn, in bytes; then signals, exits and requests have their turn.
const BYTES_A_TURN: usize = 64 * 1024;

/// Time spent on output in one turn.
const TIME_A_TURN: Duration = Duration::from_micros(300);

/// Output of an exited leader that is read before its exit is reported, in bytes: the size of the
/// largest pipe.
const DRAIN_MAX: usize = 1024 * 1024;

/// Reads output into the rings, unless a log or a client has to catch up first.
pub(crate) struct OutputReader<'a> {
    /// The processes, and the clients that they may wait for.
    pub consoles: Consoles<'a>,
    /// The logs that they may wait for.
    pub log_files: &'a mut LogFiles,
}

impl OutputReader<'_> {
    /// Reads each channel that is ready once, round-robin, until the turn's budget is spent.
    /// Returns the processes whose last channel was closed.
    pub(crate) fn read_round(&mut self, clock: &Clock) -> Vec<ProcessId> {
        let mut ended = Vec::new();
        if !self.consoles.processes.has_output_ready() {
            return ended;
        }
        let wall_ns = unix_ns();
        let started = clock.spent();
        let mut budget = BYTES_A_TURN;
        while let Some((id, number)) = self.consoles.processes.next_output() {
            let outcome = self.read(id, number, wall_ns);
            if let ReadOutcome::More(n) | ReadOutcome::Rest(n) = outcome {
                budget = budget.saturating_sub(n);
            }
            if self.finish_read(id, number, outcome) {
                ended.push(id);
            }
            self.note_end_read(id);
            if budget == 0 || clock.spent().saturating_sub(started) > TIME_A_TURN {
                break;
            }
        }
        ended
    }

    /// Reads what an exited leader wrote, so that the log has all of it when the exit is
    /// announced. Bounded, since a straggler can keep writing. Returns whether the last channel
    /// was closed.
    pub(crate) fn drain(&mut self, id: ProcessId) -> bool {
        let wall_ns = unix_ns();
        let mut budget = DRAIN_MAX;
        let (mut ended, mut paused) = (false, false);
        let Some(io) = self.consoles.processes.io(id) else {
            return false;
        };
        let numbers: Vec<u32> = io.channels.iter().map(|channel| channel.number).collect();
        for number in numbers {
            loop {
                match self.read(id, number, wall_ns) {
                    ReadOutcome::More(n) | ReadOutcome::Rest(n) if n < budget => budget -= n,
                    ReadOutcome::Closed => {
                        ended = self.close(id, number);
                        break;
                    }
                    outcome => {
                        paused |= outcome == ReadOutcome::Paused;
                        break;
                    }
                }
            }
            // The poll is edge-triggered and does not report unread output again.
            self.consoles.processes.queue_output(id, number, false);
        }
        if paused && let Some(io) = self.consoles.processes.io_mut(id) {
            io.unread_until = Some(io.output.head() + DRAIN_MAX as u64);
        }
        self.log_files.flush_now(id);
        ended
    }

    /// One read of a channel.
    fn read(&mut self, id: ProcessId, number: u32, wall_ns: u64) -> ReadOutcome {
        let Some(max) = self.read_budget(id) else {
            return ReadOutcome::Paused;
        };
        let Some(io) = self.consoles.processes.io_mut(id) else {
            return ReadOutcome::Closed;
        };
        let outcome = io.read_channel(number, max, wall_ns);
        if io.terminal.as_mut().is_some_and(|one| one.take_freed()) {
            let now = self.consoles.now;
            self.consoles.timers.give_back_soon(now);
        }
        if let ReadOutcome::More(_) | ReadOutcome::Rest(_) = outcome {
            self.consoles.answer_queries(id);
            self.consoles.processes.mark_dirty(id);
        }
        outcome
    }

    /// The number of bytes that may be read now; none while a log or a client catches up.
    fn read_budget(&mut self, id: ProcessId) -> Option<usize> {
        let room = self.consoles.room_for_clients(id);
        if room == 0 {
            return None;
        }
        let output = &self.consoles.processes.io(id)?.output;
        match self.log_files.gate(id, output, self.consoles.now) {
            Gate::Read(max) => Some(max.min(room)),
            Gate::Pause(until) => {
                if let Some(until) = until
                    && self.log_files.arm(id, until)
                {
                    self.consoles.timers.add(until, Timer::LogRetry(id));
                }
                None
            }
        }
    }

    /// Puts a channel back on the list, or leaves it off. Returns whether it was the last one and
    /// is closed.
    fn finish_read(&mut self, id: ProcessId, number: u32, outcome: ReadOutcome) -> bool {
        let processes = &mut self.consoles.processes;
        let reading = match outcome {
            ReadOutcome::More(_) => {
                processes.requeue_output(id, number);
                return false;
            }
            ReadOutcome::Paused => Reading::Paused,
            ReadOutcome::Rest(_) | ReadOutcome::Drained | ReadOutcome::Closed => Reading::Idle,
        };
        processes.output_read(id, number, reading);
        outcome == ReadOutcome::Closed && !self.is_kept_open(id, number) && self.close(id, number)
    }

    /// An exit whose output is now read is announced as soon as the log has it.
    fn note_end_read(&mut self, id: ProcessId) {
        let consoles = &mut self.consoles;
        let Some(io) = consoles.processes.io_mut(id) else {
            return;
        };
        if !io.take_end_read() {
            return;
        }
        let deadline = consoles.now + ANNOUNCE_MAX;
        for announcement in &mut io.announcements {
            if announcement.offset == UNREAD {
                announcement.offset = io.output.head();
                announcement.deadline = deadline;
            }
        }
        let timer = Timer::AnnounceDeadline(id);
        consoles.timers.add(deadline, timer);
        consoles.processes.mark_dirty(id);
    }

    /// Whether a channel has to stay open. Closing a terminal sends SIGHUP to the leader, which
    /// may have closed its side only temporarily, or as daemons do.
    fn is_kept_open(&mut self, id: ProcessId, number: u32) -> bool {
        let io = self.consoles.processes.io_mut(id);
        io.is_some_and(|io| {
            let alive = io.live_leader().is_some();
            alive && io.channel(number).is_some_and(|channel| channel.tty)
        })
    }

    /// Closes a channel. Returns whether it was the last one.
    fn close(&mut self, id: ProcessId, number: u32) -> bool {
        let Some(io) = self.consoles.processes.io_mut(id) else {
            return false;
        };
        io.close_channel(number, self.consoles.poller);
        let last = io.channels.is_empty();
        self.consoles.resume_senders(id);
        last
    }
}
