//! Channels: the terminal or pipes that a process's output comes from.

use crate::reactor::output::Stream;
use crate::reactor::poller::{EventSource, Poller};
use crate::reactor::process::process_io::ProcessIo;
use crate::sys;
use mio::{Interest, Token};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};

/// One read of a terminal or pipe, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// A read shorter than this drained the source; another one would only return EAGAIN. A flood
/// comes in longer reads.
const SHORT_READ: usize = 1024;

/// Size to which the pipe of a process that fills it is enlarged, in bytes, so that writer and
/// reader wait for each other less often.
const PIPE_SIZE: usize = 256 * 1024;

/// A source of output.
#[derive(Debug)]
pub struct Channel {
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
    pub(super) write_armed: bool,
    /// The other side was closed. The poll reports this once; reading on finds the end.
    pub hung_up: bool,
}

/// When a channel is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// When the poll reports output.
    Idle,
    /// In its turn on the list.
    Queued,
    /// When its log or a client has caught up.
    Paused,
}

/// The result of one read of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
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

impl ProcessIo {
    /// Watches a new source of output.
    ///
    /// # Errors
    /// When the poll refuses it.
    pub fn open_channel(
        &mut self,
        fd: OwnedFd,
        stream: Stream,
        tty: bool,
        poller: &mut Poller,
    ) -> io::Result<u32> {
        let number = self.channels_opened;
        self.channels_opened = number.wrapping_add(1);
        let source = EventSource::Output(self.id, number);
        let token = poller.add(&fd, source, Interest::READABLE)?;
        let channel = Channel {
            number,
            fd,
            token,
            stream,
            tty,
            reading: Reading::Idle,
            enlarged: tty,
            write_armed: false,
            hung_up: false,
        };
        self.channels.push(channel);
        Ok(number)
    }

    /// The channel of this number, unless it is closed.
    pub fn channel(&mut self, number: u32) -> Option<&mut Channel> {
        let mut channels = self.channels.iter_mut();
        channels.find(|channel| channel.number == number)
    }

    /// Closes a channel, and the input that went through it.
    pub fn close_channel(&mut self, number: u32, poller: &mut Poller) {
        let mut channels = self.channels.iter();
        let Some(at) = channels.position(|channel| channel.number == number) else {
            return;
        };
        let channel = self.channels.swap_remove(at);
        poller.remove(&channel.fd, channel.token);
        self.forget_terminal_input(number);
    }

    /// One read of a channel into the ring, of at most `max` bytes. `wall_ns` is the time of the
    /// bytes.
    pub fn read_channel(&mut self, number: u32, max: usize, wall_ns: u64) -> ReadOutcome {
        let mut channels = self.channels.iter_mut();
        let Some(channel) = channels.find(|channel| channel.number == number) else {
            return ReadOutcome::Closed;
        };
        let max = READ_SIZE.min(max);
        if let Some(terminal) = &mut self.terminal {
            terminal.make_room(self.output.read(0).slices, self.output.capacity(), max);
        }
        let spare = self.output.spare(max);
        let short = SHORT_READ.min(spare.len());
        match sys::io::read(channel.fd.as_fd(), spare) {
            Ok(0) => ReadOutcome::Closed,
            Ok(n) => {
                // The terminal is fed everything that goes to the ring: attached clients see both.
                if let Some(terminal) = &mut self.terminal {
                    terminal.feed(&spare[..n]);
                }
                self.output.commit(channel.stream, n, wall_ns);
                if n == READ_SIZE && !std::mem::replace(&mut channel.enlarged, true) {
                    sys::io::enlarge_pipe(channel.fd.as_fd(), PIPE_SIZE);
                }
                match n < short && !channel.hung_up {
                    true => ReadOutcome::Rest(n),
                    false => ReadOutcome::More(n),
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => ReadOutcome::Drained,
            // A terminal whose last holder closed it returns EIO.
            Err(_) => ReadOutcome::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Launch, ProcessId};

    #[test]
    fn a_read_says_whether_it_drained_the_source() {
        let mut poller = Poller::new().expect("an epoll instance");
        let mut io = ProcessIo::new(ProcessId(1), "web:0", &Launch::default());
        let (ours, theirs) = sys::io::pipe().expect("a pipe");
        let opened = io.open_channel(ours, Stream::Stdout, false, &mut poller);
        let number = opened.expect("watched");
        let read = |io: &mut ProcessIo, max| io.read_channel(number, max, 1);
        assert_eq!(read(&mut io, 100), ReadOutcome::Drained);
        sys::io::write(theirs.as_fd(), &[b'x'; 10]).expect("written");
        assert_eq!(read(&mut io, 100), ReadOutcome::Rest(10));
        sys::io::write(theirs.as_fd(), &[b'x'; 3000]).expect("written");
        assert_eq!(read(&mut io, 2000), ReadOutcome::More(2000));
        assert_eq!(read(&mut io, 2000), ReadOutcome::Rest(1000));
        drop(theirs);
        assert_eq!(read(&mut io, 100), ReadOutcome::Closed);
        io.close_channel(number, &mut poller);
        assert_eq!(read(&mut io, 100), ReadOutcome::Closed);
    }
}
