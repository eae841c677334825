//! Whose event it is: a typed source behind each mio token, with a generation, so that a stale
//! event for a slot that was freed and used again is dropped.

use crate::supervisor::ProcessId;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use slab::Slab;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// What a file descriptor in the poll is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The daemon's signals.
    Signals,
    /// The listening socket.
    Listener,
    /// A leader's pidfd: readable when it has ended.
    Leader(ProcessId),
    /// The pidfd of something that an ended leader left alive.
    Straggler(ProcessId),
    /// A terminal's master or the read end of an output pipe, by the child's channel number.
    Output(ProcessId, u32),
    /// The write end of an input pipe.
    Input(ProcessId),
    /// A control connection, by its slot.
    Connection(usize),
}

/// The poll and the table of what is in it.
#[derive(Debug)]
pub struct Watch {
    /// The poll itself.
    pub poll: Poll,
    entries: Slab<(u32, Source)>,
    generation: u32,
}

/// The disk thread's wake-up; it needs no look-up.
pub const WAKE: Token = Token(usize::MAX - 1);

impl Watch {
    /// An empty table.
    ///
    /// # Errors
    /// When the kernel gives no epoll instance.
    pub fn new() -> io::Result<Self> {
        Ok(Watch {
            poll: Poll::new()?,
            entries: Slab::new(),
            generation: 0,
        })
    }

    /// Watches a file descriptor (edge-triggered, as always with mio).
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn add(&mut self, fd: impl AsFd, source: Source, interest: Interest) -> io::Result<Token> {
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

    /// Changes what is watched for. What holds already is told once more.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn change(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        let raw = fd.as_fd().as_raw_fd();
        let registry = self.poll.registry();
        registry.reregister(&mut SourceFd(&raw), token, interest)
    }

    /// Stops watching. To be called before the descriptor is closed: a duplicate that a child
    /// holds would keep the old token firing.
    pub fn remove(&mut self, fd: impl AsFd, token: Token) {
        if self.source(token).is_some() {
            self.entries.remove(slot_of(token));
            let raw = fd.as_fd().as_raw_fd();
            // It may have left the epoll by itself; the table is what decides.
            let _ = self.poll.registry().deregister(&mut SourceFd(&raw));
        }
    }

    /// Whose token it is, unless it is stale.
    pub fn source(&self, token: Token) -> Option<Source> {
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
        let mut watch = Watch::new().expect("an epoll instance");
        let (reader, _writer) = io::pipe().expect("a pipe");
        let first = watch
            .add(&reader, Source::Connection(1), Interest::READABLE)
            .expect("added");
        watch.remove(&reader, first);
        let second = watch
            .add(&reader, Source::Connection(2), Interest::READABLE)
            .expect("added");
        assert_eq!(slot_of(first), slot_of(second));
        assert_eq!(watch.source(first), None);
        assert_eq!(watch.source(second), Some(Source::Connection(2)));
    }
}
