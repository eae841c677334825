//! The client's one way to wait: for descriptors, signals and a deadline.
//!
//! It is poll(2), not epoll: a client waits for a handful of descriptors, and standard input may
//! be a regular file, which epoll refuses. poll(2) is level-triggered, so a driver may leave
//! input unread and finds it reported again.

use crate::client::ui::fatal_signals::handle_quit;
use mio::{Events, Interest, Poll, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::SIGQUIT;
use signal_hook_mio::v1_0::Signals;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A descriptor, and the events to wait for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FdWatch<'fd> {
    fd: BorrowedFd<'fd>,
    /// `None` leaves the descriptor out: even its hang-up does not end the wait.
    events: Option<PollFlags>,
}

/// The state of a watched descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Readiness(PollFlags);

/// Signals as a descriptor to wait for: an epoll instance of their own, since that is how
/// signal-hook-mio reports them.
pub(crate) struct SignalSource {
    poll: Poll,
    signals: Signals,
    events: Events,
}

impl<'fd> FdWatch<'fd> {
    /// Waits for these; for nothing when both are false.
    pub(crate) fn new(fd: &'fd impl AsFd, read: bool, write: bool) -> FdWatch<'fd> {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, read);
        events.set(PollFlags::OUT, write);
        FdWatch {
            fd: fd.as_fd(),
            events: (read || write).then_some(events),
        }
    }

    /// Waits until it is readable or closed.
    pub(crate) fn readable(fd: &'fd impl AsFd) -> FdWatch<'fd> {
        FdWatch::new(fd, true, false)
    }

    /// Waits only until the other end is closed.
    pub(crate) fn hang_up(fd: &'fd impl AsFd) -> FdWatch<'fd> {
        FdWatch {
            fd: fd.as_fd(),
            events: Some(PollFlags::empty()),
        }
    }
}

impl Readiness {
    /// A read returns at once: bytes, the end or an error.
    pub(crate) fn is_readable(self) -> bool {
        !self.0.difference(PollFlags::OUT).is_empty()
    }

    /// A write returns at once, perhaps with an error.
    pub(crate) fn is_writable(self) -> bool {
        !self.0.difference(PollFlags::IN).is_empty()
    }
}

/// Waits until one of the descriptors is ready or the time has come.
///
/// # Errors
/// Of the system call. A signal is no error.
pub(crate) fn wait<const N: usize>(
    watches: [FdWatch<'_>; N],
    until: Option<Instant>,
) -> io::Result<[Readiness; N]> {
    let watched = watches.iter().filter_map(|watch| {
        let fd = PollFd::from_borrowed_fd(watch.fd, watch.events?);
        Some(fd)
    });
    let mut fds: Vec<PollFd<'_>> = watched.collect();
    rustix::io::retry_on_intr(|| {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        poll(&mut fds, timeout.as_ref())
    })?;
    let mut results = fds.iter().map(PollFd::revents);
    Ok(watches.map(|watch| {
        let result = watch.events.and_then(|_| results.next());
        Readiness(result.unwrap_or(PollFlags::empty()))
    }))
}

impl SignalSource {
    /// Catches these signals from now on.
    ///
    /// # Errors
    /// When they cannot be caught.
    pub(crate) fn new(signals: &[i32]) -> io::Result<SignalSource> {
        let poll = Poll::new()?;
        if signals.contains(&SIGQUIT) {
            handle_quit();
        }
        let mut signals = Signals::new(signals)?;
        poll.registry()
            .register(&mut signals, Token(0), Interest::READABLE)?;
        Ok(SignalSource {
            poll,
            signals,
            events: Events::with_capacity(1),
        })
    }

    /// The signals that have arrived since the last call.
    pub(crate) fn pending(&mut self) -> impl Iterator<Item = i32> {
        // Takes the report off the descriptor. Without it the next wait would return at once; if
        // it fails, that is all that happens.
        let _ = self.poll.poll(&mut self.events, Some(Duration::ZERO));
        self.signals.pending()
    }
}

impl AsFd for SignalSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.registry().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::consts::SIGWINCH;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn only_what_is_watched_is_reported() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        theirs.write_all(b"x").expect("room");
        let watches = [
            FdWatch::new(&ours, false, false),
            FdWatch::hang_up(&ours),
            FdWatch::new(&ours, true, true),
        ];
        let [off, end, both] = wait(watches, None).expect("a poll");
        assert!(!off.is_readable() && !end.is_readable());
        assert!(both.is_readable() && both.is_writable());
        drop(theirs);
        let [end] = wait([FdWatch::hang_up(&ours)], None).expect("a poll");
        assert!(end.is_readable() && end.is_writable());
    }

    #[test]
    fn the_deadline_ends_the_wait() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let until = Instant::now() + Duration::from_millis(5);
        let [ready] = wait([FdWatch::readable(&ours)], Some(until)).expect("a poll");
        assert!(!ready.is_readable() && Instant::now() >= until);
    }

    #[test]
    fn a_signal_is_readable_once() {
        let mut signals = SignalSource::new(&[SIGWINCH]).expect("caught");
        signal_hook::low_level::raise(SIGWINCH).expect("sent");
        let [ready] = wait([FdWatch::readable(&signals)], None).expect("a poll");
        assert!(ready.is_readable());
        assert_eq!(signals.pending().collect::<Vec<_>>(), [SIGWINCH]);
        let now = Some(Instant::now());
        let [ready] = wait([FdWatch::readable(&signals)], now).expect("a poll");
        assert!(!ready.is_readable());
    }
}
