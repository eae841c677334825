//! The loop of an attachment: which ends are read and written, and in which order.

use super::{Redraw, Session, SessionEnd, terminal_error};
use crate::client::error::ClientError;
use crate::client::ui::event_loop::{FdWatch, Readiness, SignalSource, wait};
use crate::client::ui::fatal_signals::deadly;
use crate::sys::tty;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGTSTP, SIGWINCH};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// While more input waits for the daemon, the terminal is not read, in bytes.
const INPUT_BOUND: usize = 64 * 1024;

/// One read from the daemon, in bytes.
pub(super) const READ_SIZE: usize = 64 * 1024;

/// While more output waits for the terminal, the daemon is not read, in bytes.
const OUTPUT_BOUND: usize = 128 * 1024;

/// Output that waits longer for the terminal is replaced by a snapshot.
const STALE: Duration = Duration::from_secs(1);

/// Which ends took less than they were given. Writes are tried at once: only after a refusal the
/// loop waits until the end is writable.
#[derive(Debug, Default)]
struct Blocked {
    terminal: bool,
    socket: bool,
}

/// Catches the signals on which a client with a terminal acts. The source outlives the
/// attachments, so that no signal is lost between two of them.
///
/// # Errors
/// When they cannot be caught.
pub(crate) fn signals() -> Result<SignalSource, ClientError> {
    let mut signals = deadly();
    signals.extend([SIGWINCH, SIGTSTP, SIGCONT]);
    SignalSource::new(&signals).map_err(terminal_error)
}

/// The first signal that asks the client to end. The other pending signals are dropped.
pub(crate) fn asked_to_end(signals: &mut SignalSource) -> Option<i32> {
    let deadly = deadly();
    signals.pending().find(|signal| deadly.contains(signal))
}

/// Waits until the client is in the foreground of its terminal: stops like a program that reads the
/// terminal from the background. Returns the signal that asks the client to end meanwhile.
///
/// # Errors
/// When nothing can bring the client to the foreground.
pub(crate) fn await_foreground(signals: &mut SignalSource) -> Result<Option<i32>, ClientError> {
    let deadly = deadly();
    while tty::is_background() {
        tty::stop_in_background();
        let mut continued = false;
        for signal in signals.pending() {
            if deadly.contains(&signal) {
                return Ok(Some(signal));
            }
            continued |= signal == SIGCONT;
        }
        // A group without a parent that could continue it is never stopped.
        if !continued {
            let text = "tm is in the background of its terminal: run it in the foreground";
            return Err(ClientError::Failed(text.to_string()));
        }
    }
    Ok(None)
}

/// Runs an attachment to its end.
///
/// # Errors
/// When the daemon sends an invalid frame. The terminal is restored in this case as well.
pub(crate) fn run(
    mut session: Session,
    banner: bool,
    signals: &mut SignalSource,
) -> Result<SessionEnd, ClientError> {
    if banner {
        session.print_banner();
    } else {
        // The user has seen it in an earlier attachment.
        (session.seen.larger, session.seen.smaller) = (true, true);
    }
    session.resize();
    session.take_frames()?;
    let mut blocked = Blocked::default();
    while !session.is_over() {
        let [terminal, socket, signal] = session.wait(&blocked, signals).map_err(terminal_error)?;
        if signal.is_readable() {
            for signal in signals.pending() {
                session.take_signal(signal);
            }
        }
        blocked.terminal &= !terminal.is_writable();
        blocked.socket &= !socket.is_writable();
        session.turn(terminal, socket, &mut blocked)?;
    }
    session.remove_hint();
    let alternate = session.screen.leave();
    let mut end = session.end.take().unwrap_or(SessionEnd::Lost);
    if let SessionEnd::Exited { info, report } = &mut end {
        let (name, code) = (&session.process, info.shell_code());
        *report = match report.take() {
            None => Some(format!("[{name} exited with code {code}]")),
            // The notice went away with the alternate screen.
            notice => notice.filter(|_| alternate),
        };
    }
    Ok(end)
}

impl Session {
    fn wait(&self, blocked: &Blocked, signals: &SignalSource) -> io::Result<[Readiness; 3]> {
        let deadlines = [self.key_deadline, self.stale_at()];
        let until = deadlines.into_iter().flatten().min();
        // Bytes that can be written without waiting: do not wait for other events.
        let writes = (!blocked.terminal && self.screen.queued() > 0)
            || (!blocked.socket && !self.outgoing.is_empty());
        let until = match writes {
            true => Some(Instant::now()),
            false => until,
        };
        let watches = [
            FdWatch::new(&self.screen, self.reads_terminal(), blocked.terminal),
            FdWatch::new(&self.socket, self.reads_socket(), blocked.socket),
            FdWatch::readable(signals),
        ];
        wait(watches, until)
    }

    fn reads_terminal(&self) -> bool {
        self.outgoing.len() < INPUT_BOUND
    }

    fn reads_socket(&self) -> bool {
        self.screen.queued() < OUTPUT_BOUND && !self.is_ending()
    }

    /// Reads input once.
    fn read_terminal(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.screen.read(&mut buffer)? {
            None => {}
            Some(0) => self.hung_up(),
            Some(count) => {
                // While the process is down, nothing else answers the keys.
                if self.down.is_none() {
                    self.hide_hint();
                }
                self.take_typed(&buffer[..count]);
            }
        }
        Ok(())
    }

    /// Takes bytes that were typed.
    pub(crate) fn take_typed(&mut self, bytes: &[u8]) {
        let paste = self.screen.bracketed_paste();
        let actions = self.chord.feed(bytes, paste);
        self.act(actions);
        self.await_more_input();
    }

    fn await_more_input(&mut self) {
        let waits = self.chord.waits();
        self.key_deadline = waits.map(|waits| Instant::now() + waits);
    }

    /// Writes once to the daemon. False when it takes nothing at the moment.
    fn write_socket(&mut self) -> bool {
        match self.socket.write(&self.outgoing) {
            Ok(count) => drop(self.outgoing.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The daemon closed the connection. Its last frames may give the reason.
            Err(_) => self.outgoing.clear(),
        }
        true
    }

    /// Reads once from the daemon, and handles the frames.
    fn read_socket(&mut self) -> Result<(), ClientError> {
        match self.socket.read(&mut self.buffer) {
            Ok(0) => self.lost(),
            Ok(count) => self.decoder.push(&self.buffer[..count]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.lost(),
        }
        self.take_frames()
    }

    fn lost(&mut self) {
        self.show_skipped_tail();
        self.end_with(SessionEnd::Lost);
    }

    /// One round: input before output and each once, so that a flood of output delays no key.
    fn turn(
        &mut self,
        terminal: Readiness,
        socket: Readiness,
        blocked: &mut Blocked,
    ) -> Result<(), ClientError> {
        let now = Instant::now();
        if terminal.is_readable() && self.reads_terminal() && self.read_terminal().is_err() {
            self.hung_up();
        }
        if self.key_deadline.is_some_and(|deadline| deadline <= now) {
            let actions = self.chord.no_more();
            self.act(actions);
            self.await_more_input();
        }
        if self.stale_at().is_some_and(|at| at <= now) {
            self.seen.skipped.get_or_insert(0);
            self.ask_redraw();
        }
        if !blocked.socket && !self.outgoing.is_empty() {
            blocked.socket = !self.write_socket();
        }
        if socket.is_readable() && self.reads_socket() {
            self.read_socket()?;
        }
        if !blocked.terminal && self.screen.queued() > 0 {
            match self.screen.write_some() {
                Ok(taken) => blocked.terminal = !taken,
                Err(_) => self.hung_up(),
            }
        }
        self.show_hint();
        Ok(())
    }

    fn hung_up(&mut self) {
        self.end_with(SessionEnd::Signalled(SIGHUP));
    }

    /// The daemon ended the attachment. Only queued output remains to be shown.
    fn is_ending(&self) -> bool {
        matches!(self.end, Some(SessionEnd::Exited { .. } | SessionEnd::Lost))
            || matches!(&self.end, Some(SessionEnd::Detached(reason)) if !reason.is_empty())
    }

    /// When the queued output is too old to be useful. A slow terminal then shows the current
    /// screen instead of everything before it.
    fn stale_at(&self) -> Option<Instant> {
        let is_live = matches!(self.redraw, Redraw::Live);
        let may_ask = self.settings.redraws && is_live && self.end.is_none();
        let since = self.screen.waiting_since().filter(|_| may_ask);
        since.map(|since| since + STALE)
    }

    /// Whether the attachment can end now. The user's own request does not wait for output.
    fn is_over(&self) -> bool {
        self.end.is_some() && (!self.is_ending() || self.screen.queued() == 0)
    }
}
