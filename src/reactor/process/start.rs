//! `Effect::Spawn`: from a launch to a living leader, and exactly one answer.

use crate::reactor::Reactor;
use crate::reactor::clock::{Timer, unix_ns};
use crate::reactor::output::Stream;
use crate::reactor::output::log_files::OpenState;
use crate::reactor::output::open_as_user;
use crate::reactor::poller::Source;
use crate::reactor::process::process_io::{Input, Leader, ProcessIo};
use crate::supervisor::{Event, Process, ProcessId, Sink, SpawnFailure, Stdin};
use crate::sys;
use crate::sys::spawn::{Command, Credentials, Stdio};
use mio::Interest;
use std::collections::VecDeque;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// How long a start waits for a disk that does not open its logs.
const OPEN_MAX: Duration = Duration::from_secs(1);

/// The daemon's side of a child's descriptors.
#[derive(Default)]
struct OurEnds {
    terminal: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl Reactor {
    /// Starts the leader of a process and answers the supervisor; when its log files are to be
    /// opened first, as soon as they are.
    pub(crate) fn spawn(&mut self, id: ProcessId) {
        let Some(process) = self.supervisor.process(id).cloned() else {
            return;
        };
        self.prepare_child(&process);
        let Some(child) = self.children.get(&id) else {
            return;
        };
        let now = self.clock.now();
        match self.log_files.open(id, &process.launch, &child.output) {
            Err(failure) => self.spawn_failed(id, failure),
            Ok(OpenState::Open) => self.spawn_leader(&process),
            Ok(OpenState::Opening) if self.log_files.is_stuck(now) => self.opening_timed_out(id),
            Ok(OpenState::Opening) => self.timers.add(now + OPEN_MAX, Timer::LogOpenDeadline(id)),
        }
    }

    /// Starts without its logs: the disk thread takes too long to open them.
    pub(crate) fn opening_timed_out(&mut self, id: ProcessId) {
        if self.log_files.stop_waiting(id) {
            self.logs_are_open(id);
        }
    }

    /// Continues a start that waited for its logs.
    pub(crate) fn logs_are_open(&mut self, id: ProcessId) {
        if let Some(process) = self.supervisor.process(id).cloned() {
            self.spawn_leader(&process);
        }
    }

    /// The second half, with the logs open.
    pub(crate) fn spawn_leader(&mut self, process: &Process) {
        let id = process.id;
        let outcome = self.try_spawn(process);
        // It lives from now on, not from the turn's beginning: earlier starts took their time.
        let now = self.clock.tick();
        match outcome {
            Ok(pid) => {
                let event = Event::Spawned { id, pid };
                self.supervisor.handle_event(event, now);
            }
            Err(failure) => self.spawn_failed(id, failure),
        }
    }

    /// Answers the supervisor that there is no leader.
    pub(crate) fn spawn_failed(&mut self, id: ProcessId, failure: SpawnFailure) {
        if let Some(process) = self.supervisor.process(id) {
            log::warn!("{}: {failure}", process.name);
        }
        let event = Event::SpawnFailed { id, failure };
        self.supervisor.handle_event(event, self.clock.now());
    }

    fn try_spawn(&mut self, process: &Process) -> Result<i32, SpawnFailure> {
        let (stdio, ends) = self.open_stdio(process)?;
        let command = self.command(process, stdio)?;
        let spawned = sys::spawn::spawn(&command).map_err(|error| {
            let step = sys::spawn::step_text(error.step, &command);
            failed(step, &io::Error::from_raw_os_error(error.errno))
        })?;
        drop(command);
        let pid = spawned.pid;
        let pidfd = spawned.pidfd;
        let Some(child) = self.children.get_mut(&process.id) else {
            return Ok(pid);
        };
        let source = Source::Leader(process.id);
        let token = match self.poller.add(&pidfd, source, Interest::READABLE) {
            Ok(token) => token,
            Err(error) => {
                // A leader that cannot be watched must not live.
                let _ = sys::pidfd::signal(pidfd.as_fd(), libc::SIGKILL);
                let _ = sys::pidfd::wait_blocking(pidfd.as_fd());
                return Err(failed("watch the process".to_string(), &error));
            }
        };
        child.leader = Some(Leader { pid, pidfd, token });
        self.leaders.insert(pid, process.id);
        self.adopt_ends(process.id, ends);
        self.write_pidfile(process, pid);
        Ok(pid)
    }

    /// The child's record, also of a process that was never started.
    pub(crate) fn ensure_child(&mut self, process: &Process) {
        if self.children.contains_key(&process.id) {
            return;
        }
        let child = ProcessIo::new(process.id, &process.name, &process.launch);
        self.children.insert(process.id, child);
        self.follow_newcomer(process.id);
    }

    /// The child's record for a new run: its ring and its terminal.
    fn prepare_child(&mut self, process: &Process) {
        self.ensure_child(process);
        let Some(child) = self.children.get_mut(&process.id) else {
            return;
        };
        if child.output.capacity() != process.launch.buffer {
            child.resize_output(process.launch.buffer);
        }
        child.close_input(&mut self.poller);
        let head = child.output.head();
        // Others may have written behind the last line of the last run, once that was ended.
        let ended = match child.channels.is_empty() {
            true => self.log_files.drained_and_shared(process.id, &child.output),
            false => Vec::new(),
        };
        match process.launch.tty {
            Some(tty) => {
                // The size stays as the attached clients made it.
                if child.driver.is_none() {
                    child.size = (tty.rows, tty.cols);
                }
                child.renew_terminal(unix_ns());
            }
            None => {
                child.begin_line(unix_ns());
                child.terminal = None;
            }
        }
        if child.output.head() > head {
            self.log_files
                .skip_to_head(process.id, &ended, &child.output);
            self.mark_dirty(process.id);
        }
    }

    fn open_stdio(&mut self, process: &Process) -> Result<(Stdio, OurEnds), SpawnFailure> {
        let launch = &process.launch;
        let mut ends = OurEnds::default();
        if launch.tty.is_some() {
            let (rows, cols) = self
                .children
                .get(&process.id)
                .map_or((24, 80), |child| child.size);
            let pty = sys::pty::open(rows, cols)
                .map_err(|error| failed("open a terminal".to_string(), &error))?;
            ends.terminal = Some(pty.master);
            return Ok((Stdio::Tty(pty.slave), ends));
        }
        let step = |what: &str| {
            let what = what.to_string();
            move |error: io::Error| failed(what, &error)
        };
        let stdin = match &launch.stdin {
            Stdin::Null => sys::io::open_null(true).map_err(step("stdin: open /dev/null"))?,
            Stdin::Pipe => {
                let (theirs, ours) = sys::io::pipe_to_child().map_err(step("stdin: pipe"))?;
                ends.stdin = Some(ours);
                theirs
            }
            Stdin::File(path) => {
                let path = Path::new(path);
                open_as_user::open_input_as(path, launch.identity.as_ref())
                    .map_err(step(&format!("stdin: open {}", path.display())))?
            }
        };
        let (stdout, ours) = self.open_output(process, &launch.stdout, "stdout")?;
        ends.stdout = ours;
        let (stderr, ours) = match &launch.stderr {
            Sink::Stdout => {
                let copy = stdout.try_clone().map_err(step("stderr: share stdout"))?;
                (copy, None)
            }
            sink => self.open_output(process, sink, "stderr")?,
        };
        ends.stderr = ours;
        Ok((
            Stdio::Fds {
                stdin,
                stdout,
                stderr,
            },
            ends,
        ))
    }

    /// The child's end of one output, and ours if it passes through the ring.
    fn open_output(
        &self,
        process: &Process,
        sink: &Sink,
        name: &str,
    ) -> Result<(OwnedFd, Option<OwnedFd>), SpawnFailure> {
        match sink {
            Sink::Discard => {
                let null = sys::io::open_null(false)
                    .map_err(|error| failed(format!("{name}: open /dev/null"), &error))?;
                Ok((null, None))
            }
            Sink::File(file) if file.direct => {
                let path = Path::new(&file.path);
                let opened = open_as_user::open_as(path, process.launch.identity.as_ref())
                    .map_err(|error| failed(format!("{name}: open {}", file.path), &error))?;
                Ok((opened, None))
            }
            Sink::Ring | Sink::File(_) | Sink::Stdout => {
                let (ours, theirs) =
                    sys::io::pipe().map_err(|error| failed(format!("{name}: pipe"), &error))?;
                Ok((theirs, Some(ours)))
            }
        }
    }

    fn command(&self, process: &Process, stdio: Stdio) -> Result<Command, SpawnFailure> {
        let launch = &process.launch;
        let (envp, path) = self.inherited.of(process);
        let program = launch.argv.first().map_or("", String::as_str);
        let argv = launch.argv.iter().map(|word| c_string(word, "cmd"));
        Ok(Command {
            argv: argv.collect::<Result<_, _>>()?,
            candidates: sys::spawn::candidates(program, path.as_deref()),
            envp,
            workingdir: c_string(&launch.workingdir, "workingdir")?,
            umask: launch.umask,
            stdio,
            session: true,
            credentials: launch.identity.as_ref().map(|identity| Credentials {
                uid: identity.uid,
                gid: identity.gid,
                groups: identity.groups.clone(),
            }),
            nofile: Some(self.nofile),
            // Who was given less than root does not get it back by a setuid file.
            no_new_privs: launch
                .identity
                .as_ref()
                .is_some_and(|identity| identity.uid != sys::runtime::effective_uid()),
            oom_score_adj: self.oom_score_adj,
            nice: None,
        })
    }

    /// Puts the daemon's ends of a new leader's descriptors into the poll.
    fn adopt_ends(&mut self, id: ProcessId, ends: OurEnds) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let mut opened = Vec::new();
        let outputs = [
            (ends.terminal, Stream::Stdout, true),
            (ends.stdout, Stream::Stdout, false),
            (ends.stderr, Stream::Stderr, false),
        ];
        for (fd, stream, tty) in outputs {
            let Some(fd) = fd else { continue };
            match child.open_channel(fd, stream, tty, &mut self.poller) {
                Ok(number) if tty => {
                    child.input = Some(input_to(None, number));
                    opened.push(number);
                }
                Ok(number) => opened.push(number),
                Err(error) => log::error!("{}: cannot watch its output: {error}", child.name),
            }
        }
        if let Some(fd) = ends.stdin {
            match self.poller.add(&fd, Source::Input(id), Interest::WRITABLE) {
                Ok(token) => child.input = Some(input_to(Some((fd, token)), u32::MAX)),
                Err(error) => log::error!("{}: cannot watch its input: {error}", child.name),
            }
        }
        for number in opened {
            self.queue_output(id, number, false);
        }
    }
}

fn input_to(pipe: Option<(OwnedFd, mio::Token)>, channel: u32) -> Input {
    Input {
        pipe,
        channel,
        queue: VecDeque::new(),
        writable: true,
        ending: false,
    }
}

fn c_string(text: &str, key: &str) -> Result<CString, SpawnFailure> {
    CString::new(text).map_err(|_| SpawnFailure {
        step: key.to_string(),
        error: "a NUL character inside".to_string(),
        errno: libc::EINVAL,
    })
}

fn failed(step: String, error: &io::Error) -> SpawnFailure {
    let errno = error.raw_os_error().unwrap_or(0);
    SpawnFailure {
        step,
        error: sys::error_text(error),
        errno,
    }
}
