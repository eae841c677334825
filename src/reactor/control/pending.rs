//! Requests whose reply waits for an outcome: start, stop, restart, wait.

use crate::reactor::control::connection::ConnectionId;
use crate::reactor::control::event_history::exit_info;
use crate::supervisor::{Exit, Process, ProcessId, State, Time, Transition};
use crate::wire::{ActReply, Id, Outcome, WaitFor};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::{Rc, Weak};

/// Requests of one connection that wait at once.
pub(crate) const REQUESTS_MAX: usize = 256;

/// Requests of clients that are gone and that wait to be removed. Beyond, they are removed at once:
/// a client that comes and goes must not make them grow.
const ABANDONED_MAX: usize = 4 * REQUESTS_MAX;

/// The memory of a request and of each of its targets, in bytes, rounded up.
const REQUEST_BYTES: usize = 512;
const TARGET_BYTES: usize = 100;

/// The state that a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AwaitedState {
    /// Up, or exited as expected.
    Started,
    /// Down.
    Stopped,
    /// Up after a new start.
    Restarted,
    /// A state that the caller chose.
    Reached(WaitFor),
}

/// The caller of a pending request, and the awaited state.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The caller.
    pub client: ConnectionId,
    /// The request's id.
    pub id: Option<Id>,
    /// The state it waits for.
    pub awaits: AwaitedState,
}

/// A process that a request waits for.
#[derive(Debug)]
pub(crate) struct PendingTarget {
    /// The process.
    pub id: ProcessId,
    /// Its outcome, as soon as it has one.
    pub outcome: Option<Outcome>,
}

/// The answer to a request that was pending.
#[derive(Debug, PartialEq)]
pub(crate) struct PendingAnswer {
    /// The caller.
    pub client: ConnectionId,
    /// The request's id.
    pub id: Option<Id>,
    /// The outcomes, in the order of the targets.
    outcomes: Vec<Rc<Outcome>>,
    timed_out: bool,
}

impl PendingAnswer {
    /// Its memory at most, in bytes.
    fn bytes(&self) -> usize {
        REQUEST_BYTES + self.outcomes.len() * TARGET_BYTES
    }

    /// The reply.
    pub(crate) fn reply(&self) -> ActReply {
        ActReply {
            processes: self.outcomes.iter().map(|one| (**one).clone()).collect(),
            timed_out: self.timed_out,
        }
    }
}

#[derive(Debug)]
struct PendingRequest {
    request: Request,
    targets: Rc<[ProcessId]>,
    /// The outcomes so far, by the position of the target.
    outcomes: BTreeMap<u32, Rc<Outcome>>,
    /// Processes that a restart has started.
    started: BTreeSet<ProcessId>,
    deadline: Option<Time>,
    /// Its client is gone: nothing is answered.
    abandoned: bool,
}

/// The requests of one client, and their memory.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    requests: usize,
    bytes: usize,
}

/// All requests without a reply.
#[derive(Debug, Default)]
pub(crate) struct PendingRequests {
    requests: BTreeMap<u64, PendingRequest>,
    /// Those of them whose clients are gone.
    abandoned: usize,
    counted: u64,
    /// The requests that wait for a process, and its position among their targets.
    waiting: BTreeMap<(ProcessId, u64), u32>,
    held: BTreeMap<ConnectionId, Held>,
    /// The nearest first. A deadline goes with its request.
    deadlines: BTreeSet<(Time, u64)>,
    /// Answers whose clients have to wait for their turn.
    put_off: BTreeMap<ConnectionId, VecDeque<PendingAnswer>>,
    /// The targets of the latest request. Many requests name the same.
    latest_targets: Rc<[ProcessId]>,
    /// The latest outcomes of each process, by their success. Many requests share one.
    latest_outcomes: BTreeMap<(ProcessId, bool), Weak<Outcome>>,
}

impl PendingRequests {
    /// Adds a request. Returns its number, or its answer if every target has an outcome already.
    ///
    /// # Errors
    /// The answer.
    pub(crate) fn add(
        &mut self,
        request: Request,
        targets: Vec<PendingTarget>,
    ) -> Result<u64, PendingAnswer> {
        let number = self.counted;
        self.counted += 1;
        let mut pending = PendingRequest {
            request,
            targets: self.shared_targets(&targets),
            outcomes: BTreeMap::new(),
            started: BTreeSet::new(),
            deadline: None,
            abandoned: false,
        };
        for (position, target) in (0..).zip(targets) {
            match target.outcome {
                Some(outcome) => {
                    let outcome = self.shared_outcome(target.id, outcome);
                    pending.outcomes.insert(position, outcome);
                }
                None => _ = self.waiting.insert((target.id, number), position),
            }
        }
        let held = self.held.entry(pending.request.client).or_default();
        held.requests += 1;
        held.bytes += pending.bytes();
        self.requests.insert(number, pending);
        self.complete_if_done(number).map_or(Ok(number), Err)
    }

    /// Sets the time at which a request is answered at the latest.
    pub(crate) fn set_deadline(&mut self, number: u64, at: Time) {
        if let Some(pending) = self.requests.get_mut(&number) {
            pending.deadline = Some(at);
            self.deadlines.insert((at, number));
        }
    }

    /// The nearest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A request whose deadline is over.
    pub(crate) fn overdue(&self, now: Time) -> Option<u64> {
        let (at, number) = *self.deadlines.first()?;
        (at <= now).then_some(number)
    }

    /// Whether a client waits for a reply.
    pub(crate) fn has(&self, client: ConnectionId) -> bool {
        self.held.contains_key(&client) || self.put_off.contains_key(&client)
    }

    /// Keeps an answer until its client has its turn.
    pub(crate) fn put_off(&mut self, answer: PendingAnswer) {
        self.put_off
            .entry(answer.client)
            .or_default()
            .push_back(answer);
    }

    /// Takes the next answer that was put off.
    pub(crate) fn next_put_off(&mut self, client: ConnectionId) -> Option<PendingAnswer> {
        let answers = self.put_off.get_mut(&client)?;
        let answer = answers.pop_front();
        if answers.is_empty() {
            self.put_off.remove(&client);
        }
        answer
    }

    /// Whether a client may have one more request.
    pub(crate) fn has_room(&self, client: ConnectionId) -> bool {
        let held = self.held.get(&client);
        held.is_none_or(|held| held.requests < REQUESTS_MAX)
    }

    /// The memory that the requests of a client and their answers take at most, in bytes.
    pub(crate) fn bytes(&self, client: ConnectionId) -> usize {
        let answers = self.put_off.get(&client).into_iter().flatten();
        let answers: usize = answers.map(PendingAnswer::bytes).sum();
        answers + self.held.get(&client).map_or(0, |held| held.bytes)
    }

    /// The client is gone: its requests are overdue, and removed as these are, a few in a turn.
    pub(crate) fn forget(&mut self, client: ConnectionId) {
        self.put_off.remove(&client);
        if !self.has(client) {
            return;
        }
        let of_client = self.requests.iter();
        let of_client = of_client.filter(|(_, one)| one.request.client == client && !one.abandoned);
        let numbers: Vec<u64> = of_client.map(|(number, _)| *number).collect();
        self.held.remove(&client);
        for number in numbers {
            let full = self.abandoned >= ABANDONED_MAX;
            if let Some(pending) = self.requests.get_mut(&number) {
                self.abandoned += 1;
                pending.abandoned = true;
                if let Some(at) = pending.deadline.replace(Time::default()) {
                    self.deadlines.remove(&(at, number));
                }
                self.deadlines.insert((Time::default(), number));
            }
            if full {
                self.remove(number);
            }
        }
    }

    /// A process changed its state. Returns the answers to the requests that this completes.
    pub(crate) fn on_transition(
        &mut self,
        transition: &Transition,
        last_exit: Option<Exit>,
    ) -> Vec<PendingAnswer> {
        self.update(transition.id, |pending| {
            pending.transition(transition, last_exit)
        })
    }

    /// The start of a process, which is RUNNING, has succeeded. Returns the answers to the requests
    /// that this completes.
    pub(crate) fn on_started(&mut self, process: &Process) -> Vec<PendingAnswer> {
        self.update(process.id, |pending| {
            let complete = match pending.request.awaits {
                AwaitedState::Started => true,
                AwaitedState::Restarted => pending.started.contains(&process.id),
                AwaitedState::Stopped | AwaitedState::Reached(_) => false,
            };
            complete.then(|| outcome(process, true, "started"))
        })
    }

    /// A process was removed from the config. Returns the answers to the requests that this
    /// completes.
    pub(crate) fn on_removed(&mut self, id: ProcessId, name: &str) -> Vec<PendingAnswer> {
        let answers = self.update(id, |pending| {
            Some(Outcome {
                name: name.to_string(),
                ok: pending.request.awaits == AwaitedState::Stopped,
                state: State::Stopped.name().into(),
                message: "removed from the config".to_string(),
                ..Outcome::default()
            })
        });
        self.latest_outcomes.retain(|(other, _), _| *other != id);
        answers
    }

    /// A request timed out. `process` looks up its processes.
    pub(crate) fn on_timeout<'a>(
        &mut self,
        number: u64,
        process: impl Fn(ProcessId) -> Option<&'a Process>,
    ) -> Option<PendingAnswer> {
        let mut pending = self.remove(number)?;
        if pending.abandoned {
            return None;
        }
        for (position, target) in (0..).zip(pending.targets.iter()) {
            if let Entry::Vacant(missing) = pending.outcomes.entry(position)
                && let Some(process) = process(*target)
            {
                let message = format!("still {}", process.state);
                missing.insert(Rc::new(outcome(process, false, &message)));
            }
        }
        Some(pending.into_answer(true))
    }

    /// Updates the requests that wait for a process, and takes those that are complete then.
    fn update(
        &mut self,
        id: ProcessId,
        change: impl Fn(&mut PendingRequest) -> Option<Outcome>,
    ) -> Vec<PendingAnswer> {
        let waiting = self.waiting.range((id, 0)..=(id, u64::MAX));
        let waiting: Vec<(u64, u32)> = waiting.map(|(key, at)| (key.1, *at)).collect();
        let mut answers = Vec::new();
        for (number, position) in waiting {
            let outcome = self.requests.get_mut(&number).and_then(&change);
            let Some(outcome) = outcome else { continue };
            let outcome = self.shared_outcome(id, outcome);
            self.waiting.remove(&(id, number));
            if let Some(pending) = self.requests.get_mut(&number) {
                pending.outcomes.insert(position, outcome);
            }
            answers.extend(self.complete_if_done(number));
        }
        answers
    }

    fn complete_if_done(&mut self, number: u64) -> Option<PendingAnswer> {
        let pending = self.requests.get(&number)?;
        if pending.outcomes.len() < pending.targets.len() {
            return None;
        }
        let pending = self.remove(number)?;
        (!pending.abandoned).then(|| pending.into_answer(false))
    }

    fn remove(&mut self, number: u64) -> Option<PendingRequest> {
        let pending = self.requests.remove(&number)?;
        if let Some(at) = pending.deadline {
            self.deadlines.remove(&(at, number));
        }
        for target in pending.targets.iter() {
            self.waiting.remove(&(*target, number));
        }
        let client = pending.request.client;
        if pending.abandoned {
            self.abandoned -= 1;
        } else if let Some(held) = self.held.get_mut(&client) {
            held.requests -= 1;
            held.bytes -= pending.bytes();
            if held.requests == 0 {
                self.held.remove(&client);
            }
        }
        Some(pending)
    }

    fn shared_targets(&mut self, targets: &[PendingTarget]) -> Rc<[ProcessId]> {
        let ids = targets.iter().map(|target| target.id);
        if !self.latest_targets.iter().copied().eq(ids.clone()) {
            self.latest_targets = ids.collect();
        }
        Rc::clone(&self.latest_targets)
    }

    fn shared_outcome(&mut self, id: ProcessId, outcome: Outcome) -> Rc<Outcome> {
        let latest = self.latest_outcomes.entry((id, outcome.ok)).or_default();
        match latest.upgrade() {
            Some(known) if *known == outcome => known,
            _ => {
                let new = Rc::new(outcome);
                *latest = Rc::downgrade(&new);
                new
            }
        }
    }
}

impl PendingRequest {
    /// Its memory at most, once all its targets have outcomes.
    fn bytes(&self) -> usize {
        REQUEST_BYTES + self.targets.len() * TARGET_BYTES
    }

    /// The outcome of a target after a change of its state, if it has one then.
    fn transition(&mut self, transition: &Transition, last_exit: Option<Exit>) -> Option<Outcome> {
        if transition.to == State::Starting && self.request.awaits == AwaitedState::Restarted {
            self.started.insert(transition.id);
        }
        let verdict = match self.request.awaits {
            AwaitedState::Started => transition.started,
            AwaitedState::Stopped => match transition.to {
                State::Stopped => Some(true),
                // Another client started it in the meantime.
                State::Starting | State::Running => Some(false),
                State::Waiting
                | State::Backoff
                | State::Stopping
                | State::Exited
                | State::Fatal => None,
            },
            AwaitedState::Restarted if !self.started.contains(&transition.id) => {
                // Another client stopped it before its new start.
                matches!(transition.to, State::Stopped | State::Exited | State::Fatal)
                    .then_some(false)
            }
            AwaitedState::Restarted => transition.started,
            AwaitedState::Reached(wanted) => {
                verdict_of_wait(wanted, transition.to, transition.exit)
            }
        };
        let ok = verdict?;
        let last_exit = last_exit.filter(|_| !is_up(transition.to));
        Some(Outcome {
            name: transition.name.clone(),
            ok,
            state: transition.to.name().into(),
            pid: transition.pid.filter(|_| transition.to == State::Running),
            exit: transition.exit.or(last_exit).map(exit_info),
            message: match (self.request.awaits, transition.to) {
                (AwaitedState::Stopped, State::Starting | State::Running) => {
                    "started again by another request".to_string()
                }
                _ => transition.detail.clone(),
            },
        })
    }

    fn into_answer(self, timed_out: bool) -> PendingAnswer {
        PendingAnswer {
            client: self.request.client,
            id: self.request.id,
            outcomes: self.outcomes.into_values().collect(),
            timed_out,
        }
    }
}

/// The outcome of a process that is in the awaited state at the time of the request. `detail` is
/// the text of its present state.
pub(crate) fn immediate_outcome(
    awaits: AwaitedState,
    process: &Process,
    detail: impl FnOnce() -> String,
) -> Option<Outcome> {
    let state = process.state;
    let (ok, message) = match awaits {
        AwaitedState::Started if state == State::Running => (true, "already running".to_string()),
        AwaitedState::Stopped if state == State::Stopped => (true, "already stopped".to_string()),
        AwaitedState::Started | AwaitedState::Stopped | AwaitedState::Restarted => return None,
        // Its first run is still to come.
        AwaitedState::Reached(WaitFor::Exited) if state == State::Stopped && !process.ran() => {
            return None;
        }
        AwaitedState::Reached(wanted) => (verdict_of_wait(wanted, state, None)?, detail()),
    };
    Some(outcome(process, ok, &message))
}

/// Whether a process of this state has a run whose end is still to come.
fn is_up(state: State) -> bool {
    matches!(state, State::Starting | State::Running)
}

/// Whether `wait` is over: the state is reached, or cannot be reached without another request.
fn verdict_of_wait(wanted: WaitFor, state: State, exit: Option<Exit>) -> Option<bool> {
    match wanted {
        WaitFor::Running | WaitFor::Healthy => match state {
            State::Running => Some(true),
            _ if state == State::Fatal => Some(false),
            _ => None,
        },
        WaitFor::Stopped => (state == State::Stopped).then_some(true),
        WaitFor::Fatal => (state == State::Fatal).then_some(true),
        WaitFor::Exited => (exit.is_some() || state.is_down()).then_some(true),
    }
}

fn outcome(process: &Process, ok: bool, message: &str) -> Outcome {
    Outcome {
        name: process.name.clone(),
        ok,
        state: process.state.name().into(),
        pid: process.pid(),
        exit: process
            .last_exit
            .filter(|_| !is_up(process.state))
            .map(exit_info),
        message: message.to_string(),
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
