//! Requests whose reply waits for an outcome: start, stop, restart, wait.

use crate::reactor::control::connection::ConnectionId;
use crate::reactor::control::event_history::exit_info;
use crate::supervisor::{Exit, Policy, Process, ProcessId, State, Transition};
use crate::wire::{ActReply, Id, Outcome, WaitFor};
use std::collections::BTreeMap;

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
    /// `PROGRAM:INDEX`.
    pub name: String,
    /// Its outcome, as soon as it has one.
    pub outcome: Option<Outcome>,
}

/// The reply to a request that was pending.
#[derive(Debug, PartialEq)]
pub(crate) struct PendingAnswer {
    /// The caller.
    pub client: ConnectionId,
    /// The request's id.
    pub id: Option<Id>,
    /// The outcomes, in the order of the targets.
    pub reply: ActReply,
}

#[derive(Debug)]
struct PendingRequest {
    request: Request,
    targets: Vec<PendingTarget>,
    /// Processes that were started since the request.
    started: Vec<ProcessId>,
}

/// All requests without a reply.
#[derive(Debug, Default)]
pub(crate) struct PendingRequests {
    requests: BTreeMap<u64, PendingRequest>,
    counted: u64,
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
        let pending = PendingRequest {
            request,
            targets,
            started: Vec::new(),
        };
        self.requests.insert(number, pending);
        self.complete_if_done(number).map_or(Ok(number), Err)
    }

    /// Whether a client waits for a reply.
    pub(crate) fn has(&self, client: ConnectionId) -> bool {
        let mut requests = self.requests.values();
        requests.any(|pending| pending.request.client == client)
    }

    /// Drops the requests of a client that is gone.
    pub(crate) fn forget(&mut self, client: ConnectionId) {
        self.requests
            .retain(|_, pending| pending.request.client != client);
    }

    /// A process changed its state. Returns the requests that this completes.
    pub(crate) fn on_transition(
        &mut self,
        transition: &Transition,
        policy: Option<&Policy>,
        last_exit: Option<Exit>,
    ) -> Vec<PendingAnswer> {
        self.update(transition.id, |pending| {
            pending.transition(transition, policy, last_exit);
        })
    }

    /// A process was removed from the config. Returns the requests that this completes.
    pub(crate) fn on_removed(&mut self, id: ProcessId) -> Vec<PendingAnswer> {
        self.update(id, |pending| {
            let ok = pending.request.awaits == AwaitedState::Stopped;
            pending.complete(id, |name| Outcome {
                name: name.to_string(),
                ok,
                state: State::Stopped.name().into(),
                message: "removed from the config".to_string(),
                ..Outcome::default()
            });
        })
    }

    /// A request timed out. `process` looks up its processes.
    pub(crate) fn on_timeout<'a>(
        &mut self,
        number: u64,
        process: impl Fn(ProcessId) -> Option<&'a Process>,
    ) -> Option<PendingAnswer> {
        let mut pending = self.requests.remove(&number)?;
        for target in &mut pending.targets {
            if target.outcome.is_none() {
                let process = process(target.id);
                target.outcome = process.map(|process| {
                    let message = format!("still {}", process.state);
                    outcome(process, false, &message)
                });
            }
        }
        Some(pending.into_answer(true))
    }

    /// Updates the requests that wait for a process, and takes those that are complete then.
    fn update(
        &mut self,
        id: ProcessId,
        change: impl Fn(&mut PendingRequest),
    ) -> Vec<PendingAnswer> {
        let mut touched = Vec::new();
        for (number, pending) in &mut self.requests {
            if pending.awaits(id) {
                change(pending);
                touched.push(*number);
            }
        }
        let answers = touched.into_iter();
        answers
            .filter_map(|number| self.complete_if_done(number))
            .collect()
    }

    fn complete_if_done(&mut self, number: u64) -> Option<PendingAnswer> {
        let pending = self.requests.get(&number)?;
        if pending.targets.iter().any(|one| one.outcome.is_none()) {
            return None;
        }
        let pending = self.requests.remove(&number)?;
        Some(pending.into_answer(false))
    }
}

impl PendingRequest {
    fn awaits(&self, id: ProcessId) -> bool {
        let mut targets = self.targets.iter();
        targets.any(|target| target.id == id && target.outcome.is_none())
    }

    fn complete(&mut self, id: ProcessId, outcome: impl FnOnce(&str) -> Outcome) {
        if let Some(target) = self.targets.iter_mut().find(|target| target.id == id) {
            target.outcome = Some(outcome(&target.name));
        }
    }

    fn transition(
        &mut self,
        transition: &Transition,
        policy: Option<&Policy>,
        last_exit: Option<Exit>,
    ) {
        if transition.to == State::Starting {
            self.started.push(transition.id);
        }
        let verdict = match self.request.awaits {
            AwaitedState::Started => verdict_of_start(transition, policy),
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
            AwaitedState::Restarted if !self.started.contains(&transition.id) => None,
            AwaitedState::Restarted => verdict_of_start(transition, policy),
            AwaitedState::Reached(wanted) => {
                verdict_of_wait(wanted, transition.to, transition.exit)
            }
        };
        let Some(ok) = verdict else { return };
        let last_exit = last_exit.filter(|_| !is_up(transition.to));
        let mut message = transition.detail.clone();
        if transition.to == State::Running && policy.is_some_and(|it| it.starttime.is_zero()) {
            // A one-shot may have ended before anybody reads the reply.
            message = "started".to_string();
        }
        self.complete(transition.id, |_| Outcome {
            name: transition.name.clone(),
            ok,
            state: transition.to.name().into(),
            pid: transition.pid.filter(|_| transition.to == State::Running),
            exit: transition.exit.or(last_exit).map(exit_info),
            message,
        });
    }

    fn into_answer(self, timed_out: bool) -> PendingAnswer {
        let outcomes = self.targets.into_iter().filter_map(|one| one.outcome);
        PendingAnswer {
            client: self.request.client,
            id: self.request.id,
            reply: ActReply {
                processes: outcomes.collect(),
                timed_out,
            },
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

fn verdict_of_start(transition: &Transition, policy: Option<&Policy>) -> Option<bool> {
    match transition.to {
        State::Running => Some(true),
        State::Exited => Some(match (transition.exit, policy) {
            (Some(Exit::Code(code)), Some(policy)) => policy.exitcodes.contains(&code),
            _ => false,
        }),
        State::Fatal | State::Stopped => Some(false),
        State::Waiting | State::Starting | State::Backoff | State::Stopping => None,
    }
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
