//! The latest events, kept for `tm events` and `why`.

use crate::supervisor::{Exit, Transition};
use crate::text::timestamp::rfc3339;
use crate::wire::{EventInfo, ExitInfo};
use std::collections::VecDeque;

/// How many events are kept.
const KEPT: usize = 1000;

/// The latest events, oldest first.
#[derive(Debug, Default)]
pub struct History {
    events: VecDeque<EventInfo>,
}

impl History {
    /// Adds one, gives up the oldest.
    pub fn push(&mut self, event: EventInfo) {
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// All that are kept.
    pub fn all(&self) -> impl Iterator<Item = &EventInfo> {
        self.events.iter()
    }
}

/// The event of a change of state.
pub fn of_transition(transition: &Transition, unix_ns: u64) -> EventInfo {
    EventInfo {
        ts: rfc3339(unix_ns),
        event: "process_state".to_string(),
        process: Some(transition.name.clone()),
        from: Some(transition.from.name().into()),
        to: Some(transition.to.name().into()),
        pid: transition.pid,
        exit: transition.exit.map(exit_info),
        detail: transition.detail.clone(),
    }
}

/// Any other event.
pub fn plain(event: &str, process: Option<&str>, detail: String, unix_ns: u64) -> EventInfo {
    EventInfo {
        ts: rfc3339(unix_ns),
        event: event.to_string(),
        process: process.map(str::to_string),
        detail,
        ..EventInfo::default()
    }
}

/// How the wire spells the end of a run.
pub fn exit_info(exit: Exit) -> ExitInfo {
    match exit {
        Exit::Code(code) => ExitInfo {
            code: Some(code),
            signal: None,
        },
        Exit::Signal { signal, .. } => ExitInfo {
            code: None,
            signal: Some(signal),
        },
    }
}
