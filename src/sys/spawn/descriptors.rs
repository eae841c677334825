//! The child's descriptors: the sources of 0, 1 and 2, and the way to close all others.

use super::{Credentials, SpawnError, SpawnStep, Stdio};
use rustix::io::DupFlags;
use rustix::pipe::PipeFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;

/// Low descriptors that hold a child's 0, 1, 2 and report pipe until it has its own table.
///
/// A child copies the daemon's table only up to its highest slot: copying and closing thousands of
/// descriptors would cost more than the start. No slot is below 3, so that none is overwritten
/// before use.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Fills the slots between starts, so that no terminal or pipe stays open.
    null: OwnedFd,
    sets: Vec<[OwnedFd; SLOTS]>,
    /// The unused sets, the lowest last.
    free: Vec<usize>,
}

pub(crate) const SLOTS: usize = 4;

/// Children that may be without their own table at a time. For more, the kernel copies all of
/// the table.
const SETS_MAX: u64 = 8;

/// One set for this many descriptors that the daemon may open.
const LIMIT_PER_SET: u64 = 512;

impl Slots {
    /// Slots in proportion to the limit of open files.
    pub(crate) fn new() -> Result<Self, SpawnError> {
        let null = crate::sys::io::open_null(true).map_err(stdio_error)?;
        let (limit, _) = crate::sys::rlimit::nofile();
        let place = || rustix::io::fcntl_dupfd_cloexec(&null, 3).map_err(stdio_error);
        let mut sets = vec![[place()?, place()?, place()?, place()?]];
        for _ in 1..(limit / LIMIT_PER_SET).min(SETS_MAX) {
            sets.push([place()?, place()?, place()?, place()?]);
        }
        let free = (0..sets.len()).rev().collect();
        Ok(Slots { null, sets, free })
    }

    /// Puts a child's descriptors into a free set. `None` if there is none.
    pub(crate) fn fill(
        &mut self,
        ends: &[BorrowedFd<'_>; SLOTS],
    ) -> Result<Option<FilledSlots>, SpawnError> {
        let Some(number) = self.free.pop() else {
            return Ok(None);
        };
        let set = &mut self.sets[number];
        for (source, place) in ends.iter().zip(&mut *set) {
            if let Err(error) = rustix::io::dup3(source, place, DupFlags::CLOEXEC) {
                self.clear(number);
                return Err(stdio_error(error));
            }
        }
        let numbers = set.each_ref().map(AsRawFd::as_raw_fd);
        Ok(Some(FilledSlots { number, numbers }))
    }

    /// Empties a set: its child has a table of its own, or has ended.
    pub(crate) fn clear(&mut self, number: usize) {
        for place in &mut self.sets[number] {
            // The target is open, so the process cannot run out of descriptors here.
            let _ = rustix::io::dup3(&self.null, place, DupFlags::CLOEXEC);
        }
        self.free.push(number);
        self.free.sort_unstable_by(|one, other| other.cmp(one));
    }
}

/// The sources of a child's 0, 1 and 2.
pub(crate) fn sources(stdio: &Stdio) -> Result<[BorrowedFd<'_>; 3], SpawnError> {
    match stdio {
        Stdio::Tty(slave) => Ok([slave.as_fd(); 3]),
        Stdio::Fds {
            stdin,
            stdout,
            stderr,
        } => Ok([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]),
        Stdio::Closed => Err(stdio_error(rustix::io::Errno::BADF)),
    }
}

/// A set of slots in use.
#[derive(Debug)]
pub(crate) struct FilledSlots {
    /// Its number among the sets.
    pub number: usize,
    /// The descriptors for 0, 1, 2 and the report pipe.
    pub numbers: [RawFd; SLOTS],
}

/// The pipe for a child's report: our end to read, and the child's. Neither blocks.
pub(crate) fn report_pipe() -> Result<(OwnedFd, OwnedFd), SpawnError> {
    let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
    rustix::pipe::pipe_with(flags).map_err(|error| SpawnError {
        step: SpawnStep::Clone,
        errno: error.raw_os_error(),
    })
}

/// Copies of descriptors that are not above 2, for a child without slots: placing one would
/// overwrite another.
pub(crate) fn copies_of_low(
    ends: &[BorrowedFd<'_>; SLOTS],
) -> Result<[Option<OwnedFd>; SLOTS], SpawnError> {
    let mut copies = [const { None }; SLOTS];
    for (end, copy) in ends.iter().zip(&mut copies) {
        if end.as_raw_fd() <= 2 {
            *copy = Some(rustix::io::fcntl_dupfd_cloexec(end, 3).map_err(stdio_error)?);
        }
    }
    Ok(copies)
}

pub(crate) fn stdio_error(error: impl Into<io::Error>) -> SpawnError {
    SpawnError {
        step: SpawnStep::Stdio,
        errno: error.into().raw_os_error().unwrap_or(libc::EIO),
    }
}

/// Makes the target user the owner of a terminal or pipe, so that the child can open
/// `/dev/stdout` or its terminal by name. Leaves files and devices alone. Failure is harmless
/// otherwise.
pub(crate) fn give_to(fd: BorrowedFd<'_>, user: &Credentials) {
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

/// How the child closes all other descriptors.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CloseMethod {
    /// One `close_range`; the child starts with the daemon's own table.
    Range,
    /// One `close` for each descriptor up to this one, where `close_range` is unavailable.
    Each(RawFd),
}

impl CloseMethod {
    /// The best method available.
    pub(crate) fn pick() -> CloseMethod {
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        if *AVAILABLE.get_or_init(close_range_available) {
            return CloseMethod::Range;
        }
        CloseMethod::one_by_one()
    }

    /// The fallback, up to the highest descriptor open now.
    pub(crate) fn one_by_one() -> CloseMethod {
        CloseMethod::Each(highest_descriptor())
    }
}

/// Closes every descriptor of this process above 2.
pub(crate) fn close_all_above_stdio() {
    match CloseMethod::pick() {
        CloseMethod::Range => {
            // SAFETY: no memory is involved; the caller has nothing open that it will use.
            unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        }
        CloseMethod::Each(highest) => {
            for fd in 3..=highest {
                // SAFETY: as above; most descriptors are not open, which is no error here.
                unsafe { libc::close(fd) };
            }
        }
    }
}

/// Whether `close_range` exists and no seccomp filter forbids it.
pub(crate) fn close_range_available() -> bool {
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
