//! Watches standard output for its reader. Without it, a verb that waits for the daemon would not
//! notice that the pipe was closed.

use crate::client::ui::event_loop::{FdWatch, wait};
use rustix::fs::{FileType, fstat};
use std::io::{ErrorKind, IsTerminal};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The result of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The daemon sent data or closed the connection.
    Readable,
    /// The timeout passed.
    Idle,
    /// The reader of standard output closed it.
    Closed,
}

/// Whether poll reports the end of the reader. It does for pipes, sockets and terminals; a terminal
/// also sends SIGHUP, which the client may ignore.
pub(crate) fn can_be_watched() -> bool {
    let stat = fstat(std::io::stdout());
    stat.is_ok_and(|stat| {
        let kind = FileType::from_raw_mode(stat.st_mode);
        matches!(kind, FileType::Fifo | FileType::Socket) || std::io::stdout().is_terminal()
    })
}

/// Whether a read timed out.
pub(crate) fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Waits for the daemon, for at most this time.
pub(crate) fn await_daemon(daemon: &UnixStream, timeout: Option<Duration>) -> Waited {
    let stdout = std::io::stdout();
    let watches = [FdWatch::readable(daemon), FdWatch::hang_up(&stdout)];
    let until = timeout.map(|timeout| Instant::now() + timeout);
    match wait(watches, until) {
        Ok([_, stdout]) if stdout.is_readable() => Waited::Closed,
        Ok([daemon, _]) if !daemon.is_readable() => Waited::Idle,
        // The read reports any error.
        Ok(_) | Err(_) => Waited::Readable,
    }
}
