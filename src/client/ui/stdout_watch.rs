//! Whether anybody reads standard output any more: a verb that waits would not notice.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What has been waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The daemon says something, or has closed the connection.
    Readable,
    /// The time was over.
    Idle,
    /// Nobody reads standard output any more.
    Closed,
}

/// Whether standard output can tell that nobody reads it: a terminal sends a signal instead.
pub fn can_be_watched() -> bool {
    let stat = fstat(std::io::stdout());
    stat.is_ok_and(|stat| {
        let kind = FileType::from_raw_mode(stat.st_mode);
        matches!(kind, FileType::Fifo | FileType::Socket)
    })
}

/// Whether a read ended because its time was over.
pub fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Waits for the daemon, at most so long.
pub fn await_daemon(daemon: &UnixStream, timeout: Option<Duration>) -> Waited {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let stdout = std::io::stdout();
    // Of standard output only what nobody has to ask for: errors and its end.
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
        // What is wrong, the read will tell.
        Ok(_) | Err(_) => Waited::Readable,
    }
}
