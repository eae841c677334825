//! Joins the log files with the processes they belong to: output in, events and timers out.

use crate::reactor::Reactor;
use crate::reactor::clock::{Timer, unix_ns};
use crate::reactor::control::event_history;
use crate::reactor::output::log_feed::Gate;
use crate::reactor::output::log_files::{DiskNews, LogEvent};
use crate::supervisor::{ProcessId, Time};

impl Reactor {
    /// Sends the disk thread what it can take of a process's output.
    pub(crate) fn pump_logs(&mut self, id: ProcessId) {
        let now = self.clock.now();
        let Some(child) = self.children.get(&id) else {
            return;
        };
        let (events, deadline) = self.log_files.pump(id, &child.output, now, unix_ns());
        if !events.is_empty() {
            let name = child.name.clone();
            self.report_log_events(&name, events);
        }
        if let Some(deadline) = deadline {
            self.arm_log(id, deadline);
        }
    }

    fn report_log_events(&mut self, name: &str, events: Vec<LogEvent>) {
        for LogEvent { kind, detail } in events {
            log::warn!("{name}: {detail}");
            self.publish(event_history::plain(kind, Some(name), detail, unix_ns()));
        }
    }

    /// Returns how many bytes of a process may be read now; `None` while its log catches up.
    pub(crate) fn read_budget(&mut self, id: ProcessId) -> Option<usize> {
        if self.lossless_waits(id) {
            return None;
        }
        let output = &self.children.get(&id)?.output;
        match self.log_files.gate(id, output, self.clock.now()) {
            Gate::Read(max) => Some(max),
            Gate::Pause(until) => {
                if let Some(until) = until {
                    self.arm_log(id, until);
                }
                None
            }
        }
    }

    /// Arms the log timer of a process, keeping the earliest deadline.
    fn arm_log(&mut self, id: ProcessId, at: Time) {
        if self.log_files.arm(id, at) {
            self.timers.add(at, Timer::LogRetry(id));
        }
    }

    /// A log timer has expired; it counts unless it was replaced by an earlier one.
    pub(crate) fn log_timer(&mut self, id: ProcessId) {
        if self.log_files.take_expired(id, self.clock.now()) {
            self.log_due(id);
        }
    }

    /// Continues with a log that may retry, has stalled for long enough, or has been answered.
    fn log_due(&mut self, id: ProcessId) {
        self.pump_logs(id);
        self.resume_outputs(id);
        self.announce(id);
    }

    /// Acts on the reports of the disk thread.
    pub(crate) fn collect_disk(&mut self) {
        for news in self.log_files.collect(self.clock.now()) {
            match news {
                DiskNews::Appended(id) => {
                    self.log_due(id);
                    self.finish_release(id);
                }
                DiskNews::LogsOpen(id) => self.logs_are_open(id),
                DiskNews::OpenFailed(id, failure) => self.spawn_failed(id, failure),
                DiskNews::OperationDone(id, error) => self.file_done(id, error),
                DiskNews::Problem(error) => log::warn!("{}", error.text),
            }
        }
    }

    /// Whether all output before `offset` is in the logs, or cannot be written.
    pub(crate) fn log_reached(&self, id: ProcessId, offset: u64) -> bool {
        self.children.get(&id).is_none_or(|child| {
            child.files_pending == 0 && self.log_files.has_reached(id, &child.output, offset)
        })
    }

    /// No more output comes: sends the last line to the log as it is.
    pub(crate) fn finish_logs(&mut self, id: ProcessId) {
        self.log_files.finish(id);
        self.pump_logs(id);
    }

    /// Applies the log settings that a reload may change.
    pub(crate) fn configure_logs(&mut self, id: ProcessId) {
        if let Some(process) = self.supervisor.process(id) {
            self.log_files.configure(id, &process.launch);
        }
    }

    /// Frees a process that was removed from the config, once its logs are written and its
    /// consoles are closed.
    pub(crate) fn finish_release(&mut self, id: ProcessId) {
        let Some(child) = self.children.get(&id) else {
            return;
        };
        let watched = !child.clients.is_empty();
        if !child.released || watched || !self.log_reached(id, child.output.head()) {
            return;
        }
        self.log_files.close(id);
        if let Some(mut child) = self.children.remove(&id) {
            child.close(&mut self.poller);
        }
    }
}
