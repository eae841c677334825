//! `logs`: the output of any number of processes, from the rings and then live.

use crate::reactor::clock::unix_ns;
use crate::reactor::control::client_table::Clients;
use crate::reactor::control::connection::{ConnectionId, FollowCursor, Following, Mode, Removal};
use crate::reactor::control::parameters::duration;
use crate::reactor::output::{Output, Segment, Stream};
use crate::reactor::process::process_io::ProcessIo;
use crate::reactor::process::processes::Processes;
use crate::supervisor::{self, Process, ProcessId};
use crate::text::timestamp::{nanoseconds, rfc3339};
use crate::wire::{LogLine, LogsParams, LogsReply, RpcError};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// Text of a JSON reply, in bytes; its line stays within the protocol's limit when escaped.
const TEXT_MAX: usize = 256 * 1024;

/// Bytes of a line of a reply besides its text and the name of the process.
const LINE_COST: u64 = 100;

/// Counted for each run that is looked at, in bytes.
const RUN_COST: u64 = 16;

/// Targets that a client follows: each is compared with every new process.
pub(crate) const TARGETS_MAX: usize = 256;

/// The part of a process's output that a `logs` request selects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection {
    stream: Option<Stream>,
    lines: Option<usize>,
    since_ns: Option<u64>,
    follow: bool,
}

impl Selection {
    /// The selection of a request.
    ///
    /// # Errors
    /// When a parameter is invalid.
    pub(crate) fn new(params: &LogsParams, stream: Option<Stream>) -> Result<Selection, RpcError> {
        let since = duration("since_s", params.since_s)?;
        Ok(Selection {
            stream,
            lines: params
                .lines
                .map(|lines| usize::try_from(lines).unwrap_or(usize::MAX)),
            since_ns: since.map(|span| unix_ns().saturating_sub(nanoseconds(span))),
            follow: params.follow,
        })
    }

    /// The cursor of a process.
    pub(crate) fn cursor(&self, process: &Process, output: &Output) -> FollowCursor {
        let mut cursor = output.tail();
        if let Some(lines) = self.lines {
            cursor = cursor.max(output.line_start_back(lines, self.stream));
        }
        if let Some(since_ns) = self.since_ns {
            cursor = cursor.max(output.offset_since(since_ns));
        }
        FollowCursor {
            process: process.id,
            name: process.name.clone(),
            cursor,
            end: if self.follow { u64::MAX } else { output.head() },
            ready: false,
            removal: Removal::None,
        }
    }
}

/// Switches a client to frames of output. Output that is in the rings already is merged by its
/// time of arrival, at the start.
pub(crate) fn follow(
    clients: &mut Clients,
    processes: &mut Processes,
    client: ConnectionId,
    params: &LogsParams,
    selection: Selection,
    mut cursors: Vec<FollowCursor>,
) {
    let mut order: Vec<(u64, usize)> = Vec::new();
    for (index, cursor) in cursors.iter_mut().enumerate() {
        let Some(io) = processes.io_mut(cursor.process) else {
            continue;
        };
        io.followers.push((client, index));
        let mut segments = io.output.segments(cursor.cursor, selection.stream);
        if let Some(first) = segments.next() {
            order.push((first.time_ns, index));
            cursor.ready = true;
        }
    }
    order.sort_unstable();
    let following = Following {
        targets: params.targets.clone(),
        cursors,
        ready: order
            .into_iter()
            .map(|(_, index)| index)
            .collect::<VecDeque<_>>(),
        stream: selection.stream,
        follow: selection.follow,
    };
    if let Some(connection) = clients.connection_mut(client) {
        connection.switch(Mode::Following(following));
        clients.queue_flush(client);
    }
}

/// The selected lines, merged by time of arrival; the newest when there are too many.
pub(crate) fn lines(
    processes: &Processes,
    selection: Selection,
    cursors: &mut [FollowCursor],
) -> LogsReply {
    let skipped = skip_oldest(processes, cursors, selection.stream);
    let mut lines: Vec<(u64, LogLine)> = Vec::new();
    for cursor in cursors {
        let Some(io) = processes.io(cursor.process) else {
            continue;
        };
        for wanted in [Stream::Stdout, Stream::Stderr] {
            if selection.stream.is_none_or(|stream| stream == wanted) {
                let segments = io.output.segments(cursor.cursor, Some(wanted));
                lines.extend(lines_of(&cursor.name, wanted, segments));
            }
        }
    }
    lines.sort_by_key(|(time_ns, _)| *time_ns);
    let mut size = 0;
    let fits = lines
        .iter()
        .rev()
        .take_while(|(_, line)| {
            size += line.text.len() + line.process.len() + LINE_COST as usize;
            size <= TEXT_MAX
        })
        .count();
    let truncated = skipped || fits < lines.len();
    let lines = lines.split_off(lines.len() - fits);
    LogsReply {
        lines: lines.into_iter().map(|(_, line)| line).collect(),
        truncated,
    }
}

/// Moves cursors to the newest output, of all processes together, that may fill a reply. Returns
/// whether older output is left out. The work depends on the size of a reply, not on the amount of
/// output.
fn skip_oldest(
    processes: &Processes,
    cursors: &mut [FollowCursor],
    filter: Option<Stream>,
) -> bool {
    let outputs = cursors.iter().map(|cursor| processes.io(cursor.process));
    let outputs: Vec<Option<&Output>> = outputs.map(|io| io.map(|io| &io.output)).collect();
    let runs = outputs.iter().zip(cursors.iter()).map(|(output, cursor)| {
        let runs = output
            .iter()
            .flat_map(|output| output.runs_back(cursor.cursor));
        runs.peekable()
    });
    let mut runs: Vec<_> = runs.collect();
    let newest = runs.iter_mut().enumerate();
    let newest = newest.filter_map(|(index, runs)| Some((runs.peek()?.time_ns, index)));
    let mut newest: BinaryHeap<(u64, usize)> = newest.collect();
    let mut starts: Vec<Option<u64>> = vec![None; cursors.len()];
    let mut room = (TEXT_MAX + TEXT_MAX / 4) as u64;
    while let Some((_, index)) = newest.pop()
        && room > 0
    {
        let (Some(output), Some(run)) = (outputs[index], runs[index].next()) else {
            continue;
        };
        let is_wanted = filter.is_none_or(|stream| stream == run.stream);
        let lines = if is_wanted { output.lines_in(&run) } else { 0 };
        let cost = RUN_COST + lines * LINE_COST + if is_wanted { run.end - run.offset } else { 0 };
        let taken = (run.end - run.offset).min(room);
        starts[index] = Some(run.end - taken);
        room = room.saturating_sub(cost);
        if let Some(next) = runs[index].peek() {
            newest.push((next.time_ns, index));
        }
    }
    let mut skipped = false;
    for ((cursor, output), start) in cursors.iter_mut().zip(&outputs).zip(starts) {
        let head = output.map_or(0, Output::head);
        let start = start.unwrap_or(head).max(cursor.cursor);
        skipped |= start > cursor.cursor;
        cursor.cursor = start;
    }
    skipped
}

/// Adds a new process to the clients that follow a target it matches.
pub(crate) fn follow_new_process(
    clients: &mut Clients,
    processes: &mut Processes,
    process: &Process,
    groups: &BTreeMap<String, Vec<String>>,
) {
    let Some(io) = processes.io_mut(process.id) else {
        return;
    };
    let matches = |target: &String| {
        let target = std::slice::from_ref(target);
        supervisor::resolve(target, [process], groups).is_ok_and(|found| found == [process.id])
    };
    for (client, following) in clients.followers_mut() {
        if following.follow && following.targets.iter().any(matches) {
            io.followers.push((client, following.cursors.len()));
            following.cursors.push(FollowCursor {
                process: process.id,
                name: process.name.clone(),
                cursor: io.output.tail(),
                end: u64::MAX,
                ready: false,
                removal: Removal::None,
            });
        }
    }
}

/// Reports to the clients that follow a process that it was removed from the config.
pub(crate) fn report_removal(clients: &mut Clients, processes: &Processes, id: ProcessId) {
    let Some(io) = processes.io(id) else {
        return;
    };
    for (client, index) in &io.followers {
        let following = clients.following_mut(*client);
        let cursor = following.and_then(|following| following.cursors.get_mut(*index));
        if let Some(cursor) = cursor {
            cursor.removal = Removal::Due;
        }
    }
    wake_followers(clients, processes, id);
}

/// Whether a client that follows a removed process lacks output of it.
pub(crate) fn lags(clients: &mut Clients, io: &ProcessIo) -> bool {
    io.followers.iter().any(|(client, index)| {
        let Some(following) = clients.following_mut(*client) else {
            return false;
        };
        let follow = following.follow;
        following
            .cursors
            .get(*index)
            .is_some_and(|cursor| match follow {
                true => cursor.removal != Removal::Reported,
                false => cursor.cursor < cursor.end,
            })
    })
}

/// Ends all `logs` clients once they have received the rest: every process is down.
pub(crate) fn end_followers(clients: &mut Clients) {
    let mut ended = Vec::new();
    for (client, following) in clients.followers_mut() {
        following.follow = false;
        ended.push(client);
    }
    for client in ended {
        clients.queue_flush(client);
    }
}

/// Marks the cursors of the clients that follow a process as ready.
pub(crate) fn wake_followers(clients: &mut Clients, processes: &Processes, id: ProcessId) {
    let Some(io) = processes.io(id) else {
        return;
    };
    for (client, index) in &io.followers {
        let Some(following) = clients.following_mut(*client) else {
            continue;
        };
        if let Some(cursor) = following.cursors.get_mut(*index)
            && !cursor.ready
            && following.follow
        {
            cursor.ready = true;
            following.ready.push_back(*index);
        }
        clients.queue_flush(*client);
    }
}

/// Removes a `logs` client that is gone from the processes it followed.
pub(crate) fn forget_follower(
    processes: &mut Processes,
    client: ConnectionId,
    following: &Following,
) {
    for cursor in &following.cursors {
        if let Some(io) = processes.io_mut(cursor.process) {
            io.followers.retain(|(other, _)| *other != client);
        }
    }
}

fn lines_of<'a>(
    name: &str,
    stream: Stream,
    segments: impl Iterator<Item = Segment<'a>>,
) -> Vec<(u64, LogLine)> {
    let mut lines = Vec::new();
    let mut pending: Vec<u8> = Vec::new();
    let mut time_ns = 0;
    let stream = stream_name(stream);
    let mut push = |time_ns: u64, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes)
            .trim_end_matches('\r')
            .to_string();
        let (process, stream) = (name.to_string(), stream.to_string());
        lines.push((
            time_ns,
            LogLine {
                process,
                stream,
                ts: rfc3339(time_ns),
                text,
            },
        ));
    };
    for segment in segments {
        for piece in segment.bytes.split_inclusive(|byte| *byte == b'\n') {
            if pending.is_empty() {
                time_ns = segment.time_ns;
            }
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    pending.extend_from_slice(end);
                    push(time_ns, &pending);
                    pending.clear();
                }
                None => pending.extend_from_slice(piece),
            }
        }
    }
    if !pending.is_empty() {
        push(time_ns, &pending);
    }
    lines
}

/// The name of a stream on the wire.
pub(crate) fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}
