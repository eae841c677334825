//! One attachment with a terminal at both ends: bytes pass through untouched, both ways.

use crate::client::attach::detach_keys::{Action, ChordDecoder, DetachKeys};
use crate::client::attach::hint::{self, Hint};
use crate::client::attach::terminal_guard::Screen;
use crate::client::cli::command::AttachArgs;
use crate::client::context::Context;
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::error::ClientError;
use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::bracketed;
use crate::wire::{AttachReply, ExitInfo, Frame, FrameDecoder, Kind, MAX_PAYLOAD, RoleInfo};
use event_loop::Ready;
use mio::net::UnixStream;
use signal_hook::consts::{SIGCONT, SIGTSTP, SIGWINCH};
use std::io;
use std::time::{Duration, Instant};

mod event_loop;

pub(crate) use event_loop::{asked_to_end, run, signals};

/// How long the hint stays when the process writes.
const HINT_TIME: Duration = Duration::from_secs(3);

/// Of output that was dropped so much is kept, in case that it was the last, in bytes.
const MISSED_MAX: usize = 4096;

/// How an attachment ended. The terminal is as before in each case.
#[derive(Debug)]
pub(crate) enum Ended {
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
    /// The user wants to read what left the screen, then go on.
    History,
    /// The client is to be stopped, then go on.
    Suspended,
    /// The terminal was somebody else's for a while: everything has to be drawn again.
    Resync,
    /// To the next (1) or previous (-1) process.
    Switch(isize),
}

/// An attachment.
#[derive(Debug)]
pub(crate) struct Session {
    process: String,
    read_only: bool,
    quiet: bool,
    style: Style,
    keys: DetachKeys,
    role: RoleInfo,
    /// The daemon draws everything anew when asked to.
    redraws: bool,
    /// It has been asked to: output up to the picture is dropped.
    redrawing: bool,
    /// The end of what was dropped.
    missed: Vec<u8>,
    replay: bool,
    told_size: bool,
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
    buffer: Box<[u8]>,
    ended: Option<Ended>,
}

impl Session {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When there is no terminal.
    pub(crate) fn new(
        context: &Context,
        args: &AttachArgs,
        reply: &AttachReply,
        keys: DetachKeys,
        connection: DaemonConnection,
    ) -> Result<Session, ClientError> {
        let (socket, decoder) = connection.into_frames();
        let socket = socket
            .set_nonblocking(true)
            .map(|()| UnixStream::from_std(socket));
        Ok(Session {
            process: reply.process.clone(),
            read_only: args.read_only,
            redraws: reply.redraws,
            redrawing: false,
            missed: Vec::new(),
            replay: !args.no_replay,
            told_size: false,
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
                ..RoleInfo::default()
            },
            screen: Screen::enter().map_err(terminal_error)?,
            chord: ChordDecoder::new(keys),
            key_deadline: None,
            socket: socket.map_err(terminal_error)?,
            decoder,
            outgoing: Vec::new(),
            ready: Ready::all(),
            buffer: vec![0; event_loop::READ_SIZE].into_boxed_slice(),
            ended: None,
        })
    }

    /// One line about how to leave: over what is drawn, or before it when nothing is.
    fn greet(&mut self) {
        if !self.quiet {
            self.lay_over(self.greeting());
        }
    }

    fn greeting(&self) -> String {
        let watching = if self.read_only { " read-only" } else { "" };
        let (name, state) = (&self.process, &self.state);
        let larger = match self.is_too_small() {
            true => format!(
                " (its terminal is {}, larger than yours)",
                self.process_size()
            ),
            false => String::new(),
        };
        let keys = hint::ways_out(&self.keys);
        format!("[attached{watching} to {name}{state}{larger} — {keys}]")
    }

    /// Shows a line over what is drawn next.
    fn lay_over(&mut self, text: String) {
        let size = self.screen.size();
        if self.replay && Hint::fits(size) {
            self.hint = Some(Hint::new(text, self.style, size));
            self.hint_since = Instant::now();
        } else {
            self.screen.queue(&hint::line(&text, self.style));
        }
    }

    /// Whether the process draws for a terminal larger than this one.
    fn is_too_small(&self) -> bool {
        let (rows, cols) = self.screen.size();
        (0 < rows && rows < self.role.rows) || (0 < cols && cols < self.role.cols)
    }

    fn process_size(&self) -> String {
        format!("{}x{}", self.role.cols, self.role.rows)
    }

    fn take_role(&mut self, role: RoleInfo) {
        self.role = role;
        self.chord.set_watching(!self.role.driver);
        let greeting = self.greeting();
        match &mut self.hint {
            Some(hint) if !hint.is_drawn() => {
                hint.say(greeting);
                self.told_size |= self.is_too_small();
            }
            _ => self.tell_size(),
        }
    }

    /// Says once that not everything can be seen here.
    fn tell_size(&mut self) {
        if self.told_size || self.quiet || !self.is_too_small() {
            return;
        }
        self.told_size = true;
        let (name, size) = (&self.process, self.process_size());
        let more = self.keys.prefix();
        let more = more.map_or(String::new(), |prefix| format!(": {prefix} ? shows help"));
        let text = format!("[{name}'s terminal is {size}, larger than yours{more}]");
        if self.redraws && self.replay {
            self.ask_redraw();
            self.lay_over(text);
        } else {
            self.notice(&text);
        }
    }

    /// Drops what waits for the terminal; a picture of the end takes its place.
    fn ask_redraw(&mut self) {
        self.screen.discard();
        self.hint = None;
        self.redrawing = true;
        self.outgoing
            .extend(Frame::new(Kind::Redraw, []).to_bytes());
    }

    /// Lays the hint over what is on the terminal, once all of that is there.
    fn show_hint(&mut self) {
        if let Some(hint) = &mut self.hint
            && self.screen.queued() == 0
        {
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
        self.noticed = false;
        if self.redrawing {
            self.missed.extend_from_slice(bytes);
            let surplus = self.missed.len().saturating_sub(MISSED_MAX);
            self.missed.drain(..surplus);
            return;
        }
        if let Some(hint) = &mut self.hint {
            self.screen.queue(&hint.hide());
            let stays = hint.written(bytes);
            if !stays || self.hint_since.elapsed() > HINT_TIME {
                self.hint = None;
            }
        }
        self.screen.queue(bytes);
    }

    /// Shows a picture of everything up to here.
    fn draw(&mut self, bytes: &[u8]) {
        if let Some(hint) = &mut self.hint {
            self.screen.queue(&hint.hide());
            hint.drawn(bytes);
        }
        self.screen.queue(bytes);
        if std::mem::take(&mut self.redrawing) {
            self.screen.keep_all();
            self.missed.clear();
        }
    }

    /// No picture comes any more: at least the last lines of what was dropped are shown.
    fn show_missed(&mut self) {
        self.redrawing = false;
        let missed = std::mem::take(&mut self.missed);
        let line = missed.iter().position(|byte| *byte == b'\n');
        self.screen.queue(&missed[line.map_or(0, |at| at + 1)..]);
    }

    /// Tells the daemon the size of the terminal.
    fn resize(&mut self) {
        let (rows, cols) = self.screen.size();
        if rows > 0 && cols > 0 {
            self.outgoing.extend(Frame::resize(rows, cols).to_bytes());
        }
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
                Action::History => Ended::History,
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
        let role = match (self.role.driver, self.read_only) {
            (true, _) => "driving",
            (false, true) => "watching, read-only",
            (false, false) => "watching",
        };
        let clients = self.role.clients.max(1);
        let mut text = format!("{}: {role}, {clients} attached in total", self.process);
        if self.is_too_small() {
            let (rows, cols) = self.screen.size();
            let size = self.process_size();
            text.push_str(&format!(
                "\nits terminal is {size}, yours is {cols}x{rows}: enlarge yours"
            ));
            if !self.read_only && !self.role.driver {
                text.push_str(
                    ",\nor type: the last client that typed sets the size, unless tty.size is set",
                );
            }
        }
        for (keys, does) in [
            (self.keys.shown(), "Detach; the process continues to run"),
            (format!("{prefix} {prefix}"), "Send the prefix key itself"),
            (
                format!("{prefix} ["),
                "Show the output that has scrolled off the screen",
            ),
            (
                format!("{prefix} n, p"),
                "Switch to the next or previous process",
            ),
            (format!("{prefix} ctrl-z"), "Suspend tm"),
        ] {
            text.push_str(&format!("\n  {keys:<16} {does}"));
        }
        text
    }

    fn take_frames(&mut self) -> Result<(), ClientError> {
        let broken =
            |error| ClientError::Protocol(format!("malformed data from the daemon: {error}"));
        while let Some(frame) = self.decoder.next_frame().map_err(broken)? {
            self.take_frame(&frame);
        }
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
                    self.draw(bytes);
                }
            }
            Kind::Notice => self.notice(&bracketed(&frame.payload)),
            Kind::Role => {
                if let Ok(role) = serde_json::from_slice(&frame.payload) {
                    self.take_role(role);
                }
            }
            Kind::Exit => {
                self.show_missed();
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
            Kind::Source
            | Kind::End
            | Kind::Input
            | Kind::Resize
            | Kind::InputEnd
            | Kind::Redraw => {}
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
                if !self.role.driver {
                    self.tell_size();
                }
            }
            SIGTSTP => self.ended = Some(Ended::Suspended),
            SIGCONT => self.ended = Some(Ended::Resync),
            _ => self.ended = Some(Ended::Signalled(signal)),
        }
    }

    /// Takes the hint away again; nothing else waits when it is still there.
    fn last_words(&mut self) {
        if self.screen.queued() == 0 && self.hint.is_some() {
            self.hide_hint();
            // What the terminal does not take now is dropped.
            let _ = self.screen.write_some();
        }
    }
}

fn terminal_error(error: io::Error) -> ClientError {
    ClientError::Failed(format!("terminal: {error}"))
}
