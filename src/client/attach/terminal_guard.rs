//! The user's terminal while a process uses it: in raw mode, with its modes tracked, and restored
//! on every way out.

use crate::client::attach::output_queue::OutputQueue;
use crate::client::attach::queries::QueryDetector;
use crate::sys::{io as sys_io, tty};
use crate::terminal::Tracker;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{QueueSelector, tcflush};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

/// How long the last bytes may take to reach a terminal that does not read.
const LAST_WRITE: Duration = Duration::from_millis(150);

/// How long the terminal may take to answer the fence: a near one, and one at the other end of an
/// ssh connection.
const FENCE_NEAR: Duration = Duration::from_millis(100);
const FENCE_FAR: Duration = Duration::from_secs(1);

/// A query that every terminal answers. Its answer follows everything that the terminal had
/// already sent.
const FENCE: &[u8] = b"\x1b[5n";
const FENCE_ANSWERS: [&[u8]; 2] = [b"\x1b[0n", b"\x1b[3n"];

/// How long the answer to a query may be on its way.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Modes in which a terminal sends input by itself: mouse, focus, selection (2029, 2030), colours,
/// sizes, widths (7700) and fonts (7767).
const SENDING: [u16; 11] = [
    9, 1000, 1002, 1003, 1004, 2029, 2030, 2031, 2048, 7700, 7767,
];

/// Saves the title and icon name. Resetting the terminal restores them.
const PUSH_TITLE: &[u8] = b"\x1b[22;2t";

const BRACKETED_PASTE: u16 = 2004;

/// The panic hook restores this terminal, so that its message is readable.
static ON_PANIC: Mutex<Option<tty::Restorer>> = Mutex::new(None);

/// The user's terminal in raw mode. Dropping the guard restores it.
#[derive(Debug)]
pub(crate) struct TerminalGuard {
    terminal: OwnedFd,
    raw: tty::RawMode,
    queue: OutputQueue,
    /// The modes of the terminal: it is fed with what has been written.
    tracker: Tracker,
    queries: QueryDetector,
    /// When the process last sent a query.
    queried: Option<Instant>,
    /// The terminal has been in its alternate screen at some time.
    alternate_seen: bool,
    /// The cursor is within a line once the queue is written.
    within_line: bool,
    /// The user's title is saved.
    titled: bool,
    restored: bool,
}

impl TerminalGuard {
    /// Opens the user's terminal and makes it raw. The descriptor is a new one, because its
    /// flags would otherwise be shared with other programs.
    ///
    /// # Errors
    /// When there is no terminal.
    pub(crate) fn enter() -> io::Result<TerminalGuard> {
        let terminal = tty::open()?;
        sys_io::set_nonblocking(terminal.as_fd(), true)?;
        let raw = tty::RawMode::enter(terminal.as_fd())?;
        restore_on_panic(raw.restorer());
        let mut queue = OutputQueue::default();
        let term = std::env::var_os("TERM");
        let titled = term.is_some_and(|term| term != "dumb" && term != "linux");
        if titled {
            queue.push(PUSH_TITLE, Instant::now());
            queue.fix();
        }
        Ok(TerminalGuard {
            terminal,
            raw,
            queue,
            tracker: Tracker::new(0),
            queries: QueryDetector::default(),
            queried: None,
            alternate_seen: false,
            within_line: false,
            titled,
            restored: false,
        })
    }

    /// Rows and columns; 0 when unknown.
    pub(crate) fn size(&self) -> (u16, u16) {
        tty::window_size(self.terminal.as_fd()).unwrap_or((0, 0))
    }

    /// Whether the process has switched bracketed paste on.
    pub(crate) fn bracketed_paste(&self) -> bool {
        self.tracker.mode(BRACKETED_PASTE)
    }

    /// Queues output.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.queue.push(bytes, Instant::now());
        self.within_line = ends_within_line(bytes).unwrap_or(self.within_line);
    }

    /// The bytes that move the cursor to the start of an empty line, behind all that is queued.
    pub(crate) fn new_line(&self) -> &'static str {
        if self.within_line { "\r\n" } else { "" }
    }

    /// How many bytes wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Since when output waits that the terminal should have taken.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.queue.waiting_since()
    }

    /// All output that is queued now may take its time.
    pub(crate) fn be_patient(&mut self) {
        self.queue.be_patient();
    }

    /// Drops the queued output. A snapshot will replace it. Returns its bytes.
    pub(crate) fn discard(&mut self) -> usize {
        let before = self.queue.len();
        self.queue.discard();
        before - self.queue.len()
    }

    /// Queues the end of all modes that are on once the queue is written, so that a new snapshot
    /// finds the terminal as the first one did: the user's own keyboard flags and title stay.
    /// Returns whether the alternate screen is on until then.
    pub(crate) fn queue_reset(&mut self) -> bool {
        let mut tracker = self.tracker.clone();
        tracker.feed(self.queue.pending());
        self.queue(&tracker.reset_sequence());
        if self.titled {
            self.queue(PUSH_TITLE);
        }
        tracker.alternate()
    }

    /// Writes once. False when the terminal takes nothing at the moment.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn write_some(&mut self) -> io::Result<bool> {
        let pending = self.queue.pending();
        if pending.is_empty() {
            return Ok(true);
        }
        match sys_io::write(self.terminal.as_fd(), pending) {
            Ok(count) => {
                // Only the modes that reached the terminal have to be undone.
                self.tracker.feed(&pending[..count]);
                self.alternate_seen |= self.tracker.alternate();
                if self.queries.found_in(&pending[..count]) {
                    self.queried = Some(Instant::now());
                }
                self.queue.advance(count, Instant::now());
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads input; `None` when there is none, 0 bytes when the terminal hung up.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match sys_io::read(self.terminal.as_fd(), buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Restores the terminal: drops output that waits, undoes modes. Takes at most
    /// [`LAST_WRITE`], plus [`FENCE_FAR`] if input may be on its way, whatever the terminal does.
    /// Returns whether the alternate screen was shown.
    pub(crate) fn leave(&mut self) -> bool {
        let alternate = self.tracker.alternate();
        if std::mem::replace(&mut self.restored, true) {
            return alternate;
        }
        let mut last = Vec::new();
        if self.queued() > 0 {
            // Output that the terminal has not read yet would appear after the shell's prompt.
            // The flush may cut a sequence in two: CAN ends it. The modes are uncertain then.
            let _ = tcflush(&self.terminal, QueueSelector::OFlush);
            last.push(0x18);
            if self.alternate_seen && !self.tracker.alternate() {
                last.extend_from_slice(b"\x1b[?1049l");
            }
        }
        let sends = self.terminal_may_send();
        // This also restores the title, since the tracker has seen it being saved.
        last.extend_from_slice(&self.tracker.reset_sequence());
        if self.within_line || self.queued() > 0 || self.alternate_seen {
            last.extend_from_slice(b"\r\n");
        }
        // Erases what the process drew below the cursor.
        last.extend_from_slice(b"\x1b[J");
        if sends {
            last.extend_from_slice(FENCE);
        }
        // Mouse and focus reports and late answers must not reach the shell.
        if self.write_last(&last) && sends {
            self.await_fence();
        }
        if sends {
            let _ = tty::flush_input(self.terminal.as_fd());
        }
        // Fails only when the terminal is gone.
        let _ = self.raw.restore();
        // Other programs share the description if it could not be opened afresh.
        let _ = sys_io::set_nonblocking(self.terminal.as_fd(), false);
        *ON_PANIC
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        alternate
    }

    /// Whether input may be on its way that was not typed: a report, or the answer to a query.
    fn terminal_may_send(&self) -> bool {
        let recent = |at: Instant| at.elapsed() < ANSWER_TIME;
        SENDING.iter().any(|mode| self.tracker.mode(*mode)) || self.queried.is_some_and(recent)
    }

    /// Reads and drops input until the fence's answer: nothing is on its way behind it.
    fn await_fence(&self) {
        let far = ["SSH_CONNECTION", "SSH_TTY"].map(std::env::var_os);
        let patience = match far.iter().any(Option::is_some) {
            true => FENCE_FAR,
            false => FENCE_NEAR,
        };
        let until = Instant::now() + patience;
        let mut last = Vec::new();
        let mut buffer = [0; 4096];
        while self.wait(PollFlags::IN, until) {
            match sys_io::read(self.terminal.as_fd(), &mut buffer) {
                Ok(count @ 1..) => last.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
            let found = |answer: &[u8]| last.windows(answer.len()).any(|part| part == answer);
            if FENCE_ANSWERS.into_iter().any(found) {
                return;
            }
            // A read may end within the answer.
            last.drain(..last.len().saturating_sub(FENCE.len()));
        }
    }

    /// Writes all bytes; false when the terminal did not take them in time.
    fn write_last(&self, bytes: &[u8]) -> bool {
        let until = Instant::now() + LAST_WRITE;
        let mut rest = bytes;
        while !rest.is_empty() {
            match sys_io::write(self.terminal.as_fd(), rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.wait(PollFlags::OUT, until) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Waits until the terminal is ready; false when the time is up.
    fn wait(&self, wanted: PollFlags, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return false;
        };
        let mut fds = [PollFd::new(&self.terminal, wanted)];
        !left.is_zero() && matches!(poll(&mut fds, Some(&timeout)), Ok(1..))
    }
}

/// Whether the cursor is within a line after these bytes; `None` when they do not move it.
fn ends_within_line(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes;
    // A change of colours does not move the cursor.
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

impl AsFd for TerminalGuard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.terminal.as_fd()
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Makes a panic restore the terminal before its message is printed; unwinding then drops the
/// [`TerminalGuard`], which does the rest.
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

    /// Set in the process that panics on purpose.
    const VARIABLE: &str = "TM_TEST_OF_A_PANIC";

    /// The modes it leaves on.
    const ON: &[u8] = b"\x1b[?1049h\x1b[>1u\x1b[?1003h\x1b[?25l\x1b[3;5r\x1b[31mon";

    fn panic_on_purpose() -> ! {
        let mut screen = TerminalGuard::enter().expect("a terminal");
        screen.queue(ON);
        while screen.queued() > 0 {
            screen.write_some().expect("a terminal");
        }
        panic!("heard of");
    }

    #[test]
    fn a_panic_restores_the_terminal_and_can_be_read() {
        if std::env::var_os(VARIABLE).is_some() {
            panic_on_purpose();
        }
        let pty = crate::sys::pty::open(24, 80).expect("a pty");
        let before = rustix::termios::tcgetattr(&pty.slave).expect("settings");
        let test =
            "client::attach::terminal_guard::tests::a_panic_restores_the_terminal_and_can_be_read";
        let stdio = || pty.slave.try_clone().expect("a descriptor is free");
        let mut child = std::process::Command::new("setsid")
            .arg("--ctty")
            .arg(std::env::current_exe().expect("a path"))
            .args(["--exact", test, "--nocapture"])
            .env(VARIABLE, "1")
            .env("TERM", "xterm")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .expect("setsid is installed");
        let mut raw = Vec::new();
        let mut buffer = [0; 4096];
        let mut ended = false;
        while !ended {
            ended = child.try_wait().expect("it is ours").is_some();
            let mut fds = [PollFd::new(&pty.master, PollFlags::IN)];
            let soon = Timespec::try_from(Duration::from_millis(5)).expect("a time");
            poll(&mut fds, Some(&soon)).expect("a pty can be polled");
            while let Ok(count @ 1..) = sys_io::read(pty.master.as_fd(), &mut buffer) {
                raw.extend_from_slice(&buffer[..count]);
            }
        }
        child.wait().expect("it is ours");
        let text = String::from_utf8_lossy(&raw).into_owned();
        assert!(text.contains("heard of"), "{text}");
        let mut seen = Tracker::new(0);
        seen.feed(&raw);
        assert!(text.contains("\x1b[?1049h"), "{text:?}");
        assert_eq!(seen.reset_sequence(), Tracker::new(0).reset_sequence());
        let after = rustix::termios::tcgetattr(&pty.slave).expect("settings");
        assert_eq!(format!("{after:?}"), format!("{before:?}"));
    }

    #[test]
    fn a_line_starts_with_its_first_byte() {
        assert_eq!(ends_within_line(b""), None);
        assert_eq!(ends_within_line(b"\x1b[m\x1b[1;31m"), None);
        assert_eq!(ends_within_line(b"text\r\n\x1b[m"), Some(false));
        assert_eq!(ends_within_line(b"text"), Some(true));
        assert_eq!(ends_within_line(b"\nm"), Some(true));
        assert_eq!(ends_within_line(b"\n\x1b[5;1H"), Some(true));
    }
}
