//! The standard output of a foreground `up`, until it is lost.

use crate::client::context::{Context, unwritten};
use crate::client::error::{ClientError, exit};
use crate::client::ui::own_output::OwnOutput;
use crate::client::ui::stdout_watch::can_be_watched;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{ErrorKind, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

/// No more output is read while this many bytes wait for the terminal or pipe.
const WAITING_MAX: usize = 64 * 1024;

/// Prints lines and output above a live line, and never waits for the reader. After
/// [`ForegroundOutput::lose`] it prints nothing.
pub(super) struct ForegroundOutput<'a> {
    context: &'a Context,
    stdout: OwnOutput,
    /// The bytes that the reader has not taken yet.
    waiting: VecDeque<u8>,
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
            stdout: OwnOutput::stdout(),
            waiting: VecDeque::new(),
            is_watched: can_be_watched() && !std::io::stdout().is_terminal(),
            live_line: false,
            lost: None,
        }
    }

    /// Whether there is output that the reader has not taken.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether so much output waits that no more may be read.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// Gives up the output that waits, and prints nothing from now on.
    pub(super) fn abandon(&mut self) {
        self.lost.get_or_insert(exit::DONE);
        self.waiting.clear();
    }

    /// Writes as much as the reader takes.
    ///
    /// # Errors
    /// Of standard output.
    pub(super) fn write_some(&mut self) -> Result<(), ClientError> {
        while !self.waiting.is_empty() && !self.is_lost() {
            let (first, _) = self.waiting.as_slices();
            match self.stdout.write(first) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(unwritten(error)),
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.waiting.extend(bytes);
        self.write_some()
    }

    /// Prints nothing from now on.
    pub(super) fn lose(&mut self, error: &ClientError) {
        self.waiting.clear();
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
        let mut text = String::new();
        for line in self.context.wrapped(lines) {
            text.push_str(&self.context.style.safe(&line));
            text.push('\n');
        }
        self.write(text.as_bytes())
    }

    pub(super) fn print(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        if bytes.is_empty() || self.is_lost() {
            return Ok(());
        }
        self.clear_live_line()?;
        self.write(bytes)
    }

    /// Whether there is room for a live line.
    pub(super) fn has_live_line(&self) -> bool {
        let global = &self.context.global;
        self.context.is_terminal() && !global.quiet && !self.is_lost() && !self.is_waiting()
    }

    /// Shows one line at the bottom.
    pub(super) fn draw_live_line(&mut self, line: &str) -> Result<(), ClientError> {
        self.live_line = true;
        let line = self.context.style.safe(line);
        self.write(format!("\r\x1b[K{line}").as_bytes())
    }

    /// Removes the live line.
    pub(super) fn clear_live_line(&mut self) -> Result<(), ClientError> {
        match std::mem::take(&mut self.live_line) {
            true => self.write(b"\r\x1b[K"),
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

impl AsFd for ForegroundOutput<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stdout.as_fd()
    }
}
