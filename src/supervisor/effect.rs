//! Decisions that come down from the supervisor.

use super::{Exit, ProcessId, State};

/// Something the reactor has to do, exactly once, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Start a leader from `Process::launch`; answered by exactly one `Spawned` or
    /// `SpawnFailed`.
    Spawn(ProcessId),
    /// Send a signal.
    Signal {
        /// To this process.
        id: ProcessId,
        /// The signal's number.
        signal: i32,
        /// To whom of it.
        scope: SignalScope,
    },
    /// SIGKILL until nothing is left: the leader and, with `Group`, its group and every
    /// straggler, also those that appear while it is done.
    Kill {
        /// This process.
        id: ProcessId,
        /// Whom.
        scope: SignalScope,
    },
    /// A process changed its state: log it, tell followers, resolve waiting requests.
    Notify(Transition),
    /// A reload changed live keys of the process (log rotation); look at its `launch`.
    Reconfigured(ProcessId),
    /// The process is forgotten: free what belongs to it. Carries the name, since the
    /// supervisor no longer knows it.
    Release {
        /// The process.
        id: ProcessId,
        /// `PROGRAM:INDEX`.
        name: String,
    },
    /// A shutdown is complete.
    Finished,
}

/// Whom of a process a signal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalScope {
    /// The leader.
    Leader,
    /// The leader's process group.
    Group,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The process.
    pub id: ProcessId,
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// The state left.
    pub from: State,
    /// The state entered.
    pub to: State,
    /// The leader's pid: of the living one, or of the one that just ended.
    pub pid: Option<i32>,
    /// How the leader ended, when that is the cause.
    pub exit: Option<Exit>,
    /// One line for people, as in the status table's DETAIL.
    pub detail: String,
}
