//! Processes that outlive the leader that started them: before a restart, in stops, and by name.

use crate::support::system::wait_for_exec;
use crate::support::{Daemon, kill, wait_for_line, wait_gone};
use rustix::process::Signal;
use serde_json::Value;

/// A leader that starts a child and waits. The child acts on SIGTERM as `trap` says.
fn with_child(trap: &str, more: &str) -> String {
    format!(
        "programs:\n  web:\n    starttime: 100ms\n{more}    cmd:\n    - sh\n    - -c\n    \
         - |\n      sh -c 'trap \"{trap}\" TERM; echo $$ > @DIR@/child.new; mv @DIR@/child.new \
         @DIR@/child; while :; do sleep 0.1; done' &\n      wait\n"
    )
}

fn child_of(daemon: &Daemon) -> i32 {
    wait_for_line(&daemon.path("child")).parse().expect("a pid")
}

fn detail(event: &Value) -> &str {
    event["detail"].as_str().unwrap_or_default()
}

#[test]
fn what_a_crash_leaves_is_asked_to_end_before_the_restart() {
    let daemon = Daemon::start(&with_child("echo asked > @DIR@/asked; exit 0", ""));
    daemon.wait_state("web:0", "RUNNING");
    let (leader, child) = (daemon.pid_of("web:0"), child_of(&daemon));
    let mut events = daemon.events();
    kill(leader, Signal::KILL);
    let event = events.wait_until("the signal", |event| {
        event["event"] == "stragglers_signalled"
    });
    let expected = format!("SIGTERM before the start: pid {child} sh -c trap");
    assert!(detail(&event).starts_with(&expected), "{event}");
    wait_gone(child);
    events.wait_for("web:0", "RUNNING");
    assert_eq!(daemon.read("asked"), "asked\n");
    daemon.wait_for_log(&expected);
    let why = daemon.tm(&["why", "web"]).stdout;
    assert!(!why.contains("killed pid"), "{why}");
}

#[test]
fn what_ignores_that_is_killed_after_stoptime_and_named() {
    let daemon = Daemon::start(&with_child(":", "    stoptime: 1\n"));
    daemon.wait_state("web:0", "RUNNING");
    let (leader, child) = (daemon.pid_of("web:0"), child_of(&daemon));
    let mut events = daemon.events();
    kill(leader, Signal::KILL);
    events.wait_until("the signal", |event| {
        event["event"] == "stragglers_signalled"
    });
    let row = daemon.status("web:0");
    assert_eq!(row["state"], "STARTING", "{row}");
    let text = detail(&row);
    assert!(
        text.contains("restart when its stragglers have ended (SIGKILL in "),
        "{row}"
    );
    assert!(
        // Its own child may be another one.
        text.contains(&format!("pid {child} sh -c trap")),
        "{row}"
    );
    let event = events.wait_until("SIGKILL", |event| {
        event["event"] == "stragglers_signalled" && detail(event).starts_with("SIGKILL")
    });
    assert!(
        detail(&event).contains(&format!("pid {child} sh -c trap")),
        "{event}"
    );
    wait_gone(child);
    events.wait_for("web:0", "RUNNING");
    let why = daemon.tm(&["why", "web"]).stdout;
    assert!(why.contains("before the restart, tmd killed"), "{why}");
    assert!(!why.contains("last stop"), "{why}");
}

#[test]
fn a_stop_meanwhile_names_what_it_kills() {
    let daemon = Daemon::start(&with_child(":", "    stoptime: 1\n"));
    daemon.wait_state("web:0", "RUNNING");
    let (leader, child) = (daemon.pid_of("web:0"), child_of(&daemon));
    let mut events = daemon.events();
    kill(leader, Signal::KILL);
    events.wait_until("the signal", |event| {
        event["event"] == "stragglers_signalled"
    });
    let output = daemon.tm(&["stop", "web"]);
    assert_eq!(output.code, 0, "{output:?}");
    wait_gone(child);
    let named = format!("killed after stoptime (1s): pid {child} sh -c trap");
    assert!(output.stdout.contains(&named), "{output:?}");
}

#[test]
fn a_leader_that_is_killed_is_named_before_what_is_below_it() {
    let yaml = "programs:\n  web:\n    starttime: 100ms\n    stoptime: 300ms\n    cmd: [sh, -c, \
                'trap \"\" TERM; sleep 1001 & echo $! > @DIR@/child; while :; do wait; done']\n";
    let daemon = Daemon::start(yaml);
    daemon.wait_state("web:0", "RUNNING");
    let (leader, child) = (daemon.pid_of("web:0"), child_of(&daemon));
    wait_for_exec(child, "sleep 1001");
    let output = daemon.tm(&["stop", "web"]);
    let named = format!("(300ms): pid {leader} sh -c trap");
    let at = output
        .stdout
        .find(&named)
        .unwrap_or_else(|| panic!("{output:?}"));
    assert!(
        output.stdout[at..].contains(&format!("pid {child} sleep 1001")),
        "{output:?}"
    );
    for pid in [leader, child] {
        let killed = format!("killing pid {pid} ");
        let log = daemon.wait_for_log(&killed);
        assert_eq!(log.matches(&killed).count(), 1, "{log}");
    }
}

#[test]
fn a_stop_counts_the_stragglers_that_it_leaves_alone() {
    let daemon = Daemon::start(
        "programs:\n  web: {cmd: [sh, -c, 'sleep 1001 & echo $! > @DIR@/child; wait'], \
         starttime: 100ms, killmode: process}\n",
    );
    daemon.wait_state("web:0", "RUNNING");
    let child = child_of(&daemon);
    let output = daemon.tm(&["stop", "web"]);
    assert!(
        output.stdout.contains("stopped by request, 1 straggler\n"),
        "{output:?}"
    );
    kill(child, Signal::TERM);
    wait_gone(child);
}

#[test]
fn a_straggler_is_shown_under_the_name_of_its_last_exec() {
    let yaml = "programs:\n  web:\n    starttime: 0\n    autorestart: never\n    cmd:\n    \
                - sh\n    - -c\n    - |\n      sh -c 'until test -e @DIR@/go; do sleep 0.05; done; \
                echo $$ > @DIR@/child; exec sleep 1001' &\n      exit 0\n";
    let daemon = Daemon::start(yaml);
    let mut events = daemon.events();
    let row = daemon.wait_state("web:0", "EXITED");
    assert!(!detail(&row).contains("sleep 1001 "), "{row}");
    std::fs::write(daemon.path("go"), "").expect("written");
    let child = child_of(&daemon);
    let cmdline = format!("/proc/{child}/cmdline");
    while std::fs::read(&cmdline).expect("it lives") != b"sleep\x001001\0" {
        std::thread::yield_now();
    }
    let row = daemon.status("web:0");
    assert!(
        detail(&row).ends_with(&format!("1 straggler: pid {child} sleep 1001")),
        "{row}"
    );
    assert_eq!(row["stragglers"][0], format!("{child} sleep 1001"), "{row}");
    assert_eq!(daemon.tm(&["stop", "web"]).code, 0);
    events.wait_for("web:0", "STOPPED");
    wait_gone(child);
}
