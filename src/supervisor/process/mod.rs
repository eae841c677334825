//! One instance of a program: the state that decisions need.

mod invariant;
pub(crate) mod process_input;
pub(crate) mod transition;

use crate::supervisor::{Exit, Launch, Program, SignalFailure, SpawnFailure, Time};
use std::fmt;

const SIGKILL: i32 = 9;

/// Identifies a process during the life of the daemon; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

/// The state of a process, named as in supervisord.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Down, and wanted down.
    Stopped,
    /// Wanted up, but a dependency is missing.
    Waiting,
    /// Started less than `starttime` ago.
    Starting,
    /// Up for at least `starttime`.
    Running,
    /// A start failed; the next attempt waits for its delay.
    Backoff,
    /// A stop was requested; the process is not down yet.
    Stopping,
    /// Exited on its own; the policy asks for no restart.
    Exited,
    /// No retry is left.
    Fatal,
}

impl State {
    /// The name shown to users.
    pub fn name(self) -> &'static str {
        match self {
            State::Stopped => "STOPPED",
            State::Waiting => "WAITING",
            State::Starting => "STARTING",
            State::Running => "RUNNING",
            State::Backoff => "BACKOFF",
            State::Stopping => "STOPPING",
            State::Exited => "EXITED",
            State::Fatal => "FATAL",
        }
    }

    /// Whether no leader is up or about to start. Ignores stragglers.
    pub fn is_down(self) -> bool {
        match self {
            State::Stopped | State::Exited | State::Fatal => true,
            State::Waiting
            | State::Starting
            | State::Running
            | State::Backoff
            | State::Stopping => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The state that the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// Alive, or at least started.
    Up,
    /// Down.
    Down,
}

/// The leader: the process that the daemon itself starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderState {
    /// Not started, or ended.
    None,
    /// A `Spawn` effect is not answered yet.
    Spawning,
    /// Running.
    Alive {
        /// The leader's process id.
        pid: i32,
        /// Time of the start.
        since: Time,
    },
}

/// One process: its wanted state, its state, and the facts that explain it.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its identity.
    pub id: ProcessId,
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// The program's name.
    pub program: String,
    /// Index in the program.
    pub instance: u32,
    /// The wanted state.
    pub desired: Desired,
    /// The state.
    pub state: State,
    /// The leader, while there is one.
    pub leader: LeaderState,
    /// The launch for the next start, placeholders expanded.
    pub launch: Launch,
    /// Failed starts since the last success or explicit start.
    pub failures: u32,
    /// Automatic starts since the last explicit one.
    pub restarts: u32,
    /// When the state was entered.
    pub since: Time,
    /// Time at which the state ends on its own: RUNNING reached, delay over, or SIGKILL due.
    pub deadline: Option<Time>,
    /// How the last run ended.
    pub last_exit: Option<Exit>,
    /// Duration of the last run.
    pub last_lifetime: Option<std::time::Duration>,
    /// The daemon ended the last run with SIGKILL, because it outlived `stoptime`.
    pub last_killed: bool,
    /// Why the last start failed before exec.
    pub last_failure: Option<SpawnFailure>,
    /// Why the last signal of this stop could not be sent.
    pub signal_failure: Option<SignalFailure>,
    /// The number of surviving processes of ended leaders.
    pub stragglers: u32,
    /// Removed from the config: forgotten once it is down.
    pub removed: bool,
    /// SIGKILL was sent during this STOPPING, or while clearing.
    pub killed: bool,
    /// A leader ended and its stragglers are not reported yet.
    pub remains_due: bool,
    /// Pid of a leader that ended since the state was entered.
    pub ended_pid: Option<i32>,
}

impl Process {
    /// Process `instance` of a program: STOPPED and wanted down, its launch expanded.
    pub fn new(id: ProcessId, program: &Program, instance: u32, now: Time) -> Process {
        Process {
            id,
            name: format!("{}:{instance}", program.name),
            program: program.name.clone(),
            instance,
            desired: Desired::Down,
            state: State::Stopped,
            leader: LeaderState::None,
            launch: program.launch.expand(program, instance),
            failures: 0,
            restarts: 0,
            since: now,
            deadline: None,
            last_exit: None,
            last_lifetime: None,
            last_killed: false,
            last_failure: None,
            signal_failure: None,
            stragglers: 0,
            removed: false,
            killed: false,
            remains_due: false,
            ended_pid: None,
        }
    }

    /// The living leader's process id.
    pub fn pid(&self) -> Option<i32> {
        match self.leader {
            LeaderState::Alive { pid, .. } => Some(pid),
            LeaderState::None | LeaderState::Spawning => None,
        }
    }

    /// When the living leader was started.
    pub fn started_at(&self) -> Option<Time> {
        match self.leader {
            LeaderState::Alive { since, .. } => Some(since),
            LeaderState::None | LeaderState::Spawning => None,
        }
    }

    /// Whether the start waits until stragglers of an earlier leader are killed: one may hold the
    /// port or the lock that the next leader needs.
    pub(crate) fn is_clearing(&self) -> bool {
        self.state == State::Starting && self.leader == LeaderState::None
    }

    /// Whether SIGKILL could not be sent to a part of it, which therefore lives on.
    pub(crate) fn is_unkillable(&self) -> bool {
        let failure = self.signal_failure.as_ref();
        self.killed && failure.is_some_and(|failure| failure.signal == SIGKILL)
    }

    /// Whether a reload that changes its launch restarts it, rather than keeping the new launch for
    /// the next start.
    pub(crate) fn restarts_when_changed(&self) -> bool {
        match self.state {
            State::Waiting | State::Starting | State::Running | State::Backoff | State::Fatal => {
                true
            }
            State::Stopping => self.desired == Desired::Up,
            State::Stopped | State::Exited => false,
        }
    }
}
