//! The state machine of one process: the transition for each state and input.

use crate::supervisor::explain::status_line;
use crate::supervisor::process::process_input::ProcessInput;
use crate::supervisor::process::restart::PROBATION;
use crate::supervisor::{
    Desired, Effect, Exit, KillMode, KilledFor, LeaderState, Policy, Process, SignalScope,
    SpawnFailure, State, Time, Transition,
};
use std::collections::VecDeque;

const SIGHUP: i32 = 1;

/// One process about to take one input.
///
/// ```text
///             start                    alive for starttime
///   STOPPED ─────────► STARTING ───────────────────────────► RUNNING
///      ▲                 ▲  │                                  │ │
///      │      delay over │  │ exits, or spawn fails    expected│ │ otherwise: STARTING again
///      │                 │  ▼                                  ▼ │ (or BACKOFF for its delay)
///      │               BACKOFF ───────► FATAL               EXITED
///      │                     no retry left
///      │                                      stop
///   STOPPING ◄──────────────────────────────────────────── STARTING, RUNNING
///      │  stopsignal; after stoptime SIGKILL, until the leader has
///      │  ended and (killmode group or mixed) nothing is left of it
///      ▼
///   STOPPED, or STARTING when it is wanted up again by then
/// ```
///
/// `stop` takes BACKOFF, EXITED and FATAL to STOPPED at once, unless stragglers are to be
/// swept: the process is STOPPING until they are gone. `start` takes
/// BACKOFF, EXITED and FATAL to STARTING.
///
/// `Process::desired` is what the user wants, `Process::state` what is: a start or stop that
/// meets STOPPING changes only the former, and it decides where STOPPING ends. BACKOFF,
/// STARTING, RUNNING, EXITED and FATAL are all wanted up, STOPPED is wanted down.
///
/// STARTING is entered when `Effect::Spawn` goes out, and the leader is `Spawning` until its
/// answer. Inputs in between change the state, but act on the leader only once it is known; a stop
/// cancels the start, which hastens the answer.
/// Unless killmode is process, stragglers of an earlier leader end first. Until they are gone the
/// process is STARTING without a leader ([`Process::is_clearing`]). With killmode group they get
/// the stop signal, and SIGKILL after `stoptime`; with mixed, SIGKILL at once. A stop in between
/// continues this.
pub(crate) struct ProcessStep<'a> {
    pub process: &'a mut Process,
    pub policy: &'a Policy,
    pub effects: &'a mut VecDeque<Effect>,
    pub now: Time,
}

impl ProcessStep<'_> {
    /// The transition table. An input that does not fit the state is ignored.
    pub(crate) fn apply(&mut self, input: ProcessInput) {
        use ProcessInput as I;
        use State as S;
        match (self.process.state, input) {
            (S::Stopped | S::Waiting | S::Backoff | S::Exited | S::Fatal, I::Start) => {
                self.start_requested()
            }
            (S::Starting | S::Running, I::Start) => {}
            (S::Stopped, I::Await(awaited)) => self.await_others(awaited),
            (S::Waiting | S::Starting | S::Running | S::Backoff, I::Await(_)) => {}
            (S::Stopping | S::Exited | S::Fatal, I::Await(_)) => {}
            (S::Stopping, I::Start | I::Restart) => self.process.desired = Desired::Up,

            (S::Stopped | S::Waiting | S::Backoff | S::Exited | S::Fatal, I::Restart) => {
                self.sweep(Desired::Up, false);
            }
            (S::Starting | S::Running, I::Restart) => self.stop_leader(Desired::Up, false),

            (S::Stopped | S::Waiting | S::Backoff | S::Exited | S::Fatal, I::Stop) => {
                self.sweep(Desired::Down, false);
            }
            (S::Stopped | S::Waiting | S::Backoff | S::Exited | S::Fatal, I::Kill) => {
                self.sweep(Desired::Down, true);
            }
            (S::Starting | S::Running, I::Stop) => self.stop_leader(Desired::Down, false),
            (S::Starting | S::Running, I::Kill) => self.stop_leader(Desired::Down, true),
            (S::Stopping, I::Stop) => self.process.desired = Desired::Down,
            (S::Stopping, I::Kill) => {
                self.process.desired = Desired::Down;
                self.process.kill_requested |= !self.process.killed;
                self.kill();
            }

            (S::Starting, I::Spawned(pid)) => self.spawned(pid),
            (S::Stopping, I::Spawned(pid)) => self.spawned_while_stopping(pid),
            (S::Starting, I::SpawnFailed(failure)) => self.spawn_failed(failure),
            (S::Stopping, I::SpawnFailed(failure)) => self.spawn_failed_while_stopping(failure),
            (
                S::Stopped | S::Waiting | S::Running | S::Backoff | S::Exited | S::Fatal,
                I::Spawned(_) | I::SpawnFailed(_) | I::SignalFailed(_),
            ) => {}

            (S::Starting, I::Exited(exit)) => self.exited_starting(exit),
            (S::Running, I::Exited(exit)) => self.exited_running(exit),
            (S::Stopping, I::Exited(exit)) => self.exited_stopping(exit),
            (S::Stopped | S::Waiting | S::Backoff | S::Exited | S::Fatal, I::Exited(_)) => {}

            (state, I::Remains { stragglers }) => self.remains(state, stragglers),
            (_, I::Killed(victims)) => self.process.add_victims(victims),

            // A start or a stop kills; the other states ask for no signal.
            (S::Starting | S::Stopping, I::SignalFailed(failure)) => {
                self.process.signal_failure = Some(failure);
            }

            (S::Starting, I::Deadline) if self.process.is_clearing() => self.kill(),
            (S::Starting, I::Deadline) => self.started(),
            (S::Backoff, I::Deadline) => self.auto_restart(),
            (S::Stopping, I::Deadline) => self.kill(),
            (S::Running, I::Deadline) => self.probation_over(),
            (S::Stopped | S::Waiting | S::Exited | S::Fatal, I::Deadline) => {}

            (S::Starting, I::PolicyChanged { .. }) => self.policy_changed_starting(),
            (S::Running, I::PolicyChanged { .. }) => self.policy_changed_running(),
            (S::Backoff, I::PolicyChanged { .. }) => self.policy_changed_backoff(),
            (S::Stopping, I::PolicyChanged { widened }) => self.policy_changed_stopping(widened),
            (S::Stopped | S::Waiting | S::Exited | S::Fatal, I::PolicyChanged { .. }) => {}
        }
    }

    /// Starts by request.
    fn start_requested(&mut self) {
        self.process.desired = Desired::Up;
        self.process.failures = 0;
        self.process.restarts = 0;
        self.process.short_runs = 0;
        self.process.awaited.clear();
        self.spawn();
    }

    /// Starts once others have ended.
    fn await_others(&mut self, awaited: String) {
        self.process.desired = Desired::Up;
        self.process.awaited = awaited;
        self.enter(State::Waiting, None);
    }

    /// Starts because the policy requires it.
    pub(super) fn auto_restart(&mut self) {
        self.process.restarts = self.process.restarts.saturating_add(1);
        self.process.victims.clear();
        self.spawn();
    }

    fn spawn(&mut self) {
        let clearing = self.must_sweep();
        if clearing {
            self.process.victims.clear();
            self.process.killed_for = KilledFor::Start;
        } else {
            self.process.leader = LeaderState::Spawning;
        }
        self.enter(State::Starting, None);
        if clearing {
            self.clear_stragglers();
        } else {
            self.effects.push_back(Effect::Spawn(self.process.id));
        }
    }

    /// Continues a start that waited for stragglers, once they are gone.
    pub(super) fn resume_start(&mut self) {
        if self.must_sweep() {
            return self.clear_stragglers();
        }
        self.process.killed = false;
        self.process.asked_at = None;
        self.process.deadline = None;
        self.process.signal_failure = None;
        self.process.leader = LeaderState::Spawning;
        self.effects.push_back(Effect::Spawn(self.process.id));
    }

    /// Ends the known stragglers before a start, once.
    fn clear_stragglers(&mut self) {
        let begun = self.process.killed || self.process.deadline.is_some();
        if self.process.stragglers == 0 || begun {
            return;
        }
        match self.policy.killmode {
            KillMode::Group => self.ask_to_end(),
            KillMode::Mixed | KillMode::Process => self.kill(),
        }
    }

    fn spawned(&mut self, pid: i32) {
        if !self.is_spawning() {
            return;
        }
        self.set_leader(pid);
        if self.policy.starttime.is_zero() {
            self.started();
        } else {
            self.process.deadline = Some(self.now + self.policy.starttime);
        }
    }

    fn set_leader(&mut self, pid: i32) {
        self.process.leader = LeaderState::Alive {
            pid,
            since: self.now,
        };
        self.process.last_failure = None;
    }

    /// It counts as started. With `starttime` 0 it is on probation for a second.
    pub(super) fn started(&mut self) {
        let probation = match (self.policy.starttime.is_zero(), self.process.started_at()) {
            (true, Some(at)) => Some(at + PROBATION).filter(|due| *due > self.now),
            _ => None,
        };
        if probation.is_none() {
            self.process.failures = 0;
        }
        self.enter(State::Running, probation);
    }

    pub(super) fn probation_over(&mut self) {
        if self.process.deadline.take().is_some() {
            self.process.failures = 0;
            self.effects.push_back(Effect::Started(self.process.id));
        }
    }

    fn spawn_failed(&mut self, failure: SpawnFailure) {
        if self.is_spawning() {
            self.process.leader = LeaderState::None;
            self.process.last_failure = Some(failure);
            self.start_failed();
        }
    }

    fn start_failed(&mut self) {
        self.process.failures = self.process.failures.saturating_add(1);
        if self.process.failures > self.policy.startretries {
            self.enter(State::Fatal, None);
        } else {
            let delay = self.process.restart_delay(self.policy, self.now);
            self.enter(State::Backoff, Some(self.now + delay));
        }
    }

    /// It counts as started if it exits after starttime, even if the deadline itself was not
    /// handled yet.
    fn exited_starting(&mut self, exit: Exit) {
        if self.process.deadline.is_some_and(|due| due <= self.now) {
            self.started();
            self.exited_running(exit);
        } else if self.leader_ended(exit) {
            self.start_failed();
        }
    }

    fn exited_running(&mut self, exit: Exit) {
        let on_probation = self.process.deadline.is_some_and(|due| due > self.now);
        if !self.leader_ended(exit) {
            return;
        }
        if on_probation && self.policy.fails_start(exit) {
            return self.start_failed();
        }
        self.process.failures = 0;
        self.process
            .count_run(self.process.last_lifetime.unwrap_or_default());
        let delay = self.process.restart_delay(self.policy, self.now);
        if !self.policy.restarts_after(exit) {
            self.enter(State::Exited, None);
        } else if delay.is_zero() {
            self.auto_restart();
        } else {
            self.enter(State::Backoff, Some(self.now + delay));
        }
    }

    fn exited_stopping(&mut self, exit: Exit) {
        if self.leader_ended(exit) {
            self.finish_stop();
        }
    }

    /// Records the leader's end. False if no leader was alive.
    fn leader_ended(&mut self, exit: Exit) -> bool {
        let LeaderState::Alive { pid, since } = self.process.leader else {
            return false;
        };
        self.process.leader = LeaderState::None;
        self.process.ended_pid = Some(pid);
        self.process.last_exit = Some(exit);
        self.process.last_killed = self.process.killed && exit.is_kill();
        self.process.last_lifetime = Some(self.now.since(since));
        self.process.remains_due = true;
        true
    }

    fn remains(&mut self, state: State, stragglers: u32) {
        self.process.stragglers = stragglers;
        self.process.remains_due = false;
        if self.process.is_clearing() {
            return self.resume_start();
        }
        if state != State::Stopping || !self.leader_gone() {
            return;
        }
        // With killmode mixed nothing asks them to end: waiting for them is pointless.
        let asked = self.process.deadline.is_some() && self.policy.killmode == KillMode::Group;
        if stragglers > 0 && !asked && self.must_sweep() {
            self.kill();
        }
        self.finish_stop();
    }

    pub(super) fn is_spawning(&self) -> bool {
        self.process.leader == LeaderState::Spawning
    }

    pub(super) fn leader_gone(&self) -> bool {
        self.process.leader == LeaderState::None
    }

    /// Ends STOPPING once the leader and, unless killmode is process, all stragglers are gone. What
    /// is left alone is counted first.
    pub(super) fn finish_stop(&mut self) {
        if self.leader_gone() && !self.must_sweep() && !self.process.remains_due {
            self.down();
        }
    }

    /// Whether a stop has to kill stragglers, known or possible.
    pub(super) fn must_sweep(&self) -> bool {
        let left = self.process.stragglers > 0 || self.process.remains_due;
        left && self.policy.killmode != KillMode::Process
    }

    /// The process is gone: enters STOPPED, or starts again if it is wanted up.
    fn down(&mut self) {
        match self.process.desired {
            Desired::Up => self.start_requested(),
            Desired::Down if self.process.state == State::Stopped => {}
            Desired::Down => self.enter(State::Stopped, None),
        }
    }

    /// Stops a process without a leader: its stragglers end first. They get the stop signal and its
    /// time, unless that is for leaders only.
    fn sweep(&mut self, desired: Desired, at_once: bool) {
        self.process.desired = desired;
        self.process.begin_stop();
        if !self.must_sweep() {
            return self.down();
        }
        // A start may have asked or killed them already.
        let (killed, asked_at) = (self.process.killed, self.process.asked_at);
        let due = self.process.deadline.filter(|_| asked_at.is_some());
        self.process.kill_requested = at_once && !killed;
        self.enter(State::Stopping, due);
        (self.process.killed, self.process.asked_at) = (killed, asked_at);
        if killed || (due.is_some() && !at_once) {
            return;
        }
        if !at_once && self.policy.killmode == KillMode::Group {
            self.ask_to_end();
        } else if self.process.stragglers > 0 {
            self.kill();
        }
    }

    fn stop_leader(&mut self, desired: Desired, at_once: bool) {
        if self.process.is_clearing() {
            // One reload may both restart the process and end the sweep.
            return match desired {
                Desired::Up if !self.must_sweep() => self.resume_start(),
                _ => self.sweep(desired, at_once),
            };
        }
        self.process.desired = desired;
        self.process.begin_stop();
        self.process.kill_requested = at_once;
        let asked = !at_once && !self.is_spawning() && !self.policy.stoptime.is_zero();
        self.enter(
            State::Stopping,
            asked.then(|| self.now + self.policy.stoptime),
        );
        if self.is_spawning() {
            self.effects.push_back(Effect::CancelSpawn(self.process.id));
        }
        if at_once {
            self.kill();
        } else if !self.is_spawning() {
            self.ask_to_end();
        }
    }

    fn spawned_while_stopping(&mut self, pid: i32) {
        if !self.is_spawning() {
            return;
        }
        self.set_leader(pid);
        if self.process.killed {
            self.push_kill();
        } else {
            self.ask_to_end();
        }
    }

    fn spawn_failed_while_stopping(&mut self, failure: SpawnFailure) {
        if !self.is_spawning() {
            return;
        }
        self.process.leader = LeaderState::None;
        if !failure.is_cancelled() {
            self.process.last_failure = Some(failure);
        }
        // A kill during the unanswered spawn was only recorded; no process received it.
        self.process.killed = false;
        if self.process.stragglers > 0 && self.must_sweep() {
            self.kill();
        }
        self.finish_stop();
    }

    fn ask_to_end(&mut self) {
        if self.policy.stoptime.is_zero() {
            return self.kill();
        }
        self.process.asked_at = Some(self.now);
        self.process.deadline = Some(self.now + self.policy.stoptime);
        self.process.signal_failure = None;
        let scope = match self.policy.killmode {
            KillMode::Group => SignalScope::Group,
            KillMode::Mixed | KillMode::Process => SignalScope::Leader,
        };
        let hangup = self.policy.hangup.then_some(SIGHUP);
        for signal in [self.policy.stopsignal].into_iter().chain(hangup) {
            self.effects.push_back(Effect::Signal {
                id: self.process.id,
                signal,
                scope,
            });
        }
    }

    /// Kills the process until it is gone. While a spawn is unanswered, only records the kill: the
    /// answer carries it out.
    pub(super) fn kill(&mut self) {
        self.process.deadline = None;
        if !self.process.killed {
            self.process.killed = true;
            if !self.is_spawning() {
                self.push_kill();
            }
        }
    }

    pub(super) fn push_kill(&mut self) {
        self.process.signal_failure = None;
        self.effects.push_back(Effect::Kill {
            id: self.process.id,
            scope: match self.policy.killmode {
                KillMode::Group | KillMode::Mixed => SignalScope::Group,
                KillMode::Process => SignalScope::Leader,
            },
        });
    }

    /// The only place where a state changes.
    fn enter(&mut self, to: State, deadline: Option<Time>) {
        let process = &mut *self.process;
        let from = process.state;
        let ended = process.ended_pid.take();
        process.state = to;
        process.since = self.now;
        process.deadline = deadline;
        process.killed = false;
        process.asked_at = None;
        process.signal_failure = None;
        self.effects.push_back(Effect::Notify(Transition {
            id: process.id,
            name: process.name.clone(),
            from,
            to,
            pid: process.pid().or(ended),
            exit: ended.and(process.last_exit),
            started: process.start_outcome(self.policy, self.now),
            detail: status_line::detail(process, self.policy, self.now),
        }));
    }
}
