//! A block of lines that is redrawn in place, until a key ends it.

use crate::client::context::write_stdout;
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::lifecycle::SHUTDOWN_EVENT;
use crate::client::error::ClientError;
use crate::client::ui::event_loop::{FdWatch, SignalSource, wait};
use crate::client::ui::fatal_signals::deadly;
use crate::client::ui::style::Style;
use crate::sys::tty;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// The longest time between two redraws, for the clocks in the block, and the shortest.
const REDRAW_MAX: Duration = Duration::from_secs(1);
const REDRAW_MIN: Duration = Duration::from_millis(50);

/// Draws on the alternate screen and reads keys. Dropping it restores the terminal.
pub(crate) struct LiveView {
    terminal: OwnedFd,
    raw: tty::RawMode,
    signals: SignalSource,
    /// Each of its notifications is a reason to redraw.
    events: DaemonConnection,
    /// The daemon has announced its orderly end.
    announced: bool,
}

/// The end of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ViewTurn {
    /// There is a reason to redraw.
    Redraw,
    /// The user or a signal ends the view.
    Left,
    /// The daemon has ended in order.
    ShutDown,
}

/// How long the last events of a daemon that is gone may take.
const LAST_EVENTS: Duration = Duration::from_secs(1);

impl LiveView {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn open(events: DaemonConnection) -> Result<LiveView, ClientError> {
        let terminal = tty::open().map_err(failed)?;
        // Before raw mode, so that a signal between the two restores the terminal.
        let signals = SignalSource::new(&deadly()).map_err(failed)?;
        let view = LiveView {
            raw: tty::RawMode::enter(terminal.as_fd()).map_err(failed)?,
            terminal,
            signals,
            events,
            announced: false,
        };
        write_stdout(b"\x1b[?1049h\x1b[?25l")?;
        Ok(view)
    }

    /// Rows and columns.
    pub(crate) fn size(&self) -> (usize, usize) {
        match tty::window_size(self.terminal.as_fd()) {
            Ok((rows, cols)) if rows > 0 && cols > 0 => (usize::from(rows), usize::from(cols)),
            _ => (24, 80),
        }
    }

    /// Draws the lines from the top.
    ///
    /// # Errors
    /// When the output is closed.
    pub(crate) fn draw(&self, lines: &[String]) -> Result<(), ClientError> {
        let style = Style::stdout();
        let mut text = "\x1b[H".to_string();
        for line in lines {
            text.push_str(&style.safe(line));
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        write_stdout(text.as_bytes())
    }

    /// Waits for a reason to redraw, or for the end.
    ///
    /// # Errors
    /// `Disconnected` when the daemon is gone.
    pub(crate) fn wait(&mut self) -> Result<ViewTurn, ClientError> {
        let start = Instant::now();
        let mut changed = false;
        loop {
            let pause = if changed { REDRAW_MIN } else { REDRAW_MAX };
            let watches = [
                FdWatch::readable(&self.terminal),
                FdWatch::readable(&self.events),
                FdWatch::readable(&self.signals),
            ];
            let [key, events, signals] = wait(watches, Some(start + pause)).map_err(failed)?;
            if signals.is_readable() && self.signals.pending().next().is_some() {
                return Ok(ViewTurn::Left);
            }
            if key.is_readable() {
                return Ok(match self.reads_leaving_key() {
                    true => ViewTurn::Left,
                    false => ViewTurn::Redraw,
                });
            }
            if events.is_readable() {
                match self.events.receive() {
                    Err(ClientError::Disconnected) if self.announced => {
                        return Ok(ViewTurn::ShutDown);
                    }
                    received => received?,
                }
                while let Some((_, event)) = self.events.buffered_notification()? {
                    self.announced |= event["event"] == SHUTDOWN_EVENT;
                    changed = true;
                }
            }
            if start.elapsed() >= pause {
                return Ok(ViewTurn::Redraw);
            }
        }
    }

    /// Whether the daemon, whose connection was lost, has announced its end.
    pub(crate) fn was_shut_down(&mut self) -> bool {
        let until = Some(Instant::now() + LAST_EVENTS);
        while let Ok(Some((_, event))) = self.events.notification_before(until) {
            self.announced |= event["event"] == SHUTDOWN_EVENT;
        }
        self.announced
    }

    /// Reads one key: the keys behind it are for the shell.
    fn reads_leaving_key(&self) -> bool {
        let mut byte = [0];
        match crate::sys::io::read(self.terminal.as_fd(), &mut byte) {
            Ok(1..) => matches!(byte[0], b'q' | b'Q' | 0x03 | 0x04 | 0x1b),
            Ok(0) | Err(_) => true,
        }
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        // Fails only when the terminal is gone.
        let _ = write_stdout(b"\x1b[?25h\x1b[?1049l");
        let _ = self.raw.restore();
    }
}

fn failed(error: io::Error) -> ClientError {
    ClientError::Failed(format!("terminal: {error}"))
}
