//! Channels: the terminal or pipes that a process's output comes from.

use crate::reactor::output::{Output, Stream};
use crate::reactor::poller::{EventSource, Poller};
use crate::sys;
use crate::terminal::Terminal;
use mio::{Interest, Token};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};

/// One read of a pipe, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// One read of a terminal, in bytes: the kernel returns no more.
const TERMINAL_READ_SIZE: usize = 4096;

/// A read shorter than this drained the source; another one would only return EAGAIN. A flood
/// comes in longer reads.
const SHORT_READ: usize = 1024;

/// Size to which the pipe of a process that fills it is enlarged, in bytes, so that writer and
/// reader wait for each other less often.
const PIPE_SIZE: usize = 256 * 1024;

/// A source of output.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Names it within the process.
    pub number: u32,
    /// A terminal's master or a pipe's read end.
    pub fd: OwnedFd,
    /// Its token in the poll.
    pub token: Token,
    /// The stream it carries.
    pub stream: Stream,
    /// A terminal's master.
    pub tty: bool,
    /// When it is read next.
    pub reading: Reading,
    /// A pipe that was full once and has been enlarged.
    enlarged: bool,
    /// The poll reports when a terminal takes input again.
    write_armed: bool,
    /// The other side was closed. The poll reports this once; reading on finds the end.
    pub hung_up: bool,
}

/// When a channel is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// When the poll reports output.
    Idle,
    /// In its turn on the list.
    Queued,
    /// When its log or a client has caught up.
    Paused,
}

/// The result of one read of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// Bytes; there may be more.
    More(usize),
    /// Bytes that drained the source; later ones raise another event.
    Rest(usize),
    /// Nothing now.
    Drained,
    /// The log or a client has to catch up first.
    Paused,
    /// The other side is closed.
    Closed,
}

impl Channel {
    /// Watches a new source of output.
    ///
    /// # Errors
    /// When the poll refuses it.
    pub(crate) fn open(
        source: EventSource,
        number: u32,
        fd: OwnedFd,
        (stream, tty): (Stream, bool),
        poller: &mut Poller,
    ) -> io::Result<Channel> {
        let token = poller.add(&fd, source, Interest::READABLE)?;
        Ok(Channel {
            number,
            fd,
            token,
            stream,
            tty,
            reading: Reading::Idle,
            enlarged: tty,
            write_armed: false,
            hung_up: false,
        })
    }

    /// One read into the ring, of at most `max` bytes. `wall_ns` is the time of the bytes.
    pub(crate) fn read(
        &mut self,
        output: &mut Output,
        terminal: Option<&mut Terminal>,
        max: usize,
        wall_ns: u64,
    ) -> ReadOutcome {
        if let Some(terminal) = terminal {
            return self.read_terminal(output, terminal, max, wall_ns);
        }
        let spare = output.spare(READ_SIZE.min(max));
        let short = SHORT_READ.min(spare.len());
        match sys::io::read(self.fd.as_fd(), spare) {
            Ok(0) => ReadOutcome::Closed,
            Ok(n) => {
                output.commit(self.stream, n, wall_ns);
                if n == READ_SIZE && !std::mem::replace(&mut self.enlarged, true) {
                    sys::io::enlarge_pipe(self.fd.as_fd(), PIPE_SIZE);
                }
                match n < short && !self.hung_up {
                    true => ReadOutcome::Rest(n),
                    false => ReadOutcome::More(n),
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => ReadOutcome::Drained,
            Err(_) => ReadOutcome::Closed,
        }
    }

    /// One read of a process with a terminal. The ring evicts as many bytes as were read, not as
    /// many as might have been: how much history remains does not depend on the size of reads.
    fn read_terminal(
        &mut self,
        output: &mut Output,
        terminal: &mut Terminal,
        max: usize,
        wall_ns: u64,
    ) -> ReadOutcome {
        let mut buffer = [0; TERMINAL_READ_SIZE];
        let max = max.min(buffer.len());
        match sys::io::read(self.fd.as_fd(), &mut buffer[..max]) {
            Ok(0) => ReadOutcome::Closed,
            Ok(n) => {
                terminal.before_evict(output.read(0).slices, output.capacity(), n);
                // The terminal is fed everything that goes to the ring: attached clients see both.
                terminal.feed(&buffer[..n]);
                output.write(self.stream, &buffer[..n], wall_ns);
                match n < SHORT_READ.min(max) && !self.hung_up {
                    true => ReadOutcome::Rest(n),
                    false => ReadOutcome::More(n),
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => ReadOutcome::Drained,
            // A terminal whose last holder closed it returns EIO.
            Err(_) => ReadOutcome::Closed,
        }
    }

    /// Has the poll report when a terminal takes input again, exactly while it is blocked.
    ///
    /// # Errors
    /// When the poll refuses it.
    pub(crate) fn arm_write(&mut self, blocked: bool, poller: &Poller) -> io::Result<()> {
        if !self.tty || self.write_armed == blocked {
            return Ok(());
        }
        self.write_armed = blocked;
        let interest = match blocked {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        poller.reregister(&self.fd, self.token, interest)
    }

    /// Leaves the poll, and closes.
    pub(crate) fn close(self, poller: &mut Poller) {
        poller.remove(&self.fd, self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::ProcessId;

    #[test]
    fn a_read_says_whether_it_drained_the_source() {
        let mut poller = Poller::new().expect("an epoll instance");
        let mut output = Output::new(64 * 1024);
        let (ours, theirs) = sys::io::pipe().expect("a pipe");
        let source = EventSource::Output(ProcessId(1), 0);
        let opened = Channel::open(source, 0, ours, (Stream::Stdout, false), &mut poller);
        let mut channel = opened.expect("watched");
        let mut read = |max| channel.read(&mut output, None, max, 1);
        assert_eq!(read(100), ReadOutcome::Drained);
        sys::io::write(theirs.as_fd(), &[b'x'; 10]).expect("written");
        assert_eq!(read(100), ReadOutcome::Rest(10));
        sys::io::write(theirs.as_fd(), &[b'x'; 3000]).expect("written");
        assert_eq!(read(2000), ReadOutcome::More(2000));
        assert_eq!(read(2000), ReadOutcome::Rest(1000));
        drop(theirs);
        assert_eq!(read(100), ReadOutcome::Closed);
        assert_eq!(output.head(), 3010);
        channel.close(&mut poller);
    }
}
