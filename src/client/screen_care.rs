//! The user's terminal while a process uses it: raw, watched, and on every way out as before.

use crate::sys::{io as sys_io, tty};
use crate::terminal::Tracker;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{QueueSelector, tcflush};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

/// How long the last bytes may take to reach a terminal that does not read.
const LAST_WRITE: Duration = Duration::from_millis(150);

/// Saves the title and icon name; its counterpart brings them back.
const PUSH_TITLE: &[u8] = b"\x1b[22;2t";
const POP_TITLE: &[u8] = b"\x1b[23;2t";

/// Bracketed paste.
const BRACKETED_PASTE: u16 = 2004;

/// What the panic hook restores, so that its message can be read.
static ON_PANIC: Mutex<Option<tty::Restorer>> = Mutex::new(None);

/// The terminal, taken over. Dropping it gives it back.
#[derive(Debug)]
pub struct Screen {
    terminal: OwnedFd,
    raw: tty::RawMode,
    tracker: Tracker,
    queue: Vec<u8>,
    written: usize,
    alternate_seen: bool,
    titled: bool,
    line_began: bool,
    left: bool,
}

impl Screen {
    /// Opens the controlling terminal anew (its flags are shared with nobody) and makes it raw.
    ///
    /// # Errors
    /// When there is none.
    pub fn enter() -> io::Result<Screen> {
        let terminal = tty::open()?;
        sys_io::set_nonblocking(terminal.as_fd(), true)?;
        let raw = tty::RawMode::enter(terminal.as_fd())?;
        restore_on_panic(raw.restorer());
        let titled = std::env::var_os("TERM").is_some_and(|term| term != "dumb" && term != "linux");
        let mut screen = Screen {
            terminal,
            raw,
            tracker: Tracker::new(0),
            queue: Vec::new(),
            written: 0,
            alternate_seen: false,
            titled,
            line_began: false,
            left: false,
        };
        if titled {
            screen.queue(PUSH_TITLE);
            screen.line_began = false;
        }
        Ok(screen)
    }

    /// For a poll.
    pub fn raw_fd(&self) -> RawFd {
        self.terminal.as_raw_fd()
    }

    /// Rows and columns; 0 when unknown.
    pub fn size(&self) -> (u16, u16) {
        tty::window_size(self.terminal.as_fd()).unwrap_or((0, 0))
    }

    /// Whether the process has switched bracketed paste on.
    pub fn bracketed_paste(&self) -> bool {
        self.tracker.mode(BRACKETED_PASTE)
    }

    /// Output to be written.
    pub fn queue(&mut self, bytes: &[u8]) {
        if self.written == self.queue.len() {
            self.queue.clear();
            self.written = 0;
        }
        self.queue.extend_from_slice(bytes);
        self.line_began = begins_line(bytes).unwrap_or(self.line_began);
    }

    /// What brings the cursor to the begin of a line of its own, after all that is queued.
    pub fn new_line(&self) -> &'static str {
        if self.line_began { "\r\n" } else { "" }
    }

    /// How many bytes wait to be written.
    pub fn queued(&self) -> usize {
        self.queue.len() - self.written
    }

    /// Writes once. False when the terminal takes nothing at the moment.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn write_some(&mut self) -> io::Result<bool> {
        let rest = &self.queue[self.written..];
        if rest.is_empty() {
            return Ok(true);
        }
        match sys_io::write(self.terminal.as_fd(), rest) {
            Ok(count) => {
                // Only what has reached the terminal has to be undone.
                self.tracker.feed(&rest[..count]);
                self.alternate_seen |= self.tracker.alternate();
                self.written += count;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads what was typed; `None` when nothing was, 0 bytes at the terminal's end.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match sys_io::read(self.terminal.as_fd(), buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the terminal back: output that waits is dropped, modes are undone. Takes at most
    /// [`LAST_WRITE`], whatever the terminal does.
    pub fn leave(&mut self) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        let mut last = Vec::new();
        if self.queued() > 0 {
            // What the terminal has not read yet would come after the prompt. It may be cut in the
            // midst of a sequence, and of its modes nothing is certain.
            let _ = tcflush(&self.terminal, QueueSelector::OFlush);
            last.push(0x18);
            if self.alternate_seen && !self.tracker.alternate() {
                last.extend_from_slice(b"\x1b[?1049l");
            }
        }
        let reset = self.tracker.reset_sequence();
        last.extend_from_slice(&reset);
        if self.titled {
            last.extend_from_slice(POP_TITLE);
        }
        if self.line_began || self.queued() > 0 || self.alternate_seen {
            last.extend_from_slice(b"\r\n");
        }
        // What the process drew below is of no use to whoever types there next.
        last.extend_from_slice(b"\x1b[J");
        self.write_last(&last);
        if !reset.is_empty() {
            // Reports of mouse and focus, and answers to questions nobody waits for any more.
            let _ = tty::flush_input(self.terminal.as_fd());
        }
        // A terminal that is gone needs no restoring.
        let _ = self.raw.restore();
        *ON_PANIC
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    fn write_last(&self, bytes: &[u8]) {
        let until = Instant::now() + LAST_WRITE;
        let mut rest = bytes;
        while !rest.is_empty() {
            match sys_io::write(self.terminal.as_fd(), rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let left = until.saturating_duration_since(Instant::now());
                    let Ok(timeout) = Timespec::try_from(left) else {
                        return;
                    };
                    let mut fds = [PollFd::new(&self.terminal, PollFlags::OUT)];
                    if left.is_zero() || !matches!(poll(&mut fds, Some(&timeout)), Ok(1..)) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

/// Whether the cursor is within a line after these bytes; `None` when they leave it where it was.
fn begins_line(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes;
    // A change of colours moves nothing.
    while let Some(body) = rest.strip_suffix(b"m") {
        let parameters = body.iter().rev();
        let len = parameters
            .take_while(|byte| matches!(byte, b'0'..=b';'))
            .count();
        match body[..body.len() - len].strip_suffix(b"\x1b[") {
            Some(before) => rest = before,
            None => return Some(true),
        }
    }
    rest.last().map(|last| !matches!(last, b'\r' | b'\n'))
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Makes a panic restore the terminal before its message is printed; unwinding then drops the
/// [`Screen`], which does the rest.
fn restore_on_panic(restorer: tty::Restorer) {
    static HOOK: Once = Once::new();
    *ON_PANIC
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(restorer);
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if let Ok(restorer) = ON_PANIC.try_lock()
                && let Some(restorer) = restorer.as_ref()
            {
                let _ = restorer.restore();
            }
            previous(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_after_its_first_byte() {
        assert_eq!(begins_line(b""), None);
        assert_eq!(begins_line(b"\x1b[m\x1b[1;31m"), None);
        assert_eq!(begins_line(b"text\r\n\x1b[m"), Some(false));
        assert_eq!(begins_line(b"text"), Some(true));
        assert_eq!(begins_line(b"\nm"), Some(true));
        assert_eq!(begins_line(b"\n\x1b[5;1H"), Some(true));
    }
}
