//! The user's terminal while a process uses it: raw, watched, and on every way out as before.

use crate::client::attach::queries::Questions;
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

/// How long the terminal may take to tell that it has sent all that was on its way: one that is
/// near, and one at the other end of an ssh connection.
const FENCE_NEAR: Duration = Duration::from_millis(100);
const FENCE_FAR: Duration = Duration::from_secs(1);

/// A question that every terminal answers, and its answers: it is well, or not.
const FENCE: &[u8] = b"\x1b[5n";
const FENCE_ANSWERS: [&[u8]; 2] = [b"\x1b[0n", b"\x1b[3n"];

/// How long the answer to a question may be on its way.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Modes in which a terminal sends what nobody typed: mouse, focus, colours, sizes.
const SENDING: [u16; 7] = [9, 1000, 1002, 1003, 1004, 2031, 2048];

/// Saves the title and icon name; its counterpart brings them back.
const PUSH_TITLE: &[u8] = b"\x1b[22;2t";

/// Bracketed paste.
const BRACKETED_PASTE: u16 = 2004;

/// What the panic hook restores, so that its message can be read.
static ON_PANIC: Mutex<Option<tty::Restorer>> = Mutex::new(None);

/// The terminal, taken over. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: OwnedFd,
    raw: tty::RawMode,
    tracker: Tracker,
    questions: Questions,
    asked: Option<Instant>,
    queue: Vec<u8>,
    written: usize,
    /// So many bytes have been queued in all.
    total: u64,
    /// What was queued up to here has been waiting since then.
    waiting: Option<(u64, Instant)>,
    /// What was queued up to here is wanted, however long it takes.
    keep: u64,
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
    pub(crate) fn enter() -> io::Result<Screen> {
        let terminal = tty::open()?;
        sys_io::set_nonblocking(terminal.as_fd(), true)?;
        let raw = tty::RawMode::enter(terminal.as_fd())?;
        restore_on_panic(raw.restorer());
        let titled = std::env::var_os("TERM").is_some_and(|term| term != "dumb" && term != "linux");
        let mut screen = Screen {
            terminal,
            raw,
            tracker: Tracker::new(0),
            questions: Questions::default(),
            asked: None,
            queue: Vec::new(),
            written: 0,
            total: 0,
            waiting: None,
            keep: 0,
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
    pub(crate) fn raw_fd(&self) -> RawFd {
        self.terminal.as_raw_fd()
    }

    /// Rows and columns; 0 when unknown.
    pub(crate) fn size(&self) -> (u16, u16) {
        tty::window_size(self.terminal.as_fd()).unwrap_or((0, 0))
    }

    /// Whether the process has switched bracketed paste on.
    pub(crate) fn bracketed_paste(&self) -> bool {
        self.tracker.mode(BRACKETED_PASTE)
    }

    /// Output to be written.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        if self.written == self.queue.len() {
            self.queue.clear();
            self.written = 0;
        }
        self.queue.extend_from_slice(bytes);
        self.total += bytes.len() as u64;
        if self.waiting.is_none() && !bytes.is_empty() {
            self.waiting = Some((self.total, Instant::now()));
        }
        self.line_began = begins_line(bytes).unwrap_or(self.line_began);
    }

    /// What brings the cursor to the begin of a line of its own, after all that is queued.
    pub(crate) fn new_line(&self) -> &'static str {
        if self.line_began { "\r\n" } else { "" }
    }

    /// How many bytes wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len() - self.written
    }

    /// Since when something waits that the terminal should have taken long ago.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        let kept = self.keep > self.total - self.queued() as u64;
        self.waiting.filter(|_| !kept).map(|(_, since)| since)
    }

    /// What is queued now is wanted, however long it takes.
    pub(crate) fn keep_all(&mut self) {
        self.keep = self.total;
    }

    /// Drops what waits: something whole will take its place.
    pub(crate) fn discard(&mut self) {
        let first = if self.is_titled() {
            0
        } else {
            PUSH_TITLE.len()
        };
        let all = self.queue.len();
        self.queue.truncate(self.written.max(first));
        self.total -= (all - self.queue.len()) as u64;
        self.waiting = None;
    }

    /// Writes once. False when the terminal takes nothing at the moment.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn write_some(&mut self) -> io::Result<bool> {
        let rest = &self.queue[self.written..];
        if rest.is_empty() {
            return Ok(true);
        }
        match sys_io::write(self.terminal.as_fd(), rest) {
            Ok(count) => {
                // Only what has reached the terminal has to be undone.
                self.tracker.feed(&rest[..count]);
                self.alternate_seen |= self.tracker.alternate();
                if self.questions.asked(&rest[..count]) {
                    self.asked = Some(Instant::now());
                }
                self.written += count;
                let left = self.queued() as u64;
                let written = self.total - left;
                let kept = written <= self.keep;
                if kept || self.waiting.is_some_and(|(end, _)| end <= written) {
                    self.waiting = (left > 0).then(|| (self.total, Instant::now()));
                }
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
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match sys_io::read(self.terminal.as_fd(), buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the terminal back: output that waits is dropped, modes are undone. Takes at most
    /// [`LAST_WRITE`], and [`FENCE_FAR`] where something may be on its way, whatever the terminal
    /// does.
    pub(crate) fn leave(&mut self) {
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
        let sends = self.terminal_may_send();
        // That brings the title back, too: the tracker has seen it being saved.
        last.extend_from_slice(&self.tracker.reset_sequence());
        if self.line_began || self.queued() > 0 || self.alternate_seen {
            last.extend_from_slice(b"\r\n");
        }
        // What the process drew below is of no use to whoever types there next.
        last.extend_from_slice(b"\x1b[J");
        if sends {
            last.extend_from_slice(FENCE);
        }
        // Reports of mouse and focus, and answers to questions nobody waits for any more, are not
        // for the shell.
        if self.write_last(&last) && sends {
            self.await_fence();
        }
        if sends {
            let _ = tty::flush_input(self.terminal.as_fd());
        }
        // A terminal that is gone needs no restoring.
        let _ = self.raw.restore();
        *ON_PANIC
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    /// Whether the title has been saved; nothing comes before that.
    fn is_titled(&self) -> bool {
        let written = self.total - self.queued() as u64;
        !self.titled || written >= PUSH_TITLE.len() as u64
    }

    /// Whether the terminal may send what nobody typed, or has been asked something just now.
    fn terminal_may_send(&self) -> bool {
        let asked = |at: Instant| at.elapsed() < ANSWER_TIME;
        SENDING.iter().any(|mode| self.tracker.mode(*mode)) || self.asked.is_some_and(asked)
    }

    /// Reads and drops until the terminal has answered, so that nothing is on its way any more.
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
            // An answer may be cut in two.
            last.drain(..last.len().saturating_sub(FENCE.len()));
        }
    }

    /// Whether everything was taken in time.
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

    /// Waits until the terminal is ready; false when it is not in time.
    fn wait(&self, wanted: PollFlags, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return false;
        };
        let mut fds = [PollFd::new(&self.terminal, wanted)];
        !left.is_zero() && matches!(poll(&mut fds, Some(&timeout)), Ok(1..))
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

    /// Set in the process that panics on purpose.
    const VARIABLE: &str = "TM_TEST_OF_A_PANIC";

    /// What it leaves on.
    const ON: &[u8] = b"\x1b[?1049h\x1b[>1u\x1b[?1003h\x1b[?25l\x1b[3;5r\x1b[31mon";

    fn panic_on_purpose() -> ! {
        let mut screen = Screen::enter().expect("a terminal");
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
    fn a_line_begins_after_its_first_byte() {
        assert_eq!(begins_line(b""), None);
        assert_eq!(begins_line(b"\x1b[m\x1b[1;31m"), None);
        assert_eq!(begins_line(b"text\r\n\x1b[m"), Some(false));
        assert_eq!(begins_line(b"text"), Some(true));
        assert_eq!(begins_line(b"\nm"), Some(true));
        assert_eq!(begins_line(b"\n\x1b[5;1H"), Some(true));
    }
}
