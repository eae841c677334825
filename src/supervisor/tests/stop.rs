//! Stops, restarts and shutdowns: the lower half of the table.

use super::*;

#[test]
fn a_stop_asks_then_kills_and_waits_until_it_is_gone() {
    let (mut bench, id) = Bench::running(|p| p.policy.stopsignal = 10);
    bench.event(Event::Stop(id));
    bench.expect(id, State::Stopping);
    assert_eq!(bench.deeds(), [signal(id, 10, GROUP)]);
    bench.pass(9_999);
    assert_eq!(bench.deeds(), []);
    bench.pass(1);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    bench.pass(100_000);
    bench.expect(id, State::Stopping);
    bench.gone(id);
    bench.expect(id, State::Stopped);
    let effects = bench.effects();
    let [Effect::Notify(transition)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(
        (transition.pid, transition.exit),
        (Some(100), Some(Exit::Code(0)))
    );
}

#[test]
fn stoptime_zero_kills_at_once() {
    let (mut bench, id) = Bench::running(|p| p.policy.stoptime = Duration::ZERO);
    bench.event(Event::Stop(id));
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
}

#[test]
fn killmode_process_touches_the_leader_only_and_ends_with_it() {
    let (mut bench, id) = Bench::running(|p| p.policy.killmode = KillMode::Process);
    bench.event(Event::Stop(id));
    assert_eq!(bench.deeds(), [signal(id, 15, LEADER)]);
    bench.exited(id, 0);
    bench.expect(id, State::Stopping);
    bench.effects();
    bench.remains(id, 3);
    bench.expect(id, State::Stopped);
    let effects = bench.effects();
    let [Effect::Notify(transition)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(transition.detail, "stopped by request, 3 stragglers");
}

#[test]
fn stragglers_have_until_stoptime() {
    let (mut bench, id) = Bench::running(same);
    bench.event(Event::Stop(id));
    bench.effects();
    bench.exited(id, 0);
    bench.remains(id, 2);
    bench.expect(id, State::Stopping);
    bench.pass(9_999);
    assert_eq!(bench.effects(), []);
    bench.pass(1);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    bench.remains(id, 0);
    bench.expect(id, State::Stopped);
}

#[test]
fn killmode_mixed_asks_the_leader_then_kills_the_rest() {
    let (mut bench, id) = Bench::running(|p| p.policy.killmode = KillMode::Mixed);
    bench.event(Event::Stop(id));
    assert_eq!(bench.deeds(), [signal(id, 15, LEADER)]);
    bench.exited(id, 0);
    bench.remains(id, 2);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    bench.remains(id, 0);
    bench.expect(id, State::Stopped);
}

#[test]
fn stragglers_of_a_crash_are_counted_then_swept_by_a_stop() {
    let (mut bench, id) = Bench::running(same);
    bench.exited(id, 0);
    bench.remains(id, 2);
    bench.expect(id, State::Exited);
    assert_eq!(bench.deeds(), []);
    bench.event(Event::Stop(id));
    bench.expect(id, State::Stopping);
    assert_eq!(bench.deeds(), [signal(id, 15, GROUP)]);
    bench.remains(id, 1);
    bench.pass(10_000);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    let victims = vec!["7 cat".to_string()];
    bench.event(Event::Killed { id, victims });
    bench.remains(id, 0);
    bench.expect(id, State::Stopped);
    let last = bench.effects().pop();
    let Some(Effect::Notify(transition)) = last else {
        panic!("{last:?}")
    };
    let killed = "stopped by request; killed after stoptime (10s): pid 7 cat";
    assert!(
        transition.detail.starts_with(killed),
        "{}",
        transition.detail
    );
}

/// A process that one request stops, and another kills `millis` milliseconds later.
fn killed_after(millis: u64) -> (Bench, ProcessId) {
    let (mut bench, id) = Bench::running(same);
    bench.event(Event::Stop(id));
    bench.pass(millis);
    bench.event(Event::ShutdownNow);
    let exit = Exit::Signal {
        signal: 9,
        core: false,
    };
    bench.event(Event::Exited { id, exit });
    bench.remains(id, 0);
    (bench, id)
}

#[test]
fn a_kill_during_a_stop_is_not_blamed_on_stoptime() {
    let (bench, id) = killed_after(600);
    bench.expect(id, State::Stopped);
    let told = detail(bench.process(id), &Policy::default(), bench.now);
    assert_eq!(told, "killed by request");
    let why = why(bench.process(id), &Policy::default(), bench.now);
    assert!(!format!("{why:?}").contains("10s"), "{why:?}");
    assert!(!format!("{why:?}").contains("ignores"), "{why:?}");
}

#[test]
fn a_kill_after_stoptime_stays_one() {
    let (bench, id) = killed_after(10_000);
    let told = detail(bench.process(id), &Policy::default(), bench.now);
    assert_eq!(told, "stopped by request; killed after stoptime (10s)");
}

#[test]
fn a_terminal_is_hung_up_after_the_stop_signal() {
    let (mut bench, id) = Bench::running(|p| p.policy.hangup = true);
    bench.event(Event::Stop(id));
    assert_eq!(bench.deeds(), [signal(id, 15, GROUP), signal(id, 1, GROUP)]);
}

#[test]
fn a_stop_between_exit_and_remains_waits_for_them() {
    let (mut bench, id) = Bench::running(same);
    bench.exited(id, 0);
    bench.event(Event::Stop(id));
    bench.expect(id, State::Stopping);
    assert_eq!(bench.deeds(), [signal(id, 15, GROUP)]);
    bench.remains(id, 1);
    assert_eq!(bench.deeds(), []);
    bench.remains(id, 0);
    bench.expect(id, State::Stopped);
}

#[test]
fn backoff_exited_and_fatal_stop_at_once() {
    let (mut bench, id) = Bench::starting(|p| p.policy.startretries = 1);
    bench.spawned(id, 1);
    bench.exited(id, 1);
    bench.remains(id, 0);
    bench.expect(id, State::Backoff);
    bench.event(Event::Stop(id));
    bench.expect(id, State::Stopped);
    assert_eq!(bench.supervisor.poll_timeout(), None);

    let (mut bench, id) = Bench::running(same);
    bench.gone(id);
    bench.expect(id, State::Exited);
    bench.event(Event::Stop(id));
    bench.expect(id, State::Stopped);

    let (mut bench, id) = Bench::starting(|p| p.policy.startretries = 0);
    bench.event(Event::SpawnFailed {
        id,
        failure: chdir_failure(),
    });
    bench.expect(id, State::Fatal);
    bench.event(Event::Stop(id));
    bench.expect(id, State::Stopped);
    bench.effects();
    bench.event(Event::Stop(id));
    assert_eq!(bench.effects(), []);
}

#[test]
fn a_stop_while_spawning_cancels_and_acts_on_the_answer() {
    let (mut bench, id) = Bench::starting(same);
    bench.event(Event::Stop(id));
    bench.expect(id, State::Stopping);
    assert_eq!(bench.deeds(), [Effect::CancelSpawn(id)]);
    bench.event(Event::Stop(id));
    bench.pass(50_000);
    assert_eq!(bench.deeds(), [], "one cancellation is enough");
    // The program ran before the cancellation: it is asked to end like any other.
    bench.spawned(id, 5);
    assert_eq!(bench.deeds(), [signal(id, 15, GROUP)]);
    bench.pass(10_000);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    bench.gone(id);
    bench.expect(id, State::Stopped);

    let (mut bench, id) = Bench::starting(same);
    bench.event(Event::Stop(id));
    assert_eq!(bench.deeds(), [Effect::CancelSpawn(id)]);
    bench.event(Event::SpawnFailed {
        id,
        failure: chdir_failure(),
    });
    bench.expect(id, State::Stopped);
    assert_eq!(bench.deeds(), []);
}

#[test]
fn a_cancelled_start_is_no_failure_of_the_program() {
    for (errno, blamed) in [(125, false), (2, true)] {
        let (mut bench, id) = Bench::starting(same);
        bench.event(Event::Stop(id));
        let failure = SpawnFailure {
            errno,
            ..chdir_failure()
        };
        bench.event(Event::SpawnFailed { id, failure });
        bench.expect(id, State::Stopped);
        let process = bench.supervisor.process(id).expect("it is known");
        assert_eq!(process.last_failure.is_some(), blamed);
    }
}

#[test]
fn a_restart_while_spawning_cancels_and_starts_again() {
    let (mut bench, id) = Bench::starting(same);
    bench.event(Event::Restart(id));
    bench.expect(id, State::Stopping);
    assert_eq!(bench.deeds(), [Effect::CancelSpawn(id)]);
    bench.event(Event::SpawnFailed {
        id,
        failure: chdir_failure(),
    });
    bench.expect(id, State::Starting);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
}

#[test]
fn a_kill_while_spawning_cancels_and_is_kept_for_the_answer() {
    let (mut bench, id) = Bench::starting(same);
    bench.event(Event::ShutdownNow);
    assert_eq!(bench.deeds(), [Effect::CancelSpawn(id)]);
    bench.spawned(id, 5);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    bench.gone(id);
    assert_eq!(bench.deeds(), [Effect::Finished]);

    let (mut bench, id) = Bench::starting(same);
    bench.event(Event::Stop(id));
    bench.event(Event::ShutdownNow);
    assert_eq!(bench.deeds(), [Effect::CancelSpawn(id)]);
    bench.event(Event::SpawnFailed {
        id,
        failure: chdir_failure(),
    });
    assert_eq!(bench.deeds(), [Effect::Finished]);
}

#[test]
fn the_last_wish_decides_where_stopping_ends() {
    let (mut bench, id) = Bench::running(same);
    bench.event(Event::Stop(id));
    bench.event(Event::Start(id));
    bench.expect(id, State::Stopping);
    bench.effects();
    bench.gone(id);
    bench.expect(id, State::Starting);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);

    let (mut bench, id) = Bench::running(same);
    bench.event(Event::Restart(id));
    bench.event(Event::Stop(id));
    bench.gone(id);
    bench.expect(id, State::Stopped);
}

#[test]
fn restart_stops_and_starts_and_starts_what_is_down() {
    let (mut bench, id) = Bench::running(same);
    bench.event(Event::Restart(id));
    assert_eq!(bench.deeds(), [signal(id, 15, GROUP)]);
    bench.gone(id);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
    assert_eq!(bench.process(id).restarts, 0);

    let (mut bench, id) = Bench::starting(|p| p.autostart = Autostart::No);
    bench.event(Event::Restart(id));
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
}

#[test]
fn shutdown_stops_all_and_finishes_once() {
    let mut bench = Bench::new(vec![program("a", |p| p.numprocs = 2)]);
    let (a, b) = (bench.id("a:0"), bench.id("a:1"));
    bench.spawned(a, 1);
    bench.spawned(b, 2);
    bench.pass(1000);
    bench.effects();
    bench.event(Event::Shutdown);
    assert!(bench.supervisor.is_shutting_down() && !bench.process(a).state.is_down());
    assert_eq!(bench.deeds(), [signal(a, 15, GROUP), signal(b, 15, GROUP)]);
    bench.event(Event::Start(a));
    bench.event(Event::Restart(a));
    bench.reload(vec![]);
    bench.gone(a);
    assert_eq!(bench.deeds(), []);
    bench.event(Event::ShutdownNow);
    assert_eq!(bench.deeds(), [kill(b, GROUP)]);
    bench.gone(b);
    assert_eq!(bench.deeds(), [Effect::Finished]);
    bench.event(Event::Shutdown);
    bench.event(Event::Start(a));
    assert_eq!(bench.effects(), []);
}

#[test]
fn shutdown_with_nothing_up_finishes_at_once() {
    let mut bench = Bench::new(vec![]);
    bench.event(Event::Shutdown);
    assert_eq!(bench.effects(), [Effect::Finished]);
}

#[test]
fn shutdown_sweeps_stragglers_before_it_finishes() {
    let (mut bench, id) = Bench::running(same);
    bench.exited(id, 0);
    bench.remains(id, 1);
    bench.effects();
    bench.event(Event::Shutdown);
    assert_eq!(bench.deeds(), [signal(id, 15, GROUP)]);
    bench.event(Event::ShutdownNow);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    bench.remains(id, 0);
    assert_eq!(bench.deeds(), [Effect::Finished]);
}
