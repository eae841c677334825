//! Processes that belong to another, and processes that survive their daemon.

use super::support::system::wait_for_text;
use super::support::{Daemon, PATIENCE, wait_gone};
use rustix::process::Signal;
use serde_json::Value;
use std::time::Instant;

/// It daemonises when it reads a line.
const SERVER: &str = "programs:\n  server: {cmd: '@BIN@/daemonise', stdin: pipe,\n\
    stdout: '@DIR@/out', starttime: 0, autorestart: never}\n";

/// The pids of a server and its worker, which are in the background.
fn daemonised(daemon: &Daemon) -> [i32; 2] {
    let out = daemon.path("out");
    wait_for_text(&out, "ready\n");
    assert_eq!(daemon.tm(&["send", "server:0", "go"]).code, 0);
    let text = wait_for_text(&out, "worker ");
    let text = match text.ends_with('\n') {
        true => text,
        false => wait_for_text(&out, "\nworker "),
    };
    daemon.wait_ended("server:0");
    let pid = |name| {
        let mut lines = text.lines().rev();
        let pid = lines.find_map(|line| line.strip_prefix(name));
        pid.and_then(|pid| pid.parse().ok()).expect("a pid")
    };
    [pid("master "), pid("worker ")]
}

/// The row of a process once it has this many stragglers. No event reports them.
fn with_stragglers(daemon: &Daemon, process: &str, count: usize) -> Value {
    let began = Instant::now();
    loop {
        let row = daemon.status(process);
        if row["stragglers"].as_array().map_or(0, Vec::len) == count {
            return row;
        }
        assert!(began.elapsed() < PATIENCE, "{row}\n{}", daemon.log());
        std::thread::yield_now();
    }
}

#[test]
fn a_daemonised_server_is_named_and_stopped_with_its_process() {
    let daemon = Daemon::start(SERVER);
    let [master, worker] = daemonised(&daemon);
    let row = with_stragglers(&daemon, "server:0", 2);
    let detail = row["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains(&format!("2 stragglers: pid {master} ")),
        "{row}"
    );
    assert!(detail.contains("daemonise"), "{row}");
    let why = daemon.tm(&["why", "server"]).stdout;
    for pid in [master, worker] {
        assert!(why.contains(&format!("pid {pid} ")), "{why}");
    }
    let stopped = daemon.tm(&["stop", "server"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    wait_gone(master);
    wait_gone(worker);
    assert_eq!(daemon.status("server:0")["state"], "STOPPED");
}

#[test]
fn a_daemonised_server_is_stopped_before_the_next_start() {
    let daemon = Daemon::start(SERVER);
    let [master, worker] = daemonised(&daemon);
    assert_eq!(daemon.tm(&["start", "server"]).code, 0);
    wait_gone(master);
    wait_gone(worker);
}

#[test]
fn a_daemonised_server_ends_with_the_daemon() {
    let mut daemon = Daemon::start(SERVER);
    let [master, worker] = daemonised(&daemon);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_end(), 0);
    wait_gone(master);
    wait_gone(worker);
}
