//! The latest events for those who follow them: a feed for the owner, and one for the other users,
//! who may not see all details.

use crate::reactor::control::event_feed::EventFeed;
use crate::reactor::control::permissions::Account;
use crate::wire::EventInfo;

/// The latest events for the owner, and for the other users.
#[derive(Debug)]
pub(crate) struct Feeds {
    owner: EventFeed,
    users: EventFeed,
}

impl Default for Feeds {
    fn default() -> Self {
        Feeds {
            owner: EventFeed::new(),
            users: EventFeed::new(),
        }
    }
}

impl Feeds {
    /// The events for an account.
    pub(crate) fn of(&self, reader: Account) -> &EventFeed {
        match reader {
            Account::Owner => &self.owner,
            Account::User(_) => &self.users,
        }
    }

    fn of_mut(&mut self, reader: Account) -> &mut EventFeed {
        match reader {
            Account::Owner => &mut self.owner,
            Account::User(_) => &mut self.users,
        }
    }

    /// Adds an event.
    pub(crate) fn write(&mut self, reader: Account, event: &EventInfo) {
        self.of_mut(reader).push(event);
    }

    /// Gives the memory back: there is no follower.
    pub(crate) fn clear(&mut self, reader: Account) {
        self.of_mut(reader).release();
    }
}
