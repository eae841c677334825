//! What the reactor holds of one process: descriptors, output, input, logs, clients. It outlives
//! the runs of the process, so that its console and its output do too.

use crate::reactor::console::terminal_size::Resizing;
use crate::reactor::control::connection::ConnectionId;
use crate::reactor::output::{Output, Stream};
use crate::reactor::poller::{Poller, Source};
use crate::supervisor::{Exit, Launch, ProcessId, Time, Transition};
use crate::sys;
use crate::terminal::Terminal;
use mio::{Interest, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};

/// Input that waits for the process to read it; above this its senders are not read any more.
const INPUT_HIGH: usize = 64 * 1024;

/// One read of a terminal or pipe, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// A shorter read took all there was, in bytes: not worth another one to be told so. A flood
/// comes in longer ones.
const SHORT_READ: usize = 1024;

/// What the pipe of a process that fills it is enlarged to, in bytes, so that writer and reader
/// wait for one another less often.
const PIPE_SIZE: usize = 256 * 1024;

/// One process.
pub struct ProcessIo {
    /// Its identity.
    pub id: ProcessId,
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// What it printed, and when.
    pub output: Output,
    /// The living leader.
    pub leader: Option<Leader>,
    /// Where its output comes from; those of earlier runs as long as somebody holds them.
    pub channels: Vec<Channel>,
    /// Numbers the channels.
    channels_opened: u32,
    /// Where its input goes.
    pub input: Option<Input>,
    /// What its terminal shows.
    pub terminal: Option<Box<Terminal>>,
    /// Rows and columns of its terminal.
    pub size: (u16, u16),
    /// When that may change again.
    pub resizing: Resizing,
    /// Attached clients, in order of attaching.
    pub clients: Vec<ConnectionId>,
    /// Who drives: typed last, or took it.
    pub driver: Option<ConnectionId>,
    /// `logs` clients, with their cursor's index.
    pub followers: Vec<(ConnectionId, usize)>,
    /// Ended leaders that may have left something alive: their pids are groups and sessions.
    pub former: Vec<i32>,
    /// What they left, as far as it was found.
    pub stragglers: Vec<Straggler>,
    /// SIGKILL goes to everything that is found of it.
    pub killing: bool,
    /// Changes of state not announced yet: the log has to be written first.
    pub announcements: VecDeque<Announcement>,
    /// There is new output to hand on.
    pub dirty: bool,
    /// The pidfile that was written for this run.
    pub pidfile: Option<String>,
    /// Files that the disk thread is writing or removing for it.
    pub files_pending: u32,
    /// How its last run ended, for the consoles of one that is removed.
    pub last_exit: Option<Exit>,
    /// Gone from the config; freed as soon as its logs are written.
    pub released: bool,
}

/// A living leader.
#[derive(Debug)]
pub struct Leader {
    /// Its process id, and that of its group and session.
    pub pid: i32,
    /// Becomes readable when it ends.
    pub pidfd: OwnedFd,
    /// In the poll.
    pub token: Token,
}

/// Where output comes from.
#[derive(Debug)]
pub struct Channel {
    /// Names it within the child.
    pub number: u32,
    /// A terminal's master or a pipe's read end.
    pub fd: OwnedFd,
    /// In the poll.
    pub token: Token,
    /// What it carries.
    pub stream: Stream,
    /// A terminal's master.
    pub tty: bool,
    /// On the list of those to read.
    pub queued: bool,
    /// The log has to catch up before it is read on.
    pub paused: bool,
    /// A pipe that was full once and has been enlarged.
    pub enlarged: bool,
    /// The poll tells when a terminal takes input again.
    pub armed: bool,
    /// The other side was closed: that is told once, and found by reading on.
    pub hung_up: bool,
}

/// Where input goes.
#[derive(Debug)]
pub struct Input {
    /// The write end of the pipe; none when it is the terminal of this channel.
    pub pipe: Option<(OwnedFd, Token)>,
    /// The terminal's channel.
    pub channel: u32,
    /// What waits.
    pub queue: VecDeque<u8>,
    /// The last write did not come back short.
    pub writable: bool,
    /// The pipe is closed when the queue is empty.
    pub ending: bool,
}

/// Something that an ended leader left alive.
#[derive(Debug)]
pub struct Straggler {
    /// Its process id.
    pub pid: i32,
    /// Becomes readable when it ends.
    pub pidfd: OwnedFd,
    /// In the poll.
    pub token: Token,
    /// Its command line, shortened.
    pub command: String,
}

/// A change of state that waits for the log.
#[derive(Debug)]
pub struct Announcement {
    /// What to announce.
    pub transition: Transition,
    /// When the log has got this far.
    pub offset: u64,
    /// Or at this time at the latest.
    pub deadline: Time,
}

/// What one read of a channel brought.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Bytes; there may be more.
    More(usize),
    /// Bytes, so few that nothing was left; what comes later is told anew.
    Rest(usize),
    /// Nothing now.
    Drained,
    /// The log has to catch up first.
    Paused,
    /// The other side is closed.
    Closed,
}

impl ProcessIo {
    /// A process that has not been started.
    pub fn new(id: ProcessId, name: &str, launch: &Launch) -> Self {
        ProcessIo {
            id,
            name: name.to_string(),
            output: Output::new(launch.buffer),
            leader: None,
            channels: Vec::new(),
            channels_opened: 0,
            input: None,
            terminal: None,
            size: launch.tty.map_or((24, 80), |tty| (tty.rows, tty.cols)),
            resizing: Resizing::default(),
            clients: Vec::new(),
            driver: None,
            followers: Vec::new(),
            former: Vec::new(),
            stragglers: Vec::new(),
            killing: false,
            announcements: VecDeque::new(),
            dirty: false,
            pidfile: None,
            files_pending: 0,
            last_exit: None,
            released: false,
        }
    }

    /// A new run gets a new terminal.
    pub fn renew_terminal(&mut self, wall_ns: u64) {
        self.reset_terminal(wall_ns);
        self.begin_line(wall_ns);
        if self.terminal.is_none() {
            self.terminal = Some(self.fresh_terminal());
        }
        self.resize_terminal(self.size);
    }

    /// A terminal that nothing has been written to.
    pub fn fresh_terminal(&self) -> Box<Terminal> {
        let (rows, cols) = self.size;
        Box::new(Terminal::new(self.output.head(), rows, cols))
    }

    /// Takes note of another size.
    pub fn resize_terminal(&mut self, size: (u16, u16)) {
        self.size = size;
        if let Some(terminal) = &mut self.terminal {
            terminal.resize(size.0, size.1);
        }
    }

    /// Changes how many bytes of output are kept.
    pub fn resize_output(&mut self, capacity: usize) {
        if let Some(terminal) = &mut self.terminal {
            terminal.before_evict(self.output.read(0).slices, capacity, 0);
        }
        self.output.resize(capacity);
    }

    /// What a run left turned on is undone for those who look on, as part of the output.
    pub fn reset_terminal(&mut self, wall_ns: u64) {
        // What is written here is in the log, too: not more than there has to be.
        let terminal = self.terminal.as_mut();
        if let Some(terminal) = terminal.filter(|terminal| terminal.tracker().is_left_on()) {
            let reset = terminal.tracker().reset_sequence();
            let kept = self.output.read(0).slices;
            terminal.before_evict(kept, self.output.capacity(), reset.len());
            terminal.feed(&reset);
            self.output.write(Stream::Stdout, &reset, wall_ns);
        }
    }

    /// What a run left within a line does not become one line with what the next one writes.
    pub fn begin_line(&mut self, wall_ns: u64) {
        let Some(terminal) = &mut self.terminal else {
            for stream in [Stream::Stdout, Stream::Stderr] {
                if self.output.is_in_line(stream) {
                    self.output.write(stream, b"\n", wall_ns);
                }
            }
            return;
        };
        let kept = self.output.read(0).slices;
        // Something else than text may be last, at the beginning of a line.
        if self.output.is_in_line(Stream::Stdout) && terminal.cursor(kept).1 > 0 {
            let newline = b"\r\n";
            terminal.before_evict(kept, self.output.capacity(), newline.len());
            terminal.feed(newline);
            self.output.write(Stream::Stdout, newline, wall_ns);
        }
    }

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
        let source = Source::Output(self.id, number);
        let token = poller.add(&fd, source, Interest::READABLE)?;
        let channel = Channel {
            number,
            fd,
            token,
            stream,
            tty,
            queued: false,
            paused: false,
            enlarged: tty,
            armed: false,
            hung_up: false,
        };
        self.channels.push(channel);
        Ok(number)
    }

    /// The channel of this number, unless it is closed.
    pub fn channel(&mut self, number: u32) -> Option<&mut Channel> {
        self.channels
            .iter_mut()
            .find(|channel| channel.number == number)
    }

    /// Closes a channel, and the input that went through it.
    pub fn close_channel(&mut self, number: u32, poller: &mut Poller) {
        let Some(at) = self
            .channels
            .iter()
            .position(|channel| channel.number == number)
        else {
            return;
        };
        let channel = self.channels.swap_remove(at);
        poller.remove(&channel.fd, channel.token);
        if self
            .input
            .as_ref()
            .is_some_and(|input| input.pipe.is_none() && input.channel == number)
        {
            self.input = None;
        }
    }

    /// One read of a channel into the ring, of at most `max` bytes. `wall_ns` is the time the
    /// bytes are marked with.
    pub fn read_channel(&mut self, number: u32, max: usize, wall_ns: u64) -> ReadOutcome {
        let Some(channel) = self
            .channels
            .iter_mut()
            .find(|channel| channel.number == number)
        else {
            return ReadOutcome::Closed;
        };
        let max = READ_SIZE.min(max);
        if let Some(terminal) = &mut self.terminal {
            terminal.before_evict(self.output.read(0).slices, self.output.capacity(), max);
        }
        let spare = self.output.spare(max);
        let short = SHORT_READ.min(spare.len());
        match sys::io::read(channel.fd.as_fd(), spare) {
            Ok(0) => ReadOutcome::Closed,
            Ok(n) => {
                // Whatever goes to the ring is shown to those who are attached.
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
            // A terminal whose last holder closed it says EIO.
            Err(_) => ReadOutcome::Closed,
        }
    }

    /// Whether more input may be queued.
    pub fn takes_input(&self) -> bool {
        self.input
            .as_ref()
            .is_some_and(|input| input.queue.len() < INPUT_HIGH && !input.ending)
    }

    /// Queues input and writes what goes; `false` when there is nowhere to write to.
    pub fn write_input(&mut self, bytes: &[u8], poller: &mut Poller) -> bool {
        let Some(input) = &mut self.input else {
            return false;
        };
        if input.ending {
            return false;
        }
        input.queue.extend(bytes);
        self.flush_input(poller);
        true
    }

    /// Writes queued input as far as the process takes it.
    pub fn flush_input(&mut self, poller: &mut Poller) {
        let Some(input) = &mut self.input else { return };
        let terminal = self
            .channels
            .iter()
            .find(|channel| channel.number == input.channel);
        let mut broken = false;
        while input.writable && !input.queue.is_empty() && !broken {
            let fd = match (&input.pipe, terminal) {
                (Some((fd, _)), _) => fd,
                (None, Some(channel)) => &channel.fd,
                (None, None) => break,
            };
            match sys::io::write(fd.as_fd(), input.queue.as_slices().0) {
                Ok(n) => drop(input.queue.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => input.writable = false,
                Err(_) => broken = true,
            }
        }
        if input.queue.is_empty() && input.queue.capacity() > INPUT_HIGH {
            input.queue = VecDeque::new();
        }
        let waits = input.pipe.is_none() && !input.writable;
        let number = input.channel;
        let terminal = self.channels.iter_mut().find(|one| one.number == number);
        if let Some(channel) = terminal.filter(|channel| channel.tty && channel.armed != waits) {
            let interest = match waits {
                true => Interest::READABLE | Interest::WRITABLE,
                false => Interest::READABLE,
            };
            broken |= poller
                .reregister(&channel.fd, channel.token, interest)
                .is_err();
            channel.armed = waits;
        }
        if broken || (input.ending && input.queue.is_empty()) {
            self.close_input(poller);
        }
    }

    /// Closes the input pipe; a terminal stays open.
    pub fn close_input(&mut self, poller: &mut Poller) {
        if let Some(Input {
            pipe: Some((fd, token)),
            ..
        }) = self.input.take()
        {
            poller.remove(&fd, token);
        }
    }

    /// The end of input: the pipe is closed when everything is written.
    pub fn end_input(&mut self, poller: &mut Poller) {
        if let Some(input) = &mut self.input
            && input.pipe.is_some()
        {
            input.ending = true;
            self.flush_input(poller);
        }
    }

    /// The leader has ended: forgets it, remembers its group.
    pub fn leader_ended(&mut self, poller: &mut Poller) -> Option<i32> {
        let leader = self.leader.take()?;
        poller.remove(&leader.pidfd, leader.token);
        if !self.former.contains(&leader.pid) {
            self.former.push(leader.pid);
        }
        Some(leader.pid)
    }

    /// Frees every descriptor.
    pub fn close(&mut self, poller: &mut Poller) {
        for channel in self.channels.drain(..) {
            poller.remove(&channel.fd, channel.token);
        }
        self.close_input(poller);
        self.leader_ended(poller);
        for straggler in self.stragglers.drain(..) {
            poller.remove(&straggler.pidfd, straggler.token);
        }
    }
}
