//! The standard output of a foreground `up`, until it is lost.

use crate::client::context::{Context, write_stdout};
use crate::client::error::{ClientError, exit};
use crate::client::ui::stdout_watch::can_be_watched;
use rustix::io::Errno;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd};

/// Prints lines and output above a live line. After [`ForegroundOutput::lose`] it prints nothing.
pub(super) struct ForegroundOutput<'a> {
    context: &'a Context,
    /// The end of the reader of a pipe is noticed at once. A terminal that is gone sends SIGHUP.
    is_watched: bool,
    /// Whether a live line is on the screen.
    live_line: bool,
    /// The exit code, once the output is lost.
    lost: Option<i32>,
}

impl<'a> ForegroundOutput<'a> {
    pub(super) fn new(context: &'a Context) -> ForegroundOutput<'a> {
        ForegroundOutput {
            context,
            is_watched: can_be_watched() && !std::io::stdout().is_terminal(),
            live_line: false,
            lost: None,
        }
    }

    /// Prints nothing from now on.
    pub(super) fn lose(&mut self, error: &ClientError) {
        self.lost = Some(match error {
            ClientError::OutputClosed => exit::FAILED,
            error => error.exit_code(),
        });
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Whether the end of its reader is to be waited for.
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched && !self.is_lost()
    }

    /// The exit code of an orderly end.
    pub(super) fn exit_code(&self) -> i32 {
        self.lost.unwrap_or(exit::DONE)
    }

    /// Prints the client's own lines.
    pub(super) fn say<S: AsRef<str>>(&mut self, lines: &[S]) -> Result<(), ClientError> {
        let global = &self.context.global;
        if global.quiet || global.json || lines.is_empty() || self.is_lost() {
            return Ok(());
        }
        self.clear_live_line()?;
        self.context.print_wrapped(lines)
    }

    pub(super) fn print(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        if bytes.is_empty() || self.is_lost() {
            return Ok(());
        }
        self.clear_live_line()?;
        write_stdout(bytes)
    }

    /// Whether there is room for a live line.
    pub(super) fn has_live_line(&self) -> bool {
        self.context.is_terminal() && !self.context.global.quiet && !self.is_lost()
    }

    /// Shows one line at the bottom.
    pub(super) fn draw_live_line(&mut self, line: &str) -> Result<(), ClientError> {
        self.live_line = true;
        let line = self.context.style.safe(line);
        write_stdout(format!("\r\x1b[K{line}").as_bytes())
    }

    /// Removes the live line.
    pub(super) fn clear_live_line(&mut self) -> Result<(), ClientError> {
        match std::mem::take(&mut self.live_line) {
            true => write_stdout(b"\r\x1b[K"),
            false => Ok(()),
        }
    }
}

/// Whether a terminal of the client is gone: its user has left. SIGHUP then does not ask for a
/// reload.
pub(super) fn is_hung_up() -> bool {
    let is_gone = |fd: BorrowedFd<'_>| rustix::termios::tcgetattr(fd).err() == Some(Errno::IO);
    is_gone(std::io::stdin().as_fd())
        || is_gone(std::io::stdout().as_fd())
        || is_gone(std::io::stderr().as_fd())
}
