//! The reactor: one thread, one epoll, every system call of the daemon.
//!
//! A turn has phases: poll, dispatch (signals, exits, new clients first, then requests), timeouts,
//! apply (the supervisor's decisions), output under a budget, flush. Unfinished work stays on a
//! list and makes the next poll use a zero timeout, since mio is edge-triggered.
//!
//! The reactor's data lies in parts. A part has its own rules; it returns facts and never calls
//! back. Only these files join parts, and each calls only those after it:
//!
//! ```text
//! mod (the turn), daemon/shutdown
//!   daemon/signals, control/serve        input from outside
//!     control/requests                   the calls of the protocol
//!       facts                            facts, which go up to the supervisor
//!         effects                        decisions, which come down from it
//!           views                      of several parts: Consoles, OutputReader, Reports
//!             parts
//! ```

mod clock;
mod console;
mod control;
mod daemon;
mod disk;
mod effects;
mod facts;
mod output;
mod poller;
mod process;
mod views;

pub use daemon::options::DaemonOptions;
pub use daemon::startup::daemon_main;

use crate::supervisor::Supervisor;
use crate::sys::signalfd::SignalFd;
use clock::{Clock, Timer, Timers};
use control::client_table::Clients;
use control::event_history::History;
use control::listener::Door;
use control::pending::PendingRequests;
use daemon::instance::Instance;
use daemon::settings::Settings;
use mio::Events;
use output::log_files::LogFiles;
use poller::{EventSource, Poller, WAKE};
use process::processes::Processes;
use process::spawner::Spawner;
use process::survey::Survey;
use std::io;
use std::time::Duration;

/// Time spent on requests whose deadline is over in one turn.
const TIMEOUTS_TIME: Duration = Duration::from_millis(1);

/// The daemon.
pub struct Reactor {
    poller: Poller,
    clock: Clock,
    timers: Timers,
    supervisor: Supervisor,
    settings: Settings,
    instance: Instance,
    signals: SignalFd,
    log_files: LogFiles,
    processes: Processes,
    survey: Survey,
    spawner: Spawner,
    clients: Clients,
    pending: PendingRequests,
    history: History,
    /// Unix time of the start, in nanoseconds.
    started_ns: u64,
    /// A shutdown is complete.
    finished: bool,
}

impl Reactor {
    /// Turns until a shutdown is complete.
    ///
    /// # Errors
    /// When epoll fails.
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.finished {
            let timeout = self.timeout();
            self.poller.wait(&mut events, timeout)?;
            self.clock.tick();
            self.turn(&events);
        }
        Ok(())
    }

    fn turn(&mut self, events: &Events) {
        self.spawner.begin_turn();
        self.log_files.note_idle(self.clock.now());
        self.dispatch(events);
        self.expire();
        self.finish_load();
        // Starts wait for the survey, so it precedes them.
        self.scan_stragglers();
        self.continue_asking();
        self.apply();
        self.serve_clients();
        self.apply();
        self.read_outputs();
        self.collect_disk_news();
        self.fan_out_output();
        self.scan_stragglers();
        self.apply();
        self.flush();
    }

    /// How long the next poll may wait: not at all while work is unfinished.
    fn timeout(&self) -> Option<Duration> {
        let unfinished = self.processes.has_output_ready()
            || self.clients.has_ready()
            || self.clients.has_unflushed()
            || self.survey.is_due()
            || self.processes.has_asking();
        if unfinished {
            return Some(Duration::ZERO);
        }
        let own = self.timers.next();
        let requests = self.pending.next_deadline();
        let supervisor = self.supervisor.poll_timeout();
        let starts = self.spawner.next_wake(self.clock.now());
        let nearest = own.into_iter().chain(requests).chain(supervisor);
        let nearest = nearest.chain(starts).min()?;
        Some(
            nearest
                .since(self.clock.now())
                .saturating_sub(self.clock.spent()),
        )
    }

    /// Serves signals, exits and new clients at once, and puts everything else on lists.
    fn dispatch(&mut self, events: &Events) {
        let mut signalled = false;
        let mut exited = Vec::new();
        let mut arriving = false;
        for event in events {
            if event.token() == WAKE {
                continue;
            }
            match self.poller.source(event.token()) {
                None => {}
                Some(EventSource::Signals) => signalled = true,
                Some(EventSource::Listener) => arriving = true,
                Some(EventSource::Start(id)) => self.start_progress(id),
                Some(EventSource::Leader(id)) => exited.push(id),
                Some(EventSource::Straggler(id)) => self.survey.add(id),
                Some(EventSource::Output(id, number)) => {
                    if event.is_writable() {
                        self.consoles().input_writable(id);
                    }
                    let hung_up = event.is_read_closed() || event.is_error();
                    if event.is_readable() || hung_up {
                        self.processes.queue_output(id, number, hung_up);
                    }
                }
                Some(EventSource::Input(id)) => self.consoles().input_writable(id),
                Some(EventSource::Connection(slot)) => self.clients.poll_event(slot, event),
            }
        }
        for id in exited {
            self.child_exited(id);
        }
        if signalled {
            self.read_signals(false);
        }
        if arriving && !self.clients.accept_planned {
            self.accept();
        }
    }

    /// Handles everything that is due by the clock.
    fn expire(&mut self) {
        let now = self.clock.now();
        if self.supervisor.poll_timeout().is_some_and(|due| due <= now) {
            self.supervisor.handle_timeout(now);
        }
        self.end_overdue_starts();
        let began = self.clock.spent();
        while let Some(number) = self.pending.overdue(now)
            && self.clock.spent().saturating_sub(began) < TIMEOUTS_TIME
        {
            self.request_timed_out(number);
        }
        // Timers added from here on wait for the next turn, so that this loop ends.
        let due: Vec<Timer> = std::iter::from_fn(|| self.timers.due(now)).collect();
        let mut more_signals = false;
        for timer in due {
            match timer {
                Timer::IdleClients => self.close_idle_clients(),
                Timer::LogRetry(id) => self.log_timer(id),
                Timer::ClientRetry(id) => self.processes.resume_reading(id),
                Timer::LogOpenDeadline(id) => self.log_open_deadline(id),
                Timer::AcceptRetry => {
                    self.clients.accept_planned = false;
                    self.accept();
                }
                Timer::GiveBack => self.timers.give_back(),
                Timer::Audit => self.clients.audit.expire(now, &mut self.timers),
                Timer::Reap => more_signals = true,
                Timer::Survey(id) => self.survey.add(id),
                Timer::Layout(id) => {
                    self.read_layout(id);
                }
                Timer::StopCheck(id, looks) => self.consoles().check_stop(id, looks),
                Timer::HangUp(id, leader) => self.hang_up(id, leader),
                Timer::ResizeAllowed(id) => self.consoles().resize_allowed(id),
                Timer::PictureAllowed(id) => self.consoles().picture_allowed(id),
                Timer::AnnounceDeadline(id) => self.flush_announcements(id),
                Timer::Release(id) => self.release_if_written(id),
            }
        }
        if more_signals {
            self.read_signals(true);
        }
    }

    /// Accepts clients.
    fn accept(&mut self) {
        let mut door = Door {
            clients: &mut self.clients,
            poller: &mut self.poller,
            timers: &mut self.timers,
            rules: &self.settings.config().daemon.access,
            clock: &self.clock,
        };
        for closed in door.accept(self.instance.listener()) {
            self.client_closed(closed);
        }
    }

    fn close_idle_clients(&mut self) {
        let now = self.clock.now();
        let closed = self
            .clients
            .close_idle(now, &mut self.timers, &mut self.poller);
        for closed in closed {
            self.client_closed(closed);
        }
    }

    /// Reads output, each ready channel in its turn.
    fn read_outputs(&mut self) {
        let (mut reader, clock) = self.reader();
        for id in reader.read_round(clock) {
            self.finish_logs(id);
        }
    }

    /// Writes to every client that has something to write.
    fn flush(&mut self) {
        let (processes, poller) = (&self.processes, &mut self.poller);
        let flushed = self.clients.flush(processes, poller, &self.clock);
        for closed in flushed.closed {
            self.client_closed(closed);
        }
        for id in flushed.unblocked {
            self.processes.resume_reading(id);
        }
        if flushed.freed {
            self.timers.give_back_soon(self.clock.now());
        }
        self.enforce_shares();
    }
}
