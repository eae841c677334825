//! SIGHUP applies changes and does not touch unchanged programs.

use crate::support::{Daemon, wait_gone};
use rustix::process::Signal;
use serde_json::json;

const BASE: &str = "programs:\n  \
    steady: {cmd: sleep 1000, numprocs: 2, starttime: 0}\n  \
    changing: {cmd: sleep 1000, numprocs: 2, starttime: 0, env: {A: 1}}\n";

fn pids(daemon: &Daemon, names: &[&str]) -> Vec<i32> {
    names
        .iter()
        .map(|name| {
            daemon.wait_state(name, "RUNNING")["pid"]
                .as_i64()
                .unwrap_or(0) as i32
        })
        .collect()
}

#[test]
fn an_unchanged_config_touches_nothing() {
    let daemon = Daemon::start(BASE);
    let names = ["steady:0", "steady:1", "changing:0", "changing:1"];
    let before = pids(&daemon, &names);
    daemon.reload_with(BASE);
    assert_eq!(pids(&daemon, &names), before);
}

#[test]
fn programs_come_and_go() {
    let daemon = Daemon::start(BASE);
    let steady = pids(&daemon, &["steady:0", "steady:1"]);
    let removed = pids(&daemon, &["changing:0", "changing:1"]);
    let mut events = daemon.events();
    daemon.reload_with(
        "programs:\n  steady: {cmd: sleep 1000, numprocs: 2, starttime: 0}\n  \
         fresh: {cmd: sleep 1000, starttime: 0}\n  \
         idle: {cmd: sleep 1000, autostart: false}\n",
    );
    events.wait_for("fresh:0", "RUNNING");
    removed.into_iter().for_each(wait_gone);
    assert_eq!(pids(&daemon, &["steady:0", "steady:1"]), steady);
    assert_eq!(daemon.status("idle:0")["state"], "STOPPED");
}

#[test]
fn numprocs_adds_and_removes_only_the_surplus() {
    let daemon =
        Daemon::start("programs:\n  worker: {cmd: sleep 1000, numprocs: 2, starttime: 0}\n");
    let two = pids(&daemon, &["worker:0", "worker:1"]);

    daemon.reload_with("programs:\n  worker: {cmd: sleep 1000, numprocs: 4, starttime: 0}\n");
    let four = pids(&daemon, &["worker:0", "worker:1", "worker:2", "worker:3"]);
    assert_eq!(four[..2], two);

    daemon.reload_with("programs:\n  worker: {cmd: sleep 1000, numprocs: 1, starttime: 0}\n");
    four[1..].iter().for_each(|pid| wait_gone(*pid));
    assert_eq!(pids(&daemon, &["worker:0"]), two[..1]);
}

#[test]
fn only_changed_programs_are_restarted() {
    let daemon = Daemon::start(BASE);
    let steady = pids(&daemon, &["steady:0", "steady:1"]);
    let changes = [
        ("env: {A: 1}", "env: {A: 2}"),
        ("env: {A: 2}", "env: {A: 2}, workingdir: /"),
        ("workingdir: /", "workingdir: /, umask: 077"),
        (
            "{cmd: sleep 1000, numprocs: 2, starttime: 0, env",
            "{cmd: sleep 2000, numprocs: 2, starttime: 0, env",
        ),
    ];
    let mut config = BASE.to_string();
    for (from, to) in changes {
        assert!(config.contains(from), "{from} in {config}");
        config = config.replace(from, to);
        let before = pids(&daemon, &["changing:0", "changing:1"]);
        daemon.reload_with(&config);
        before.iter().for_each(|pid| wait_gone(*pid));
        pids(&daemon, &["changing:0", "changing:1"]);
    }
    assert_eq!(pids(&daemon, &["steady:0", "steady:1"]), steady);
}

#[test]
fn policy_applies_live_without_a_restart() {
    let daemon = Daemon::start(
        "programs:\n  worker: {cmd: sleep 1000, starttime: 0, stoptime: 10, autorestart: always}\n",
    );
    let before = pids(&daemon, &["worker:0"]);
    daemon.reload_with(
        "programs:\n  worker: {cmd: sleep 1000, starttime: 0, stoptime: 3, autorestart: never, \
         exitcodes: [0, 4], startretries: 7, stopsignal: INT}\n",
    );
    assert_eq!(pids(&daemon, &["worker:0"]), before);
    let mut events = daemon.events();
    crate::support::kill(before[0], Signal::KILL);
    events.wait_for("worker:0", "EXITED");
}

#[test]
fn a_bad_config_changes_nothing_and_says_why() {
    let daemon = Daemon::start(BASE);
    let names = ["steady:0", "steady:1", "changing:0", "changing:1"];
    let before = pids(&daemon, &names);
    let event = daemon.reload_with(&BASE.replace("starttime: 0", "startime: 0"));
    assert_eq!(event["event"], "reload_failed", "{event}");
    let detail = event["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("startime"), "{event}");
    assert_eq!(pids(&daemon, &names), before);
    let output = daemon.tm(&["reload"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("starttime"),
        "did you mean: {output:?}"
    );
    assert_eq!(pids(&daemon, &names), before);
}

#[test]
fn a_program_that_the_user_stopped_stays_stopped() {
    let daemon = Daemon::start(BASE);
    daemon.wait_state("changing:0", "RUNNING");
    assert_eq!(daemon.tm(&["stop", "changing:0"]).code, 0);
    daemon.reload_with(&BASE.replace("A: 1", "A: 2"));
    daemon.wait_state("changing:1", "RUNNING");
    assert_eq!(daemon.status("changing:0")["state"], "STOPPED");
}

#[test]
fn a_dry_run_prints_the_plan_and_does_nothing() {
    let daemon = Daemon::start(BASE);
    let before = pids(&daemon, &["changing:0", "steady:0"]);
    assert_eq!(
        daemon.tm(&["reload", "--dry-run"]).code,
        0,
        "nothing changed"
    );
    crate::support::write_config(daemon.dir(), &BASE.replace("A: 1", "A: 2"));
    let output = daemon.tm(&["reload", "--dry-run"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(
        output.stdout.contains("changing:0") && output.stdout.contains("env"),
        "{output:?}"
    );
    assert_eq!(pids(&daemon, &["changing:0", "steady:0"]), before);
}

#[test]
fn reloads_in_a_row_end_with_the_last() {
    let daemon = Daemon::start(BASE);
    let numprocs =
        |n: u32| format!("programs:\n  worker: {{cmd: sleep 1000, numprocs: {n}, starttime: 0}}\n");
    for count in [5, 1, 7, 2, 3] {
        crate::support::write_config(daemon.dir(), &numprocs(count));
        daemon.rpc("reload", json!({}));
    }
    pids(&daemon, &["worker:0", "worker:1", "worker:2"]);
    daemon.rpc("stop", json!({"targets": ["worker"]}));
    assert_eq!(daemon.all().len(), 3);
}

#[test]
fn a_follower_of_all_logs_sees_programs_added_by_a_reload() {
    let old = "programs:\n  old: {cmd: \"sh -c 'echo an old one; exec sleep 1000'\"}\n";
    let daemon = Daemon::start(old);
    let mut logs = daemon.terminal(&["tm", "logs", "-f"], 24, 100);
    logs.expect("an old one");
    daemon.reload_with(&format!(
        "{old}  new: {{cmd: \"sh -c 'echo a newcomer; exec sleep 1000'\"}}\n"
    ));
    logs.expect("a newcomer");
}
