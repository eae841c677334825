//! The quotas of clients: room for new ones, memory, access, and the record of their requests.

use crate::config::AccessSettings;
use crate::reactor::clock::Timers;
use crate::reactor::control::audit::{Audit, Deed};
use crate::reactor::control::client_table::{Clients, Closed};
use crate::reactor::control::connection::{ClientConnection, ConnectionId, Remote};
use crate::reactor::control::permissions::{Account, allowed, permit};
use crate::reactor::control::shares::{EVICT_AFTER, NoPlace};
use crate::reactor::poller::Poller;
use crate::supervisor::Time;
use crate::wire::{Access, Call, RpcError};

impl Clients {
    /// Makes room for one more client of an account, if it may have one. Returns the client that
    /// was closed for that.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(crate) fn make_room(
        &mut self,
        account: Account,
        now: Time,
        poller: &mut Poller,
    ) -> Result<Option<Closed>, NoPlace> {
        let Err(why) = self.shares.place_for(account) else {
            return Ok(None);
        };
        let victim = match (account, why) {
            (_, NoPlace::UserHasPart(_)) => self
                .oldest_silent(now, |other| other == account)
                .or_else(|| self.hung_up(account)),
            (Account::User(_), _) => self.oldest_silent(now, |other| other != Account::Owner),
            (Account::Owner, _) => self
                .oldest_silent(now, |_| true)
                .or_else(|| self.newest_of_users()),
        };
        match victim {
            Some(slot) => Ok(self.close(slot, poller)),
            None => Err(why),
        }
    }

    /// The oldest client without a valid request, among some accounts.
    fn oldest_silent(&self, now: Time, of: impl Fn(Account) -> bool) -> Option<usize> {
        let silent = self.connections.iter().filter(|(slot, other)| {
            // The request of a queued connection is about to be read.
            of(other.account)
                && !other.has_valid_request
                && !self.ready.contains(*slot)
                && now.since(other.last_activity) >= EVICT_AFTER
        });
        let (slot, _) = silent.min_by_key(|(_, other)| other.id.serial)?;
        Some(slot)
    }

    /// A client of an account that has closed its connection.
    fn hung_up(&self, account: Account) -> Option<usize> {
        let mut connections = self.connections.iter();
        let gone =
            |other: &ClientConnection| other.account == account && other.remote == Remote::Closed;
        connections
            .find(|(_, other)| gone(other))
            .map(|(slot, _)| slot)
    }

    /// Closes the newest client that is not the owner's, if there is one.
    pub(super) fn evict_user(&mut self, poller: &mut Poller) -> Option<Closed> {
        self.close(self.newest_of_users()?, poller)
    }

    /// The newest client that is not the owner's.
    fn newest_of_users(&self) -> Option<usize> {
        let users = self.connections.iter();
        let users = users.filter(|(_, other)| other.account != Account::Owner);
        users
            .max_by_key(|(_, other)| other.id.serial)
            .map(|(slot, _)| slot)
    }

    /// Charges a client's memory to its account. Returns by how much it has shrunk.
    pub(crate) fn settle(&mut self, slot: usize) -> usize {
        let Some(connection) = self.connections.get_mut(slot) else {
            return 0;
        };
        let memory = connection.memory();
        let before = std::mem::replace(&mut connection.charged, memory);
        self.shares.charge(connection.account, before, memory);
        before.saturating_sub(memory)
    }

    /// Checks whether a client may make a call, and records a refusal or a change.
    ///
    /// # Errors
    /// When the config does not grant it.
    pub(crate) fn permit(
        &mut self,
        client: ConnectionId,
        call: &Call,
        rules: &AccessSettings,
        (now, timers): (Time, &mut Timers),
    ) -> Result<(), RpcError> {
        let found = self.connections.get_mut(client.slot);
        let Some(connection) = found.filter(|connection| connection.id == client) else {
            return Ok(());
        };
        connection.has_valid_request = true;
        let peer = &connection.peer;
        if let Err(error) = permit(peer, call, rules) {
            let text = format!("{} denied", call.method());
            self.audit.note(peer, Deed::Denied, &text, now, timers);
            return Err(error);
        }
        if call.access() == Access::Control {
            let deed = Deed::Change(call.method());
            let text = call.for_the_record();
            match connection.account {
                Account::Owner => Audit::note_all(peer, deed, &text),
                _ => self.audit.note(peer, deed, &text, now, timers),
            }
        }
        let controls = allowed(&connection.peer, Access::Control, rules);
        connection.granted(controls);
        Ok(())
    }

    /// The clients of other users that may no longer do what they do, and the notice that they are
    /// sent.
    pub(crate) fn without_right(&self, rules: &AccessSettings) -> Vec<(ConnectionId, Vec<u8>)> {
        let ended = self.iter().filter_map(|connection| {
            let needed = match connection.attachment() {
                Some(attachment) if attachment.takes_control() => Access::Control,
                _ => Access::Read,
            };
            let refused = !allowed(&connection.peer, needed, rules);
            refused.then(|| (connection.id, connection.notice_of_refusal()))
        });
        ended.collect()
    }

    /// Records that a client is closed against its will.
    pub(crate) fn note_closed(
        &mut self,
        client: ConnectionId,
        why: &str,
        now: Time,
        timers: &mut Timers,
    ) {
        if let Some(connection) = self.connections.get(client.slot) {
            let text = format!("closing a client: {why}");
            let peer = &connection.peer;
            self.audit.note(peer, Deed::Closed, &text, now, timers);
        }
    }

    /// Notes what the pending requests of a client take.
    pub(crate) fn set_pending_bytes(&mut self, client: ConnectionId, bytes: usize) {
        if let Some(connection) = self.connection_mut(client) {
            connection.pending_bytes = bytes;
            self.settle(client.slot);
        }
    }

    /// The client with the most memory of an account that has more than its share.
    pub(crate) fn over_share(&self) -> Option<&ClientConnection> {
        let owner = || self.shares.owner_is_over().then_some(Account::Owner);
        let account = self.shares.over().or_else(owner)?;
        let connections = self.iter().filter(|other| other.account == account);
        connections.max_by_key(|other| other.charged)
    }
}
