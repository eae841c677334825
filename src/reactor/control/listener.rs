//! New clients.

use crate::reactor::Reactor;
use crate::reactor::clock::Timer;
use crate::reactor::control::connection::{Connection, ConnectionId, Mode};
use crate::reactor::poller::Source;
use crate::sys;
use crate::sys::socket::Listener;
use crate::wire::{Message, RpcError, code};
use mio::Interest;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How many clients there may be at once.
const CLIENTS_MAX: usize = 1024;

/// How many are accepted in one turn.
const ACCEPTS_A_TURN: usize = 64;

/// When to try again after running out of descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// How long a new client cannot be sent away for its silence: what it said may not be read yet.
const SPEAK_BY: Duration = Duration::from_secs(1);

/// How long a client may be silent before its first request, or in the middle of one.
const IDLE_MAX: Duration = Duration::from_secs(30);

impl Reactor {
    /// Accepts who is waiting, within the turn's budget.
    pub(crate) fn accept(&mut self) {
        for _ in 0..ACCEPTS_A_TURN {
            if self.is_full_for_now() {
                break;
            }
            match self.listener.accept() {
                Ok(Some(stream)) => self.welcome(OwnedFd::from(stream)),
                Ok(None) => return,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    log::warn!("cannot accept a client: {error}");
                    self.timers
                        .add(self.clock.now() + RETRY, Timer::AcceptRetry);
                    return;
                }
            }
        }
        self.timers.add(self.clock.now(), Timer::AcceptRetry);
    }

    /// Whether there is no room, but may be as soon as those who said something, or left, are
    /// served: newcomers wait for that rather than be sent away, though not for long.
    fn is_full_for_now(&mut self) -> bool {
        if self.connections.len() < CLIENTS_MAX || self.connections_ready.is_empty() {
            self.full_since = None;
            return false;
        }
        let now = self.clock.now();
        let since = *self.full_since.get_or_insert(now);
        now.since(since) < SPEAK_BY
    }

    /// Listens anew when the socket's file was removed (by a cleaner of temporary folders, or by
    /// mistake). Only a signal reaches a daemon in that state.
    pub(crate) fn restore_socket(&mut self) {
        if self.listener.is_lost() {
            self.listen_again();
        }
        self.place.restore();
    }

    fn listen_again(&mut self) {
        let path = self.listener.path().to_path_buf();
        let place = path.display();
        if let Some(folder) = path.parent().filter(|folder| !folder.exists())
            && let Err(error) = sys::runtime::prepare_dir(folder)
        {
            return log::error!("{place} was removed, and cannot be made again: {error}");
        }
        let settings = &self.started_with;
        let listener = match Listener::bind(&path, settings.socket_mode, settings.socket_group) {
            Ok(listener) => listener,
            Err(error) => return log::error!("the socket was removed; to bind it again: {error}"),
        };
        let watched = self
            .poller
            .add(listener.as_fd(), Source::Listener, Interest::READABLE);
        match watched {
            // The old one leaves the poll as it is closed.
            Ok(_) => {
                self.listener = listener;
                log::warn!("{place} was removed; listening there again");
            }
            Err(error) => log::error!("cannot listen on {place} again: {error}"),
        }
    }

    fn welcome(&mut self, fd: OwnedFd) {
        let peer = match sys::socket::peer(fd.as_fd()) {
            Ok(peer) => peer,
            Err(error) => return log::warn!("a client without credentials: {error}"),
        };
        if self.connections.len() >= CLIENTS_MAX && !self.evict_silent() {
            let error = RpcError::new(code::INTERNAL, format!("{CLIENTS_MAX} clients already"));
            let answer = Message::Answer {
                id: None,
                outcome: Err(error),
            };
            // It may not even read it; it is not waited for.
            let _ = sys::io::write(fd.as_fd(), &answer.to_line());
            return;
        }
        self.connections_accepted += 1;
        let entry = self.connections.vacant_entry();
        let id = ConnectionId {
            slot: entry.key(),
            serial: self.connections_accepted,
        };
        match Connection::new(id, fd, peer, self.clock.now(), &mut self.poller) {
            Ok(connection) => {
                entry.insert(connection);
                self.arm_idle();
            }
            Err(error) => log::warn!("cannot watch a client: {error}"),
        }
    }

    /// Makes room by closing the client that has been connected the longest without ever saying
    /// anything sensible; `false` when there is none.
    fn evict_silent(&mut self) -> bool {
        let now = self.clock.now();
        let silent = self.connections.iter().filter(|(_, other)| {
            // One whose words wait to be read is not silent.
            !other.spoke && !other.queued && now.since(other.heard) >= SPEAK_BY
        });
        let oldest = silent.min_by_key(|(_, other)| other.id.serial);
        let Some((slot, _)) = oldest else {
            return false;
        };
        self.close_connection(slot);
        true
    }

    /// Has the clients looked at after a while, if that is not planned already.
    pub(crate) fn arm_idle(&mut self) {
        if !self.idle_armed {
            self.idle_armed = true;
            self.timers
                .add(self.clock.now() + IDLE_MAX, Timer::IdleClients);
        }
    }

    /// Closes who never said a whole request, or does not take the last answer.
    pub(crate) fn close_idle(&mut self) {
        self.idle_armed = false;
        let now = self.clock.now();
        let is_idle = |connection: &Connection| {
            let mid_line = matches!(connection.mode, Mode::Lines | Mode::Events)
                && connection.lines.pending() > 0;
            let silent = now.since(connection.heard) >= IDLE_MAX;
            silent && !connection.held && (mid_line || !connection.spoke || connection.closing)
        };
        let idle: Vec<usize> = self
            .connections
            .iter()
            .filter(|(_, connection)| is_idle(connection))
            .map(|(slot, _)| slot)
            .collect();
        for slot in idle {
            log::debug!("closing a client that said nothing sensible for {IDLE_MAX:?}");
            self.close_connection(slot);
        }
        let suspect = |connection: &Connection| {
            !connection.spoke || connection.closing || connection.lines.pending() > 0
        };
        if self
            .connections
            .iter()
            .any(|(_, connection)| suspect(connection))
        {
            self.arm_idle();
        }
    }

    /// A client has said all it wanted. Who only closed its own direction, as `echo … | socat`
    /// does, still gets what it asked for; a console is left by the end of input.
    pub(crate) fn input_ended(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.input_ended = true;
        if connection.gone || matches!(connection.mode, Mode::Attached(_)) {
            return self.close_connection(slot);
        }
        if connection.owes_nothing(self.waiters.has(connection.id)) {
            connection.closing = true;
            self.unflushed.insert(slot);
        }
    }

    /// Forgets a client and everything that waits for it.
    pub(crate) fn close_connection(&mut self, slot: usize) {
        let Some(connection) = self.connections.try_remove(slot) else {
            return;
        };
        connection.unwatch(&mut self.poller);
        self.unflushed.remove(&slot);
        self.connections_ready.retain(|ready| *ready != slot);
        self.waiters.forget(connection.id);
        match &connection.mode {
            Mode::Lines | Mode::Events => {}
            Mode::Attached(attachment) => {
                let process = attachment.process;
                self.left(connection.id, process);
            }
            Mode::Following(following) => {
                for cursor in &following.cursors {
                    if let Some(child) = self.children.get_mut(&cursor.process) {
                        child
                            .followers
                            .retain(|(client, _)| *client != connection.id);
                    }
                }
            }
        }
    }
}
