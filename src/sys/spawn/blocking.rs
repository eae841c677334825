//! A start that waits, for tests. The daemon never waits for a child.

use super::descriptors::stdio_error;
use super::{Command, Launcher, SpawnError, StartProgress, Stdio};
use rustix::event::{PollFd, PollFlags};
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};

/// A child that has exec'd.
#[derive(Debug)]
pub struct Spawned {
    /// The process id, also the process group and (with `session`) the session.
    pub pid: i32,
    /// The handle for signals and reaping.
    pub pidfd: OwnedFd,
}

/// Starts a copy of `command` and waits until it has exec'd or failed. A failed child is already
/// reaped.
///
/// # Errors
/// The step that failed.
pub fn spawn(command: &Command) -> Result<Spawned, SpawnError> {
    thread_local! {
        static LAUNCHER: RefCell<Option<Launcher>> = const { RefCell::new(None) };
    }
    LAUNCHER.with_borrow_mut(|launcher| match launcher {
        Some(launcher) => spawn_with(launcher, command),
        None => spawn_with(launcher.insert(Launcher::new()?), command),
    })
}

/// The same with this launcher.
///
/// # Errors
/// The step that failed.
pub(crate) fn spawn_with(
    launcher: &mut Launcher,
    command: &Command,
) -> Result<Spawned, SpawnError> {
    let started = launcher.start(copy_of(command)?);
    let mut start = started.map_err(|failed| failed.0)?;
    let result = loop {
        match launcher.poll(&mut start) {
            StartProgress::Pending => {
                let mut fds = [PollFd::from_borrowed_fd(start.report(), PollFlags::IN)];
                // An interrupted wait is repeated.
                let _ = rustix::event::poll(&mut fds, None);
            }
            StartProgress::Executed => break Ok(()),
            StartProgress::Failed(error) => {
                // An error means that the kernel has already reaped it (SIGCHLD ignored).
                let _ = crate::sys::pidfd::wait_blocking(start.pidfd());
                break Err(error);
            }
        }
    };
    let (pid, pidfd) = launcher.release(start);
    result.map(|()| Spawned { pid, pidfd })
}

fn copy_of(command: &Command) -> Result<Command, SpawnError> {
    let copy = |fd: &OwnedFd| fd.as_fd().try_clone_to_owned().map_err(stdio_error);
    let stdio = match &command.stdio {
        Stdio::Tty(slave) => Stdio::Tty(copy(slave)?),
        Stdio::Fds {
            stdin,
            stdout,
            stderr,
        } => Stdio::Fds {
            stdin: copy(stdin)?,
            stdout: copy(stdout)?,
            stderr: copy(stderr)?,
        },
        Stdio::Closed => Stdio::Closed,
    };
    Ok(Command {
        argv: command.argv.clone(),
        candidates: command.candidates.clone(),
        envp: command.envp.clone(),
        workingdir: command.workingdir.clone(),
        stdio,
        files: command.files.clone(),
        credentials: command.credentials.clone(),
        cgroup: command.cgroup.clone(),
        ..*command
    })
}
