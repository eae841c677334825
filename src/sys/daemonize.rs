//! Forks into the background, and reports to the waiting parent whether the daemon is ready.

use super::{io as bytes, retry};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The process in which [`daemonize`] returned.
#[derive(Debug)]
pub(crate) enum ForkSide {
    /// The process that the user started. It waits for the result and exits.
    Parent(StartupResult),
    /// The future daemon: in a session of its own, still with the old stdio.
    Child(ReadyPipe),
}

/// The reading end of the readiness pipe.
#[derive(Debug)]
pub(crate) struct StartupResult {
    fd: OwnedFd,
    pid: i32,
}

/// The writing end of the readiness pipe.
#[derive(Debug)]
pub(crate) struct ReadyPipe {
    fd: OwnedFd,
}

const READY: u8 = b'+';
const FAILED: u8 = b'-';
const FAILURE_BYTES_MAX: usize = 4096;

/// Closes every inherited descriptor above stdio. Call it before the daemon opens any.
pub(crate) fn close_inherited() {
    super::spawn::close_all_above_stdio();
}

/// Forks, and makes the child the leader of a new session.
///
/// Call it while the process has only one thread: locks of another thread would stay locked in
/// the child forever. Call it before any poll set or signalfd exists: they do not survive a fork.
pub(crate) fn daemonize() -> io::Result<ForkSide> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the caller has only one thread, so the child's copy of memory is consistent.
    let pid = retry(|| unsafe { libc::fork() })?;
    if pid > 0 {
        drop(write);
        return Ok(ForkSide::Parent(StartupResult { fd: read, pid }));
    }
    drop(read);
    rustix::process::setsid()?;
    Ok(ForkSide::Child(ReadyPipe { fd: write }))
}

impl StartupResult {
    /// Waits until the child is ready and returns its pid, or the message of its failure.
    pub(crate) fn wait(self) -> Result<i32, String> {
        let mut message = Vec::new();
        let mut buffer = [0_u8; 512];
        while message.len() <= FAILURE_BYTES_MAX {
            match bytes::read(self.fd.as_fd(), &mut buffer) {
                Ok(0) => break,
                Ok(length) => message.extend(buffer.iter().take(length)),
                Err(error) => return Err(format!("waiting for the daemon: {error}")),
            }
        }
        match message.split_first() {
            Some((&READY, _)) => Ok(self.pid),
            Some((_, text)) => Err(String::from_utf8_lossy(text).into_owned()),
            None => Err("the daemon ended before it was ready; see its log".to_string()),
        }
    }
}

impl ReadyPipe {
    /// Reports that the socket accepts connections, so that the parent exits 0.
    pub(crate) fn ready(self) -> io::Result<()> {
        self.send(&[READY])
    }

    /// Reports that the daemon cannot start, and the reason.
    pub(crate) fn failed(self, text: &str) -> io::Result<()> {
        let mut message = vec![FAILED];
        message.extend(text.bytes().take(FAILURE_BYTES_MAX));
        self.send(&message)
    }

    fn send(&self, mut message: &[u8]) -> io::Result<()> {
        while !message.is_empty() {
            let written = bytes::write(self.fd.as_fd(), message)?;
            message = message.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Points descriptors 0, 1 and 2 at `/dev/null`, so that the terminal can close.
pub(crate) fn detach_stdio() -> io::Result<()> {
    point_at_null(0..3)
}

/// Points standard input at `/dev/null`.
pub(crate) fn detach_stdin() -> io::Result<()> {
    point_at_null(0..1)
}

fn point_at_null(targets: std::ops::Range<i32>) -> io::Result<()> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
    for target in targets.clone() {
        // SAFETY: descriptors 0 to 2 are not owned by any value; std refers to them by number
        // and finds /dev/null there from now on. Equal numbers only clear nothing.
        retry(|| unsafe { libc::dup2(null.as_raw_fd(), target) })?;
    }
    if targets.contains(&null.as_raw_fd()) {
        // It was closed before, so this descriptor is one of them and must stay open.
        rustix::io::fcntl_setfd(&null, rustix::io::FdFlags::empty())?;
        std::mem::forget(null);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::*;

    /// Ends a forked child without the test harness's exit code.
    fn end() -> ! {
        // SAFETY: takes a number.
        unsafe { libc::_exit(0) }
    }

    #[test]
    fn the_parent_receives_the_result() {
        alone(
            "sys::daemonize::tests::the_parent_receives_the_result",
            || {
                match daemonize().unwrap() {
                    ForkSide::Parent(outcome) => {
                        let child = outcome.wait().unwrap();
                        crate::sys::pidfd::open(child).unwrap();
                    }
                    ForkSide::Child(pipe) => {
                        let leader = rustix::process::getsid(None) == Ok(rustix::process::getpid());
                        let _ = if leader {
                            pipe.ready()
                        } else {
                            pipe.failed("no session")
                        };
                        end();
                    }
                }
                match daemonize().unwrap() {
                    ForkSide::Parent(outcome) => {
                        assert_eq!(outcome.wait(), Err("no port".to_string()))
                    }
                    ForkSide::Child(pipe) => {
                        let _ = pipe.failed("no port");
                        end();
                    }
                }
                match daemonize().unwrap() {
                    ForkSide::Parent(outcome) => {
                        let text = outcome.wait().unwrap_err();
                        assert_eq!(text, "the daemon ended before it was ready; see its log");
                    }
                    ForkSide::Child(pipe) => {
                        drop(pipe);
                        end();
                    }
                }
            },
        );
    }

    #[test]
    fn inherited_descriptors_are_closed() {
        alone(
            "sys::daemonize::tests::inherited_descriptors_are_closed",
            || {
                let high = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 100).unwrap();
                let number = std::os::fd::IntoRawFd::into_raw_fd(high);
                let place = format!("/proc/self/fd/{number}");
                assert!(std::fs::symlink_metadata(&place).is_ok());
                close_inherited();
                assert!(std::fs::symlink_metadata(&place).is_err());
            },
        );
    }

    #[test]
    fn detached_stdio_is_null() {
        alone("sys::daemonize::tests::detached_stdio_is_null", || {
            let target = |fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
            let saved = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3).unwrap();
            detach_stdio().unwrap();
            let targets = [target(0), target(1), target(2)];
            rustix::stdio::dup2_stdout(&saved).unwrap();
            assert_eq!(targets, ["/dev/null"; 3].map(std::path::PathBuf::from));
            // SAFETY: this process is this test's own.
            unsafe { libc::close(0) };
            detach_stdio().unwrap();
            let targets = [target(0), target(1), target(2)];
            rustix::stdio::dup2_stdout(&saved).unwrap();
            assert_eq!(targets, ["/dev/null"; 3].map(std::path::PathBuf::from));
        });
    }
}
