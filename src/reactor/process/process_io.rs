//! The reactor's side of one process, which outlives its runs: so do the console and the output.

use crate::reactor::console::terminal_size::Debounce;
use crate::reactor::control::connection::ConnectionId;
use crate::reactor::disk::file::DiskError;
use crate::reactor::output::{Output, Stream};
use crate::reactor::poller::{EventSource, Poller};
use crate::reactor::process::allowance::Allowance;
use crate::reactor::process::asking::{Asking, signal_one};
use crate::reactor::process::channel::{Channel, ReadOutcome, Reading};
use crate::reactor::process::input::InputQueue;
use crate::reactor::process::process_table::KernelTable;
use crate::supervisor::{Exit, Launch, ProcessId, SignalScope, Time, Transition};
use crate::sys::{
    self,
    descendants::{self, Layout, Name},
};
use crate::terminal::Terminal;
use mio::Token;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// One process.
pub(crate) struct ProcessIo {
    /// Its identity.
    pub id: ProcessId,
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// Its output.
    pub output: Output,
    /// Its leader.
    pub leader: Leader,
    /// Where its output comes from; channels of earlier runs stay while a process holds them.
    pub channels: Vec<Channel>,
    /// Numbers the channels.
    channels_opened: u32,
    /// Where its input goes.
    pub input: Option<InputQueue>,
    /// The model of its terminal.
    pub terminal: Option<Box<Terminal>>,
    /// Rows and columns of its terminal.
    pub size: (u16, u16),
    /// When the size may change again.
    pub resize: Debounce,
    /// When clients whose terminals have another size may be drawn again.
    pub pictures: Debounce,
    /// Attached clients, in order of attaching.
    pub clients: Vec<ConnectionId>,
    /// The client that last sent input, or took over.
    pub driver: Option<ConnectionId>,
    /// `logs` clients, with the index of their cursor.
    pub followers: Vec<(ConnectionId, usize)>,
    /// Exited leaders that may have left stragglers: their pids name groups and sessions.
    pub past_leaders: Vec<i32>,
    /// The address-space layouts of its leaders, which their forks share.
    pub layouts: Vec<Layout>,
    /// The names that its leaders had after their start, which their forks share.
    pub names: Vec<Name>,
    /// The stragglers that are watched.
    pub stragglers: Vec<WatchedStraggler>,
    /// Processes that SIGKILL is about to end and that are named already: pids and start times.
    pub victims: Vec<(i32, u64)>,
    /// The stop signals that every straggler gets.
    pub asking: Option<Asking>,
    /// The signal that stopped its leader, until that continues.
    pub paused: Option<i32>,
    /// How often that may still be announced.
    pub pauses_announced: Allowance,
    /// SIGKILL goes to every straggler that is found.
    pub killing: bool,
    /// Ctrl-s was typed, and no ctrl-q since.
    pub output_stopped: bool,
    /// Ring offset at which the run began.
    pub run_start: u64,
    /// Output of an exited leader is still to be read, because a client or a log catches up. This
    /// ring offset bounds it.
    pub unread_until: Option<u64>,
    /// Changes of state that wait for the log.
    pub announcements: VecDeque<Announcement>,
    /// On the list of processes with new output.
    pub dirty: bool,
    /// The pidfile of this run.
    pub pidfile: Option<String>,
    /// Why the pidfile of this run cannot be written.
    pub pidfile_trouble: Option<DiskError>,
    /// Operations of the disk thread on its pidfile.
    pub operations_pending: u32,
    /// The end of its last run, for its consoles after its removal.
    pub last_exit: Option<Exit>,
    /// Since when it is removed from the config; freed once its logs are written.
    pub released: Option<Time>,
    /// Its removal is published.
    pub removal_published: bool,
}

/// The leader of a process.
#[derive(Debug)]
pub(crate) enum Leader {
    /// There is none.
    None,
    /// A start waits for its log files, until this time at the latest.
    OpeningLogs {
        /// The deadline.
        until: Time,
    },
    /// Its child has not exec'd.
    Starting,
    /// It lives, or has exited and is not reaped yet.
    Alive(LiveLeader),
}

/// A leader that is not reaped. It pins its pid, so that its group is the right one.
#[derive(Debug)]
pub(crate) struct LiveLeader {
    /// Its process id, and that of its group and session.
    pub pid: i32,
    /// Becomes readable when it exits.
    pub pidfd: OwnedFd,
    /// Its token in the poll.
    pub token: Token,
}

/// A process that outlives its leader.
#[derive(Debug)]
pub(crate) struct WatchedStraggler {
    /// Its process id.
    pub pid: i32,
    /// Its start time in clock ticks since boot.
    pub starttime: u64,
    /// Becomes readable when it exits.
    pub pidfd: OwnedFd,
    /// Its token in the poll.
    pub token: Token,
    /// Its command line when it was found, shortened.
    pub first_command: String,
    /// It got SIGKILL.
    pub killed: bool,
    /// It could not be killed.
    pub refused: bool,
}

impl WatchedStraggler {
    /// Its present command line, shortened. An exec may have changed it since it was found.
    pub(crate) fn command(&self) -> String {
        let stat = descendants::stat(self.pid);
        let same = stat.filter(|stat| stat.starttime == self.starttime && !stat.is_dead());
        let command = same.map(|stat| descendants::command(stat.pid));
        command.unwrap_or_else(|| self.first_command.clone())
    }
}

/// How long the announcement of an exit waits for the log to hold all output before it.
pub(crate) const ANNOUNCE_MAX: Duration = Duration::from_secs(1);

/// The offset of an announcement while output before it is still to be read.
pub(crate) const UNREAD: u64 = u64::MAX;

/// A change of state that waits for the log.
#[derive(Debug)]
pub(crate) struct Announcement {
    /// The change.
    pub transition: Transition,
    /// The log has to hold the output before this offset. [`UNREAD`] while that is not known.
    pub offset: u64,
    /// When it is announced in any case, unless a client must not miss output before it.
    pub deadline: Time,
}

impl Announcement {
    /// The offset behind the last output of the run that has ended, if known.
    pub(crate) fn output_end(&self) -> Option<u64> {
        let known = self.transition.exit.is_some() && (1..UNREAD).contains(&self.offset);
        known.then_some(self.offset)
    }
}

impl ProcessIo {
    /// A process that has not been started.
    pub(crate) fn new(id: ProcessId, name: &str, launch: &Launch) -> Self {
        ProcessIo {
            id,
            name: name.to_string(),
            output: Output::new(launch.buffer),
            leader: Leader::None,
            channels: Vec::new(),
            channels_opened: 0,
            input: None,
            terminal: None,
            size: launch.tty.map_or((24, 80), |tty| (tty.rows, tty.cols)),
            resize: Debounce::default(),
            pictures: Debounce::default(),
            clients: Vec::new(),
            driver: None,
            followers: Vec::new(),
            past_leaders: Vec::new(),
            layouts: Vec::new(),
            names: Vec::new(),
            stragglers: Vec::new(),
            victims: Vec::new(),
            asking: None,
            paused: None,
            pauses_announced: Allowance::default(),
            killing: false,
            output_stopped: false,
            run_start: 0,
            unread_until: None,
            announcements: VecDeque::new(),
            dirty: false,
            pidfile: None,
            pidfile_trouble: None,
            operations_pending: 0,
            last_exit: None,
            released: None,
            removal_published: false,
        }
    }

    /// The leader, unless it is reaped.
    pub(crate) fn live_leader(&self) -> Option<&LiveLeader> {
        match &self.leader {
            Leader::Alive(leader) => Some(leader),
            Leader::None | Leader::OpeningLogs { .. } | Leader::Starting => None,
        }
    }

    /// A start has failed.
    pub(crate) fn stop_starting(&mut self) {
        if let Leader::OpeningLogs { .. } | Leader::Starting = self.leader {
            self.leader = Leader::None;
        }
    }

    /// Signals the leader or its group, if there is a leader.
    ///
    /// # Errors
    /// When the leader cannot be signalled, even if others of its group can.
    pub(crate) fn signal_leader(&self, signal: i32, scope: SignalScope) -> io::Result<()> {
        let Some(leader) = self.live_leader() else {
            return Ok(());
        };
        let pidfd = leader.pidfd.as_fd();
        let sent = match scope {
            SignalScope::Leader => sys::pidfd::signal(pidfd, signal),
            // The signal to the group succeeds if it reaches any process; 0 tests the leader.
            SignalScope::Group => sys::pidfd::signal_group(leader.pid, signal)
                .and_then(|()| sys::pidfd::signal(pidfd, 0)),
        };
        match sent {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
            _ => Ok(()),
        }
    }

    /// Forgets a reaped leader, but remembers its group.
    pub(crate) fn leader_exited(&mut self, poller: &mut Poller) -> Option<i32> {
        let Leader::Alive(leader) = std::mem::replace(&mut self.leader, Leader::None) else {
            return None;
        };
        self.paused = None;
        poller.remove(&leader.pidfd, leader.token);
        if !self.past_leaders.contains(&leader.pid) {
            self.past_leaders.push(leader.pid);
        }
        Some(leader.pid)
    }

    /// Prepares ring and terminal for a new run. Returns whether that added output.
    pub(crate) fn prepare_run(&mut self, launch: &Launch, wall_ns: u64) -> bool {
        if self.output.capacity() != launch.buffer {
            self.resize_output(launch.buffer);
        }
        self.asking = None;
        // With another killmode since, a start does not wait for those that were being killed.
        self.killing = false;
        self.victims.clear();
        self.output_stopped = false;
        let head = self.output.head();
        match launch.tty {
            Some(tty) => {
                // With a driver the size stays as the attached clients made it.
                if self.driver.is_none() {
                    self.size = (tty.rows, tty.cols);
                }
                self.renew_terminal(wall_ns);
            }
            None => {
                self.end_line(wall_ns);
                self.terminal = None;
            }
        }
        self.run_start = self.output.head();
        self.output.head() > head
    }

    /// Whether the output of an exited leader, which was still to be read, is now read.
    pub(crate) fn take_end_read(&mut self) -> bool {
        let open = self.channels.iter();
        let mut open = open.filter(|channel| channel.reading != Reading::Idle);
        let none_left = open.next().is_none();
        let head = self.output.head();
        let read = self.unread_until.take_if(|end| none_left || *end <= head);
        read.is_some()
    }

    /// Gives a new run a new terminal.
    fn renew_terminal(&mut self, wall_ns: u64) {
        self.reset_terminal(wall_ns);
        self.end_line(wall_ns);
        if self.terminal.is_none() {
            self.terminal = Some(self.blank_terminal());
        }
        self.resize_terminal(self.size);
    }

    /// A blank terminal of the process's size.
    pub(crate) fn blank_terminal(&self) -> Box<Terminal> {
        let (rows, cols) = self.size;
        Box::new(Terminal::new(self.output.head(), rows, cols))
    }

    /// Resizes the model of the terminal.
    pub(crate) fn resize_terminal(&mut self, size: (u16, u16)) {
        self.size = size;
        if let Some(terminal) = &mut self.terminal {
            terminal.resize(size.0, size.1);
        }
    }

    /// Changes the number of bytes of output that are kept.
    pub(crate) fn resize_output(&mut self, capacity: usize) {
        if let Some(terminal) = &mut self.terminal {
            terminal.before_evict(self.output.read(0).slices, capacity, 0);
        }
        self.output.resize(capacity);
    }

    /// Resets the terminal modes that a run left on. The reset is part of the output, since it is
    /// for the attached clients.
    pub(crate) fn reset_terminal(&mut self, wall_ns: u64) {
        // The log gets the reset too, so it is written only if it is needed.
        let terminal = self.terminal.as_mut();
        if let Some(terminal) = terminal.filter(|terminal| terminal.tracker().is_left_on()) {
            let reset = terminal.tracker().reset_sequence();
            let kept = self.output.read(0).slices;
            terminal.before_evict(kept, self.output.capacity(), reset.len());
            terminal.feed(&reset);
            self.output.write(Stream::Stdout, &reset, wall_ns);
        }
    }

    /// Ends an unfinished line of the last run, so that the next one starts on its own line.
    pub(crate) fn end_line(&mut self, wall_ns: u64) {
        let Some(terminal) = &mut self.terminal else {
            for stream in [Stream::Stdout, Stream::Stderr] {
                if self.output.is_in_line(stream) {
                    self.output.write(stream, b"\n", wall_ns);
                }
            }
            return;
        };
        let kept = self.output.read(0).slices;
        // The last bytes may be an escape sequence at the start of a line.
        if self.output.is_in_line(Stream::Stdout) && terminal.cursor(kept).1 > 0 {
            let newline = b"\r\n";
            terminal.before_evict(kept, self.output.capacity(), newline.len());
            terminal.feed(newline);
            self.output.write(Stream::Stdout, newline, wall_ns);
        }
    }

    /// Watches a new source of output. Returns its number.
    ///
    /// # Errors
    /// When the poll refuses it.
    pub(crate) fn open_channel(
        &mut self,
        fd: OwnedFd,
        stream: Stream,
        tty: bool,
        poller: &mut Poller,
    ) -> io::Result<u32> {
        let number = self.channels_opened;
        self.channels_opened = number.wrapping_add(1);
        let source = EventSource::Output(self.id, number);
        let channel = Channel::open(source, number, fd, (stream, tty), poller)?;
        self.channels.push(channel);
        Ok(number)
    }

    /// The terminal of the current run.
    pub(crate) fn newest_terminal(&self) -> Option<&OwnedFd> {
        let terminals = self.channels.iter().filter(|channel| channel.tty);
        let newest = terminals.max_by_key(|channel| channel.number);
        newest.map(|channel| &channel.fd)
    }

    /// The channel of this number, unless it is closed.
    pub(crate) fn channel(&mut self, number: u32) -> Option<&mut Channel> {
        let mut channels = self.channels.iter_mut();
        channels.find(|channel| channel.number == number)
    }

    /// One read of a channel into the ring, of at most `max` bytes. `wall_ns` is the time of the
    /// bytes.
    pub(crate) fn read_channel(&mut self, number: u32, max: usize, wall_ns: u64) -> ReadOutcome {
        let mut channels = self.channels.iter_mut();
        match channels.find(|channel| channel.number == number) {
            Some(channel) => {
                let terminal = self.terminal.as_deref_mut();
                channel.read(&mut self.output, terminal, max, wall_ns)
            }
            None => ReadOutcome::Closed,
        }
    }

    /// Closes a channel, and the input that went through it.
    pub(crate) fn close_channel(&mut self, number: u32, poller: &mut Poller) {
        let mut channels = self.channels.iter();
        if let Some(at) = channels.position(|channel| channel.number == number) {
            self.channels.swap_remove(at).close(poller);
            self.input.take_if(|input| input.goes_to(number));
        }
    }

    /// Begins to ask everything of this process to end, except the group of its leader, which has
    /// the signal. What is found later gets it, too.
    pub(crate) fn ask_all(&mut self, signal: i32) {
        let leader = self.live_leader().map(|leader| leader.pid);
        let watched = self.stragglers.iter();
        let watched = watched.map(|straggler| (straggler.pid, straggler.starttime));
        let watched = watched.collect();
        let asking = self.asking.get_or_insert_default();
        asking.add_signal(&KernelTable, signal, leader, watched);
    }

    /// Asks more of this process to end. Returns whether all of it is asked.
    pub(crate) fn ask_more(&mut self, more: impl FnMut() -> bool) -> bool {
        match &mut self.asking {
            Some(asking) => asking.advance(&KernelTable, signal_one, more),
            None => true,
        }
    }

    /// Frees every descriptor.
    pub(crate) fn close(&mut self, poller: &mut Poller) {
        for channel in self.channels.drain(..) {
            channel.close(poller);
        }
        self.close_input(poller);
        self.leader_exited(poller);
        for straggler in self.stragglers.drain(..) {
            poller.remove(&straggler.pidfd, straggler.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process_io() -> ProcessIo {
        ProcessIo::new(ProcessId(1), "web:0", &Launch::default())
    }

    #[test]
    fn an_unfinished_line_is_ended_before_the_next_run() {
        let mut io = process_io();
        io.output.write(Stream::Stdout, b"half", 1);
        assert!(io.prepare_run(&Launch::default(), 2));
        assert_eq!(io.output.read(0).slices.0, b"half\n");
        assert!(!io.prepare_run(&Launch::default(), 3));
    }

    #[test]
    fn modes_that_a_run_left_on_are_reset_once() {
        let mut io = process_io();
        let mut terminal = io.blank_terminal();
        terminal.feed(b"\x1b[?25l");
        io.terminal = Some(terminal);
        io.output.write(Stream::Stdout, b"\x1b[?25l", 1);
        let head = io.output.head();
        io.reset_terminal(2);
        assert!(io.output.head() > head);
        let head = io.output.head();
        io.reset_terminal(3);
        assert_eq!(io.output.head(), head);
    }

    #[test]
    fn without_a_leader_no_signal_is_sent() {
        let io = process_io();
        io.signal_leader(libc::SIGKILL, SignalScope::Group)
            .expect("nothing to do");
        assert!(io.live_leader().is_none());
    }
}
