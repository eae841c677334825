//! Bytes: reads, writes, pipes and the files a child's input and output are.

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::pipe::PipeFlags;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Reads once; 0 is the end.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::read(fd, &mut *buffer))?)
}

/// Writes once; returns how many bytes were taken.
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::write(fd, bytes))?)
}

/// Writes several slices at once; returns how many bytes of all were taken.
pub fn write_vectored(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
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

/// `/dev/null`, to read or to write.
pub fn open_null(read: bool) -> io::Result<OwnedFd> {
    let access = if read { OFlags::RDONLY } else { OFlags::WRONLY };
    let flags = access | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(retry_on_intr(|| {
        rustix::fs::open("/dev/null", flags, Mode::empty())
    })?)
}

/// A file to be a child's standard input. Opening never blocks: what is neither a regular file nor
/// a character device (a FIFO without a writer, a directory) is an error.
pub fn open_input(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    match kind {
        FileType::RegularFile | FileType::CharacterDevice => {}
        FileType::Directory => return Err(io::Error::from_raw_os_error(libc::EISDIR)),
        _ => {
            let text = "neither a regular file nor a character device";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    }
    set_nonblocking(file.as_fd(), false)?;
    Ok(file)
}

/// Sets or clears O_NONBLOCK, which belongs to the open file and so to all who share it.
pub fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, nonblocking);
    Ok(rustix::fs::fcntl_setfl(fd, flags)?)
}
