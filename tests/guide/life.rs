//! Programs are started, kept alive, and their state is always known.

use crate::support::{Daemon, kill, system::zombies_of, wait_gone};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A program that fails before `starttime`, counting its attempts in a file.
fn failing(retries: u32, code: i32) -> String {
    let cmd = format!("[sh, -c, 'echo attempt >> @DIR@/attempts; exit {code}']");
    format!("programs:\n  broken: {{cmd: {cmd}, startretries: {retries}, starttime: 5}}\n")
}

#[test]
fn a_killed_program_is_back_at_once_with_another_pid() {
    let daemon = Daemon::start(
        "programs:\n  worker: {cmd: sleep 1000, numprocs: 2, starttime: 0, autorestart: always}\n",
    );
    daemon.wait_state("worker:0", "RUNNING");
    daemon.wait_state("worker:1", "RUNNING");
    let (old, sibling) = (daemon.pid_of("worker:0"), daemon.pid_of("worker:1"));
    let mut events = daemon.events();

    kill(old, Signal::KILL);

    let death = events.wait_until("the death", |event| event["exit"]["signal"] == 9);
    assert_eq!(death["process"], "worker:0");
    events.wait_for("worker:0", "RUNNING");
    assert_ne!(daemon.pid_of("worker:0"), old);
    assert_eq!(daemon.pid_of("worker:1"), sibling);
    assert_eq!(daemon.status("worker:0")["restarts"], 1);
}

#[test]
fn status_never_shows_the_dead_as_running() {
    let daemon =
        Daemon::start("programs:\n  worker: {cmd: sleep 1000, starttime: 0, autorestart: never}\n");
    for _ in 0..20 {
        // A start that waits would wait for a second, in which an exit would be a failure.
        daemon.rpc("start", json!({"targets": ["worker"], "wait": false}));
        let pid = daemon.pid_of("worker:0");
        kill(pid, Signal::KILL);
        wait_gone(pid);
        let row = daemon.status("worker:0");
        assert_eq!(row["state"], "EXITED", "{row}");
        assert_eq!(row["pid"], json!(null), "{row}");
        assert_eq!(row["exit"]["signal"], 9, "{row}");
    }
}

#[test]
fn a_program_that_fails_at_once_is_fatal_after_exactly_one_and_n_attempts() {
    let daemon = Daemon::start(&failing(2, 1));
    let row = daemon.wait_state("broken:0", "FATAL");
    assert_eq!(daemon.read("attempts").lines().count(), 3, "{row}");
    assert_eq!(row["exit"]["code"], 1, "{row}");
    assert_eq!(row["pid"], json!(null), "{row}");
}

#[test]
fn an_expected_code_before_starttime_is_a_failed_start_too() {
    let daemon = Daemon::start(&failing(1, 0));
    daemon.wait_state("broken:0", "FATAL");
    assert_eq!(daemon.read("attempts").lines().count(), 2);
}

#[test]
fn no_retries_means_one_attempt() {
    let daemon = Daemon::start(&failing(0, 1));
    daemon.wait_state("broken:0", "FATAL");
    assert_eq!(daemon.read("attempts").lines().count(), 1);
}

#[test]
fn a_start_after_fatal_counts_from_zero() {
    let daemon = Daemon::start(&failing(0, 1));
    daemon.wait_state("broken:0", "FATAL");
    let mut events = daemon.events();
    let output = daemon.tm(&["start", "broken"]);
    assert_eq!(output.code, 1, "{output:?}");
    events.wait_for("broken:0", "FATAL");
    assert_eq!(daemon.read("attempts").lines().count(), 2);
}

#[test]
fn starting_becomes_running_only_after_starttime() {
    let daemon =
        Daemon::start("programs:\n  slow: {cmd: sleep 1000, starttime: 700ms, autostart: false}\n");
    let mut events = daemon.events();
    daemon.rpc("start", json!({"targets": ["slow"], "wait": false}));
    let starting = told_at(&events.wait_for("slow:0", "STARTING"));
    let running = told_at(&events.wait_for("slow:0", "RUNNING"));
    let took = running.duration_since(starting).as_millis();
    assert!((699..5000).contains(&took), "{took} ms");
}

/// When an event happened, by the daemon's clock.
fn told_at(event: &Value) -> jiff::Timestamp {
    let text = event["ts"].as_str().expect("a time");
    text.parse().expect("RFC 3339")
}

#[test]
fn commands_that_cannot_start_are_fatal_and_say_why() {
    let daemon = Daemon::start(
        "defaults: {startretries: 0, stdout: discard, workingdir: /}\n\
         programs:\n\
         \x20 missing: {cmd: /nope/missing}\n\
         \x20 directory: {cmd: /tmp}\n\
         \x20 plain_file: {cmd: /etc/passwd}\n\
         \x20 lost: {cmd: sleep 1000, workingdir: /nope}\n",
    );
    let why = [
        ("missing:0", "No such file or directory"),
        ("directory:0", "Permission denied"),
        ("plain_file:0", "Permission denied"),
        ("lost:0", "chdir /nope: No such file or directory"),
    ];
    for (process, reason) in why {
        let row = daemon.wait_state(process, "FATAL");
        let detail = row["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(reason), "{row}");
        let output = daemon.tm(&["why", process]);
        assert!(output.stdout.contains(reason), "{output:?}");
    }
}

#[test]
fn autorestart_always_restarts_after_an_expected_exit() {
    // Open for writing as well: the next run sees no end of input while the writer has it open.
    let daemon = Daemon::start(
        r"
programs:
  worker:
    cmd: [sh, -c, 'read line 0<> @DIR@/go']
    starttime: 0
    autorestart: always
    autostart: false
",
    );
    make_fifo(&daemon);
    let mut events = daemon.events();
    daemon.rpc("start", json!({"targets": ["worker"]}));
    for round in 1..4 {
        std::fs::write(daemon.path("go"), "go\n").expect("the program reads it");
        events.wait_until("an exit", |event| event["exit"]["code"] == 0);
        events.wait_for("worker:0", "RUNNING");
        assert_eq!(daemon.status("worker:0")["restarts"], round);
    }
}

#[test]
fn autorestart_never_leaves_it_exited() {
    let daemon = Daemon::start(
        "programs:\n  once: {cmd: [sh, -c, exit 7], starttime: 0, autorestart: never}\n",
    );
    let row = daemon.wait_state("once:0", "EXITED");
    assert_eq!(row["exit"]["code"], 7, "{row}");
    assert_eq!(row["restarts"], 0, "{row}");
}

#[test]
fn autorestart_unexpected_looks_at_exitcodes() {
    let daemon = Daemon::start(
        r"
defaults: {starttime: 0, autorestart: unexpected, startretries: 0}
programs:
  expected: {cmd: [sh, -c, exit 2], exitcodes: [0, 2]}
  unexpected:
    cmd: [sh, -c, 'test -e @DIR@/second && exec sleep 1000; : > @DIR@/second; sleep 1.1; exit 3']
    exitcodes: [0, 2]
  # A death within a second counts as a failed start.
  signalled: {cmd: sleep 1000, exitcodes: [0, 9, 137], startretries: 3}
",
    );
    let row = daemon.wait_state("expected:0", "EXITED");
    assert_eq!(
        (&row["exit"]["code"], &row["restarts"]),
        (&json!(2), &json!(0))
    );

    daemon.wait_state("unexpected:0", "RUNNING");
    let mut events = daemon.events();
    if daemon.status("unexpected:0")["restarts"] == 0 {
        events.wait_for("unexpected:0", "RUNNING");
    }
    assert_eq!(daemon.status("unexpected:0")["restarts"], 1);

    daemon.wait_state("signalled:0", "RUNNING");
    let mut events = daemon.events();
    kill(daemon.pid_of("signalled:0"), Signal::KILL);
    events.wait_for("signalled:0", "RUNNING");
}

#[test]
fn no_zombie_is_left_however_many_end_at_once() {
    let daemon = Daemon::start(
        "programs:\n  short: {cmd: 'true', numprocs: 50, starttime: 0, autorestart: never}\n",
    );
    for index in 0..50 {
        daemon.wait_state(&format!("short:{index}"), "EXITED");
    }
    assert_eq!(zombies_of(daemon.pid()), Vec::<i32>::new());
}

#[test]
fn an_autostart_false_program_waits_for_the_user() {
    let daemon = Daemon::start("programs:\n  later: {cmd: sleep 1000, autostart: false}\n");
    assert_eq!(daemon.status("later:0")["state"], "STOPPED");
    assert_eq!(daemon.tm(&["status", "later"]).code, 3);
    assert_eq!(daemon.tm(&["start", "later"]).code, 0);
    assert_eq!(daemon.tm(&["status", "later"]).code, 0);
}

fn make_fifo(daemon: &Daemon) {
    let mut mkfifo = std::process::Command::new("mkfifo");
    let made = mkfifo
        .arg(daemon.path("go"))
        .status()
        .expect("mkfifo is installed");
    assert!(made.success());
}
