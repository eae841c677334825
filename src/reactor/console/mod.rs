//! Consoles: clients attached to a process's terminal or pipes.

pub(crate) mod attachment;
pub(crate) mod console_requests;
pub(crate) mod control_keys;
pub(crate) mod notices;
pub(crate) mod terminal_size;

use crate::reactor::clock::Timers;
use crate::reactor::control::client_table::Clients;
use crate::reactor::poller::Poller;
use crate::reactor::process::processes::Processes;
use crate::supervisor::{Supervisor, Time};

/// The parts that consoles join, for the time of one call.
pub(crate) struct Consoles<'a> {
    /// The attached clients.
    pub clients: &'a mut Clients,
    /// The processes they are attached to.
    pub processes: &'a mut Processes,
    /// The processes' states and settings.
    pub supervisor: &'a Supervisor,
    /// For delayed changes of size, and waits for clients.
    pub timers: &'a mut Timers,
    /// For the processes' input.
    pub poller: &'a mut Poller,
    /// The time of this turn.
    pub now: Time,
}

#[cfg(test)]
mod tests;
