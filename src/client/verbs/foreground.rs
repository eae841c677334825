//! `up` in the foreground: the start, then all output, until Ctrl-C stops everything.

use crate::client::context::{Context, write_stdout};
use crate::client::daemon::daemon_connection::{DaemonConnection, parse};
use crate::client::daemon::frames::{Filled, Frames};
use crate::client::daemon::lifecycle::wait_for_end;
use crate::client::error::{ClientError, exit};
use crate::client::ui::merge::{MergeOptions, Merger};
use crate::client::ui::style::Paint;
use crate::client::verbs::events::SHUTDOWN;
use crate::client::verbs::logs::{PARTIAL_LINE_DELAY, take_frame};
use crate::client::verbs::progress::Progress;
use crate::sys::{pidfd, tty};
use crate::wire::{Call, EventInfo, Frame, LogsParams, ProcessStatus, ShutdownParams};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// How much waits between the readers and the printer: back-pressure, not a buffer.
const CHANNEL_BOUND: usize = 64;

/// How long a notice waits for output that comes before it.
const NOTICE_DELAY: Duration = Duration::from_millis(20);

enum Incoming {
    Frame(Frame),
    FramesEnd,
    Event(EventInfo),
    EventsEnd,
    Signal,
    Failed(ClientError),
}

/// Follows a daemon that has just been started (`fresh`) or ran before.
///
/// # Errors
/// Of the daemon or the output.
pub(crate) fn run(
    context: &Context,
    progress: Progress,
    processes: &[ProcessStatus],
    mut events: DaemonConnection,
    fresh: bool,
) -> Result<i32, ClientError> {
    let hello = events.hello()?;
    let (sender, receiver) = mpsc::sync_channel(CHANNEL_BOUND);
    forward_signals(sender.clone())?;
    forward_events(events, sender.clone())?;
    let merger = Merger::new(MergeOptions {
        style: context.style,
        names: processes
            .iter()
            .map(|process| process.name.clone())
            .collect(),
        always_prefix: true,
        timestamps: false,
        strip: std::io::stdout().is_terminal() && !context.global.json,
        json: context.global.json,
        whole_lines: !std::io::stdout().is_terminal(),
    });
    let mut follower = Follower {
        context,
        daemon: pidfd::open(hello.pid).ok(),
        progress,
        merger,
        sender,
        receiver,
        phase: Phase::Starting,
        live: false,
        late: VecDeque::new(),
        orders: 0,
        announced: false,
        open_streams: 1,
    };
    let lines = follower.progress.first_lines(processes);
    follower.say(&lines)?;
    follower.run(fresh)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Following,
    Stopping,
}

/// A notice, and since when it waits.
struct Late {
    since: Instant,
    process: String,
    text: String,
    /// It tells of the end of a run.
    ends: bool,
}

struct Follower<'a> {
    context: &'a Context,
    daemon: Option<OwnedFd>,
    progress: Progress,
    merger: Merger,
    sender: SyncSender<Incoming>,
    receiver: Receiver<Incoming>,
    phase: Phase,
    /// Whether a live line is on the screen.
    live: bool,
    /// Notices that wait.
    late: VecDeque<Late>,
    /// How often we asked for the end.
    orders: usize,
    /// The daemon said that it ends, or we asked for it.
    announced: bool,
    open_streams: usize,
}

impl Follower<'_> {
    fn run(mut self, fresh: bool) -> Result<i32, ClientError> {
        self.begin_to_follow(fresh)?;
        self.draw_live()?;
        while self.open_streams > 0 {
            let partial = self.merger.has_partial().then_some(PARTIAL_LINE_DELAY);
            let notice = self
                .late
                .front()
                .map(|late| NOTICE_DELAY.saturating_sub(late.since.elapsed()));
            let incoming = match [partial, notice].into_iter().flatten().min() {
                Some(delay) => self.receiver.recv_timeout(delay),
                None => self.receiver.recv().map_err(RecvTimeoutError::from),
            };
            let mut out = Vec::new();
            self.print_late(NOTICE_DELAY, &mut out);
            match incoming {
                Ok(Incoming::Frame(frame)) => take_frame(&mut self.merger, &frame, &mut out),
                Ok(Incoming::Event(event)) => self.take_event(&event, &mut out)?,
                Ok(Incoming::Signal) => self.stop()?,
                Ok(Incoming::FramesEnd | Incoming::EventsEnd) => self.open_streams -= 1,
                Ok(Incoming::Failed(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) if partial.is_some() => self.merger.flush(&mut out),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.print(&out)?;
            self.begin_to_follow(fresh)?;
            self.draw_live()?;
        }
        self.finish()
    }

    /// Once everything has settled: from now on output is shown, from its begin when the daemon
    /// is new.
    fn begin_to_follow(&mut self, fresh: bool) -> Result<(), ClientError> {
        if self.phase != Phase::Starting || !self.progress.pending(false).is_empty() {
            return Ok(());
        }
        self.phase = Phase::Following;
        self.say(&[format!(
            "{}; ctrl-c stops everything",
            self.progress.summary()
        )])?;
        let params = LogsParams {
            targets: vec!["all".to_string()],
            follow: true,
            frames: true,
            lines: (!fresh).then_some(10),
            since_s: None,
            stream: None,
        };
        let connect = || {
            let mut connection = self.context.connect()?;
            let _: Value = connection.call(&Call::Logs(params))?;
            Ok(connection)
        };
        match connect() {
            Ok(connection) => {
                self.open_streams += 1;
                let frames = Frames::new(connection.into_frames());
                forward_frames(frames, self.sender.clone())
            }
            // It ends already: the events say how.
            Err(ClientError::Lost | ClientError::NotRunning(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take_event(&mut self, event: &EventInfo, out: &mut Vec<u8>) -> Result<(), ClientError> {
        let settled = self.progress.take(event);
        self.announced |= event.event == SHUTDOWN;
        match (self.phase, settled) {
            (Phase::Starting, Some(line)) => self.say(&[line]),
            (Phase::Starting, None) => Ok(()),
            (Phase::Following | Phase::Stopping, _) => {
                if let Some(process) = &event.process {
                    let text = notice_text(event);
                    // Only the end of a run has output that comes before it.
                    if event.exit.is_none() && self.late.is_empty() {
                        self.merger.notice(process, &text, out);
                    } else {
                        self.late.push_back(Late {
                            since: Instant::now(),
                            process: process.clone(),
                            text,
                            ends: event.exit.is_some(),
                        });
                    }
                }
                Ok(())
            }
        }
    }

    /// Says what is at least so old. Events and output come on connections of their own: what a
    /// process wrote before it changed should stand before the notice of it.
    fn print_late(&mut self, age: Duration, out: &mut Vec<u8>) {
        let is_due = |late: &mut Late| late.since.elapsed() >= age;
        while let Some(late) = self.late.pop_front_if(is_due) {
            if late.ends {
                self.merger.ended(&late.process, out);
            }
            self.merger.notice(&late.process, &late.text, out);
        }
    }

    /// The first time orderly, the second time at once.
    fn stop(&mut self) -> Result<(), ClientError> {
        self.orders += 1;
        self.announced = true;
        let now = match self.orders {
            1 => false,
            2 => true,
            _ => return Ok(()),
        };
        let alive = self.progress.alive();
        let text = match now {
            false => format!("stopping {alive}… (ctrl-c again kills at once)"),
            true => format!("killing {alive}…"),
        };
        let mut out = Vec::new();
        self.merger.finish(&mut out);
        self.print(&out)?;
        self.say(&[text])?;
        self.phase = Phase::Stopping;
        let mut connection = match self.context.connect() {
            Ok(connection) => connection,
            // It is gone already.
            Err(_) => return Ok(()),
        };
        let sender = self.sender.clone();
        spawn(move || {
            match connection.call_value(&Call::Shutdown(ShutdownParams { now })) {
                Ok(_) | Err(ClientError::Lost) => {}
                // Nobody listens any more when this fails.
                Err(error) => drop(sender.send(Incoming::Failed(error))),
            }
        })
    }

    fn finish(mut self) -> Result<i32, ClientError> {
        let mut out = Vec::new();
        self.print_late(Duration::ZERO, &mut out);
        self.merger.finish(&mut out);
        self.print(&out)?;
        if !self.announced {
            self.context
                .report(&ClientError::Failed("the daemon died".to_string()));
            return Ok(exit::FAILED);
        }
        wait_for_end(self.daemon.take())?;
        let text = if self.orders > 0 {
            "all stopped"
        } else {
            "the daemon was shut down"
        };
        self.say(&[text])?;
        Ok(exit::DONE)
    }

    /// Prints lines of our own.
    fn say<S: AsRef<str>>(&mut self, lines: &[S]) -> Result<(), ClientError> {
        if self.context.global.quiet || self.context.global.json || lines.is_empty() {
            return Ok(());
        }
        self.clear_live()?;
        self.context.print_lines(lines)
    }

    fn print(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.clear_live()?;
        write_stdout(bytes)
    }

    /// While everything starts or stops, one line at the bottom says how far it is.
    fn draw_live(&mut self) -> Result<(), ClientError> {
        if self.phase == Phase::Following
            || !self.context.is_terminal()
            || self.context.global.quiet
        {
            return Ok(());
        }
        let width = tty::window_size(std::io::stdout().as_fd()).map_or(80, |(_, cols)| cols);
        let line = match self.phase {
            Phase::Starting => self.progress.live_line(usize::from(width)),
            Phase::Following | Phase::Stopping => {
                let alive = format!("stopping {}…", self.progress.alive());
                self.context.style.paint(Paint::Dim, &alive)
            }
        };
        self.live = true;
        write_stdout(format!("\r\x1b[K{line}").as_bytes())
    }

    fn clear_live(&mut self) -> Result<(), ClientError> {
        match std::mem::take(&mut self.live) {
            true => write_stdout(b"\r\x1b[K"),
            false => Ok(()),
        }
    }
}

fn notice_text(event: &EventInfo) -> String {
    let mut parts = Vec::new();
    match &event.to {
        Some(to) => parts.push(to.clone()),
        None => parts.push(event.event.clone()),
    }
    if let Some(pid) = event.pid.filter(|_| event.to.as_deref() == Some("RUNNING")) {
        parts.push(format!("pid {pid}"));
    }
    if !event.detail.is_empty() {
        parts.push(crate::client::ui::table::printable(&event.detail));
    }
    format!("[{}]", parts.join(", "))
}

fn forward_signals(sender: SyncSender<Incoming>) -> Result<(), ClientError> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| ClientError::Failed(format!("signals: {error}")))?;
    spawn(move || {
        for _ in signals.forever() {
            if sender.send(Incoming::Signal).is_err() {
                return;
            }
        }
    })
}

fn forward_events(
    mut events: DaemonConnection,
    sender: SyncSender<Incoming>,
) -> Result<(), ClientError> {
    spawn(move || {
        loop {
            let incoming = match events.next_notification() {
                Ok(Some((_, params))) => match parse(params) {
                    Ok(event) => Incoming::Event(event),
                    Err(error) => Incoming::Failed(error),
                },
                Ok(None) => Incoming::EventsEnd,
                Err(error) => Incoming::Failed(error),
            };
            let last = !matches!(incoming, Incoming::Event(_));
            if sender.send(incoming).is_err() || last {
                return;
            }
        }
    })
}

fn forward_frames(mut frames: Frames, sender: SyncSender<Incoming>) -> Result<(), ClientError> {
    spawn(move || {
        loop {
            let incoming = match frames.next_frame() {
                Ok(Some(frame)) => Incoming::Frame(frame),
                Ok(None) => match frames.fill(None) {
                    Filled::Bytes | Filled::Idle => continue,
                    Filled::End | Filled::OutputClosed => Incoming::FramesEnd,
                },
                Err(error) => Incoming::Failed(error),
            };
            let last = !matches!(incoming, Incoming::Frame(_));
            if sender.send(incoming).is_err() || last {
                return;
            }
        }
    })
}

fn spawn(run: impl FnOnce() + Send + 'static) -> Result<(), ClientError> {
    let spawned = thread::Builder::new().spawn(run);
    spawned
        .map(drop)
        .map_err(|error| ClientError::Failed(format!("cannot start a thread: {error}")))
}
