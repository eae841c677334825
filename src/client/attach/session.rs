//! One attachment with a terminal at both ends. Bytes pass through unchanged in both directions.

use crate::client::attach::detach_keys::{Action, ChordDecoder, DetachKeys};
use crate::client::attach::hint::{self, Hint, HintText};
use crate::client::attach::terminal_guard::TerminalGuard;
use crate::client::cli::command::AttachArgs;
use crate::client::context::Context;
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::received::frame_text;
use crate::client::error::ClientError;
use crate::client::ui::style::{Paint, Style};
use crate::client::ui::table::bracketed;
use crate::text::printable::printable;
use crate::wire::{AttachReply, ExitInfo, Frame, FrameDecoder, Kind, PAYLOAD_MAX, RoleInfo};
use signal_hook::consts::{SIGCONT, SIGTSTP, SIGWINCH};
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

mod session_loop;
mod session_words;

pub(crate) use session_loop::{asked_to_end, await_foreground, run, signals};

/// How long the hint stays when the process writes.
const HINT_TIME: Duration = Duration::from_secs(3);

/// While output is skipped, this many bytes of its end are kept, in case no snapshot follows.
const SKIPPED_TAIL_MAX: usize = 4096;

/// How an attachment ended. The terminal has been restored in each case.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// By the detach keys (with an empty text), or by the daemon for this reason.
    Detached(String),
    /// The process ended for good.
    Exited {
        info: ExitInfo,
        /// The notice of it, unless the screen still shows it.
        report: Option<String>,
    },
    /// The connection broke off.
    Lost,
    /// A signal asked the client to end.
    Signalled(i32),
    /// The user asked for this help; attach again afterwards.
    Help(String),
    /// The user asked for the history; attach again afterwards.
    History,
    /// The user suspended the client; attach again afterwards.
    Suspended,
    /// The client was stopped and continued. Other programs may have used the terminal meanwhile,
    /// so it must be drawn again.
    Resync,
    /// The user wants the next (1) or previous (-1) process.
    Switch(isize),
}

/// The settings of an attachment.
#[derive(Debug, Clone)]
struct SessionSettings {
    read_only: bool,
    quiet: bool,
    /// The attachment starts with a snapshot.
    replay: bool,
    /// The daemon sends a new snapshot on request.
    redraws: bool,
    /// The flags that select the daemon, for commands within hints.
    selection: String,
}

/// The state of live output.
#[derive(Debug)]
enum Redraw {
    /// It is shown.
    Live,
    /// It is skipped until the requested snapshot. The last bytes are kept.
    Waiting { tail: Vec<u8> },
}

/// Which notices the user has seen.
#[derive(Debug, Default)]
struct Seen {
    /// That the process's terminal is larger than this one.
    larger: bool,
    /// That it is smaller.
    smaller: bool,
    /// Something of the process.
    output: bool,
    /// While the terminal is too slow: how many bytes are missing before the next snapshot.
    skipped: Option<u64>,
    /// The ring offset of the snapshot that came last, if no output followed it.
    snapshot_at: Option<u64>,
    /// The last output, if it was a notice.
    last_notice: Option<String>,
}

/// An attachment with a terminal at both ends.
#[derive(Debug)]
pub(crate) struct Session {
    process: String,
    /// The state of the process and its reason, if it does not run.
    down: Option<(String, String)>,
    /// Remarks for the banner.
    remarks: String,
    settings: SessionSettings,
    style: Style,
    keys: DetachKeys,
    role: RoleInfo,
    redraw: Redraw,
    seen: Seen,
    hint: Option<Hint>,
    hint_since: Instant,
    screen: TerminalGuard,
    chord: ChordDecoder,
    /// When keys that may begin a sequence are forwarded, or a paste is over.
    key_deadline: Option<Instant>,
    socket: UnixStream,
    decoder: FrameDecoder,
    outgoing: Vec<u8>,
    buffer: Box<[u8]>,
    end: Option<SessionEnd>,
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
        socket.set_nonblocking(true).map_err(terminal_error)?;
        Ok(Session {
            process: reply.process.clone(),
            down: reply
                .pid
                .is_none()
                .then(|| (reply.state.to_string(), String::new())),
            remarks: String::new(),
            settings: SessionSettings {
                read_only: args.read_only,
                quiet: context.global.quiet,
                replay: !args.no_replay,
                redraws: reply.redraws,
                selection: context.selection(),
            },
            style: context.style,
            keys: keys.clone(),
            role: RoleInfo {
                driver: reply.driver,
                clients: 1,
                ..RoleInfo::default()
            },
            redraw: Redraw::Live,
            seen: Seen::default(),
            hint: None,
            hint_since: Instant::now(),
            screen: TerminalGuard::enter().map_err(terminal_error)?,
            chord: ChordDecoder::new(keys),
            key_deadline: None,
            socket,
            decoder,
            outgoing: Vec::new(),
            buffer: vec![0; session_loop::READ_SIZE].into_boxed_slice(),
            end: None,
        })
    }

    /// Adds a remark to the banner.
    pub(crate) fn remark(&mut self, text: &str) {
        self.remarks.push_str(&format!(" ({text})"));
    }

    /// Adds to the banner why the process does not run.
    pub(crate) fn explain(&mut self, detail: String) {
        if let Some((_, reason)) = &mut self.down {
            *reason = detail;
        }
    }

    /// Shows how to leave in one line: over the snapshot, or before the output without one.
    fn print_banner(&mut self) {
        if !self.settings.quiet {
            self.show_hint_over(self.greeting());
        }
    }

    /// Shows a line over the next snapshot.
    fn show_hint_over(&mut self, text: HintText) {
        let size = self.screen.size();
        if self.settings.replay && Hint::fits(size) {
            self.hint = Some(Hint::new(text, self.style, size));
            self.hint_since = Instant::now();
        } else {
            let text = text.to_string();
            self.screen.queue(&hint::line(&text, self.style));
        }
    }

    fn take_role(&mut self, role: RoleInfo) {
        self.role = role;
        self.chord.set_watching(!self.role.driver);
        let greeting = self.greeting();
        match &mut self.hint {
            Some(hint) if !hint.is_drawn() => {
                hint.say(greeting);
                self.note_size();
            }
            _ => self.report_size(),
        }
    }

    /// Asks for a snapshot that replaces all output before it.
    fn ask_redraw(&mut self) {
        let dropped = self.screen.discard() as u64;
        if let Some(skipped) = &mut self.seen.skipped {
            *skipped += dropped;
        }
        self.seen.snapshot_at = None;
        self.hint = None;
        self.redraw = Redraw::Waiting { tail: Vec::new() };
        self.outgoing
            .extend(Frame::new(Kind::Redraw, []).to_bytes());
    }

    /// Shows the hint over the screen, once the terminal has taken all output.
    fn show_hint(&mut self) {
        if let Some(hint) = &mut self.hint
            && self.screen.queued() == 0
        {
            let bytes = hint.show();
            self.screen.queue(&bytes);
        }
    }

    /// Removes the hint for good.
    fn hide_hint(&mut self) {
        if let Some(mut hint) = self.hint.take() {
            self.screen.queue(&hint.hide());
        }
    }

    /// Shows live output. The hint is hidden meanwhile.
    fn show_output(&mut self, bytes: &[u8]) {
        self.seen.last_notice = None;
        self.seen.snapshot_at = None;
        self.seen.output = true;
        self.down = None;
        if let Redraw::Waiting { tail } = &mut self.redraw {
            if let Some(skipped) = &mut self.seen.skipped {
                *skipped += bytes.len() as u64;
            }
            tail.extend_from_slice(bytes);
            let surplus = tail.len().saturating_sub(SKIPPED_TAIL_MAX);
            tail.drain(..surplus);
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

    /// Prepares the terminal for a snapshot after other output, and marks what is missing where it
    /// is missing, so that the terminal's scrollback shows it.
    fn prepare_snapshot(&mut self) {
        if !std::mem::replace(&mut self.seen.output, true) {
            return;
        }
        if let Some(hint) = &mut self.hint {
            self.screen.queue(&hint.hide());
        }
        let alternate = self.screen.queue_reset();
        if let Some(mark) = self.take_mark().filter(|_| !alternate) {
            let (rows, _) = self.screen.size();
            self.screen.queue(mark.as_bytes());
            // The snapshot clears the screen.
            self.screen.queue(&b"\n".repeat(rows.into()));
        }
    }

    /// The line about skipped output.
    fn take_mark(&mut self) -> Option<String> {
        let skipped = self.seen.skipped.take().filter(|skipped| *skipped > 0)?;
        let text = format!("[{skipped} bytes skipped]");
        let start = self.screen.new_line();
        let line = self.style.paint(Paint::Dim, &text);
        Some(format!("{start}{line}\r\n"))
    }

    /// Shows a snapshot, which contains all output before it.
    fn show_snapshot(&mut self, bytes: &[u8]) {
        if let Some(hint) = &mut self.hint {
            self.screen.queue(&hint.hide());
            hint.drawn(bytes);
        }
        self.screen.queue(bytes);
        if matches!(self.redraw, Redraw::Waiting { .. }) {
            self.screen.be_patient();
            self.redraw = Redraw::Live;
        }
    }

    /// Shows the last lines of the skipped output, since no snapshot will follow.
    fn show_skipped_tail(&mut self) {
        if let Redraw::Waiting { tail } = std::mem::replace(&mut self.redraw, Redraw::Live) {
            let line = tail.iter().position(|byte| *byte == b'\n');
            if let Some(mark) = self.take_mark() {
                self.screen.queue(mark.as_bytes());
            }
            self.screen.queue(&tail[line.map_or(0, |at| at + 1)..]);
        }
    }

    /// Sends the size of the terminal to the daemon.
    fn resize(&mut self) {
        let (rows, cols) = self.screen.size();
        if rows > 0 && cols > 0 {
            self.outgoing.extend(Frame::resize(rows, cols).to_bytes());
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            let end = match action {
                Action::Forward(bytes) => {
                    self.send_input(&bytes);
                    continue;
                }
                Action::Detach => SessionEnd::Detached(String::new()),
                Action::Help => SessionEnd::Help(self.help()),
                Action::History => SessionEnd::History,
                Action::Next => SessionEnd::Switch(1),
                Action::Previous => SessionEnd::Switch(-1),
                Action::Suspend => SessionEnd::Suspended,
            };
            // The process does not receive the keys typed after that.
            self.end_with(end);
            return;
        }
    }

    fn send_input(&mut self, bytes: &[u8]) {
        if !self.settings.read_only {
            for chunk in bytes.chunks(PAYLOAD_MAX) {
                self.outgoing
                    .extend(Frame::new(Kind::Input, chunk).to_bytes());
            }
        }
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
                    self.show_output(bytes);
                }
            }
            Kind::Snapshot => {
                if let Some((offset, bytes)) = frame.offset_and_bytes() {
                    // A snapshot may come in several pieces.
                    if self.seen.snapshot_at.replace(offset) != Some(offset) {
                        self.prepare_snapshot();
                    }
                    self.show_snapshot(bytes);
                }
            }
            Kind::Notice => self.notice(&bracketed(&frame.payload)),
            Kind::Role => {
                if let Ok(role) = serde_json::from_slice(&frame.payload) {
                    self.take_role(role);
                }
            }
            Kind::Exit => {
                self.show_skipped_tail();
                let info = serde_json::from_slice(&frame.payload).unwrap_or_default();
                let report = self.seen.last_notice.take();
                self.end_with(SessionEnd::Exited { info, report });
            }
            Kind::Detach => {
                self.end_with(SessionEnd::Detached(frame_text(&frame.payload)));
            }
            // A snapshot follows.
            Kind::Skipped => {
                let bytes = frame.payload.first_chunk::<8>();
                let bytes = bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes));
                *self.seen.skipped.get_or_insert(0) += bytes;
                self.seen.snapshot_at = None;
            }
            Kind::Source
            | Kind::End
            | Kind::Input
            | Kind::Resize
            | Kind::InputEnd
            | Kind::Redraw => {}
        }
    }

    /// Prints a notice about the process, on a line of its own.
    fn notice(&mut self, text: &str) {
        self.down = None;
        self.hide_hint();
        let line = self.style.paint(Paint::Dim, &printable(text));
        let start = self.screen.new_line();
        self.screen.queue(format!("{start}{line}\r\n").as_bytes());
        self.seen.last_notice = Some(text.to_string());
    }

    fn take_signal(&mut self, signal: i32) {
        match signal {
            SIGWINCH => {
                self.hide_hint();
                self.resize();
                if !self.role.driver {
                    self.report_size();
                }
            }
            SIGTSTP => self.end_with(SessionEnd::Suspended),
            SIGCONT => self.end_with(SessionEnd::Resync),
            _ => self.end_with(SessionEnd::Signalled(signal)),
        }
    }

    /// Ends the attachment, unless it already ends for a stronger reason: `timeout` and systemd
    /// send SIGCONT right after SIGTERM.
    fn end_with(&mut self, end: SessionEnd) {
        let strength = |end: &SessionEnd| match end {
            SessionEnd::Resync => 0,
            SessionEnd::Suspended => 1,
            SessionEnd::Signalled(_) => 3,
            _ => 2,
        };
        let before = self.end.as_ref().map(strength);
        if before.is_none_or(|before| before < strength(&end)) {
            self.end = Some(end);
        }
    }

    /// Removes the hint before the terminal is restored.
    fn remove_hint(&mut self) {
        if self.screen.queued() == 0 && self.hint.is_some() {
            self.hide_hint();
            // A terminal that does not take it now never will.
            let _ = self.screen.write_some();
        }
    }
}

fn terminal_error(error: io::Error) -> ClientError {
    ClientError::Failed(format!("terminal: {error}"))
}
