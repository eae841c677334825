//! The input of a process: a queue in front of its terminal or of a pipe.

use crate::reactor::poller::{EventSource, Poller};
use crate::reactor::process::process_io::ProcessIo;
use crate::sys;
use mio::{Interest, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};

/// Input that the process has not read, in bytes; above this its senders are not read.
const INPUT_HIGH: usize = 64 * 1024;

/// The input of a process.
#[derive(Debug)]
pub struct ProcessInput {
    target: InputTarget,
    queue: VecDeque<u8>,
    /// The last write took everything.
    writable: bool,
    /// The pipe is closed when the queue is empty.
    ending: bool,
}

#[derive(Debug)]
enum InputTarget {
    /// The write end of a pipe.
    Pipe(OwnedFd, Token),
    /// The terminal of this channel.
    Terminal(u32),
}

impl ProcessInput {
    fn new(target: InputTarget) -> ProcessInput {
        ProcessInput {
            target,
            queue: VecDeque::new(),
            writable: true,
            ending: false,
        }
    }
}

impl ProcessIo {
    /// Sends input to the terminal of a channel.
    pub fn open_terminal_input(&mut self, channel: u32) {
        self.input = Some(ProcessInput::new(InputTarget::Terminal(channel)));
    }

    /// Sends input to a pipe.
    ///
    /// # Errors
    /// When the poll refuses it.
    pub fn open_pipe_input(&mut self, fd: OwnedFd, poller: &mut Poller) -> io::Result<()> {
        let token = poller.add(&fd, EventSource::Input(self.id), Interest::WRITABLE)?;
        self.input = Some(ProcessInput::new(InputTarget::Pipe(fd, token)));
        Ok(())
    }

    /// Whether more input may be queued.
    pub fn takes_input(&self) -> bool {
        let input = self.input.as_ref();
        input.is_some_and(|input| input.queue.len() < INPUT_HIGH && !input.ending)
    }

    /// Whether senders have to wait: there is input, but no more may be queued.
    pub fn is_input_full(&self) -> bool {
        self.input.is_some() && !self.takes_input()
    }

    /// Queues input, and writes as much as the process takes. Without an input it is dropped.
    pub fn write_input(&mut self, bytes: &[u8], poller: &mut Poller) {
        if let Some(input) = &mut self.input
            && !input.ending
        {
            input.queue.extend(bytes);
            self.flush_input(poller);
        }
    }

    /// The process reads its input again.
    pub fn input_writable(&mut self, poller: &mut Poller) {
        if let Some(input) = &mut self.input {
            input.writable = true;
        }
        self.flush_input(poller);
    }

    /// Writes queued input as far as the process takes it.
    fn flush_input(&mut self, poller: &mut Poller) {
        let Some(input) = &mut self.input else { return };
        let (fd, mut terminal) = match &input.target {
            InputTarget::Pipe(fd, _) => (Some(fd), None),
            InputTarget::Terminal(number) => {
                let mut channels = self.channels.iter_mut();
                (None, channels.find(|channel| channel.number == *number))
            }
        };
        let mut failed = false;
        while input.writable && !input.queue.is_empty() && !failed {
            let Some(fd) = fd.or(terminal.as_ref().map(|channel| &channel.fd)) else {
                break;
            };
            match sys::io::write(fd.as_fd(), input.queue.as_slices().0) {
                Ok(n) => drop(input.queue.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => input.writable = false,
                Err(_) => failed = true,
            }
        }
        if input.queue.is_empty() && input.queue.capacity() > INPUT_HIGH {
            input.queue = VecDeque::new();
        }
        let blocked = !input.writable;
        if let Some(channel) = &mut terminal
            && channel.tty
            && channel.write_armed != blocked
        {
            let interest = match blocked {
                true => Interest::READABLE | Interest::WRITABLE,
                false => Interest::READABLE,
            };
            let changed = poller.reregister(&channel.fd, channel.token, interest);
            failed |= changed.is_err();
            channel.write_armed = blocked;
        }
        if failed || (input.ending && input.queue.is_empty()) {
            self.close_input(poller);
        }
    }

    /// Ends the input. A pipe is closed when everything is written; a terminal stays open.
    pub fn end_input(&mut self, poller: &mut Poller) {
        if let Some(input) = &mut self.input
            && let InputTarget::Pipe(..) = input.target
        {
            input.ending = true;
            self.flush_input(poller);
        }
    }

    /// Drops the input, and closes its pipe.
    pub fn close_input(&mut self, poller: &mut Poller) {
        if let Some(input) = self.input.take()
            && let InputTarget::Pipe(fd, token) = input.target
        {
            poller.remove(&fd, token);
        }
    }

    /// Drops the input if it goes to the terminal of this channel.
    pub(super) fn forget_terminal_input(&mut self, channel: u32) {
        let is_there = |input: &mut ProcessInput| match input.target {
            InputTarget::Terminal(number) => number == channel,
            InputTarget::Pipe(..) => false,
        };
        self.input.take_if(is_there);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Launch, ProcessId};

    #[test]
    fn input_waits_for_a_process_that_does_not_read() {
        let mut poller = Poller::new().expect("an epoll instance");
        let mut io = ProcessIo::new(ProcessId(1), "web:0", &Launch::default());
        assert!(!io.takes_input() && !io.is_input_full());
        let (theirs, ours) = sys::io::pipe_to_child().expect("a pipe");
        io.open_pipe_input(ours, &mut poller).expect("watched");
        let bytes = vec![b'x'; INPUT_HIGH];
        let mut written = 0;
        while io.takes_input() {
            io.write_input(&bytes, &mut poller);
            written += bytes.len();
        }
        assert!(io.is_input_full());
        io.end_input(&mut poller);
        let mut read = 0;
        let mut buffer = vec![0; INPUT_HIGH];
        loop {
            read += match sys::io::read(theirs.as_fd(), &mut buffer).expect("read") {
                0 => break,
                n => n,
            };
            io.input_writable(&mut poller);
        }
        assert_eq!(read, written);
        assert!(io.input.is_none());
    }
}
