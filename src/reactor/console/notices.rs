//! The console outlives the process: what attached clients are told of ends and new starts.

use crate::reactor::Reactor;
use crate::reactor::clock::unix_ns;
use crate::reactor::control::connection::Mode;
use crate::reactor::control::event_history::exit_info;
use crate::supervisor::{Exit, Process, ProcessId, State, Transition};
use crate::wire::{ExitInfo, Frame, Kind, flags};
use serde_json::json;

/// Notices that wait for a client that does not read; older ones are given up.
const NOTICES_MAX: usize = 32;

impl Reactor {
    /// Tells attached clients about a change of state.
    pub(crate) fn console_transition(&mut self, transition: &Transition) {
        let id = transition.id;
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.last_exit = transition.exit.or(child.last_exit);
        if child.clients.is_empty() {
            return;
        }
        let Some(process) = self.supervisor.process(id).cloned() else {
            return;
        };
        let Some(text) = notice(transition, &process, self.clock.now()) else {
            return;
        };
        let goes_on = matches!(transition.to, State::Backoff | State::Starting);
        if transition.exit.is_some()
            && goes_on
            && let Some(child) = self.children.get_mut(&id)
        {
            // What is said now should be seen, and not on a screen that is about to go.
            child.reset_terminal(unix_ns());
            self.mark_dirty(id);
        }
        self.console_notice(id, &text);
        if let Some(exit) = transition.exit {
            self.end_consoles(id, exit_info(exit), true);
        }
        if self.is_at_rest(id) {
            let exit = transition.exit.or(process.last_exit).map(exit_info);
            let fallback = ExitInfo {
                code: Some(i32::from(transition.to == State::Fatal)),
                signal: None,
            };
            self.end_consoles(id, exit.unwrap_or(fallback), false);
        }
    }

    /// The process is no longer in the config.
    pub(crate) fn console_removed(&mut self, id: ProcessId) {
        let Some(child) = self.children.get(&id) else {
            return;
        };
        let exit = child.last_exit.unwrap_or(Exit::Code(0));
        let text = format!("[{} removed from the config]", child.name);
        self.console_notice(id, &text);
        self.end_consoles(id, exit_info(exit), false);
    }

    /// A line for every attached client, behind the output that came before it.
    fn console_notice(&mut self, id: ProcessId, text: &str) {
        let Some(child) = self.children.get(&id) else {
            return;
        };
        let offset = child.output.head();
        let clients = child.clients.clone();
        let mut frame = Frame::new(Kind::Notice, text.as_bytes());
        frame.flags = flags::IGNORABLE;
        for client in clients {
            let Some(connection) = self.connection_mut(client) else {
                continue;
            };
            let Mode::Attached(attachment) = &mut connection.mode else {
                continue;
            };
            if attachment.marks.len() >= NOTICES_MAX {
                attachment.marks.pop_front();
            }
            attachment.marks.push_back((offset, frame.clone()));
            self.unflushed.insert(client.slot);
        }
    }

    /// Ends the consoles with the exit: of all, or of those who wanted only this run.
    fn end_consoles(&mut self, id: ProcessId, exit: ExitInfo, only_until_exit: bool) {
        let Some(child) = self.children.get(&id) else {
            return;
        };
        let offset = child.output.head();
        let frame = Frame::new(Kind::Exit, json!(exit).to_string());
        for client in child.clients.clone() {
            let Some(connection) = self.connection_mut(client) else {
                continue;
            };
            let Mode::Attached(attachment) = &mut connection.mode else {
                continue;
            };
            if attachment.ending || (only_until_exit && !attachment.until_exit) {
                continue;
            }
            attachment.marks.push_back((offset, frame.clone()));
            attachment.ending = true;
            self.unflushed.insert(client.slot);
        }
    }
}

/// What a console says about a change of state; nothing about those that follow by themselves.
fn notice(
    transition: &Transition,
    process: &Process,
    now: crate::supervisor::Time,
) -> Option<String> {
    let name = &transition.name;
    let how = match transition.exit {
        Some(Exit::Code(code)) => format!("exited with code {code}"),
        Some(exit @ Exit::Signal { .. }) => exit.to_string(),
        None => transition.detail.clone(),
    };
    match (transition.from, transition.to) {
        // What failed before it ran says itself when it is tried again.
        (_, State::Backoff) if transition.exit.is_none() => Some(format!("[{name}: {how}]")),
        (_, State::Backoff) => {
            let delay = process
                .deadline
                .map(|at| at.since(now).as_secs_f64())
                .unwrap_or(0.0);
            Some(format!("[{name} {how}; restart in {delay:.1}s]"))
        }
        (State::Running, State::Starting) => Some(format!("[{name} {how}; restarting]")),
        (State::Backoff, State::Starting) => Some(format!("[{name} starting again]")),
        (_, State::Exited) => Some(format!("[{name} {how}]")),
        (_, State::Fatal) => Some(format!("[{name}: {}]", transition.detail)),
        (_, State::Stopping) => Some(format!("[{name} is being stopped]")),
        (_, State::Stopped) => Some(format!("[{name} stopped]")),
        (State::Stopping, State::Starting) => Some(format!("[{name} restarted]")),
        (_, State::Starting | State::Running | State::Waiting) => None,
    }
}
