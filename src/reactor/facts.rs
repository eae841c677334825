//! Facts, and what follows from them at once: exits, stragglers, answers of the disk thread, new
//! output, clients that are gone. Decisions are left to the supervisor.

use crate::reactor::Reactor;
use crate::reactor::clock::Timer;
use crate::reactor::control::client_table::Closed;
use crate::reactor::control::connection::{ConnectionId, Mode};
use crate::reactor::control::log_stream;
use crate::reactor::output::log_files::DiskNews;
use crate::reactor::process::leader_exit::take_exit;
use crate::reactor::process::lineage::{Owners, note_layout};
use crate::reactor::process::pidfile;
use crate::reactor::process::process_io::{Leader, ProcessIo};
use crate::reactor::process::process_table::KernelTable;
use crate::reactor::process::stragglers::{KILL_AGAIN, kill_all, record_stragglers};
use crate::reactor::process::survey::{REPEAT_AFTER, SurveyResult};
use crate::supervisor::{Event, KillMode, ProcessId, SignalScope, State};
use crate::sys;
use libc::SIGHUP;
use std::collections::BTreeSet;
use std::time::Duration;

/// Memory of a client in bytes that is given back to the system afterwards.
const LARGE: usize = 128 * 1024;

/// Time for the survey, twice in a turn.
const SURVEY_TIME: Duration = Duration::from_micros(500);

/// Time in a turn for asking what is left of processes to end.
const ASKING_TIME: Duration = Duration::from_micros(500);

/// When stragglers are looked for again after the first was found. A server that has just gone to
/// the background starts its workers.
const SETTLED: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

impl Reactor {
    /// The pidfd of a leader is readable: reads its last output, then reports its exit. Returns
    /// `false` if it has not exited.
    pub(crate) fn reap_leader(&mut self, id: ProcessId) -> bool {
        let Some(exit) = self.processes.io(id).and_then(take_exit) else {
            return false;
        };
        let (mut reader, _) = self.reader();
        if reader.drain(id) {
            self.finish_logs(id);
        }
        let leader = self.processes.io(id).and_then(|io| io.live_leader());
        let pid = leader.map(|leader| leader.pid);
        self.processes.leader_exited(id, &mut self.poller);
        if let Some(pid) = pid
            && let Some(process) = self.supervisor.process(id)
            && let Some(io) = self.processes.io_mut(id)
        {
            pidfile::remove_pidfile(io, process, pid, &mut self.log_files);
        }
        self.survey.add(id);
        let event = Event::Exited { id, exit };
        self.supervisor.handle_event(event, self.clock.now());
        true
    }

    /// There is news of a start.
    pub(crate) fn start_progress(&mut self, id: ProcessId) {
        if let Some(answer) = self.spawner.starts.progress(id, &mut self.poller) {
            self.start_answered(id, answer);
        }
    }

    /// The pidfd of a leader, or of a child that is to become one, is readable.
    pub(crate) fn child_exited(&mut self, id: ProcessId) {
        self.end_start(id);
        self.reap_leader(id);
    }

    /// Ends the start of a process whose child is dead, if there is one.
    fn end_start(&mut self, id: ProcessId) {
        if let Some(answer) = self.spawner.starts.child_ended(id, &mut self.poller) {
            self.start_answered(id, answer);
        }
    }

    /// Ends starts that have taken too long.
    pub(crate) fn end_overdue_starts(&mut self) {
        let now = self.clock.now();
        while let Some((id, answer)) = self.spawner.starts.overdue(now, &mut self.poller) {
            self.start_answered(id, answer);
        }
    }

    /// Reaps a dead child that is no leader. Returns whether it was reaped.
    pub(crate) fn reap_child(&mut self, pid: i32) -> bool {
        if let Some(id) = self.spawner.starts.by_pid(pid) {
            self.end_start(id);
            if self.processes.by_leader(pid).is_some() {
                return self.reap_leader(id);
            }
        }
        let reaped = matches!(sys::pidfd::reap(pid), Ok(Some(_)));
        if reaped {
            self.spawner.starts.reaped(pid);
            self.processes.forget_unborn(pid);
        }
        reaped
    }

    /// Reads the layouts of leaders that had none when they were last looked at.
    fn read_missing_layouts(&mut self) {
        let processes = &mut self.processes;
        self.survey.retry_layouts(self.clock.now(), |id| {
            let io = processes.io_mut(id);
            io.is_some_and(|io| note_layout(&KernelTable, io))
        });
    }

    /// Reports the stragglers of each process for which that is due.
    pub(crate) fn scan_stragglers(&mut self) {
        self.read_missing_layouts();
        if !self.survey.is_due() {
            return;
        }
        let now = self.clock.now();
        let Some((due, found)) = self.advance_survey() else {
            return;
        };
        for id in due {
            self.read_layout(id);
            let stats = found.stragglers_of(id);
            if !self.survey.counts(id, &found, now) {
                // The supervisor relies on an empty result.
                self.timers.add(now + REPEAT_AFTER, Timer::Survey(id));
                continue;
            }
            let Some(io) = self.processes.io_mut(id) else {
                continue;
            };
            if io.killing && !stats.is_empty() {
                self.timers.add(now + KILL_AGAIN, Timer::Survey(id));
            }
            if io.stragglers.is_empty() && !stats.is_empty() {
                for after in SETTLED {
                    self.timers.add(now + after, Timer::Survey(id));
                }
            }
            for event in record_stragglers(io, stats, &mut self.poller) {
                self.supervisor.handle_event(event, now);
            }
            self.processes.ask_part(id);
        }
    }

    /// Continues to ask processes to end for a part of the turn.
    pub(crate) fn continue_asking(&mut self) {
        let until = self.clock.spent() + ASKING_TIME;
        let clock = &self.clock;
        self.processes.continue_asking(|| clock.spent() < until);
    }

    /// Continues the survey for a part of the turn.
    fn advance_survey(&mut self) -> Option<(BTreeSet<ProcessId>, SurveyResult)> {
        let socket = self.instance.path().to_string_lossy();
        let owners = Owners {
            processes: &self.processes,
            find: &|name| self.supervisor.find(name),
            leaf: &|pid| self.spawner.cgroups.owner(pid),
            socket: &socket,
        };
        let until = self.clock.spent() + SURVEY_TIME;
        let more = || self.clock.spent() < until;
        let now = self.clock.now();
        self.survey.advance(&KernelTable, &owners, now, &more)
    }

    /// Kills every straggler before the daemon exits, except those that the config spares.
    pub(crate) fn kill_all_stragglers(&mut self) {
        let socket = self.instance.path().to_string_lossy();
        let owners = Owners {
            processes: &self.processes,
            find: &|name| self.supervisor.find(name),
            leaf: &|pid| self.spawner.cgroups.owner(pid),
            socket: &socket,
        };
        let now = self.clock.now();
        kill_all(&mut self.survey, &owners, &self.supervisor, now);
    }

    /// Acts on the reports of the disk thread.
    pub(crate) fn collect_disk_news(&mut self) {
        for news in self.log_files.collect(self.clock.now()) {
            match news {
                DiskNews::Appended(id) => {
                    self.continue_log(id);
                    self.release_if_written(id);
                }
                DiskNews::LogsOpen(id) => self.resume_start(id),
                DiskNews::OpenFailed(id, failure) => self.spawn_failed(id, failure),
                DiskNews::OperationDone(id, error) => {
                    if let Some(io) = self.processes.io_mut(id) {
                        pidfile::operation_done(io, error);
                    }
                    self.flush_announcements(id);
                    self.release_if_written(id);
                }
                DiskNews::Problem(error) => log::warn!("{}", error.text),
            }
        }
    }

    /// A log timer has expired; it counts unless an earlier one has replaced it.
    pub(crate) fn log_timer(&mut self, id: ProcessId) {
        if self.log_files.take_expired(id, self.clock.now()) {
            self.continue_log(id);
        }
    }

    /// Continues with a log that may retry, has stalled for long enough, or has been answered.
    fn continue_log(&mut self, id: ProcessId) {
        self.pump_logs(id);
        self.processes.resume_reading(id);
        self.flush_announcements(id);
    }

    /// A start has waited for its log files for long enough: it continues without them.
    pub(crate) fn log_open_deadline(&mut self, id: ProcessId) {
        let now = self.clock.now();
        if let Some(io) = self.processes.io(id)
            && let Leader::OpeningLogs { until } = io.leader
            && until <= now
        {
            self.resume_start(id);
        }
    }

    /// A process with a terminal was asked to end half of its `stoptime` ago: hangs up.
    pub(crate) fn hang_up(&mut self, id: ProcessId, leader: i32) {
        let io = self.processes.io(id);
        let another = io
            .and_then(ProcessIo::live_leader)
            .is_some_and(|live| live.pid != leader);
        let process = self.supervisor.process(id);
        let stops = process.is_some_and(|process| process.state == State::Stopping);
        let policy = self.supervisor.policy(id);
        if let Some(policy) = policy.filter(|policy| stops && !another && policy.hangup) {
            let scope = match policy.killmode {
                KillMode::Group => SignalScope::Group,
                KillMode::Mixed | KillMode::Process => SignalScope::Leader,
            };
            self.ask(id, SIGHUP, scope);
        }
    }

    /// Passes new output to the logs, the attached clients and the followers.
    pub(crate) fn fan_out_output(&mut self) {
        for id in self.processes.take_dirty() {
            if let Some(io) = self.processes.io(id) {
                for client in &io.clients {
                    self.clients.queue_flush(*client);
                }
            }
            self.consoles().draw_pictures(id);
            log_stream::wake_followers(&mut self.clients, &self.processes, id);
            self.pump_logs(id);
            self.flush_announcements(id);
        }
    }

    /// Closes a connection.
    pub(crate) fn close_client(&mut self, id: ConnectionId) {
        if let Some(closed) = self.clients.close(id.slot, &mut self.poller) {
            self.client_closed(closed);
        }
    }

    /// A connection was closed: everything that refers to it is updated.
    pub(crate) fn client_closed(&mut self, closed: Closed) {
        let Closed { id, mode, memory } = closed;
        if memory > LARGE {
            self.timers.give_back_soon(self.clock.now());
        }
        self.pending.forget(id);
        self.settings.forget(id);
        match mode {
            Mode::Lines | Mode::Events => {}
            Mode::Attached(attachment) => {
                self.consoles().client_gone(id, &attachment);
                self.flush_announcements(attachment.process);
                self.release_if_written(attachment.process);
            }
            Mode::Following(following) => {
                log_stream::forget_follower(&mut self.processes, id, &following);
            }
        }
    }

    /// A pending request timed out.
    pub(crate) fn request_timed_out(&mut self, number: u64) {
        let answer = self
            .pending
            .on_timeout(number, |id| self.supervisor.process(id));
        if let Some(answer) = answer {
            self.answer(answer);
        }
    }
}
