//! The control shell: from a pipe, and on a terminal with editing, history and completion.

use crate::support::Daemon;
use rustix::process::Signal;
use std::sync::{Mutex, MutexGuard, PoisonError};

const CONFIG: &str = "programs:\n  worker: {cmd: sleep 1000, numprocs: 2, starttime: 0}\n  \
    zebra: {cmd: sleep 1000, autostart: false, starttime: 0}\n";

/// As root, all shells on a terminal share one history, so tests of it run one at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn verbs_come_from_a_pipe() {
    let daemon = Daemon::start(CONFIG);
    daemon.wait_state("worker:1", "RUNNING");
    let output = daemon.tm_with_input(&[], "status\n");
    assert!(
        output.stdout.contains("worker:1") && output.stdout.contains("RUNNING"),
        "{output:?}"
    );
    let output = daemon.tm_with_input(&[], "stop worker:0\nstart zebra\nstatus\nquit\n");
    assert!(output.stdout.contains("STOPPED"), "{output:?}");
    assert_eq!(daemon.status("worker:0")["state"], "STOPPED");
    assert_eq!(daemon.status("zebra:0")["state"], "RUNNING");
}

#[test]
fn an_unknown_verb_in_the_shell_is_named_and_the_shell_continues() {
    let daemon = Daemon::start(CONFIG);
    let output = daemon.tm_with_input(&[], "statsu\nversion\n");
    let all = format!("{}{}", output.stdout, output.stderr);
    assert!(
        all.contains("statsu") && all.contains("status"),
        "did you mean: {output:?}"
    );
    assert!(all.contains(env!("CARGO_PKG_VERSION")), "{output:?}");
}

#[test]
fn a_line_can_be_edited() {
    let _alone = alone();
    let daemon = Daemon::start(CONFIG);
    daemon.wait_state("worker:0", "RUNNING");
    let mut shell = daemon.terminal(&["tm"], 24, 100);
    shell.expect_screen("the prompt", at_prompt);
    shell.send("statsu\x7f\x7fus worker:0");
    shell.expect("status worker:0");
    // To the start of the line, one word forward, and back to the end.
    shell.send("\x01\x05\r");
    shell.expect("RUNNING");
    shell.send("quit\r");
    assert_eq!(shell.wait_end(), 0);
}

#[test]
fn history_comes_back_with_arrow_up_also_the_next_time() {
    let _alone = alone();
    let daemon = Daemon::start(CONFIG);
    daemon.wait_state("worker:0", "RUNNING");
    let mut shell = daemon.terminal(&["tm"], 24, 100);
    shell.expect_screen("the prompt", at_prompt);
    shell.send("status worker:0\r");
    shell.expect("RUNNING");
    shell.expect_screen("the prompt again", at_prompt);
    shell.send("version\r");
    shell.expect("tmd 0.1.0 (protocol");
    shell.expect_screen("the prompt again", at_prompt);
    shell.send("\x1b[A\x1b[A");
    shell.expect_screen("the first line again", |screen| {
        screen
            .trim_end()
            .lines()
            .last()
            .is_some_and(|line| line.ends_with("status worker:0"))
    });
    shell.send("\r");
    shell.send("quit\r");
    assert_eq!(shell.wait_end(), 0);

    let mut shell = daemon.terminal(&["tm"], 24, 100);
    shell.expect_screen("the prompt", at_prompt);
    shell.send("\x1b[A");
    shell.expect("tm> status worker:0");
}

/// Whether the prompt is shown. The editor does not see input typed before it.
pub fn at_prompt(screen: &str) -> bool {
    screen.trim_end().ends_with("tm>")
}

#[test]
fn verbs_and_live_names_are_completed() {
    let _alone = alone();
    let daemon = Daemon::start(CONFIG);
    let mut shell = daemon.terminal(&["tm"], 24, 100);
    shell.expect_screen("the prompt", at_prompt);
    shell.send("statu\t");
    shell.expect("status");
    shell.send("zeb\t");
    shell.expect("status zebra");
    shell.send("\x15");
    shell.send("quit\r");
    assert_eq!(shell.wait_end(), 0);
}

#[test]
fn events_appear_without_disturbing_the_line() {
    let _alone = alone();
    let daemon = Daemon::start(CONFIG);
    let mut shell = daemon.terminal(&["tm"], 24, 100);
    shell.expect_screen("the prompt", at_prompt);
    shell.send("statu");
    shell.expect("tm> statu");
    daemon.wait_state("worker:0", "RUNNING");
    crate::support::kill(daemon.pid_of("worker:0"), Signal::KILL);
    shell.expect("worker:0");
    shell.send("s zebra\r");
    shell.expect("STOPPED");
    shell.send("quit\r");
    assert_eq!(shell.wait_end(), 0);
}

#[test]
fn events_wait_for_the_end_of_a_verb_and_do_not_repeat_it() {
    let _alone = alone();
    let daemon = Daemon::start(
        "programs:\n  slow: {cmd: [sh, -c, 'trap \"exec sleep 0.7\" TERM; echo up >@DIR@/up; \
         while :; do sleep 0.01; done'], starttime: 0}\n  other: {cmd: sleep 1000, starttime: 0}\n",
    );
    crate::support::wait_for_line(&daemon.path("up"));
    let mut shell = daemon.terminal(&["tm"], 24, 100);
    shell.expect_screen("the prompt", at_prompt);
    shell.send("stop slow\r");
    shell.expect("waiting for 1: slow:0");
    crate::support::kill(daemon.pid_of("other:0"), Signal::KILL);
    shell.expect_screen("the outcome, then the event", |screen| {
        let outcome = screen.find("slow:0: stopped by request");
        let event = screen.find("other:0  RUNNING → ");
        outcome.is_some() && outcome < event
    });
    assert!(
        !shell.contents().contains("slow:0  "),
        "{}",
        shell.contents()
    );
    shell.send("quit\r");
    assert_eq!(shell.wait_end(), 0);
}

#[test]
fn quit_leaves_the_shell_and_shutdown_ends_the_daemon() {
    let _alone = alone();
    let mut daemon = Daemon::start(CONFIG);
    let mut shell = daemon.terminal(&["tm"], 24, 100);
    shell.expect("tm");
    shell.send("quit\r");
    assert_eq!(shell.wait_end(), 0);
    daemon.status("worker:0");

    let mut shell = daemon.terminal(&["tm"], 24, 100);
    shell.expect("tm");
    shell.send("shutdown\r");
    shell.wait_end();
    assert!(
        !shell.contents().contains("STOPPING"),
        "{}",
        shell.contents()
    );
    assert_eq!(daemon.wait_end(), 0);
}
