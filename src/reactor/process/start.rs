//! The steps of a start: the ring and terminal of a new run, its descriptors, its leader.
//!
//! `Reactor::start` in `effects` puts them in order.

use crate::reactor::clock::unix_ns;
use crate::reactor::output::Stream;
use crate::reactor::output::log_files::LogFiles;
use crate::reactor::poller::Poller;
use crate::reactor::process::failure::failure;
use crate::reactor::process::process_io::LiveLeader;
use crate::reactor::process::processes::Processes;
use crate::reactor::process::spawner::{Spawner, c_string};
use crate::reactor::process::starts::OurEnds;
use crate::supervisor::{Launch, Process, ProcessId, Sink, SpawnFailure, Stdin, Time};
use crate::sys;
use crate::sys::spawn::Stdio;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Prepares ring and terminal for a new run.
pub(crate) fn prepare_run(process: &Process, processes: &mut Processes, log_files: &mut LogFiles) {
    let id = process.id;
    let Some(io) = processes.io_mut(id) else {
        return;
    };
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

/// Starts the child that becomes the leader of a process, and watches it.
///
/// # Errors
/// When there is no child.
pub(crate) fn begin(
    process: &Process,
    spawner: &mut Spawner,
    processes: &mut Processes,
    now: Time,
    poller: &mut Poller,
) -> Result<(), SpawnFailure> {
    let id = process.id;
    if let Some(fault) = &process.launch.env_fault {
        return Err(SpawnFailure {
            step: "env_file".to_string(),
            error: fault.to_string(),
            errno: 0,
        });
    }
    let size = processes.io(id).map_or((24, 80), |io| io.size);
    let (theirs, ends) = open_stdio(process, size)?;
    let command = spawner.command(process, theirs)?;
    // This closes the daemon's copies of the child's descriptors.
    let pid = spawner.starts.begin(id, command, ends, now, poller)?;
    processes.set_starting(id, pid);
    Ok(())
}

/// The child has exec'd: it is the leader, and its output is watched.
pub(crate) fn complete(
    id: ProcessId,
    leader: LiveLeader,
    ends: OurEnds,
    processes: &mut Processes,
    poller: &mut Poller,
) {
    processes.set_leader(id, leader);
    for number in watch_ends(id, ends, processes, poller) {
        processes.queue_output(id, number, false);
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
    if let Some(terminal) = &ends.terminal
        && ends.size != io.size
        && let Err(error) = sys::pty::resize(terminal.as_fd(), io.size.0, io.size.1)
    {
        // A client resized it before its process ran.
        log::warn!("{}: cannot resize its terminal: {error}", io.name);
    }
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
                    io.connect_terminal_input(number, poller);
                }
                channels.push(number);
            }
            Err(error) => log::error!("{}: cannot watch its output: {error}", io.name),
        }
    }
    if let Some(fd) = ends.stdin
        && let Err(error) = io.connect_pipe_input(fd, poller)
    {
        log::error!("{}: cannot watch its input: {error}", io.name);
    }
    channels
}

/// The child's descriptors, and the files that it opens itself in place of them.
type TheirEnds = (Stdio, [Option<CString>; 3]);

/// Opens the leader's standard streams, and the daemon's ends of them.
fn open_stdio(process: &Process, size: (u16, u16)) -> Result<(TheirEnds, OurEnds), SpawnFailure> {
    let launch = &process.launch;
    let mut ends = OurEnds::default();
    if launch.tty.is_some() {
        let pty = sys::pty::open(size.0, size.1)
            .map_err(|error| failure("open a terminal".to_string(), &error))?;
        ends.terminal = Some(pty.master);
        ends.size = size;
        return Ok(((Stdio::Tty(pty.slave), [const { None }; 3]), ends));
    }
    let (stdin, ours) = open_input(process)?;
    ends.stdin = ours;
    let (stdout, ours) = open_output(&launch.stdout, "stdout")?;
    ends.stdout = ours;
    let (stderr, ours) = match &launch.stderr {
        Sink::Stdout => {
            let copy = stdout.try_clone();
            let copy = copy.map_err(|error| failure("stderr: share stdout".into(), &error))?;
            (copy, None)
        }
        sink => open_output(sink, "stderr")?,
    };
    ends.stderr = ours;
    let stdio = Stdio::Fds {
        stdin,
        stdout,
        stderr,
    };
    Ok(((stdio, files_of(launch)?), ends))
}

/// The files that the child opens as 0, 1 and 2, with the rights of its user.
fn files_of(launch: &Launch) -> Result<[Option<CString>; 3], SpawnFailure> {
    let path = |path: &Option<&str>, key| path.map(|path| c_string(path, key)).transpose();
    let direct = |sink: &'_ Sink| match sink {
        Sink::File(file) if file.direct => Some(file.path.clone()),
        Sink::File(_) | Sink::Ring | Sink::Discard | Sink::Stdout => None,
    };
    let stdin = match &launch.stdin {
        Stdin::File(path) => Some(path.as_str()),
        Stdin::Null | Stdin::Pipe => None,
    };
    let stdout = direct(&launch.stdout);
    let stderr = match &launch.stderr {
        Sink::Stdout => stdout.clone(),
        sink => direct(sink),
    };
    Ok([
        path(&stdin, "stdin")?,
        path(&stdout.as_deref(), "stdout")?,
        path(&stderr.as_deref(), "stderr")?,
    ])
}

/// The leader's standard input, and the daemon's end if it is a pipe.
fn open_input(process: &Process) -> Result<(OwnedFd, Option<OwnedFd>), SpawnFailure> {
    let step = |what: &str| {
        let step = format!("stdin: {what}");
        move |error: io::Error| failure(step, &error)
    };
    match &process.launch.stdin {
        // The child opens a file itself.
        Stdin::Null | Stdin::File(_) => {
            let null = sys::io::open_null(true);
            Ok((null.map_err(step("open /dev/null"))?, None))
        }
        Stdin::Pipe => {
            let (theirs, ours) = sys::io::pipe_to_child().map_err(step("pipe"))?;
            Ok((theirs, Some(ours)))
        }
    }
}

/// The leader's end of one output, and the daemon's end if it passes through the ring.
fn open_output(sink: &Sink, name: &str) -> Result<(OwnedFd, Option<OwnedFd>), SpawnFailure> {
    let step = |what: &str| {
        let step = format!("{name}: {what}");
        move |error: io::Error| failure(step, &error)
    };
    match sink {
        Sink::File(file) if !file.direct => pipe_of(step("pipe")),
        // The child opens a file itself.
        Sink::Discard | Sink::File(_) => {
            let null = sys::io::open_null(false);
            Ok((null.map_err(step("open /dev/null"))?, None))
        }
        Sink::Ring | Sink::Stdout => pipe_of(step("pipe")),
    }
}

fn pipe_of(
    failed: impl FnOnce(io::Error) -> SpawnFailure,
) -> Result<(OwnedFd, Option<OwnedFd>), SpawnFailure> {
    let (ours, theirs) = sys::io::pipe().map_err(failed)?;
    Ok((theirs, Some(ours)))
}
