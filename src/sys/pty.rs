//! Pseudo terminals.
//!
//! - A read of the master returns at most 4095 bytes, so a short read does not mean drained.
//! - When all slaves are closed, reads return EIO after the last data, not 0.
//! - If a slave is then reopened, reads return EAGAIN, without an event until data arrives.
//! - Closing the last master sends SIGHUP to the session.
//! - Writes to the master block (EAGAIN) after about 20 KB that no process reads.

use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::{self, InputModes, OptionalActions, SpecialCodeIndex, Winsize};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Both ends, close-on-exec.
#[derive(Debug)]
pub struct Pty {
    /// The daemon's end: non-blocking.
    pub master: OwnedFd,
    /// The child's end: blocking, no controlling terminal yet. Close it once the child has it, or
    /// the master never reports the end of the child's output.
    pub slave: OwnedFd,
}

/// Opens a terminal of this size, in UTF-8 mode, with the kernel's other defaults (cooked, echo).
pub fn open(rows: u16, cols: u16) -> io::Result<Pty> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&master)?;
    // By the master, not by the path: right in every mount namespace.
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    let mut modes = termios::tcgetattr(&slave)?;
    modes.input_modes |= InputModes::IUTF8;
    termios::tcsetattr(&slave, OptionalActions::Now, &modes)?;
    resize(master.as_fd(), rows, cols)?;
    let status = rustix::fs::fcntl_getfl(&master)?;
    rustix::fs::fcntl_setfl(&master, status | OFlags::NONBLOCK)?;
    Ok(Pty { master, slave })
}

/// Sets the size; the foreground group gets SIGWINCH if it changed.
pub fn resize(master: BorrowedFd<'_>, rows: u16, cols: u16) -> io::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(termios::tcsetwinsize(master, size)?)
}

/// The keys with which the terminal itself holds output back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlKeys {
    /// Stops the output; none while the program reads this key itself.
    pub stop: Option<u8>,
    /// Continues it.
    pub start: u8,
    /// Any key continues it.
    pub any_starts: bool,
}

/// The control keys; takes either end.
pub(crate) fn control_keys(fd: BorrowedFd<'_>) -> io::Result<ControlKeys> {
    let modes = termios::tcgetattr(fd)?;
    let stops = modes.input_modes.contains(InputModes::IXON);
    let stop = modes.special_codes[SpecialCodeIndex::VSTOP];
    Ok(ControlKeys {
        stop: stops.then_some(stop),
        start: modes.special_codes[SpecialCodeIndex::VSTART],
        any_starts: modes.input_modes.contains(InputModes::IXANY),
    })
}

/// The process group in the foreground of the terminal.
pub(crate) fn foreground_group(master: BorrowedFd<'_>) -> io::Result<i32> {
    Ok(termios::tcgetpgrp(master)?.as_raw_pid())
}

/// Rows and columns; takes either end.
pub(crate) fn size(fd: BorrowedFd<'_>) -> io::Result<(u16, u16)> {
    let size = termios::tcgetwinsize(fd)?;
    Ok((size.ws_row, size.ws_col))
}

/// The device number of the terminal (`st_rdev` of the slave); takes either end. It identifies the
/// process whose terminal a client runs in.
pub(crate) fn device(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut number: libc::c_uint = 0;
    // SAFETY: TIOCGPTN writes one unsigned int to a live variable.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGPTN, &raw mut number) };
    if result == 0 {
        return Ok(rustix::fs::makedev(UNIX98_SLAVE_MAJOR, number));
    }
    let stat = rustix::fs::fstat(fd)?;
    if !termios::isatty(fd) {
        return Err(io::Error::from_raw_os_error(libc::ENOTTY));
    }
    Ok(stat.st_rdev)
}

const UNIX98_SLAVE_MAJOR: u32 = 136;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::io::{read, write};
    use rustix::io::{FdFlags, fcntl_getfd};

    #[test]
    fn a_new_terminal_has_its_size_and_modes() {
        let pty = open(12, 345).unwrap();
        assert_eq!(size(pty.master.as_fd()).unwrap(), (12, 345));
        assert_eq!(size(pty.slave.as_fd()).unwrap(), (12, 345));
        resize(pty.master.as_fd(), 50, 60).unwrap();
        assert_eq!(size(pty.slave.as_fd()).unwrap(), (50, 60));
        for fd in [&pty.master, &pty.slave] {
            assert!(fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
        }
        let nonblocking = |fd: &OwnedFd| {
            rustix::fs::fcntl_getfl(fd)
                .unwrap()
                .contains(OFlags::NONBLOCK)
        };
        assert!(nonblocking(&pty.master) && !nonblocking(&pty.slave));
        let modes = termios::tcgetattr(&pty.slave).unwrap();
        assert!(modes.input_modes.contains(InputModes::IUTF8));
    }

    #[test]
    fn both_ends_name_the_same_device() {
        let (one, two) = (open(24, 80).unwrap(), open(24, 80).unwrap());
        let device_of = |fd: &OwnedFd| device(fd.as_fd()).unwrap();
        assert_eq!(device_of(&one.master), device_of(&one.slave));
        assert_eq!(device_of(&two.master), device_of(&two.slave));
        assert_ne!(device_of(&one.master), device_of(&two.master));
        let null = crate::sys::io::open_null(true).unwrap();
        assert!(device(null.as_fd()).is_err());
    }

    #[test]
    fn the_end_comes_after_the_last_data() {
        let pty = open(24, 80).unwrap();
        let mut buffer = [0; 64];
        let error = read(pty.master.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        write(pty.slave.as_fd(), b"bye\n").unwrap();
        drop(pty.slave);
        assert_eq!(read(pty.master.as_fd(), &mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"bye\r\n");
        let error = read(pty.master.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
    }
}
