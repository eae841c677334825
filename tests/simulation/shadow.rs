//! A second, simpler implementation of the supervisor's rules. Both are compared after every event.

use super::clock::Clock;
use super::rules::*;
use super::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use taskmaster::supervisor::*;

#[derive(Default)]
pub struct Shadow {
    pub slots: BTreeMap<ProcessId, Slot>,
    pub programs: BTreeMap<String, Program>,
    shutdown: bool,
    /// The shutdown kills everything, and leaves what cannot be killed.
    at_once: bool,
    /// Processes that the present event removes and that are not gone at once.
    pub leaving: BTreeSet<ProcessId>,
    pub finished: u32,
    pub clock: Clock,
}

/// More than a slow start, a stop and the killing of stragglers can take together.
const STOP_MAX: Duration = Duration::from_secs(6);

/// The expected state of each process; none means that it is forgotten.
pub type Expected = BTreeMap<ProcessId, Option<State>>;

impl Shadow {
    /// Takes in an event that the supervisor is about to get. Returns the expected states.
    pub fn expect(&mut self, event: &Event, now: Time) -> Expected {
        let removed = |slots: &BTreeMap<ProcessId, Slot>| -> BTreeSet<ProcessId> {
            let removed = slots.iter().filter(|(_, slot)| slot.removed);
            removed.map(|(id, _)| *id).collect()
        };
        let before = removed(&self.slots);
        let mut all = self.expect_states(event, now);
        let after = removed(&self.slots);
        let here = |id: &ProcessId| all.get(id).is_none_or(Option::is_some);
        self.leaving = after.difference(&before).copied().filter(here).collect();
        let gone: Vec<ProcessId> = before
            .into_iter()
            .filter(|id| !after.contains(id))
            .collect();
        let gone = gone
            .into_iter()
            .chain(after.into_iter().filter(|id| !here(id)));
        let gone: BTreeSet<ProcessId> = gone.collect();
        for (id, slot) in &mut self.slots {
            slot.awaits.retain(|other| !gone.contains(other));
            if all.get(id) == Some(&Some(State::Waiting)) && slot.awaits.is_empty() {
                all.insert(*id, Some(State::Starting));
            }
        }
        all
    }

    fn expect_states(&mut self, event: &Event, now: Time) -> Expected {
        let mut all = Expected::new();
        let (id, expected) = match event {
            Event::Shutdown | Event::ShutdownNow => {
                for (id, slot) in &mut self.slots {
                    slot.wanted = false;
                    all.insert(*id, after_stop(slot, &self.programs));
                }
                self.shutdown = true;
                self.at_once |= matches!(event, Event::ShutdownNow);
                return all;
            }
            Event::Configure(programs) if !self.shutdown => {
                return self.expect_configure(programs, now);
            }
            Event::Scale { program, numprocs } if !self.shutdown => {
                if let Some(mut program) = self.programs.get(program).cloned() {
                    program.numprocs = *numprocs;
                    self.expect_program(&program, &mut all, now);
                }
                return all;
            }
            Event::Configure(_) | Event::Scale { .. } => return all,
            Event::Start(id) => (*id, self.request(*id, false)),
            Event::Restart(id) => (*id, self.request(*id, true)),
            Event::Stop(id) => (*id, self.stop(*id)),
            Event::Spawned { id, .. } => (*id, self.spawned(*id, now)),
            Event::SpawnFailed { id, .. } => (*id, self.spawn_failed(*id)),
            Event::SignalFailed { id, failure } => (*id, self.signal_failed(*id, failure.signal)),
            Event::Exited { id, exit } => (*id, self.exited(*id, *exit, now)),
            Event::Remains { id, stragglers } => (*id, self.remains(*id, *stragglers)),
            Event::Killed { id, .. } => (*id, None),
        };
        if let Some(expected) = expected {
            all.insert(id, expected);
        }
        all
    }

    fn request(&mut self, id: ProcessId, restart: bool) -> Option<Option<State>> {
        let slot = self.slots.get_mut(&id)?;
        if slot.removed || self.shutdown {
            return Some(Some(slot.state));
        }
        slot.wanted = true;
        slot.awaits.clear();
        Some(Some(match slot.state {
            State::Starting | State::Running if restart => State::Stopping,
            State::Starting | State::Running | State::Stopping => slot.state,
            _ if restart && sweeps(slot, &self.programs) => State::Stopping,
            _ => State::Starting,
        }))
    }

    fn stop(&mut self, id: ProcessId) -> Option<Option<State>> {
        let slot = self.slots.get_mut(&id)?;
        slot.wanted = false;
        Some(after_stop(slot, &self.programs))
    }

    fn spawned(&mut self, id: ProcessId, now: Time) -> Option<Option<State>> {
        let slot = self.slots.get_mut(&id)?;
        assert!(slot.spawn_out, "{}: an answer without a spawn", slot.name);
        (slot.spawn_out, slot.cancelled) = (false, false);
        slot.spawned_at = Some(now);
        let at_once = policy(slot, &self.programs).starttime.is_zero();
        Some(Some(match slot.state {
            State::Starting if at_once => State::Running,
            state => state,
        }))
    }

    fn spawn_failed(&mut self, id: ProcessId) -> Option<Option<State>> {
        let slot = self.slots.get_mut(&id)?;
        assert!(slot.spawn_out, "{}: an answer without a spawn", slot.name);
        (slot.spawn_out, slot.cancelled) = (false, false);
        Some(match slot.state {
            State::Starting => Some(after_failure(slot, &self.programs)),
            State::Stopping => after_stopping(slot, &self.programs),
            state => Some(state),
        })
    }

    fn signal_failed(&mut self, id: ProcessId, signal: i32) -> Option<Option<State>> {
        let slot = self.slots.get_mut(&id)?;
        if slot.state == State::Stopping {
            slot.refused = Some(signal);
        }
        Some(Some(slot.state))
    }

    fn exited(&mut self, id: ProcessId, exit: Exit, now: Time) -> Option<Option<State>> {
        let slot = self.slots.get_mut(&id)?;
        let policy = policy(slot, &self.programs);
        slot.count_due = true;
        let lived = now - slot.spawned_at.take().expect("an exit before a start");
        let lived_long = lived >= policy.starttime;
        let fails = policy.autorestart != Autorestart::Never && !is_expected(policy, exit);
        Some(match slot.state {
            State::Starting if !lived_long => Some(after_failure(slot, &self.programs)),
            State::Running if slot.probation.is_some_and(|due| due > now) && fails => {
                slot.start_failed = true;
                Some(after_failure(slot, &self.programs))
            }
            State::Starting | State::Running => Some(after_exit(slot, policy, exit, lived)),
            State::Stopping => after_stopping(slot, &self.programs),
            state => panic!("{}: a leader lived in {state}", slot.name),
        })
    }

    fn remains(&mut self, id: ProcessId, stragglers: u32) -> Option<Option<State>> {
        let slot = self.slots.get_mut(&id)?;
        slot.stragglers = stragglers;
        slot.count_due = false;
        Some(match slot.state {
            State::Stopping => after_stopping(slot, &self.programs),
            state => Some(state),
        })
    }

    fn expect_configure(&mut self, programs: &[Program], now: Time) -> Expected {
        let mut all = Expected::new();
        for (id, slot) in &mut self.slots {
            if !programs.iter().any(|program| program.name == slot.program) {
                (slot.wanted, slot.removed) = (false, true);
                all.insert(*id, after_stop(slot, &self.programs));
            }
        }
        for program in programs {
            self.expect_program(program, &mut all, now);
        }
        all
    }

    fn expect_program(&mut self, program: &Program, all: &mut Expected, now: Time) {
        let old = self.programs.insert(program.name.clone(), program.clone());
        let retuned = old.as_ref().is_some_and(|old| old.policy != program.policy);
        for (id, slot) in &mut self.slots {
            if slot.program != program.name {
                continue;
            }
            slot.steady &= !retuned;
            let mut expected = if slot.instance >= program.numprocs {
                (slot.wanted, slot.removed) = (false, true);
                after_stop(slot, &self.programs)
            } else {
                let old = old.as_ref().map(|old| &old.policy);
                Some(after_renewal(slot, program, old, &self.programs))
            };
            if retuned && slot.state == State::Stopping && expected == Some(State::Stopping) {
                expected = after_stopping(slot, &self.programs);
            }
            let lived_long = slot
                .spawned_at
                .is_some_and(|at| at + program.policy.starttime <= now);
            if retuned && expected == Some(State::Starting) && lived_long {
                // The new starttime counts only for a living leader.
                if slot.state == State::Starting {
                    expected = Some(State::Running);
                }
            }
            let timed = !program.policy.starttime.is_zero();
            if retuned && expected == Some(State::Running) && timed {
                slot.started_due |= slot.probation.is_some();
            }
            if retuned && expected == Some(State::Backoff) {
                let due = backoff_end(*id, slot, &program.policy);
                slot.backoff_until = Some(due);
                if due <= now {
                    expected = Some(State::Starting);
                    slot.delay_over = true;
                }
            }
            all.insert(*id, expected);
        }
    }

    /// Takes in an effect. `by_timer` means that a timeout caused it.
    pub fn effect(
        &mut self,
        effect: &Effect,
        supervisor: &Supervisor,
        world: &World,
        now: Time,
        by_timer: bool,
    ) {
        match effect {
            Effect::Started(id) => self.started(*id, now),
            Effect::Notify(transition) => {
                self.adopt(transition.id, supervisor, transition.from);
                self.transition(transition, now, by_timer);
                let down = transition.to.is_down() || transition.to == State::Backoff;
                let pid = world.pid(transition.id);
                assert!(
                    !down || pid.is_none(),
                    "{} is down, {pid:?} lives",
                    transition.name
                );
                if transition.from == State::Stopping {
                    let slot = &self.slots[&transition.id];
                    world.expect_gone(transition.id, policy(slot, &self.programs));
                }
            }
            Effect::Spawn(id) => self.spawn_decided(*id, world, now),
            Effect::CancelSpawn(id) => self.start_cancelled(*id),
            Effect::Signal { id, signal, scope } => {
                self.expect_scope(*id, *scope, &[KillMode::Group]);
                self.asked(*id, *signal, now, by_timer);
            }
            Effect::Kill { id, scope } => {
                self.expect_scope(*id, *scope, &[KillMode::Group, KillMode::Mixed]);
                self.killed(*id, now, by_timer);
            }
            Effect::Release { id, name } => {
                let slot = self.slots.remove(id).expect("a release of a known process");
                assert!(
                    slot.removed && slot.name == *name,
                    "{name}: forgotten, yet wanted"
                );
                assert!(slot.state.is_down(), "{name}: forgotten in {}", slot.state);
                for slot in self.slots.values_mut() {
                    slot.awaits.remove(id);
                }
            }
            Effect::Reconfigured(id) => {
                let slot = self.slots.get_mut(id).expect("news for a known process");
                assert_eq!(slot.reconfigured, 1, "{}: reconfigured", slot.name);
                slot.reconfigured = 0;
            }
            Effect::Finished => {
                self.finished += 1;
                assert!(
                    self.shutdown && self.finished == 1,
                    "finished {} times",
                    self.finished
                );
                let left = |slot: &Slot| slot.killed && slot.refused == Some(9) && self.at_once;
                let mut slots = self.slots.values();
                assert!(
                    slots.all(|slot| slot.state.is_down() || left(slot)),
                    "finished early"
                );
            }
        }
    }

    fn started(&mut self, id: ProcessId, now: Time) {
        let slot = self.slots.get_mut(&id).expect("a known process");
        let on_time = self.clock.is_due(slot.probation, now) || slot.started_due;
        assert!(on_time, "{}: started", slot.name);
        slot.end_probation();
        slot.started_due = false;
    }

    fn spawn_decided(&mut self, id: ProcessId, world: &World, now: Time) {
        let slot = self.slots.get_mut(&id).expect("a known process");
        let name = &slot.name;
        assert_eq!(slot.state, State::Starting, "{name}: spawned");
        let in_time = self.clock.active(now) <= slot.since + STOP_MAX;
        assert!(in_time, "{name}: a start that waited too long");
        world.expect_no_stragglers(id, policy(slot, &self.programs));
        assert!(!slot.spawn_out, "{name}: spawned while a spawn is out");
        slot.spawn_out = true;
        slot.attempts += 1;
        (slot.killed, slot.asked_at) = (false, None);
    }

    fn start_cancelled(&mut self, id: ProcessId) {
        let slot = self.slots.get_mut(&id).expect("a known process");
        let name = &slot.name;
        assert_eq!(slot.state, State::Stopping, "{name}: cancelled");
        assert!(slot.spawn_out, "{name}: a cancel without a spawn");
        assert!(!slot.cancelled, "{name}: cancelled twice");
        slot.cancelled = true;
    }

    /// Fails unless the scope is the group under exactly these kill modes.
    fn expect_scope(&self, id: ProcessId, scope: SignalScope, modes: &[KillMode]) {
        let slot = self.slots.get(&id).expect("a signal to a known process");
        let whole = modes.contains(&policy(slot, &self.programs).killmode);
        assert_eq!(scope == SignalScope::Group, whole, "{}: whom", slot.name);
    }

    fn asked(&mut self, id: ProcessId, signal: i32, now: Time, by_timer: bool) {
        let slot = self
            .slots
            .get_mut(&id)
            .expect("a signal to a known process");
        let clearing = is_clearing(slot, &self.programs);
        let stops = slot.state == State::Stopping;
        assert!(stops || clearing, "{}: signalled", slot.name);
        let policy = policy(slot, &self.programs);
        // The delay before a restart may have ended.
        assert!(!by_timer || clearing, "{}: asked by a timer", slot.name);
        if slot.asked_at.is_some() {
            let hangup = std::mem::take(&mut slot.hangup_due) && signal == 1;
            assert!(hangup, "{}: asked twice", slot.name);
            return;
        }
        assert_eq!(signal, policy.stopsignal, "{}", slot.name);
        slot.hangup_due = policy.hangup;
        (slot.asked_at, slot.refused) = (Some(now), None);
    }

    fn killed(&mut self, id: ProcessId, now: Time, by_timer: bool) {
        let slot = self.slots.get_mut(&id).expect("a kill of a known process");
        let clearing = is_clearing(slot, &self.programs);
        assert!(
            slot.state == State::Stopping || clearing,
            "{}: killed in {}",
            slot.name,
            slot.state
        );
        let policy = policy(slot, &self.programs);
        let due = slot.asked_at.map(|asked| asked + policy.stoptime);
        if clearing && policy.killmode == KillMode::Group && !policy.stoptime.is_zero() {
            let over = due.is_some_and(|due| due <= now);
            assert!(over, "{}: SIGKILL to stragglers before stoptime", slot.name);
        }
        if by_timer && (!clearing || due.is_some()) {
            let on_time = self.clock.is_due(due, now);
            assert!(on_time, "{}: SIGKILL not after stoptime", slot.name);
        }
        (slot.killed, slot.refused) = (true, None);
    }

    /// The policy a program has or had last.
    pub fn policy(&self, program: &str) -> &Policy {
        &self.programs[program].policy
    }

    fn transition(&mut self, transition: &Transition, now: Time, by_timer: bool) {
        let slot = self.slots.get_mut(&transition.id).expect("a known process");
        let policy = policy(slot, &self.programs);
        let (name, from, to) = (&slot.name, transition.from, transition.to);
        assert_eq!(from, slot.state, "{name}: the state it left");
        assert_ne!(from, to, "{name}: a transition that is none");
        let clock = self.clock;
        if from == State::Stopping {
            let ended = clock.active(now) <= slot.since + STOP_MAX;
            let unkillable = slot.refused.is_some();
            assert!(ended || unkillable, "{name}: a stop that took too long");
        }
        slot.since = clock.active(now);
        // A stop continues what a start has begun.
        let continues = slot.state == State::Starting && !begun(slot) && to == State::Stopping;
        match (from, to) {
            (State::Starting, State::Running) if by_timer => {
                let due = slot.spawned_at.map(|at| at + policy.starttime);
                assert!(
                    clock.is_due(due, now),
                    "{name}: RUNNING not after starttime"
                );
            }
            (State::Backoff, State::Starting) if by_timer => {
                let on_time = clock.is_due(slot.backoff_until, now);
                assert!(on_time, "{name}: not after its delay");
            }
            (State::Stopped | State::Waiting, State::Starting) => {
                assert!(slot.awaits.is_empty(), "{name}: did not wait");
            }
            (State::Starting, State::Backoff | State::Fatal) => slot.failures += 1,
            (State::Running, State::Backoff | State::Fatal) => {
                slot.failures += u32::from(std::mem::take(&mut slot.start_failed));
            }
            _ => assert!(!by_timer, "{name}: {from} to {to} by a timer"),
        }
        enter(slot, transition, policy, now, by_timer);
        (slot.state, slot.refused) = (to, None);
        slot.delay_over = false;
        if !continues {
            (slot.killed, slot.asked_at) = (false, None);
        }
        slot.probation = slot.probation.filter(|_| to == State::Running);
        if to != State::Waiting {
            slot.awaits.clear();
        }
        if to != State::Backoff {
            slot.backoff_until = None;
        }
    }
}
