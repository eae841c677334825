//! The end of a turn: queued bytes and new output are written, each client as far as it takes them.

use crate::reactor::clock::Clock;
use crate::reactor::control::client_table::{Clients, Closed};
use crate::reactor::control::connection::{
    ClientConnection, ClientPace, Mode, Removal, SizeFit, WriteState,
};
use crate::reactor::control::event_feed::EventFeed;
use crate::reactor::control::log_stream::stream_name;
use crate::reactor::output::{Output, Segment, Stream};
use crate::reactor::poller::Poller;
use crate::reactor::process::process_io::ProcessIo;
use crate::reactor::process::processes::Processes;
use crate::supervisor::ProcessId;
use crate::wire::{END_REMOVED, Frame, HEADER_LEN, Kind, PAYLOAD_MAX, SourceInfo, flags};
use serde_json::json;
use std::io::IoSlice;
use std::time::Duration;

/// Output sent to one client in one turn, in bytes.
const BYTES_A_TURN: usize = 256 * 1024;

/// Output in one frame, in bytes. A client that stops reading within a frame costs this much.
const FRAME_BYTES: usize = 8 * 1024;

/// The result of flushing all clients.
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    /// Connections that failed, or were due to close.
    pub closed: Vec<Closed>,
    /// Processes that may have waited for one of these clients.
    pub unblocked: Vec<ProcessId>,
    /// A client took so much that the freed memory is worth giving back.
    pub freed: bool,
}

/// Memory that is worth giving back, in bytes.
const LARGE: usize = 128 * 1024;

/// Why the flush of one client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FlushResult {
    /// Everything is written.
    UpToDate,
    /// The socket takes no more; the poll reports when it does.
    Blocked,
    /// The client's share of the turn is spent.
    BudgetSpent,
}

/// Time for the clients of other users in one turn. It ends after the client that exceeds it: a
/// snapshot is drawn as a whole.
const USERS_TIME: Duration = Duration::from_millis(1);

/// Where the bytes for clients come from.
#[derive(Clone, Copy)]
struct Sources<'a> {
    processes: &'a Processes,
    feed: &'a EventFeed,
}

impl Clients {
    /// Writes to the owner's clients that have something to write, and then to those of the other
    /// users by turns, as long as the time suffices.
    pub(crate) fn flush(
        &mut self,
        processes: &Processes,
        poller: &mut Poller,
        clock: &Clock,
    ) -> Flushed {
        let mut flushed = Flushed::default();
        for _ in 0..self.unflushed().owner_len() {
            let Some(slot) = self.unflushed().pop_owner() else {
                break;
            };
            self.flush_one(slot, processes, poller, &mut flushed);
        }
        let began = clock.spent();
        while let Some(slot) = self.unflushed().pop_user() {
            self.flush_one(slot, processes, poller, &mut flushed);
            if clock.spent().saturating_sub(began) >= USERS_TIME {
                break;
            }
        }
        flushed
    }

    fn flush_one(
        &mut self,
        slot: usize,
        processes: &Processes,
        poller: &mut Poller,
        flushed: &mut Flushed,
    ) {
        let Some((connection, feed)) = self.with_feed(slot) else {
            return;
        };
        let result = flush_connection(connection, Sources { processes, feed });
        connection.arm(poller);
        let id = connection.id;
        let done = connection.write == WriteState::Failed
            || (connection.close_after_flush && result == FlushResult::UpToDate);
        let takes_replies = connection.has_lines() && !connection.is_clogged();
        let answers_due = takes_replies && connection.answers_due;
        if let Some(attachment) = connection.attachment()
            && let ClientPace::Block(_) = attachment.pace
        {
            flushed.unblocked.push(attachment.process);
        }
        if done {
            flushed.closed.extend(self.close(slot, poller));
            return;
        }
        if result == FlushResult::BudgetSpent {
            self.queue_flush(id);
        }
        if answers_due {
            self.queue_read(slot);
        }
        if takes_replies {
            self.resume_reading(id);
        }
        flushed.freed |= self.settle(slot) > LARGE;
    }
}

fn flush_connection(connection: &mut ClientConnection, sources: Sources<'_>) -> FlushResult {
    let mut budget = BYTES_A_TURN;
    loop {
        if !connection.flush() {
            return FlushResult::Blocked;
        }
        if connection.write == WriteState::Failed {
            return FlushResult::UpToDate;
        }
        if budget == 0 {
            return FlushResult::BudgetSpent;
        }
        let sent = match connection.mode {
            _ if connection.close_after_flush => None,
            Mode::Lines => None,
            Mode::Events => connection.queue_events(sources.feed),
            Mode::Attached(_) => send_console(connection, sources.processes),
            Mode::Following(_) => send_followed(connection, sources.processes),
        };
        match sent {
            None => return FlushResult::UpToDate,
            Some(bytes) => budget = budget.saturating_sub(bytes.max(1)),
        }
    }
}

/// Sends the next piece of a console. Returns `None` when the client is up to date.
fn send_console(connection: &mut ClientConnection, processes: &Processes) -> Option<usize> {
    let Mode::Attached(attachment) = &mut connection.mode else {
        return None;
    };
    let io = processes.io(attachment.process)?;
    if let Some(history) = attachment.snapshot_due.take() {
        attachment.cursor = io.output.head();
        let size = (attachment.rows, attachment.cols);
        let is_picture = attachment.fit == SizeFit::Differs && history == 0;
        let kind = match is_picture {
            true => Drawing::Picture,
            false => Drawing::Snapshot {
                history: history as usize,
            },
        };
        let bytes = draw(io, attachment.cursor, kind, size);
        connection.send_bytes(&bytes);
        return Some(bytes.len());
    }
    let cursor = attachment.cursor;
    if let Some((offset, _)) = attachment.queued_frames.front()
        && *offset <= cursor
    {
        let (_, frame) = attachment.queued_frames.pop_front()?;
        let last = attachment.closing && attachment.queued_frames.is_empty();
        connection.send_bytes(&frame.to_bytes());
        connection.close_after_flush |= last;
        return Some(1);
    }
    if attachment.fit == SizeFit::Differs {
        // A frame in the queue is about the output before it.
        attachment.snapshot_due = attachment.queued_frames.front().map(|_| 0);
        return attachment.snapshot_due.map(|_| 1);
    }
    let tail = io.output.tail();
    if cursor < tail {
        // Overrun: a slow client loses the middle, never the end.
        attachment.cursor = tail;
        attachment.snapshot_due = io.terminal.is_some().then_some(0);
        let skipped = (tail - cursor).to_be_bytes();
        connection.send_bytes(&Frame::new(Kind::Skipped, skipped).to_bytes());
        return Some(1);
    }
    let until = attachment
        .queued_frames
        .front()
        .map_or(u64::MAX, |(offset, _)| *offset);
    let segment = next_segment(&io.output, cursor, None, until)?;
    attachment.cursor = segment.offset + segment.bytes.len() as u64;
    send_data(connection, &segment);
    Some(segment.bytes.len())
}

/// Sends the next piece of a `logs` client. Returns `None` when the client is up to date.
fn send_followed(connection: &mut ClientConnection, processes: &Processes) -> Option<usize> {
    let Mode::Following(following) = &mut connection.mode else {
        return None;
    };
    let Some(index) = following.ready.pop_front() else {
        if !following.follow {
            connection.send_bytes(&Frame::new(Kind::End, []).to_bytes());
            connection.close_after_flush = true;
            return Some(1);
        }
        return None;
    };
    let cursor = following.cursors.get_mut(index)?;
    cursor.ready = false;
    let Some(io) = processes.io(cursor.process) else {
        return send_removal(connection, index).or(Some(1));
    };
    let tail = io.output.tail();
    if cursor.cursor < tail {
        let skipped = tail - cursor.cursor;
        cursor.cursor = tail;
        cursor.ready = true;
        following.ready.push_front(index);
        let source = SourceInfo {
            process: cursor.name.clone(),
            ..SourceInfo::default()
        };
        let source = Frame::new(Kind::Source, json!(source).to_string());
        connection.send_bytes(&source.to_bytes());
        let skipped = Frame::new(Kind::Skipped, skipped.to_be_bytes());
        connection.send_bytes(&skipped.to_bytes());
        return Some(1);
    }
    let filter = following.stream;
    let Some(segment) = next_segment(&io.output, cursor.cursor, filter, cursor.end) else {
        return send_removal(connection, index).or(Some(1));
    };
    cursor.cursor = segment.offset + segment.bytes.len() as u64;
    cursor.ready = true;
    following.ready.push_back(index);
    let source = SourceInfo {
        process: cursor.name.clone(),
        stream: stream_name(segment.stream).to_string(),
        time_ns: segment.time_ns,
    };
    let source = Frame::new(Kind::Source, json!(source).to_string());
    connection.send_bytes(&source.to_bytes());
    if connection.flush() {
        send_data(connection, &segment);
    } else {
        // The source frame has to be completed first; this piece is small enough to queue.
        let header = data_header(&segment);
        connection.send_bytes(&header);
        connection.send_bytes(segment.bytes);
    }
    Some(segment.bytes.len())
}

/// Reports the removal of a followed process, if it is due, and ends the stream after the last one.
fn send_removal(connection: &mut ClientConnection, index: usize) -> Option<usize> {
    let Mode::Following(following) = &mut connection.mode else {
        return None;
    };
    let cursor = following.cursors.get_mut(index)?;
    if cursor.removal != Removal::Due || !following.follow {
        return None;
    }
    cursor.removal = Removal::Reported;
    let text = format!("[{} was removed]", cursor.name);
    let over = following.is_over();
    connection.send_bytes(&Frame::new(Kind::Notice, text).to_bytes());
    if over {
        connection.send_bytes(&Frame::new(Kind::End, END_REMOVED).to_bytes());
        connection.close_after_flush = true;
    }
    Some(1)
}

/// The next piece of output after a cursor, at most one frame long and not beyond `until`.
fn next_segment(
    output: &Output,
    cursor: u64,
    filter: Option<Stream>,
    until: u64,
) -> Option<Segment<'_>> {
    let mut segment = output.segments(cursor, filter).next()?;
    let room = usize::try_from(until.checked_sub(segment.offset)?).unwrap_or(usize::MAX);
    let len = segment.bytes.len().min(FRAME_BYTES).min(room);
    segment.bytes = &segment.bytes[..len];
    (len > 0).then_some(segment)
}

/// Sends output straight from the ring.
fn send_data(connection: &mut ClientConnection, segment: &Segment<'_>) {
    let header = data_header(segment);
    connection.send_pieces(&[IoSlice::new(&header), IoSlice::new(segment.bytes)]);
}

fn data_header(segment: &Segment<'_>) -> [u8; HEADER_LEN + 8] {
    let flag_bits = match segment.stream {
        Stream::Stdout => 0,
        Stream::Stderr => flags::STDERR,
    };
    let mut header = [0; HEADER_LEN + 8];
    let frame = Frame::header(Kind::Data, flag_bits, segment.bytes.len() + 8);
    header[..HEADER_LEN].copy_from_slice(&frame);
    header[HEADER_LEN..].copy_from_slice(&segment.offset.to_be_bytes());
    header
}

/// How a terminal is drawn.
#[derive(Clone, Copy)]
enum Drawing {
    /// The output can follow. Lines of history come first, at most this number.
    Snapshot { history: usize },
    /// Other pictures follow.
    Picture,
}

/// The frames that draw a terminal as of `offset`, for a client whose terminal has this size.
fn draw(io: &ProcessIo, offset: u64, kind: Drawing, size: (u16, u16)) -> Vec<u8> {
    let Some(terminal) = &io.terminal else {
        return Vec::new();
    };
    let read = io.output.read(io.output.tail());
    let picture = match kind {
        Drawing::Picture => terminal.picture_within(read.slices, size),
        Drawing::Snapshot { history } if size.0 > 0 && size.1 > 0 => {
            terminal.snapshot_within(read.slices, history, size)
        }
        Drawing::Snapshot { history } => terminal.snapshot(read.slices, history),
    };
    let mut bytes = Vec::with_capacity(picture.len() + 64);
    for piece in picture.chunks(PAYLOAD_MAX - 8) {
        bytes.extend(Frame::header(Kind::Snapshot, 0, piece.len() + 8));
        bytes.extend(offset.to_be_bytes());
        bytes.extend(piece);
    }
    bytes
}

#[cfg(test)]
#[path = "flush_tests.rs"]
mod tests;
