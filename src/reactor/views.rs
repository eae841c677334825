//! Views of several parts, each for rules that concern just those, and small facts about them.

use crate::reactor::Reactor;
use crate::reactor::clock::Clock;
use crate::reactor::console::Consoles;
use crate::reactor::control::event_history::{Recorded, process_event};
use crate::reactor::control::status_report::{LOOKS_MAX, Reports};
use crate::reactor::output::reader::OutputReader;
use crate::reactor::process::stragglers::named_stragglers;
use crate::supervisor::{ProcessId, SignalScope, sig};
use crate::sys::descendants;
use crate::wire::EventInfo;
use libc::SIGHUP;
use std::cell::Cell;
use std::io;
use std::time::Duration;

impl Reactor {
    /// Records an event and sends it to event followers.
    pub(crate) fn publish(&mut self, event: EventInfo) {
        self.publish_recorded(Recorded {
            event,
            public: None,
        });
    }

    /// Sends an event to all event followers and keeps it, with the detail that each may see.
    pub(crate) fn publish_recorded(&mut self, event: Recorded) {
        self.clients.broadcast(&event);
        self.history.push(event);
    }

    /// Signals the leader of a process, or its group.
    ///
    /// # Errors
    /// When the leader cannot be signalled; this is logged and published.
    pub(crate) fn signal_leader(
        &mut self,
        id: ProcessId,
        signal: i32,
        scope: SignalScope,
    ) -> io::Result<()> {
        let Some(io) = self.processes.io(id) else {
            return Ok(());
        };
        let sent = io.signal_leader(signal, scope);
        if let Err(error) = &sent {
            let pid = io.live_leader().map_or(0, |leader| leader.pid);
            let detail = format!("signal {signal} to pid {pid}: {error}");
            log::error!("{}: {detail}", io.name);
            let event = process_event("signal_failed", &io.name, detail);
            self.publish(event);
        }
        sent
    }

    /// Reports that stragglers of an earlier run get a signal before the next start.
    pub(crate) fn publish_clearing(&mut self, id: ProcessId, signal: i32) {
        let process = self.supervisor.process(id);
        if let Some(process) = process.filter(|process| process.is_clearing())
            && let Some(io) = self.processes.io(id)
        {
            let name = process.name.clone();
            let detail = format!("{} before the start: {}", sig(signal), named_stragglers(io));
            log::info!("{name}: {detail}");
            self.publish(process_event("stragglers_signalled", &name, detail));
        }
    }

    /// How long the SIGHUP after a stop signal waits, and for which leader. It is meant for a
    /// process that ignores the signal, as interactive shells do; it would cut short one that
    /// handles it.
    pub(crate) fn hangup_delay(&self, id: ProcessId, signal: i32) -> Option<(Duration, i32)> {
        let policy = self.supervisor.policy(id)?;
        let leader = self.processes.io(id)?.live_leader()?.pid;
        let delayed = policy.hangup && signal == SIGHUP;
        let delayed = delayed && !descendants::ignores(leader, policy.stopsignal);
        delayed.then_some((policy.stoptime / 2, leader))
    }

    /// The parts that consoles join.
    pub(crate) fn consoles(&mut self) -> Consoles<'_> {
        Consoles {
            clients: &mut self.clients,
            processes: &mut self.processes,
            supervisor: &self.supervisor,
            timers: &mut self.timers,
            poller: &mut self.poller,
            now: self.clock.now(),
        }
    }

    /// The parts that reading output joins, and the clock that limits it.
    pub(crate) fn reader(&mut self) -> (OutputReader<'_>, &Clock) {
        let consoles = Consoles {
            clients: &mut self.clients,
            processes: &mut self.processes,
            supervisor: &self.supervisor,
            timers: &mut self.timers,
            poller: &mut self.poller,
            now: self.clock.now(),
        };
        let reader = OutputReader {
            consoles,
            log_files: &mut self.log_files,
        };
        (reader, &self.clock)
    }

    /// The parts that reports read.
    pub(crate) fn reports(&self) -> Reports<'_> {
        Reports {
            supervisor: &self.supervisor,
            processes: &self.processes,
            clients: &self.clients,
            log_files: &self.log_files,
            history: &self.history,
            clock: &self.clock,
            looks: Cell::new(LOOKS_MAX),
        }
    }
}
