//! Every way out leaves the terminal as it was.

use crate::consoles::{Console, client_pid};
use crate::support::{Daemon, kill, wait_gone};
use rustix::process::Signal;

/// A program that turns everything on that can be forgotten.
const FULL: &str = r#"programs:
  full:
    cmd:
      - sh
      - -c
      - |
        printf "\033[?1049h\033[?1h\033=\033[?1003h\033[?1006h\033[?1004h\033[?2004h"
        printf "\033[>1u\033[>4;2m\033[3;10r\033(0\033[4 q\033[?25l\033[31m\033]2;mine\007"
        echo fullscreen
        exec cat
    tty: true
    starttime: 0
"#;

/// What has to reach the terminal for modes that the model of the tests does not know.
const UNDONE: [&str; 7] = [
    "\x1b[?1004l",
    "\x1b[<1u",
    "\x1b[>4m",
    "\x1b[r",
    "\x1b(B",
    "\x1b[0 q",
    "\x1b[23;2t",
];

fn in_full_screen(daemon: &Daemon) -> Console {
    let mut console = Console::attach(daemon, "full:0");
    console
        .terminal
        .expect_screen("the program's modes", |screen| !screen.is_empty());
    console.expect_bytes(b"\x1b[?25l");
    console.expect_bytes(b"\x1b[?2004h");
    console
}

fn assert_undone(console: &Console, after: usize) {
    let last = String::from_utf8_lossy(&console.terminal.raw()[after..]).into_owned();
    for undone in UNDONE {
        assert!(last.contains(undone), "{undone:?} is missing in {last:?}");
    }
}

#[test]
fn by_the_chord() {
    let daemon = Daemon::start(FULL);
    let mut console = in_full_screen(&daemon);
    let mark = console.terminal.raw().len();
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    assert_undone(&console, mark);
    assert_eq!(daemon.status("full:0")["state"], "RUNNING");
}

#[test]
fn by_signals_to_the_client() {
    let daemon = Daemon::start(FULL);
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let mut console = in_full_screen(&daemon);
        let mark = console.terminal.raw().len();
        kill(client_pid(&daemon, "full:0"), signal);
        assert_eq!(console.wait_over(), 128 + signal.as_raw(), "{signal:?}");
        assert_undone(&console, mark);
    }
    assert_eq!(daemon.status("full:0")["state"], "RUNNING");
}

#[test]
fn by_the_death_of_the_daemon() {
    let mut daemon = Daemon::start(FULL);
    let mut console = in_full_screen(&daemon);
    let mark = console.terminal.raw().len();
    let process = daemon.pid_of("full:0");
    daemon.signal(Signal::KILL);
    assert_eq!(console.wait_over(), 255);
    assert!(console.terminal.contents().contains("the daemon is gone"));
    assert_undone(&console, mark);
    drop(console);
    // Its terminal is hung up.
    wait_gone(process);
    assert_eq!(daemon.wait_end(), 128 + 9);
}

#[test]
fn by_an_orderly_end_of_the_daemon() {
    let mut daemon = Daemon::start(FULL);
    let mut console = in_full_screen(&daemon);
    daemon.signal(Signal::TERM);
    console.wait_over();
    drop(console);
    assert_eq!(daemon.wait_end(), 0);
}

#[test]
fn by_detaching_from_elsewhere() {
    let daemon = Daemon::start(FULL);
    let mut console = in_full_screen(&daemon);
    let mark = console.terminal.raw().len();
    let output = daemon.tm(&["detach", "full:0"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(console.wait_over(), 0);
    assert_undone(&console, mark);
}

#[test]
fn by_the_end_of_the_process() {
    let daemon = Daemon::start(FULL);
    let mut console = in_full_screen(&daemon);
    let mark = console.terminal.raw().len();
    daemon.tm(&["stop", "full"]);
    console.wait_over();
    assert_undone(&console, mark);
}

#[test]
fn a_terminal_that_hangs_up_detaches() {
    let daemon = Daemon::start(FULL);
    let console = in_full_screen(&daemon);
    let client = client_pid(&daemon, "full:0");
    drop(console);
    wait_gone(client);
    assert_eq!(daemon.status("full:0")["state"], "RUNNING");
}
