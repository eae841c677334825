//! The reactor: one thread, one epoll, every system call of the daemon.
//!
//! A turn has phases: poll, dispatch (signals, exits, new clients first, then requests), timeouts,
//! apply (what the supervisor decided), output under a budget, flush. What was left over goes on
//! a list and makes the next poll wait zero, since mio is edge-triggered and never reminds.

mod clock;
mod console;
mod control;
mod daemon;
pub mod disk;
mod effects;
pub mod output;
mod poller;
mod process;

pub use daemon::startup::{DaemonOptions, daemon_main};

use crate::config::{Config, DaemonSettings};
use crate::supervisor::{ProcessId, Supervisor, Time};
use crate::sys;
use clock::{Clock, Timer, Timers};
use control::connection::{Connection, ConnectionId};
use mio::Events;
use poller::{Poller, Source, WAKE};
use process::process_io::ProcessIo;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::time::Duration;

/// The daemon.
pub struct Reactor {
    poller: Poller,
    clock: Clock,
    timers: Timers,
    supervisor: Supervisor,
    config: Config,
    /// What of the config only a new start can change.
    started_with: DaemonSettings,
    place: daemon::instance::Place,
    inherited: daemon::child_environment::Inherited,
    nofile: (u64, u64),
    oom_score_adj: Option<i32>,
    log_level: Option<::log::LevelFilter>,
    signals: sys::signalfd::SignalFd,
    listener: sys::socket::Listener,
    log_files: output::log_files::LogFiles,
    children: HashMap<ProcessId, ProcessIo>,
    /// Whose living leader a pid is.
    leaders: HashMap<i32, ProcessId>,
    connections: Slab<Connection>,
    connections_accepted: u64,
    /// Since when newcomers wait for room.
    full_since: Option<Time>,
    /// Outputs with something to read, each once.
    outputs_ready: VecDeque<(ProcessId, u32)>,
    /// Connections with something to read, each once.
    connections_ready: VecDeque<usize>,
    /// Connections with something to write.
    unflushed: BTreeSet<usize>,
    /// Processes with new output to hand on.
    dirty: Vec<ProcessId>,
    /// Processes to be started, in the order decided.
    starts_due: VecDeque<ProcessId>,
    /// Time spent on starts in this turn.
    starts_took: Duration,
    /// Processes of which something may be left over.
    remains_due: BTreeSet<ProcessId>,
    /// Adopted processes without an environment, by pid and start, and since when that is known.
    nameless: BTreeMap<(i32, u64), Time>,
    waiters: control::pending::Waiters,
    history: control::event_history::History,
    started_ns: u64,
    finished: bool,
    /// A client was not served to the end, only because its turn was over.
    flush_again: bool,
    idle_armed: bool,
    scratch: Vec<u8>,
}

impl Reactor {
    /// Turns until a shutdown is complete.
    ///
    /// # Errors
    /// When epoll itself fails.
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
        self.starts_took = Duration::ZERO;
        self.log_files.note_idle(self.clock.now());
        self.dispatch(events);
        self.expire();
        // Starts wait for it, so it comes before they are made.
        self.look_for_remains();
        self.apply();
        self.serve_connections();
        self.apply();
        self.read_outputs();
        self.collect_disk();
        self.hand_on_output();
        self.look_for_remains();
        self.apply();
        self.flush();
    }

    /// How long the next poll may wait: not at all while something was left over.
    fn timeout(&self) -> Option<Duration> {
        let ready = !self.outputs_ready.is_empty() || !self.connections_ready.is_empty();
        let due = !self.remains_due.is_empty() || !self.starts_due.is_empty();
        if ready || self.flush_again || due {
            return Some(Duration::ZERO);
        }
        let own = self.timers.next();
        let theirs = self.supervisor.poll_timeout();
        let nearest = own.into_iter().chain(theirs).min()?;
        Some(
            nearest
                .since(self.clock.now())
                .saturating_sub(self.clock.spent()),
        )
    }

    /// Signals, exits and new clients are served at once; the rest is put on lists.
    fn dispatch(&mut self, events: &Events) {
        let mut signalled = false;
        let mut ended = Vec::new();
        let mut arriving = false;
        for event in events {
            if event.token() == WAKE {
                continue;
            }
            match self.poller.source(event.token()) {
                None => {}
                Some(Source::Signals) => signalled = true,
                Some(Source::Listener) => arriving = true,
                Some(Source::Leader(id)) => ended.push(id),
                Some(Source::Straggler(id)) => drop(self.remains_due.insert(id)),
                Some(Source::Output(id, number)) => {
                    if event.is_writable() {
                        self.input_writable(id);
                    }
                    let hung_up = event.is_read_closed() || event.is_error();
                    if event.is_readable() || hung_up {
                        self.queue_output(id, number, hung_up);
                    }
                }
                Some(Source::Input(id)) => self.input_writable(id),
                Some(Source::Connection(slot)) => self.connection_event(slot, event),
            }
        }
        for id in ended {
            self.reap_leader(id);
        }
        if signalled {
            self.read_signals();
        }
        if arriving {
            self.accept();
        }
    }

    fn connection_event(&mut self, slot: usize, event: &mio::event::Event) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if event.is_writable() {
            connection.set_writable();
            self.unflushed.insert(slot);
        }
        connection.gone |= event.is_write_closed();
        connection.read_closed |= event.is_read_closed() || event.is_error();
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.queue_connection(slot);
        }
    }

    /// Puts a connection on the list of those to read.
    fn queue_connection(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot)
            && !connection.queued
        {
            connection.queued = true;
            self.connections_ready.push_back(slot);
        }
    }

    /// Puts an output on the list of those to read.
    fn queue_output(&mut self, id: ProcessId, number: u32, hung_up: bool) {
        if let Some(child) = self.children.get_mut(&id)
            && let Some(channel) = child.channel(number)
        {
            channel.hung_up |= hung_up;
            if !std::mem::replace(&mut channel.queued, true) {
                self.outputs_ready.push_back((id, number));
            }
        }
    }

    /// The process reads its input again.
    fn input_writable(&mut self, id: ProcessId) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        if let Some(input) = &mut child.input {
            input.writable = true;
        }
        child.flush_input(&mut self.poller);
        if child.takes_input() || child.input.is_none() {
            for client in child.clients.clone() {
                self.release(client);
            }
        }
    }

    /// Reads a connection on that was held back.
    fn release(&mut self, client: ConnectionId) {
        if let Some(connection) = self.connection_mut(client)
            && connection.held
        {
            connection.held = false;
            self.queue_connection(client.slot);
        }
    }

    /// Everything that is due by the clock.
    fn expire(&mut self) {
        let now = self.clock.now();
        if self.supervisor.poll_timeout().is_some_and(|due| due <= now) {
            self.supervisor.handle_timeout(now);
        }
        // What is put on now is for the next turn, so that none of it keeps this one going.
        let due: Vec<Timer> = std::iter::from_fn(|| self.timers.due(now)).collect();
        for timer in due {
            match timer {
                Timer::RequestTimeout(number) => self.waiter_timed_out(number),
                Timer::IdleClients => self.close_idle(),
                Timer::LogRetry(id) => self.log_timer(id),
                Timer::LogOpenDeadline(id) => self.opening_timed_out(id),
                Timer::AcceptRetry => self.accept(),
                Timer::Survey(id) => drop(self.remains_due.insert(id)),
                Timer::ResizeAllowed(id) => self.resize_timer(id),
                Timer::AnnounceDeadline(id) => self.announce(id),
            }
        }
    }

    /// The connection, unless it is gone and its slot used again.
    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections
            .get_mut(id.slot)
            .filter(|connection| connection.id == id)
    }
}
