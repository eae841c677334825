//! Requests whose answer waits for an outcome: start, stop, restart, wait.

use crate::reactor::Reactor;
use crate::reactor::clock::Timer;
use crate::reactor::control::connection::ConnectionId;
use crate::reactor::control::event_history::exit_info;
use crate::supervisor::{Exit, Policy, Process, ProcessId, State, Transition};
use crate::wire::{ActReply, Id, Outcome, WaitFor};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Up, or ended as it should.
    Started,
    /// Down.
    Stopped,
    /// Up again after having been started anew.
    Restarted,
    /// The user's own choice.
    Reached(WaitFor),
}

/// A request that is not answered yet.
#[derive(Debug)]
pub struct Waiter {
    client: ConnectionId,
    id: Option<Id>,
    goal: Goal,
    /// Processes in the order of the answer, and what became of them.
    names: Vec<(ProcessId, String)>,
    outcomes: BTreeMap<ProcessId, Outcome>,
    /// Processes that were started since the request.
    started: Vec<ProcessId>,
}

/// All requests that are not answered yet.
#[derive(Debug, Default)]
pub struct Waiters {
    waiting: BTreeMap<u64, Waiter>,
    counted: u64,
}

impl Waiters {
    /// Whether a client still waits for an answer.
    pub fn has(&self, client: ConnectionId) -> bool {
        self.waiting.values().any(|waiter| waiter.client == client)
    }

    /// The client is gone.
    pub fn forget(&mut self, client: ConnectionId) {
        self.waiting.retain(|_, waiter| waiter.client != client);
    }
}

impl Reactor {
    /// Begins to wait. Processes that are there already count at once; a request is answered as
    /// soon as each of them got there or can't any more.
    pub(crate) fn wait_for(
        &mut self,
        client: ConnectionId,
        id: Option<Id>,
        goal: Goal,
        targets: &[ProcessId],
        timeout: Option<Duration>,
    ) {
        let mut waiter = Waiter {
            client,
            id,
            goal,
            names: Vec::new(),
            outcomes: BTreeMap::new(),
            started: Vec::new(),
        };
        for target in targets {
            let Some(process) = self.supervisor.process(*target) else {
                continue;
            };
            waiter.names.push((*target, process.name.clone()));
            // What is not announced yet is still to come: the log does not hold all of it.
            let child = self.children.get(target);
            let announced = child.is_none_or(|child| child.announcements.is_empty());
            if announced && let Some((ok, message)) = self.already(goal, process) {
                waiter
                    .outcomes
                    .insert(*target, outcome(process, ok, message));
            }
        }
        if let Some(timeout) = timeout {
            let number = self.waiters.counted;
            self.timers
                .add(self.clock.now() + timeout, Timer::RequestTimeout(number));
        }
        let number = self.waiters.counted;
        self.waiters.counted += 1;
        self.waiters.waiting.insert(number, waiter);
        self.settle(number, false);
    }

    /// Whether a process is where it should be without anything happening.
    fn already(&self, goal: Goal, process: &Process) -> Option<(bool, String)> {
        let state = process.state;
        match goal {
            Goal::Started => {
                (state == State::Running).then(|| (true, "already running".to_string()))
            }
            Goal::Stopped => {
                (state == State::Stopped).then(|| (true, "already stopped".to_string()))
            }
            Goal::Restarted => None,
            Goal::Reached(WaitFor::Exited) => {
                let ended = matches!(state, State::Exited | State::Fatal | State::Stopped);
                ended.then(|| (true, self.detail(process)))
            }
            Goal::Reached(wanted) => {
                verdict_of_wait(wanted, state, None).map(|ok| (ok, self.detail(process)))
            }
        }
    }

    /// Looks at every request that waits for this process.
    pub(crate) fn waiters_transition(&mut self, transition: &Transition) {
        let numbers: Vec<u64> = self
            .waiters
            .waiting
            .iter()
            .filter(|(_, waiter)| waiter.awaits(transition.id))
            .map(|(number, _)| *number)
            .collect();
        if numbers.is_empty() {
            return;
        }
        let policy = self.supervisor.policy(transition.id).cloned();
        let last_exit = self
            .supervisor
            .process(transition.id)
            .and_then(|p| p.last_exit);
        for number in numbers {
            if let Some(waiter) = self.waiters.waiting.get_mut(&number) {
                waiter.transition(transition, policy.as_ref(), last_exit);
            }
            self.settle(number, false);
        }
    }

    /// The process is gone from the config: stopped is what it is, for good.
    pub(crate) fn waiters_released(&mut self, id: ProcessId) {
        let numbers: Vec<u64> = self.waiters.waiting.keys().copied().collect();
        for number in numbers {
            if let Some(waiter) = self.waiters.waiting.get_mut(&number)
                && waiter.awaits(id)
            {
                let ok = waiter.goal == Goal::Stopped;
                let name = waiter.name(id);
                let message = "removed from the config".to_string();
                let state = State::Stopped.name().into();
                let outcome = Outcome {
                    name,
                    ok,
                    state,
                    message,
                    ..Outcome::default()
                };
                waiter.outcomes.insert(id, outcome);
                self.settle(number, false);
            }
        }
    }

    /// A request's time is over.
    pub(crate) fn waiter_timed_out(&mut self, number: u64) {
        let Some(waiter) = self.waiters.waiting.get(&number) else {
            return;
        };
        let missing: Vec<ProcessId> = waiter
            .names
            .iter()
            .map(|(id, _)| *id)
            .filter(|id| !waiter.outcomes.contains_key(id))
            .collect();
        for id in missing {
            let Some(process) = self.supervisor.process(id) else {
                continue;
            };
            let outcome = outcome(process, false, "timed out".to_string());
            if let Some(waiter) = self.waiters.waiting.get_mut(&number) {
                waiter.outcomes.insert(id, outcome);
            }
        }
        self.settle(number, true);
    }

    /// Answers a request when nothing of it is open.
    fn settle(&mut self, number: u64, timed_out: bool) {
        let Some(waiter) = self.waiters.waiting.get(&number) else {
            return;
        };
        let open = waiter
            .names
            .iter()
            .any(|(id, _)| !waiter.outcomes.contains_key(id));
        if open && !timed_out {
            return;
        }
        let Some(mut waiter) = self.waiters.waiting.remove(&number) else {
            return;
        };
        let names = std::mem::take(&mut waiter.names);
        let processes = names
            .iter()
            .filter_map(|(id, _)| waiter.outcomes.remove(id))
            .collect();
        let reply = ActReply {
            processes,
            timed_out,
        };
        self.answer(waiter.client, waiter.id, Ok(serde_json::json!(reply)));
    }
}

impl Waiter {
    fn awaits(&self, id: ProcessId) -> bool {
        !self.outcomes.contains_key(&id) && self.names.iter().any(|(name, _)| *name == id)
    }

    fn name(&self, id: ProcessId) -> String {
        let found = self.names.iter().find(|(other, _)| *other == id);
        found.map(|(_, name)| name.clone()).unwrap_or_default()
    }

    /// A transition of a process that it waits for.
    fn transition(
        &mut self,
        transition: &Transition,
        policy: Option<&Policy>,
        last_exit: Option<Exit>,
    ) {
        if transition.to == State::Starting {
            self.started.push(transition.id);
        }
        let verdict = match self.goal {
            Goal::Started => verdict_of_start(transition, policy),
            Goal::Stopped => match transition.to {
                State::Stopped => Some(true),
                // Started by somebody else in the meantime.
                State::Starting | State::Running => Some(false),
                State::Waiting
                | State::Backoff
                | State::Stopping
                | State::Exited
                | State::Fatal => None,
            },
            Goal::Restarted if !self.started.contains(&transition.id) => None,
            Goal::Restarted => verdict_of_start(transition, policy),
            Goal::Reached(wanted) => verdict_of_wait(wanted, transition.to, transition.exit),
        };
        let Some(ok) = verdict else { return };
        let exit = transition.exit.or(last_exit).map(exit_info);
        let outcome = Outcome {
            name: transition.name.clone(),
            ok,
            state: transition.to.name().into(),
            pid: transition.pid.filter(|_| transition.to == State::Running),
            exit,
            message: transition.detail.clone(),
        };
        self.outcomes.insert(transition.id, outcome);
    }
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

/// Whether `wait` is over: there, or where it can't get there without somebody's help.
fn verdict_of_wait(wanted: WaitFor, state: State, exit: Option<Exit>) -> Option<bool> {
    let for_good = matches!(state, State::Exited | State::Fatal | State::Stopped);
    match wanted {
        WaitFor::Running | WaitFor::Healthy => match state {
            State::Running => Some(true),
            _ if state == State::Fatal => Some(false),
            _ => None,
        },
        WaitFor::Stopped => (state == State::Stopped).then_some(true),
        WaitFor::Fatal => (state == State::Fatal).then_some(true),
        WaitFor::Exited => (exit.is_some() || for_good).then_some(true),
    }
}

fn outcome(process: &Process, ok: bool, message: String) -> Outcome {
    Outcome {
        name: process.name.clone(),
        ok,
        state: process.state.name().into(),
        pid: process.pid(),
        exit: process.last_exit.map(exit_info),
        message,
    }
}
