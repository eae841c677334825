//! The pure core: states, policies, timers and the reload diff.
//!
//! Nothing here touches a file descriptor, a clock or a signal. Facts come in through
//! [`Supervisor::handle_event`], decisions leave through [`Supervisor::poll_effect`].

mod effect;
mod event;
mod exit;
mod explain;
mod plan;
mod process;
mod program;
mod target;
mod time;

pub use effect::{Effect, SignalScope, Transition};
pub use event::{Event, SignalFailure, SpawnFailure};
pub use exit::Exit;
pub(crate) use exit::{signal_name, signal_names, signal_number};
pub use explain::{Why, why};
pub(crate) use explain::{detail, sig, spawn_fix};
pub use plan::{Change, Plan, PlanAction, PlanEntry};
pub use process::{Desired, KilledFor, LeaderState, Process, ProcessId, State};
pub use process::{PROBATION, SHORT_RUN, jitter_chance};
pub(crate) use program::placeholder;
pub use program::{
    Autorestart, Autostart, FileSink, Identity, KillMode, Launch, Policy, Program, RestartDelays,
    Sink, SizePolicy, Stall, Stdin, Tty, Variables,
};
pub(crate) use program::{PROCESS_TEXTS_MAX, PROCESSES_MAX, PROCESSES_OF_ALL_MAX};
pub(crate) use target::{UnknownTarget, is_glob, resolve};
pub use time::Time;

use plan::succession::Succession;
use process::process_input::ProcessInput;
use process::transition::ProcessStep;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All processes, their timers and pending effects. Plain data: a clone is a complete copy.
///
/// The caller passes each fact with the time it was seen, and then takes effects until none is
/// left. It calls [`handle_timeout`](Supervisor::handle_timeout) when
/// [`poll_timeout`](Supervisor::poll_timeout) is due. An event costs a few map look-ups, regardless
/// of the number of quiet processes.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    /// Programs of the config, and removed ones until their last process is gone.
    entries: BTreeMap<String, ProgramEntry>,
    /// Names of the config's programs in its order.
    names: Vec<String>,
    processes: BTreeMap<ProcessId, Process>,
    /// Display order: the program's rank, then the index.
    order: BTreeMap<(u32, u32), ProcessId>,
    /// One entry for each `Process::deadline`.
    timers: BTreeSet<(Time, ProcessId)>,
    effects: VecDeque<Effect>,
    /// The number of processes that are not down.
    active: usize,
    /// The number of those that cannot be killed.
    unkillable: usize,
    next_id: u32,
    shutdown: Shutdown,
    /// Reloads whose removed processes are not down.
    successions: Vec<Succession>,
    /// Processes that no longer wait for others.
    successors: VecDeque<ProcessId>,
}

/// A program of the config, or a removed one whose processes are still stopping.
#[derive(Debug, Clone)]
struct ProgramEntry {
    program: Program,
    /// Position in the display order; removed programs come last.
    rank: u32,
    /// The number of its processes, removed ones included.
    processes: u32,
    /// Removed from the config.
    removed: bool,
    /// `numprocs` is that of a `scale`, not of the config.
    scaled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Shutdown {
    #[default]
    No,
    Stopping,
    /// Everything is killed; what cannot be killed is left.
    Killing,
    Finished,
}

impl Supervisor {
    /// A supervisor without programs; they arrive with [`Event::Configure`].
    pub fn new() -> Supervisor {
        Supervisor::default()
    }

    /// Handles one fact or request, seen at `now`.
    pub fn handle_event(&mut self, event: Event, now: Time) {
        match event {
            Event::Configure(programs) => {
                if !self.is_shutting_down() {
                    self.configure(programs, now);
                }
            }
            Event::Scale { program, numprocs } => {
                if !self.is_shutting_down() {
                    self.scale(&program, numprocs, now);
                }
            }
            Event::Start(id) => self.request(id, ProcessInput::Start, now),
            Event::Restart(id) => self.request(id, ProcessInput::Restart, now),
            Event::Stop(id) => self.step(id, ProcessInput::Stop, now),
            Event::Spawned { id, pid } => self.step(id, ProcessInput::Spawned(pid), now),
            Event::SpawnFailed { id, failure } => {
                self.step(id, ProcessInput::SpawnFailed(failure), now)
            }
            Event::Exited { id, exit } => self.step(id, ProcessInput::Exited(exit), now),
            Event::Remains { id, stragglers } => {
                self.step(id, ProcessInput::Remains { stragglers }, now);
            }
            Event::Killed { id, victims } => self.step(id, ProcessInput::Killed(victims), now),
            Event::SignalFailed { id, failure } => {
                self.step(id, ProcessInput::SignalFailed(failure), now);
            }
            Event::Shutdown => self.shut_down(ProcessInput::Stop, now),
            Event::ShutdownNow => self.shut_down(ProcessInput::Kill, now),
        }
        self.start_successors(now);
        self.finish_shutdown();
    }

    /// Handles every deadline up to `now`. The next timeout is then later than `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some((due, id)) = self.timers.first().copied() {
            if due > now {
                break;
            }
            self.step(id, ProcessInput::Deadline, now);
            // Each step moves or clears its deadline. A step that fails to must not loop here.
            if self.timers.first() == Some(&(due, id)) {
                debug_assert!(false, "the deadline of {id:?} did not move");
                self.timers.remove(&(due, id));
            }
        }
        self.start_successors(now);
        self.finish_shutdown();
    }

    /// Takes the next effect, in order; `None` when all are taken.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The time at which [`handle_timeout`](Supervisor::handle_timeout) is due; `None` if nothing
    /// changes without an event.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// All processes: programs as in the config (removed ones last), then by index.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.order.values().filter_map(|id| self.processes.get(id))
    }

    /// The process with this id, until it is forgotten.
    pub fn process(&self, id: ProcessId) -> Option<&Process> {
        self.processes.get(&id)
    }

    /// The process of this name, written `PROGRAM:INDEX`.
    pub fn find(&self, name: &str) -> Option<ProcessId> {
        let (program, index) = name.rsplit_once(':')?;
        let entry = self.entries.get(program)?;
        let id = self.order.get(&(entry.rank, index.parse().ok()?))?;
        let found = self.processes.get(id)?;
        (found.name == name).then_some(*id)
    }

    /// A program of the config, with the `numprocs` in force.
    pub fn program(&self, name: &str) -> Option<&Program> {
        let entry = self.entries.get(name)?;
        (!entry.removed).then_some(&entry.program)
    }

    /// The config's programs in its order, with the `numprocs` in force.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.names.iter().filter_map(|name| self.program(name))
    }

    /// The policy of a process; a removed one keeps its last.
    pub fn policy(&self, id: ProcessId) -> Option<&Policy> {
        let process = self.processes.get(&id)?;
        let entry = self.entries.get(&process.program)?;
        Some(&entry.program.policy)
    }

    /// Whether a shutdown was requested. Then starts and reloads are ignored.
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown != Shutdown::No
    }

    /// Handles a request that may start a process; ignored during shutdown and for removed
    /// processes.
    fn request(&mut self, id: ProcessId, input: ProcessInput, now: Time) {
        let removed = self.processes.get(&id).is_none_or(|p| p.removed);
        if !removed && !self.is_shutting_down() {
            self.step(id, input, now);
        }
    }

    /// Applies one input to one process and updates the timers and counters.
    fn step(&mut self, id: ProcessId, input: ProcessInput, now: Time) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let Some(entry) = self.entries.get(&process.program) else {
            return;
        };
        let (deadline, active) = (process.deadline, !process.state.is_down());
        let unkillable = process.is_unkillable();
        let mut step = ProcessStep {
            process,
            policy: &entry.program.policy,
            effects: &mut self.effects,
            now,
        };
        step.apply(input);
        self.active = self.active - usize::from(active) + usize::from(!process.state.is_down());
        self.unkillable -= usize::from(unkillable);
        self.unkillable += usize::from(process.is_unkillable());
        if process.deadline != deadline {
            if let Some(due) = deadline {
                self.timers.remove(&(due, id));
            }
            if let Some(due) = process.deadline {
                self.timers.insert((due, id));
            }
        }
        if process.removed && process.state == State::Stopped {
            self.release(id);
        } else if cfg!(debug_assertions) {
            self.check_process(id);
        }
    }

    fn release(&mut self, id: ProcessId) {
        let Some(process) = self.processes.remove(&id) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&process.program) {
            self.order.remove(&(entry.rank, process.instance));
            entry.processes -= 1;
            if entry.removed && entry.processes == 0 {
                self.entries.remove(&process.program);
            }
        }
        self.has_left(id);
        let name = process.name;
        self.effects.push_back(Effect::Release { id, name });
    }

    fn shut_down(&mut self, input: ProcessInput, now: Time) {
        let ids: Vec<ProcessId> = self.order.values().copied().collect();
        for id in ids {
            self.step(id, input.clone(), now);
        }
        self.shutdown = match (self.shutdown, input) {
            (Shutdown::Finished, _) => Shutdown::Finished,
            (_, ProcessInput::Kill) | (Shutdown::Killing, _) => Shutdown::Killing,
            _ => Shutdown::Stopping,
        };
    }

    fn finish_shutdown(&mut self) {
        let left = match self.shutdown {
            Shutdown::No | Shutdown::Finished => return,
            Shutdown::Stopping => self.active,
            Shutdown::Killing => self.active - self.unkillable,
        };
        if left == 0 {
            self.shutdown = Shutdown::Finished;
            self.effects.push_back(Effect::Finished);
        }
    }
}

#[cfg(test)]
mod tests;
