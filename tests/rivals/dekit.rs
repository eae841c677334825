//! Shows a dead process as ready while a grandchild holds its terminal.

use super::support::{Daemon, PATIENCE, kill, system::is_alive, wait_for_line};
use rustix::process::Signal;
use std::time::Instant;

#[test]
fn a_dead_leader_is_not_running_because_a_grandchild_holds_its_terminal() {
    let daemon = Daemon::start(
        // Ready only in its own session, since the hang-up would reach it before.
        "programs:\n  a:\n    cmd: \"setsid sh -c 'echo up > @DIR@/up; exec sleep 1000' &\n\
         \x20     exec sleep 1000\"\n    shell: true\n    tty: true\n    starttime: 0\n\
         \x20   autorestart: never\n",
    );
    wait_for_line(&daemon.path("up"));
    let pid = daemon.pid_of("a:0");
    let mut events = daemon.events();
    kill(pid, Signal::KILL);
    events.wait_for("a:0", "EXITED");
    let row = daemon.status("a:0");
    assert_eq!(
        (&row["state"], row["pid"].as_i64()),
        (&"EXITED".into(), None)
    );
    let mut row = row;
    let began = Instant::now();
    while row["stragglers"].as_array().is_none_or(Vec::is_empty) {
        // The daemon looks for stragglers at the end of the turn that reported the death.
        assert!(began.elapsed() < PATIENCE, "{row}");
        row = daemon.status("a:0");
    }
    let straggler = row["stragglers"][0].as_str().unwrap_or_default();
    assert!(straggler.ends_with("sleep 1000"), "{row}");
    let number = straggler.split(' ').next().and_then(|pid| pid.parse().ok());
    assert!(is_alive(number.expect("a pid")), "{row}");
    assert_eq!(daemon.tm(&["status", "a"]).code, 3);
}
