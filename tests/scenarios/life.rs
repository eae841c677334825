//! Starts, restarts, stops, reloads, and the logs that they leave.

use super::support::{self, Daemon, system::wait_for_text};
use std::process::{Command, Stdio};

#[test]
fn a_program_that_runs_once_ends_exited_and_can_run_again() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: 'echo ran >> @DIR@/ran', shell: true, starttime: 0}\n",
    );
    daemon.wait_ended("a:0");
    assert_eq!(daemon.status("a:0")["state"], "EXITED");
    assert_eq!(daemon.read("ran"), "ran\n");
    let output = daemon.tm(&["start", "a"]);
    assert_eq!(output.code, 0, "{output:?}");
    daemon.wait_ended("a:0");
    assert_eq!(daemon.read("ran"), "ran\nran\n");
    assert_eq!(daemon.status("a:0")["restarts"], 0);
}

#[test]
fn a_restart_is_a_new_process_and_touches_no_other() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: sleep 1000, starttime: 0, numprocs: 2}\n\
         \x20 b: {cmd: sleep 1000, starttime: 0, autostart: false}\n",
    );
    let before = [daemon.pid_of("a:0"), daemon.pid_of("a:1")];
    assert_eq!(daemon.tm(&["restart", "a:0"]).code, 0);
    assert_ne!(daemon.pid_of("a:0"), before[0]);
    assert_eq!(daemon.pid_of("a:1"), before[1]);
    support::wait_gone(before[0]);
    // A stopped process is started.
    assert_eq!(daemon.status("b:0")["state"], "STOPPED");
    assert_eq!(daemon.tm(&["restart", "b"]).code, 0);
    assert_eq!(daemon.status("b:0")["state"], "RUNNING");
}

#[test]
fn a_process_that_ignores_its_stop_signal_can_be_forced() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: '@BIN@/ignore_term', starttime: 0, stoptime: 1000,\n\
         \x20   stdout: '@DIR@/log'}\n",
    );
    wait_for_text(&daemon.path("log"), "ready");
    let output = daemon.tm(&["stop", "a", "--timeout", "300ms"]);
    assert_eq!(output.code, 124, "{output:?}");
    assert_eq!(daemon.status("a:0")["state"], "STOPPING");
    assert_eq!(daemon.tm(&["signal", "KILL", "a"]).code, 0);
    let row = daemon.wait_state("a:0", "STOPPED");
    assert_eq!(row["exit"]["signal"], 9, "{row}");
}

const TWO: &str = "programs:\n  a: {cmd: sleep 1000, starttime: 0}\n\
    \x20 b: {cmd: sleep 2000, starttime: 0}\n";

#[test]
fn a_reload_without_a_change_leaves_everything_alone() {
    let daemon = Daemon::start(TWO);
    let pids = [daemon.pid_of("a:0"), daemon.pid_of("b:0")];
    assert_eq!(daemon.tm(&["reload", "--dry-run"]).code, 0);
    assert_eq!(daemon.tm(&["reload"]).code, 0);
    assert_eq!([daemon.pid_of("a:0"), daemon.pid_of("b:0")], pids);
}

#[test]
fn a_reload_with_a_change_restarts_only_what_changed() {
    let daemon = Daemon::start(TWO);
    let pids = [daemon.pid_of("a:0"), daemon.pid_of("b:0")];
    support::write_config(daemon.dir(), &TWO.replace("2000", "3000"));
    let output = daemon.tm(&["reload", "--dry-run"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert_eq!([daemon.pid_of("a:0"), daemon.pid_of("b:0")], pids);
    let mut events = daemon.events();
    assert_eq!(daemon.tm(&["reload"]).code, 0);
    events.wait_for("b:0", "RUNNING");
    assert_eq!(daemon.pid_of("a:0"), pids[0]);
    assert_ne!(daemon.pid_of("b:0"), pids[1]);
}

#[test]
fn output_continues_through_a_pipe() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: 'for i in $(seq 500); do echo line $i; done', shell: true,\n\
         \x20   starttime: 0, autorestart: never}\n",
    );
    daemon.wait_ended("a:0");
    let mut tm = support::command("tm", daemon.dir());
    tm.args(["logs", "a"]).env("TM_SOCKET", daemon.socket());
    let mut logs = tm.stdout(Stdio::piped()).spawn().expect("tm can be run");
    let from = logs.stdout.take().expect("it is piped");
    let consumer = Command::new("sha256sum").stdin(from).output();
    let lines: String = (1..=500).map(|i| format!("line {i}\n")).collect();
    let direct = support::run_with_input(Command::new("sha256sum"), &lines);
    let consumed = consumer.expect("sha256sum is installed").stdout;
    assert_eq!(String::from_utf8_lossy(&consumed), direct.stdout);
    assert!(logs.wait().expect("it ends").success());
    // A reader that stops disturbs no other client.
    let mut tm = support::command("tm", daemon.dir());
    tm.args(["logs", "a"]).env("TM_SOCKET", daemon.socket());
    let mut logs = tm.stdout(Stdio::piped()).spawn().expect("tm can be run");
    drop(logs.stdout.take());
    assert!(support::wait_exit(&mut logs, support::PATIENCE).is_some());
    assert_eq!(daemon.tm(&["logs", "a", "-n", "1"]).stdout, "line 500\n");
}

#[test]
fn logs_are_there_after_the_end_and_over_runs() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: 'echo run; echo trouble >&2', shell: true, starttime: 0,\n\
         \x20   autorestart: never, autostart: false}\n",
    );
    assert_eq!(daemon.tm(&["logs", "a"]).stdout, "");
    for runs in 1..=3 {
        assert_eq!(daemon.tm(&["start", "a"]).code, 0);
        daemon.wait_ended("a:0");
        let of = |stream| daemon.tm(&["logs", "a", stream]).stdout;
        assert_eq!(of("--stdout"), "run\n".repeat(runs));
        assert_eq!(of("--stderr"), "trouble\n".repeat(runs));
    }
}
