//! Processes by handle: exact exit statuses, and signals that never reach a reused pid.

use super::retry;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal {
        /// The raw number, real-time signals included.
        signal: i32,
        /// Whether it dumped core.
        core: bool,
    },
}

/// Reaps the child behind `pidfd`; `None` while it lives.
///
/// ECHILD when it is not our child, or already reaped.
pub fn wait(pidfd: BorrowedFd<'_>) -> io::Result<Option<ExitStatus>> {
    let id = pidfd_id(pidfd)?;
    let ended = waitid(libc::P_PIDFD, id, libc::WEXITED | libc::WNOHANG)?;
    Ok(ended.map(|(_, exit)| exit))
}

/// Waits until the child behind `pidfd` has ended, and reaps it.
pub fn wait_blocking(pidfd: BorrowedFd<'_>) -> io::Result<ExitStatus> {
    let id = pidfd_id(pidfd)?;
    match waitid(libc::P_PIDFD, id, libc::WEXITED)? {
        Some((_, exit)) => Ok(exit),
        None => Err(io::Error::from_raw_os_error(libc::ECHILD)),
    }
}

/// Opens a handle to any process; ESRCH when there is none.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = retry(|| unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = i32::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the call made this descriptor (close-on-exec) and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal (any number; 0 only tests) to the process behind `pidfd`. ESRCH when it is gone.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let fd = pidfd.as_raw_fd();
    let info = std::ptr::null_mut::<libc::siginfo_t>();
    let number = libc::SYS_pidfd_send_signal;
    // SAFETY: a null siginfo asks the kernel to fill it as kill(2) would.
    retry(|| unsafe { libc::syscall(number, fd, signal, info, 0) }).map(|_| ())
}

/// Sends a signal to every process of a group. ESRCH when it is empty; EINVAL for 1 and below,
/// which mean something else to the kernel.
pub fn signal_group(pgid: i32, signal: i32) -> io::Result<()> {
    if pgid <= 1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: no memory is involved.
    retry(|| unsafe { libc::kill(-pgid, signal) }).map(|_| ())
}

/// The pid of any child that has ended but is not reaped. Does not reap it.
pub(crate) fn peek_any_zombie() -> io::Result<Option<i32>> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    match waitid(libc::P_ALL, 0, options) {
        Ok(ended) => Ok(ended.map(|(pid, _)| pid)),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A child was stopped by a signal, or continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    /// Its process id.
    pub pid: i32,
    /// The signal that stopped it; `None` if it runs again.
    pub signal: Option<i32>,
}

/// Takes the next report of a child that was stopped or continued.
pub(crate) fn next_pause() -> io::Result<Option<Pause>> {
    let options = libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG;
    // SAFETY: siginfo_t is plain data for which all zeroes are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one siginfo_t to a live variable.
    match retry(|| unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) }) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
        other => other?,
    };
    // SAFETY: waitid fills the SIGCHLD fields, or leaves all zeroes when nothing was found.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let signal = (info.si_code != libc::CLD_CONTINUED).then_some(status);
    Ok((pid != 0).then_some(Pause { pid, signal }))
}

/// Reaps the child with this pid; `None` while it lives.
pub(crate) fn reap(pid: i32) -> io::Result<Option<ExitStatus>> {
    let id = match libc::id_t::try_from(pid) {
        Ok(id) if id > 0 => id,
        _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    let ended = waitid(libc::P_PID, id, libc::WEXITED | libc::WNOHANG)?;
    Ok(ended.map(|(_, exit)| exit))
}

fn pidfd_id(pidfd: BorrowedFd<'_>) -> io::Result<libc::id_t> {
    libc::id_t::try_from(pidfd.as_raw_fd()).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))
}

/// The pid and exit status of a matching child; `None` if WNOHANG found none.
fn waitid(
    kind: libc::idtype_t,
    id: libc::id_t,
    options: i32,
) -> io::Result<Option<(i32, ExitStatus)>> {
    // SAFETY: siginfo_t is plain data for which all zeroes are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one siginfo_t to a live variable.
    retry(|| unsafe { libc::waitid(kind, id, &raw mut info, options) })?;
    // SAFETY: waitid fills the SIGCHLD fields, or leaves all zeroes when nothing was found.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let exit = match info.si_code {
        libc::CLD_EXITED => ExitStatus::Code(status),
        code => ExitStatus::Signal {
            signal: status,
            core: code == libc::CLD_DUMPED,
        },
    };
    Ok(Some((pid, exit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::*;
    use std::os::fd::AsFd;

    #[test]
    fn neither_a_living_nor_a_reaped_child_has_a_status() {
        let cat = cat(|_| {});
        let pidfd = cat.child.pidfd.try_clone().unwrap();
        assert_eq!(wait(pidfd.as_fd()).unwrap(), None);
        signal(pidfd.as_fd(), 0).unwrap();
        cat.end();
        let error = wait(pidfd.as_fd()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
        let error = signal(pidfd.as_fd(), libc::SIGTERM).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn a_core_dump_keeps_the_signal() {
        let cat = cat(|_| {});
        signal(cat.child.pidfd.as_fd(), libc::SIGSEGV).unwrap();
        // Whether a core is written depends on the limits that the tests run under.
        assert!(matches!(
            exit_of(&cat.child),
            ExitStatus::Signal {
                signal: libc::SIGSEGV,
                ..
            }
        ));
    }

    #[test]
    fn a_handle_to_no_process_is_refused() {
        let error = open(i32::MAX).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
        assert_eq!(open(0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        let own = i32::try_from(std::process::id()).unwrap();
        signal(open(own).unwrap().as_fd(), 0).unwrap();
    }

    #[test]
    fn groups_that_mean_every_process_are_refused() {
        for pgid in [1, 0, -1, i32::MIN] {
            let error = signal_group(pgid, 0).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
        for pid in [0, -1] {
            assert_eq!(reap(pid).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn a_group_outlives_its_leader() {
        // The leader ends once its child runs; the child keeps the output open.
        let piped = piped(&["sh", "-c", "sleep 60 & echo started"]);
        let child = crate::sys::spawn::spawn(&piped.command).unwrap();
        drop(piped.command);
        output_until(&piped.stdout, "started\n");
        readable(child.pidfd.as_fd());
        wait(child.pidfd.as_fd())
            .unwrap()
            .expect("the leader has ended");
        signal_group(child.pid, 0).unwrap();
        signal_group(child.pid, libc::SIGKILL).unwrap();
        assert_eq!(output_of(&piped.stdout), "", "the group is gone");
    }

    #[test]
    fn zombies_are_seen_and_reaped_by_number() {
        alone(
            "sys::pidfd::tests::zombies_are_seen_and_reaped_by_number",
            || {
                assert_eq!(peek_any_zombie().unwrap(), None, "no children at all");
                let cat = cat(|_| {});
                assert_eq!(peek_any_zombie().unwrap(), None, "a living one");
                assert_eq!(reap(cat.child.pid).unwrap(), None);
                signal(cat.child.pidfd.as_fd(), 40).unwrap();
                readable(cat.child.pidfd.as_fd());
                assert_eq!(peek_any_zombie().unwrap(), Some(cat.child.pid));
                assert_eq!(peek_any_zombie().unwrap(), Some(cat.child.pid), "it stays");
                let exit = ExitStatus::Signal {
                    signal: 40,
                    core: false,
                };
                assert_eq!(reap(cat.child.pid).unwrap(), Some(exit));
                assert_eq!(peek_any_zombie().unwrap(), None);
                assert_eq!(
                    reap(cat.child.pid).unwrap_err().raw_os_error(),
                    Some(libc::ECHILD)
                );
            },
        );
    }
}
