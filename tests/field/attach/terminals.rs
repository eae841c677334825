//! The user's terminal: which one it is, and what stays on it afterwards.

use crate::consoles::Console;
use crate::support::{Daemon, is_root};

const FULL: &str = r#"programs:
  full:
    cmd: [sh, -c, 'printf "\033[?1049h\033[5;5Hfull screen"; read x; exit 5']
    tty: true
    starttime: 0
    autorestart: never
  fails:
    cmd: [sh, -c, 'printf "\033[?1049hfull screen"; read x; exit 6']
    tty: true
    starttime: 60
    startretries: 0
"#;

#[test]
fn the_last_word_about_a_full_screen_program_stays_readable() {
    for (process, code, word) in [
        ("full:0", 5, "[full:0 exited with code 5]"),
        ("fails:0", 6, "gave up after 1 attempt"),
    ] {
        let daemon = Daemon::start(FULL);
        let mut console = Console::attach(&daemon, process);
        console.terminal.expect("full screen");
        console.terminal.send("\r");
        assert_eq!(console.wait_over(), code);
        let shown = console.terminal.contents();
        assert!(shown.contains(word), "{shown}");
        assert_eq!(shown.matches(word).count(), 1, "{shown}");
    }
}

/// Attaches below a command that leaves the client without a controlling terminal.
fn without_controlling_terminal(command: &str) {
    let daemon = Daemon::start(crate::consoles::ECHO);
    let script = format!("read -r go; {command}; echo \"over: $?.\"; read -r rest");
    let mut console = Console::begin(daemon.terminal(&["sh", "-c", &script], 24, 80));
    console.terminal.expect("ready");
    console.terminal.send("hello\r");
    console.terminal.expect("echo: hello");
    console.terminal.send("\x01?");
    console.terminal.expect("press space");
    console.terminal.send(" ");
    console.terminal.expect("echo: hello");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn a_client_without_controlling_terminal_uses_the_one_on_its_input() {
    without_controlling_terminal("setsid -w tm attach line:0");
}

#[test]
fn a_client_may_share_a_terminal_that_it_cannot_open() {
    // As below `su -c`: the terminal belongs to another user.
    let without_rights = match is_root() {
        true => "setpriv --bounding-set=-all --inh-caps=-all",
        false => "env",
    };
    let command = format!("chmod 0 \"$(tty)\"; setsid -w {without_rights} tm attach line:0");
    without_controlling_terminal(&command);
}
