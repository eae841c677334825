//! Logs and events between two runs, and at the daemon's end.

use super::support::Daemon;
use super::wait_for_text;
use serde_json::json;

/// Runs `a:0` again after its end.
fn again(daemon: &Daemon) {
    daemon.rpc("start", json!({"targets": ["a:0"], "wait": false}));
    daemon.wait_ended("a:0");
}

#[test]
fn a_run_begins_on_a_line_of_its_own() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: \"sh -c 'printf out; printf err >&2; exit 3'\", starttime: 0,\n\
         \x20   autorestart: never, stdout: '@DIR@/out', stderr: '@DIR@/err'}\n",
    );
    daemon.wait_ended("a:0");
    again(&daemon);
    again(&daemon);
    assert_eq!(
        daemon.read("out"),
        "out\nout\nout",
        "the last stays as it is"
    );
    assert_eq!(daemon.read("err"), "err\nerr\nerr");
    let logs = daemon.tm(&["logs", "a", "--stdout"]).stdout;
    assert_eq!(logs.trim_end(), "out\nout\nout");
}

#[test]
fn whole_lines_get_nothing_between_two_runs() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: \"sh -c 'echo out; echo err >&2'\", starttime: 0,\n\
         \x20   autorestart: never, stdout: '@DIR@/out', stderr: stdout}\n",
    );
    daemon.wait_ended("a:0");
    again(&daemon);
    assert_eq!(daemon.read("out"), "out\nerr\nout\nerr\n");
}

#[test]
fn runs_are_apart_in_a_log_that_others_share() {
    let daemon = Daemon::start(
        "defaults: {starttime: 0, autorestart: never, stdout: '@DIR@/log'}\n\
         programs:\n  a: {cmd: printf last}\n  b: {cmd: 'true'}\n",
    );
    daemon.wait_ended("a:0");
    again(&daemon);
    again(&daemon);
    assert_eq!(daemon.read("log"), "last\nlast\nlast\n");
    assert_eq!(
        daemon.tm(&["logs", "a"]).stdout.trim_end(),
        "last\nlast\nlast"
    );
}

#[test]
fn a_terminals_run_begins_on_a_line_of_its_own() {
    let daemon = Daemon::start(
        "programs:\n  a: {cmd: \"printf 'half\\\\033[31mred'\", starttime: 0, tty: true,\n\
         \x20   autorestart: never, stdout: '@DIR@/log'}\n",
    );
    daemon.wait_ended("a:0");
    again(&daemon);
    let text = wait_for_text(&daemon, "log", |text| text.matches("red").count() == 2);
    assert_eq!(text, "half\x1b[31mred\x1b[m\r\nhalf\x1b[31mred");
}

#[test]
fn all_is_announced_and_logged_before_the_daemon_ends() {
    for _ in 0..3 {
        let mut daemon = Daemon::start(
            "daemon: {log: {file: '@DIR@/daemon.log'}}\n\
             programs:\n  f:\n\
             \x20   {cmd: [sh, -c, 'trap \"echo bye; exit\" TERM; echo up; read forever'],\n\
             \x20   numprocs: 40, stdin: pipe,\n\
             \x20   stdout: '@DIR@/f{instance}.log', starttime: 0, stoptime: 1}\n",
        );
        for index in 0..40 {
            daemon.wait_state(&format!("f:{index}"), "RUNNING");
        }
        let mut events = daemon.events();
        daemon.rpc("shutdown", json!({}));
        for _ in 0..40 {
            events.wait_until("the next end", |event| event["to"] == "STOPPED");
        }
        let pid = daemon.pid();
        assert_eq!(daemon.wait_end(), 0);
        let log = daemon.read("daemon.log");
        assert_eq!(log.matches("STOPPING -> STOPPED").count(), 40, "{log}");
        let last = log.lines().last().unwrap_or_default();
        assert!(last.ends_with(&format!("tmd pid {pid} ended")), "{log}");
    }
}

#[test]
fn a_client_that_does_not_read_does_not_hold_the_end_up() {
    let mut daemon = Daemon::start(
        "programs:\n  a: {cmd: \"@BIN@/flood 3000000 100\", starttime: 0, buffer: 4MiB,\n\
         \x20   autorestart: never}\n",
    );
    daemon.wait_ended("a:0");
    let mut frozen = daemon.control();
    let follow = json!({"targets": ["a"], "follow": true});
    frozen.call("logs", follow).expect("it may follow");
    daemon.rpc("shutdown", json!({}));
    assert_eq!(daemon.wait_end(), 0);
    drop(frozen);
}
