//! A line about the processes that a verb still waits for, on a terminal.

use crate::client::context::{Context, write_stdout};
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::received::parse;
use crate::client::error::ClientError;
use crate::client::ui::event_loop::{FdWatch, wait};
use crate::client::ui::style::Paint;
use crate::client::ui::table::cut;
use crate::wire::{ActParams, Call, EventInfo, EventsParams, StatusReply, TargetsParams};
use serde_json::Value;
use signal_hook::consts::SIGINT;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A verb that is quicker than this shows no line.
const QUICK: Duration = Duration::from_millis(300);

/// The most names that a line can show.
const NAMES_MAX: usize = 100;

/// Makes a call that acts on processes, and shows for which of them it waits.
///
/// # Errors
/// Of the connection, the request or the output.
pub(crate) fn call_live(
    context: &Context,
    params: &ActParams,
    call: &Call,
) -> Result<Value, ClientError> {
    let mut connection = context.connect()?;
    let targets = TargetsParams {
        targets: params.targets.clone(),
    };
    let status: StatusReply = connection.call(&Call::Status(targets))?;
    let mut events = context.connect()?;
    let _: Value = events.call_value(&Call::Events(EventsParams { follow: true }))?;
    if context.shell.is_none() {
        connection.guard(&[SIGINT]);
    }
    connection.send(call)?;
    let names = status.processes.into_iter().map(|process| process.name);
    let mut line = WaitingLine::new(context, names);
    let answer = line.wait(&mut connection, &mut events, matches!(call, Call::Stop(_)));
    line.clear()?;
    match context.shell {
        Some(_) => answer,
        None => answer.map_err(|error| connection.or_interrupted(error)),
    }
}

/// The line, and the processes in it.
pub(crate) struct WaitingLine<'a> {
    context: &'a Context,
    /// The processes without an outcome.
    open: BTreeSet<String>,
    shown: bool,
    /// When the line is drawn first.
    due: Instant,
}

impl WaitingLine<'_> {
    /// Creates the line, to be drawn a moment later.
    pub(crate) fn new(context: &Context, names: impl Iterator<Item = String>) -> WaitingLine<'_> {
        WaitingLine {
            context,
            open: names.collect(),
            shown: false,
            due: Instant::now() + QUICK,
        }
    }

    /// Whether every process has its outcome.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When the line is to be drawn, if it is not yet there.
    pub(crate) fn due(&self) -> Option<Instant> {
        let live = self.context.is_terminal() && !self.context.global.quiet;
        (live && !self.shown).then_some(self.due)
    }

    fn wait(
        &mut self,
        connection: &mut DaemonConnection,
        events: &mut DaemonConnection,
        stops: bool,
    ) -> Result<Value, ClientError> {
        let mut following = true;
        loop {
            if let Some(answer) = connection.buffered_answer()? {
                return Ok(answer);
            }
            let watches = [
                FdWatch::readable(connection),
                FdWatch::new(events, following, false),
            ];
            let ready = wait(watches, self.due());
            let [answer, event] =
                ready.map_err(|error| ClientError::Failed(format!("poll: {error}")))?;
            if event.is_readable() && following {
                following = events.receive().is_ok();
                while let Some((_, params)) = events.buffered_notification()? {
                    self.take(&parse(params)?, stops);
                }
            }
            if answer.is_readable() {
                connection.receive()?;
            } else {
                self.draw_if_due()?;
            }
        }
    }

    /// Handles an event. A verb that `stops` processes waits until they are down.
    pub(crate) fn take(&mut self, event: &EventInfo, stops: bool) {
        let (Some(process), Some(to)) = (&event.process, &event.to) else {
            return;
        };
        let settled = match to.as_str() {
            "RUNNING" => !stops,
            _ => to.is_down(),
        };
        if settled {
            self.open.remove(process);
        }
    }

    /// Draws the line, unless the verb is quick or the output is no terminal.
    ///
    /// # Errors
    /// `OutputClosed` when the reader has closed it.
    pub(crate) fn draw_if_due(&mut self) -> Result<(), ClientError> {
        let due = self.due().is_none_or(|due| Instant::now() >= due);
        let live = self.context.is_terminal() && !self.context.global.quiet;
        if !live || !due || self.open.is_empty() {
            return Ok(());
        }
        self.shown = true;
        let names: Vec<&str> = self
            .open
            .iter()
            .take(NAMES_MAX)
            .map(String::as_str)
            .collect();
        let line = format!("waiting for {}: {}", self.open.len(), names.join(" "));
        let width = self.context.line_width().unwrap_or(80);
        let line = cut(&line, width.saturating_sub(1));
        let style = self.context.style;
        let line = style.safe(&style.paint(Paint::Dim, &line));
        write_stdout(format!("\r\x1b[K{line}").as_bytes())
    }

    /// Removes the line.
    ///
    /// # Errors
    /// `OutputClosed` when the reader has closed it.
    pub(crate) fn clear(&mut self) -> Result<(), ClientError> {
        match std::mem::take(&mut self.shown) {
            true => write_stdout(b"\r\x1b[K"),
            false => Ok(()),
        }
    }
}
