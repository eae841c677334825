//! The daemon's signals as a descriptor.

use super::retry;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Signals that are read instead of delivered. They stay blocked after the value is dropped.
#[derive(Debug)]
pub(crate) struct SignalFd {
    fd: OwnedFd,
}

/// One received signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignalInfo {
    pub signal: i32,
    /// The sender; for SIGCHLD the child.
    pub pid: i32,
    /// The user of that process.
    pub uid: u32,
}

impl SignalFd {
    /// Blocks the signals for the calling thread and all threads it starts later. Call it before
    /// other threads exist, and after daemonizing: an epoll set that watches the descriptor from
    /// before a fork never reports it. EINVAL for a number that is no signal.
    pub(crate) fn new(signals: &[i32]) -> io::Result<Self> {
        block(signals)?;
        let set = signal_set(signals)?;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set is initialised; -1 asks for a new descriptor.
        let fd = retry(|| unsafe { libc::signalfd(-1, &raw const set, flags) })?;
        // SAFETY: the call made this descriptor and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(SignalFd { fd })
    }

    /// Reads the next signal; `None` when none is pending. Equal pending signals count as one.
    /// Read until `None`: an edge-triggered poll does not report the rest.
    pub(crate) fn read(&self) -> io::Result<Option<SignalInfo>> {
        let mut record = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let length = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `length` bytes to a variable of that size.
        let result = retry(|| unsafe {
            libc::read(self.fd.as_raw_fd(), record.as_mut_ptr().cast(), length)
        });
        match result {
            Ok(read) if usize::try_from(read) == Ok(length) => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        // SAFETY: zeroed before and fully written now; plain data.
        let record = unsafe { record.assume_init() };
        Ok(Some(SignalInfo {
            signal: i32::try_from(record.ssi_signo).unwrap_or(0),
            pid: i32::try_from(record.ssi_pid).unwrap_or(0),
            uid: record.ssi_uid,
        }))
    }
}

/// Blocks signals for the calling thread and all threads it starts later. Those that come meanwhile
/// wait for a [`SignalFd`].
pub(crate) fn block(signals: &[i32]) -> io::Result<()> {
    let set = signal_set(signals)?;
    // SAFETY: the set is initialised; a null pointer drops the old mask.
    let result =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    match result {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Restores the default action of SIGCHLD. If the parent left it ignored, as after `trap '' CHLD`
/// in a shell, the kernel would reap all children and discard their exit statuses.
pub(crate) fn restore_sigchld() {
    // SAFETY: SIG_DFL is no handler, so no code of this crate runs at a signal.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn signal_set(signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in signals {
        // SAFETY: the set is initialised; a bad number is refused with EINVAL.
        retry(|| unsafe { libc::sigaddset(&raw mut set, *signal) })?;
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::*;

    #[test]
    fn signals_are_read_one_by_one() {
        alone("sys::signalfd::tests::signals_are_read_one_by_one", || {
            let signals = [libc::SIGHUP, libc::SIGUSR1, 40];
            let signalfd = SignalFd::new(&signals).unwrap();
            assert_eq!(signalfd.read().unwrap(), None);
            for signal in [libc::SIGUSR1, libc::SIGHUP, 40, libc::SIGHUP] {
                // To this thread: the test harness has another one, which does not block them.
                // SAFETY: takes numbers only.
                unsafe { libc::raise(signal) };
            }
            readable(signalfd.as_fd());
            let own = i32::try_from(std::process::id()).unwrap();
            let mut seen = Vec::new();
            while let Some(info) = signalfd.read().unwrap() {
                assert_eq!(
                    (info.pid, info.uid),
                    (own, rustix::process::getuid().as_raw())
                );
                seen.push(info.signal);
            }
            assert_eq!(
                seen,
                [libc::SIGHUP, libc::SIGUSR1, 40],
                "two of a kind are one"
            );
        });
    }

    #[test]
    fn a_number_that_is_no_signal_is_refused() {
        for number in [0, -1, 65] {
            let error = SignalFd::new(&[number]).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn it_is_closed_on_exec() {
        alone("sys::signalfd::tests::it_is_closed_on_exec", || {
            let signalfd = SignalFd::new(&[libc::SIGUSR2]).unwrap();
            let flags = rustix::io::fcntl_getfd(&signalfd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        });
    }
}
