//! The child's descriptors: what becomes 0, 1 and 2, and how the others are closed.

use super::{Command, Credentials, SpawnError, Stdio, Step};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;

/// The three source descriptors, none of them below 3, so that the child's dup2 calls cannot
/// overwrite one that is still to come.
pub(super) struct LiftedStdio<'a> {
    sources: [BorrowedFd<'a>; 3],
    lifted: [Option<OwnedFd>; 3],
}

impl<'a> LiftedStdio<'a> {
    /// Dups what is below 3.
    pub fn new(command: &'a Command) -> Result<Self, SpawnError> {
        let sources = match &command.stdio {
            Stdio::Tty(slave) => [slave.as_fd(); 3],
            Stdio::Fds {
                stdin,
                stdout,
                stderr,
            } => [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        };
        let mut lifted = [None, None, None];
        for (source, lifted) in sources.iter().zip(&mut lifted) {
            if source.as_raw_fd() < 3 {
                *lifted = Some(lift(*source).map_err(stdio_error)?);
            }
        }
        if let Some(user) = &command.credentials {
            sources.iter().for_each(|source| give_to(*source, user));
        }
        Ok(LiftedStdio { sources, lifted })
    }

    /// The numbers, for the child.
    pub fn raw(&self) -> [RawFd; 3] {
        let [stdin, stdout, stderr] = &self.lifted;
        let [source_in, source_out, source_err] = &self.sources;
        [
            stdin
                .as_ref()
                .map_or(source_in.as_raw_fd(), AsRawFd::as_raw_fd),
            stdout
                .as_ref()
                .map_or(source_out.as_raw_fd(), AsRawFd::as_raw_fd),
            stderr
                .as_ref()
                .map_or(source_err.as_raw_fd(), AsRawFd::as_raw_fd),
        ]
    }
}

fn lift(source: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(source, 3)?)
}

fn stdio_error(error: io::Error) -> SpawnError {
    SpawnError {
        step: Step::Stdio,
        errno: error.raw_os_error().unwrap_or(libc::EIO),
    }
}

/// Makes a terminal or pipe the target user's own, so that opening `/dev/stdout` or the terminal
/// by its name works there. Files and devices are left alone. Failure only costs that comfort.
fn give_to(fd: BorrowedFd<'_>, user: &Credentials) {
    let Ok(stat) = rustix::fs::fstat(fd) else {
        return;
    };
    let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
    let pipe = kind == rustix::fs::FileType::Fifo;
    let terminal = kind == rustix::fs::FileType::CharacterDevice && rustix::termios::isatty(fd);
    if pipe || terminal {
        let _ = rustix::fs::fchown(fd, Some(rustix::fs::Uid::from_raw(user.uid)), None);
    }
}

/// How the child closes what it should not have.
#[derive(Debug, Clone, Copy)]
pub(super) enum CloseMethod {
    /// One system call.
    Range,
    /// One call each up to this descriptor, where the call is forbidden.
    Each(RawFd),
}

impl CloseMethod {
    /// The best that works here.
    pub fn pick() -> CloseMethod {
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        if *AVAILABLE.get_or_init(close_range_available) {
            return CloseMethod::Range;
        }
        CloseMethod::one_by_one()
    }

    /// The fallback, up to the highest descriptor open now.
    pub fn one_by_one() -> CloseMethod {
        CloseMethod::Each(highest_descriptor())
    }
}

/// Whether `close_range` exists and no seccomp filter forbids it.
pub(in crate::sys) fn close_range_available() -> bool {
    // SAFETY: the range holds only the descriptor 4294967295, which cannot exist.
    unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) == 0 }
}

fn highest_descriptor() -> RawFd {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        let (soft, _) = crate::sys::rlimit::nofile();
        return RawFd::try_from(soft).unwrap_or(1 << 20).min(1 << 20);
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let numbers = names.filter_map(|name| name.to_str().and_then(|name| name.parse().ok()));
    numbers.max().unwrap_or(1024)
}
