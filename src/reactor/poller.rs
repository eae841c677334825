//! The poll, and a typed source behind each mio token. Tokens carry a generation, so that a stale
//! event for a reused slot is dropped.

use crate::supervisor::ProcessId;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// The kind of a file descriptor in the poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventSource {
    /// The daemon's signals.
    Signals,
    /// The listening socket.
    Listener,
    /// The report pipe of a child that has not exec'd.
    Start(ProcessId),
    /// A leader's pidfd; readable when the leader has exited. Also that of a child that has not
    /// exec'd.
    Leader(ProcessId),
    /// The pidfd of a straggler; readable when it has exited.
    Straggler(ProcessId),
    /// A terminal's master or the read end of an output pipe, by its channel number.
    Output(ProcessId, u32),
    /// The write end of an input pipe.
    Input(ProcessId),
    /// A control connection, by its slot.
    Connection(usize),
}

/// The poll, and the table of its sources.
#[derive(Debug)]
pub(crate) struct Poller {
    poll: Poll,
    entries: Slab<(u32, EventSource)>,
    generation: u32,
}

/// The token of the disk thread's waker, which has no entry in the table.
pub(super) const WAKE: Token = Token(usize::MAX - 1);

impl Poller {
    /// An empty table.
    ///
    /// # Errors
    /// When the kernel gives no epoll instance.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Poller {
            poll: Poll::new()?,
            entries: Slab::new(),
            generation: 0,
        })
    }

    /// A handle that wakes the poll from another thread.
    ///
    /// # Errors
    /// When the kernel gives no eventfd.
    pub(crate) fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), WAKE)
    }

    /// Waits for events.
    ///
    /// # Errors
    /// When epoll fails. An interrupted wait is not an error.
    pub(crate) fn wait(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    /// Watches a file descriptor, edge-triggered.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub(crate) fn add(
        &mut self,
        fd: impl AsFd,
        source: EventSource,
        interest: Interest,
    ) -> io::Result<Token> {
        self.generation = self.generation.wrapping_add(1) & 0x7fff_ffff;
        let slot = self.entries.insert((self.generation, source));
        let token = Token((self.generation as usize) << 32 | slot);
        let raw = fd.as_fd().as_raw_fd();
        if let Err(error) = self
            .poll
            .registry()
            .register(&mut SourceFd(&raw), token, interest)
        {
            self.entries.remove(slot);
            return Err(error);
        }
        Ok(token)
    }

    /// Changes the interest. Readiness that already exists raises another event.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub(crate) fn reregister(
        &self,
        fd: impl AsFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let raw = fd.as_fd().as_raw_fd();
        let registry = self.poll.registry();
        registry.reregister(&mut SourceFd(&raw), token, interest)
    }

    /// Stops watching. Call it before the descriptor is closed: a duplicate in a child would keep
    /// raising events with the old token.
    pub(crate) fn remove(&mut self, fd: impl AsFd, token: Token) {
        if self.source(token).is_some() {
            self.entries.remove(slot_of(token));
            let raw = fd.as_fd().as_raw_fd();
            // A descriptor may have left the epoll by itself; the table decides.
            let _ = self.poll.registry().deregister(&mut SourceFd(&raw));
        }
    }

    /// The source of a token; none for a stale one.
    pub(crate) fn source(&self, token: Token) -> Option<EventSource> {
        let (generation, source) = self.entries.get(slot_of(token))?;
        (*generation as usize == token.0 >> 32).then_some(*source)
    }
}

fn slot_of(token: Token) -> usize {
    token.0 & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_reused_slot_is_stale() {
        let mut poller = Poller::new().expect("an epoll instance");
        let (reader, _writer) = io::pipe().expect("a pipe");
        let first = poller
            .add(&reader, EventSource::Connection(1), Interest::READABLE)
            .expect("added");
        poller.remove(&reader, first);
        let second = poller
            .add(&reader, EventSource::Connection(2), Interest::READABLE)
            .expect("added");
        assert_eq!(slot_of(first), slot_of(second));
        assert_eq!(poller.source(first), None);
        assert_eq!(poller.source(second), Some(EventSource::Connection(2)));
    }
}
