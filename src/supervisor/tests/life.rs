//! Starts, exits and retries: the upper half of the table.

use super::*;

#[test]
fn autostart_starts_and_no_autostart_waits_for_a_request() {
    let mut bench = Bench::new(vec![
        program("a", same),
        program("b", |p| p.autostart = Autostart::No),
    ]);
    let (a, b) = (bench.id("a:0"), bench.id("b:0"));
    bench.expect(a, State::Starting);
    bench.expect(b, State::Stopped);
    assert_eq!(bench.deeds(), [Effect::Spawn(a)]);
    bench.event(Event::Start(b));
    bench.expect(b, State::Starting);
    assert_eq!(bench.deeds(), [Effect::Spawn(b)]);
}

#[test]
fn starting_becomes_running_after_starttime_and_not_before() {
    let (mut bench, id) = Bench::starting(same);
    assert_eq!(bench.supervisor.poll_timeout(), None);
    bench.spawned(id, 100);
    bench.pass(999);
    bench.expect(id, State::Starting);
    bench.pass(1);
    bench.expect(id, State::Running);
    assert_eq!(bench.process(id).pid(), Some(100));
}

#[test]
fn starttime_zero_is_running_at_once_and_its_exit_is_no_failed_start() {
    let (mut bench, id) = Bench::starting(|p| p.policy.starttime = Duration::ZERO);
    bench.spawned(id, 100);
    bench.expect(id, State::Running);
    bench.ended(id, 0);
    bench.expect(id, State::Exited);
}

#[test]
fn an_exit_before_starttime_is_a_failed_start_whatever_its_code() {
    let (mut bench, id) = Bench::starting(|p| p.policy.autorestart = Autorestart::Never);
    bench.spawned(id, 100);
    bench.pass(200);
    bench.ended(id, 0);
    bench.expect(id, State::Backoff);
    assert_eq!(bench.process(id).failures, 1);
}

#[test]
fn an_exit_seen_after_starttime_is_no_failed_start_even_if_the_timer_is_late() {
    let (mut bench, id) = Bench::starting(same);
    bench.spawned(id, 100);
    bench.now = bench.now + Duration::from_millis(1500);
    bench.ended(id, 0);
    bench.expect(id, State::Exited);
    let states: Vec<State> = notified(&mut bench).iter().map(|t| t.to).collect();
    assert_eq!(states, [State::Running, State::Exited]);
}

#[test]
fn fatal_comes_after_exactly_one_plus_startretries_attempts() {
    let (mut bench, id) = Bench::starting(same);
    for (attempt, delay) in [(1, 1000), (2, 2000), (3, 4000)] {
        bench.spawned(id, 100 + attempt);
        bench.ended(id, 1);
        bench.expect(id, State::Backoff);
        bench.effects();
        bench.pass(delay - 1);
        bench.expect(id, State::Backoff);
        bench.pass(1);
        bench.expect(id, State::Starting);
        assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
    }
    bench.event(Event::SpawnFailed {
        id,
        failure: chdir_failure(),
    });
    bench.expect(id, State::Fatal);
    let last = notified(&mut bench).pop().unwrap();
    assert_eq!(
        last.detail,
        "chdir /nope: No such file or directory, gave up after 4 attempts"
    );
    assert_eq!(bench.process(id).restarts, 3);
    bench.pass(1_000_000);
    assert_eq!(bench.effects(), []);
}

#[test]
fn no_retries_is_fatal_at_once() {
    let (mut bench, id) = Bench::starting(|p| p.policy.startretries = 0);
    bench.spawned(id, 100);
    bench.ended(id, 1);
    bench.expect(id, State::Fatal);
}

#[test]
fn a_start_from_down_or_backoff_begins_with_no_failures() {
    let (mut bench, id) = Bench::starting(|p| p.policy.startretries = 1);
    bench.spawned(id, 1);
    bench.ended(id, 1);
    bench.event(Event::Start(id));
    bench.expect(id, State::Starting);
    assert_eq!(
        (bench.process(id).failures, bench.process(id).restarts),
        (0, 0)
    );
    for _ in 0..2 {
        bench.spawned(id, 2);
        bench.ended(id, 1);
        bench.pass(5000);
    }
    bench.expect(id, State::Fatal);
    bench.event(Event::Start(id));
    bench.expect(id, State::Starting);
    assert_eq!(bench.process(id).failures, 0);
}

#[test]
fn a_start_of_what_is_up_changes_nothing() {
    let (mut bench, id) = Bench::running(same);
    bench.event(Event::Start(id));
    assert_eq!(bench.effects(), []);
    bench.expect(id, State::Running);
}

#[test]
fn exits_from_running_follow_autorestart() {
    use Autorestart::{Always, Never, Unexpected};
    let term = Exit::Signal {
        signal: 15,
        core: false,
    };
    for (autorestart, exit, to) in [
        (Always, Exit::Code(0), State::Starting),
        (Always, term, State::Starting),
        (Never, Exit::Code(1), State::Exited),
        (Never, term, State::Exited),
        (Unexpected, Exit::Code(0), State::Exited),
        (Unexpected, Exit::Code(143), State::Exited),
        (Unexpected, Exit::Code(1), State::Starting),
        (Unexpected, term, State::Starting),
    ] {
        let (mut bench, id) = Bench::running(|p| {
            p.policy.autorestart = autorestart;
            p.policy.exitcodes = vec![0, 143];
        });
        bench.event(Event::Exited { id, exit });
        bench.expect(id, to);
        let transitions = notified(&mut bench);
        assert_eq!(transitions.len(), 1);
        assert_eq!(
            (transitions[0].pid, transitions[0].exit),
            (Some(100), Some(exit))
        );
        assert_eq!(bench.process(id).restarts, u32::from(to == State::Starting));
    }
}

#[test]
fn a_delay_after_exit_is_spent_in_backoff() {
    let (mut bench, id) = Bench::running(|p| {
        p.policy.autorestart = Autorestart::Always;
        p.policy.restart.after_exit = Duration::from_secs(5);
    });
    bench.ended(id, 0);
    bench.expect(id, State::Backoff);
    bench.effects();
    bench.pass(4999);
    assert_eq!(bench.deeds(), []);
    bench.pass(1);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
    assert_eq!(
        (bench.process(id).failures, bench.process(id).restarts),
        (0, 1)
    );
}

#[test]
fn failures_are_forgotten_once_running() {
    let (mut bench, id) = Bench::starting(same);
    bench.spawned(id, 1);
    bench.ended(id, 1);
    bench.pass(1000);
    bench.spawned(id, 2);
    bench.pass(1000);
    bench.expect(id, State::Running);
    assert_eq!(
        (bench.process(id).failures, bench.process(id).restarts),
        (0, 1)
    );
}

#[test]
fn delays_double_up_to_a_bound_and_survive_any_factor() {
    let delays = RestartDelays::default();
    let seconds: Vec<u64> = (1..=8).map(|n| delays.delay(n).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(delays.delay(u32::MAX), Duration::from_secs(60));
    for factor in [f64::NAN, f64::INFINITY, -2.0, 1e300] {
        let odd = RestartDelays { factor, ..delays };
        assert!(
            odd.delay(2) <= odd.max && odd.delay(u32::MAX) <= odd.max,
            "{factor}"
        );
    }
    let zero = RestartDelays {
        first: Duration::ZERO,
        factor: f64::INFINITY,
        ..delays
    };
    assert_eq!(zero.delay(9), Duration::ZERO);
}

#[test]
fn stale_and_unknown_events_are_ignored() {
    let (mut bench, id) = Bench::running(same);
    bench.spawned(id, 999);
    bench.event(Event::SpawnFailed {
        id,
        failure: chdir_failure(),
    });
    bench.ended(ProcessId(77), 1);
    bench.event(Event::Start(ProcessId(77)));
    assert_eq!(bench.effects(), []);
    assert_eq!(bench.process(id).pid(), Some(100));
    let (mut bench, id) = Bench::starting(same);
    bench.ended(id, 1);
    bench.expect(id, State::Starting);
}

#[test]
fn five_thousand_programs_are_no_burden() {
    let all = |numprocs| {
        let programs = (0..5000).map(|n| program(&format!("p{n}"), |p| p.numprocs = numprocs));
        programs.collect::<Vec<Program>>()
    };
    let mut supervisor = Supervisor::new();
    supervisor.handle_event(Event::Configure(all(1)), Time::default());
    let ids: Vec<ProcessId> = supervisor.processes().map(|process| process.id).collect();
    for (pid, id) in ids.iter().enumerate() {
        let (id, pid) = (*id, pid as i32);
        supervisor.handle_event(Event::Spawned { id, pid }, Time::default());
    }
    supervisor.handle_timeout(Time(Duration::from_secs(1)));
    supervisor.check_invariants();
    assert!(
        supervisor
            .processes()
            .all(|process| process.state == State::Running)
    );
    assert_eq!(supervisor.plan(&all(2)).counts().added, 5000);
    let now = Time(Duration::from_secs(2));
    supervisor.handle_event(Event::Configure(Vec::new()), now);
    for id in ids {
        let exit = Exit::Code(0);
        supervisor.handle_event(Event::Exited { id, exit }, now);
        let (stragglers, in_group) = (0, 0);
        let remains = Event::Remains {
            id,
            stragglers,
            in_group,
        };
        supervisor.handle_event(remains, now);
    }
    supervisor.check_invariants();
    assert_eq!(supervisor.processes().count(), 0);
}

fn notified(bench: &mut Bench) -> Vec<Transition> {
    let effects = bench.effects().into_iter();
    let transitions = effects.filter_map(|effect| match effect {
        Effect::Notify(transition) => Some(transition),
        _ => None,
    });
    transitions.collect()
}
