//! `up` in the foreground: the start, then all output, until it ends or its daemon does.

mod foreground_output;
pub(crate) mod ownership;
mod sources;

use crate::client::context::Context;
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::frames::Frames;
use crate::client::daemon::lifecycle::{SHUT_DOWN, SHUTDOWN_EVENT, wait_for_end};
use crate::client::error::{ClientError, exit};
use crate::client::ui::event_loop::SignalSource;
use crate::client::ui::line_writers::MergeOptions;
use crate::client::ui::merge::Merger;
use crate::client::ui::style::Paint;
use crate::client::ui::table::cut;
use crate::client::verbs::events::in_words;
use crate::client::verbs::foreground::foreground_output::{ForegroundOutput, is_hung_up};
use crate::client::verbs::foreground::ownership::{Ownership, SignalAnswer};

use crate::client::verbs::logs::PARTIAL_LINE_DELAY;

use crate::client::verbs::progress::{Progress, stop_text};
use crate::client::verbs::reload;
use crate::client::verbs::run_notices::RunNotices;
use crate::sys::{pidfd, tty};
use crate::text::plural::plural;
use crate::wire::ProcessState;
use crate::wire::{
    Call, EventInfo, LogsParams, PlanReply, ProcessStatus, ReloadParams, ShutdownParams,
};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

/// Follows a daemon.
///
/// # Errors
/// Of the daemon or the output.
pub(crate) fn run(
    context: &Context,
    progress: Progress,
    processes: &[ProcessStatus],
    mut events: DaemonConnection,
    ownership: Ownership,
) -> Result<i32, ClientError> {
    let hello = events.hello()?;
    let signals = SignalSource::new(&[SIGINT, SIGTERM, SIGHUP, SIGQUIT])
        .map_err(|error| ClientError::Failed(format!("signals: {error}")))?;
    let merger = Merger::new(MergeOptions {
        style: context.style,
        names: processes
            .iter()
            .map(|process| process.name.clone())
            .collect(),
        full_screen: Vec::new(),
        always_prefix: true,
        timestamps: false,
        strip: std::io::stdout().is_terminal() && !context.global.json,
        columns: context.line_width(),
        json: context.global.json,
        whole_lines: !std::io::stdout().is_terminal(),
        selection: context.selection(),
    });
    let mut follower = Follower {
        context,
        daemon: pidfd::open(hello.pid).ok(),
        progress,
        merger,
        signals,
        events: Some(events),
        frames: None,
        shutdowns: Vec::new(),
        phase: Phase::Starting,
        output: ForegroundOutput::new(context),
        notices: RunNotices::default(),
        shutdown_announced: false,
        ownership,
        left: None,
    };
    let lines = follower.progress.first_lines(processes);
    if let Err(error) = follower.output.say(&lines) {
        follower.lose_output(error)?;
    }
    follower.run()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waiting for the outcome of every start.
    Starting,
    /// Showing output.
    Following,
    /// Asked to stop everything.
    Stopping,
    /// Asked to kill everything.
    Killing,
}

struct Follower<'a> {
    context: &'a Context,
    daemon: Option<OwnedFd>,
    progress: Progress,
    merger: Merger,
    signals: SignalSource,
    /// The daemon's events, until it closes that connection.
    events: Option<DaemonConnection>,
    /// The output of all processes, once everything has started and until the daemon closes it.
    frames: Option<Frames>,
    /// The requests to shut down. Only their failure matters.
    shutdowns: Vec<DaemonConnection>,
    phase: Phase,
    output: ForegroundOutput<'a>,
    notices: RunNotices,
    /// The daemon has announced its end, or a shutdown was requested.
    shutdown_announced: bool,
    ownership: Ownership,
    /// The exit code of a client that leaves the daemon running.
    left: Option<i32>,
}

impl Follower<'_> {
    fn run(mut self) -> Result<i32, ClientError> {
        loop {
            match self.follow() {
                Ok(()) => return self.finish(),
                Err(error) if !self.output.is_lost() => self.lose_output(error)?,
                Err(error) if self.left.is_some() => return Err(error),
                Err(error) => {
                    wait_for_end(self.daemon.take())?;
                    return Err(error);
                }
            }
        }
    }

    /// Stops everything or leaves: without the output, the user can neither see nor end anything.
    fn lose_output(&mut self, error: ClientError) -> Result<(), ClientError> {
        let alive = plural(self.progress.alive(), "process", "processes");
        let reason = match &error {
            ClientError::OutputClosed => "standard output was closed".to_string(),
            error => error.to_string(),
        };
        let first = !self.shutdown_announced;
        let leaves = self.ownership != Ownership::Owner;
        let text = match (first, leaves) {
            (true, false) => format!("{reason}; stopping {alive}"),
            (true, true) => format!("{reason}; {} running", keeps(self.progress.alive())),
            (false, _) => reason,
        };
        self.context.report(&ClientError::Failed(text));
        self.output.lose(&error);
        if first && leaves {
            self.left = Some(self.output.exit_code());
        } else if first {
            self.shutdown_announced = true;
            self.phase = Phase::Stopping;
            self.request_shutdown(false)?;
        }
        Ok(())
    }

    /// Shows everything until the daemon closes both connections.
    fn follow(&mut self) -> Result<(), ClientError> {
        loop {
            self.start_following()?;
            self.draw_live_line()?;
            let ended = self.events.is_none() && self.frames.is_none();
            if ended || self.left.is_some() {
                return Ok(());
            }
            self.turn()?;
        }
    }

    /// Waits for something to happen and handles it.
    fn turn(&mut self) -> Result<(), ClientError> {
        let now = Instant::now();
        let partial = self.merger.has_partial().then(|| now + PARTIAL_LINE_DELAY);
        let notice = self.notices.next_due();
        let until = [partial, notice].into_iter().flatten().min();
        let [signals, events, frames, answer, closed, writable, ended] = self.wait(until)?;
        if closed {
            return Err(ClientError::OutputClosed);
        }
        if writable {
            self.output.write_some()?;
        }
        if ended && !signals {
            self.drain();
        }
        let mut out = Vec::new();
        // Events tell where a run ends in the output.
        if events {
            self.read_events()?;
        }
        if frames {
            self.read_frames(&mut out)?;
        }
        self.notices.print_due(&mut self.merger, &mut out);
        if !(frames || events || signals || answer) && partial.is_some() {
            self.merger.flush(&mut out);
        }
        self.output.print(&out)?;
        if answer {
            self.read_answers()?;
        }
        if signals {
            let signals: Vec<i32> = self.signals.pending().collect();
            for signal in signals {
                match self.ownership.answer(signal, is_hung_up()) {
                    SignalAnswer::Reload => self.reload()?,
                    SignalAnswer::Stop => self.stop()?,
                    SignalAnswer::Leave => self.leave(signal),
                }
            }
        }
        Ok(())
    }

    /// Shows output as soon as every start has succeeded or failed. From a fresh daemon, output
    /// is shown from the start.
    fn start_following(&mut self) -> Result<(), ClientError> {
        if self.phase != Phase::Starting || !self.progress.is_settled() {
            return Ok(());
        }
        self.phase = Phase::Following;
        self.output.say(&[format!(
            "{}; {}",
            self.progress.summary(),
            self.ownership.interrupt_hint()
        )])?;
        let fresh = self.ownership == Ownership::Owner;
        let params = LogsParams {
            targets: vec!["all".to_string()],
            follow: true,
            frames: true,
            lines: (!fresh).then_some(10),
            since_s: None,
            stream: None,
        };
        let connect = || {
            let mut connection = self.context.connect()?;
            let _: Value = connection.call(&Call::Logs(params))?;
            Ok(connection)
        };
        match connect() {
            Ok(connection) => {
                let mut frames = Frames::new(connection.into_frames());
                let mut out = Vec::new();
                // The first frames may have come with the reply.
                while let Some(frame) = frames.next_frame()? {
                    self.notices.take_frame(&mut self.merger, &frame, &mut out);
                }
                self.frames = Some(frames);
                self.output.print(&out)
            }
            // The daemon is shutting down already. Its events give the reason.
            Err(ClientError::Disconnected | ClientError::NotRunning(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take_event(&mut self, event: &EventInfo) -> Result<(), ClientError> {
        let settled = self.progress.take(event);
        self.shutdown_announced |= event.event == SHUTDOWN_EVENT;
        match (self.phase, settled) {
            (Phase::Starting, Some(line)) => self.output.say(&[line]),
            (Phase::Starting, None) => Ok(()),
            (Phase::Following | Phase::Stopping | Phase::Killing, _) => {
                if let Some(process) = &event.process {
                    let text = notice_text(event);
                    match event.exit {
                        Some(_) => self.notices.add_end(process, text, event.output_end),
                        None => self.notices.add(process, text),
                    }
                }
                Ok(())
            }
        }
    }

    /// Reloads the config. Errors are printed: nothing has changed then.
    fn reload(&mut self) -> Result<(), ClientError> {
        if matches!(self.phase, Phase::Stopping | Phase::Killing) {
            return Ok(());
        }
        let mut out = Vec::new();
        self.merger.finish(&mut out);
        self.output.print(&out)?;
        let call = Call::Reload(ReloadParams { dry_run: false });
        let reply = self
            .context
            .connect()
            .and_then(|mut connection| connection.call(&call));
        match reply {
            Ok(reply) => {
                let reply: PlanReply = reply;
                self.output.say(&[reload::summary(&reply)])
            }
            // Its events give the reason.
            Err(ClientError::Disconnected | ClientError::NotRunning(_)) => Ok(()),
            Err(error) => {
                let text = format!("tm: {error}");
                self.output.say(&text.lines().collect::<Vec<_>>())
            }
        }
    }

    /// Shuts the daemon down: in order at the first signal, by SIGKILL at the second.
    fn stop(&mut self) -> Result<(), ClientError> {
        self.shutdown_announced = true;
        let (next, now) = match self.phase {
            Phase::Starting | Phase::Following => (Phase::Stopping, false),
            Phase::Stopping => (Phase::Killing, true),
            Phase::Killing => return Ok(()),
        };
        let text = stop_text(self.progress.alive(), now);
        self.phase = next;
        // The words come second: the terminal may be gone.
        self.request_shutdown(now)?;
        let mut out = Vec::new();
        self.merger.finish(&mut out);
        self.output.print(&out)?;
        self.output.say(&[text])
    }

    /// Ends this client at a signal. Ctrl-C in the control shell is no failure.
    fn leave(&mut self, signal: i32) {
        let code = match (self.ownership, signal) {
            (Ownership::ControlShell, SIGINT) => exit::DONE,
            (_, signal) => 128 + signal,
        };
        self.left = Some(code);
    }

    fn request_shutdown(&mut self, now: bool) -> Result<(), ClientError> {
        // A failure to connect means that the daemon is gone already.
        let Ok(mut connection) = self.context.connect() else {
            return Ok(());
        };
        match connection.send(&Call::Shutdown(ShutdownParams { now })) {
            Ok(()) => self.shutdowns.push(connection),
            Err(ClientError::Disconnected) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<i32, ClientError> {
        let mut out = Vec::new();
        self.notices.print_all(&mut self.merger, &mut out);
        self.merger.finish(&mut out);
        self.output.print(&out)?;
        if let Some(code) = self.left {
            self.output.clear_live_line()?;
            self.drain();
            // A terminal that takes nothing would not take a notice.
            if !self.output.is_lost() {
                let keeps = keeps(self.progress.alive());
                // The terminal has shown ^C within the line.
                let interrupted = code == exit::DONE && std::io::stderr().is_terminal();
                let start = if interrupted { "\n" } else { "" };
                let text = format!("{start}{keeps} running; to stop everything: tm down");
                self.context.notice(&text);
            }
            return Ok(code);
        }
        if !self.shutdown_announced {
            self.context.report(&ClientError::Failed(
                "the daemon ended without a shutdown; its log says why".to_string(),
            ));
            return Ok(exit::FAILED);
        }
        wait_for_end(self.daemon.take())?;
        let text = match self.phase {
            Phase::Starting | Phase::Following => SHUT_DOWN,
            Phase::Stopping | Phase::Killing => "all stopped",
        };
        self.output.say(&[text])?;
        self.drain();
        Ok(self.output.exit_code())
    }

    /// Shows the progress of a start or stop in one line at the bottom.
    fn draw_live_line(&mut self) -> Result<(), ClientError> {
        if self.phase == Phase::Following || !self.output.has_live_line() {
            return Ok(());
        }
        let width = tty::window_size(std::io::stdout().as_fd()).map_or(80, |(_, cols)| cols);
        let line = match self.phase {
            Phase::Starting => self.progress.live_line(usize::from(width)),
            Phase::Following | Phase::Stopping | Phase::Killing => {
                let (count, names) = (self.progress.alive(), self.progress.still_up());
                let line = format!("stopping {count}: {}", names.join(" "));
                let line = cut(&line, usize::from(width).saturating_sub(1));
                self.context.style.paint(Paint::Dim, &line)
            }
        };
        self.output.draw_live_line(&line)
    }
}

fn notice_text(event: &EventInfo) -> String {
    let mut parts = Vec::new();
    match &event.to {
        Some(to) => parts.push(to.to_string()),
        None => parts.push(in_words(&event.event)),
    }
    if let Some(pid) = event
        .pid
        .filter(|_| event.to == Some(ProcessState::Running))
    {
        parts.push(format!("pid {pid}"));
    }
    if !event.detail.is_empty() {
        parts.push(crate::text::printable::printable(&event.detail));
    }
    format!("[{}]", parts.join(", "))
}

/// The processes that a client leaves, as the subject of a sentence.
fn keeps(alive: usize) -> String {
    let verb = if alive == 1 { "keeps" } else { "keep" };
    format!("{} {verb}", plural(alive, "process", "processes"))
}
