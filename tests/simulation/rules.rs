//! The rules of a process's life, implemented a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use taskmaster::supervisor::*;

/// The shadow's state of one process.
#[derive(Debug, Clone)]
pub struct Slot {
    pub name: String,
    pub program: String,
    pub instance: u32,
    pub launch: Launch,
    pub state: State,
    pub wanted: bool,
    pub removed: bool,
    pub spawn_out: bool,
    /// The start was cancelled.
    pub cancelled: bool,
    /// The last signal that could not be sent.
    pub refused: Option<i32>,
    pub killed: bool,
    pub failures: u32,
    pub restarts: u32,
    /// Short runs in a row.
    pub short_runs: u32,
    /// Spawns since RUNNING or an explicit start.
    pub attempts: u32,
    /// Whether the policy stayed the same during those attempts.
    pub steady: bool,
    pub stragglers: u32,
    pub count_due: bool,
    pub spawned_at: Option<Time>,
    /// Its start may still fail until then, although it is RUNNING.
    pub probation: Option<Time>,
    /// A reload has ended its probation.
    pub started_due: bool,
    /// The latest exit was a failed start, although it was RUNNING.
    pub start_failed: bool,
    pub asked_at: Option<Time>,
    /// SIGHUP has to follow the stop signal.
    pub hangup_due: bool,
    pub backoff_since: Option<Time>,
    pub backoff_until: Option<Time>,
    /// A reload has shortened its delay, which is over.
    pub delay_over: bool,
    /// `Reconfigured` effects that are still to come.
    pub reconfigured: u32,
    /// Removed processes that it waits for.
    pub awaits: BTreeSet<ProcessId>,
    /// When the state was entered, in time in which the daemon ran.
    pub since: Time,
}

impl Slot {
    /// The start counts as successful from now on.
    pub fn end_probation(&mut self) {
        self.probation = None;
        (self.failures, self.attempts) = (0, 0);
        self.steady = true;
    }
}

pub fn policy<'a>(slot: &Slot, programs: &'a BTreeMap<String, Program>) -> &'a Policy {
    &programs[&slot.program].policy
}

pub fn sweeps(slot: &Slot, programs: &BTreeMap<String, Program>) -> bool {
    let all = policy(slot, programs).killmode != KillMode::Process;
    all && (slot.stragglers > 0 || slot.count_due)
}

pub fn after_stop(slot: &Slot, programs: &BTreeMap<String, Program>) -> Option<State> {
    match slot.state {
        State::Running | State::Stopping => Some(State::Stopping),
        State::Starting if begun(slot) => Some(State::Stopping),
        _ if sweeps(slot, programs) => Some(State::Stopping),
        _ => (!slot.removed).then_some(State::Stopped),
    }
}

/// Whether a leader lives or is being spawned. If not, the start waits for stragglers to end.
pub fn begun(slot: &Slot) -> bool {
    slot.spawn_out || slot.spawned_at.is_some()
}

/// Whether a start waits for stragglers to end.
pub fn is_clearing(slot: &Slot, programs: &BTreeMap<String, Program>) -> bool {
    slot.state == State::Starting && !begun(slot) && sweeps(slot, programs)
}

/// Returns the state after a report about a process in STOPPING.
pub fn after_stopping(slot: &Slot, programs: &BTreeMap<String, Program>) -> Option<State> {
    if begun(slot) || sweeps(slot, programs) || slot.count_due {
        return Some(State::Stopping);
    }
    if slot.wanted {
        return Some(State::Starting);
    }
    (!slot.removed).then_some(State::Stopped)
}

pub fn after_failure(slot: &Slot, programs: &BTreeMap<String, Program>) -> State {
    if slot.failures < policy(slot, programs).startretries {
        State::Backoff
    } else {
        State::Fatal
    }
}

/// Returns the state after a run that counted as started, and counts the run.
pub fn after_exit(slot: &mut Slot, policy: &Policy, exit: Exit, lived: Duration) -> State {
    let again = match policy.autorestart {
        Autorestart::Always => true,
        Autorestart::Never => false,
        Autorestart::Unexpected => !is_expected(policy, exit),
    };
    slot.end_probation();
    slot.short_runs += 1;
    if lived >= SHORT_RUN {
        slot.short_runs = 0;
    }
    let waits = slot.short_runs > policy.restart.burst || !policy.restart.initial.is_zero();
    match (again, waits) {
        (true, false) => State::Starting,
        (true, true) => State::Backoff,
        (false, _) => State::Exited,
    }
}

/// Keeps the books of a state that is entered.
pub fn enter(slot: &mut Slot, transition: &Transition, policy: &Policy, now: Time, by_timer: bool) {
    match transition.to {
        State::Starting if by_timer || transition.from == State::Running || slot.delay_over => {
            slot.restarts += 1;
        }
        State::Starting => {
            (slot.restarts, slot.short_runs) = (0, 0);
            slot.end_probation();
        }
        State::Running => {
            let due = slot.spawned_at.map(|at| at + PROBATION);
            match due.filter(|due| policy.starttime.is_zero() && *due > now) {
                Some(due) => slot.probation = Some(due),
                None => slot.end_probation(),
            }
        }
        State::Backoff => {
            slot.backoff_since = Some(now);
            slot.backoff_until = Some(backoff_end(transition.id, slot, policy));
        }
        State::Fatal => {
            assert_eq!(
                slot.attempts, slot.failures,
                "{}: attempts before FATAL",
                slot.name
            );
            let allowed = 1 + policy.startretries;
            let exact = slot.attempts == allowed;
            assert!(
                exact || !slot.steady,
                "{}: FATAL after {}",
                slot.name,
                slot.attempts
            );
        }
        State::Stopped | State::Stopping | State::Exited | State::Waiting => {}
    }
}

pub fn is_expected(policy: &Policy, exit: Exit) -> bool {
    matches!(exit, Exit::Code(code) if policy.exitcodes.contains(&code))
}

pub fn after_renewal(
    slot: &mut Slot,
    program: &Program,
    old_policy: Option<&Policy>,
    programs: &BTreeMap<String, Program>,
) -> State {
    let launch = program.launch.expand(program, slot.instance);
    let old = std::mem::replace(&mut slot.launch, launch);
    if std::mem::take(&mut slot.removed) {
        slot.wanted = program.autostart == Autostart::Yes;
        return slot.state;
    }
    let restart = without_live_keys(&old) != without_live_keys(&slot.launch);
    let differs = |of: fn(&Policy) -> Policy| {
        let text = |policy: &Policy| format!("{:?}", of(policy));
        old_policy.is_some_and(|policy| text(policy) != text(&program.policy))
    };
    let renewed = match slot.state {
        State::Fatal => old != slot.launch || differs(Policy::clone),
        State::Exited => restart || differs(without_stop_keys),
        State::Running | State::Starting | State::Backoff => restart,
        State::Stopped | State::Stopping | State::Waiting => false,
    };
    if !renewed {
        slot.reconfigured += u32::from(!restart && old != slot.launch);
        return slot.state;
    }
    match slot.state {
        State::Running => State::Stopping,
        State::Starting if begun(slot) => State::Stopping,
        _ if sweeps(slot, programs) => State::Stopping,
        _ => State::Starting,
    }
}

/// Blanks the settings that matter only while a process stops.
fn without_stop_keys(policy: &Policy) -> Policy {
    let Policy {
        stopsignal,
        hangup,
        stoptime,
        killmode,
        ..
    } = Policy::default();
    Policy {
        stopsignal,
        hangup,
        stoptime,
        killmode,
        ..policy.clone()
    }
}

/// Blanks the settings that a living process can apply.
fn without_live_keys(launch: &Launch) -> Launch {
    let mut launch = launch.clone();
    for sink in [&mut launch.stdout, &mut launch.stderr] {
        if let Sink::File(file) = sink {
            file.max_size = 0;
            file.keep = 0;
            (file.compress, file.timestamps, file.strip_ansi) = (false, false, false);
            file.stall = Stall::Never;
        }
    }
    launch
}

/// Computes the delay of a BACKOFF that began at `since`, without powers, unlike the supervisor.
pub fn delay(id: ProcessId, slot: &Slot, policy: &Policy, since: Time) -> Duration {
    let restart = policy.restart;
    let slowed = slot.short_runs.saturating_sub(restart.burst);
    let number = match (slot.failures, slowed) {
        (0, 0) => return restart.initial,
        (0, slowed) => slowed,
        (failures, _) => failures,
    };
    let mut delay = restart.initial.max(Duration::from_secs(1));
    for _ in 1..number {
        delay = match restart.factor.is_nan() {
            true => restart.max,
            false => (delay * restart.factor as u32).min(restart.max * 4),
        };
    }
    let chance = jitter_chance(id, since);
    let jitter = Some(restart.jitter).filter(|jitter| !jitter.is_nan());
    let spread = 1.0 + jitter.unwrap_or(0.0);
    let longest = (delay.as_secs_f64() * spread).min(restart.max.as_secs_f64());
    let shortest = longest / spread;
    let share = 1.0 + (spread - 1.0) * chance;
    Duration::from_secs_f64(shortest * share).min(restart.max)
}

/// Returns the end of a BACKOFF that began at `since`, under the policy in force.
pub fn backoff_end(id: ProcessId, slot: &Slot, policy: &Policy) -> Time {
    let since = slot.backoff_since.expect("it is in BACKOFF");
    since + delay(id, slot, policy, since)
}

pub fn due(slot: &Slot, programs: &BTreeMap<String, Program>) -> Option<Time> {
    let policy = policy(slot, programs);
    match slot.state {
        State::Starting if begun(slot) => Some(slot.spawned_at? + policy.starttime),
        State::Starting if !slot.killed => Some(slot.asked_at? + policy.stoptime),
        State::Backoff => slot.backoff_until,
        State::Running => slot.probation,
        State::Stopping if !slot.killed => Some(slot.asked_at? + policy.stoptime),
        _ => None,
    }
}
