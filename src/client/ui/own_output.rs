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

impl OwnOutput {
    /// Writes everything, or as much as is taken until then.
    ///
    /// # Errors
    /// `TimedOut` when not everything was taken, and others of the stream.
    pub(crate) fn write_all_until(&self, mut bytes: &[u8], until: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let [ready] = wait([FdWatch::new(self, false, true)], Some(until))?;
            match self.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Err(_) if !ready.is_writable() || Instant::now() >= until => {
                    return Err(ErrorKind::TimedOut.into());
                }
                Err(_) => {}
            }
        }
        Ok(())
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
