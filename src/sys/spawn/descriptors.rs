//! The child's descriptors: the sources of 0, 1 and 2, and the way to close all others.

use super::{Command, Credentials, SpawnError, SpawnStep, Stdio};
use rustix::io::DupFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;

/// Three low descriptors that hold a child's 0, 1 and 2 while it is started.
///
/// The child copies the daemon's table only up to the highest slot: copying and closing thousands
/// of descriptors would cost more than the start. No slot is below 3, so that none is overwritten
/// before use.
pub(crate) struct Slots {
    /// Fills the slots between starts, so that no terminal or pipe stays open.
    null: OwnedFd,
    places: [OwnedFd; 3],
}

impl Slots {
    pub(crate) fn new() -> Result<Self, SpawnError> {
        let null = crate::sys::io::open_null(true).map_err(stdio_error)?;
        let place = || rustix::io::fcntl_dupfd_cloexec(&null, 3).map_err(stdio_error);
        let places = [place()?, place()?, place()?];
        Ok(Slots { null, places })
    }

    /// Puts a command's descriptors into the slots until the result is dropped.
    pub(crate) fn fill(&mut self, command: &Command) -> Result<FilledSlots<'_>, SpawnError> {
        let sources = match &command.stdio {
            Stdio::Tty(slave) => [slave.as_fd(); 3],
            Stdio::Fds {
                stdin,
                stdout,
                stderr,
            } => [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        };
        let filled = FilledSlots(self);
        for (source, place) in sources.iter().zip(&mut filled.0.places) {
            rustix::io::dup3(source, place, DupFlags::CLOEXEC).map_err(stdio_error)?;
        }
        if let Some(user) = &command.credentials {
            sources.iter().for_each(|source| give_to(*source, user));
        }
        Ok(filled)
    }
}

/// Slots that hold a child's descriptors.
pub(crate) struct FilledSlots<'a>(&'a mut Slots);

impl FilledSlots<'_> {
    /// The slots' numbers.
    pub(crate) fn raw(&self) -> [RawFd; 3] {
        self.0.places.each_ref().map(AsRawFd::as_raw_fd)
    }

    /// The highest slot.
    pub(crate) fn highest(&self) -> RawFd {
        self.raw().into_iter().fold(0, RawFd::max)
    }
}

impl Drop for FilledSlots<'_> {
    fn drop(&mut self) {
        for place in &mut self.0.places {
            // The target is open, so the process cannot run out of descriptors here.
            let _ = rustix::io::dup3(&self.0.null, place, DupFlags::CLOEXEC);
        }
    }
}

fn stdio_error(error: impl Into<io::Error>) -> SpawnError {
    SpawnError {
        step: SpawnStep::Stdio,
        errno: error.into().raw_os_error().unwrap_or(libc::EIO),
    }
}

/// Makes the target user the owner of a terminal or pipe, so that the child can open
/// `/dev/stdout` or its terminal by name. Leaves files and devices alone. Failure is harmless
/// otherwise.
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
