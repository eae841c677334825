//! Facts and requests that go up into the supervisor.

use super::{Exit, ProcessId, Program};
use std::fmt;

/// Something that happened, or that a user asked for. Events about a process that is no longer
/// known, or that no longer fit its state, are ignored.
#[derive(Debug, Clone)]
pub enum Event {
    /// This is the whole set of programs from now on: the first load, and each reload.
    Configure(Vec<Program>),
    /// Asked to start.
    Start(ProcessId),
    /// Asked to stop.
    Stop(ProcessId),
    /// Asked to stop, then start; starts at once what is down.
    Restart(ProcessId),
    /// `numprocs` of a program until the next reload.
    Scale {
        /// The program's name.
        program: String,
        /// How many processes it has from now on.
        numprocs: u32,
    },
    /// The answer to `Effect::Spawn`: exec succeeded.
    Spawned {
        /// The process.
        id: ProcessId,
        /// The leader's process id.
        pid: i32,
    },
    /// The other answer to `Effect::Spawn`.
    SpawnFailed {
        /// The process.
        id: ProcessId,
        /// What failed, and how.
        failure: SpawnFailure,
    },
    /// The leader ended and its status was taken.
    Exited {
        /// The process.
        id: ProcessId,
        /// How.
        exit: Exit,
    },
    /// What is left alive of the process after its leader ended. Follows each `Exited`, and
    /// comes again whenever it changes, until `stragglers` is 0.
    Remains {
        /// The process.
        id: ProcessId,
        /// How many.
        stragglers: u32,
        /// How many of them are in the leader's process group and so got the stop signal.
        in_group: u32,
    },
    /// Stop everything, then `Effect::Finished`.
    Shutdown,
    /// SIGKILL everything at once, then `Effect::Finished`.
    ShutdownNow,
}

/// Why a process could not be started: the step and the system's word for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnFailure {
    /// The step with what it worked on, such as `chdir /nope`.
    pub step: String,
    /// The error's text, such as `No such file or directory`.
    pub error: String,
    /// The errno, 0 if none.
    pub errno: i32,
}

impl fmt::Display for SpawnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.error)
    }
}
