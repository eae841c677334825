//! Accepting clients.

use crate::config::AccessSettings;
use crate::reactor::clock::{Clock, Timer, Timers};
use crate::reactor::control::audit::Deed;
use crate::reactor::control::client_table::{Clients, Closed};
use crate::reactor::control::permissions::{Account, let_in};
use crate::reactor::poller::Poller;
use crate::supervisor::Time;
use crate::sys;
use crate::sys::io::is_out_of_files;
use crate::sys::socket::Listener;
use crate::wire::{Message, RpcError, code};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Number of clients accepted in one turn.
const ACCEPTS_A_TURN: usize = 64;

/// Time spent on accepting in one turn. A user without rights may connect as often as he can.
const TIME_A_TURN: Duration = Duration::from_micros(500);

/// Time until accepting is retried after running out of descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// Replies that the kernel keeps for another user's client until it reads them, in bytes. The
/// kernel doubles this, and counts it as the daemon's memory.
const USER_SEND_BUFFER: usize = 32 * 1024;

/// The parts that accepting a client joins.
pub(crate) struct Door<'a> {
    /// The clients inside.
    pub clients: &'a mut Clients,
    /// For their sockets.
    pub poller: &'a mut Poller,
    /// For retries.
    pub timers: &'a mut Timers,
    /// The users who are let in.
    pub rules: &'a AccessSettings,
    /// The time of this turn, and the time spent in it.
    pub clock: &'a Clock,
}

impl Door<'_> {
    /// Accepts waiting clients, within the turn's budget. Returns the clients that were closed to
    /// make room.
    pub(crate) fn accept(&mut self, listener: &Listener) -> Vec<Closed> {
        let now = self.clock.now();
        let began = self.clock.spent();
        let mut evicted = Vec::new();
        for _ in 0..ACCEPTS_A_TURN {
            let spent = self.clock.spent().saturating_sub(began);
            if self.clients.is_full_for_now(now) || spent >= TIME_A_TURN {
                break;
            }
            match listener.accept() {
                Ok(Some(stream)) => {
                    self.clients.accept_fails = false;
                    evicted.extend(self.welcome(OwnedFd::from(stream)));
                    self.clients.arm_idle_check(now, self.timers);
                }
                Ok(None) => return evicted,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.note_failure(&error);
                    if !is_out_of_files(&error) || !self.clients.spares.give_up() {
                        self.plan(now + RETRY);
                        return evicted;
                    }
                    if let Ok(Some(stream)) = listener.accept() {
                        evicted.extend(self.welcome_owner(OwnedFd::from(stream)));
                        self.clients.arm_idle_check(now, self.timers);
                    }
                    self.clients.spares.refill();
                }
            }
        }
        self.plan(now);
        evicted
    }

    /// Logs that accepting fails, not for each client.
    fn note_failure(&mut self, error: &io::Error) {
        let before = std::mem::replace(&mut self.clients.accept_fails, true);
        let warnings = &mut self.clients.accept_warnings;
        if !before && warnings.take(self.clock.now()).is_some() {
            log::warn!("cannot accept clients: {error}");
        }
    }

    /// Adds a client of the owner, for which the daemon gave up its last descriptors. Rejects any
    /// other one. Returns the client of another user that was closed to get a descriptor back.
    fn welcome_owner(&mut self, fd: OwnedFd) -> Option<Closed> {
        let peer = sys::socket::peer(fd.as_fd()).ok()?;
        if Account::of(&peer) != Account::Owner {
            let text = "the daemon has too few open files for another client";
            reject(&fd, RpcError::new(code::INTERNAL, text));
            return None;
        }
        self.welcome(fd)
            .or_else(|| self.clients.evict_user(self.poller))
    }

    /// Continues later. There is one timer at most: with one for each arrival, they would add up.
    fn plan(&mut self, at: Time) {
        if !std::mem::replace(&mut self.clients.accept_planned, true) {
            self.timers.add(at, Timer::AcceptRetry);
        }
    }

    /// Adds a client, or rejects it when it has no right or there is no room. Returns the client
    /// closed in its favour.
    fn welcome(&mut self, fd: OwnedFd) -> Option<Closed> {
        let peer = match sys::socket::peer(fd.as_fd()) {
            Ok(peer) => peer,
            Err(error) => {
                log::warn!("rejecting a client without credentials: {error}");
                return None;
            }
        };
        if let Err(error) = let_in(&peer, self.rules) {
            let text = "connection denied: daemon.access does not list it";
            let audit = &mut self.clients.audit;
            audit.note(&peer, Deed::Denied, text, self.clock.now(), self.timers);
            reject(&fd, error);
            return None;
        }
        let account = Account::of(&peer);
        let evicted = match self
            .clients
            .make_room(account, self.clock.now(), self.poller)
        {
            Ok(evicted) => evicted,
            Err(why) => {
                let text = self.clients.shares.message(why);
                reject(&fd, RpcError::new(code::INTERNAL, text));
                return None;
            }
        };
        if account != Account::Owner {
            // Without it the client's replies take more of the kernel's memory.
            let _ = sys::socket::set_send_buffer(fd.as_fd(), USER_SEND_BUFFER);
        }
        if let Err(error) = self.clients.add(fd, peer, self.clock.now(), self.poller) {
            log::warn!("cannot watch a client: {error}");
        }
        evicted
    }
}

fn reject(fd: &OwnedFd, error: RpcError) {
    let reply = Message::Answer {
        id: None,
        outcome: Err(error),
    };
    // The client may not even read it; the daemon does not wait.
    let _ = sys::io::write(fd.as_fd(), &reply.to_line());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn arrivals_share_one_timer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.sock");
        let listener = Listener::bind(&path, 0o600, None).expect("bound");
        let connect = || UnixStream::connect(&path).expect("it listens");
        // More than one turn takes.
        let _waiting: Vec<UnixStream> = (0..10 * ACCEPTS_A_TURN).map(|_| connect()).collect();
        let (mut clients, mut timers) = (Clients::new(16), Timers::default());
        let mut poller = Poller::new().expect("an epoll instance");
        for _ in 0..3 {
            let mut door = Door {
                clients: &mut clients,
                poller: &mut poller,
                timers: &mut timers,
                rules: &AccessSettings::default(),
                clock: &Clock::start(),
            };
            door.accept(&listener);
        }
        let later = Time(Duration::from_secs(3600));
        let planned = std::iter::from_fn(|| timers.due(later));
        assert_eq!(planned.filter(|one| *one == Timer::AcceptRetry).count(), 1);
    }
}
