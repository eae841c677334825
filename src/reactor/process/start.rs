//! The steps of a start: the ring and terminal of a new run, its descriptors, its leader.
//!
//! `Reactor::start` in `effects` puts them in order.

use crate::reactor::clock::unix_ns;
use crate::reactor::output::Stream;
use crate::reactor::output::log_files::LogFiles;
use crate::reactor::output::open_as_user;
use crate::reactor::poller::{EventSource, Poller};
use crate::reactor::process::input::InputQueue;
use crate::reactor::process::process_io::LiveLeader;
use crate::reactor::process::processes::Processes;
use crate::reactor::process::spawner::{Spawner, failure};
use crate::supervisor::{Process, ProcessId, Sink, SpawnFailure, Stdin};
use crate::sys;
use crate::sys::spawn::{Spawned, Stdio};
use mio::Interest;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The daemon's ends of a process's descriptors.
#[derive(Default)]
struct OurEnds {
    terminal: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

/// Prepares ring and terminal for a new run.
pub(crate) fn prepare_run(
    process: &Process,
    processes: &mut Processes,
    log_files: &mut LogFiles,
    poller: &mut Poller,
) {
    let id = process.id;
    let Some(io) = processes.io_mut(id) else {
        return;
    };
    io.close_input(poller);
    // Once the last line of the last run is ended in a shared log, other processes may have
    // written after it: this log does not get the separator.
    let ended = match io.channels.is_empty() {
        true => log_files.drained_and_shared(id, &io.output),
        false => Vec::new(),
    };
    if io.prepare_run(&process.launch, unix_ns()) {
        log_files.skip_to_head(id, &ended, &io.output);
        processes.mark_dirty(id);
    }
}

/// Starts the leader of a process, and watches it and its output. Returns its pid.
///
/// # Errors
/// When a step of it fails. There is no leader then.
pub(crate) fn spawn_leader(
    process: &Process,
    spawner: &Spawner,
    processes: &mut Processes,
    poller: &mut Poller,
) -> Result<i32, SpawnFailure> {
    let id = process.id;
    let size = processes.io(id).map_or((24, 80), |io| io.size);
    let (stdio, ends) = open_stdio(process, size)?;
    let command = spawner.command(process, stdio)?;
    let spawned = sys::spawn::spawn(&command).map_err(|error| {
        let step = sys::spawn::step_text(error.step, &command);
        failure(step, &io::Error::from_raw_os_error(error.errno))
    })?;
    // This closes the daemon's copies of the leader's descriptors.
    drop(command);
    let leader = watch_leader(id, spawned, poller)?;
    let pid = leader.pid;
    processes.set_leader(id, leader);
    for number in watch_ends(id, ends, processes, poller) {
        processes.queue_output(id, number, false);
    }
    Ok(pid)
}

fn watch_leader(
    id: ProcessId,
    spawned: Spawned,
    poller: &mut Poller,
) -> Result<LiveLeader, SpawnFailure> {
    let Spawned { pid, pidfd } = spawned;
    match poller.add(&pidfd, EventSource::Leader(id), Interest::READABLE) {
        Ok(token) => Ok(LiveLeader { pid, pidfd, token }),
        Err(error) => {
            // A leader that cannot be watched must not live.
            let _ = sys::pidfd::signal(pidfd.as_fd(), libc::SIGKILL);
            let _ = sys::pidfd::wait_blocking(pidfd.as_fd());
            Err(failure("watch the process".to_string(), &error))
        }
    }
}

/// Watches the daemon's ends of a new leader's descriptors. Returns the channels.
fn watch_ends(
    id: ProcessId,
    ends: OurEnds,
    processes: &mut Processes,
    poller: &mut Poller,
) -> Vec<u32> {
    let Some(io) = processes.io_mut(id) else {
        return Vec::new();
    };
    let outputs = [
        (ends.terminal, Stream::Stdout, true),
        (ends.stdout, Stream::Stdout, false),
        (ends.stderr, Stream::Stderr, false),
    ];
    let mut channels = Vec::new();
    for (fd, stream, tty) in outputs {
        let Some(fd) = fd else { continue };
        match io.open_channel(fd, stream, tty, poller) {
            Ok(number) => {
                if tty {
                    io.input = Some(InputQueue::to_terminal(number));
                }
                channels.push(number);
            }
            Err(error) => log::error!("{}: cannot watch its output: {error}", io.name),
        }
    }
    if let Some(fd) = ends.stdin
        && let Err(error) = io.open_pipe_input(fd, poller)
    {
        log::error!("{}: cannot watch its input: {error}", io.name);
    }
    channels
}

/// Opens the leader's standard streams, and the daemon's ends of them.
fn open_stdio(process: &Process, size: (u16, u16)) -> Result<(Stdio, OurEnds), SpawnFailure> {
    let launch = &process.launch;
    let mut ends = OurEnds::default();
    if launch.tty.is_some() {
        let pty = sys::pty::open(size.0, size.1)
            .map_err(|error| failure("open a terminal".to_string(), &error))?;
        ends.terminal = Some(pty.master);
        return Ok((Stdio::Tty(pty.slave), ends));
    }
    let (stdin, ours) = open_input(process)?;
    ends.stdin = ours;
    let (stdout, ours) = open_output(process, &launch.stdout, "stdout")?;
    ends.stdout = ours;
    let (stderr, ours) = match &launch.stderr {
        Sink::Stdout => {
            let copy = stdout.try_clone();
            let copy = copy.map_err(|error| failure("stderr: share stdout".into(), &error))?;
            (copy, None)
        }
        sink => open_output(process, sink, "stderr")?,
    };
    ends.stderr = ours;
    let stdio = Stdio::Fds {
        stdin,
        stdout,
        stderr,
    };
    Ok((stdio, ends))
}

/// The leader's standard input, and the daemon's end if it is a pipe.
fn open_input(process: &Process) -> Result<(OwnedFd, Option<OwnedFd>), SpawnFailure> {
    let step = |what: String| move |error: io::Error| failure(format!("stdin: {what}"), &error);
    match &process.launch.stdin {
        Stdin::Null => {
            let null = sys::io::open_null(true);
            Ok((null.map_err(step("open /dev/null".to_string()))?, None))
        }
        Stdin::Pipe => {
            let pipe = sys::io::pipe_to_child();
            let (theirs, ours) = pipe.map_err(step("pipe".to_string()))?;
            Ok((theirs, Some(ours)))
        }
        Stdin::File(path) => {
            let identity = process.launch.identity.as_ref();
            let file = open_as_user::open_input_as(Path::new(path), identity);
            Ok((file.map_err(step(format!("open {path}")))?, None))
        }
    }
}

/// The leader's end of one output, and the daemon's end if it passes through the ring.
fn open_output(
    process: &Process,
    sink: &Sink,
    name: &str,
) -> Result<(OwnedFd, Option<OwnedFd>), SpawnFailure> {
    let step = |what: String| move |error: io::Error| failure(format!("{name}: {what}"), &error);
    match sink {
        Sink::Discard => {
            let null = sys::io::open_null(false);
            Ok((null.map_err(step("open /dev/null".to_string()))?, None))
        }
        Sink::File(file) if file.direct => {
            let identity = process.launch.identity.as_ref();
            let opened = open_as_user::open_as(Path::new(&file.path), identity);
            Ok((opened.map_err(step(format!("open {}", file.path)))?, None))
        }
        Sink::Ring | Sink::File(_) | Sink::Stdout => {
            let (ours, theirs) = sys::io::pipe().map_err(step("pipe".to_string()))?;
            Ok((theirs, Some(ours)))
        }
    }
}
