//! A control connection: bytes in, bytes out, both bounded. What the bytes mean is decided in
//! `control`, `attach` and `follow`.

use crate::reactor::output::Stream;
use crate::reactor::poller::{Poller, Source};
use crate::supervisor::{ProcessId, Time};
use crate::sys::socket::Peer;
use crate::wire::{Frame, FrameDecoder, LineDecoder, Message, RoleInfo};
use mio::{Interest, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, OwnedFd};

/// Answers that wait for a slow reader; above this its requests are not read any more.
const OUTGOING_HIGH: usize = 256 * 1024;

/// Above this an event follower misses events rather than growing the daemon.
pub const EVENTS_HIGH: usize = 1024 * 1024;

/// One read of a connection, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// A connection for as long as it lives; the serial makes a reused slot distinguishable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    /// Slot in the slab.
    pub slot: usize,
    /// Counts all connections ever accepted.
    pub serial: u64,
}

/// What a connection is used for.
#[derive(Debug)]
pub enum Mode {
    /// Requests and answers, a line each.
    Lines,
    /// Requests and answers, and a notification for each event.
    Events,
    /// Frames of one process's console.
    Attached(Attachment),
    /// Frames of the output of any number of processes.
    Following(Following),
}

/// One attached client.
#[derive(Debug)]
pub struct Attachment {
    /// To this process.
    pub process: ProcessId,
    /// Ring offset of the next byte to send.
    pub cursor: u64,
    /// Never writes, never sizes.
    pub read_only: bool,
    /// Ends with the run instead of the process.
    pub until_exit: bool,
    /// A whole picture is due before the stream goes on.
    pub needs_snapshot: bool,
    /// Lines of history in the next picture; later ones only repair what was skipped.
    pub history: u32,
    /// Slow the process down, within a bound, rather than skip.
    pub lossless: bool,
    /// Since when the process waits for this client.
    pub waited_for: Option<Time>,
    /// Rows of its terminal, 0 if it has none.
    pub rows: u16,
    /// Columns of its terminal, 0 if it has none.
    pub cols: u16,
    /// Unix time of attaching, in nanoseconds.
    pub since_ns: u64,
    /// When it came or typed last: who of the others drives when the driver leaves.
    pub active: Time,
    /// What it was told of its role last.
    pub told: Option<RoleInfo>,
    /// Frames to send when the stream has reached an offset.
    pub marks: VecDeque<(u64, Frame)>,
    /// It goes when the last mark is sent.
    pub ending: bool,
}

/// One `logs` client.
#[derive(Debug)]
pub struct Following {
    /// What was asked for: a process that comes later may be meant too.
    pub targets: Vec<String>,
    /// Whose output.
    pub cursors: Vec<FollowCursor>,
    /// Those of `cursors` that have something to send, in order of arrival.
    pub ready: VecDeque<usize>,
    /// Only this stream.
    pub stream: Option<Stream>,
    /// Goes on with what comes; otherwise each cursor has its end.
    pub follow: bool,
    /// Whose data was sent last.
    pub current: Option<(usize, Stream)>,
}

/// Where a `logs` client is in the output of one process.
#[derive(Debug)]
pub struct FollowCursor {
    /// Whose.
    pub process: ProcessId,
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// Ring offset of the next byte to send.
    pub cursor: u64,
    /// Where it ends, without `follow`.
    pub end: u64,
    /// On the list of those that are ready.
    pub ready: bool,
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    /// Its identity.
    pub id: ConnectionId,
    fd: OwnedFd,
    token: Token,
    /// Who is at the other end.
    pub peer: Peer,
    /// What it is used for.
    pub mode: Mode,
    /// Requests.
    pub lines: LineDecoder,
    /// Frames, after a switch.
    pub frames: FrameDecoder,
    out: Vec<u8>,
    out_start: usize,
    writable: bool,
    /// The poll tells when it takes bytes again. Not always: then each read at the other end
    /// would wake the daemon.
    armed: bool,
    /// The other end will send nothing more.
    pub read_closed: bool,
    /// On the list of those that have something to read.
    pub queued: bool,
    /// Reading waits: its process takes no input now, or it does not read its answers.
    pub held: bool,
    /// It sent at least one valid request.
    pub spoke: bool,
    /// When it was accepted, or last heard of.
    pub heard: Time,
    /// Its last request has been read; it may still wait for answers.
    pub input_ended: bool,
    /// The other end is closed in both directions.
    pub gone: bool,
    /// It goes as soon as everything is written.
    pub closing: bool,
    /// It goes now.
    pub broken: bool,
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Bytes; there may be more.
    Bytes,
    /// Bytes, and nothing more now.
    LastBytes,
    /// Nothing now.
    Drained,
    /// The end, or an error.
    Closed,
}

impl Connection {
    /// Takes over an accepted socket.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn new(
        id: ConnectionId,
        fd: OwnedFd,
        peer: Peer,
        now: Time,
        poller: &mut Poller,
    ) -> io::Result<Self> {
        let token = poller.add(&fd, Source::Connection(id.slot), Interest::READABLE)?;
        Ok(Connection {
            id,
            fd,
            token,
            peer,
            mode: Mode::Lines,
            lines: LineDecoder::default(),
            frames: FrameDecoder::default(),
            out: Vec::new(),
            out_start: 0,
            writable: true,
            armed: false,
            read_closed: false,
            queued: false,
            held: false,
            spoke: false,
            heard: now,
            input_ended: false,
            gone: false,
            closing: false,
            broken: false,
        })
    }

    /// Leaves the poll; to be called before it is dropped.
    pub fn unwatch(&self, poller: &mut Poller) {
        poller.remove(&self.fd, self.token);
    }

    /// One read, into the decoder of the mode.
    pub fn read_once(&mut self, scratch: &mut Vec<u8>) -> Incoming {
        scratch.resize(READ_SIZE, 0);
        match crate::sys::io::read(self.fd.as_fd(), scratch) {
            Ok(0) => Incoming::Closed,
            Ok(n) => {
                match self.mode {
                    Mode::Lines | Mode::Events => self.lines.push(&scratch[..n]),
                    Mode::Attached(_) | Mode::Following(_) => self.frames.push(&scratch[..n]),
                }
                // What comes later is told anew; only the end may have been told already.
                match n < scratch.len() && !self.read_closed {
                    true => Incoming::LastBytes,
                    false => Incoming::Bytes,
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Incoming::Drained,
            Err(_) => Incoming::Closed,
        }
    }

    /// At the end of input: a request that lacks its newline is given one. False without one.
    pub fn end_line(&mut self) -> bool {
        let lines = matches!(self.mode, Mode::Lines | Mode::Events);
        let begun = lines && self.lines.pending() > 0;
        if begun {
            self.lines.push(b"\n");
        }
        begun
    }

    /// Goes over to frames, with what came behind the request.
    pub fn switch(&mut self, mode: Mode) {
        let rest = self.lines.take_rest();
        self.frames.push(&rest);
        self.mode = mode;
    }

    /// Queues a message.
    pub fn send(&mut self, message: &Message) {
        self.send_bytes(&message.to_line());
    }

    /// Queues bytes.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        if self.out_start == self.out.len() {
            self.out.clear();
            self.out_start = 0;
        }
        self.out.extend_from_slice(bytes);
    }

    /// Bytes that wait to be written.
    pub fn outgoing(&self) -> usize {
        self.out.len() - self.out_start
    }

    /// Too many answers wait: no more requests are taken from it.
    pub fn is_clogged(&self) -> bool {
        self.outgoing() > OUTGOING_HIGH
    }

    /// Nothing is asked any more and nothing is open: it goes when all is written. `waits` tells
    /// whether an answer is still to come.
    pub fn owes_nothing(&self, waits: bool) -> bool {
        self.input_ended && matches!(self.mode, Mode::Lines) && !waits
    }

    /// The socket took bytes again.
    pub fn set_writable(&mut self) {
        self.writable = true;
    }

    /// Has the poll tell when bytes are taken again, exactly while that is waited for.
    pub fn arm(&mut self, poller: &Poller) {
        let wanted = !self.writable;
        if wanted == self.armed {
            return;
        }
        let interest = match wanted {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        self.broken |= poller.reregister(&self.fd, self.token, interest).is_err();
        self.armed = wanted;
    }

    /// Whether another write may bring something.
    pub fn can_write(&self) -> bool {
        self.writable && !self.broken
    }

    /// Writes what waits; `true` when nothing is left.
    pub fn flush(&mut self) -> bool {
        while self.outgoing() > 0 && self.can_write() {
            let rest = &self.out[self.out_start..];
            match crate::sys::io::write(self.fd.as_fd(), rest) {
                Ok(n) => self.out_start += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(_) => self.broken = true,
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

    /// Writes a frame from pieces that stay where they are; only what the socket does not take
    /// of a frame begun is copied. To be called with nothing outgoing.
    pub fn send_pieces(&mut self, pieces: &[IoSlice<'_>]) {
        debug_assert_eq!(self.outgoing(), 0);
        let written = match crate::sys::io::write_vectored(self.fd.as_fd(), pieces) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.writable = false;
                0
            }
            Err(_) => {
                self.broken = true;
                return;
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
