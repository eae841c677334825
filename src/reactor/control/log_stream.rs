//! `logs`: the output of any number of processes, from the rings and then live.

use crate::reactor::Reactor;
use crate::reactor::clock::unix_ns;
use crate::reactor::control::connection::{ConnectionId, FollowCursor, Following, Mode};
use crate::reactor::control::requests::{Reply, duration};
use crate::reactor::output::{Segment, Stream};
use crate::supervisor::{self, ProcessId};
use crate::text::timestamp::{nanoseconds, rfc3339};
use crate::wire::{Id, LogLine, LogsParams, LogsReply};
use serde_json::json;
use std::collections::VecDeque;

/// What a JSON answer may hold, in bytes of text: within a line's bound when escaped.
const TEXT_MAX: usize = 256 * 1024;

impl Reactor {
    /// `logs`: as JSON, or as frames that may go on.
    pub(crate) fn logs(
        &mut self,
        client: ConnectionId,
        id: Option<Id>,
        params: &LogsParams,
    ) -> Reply {
        let targets = self.resolve(&params.targets)?;
        let stream = Reactor::stream_of(params.stream.as_deref())?;
        let since = duration("since_s", params.since_s)?;
        let since_ns = since.map(|span| unix_ns().saturating_sub(nanoseconds(span)));
        let mut cursors = Vec::new();
        for target in targets {
            let Some(process) = self.supervisor.process(target).cloned() else {
                continue;
            };
            self.ensure_child(&process);
            let Some(child) = self.children.get(&target) else {
                continue;
            };
            let output = &child.output;
            let mut cursor = output.tail();
            if let Some(lines) = params.lines {
                let lines = usize::try_from(lines).unwrap_or(usize::MAX);
                cursor = cursor.max(output.line_start_back(lines, stream));
            }
            if let Some(since_ns) = since_ns {
                cursor = cursor.max(output.offset_since(since_ns));
            }
            let end = if params.follow {
                u64::MAX
            } else {
                output.head()
            };
            let name = process.name.clone();
            cursors.push(FollowCursor {
                process: target,
                name,
                cursor,
                end,
                ready: false,
            });
        }
        if !params.follow && !params.frames {
            return Ok(Some(json!(self.log_lines(&cursors, stream))));
        }
        let follow = params.follow;
        let following = Following {
            targets: params.targets.clone(),
            cursors,
            ready: VecDeque::new(),
            stream,
            follow,
            current: None,
        };
        self.answer(client, id, Ok(json!({})));
        self.follow(client, following);
        Ok(None)
    }

    fn follow(&mut self, client: ConnectionId, mut following: Following) {
        // What is in the rings already is merged by time of arrival, at first sight.
        let mut order: Vec<(u64, usize)> = Vec::new();
        for (index, cursor) in following.cursors.iter_mut().enumerate() {
            let Some(child) = self.children.get_mut(&cursor.process) else {
                continue;
            };
            child.followers.push((client, index));
            let mut segments = child.output.segments(cursor.cursor, following.stream);
            if let Some(first) = segments.next() {
                order.push((first.time_ns, index));
                cursor.ready = true;
            }
        }
        order.sort_unstable();
        following.ready = order.into_iter().map(|(_, index)| index).collect();
        if let Some(connection) = self.connection_mut(client) {
            connection.switch(Mode::Following(following));
            self.unflushed.insert(client.slot);
        }
    }

    /// Lines as JSON, merged by time of arrival, the newest when there are too many.
    fn log_lines(&self, cursors: &[FollowCursor], stream: Option<Stream>) -> LogsReply {
        let mut lines: Vec<(u64, LogLine)> = Vec::new();
        for cursor in cursors {
            let Some(child) = self.children.get(&cursor.process) else {
                continue;
            };
            for wanted in [Stream::Stdout, Stream::Stderr] {
                if stream.is_none_or(|stream| stream == wanted) {
                    let segments = child.output.segments(cursor.cursor, Some(wanted));
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
                size += line.text.len() + line.process.len() + 100;
                size <= TEXT_MAX
            })
            .count();
        let truncated = fits < lines.len();
        let lines = lines.split_off(lines.len() - fits);
        LogsReply {
            lines: lines.into_iter().map(|(_, line)| line).collect(),
            truncated,
        }
    }

    /// A process is there that was not: those who follow what it is part of follow it too.
    pub(crate) fn follow_newcomer(&mut self, id: ProcessId) {
        let Some(process) = self.supervisor.process(id) else {
            return;
        };
        let (name, alone) = (process.name.clone(), [process]);
        let groups = &self.config.groups;
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        for (_, connection) in &mut self.connections {
            let client = connection.id;
            let Mode::Following(following) = &mut connection.mode else {
                continue;
            };
            let is_meant = |target: &String| {
                let target = std::slice::from_ref(target);
                supervisor::resolve(target, alone, groups).is_ok_and(|found| found == [id])
            };
            if following.follow && following.targets.iter().any(is_meant) {
                child.followers.push((client, following.cursors.len()));
                following.cursors.push(FollowCursor {
                    process: id,
                    name: name.clone(),
                    cursor: child.output.tail(),
                    end: u64::MAX,
                    ready: false,
                });
            }
        }
    }

    /// Everything is down: whoever follows has the rest to get and no more, and is told that it
    /// is the end.
    pub(crate) fn end_followers(&mut self) {
        for (slot, connection) in &mut self.connections {
            if let Mode::Following(following) = &mut connection.mode {
                following.follow = false;
                self.unflushed.insert(slot);
            }
        }
    }

    /// Puts the cursors of those who follow a process on their lists.
    pub(crate) fn wake_followers(&mut self, id: ProcessId) {
        let Some(child) = self.children.get(&id) else {
            return;
        };
        for (client, index) in &child.followers {
            let Some(connection) = self.connections.get_mut(client.slot) else {
                continue;
            };
            if connection.id != *client {
                continue;
            }
            let Mode::Following(following) = &mut connection.mode else {
                continue;
            };
            if let Some(cursor) = following.cursors.get_mut(*index)
                && !cursor.ready
                && following.follow
            {
                cursor.ready = true;
                following.ready.push_back(*index);
            }
            self.unflushed.insert(client.slot);
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
