//! All connected clients: who is accepted, read, written to and closed.
//!
//! A method returns what happened, such as the connections it closed; the reactor acts on it.

use crate::reactor::clock::{Timer, Timers};
use crate::reactor::control::audit::Audit;
use crate::reactor::control::connection::{
    Attachment, ClientConnection, ConnectionId, Following, Mode, ReadState, Received, Remote,
    WriteState,
};
use crate::reactor::control::event_feed::EventFeed;
use crate::reactor::control::event_feeds::Feeds;
use crate::reactor::control::event_history::Recorded;
use crate::reactor::control::fair_queue::FairQueue;
use crate::reactor::control::permissions::Account;
use crate::reactor::control::shares::{EVICT_AFTER, Shares};
use crate::reactor::control::spare_files::SpareFiles;
use crate::reactor::poller::Poller;
use crate::reactor::process::allowance::Allowance;
use crate::supervisor::Time;
use crate::sys::socket::Peer;
use crate::wire::{Id, Message, ResultJson, RpcError};
use mio::event::Event;
use slab::Slab;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long a client may be silent before its first request, or in the middle of one.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The connected clients.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(super) connections: Slab<ClientConnection>,
    /// Places and memory of each user.
    pub(super) shares: Shares,
    /// The record of requests.
    pub audit: Audit,
    /// Counts the accepted connections.
    accepted: u64,
    /// The last attempt to accept a client failed.
    pub accept_fails: bool,
    /// How often that may still be logged.
    pub(super) accept_warnings: Allowance,
    /// Descriptors for the owner's clients.
    pub(super) spares: SpareFiles,
    /// A timer continues accepting.
    pub accept_planned: bool,
    /// When new clients began to wait for room.
    full_since: Option<Time>,
    /// Connections with something to read or to work on.
    pub(super) ready: FairQueue,
    /// Connections with something to write.
    unflushed: FairQueue,
    /// The latest events, a line each, for the event followers.
    feeds: Feeds,
    idle_check_armed: bool,
    scratch: Vec<u8>,
}

/// A connection that was closed, and its last use.
#[derive(Debug)]
pub(crate) struct Closed {
    /// The connection.
    pub id: ConnectionId,
    /// Its use.
    pub mode: Mode,
    /// The memory that it had, in bytes.
    pub memory: usize,
}

/// The consequence of a client having sent everything.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AfterInput {
    /// Close it now.
    Close,
    /// Keep it until its replies are written.
    Keep,
}

impl Clients {
    /// No clients, and room for `limit`.
    pub(crate) fn new(limit: usize) -> Clients {
        Clients {
            connections: Slab::new(),
            shares: Shares::new(limit),
            audit: Audit::default(),
            accept_fails: false,
            accept_warnings: Allowance::default(),
            spares: SpareFiles::default(),
            accept_planned: false,
            accepted: 0,
            full_since: None,
            ready: FairQueue::default(),
            unflushed: FairQueue::default(),
            feeds: Feeds::default(),
            idle_check_armed: false,
            scratch: Vec::new(),
        }
    }

    /// Keeps some of as many descriptors as this for the owner's clients, and leaves others to the
    /// programs.
    pub(crate) fn limit_files(&mut self, files: u64) {
        self.shares.limit_files(files);
        self.spares.refill();
    }

    /// A connection, unless it is closed.
    pub(crate) fn connection(&self, id: ConnectionId) -> Option<&ClientConnection> {
        let found = self.connections.get(id.slot);
        found.filter(|connection| connection.id == id)
    }

    /// A connection, unless it is closed.
    pub(crate) fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut ClientConnection> {
        let found = self.connections.get_mut(id.slot);
        found.filter(|connection| connection.id == id)
    }

    /// All connections.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ClientConnection> {
        self.connections.iter().map(|(_, connection)| connection)
    }

    /// A client's attachment, if it is attached.
    pub(crate) fn attachment(&self, id: ConnectionId) -> Option<&Attachment> {
        self.connection(id)?.attachment()
    }

    /// A client's attachment, if it is attached.
    pub(crate) fn attachment_mut(&mut self, id: ConnectionId) -> Option<&mut Attachment> {
        match &mut self.connection_mut(id)?.mode {
            Mode::Attached(attachment) => Some(attachment),
            Mode::Lines | Mode::Events | Mode::Following(_) => None,
        }
    }

    /// A `logs` client's cursors.
    pub(crate) fn following_mut(&mut self, id: ConnectionId) -> Option<&mut Following> {
        match &mut self.connection_mut(id)?.mode {
            Mode::Following(following) => Some(following),
            Mode::Lines | Mode::Events | Mode::Attached(_) => None,
        }
    }

    /// All `logs` clients.
    pub(crate) fn followers_mut(&mut self) -> impl Iterator<Item = (ConnectionId, &mut Following)> {
        self.connections.iter_mut().filter_map(|(_, connection)| {
            let id = connection.id;
            match &mut connection.mode {
                Mode::Following(following) => Some((id, following)),
                Mode::Lines | Mode::Events | Mode::Attached(_) => None,
            }
        })
    }

    /// Whether a new client has to wait: the owner has all places, but there may be one as soon as
    /// pending requests and closes are handled. It waits for a bounded time, then it is rejected.
    pub(crate) fn is_full_for_now(&mut self, now: Time) -> bool {
        if !self.shares.owner_has_all() || self.ready.is_empty() {
            self.full_since = None;
            return false;
        }
        let since = *self.full_since.get_or_insert(now);
        now.since(since) < EVICT_AFTER
    }

    /// Adds an accepted client.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub(crate) fn add(
        &mut self,
        fd: OwnedFd,
        peer: Peer,
        now: Time,
        poller: &mut Poller,
    ) -> io::Result<ConnectionId> {
        self.accepted += 1;
        let entry = self.connections.vacant_entry();
        let id = ConnectionId {
            slot: entry.key(),
            serial: self.accepted,
        };
        let connection = ClientConnection::new(id, fd, peer, now, poller)?;
        self.shares.enter(connection.account);
        entry.insert(connection);
        self.settle(id.slot);
        Ok(id)
    }

    /// Notes what the poll reports about a connection.
    pub(crate) fn poll_event(&mut self, slot: usize, event: &Event) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if event.is_writable() {
            connection.unblock();
            self.unflushed.push(connection.account, slot);
        }
        let half_closed = event.is_read_closed() || event.is_error();
        let remote = match (event.is_write_closed(), half_closed) {
            (true, _) => Remote::Closed,
            (false, true) => Remote::HalfClosed,
            (false, false) => Remote::Open,
        };
        connection.remote = connection.remote.max(remote);
        if event.is_readable() || half_closed {
            self.queue_read(slot);
        }
    }

    /// Notes what the poll reports about a connection while the daemon only writes.
    pub(crate) fn poll_event_before_exit(&mut self, slot: usize, event: &Event) {
        if let Some(connection) = self.connections.get_mut(slot) {
            if event.is_writable() {
                connection.unblock();
            }
            if event.is_write_closed() || event.is_error() {
                connection.write = WriteState::Failed;
            }
            self.unflushed.push(connection.account, slot);
        }
    }

    /// Puts a connection on the list of those to read.
    pub(crate) fn queue_read(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get(slot) {
            self.ready.push(connection.account, slot);
        }
    }

    /// Whether a connection waits to be read.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Number of the owner's connections that wait to be read.
    pub(crate) fn owner_ready_count(&self) -> usize {
        self.ready.owner_len()
    }

    /// Takes the owner's next connection to read.
    pub(crate) fn next_ready_of_owner(&mut self) -> Option<&ClientConnection> {
        let slot = self.ready.pop_owner()?;
        self.connections.get(slot)
    }

    /// Takes the next connection to read of the other users, each in turn.
    pub(crate) fn next_ready_of_users(&mut self) -> Option<&ClientConnection> {
        let slot = self.ready.pop_user()?;
        self.connections.get(slot)
    }

    /// One read of a connection.
    pub(crate) fn read(&mut self, slot: usize) -> Received {
        match self.connections.get_mut(slot) {
            Some(connection) => connection.read_once(&mut self.scratch),
            None => Received::Drained,
        }
    }

    /// Reads a paused connection again.
    pub(crate) fn resume_reading(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection_mut(id)
            && connection.read == ReadState::Paused
        {
            connection.read = ReadState::Open;
            self.queue_read(id.slot);
        }
    }

    /// Has a connection flushed at the end of the turn.
    pub(crate) fn queue_flush(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(id.slot) {
            self.unflushed.push(connection.account, id.slot);
        }
    }

    /// Has all connections flushed.
    pub(crate) fn queue_flush_of_all(&mut self) {
        for (slot, connection) in &self.connections {
            self.unflushed.push(connection.account, slot);
        }
    }

    /// Whether a connection waits to be flushed.
    pub(crate) fn has_unflushed(&self) -> bool {
        !self.unflushed.is_empty()
    }

    /// The connections to flush.
    pub(super) fn unflushed(&mut self) -> &mut FairQueue {
        &mut self.unflushed
    }

    /// A connection, and its feed of events.
    pub(super) fn with_feed(&mut self, slot: usize) -> Option<(&mut ClientConnection, &EventFeed)> {
        let connection = self.connections.get_mut(slot)?;
        let feed = self.feeds.of(connection.account);
        Some((connection, feed))
    }

    /// The account of a client; that of a client who is gone has no right.
    pub(crate) fn account(&self, client: ConnectionId) -> Account {
        let connection = self.connection(client);
        connection.map_or(Account::User(u32::MAX), |found| found.account)
    }

    /// Sends bytes to a client.
    pub(crate) fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        if let Some(connection) = self.connection_mut(id) {
            connection.send_bytes(bytes);
            self.queue_flush(id);
            self.settle(id.slot);
        }
    }

    /// Closes a client when everything is written.
    pub(crate) fn close_after_flush(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection_mut(id) {
            connection.close_after_flush = true;
            self.queue_flush(id);
        }
    }

    /// Sends a reply, unless the client is gone. A notification gets none. `reply_pending` says
    /// whether another request of the client waits for its reply.
    pub(crate) fn reply(
        &mut self,
        client: ConnectionId,
        id: Option<&Id>,
        outcome: Result<ResultJson, RpcError>,
        reply_pending: bool,
    ) {
        let feeds = &self.feeds;
        let found = self.connections.get_mut(client.slot);
        if let Some(connection) = found.filter(|connection| connection.id == client) {
            if matches!(connection.mode, Mode::Events) {
                // The events before it come first.
                connection.queue_events(feeds.of(connection.account));
            }
            match outcome {
                Ok(result) if id.is_some() => connection.send_bytes(&result.into_line(id)),
                Ok(_) => {}
                Err(error) => connection.send(&Message::Answer {
                    id: id.cloned(),
                    outcome: Err(error),
                }),
            }
            connection.close_after_flush |= connection.owes_nothing(reply_pending);
            self.queue_flush(client);
            self.settle(client.slot);
        }
    }

    /// Sends new events to a client from now on.
    pub(crate) fn follow_events(&mut self, client: ConnectionId) {
        let head = self.feeds.of(self.account(client)).head();
        if let Some(connection) = self.connection_mut(client)
            && matches!(connection.mode, Mode::Lines)
        {
            connection.mode = Mode::Events;
            connection.event_cursor = head;
        }
    }

    /// Sends an event to all event followers; a slow one misses it, and is sent their number.
    pub(crate) fn broadcast(&mut self, event: &Recorded) {
        let followers = self.connections.iter();
        let followers = followers.filter(|(_, one)| matches!(one.mode, Mode::Events));
        let followers: Vec<(usize, Account)> =
            followers.map(|(slot, one)| (slot, one.account)).collect();
        for reader in [Account::Owner, Account::User(0)] {
            let is_owner = reader == Account::Owner;
            let followed =
                |(_, account): &(usize, Account)| (*account == Account::Owner) == is_owner;
            match followers.iter().any(followed) {
                true => self.feeds.write(reader, &event.shown_to(reader)),
                false => self.feeds.clear(reader),
            }
        }
        for (slot, account) in followers {
            self.unflushed.push(account, slot);
        }
    }

    /// The client has sent everything. One that only closed its own direction, as
    /// `echo … | socat` does, still gets its replies; the end of input ends an attachment.
    pub(crate) fn input_ended(&mut self, slot: usize, reply_pending: bool) -> AfterInput {
        let Some(connection) = self.connections.get_mut(slot) else {
            return AfterInput::Keep;
        };
        connection.read = ReadState::Eof;
        if connection.remote == Remote::Closed || connection.attachment().is_some() {
            return AfterInput::Close;
        }
        if connection.owes_nothing(reply_pending) {
            connection.close_after_flush = true;
            self.unflushed.push(connection.account, slot);
        }
        AfterInput::Keep
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, slot: usize, poller: &mut Poller) -> Option<Closed> {
        let connection = self.connections.try_remove(slot)?;
        connection.unwatch(poller);
        let account = connection.account;
        self.unflushed.remove(account, slot);
        self.ready.remove(account, slot);
        self.shares.leave(account, connection.charged);
        let id = connection.id;
        let (mode, memory) = connection.into_use();
        self.spares.refill();
        Some(Closed { id, mode, memory })
    }

    /// Plans the next check for idle clients, unless one is planned.
    pub(crate) fn arm_idle_check(&mut self, now: Time, timers: &mut Timers) {
        if !std::mem::replace(&mut self.idle_check_armed, true) {
            timers.add(now + IDLE_MAX, Timer::IdleClients);
        }
    }

    /// Closes clients that sent no complete request, or do not read their last reply.
    pub(crate) fn close_idle(
        &mut self,
        now: Time,
        timers: &mut Timers,
        poller: &mut Poller,
    ) -> Vec<Closed> {
        self.idle_check_armed = false;
        let idle: Vec<usize> = self
            .connections
            .iter()
            .filter(|(_, connection)| is_idle(connection, now))
            .map(|(slot, _)| slot)
            .collect();
        let closed = idle.into_iter().filter_map(|slot| {
            log::debug!("closing a client: no valid request within {IDLE_MAX:?}");
            self.close(slot, poller)
        });
        let closed = closed.collect();
        let can_become_idle = |connection: &ClientConnection| {
            !connection.has_valid_request
                || connection.close_after_flush
                || connection.lines.pending() > 0
        };
        if self.iter().any(can_become_idle) {
            self.arm_idle_check(now, timers);
        }
        closed
    }
}

fn is_idle(connection: &ClientConnection, now: Time) -> bool {
    let mid_line = connection.has_lines() && connection.lines.pending() > 0;
    let silent = now.since(connection.last_activity) >= IDLE_MAX;
    silent
        && connection.read != ReadState::Paused
        && (mid_line || !connection.has_valid_request || connection.close_after_flush)
}

#[cfg(test)]
#[path = "client_table_tests.rs"]
mod tests;
