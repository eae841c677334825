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
fn starttime_zero_is_running_at_once_and_an_expected_exit_is_no_failed_start() {
    let (mut bench, id) = Bench::starting(|p| p.policy.starttime = Duration::ZERO);
    bench.spawned(id, 100);
    bench.expect(id, State::Running);
    bench.ended(id, 0);
    bench.expect(id, State::Exited);
}

#[test]
fn with_starttime_zero_an_unexpected_exit_within_a_second_is_a_failed_start() {
    let (mut bench, id) = Bench::starting(|p| {
        p.policy.starttime = Duration::ZERO;
        p.policy.autorestart = Autorestart::Always;
    });
    for delay in [1000, 2000, 4000] {
        bench.spawned(id, 100);
        bench.expect(id, State::Running);
        bench.pass(999);
        bench.ended(id, 1);
        bench.expect(id, State::Backoff);
        bench.pass(delay);
        bench.expect(id, State::Starting);
    }
    bench.spawned(id, 100);
    bench.ended(id, 1);
    bench.expect(id, State::Fatal);
    assert_eq!(bench.process(id).failures, 4);
}

#[test]
fn with_starttime_zero_a_second_of_life_ends_the_failures() {
    let (mut bench, id) = Bench::starting(|p| p.policy.starttime = Duration::ZERO);
    bench.spawned(id, 100);
    bench.ended(id, 1);
    bench.pass(1000);
    bench.spawned(id, 101);
    bench.effects();
    bench.pass(1000);
    assert_eq!(bench.effects(), [Effect::Started(id)]);
    assert_eq!(bench.process(id).failures, 0);
    bench.ended(id, 1);
    bench.expect(id, State::Starting);
}

#[test]
fn with_autorestart_never_no_exit_is_a_failed_start_at_starttime_zero() {
    let (mut bench, id) = Bench::starting(|p| {
        p.policy.starttime = Duration::ZERO;
        p.policy.autorestart = Autorestart::Never;
    });
    bench.spawned(id, 100);
    bench.ended(id, 1);
    bench.expect(id, State::Exited);
}

#[test]
fn the_fourth_short_run_in_a_row_is_followed_by_a_delay() {
    let (mut bench, id) = Bench::running(|p| p.policy.autorestart = Autorestart::Always);
    for _ in 0..3 {
        bench.ended(id, 0);
        bench.expect(id, State::Starting);
        bench.spawned(id, 100);
        bench.pass(1000);
    }
    for delay in [1000, 2000, 4000] {
        bench.ended(id, 0);
        bench.expect(id, State::Backoff);
        bench.pass(delay - 1);
        bench.expect(id, State::Backoff);
        bench.pass(1);
        bench.spawned(id, 100);
        bench.pass(1000);
    }
    // A run of ten seconds ends the row.
    bench.pass(9000);
    bench.ended(id, 0);
    bench.expect(id, State::Starting);
}

#[test]
fn new_delays_reach_a_process_that_waits() {
    let slow = |p: &mut Program| p.policy.restart.initial = Duration::from_secs(50);
    let (mut bench, id) = Bench::running(slow);
    bench.ended(id, 1);
    bench.pass(5000);
    bench.expect(id, State::Backoff);
    bench.reload(vec![program("a", |p| {
        p.policy.restart.initial = Duration::from_secs(6);
    })]);
    bench.pass(999);
    bench.expect(id, State::Backoff);
    bench.pass(1);
    bench.expect(id, State::Starting);
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
fn an_initial_delay_is_spent_in_backoff() {
    let (mut bench, id) = Bench::running(|p| {
        p.policy.autorestart = Autorestart::Always;
        p.policy.restart.initial = Duration::from_secs(5);
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
    let seconds: Vec<u64> = (1..=8).map(|n| delays.delay(n, 0.0).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 54, 54]);
    let seconds: Vec<u64> = (1..=8).map(|n| delays.delay(n, 0.999).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 17, 35, 59, 59]);
    for factor in [f64::NAN, f64::INFINITY, -2.0, 1e300] {
        for jitter in [0.0, 0.1, f64::NAN, -1.0, 9.0] {
            let odd = RestartDelays {
                factor,
                jitter,
                ..delays
            };
            for retry in [1, 2, u32::MAX] {
                assert!(odd.delay(retry, 0.999) <= odd.max, "{factor} {jitter}");
            }
        }
    }
    let slow = RestartDelays {
        initial: Duration::from_secs(5),
        jitter: 0.0,
        ..delays
    };
    assert_eq!(slow.delay(2, 0.5), Duration::from_secs(10));
}

#[test]
fn the_jitter_differs_between_processes_and_times() {
    let chance = |id, millis| jitter_chance(ProcessId(id), Time(Duration::from_millis(millis)));
    let mut all: Vec<f64> = (0..100).map(|id| chance(id, 5)).collect();
    all.extend((100..200).map(|millis| chance(7, millis)));
    assert!(all.iter().all(|chance| (0.0..1.0).contains(chance)));
    let mean = all.iter().sum::<f64>() / 200.0;
    assert!((0.4..0.6).contains(&mean), "{mean}");
    all.sort_by(f64::total_cmp);
    all.dedup();
    assert_eq!(all.len(), 200);
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
        let stragglers = 0;
        let remains = Event::Remains { id, stragglers };
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
