//! Reload and scaling, and the processes that they leave alone.

use super::*;

fn stoptime(seconds: u64) -> impl Fn(&mut Program) {
    move |program| program.policy.stoptime = Duration::from_secs(seconds)
}

fn command(word: &str) -> impl Fn(&mut Program) {
    move |program| program.launch.argv = vec![word.to_string()]
}

fn file(keep: u32) -> Sink {
    Sink::File(FileSink {
        path: "/log/{program}".to_string(),
        direct: false,
        max_size: 0,
        keep,
        mode: None,
        compress: false,
        timestamps: false,
        strip_ansi: false,
        stall: Stall::Never,
    })
}

fn actions(plan: &Plan) -> Vec<(&str, &PlanAction)> {
    plan.entries
        .iter()
        .map(|entry| (entry.process.as_str(), &entry.action))
        .collect()
}

#[test]
fn the_same_config_does_nothing() {
    let (mut bench, id) = Bench::running(same);
    let programs = vec![program("a", same)];
    assert!(!bench.supervisor.plan(&programs).changes());
    bench.reload(programs);
    assert_eq!(bench.effects(), []);
    assert_eq!(bench.process(id).pid(), Some(100));
}

#[test]
fn a_changed_launch_restarts_only_the_affected() {
    let mut bench = Bench::new(vec![program("a", same), program("b", same)]);
    let (a, b) = (bench.id("a:0"), bench.id("b:0"));
    bench.spawned(a, 1);
    bench.spawned(b, 2);
    bench.pass(1000);
    bench.effects();
    let programs = vec![program("a", same), program("b", command("new"))];
    let plan = bench.supervisor.plan(&programs);
    let change = Change {
        key: "cmd".to_string(),
        from: String::new(),
        to: "new".to_string(),
        next_start: false,
    };
    let restart = PlanAction::Restart(vec![change.clone()]);
    assert_eq!(
        actions(&plan),
        [("a:0", &PlanAction::Unchanged), ("b:0", &restart)]
    );
    bench.reload(programs);
    assert_eq!(bench.deeds(), [signal(b, 15, GROUP)]);
    bench.gone(b);
    assert_eq!(bench.deeds(), [Effect::Spawn(b)]);
    assert_eq!(bench.process(b).launch.argv, ["new"]);
    assert_eq!(bench.process(a).pid(), Some(1));
    // A stopped process gets it at its next start.
    bench.event(Event::Stop(a));
    bench.gone(a);
    let plan = bench.supervisor.plan(&[program("a", command("new"))]);
    let next_start = true;
    let later = PlanAction::Live(vec![Change {
        next_start,
        ..change
    }]);
    assert_eq!(actions(&plan)[0], ("a:0", &later));
}

#[test]
fn policy_applies_live_and_moves_a_running_deadline() {
    let (mut bench, id) = Bench::running(same);
    bench.event(Event::Stop(id));
    bench.effects();
    bench.pass(2000);
    let programs = vec![program("a", stoptime(3))];
    let plan = bench.supervisor.plan(&programs);
    let PlanAction::Live(changes) = &plan.entries[0].action else {
        panic!("{plan:?}");
    };
    let texts: Vec<_> = changes
        .iter()
        .map(|c| format!("{} {} {}", c.key, c.from, c.to))
        .collect();
    assert_eq!(texts, ["stoptime 10s 3s"]);
    bench.reload(programs);
    assert_eq!(bench.effects(), []);
    bench.pass(1000);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
}

#[test]
fn a_deadline_that_a_reload_moves_into_the_past_fires_at_once() {
    let (mut bench, id) = Bench::running(same);
    bench.event(Event::Stop(id));
    bench.effects();
    bench.pass(5000);
    bench.reload(vec![program("a", stoptime(3))]);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);

    let (mut bench, id) = Bench::starting(|p| p.policy.starttime = Duration::from_secs(60));
    bench.spawned(id, 1);
    bench.pass(5000);
    bench.reload(vec![program("a", same)]);
    bench.expect(id, State::Running);
}

#[test]
fn a_wider_killmode_kills_the_rest_as_well() {
    let leader_only = |p: &mut Program| p.policy.killmode = KillMode::Process;
    let (mut bench, id) = Bench::running(leader_only);
    bench.event(Event::Stop(id));
    bench.pass(10_000);
    bench.effects();
    bench.reload(vec![program("a", same)]);
    assert_eq!(bench.deeds(), [kill(id, GROUP)]);
    bench.exited(id, 0);
    bench.remains(id, 1);
    bench.expect(id, State::Stopping);
    bench.reload(vec![program("a", leader_only)]);
    bench.expect(id, State::Stopped);
}

#[test]
fn log_rotation_is_live() {
    let with = |keep| move |p: &mut Program| p.launch.stdout = file(keep);
    let (mut bench, id) = Bench::running(with(3));
    bench.reload(vec![program("a", with(5))]);
    assert_eq!(bench.effects(), [Effect::Reconfigured(id)]);
    let Sink::File(sink) = &bench.process(id).launch.stdout else {
        panic!("no file");
    };
    assert_eq!((sink.keep, sink.path.as_str()), (5, "/log/a"));
}

#[test]
fn numprocs_touches_only_the_surplus_highest_first() {
    let numprocs = |n| move |p: &mut Program| p.numprocs = n;
    let mut bench = Bench::new(vec![program("a", numprocs(3))]);
    let ids = ["a:0", "a:1", "a:2"].map(|name| bench.id(name));
    for (pid, id) in ids.into_iter().enumerate() {
        bench.spawned(id, pid as i32);
    }
    bench.pass(1000);
    bench.effects();
    bench.reload(vec![program("a", numprocs(1))]);
    assert_eq!(
        bench.deeds(),
        [signal(ids[2], 15, GROUP), signal(ids[1], 15, GROUP)]
    );
    bench.gone(ids[1]);
    let name = "a:1".to_string();
    assert_eq!(bench.deeds(), [Effect::Release { id: ids[1], name }]);
    assert_eq!(bench.supervisor.find("a:1"), None);
    let counts = bench.supervisor.scale_plan("a", 3).counts();
    assert_eq!((counts.added, counts.unchanged), (2, 1));
    bench.event(Event::Scale {
        program: "a".to_string(),
        numprocs: 3,
    });
    assert_eq!(bench.supervisor.program("a").unwrap().numprocs, 3);
    assert_eq!(bench.deeds(), [Effect::Spawn(bench.id("a:1"))]);
    bench.gone(ids[2]);
    assert_eq!(bench.deeds(), [Effect::Spawn(ids[2])]);
    bench.reload(vec![program("a", numprocs(1))]);
    assert_eq!(bench.supervisor.program("a").unwrap().numprocs, 1);
}

#[test]
fn a_numprocs_placeholder_restarts_those_that_use_it() {
    let numprocs = |n| {
        move |p: &mut Program| {
            p.numprocs = n;
            p.launch.argv = vec!["of-{numprocs}".to_string()];
        }
    };
    let (mut bench, id) = Bench::running(numprocs(1));
    bench.reload(vec![program("a", numprocs(2))]);
    assert_eq!(
        bench.deeds(),
        [signal(id, 15, GROUP), Effect::Spawn(bench.id("a:1"))]
    );
}

#[test]
fn a_removed_program_is_stopped_then_forgotten_and_comes_back_as_new() {
    let (mut bench, id) = Bench::running(same);
    bench.reload(vec![]);
    assert_eq!(bench.deeds(), [signal(id, 15, GROUP)]);
    assert!(bench.supervisor.program("a").is_none());
    assert!(bench.supervisor.policy(id).is_some());
    bench.event(Event::Start(id));
    bench.reload(vec![program("a", command("b"))]);
    assert_eq!(bench.effects(), []);
    bench.gone(id);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);

    let (mut bench, id) = Bench::running(same);
    bench.reload(vec![]);
    bench.reload(vec![program("a", |p| p.autostart = Autostart::No)]);
    bench.gone(id);
    bench.expect(id, State::Stopped);

    bench.reload(vec![]);
    assert_eq!(bench.supervisor.processes().count(), 0);
    assert_eq!(bench.supervisor.find("a:0"), None);
}

#[test]
fn what_the_user_stopped_stays_stopped() {
    let (mut bench, id) = Bench::running(same);
    bench.event(Event::Stop(id));
    bench.gone(id);
    bench.effects();
    bench.reload(vec![program("a", command("b"))]);
    assert_eq!(bench.effects(), []);
    bench.expect(id, State::Stopped);
    assert_eq!(bench.process(id).launch.argv, ["b"]);
}

#[test]
fn a_corrected_launch_starts_what_gave_up() {
    let (mut bench, id) = Bench::starting(|p| p.policy.startretries = 0);
    bench.spawned(id, 1);
    bench.exited(id, 1);
    bench.remains(id, 0);
    bench.expect(id, State::Fatal);
    bench.effects();
    bench.reload(vec![program("a", command("b"))]);
    assert_eq!(bench.deeds(), [Effect::Spawn(id)]);
}

#[test]
fn display_order_is_the_configs_with_the_removed_last() {
    let mut bench = Bench::new(vec![program("c", |p| p.numprocs = 11), program("b", same)]);
    let (c, b) = (bench.id("c:10"), bench.id("b:0"));
    bench.spawned(b, 1);
    bench.reload(vec![program("d", same), program("c", |p| p.numprocs = 11)]);
    let names: Vec<&str> = bench
        .supervisor
        .processes()
        .map(|p| p.name.as_str())
        .collect();
    assert_eq!(
        (names[0], names[1], names[11], names[12]),
        ("d:0", "c:0", "c:10", "b:0")
    );
    assert_eq!(bench.id("c:10"), c);
    assert_eq!(bench.supervisor.find("c:010"), None);
    let programs: Vec<&str> = bench
        .supervisor
        .programs()
        .map(|p| p.name.as_str())
        .collect();
    assert_eq!(programs, ["d", "c"]);
}

#[test]
fn environment_values_are_not_shown() {
    let (bench, _) = Bench::running(same);
    let secret = program("a", |p| {
        std::sync::Arc::make_mut(&mut p.launch.env).insert("TOKEN".to_string(), "secret".into());
    });
    let text = format!("{:?}", bench.supervisor.plan(&[secret]));
    assert!(text.contains("env.TOKEN") && !text.contains("secret"));
}

#[test]
fn a_renamed_program_starts_when_the_old_one_has_ended() {
    let (mut bench, web) = Bench::running(same);
    bench.reload(vec![
        program("api", same),
        program("off", |p| p.autostart = Autostart::No),
    ]);
    let api = bench.id("api:0");
    bench.expect(web, State::Stopping);
    bench.expect(api, State::Waiting);
    bench.expect(bench.id("off:0"), State::Stopped);
    assert_eq!(bench.deeds(), [signal(web, 15, GROUP)]);
    bench.exited(web, 0);
    bench.expect(api, State::Waiting);
    bench.remains(web, 0);
    bench.expect(api, State::Starting);
    let name = "a:0".to_string();
    assert_eq!(
        bench.deeds(),
        [Effect::Release { id: web, name }, Effect::Spawn(api)]
    );
}

#[test]
fn a_process_that_waits_for_others_can_be_started_and_stopped() {
    let (mut bench, _) = Bench::running(same);
    bench.reload(vec![program("b", |p| p.numprocs = 2)]);
    let (first, second) = (bench.id("b:0"), bench.id("b:1"));
    bench.event(Event::Start(first));
    bench.expect(first, State::Starting);
    bench.event(Event::Stop(second));
    bench.expect(second, State::Stopped);
}

#[test]
fn a_program_that_comes_back_keeps_no_other_waiting() {
    let (mut bench, a) = Bench::running(same);
    bench.reload(vec![program("b", same)]);
    bench.expect(bench.id("b:0"), State::Waiting);
    bench.reload(vec![program("a", same), program("b", same)]);
    bench.expect(a, State::Stopping);
    bench.expect(bench.id("b:0"), State::Starting);
}

#[test]
fn any_change_starts_what_gave_up() {
    let (mut bench, id) = Bench::starting(|p| p.policy.startretries = 0);
    bench.spawned(id, 100);
    bench.ended(id, 1);
    bench.expect(id, State::Fatal);
    let programs = vec![program("a", |p| p.policy.starttime = Duration::ZERO)];
    let plan = bench.supervisor.plan(&programs);
    assert!(plan.entries[0].action.is_restart(), "{plan:?}");
    bench.reload(programs);
    bench.expect(id, State::Starting);
}

#[test]
fn a_change_starts_what_has_exited_unless_it_is_about_stops() {
    let (mut bench, id) = Bench::running(same);
    bench.ended(id, 0);
    bench.expect(id, State::Exited);
    bench.reload(vec![program("a", stoptime(3))]);
    bench.expect(id, State::Exited);
    bench.reload(vec![program("a", |p| {
        stoptime(3)(p);
        command("new")(p);
    })]);
    bench.expect(id, State::Starting);
}
