//! The end of a turn: what waits is written, each client as far as it takes it.

use crate::reactor::control::connection::{Connection, ConnectionId, Mode};
use crate::reactor::control::log_stream::stream_name;
use crate::reactor::output::{Output, Segment, Stream};
use crate::reactor::{ProcessIo, Reactor};
use crate::supervisor::ProcessId;
use crate::wire::{Frame, HEADER_LEN, Kind, PAYLOAD_MAX, SourceInfo, flags};
use serde_json::json;
use std::collections::HashMap;
use std::io::IoSlice;

/// Output sent to one client in one turn, in bytes.
const BYTES_A_TURN: usize = 256 * 1024;

/// Output in one frame: what a client that stops in the middle of one costs.
const FRAME_BYTES: usize = 8 * 1024;

impl Reactor {
    /// Writes to every connection that has something to write.
    pub(crate) fn flush(&mut self) {
        for slot in std::mem::take(&mut self.unflushed) {
            let Some(connection) = self.connections.get_mut(slot) else {
                continue;
            };
            let rest = flush_connection(connection, &self.children);
            connection.arm(&self.poller);
            if rest == Rest::Later {
                self.unflushed.insert(slot);
            }
            let done = connection.broken || (connection.closing && rest == Rest::Nothing);
            let id = connection.id;
            let lossless = match &connection.mode {
                Mode::Attached(attachment) if attachment.lossless => Some(attachment.process),
                _ => None,
            };
            if done {
                self.close_connection(slot);
            } else {
                self.unclog(id);
            }
            if let Some(process) = lossless {
                self.resume_outputs(process);
            }
        }
        self.flush_again = !self.unflushed.is_empty();
    }

    /// A client that reads its answers again is listened to again.
    fn unclog(&mut self, client: ConnectionId) {
        let Some(connection) = self.connection_mut(client) else {
            return;
        };
        let lines = matches!(connection.mode, Mode::Lines | Mode::Events);
        if connection.held && lines && !connection.is_clogged() {
            connection.held = false;
            self.queue_connection(client.slot);
        }
    }

    /// Hands new output on: to the logs, to those who are attached, to those who follow.
    pub(crate) fn hand_on_output(&mut self) {
        for id in std::mem::take(&mut self.dirty) {
            let Some(child) = self.children.get_mut(&id) else {
                continue;
            };
            child.dirty = false;
            for client in &child.clients {
                self.unflushed.insert(client.slot);
            }
            self.wake_followers(id);
            self.pump_logs(id);
            self.announce(id);
        }
    }
}

/// Why a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Everything is written.
    Nothing,
    /// The socket takes no more; it will say when it does.
    Socket,
    /// The turn's share is spent.
    Later,
}

fn flush_connection(connection: &mut Connection, children: &HashMap<ProcessId, ProcessIo>) -> Rest {
    let mut budget = BYTES_A_TURN;
    loop {
        if !connection.flush() {
            return Rest::Socket;
        }
        if connection.broken {
            return Rest::Nothing;
        }
        if budget == 0 {
            return Rest::Later;
        }
        let sent = if connection.closing {
            None
        } else {
            match connection.mode {
                Mode::Lines | Mode::Events => None,
                Mode::Attached(_) => send_console(connection, children),
                Mode::Following(_) => send_followed(connection, children),
            }
        };
        match sent {
            None => return Rest::Nothing,
            Some(bytes) => budget = budget.saturating_sub(bytes.max(1)),
        }
    }
}

/// Sends the next piece of a console; `None` when it is up to date.
fn send_console(
    connection: &mut Connection,
    children: &HashMap<ProcessId, ProcessIo>,
) -> Option<usize> {
    let Mode::Attached(attachment) = &mut connection.mode else {
        return None;
    };
    let child = children.get(&attachment.process)?;
    if attachment.needs_snapshot {
        attachment.needs_snapshot = false;
        attachment.cursor = child.output.head();
        let history = std::mem::take(&mut attachment.history);
        let size = (attachment.rows, attachment.cols);
        let bytes = snapshot(child, attachment.cursor, history as usize, size);
        connection.send_bytes(&bytes);
        return Some(bytes.len());
    }
    let cursor = attachment.cursor;
    if let Some((offset, _)) = attachment.marks.front()
        && *offset <= cursor
    {
        let (_, frame) = attachment.marks.pop_front()?;
        let last = attachment.ending && attachment.marks.is_empty();
        connection.send_bytes(&frame.to_bytes());
        connection.closing |= last;
        return Some(1);
    }
    let tail = child.output.tail();
    if cursor < tail {
        // Overrun: whoever is too slow loses the middle, never the end.
        attachment.cursor = tail;
        attachment.needs_snapshot = child.terminal.is_some();
        let skipped = (tail - cursor).to_be_bytes();
        connection.send_bytes(&Frame::new(Kind::Skipped, skipped).to_bytes());
        return Some(1);
    }
    let until = attachment
        .marks
        .front()
        .map_or(u64::MAX, |(offset, _)| *offset);
    let segment = next_segment(&child.output, cursor, None, until)?;
    attachment.cursor = segment.offset + segment.bytes.len() as u64;
    send_data(connection, &segment);
    Some(segment.bytes.len())
}

/// Sends the next piece of a `logs` client; `None` when it is up to date.
fn send_followed(
    connection: &mut Connection,
    children: &HashMap<ProcessId, ProcessIo>,
) -> Option<usize> {
    let Mode::Following(following) = &mut connection.mode else {
        return None;
    };
    let Some(index) = following.ready.pop_front() else {
        if !following.follow {
            connection.send_bytes(&Frame::new(Kind::End, []).to_bytes());
            connection.closing = true;
            return Some(1);
        }
        return None;
    };
    let cursor = following.cursors.get_mut(index)?;
    cursor.ready = false;
    let Some(child) = children.get(&cursor.process) else {
        return Some(1);
    };
    let tail = child.output.tail();
    if cursor.cursor < tail {
        let skipped = tail - cursor.cursor;
        cursor.cursor = tail;
        cursor.ready = true;
        following.ready.push_front(index);
        let source = SourceInfo {
            process: cursor.name.clone(),
            ..SourceInfo::default()
        };
        following.current = None;
        let source = Frame::new(Kind::Source, json!(source).to_string());
        connection.send_bytes(&source.to_bytes());
        let skipped = Frame::new(Kind::Skipped, skipped.to_be_bytes());
        connection.send_bytes(&skipped.to_bytes());
        return Some(1);
    }
    let filter = following.stream;
    let Some(segment) = next_segment(&child.output, cursor.cursor, filter, cursor.end) else {
        return Some(1);
    };
    cursor.cursor = segment.offset + segment.bytes.len() as u64;
    cursor.ready = true;
    following.ready.push_back(index);
    let source = SourceInfo {
        process: cursor.name.clone(),
        stream: stream_name(segment.stream).to_string(),
        time_ns: segment.time_ns,
    };
    following.current = Some((index, segment.stream));
    let source = Frame::new(Kind::Source, json!(source).to_string());
    connection.send_bytes(&source.to_bytes());
    if connection.flush() {
        send_data(connection, &segment);
    } else {
        // The frame begun has to be finished first; this piece is small enough to wait there.
        let header = data_header(&segment);
        connection.send_bytes(&header);
        connection.send_bytes(segment.bytes);
    }
    Some(segment.bytes.len())
}

/// The next piece of output from a cursor, at most one frame long and not beyond `until`.
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
fn send_data(connection: &mut Connection, segment: &Segment<'_>) {
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

/// The frames that draw a terminal as of `offset`, for a client whose own has this size.
fn snapshot(child: &ProcessIo, offset: u64, history_lines: usize, size: (u16, u16)) -> Vec<u8> {
    let Some(terminal) = &child.terminal else {
        return Vec::new();
    };
    let read = child.output.read(child.output.tail());
    let picture = match size.0 > 0 && size.1 > 0 {
        true => terminal.snapshot_within(read.slices, history_lines, size),
        false => terminal.snapshot(read.slices, history_lines),
    };
    let mut bytes = Vec::with_capacity(picture.len() + 64);
    for piece in picture.chunks(PAYLOAD_MAX - 8) {
        bytes.extend(Frame::header(Kind::Snapshot, 0, piece.len() + 8));
        bytes.extend(offset.to_be_bytes());
        bytes.extend(piece);
    }
    bytes
}
