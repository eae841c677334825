//! Attached clients: coming, typing, sizing, leaving.

use crate::reactor::Reactor;
use crate::reactor::clock::Timer;
use crate::reactor::console::terminal_size::has_terminal;
use crate::reactor::control::connection::{Attachment, ConnectionId, Mode};
use crate::reactor::control::requests::Reply;
use crate::reactor::output::Stream;
use crate::supervisor::ProcessId;
use crate::sys;
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

/// Lines of history in the first snapshot, and at most.
const HISTORY_LINES: u32 = 1000;

/// Lines of history that a peek shows at most.
const PEEK_HISTORY_MAX: u32 = 5000;

/// Terminals larger than this are taken for a mistake.
const SIDE_MAX: u16 = 4096;

impl Reactor {
    /// `attach`: answers, then the connection is frames.
    pub(crate) fn attach(
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
        if drawn && child.terminal.is_none() {
            child.terminal = Some(child.fresh_terminal());
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
            history: params
                .history
                .map_or(HISTORY_LINES, |lines| lines.min(HISTORY_LINES)),
            lossless: params.lossless,
            waited_for: None,
            rows: params.rows.min(SIDE_MAX),
            cols: params.cols.min(SIDE_MAX),
            since_ns: crate::reactor::clock::unix_ns(),
            active: self.clock.now(),
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
            pid: process.pid(),
            state: process.state.name().into(),
            driver,
            redraws: true,
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
    pub(crate) fn next_frame(&mut self, client: ConnectionId) -> bool {
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
                self.resize_soon(id);
            }
            Kind::Detach => {
                if let Some(connection) = self.connection_mut(client) {
                    connection.closing = true;
                    self.unflushed.insert(client.slot);
                }
            }
            Kind::Redraw => self.redraw(client, id),
            Kind::InputEnd if !read_only => {
                if let Some(child) = self.children.get_mut(&id) {
                    child.end_input(&mut self.poller);
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

    /// What is on its way to the client is of no use to it: it gets a picture instead.
    fn redraw(&mut self, client: ConnectionId, id: ProcessId) {
        let drawn = self
            .children
            .get(&id)
            .is_some_and(|child| child.terminal.is_some());
        if let Some(connection) = self.connection_mut(client)
            && let Mode::Attached(attachment) = &mut connection.mode
        {
            attachment.needs_snapshot = drawn;
            self.unflushed.insert(client.slot);
        }
    }

    /// Who types drives.
    fn typed(&mut self, client: ConnectionId, id: ProcessId, bytes: &[u8]) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let took_over = child.driver != Some(client);
        child.driver = Some(client);
        child.write_input(bytes, &mut self.poller);
        let now = self.clock.now();
        if let Some(connection) = self.connection_mut(client)
            && let Mode::Attached(attachment) = &mut connection.mode
        {
            attachment.active = now;
        }
        if took_over {
            // Two who type by turns should not make it jump at every key.
            self.resize_soon(id);
            self.tell_roles(id);
        }
    }

    /// A client is gone.
    pub(crate) fn left(&mut self, client: ConnectionId, id: ProcessId) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.clients.retain(|other| *other != client);
        if child.driver == Some(client) {
            let connections = &self.connections;
            let active = |client: &ConnectionId| match &connections.get(client.slot)?.mode {
                Mode::Attached(attachment) if !attachment.read_only => Some(attachment.active),
                Mode::Attached(_) | Mode::Lines | Mode::Events | Mode::Following(_) => None,
            };
            let candidates = child.clients.iter();
            child.driver = candidates
                .filter_map(|client| Some((active(client)?, *client)))
                .max_by_key(|(active, _)| *active)
                .map(|(_, client)| client);
        }
        self.resize(id);
        self.tell_roles(id);
        self.resume_outputs(id);
        self.finish_release(id);
    }

    /// `detach`: the driver, or everybody.
    pub(crate) fn detach(&mut self, params: &DetachParams) -> Result<DetachReply, RpcError> {
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
    pub(crate) fn peek(&mut self, params: &PeekParams) -> Result<PeekReply, RpcError> {
        let id = self.resolve_one(&params.process)?;
        let Some(child) = self.children.get(&id) else {
            return Ok(PeekReply::default());
        };
        let (rows, cols) = child.size;
        let wanted = params.history.min(PEEK_HISTORY_MAX) as usize;
        let Some(terminal) = &child.terminal else {
            let mut history = self.last_lines(id, usize::from(rows) + wanted, None);
            let lines = history.split_off(history.len().saturating_sub(usize::from(rows)));
            return Ok(PeekReply {
                rows,
                cols,
                lines,
                history,
                ..PeekReply::default()
            });
        };
        let read = child.output.read(child.output.tail());
        let history = match wanted {
            0 => Vec::new(),
            wanted => terminal.history(read.slices, wanted),
        };
        let screen = terminal.peek(read.slices, params.ansi);
        Ok(PeekReply {
            rows,
            cols,
            cursor: screen.cursor,
            lines: screen.lines,
            title: screen.title,
            alternate_screen: screen.alternate_screen,
            history,
        })
    }

    /// While nobody who could answer is attached, the daemon answers what programs wait for.
    pub(crate) fn answer_queries(&mut self, id: ProcessId) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let Some(terminal) = &mut child.terminal else {
            return;
        };
        let queries = terminal.tracker_mut().take_queries();
        if queries.is_empty() || has_terminal(child.driver, &self.connections) {
            return;
        }
        let read = child.output.read(child.output.tail());
        let answers = terminal.answers(&queries, read.slices);
        if child.takes_input() {
            child.write_input(&answers, &mut self.poller);
        }
    }

    /// Whether a client that wants every byte is so far behind that the process has to wait. It
    /// does not wait for long: a client that stands still costs nobody anything.
    pub(crate) fn lossless_waits(&mut self, id: ProcessId) -> bool {
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
                self.timers
                    .add(since + LOSSLESS_WAIT_MAX, Timer::LogRetry(id));
            }
        }
        waits
    }

    /// The stream that a filter names.
    pub(crate) fn stream_of(name: Option<&str>) -> Result<Option<Stream>, RpcError> {
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
