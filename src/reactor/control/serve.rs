//! Serving connections: their requests are read, checked and answered.

use crate::reactor::Reactor;
use crate::reactor::control::client_table::AfterInput;
use crate::reactor::control::connection::{
    ClientConnection, ConnectionId, ReadState, Received, Remote,
};
use crate::reactor::control::permissions::permit;
use crate::wire::{Call, Message, RpcError, code};

/// Requests of one connection that are carried out in one turn.
const REQUESTS_A_TURN: usize = 32;

/// Connections that are read in one turn.
const CONNECTIONS_A_TURN: usize = 64;

/// Why the handling of buffered requests ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Buffered {
    /// The turn's budget is spent; more requests may be buffered.
    BudgetSpent,
    /// All are handled.
    Handled,
    /// The connection is closed, closing or paused.
    Stopped,
}

impl Reactor {
    /// Reads the connections that are ready, each once.
    pub(crate) fn serve_clients(&mut self) {
        for _ in 0..self.clients.ready_count().min(CONNECTIONS_A_TURN) {
            let Some(connection) = self.clients.next_ready() else {
                return;
            };
            let id = connection.id;
            match (connection.read, connection.remote) {
                (ReadState::Open, _) if connection.close_after_flush => {}
                (ReadState::Open, _) => self.serve(id),
                (ReadState::Paused | ReadState::Eof, Remote::Closed) => self.close_client(id),
                (ReadState::Paused | ReadState::Eof, _) => {}
            }
        }
    }

    /// Handles the buffered requests of a connection; then reads once, and handles those.
    fn serve(&mut self, id: ConnectionId) {
        match self.run_buffered_requests(id) {
            Buffered::BudgetSpent => return self.clients.queue_read(id.slot),
            Buffered::Stopped => return,
            Buffered::Handled => {}
        }
        let incoming = self.clients.read(id.slot);
        match incoming {
            Received::Bytes | Received::LastBytes => {
                let buffered = self.run_buffered_requests(id);
                let now = self.clock.now();
                self.clients.arm_idle_check(now, &mut self.timers);
                if buffered == Buffered::BudgetSpent || incoming == Received::Bytes {
                    self.clients.queue_read(id.slot);
                }
            }
            Received::Drained => {}
            Received::Closed => self.input_closed(id),
        }
    }

    /// Handles decoded requests and frames within the turn's budget.
    fn run_buffered_requests(&mut self, id: ConnectionId) -> Buffered {
        for _ in 0..REQUESTS_A_TURN {
            let Some(connection) = self.clients.connection(id) else {
                return Buffered::Stopped;
            };
            if !is_served(connection) {
                return Buffered::Stopped;
            }
            let handled = match connection.has_lines() {
                true => self.next_request(id),
                false => self.consoles().next_frame(id),
            };
            if !handled {
                return match self.clients.connection(id).is_some_and(is_served) {
                    true => Buffered::Handled,
                    false => Buffered::Stopped,
                };
            }
        }
        Buffered::BudgetSpent
    }

    /// Handles the next line. Returns `false` when there is none.
    fn next_request(&mut self, id: ConnectionId) -> bool {
        let now = self.clock.now();
        let Some(connection) = self.clients.connection_mut(id) else {
            return false;
        };
        if connection.is_clogged() {
            connection.read = ReadState::Paused;
            return false;
        }
        match connection.lines.next_line() {
            Ok(None) => false,
            Ok(Some(line)) if line.iter().all(u8::is_ascii_whitespace) => true,
            Ok(Some(line)) => {
                connection.last_activity = now;
                self.request(id, &line);
                true
            }
            Err(error) => {
                let error = RpcError::new(code::INVALID_REQUEST, error.to_string());
                self.reply(id, None, Err(error));
                self.clients.close_after_flush(id);
                false
            }
        }
    }

    /// The client has closed its direction. A last request without a newline still counts.
    fn input_closed(&mut self, id: ConnectionId) {
        let Some(connection) = self.clients.connection_mut(id) else {
            return;
        };
        if connection.end_line() {
            return self.clients.queue_read(id.slot);
        }
        let pending = self.pending.has(id);
        match self.clients.input_ended(id.slot, pending) {
            AfterInput::Close => self.close_client(id),
            AfterInput::Keep => {}
        }
    }

    fn close_client(&mut self, id: ConnectionId) {
        if let Some(closed) = self.clients.close(id.slot, &mut self.poller) {
            self.client_closed(closed);
        }
    }

    fn request(&mut self, client: ConnectionId, line: &[u8]) {
        let (id, method, params) = match Message::parse(line) {
            Ok(Message::Request { id, method, params }) => (id, method, params),
            // The daemon sends no requests, so this replies to nothing.
            Ok(Message::Answer { .. }) => return,
            Err(error) => return self.reply(client, None, Err(error)),
        };
        let outcome = Call::parse(&method, params).and_then(|call| {
            if let Some(connection) = self.clients.connection_mut(client) {
                connection.has_valid_request = true;
                let rules = &self.settings.config().daemon.access;
                permit(&connection.peer, &call, rules)?;
            }
            self.dispatch_call(client, id.clone(), call)
        });
        match outcome {
            Ok(None) => {}
            Ok(Some(value)) => self.reply(client, id, Ok(value)),
            Err(error) => self.reply(client, id, Err(error)),
        }
    }
}

/// Whether requests of a connection are handled now.
fn is_served(connection: &ClientConnection) -> bool {
    connection.read == ReadState::Open && !connection.close_after_flush
}
