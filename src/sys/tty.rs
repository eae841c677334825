//! The client's own terminal.

use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    self, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios,
};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Opens the user's terminal, to read and write: the controlling terminal, or else the one on
/// standard input, as below `su -c` or `setsid`. A terminal of another user cannot be opened by
/// name: its description is then shared with other programs.
///
/// # Errors
/// When there is neither.
pub(crate) fn open() -> io::Result<OwnedFd> {
    let stdin = io::stdin();
    open_file("/dev/tty").or_else(|error| match termios::isatty(&stdin) {
        true => open_file("/proc/self/fd/0")
            .or_else(|_| Ok(rustix::io::fcntl_dupfd_cloexec(&stdin, 3)?)),
        false => Err(error),
    })
}

fn open_file(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::io::retry_on_intr(|| {
        rustix::fs::open(path, flags, Mode::empty())
    })?)
}

/// Whether another process group has the controlling terminal at the moment.
pub(crate) fn is_background() -> bool {
    let foreground = open_file("/dev/tty").and_then(|terminal| Ok(termios::tcgetpgrp(&terminal)?));
    foreground.is_ok_and(|group| group != rustix::process::getpgrp())
}

/// Stops this process and its group, as reading the terminal from the background does.
pub(crate) fn stop_in_background() {
    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TTIN);
}

/// Rows and columns.
pub(crate) fn window_size(fd: BorrowedFd<'_>) -> io::Result<(u16, u16)> {
    super::pty::size(fd)
}

/// Discards typed input that is not yet read.
pub(crate) fn flush_input(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(termios::tcflush(fd, QueueSelector::IFlush)?)
}

/// Saves the terminal's current modes.
pub(crate) fn restorer(fd: BorrowedFd<'_>) -> io::Result<Restorer> {
    let modes = termios::tcgetattr(fd)?;
    let terminal = rustix::io::fcntl_dupfd_cloexec(fd, 3)?;
    Ok(Restorer {
        saved: Arc::new(Saved { terminal, modes }),
    })
}

/// A terminal in raw mode; dropping the value restores the modes from before.
#[derive(Debug)]
pub(crate) struct RawMode {
    saved: Arc<Saved>,
}

impl RawMode {
    /// Saves the terminal's modes and makes it raw: every byte at once, no echo, no signals.
    pub(crate) fn enter(fd: BorrowedFd<'_>) -> io::Result<RawMode> {
        let raw_mode = RawMode {
            saved: restorer(fd)?.saved,
        };
        raw_mode.again()?;
        Ok(raw_mode)
    }

    /// Makes the terminal raw again, after [`RawMode::restore`].
    pub(crate) fn again(&self) -> io::Result<()> {
        let mut modes = self.saved.modes.clone();
        modes.make_raw();
        Ok(termios::tcsetattr(
            &self.saved.terminal,
            OptionalActions::Now,
            &modes,
        )?)
    }

    /// Restores the modes from before until [`RawMode::again`], to suspend the client.
    pub(crate) fn restore(&self) -> io::Result<()> {
        self.saved.restore()
    }

    /// A handle by which a panic hook or another thread can restore the terminal.
    pub(crate) fn restorer(&self) -> Restorer {
        Restorer {
            saved: Arc::clone(&self.saved),
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Fails only if the terminal is gone.
        let _ = self.saved.restore();
    }
}

/// A terminal that edits lines, and delivers one also when a certain key comes. Dropping the value
/// restores the modes from before.
#[derive(Debug)]
pub(crate) struct LineMode {
    saved: Saved,
    lines: Termios,
}

impl LineMode {
    /// Delivers a line also at this control character.
    pub(crate) fn enter(fd: BorrowedFd<'_>, key: u8) -> io::Result<LineMode> {
        let modes = termios::tcgetattr(fd)?;
        let terminal = rustix::io::fcntl_dupfd_cloexec(fd, 3)?;
        let mut lines = modes.clone();
        lines.special_codes[SpecialCodeIndex::VEOL] = key;
        let mode = LineMode {
            saved: Saved { terminal, modes },
            lines,
        };
        mode.deliver_keys(false)?;
        Ok(mode)
    }

    /// Sets whether each key is delivered at once, without echo, or lines.
    pub(crate) fn deliver_keys(&self, keys: bool) -> io::Result<()> {
        let mut modes = self.lines.clone();
        if keys {
            modes
                .local_modes
                .remove(LocalModes::ICANON | LocalModes::ECHO);
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        }
        let terminal = &self.saved.terminal;
        Ok(termios::tcsetattr(terminal, OptionalActions::Now, &modes)?)
    }
}

impl Drop for LineMode {
    fn drop(&mut self) {
        // Fails only if the terminal is gone.
        let _ = self.saved.restore();
    }
}

/// Restores a terminal from any thread. Takes no lock and allocates nothing.
#[derive(Debug, Clone)]
pub(crate) struct Restorer {
    saved: Arc<Saved>,
}

impl Restorer {
    /// Restores the saved modes. Does not wait for output, so a stopped terminal cannot block it.
    pub(crate) fn restore(&self) -> io::Result<()> {
        self.saved.restore()
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
    use std::os::fd::AsFd;

    fn is_cooked(fd: &OwnedFd) -> bool {
        let modes = termios::tcgetattr(fd).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    #[test]
    fn raw_mode_ends_with_its_guard() {
        let pty = pty::open(24, 80).unwrap();
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
    fn typed_input_can_be_discarded() {
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
    fn only_a_terminal_has_raw_mode() {
        let null = crate::sys::io::open_null(true).unwrap();
        let error = RawMode::enter(null.as_fd()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}
