//! A standard stream that is written without blocking.

use crate::client::ui::event_loop::{FdWatch, wait};
use crate::sys::io as sys_io;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// A pipe that is ready takes this many bytes without blocking.
const PIPE_ROOM: usize = 4096;

/// Standard output or standard error. A terminal or pipe behind it is opened again: O_NONBLOCK of
/// the stream itself would change it for other programs.
#[derive(Debug)]
pub(crate) enum OwnOutput {
    /// A write takes what there is room for.
    Reopened(OwnedFd),
    /// A file, or a stream that cannot be opened again: of another user, or a socket.
    Stdout,
    /// As `Stdout`.
    Stderr,
}

impl OwnOutput {
    /// Standard output.
    pub(crate) fn stdout() -> OwnOutput {
        let reopened = sys_io::reopen_nonblocking(io::stdout().as_fd());
        reopened.map_or(OwnOutput::Stdout, OwnOutput::Reopened)
    }

    /// Standard error.
    pub(crate) fn stderr() -> OwnOutput {
        let reopened = sys_io::reopen_nonblocking(io::stderr().as_fd());
        reopened.map_or(OwnOutput::Stderr, OwnOutput::Reopened)
    }

    /// Writes once. Returns how many bytes were taken.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room, and others of the stream.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if let OwnOutput::Reopened(fd) = self {
            return sys_io::write(fd.as_fd(), bytes);
        }
        let [ready] = wait([FdWatch::new(self, false, true)], Some(Instant::now()))?;
        match ready.is_writable() {
            true => sys_io::write(self.as_fd(), &bytes[..bytes.len().min(PIPE_ROOM)]),
            false => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl AsFd for OwnOutput {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            OwnOutput::Reopened(fd) => fd.as_fd(),
            OwnOutput::Stdout => rustix::stdio::stdout(),
            OwnOutput::Stderr => rustix::stdio::stderr(),
        }
    }
}
