//! One attachment with a terminal at both ends: bytes pass through untouched, both ways.

use super::chord::{Action, ChordDecoder, DetachKeys};
use super::command::AttachArgs;
use super::connection::Connection;
use super::context::Context;
use super::error::ClientError;
use super::hint::{self, Hint};
use super::screen_care::Screen;
use super::style::{Paint, Style};
use super::table::bracketed;
use crate::wire::{AttachReply, ExitInfo, Frame, FrameDecoder, Kind, MAX_PAYLOAD, RoleInfo};
use mio::net::UnixStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook_mio::v1_0::Signals;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// How long the begin of a sequence waits for its rest.
const KEY_TIMEOUT: Duration = Duration::from_millis(25);

/// How long the hint stays when the process writes.
const HINT_TIME: Duration = Duration::from_secs(3);

/// No more is read from the terminal while so much waits for the daemon, in bytes.
const INPUT_BOUND: usize = 64 * 1024;

/// No more is read from the daemon while so much waits for the terminal, in bytes.
const OUTPUT_BOUND: usize = 128 * 1024;

const TERMINAL: Token = Token(0);
const SOCKET: Token = Token(1);
const SIGNALS: Token = Token(2);

/// How an attachment ended. The terminal is as before in each case.
#[derive(Debug)]
pub enum Ended {
    /// By the chord, or by the daemon for this reason.
    Detached(String),
    /// The process ended for good.
    Exited {
        /// How.
        info: ExitInfo,
        /// The last line on the screen says so.
        told: bool,
    },
    /// The daemon is gone.
    Lost,
    /// The client was asked to end by this signal.
    Signalled(i32),
    /// The user wants to read this, then go on.
    Help(String),
    /// The client is to be stopped, then go on.
    Suspended,
    /// The terminal was somebody else's for a while: everything has to be drawn again.
    Resync,
    /// To the next (1) or previous (-1) process.
    Switch(isize),
}

/// An attachment.
#[derive(Debug)]
pub struct Session {
    process: String,
    read_only: bool,
    quiet: bool,
    style: Style,
    keys: DetachKeys,
    role: RoleInfo,
    replay: bool,
    hint: Option<Hint>,
    hint_since: Instant,
    state: String,
    noticed: bool,
    screen: Screen,
    chord: ChordDecoder,
    key_deadline: Option<Instant>,
    socket: UnixStream,
    decoder: FrameDecoder,
    outgoing: Vec<u8>,
    ready: Ready,
    ended: Option<Ended>,
}

/// What may be tried: edges are told only once.
#[derive(Debug)]
struct Ready {
    terminal_readable: bool,
    terminal_writable: bool,
    socket_readable: bool,
    socket_writable: bool,
}

impl Session {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When there is no terminal.
    pub fn new(
        context: &Context,
        args: &AttachArgs,
        reply: &AttachReply,
        keys: DetachKeys,
        connection: Connection,
    ) -> Result<Session, ClientError> {
        let (socket, decoder) = connection.into_frames();
        let socket = socket
            .set_nonblocking(true)
            .map(|()| UnixStream::from_std(socket));
        Ok(Session {
            process: reply.process.clone(),
            read_only: args.read_only,
            replay: !args.no_replay,
            hint: None,
            hint_since: Instant::now(),
            state: match reply.pid {
                Some(_) => String::new(),
                None => format!(" ({})", reply.state),
            },
            noticed: false,
            quiet: context.global.quiet,
            style: context.style,
            keys: keys.clone(),
            role: RoleInfo {
                driver: reply.driver,
                clients: 1,
            },
            screen: Screen::enter().map_err(terminal_error)?,
            chord: ChordDecoder::new(keys),
            key_deadline: None,
            socket: socket.map_err(terminal_error)?,
            decoder,
            outgoing: Vec::new(),
            ready: Ready {
                terminal_readable: true,
                terminal_writable: true,
                socket_readable: true,
                socket_writable: true,
            },
            ended: None,
        })
    }

    /// One line about how to leave: over what is drawn, or before it when nothing is.
    fn greet(&mut self) {
        if self.quiet {
            return;
        }
        let watching = if self.read_only { " read-only" } else { "" };
        let (name, state) = (&self.process, &self.state);
        let keys = hint::ways_out(&self.keys);
        let line = format!("[attached{watching} to {name}{state} — {keys}]");
        let hint = Hint::new(line, self.style, self.screen.size());
        if self.replay {
            self.hint = Some(hint);
        } else {
            self.screen.queue(&hint.line());
        }
    }

    fn show_hint(&mut self) {
        if let Some(hint) = &mut self.hint {
            let bytes = hint.show();
            self.screen.queue(&bytes);
        }
    }

    /// The hint, shown or not, has had its time.
    fn hide_hint(&mut self) {
        if let Some(mut hint) = self.hint.take() {
            self.screen.queue(&hint.hide());
        }
    }

    /// Shows what the process writes; the hint steps aside for it.
    fn pass(&mut self, bytes: &[u8]) {
        if let Some(hint) = &mut self.hint {
            self.screen.queue(&hint.hide());
            if self.hint_since.elapsed() > HINT_TIME || !hint.written(bytes) {
                self.hint = None;
            }
        }
        self.screen.queue(bytes);
        self.noticed = false;
    }

    /// Tells the daemon the size of the terminal.
    fn resize(&mut self) {
        let (rows, cols) = self.screen.size();
        if !self.read_only && rows > 0 && cols > 0 {
            self.outgoing.extend(Frame::resize(rows, cols).to_bytes());
        }
    }

    /// Reads what was typed, once.
    fn read_terminal(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.screen.read(&mut buffer)? {
            None => self.ready.terminal_readable = false,
            // The terminal hung up.
            Some(0) => self.ended = Some(Ended::Signalled(SIGHUP)),
            Some(count) => {
                self.hide_hint();
                let paste = self.screen.bracketed_paste();
                let actions = self.chord.feed(&buffer[..count], paste);
                self.act(actions);
                let waiting = self.chord.is_waiting();
                self.key_deadline = waiting.then(|| Instant::now() + KEY_TIMEOUT);
            }
        }
        Ok(())
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            let ended = match action {
                Action::Forward(bytes) => {
                    self.send_input(&bytes);
                    continue;
                }
                Action::Detach => Ended::Detached(String::new()),
                Action::Help => Ended::Help(self.help()),
                Action::Next => Ended::Switch(1),
                Action::Previous => Ended::Switch(-1),
                Action::Suspend => Ended::Suspended,
            };
            // What was typed after it is not for the process any more.
            self.ended = Some(ended);
            return;
        }
    }

    fn send_input(&mut self, bytes: &[u8]) {
        if !self.read_only {
            for chunk in bytes.chunks(MAX_PAYLOAD) {
                self.outgoing
                    .extend(Frame::new(Kind::Input, chunk).to_bytes());
            }
        }
    }

    fn help(&self) -> String {
        let prefix = self.keys.prefix().unwrap_or_default();
        let role = if self.role.driver {
            "driving"
        } else {
            "watching"
        };
        let clients = self.role.clients.max(1);
        let leave = self.keys.shown();
        let mut text = format!("{}: {role}, {clients} attached in all", self.process);
        for (keys, does) in [
            (leave, "leaves; the process goes on".to_string()),
            (
                format!("{prefix} {prefix}"),
                format!("sends {prefix} itself"),
            ),
            (
                format!("{prefix} n, p"),
                "goes to the next or previous process".to_string(),
            ),
            (format!("{prefix} ctrl-z"), "suspends tm".to_string()),
        ] {
            text.push_str(&format!("\r\n  {keys:<16} {does}"));
        }
        text
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
        let mut buffer = [0; 64 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.ended = Some(Ended::Lost),
            Ok(count) => self.decoder.push(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.ready.socket_readable = false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.ended = Some(Ended::Lost),
        }
        self.take_frames()
    }

    fn take_frames(&mut self) -> Result<(), ClientError> {
        let broken = |error| ClientError::Protocol(format!("from the daemon: {error}"));
        while let Some(frame) = self.decoder.next_frame().map_err(broken)? {
            self.take_frame(&frame);
        }
        self.show_hint();
        Ok(())
    }

    fn take_frame(&mut self, frame: &Frame) {
        match frame.kind {
            Kind::Data => {
                if let Some((_, bytes)) = frame.offset_and_bytes() {
                    self.pass(bytes);
                }
            }
            Kind::Snapshot => {
                if let Some((_, bytes)) = frame.offset_and_bytes() {
                    if let Some(hint) = &mut self.hint {
                        self.screen.queue(&hint.hide());
                        hint.drawn(bytes);
                    }
                    self.screen.queue(bytes);
                }
            }
            Kind::Notice => self.notice(&bracketed(&frame.payload)),
            Kind::Role => {
                if let Ok(role) = serde_json::from_slice(&frame.payload) {
                    self.role = role;
                }
            }
            Kind::Exit => {
                let info = serde_json::from_slice(&frame.payload).unwrap_or_default();
                let told = self.noticed;
                self.ended = Some(Ended::Exited { info, told });
            }
            Kind::Detach => {
                let text = String::from_utf8_lossy(&frame.payload).into_owned();
                self.ended = Some(Ended::Detached(text));
            }
            // A snapshot follows; what was skipped is on no screen.
            Kind::Skipped => {}
            Kind::Source | Kind::End | Kind::Input | Kind::Resize | Kind::InputEnd => {}
        }
    }

    /// A line about the process among what it draws.
    fn notice(&mut self, text: &str) {
        self.hide_hint();
        let line = self.style.paint(Paint::Dim, text);
        let begin = self.screen.new_line();
        self.screen.queue(format!("{begin}{line}\r\n").as_bytes());
        self.noticed = true;
    }

    fn take_signal(&mut self, signal: i32) {
        match signal {
            SIGWINCH => {
                self.hide_hint();
                self.resize();
            }
            SIGTSTP => self.ended = Some(Ended::Suspended),
            SIGCONT => self.ended = Some(Ended::Resync),
            _ => self.ended = Some(Ended::Signalled(signal)),
        }
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
        Ok(())
    }

    fn hung_up(&mut self) -> Result<(), ClientError> {
        self.ended = Some(Ended::Signalled(SIGHUP));
        Ok(())
    }

    /// Takes the hint away again; nothing else waits when it is still there.
    fn last_words(&mut self) {
        if self.screen.queued() == 0 && self.hint.is_some() {
            self.hide_hint();
            // What the terminal does not take now is dropped.
            let _ = self.screen.write_some();
        }
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

    /// Whether nothing holds the end up. The user's own wish waits for nothing.
    fn is_over(&self) -> bool {
        self.ended.is_some() && (!self.is_ending() || self.screen.queued() == 0)
    }
}

/// Runs an attachment to its end.
///
/// # Errors
/// When the daemon sends what makes no sense; the terminal is restored then, too.
pub fn run(mut session: Session, greet: bool) -> Result<Ended, ClientError> {
    let mut poll = Poll::new().map_err(terminal_error)?;
    let wanted = [SIGWINCH, SIGTSTP, SIGCONT, SIGTERM, SIGHUP, SIGINT, SIGQUIT];
    let mut signals = Signals::new(wanted).map_err(terminal_error)?;
    let both = Interest::READABLE | Interest::WRITABLE;
    let registry = poll.registry();
    let fd = session.screen.raw_fd();
    registry
        .register(&mut SourceFd(&fd), TERMINAL, both)
        .map_err(terminal_error)?;
    registry
        .register(&mut session.socket, SOCKET, both)
        .map_err(terminal_error)?;
    registry
        .register(&mut signals, SIGNALS, Interest::READABLE)
        .map_err(terminal_error)?;
    if greet {
        session.greet();
    }
    session.resize();
    session.take_frames()?;
    let mut events = Events::with_capacity(16);
    while !session.is_over() {
        let hold = session
            .key_deadline
            .map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = if session.is_busy() {
            Some(Duration::ZERO)
        } else {
            hold
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
                }
                SOCKET => {
                    ready.socket_readable |= event.is_readable() || event.is_read_closed();
                    ready.socket_writable |= event.is_writable() || event.is_write_closed();
                }
                _ => signals
                    .pending()
                    .for_each(|signal| session.take_signal(signal)),
            }
        }
        session.turn()?;
    }
    session.last_words();
    session.screen.leave();
    Ok(session.ended.take().unwrap_or(Ended::Lost))
}

fn terminal_error(error: io::Error) -> ClientError {
    ClientError::Failed(format!("the terminal: {error}"))
}
