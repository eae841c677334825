//! One running instance of a program, as far as decisions need it.

mod invariant;
pub(crate) mod transition;

use crate::supervisor::{Exit, Launch, Program, SpawnFailure, Time};
use std::fmt;

/// Identifies a process for as long as the daemon runs; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

/// Where a process is in its life, spelled as supervisord does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Wanted down, and down.
    Stopped,
    /// Wanted up, something it needs is not there.
    Waiting,
    /// Started, not yet for `starttime`.
    Starting,
    /// Up.
    Running,
    /// A start failed; the next attempt waits for its delay.
    Backoff,
    /// Asked to stop, not gone yet.
    Stopping,
    /// Ended by itself, not to be restarted.
    Exited,
    /// Gave up.
    Fatal,
}

impl State {
    /// All states, in the order of a life.
    pub const ALL: [State; 8] = [
        State::Stopped,
        State::Waiting,
        State::Starting,
        State::Running,
        State::Backoff,
        State::Stopping,
        State::Exited,
        State::Fatal,
    ];

    /// The name users see.
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

    /// Whether nothing of the process is up or on its way there (stragglers apart).
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

/// What the user wants of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// To be alive, or at least to have been started.
    Up,
    /// To be down.
    Down,
}

/// The process that was started last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderState {
    /// There is none, or it has ended.
    None,
    /// A `Spawn` effect is out and not answered.
    Spawning,
    /// It runs.
    Alive {
        /// Its process id.
        pid: i32,
        /// When it was started.
        since: Time,
    },
}

/// One process: what is wanted, what is, and what it takes to explain it.
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
    /// What is wanted.
    pub desired: Desired,
    /// What is.
    pub state: State,
    /// The process that was started last, while there is one.
    pub leader: LeaderState,
    /// What the next start will use, placeholders expanded.
    pub launch: Launch,
    /// Failed starts since the last success or explicit start.
    pub failures: u32,
    /// Automatic starts since the last explicit one.
    pub restarts: u32,
    /// When the state was entered.
    pub since: Time,
    /// When the present state ends by itself: RUNNING reached, delay over, SIGKILL due.
    pub deadline: Option<Time>,
    /// How the last run ended.
    pub last_exit: Option<Exit>,
    /// How long the last run lived.
    pub last_lifetime: Option<std::time::Duration>,
    /// The last run was ended by our own SIGKILL, since it had not ended within `stoptime`.
    pub last_killed: bool,
    /// Why the last start failed before exec.
    pub last_failure: Option<SpawnFailure>,
    /// Processes of an ended leader that are still alive.
    pub stragglers: u32,
    /// Gone from the config: forgotten when it is down.
    pub removed: bool,
    /// SIGKILL was sent in this STOPPING, or while clearing.
    pub killed: bool,
    /// A leader ended and what is left of it has not been said yet.
    pub remains_due: bool,
    /// The pid of a leader that has ended since the state was entered.
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

    /// STARTING, but stragglers of an earlier leader have to go first: one may hold the port or
    /// the lock that the next leader needs.
    pub fn is_clearing(&self) -> bool {
        self.state == State::Starting && self.leader == LeaderState::None
    }

    /// Whether a reload that changes its launch starts it anew, instead of keeping the new
    /// launch for the next start.
    pub fn restarts_when_changed(&self) -> bool {
        match self.state {
            State::Waiting | State::Starting | State::Running | State::Backoff | State::Fatal => {
                true
            }
            State::Stopping => self.desired == Desired::Up,
            State::Stopped | State::Exited => false,
        }
    }
}
