//! The client's own terminal.

use rustix::fs::{Mode, OFlags};
use rustix::termios::{self, OptionalActions, QueueSelector, Termios};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The controlling terminal, to read and write; ENXIO when there is none.
pub fn open() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::io::retry_on_intr(|| {
        rustix::fs::open("/dev/tty", flags, Mode::empty())
    })?)
}

/// Whether it is a terminal.
pub fn is_tty(fd: BorrowedFd<'_>) -> bool {
    termios::isatty(fd)
}

/// Rows and columns.
pub fn window_size(fd: BorrowedFd<'_>) -> io::Result<(u16, u16)> {
    super::pty::size(fd)
}

/// Throws away what was typed and not read yet.
pub fn flush_input(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(termios::tcflush(fd, QueueSelector::IFlush)?)
}

/// Remembers the terminal's present modes.
pub fn restorer(fd: BorrowedFd<'_>) -> io::Result<Restorer> {
    let modes = termios::tcgetattr(fd)?;
    let terminal = rustix::io::fcntl_dupfd_cloexec(fd, 3)?;
    Ok(Restorer {
        saved: Arc::new(Saved { terminal, modes }),
    })
}

/// Raw mode for as long as it lives; dropping it restores what was before.
#[derive(Debug)]
pub struct RawMode {
    saved: Arc<Saved>,
}

impl RawMode {
    /// Remembers the terminal's modes and makes it raw: every byte at once, no echo, no signals.
    pub fn enter(fd: BorrowedFd<'_>) -> io::Result<RawMode> {
        let raw_mode = RawMode {
            saved: restorer(fd)?.saved,
        };
        raw_mode.again()?;
        Ok(raw_mode)
    }

    /// Makes it raw again, after [`RawMode::restore`].
    pub fn again(&self) -> io::Result<()> {
        let mut modes = self.saved.modes.clone();
        modes.make_raw();
        Ok(termios::tcsetattr(
            &self.saved.terminal,
            OptionalActions::Now,
            &modes,
        )?)
    }

    /// The modes from before, for a while (suspending).
    pub fn restore(&self) -> io::Result<()> {
        self.saved.restore()
    }

    /// Something a panic hook or another thread can restore the terminal with.
    pub fn restorer(&self) -> Restorer {
        Restorer {
            saved: Arc::clone(&self.saved),
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = self.saved.restore();
    }
}

/// Restores a terminal from anywhere. Takes no lock and allocates nothing.
#[derive(Debug, Clone)]
pub struct Restorer {
    saved: Arc<Saved>,
}

impl Restorer {
    /// The modes that were remembered. Does not wait for output, so a stopped terminal cannot
    /// hold it up.
    pub fn restore(&self) -> io::Result<()> {
        self.saved.restore()
    }

    /// The terminal, to write the last bytes to.
    pub fn terminal(&self) -> BorrowedFd<'_> {
        self.saved.terminal.as_fd()
    }
}

#[derive(Debug)]
struct Saved {
    terminal: OwnedFd,
    modes: Termios,
}

impl Saved {
    fn restore(&self) -> io::Result<()> {
        Ok(termios::tcsetattr(
            &self.terminal,
            OptionalActions::Now,
            &self.modes,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pty;
    use rustix::termios::LocalModes;

    fn is_cooked(fd: &OwnedFd) -> bool {
        let modes = termios::tcgetattr(fd).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    #[test]
    fn raw_mode_ends_with_its_guard() {
        let pty = pty::open(24, 80).unwrap();
        assert!(is_tty(pty.slave.as_fd()));
        assert!(is_cooked(&pty.slave));
        let raw_mode = RawMode::enter(pty.slave.as_fd()).unwrap();
        assert!(!is_cooked(&pty.slave));
        raw_mode.restore().unwrap();
        assert!(is_cooked(&pty.slave));
        raw_mode.again().unwrap();
        assert!(!is_cooked(&pty.slave));
        let restorer = raw_mode.restorer();
        std::thread::spawn(move || restorer.restore())
            .join()
            .unwrap()
            .unwrap();
        assert!(is_cooked(&pty.slave));
        raw_mode.again().unwrap();
        drop(raw_mode);
        assert!(is_cooked(&pty.slave));
    }

    #[test]
    fn typed_input_can_be_thrown_away() {
        let pty = pty::open(24, 80).unwrap();
        let _raw_mode = RawMode::enter(pty.slave.as_fd()).unwrap();
        crate::sys::io::write(pty.master.as_fd(), b"typed").unwrap();
        flush_input(pty.slave.as_fd()).unwrap();
        crate::sys::io::write(pty.master.as_fd(), b"x").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(
            crate::sys::io::read(pty.slave.as_fd(), &mut buffer).unwrap(),
            1
        );
    }

    #[test]
    fn what_is_no_terminal_has_no_raw_mode() {
        let null = crate::sys::io::open_null(true).unwrap();
        assert!(!is_tty(null.as_fd()));
        let error = RawMode::enter(null.as_fd()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}
