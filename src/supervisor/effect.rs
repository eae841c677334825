//! The supervisor's decisions.

use super::{Exit, ProcessId, State};

/// A decision for the reactor to carry out: exactly once, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Start a leader from `Process::launch`. Exactly one `Spawned` or `SpawnFailed` answers it.
    Spawn(ProcessId),
    /// A start that is not answered is no longer wanted: answer it at once, without waiting for its
    /// child. `Spawned` if it has succeeded already; otherwise `SpawnFailed`, and no program runs.
    CancelSpawn(ProcessId),
    /// Send a signal. With `Group`, also to stragglers that are found until the process is down.
    Signal {
        /// The process that gets the signal.
        id: ProcessId,
        /// The signal's number.
        signal: i32,
        /// Which part of the process gets it.
        scope: SignalScope,
    },
    /// Send SIGKILL until the process is gone: to the leader and, with `Group`, to its group and
    /// all stragglers, including those that appear meanwhile.
    Kill {
        /// The process to kill.
        id: ProcessId,
        /// Which part of the process to kill.
        scope: SignalScope,
    },
    /// A process with `starttime` 0 has stayed up for a second: its start has succeeded.
    Started(ProcessId),
    /// A process changed its state: log it, notify followers, resolve waiting requests.
    Notify(Transition),
    /// A reload changed live keys of the process (log rotation): read its `launch` again.
    Reconfigured(ProcessId),
    /// The process is forgotten: free its resources. Carries the name because the supervisor has
    /// already dropped it.
    Release {
        /// The forgotten process.
        id: ProcessId,
        /// `PROGRAM:INDEX`.
        name: String,
    },
    /// A shutdown is complete.
    Finished,
}

/// The part of a process that a signal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalScope {
    /// The leader.
    Leader,
    /// Everything of the process: the leader's process group, and what has left it.
    Group,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The forgotten process.
    pub id: ProcessId,
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// The state left.
    pub from: State,
    /// The state entered.
    pub to: State,
    /// Pid of the living leader, or of the one that just ended.
    pub pid: Option<i32>,
    /// How the leader ended, if that caused the transition.
    pub exit: Option<Exit>,
    /// Whether the start succeeded or failed; `None` while that is open.
    pub started: Option<bool>,
    /// One line for people, as in the DETAIL column of the status table.
    pub detail: String,
}
