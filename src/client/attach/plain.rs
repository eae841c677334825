//! Attachment without a terminal at one of its ends: lines from a person, or bytes from a pipe.

use crate::client::attach::queries::Questions;
use crate::client::cli::command::AttachArgs;
use crate::client::context::{Context, write_stdout};
use crate::client::daemon::daemon_connection::DaemonConnection;
use crate::client::daemon::frames::{Filled, Frames};
use crate::client::error::{ClientError, exit};
use crate::client::ui::fatal_signals::deadly;
use crate::client::ui::table::bracketed;
use crate::sys::{io as sys_io, tty};
use crate::terminal::Tracker;
use crate::wire::{AttachReply, ExitInfo, Frame, Kind, MAX_PAYLOAD, flags};
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{self, IsTerminal, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// How long what the process wrote before is waited for.
const GREETING_DELAY: Duration = Duration::from_millis(100);

/// How long a process that was told something is given to answer, after its last output.
const ANSWER_QUIET: Duration = Duration::from_millis(200);

/// How long its answer may take altogether.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Shows output and forwards input until one of the two ends.
///
/// # Errors
/// Of the daemon or the output.
pub(crate) fn run(
    context: &Context,
    args: &AttachArgs,
    reply: &AttachReply,
    mut connection: DaemonConnection,
) -> Result<i32, ClientError> {
    connection.guard(&deadly());
    let guard = connection.take_guard();
    let (socket, decoder) = connection.into_frames();
    let (stays, woken) = UnixStream::pair().map_err(failed)?;
    let (shown, output) = mpsc::sync_channel(1);
    let is_terminal = std::io::stdin().is_terminal();
    // A person sees it start and may go on typing then; a pipe is at its end by that time.
    let later = is_terminal && reply.pid.is_none();
    let input = Input {
        socket: socket.try_clone().map_err(failed)?,
        is_terminal,
        accepted: (reply.input || later) && !args.read_only,
        until_exit: args.until_exit,
        refusal: refusal(context, args, reply),
        left: Arc::new(AtomicBool::new(false)),
        within_line: Arc::new(AtomicBool::new(false)),
        output,
        woken,
    };
    let (name, state) = (&reply.process, &reply.state);
    let mut greeting = None;
    if input.is_terminal {
        greeting = Some(words_of_greeting(args, reply));
    } else if reply.pid.is_none() && args.until_exit {
        context.notice(&format!(
            "[{name} is {state}; waiting for its next run to end]"
        ));
    }
    let left = Arc::clone(&input.left);
    let within_line = Arc::clone(&input.within_line);
    let closing = socket.try_clone().map_err(failed)?;
    let forwarding = thread::Builder::new()
        .spawn(move || input.forward())
        .map_err(failed)?;
    let mut output = Output {
        context,
        tracker: std::io::stdout().is_terminal().then(|| Tracker::new(0)),
        questions: Questions::default(),
        asked: false,
        shown,
        within_line: Arc::clone(&within_line),
        greeting,
    };
    let ended = output.show(&mut Frames::new((socket, decoder)));
    output.restore();
    let left = left.load(Ordering::SeqCst) || guard.is_some_and(|guard| guard.fired());
    // From here on the keyboard, or the rest of a script, is somebody else's.
    drop((output, stays));
    let _ = closing.shutdown(Shutdown::Both);
    let _ = forwarding.join();
    // Also after the ^C that the terminal shows.
    let within_line = left || within_line.load(Ordering::SeqCst);
    let code = conclude(&reply.process, ended?, left, |text| {
        say(context, within_line, text);
    });
    Ok(code)
}

/// Says something on a line of its own.
fn say(context: &Context, within_line: bool, text: &str) {
    let begin = if within_line { "\n" } else { "" };
    context.notice(&format!("{begin}{text}"));
}

/// Says how it ended, and with which code.
fn conclude(name: &str, ended: Option<End>, left: bool, say: impl Fn(&str)) -> i32 {
    match ended {
        Some(End::Exited(info)) => info.shell_code(),
        Some(End::Detached(reason)) => {
            if !reason.is_empty() {
                say(&format!("[detached from {name}: {reason}]"));
            }
            exit::DONE
        }
        None if left => {
            if std::io::stdin().is_terminal() {
                say(&format!("[detached from {name}]"));
            }
            exit::DONE
        }
        None => {
            say(&format!("[{name}: lost the connection to the daemon]"));
            exit::LOST
        }
    }
}

fn words_of_greeting(args: &AttachArgs, reply: &AttachReply) -> String {
    let (name, state) = (&reply.process, &reply.state);
    let to_write = match (args.read_only, reply.pid, reply.input) {
        (true, _, _) => "read-only".to_string(),
        (false, None, _) => format!("{state}, takes no input now"),
        (false, Some(_), true) => "lines go to its input".to_string(),
        (false, Some(_), false) => "it takes no input (set stdin: pipe)".to_string(),
    };
    format!("[attached to {name} — {to_write}, ctrl-c detaches]")
}

/// Why what is typed goes nowhere.
fn refusal(context: &Context, args: &AttachArgs, reply: &AttachReply) -> Option<String> {
    let (name, state) = (&reply.process, &reply.state);
    let why = if args.read_only {
        format!("attached read-only to {name}")
    } else if reply.pid.is_none() {
        format!("{name} is {state} and takes no input")
    } else if !reply.input {
        format!("{name} takes no input (set stdin: pipe)")
    } else {
        return None;
    };
    (!context.global.quiet).then(|| format!("[{why}; input is dropped]"))
}

enum End {
    Exited(ExitInfo),
    Detached(String),
}

/// What goes to the process.
struct Input {
    socket: UnixStream,
    is_terminal: bool,
    accepted: bool,
    until_exit: bool,
    /// Said once, when there is something that cannot be delivered.
    refusal: Option<String>,
    left: Arc<AtomicBool>,
    /// The cursor of the terminal is within a line; the end of what is typed ends that.
    within_line: Arc<AtomicBool>,
    /// Tells of output.
    output: Receiver<()>,
    /// Hangs up when the attachment is over.
    woken: UnixStream,
}

impl Input {
    /// Forwards until the end of input, then leaves. A blocking write is the back-pressure; all
    /// that was read is delivered before the daemon sees that we leave. Nothing is read any more
    /// once the attachment is over.
    fn forward(mut self) {
        let mut buffer = [0; 16 * 1024];
        let mut told_something = false;
        let stdin = std::io::stdin();
        while self.await_input() {
            // Unbuffered, so that nothing is kept back from whoever reads after us.
            let read = sys_io::read(stdin.as_fd(), &mut buffer);
            if self.is_terminal && matches!(read, Ok(1..)) {
                self.within_line.store(false, Ordering::SeqCst);
            }
            match read {
                Ok(0) => return self.finish(told_something),
                Ok(count) if self.accepted => {
                    told_something = true;
                    for chunk in buffer[..count].chunks(MAX_PAYLOAD) {
                        if self.send(Kind::Input, chunk).is_err() {
                            return;
                        }
                    }
                }
                Ok(_) => {
                    if let Some(refusal) = self.refusal.take() {
                        let _ = writeln!(std::io::stderr(), "{refusal}");
                    }
                }
                Err(_) => return self.finish(told_something),
            }
        }
    }

    /// Waits for something to read; false when nobody is to read it any more.
    fn await_input(&self) -> bool {
        let stdin = std::io::stdin();
        let mut fds = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(&self.woken, PollFlags::IN),
        ];
        let polled = rustix::io::retry_on_intr(|| poll(&mut fds, None));
        polled.is_ok() && fds[1].revents().is_empty()
    }

    /// Leaves at the end of input.
    fn finish(mut self, told_something: bool) {
        // Only who stays to the end of the process wants it to see the end of its input: to most
        // that would be the end, and leaving should never be.
        if self.until_exit {
            if self.accepted && !self.is_terminal {
                let _ = self.send(Kind::InputEnd, &[]);
            }
            return;
        }
        if told_something && !self.is_terminal {
            self.await_answer();
        }
        self.left.store(true, Ordering::SeqCst);
        let _ = self.send(Kind::Detach, &[]);
    }

    /// Waits until no more output comes, within a bound.
    fn await_answer(&self) {
        let until = Instant::now() + ANSWER_MAX;
        while self.output.recv_timeout(ANSWER_QUIET).is_ok() && Instant::now() < until {}
    }

    fn send(&mut self, kind: Kind, payload: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(&Frame::new(kind, payload).to_bytes())
    }
}

/// What comes from the process.
struct Output<'a> {
    context: &'a Context,
    tracker: Option<Tracker>,
    questions: Questions,
    /// The terminal has been asked something, which nobody reads the answer to.
    asked: bool,
    /// Tells the input of it.
    shown: SyncSender<()>,
    /// What was written last to a terminal has not ended its line.
    within_line: Arc<AtomicBool>,
    /// How to leave, said below what the process wrote before.
    greeting: Option<String>,
}

impl Output<'_> {
    /// Prints until the stream ends; `None` when it just broke off.
    fn show(&mut self, frames: &mut Frames) -> Result<Option<End>, ClientError> {
        let greet_at = Instant::now() + GREETING_DELAY;
        loop {
            while let Some(frame) = frames.next_frame()? {
                if let Some(end) = self.take(&frame)? {
                    return Ok(Some(end));
                }
            }
            let now = Instant::now();
            if now >= greet_at
                && let Some(greeting) = self.greeting.take()
            {
                self.say(&greeting);
            }
            let wait = self
                .greeting
                .is_some()
                .then(|| greet_at.saturating_duration_since(now));
            match frames.fill(wait) {
                Filled::Bytes | Filled::Idle => {}
                Filled::End | Filled::OutputClosed => return Ok(None),
            }
        }
    }

    fn take(&mut self, frame: &Frame) -> Result<Option<End>, ClientError> {
        match frame.kind {
            Kind::Data | Kind::Snapshot => {
                if let Some((_, bytes)) = frame.offset_and_bytes() {
                    self.print(bytes, frame.flags & flags::STDERR != 0)?;
                }
            }
            Kind::Skipped => {
                if let Some(bytes) = frame.payload.first_chunk::<8>() {
                    let bytes = u64::from_be_bytes(*bytes);
                    self.say(&format!("[{bytes} bytes skipped]"));
                }
            }
            Kind::Notice => {
                self.say(&bracketed(&frame.payload));
            }
            Kind::Exit => {
                let info = serde_json::from_slice(&frame.payload).unwrap_or_default();
                return Ok(Some(End::Exited(info)));
            }
            Kind::Detach => {
                let reason = String::from_utf8_lossy(&frame.payload).into_owned();
                return Ok(Some(End::Detached(reason)));
            }
            Kind::Role
            | Kind::Source
            | Kind::End
            | Kind::Input
            | Kind::Resize
            | Kind::InputEnd
            | Kind::Redraw => {}
        }
        Ok(None)
    }

    fn say(&mut self, text: &str) {
        let within_line = self.within_line.swap(false, Ordering::SeqCst);
        say(self.context, within_line, text);
    }

    fn print(&mut self, bytes: &[u8], stderr: bool) -> Result<(), ClientError> {
        let is_terminal = match stderr {
            true => io::stderr().is_terminal(),
            false => self.tracker.is_some(),
        };
        if let (true, Some(last)) = (is_terminal, bytes.last()) {
            self.within_line.store(*last != b'\n', Ordering::SeqCst);
        }
        if stderr {
            return std::io::stderr().write_all(bytes).map_err(failed);
        }
        // One that has not been noticed yet is enough.
        let _ = self.shown.try_send(());
        write_stdout(bytes)?;
        if let Some(tracker) = &mut self.tracker {
            tracker.feed(bytes);
            self.asked |= self.questions.asked(bytes);
        }
        Ok(())
    }

    /// Undoes what the process switched on in our terminal.
    fn restore(&mut self) {
        if let Some(tracker) = self.tracker.take() {
            // A terminal that is gone needs no restoring.
            let _ = write_stdout(&tracker.reset_sequence());
            if self.asked {
                let _ = tty::flush_input(std::io::stdout().as_fd());
            }
        }
    }
}

fn failed(error: std::io::Error) -> ClientError {
    ClientError::Failed(error.to_string())
}
