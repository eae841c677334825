//! The daemon's process: its start and its end.

use crate::client::error::{ClientError, exit};
use crate::client::ui::event_loop::{FdWatch, wait};
use crate::sys::{lost_lock, pidfd};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The event that announces an orderly end of the daemon.
pub(crate) const SHUTDOWN_EVENT: &str = "shutdown";

/// The last line of a client that follows a daemon until its orderly end.
pub(crate) const SHUT_DOWN: &str = "the daemon was shut down";

/// How long the daemon may take to exit after its last process.
pub(crate) const EXIT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a daemon may take from its lock to its socket.
const STARTING: Duration = Duration::from_secs(10);

/// How long a daemon may take from the removal of its socket to its end.
const ENDING: Duration = Duration::from_secs(1);

/// The time between two looks for a socket.
const LOOK: Duration = Duration::from_millis(10);

/// Starts `tmd` in the background, from the client's own executable. The daemon answers requests
/// when this returns.
///
/// # Errors
/// When the daemon does not start. It has then printed the reason itself.
pub(crate) fn start_daemon(config: &Path, socket: Option<&Path>) -> Result<(), ClientError> {
    let own = std::env::current_exe()
        .map_err(|error| ClientError::Failed(format!("cannot find tm's executable: {error}")))?;
    let mut command = Command::new(own);
    command
        .arg0("tmd")
        .args(["-d", "--warned"])
        .arg("-c")
        .arg(config)
        .stdin(Stdio::null());
    if let Some(socket) = socket {
        command.arg("--socket").arg(socket);
    }
    let status = command
        .status()
        .map_err(|error| ClientError::Failed(format!("cannot start the daemon: {error}")))?;
    match status.success() {
        true => Ok(()),
        false => Err(ClientError::AlreadyReported(exit::FAILED)),
    }
}

/// Waits while the daemon with the lock of a socket is between its lock and the socket, or
/// between the removal of the socket and its end. Returns whether anything has changed.
pub(crate) fn await_socket(pid: i32, socket: &Path) -> bool {
    let Ok(daemon) = pidfd::open(pid) else {
        return true;
    };
    let began = Instant::now();
    loop {
        let patience = match lost_lock::is_starting(pid) {
            true => STARTING,
            false => ENDING,
        };
        if began.elapsed() >= patience {
            return false;
        }
        let ready = wait([FdWatch::readable(&daemon)], Some(Instant::now() + LOOK));
        if socket.exists() || ready.is_ok_and(|[ended]| ended.is_readable()) {
            return true;
        }
    }
}

/// Waits until the daemon's process has exited. Returns at once without a pidfd.
///
/// # Errors
/// When it does not exit in time.
pub(crate) fn wait_for_end(daemon: Option<OwnedFd>) -> Result<(), ClientError> {
    let Some(daemon) = daemon else {
        return Ok(());
    };
    match wait(
        [FdWatch::readable(&daemon)],
        Some(Instant::now() + EXIT_TIMEOUT),
    ) {
        Ok([ended]) if !ended.is_readable() => Err(ClientError::Failed(format!(
            "the daemon did not exit within {} s after its last process",
            EXIT_TIMEOUT.as_secs()
        ))),
        _ => Ok(()),
    }
}
