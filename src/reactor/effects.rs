//! The supervisor's decisions, carried out: starts, signals, announcements, releases.

use crate::reactor::Reactor;
use crate::reactor::clock::{Timer, unix_ns};
use crate::reactor::control::connection::ConnectionId;
use crate::reactor::control::event_history::{self, process_event};
use crate::reactor::control::log_stream;
use crate::reactor::control::pending::PendingAnswer;
use crate::reactor::control::permissions::Account;
use crate::reactor::daemon::open_files;
use crate::reactor::output::log_files::{LogEvent, OpenState};
use crate::reactor::process::failure::failure;
use crate::reactor::process::lineage::note_layout;
use crate::reactor::process::pidfile::write_pidfile;
use crate::reactor::process::process_io::{ANNOUNCE_MAX, Announcement, Leader, UNREAD};
use crate::reactor::process::process_table::KernelTable;
use crate::reactor::process::start;
use crate::reactor::process::starts::{StartAnswer, cancelled};
use crate::reactor::process::stragglers::{name_live_victims, signal_failed};
use crate::supervisor::{
    Effect, Event, Process, ProcessId, SignalScope, SpawnFailure, State, Transition,
};
use crate::wire::{EventInfo, Id, ResultJson, RpcError};
use std::time::Duration;

/// How long a start waits for the disk thread to open its log files.
const LOG_OPEN_MAX: Duration = Duration::from_secs(1);

/// When a new leader's layout is read again: `sh -c 'exec server'` execs a second time.
const LAYOUT_READS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(100)];

/// Time for the followers of a removed process to receive its last output.
const FOLLOWERS_MAX: Duration = Duration::from_secs(5);

/// Time until that is checked again.
const FOLLOWERS_CHECK: Duration = Duration::from_millis(20);

impl Reactor {
    /// Carries out all decisions in order, and starts within the turn's budget.
    pub(crate) fn apply(&mut self) {
        loop {
            self.apply_effects();
            let began = self.clock.tick();
            let Some(id) = self.spawner.next_due(began) else {
                return;
            };
            self.start(id);
            self.spawner.charge(self.clock.tick().since(began));
        }
    }

    fn apply_effects(&mut self) {
        while let Some(effect) = self.supervisor.poll_effect() {
            match effect {
                Effect::Spawn(id) => self.spawner.queue(id),
                Effect::CancelSpawn(id) => self.cancel_start(id),
                Effect::Signal { id, signal, scope } => match self.hangup_delay(id, signal) {
                    Some((after, leader)) => {
                        let at = self.clock.now() + after;
                        self.timers.add(at, Timer::HangUp(id, leader));
                    }
                    None => self.ask(id, signal, scope),
                },
                Effect::Kill { id, scope } => self.kill(id, scope),
                Effect::Started(id) => self.start_succeeded(id),
                Effect::Notify(transition) => {
                    self.switch_input(&transition);
                    self.queue_announcement(transition);
                }
                Effect::Reconfigured(id) => {
                    if let Some(process) = self.supervisor.process(id) {
                        self.log_files.configure(id, &process.launch);
                    }
                }
                Effect::Release { id, name } => self.release(id, &name),
                Effect::Finished => self.finished = true,
            }
        }
    }

    /// Starts the leader of a process. The supervisor gets exactly one event: at once, or from
    /// [`resume_start`](Self::resume_start) when the log files are open.
    fn start(&mut self, id: ProcessId) {
        let Some(process) = self.supervisor.process(id).cloned() else {
            return;
        };
        let now = self.clock.now();
        self.add_process(&process);
        start::prepare_run(&process, &mut self.processes, &mut self.log_files);
        self.consoles().end_other_kind(id);
        let Some(io) = self.processes.io_mut(id) else {
            return;
        };
        let opening = self.spawner.opening.len() as u64;
        if let Err(error) = open_files::room_for(&process.launch, opening) {
            return self.spawn_failed(id, failure("start".to_string(), &error));
        }
        match self.log_files.open(id, &process.launch, &io.output) {
            Err(failure) => self.spawn_failed(id, failure),
            Ok(OpenState::Opening) if !self.log_files.is_stuck(id, now) => {
                let until = now + LOG_OPEN_MAX;
                io.leader = Leader::OpeningLogs { until };
                self.spawner.opening.insert(id);
                self.timers.add(until, Timer::LogOpenDeadline(id));
            }
            Ok(OpenState::Open | OpenState::Opening) => self.begin_start(&process),
        }
    }

    /// Continues a start that waited for its log files.
    pub(crate) fn resume_start(&mut self, id: ProcessId) {
        let io = self.processes.io(id);
        if io.is_some_and(|io| matches!(io.leader, Leader::OpeningLogs { .. }))
            && let Some(process) = self.supervisor.process(id).cloned()
        {
            self.begin_start(&process);
        }
    }

    /// Starts a child. The supervisor gets its event from [`start_answered`](Self::start_answered),
    /// once the child has exec'd or failed.
    fn begin_start(&mut self, process: &Process) {
        self.log_files.stop_waiting(process.id);
        self.spawner.opening.remove(&process.id);
        let now = self.clock.now();
        let begun = start::begin(
            process,
            &mut self.spawner,
            &mut self.processes,
            now,
            &mut self.poller,
        );
        if let Err(failure) = begun {
            self.spawn_failed(process.id, failure);
        }
    }

    /// A start is no longer wanted: ends it at once.
    fn cancel_start(&mut self, id: ProcessId) {
        if let Some(answer) = self.spawner.starts.cancel(id, &mut self.poller) {
            return self.start_answered(id, answer);
        }
        let opening = self.processes.io(id);
        let opening = opening.is_some_and(|io| matches!(io.leader, Leader::OpeningLogs { .. }));
        if self.spawner.unqueue(id) || opening {
            self.log_files.stop_waiting(id);
            self.spawn_failed(id, failure("start".to_string(), &cancelled()));
        }
    }

    /// A start has ended: its child has exec'd, or a step failed.
    pub(crate) fn start_answered(&mut self, id: ProcessId, answer: StartAnswer) {
        let (leader, ends) = match answer {
            Ok(executed) => executed,
            Err(failure) => return self.spawn_failed(id, failure),
        };
        let pid = leader.pid;
        start::complete(id, leader, ends, &mut self.processes, &mut self.poller);
        self.consoles().resume_senders(id);
        if let Some(process) = self.supervisor.process(id)
            && let Some(io) = self.processes.io_mut(id)
        {
            write_pidfile(io, process, pid, &mut self.log_files);
        }
        // The program runs from now on, not from the start of the turn: other starts took time.
        let now = self.clock.tick();
        self.read_layouts(id);
        self.supervisor
            .handle_event(Event::Spawned { id, pid }, now);
    }

    /// Reads the layout of a new leader, and plans to read it again. No layout is needed where each
    /// process has a cgroup.
    fn read_layouts(&mut self, id: ProcessId) {
        if self.spawner.cgroups.is_complete() {
            return;
        }
        let now = self.clock.now();
        if self.read_layout(id) {
            self.survey.add_without_layout(id, now);
        }
        for after in LAYOUT_READS {
            self.timers.add(now + after, Timer::Layout(id));
        }
    }

    /// Reads the layout of a leader. Returns whether it has none yet.
    pub(crate) fn read_layout(&mut self, id: ProcessId) -> bool {
        let io = self.processes.io_mut(id);
        io.is_some_and(|io| note_layout(&KernelTable, io))
    }

    /// Reports a failed start.
    pub(crate) fn spawn_failed(&mut self, id: ProcessId, failure: SpawnFailure) {
        self.spawner.opening.remove(&id);
        if let Some(io) = self.processes.io_mut(id) {
            io.stop_starting();
        }
        if let Some(process) = self.supervisor.process(id) {
            let level = match failure.is_cancelled() {
                true => log::Level::Info,
                false => log::Level::Warn,
            };
            log::log!(level, "{}: {failure}", process.name);
        }
        let event = Event::SpawnFailed { id, failure };
        self.supervisor.handle_event(event, self.clock.now());
    }

    /// Adds the I/O of a process, also of one that was never started.
    pub(crate) fn add_process(&mut self, process: &Process) {
        if self.processes.add(process) {
            let groups = &self.settings.config().groups;
            log_stream::follow_new_process(&mut self.clients, &mut self.processes, process, groups);
        }
    }

    /// Sends a signal that the supervisor decided, and reports a failure to it. Returns whether it
    /// was sent.
    fn signal_by_decision(&mut self, id: ProcessId, signal: i32, scope: SignalScope) -> bool {
        match self.signal_leader(id, signal, scope) {
            Ok(()) => true,
            Err(error) => {
                let event = signal_failed(id, signal, &error);
                self.supervisor.handle_event(event, self.clock.now());
                false
            }
        }
    }

    /// Asks a process to end.
    pub(crate) fn ask(&mut self, id: ProcessId, signal: i32, scope: SignalScope) {
        if self.signal_by_decision(id, signal, scope) {
            // A stopped process would not handle the signal before SIGKILL.
            self.signal_by_decision(id, libc::SIGCONT, scope);
        }
        if scope == SignalScope::Group {
            self.publish_clearing(id, signal);
            self.processes.ask_all(id, signal);
            self.survey.add(id);
        }
    }

    fn kill(&mut self, id: ProcessId, scope: SignalScope) {
        if scope == SignalScope::Group {
            self.publish_clearing(id, libc::SIGKILL);
        }
        let io = self.processes.io_mut(id);
        let victims = io.filter(|_| scope == SignalScope::Group);
        let victims = victims.map(name_live_victims).unwrap_or_default();
        self.signal_by_decision(id, libc::SIGKILL, scope);
        if !victims.is_empty() {
            let event = Event::Killed { id, victims };
            self.supervisor.handle_event(event, self.clock.now());
        }
        if scope == SignalScope::Group
            && let Some(io) = self.processes.io_mut(id)
        {
            io.killing = true;
            self.survey.add(id);
        }
    }

    fn switch_input(&mut self, transition: &Transition) {
        let id = transition.id;
        if transition.to == State::Starting
            && let Some(process) = self.supervisor.process(id).cloned()
        {
            self.add_process(&process);
        }
        if let Some(process) = self.supervisor.process(id)
            && let Some(io) = self.processes.io_mut(id)
        {
            io.switch_input(transition.to, &process.launch, &mut self.poller);
            self.consoles().resume_senders(id);
        }
    }

    /// Announces a change of state as soon as the log holds the output before it.
    fn queue_announcement(&mut self, transition: Transition) {
        let now = self.clock.now();
        let id = transition.id;
        let Some(io) = self.processes.io_mut(id) else {
            return self.announce(&transition, None);
        };
        let offset = match transition.exit {
            Some(_) if io.unread_until.is_some() => UNREAD,
            Some(_) => io.output.head(),
            None => 0,
        };
        let deadline = now + ANNOUNCE_MAX;
        io.announcements.push_back(Announcement {
            transition,
            offset,
            deadline,
        });
        let read = offset != UNREAD;
        if read && (self.log_has_reached(id, offset) || self.log_files.is_stuck(id, now)) {
            self.flush_announcements(id);
        } else {
            self.processes.mark_dirty(id);
            self.timers.add(deadline, Timer::AnnounceDeadline(id));
        }
    }

    /// Announces the changes of state that no longer wait for the log.
    pub(crate) fn flush_announcements(&mut self, id: ProcessId) {
        let now = self.clock.now();
        let stuck = self.log_files.is_stuck(id, now);
        while let Some(io) = self.processes.io(id)
            && let Some(first) = io.announcements.front()
            && match first.offset {
                UNREAD => first.deadline <= now && !self.consoles().has_lossless_client(id),
                offset => first.deadline <= now || stuck || self.log_has_reached(id, offset),
            }
        {
            let io = self.processes.io_mut(id);
            let Some(first) = io.and_then(|io| io.announcements.pop_front()) else {
                return;
            };
            self.announce(&first.transition, first.output_end());
        }
        let io = self.processes.io_mut(id);
        if let Some(io) = io.filter(|io| io.released.is_some() && io.announcements.is_empty())
            && !std::mem::replace(&mut io.removal_published, true)
        {
            let name = io.name.clone();
            self.publish_removal(id, &name);
        }
    }

    /// Reports that a process was removed, after its last change of state.
    fn publish_removal(&mut self, id: ProcessId, name: &str) {
        for answer in self.pending.on_removed(id, name) {
            self.answer(answer);
        }
        self.publish(process_event("process_removed", name, String::new()));
    }

    /// Reports a change of state to the log, event followers, consoles and pending requests.
    fn announce(&mut self, transition: &Transition, output_end: Option<u64>) {
        event_history::log_transition(transition);
        let mut event = self.reports().event_of(transition);
        event.output_end = output_end;
        self.publish(event);
        self.consoles().on_transition(transition);
        let id = transition.id;
        let process = self.supervisor.process(id);
        let last_exit = process.and_then(|process| process.last_exit);
        // A reload removes it: that is the outcome, and follows.
        let removed = process.is_none_or(|process| process.removed);
        if removed && transition.to == State::Stopped {
            return;
        }
        for answer in self.pending.on_transition(transition, last_exit) {
            self.answer(answer);
        }
    }

    /// Reports that a process, which is RUNNING, counts as started.
    fn start_succeeded(&mut self, id: ProcessId) {
        self.flush_announcements(id);
        let Some(process) = self.supervisor.process(id).cloned() else {
            return;
        };
        let trouble = self.reports().trouble_text(id);
        self.publish(EventInfo {
            pid: process.pid(),
            started: Some(true),
            ..process_event("process_started", &process.name, trouble)
        });
        for answer in self.pending.on_started(&process) {
            self.answer(answer);
        }
    }

    /// Answers a request that was pending: the owner's at once, another user's at its turn.
    pub(crate) fn answer(&mut self, answer: PendingAnswer) {
        let client = answer.client;
        let Some(connection) = self.clients.connection_mut(client) else {
            return;
        };
        if connection.account == Account::Owner {
            return self.send_answer(&answer);
        }
        connection.answers_due = true;
        self.clients.queue_read(client.slot);
        self.pending.put_off(answer);
        let bytes = self.pending.bytes(client);
        self.clients.set_pending_bytes(client, bytes);
    }

    /// Sends the answer to a request that was pending.
    pub(crate) fn send_answer(&mut self, answer: &PendingAnswer) {
        let client = answer.client;
        let bytes = self.pending.bytes(client);
        self.clients.set_pending_bytes(client, bytes);
        let mut reply = answer.reply();
        for outcome in &mut reply.processes {
            self.reports().add_troubles(outcome);
        }
        let result = ResultJson::of(&reply);
        self.reply(client, answer.id.clone(), result);
    }

    /// Answers a request.
    pub(crate) fn reply(
        &mut self,
        client: ConnectionId,
        id: Option<Id>,
        outcome: Result<ResultJson, RpcError>,
    ) {
        let pending = self.pending.has(client);
        self.clients.reply(client, id.as_ref(), outcome, pending);
    }

    /// Sends the disk thread the output that it can take, and publishes the events of the logs.
    pub(crate) fn pump_logs(&mut self, id: ProcessId) {
        let now = self.clock.now();
        let Some(io) = self.processes.io(id) else {
            return;
        };
        let (events, deadline) = self.log_files.pump(id, &io.output, now, unix_ns());
        if let Some(deadline) = deadline
            && self.log_files.arm(id, deadline)
        {
            self.timers.add(deadline, Timer::LogRetry(id));
        }
        let name = match events.is_empty() {
            true => return,
            false => io.name.clone(),
        };
        for LogEvent { kind, detail } in events {
            log::warn!("{name}: {detail}");
            self.publish(process_event(kind, &name, detail));
        }
    }

    /// Sends the last line of a process to its log: no more output comes.
    pub(crate) fn finish_logs(&mut self, id: ProcessId) {
        self.log_files.finish(id);
        self.pump_logs(id);
    }

    /// Whether all output before `offset` is in the logs, or cannot be written, and the pidfile is
    /// up to date.
    pub(crate) fn log_has_reached(&self, id: ProcessId, offset: u64) -> bool {
        self.processes.io(id).is_none_or(|io| {
            io.operations_pending == 0 && self.log_files.has_reached(id, &io.output, offset)
        })
    }

    /// A process was removed from the config and is down.
    fn release(&mut self, id: ProcessId, name: &str) {
        log::info!("{name}: removed");
        let now = self.clock.now();
        let known = self.processes.io_mut(id).map(|io| {
            let waiting = io.announcements.iter_mut();
            waiting.for_each(|announcement| announcement.offset = 0);
            io.released = Some(now);
        });
        self.flush_announcements(id);
        self.consoles().on_removed(id);
        log_stream::report_removal(&mut self.clients, &self.processes, id);
        self.finish_logs(id);
        self.release_if_written(id);
        if known.is_none() {
            self.publish_removal(id, name);
        }
    }

    /// Frees a removed process once its logs are written, its consoles are closed, and its
    /// followers have its output or have had time for it.
    pub(crate) fn release_if_written(&mut self, id: ProcessId) {
        let Some(io) = self.processes.io(id) else {
            return;
        };
        let attached = !io.clients.is_empty();
        if !io.removal_published || attached || !self.log_has_reached(id, io.output.head()) {
            return;
        }
        let now = self.clock.now();
        let waited = io.released.map_or(Duration::ZERO, |since| now.since(since));
        if waited < FOLLOWERS_MAX && log_stream::lags(&mut self.clients, io) {
            return self.timers.add(now + FOLLOWERS_CHECK, Timer::Release(id));
        }
        self.spawner.cgroups.remove(id, &io.name);
        self.log_files.close(id);
        self.processes.remove(id, &mut self.poller);
    }
}
