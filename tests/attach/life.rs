//! The console outlives the run, and ends with the process.

use crate::consoles::{Console, ECHO};
use crate::support::{Daemon, kill};
use rustix::process::Signal;

#[test]
fn a_restart_is_announced_and_the_new_run_is_shown() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::attach(&daemon, "line:0");
    console.terminal.expect("ready");
    kill(daemon.pid_of("line:0"), Signal::KILL);
    console
        .terminal
        .expect("[line:0 killed by SIGKILL; restart");
    console.terminal.expect_screen("the new run", |screen| {
        let after = screen.split("[line:0 ").last().unwrap_or_default();
        after.contains("ready")
    });
    console.terminal.send("new\r");
    console.terminal.expect("echo: new");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn the_delay_before_a_restart_is_announced() {
    let daemon = Daemon::start(
        "programs:\n  late: {cmd: [sh, -c, 'read x; exit 3'], tty: true, starttime: 60,\n\
         \x20   restart: {jitter: 0}}\n",
    );
    let mut console = Console::attach(&daemon, "late:0");
    console.terminal.send("\r");
    console
        .terminal
        .expect("[late:0 exited with code 3; restart in 1.0s]");
    console.terminal.expect("[late:0 starting again]");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn modes_left_on_by_a_crash_do_not_hide_the_notice() {
    let daemon = Daemon::start(
        r#"programs:
  full:
    cmd: [sh, -c, 'printf "\033[?1049h\033[?25lfull"; read x; exit 3']
    tty: true
    starttime: 60
    restart: {jitter: 0}
"#,
    );
    let mut console = Console::attach(&daemon, "full:0");
    console.terminal.expect("full");
    console.terminal.send("\r");
    console
        .terminal
        .expect("[full:0 exited with code 3; restart in 1.0s]");
    assert!(!console.terminal.screen().alternate_screen());
    console.terminal.expect("full");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    assert!(console.terminal.contents().contains("exited with code 3"));
}

#[test]
fn the_console_ends_with_the_process_and_its_code() {
    let program = |rest: &str| format!("programs:\n  once: {{tty: true, starttime: 0, {rest}}}\n");
    let code = program("autorestart: never, cmd: [sh, -c, 'read x; exit 7']");
    let signal = program("autorestart: never, cmd: [sh, -c, 'read x; kill -9 $$']");
    for (yaml, wanted) in [(code, 7), (signal, 137)] {
        let daemon = Daemon::start(&yaml);
        let mut console = Console::attach(&daemon, "once:0");
        console.terminal.send("\r");
        assert_eq!(console.wait_over(), wanted);
    }
}

#[test]
fn until_exit_ends_with_the_run() {
    let daemon = Daemon::start(
        "programs:\n  again: {cmd: [sh, -c, 'read x; exit $x'], tty: true, starttime: 0,\n\
         \x20   autorestart: always, exitcodes: [9]}\n",
    );
    let mut console = Console::attach(&daemon, "--until-exit again:0");
    console.terminal.send("9\r");
    assert_eq!(console.wait_over(), 9);
    let mut console = Console::attach(&daemon, "--until-exit again:0");
    console.terminal.expect("detaches");
    kill(daemon.pid_of("again:0"), Signal::TERM);
    assert_eq!(console.wait_over(), 128 + 15);
    let screen = console.terminal.contents();
    assert!(
        screen.contains("[again:0 killed by SIGTERM; restart"),
        "{screen}"
    );
}

#[test]
fn giving_up_ends_the_console_with_the_reason() {
    let daemon = Daemon::start(
        "programs:\n  bad: {cmd: [sh, -c, 'read x; exit 4'], tty: true, starttime: 60, \
         startretries: 0}\n",
    );
    let mut console = Console::attach(&daemon, "bad:0");
    console.terminal.send("\r");
    assert_eq!(console.wait_over(), 4);
    let screen = console.terminal.contents();
    assert!(screen.contains("gave up after 1 attempt"), "{screen}");
}

#[test]
fn a_process_not_yet_started_is_waited_for() {
    let daemon = Daemon::start(
        "programs:\n  later: {cmd: '@BIN@/echo_tty line', tty: true, autostart: false, \
         starttime: 0}\n",
    );
    let mut console = Console::sized(&daemon, "later:0", 20, 60);
    console.terminal.expect("detaches");
    assert_eq!(daemon.tm(&["start", "later"]).code, 0);
    console.terminal.expect("size 20 60");
    console.terminal.send("hello\r");
    console.terminal.expect("echo: hello");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn a_process_that_is_removed_ends_its_console() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::attach(&daemon, "line:0");
    console.terminal.expect("ready");
    daemon.reload_with("programs:\n  raw: {cmd: '@BIN@/echo_tty raw', tty: true, starttime: 0}\n");
    // The exit code is 128 + signal, as in a shell.
    assert_eq!(console.wait_over(), 143);
    let screen = console.terminal.contents();
    assert!(screen.contains("removed"), "{screen}");
}

#[test]
fn a_process_that_is_scaled_away_ends_its_console_with_its_code() {
    let daemon = Daemon::start(
        "programs:\n  num: {cmd: [sh, -c, 'trap \"exit 5\" TERM; echo ready; while :; do read x; \
         done'], tty: true, stopsignal: TERM, starttime: 0, numprocs: 2}\n",
    );
    let mut console = Console::attach(&daemon, "--until-exit num:1");
    console.terminal.expect("ready");
    assert_eq!(daemon.tm(&["scale", "num=1"]).code, 0);
    assert_eq!(console.wait_over(), 5);
}

#[test]
fn a_failed_start_prints_the_delay_once() {
    let daemon = Daemon::start(
        "programs:\n  ex: {cmd: /nonexistent/prog, tty: true, autostart: false, startretries: 1}\n",
    );
    let mut console = Console::attach(&daemon, "ex:0");
    console.terminal.expect("detaches");
    daemon.tm(&["start", "--no-wait", "ex"]);
    console
        .terminal
        .expect("[ex:0: exec /nonexistent/prog: No such file or directory, retry 1 of 1 in 1.0s]");
    assert_eq!(console.wait_over(), 1);
}
