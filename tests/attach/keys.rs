//! The chord, and everything that only looks like it.

use crate::consoles::{Console, ECHO};
use crate::support::{Daemon, Terminal};
use rustix::process::Signal;
use rustix::termios::LocalModes;

fn attached(daemon: &Daemon, arguments: &str) -> Console {
    let mut console = Console::attach(daemon, arguments);
    console.terminal.expect("ready");
    console
}

#[test]
fn the_chord_may_come_in_pieces() {
    let daemon = Daemon::start(ECHO);
    let mut console = attached(&daemon, "raw:0");
    // The echo shows that the client has read the prefix behind it, too.
    console.terminal.send("<x>\x01");
    console.expect_bytes(b"<x>");
    console.terminal.send("d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn the_chord_is_known_in_other_encodings() {
    for keys in [
        "\x1b[97;5u\x1b[100;1u",
        "\x1b[27;5;97~d",
        "\x1b[97;133u\x1b[97;133:3ud",
    ] {
        let daemon = Daemon::start(ECHO);
        let mut console = attached(&daemon, "raw:0");
        console.terminal.send(keys);
        assert_eq!(console.wait_over(), 0, "{keys:?}");
    }
}

#[test]
fn the_prefix_twice_or_with_a_is_the_prefix_itself() {
    let daemon = Daemon::start(ECHO);
    let mut console = attached(&daemon, "raw:0");
    console.terminal.send("<\x01\x01|\x01a|\x01x>");
    console.expect_bytes(b"<\x01|\x01|\x01x>");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn a_pasted_chord_is_text() {
    let daemon = Daemon::start(ECHO);
    let mut console = attached(&daemon, "raw:0");
    console.terminal.send("\x1b[?2004hon<");
    console.expect_bytes(b"on<");
    console.terminal.send("\x1b[200~a\x01db\x1b[201~");
    console.expect_bytes(b"a\x01db");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn other_keys_may_leave_and_are_named() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::attach(&daemon, "--detach-keys ctrl-p,ctrl-q raw:0");
    console.terminal.expect("ctrl-p ctrl-q detaches");
    console.terminal.send("<\x01d>");
    console.expect_bytes(b"<\x01d>");
    console.terminal.send("\x10\x11");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn without_detach_keys_only_others_detach_the_client() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::attach(&daemon, "--detach-keys none raw:0");
    console
        .terminal
        .expect("to detach, run in another terminal: tm detach");
    console.terminal.send("<\x01d>");
    console.expect_bytes(b"<\x01d>");
    assert_eq!(daemon.tm(&["detach", "raw:0"]).code, 0);
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn wrong_keys_are_refused_with_a_message() {
    let daemon = Daemon::start(ECHO);
    let output = daemon.tm(&["attach", "--detach-keys", "ctrl-ü", "raw:0"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("ctrl-ü"), "{output:?}");
}

#[test]
fn help_is_shown_and_the_screen_comes_back() {
    let daemon = Daemon::start(ECHO);
    let mut console = attached(&daemon, "line:0");
    console.terminal.send("\x01?");
    console.terminal.expect("press space to continue");
    assert!(console.terminal.contents().contains("next or previous"));
    console.terminal.send(" ");
    console.terminal.expect_screen("the console", |screen| {
        screen.contains("ready") && !screen.contains("press space")
    });
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn next_and_previous_go_around() {
    let daemon = Daemon::start(
        "programs:\n  one: {cmd: [sh, -c, 'echo I am one; exec cat'], tty: true, starttime: 0}\n  \
         pipe: {cmd: sleep 1000, starttime: 0}\n  \
         two: {cmd: [sh, -c, 'echo I am two; exec cat'], tty: true, starttime: 0}\n",
    );
    let mut console = Console::attach(&daemon, "one:0");
    console.terminal.expect("I am one");
    console.terminal.send("\x01n");
    console.terminal.expect("I am two");
    console.terminal.send("\x01n");
    console.terminal.expect("I am one");
    console.terminal.send("\x01p");
    console.terminal.expect("I am two");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    assert!(
        console
            .terminal
            .contents()
            .contains("[detached from two:0]")
    );
}

#[test]
fn the_client_can_be_suspended_and_redraws() {
    let daemon = Daemon::start(ECHO);
    let mut terminal: Terminal = daemon.terminal(&["tm", "attach", "line:0"], 24, 80);
    terminal.expect("ready");
    terminal.send("\x01\x1a");
    terminal.wait_stopped();
    let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
    assert!(terminal.termios().local_modes.contains(cooked));
    let mark = terminal.raw().len();
    crate::support::kill(terminal.pid(), Signal::CONT);
    terminal.send("again\r");
    terminal.expect("echo: again");
    let redrawn = String::from_utf8_lossy(&terminal.raw()[mark..]).into_owned();
    assert!(redrawn.contains("ready"), "{redrawn:?}");
    terminal.send("\x01d");
    assert_eq!(terminal.wait_end(), 0);
}

#[test]
fn keys_may_come_from_the_environment() {
    let daemon = Daemon::start(ECHO);
    let attach = |keys: &str| {
        let script = format!("TM_DETACH_KEYS='{keys}' tm attach raw:0; echo over: $?.");
        daemon.terminal(&["sh", "-c", &script], 24, 80)
    };
    let mut terminal = attach("ctrl-],x");
    terminal.expect("ctrl-] x detaches, ctrl-] ? shows help");
    terminal.send("\x1dx");
    terminal.expect("over: 0.");
    let mut terminal = attach("none");
    terminal.expect("to detach, run in another terminal: tm detach");
    assert_eq!(daemon.tm(&["detach", "raw:0"]).code, 0);
    terminal.expect("over: 0.");
    let mut terminal = attach("alt-x");
    terminal.expect("alt-x");
    terminal.expect("over: 2.");
    // An empty value means the default, as in docker.
    for (variable, keys) in [("", "ctrl-a d"), ("ctrl-],x", "ctrl-] x")] {
        let script = format!("TM_DETACH_KEYS='{variable}' tm attach --detach-keys '' raw:0");
        let mut terminal = daemon.terminal(&["sh", "-c", &script], 24, 80);
        terminal.expect(&format!("{keys} detaches"));
        assert_eq!(daemon.tm(&["detach", "raw:0"]).code, 0);
        terminal.wait_end();
    }
    // An option wins over it.
    let script = "TM_DETACH_KEYS=none tm attach --detach-keys DEL raw:0; echo over: $?.";
    let mut terminal = daemon.terminal(&["sh", "-c", script], 24, 80);
    terminal.expect("DEL detaches");
    terminal.send("\x7f");
    terminal.expect("over: 0.");
}

#[test]
fn a_bracket_cut_by_a_pause_still_keeps_a_paste_together() {
    let daemon = Daemon::start(ECHO);
    let mut console = attached(&daemon, "raw:0");
    console.terminal.send("\x1b[?2004hon<");
    console.expect_bytes(b"on<");
    // The echo shows that the client no longer waits for the rest.
    console.terminal.send("\x1b[20");
    console.expect_bytes(b"on<\x1b[20");
    console.terminal.send("0~a\x01db\x1b[201~");
    console.expect_bytes(b"0~a\x01db\x1b[201~");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}
