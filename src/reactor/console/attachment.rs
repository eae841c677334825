//! Attached clients: their frames, their input, and the wait for slow ones.

use crate::reactor::clock::Timer;
use crate::reactor::console::Consoles;
use crate::reactor::console::console_requests::SIDE_MAX;
use crate::reactor::control::connection::{Attachment, ClientPace, ConnectionId, Mode, ReadState};
use crate::supervisor::ProcessId;
use crate::wire::{Frame, Kind};

impl Consoles<'_> {
    /// Handles the next frame of an attached or following client. Returns `false` when there is
    /// none.
    pub(crate) fn next_frame(&mut self, client: ConnectionId) -> bool {
        let Some(connection) = self.clients.connection_mut(client) else {
            return false;
        };
        let attached = match &connection.mode {
            Mode::Attached(attachment) => Some((attachment.process, attachment.read_only)),
            Mode::Lines | Mode::Events | Mode::Following(_) => None,
        };
        // Back-pressure: while the process does not read its input, its clients are not read.
        if let Some((process, false)) = attached
            && let Some(io) = self.processes.io(process)
            && io.is_input_full()
        {
            connection.read = ReadState::Paused;
            return false;
        }
        match connection.frames.next_frame() {
            Ok(None) => false,
            Ok(Some(frame)) => {
                match attached {
                    Some((process, read_only)) => self.frame(client, process, read_only, &frame),
                    None if frame.kind == Kind::Detach => connection.close_after_flush = true,
                    None => {}
                }
                true
            }
            Err(error) => {
                let (now, timers) = (self.now, &mut *self.timers);
                let why = error.to_string();
                self.clients.note_closed(client, &why, now, timers);
                self.clients.close_after_flush(client);
                false
            }
        }
    }

    fn frame(&mut self, client: ConnectionId, id: ProcessId, read_only: bool, frame: &Frame) {
        match frame.kind {
            Kind::Input if !read_only => self.handle_input(client, id, &frame.payload),
            Kind::Resize => {
                let Some((rows, cols)) = frame.size() else {
                    return;
                };
                if let Some(attachment) = self.clients.attachment_mut(client) {
                    attachment.rows = rows.min(SIDE_MAX);
                    attachment.cols = cols.min(SIDE_MAX);
                }
                self.resize_debounced(id);
                self.note_fits(id);
            }
            Kind::Detach => self.clients.close_after_flush(client),
            Kind::Redraw => self.redraw(client, id),
            Kind::InputEnd if !read_only => {
                if let Some(io) = self.processes.io_mut(id) {
                    io.end_input(self.poller);
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

    /// Replaces the output that a client has not been sent by a snapshot.
    fn redraw(&mut self, client: ConnectionId, id: ProcessId) {
        let io = self.processes.io(id);
        let drawn = io.is_some_and(|io| io.terminal.is_some());
        if let Some(attachment) = self.clients.attachment_mut(client) {
            let history = attachment.snapshot_due.unwrap_or(0);
            attachment.snapshot_due = drawn.then_some(history);
            self.clients.queue_flush(client);
        }
    }

    /// Passes a client's input to the process. The client becomes the driver.
    fn handle_input(&mut self, client: ConnectionId, id: ProcessId, bytes: &[u8]) {
        let Some(io) = self.processes.io_mut(id) else {
            return;
        };
        let took_over = io.driver != Some(client);
        io.driver = Some(client);
        io.write_input(bytes, self.poller);
        self.note_keys(id, bytes);
        if let Some(attachment) = self.clients.attachment_mut(client) {
            attachment.last_input = self.now;
        }
        if took_over {
            // Two clients that type by turns must not resize the terminal at every key.
            self.resize_debounced(id);
            self.send_roles(id);
        }
    }

    /// The process reads its input again.
    pub(crate) fn input_writable(&mut self, id: ProcessId) {
        if let Some(io) = self.processes.io_mut(id) {
            io.input_writable(self.poller);
        }
        self.resume_senders(id);
    }

    /// Reads the paused clients again, unless the input is still full.
    pub(crate) fn resume_senders(&mut self, id: ProcessId) {
        if let Some(io) = self.processes.io(id).filter(|io| !io.is_input_full()) {
            for client in &io.clients {
                self.clients.resume_reading(*client);
            }
        }
    }

    /// An attached client is gone: another one may become the driver. Output that it may have
    /// stopped flows again.
    pub(crate) fn client_gone(&mut self, client: ConnectionId, gone: &Attachment) {
        let id = gone.process;
        let Some(io) = self.processes.io_mut(id) else {
            return;
        };
        io.clients.retain(|other| *other != client);
        if io.driver == Some(client) {
            let candidates = io.clients.iter().filter_map(|client| {
                let attachment = self.clients.attachment(*client)?;
                (!attachment.read_only).then_some((attachment.last_input, *client))
            });
            let latest = candidates.max_by_key(|(last_input, _)| *last_input);
            io.driver = latest.map(|(_, client)| client);
        }
        if !gone.read_only {
            self.free_output(id);
        }
        self.resize(id);
        self.send_roles(id);
        self.processes.resume_reading(id);
    }

    /// Answers terminal queries of a process while no client that could is attached.
    pub(crate) fn answer_queries(&mut self, id: ProcessId) {
        let Some(io) = self.processes.io_mut(id) else {
            return;
        };
        let Some(terminal) = &mut io.terminal else {
            return;
        };
        let queries = terminal.tracker_mut().take_queries();
        let driver = io.driver.and_then(|client| self.clients.attachment(client));
        if queries.is_empty() || driver.is_some_and(|driver| driver.rows > 0) {
            return;
        }
        let read = io.output.read(io.output.tail());
        let answers = terminal.answers(&queries, read.slices);
        if io.takes_input() {
            io.write_input(&answers, self.poller);
        }
    }

    /// Whether a client is attached that must not skip output.
    pub(crate) fn has_lossless_client(&self, id: ProcessId) -> bool {
        let clients = self.processes.io(id).into_iter().flat_map(|io| &io.clients);
        let mut attachments = clients.filter_map(|client| self.clients.attachment(*client));
        attachments.any(|attachment| attachment.pace != ClientPace::Skip)
    }

    /// How many bytes of a process may be read now, so that no client misses output that it must
    /// not skip; 0 while the process has to wait for one that is far behind. The wait is bounded,
    /// so that a client that reads nothing cannot stop the process.
    pub(crate) fn room_for_clients(&mut self, id: ProcessId) -> usize {
        let Some(io) = self.processes.io(id) else {
            return usize::MAX;
        };
        let capacity = io.output.capacity() as u64;
        let mut room = usize::MAX;
        for client in &io.clients {
            let Some(attachment) = self.clients.attachment_mut(*client) else {
                continue;
            };
            let ClientPace::Block(blocked) = &mut attachment.pace else {
                continue;
            };
            let behind = io.output.head().saturating_sub(attachment.cursor);
            let far = behind >= capacity / 2;
            let left = blocked.wait(far, attachment.cursor, self.now);
            let Some(left) = left else {
                continue;
            };
            if far {
                room = 0;
                self.timers.add(self.now + left, Timer::ClientRetry(id));
            } else {
                let free = capacity.saturating_sub(behind);
                room = room.min(usize::try_from(free).unwrap_or(usize::MAX));
            }
        }
        room
    }
}
