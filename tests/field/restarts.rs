//! Automatic starts: failed starts, rows of short runs, and their delays.

use crate::support::Daemon;
use rustix::process::Signal;
use serde_json::json;
use std::time::{Duration, Instant};

/// Appends a line to the file `runs`, then ends with a code.
fn one_shot(code: u8, more: &str) -> String {
    format!("programs:\n  job: {{cmd: [sh, -c, \"echo x >> @DIR@/runs; exit {code}\"], {more}}}\n")
}

fn runs(daemon: &Daemon) -> usize {
    daemon.read("runs").lines().count()
}

#[test]
fn an_unexpected_exit_at_once_is_a_failed_start_even_with_starttime_0() {
    let daemon = Daemon::start(&one_shot(3, "starttime: 0, startretries: 1"));
    let row = daemon.wait_state("job:0", "BACKOFF");
    let detail = row["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with("exit 3 after"), "{row}");
    assert!(detail.contains("retry 1 of 1 in"), "{row}");
    let row = daemon.wait_state("job:0", "FATAL");
    assert_eq!(row["exit"]["code"], 3, "{row}");
    assert_eq!(runs(&daemon), 2);
    assert_eq!(daemon.tm(&["status"]).code, 3);
}

#[test]
fn start_reports_a_one_shot_that_fails_at_once() {
    let more = "starttime: 0, startretries: 0, autostart: false";
    for more in [
        more.to_string(),
        format!("{more}, autorestart: never"),
        format!("{more}, autorestart: always"),
    ] {
        let daemon = Daemon::start(&one_shot(1, &more));
        let output = daemon.tm(&["start", "job"]);
        assert_eq!(output.code, 1, "{more}: {output:?}");
        assert!(output.stdout.contains("exit 1"), "{more}: {output:?}");
    }
}

#[test]
fn up_reports_a_one_shot_that_fails_at_once() {
    let more = "starttime: 0, startretries: 0, autostart: false";
    let daemon = Daemon::start(&one_shot(1, more));
    daemon.reload_with(&one_shot(1, "starttime: 0, startretries: 0"));
    let config = daemon.path("taskmaster.yaml");
    let config = config.to_str().expect("UTF-8");
    let output = daemon.tm(&["up", "-d", "-c", config]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains("exit 1"), "{output:?}");
}

#[test]
fn a_one_shot_that_is_done_has_started() {
    let daemon = Daemon::start(&one_shot(0, "starttime: 0, autostart: false"));
    let output = daemon.tm(&["start", "job"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("exit 0"), "{output:?}");
    assert_eq!(daemon.tm(&["restart", "job"]).code, 0);
    assert_eq!(runs(&daemon), 2);
}

#[test]
fn nothing_is_restarted_in_a_busy_loop() {
    let began = Instant::now();
    let daemon = Daemon::start(&one_shot(0, "starttime: 0, autorestart: always"));
    let row = daemon.wait_state("job:0", "BACKOFF");
    assert_eq!(runs(&daemon), 4, "{row}");
    let detail = row["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("flapping"), "{row}");
    let why = daemon.tm(&["why", "job"]).stdout;
    assert!(why.contains("flapping"), "{why}");
    assert_eq!(daemon.tm(&["status"]).code, 3);
    let mut events = daemon.events();
    events.wait_for("job:0", "STARTING");
    events.wait_for("job:0", "BACKOFF");
    events.wait_for("job:0", "STARTING");
    assert!(began.elapsed() >= Duration::from_secs(3));
    assert!(runs(&daemon) <= 6, "{} runs", runs(&daemon));
}

#[test]
fn start_reports_a_process_that_ends_again_and_again() {
    let more = "starttime: 0, autorestart: always, autostart: false";
    let daemon = Daemon::start(&one_shot(0, more));
    let output = daemon.tm(&["start", "job"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains("flapping"), "{output:?}");
}

#[test]
fn a_killed_process_is_back_at_once_until_it_flaps() {
    let daemon = Daemon::start("programs:\n  web: {cmd: sleep 1000, starttime: 100ms}\n");
    let mut events = daemon.events();
    daemon.wait_state("web:0", "RUNNING");
    for _ in 0..3 {
        daemon.rpc("signal", json!({"targets": ["web"], "signal": "KILL"}));
        events.wait_for("web:0", "STARTING");
        events.wait_for("web:0", "RUNNING");
    }
    daemon.rpc("signal", json!({"targets": ["web"], "signal": "KILL"}));
    events.wait_for("web:0", "BACKOFF");
    // An explicit start does not wait, and begins a new row.
    assert_eq!(daemon.tm(&["start", "web"]).code, 0);
    assert_eq!(daemon.status("web:0")["restarts"], 0);
}

#[test]
fn the_delays_of_restarts_apply_live() {
    let yaml = |delay: &str| {
        format!(
            "programs:\n  web: {{cmd: sleep 1000, starttime: 100ms, \
             restart: {{initial_delay: {delay}, max_delay: 1h}}}}\n"
        )
    };
    let daemon = Daemon::start(&yaml("30m"));
    daemon.wait_state("web:0", "RUNNING");
    let pid = daemon.pid_of("web:0");
    daemon.rpc("signal", json!({"targets": ["web"], "signal": "KILL"}));
    let row = daemon.wait_state("web:0", "BACKOFF");
    let detail = row["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("restart in 29m"), "{row}");
    let mut events = daemon.events();
    daemon.reload_with(&yaml("0"));
    events.wait_for("web:0", "RUNNING");
    assert_ne!(daemon.pid_of("web:0"), pid);
    daemon.signal(Signal::HUP);
}

#[test]
fn a_restart_that_a_stop_overtakes_is_answered() {
    // It ignores its stop signal, so the stop arrives before the new start.
    let daemon = Daemon::start(
        "programs:\n  web: {cmd: sleep 1000, starttime: 0, stopsignal: WINCH, stoptime: 1s}\n",
    );
    daemon.wait_state("web:0", "RUNNING");
    let (mut restarting, mut stopping) = (daemon.control(), daemon.control());
    let request = |method: &str| {
        let params = json!({"targets": ["web"]});
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string() + "\n"
    };
    for (control, method) in [(&mut restarting, "restart"), (&mut stopping, "stop")] {
        let sent = control.send_bytes(request(method).as_bytes());
        sent.expect("the daemon takes it");
    }
    let answer = restarting.read_line().expect("an answer").to_string();
    assert!(answer.contains("stopped by request"), "{answer}");
    let answer = stopping.read_line().expect("an answer").to_string();
    assert!(answer.contains("\"STOPPED\""), "{answer}");
}
