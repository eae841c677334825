//! The input of a process: a queue in front of its terminal or of a pipe. It exists from the
//! beginning of a start, so that input does not depend on how long the start takes.

use crate::reactor::poller::{EventSource, Poller};
use crate::reactor::process::channel::Channel;
use crate::sys;
use mio::{Interest, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};

/// Input that the process has not read, in bytes; above this its senders are not read.
const INPUT_HIGH: usize = 64 * 1024;

/// The input of a process.
#[derive(Debug)]
pub(crate) struct InputQueue {
    target: InputTarget,
    queue: VecDeque<u8>,
    /// The last write took everything.
    writable: bool,
    /// The pipe is closed when the queue is empty.
    ending: bool,
}

#[derive(Debug)]
enum InputTarget {
    /// The process is being started. It will have a pipe, or a terminal.
    Starting { pipe: bool },
    /// The write end of a pipe.
    Pipe(OwnedFd, Token),
    /// The terminal of this channel.
    Terminal(u32),
}

impl InputQueue {
    /// Input to a process that is being started. It is kept until the queue is connected.
    pub(crate) fn of_start(pipe: bool) -> InputQueue {
        InputQueue {
            target: InputTarget::Starting { pipe },
            queue: VecDeque::new(),
            writable: true,
            ending: false,
        }
    }

    /// Connects the queue to the terminal of a channel.
    pub(crate) fn connect_terminal(&mut self, channel: u32) {
        self.target = InputTarget::Terminal(channel);
    }

    /// Connects the queue to a pipe.
    ///
    /// # Errors
    /// When the poll refuses it.
    pub(crate) fn connect_pipe(
        &mut self,
        source: EventSource,
        fd: OwnedFd,
        poller: &mut Poller,
    ) -> io::Result<()> {
        let token = poller.add(&fd, source, Interest::WRITABLE)?;
        self.target = InputTarget::Pipe(fd, token);
        Ok(())
    }

    /// Whether its process has not exec'd yet.
    pub(crate) fn is_of_start(&self) -> bool {
        matches!(self.target, InputTarget::Starting { .. })
    }

    /// Whether more may be queued.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < INPUT_HIGH && !self.ending
    }

    /// Whether it goes to the terminal of this channel.
    pub(crate) fn goes_to(&self, channel: u32) -> bool {
        match self.target {
            InputTarget::Terminal(number) => number == channel,
            InputTarget::Pipe(..) | InputTarget::Starting { .. } => false,
        }
    }

    /// Queues bytes. After the end they are dropped.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !self.ending {
            self.queue.extend(bytes);
        }
    }

    /// The process reads again.
    pub(crate) fn unblock(&mut self) {
        self.writable = true;
    }

    /// Ends the input. A pipe is closed when everything is written; a terminal stays open.
    pub(crate) fn end(&mut self) {
        self.ending |= match self.target {
            InputTarget::Starting { pipe } => pipe,
            InputTarget::Pipe(..) => true,
            InputTarget::Terminal(_) => false,
        };
    }

    /// Writes queued bytes as far as the process takes them. Returns `false` when the input has to
    /// be closed: everything is written, or writing has failed.
    pub(crate) fn flush(&mut self, channels: &mut [Channel], poller: &Poller) -> bool {
        let (pipe, mut terminal) = match &self.target {
            InputTarget::Starting { .. } => return true,
            InputTarget::Pipe(fd, _) => (Some(fd), None),
            InputTarget::Terminal(number) => {
                let mut channels = channels.iter_mut();
                (None, channels.find(|channel| channel.number == *number))
            }
        };
        let mut failed = false;
        while self.writable && !self.queue.is_empty() && !failed {
            let Some(fd) = pipe.or(terminal.as_ref().map(|channel| &channel.fd)) else {
                break;
            };
            match sys::io::write(fd.as_fd(), self.queue.as_slices().0) {
                Ok(n) => drop(self.queue.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(_) => failed = true,
            }
        }
        if self.queue.is_empty() && self.queue.capacity() > INPUT_HIGH {
            self.queue = VecDeque::new();
        }
        if let Some(channel) = &mut terminal {
            failed |= channel.arm_write(!self.writable, poller).is_err();
        }
        let complete = self.ending && self.queue.is_empty();
        !failed && !complete
    }

    /// Closes a pipe.
    pub(crate) fn close(self, poller: &mut Poller) {
        if let InputTarget::Pipe(fd, token) = self.target {
            poller.remove(&fd, token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::ProcessId;

    #[test]
    fn input_waits_for_a_process_that_does_not_read() {
        let mut poller = Poller::new().expect("an epoll instance");
        let (theirs, ours) = sys::io::pipe_to_child().expect("a pipe");
        let source = EventSource::Input(ProcessId(1));
        let mut input = InputQueue::of_start(true);
        input
            .connect_pipe(source, ours, &mut poller)
            .expect("watched");
        let bytes = vec![b'x'; INPUT_HIGH];
        let mut written = 0;
        while input.has_room() {
            input.push(&bytes);
            assert!(input.flush(&mut [], &poller));
            written += bytes.len();
        }
        input.end();
        input.push(b"too late");
        let mut read = 0;
        let mut buffer = vec![0; INPUT_HIGH];
        let mut input = Some(input);
        loop {
            read += match sys::io::read(theirs.as_fd(), &mut buffer).expect("read") {
                0 => break,
                n => n,
            };
            if let Some(open) = &mut input {
                open.unblock();
                if !open.flush(&mut [], &poller) {
                    input.take().expect("open").close(&mut poller);
                }
            }
        }
        assert_eq!(read, written);
    }

    #[test]
    fn input_and_its_end_wait_for_the_start() {
        let mut poller = Poller::new().expect("an epoll instance");
        let (theirs, ours) = sys::io::pipe_to_child().expect("a pipe");
        let mut input = InputQueue::of_start(true);
        input.push(b"typed early");
        input.end();
        assert!(input.flush(&mut [], &poller), "kept");
        let source = EventSource::Input(ProcessId(1));
        input
            .connect_pipe(source, ours, &mut poller)
            .expect("watched");
        assert!(!input.flush(&mut [], &poller), "complete");
        input.close(&mut poller);
        let mut buffer = [0; 64];
        let read = sys::io::read(theirs.as_fd(), &mut buffer).expect("read");
        assert_eq!(&buffer[..read], b"typed early");
        assert_eq!(sys::io::read(theirs.as_fd(), &mut buffer).expect("end"), 0);
    }

    #[test]
    fn senders_wait_while_a_start_takes_long() {
        let mut input = InputQueue::of_start(false);
        input.push(&vec![b'x'; INPUT_HIGH]);
        assert!(!input.has_room());
    }
}
