//! The rules of a process's life, implemented a second time.

use std::collections::BTreeMap;
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
    /// Spawns since RUNNING or an explicit start.
    pub attempts: u32,
    /// Whether the policy stayed the same during those attempts.
    pub steady: bool,
    pub stragglers: u32,
    pub count_due: bool,
    pub spawned_at: Option<Time>,
    pub asked_at: Option<Time>,
    pub backoff_until: Option<Time>,
    /// `Reconfigured` effects that are still to come.
    pub reconfigured: u32,
    /// When the state was entered, in time in which the daemon ran.
    pub since: Time,
}

pub fn policy<'a>(slot: &Slot, programs: &'a BTreeMap<String, Program>) -> &'a Policy {
    &programs[&slot.program].policy
}

pub fn sweeps(slot: &Slot, programs: &BTreeMap<String, Program>) -> bool {
    let group = policy(slot, programs).killmode == KillMode::Group;
    group && (slot.stragglers > 0 || slot.count_due)
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
fn begun(slot: &Slot) -> bool {
    slot.spawn_out || slot.spawned_at.is_some()
}

/// Returns the state after a report about a process in STOPPING.
pub fn after_stopping(slot: &Slot, programs: &BTreeMap<String, Program>) -> Option<State> {
    if begun(slot) || sweeps(slot, programs) {
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

pub fn after_exit(policy: &Policy, exit: Exit) -> State {
    let expected = matches!(exit, Exit::Code(code) if policy.exitcodes.contains(&code));
    let again = match policy.autorestart {
        Autorestart::Always => true,
        Autorestart::Never => false,
        Autorestart::Unexpected => !expected,
    };
    match (again, policy.restart.after_exit.is_zero()) {
        (true, true) => State::Starting,
        (true, false) => State::Backoff,
        (false, _) => State::Exited,
    }
}

pub fn after_renewal(
    slot: &mut Slot,
    program: &Program,
    programs: &BTreeMap<String, Program>,
) -> State {
    let launch = program.launch.expand(program, slot.instance);
    let old = std::mem::replace(&mut slot.launch, launch);
    if std::mem::take(&mut slot.removed) {
        slot.wanted = program.autostart == Autostart::Yes;
        return slot.state;
    }
    if old == slot.launch {
        return slot.state;
    }
    if without_live_keys(&old) == without_live_keys(&slot.launch) {
        slot.reconfigured += 1;
        return slot.state;
    }
    match slot.state {
        State::Running => State::Stopping,
        State::Starting if begun(slot) => State::Stopping,
        State::Starting | State::Backoff | State::Fatal if sweeps(slot, programs) => {
            State::Stopping
        }
        State::Starting | State::Backoff | State::Fatal => State::Starting,
        state => state,
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

/// Computes the delay before a retry without powers, unlike the supervisor.
pub fn delay(failures: u32, policy: &Policy) -> Duration {
    let restart = policy.restart;
    if failures == 0 {
        return restart.after_exit;
    }
    let mut delay = restart.first;
    for _ in 1..failures {
        if restart.factor.is_nan() && !delay.is_zero() {
            return restart.max;
        }
        delay *= restart.factor as u32;
    }
    delay.min(restart.max)
}

pub fn due(slot: &Slot, programs: &BTreeMap<String, Program>) -> Option<Time> {
    let policy = policy(slot, programs);
    match slot.state {
        State::Starting => Some(slot.spawned_at? + policy.starttime),
        State::Backoff => slot.backoff_until,
        State::Stopping if !slot.killed => Some(slot.asked_at? + policy.stoptime),
        _ => None,
    }
}
