//! One instance of a program: the state that decisions need.

mod invariant;
mod policy_change;
pub(crate) mod process_input;
mod restart;
pub(crate) mod transition;

use crate::supervisor::{Exit, Launch, Program, SignalFailure, SpawnFailure, Time};
use std::fmt;

pub use restart::{PROBATION, SHORT_RUN, jitter_chance};

const SIGKILL: i32 = 9;

/// Killed processes that are named.
const VICTIMS_MAX: usize = 8;

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

/// The reason to kill processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KilledFor {
    /// A stop ends all of it.
    Stop,
    /// Stragglers of an earlier run must not be in the way of the next.
    Start,
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
    /// Runs shorter than ten seconds in a row, of those that ended on their own.
    pub short_runs: u32,
    /// When the state was entered.
    pub since: Time,
    /// Time of the next change: RUNNING reached, delay over, SIGKILL due, or probation over.
    pub deadline: Option<Time>,
    /// How the last run ended.
    pub last_exit: Option<Exit>,
    /// Duration of the last run.
    pub last_lifetime: Option<std::time::Duration>,
    /// The daemon ended the last run with SIGKILL: it outlived `stoptime`, or see `kill_requested`.
    pub last_killed: bool,
    /// Why the last start failed before exec.
    pub last_failure: Option<SpawnFailure>,
    /// When the stop signal went out, in STOPPING or while clearing.
    pub asked_at: Option<Time>,
    /// Why the last signal of this stop could not be sent.
    pub signal_failure: Option<SignalFailure>,
    /// The number of surviving processes of ended leaders.
    pub stragglers: u32,
    /// The processes that have to end before it starts, in words.
    pub awaited: String,
    /// Removed from the config: forgotten once it is down.
    pub removed: bool,
    /// The state that the last stop ended, if the process had no leader then.
    pub stopped_from: Option<State>,
    /// Some of the processes that SIGKILL ended last: pids and commands.
    pub victims: Vec<String>,
    /// Why they were killed.
    pub killed_for: KilledFor,
    /// SIGKILL was sent during this STOPPING, or while clearing.
    pub killed: bool,
    /// SIGKILL was sent in the last stop because a request said so, before `stoptime` was over.
    pub kill_requested: bool,
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
            short_runs: 0,
            since: now,
            deadline: None,
            last_exit: None,
            last_lifetime: None,
            last_killed: false,
            last_failure: None,
            asked_at: None,
            signal_failure: None,
            stragglers: 0,
            awaited: String::new(),
            removed: false,
            stopped_from: None,
            victims: Vec::new(),
            killed_for: KilledFor::Stop,
            killed: false,
            kill_requested: false,
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

    /// A stop begins: forgets the one before.
    pub(crate) fn begin_stop(&mut self) {
        if self.state == State::Stopped {
            return;
        }
        // A start may be killing what the stop would kill.
        if !self.killed {
            self.victims.clear();
        }
        self.killed_for = KilledFor::Stop;
        self.kill_requested = false;
        self.stopped_from = match self.state {
            State::Backoff | State::Exited | State::Fatal => Some(self.state),
            State::Stopped
            | State::Waiting
            | State::Starting
            | State::Running
            | State::Stopping => None,
        };
    }

    /// Notes processes that SIGKILL has ended.
    pub(crate) fn add_victims(&mut self, victims: Vec<String>) {
        let pid = |victim: &str| victim.split(' ').next().map(str::to_string);
        for victim in victims {
            let known = self.victims.iter().any(|known| pid(known) == pid(&victim));
            if !known {
                self.victims.push(victim);
            }
        }
        self.victims.truncate(VICTIMS_MAX);
    }

    /// Whether the start waits until stragglers of an earlier leader have ended: one may hold the
    /// port or the lock that the next leader needs.
    pub(crate) fn is_clearing(&self) -> bool {
        self.state == State::Starting && self.leader == LeaderState::None
    }

    /// Whether SIGKILL could not be sent to a part of it, which therefore lives on.
    pub(crate) fn is_unkillable(&self) -> bool {
        let failure = self.signal_failure.as_ref();
        self.killed && failure.is_some_and(|failure| failure.signal == SIGKILL)
    }

    /// Whether it is wanted up, but has ended on its own. A change of its config may start it.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Exited | State::Fatal)
    }

    /// Whether a reload that changes its launch restarts it, rather than keeping the new launch for
    /// the next start.
    pub(crate) fn restarts_when_changed(&self) -> bool {
        match self.state {
            State::Starting | State::Running | State::Backoff | State::Fatal | State::Exited => {
                true
            }
            State::Stopping => self.desired == Desired::Up,
            // The next start comes anyway, or only on request.
            State::Waiting | State::Stopped => false,
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.state == State::Stopping
    }
}
