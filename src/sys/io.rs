//! Reads, writes, pipes, and the files that serve as a child's stdin and stdout.

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::pipe::PipeFlags;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Reads once; returns 0 at the end.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::read(fd, &mut *buffer))?)
}

/// Writes once; returns the number of bytes written.
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::write(fd, bytes))?)
}

/// Writes several slices at once; returns the total number of bytes written.
pub(crate) fn write_vectored(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::writev(fd, slices))?)
}

/// A pipe from a child: (our end to read, non-blocking; the child's end to write, blocking).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    set_nonblocking(read.as_fd(), true)?;
    Ok((read, write))
}

/// A pipe to a child: (the child's end to read, blocking; our end to write, non-blocking).
pub fn pipe_to_child() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    set_nonblocking(write.as_fd(), true)?;
    Ok((read, write))
}

/// Raises a pipe's capacity to `bytes`. The kernel ignores this beyond the user's pipe quota.
pub(crate) fn enlarge_pipe(pipe: BorrowedFd<'_>, bytes: usize) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, bytes);
}

/// Opens the terminal or pipe behind a descriptor again, for writes that do not block.
///
/// # Errors
/// When it is neither, or may not be opened.
pub(crate) fn reopen_nonblocking(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    if kind != FileType::Fifo && !rustix::termios::isatty(fd) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| {
        rustix::fs::open(path.as_str(), flags, Mode::empty())
    })?)
}

/// Opens `/dev/null` for reading or writing.
pub(crate) fn open_null(read: bool) -> io::Result<OwnedFd> {
    let access = if read { OFlags::RDONLY } else { OFlags::WRONLY };
    let flags = access | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(retry_on_intr(|| {
        rustix::fs::open("/dev/null", flags, Mode::empty())
    })?)
}

/// An open file without a use, which takes up a descriptor.
///
/// # Errors
/// When none is free.
pub(crate) fn unused_file() -> io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(
        0,
        rustix::event::EventfdFlags::CLOEXEC,
    )?)
}

/// Whether the process, or the system, has no descriptor left.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The lowest free descriptor: about as many are open, since each takes the lowest.
///
/// # Errors
/// When none is free.
pub(crate) fn lowest_free_fd() -> io::Result<u64> {
    let copy = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 0)?;
    Ok(u64::try_from(copy.as_raw_fd()).unwrap_or(0))
}

/// Sets or clears O_NONBLOCK of the open file, which every process that shares it sees.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, nonblocking);
    Ok(rustix::fs::fcntl_setfl(fd, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_end_of_a_pipe_never_blocks() {
        let nonblocking = |fd: &OwnedFd| {
            rustix::fs::fcntl_getfl(fd)
                .unwrap()
                .contains(OFlags::NONBLOCK)
        };
        let (ours, theirs) = pipe().unwrap();
        assert!(nonblocking(&ours) && !nonblocking(&theirs));
        let mut buffer = [0; 8];
        let error = read(ours.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b"cd")];
        assert_eq!(write_vectored(theirs.as_fd(), &slices).unwrap(), 4);
        assert_eq!(read(ours.as_fd(), &mut buffer).unwrap(), 4);
        drop(theirs);
        assert_eq!(read(ours.as_fd(), &mut buffer).unwrap(), 0);

        let (theirs, ours) = pipe_to_child().unwrap();
        assert!(nonblocking(&ours) && !nonblocking(&theirs));
        while write(ours.as_fd(), &[0; 4096]).is_ok() {}
        let error = write(ours.as_fd(), &[0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_pipe_without_a_reader_is_an_error_not_a_signal() {
        let (read, write_end) = pipe().unwrap();
        drop(read);
        let error = write(write_end.as_fd(), b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn null_is_empty_and_takes_all() {
        let mut buffer = [0; 8];
        assert_eq!(
            read(open_null(true).unwrap().as_fd(), &mut buffer).unwrap(),
            0
        );
        assert_eq!(
            write(open_null(false).unwrap().as_fd(), b"gone").unwrap(),
            4
        );
    }
}
