//! A control connection: bytes in, bytes out, both bounded. Other modules give the bytes their
//! meaning: `requests`, `console` and `log_stream`.

use crate::reactor::output::Stream;
use crate::reactor::poller::{EventSource, Poller};
use crate::supervisor::{ProcessId, Time};
use crate::sys::socket::Peer;
use crate::wire::{Frame, FrameDecoder, LineDecoder, Message, RoleInfo};
use mio::{Interest, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, OwnedFd};

/// Replies that a slow reader has not taken, in bytes; above this its requests are not read.
const OUTGOING_HIGH: usize = 256 * 1024;

/// One read of a connection, in bytes.
pub(super) const READ_SIZE: usize = 64 * 1024;

/// Names a connection. The serial distinguishes connections that reuse a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId {
    /// Slot in the slab.
    pub slot: usize,
    /// Counts all connections ever accepted.
    pub serial: u64,
}

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
    /// Unix time of attaching, in nanoseconds.
    pub since_ns: u64,
    /// When it attached or last sent input. The most recent client becomes the next driver.
    pub last_input: Time,
    /// The role it was last sent.
    pub last_role: Option<RoleInfo>,
    /// Frames to send when the stream has reached an offset.
    pub queued_frames: VecDeque<(u64, Frame)>,
    /// The connection closes after the last queued frame.
    pub closing: bool,
}

/// How an attached client and its process wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientPace {
    /// A slow client skips output.
    Skip,
    /// The process waits for a slow client, within a bound.
    Block {
        /// When the process began to wait.
        since: Option<Time>,
    },
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
}

/// Whether requests and frames of a connection are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadState {
    /// They are.
    Open,
    /// Not now: the process takes no input, or the client does not read its replies.
    Paused,
    /// The client has sent everything; replies can still be due.
    Eof,
}

/// Which directions the client has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Remote {
    /// None.
    Open,
    /// It sends nothing more.
    HalfClosed,
    /// Both.
    Closed,
}

/// Whether the socket takes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteState {
    /// It does, as far as is known.
    Ready,
    /// Its buffer is full.
    Blocked,
    /// Writing failed: the connection is closed at the next flush.
    Failed,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    /// Its identity.
    pub id: ConnectionId,
    fd: OwnedFd,
    token: Token,
    /// The client, as the kernel identifies it.
    pub peer: Peer,
    /// Its use.
    pub mode: Mode,
    /// Decodes requests.
    pub lines: LineDecoder,
    /// Decodes frames, after a switch.
    pub frames: FrameDecoder,
    out: Vec<u8>,
    out_start: usize,
    /// Whether it is read.
    pub read: ReadState,
    /// Which directions the client has closed.
    pub remote: Remote,
    /// Whether it takes bytes.
    pub write: WriteState,
    /// The poll reports when it takes bytes again. Only armed while blocked: otherwise each read
    /// of the client would wake the daemon.
    write_armed: bool,
    /// On the list of connections to read.
    pub queued: bool,
    /// It has sent at least one valid request.
    pub has_valid_request: bool,
    /// When it was accepted, or last sent a request.
    pub last_activity: Time,
    /// It closes as soon as everything is written.
    pub close_after_flush: bool,
}

/// The result of one read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Bytes; more may follow.
    Bytes,
    /// Bytes that drained the socket.
    LastBytes,
    /// Nothing now.
    Drained,
    /// The end, or an error.
    Closed,
}

impl ClientConnection {
    /// Takes over an accepted socket.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub(crate) fn new(
        id: ConnectionId,
        fd: OwnedFd,
        peer: Peer,
        now: Time,
        poller: &mut Poller,
    ) -> io::Result<Self> {
        let token = poller.add(&fd, EventSource::Connection(id.slot), Interest::READABLE)?;
        Ok(ClientConnection {
            id,
            fd,
            token,
            peer,
            mode: Mode::Lines,
            lines: LineDecoder::default(),
            frames: FrameDecoder::default(),
            out: Vec::new(),
            out_start: 0,
            read: ReadState::Open,
            remote: Remote::Open,
            write: WriteState::Ready,
            write_armed: false,
            queued: false,
            has_valid_request: false,
            last_activity: now,
            close_after_flush: false,
        })
    }

    /// Leaves the poll. Call it before the connection is dropped.
    pub(crate) fn unwatch(&self, poller: &mut Poller) {
        poller.remove(&self.fd, self.token);
    }

    /// Its attachment, if it is attached.
    pub(crate) fn attachment(&self) -> Option<&Attachment> {
        match &self.mode {
            Mode::Attached(attachment) => Some(attachment),
            Mode::Lines | Mode::Events | Mode::Following(_) => None,
        }
    }

    /// Whether it carries requests, a line each.
    pub(crate) fn has_lines(&self) -> bool {
        matches!(self.mode, Mode::Lines | Mode::Events)
    }

    /// One read, into the decoder of the mode.
    pub(crate) fn read_once(&mut self, scratch: &mut Vec<u8>) -> Received {
        scratch.resize(READ_SIZE, 0);
        match crate::sys::io::read(self.fd.as_fd(), scratch) {
            Ok(0) => Received::Closed,
            Ok(n) => {
                match self.mode {
                    Mode::Lines | Mode::Events => self.lines.push(&scratch[..n]),
                    Mode::Attached(_) | Mode::Following(_) => self.frames.push(&scratch[..n]),
                }
                // Later bytes raise another event; a close may have raised its event already.
                match n < scratch.len() && self.remote == Remote::Open {
                    true => Received::LastBytes,
                    false => Received::Bytes,
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Received::Drained,
            Err(_) => Received::Closed,
        }
    }

    /// Adds the newline that the last request lacks at the end of input. Returns whether there is
    /// such a request.
    pub(crate) fn end_line(&mut self) -> bool {
        let unfinished = self.has_lines() && self.lines.pending() > 0;
        if unfinished {
            self.lines.push(b"\n");
        }
        unfinished
    }

    /// Switches to frames, starting with the bytes after the request.
    pub(crate) fn switch(&mut self, mode: Mode) {
        let rest = self.lines.take_rest();
        self.frames.push(&rest);
        self.mode = mode;
    }

    /// Queues a message.
    pub(crate) fn send(&mut self, message: &Message) {
        self.send_bytes(&message.to_line());
    }

    /// Queues bytes.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        if self.out_start == self.out.len() {
            self.out.clear();
            self.out_start = 0;
        }
        self.out.extend_from_slice(bytes);
    }

    /// Number of queued bytes.
    pub(crate) fn outgoing(&self) -> usize {
        self.out.len() - self.out_start
    }

    /// Whether too many replies are queued to read more requests.
    pub(crate) fn is_clogged(&self) -> bool {
        self.outgoing() > OUTGOING_HIGH
    }

    /// Whether it has sent its last request and expects no reply. `reply_pending` says whether a
    /// request still waits for its reply.
    pub(crate) fn owes_nothing(&self, reply_pending: bool) -> bool {
        self.read == ReadState::Eof && matches!(self.mode, Mode::Lines) && !reply_pending
    }

    /// The socket takes bytes again.
    pub(crate) fn unblock(&mut self) {
        if self.write == WriteState::Blocked {
            self.write = WriteState::Ready;
        }
    }

    /// Has the poll report when bytes are taken again, exactly while the socket is blocked.
    pub(crate) fn arm(&mut self, poller: &Poller) {
        let wanted = self.write == WriteState::Blocked;
        if wanted == self.write_armed {
            return;
        }
        let interest = match wanted {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        if poller.reregister(&self.fd, self.token, interest).is_err() {
            self.write = WriteState::Failed;
        }
        self.write_armed = wanted;
    }

    /// Writes queued bytes. Returns `true` when none are left.
    pub(crate) fn flush(&mut self) -> bool {
        while self.outgoing() > 0 && self.write == WriteState::Ready {
            let rest = &self.out[self.out_start..];
            match crate::sys::io::write(self.fd.as_fd(), rest) {
                Ok(n) => self.out_start += n,
                Err(error) => self.write = WriteState::after(&error),
            }
        }
        if self.outgoing() > 0 {
            return false;
        }
        self.out_start = 0;
        if self.out.capacity() > READ_SIZE {
            self.out = Vec::new();
        }
        self.out.clear();
        true
    }

    /// Writes a frame from pieces, without copying; only bytes that the socket does not take are
    /// queued. Call it with nothing queued.
    pub(crate) fn send_pieces(&mut self, pieces: &[IoSlice<'_>]) {
        debug_assert_eq!(self.outgoing(), 0);
        let written = match crate::sys::io::write_vectored(self.fd.as_fd(), pieces) {
            Ok(n) => n,
            Err(error) => {
                self.write = WriteState::after(&error);
                if self.write == WriteState::Failed {
                    return;
                }
                0
            }
        };
        let mut skip = written;
        for piece in pieces {
            let from = skip.min(piece.len());
            skip -= from;
            self.send_bytes(&piece[from..]);
        }
    }
}

impl WriteState {
    fn after(error: &io::Error) -> WriteState {
        match error.kind() {
            ErrorKind::WouldBlock => WriteState::Blocked,
            _ => WriteState::Failed,
        }
    }
}
