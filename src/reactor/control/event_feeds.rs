//! The latest events, a line each, for those who follow them: a ring for the owner, and one for the
//! other users, who may not see all details.

use crate::reactor::control::permissions::Account;
use crate::ring::Ring;
use crate::wire::{EventInfo, Message};
use serde_json::json;

/// The latest events in bytes. A follower that falls further behind misses some.
pub(crate) const EVENTS_KEPT: usize = 1024 * 1024;

/// The longest event in bytes; a longer one is not sent.
const EVENT_MAX: usize = 64 * 1024;

/// The latest events for the owner, and for the other users.
#[derive(Debug)]
pub(crate) struct Feeds {
    owner: Ring,
    users: Ring,
}

impl Default for Feeds {
    fn default() -> Self {
        let [owner, users] = [(); 2].map(|()| Ring::new(EVENTS_KEPT));
        Feeds { owner, users }
    }
}

impl Feeds {
    /// The events for an account.
    pub(crate) fn of(&self, reader: Account) -> &Ring {
        match reader {
            Account::Owner => &self.owner,
            Account::User(_) => &self.users,
        }
    }

    fn of_mut(&mut self, reader: Account) -> &mut Ring {
        match reader {
            Account::Owner => &mut self.owner,
            Account::User(_) => &mut self.users,
        }
    }

    /// Adds an event, unless it is too long.
    pub(crate) fn write(&mut self, reader: Account, event: &EventInfo) {
        let line = Message::Request {
            id: None,
            method: "event".to_string(),
            params: json!(event),
        };
        let line = line.to_line();
        if line.len() <= EVENT_MAX {
            self.of_mut(reader).write(&line);
        }
    }

    /// Gives the memory back: there is no follower.
    pub(crate) fn clear(&mut self, reader: Account) {
        let feed = self.of_mut(reader);
        if feed.memory() > 0 {
            *feed = Ring::new(EVENTS_KEPT);
        }
    }
}
