//! The daemon's process: its start and its end.

use crate::client::error::{ClientError, exit};
use crate::client::ui::event_loop::{FdWatch, wait};
use crate::sys::{lost_lock, pidfd};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
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

/// A daemon that did not start, and its words about it.
#[derive(Debug)]
pub(crate) struct FailedStart {
    words: Vec<u8>,
}

impl FailedStart {
    /// Prints the words of the daemon.
    pub(crate) fn report(self) -> ClientError {
        let _ = std::io::stderr().write_all(&self.words);
        ClientError::AlreadyReported(exit::FAILED)
    }
}

/// Starts `tmd` in the background, from the client's own executable. The daemon answers requests
/// when this returns.
///
/// # Errors
/// When it cannot be executed. The inner error: it does not start.
pub(crate) fn start_daemon(
    config: &Path,
    socket: Option<&Path>,
) -> Result<Result<(), FailedStart>, ClientError> {
    let own = std::env::current_exe()
        .map_err(|error| ClientError::Failed(format!("cannot find tm's executable: {error}")))?;
    let mut command = Command::new(own);
    command
        .arg0("tmd")
        .args(["-d", "--warned"])
        .arg("-c")
        .arg(config)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(socket) = socket {
        command.arg("--socket").arg(socket);
    }
    let failed = |error| ClientError::Failed(format!("cannot start the daemon: {error}"));
    let mut child = command.spawn().map_err(failed)?;
    let (status, words) = outcome(&mut child).map_err(failed)?;
    if !status.success() {
        return Ok(Err(FailedStart { words }));
    }
    // Its warnings.
    let _ = std::io::stderr().write_all(&words);
    Ok(Ok(()))
}

/// Waits for the end of a child, and reads its standard error until then: the processes that it
/// leaves may keep that open.
fn outcome(child: &mut Child) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let mut words = Vec::new();
    let pid = i32::try_from(child.id()).unwrap_or(0);
    if let (Some(mut stderr), Ok(process)) = (child.stderr.take(), pidfd::open(pid)) {
        let mut buffer = [0; 4096];
        loop {
            let watches = [FdWatch::readable(&stderr), FdWatch::readable(&process)];
            let [readable, ended] = wait(watches, None)?;
            if readable.is_readable() {
                match stderr.read(&mut buffer)? {
                    0 => break,
                    count => words.extend_from_slice(&buffer[..count]),
                }
            } else if ended.is_readable() {
                break;
            }
        }
    }
    Ok((child.wait()?, words))
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
    match daemon {
        Some(daemon) if !ends_within(&daemon, EXIT_TIMEOUT) => Err(ClientError::Failed(format!(
            "the daemon did not exit within {} s after its last process",
            EXIT_TIMEOUT.as_secs()
        ))),
        _ => Ok(()),
    }
}

/// Whether a process exits within this time.
pub(crate) fn ends_within(process: &OwnedFd, time: Duration) -> bool {
    let until = Instant::now().checked_add(time);
    loop {
        match wait([FdWatch::readable(process)], until) {
            Ok([ended]) if ended.is_readable() => return true,
            Err(_) => return false,
            Ok(_) if until.is_some_and(|until| Instant::now() >= until) => return false,
            Ok(_) => {}
        }
    }
}
