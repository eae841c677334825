//! The end of a leader: its last output, then its status.

use crate::reactor::Reactor;
use crate::reactor::clock::unix_ns;
use crate::reactor::process::process_io::ReadOutcome;
use crate::supervisor::{Event, Exit, ProcessId};
use crate::sys;
use crate::sys::pidfd::ExitStatus;
use std::os::fd::AsFd;

/// How much of an ended leader's output is read before its exit is reported: the size of the
/// largest pipe.
const LAST_OUTPUT_MAX: usize = 1024 * 1024;

impl Reactor {
    /// Reaps a leader whose pidfd is readable, after reading its last output. Returns `false` if
    /// the leader has not ended.
    pub(crate) fn reap_leader(&mut self, id: ProcessId) -> bool {
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
                // It was reaped elsewhere. The status is lost, but the leader has ended.
                log::error!("pid {}: cannot read its exit status: {error}", leader.pid);
                ExitStatus::Code(255)
            }
        };
        self.drain_output(id);
        if let Some(child) = self.children.get_mut(&id) {
            if let Some(pid) = child.leader_ended(&mut self.poller) {
                self.leaders.remove(&pid);
            }
            child.close_input(&mut self.poller);
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

    /// Reads what a leader wrote before it ended, so that the log is complete when the exit is
    /// announced. Bounded, since a grandchild may continue to write.
    fn drain_output(&mut self, id: ProcessId) {
        let wall_ns = unix_ns();
        let mut budget = LAST_OUTPUT_MAX;
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
            // The poll is edge-triggered: an output that is not drained must be on the list.
            self.queue_output(id, number, false);
        }
        self.log_files.flush_now(id);
    }
}
