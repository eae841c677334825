//! Places and memory of connections, counted by user: the quotas.
//!
//! Root and the daemon's own user are one account, the owner. Every other user has one.

use crate::reactor::control::permissions::Account;
use std::collections::BTreeMap;
use std::time::Duration;

/// A client connected for a shorter time cannot be evicted: its request may not be read yet.
pub(crate) const EVICT_AFTER: Duration = Duration::from_secs(1);

/// Number of clients at once.
pub(crate) const CLIENTS_MAX: usize = 1024;

/// Places that only the owner gets.
const PLACES_KEPT: usize = 64;

/// Each other user has at most this part of the places, and of the memory.
const PARTS: usize = 4;

/// Memory of all connections together: requests that are incomplete, replies that are not read,
/// requests that wait, positions in output.
const MEMORY_MAX: usize = 32 * 1024 * 1024;

/// Memory that only the owner gets.
const MEMORY_KEPT: usize = MEMORY_MAX / PARTS;

/// The places and the memory of each account.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Number of clients at once.
    places: usize,
    /// Of all users but the owner.
    users: usize,
    /// Of each of them.
    user: usize,
    memory: usize,
    used: BTreeMap<Account, Used>,
    total: Used,
}

/// Places, and memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Used {
    places: usize,
    memory: usize,
}

/// Why there is no place for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// There are as many clients as can be.
    Full,
    /// All places but the owner's are taken.
    FullForUsers,
    /// This user has its part.
    UserHasPart(u32),
}

impl Shares {
    /// Room for `places` clients.
    pub(crate) fn new(places: usize) -> Shares {
        Shares {
            places,
            users: places,
            user: places / PARTS,
            memory: MEMORY_MAX,
            used: BTreeMap::new(),
            total: Used::default(),
        }
    }

    /// Leaves descriptors to the programs, and to the owner: clients of other users take an eighth
    /// of as many as this, and those of one user half of that.
    pub(crate) fn limit_files(&mut self, files: u64) {
        let part = usize::try_from(files / 8).unwrap_or(usize::MAX);
        self.users = self.users.min(part);
        self.user = self.user.min(part / 2).max(1);
    }

    /// Whether an account may have one more client.
    ///
    /// # Errors
    /// The bound that it has reached.
    pub(crate) fn place_for(&self, account: Account) -> Result<(), NoPlace> {
        let owner = self.of(Account::Owner).places;
        let users = self.total.places - owner;
        match account {
            Account::User(uid) if self.of(account).places >= self.user => {
                Err(NoPlace::UserHasPart(uid))
            }
            Account::User(_)
                if users >= self.users || users + PLACES_KEPT.max(owner) >= self.places =>
            {
                Err(NoPlace::FullForUsers)
            }
            _ if self.total.places >= self.places => Err(NoPlace::Full),
            _ => Ok(()),
        }
    }

    /// Whether the owner has every place.
    pub(crate) fn owner_has_all(&self) -> bool {
        self.of(Account::Owner).places >= self.places
    }

    /// Counts a new client.
    pub(crate) fn enter(&mut self, account: Account) {
        self.used.entry(account).or_default().places += 1;
        self.total.places += 1;
    }

    /// A client is gone, which had this much memory.
    pub(crate) fn leave(&mut self, account: Account, memory: usize) {
        self.charge(account, memory, 0);
        self.total.places = self.total.places.saturating_sub(1);
        if let Some(used) = self.used.get_mut(&account) {
            used.places = used.places.saturating_sub(1);
            if used.places == 0 {
                self.used.remove(&account);
            }
        }
    }

    /// A client's memory has changed.
    pub(crate) fn charge(&mut self, account: Account, before: usize, after: usize) {
        let used = self.used.entry(account).or_default();
        used.memory = (used.memory + after).saturating_sub(before);
        self.total.memory = (self.total.memory + after).saturating_sub(before);
    }

    /// An account whose clients have too much memory; one of them has to go.
    pub(crate) fn over(&self) -> Option<Account> {
        let owner = self.of(Account::Owner).memory;
        let users = self.total.memory.saturating_sub(owner);
        let largest = self
            .used
            .iter()
            .filter(|(account, _)| **account != Account::Owner)
            .max_by_key(|(_, used)| used.memory)?;
        let too_much = largest.1.memory > self.memory / PARTS
            || users > self.memory - MEMORY_KEPT
            || (self.total.memory > self.memory && users > MEMORY_KEPT);
        too_much.then_some(*largest.0)
    }

    /// As [`over`](Self::over), for the owner: only its own clients make it reach the bound.
    pub(crate) fn owner_is_over(&self) -> bool {
        self.total.memory > self.memory && self.of(Account::Owner).memory > MEMORY_KEPT
    }

    /// The message of the error.
    pub(crate) fn message(&self, why: NoPlace) -> String {
        match why {
            NoPlace::Full | NoPlace::FullForUsers => {
                format!("{} clients already", self.total.places)
            }
            NoPlace::UserHasPart(uid) => format!("uid {uid} has {} clients already", self.user),
        }
    }

    fn of(&self, account: Account) -> Used {
        self.used.get(&account).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn enter(shares: &mut Shares, account: Account) -> usize {
        let mut entered = 0;
        while shares.place_for(account).is_ok() {
            shares.enter(account);
            entered += 1;
        }
        entered
    }

    #[test]
    fn a_user_has_a_quarter_of_the_places_and_the_owner_keeps_some() {
        let mut shares = Shares::new(CLIENTS_MAX);
        let entered: Vec<_> = (1..=4)
            .map(|uid| enter(&mut shares, Account::User(uid)))
            .collect();
        assert_eq!(entered, [256, 256, 256, 192]);
        let refused = shares.place_for(Account::User(9));
        assert_eq!(refused, Err(NoPlace::FullForUsers));
        assert_eq!(enter(&mut shares, Account::Owner), PLACES_KEPT);
        shares.leave(Account::User(1), 0);
        assert_eq!(shares.place_for(Account::User(9)), Ok(()));
        // The owner may have more than what is kept for it.
        assert_eq!(enter(&mut shares, Account::Owner), 1);
        let refused = shares.place_for(Account::User(9));
        assert_eq!(refused, Err(NoPlace::FullForUsers));
    }

    #[test]
    fn with_few_descriptors_users_have_fewer_places() {
        for (files, one, all) in [(64, 4, 8), (1024, 64, 128), (20_000, 256, 960), (8, 1, 1)] {
            let mut shares = Shares::new(CLIENTS_MAX);
            shares.limit_files(files);
            assert_eq!(enter(&mut shares, Account::User(1)), one, "{files}");
            let others = (2..99).map(|uid| enter(&mut shares, Account::User(uid)));
            assert_eq!(one + others.sum::<usize>(), all, "{files}");
            assert_eq!(enter(&mut shares, Account::Owner), CLIENTS_MAX - all);
        }
    }

    #[test]
    fn the_owner_may_have_all_places_when_nobody_else_has_any() {
        let mut shares = Shares::new(CLIENTS_MAX);
        assert_eq!(enter(&mut shares, Account::Owner), CLIENTS_MAX);
        assert!(shares.owner_has_all());
        assert_eq!(shares.place_for(Account::Owner), Err(NoPlace::Full));
    }

    #[test]
    fn a_user_has_a_quarter_of_the_memory() {
        let mut shares = Shares::new(CLIENTS_MAX);
        let user = Account::User(1);
        shares.enter(user);
        shares.charge(user, 0, 8 * MIB);
        assert_eq!(shares.over(), None);
        shares.charge(user, 8 * MIB, 8 * MIB + 1);
        assert_eq!(shares.over(), Some(user));
        shares.leave(user, 8 * MIB + 1);
        assert_eq!(shares.over(), None);
        assert!(shares.used.is_empty());
        assert_eq!(shares.total, Used::default());
    }

    #[test]
    fn the_users_together_leave_the_owner_its_part() {
        let mut shares = Shares::new(CLIENTS_MAX);
        for uid in 1..=4 {
            shares.enter(Account::User(uid));
            shares.charge(Account::User(uid), 0, 6 * MIB + uid as usize);
        }
        assert_eq!(shares.over(), Some(Account::User(4)));
        shares.charge(Account::User(4), 6 * MIB + 4, MIB);
        assert_eq!(shares.over(), None);
        // The owner has more than its part: the others have to make room, down to theirs.
        shares.enter(Account::Owner);
        shares.charge(Account::Owner, 0, 16 * MIB);
        assert_eq!(shares.over(), Some(Account::User(3)));
        assert!(shares.owner_is_over());
    }
}
