//! Facts and requests for the supervisor.

use super::{Exit, ProcessId, Program, signal_name};
use std::fmt;

/// Something that happened or that a user requested. Events that do not fit the state of their
/// process, or whose process is unknown, are ignored.
#[derive(Debug, Clone)]
pub enum Event {
    /// Replaces all programs: sent at the first load and at each reload.
    Configure(Vec<Program>),
    /// A request to start.
    Start(ProcessId),
    /// A request to stop.
    Stop(ProcessId),
    /// A request to stop, then start. A process that is down starts at once.
    Restart(ProcessId),
    /// Sets `numprocs` of a program until the next reload.
    Scale {
        /// The program's name.
        program: String,
        /// The new number of processes.
        numprocs: u32,
    },
    /// Answers `Effect::Spawn`: exec succeeded.
    Spawned {
        /// The process.
        id: ProcessId,
        /// The leader's process id.
        pid: i32,
    },
    /// Answers `Effect::Spawn`: the leader could not be started.
    SpawnFailed {
        /// The process.
        id: ProcessId,
        /// The step that failed and the error.
        failure: SpawnFailure,
    },
    /// The leader ended and was reaped.
    Exited {
        /// The process.
        id: ProcessId,
        /// How it ended.
        exit: Exit,
    },
    /// The surviving descendants of an ended leader. Follows each `Exited`, and repeats when a
    /// count changes, until `stragglers` is 0.
    Remains {
        /// The process.
        id: ProcessId,
        /// Number of survivors.
        stragglers: u32,
    },
    /// `Effect::Kill` reaches these processes: pids and commands.
    Killed {
        /// The process.
        id: ProcessId,
        /// Some of them, for people.
        victims: Vec<String>,
    },
    /// A signal of `Effect::Signal` or `Effect::Kill` could not be sent to the leader, or to one of
    /// its stragglers.
    SignalFailed {
        /// The process.
        id: ProcessId,
        /// The signal and the error.
        failure: SignalFailure,
    },
    /// Stop all processes, then emit `Effect::Finished`.
    Shutdown,
    /// Send SIGKILL to all processes at once, then emit `Effect::Finished`. Processes that cannot
    /// be killed are left.
    ShutdownNow,
}

/// Why a signal could not be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalFailure {
    /// The signal's number.
    pub signal: i32,
    /// The error's text, such as `Operation not permitted`.
    pub error: String,
    /// The errno.
    pub errno: i32,
}

impl fmt::Display for SignalFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = &self.error;
        match signal_name(self.signal) {
            Some(name) => write!(f, "SIG{name} could not be sent: {error}"),
            None => write!(f, "signal {} could not be sent: {error}", self.signal),
        }
    }
}

/// Why a process could not be started: the step and the system's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnFailure {
    /// The step with what it worked on, such as `chdir /nope`.
    pub step: String,
    /// The error's text, such as `No such file or directory`.
    pub error: String,
    /// The errno, 0 if none.
    pub errno: i32,
}

/// The errno of a start that was cancelled, on every architecture that is supported.
const ECANCELED: i32 = 125;

impl SpawnFailure {
    /// Whether a request ended the start, so that nothing is wrong with the program.
    pub fn is_cancelled(&self) -> bool {
        self.errno == ECANCELED
    }
}

impl fmt::Display for SpawnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.error)
    }
}
