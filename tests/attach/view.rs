//! Lines that left the screen, in the scrollback of the user's own terminal.

use crate::consoles::{Console, contains};
use crate::support::{Daemon, wait_for_line};

const PAST: &str = r#"programs:
  past:
    cmd: [sh, -c, 'seq -f "old %g" 100; echo done > @DIR@/done; exec cat']
    tty: true
    starttime: 0
  full:
    cmd: [sh, -c, 'seq -f "old %g" 100; printf "\033[?1049h\033[H\033[?1003hdrawn";
          echo done > @DIR@/full; exec cat']
    tty: true
    starttime: 0
  pipe: {cmd: [sh, -c, 'echo here; exec sleep 1000'], starttime: 0}
"#;

/// Returns the terminal's output after `mark`, as text.
fn since(console: &Console, mark: usize) -> String {
    String::from_utf8_lossy(&console.terminal.raw()[mark..]).into_owned()
}

#[test]
fn the_history_enters_the_terminals_scrollback_and_a_key_returns() {
    let daemon = Daemon::start(PAST);
    wait_for_line(&daemon.path("done"));
    let mut console = Console::attach(&daemon, "--no-replay past:0");
    console.terminal.expect("detaches");
    assert!(!contains(console.terminal.raw(), b"old 5"));
    console.terminal.send("\x01[");
    console.terminal.expect("history of past:0, 77 lines");
    for line in ["old 1\r\n", "old 50\r\n", "old 100"] {
        assert!(contains(console.terminal.raw(), line.as_bytes()), "{line}");
    }
    console.terminal.send("x");
    console.terminal.expect_screen("the console", |screen| {
        screen.ends_with("old 99\nold 100") && !screen.contains("history of")
    });
    // The view consumed the key, not the process.
    console.terminal.send("typed\r");
    console.terminal.expect("old 100\ntyped\ntyped");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn the_history_leaves_the_alternate_screen_and_returns_to_it() {
    let daemon = Daemon::start(PAST);
    wait_for_line(&daemon.path("full"));
    let mut console = Console::attach(&daemon, "full:0");
    console.terminal.expect("drawn");
    assert!(console.terminal.screen().alternate_screen());
    let mark = console.terminal.raw().len();
    console.terminal.send("\x01[");
    console.terminal.expect("history of full:0");
    assert!(!console.terminal.screen().alternate_screen());
    let mouse = console.terminal.screen().mouse_protocol_mode();
    assert_eq!(mouse, vt100::MouseProtocolMode::None);
    let seen = since(&console, mark);
    for line in ["old 1\r\n", "old 50\r\n", "old 100\r\n"] {
        assert!(seen.contains(line), "{line:?} in {seen:?}");
    }
    console.terminal.send(" ");
    console
        .terminal
        .expect_screen("the process's screen", |screen| screen == "drawn");
    assert!(console.terminal.screen().alternate_screen());
    console.expect_bytes(b"\x1b[?1003h");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn returning_does_not_write_the_history_again() {
    let daemon = Daemon::start(PAST);
    wait_for_line(&daemon.path("done"));
    let mut console = Console::attach(&daemon, "past:0");
    console.terminal.expect("old 100");
    let mark = console.terminal.raw().len();
    console.terminal.send("\x01?");
    console.terminal.expect("press space to continue");
    assert!(
        console
            .terminal
            .contents()
            .contains("scrolled off the screen")
    );
    console.terminal.send(" ");
    console.terminal.expect_screen("the console", |screen| {
        screen.ends_with("old 99\nold 100") && !screen.contains("press space")
    });
    assert!(!since(&console, mark).contains("old 50"));
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn a_signal_ends_a_view_as_it_ends_the_client() {
    let daemon = Daemon::start(PAST);
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::USR1] {
        let mut console = Console::attach(&daemon, "past:0");
        console.terminal.expect("detaches");
        let client = crate::consoles::client_pid(&daemon, "past:0");
        console.terminal.send("\x01[");
        console.terminal.expect("history of");
        crate::support::kill(client, signal);
        assert_eq!(console.wait_over(), 128 + signal.as_raw());
    }
}

#[test]
fn a_peek_includes_history_only_on_request() {
    let daemon = Daemon::start(PAST);
    wait_for_line(&daemon.path("done"));
    let plain = daemon.rpc("peek", serde_json::json!({"process": "past:0"}));
    assert!(plain.get("history").is_none(), "{plain}");
    let params = serde_json::json!({"process": "past:0", "history": 7});
    let reply = daemon.rpc("peek", params);
    let history = reply["history"].as_array().expect("the history");
    assert_eq!((history.len(), &history[6]), (7, &"old 77".into()));
    daemon.wait_state("pipe:0", "RUNNING");
    let params = serde_json::json!({"process": "pipe:0", "history": 7});
    let reply = daemon.rpc("peek", params);
    assert!(reply.get("history").is_none(), "{reply}");
}
