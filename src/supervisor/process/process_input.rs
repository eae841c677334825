//! The inputs of the state machine of a process.

use crate::supervisor::{Exit, SignalFailure, SpawnFailure};

/// An input of the state machine.
#[derive(Debug, Clone)]
pub(crate) enum ProcessInput {
    Start,
    /// Start once the named processes have ended.
    Await(String),
    Restart,
    Stop,
    Kill,
    Spawned(i32),
    SpawnFailed(SpawnFailure),
    Exited(Exit),
    Remains {
        stragglers: u32,
    },
    Killed(Vec<String>),
    SignalFailed(SignalFailure),
    Deadline,
    /// The policy changed. `widened` if SIGKILL reaches more than the leader now.
    PolicyChanged {
        widened: bool,
    },
}
