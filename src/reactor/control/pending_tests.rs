//! Tests of pending requests.

use super::*;
use crate::supervisor::{Autostart, Launch, Policy, Program, Time};

const CLIENT: ConnectionId = ConnectionId { slot: 0, serial: 1 };

fn process(number: u32, state: State) -> Process {
    let program = Program {
        name: "web".to_string(),
        numprocs: 2,
        autostart: Autostart::Yes,
        policy: Policy::default(),
        launch: Launch::default(),
        vars: BTreeMap::new(),
    };
    let mut process = Process::new(ProcessId(number), &program, number, Time::default());
    process.state = state;
    process
}

fn transition(number: u32, from: State, to: State) -> Transition {
    Transition {
        id: ProcessId(number),
        name: format!("web:{number}"),
        from,
        to,
        pid: Some(42),
        exit: None,
        started: match to {
            State::Running => Some(true),
            State::Fatal | State::Stopped => Some(false),
            _ => None,
        },
        detail: String::new(),
    }
}

fn request(awaits: AwaitedState) -> Request {
    Request {
        client: CLIENT,
        id: Some(Id::Number(7)),
        awaits,
    }
}

fn targets(numbers: &[u32]) -> Vec<PendingTarget> {
    let target = |number: &u32| PendingTarget {
        id: ProcessId(*number),
        outcome: None,
    };
    numbers.iter().map(target).collect()
}

fn pending(awaits: AwaitedState, numbers: &[u32]) -> PendingRequests {
    let mut pending = PendingRequests::default();
    let number = pending.add(request(awaits), targets(numbers));
    assert_eq!(number, Ok(0));
    pending
}

fn verdicts(answer: &PendingAnswer) -> Vec<(&str, bool)> {
    let outcomes = answer.outcomes.iter();
    outcomes.map(|one| (one.name.as_str(), one.ok)).collect()
}

#[test]
fn a_request_is_answered_when_its_last_target_is_there() {
    let mut pending = pending(AwaitedState::Started, &[0, 1]);
    let change = transition(1, State::Starting, State::Running);
    assert_eq!(pending.on_transition(&change, None), []);
    assert!(pending.has(CLIENT));
    let change = transition(0, State::Starting, State::Fatal);
    let answers = pending.on_transition(&change, None);
    let [answer] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!(verdicts(answer), [("web:0", false), ("web:1", true)]);
    assert_eq!(answer.id, Some(Id::Number(7)));
    assert!(!answer.timed_out);
    assert!(!pending.has(CLIENT));
}

#[test]
fn a_request_whose_targets_are_there_is_answered_at_once() {
    let mut pending = PendingRequests::default();
    let running = process(0, State::Running);
    let mut targets = targets(&[0]);
    targets[0].outcome = immediate_outcome(AwaitedState::Started, &running, String::new);
    let answer = pending.add(request(AwaitedState::Started), targets);
    let answer = answer.expect_err("an answer");
    assert_eq!(answer.outcomes[0].message, "already running");
}

#[test]
fn a_restart_needs_a_new_start() {
    let mut pending = pending(AwaitedState::Restarted, &[0]);
    let running = transition(0, State::Starting, State::Running);
    assert_eq!(pending.on_transition(&running, None), []);
    let starting = transition(0, State::Stopping, State::Starting);
    assert_eq!(pending.on_transition(&starting, None), []);
    assert_eq!(pending.on_transition(&running, None).len(), 1);
}

#[test]
fn a_restart_fails_when_another_request_stops_the_process_before_its_new_start() {
    let mut pending = pending(AwaitedState::Restarted, &[0]);
    let stopping = transition(0, State::Running, State::Stopping);
    assert_eq!(pending.on_transition(&stopping, None), []);
    let stopped = transition(0, State::Stopping, State::Stopped);
    let answers = pending.on_transition(&stopped, None);
    assert_eq!(verdicts(&answers[0]), [("web:0", false)]);
}

#[test]
fn a_stop_fails_when_the_process_is_started_again() {
    let mut pending = pending(AwaitedState::Stopped, &[0]);
    let change = transition(0, State::Running, State::Stopping);
    assert_eq!(pending.on_transition(&change, None), []);
    let change = transition(0, State::Stopped, State::Starting);
    let answers = pending.on_transition(&change, None);
    assert_eq!(verdicts(&answers[0]), [("web:0", false)]);
    let message = &answers[0].outcomes[0].message;
    assert_eq!(message, "started again by another request");
}

#[test]
fn an_exit_completes_a_start_as_the_supervisor_says() {
    for ok in [true, false] {
        let mut pending = pending(AwaitedState::Started, &[0]);
        let mut change = transition(0, State::Running, State::Exited);
        change.exit = Some(Exit::Code(3));
        change.started = Some(ok);
        let answers = pending.on_transition(&change, None);
        assert_eq!(verdicts(&answers[0]), [("web:0", ok)]);
    }
}

#[test]
fn a_start_on_probation_is_answered_when_that_is_over() {
    let mut pending = pending(AwaitedState::Started, &[0]);
    let mut change = transition(0, State::Starting, State::Running);
    change.started = None;
    assert_eq!(pending.on_transition(&change, None), []);
    let answers = pending.on_started(&process(0, State::Running));
    assert_eq!(verdicts(&answers[0]), [("web:0", true)]);
}

#[test]
fn a_timeout_answers_for_the_targets_that_are_missing() {
    let mut pending = pending(AwaitedState::Started, &[0, 1]);
    let change = transition(0, State::Starting, State::Running);
    pending.on_transition(&change, None);
    let late = process(1, State::Starting);
    let answer = pending.on_timeout(0, |id| (id == late.id).then_some(&late));
    let answer = answer.expect("an answer");
    assert!(answer.timed_out);
    assert_eq!(verdicts(&answer), [("web:0", true), ("web:1", false)]);
    assert_eq!(answer.outcomes[1].message, "still STARTING");
    assert_eq!(pending.on_timeout(0, |_| None), None);
}

#[test]
fn a_removed_process_is_stopped_and_nothing_else() {
    for (awaits, ok) in [
        (AwaitedState::Stopped, true),
        (AwaitedState::Started, false),
    ] {
        let mut pending = pending(awaits, &[0]);
        assert_eq!(pending.on_removed(ProcessId(1), "web:1"), []);
        let answers = pending.on_removed(ProcessId(0), "web:0");
        assert_eq!(verdicts(&answers[0]), [("web:0", ok)]);
        assert_eq!(answers[0].outcomes[0].message, "removed from the config");
    }
}

#[test]
fn requests_of_a_client_that_is_gone_are_dropped() {
    let mut pending = pending(AwaitedState::Started, &[0]);
    pending.forget(CLIENT);
    assert!(!pending.has(CLIENT));
    let change = transition(0, State::Starting, State::Running);
    assert_eq!(pending.on_transition(&change, None), []);
}

#[test]
fn a_wait_for_an_exit_accepts_a_process_that_is_down() {
    let awaits = AwaitedState::Reached(WaitFor::Exited);
    let outcome = |state| immediate_outcome(awaits, &process(0, state), || "detail".to_string());
    assert!(outcome(State::Running).is_none());
    assert!(outcome(State::Stopped).is_none(), "it has never run");
    let down = outcome(State::Fatal).expect("an outcome");
    assert_eq!((down.ok, down.message.as_str()), (true, "detail"));
}

#[test]
fn a_client_may_have_a_limited_number_of_requests() {
    let mut pending = PendingRequests::default();
    for _ in 0..REQUESTS_MAX {
        assert!(pending.has_room(CLIENT));
        let added = pending.add(request(AwaitedState::Started), targets(&[0, 1]));
        added.expect("it waits");
    }
    assert!(!pending.has_room(CLIENT));
    let each = REQUEST_BYTES + 2 * TARGET_BYTES;
    assert_eq!(pending.bytes(CLIENT), REQUESTS_MAX * each);
    let other = ConnectionId { slot: 0, serial: 2 };
    assert!(pending.has_room(other));
    pending.forget(CLIENT);
    assert!(pending.has_room(CLIENT));
    assert_eq!(pending.bytes(CLIENT), 0);
}

#[test]
fn requests_for_the_same_processes_share_what_they_hold() {
    let mut pending = PendingRequests::default();
    for _ in 0..3 {
        let added = pending.add(request(AwaitedState::Started), targets(&[0, 1]));
        added.expect("it waits");
    }
    assert_eq!(Rc::strong_count(&pending.latest_targets), 4);
    let change = transition(0, State::Starting, State::Running);
    assert_eq!(pending.on_transition(&change, None), []);
    let outcomes: Vec<_> = pending
        .requests
        .values()
        .map(|one| &one.outcomes[&0])
        .collect();
    assert!(Rc::ptr_eq(outcomes[0], outcomes[2]));
    assert_eq!(pending.waiting.len(), 3);
}

#[test]
fn the_deadline_of_a_request_goes_with_it() {
    let at = |seconds| Time(std::time::Duration::from_secs(seconds));
    let mut pending = PendingRequests::default();
    for seconds in 1..=100 {
        let added = pending.add(request(AwaitedState::Started), targets(&[0]));
        pending.set_deadline(added.expect("it waits"), at(seconds));
    }
    assert_eq!(pending.next_deadline(), Some(at(1)));
    assert_eq!(pending.overdue(at(0)), None);
    let number = pending.overdue(at(1)).expect("the first");
    pending.on_timeout(number, |_| None).expect("an answer");
    assert_eq!(pending.next_deadline(), Some(at(2)));
    pending.forget(CLIENT);
    let gone: Vec<_> = std::iter::from_fn(|| {
        let number = pending.overdue(at(0))?;
        Some(pending.on_timeout(number, |_| None))
    })
    .collect();
    assert_eq!(gone.len(), 99);
    assert!(
        gone.iter().all(Option::is_none),
        "removed without an answer"
    );
    assert_eq!(pending.next_deadline(), None);
    assert!(pending.requests.is_empty() && pending.waiting.is_empty());
}

#[test]
fn clients_that_come_and_go_leave_a_limited_number_of_requests() {
    let mut pending = PendingRequests::default();
    for _ in 0..20 {
        for _ in 0..REQUESTS_MAX {
            let added = pending.add(request(AwaitedState::Started), targets(&[0]));
            added.expect("it waits");
        }
        pending.forget(CLIENT);
        assert!(pending.requests.len() <= ABANDONED_MAX);
    }
    while let Some(number) = pending.overdue(Time::default()) {
        assert_eq!(pending.on_timeout(number, |_| None), None);
    }
    assert_eq!((pending.abandoned, pending.requests.len()), (0, 0));
}
