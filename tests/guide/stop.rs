//! Stopping: the stop signal, the time it gets, process trees, and the daemon's own end.

use crate::support::system::{is_alive, processes_of};
use crate::support::{Daemon, PATIENCE, kill, wait_for_line, wait_gone, wait_until_alive};
use rustix::process::Signal;
use serde_json::json;
use std::time::Instant;

/// Writes its pid to a file and ignores SIGTERM.
const STUBBORN: &str = r#"
    [sh, -c, "trap '' TERM; echo up > @DIR@/up; while :; do sleep 1000; done"]"#;

/// A leader, a child in its group and a grandchild in a session of its own; pids in files.
const TREE: &str = r"
programs:
  tree:
    starttime: 0
    stoptime: 500ms
    cmd:
    - sh
    - -c
    - |
      sh -c 'echo $$ > @DIR@/child; exec sleep 1000' &
      setsid sh -c 'echo $$ > @DIR@/escaped; exec sleep 1000' &
      wait
";

#[test]
fn the_stop_signal_is_the_configured_one() {
    let daemon = Daemon::start(
        r"
programs:
  polite:
    stopsignal: USR1
    stoptime: 1000
    starttime: 0
    cmd:
    - sh
    - -c
    - |
      trap 'echo usr1 > @DIR@/got; exit 0' USR1
      trap 'echo term > @DIR@/got; exit 0' TERM
      echo up > @DIR@/up
      while :; do sleep 1000 & wait; done
",
    );
    wait_for_line(&daemon.path("up"));
    let output = daemon.tm(&["stop", "polite"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(daemon.read("got"), "usr1\n");
    let row = daemon.status("polite:0");
    assert_eq!(row["state"], "STOPPED");
    // It ended by itself, before stoptime.
    assert_eq!(row["exit"]["code"], 0, "{row}");
}

#[test]
fn a_process_that_ignores_the_stop_signal_is_killed_after_stoptime() {
    let daemon = Daemon::start(&format!(
        "programs:\n  stubborn: {{cmd: {STUBBORN}, starttime: 0, stoptime: 700ms}}\n"
    ));
    wait_for_line(&daemon.path("up"));
    let pid = daemon.pid_of("stubborn:0");
    let began = Instant::now();
    assert_eq!(daemon.tm(&["stop", "stubborn"]).code, 0);
    let took = began.elapsed().as_millis();
    assert!(took >= 650, "{took} ms");
    wait_gone(pid);
    let row = daemon.status("stubborn:0");
    assert_eq!(
        (&row["state"], &row["exit"]["signal"]),
        (&json!("STOPPED"), &json!(9)),
        "{row}"
    );
    let detail = "stopped by request; killed after stoptime (700ms)";
    let shown = row["detail"].as_str().unwrap_or_default();
    assert!(shown.starts_with(detail), "{row}");
    let why = daemon.tm(&["why", "stubborn"]).stdout;
    assert!(why.contains("was killed by tmd after"), "{why}");
    assert!(
        why.contains("it did not end within 700ms of SIGTERM"),
        "{why}"
    );
}

#[test]
fn a_process_slow_to_stop_delays_no_other() {
    let daemon = Daemon::start(&format!(
        "programs:\n  stubborn: {{cmd: {STUBBORN}, starttime: 0, stoptime: 1000}}\n  \
         quick: {{cmd: sleep 1000, starttime: 0}}\n"
    ));
    wait_for_line(&daemon.path("up"));
    daemon.rpc("stop", json!({"targets": ["stubborn"], "wait": false}));
    assert_eq!(daemon.tm(&["restart", "quick"]).code, 0);
    assert_eq!(daemon.status("stubborn:0")["state"], "STOPPING");
}

#[test]
fn a_stop_ends_the_tree_including_descendants_that_called_setsid() {
    let daemon = Daemon::start(TREE);
    let pid_in = |name| wait_for_line(&daemon.path(name)).parse().expect("a pid");
    let (child, escaped): (i32, i32) = (pid_in("child"), pid_in("escaped"));
    wait_until_alive(child);
    wait_until_alive(escaped);
    assert_eq!(daemon.tm(&["stop", "tree"]).code, 0);
    assert_eq!(daemon.status("tree:0")["state"], "STOPPED");
    wait_gone(child);
    wait_gone(escaped);
}

#[test]
fn a_leader_that_dies_is_seen_though_its_children_live() {
    let daemon = Daemon::start(&TREE.replace("    cmd:", "    autorestart: never\n    cmd:"));
    let escaped: i32 = wait_for_line(&daemon.path("escaped"))
        .parse()
        .expect("a pid");
    daemon.wait_state("tree:0", "RUNNING");
    let mut events = daemon.events();
    kill(daemon.pid_of("tree:0"), Signal::KILL);
    events.wait_for("tree:0", "EXITED");
    assert_eq!(daemon.tm(&["stop", "tree"]).code, 0);
    wait_gone(escaped);
}

/// Processes fork and exit while the daemon looks for stragglers.
#[test]
fn stragglers_of_a_quick_double_fork_are_found_and_killed() {
    let daemon = Daemon::start(
        "programs:\n  twice: {cmd: '@BIN@/fork_twice', numprocs: 30, starttime: 0,\n\
         autorestart: never, autostart: false}\n",
    );
    for round in 0..4 {
        assert_eq!(daemon.tm(&["start", "twice"]).code, 0);
        assert_eq!(daemon.tm(&["stop", "twice"]).code, 0);
        let left = processes_of(&daemon.socket());
        assert!(left.is_empty(), "round {round}: {left:?}\n{}", daemon.log());
    }
    assert_eq!(daemon.tm(&["start", "twice"]).code, 0);
    // On a loaded machine a leader may still have to fork.
    daemon.wait_ended("twice");
    for row in daemon.all() {
        let name = row["name"].as_str().expect("a name");
        let began = Instant::now();
        let mut row = daemon.status(name);
        // The search may take several turns of the daemon.
        while row["stragglers"].as_array().is_none_or(Vec::is_empty) {
            assert!(began.elapsed() < PATIENCE, "{row}");
            row = daemon.status(name);
        }
        let stragglers = row["stragglers"].as_array().expect("a list");
        assert_eq!(stragglers.len(), 1, "{name}: {stragglers:?}");
    }
}

/// With `killmode: process` the daemon ends only the leader.
#[test]
fn killmode_process_leaves_the_rest_also_when_the_daemon_ends() {
    let mut daemon = Daemon::start(&TREE.replace("    cmd:", "    killmode: process\n    cmd:"));
    let pid_in = |name| wait_for_line(&daemon.path(name)).parse().expect("a pid");
    let left: [i32; 2] = [pid_in("child"), pid_in("escaped")];
    left.into_iter().for_each(wait_until_alive);
    daemon.signal(Signal::TERM);
    let code = daemon.wait_end_leaving(&left);
    let alive: Vec<bool> = left.into_iter().map(is_alive).collect();
    left.into_iter().for_each(|pid| kill(pid, Signal::KILL));
    assert_eq!((code, alive), (0, vec![true; 2]), "{}", daemon.log());
}

#[test]
fn a_stop_during_backoff_is_at_once_and_final() {
    let daemon = Daemon::start("programs:\n  broken: {cmd: 'false', startretries: 10}\n");
    daemon.wait_state("broken:0", "BACKOFF");
    assert_eq!(daemon.tm(&["stop", "broken"]).code, 0);
    assert_eq!(daemon.status("broken:0")["state"], "STOPPED");
}

#[test]
fn sigterm_stops_everything_in_order_and_exits_0() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let mut daemon =
            Daemon::start("programs:\n  worker: {cmd: sleep 1000, numprocs: 5, starttime: 0}\n");
        daemon.wait_state("worker:4", "RUNNING");
        let pids: Vec<i32> = (0..5)
            .map(|i| daemon.pid_of(&format!("worker:{i}")))
            .collect();
        daemon.signal(signal);
        assert_eq!(daemon.wait_end(), 0, "{signal:?}\n{}", daemon.log());
        pids.into_iter().for_each(wait_gone);
        assert!(!daemon.socket().exists(), "the socket goes with the daemon");
    }
}

#[test]
fn a_second_sigterm_kills_at_once() {
    let mut daemon = Daemon::start(&format!(
        "programs:\n  stubborn: {{cmd: {STUBBORN}, starttime: 0, stoptime: 1000}}\n"
    ));
    wait_for_line(&daemon.path("up"));
    let mut events = daemon.events();
    daemon.signal(Signal::TERM);
    events.wait_for("stubborn:0", "STOPPING");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_end(), 0);
}

#[test]
fn shutdown_ends_the_daemon_and_all_it_runs() {
    let mut daemon = Daemon::start("programs:\n  worker: {cmd: sleep 1000, starttime: 0}\n");
    let pid = daemon.wait_state("worker:0", "RUNNING")["pid"]
        .as_i64()
        .expect("it lives");
    assert_eq!(daemon.tm(&["shutdown"]).code, 0);
    assert_eq!(daemon.wait_end(), 0);
    wait_gone(pid as i32);
}
