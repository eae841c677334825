//! The input of one process: opened when a start begins, connected when its child has exec'd.

use crate::reactor::poller::{EventSource, Poller};
use crate::reactor::process::input::InputQueue;
use crate::reactor::process::process_io::ProcessIo;
use crate::supervisor::{Launch, State, Stdin};
use std::io;
use std::os::fd::OwnedFd;

impl ProcessIo {
    /// Opens the input as soon as a start begins, and drops it if the start fails. The process has
    /// entered the state `to`.
    pub(crate) fn switch_input(&mut self, to: State, launch: &Launch, poller: &mut Poller) {
        match to {
            State::Starting => self.open_input(launch, poller),
            State::Backoff | State::Exited | State::Fatal | State::Stopped => {
                self.input.take_if(|input| input.is_of_start());
            }
            State::Waiting | State::Running | State::Stopping => {}
        }
    }

    /// Keeps the input of a start until its process runs.
    pub(crate) fn open_input(&mut self, launch: &Launch, poller: &mut Poller) {
        self.close_input(poller);
        let (tty, pipe) = (launch.tty.is_some(), launch.stdin == Stdin::Pipe);
        self.input = (tty || pipe).then(|| InputQueue::of_start(!tty));
    }

    /// Sends input to the terminal of a channel.
    pub(crate) fn connect_terminal_input(&mut self, channel: u32, poller: &mut Poller) {
        self.change_input(poller, |input| input.connect_terminal(channel));
    }

    /// Sends input to a pipe.
    ///
    /// # Errors
    /// When the poll refuses it.
    pub(crate) fn connect_pipe_input(
        &mut self,
        fd: OwnedFd,
        poller: &mut Poller,
    ) -> io::Result<()> {
        let source = EventSource::Input(self.id);
        if let Some(input) = &mut self.input {
            input.connect_pipe(source, fd, poller)?;
        }
        self.input_writable(poller);
        Ok(())
    }

    /// Whether more input may be queued.
    pub(crate) fn takes_input(&self) -> bool {
        self.input.as_ref().is_some_and(InputQueue::has_room)
    }

    /// Whether senders have to wait: there is input, but no more may be queued.
    pub(crate) fn is_input_full(&self) -> bool {
        self.input.is_some() && !self.takes_input()
    }

    /// Queues input, and writes as much as the process takes. Without an input it is dropped.
    pub(crate) fn write_input(&mut self, bytes: &[u8], poller: &mut Poller) {
        self.change_input(poller, |input| input.push(bytes));
    }

    /// The process reads its input again.
    pub(crate) fn input_writable(&mut self, poller: &mut Poller) {
        self.change_input(poller, InputQueue::unblock);
    }

    /// Ends the input. A pipe is closed when everything is written; a terminal stays open.
    pub(crate) fn end_input(&mut self, poller: &mut Poller) {
        self.change_input(poller, InputQueue::end);
    }

    fn change_input(&mut self, poller: &mut Poller, change: impl FnOnce(&mut InputQueue)) {
        if let Some(input) = &mut self.input {
            change(input);
            if !input.flush(&mut self.channels, poller) {
                self.close_input(poller);
            }
        }
    }

    /// Drops the input, and closes its pipe.
    pub(crate) fn close_input(&mut self, poller: &mut Poller) {
        if let Some(input) = self.input.take() {
            input.close(poller);
        }
    }
}
