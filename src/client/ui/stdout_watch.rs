//! Watches standard output for its reader. Without it, a verb that waits for the daemon would not
//! notice that the pipe was closed.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The result of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The daemon sent data or closed the connection.
    Readable,
    /// The timeout passed.
    Idle,
    /// The reader of standard output closed it.
    Closed,
}

/// Whether poll reports the end of the reader. It does for pipes and sockets; a terminal sends a
/// signal instead.
pub fn can_be_watched() -> bool {
    let stat = fstat(std::io::stdout());
    stat.is_ok_and(|stat| {
        let kind = FileType::from_raw_mode(stat.st_mode);
        matches!(kind, FileType::Fifo | FileType::Socket)
    })
}

/// Whether a read timed out.
pub fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Waits for the daemon, up to `timeout`.
pub fn await_daemon(daemon: &UnixStream, timeout: Option<Duration>) -> Waited {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let stdout = std::io::stdout();
    // Without requested events, poll reports only errors and hang-ups of standard output.
    let mut fds = [
        PollFd::new(daemon, PollFlags::IN),
        PollFd::new(&stdout, PollFlags::empty()),
    ];
    let polled = rustix::io::retry_on_intr(|| {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        poll(&mut fds, left.as_ref())
    });
    match polled {
        Ok(0) => Waited::Idle,
        Ok(_) if !fds[1].revents().is_empty() => Waited::Closed,
        // The next read reports the error.
        Ok(_) | Err(_) => Waited::Readable,
    }
}
