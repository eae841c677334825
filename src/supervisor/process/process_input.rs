//! The inputs of the state machine of a process.

use crate::supervisor::{Exit, SignalFailure, SpawnFailure};
use std::time::Duration;

/// An input of the state machine.
#[derive(Debug, Clone)]
pub(crate) enum ProcessInput {
    Start,
    Restart,
    Stop,
    Kill,
    Spawned(i32),
    SpawnFailed(SpawnFailure),
    Exited(Exit),
    Remains {
        stragglers: u32,
        in_group: u32,
    },
    SignalFailed(SignalFailure),
    Deadline,
    /// The policy changed; the old one had this `stoptime`. `widened` if the kill mode went from
    /// leader to group.
    PolicyChanged {
        stoptime: Duration,
        widened: bool,
    },
}
