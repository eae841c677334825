//! The latest events, kept for `tm events` and `why`.

use crate::reactor::clock::unix_ns;
use crate::reactor::control::permissions::Account;
use crate::supervisor::{Exit, State, Transition};
use crate::text::plural::plural;
use crate::text::timestamp::rfc3339;
use crate::wire::{EventInfo, ExitInfo};
use std::collections::VecDeque;

/// Number of events that are kept.
const KEPT: usize = 1000;

/// The latest events, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    events: VecDeque<Recorded>,
}

/// An event, and its detail for users other than the owner where that differs.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// The event as the owner sees it.
    pub event: EventInfo,
    /// The detail for others, if they may not see the owner's.
    pub public: Option<String>,
}

impl Recorded {
    /// The event as this account sees it.
    pub(crate) fn shown_to(&self, account: Account) -> EventInfo {
        let mut event = self.event.clone();
        if let (Account::User(_), Some(public)) = (account, &self.public) {
            event.detail.clone_from(public);
        }
        event
    }
}

impl History {
    /// Adds an event and drops the oldest when there are too many.
    pub(crate) fn push(&mut self, event: Recorded) {
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// All kept events, as the owner sees them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &EventInfo> {
        self.events.iter().map(|recorded| &recorded.event)
    }

    /// All kept events, as this account sees them.
    pub(crate) fn shown_to(&self, account: Account) -> impl Iterator<Item = EventInfo> {
        self.events.iter().map(move |one| one.shown_to(account))
    }
}

/// The event of a change of state, at the present time.
pub(crate) fn of_transition(transition: &Transition) -> EventInfo {
    EventInfo {
        ts: rfc3339(unix_ns()),
        event: "process_state".to_string(),
        process: Some(transition.name.clone()),
        from: Some(transition.from.name().into()),
        to: Some(transition.to.name().into()),
        pid: transition.pid,
        exit: transition.exit.map(exit_info),
        output_end: None,
        count: None,
        started: transition.started,
        detail: transition.detail.clone(),
    }
}

/// Logs a change of state.
pub(crate) fn log_transition(transition: &Transition) {
    let Transition { name, from, to, .. } = transition;
    let pid = match transition.pid {
        Some(pid) => format!(" pid {pid}"),
        None => String::new(),
    };
    let detail = match transition.detail.as_str() {
        "" => String::new(),
        detail => format!(": {detail}"),
    };
    let level = match to {
        State::Fatal => log::Level::Error,
        State::Backoff => log::Level::Warn,
        State::Stopped
        | State::Waiting
        | State::Starting
        | State::Running
        | State::Stopping
        | State::Exited => log::Level::Info,
    };
    log::log!(level, "{name}: {from} -> {to}{pid}{detail}");
}

/// Any other event of a process, at the present time.
pub(crate) fn process_event(event: &str, process: &str, detail: String) -> EventInfo {
    EventInfo {
        process: Some(process.to_string()),
        ..daemon_event(event, detail)
    }
}

/// An event of the daemon, at the present time.
pub(crate) fn daemon_event(event: &str, detail: String) -> EventInfo {
    EventInfo {
        ts: rfc3339(unix_ns()),
        event: event.to_string(),
        detail,
        ..EventInfo::default()
    }
}

/// An event of the daemon whose detail only the owner may see.
pub(crate) fn secret_event(event: &str, detail: String, public: String) -> Recorded {
    Recorded {
        event: daemon_event(event, detail),
        public: Some(public),
    }
}

/// The event that takes the place of events that a client has missed.
pub(crate) fn lost_events(count: u64, reason: &str) -> EventInfo {
    let missed = plural(
        usize::try_from(count).unwrap_or(usize::MAX),
        "event",
        "events",
    );
    EventInfo {
        count: Some(count),
        ..daemon_event("events_lost", format!("{missed} missed: {reason}"))
    }
}

/// The end of a run in the form of the protocol.
pub(crate) fn exit_info(exit: Exit) -> ExitInfo {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_event_is_dropped() {
        let mut history = History::default();
        for number in 0..=KEPT {
            history.push(Recorded {
                event: daemon_event("test", number.to_string()),
                public: None,
            });
        }
        assert_eq!(history.all().count(), KEPT);
        assert_eq!(history.all().next().expect("an event").detail, "1");
    }
}
