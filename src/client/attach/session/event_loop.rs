//! The loop of an attachment: who may be read and written, and in which order.

use super::{Ended, Session, terminal_error};
use crate::client::error::ClientError;
use crate::client::ui::fatal_signals::deadly;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGTSTP, SIGWINCH};
use signal_hook_mio::v1_0::Signals;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// No more is read from the terminal while so much waits for the daemon, in bytes.
const INPUT_BOUND: usize = 64 * 1024;

/// One read from the daemon, in bytes.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// No more is read from the daemon while so much waits for the terminal, in bytes.
const OUTPUT_BOUND: usize = 128 * 1024;

/// How long output may wait for the terminal before it is given up for a picture of the end.
const STALE: Duration = Duration::from_secs(1);

/// A shorter read of the terminal took all there was, in bytes.
const SHORT_READ: usize = 1024;

const TERMINAL: Token = Token(0);
const SOCKET: Token = Token(1);
const SIGNALS: Token = Token(2);

/// What may be tried: edges are told only once.
#[derive(Debug)]
pub(crate) struct Ready {
    terminal_readable: bool,
    terminal_writable: bool,
    /// The terminal hung up: that is told once, and found by reading on.
    terminal_closed: bool,
    socket_readable: bool,
    socket_writable: bool,
    /// The daemon will send nothing more.
    socket_closed: bool,
}

/// For what the poll tells that it takes bytes again. Not always: then each read at the other end
/// would wake the client.
#[derive(Debug, Default)]
struct Armed {
    terminal: bool,
    socket: bool,
}

impl Ready {
    /// Nothing has been tried yet.
    pub(crate) fn all() -> Ready {
        Ready {
            terminal_readable: true,
            terminal_writable: true,
            terminal_closed: false,
            socket_readable: true,
            socket_writable: true,
            socket_closed: false,
        }
    }
}

/// The signals that a client with a terminal acts upon, from now on until its end: none of them
/// is lost between two attachments.
///
/// # Errors
/// When they cannot be caught.
pub fn signals() -> Result<Signals, ClientError> {
    let others = [SIGWINCH, SIGTSTP, SIGCONT];
    Signals::new(deadly().into_iter().chain(others)).map_err(terminal_error)
}

/// The first signal that came and asks to end; the others are forgotten.
pub fn asked_to_end(signals: &mut Signals) -> Option<i32> {
    let deadly = deadly();
    signals.pending().find(|signal| deadly.contains(signal))
}

/// Runs an attachment to its end.
///
/// # Errors
/// When the daemon sends what makes no sense; the terminal is restored then, too.
pub fn run(mut session: Session, greet: bool, signals: &mut Signals) -> Result<Ended, ClientError> {
    let mut poll = Poll::new().map_err(terminal_error)?;
    let registry = poll.registry();
    let fd = session.screen.raw_fd();
    registry
        .register(&mut SourceFd(&fd), TERMINAL, Interest::READABLE)
        .map_err(terminal_error)?;
    registry
        .register(&mut session.socket, SOCKET, Interest::READABLE)
        .map_err(terminal_error)?;
    registry
        .register(signals, SIGNALS, Interest::READABLE)
        .map_err(terminal_error)?;
    if greet {
        session.greet();
    } else {
        // Whoever has been here before has been told.
        session.told_size = true;
    }
    session.resize();
    session.take_frames()?;
    let mut events = Events::with_capacity(16);
    let mut armed = Armed::default();
    while !session.is_over() {
        let timeout = if session.is_busy() {
            Some(Duration::ZERO)
        } else {
            let deadlines = [session.key_deadline, session.stale_at()];
            let next = deadlines.into_iter().flatten().min();
            next.map(|at| at.saturating_duration_since(Instant::now()))
        };
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(terminal_error(error));
            }
            _ => {}
        }
        for event in &events {
            let ready = &mut session.ready;
            match event.token() {
                TERMINAL => {
                    ready.terminal_readable |= event.is_readable() || event.is_read_closed();
                    ready.terminal_writable |= event.is_writable() || event.is_write_closed();
                    ready.terminal_closed |= event.is_read_closed() || event.is_error();
                }
                SOCKET => {
                    ready.socket_readable |= event.is_readable() || event.is_read_closed();
                    ready.socket_writable |= event.is_writable() || event.is_write_closed();
                    ready.socket_closed |= event.is_read_closed() || event.is_error();
                }
                _ => signals
                    .pending()
                    .for_each(|signal| session.take_signal(signal)),
            }
        }
        session.turn()?;
        session
            .arm(poll.registry(), &mut armed)
            .map_err(terminal_error)?;
    }
    session.last_words();
    session.screen.leave();
    // They outlive this loop.
    poll.registry()
        .deregister(signals)
        .map_err(terminal_error)?;
    Ok(session.ended.take().unwrap_or(Ended::Lost))
}

impl Session {
    /// Has the poll tell when bytes are taken again, exactly while that is waited for.
    fn arm(&mut self, registry: &Registry, armed: &mut Armed) -> io::Result<()> {
        let interest = |waits: bool| match waits {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        let waits = !self.ready.terminal_writable;
        if std::mem::replace(&mut armed.terminal, waits) != waits {
            let fd = self.screen.raw_fd();
            registry.reregister(&mut SourceFd(&fd), TERMINAL, interest(waits))?;
        }
        let waits = !self.ready.socket_writable;
        if std::mem::replace(&mut armed.socket, waits) != waits {
            registry.reregister(&mut self.socket, SOCKET, interest(waits))?;
        }
        Ok(())
    }

    /// Reads what was typed, once.
    fn read_terminal(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.screen.read(&mut buffer)? {
            None => self.ready.terminal_readable = false,
            // The terminal hung up.
            Some(0) => self.ended = Some(Ended::Signalled(SIGHUP)),
            Some(count) => {
                // What comes later is told anew.
                let more = count >= SHORT_READ || self.ready.terminal_closed;
                self.ready.terminal_readable = more;
                self.hide_hint();
                let paste = self.screen.bracketed_paste();
                let actions = self.chord.feed(&buffer[..count], paste);
                self.act(actions);
                let waiting = self.chord.is_waiting();
                self.key_deadline = waiting.then(|| Instant::now() + self.chord.patience());
            }
        }
        Ok(())
    }

    /// Writes to the daemon, once.
    fn write_socket(&mut self) {
        match self.socket.write(&self.outgoing) {
            Ok(count) => drop(self.outgoing.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.ready.socket_writable = false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Why it closed may still have to be read.
            Err(_) => self.outgoing.clear(),
        }
    }

    /// Reads from the daemon, once, and takes in the frames.
    fn read_socket(&mut self) -> Result<(), ClientError> {
        match self.socket.read(&mut self.buffer) {
            Ok(0) => self.lost(),
            Ok(count) => {
                self.decoder.push(&self.buffer[..count]);
                // What comes later is told anew; only the end may have been told already.
                let more = count == self.buffer.len() || self.ready.socket_closed;
                self.ready.socket_readable = more;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.ready.socket_readable = false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.lost(),
        }
        self.take_frames()
    }

    fn lost(&mut self) {
        self.show_missed();
        self.ended = Some(Ended::Lost);
    }

    /// One round: input before output, each once, so that a flood delays no key.
    fn turn(&mut self) -> Result<(), ClientError> {
        if self.ready.terminal_readable && self.outgoing.len() < INPUT_BOUND {
            self.read_terminal().or_else(|_| self.hung_up())?;
        }
        if self
            .key_deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            self.key_deadline = None;
            let actions = self.chord.flush();
            self.act(actions);
        }
        if self.stale_at().is_some_and(|at| at <= Instant::now()) {
            self.ask_redraw();
        }
        if self.ready.socket_writable && !self.outgoing.is_empty() {
            self.write_socket();
        }
        if self.ready.socket_readable && self.screen.queued() < OUTPUT_BOUND && !self.is_ending() {
            self.read_socket()?;
        }
        if self.ready.terminal_writable && self.screen.queued() > 0 {
            match self.screen.write_some() {
                Ok(taken) => self.ready.terminal_writable = taken,
                Err(_) => self.hung_up()?,
            }
        }
        self.show_hint();
        Ok(())
    }

    fn hung_up(&mut self) -> Result<(), ClientError> {
        self.ended = Some(Ended::Signalled(SIGHUP));
        Ok(())
    }

    /// Whether there is something to do that no event will tell.
    fn is_busy(&self) -> bool {
        let ready = &self.ready;
        let reads = ready.terminal_readable && self.outgoing.len() < INPUT_BOUND;
        let sends = ready.socket_writable && !self.outgoing.is_empty();
        let room = self.screen.queued() < OUTPUT_BOUND && !self.is_ending();
        let receives = ready.socket_readable && room;
        let writes = ready.terminal_writable && self.screen.queued() > 0;
        reads || sends || receives || writes
    }

    /// The daemon ended it: only what is queued remains to be shown.
    fn is_ending(&self) -> bool {
        matches!(self.ended, Some(Ended::Exited { .. } | Ended::Lost))
            || matches!(&self.ended, Some(Ended::Detached(reason)) if !reason.is_empty())
    }

    /// When what waits for the terminal is too old to be of use: a slow one should show the end,
    /// not everything before it.
    fn stale_at(&self) -> Option<Instant> {
        let may = self.redraws && !self.redrawing && self.ended.is_none();
        let since = may.then(|| self.screen.waiting_since()).flatten();
        since.map(|since| since + STALE)
    }

    /// Whether nothing holds the end up. The user's own wish waits for nothing.
    fn is_over(&self) -> bool {
        self.ended.is_some() && (!self.is_ending() || self.screen.queued() == 0)
    }
}
