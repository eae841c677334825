//! Notices: the console outlives the process, so attached clients are sent its exits and starts.

use crate::reactor::clock::unix_ns;
use crate::reactor::console::Consoles;
use crate::reactor::control::event_history::exit_info;
use crate::supervisor::{Exit, Process, ProcessId, State, Time, Transition};
use crate::wire::{ExitInfo, Frame, Kind, flags};
use serde_json::json;

/// Frames queued for a client that does not read; older notices are dropped.
const NOTICES_MAX: usize = 32;

impl Consoles<'_> {
    /// Sends attached clients the notice of a change of state.
    pub(crate) fn on_transition(&mut self, transition: &Transition) {
        let id = transition.id;
        let Some(io) = self.processes.io_mut(id) else {
            return;
        };
        io.last_exit = transition.exit.or(io.last_exit);
        if io.clients.is_empty() {
            return;
        }
        let Some(process) = self.supervisor.process(id) else {
            return;
        };
        let Some(text) = notice(transition, process, self.now) else {
            return;
        };
        let restarts = matches!(transition.to, State::Backoff | State::Starting);
        if transition.exit.is_some() && restarts {
            // The notice must not be drawn on a screen that the reset clears.
            io.reset_terminal(unix_ns());
            self.processes.mark_dirty(id);
        }
        self.send_notice(id, &text);
        if let Some(exit) = transition.exit {
            self.end_consoles(id, exit_info(exit), ConsoleEnd::Run);
        }
        if process.state.is_down() {
            let exit = transition.exit.or(process.last_exit).map(exit_info);
            let fallback = match transition.to {
                State::Fatal => ExitInfo::of_failure(),
                _ => exit_info(Exit::Code(0)),
            };
            self.end_consoles(id, exit.unwrap_or(fallback), ConsoleEnd::Process);
        }
    }

    /// The process was removed from the config.
    pub(crate) fn on_removed(&mut self, id: ProcessId) {
        let Some(io) = self.processes.io(id) else {
            return;
        };
        let exit = io.last_exit.unwrap_or(Exit::Code(0));
        let text = format!("[{} removed from the config]", io.name);
        self.send_notice(id, &text);
        self.end_consoles(id, exit_info(exit), ConsoleEnd::Process);
    }

    /// A new run has a terminal where the last one had none, or the other way round: ends the
    /// consoles of clients with a terminal, which would show it wrongly.
    pub(crate) fn end_other_kind(&mut self, id: ProcessId) {
        let tty = self.size_policy(id).is_some();
        let Some(io) = self.processes.io(id) else {
            return;
        };
        let reason = match tty {
            true => "it has a terminal since the reload: attach again",
            false => "it has no terminal since the reload: attach again",
        };
        let offset = io.output.head();
        for client in &io.clients {
            let Some(attachment) = self.clients.attachment_mut(*client) else {
                continue;
            };
            if attachment.closing || attachment.tty == tty || attachment.rows == 0 {
                continue;
            }
            let frame = Frame::new(Kind::Detach, reason.as_bytes());
            attachment.queued_frames.push_back((offset, frame));
            attachment.closing = true;
            self.clients.queue_flush(*client);
        }
    }

    /// Sends a line to every attached client, after the output before it.
    fn send_notice(&mut self, id: ProcessId, text: &str) {
        let Some(io) = self.processes.io(id) else {
            return;
        };
        let offset = io.output.head();
        let mut frame = Frame::new(Kind::Notice, text.as_bytes());
        frame.flags = flags::IGNORABLE;
        for client in &io.clients {
            let Some(attachment) = self.clients.attachment_mut(*client) else {
                continue;
            };
            if attachment.queued_frames.len() >= NOTICES_MAX {
                attachment.queued_frames.pop_front();
            }
            attachment.queued_frames.push_back((offset, frame.clone()));
            self.clients.queue_flush(*client);
        }
    }

    /// Ends consoles with the exit.
    fn end_consoles(&mut self, id: ProcessId, exit: ExitInfo, ended: ConsoleEnd) {
        let Some(io) = self.processes.io(id) else {
            return;
        };
        let offset = io.output.head();
        let frame = Frame::new(Kind::Exit, json!(exit).to_string());
        for client in &io.clients {
            let Some(attachment) = self.clients.attachment_mut(*client) else {
                continue;
            };
            if attachment.closing || (ended == ConsoleEnd::Run && !attachment.until_exit) {
                continue;
            }
            attachment.queued_frames.push_back((offset, frame.clone()));
            attachment.closing = true;
            self.clients.queue_flush(*client);
        }
    }
}

/// The end that a console waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConsoleEnd {
    /// One run: consoles that were attached until its exit end.
    Run,
    /// The process: all consoles end.
    Process,
}

/// The notice of a change of state; none for a change that follows from another one.
fn notice(transition: &Transition, process: &Process, now: Time) -> Option<String> {
    let name = &transition.name;
    let how = match transition.exit {
        Some(Exit::Code(code)) => format!("exited with code {code}"),
        Some(exit @ Exit::Signal { .. }) => exit.to_string(),
        None => transition.detail.clone(),
    };
    match (transition.from, transition.to) {
        // A start that failed before exec is not announced as a restart: the next try is.
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
