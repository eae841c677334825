//! Attached clients: coming, typing, sizing, leaving.

use super::Reactor;
use super::clock::Timer;
use super::connection::{Attachment, ConnectionId, Mode};
use super::control::Reply;
use super::output::Stream;
use crate::supervisor::{ProcessId, SizePolicy};
use crate::sys;
use crate::terminal::Tracker;
use crate::wire::{
    AttachParams, AttachReply, DetachParams, DetachReply, Frame, Id, Kind, PeekParams, PeekReply,
    RpcError, code,
};
use serde_json::json;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::Duration;

/// How long a process waits for a client that takes nothing.
const LOSSLESS_WAIT_MAX: Duration = Duration::from_secs(5);

/// Terminals larger than this are taken for a mistake.
const SIDE_MAX: u16 = 4096;

impl Reactor {
    /// `attach`: answers, then the connection is frames.
    pub(super) fn attach(
        &mut self,
        client: ConnectionId,
        id: Option<Id>,
        params: &AttachParams,
    ) -> Reply {
        let target = self.resolve_one(&params.process)?;
        let Some(process) = self.supervisor.process(target).cloned() else {
            return Err(RpcError::new(code::NOT_FOUND, "the process is gone"));
        };
        self.refuse_own_terminal(params.terminal)?;
        self.ensure_child(&process);
        let Some(child) = self.children.get_mut(&target) else {
            return Ok(None);
        };
        let tty = process.launch.tty.is_some();
        // A process that has never run shows an empty screen.
        let drawn = tty && params.replay;
        let head = child.output.head();
        if drawn && child.tracker.is_none() {
            child.tracker = Some(Box::new(Tracker::new(head)));
        }
        let cursor = match (tty, params.replay) {
            (true, _) | (false, false) => head,
            (false, true) => child.output.line_start_back(1000, None),
        };
        let attachment = Attachment {
            process: target,
            cursor,
            read_only: params.read_only,
            until_exit: params.until_exit,
            needs_snapshot: drawn,
            fresh: true,
            lossless: params.lossless,
            waited_for: None,
            rows: params.rows.min(SIDE_MAX),
            cols: params.cols.min(SIDE_MAX),
            since_ns: super::clock::unix_ns(),
            told: None,
            marks: VecDeque::new(),
            ending: false,
        };
        child.clients.push(client);
        if !params.read_only && (params.steal || child.driver.is_none()) {
            child.driver = Some(client);
        }
        let driver = child.driver == Some(client);
        let input = child.input.is_some() && !params.read_only;
        let reply = AttachReply {
            process: process.name.clone(),
            tty,
            input,
            pid: process.pid,
            state: process.state.name().to_string(),
            driver,
        };
        log::debug!("{}: client attached", process.name);
        self.answer(client, id, Ok(json!(reply)));
        if let Some(connection) = self.connection_mut(client) {
            connection.switch(Mode::Attached(attachment));
        }
        self.resize(target);
        self.tell_roles(target);
        self.unflushed.insert(client.slot);
        Ok(None)
    }

    /// Attaching from inside a process of this daemon would feed it its own output for ever.
    fn refuse_own_terminal(&self, terminal: u64) -> Result<(), RpcError> {
        if terminal == 0 {
            return Ok(());
        }
        for child in self.children.values() {
            for channel in child.channels.iter().filter(|channel| channel.tty) {
                if sys::pty::device(channel.fd.as_fd()).is_ok_and(|device| device == terminal) {
                    let name = &child.name;
                    let message = format!("this terminal is {name}'s own: attach from another");
                    let data = json!({"process": name});
                    return Err(RpcError::new(code::WRONG_STATE, message).with_data(data));
                }
            }
        }
        Ok(())
    }

    /// Takes the next frame of an attached or following client; `false` when there is none.
    pub(super) fn next_frame(&mut self, client: ConnectionId) -> bool {
        let Some(connection) = self.connection_mut(client) else {
            return false;
        };
        let process = match &connection.mode {
            Mode::Attached(attachment) => Some((attachment.process, attachment.read_only)),
            Mode::Lines | Mode::Events | Mode::Following(_) => None,
        };
        // Back-pressure: what the process does not read is not taken from its client either.
        if let Some((process, false)) = process
            && let Some(child) = self.children.get(&process)
            && child.input.is_some()
            && !child.takes_input()
        {
            if let Some(connection) = self.connection_mut(client) {
                connection.held = true;
            }
            return false;
        }
        let Some(connection) = self.connection_mut(client) else {
            return false;
        };
        match connection.frames.next_frame() {
            Ok(None) => false,
            Ok(Some(frame)) => {
                match process {
                    Some((process, read_only)) => self.frame(client, process, read_only, &frame),
                    None if frame.kind == Kind::Detach => connection.closing = true,
                    None => {}
                }
                true
            }
            Err(error) => {
                log::warn!("closing a client: {error}");
                connection.closing = true;
                self.unflushed.insert(client.slot);
                false
            }
        }
    }

    fn frame(&mut self, client: ConnectionId, id: ProcessId, read_only: bool, frame: &Frame) {
        match frame.kind {
            Kind::Input if !read_only => self.typed(client, id, &frame.payload),
            Kind::Resize => {
                let Some((rows, cols)) = frame.size() else {
                    return;
                };
                if let Some(connection) = self.connection_mut(client)
                    && let Mode::Attached(attachment) = &mut connection.mode
                {
                    attachment.rows = rows.min(SIDE_MAX);
                    attachment.cols = cols.min(SIDE_MAX);
                }
                self.resize(id);
            }
            Kind::Detach => {
                if let Some(connection) = self.connection_mut(client) {
                    connection.closing = true;
                    self.unflushed.insert(client.slot);
                }
            }
            Kind::InputEnd if !read_only => {
                if let Some(child) = self.children.get_mut(&id) {
                    child.end_input(&mut self.watch);
                }
            }
            Kind::Input
            | Kind::InputEnd
            | Kind::Data
            | Kind::Snapshot
            | Kind::Skipped
            | Kind::Notice
            | Kind::Role
            | Kind::Exit
            | Kind::Source
            | Kind::End => {}
        }
    }

    /// Who types drives.
    fn typed(&mut self, client: ConnectionId, id: ProcessId, bytes: &[u8]) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let took_over = child.driver != Some(client);
        child.driver = Some(client);
        child.write_input(bytes, &mut self.watch);
        if took_over {
            self.resize(id);
            self.tell_roles(id);
        }
    }

    /// A client is gone.
    pub(super) fn left(&mut self, client: ConnectionId, id: ProcessId) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.clients.retain(|other| *other != client);
        if child.driver == Some(client) {
            let connections = &self.connections;
            let can_drive = |other: &&ConnectionId| {
                connections
                    .get(other.slot)
                    .is_some_and(|connection| match &connection.mode {
                        Mode::Attached(attachment) => !attachment.read_only,
                        Mode::Lines | Mode::Events | Mode::Following(_) => false,
                    })
            };
            child.driver = child.clients.iter().rev().find(can_drive).copied();
        }
        self.resize(id);
        self.tell_roles(id);
        self.resume_outputs(id);
        self.finish_release(id);
    }

    /// Gives the terminal the size that its policy chooses among the attached clients.
    pub(super) fn resize(&mut self, id: ProcessId) {
        let Some(process) = self.supervisor.process(id) else {
            return;
        };
        let Some(tty) = process.launch.tty else {
            return;
        };
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let connections = &self.connections;
        let sizes = child.clients.iter().filter_map(|client| {
            let connection = connections.get(client.slot)?;
            let Mode::Attached(attachment) = &connection.mode else {
                return None;
            };
            let usable = !attachment.read_only && attachment.rows > 0 && attachment.cols > 0;
            usable.then_some((*client, (attachment.rows, attachment.cols)))
        });
        let fold = |pick: fn(u16, u16) -> u16| {
            sizes
                .clone()
                .map(|(_, size)| size)
                .reduce(|a, b| (pick(a.0, b.0), pick(a.1, b.1)))
        };
        let wanted = match tty.size {
            SizePolicy::Latest => sizes
                .clone()
                .find(|(client, _)| child.driver == Some(*client))
                .map(|(_, size)| size),
            SizePolicy::Smallest => fold(u16::min),
            SizePolicy::Largest => fold(u16::max),
            SizePolicy::Fixed => None,
        };
        let Some(size) = wanted.filter(|size| *size != child.size) else {
            return;
        };
        child.size = size;
        let newest = child
            .channels
            .iter()
            .filter(|channel| channel.tty)
            .max_by_key(|c| c.number);
        if let Some(channel) = newest
            && let Err(error) = sys::pty::resize(channel.fd.as_fd(), size.0, size.1)
        {
            log::warn!("{}: cannot resize its terminal: {error}", child.name);
        }
    }

    /// Tells each attached client what it is now, if that has changed.
    fn tell_roles(&mut self, id: ProcessId) {
        let Some(child) = self.children.get(&id) else {
            return;
        };
        let count = child.clients.len();
        let roles: Vec<(ConnectionId, bool)> = child
            .clients
            .iter()
            .map(|client| (*client, child.driver == Some(*client)))
            .collect();
        for (client, driver) in roles {
            let Some(connection) = self.connection_mut(client) else {
                continue;
            };
            let Mode::Attached(attachment) = &mut connection.mode else {
                continue;
            };
            if attachment.told == Some((driver, count)) {
                continue;
            }
            attachment.told = Some((driver, count));
            let role = crate::wire::RoleInfo {
                driver,
                clients: count,
            };
            let frame = Frame::new(Kind::Role, json!(role).to_string());
            connection.send_bytes(&frame.to_bytes());
            self.unflushed.insert(client.slot);
        }
    }

    /// `detach`: the driver, or everybody.
    pub(super) fn detach(&mut self, params: &DetachParams) -> Result<DetachReply, RpcError> {
        let id = self.resolve_one(&params.process)?;
        let clients = match self.children.get(&id) {
            Some(child) if params.all => child.clients.clone(),
            Some(child) => child
                .driver
                .or(child.clients.last().copied())
                .into_iter()
                .collect(),
            None => Vec::new(),
        };
        for client in &clients {
            let Some(connection) = self.connection_mut(*client) else {
                continue;
            };
            let frame = Frame::new(Kind::Detach, *b"by tm detach");
            connection.send_bytes(&frame.to_bytes());
            connection.closing = true;
            self.unflushed.insert(client.slot);
        }
        Ok(DetachReply {
            detached: clients.len(),
        })
    }

    /// `peek`: the screen as text.
    pub(super) fn peek(&mut self, params: &PeekParams) -> Result<PeekReply, RpcError> {
        let id = self.resolve_one(&params.process)?;
        let Some(child) = self.children.get(&id) else {
            return Ok(PeekReply::default());
        };
        let (rows, cols) = child.size;
        let Some(tracker) = &child.tracker else {
            let lines = self.last_lines(id, usize::from(rows), None);
            return Ok(PeekReply {
                rows,
                cols,
                lines,
                ..PeekReply::default()
            });
        };
        let read = child.output.read(child.output.tail());
        let screen = crate::terminal::peek(read.slices, tracker, rows, cols, params.ansi);
        Ok(PeekReply {
            rows,
            cols,
            cursor: screen.cursor,
            lines: screen.lines,
            title: screen.title,
            alternate_screen: screen.alternate_screen,
        })
    }

    /// While nobody who could answer is attached, the daemon answers what programs wait for.
    pub(super) fn answer_queries(&mut self, id: ProcessId) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let Some(tracker) = &mut child.tracker else {
            return;
        };
        let queries = tracker.take_queries();
        if queries.is_empty() || child.driver.is_some() {
            return;
        }
        let read = child.output.read(child.output.tail());
        let (rows, cols) = child.size;
        let answers = crate::terminal::answers(&queries, read.slices, tracker, rows, cols);
        if child.takes_input() {
            child.write_input(&answers, &mut self.watch);
        }
    }

    /// Whether a client that wants every byte is so far behind that the process has to wait. It
    /// does not wait for long: a client that stands still costs nobody anything.
    pub(super) fn lossless_waits(&mut self, id: ProcessId) -> bool {
        let now = self.clock.now();
        let Some(child) = self.children.get(&id) else {
            return false;
        };
        let mut waits = false;
        for client in &child.clients {
            let Some(connection) = self.connections.get_mut(client.slot) else {
                continue;
            };
            let Mode::Attached(attachment) = &mut connection.mode else {
                continue;
            };
            if !attachment.lossless {
                continue;
            }
            let behind = child.output.head().saturating_sub(attachment.cursor);
            if behind < child.output.capacity() as u64 / 2 {
                attachment.waited_for = None;
                continue;
            }
            let since = *attachment.waited_for.get_or_insert(now);
            if now.since(since) < LOSSLESS_WAIT_MAX {
                waits = true;
                self.timers.add(since + LOSSLESS_WAIT_MAX, Timer::Log(id));
            }
        }
        waits
    }

    /// The stream that a filter names.
    pub(super) fn stream_of(name: Option<&str>) -> Result<Option<Stream>, RpcError> {
        match name {
            None => Ok(None),
            Some("stdout") => Ok(Some(Stream::Stdout)),
            Some("stderr") => Ok(Some(Stream::Stderr)),
            Some(other) => {
                let message = format!("stream: {other}: stdout or stderr");
                Err(RpcError::new(code::INVALID_PARAMS, message))
            }
        }
    }
}
