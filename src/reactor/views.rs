//! Views of several parts, each for rules that concern just those.

use crate::reactor::Reactor;
use crate::reactor::clock::Clock;
use crate::reactor::console::Consoles;
use crate::reactor::control::status_report::Reports;
use crate::reactor::output::reader::OutputReader;

impl Reactor {
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
        }
    }
}
