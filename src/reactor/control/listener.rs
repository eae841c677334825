//! Accepting clients.

use crate::reactor::clock::{Timer, Timers};
use crate::reactor::control::client_table::{CLIENTS_MAX, Clients, Closed};
use crate::reactor::poller::Poller;
use crate::supervisor::Time;
use crate::sys;
use crate::sys::socket::Listener;
use crate::wire::{Message, RpcError, code};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Number of clients accepted in one turn.
const ACCEPTS_A_TURN: usize = 64;

/// Time until accepting is retried after running out of descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// Accepts waiting clients, within the turn's budget. Returns the clients that were closed to make
/// room.
pub(crate) fn accept(
    listener: &Listener,
    clients: &mut Clients,
    poller: &mut Poller,
    timers: &mut Timers,
    now: Time,
) -> Vec<Closed> {
    let mut evicted = Vec::new();
    for _ in 0..ACCEPTS_A_TURN {
        if clients.is_full_for_now(now) {
            break;
        }
        match listener.accept() {
            Ok(Some(stream)) => {
                evicted.extend(welcome(OwnedFd::from(stream), clients, poller, now));
                clients.arm_idle_check(now, timers);
            }
            Ok(None) => return evicted,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                log::warn!("cannot accept a client: {error}");
                timers.add(now + RETRY, Timer::AcceptRetry);
                return evicted;
            }
        }
    }
    timers.add(now, Timer::AcceptRetry);
    evicted
}

/// Adds a client, or rejects it when there is no room. Returns the client closed in its favour.
fn welcome(fd: OwnedFd, clients: &mut Clients, poller: &mut Poller, now: Time) -> Option<Closed> {
    let peer = match sys::socket::peer(fd.as_fd()) {
        Ok(peer) => peer,
        Err(error) => {
            log::warn!("rejecting a client without credentials: {error}");
            return None;
        }
    };
    let mut evicted = None;
    if clients.is_full() {
        evicted = clients.evict_silent(now, poller);
        if evicted.is_none() {
            reject(&fd);
            return None;
        }
    }
    if let Err(error) = clients.add(fd, peer, now, poller) {
        log::warn!("cannot watch a client: {error}");
    }
    evicted
}

fn reject(fd: &OwnedFd) {
    let error = RpcError::new(code::INTERNAL, format!("{CLIENTS_MAX} clients already"));
    let reply = Message::Answer {
        id: None,
        outcome: Err(error),
    };
    // The client may not even read it; the daemon does not wait.
    let _ = sys::io::write(fd.as_fd(), &reply.to_line());
}
