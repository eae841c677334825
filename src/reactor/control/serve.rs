//! Serving connections: their requests are read, checked and answered.

use crate::reactor::Reactor;
use crate::reactor::control::client_table::AfterInput;
use crate::reactor::control::connection::{
    ClientConnection, ConnectionId, ReadState, Received, Remote,
};
use crate::wire::{Call, Message, RpcError, code};
use std::time::Duration;

/// Requests of one connection that are carried out in one turn.
const REQUESTS_A_TURN: usize = 32;

/// Connections of the owner, and of the other users, that are served in one turn.
const CONNECTIONS_A_TURN: usize = 64;

/// Time for the requests of the owner in one turn. It ends after the request that exceeds it.
const OWNER_TIME: Duration = Duration::from_millis(10);

/// The same for the requests of all other users together.
const USERS_TIME: Duration = Duration::from_millis(1);

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
    /// Serves the owner's connections that are ready, each once, and then those of the other users
    /// by turns. Each side has its time, so that none delays the other for long.
    pub(crate) fn serve_clients(&mut self) {
        let until = self.clock.spent() + OWNER_TIME;
        for _ in 0..self.clients.owner_ready_count().min(CONNECTIONS_A_TURN) {
            if self.clock.spent() >= until {
                break;
            }
            let Some(connection) = self.clients.next_ready_of_owner() else {
                break;
            };
            let id = connection.id;
            self.serve_ready(id, until);
        }
        let until = self.clock.spent() + USERS_TIME;
        for _ in 0..CONNECTIONS_A_TURN {
            if self.clock.spent() >= until {
                break;
            }
            let Some(connection) = self.clients.next_ready_of_users() else {
                break;
            };
            let id = connection.id;
            self.serve_ready(id, until);
        }
        self.enforce_shares();
    }

    /// Closes clients of users whose clients have more memory than their share.
    pub(crate) fn enforce_shares(&mut self) {
        while let Some(connection) = self.clients.over_share() {
            let (id, now) = (connection.id, self.clock.now());
            let why = "the clients of its user hold too much unread or unfinished data";
            self.clients.note_closed(id, why, now, &mut self.timers);
            self.close_client(id);
        }
    }

    fn serve_ready(&mut self, id: ConnectionId, until: Duration) {
        self.send_put_off(id, until);
        let Some(connection) = self.clients.connection(id) else {
            return;
        };
        match (connection.read, connection.remote) {
            (ReadState::Open, _) if connection.close_after_flush || connection.is_busy => {}
            (ReadState::Open, _) => self.serve(id, until),
            (ReadState::Paused | ReadState::Eof, Remote::Closed) => self.close_client(id),
            (ReadState::Paused | ReadState::Eof, _) => {}
        }
        self.clients.settle(id.slot);
    }

    /// Sends the answers that were put off, as far as the client takes them and the time suffices.
    fn send_put_off(&mut self, id: ConnectionId, until: Duration) {
        while let Some(connection) = self.clients.connection_mut(id)
            && connection.answers_due
            && !connection.is_clogged()
        {
            if self.clock.spent() >= until {
                return self.clients.queue_read(id.slot);
            }
            match self.pending.next_put_off(id) {
                Some(answer) => self.send_answer(&answer),
                None => connection.answers_due = false,
            }
        }
    }

    /// Handles the buffered requests of a connection; then reads once, and handles those.
    fn serve(&mut self, id: ConnectionId, until: Duration) {
        match self.run_buffered_requests(id, until) {
            Buffered::BudgetSpent => return self.clients.queue_read(id.slot),
            Buffered::Stopped => return,
            Buffered::Handled => {}
        }
        let incoming = self.clients.read(id.slot);
        match incoming {
            Received::Bytes | Received::LastBytes => {
                let buffered = self.run_buffered_requests(id, until);
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
    fn run_buffered_requests(&mut self, id: ConnectionId, until: Duration) -> Buffered {
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
            if self.clock.spent() >= until {
                break;
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

    fn request(&mut self, client: ConnectionId, line: &[u8]) {
        let (id, method, params) = match Message::parse(line) {
            Ok(Message::Request { id, method, params }) => (id, method, params),
            // The daemon sends no requests, so this replies to nothing.
            Ok(Message::Answer { .. }) => return,
            Err(error) => return self.reply(client, None, Err(error)),
        };
        let outcome = Call::parse(&method, params).and_then(|call| {
            let rules = &self.settings.config().daemon.access;
            let record = (self.clock.now(), &mut self.timers);
            self.clients.permit(client, &call, rules, record)?;
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
    let closing = connection.close_after_flush || connection.is_busy;
    connection.read == ReadState::Open && !closing
}
