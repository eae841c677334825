//! Turns of connections: the owner's come first, then one of each other user in turn.

use crate::reactor::control::permissions::Account;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Connections that wait for something, each once.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    owner: VecDeque<usize>,
    /// The connections of each other user, in order of arrival; never empty.
    users: BTreeMap<u32, VecDeque<usize>>,
    /// The other users, the one whose turn is next first.
    turns: VecDeque<u32>,
    waiting: BTreeSet<usize>,
}

impl FairQueue {
    /// Adds a connection, unless it waits already.
    pub(crate) fn push(&mut self, account: Account, slot: usize) {
        if !self.waiting.insert(slot) {
            return;
        }
        match account {
            Account::Owner => self.owner.push_back(slot),
            Account::User(uid) => {
                let queue = self.users.entry(uid).or_default();
                if queue.is_empty() {
                    self.turns.push_back(uid);
                }
                queue.push_back(slot);
            }
        }
    }

    /// Takes the owner's next connection.
    pub(crate) fn pop_owner(&mut self) -> Option<usize> {
        let slot = self.owner.pop_front()?;
        self.waiting.remove(&slot);
        Some(slot)
    }

    /// Takes the next connection of the user whose turn it is.
    pub(crate) fn pop_user(&mut self) -> Option<usize> {
        let uid = self.turns.pop_front()?;
        let queue = self.users.get_mut(&uid)?;
        let slot = queue.pop_front();
        match queue.is_empty() {
            true => _ = self.users.remove(&uid),
            false => self.turns.push_back(uid),
        }
        let slot = slot?;
        self.waiting.remove(&slot);
        Some(slot)
    }

    /// Removes a connection.
    pub(crate) fn remove(&mut self, account: Account, slot: usize) {
        if !self.waiting.remove(&slot) {
            return;
        }
        let Account::User(uid) = account else {
            return self.owner.retain(|other| *other != slot);
        };
        if let Some(queue) = self.users.get_mut(&uid) {
            queue.retain(|other| *other != slot);
            if queue.is_empty() {
                self.users.remove(&uid);
                self.turns.retain(|other| *other != uid);
            }
        }
    }

    /// Whether this connection waits.
    pub(crate) fn contains(&self, slot: usize) -> bool {
        self.waiting.contains(&slot)
    }

    /// Number of the owner's connections that wait.
    pub(crate) fn owner_len(&self) -> usize {
        self.owner.len()
    }

    /// Whether no connection waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_turn_however_many_connections_another_has() {
        let mut queue = FairQueue::default();
        for slot in 0..100 {
            queue.push(Account::User(1), slot);
        }
        queue.push(Account::User(2), 100);
        queue.push(Account::Owner, 101);
        queue.push(Account::Owner, 101);
        assert_eq!((queue.owner_len(), queue.pop_owner()), (1, Some(101)));
        assert_eq!(queue.pop_owner(), None);
        let order: Vec<_> = (0..3).map(|_| queue.pop_user()).collect();
        assert_eq!(order, [Some(0), Some(100), Some(1)]);
        // A connection that comes again waits behind the others of its user.
        queue.push(Account::User(1), 0);
        assert_eq!(queue.pop_user(), Some(2));
    }

    #[test]
    fn a_closed_connection_has_no_turn() {
        let mut queue = FairQueue::default();
        queue.push(Account::User(1), 5);
        queue.push(Account::Owner, 6);
        queue.remove(Account::User(1), 5);
        queue.remove(Account::Owner, 6);
        assert!(queue.is_empty() && !queue.contains(5));
        assert_eq!((queue.pop_owner(), queue.pop_user()), (None, None));
        queue.push(Account::User(1), 7);
        assert_eq!(queue.pop_user(), Some(7));
    }
}
