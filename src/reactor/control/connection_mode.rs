//! The uses of a connection: requests, events, a console, the output of processes.

use crate::reactor::output::Stream;
use crate::supervisor::{self, ProcessId, Time};
use crate::wire::{Frame, RoleInfo};
use std::collections::VecDeque;
use std::time::Duration;

/// The memory of one position in the output of a process, in bytes, rounded up.
const CURSOR_BYTES: usize = 160;

/// How long a process waits in total for a client that takes nothing.
const BLOCKED_MAX: Duration = Duration::from_secs(5);

/// The use of a connection.
#[derive(Debug)]
pub(crate) enum Mode {
    /// Requests and replies, a line each.
    Lines,
    /// Requests and replies, and a notification for each event.
    Events,
    /// Frames of one process's console.
    Attached(Attachment),
    /// Frames of the output of any number of processes.
    Following(Following),
}

/// One attached client.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// The process it is attached to.
    pub process: ProcessId,
    /// Ring offset of the next byte to send.
    pub cursor: u64,
    /// Its input and its terminal's size are ignored.
    pub read_only: bool,
    /// The attachment ends with the run instead of the process.
    pub until_exit: bool,
    /// A snapshot precedes further output; with this many lines of history.
    pub snapshot_due: Option<u32>,
    /// The consequence of not keeping up with the process.
    pub pace: ClientPace,
    /// Rows of its terminal, 0 if it has none.
    pub rows: u16,
    /// Columns of its terminal, 0 if it has none.
    pub cols: u16,
    /// The device number of its terminal, 0 if it has none.
    pub terminal: u64,
    /// The process had a terminal when the client attached.
    pub tty: bool,
    /// Unix time of attaching, in nanoseconds.
    pub since_ns: u64,
    /// When it attached or last sent input. The most recent client becomes the next driver.
    pub last_input: Time,
    /// Whether its terminal has the size of the process's.
    pub fit: SizeFit,
    /// The role it was last sent.
    pub last_role: Option<RoleInfo>,
    /// Frames to send when the stream has reached an offset.
    pub queued_frames: VecDeque<(u64, Frame)>,
    /// The connection closes after the last queued frame.
    pub closing: bool,
}

impl Attachment {
    /// Whether it does more than watch.
    pub(crate) fn takes_control(&self) -> bool {
        !self.read_only || self.pace != ClientPace::Skip
    }

    pub(super) fn memory(&self) -> usize {
        let frames = self.queued_frames.iter();
        frames.map(|(_, frame)| 64 + frame.payload.len()).sum()
    }
}

/// How the terminal of a client and that of its process fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SizeFit {
    /// The client gets the output in any case.
    Any,
    /// They have the same size, or will have: the client gets the output.
    Same,
    /// Their sizes differ, so the output would be drawn wrongly: the client gets pictures.
    Differs,
}

/// How an attached client and its process wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientPace {
    /// A slow client skips output.
    Skip,
    /// The process waits for a slow client, within a bound.
    Block(BlockedTime),
}

/// How long a process has waited for a client that took nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BlockedTime {
    /// The waits that are over.
    pub total: Duration,
    /// When the present wait began, and the position of the client then.
    pub since: Option<(Time, u64)>,
}

/// One `logs` client.
#[derive(Debug)]
pub(crate) struct Following {
    /// The requested targets; processes that appear later can match them too.
    pub targets: Vec<String>,
    /// A cursor for each process.
    pub cursors: Vec<FollowCursor>,
    /// Indices of cursors that have something to send, in order of arrival.
    pub ready: VecDeque<usize>,
    /// Only this stream.
    pub stream: Option<Stream>,
    /// Sends new output; otherwise each cursor has its end.
    pub follow: bool,
}

impl BlockedTime {
    /// Counts the time without progress of a client at `cursor`; `far` says whether it is so far
    /// behind that the process has to wait. Returns how long the process may wait further.
    pub(crate) fn wait(&mut self, far: bool, cursor: u64, now: Time) -> Option<Duration> {
        if let Some((since, before)) = self.since
            && before == cursor
        {
            let spent = now.since(since);
            self.total += spent;
        }
        self.since = far.then_some((now, cursor));
        let left = BLOCKED_MAX.checked_sub(self.total)?;
        (!left.is_zero()).then_some(left)
    }
}

impl Following {
    /// Whether nothing is left to follow: every process was removed from the config and reported,
    /// and the targets are names, which match no other process.
    pub(super) fn is_over(&self) -> bool {
        let is_name = |target: &String| {
            target != "all" && !target.starts_with('@') && !supervisor::is_glob(target)
        };
        let reported = |cursor: &FollowCursor| cursor.removal == Removal::Reported;
        self.cursors.iter().all(reported) && self.targets.iter().all(is_name)
    }

    pub(super) fn memory(&self) -> usize {
        let targets: usize = self.targets.iter().map(|target| 24 + target.len()).sum();
        targets + self.cursors.len() * CURSOR_BYTES
    }
}

/// The position of a `logs` client in the output of one process.
#[derive(Debug)]
pub(crate) struct FollowCursor {
    /// The process.
    pub process: ProcessId,
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// Ring offset of the next byte to send.
    pub cursor: u64,
    /// Offset of the end, without `follow`.
    pub end: u64,
    /// On the list of ready cursors.
    pub ready: bool,
    /// Whether the process was removed from the config.
    pub removal: Removal,
}

/// The removal of a process, for a client that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is in the config.
    None,
    /// The client learns of it after the output.
    Due,
    /// The client knows.
    Reported,
}
