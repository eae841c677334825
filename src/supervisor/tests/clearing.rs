//! The stragglers of an ended run end before the next start.

use super::*;

/// A process whose leader has crashed: its start waits for the stragglers, which are not known yet.
fn crashed(edit: impl FnOnce(&mut Program)) -> (Bench, ProcessId) {
    let (mut bench, id) = Bench::running(|p| {
        p.policy.autorestart = Autorestart::Always;
        edit(p);
    });
    bench.exited(id, 1);
    bench.expect(id, State::Starting);
    bench.effects();
    (bench, id)
}

/// The same, with two stragglers that were asked to end.
fn asked() -> (Bench, ProcessId) {
    let (mut bench, id) = crashed(same);
    bench.remains(id, 2);
    assert_eq!(bench.deeds(), [signal(id, 15, GROUP)]);
    (bench, id)
}

fn detail(bench: &Bench, id: ProcessId) -> String {
    let policy = bench.supervisor.policy(id).unwrap();
    super::detail(bench.process(id), policy, bench.now)
}

fn why_of(bench: &Bench, id: ProcessId) -> Why {
    let policy = bench.supervisor.policy(id).unwrap();
    why(bench.process(id), policy, bench.now)
}

#[test]
fn what_a_dead_leader_left_is_asked_then_killed_before_the_next_start() {
    let (mut bench, id) = asked();
    bench.pass(200);
    assert_eq!(
        detail(&bench, id),
        "exit 1 after 1.0s, restart when its stragglers have ended (SIGKILL in 9.8s), 2 stragglers"
    );
    let why = why_of(&bench, id);
    let cause = "stragglers of its last run end first: SIGTERM was sent, SIGKILL follows after \
                 10s (stoptime)";
    assert_eq!(why.causes[0], cause);
    assert_eq!(why.next, "it starts once they are gone; SIGKILL in 9.8s");
    bench.remains(id, 1);
    bench.pass(9_799);
    assert_eq!(bench.deeds(), []);
    bench.pass(1);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    let victims = vec!["7 node server.js".to_string()];
    bench.event(Event::Killed { id, victims });
    bench.remains(id, 1);
    assert_eq!(bench.deeds(), []);
    bench.remains(id, 0);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
    bench.spawned(id, 101);
    bench.pass(1000);
    bench.expect(id, State::Running);
    assert_eq!(bench.process(id).restarts, 1);
    let cause = "before the restart, tmd killed pid 7 node server.js, which the last run had left";
    assert!(why_of(&bench, id).causes.iter().any(|one| one == cause));
    // The next restart finds nothing.
    bench.ended(id, 1);
    let causes = why_of(&bench, id).causes;
    assert!(
        !causes.iter().any(|one| one.contains("killed")),
        "{causes:?}"
    );
}

#[test]
fn a_start_follows_as_soon_as_the_stragglers_have_ended() {
    let (mut bench, id) = asked();
    bench.pass(50);
    bench.remains(id, 0);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
    bench.spawned(id, 101);
    bench.pass(1000);
    bench.expect(id, State::Running);
    assert_eq!(bench.supervisor.poll_timeout(), None);
}

#[test]
fn killmode_mixed_kills_what_is_left_at_once() {
    let (mut bench, id) = crashed(|p| p.policy.killmode = KillMode::Mixed);
    bench.remains(id, 2);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    bench.remains(id, 0);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
}

#[test]
fn killmode_process_starts_beside_what_is_left() {
    let (mut bench, id) = Bench::running(|p| {
        p.policy.autorestart = Autorestart::Always;
        p.policy.killmode = KillMode::Process;
    });
    bench.exited(id, 1);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
}

#[test]
fn a_failed_start_ends_what_it_left_before_the_retry() {
    let (mut bench, id) = Bench::starting(same);
    bench.spawned(id, 100);
    bench.exited(id, 1);
    bench.remains(id, 1);
    bench.expect(id, State::Backoff);
    bench.effects();
    bench.pass(1000);
    bench.expect(id, State::Starting);
    assert_eq!(bench.deeds(), [signal(id, 15, GROUP)]);
    bench.pass(10_000);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    bench.remains(id, 0);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
}

#[test]
fn a_stop_continues_what_the_start_has_begun() {
    let (mut bench, id) = asked();
    bench.pass(4000);
    bench.event(Event::Stop(id));
    bench.expect(id, State::Stopping);
    assert_eq!(bench.deeds(), [], "they were asked");
    bench.pass(6000);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    let victims = vec!["7 node server.js".to_string()];
    bench.event(Event::Killed { id, victims });
    bench.remains(id, 0);
    bench.expect(id, State::Stopped);
    assert_eq!(
        detail(&bench, id),
        "stopped by request; killed after stoptime (10s): pid 7 node server.js"
    );
}

#[test]
fn a_restart_and_a_start_meanwhile_wait_for_the_same_end() {
    let (mut bench, id) = asked();
    bench.event(Event::Start(id));
    assert_eq!(bench.deeds(), []);
    bench.event(Event::Restart(id));
    bench.expect(id, State::Stopping);
    assert_eq!(bench.deeds(), []);
    bench.remains(id, 0);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
    assert_eq!(bench.process(id).restarts, 0);
}

#[test]
fn a_kill_meanwhile_is_one_by_request() {
    let (mut bench, id) = asked();
    bench.event(Event::ShutdownNow);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    assert!(bench.process(id).kill_requested);
}

#[test]
fn a_removal_meanwhile_waits_for_the_same_end() {
    let (mut bench, id) = asked();
    bench.reload(vec![]);
    assert_eq!(bench.deeds(), []);
    bench.remains(id, 0);
    let name = "a:0".to_string();
    assert_eq!(bench.deeds(), [Effect::Release { id, name }]);
}

#[test]
fn another_stoptime_counts_from_the_signal() {
    let (mut bench, id) = asked();
    bench.pass(2000);
    let with = |seconds| {
        vec![program("a", |p| {
            p.policy.autorestart = Autorestart::Always;
            p.policy.stoptime = Duration::from_secs(seconds);
        })]
    };
    bench.reload(with(5));
    bench.pass(2999);
    assert_eq!(bench.deeds(), []);
    bench.pass(1);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    let (mut bench, id) = asked();
    bench.pass(2000);
    bench.reload(with(1));
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
}

#[test]
fn a_kill_mode_that_no_longer_sweeps_lets_a_start_go_on() {
    let (mut bench, id) = asked();
    bench.reload(vec![program("a", |p| {
        p.policy.autorestart = Autorestart::Always;
        p.policy.killmode = KillMode::Process;
    })]);
    assert!(bench.deeds().contains(&Effect::Spawn(id)));
    bench.expect(id, State::Starting);
    assert_eq!(bench.supervisor.poll_timeout(), None);
}
