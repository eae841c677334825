//! The daemon's process: its start and its end.

use crate::client::error::{ClientError, exit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// How long the daemon may take to exit after its last process, in seconds.
const EXIT_TIMEOUT_S: i64 = 30;

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

/// Waits until the daemon's process has exited. Returns at once without a pidfd.
///
/// # Errors
/// When it does not exit in time.
pub(crate) fn wait_for_end(daemon: Option<OwnedFd>) -> Result<(), ClientError> {
    let Some(daemon) = daemon else {
        return Ok(());
    };
    let timeout = Timespec {
        tv_sec: EXIT_TIMEOUT_S,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(&daemon, PollFlags::IN)];
    match rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout))) {
        Ok(0) => Err(ClientError::Failed(format!(
            "the daemon did not exit within {EXIT_TIMEOUT_S} s"
        ))),
        _ => Ok(()),
    }
}
