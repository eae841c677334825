//! Attachment without a terminal at one of its ends: lines from a person, or bytes from a pipe.
//!
//! Input and output do not wait for each other: a script may write all of its input before it
//! reads any output. Standard input and output may be shared with other programs, so they stay
//! blocking. The loop reads and writes them only when they are ready, a few bytes at a time.

use crate::client::attach::detach_keys::{Action, DetachKeys};
use crate::client::attach::hint;
use crate::client::attach::line_chord::LineChord;
use crate::client::attach::plain_output::{PlainOutput, StdStream, is_temporary};
use crate::client::cli::command::AttachArgs;
use crate::client::context::Context;
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::received::frame_text;
use crate::client::error::{ClientError, exit};
use crate::client::ui::event_loop::{FdWatch, Readiness, SignalSource, wait};
use crate::client::ui::fatal_signals::deadly;
use crate::client::ui::table::bracketed;
use crate::sys::io as sys_io;
use crate::text::printable::printable;
use crate::wire::{AttachReply, ExitInfo, Frame, FrameDecoder, Kind, PAYLOAD_MAX, flags};
use signal_hook::consts::SIGINT;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long the greeting waits for earlier output of the process.
const GREETING_DELAY: Duration = Duration::from_millis(100);

/// After the end of input the process may answer: until it is quiet for this long.
const ANSWER_QUIET: Duration = Duration::from_millis(200);

/// The longest time until an answer is complete.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long the last output may take when a signal ends the attachment.
const LAST_WRITE: Duration = Duration::from_millis(150);

/// While more output waits, nothing is read from the daemon, in bytes.
const OUTPUT_BOUND: usize = 64 * 1024;

/// Shows output and forwards input until one of the two ends.
///
/// # Errors
/// Of the daemon or the output.
pub(crate) fn run(
    context: &Context,
    args: &AttachArgs,
    reply: &AttachReply,
    mut connection: DaemonConnection,
    keys: &DetachKeys,
) -> Result<i32, ClientError> {
    let signals = SignalSource::new(&deadly()).map_err(failed)?;
    // In the control shell the connection has a guard. From here on the loop acts on signals.
    let interrupted = connection.take_guard().is_some_and(|guard| guard.fired());
    let (socket, decoder) = connection.into_frames();
    socket.set_nonblocking(true).map_err(failed)?;
    let mut input = PlainInput::new(context, args, reply);
    input.chord = LineChord::new(keys).filter(|_| input.is_terminal);
    if !input.is_terminal && reply.pid.is_none() && args.until_exit && !reply.ended {
        let (name, state) = (&reply.process, &reply.state);
        context.notice(&format!(
            "[{name} is {state}; waiting for its next run to end]"
        ));
    }
    let greeting = input.is_terminal.then(|| greeting(args, reply));
    let mut session = PlainSession {
        socket,
        decoder,
        outgoing: Vec::new(),
        signals,
        input,
        output: PlainOutput::new(context.global.quiet || context.global.json),
        greeting: greeting.map(|text| (Instant::now() + GREETING_DELAY, text)),
        end: interrupted.then_some(End::Left),
    };
    let shown = session.run();
    session.output.restore();
    let end = shown.map(|()| session.end.unwrap_or(End::Lost))?;
    // The terminal has shown ^C within the line.
    let within_line = matches!(end, End::Left | End::Signalled(_)) || session.output.within_line;
    if session.output.queued > 0 && matches!(end, End::Left | End::Signalled(_)) {
        // The terminal takes nothing, and would not take a word about the end.
        return Ok(end.code());
    }
    let conclusion = conclude(&reply.process, &end, session.input.is_terminal);
    if let Some(text) = conclusion {
        let start = if within_line { "\n" } else { "" };
        context.notice(&format!("{start}{text}"));
    }
    Ok(end.code())
}

/// How the attachment ended.
enum End {
    /// The process ended for good.
    Exited(ExitInfo),
    /// The daemon ended the attachment for this reason; empty at the client's own request.
    Detached(String),
    /// The client left.
    Left,
    /// A signal other than Ctrl-C ended the client.
    Signalled(i32),
    /// The connection broke off.
    Lost,
}

impl End {
    fn code(&self) -> i32 {
        match self {
            End::Exited(info) => info.shell_code(),
            End::Detached(_) | End::Left => exit::DONE,
            End::Signalled(signal) => 128 + signal,
            End::Lost => exit::LOST,
        }
    }
}

/// The line about the end, if there is something to say.
fn conclude(name: &str, end: &End, interactive: bool) -> Option<String> {
    match end {
        End::Exited(_) => None,
        End::Detached(reason) if reason.is_empty() => None,
        End::Detached(reason) => Some(hint::detached(name, reason)),
        End::Left | End::Signalled(_) => interactive.then(|| hint::detached(name, "")),
        End::Lost => Some(format!("[{name}: {}]", ClientError::Disconnected)),
    }
}

fn greeting(args: &AttachArgs, reply: &AttachReply) -> String {
    let (name, state) = (&reply.process, &reply.state);
    let input = match (args.read_only, reply.pid, reply.input) {
        (true, _, _) => "read-only".to_string(),
        (false, _, true) => "lines go to its input".to_string(),
        (false, None, false) => format!("{state}, takes no input now"),
        (false, Some(_), false) => "it takes no input (set stdin: pipe)".to_string(),
    };
    format!("[attached to {name} — {input}, ctrl-c detaches]")
}

/// Why input is dropped.
fn refusal(args: &AttachArgs, reply: &AttachReply) -> Option<String> {
    let (name, state) = (&reply.process, &reply.state);
    let reason = if args.read_only {
        format!("attached read-only to {name}")
    } else if reply.input {
        return None;
    } else if reply.pid.is_none() {
        format!("{name} is {state} and takes no input")
    } else {
        format!("{name} takes no input (set stdin: pipe)")
    };
    Some(format!("[{reason}; input is dropped]"))
}

/// An attachment and its loop.
struct PlainSession {
    socket: UnixStream,
    decoder: FrameDecoder,
    /// Frames for the daemon. Input is read only while this is empty, so a process that reads
    /// slowly slows the sender down.
    outgoing: Vec<u8>,
    signals: SignalSource,
    input: PlainInput,
    output: PlainOutput,
    /// The greeting, and when it is due.
    greeting: Option<(Instant, String)>,
    end: Option<End>,
}

impl PlainSession {
    fn run(&mut self) -> Result<(), ClientError> {
        self.take_frames()?;
        while self.end.is_none() {
            let [signals, socket, input, output] = self.wait().map_err(failed)?;
            let signal = match signals.is_readable() {
                true => self.signals.pending().next(),
                false => None,
            };
            if let Some(signal) = signal {
                self.end = Some(match signal {
                    SIGINT => End::Left,
                    signal => End::Signalled(signal),
                });
                return self.drain(Some(Instant::now() + LAST_WRITE));
            }
            if socket.is_writable() && !self.outgoing.is_empty() {
                self.write_socket();
            }
            if output.is_writable() && self.output.queued > 0 {
                self.output.write_some()?;
            }
            if socket.is_readable() && self.output.queued < OUTPUT_BOUND {
                self.read_socket()?;
            }
            if input.is_readable() && self.reads_input() {
                self.read_input();
            }
            self.act_on_time();
        }
        self.drain(None)
    }

    fn wait(&self) -> io::Result<[Readiness; 4]> {
        let greet_at = self.greeting.as_ref().map(|(at, _)| *at);
        let until = [greet_at, self.input.deadline()];
        let stdin = io::stdin();
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let room = self.output.queued < OUTPUT_BOUND;
        let output = match self.output.next_stream() {
            Some(StdStream::Stdout) => FdWatch::new(&stdout, false, true),
            Some(StdStream::Stderr) => FdWatch::new(&stderr, false, true),
            None => FdWatch::new(&stdout, false, false),
        };
        let watches = [
            FdWatch::readable(&self.signals),
            FdWatch::new(&self.socket, room, !self.outgoing.is_empty()),
            FdWatch::new(&stdin, self.reads_input(), false),
            output,
        ];
        wait(watches, until.into_iter().flatten().min())
    }

    /// Writes all output that is queued, or as much as is possible until then or until a signal.
    fn drain(&mut self, until: Option<Instant>) -> Result<(), ClientError> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        while let Some(stream) = self.output.next_stream() {
            let watch = match stream {
                StdStream::Stdout => FdWatch::new(&stdout, false, true),
                StdStream::Stderr => FdWatch::new(&stderr, false, true),
            };
            let watches = [watch, FdWatch::readable(&self.signals)];
            let [ready, signal] = wait(watches, until).map_err(failed)?;
            if signal.is_readable() || !ready.is_writable() {
                break;
            }
            self.output.write_some()?;
        }
        Ok(())
    }

    fn reads_input(&self) -> bool {
        matches!(self.input.state, InputState::Open) && self.outgoing.is_empty()
    }

    fn act_on_time(&mut self) {
        let now = Instant::now();
        if let Some((_, text)) = self.greeting.take_if(|(at, _)| *at <= now) {
            self.output.say(&text);
        }
        if self.input.deadline().is_some_and(|at| at <= now) {
            self.leave();
        }
    }

    /// Detaches. The daemon first receives all input that was read.
    fn leave(&mut self) {
        self.input.state = InputState::Left;
        self.send(Kind::Detach, &[]);
    }

    fn send(&mut self, kind: Kind, payload: &[u8]) {
        self.outgoing.extend(Frame::new(kind, payload).to_bytes());
    }

    fn write_socket(&mut self) {
        match (&self.socket).write(&self.outgoing) {
            Ok(count) => drop(self.outgoing.drain(..count)),
            Err(error) if is_temporary(&error) => {}
            // The daemon closed the connection. Its last frames are still to be read.
            Err(_) => {
                self.outgoing.clear();
                self.input.state = match self.input.state {
                    InputState::Left => InputState::Left,
                    _ => InputState::Ended,
                };
            }
        }
    }

    fn read_socket(&mut self) -> Result<(), ClientError> {
        let mut buffer = [0; 64 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.closed(),
            Ok(count) => self.decoder.push(&buffer[..count]),
            Err(error) if is_temporary(&error) => {}
            Err(_) => self.closed(),
        }
        self.take_frames()
    }

    fn closed(&mut self) {
        self.end = Some(match self.input.state {
            InputState::Left => End::Left,
            _ => End::Lost,
        });
    }

    /// Reads once, without a buffer of its own: the rest of a script belongs to its next reader.
    fn read_input(&mut self) {
        let mut buffer = [0; 16 * 1024];
        let read = sys_io::read(io::stdin().as_fd(), &mut buffer);
        match read {
            Ok(0) | Err(_) => self.input_ended(),
            Ok(count) => {
                let bytes = &buffer[..count];
                if self.input.is_terminal {
                    // The user ended the line with a key.
                    self.output.within_line = !bytes.ends_with(b"\n");
                }
                match &mut self.input.chord {
                    Some(chord) => {
                        let actions = chord.feed(bytes);
                        self.act(actions);
                    }
                    None => self.forward(bytes),
                }
            }
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Forward(bytes) => self.forward(&bytes),
                Action::Detach => return self.leave(),
                Action::Help
                | Action::History
                | Action::Next
                | Action::Previous
                | Action::Suspend => self.output.say("[only for processes with a terminal]"),
            }
        }
    }

    fn forward(&mut self, bytes: &[u8]) {
        if self.input.accepted {
            self.input.sent = true;
            for chunk in bytes.chunks(PAYLOAD_MAX) {
                self.send(Kind::Input, chunk);
            }
        } else if let Some(refusal) = self.input.refusal.take() {
            let line = format!("{}\n", printable(&refusal));
            self.output.push(StdStream::Stderr, line.as_bytes());
        }
    }

    fn input_ended(&mut self) {
        let input = &mut self.input;
        if input.until_exit {
            input.state = InputState::Ended;
            // The end of input usually ends the process, so only `--until-exit` forwards it.
            if input.accepted && !input.is_terminal {
                self.send(Kind::InputEnd, &[]);
            }
        } else if input.sent && !input.is_terminal {
            let now = Instant::now();
            input.state = InputState::AwaitingAnswer {
                quiet_at: now + ANSWER_QUIET,
                until: now + ANSWER_MAX,
            };
        } else {
            self.leave();
        }
    }

    /// Handles the frames that have arrived completely.
    fn take_frames(&mut self) -> Result<(), ClientError> {
        let broken =
            |error| ClientError::Protocol(format!("malformed data from the daemon: {error}"));
        while let Some(frame) = self.decoder.next_frame().map_err(broken)? {
            self.take_frame(&frame);
            if matches!(frame.kind, Kind::Exit | Kind::Detach) {
                break;
            }
        }
        Ok(())
    }

    fn take_frame(&mut self, frame: &Frame) {
        match frame.kind {
            Kind::Data | Kind::Snapshot => {
                if let Some((_, bytes)) = frame.offset_and_bytes() {
                    let stream = match frame.flags & flags::STDERR {
                        0 => StdStream::Stdout,
                        _ => StdStream::Stderr,
                    };
                    self.output.push(stream, bytes);
                    self.input.note_output(stream);
                }
            }
            Kind::Skipped => {
                if let Some(bytes) = frame.payload.first_chunk::<8>() {
                    let bytes = u64::from_be_bytes(*bytes);
                    self.output.say(&format!("[{bytes} bytes skipped]"));
                }
            }
            Kind::Notice => self.output.say(&bracketed(&frame.payload)),
            Kind::Exit => {
                let info = serde_json::from_slice(&frame.payload).unwrap_or_default();
                self.end = Some(End::Exited(info));
            }
            Kind::Detach => {
                self.end = Some(End::Detached(frame_text(&frame.payload)));
            }
            Kind::Role
            | Kind::Source
            | Kind::End
            | Kind::Input
            | Kind::Resize
            | Kind::InputEnd
            | Kind::Redraw => {}
        }
    }
}

/// Standard input, and what becomes of it.
struct PlainInput {
    is_terminal: bool,
    /// The process may read it.
    accepted: bool,
    until_exit: bool,
    /// The detach keys, where the terminal allows them.
    chord: Option<LineChord>,
    /// The notice about dropped input, until it has been printed.
    refusal: Option<String>,
    /// Some of it has been sent.
    sent: bool,
    state: InputState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputState {
    Open,
    /// At its end; the process may still answer. The client leaves at the first of the two times.
    AwaitingAnswer {
        quiet_at: Instant,
        until: Instant,
    },
    /// At its end; the client stays until the process ends.
    Ended,
    /// The client has asked to leave.
    Left,
}

impl PlainInput {
    fn new(context: &Context, args: &AttachArgs, reply: &AttachReply) -> PlainInput {
        let is_terminal = io::stdin().is_terminal();
        // A person sees the process start and may type then. A pipe has ended by that time.
        let later = is_terminal && reply.pid.is_none();
        PlainInput {
            is_terminal,
            accepted: (reply.input || later) && !args.read_only,
            until_exit: args.until_exit,
            chord: None,
            refusal: refusal(args, reply).filter(|_| !context.global.quiet),
            sent: false,
            state: InputState::Open,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            InputState::AwaitingAnswer { quiet_at, until } => Some(quiet_at.min(until)),
            InputState::Open | InputState::Ended | InputState::Left => None,
        }
    }

    fn note_output(&mut self, stream: StdStream) {
        if let (StdStream::Stdout, InputState::AwaitingAnswer { quiet_at, .. }) =
            (stream, &mut self.state)
        {
            *quiet_at = Instant::now() + ANSWER_QUIET;
        }
    }
}

fn failed(error: io::Error) -> ClientError {
    ClientError::Failed(error.to_string())
}
