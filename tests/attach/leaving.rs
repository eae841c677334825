//! Every way out leaves the terminal as it was.

use crate::consoles::{Console, ECHO, client_pid, contains};
use crate::emulator::left_on;
use crate::false_daemon::FalseDaemon;
use crate::support::{Daemon, PATIENCE, Terminal, kill, wait_for_line, wait_gone};
use rustix::process::Signal;
use std::time::Instant;
use taskmaster::wire::{Frame, Kind};

/// Every mode that a program can leave on, as arguments of printf.
const EVERYTHING: &str = concat!(
    r"\033[>1u\033[=5;1u\033[?1049h\033[>3u\033[>7u",
    r"\033[?1h\033=\033[>4;2m\033[>1;3m\033[>0;1f",
    r"\033[?40;42;1061;7727;8452;9001;77009h\033[?1035l\033[8l",
    r#"\033[>3p\033[1"q\033[2 k\033 G\033*0"#,
    r"\033[?9h\033[?1000h\033[?1002h\033[?1003h\033[?1005h\033[?1015h\033[?1016h\033[?1006h",
    r"\033[?1004h\033[?2004h\033[?2031h\033[?2048h",
    r"\033[3;10r\033[?69h\033[5;70s\033[?6h\033[4h\033[20h\033[?7l\033[?5h\033[?45h",
    r"\033(0\033)0\016\033[4 q\033[?25l\033[1;4;31;44m",
    r"\033]2;mine\007\033]10;red\007\033]11;#112233\007\033]12;blue\007",
    r"\033]5;0;red\007\033]17;red\007\033]21;cursor=red\007",
    r"\033]8;;http://example.org/\033\134link\033[?2026h",
);

/// A program that turns everything on, and one that stops in the midst of a sequence.
fn full() -> String {
    format!(
        "programs:\n  full:\n    cmd:\n      - sh\n      - -c\n      - |\n        \
         printf '{EVERYTHING}'\n        echo fullscreen\n        exec cat\n    \
         tty: true\n    starttime: 0\n"
    )
}

/// Sequences that must reach the terminal, for modes that the tests' model does not know.
const UNDONE: [&str; 34] = [
    "\x1b[>1m",
    "\x1b[>0f",
    "\x1b[?40l",
    "\x1b[?42l",
    "\x1b[?1061l",
    "\x1b[?7727l",
    "\x1b[?9001l",
    "\x1b[?77009l",
    "\x1b[?1035h",
    "\x1b[8h",
    "\x1b[>1p",
    "\x1b[0\"q",
    "\x1b[0 k",
    "\x1b F",
    "\x1b]105;0\x07",
    "\x1b]117\x07",
    "\x1b[?1004l",
    "\x1b[?2031l",
    "\x1b[?2048l",
    "\x1b[?1016l",
    "\x1b[<2u",
    "\x1b[<1u",
    "\x1b[>4m",
    "\x1b[r",
    "\x1b[?69l",
    "\x1b[?6l",
    "\x1b[4l",
    "\x1b[20l",
    "\x1b[?7h",
    "\x1b(B",
    "\x1b[0 q",
    "\x1b]8;;\x07",
    "\x1b]111\x07",
    "\x1b[23;2t",
];

/// `EVERYTHING` as bytes.
fn everything() -> Vec<u8> {
    let on = EVERYTHING.replace(r"\033", "\x1b").replace(r"\007", "\x07");
    on.replace(r"\134", "\\").replace(r"\016", "\x0e").into()
}

#[test]
fn the_emulator_notices_modes_left_on() {
    for on in [
        "\x1b[>1u",
        "\x1b[?1049h",
        "\x1b[?1h",
        "\x1b=",
        "\x1b[?1003h",
        "\x1b[?1006h",
        "\x1b[?1004h",
        "\x1b[?2004h",
        "\x1b[3;10r",
        "\x1b[?6h",
        "\x1b[4h",
        "\x1b[?7l",
        "\x1b[?25l",
        "\x1b(0",
        "\x0e\x1b)0",
        "\x1b[4 q",
        "\x1b[31m",
        "\x1b]2;mine\x07",
        "\x1b]11;#112233\x07",
        "\x1b]8;;http://x/\x07",
        "\x1b[?2026h",
    ] {
        assert_ne!(left_on(on.as_bytes()), left_on(b""), "{on:?}");
    }
    assert_ne!(left_on(&everything()), left_on(b""));
}

fn in_full_screen(daemon: &Daemon) -> Console {
    let mut console = Console::attach(daemon, "full:0");
    console
        .terminal
        .expect_screen("the program's modes", |screen| !screen.is_empty());
    // The last mode that a snapshot turns on.
    console.expect_bytes(b"\x1b]8;;http");
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
    let daemon = Daemon::start(&full());
    let mut console = in_full_screen(&daemon);
    let mark = console.terminal.raw().len();
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    assert_undone(&console, mark);
    assert_eq!(daemon.status("full:0")["state"], "RUNNING");
}

/// Signals whose default action ends a process, and that a user may send.
const DEADLY: [i32; 14] = [
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    // One of the real-time signals.
    40,
];

fn send(pid: i32, signal: i32) {
    let status = std::process::Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(status.expect("kill is installed").success());
}

#[test]
fn by_signals_to_the_client() {
    let daemon = Daemon::start(&full());
    for signal in DEADLY {
        let mut console = in_full_screen(&daemon);
        let mark = console.terminal.raw().len();
        send(client_pid(&daemon, "full:0"), signal);
        assert_eq!(console.wait_over(), 128 + signal, "signal {signal}");
        assert_undone(&console, mark);
    }
    assert_eq!(daemon.status("full:0")["state"], "RUNNING");
}

#[test]
fn by_signals_to_other_verbs_that_take_the_terminal() {
    let daemon = Daemon::start(&full());
    for (verb, shows, code) in [("", "tm> ", None), ("status --watch", "full:0", Some(0))] {
        for signal in [libc::SIGQUIT, libc::SIGUSR1, libc::SIGALRM, 40] {
            let script = format!(
                "read -r go; sh -c 'echo $$ > pid; exec tm {verb}'; \
                 echo \"over: $?.\"; read -r rest"
            );
            let _ = std::fs::remove_file(daemon.path("pid"));
            let mut console = Console::begin(daemon.terminal(&["sh", "-c", &script], 24, 80));
            let pid = wait_for_line(&daemon.path("pid")).parse().expect("a pid");
            console.terminal.expect(shows);
            send(pid, signal);
            let wanted = code.unwrap_or(128 + signal);
            assert_eq!(console.wait_over(), wanted, "{verb:?}, signal {signal}");
        }
    }
}

#[test]
fn by_the_death_of_the_daemon() {
    let mut daemon = Daemon::start(&full());
    let mut console = in_full_screen(&daemon);
    let mark = console.terminal.raw().len();
    let process = daemon.pid_of("full:0");
    daemon.signal(Signal::KILL);
    assert_eq!(console.wait_over(), 255);
    assert!(
        console
            .terminal
            .contents()
            .contains("lost the connection to the daemon")
    );
    assert_undone(&console, mark);
    drop(console);
    // Its terminal is hung up.
    wait_gone(process);
    assert_eq!(daemon.wait_end(), 128 + 9);
}

#[test]
fn by_an_orderly_end_of_the_daemon() {
    let mut daemon = Daemon::start(&full());
    let mut console = in_full_screen(&daemon);
    daemon.signal(Signal::TERM);
    console.wait_over();
    drop(console);
    assert_eq!(daemon.wait_end(), 0);
}

#[test]
fn by_detaching_from_elsewhere() {
    let daemon = Daemon::start(&full());
    let mut console = in_full_screen(&daemon);
    let mark = console.terminal.raw().len();
    let output = daemon.tm(&["detach", "full:0"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(console.wait_over(), 0);
    assert_undone(&console, mark);
}

#[test]
fn by_the_end_of_the_process() {
    let daemon = Daemon::start(&full());
    let mut console = in_full_screen(&daemon);
    let mark = console.terminal.raw().len();
    daemon.tm(&["stop", "full"]);
    console.wait_over();
    assert_undone(&console, mark);
}

#[test]
fn a_terminal_that_hangs_up_detaches() {
    let daemon = Daemon::start(&full());
    let console = in_full_screen(&daemon);
    let client = client_pid(&daemon, "full:0");
    drop(console);
    wait_gone(client);
    assert_eq!(daemon.status("full:0")["state"], "RUNNING");
}

#[test]
fn by_stopping_and_back_again() {
    let daemon = Daemon::start(&full());
    let mut terminal: Terminal = daemon.terminal(&["tm", "attach", "full:0"], 24, 80);
    let deadline = Instant::now() + PATIENCE;
    while !contains(terminal.raw(), b"\x1b]8;;http") {
        assert!(terminal.read_until(deadline), "{}", terminal.contents());
    }
    let before = terminal.raw().len();
    kill(terminal.pid(), Signal::TSTP);
    terminal.wait_stopped();
    while !contains(&terminal.raw()[before..], b"\x1b[23;2t") {
        assert!(terminal.read_until(deadline), "{}", terminal.contents());
    }
    let undone = String::from_utf8_lossy(&terminal.raw()[before..]).into_owned();
    for sequence in UNDONE {
        assert!(
            undone.contains(sequence),
            "{sequence:?} is missing in {undone:?}"
        );
    }
    let stopped = terminal.raw().len();
    kill(terminal.pid(), Signal::CONT);
    while !contains(&terminal.raw()[stopped..], b"\x1b]8;;http") {
        assert!(terminal.read_until(deadline), "{}", terminal.contents());
    }
    assert!(terminal.screen().alternate_screen());
    terminal.send("\x01d");
    assert_eq!(terminal.wait_end(), 0);
    assert!(!terminal.screen().alternate_screen());
}

#[test]
fn by_a_daemon_that_makes_no_sense() {
    let payload = [&[0; 8][..], &everything()].concat();
    let (mut console, listener) = FalseDaemon::client();
    let mut daemon = listener.accept(true);
    daemon.send(&Frame::new(Kind::Snapshot, payload).to_bytes());
    console.expect_bytes(b"\x1b[?2026h");
    let mark = console.terminal.raw().len();
    daemon.send(&[99, 0, 0, 0, 0, 0]);
    assert_eq!(console.wait_over(), 1);
    assert_undone(&console, mark);
    let shown = console.terminal.contents();
    assert!(shown.contains("unknown frame kind 99"), "{shown}");
}

/// A program with the mouse on, or one that has just asked the terminal something.
const SENDING: &str = r#"programs:
  mouse:
    cmd: [sh, -c, 'stty raw -echo; printf "\033[?1003h\033[?1006hready"; exec cat']
    tty: true
    starttime: 0
  asks:
    cmd: [sh, -c, 'stty raw -echo; printf ready; read x; printf "\033]11;?\007"; exec cat']
    tty: true
    starttime: 0
"#;

#[test]
fn late_terminal_answers_do_not_reach_the_shell() {
    let daemon = Daemon::start(SENDING);
    for process in ["mouse:0", "asks:0"] {
        let mut console = Console::attach(&daemon, process);
        console.terminal.expect("ready");
        if process == "asks:0" {
            console.terminal.send("\n");
            console.expect_bytes(b"\x1b]11;?\x07");
        }
        console.terminal.send("\x01d");
        // A slow terminal: first the answers that were under way, in two parts.
        console.expect_bytes(b"\x1b[5n");
        console.terminal.send("\x1b]11;rgb:00/00/00\x07\x1b[<35;1");
        console.terminal.send("0;10M\x1b[");
        console.terminal.send("0n");
        assert_eq!(console.wait_over(), 0);
        console.expect_nothing_left_to_read();
        let shown = console.terminal.contents();
        assert!(!shown.contains("^["), "{process}: {shown}");
    }
}

#[test]
fn a_terminal_that_does_not_answer_is_not_waited_for_long() {
    let daemon = Daemon::start(SENDING);
    let mut console = Console::attach(&daemon, "mouse:0");
    console.terminal.expect("ready");
    let began = Instant::now();
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    let took = began.elapsed();
    // The promise is 200 ms; a loaded machine gets some more.
    assert!(took.as_millis() < 1000, "{took:?}");
}

#[test]
fn a_terminal_that_sends_nothing_by_itself_is_not_asked() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::attach(&daemon, "line:0");
    console.terminal.expect("ready");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    assert!(!contains(console.terminal.raw(), b"\x1b[5n"));
    console.expect_nothing_left_to_read();
}

#[test]
fn a_terminal_that_hangs_up_disturbs_no_other() {
    let daemon = Daemon::start(ECHO);
    let mut stays = Console::attach(&daemon, "line:0");
    stays.terminal.expect("ready");
    let first = client_pid(&daemon, "line:0");
    let mut watches = Console::attach(&daemon, "-r line:0");
    watches.terminal.expect("ready");
    // As after a broken ssh connection, the terminal's other side is gone.
    let drops = Console::attach(&daemon, "--steal line:0");
    let rows = || crate::consoles::clients(&daemon, "line:0");
    let mut drops = drops;
    drops.terminal.expect("ready");
    let gone = rows()[2]["pid"].as_i64().expect("a pid") as i32;
    drop(drops);
    wait_gone(gone);
    stays.terminal.send("still here\r");
    watches.terminal.expect("echo: still here");
    let rows = rows();
    assert_eq!((rows.len(), &rows[0]["pid"]), (2, &first.into()));
    assert_eq!(rows[0]["driver"], true);
    assert_eq!(
        (&rows[1]["driver"], &rows[1]["read_only"]),
        (&false.into(), &true.into())
    );
    for console in [&mut stays, &mut watches] {
        console.terminal.send("\x01d");
        assert_eq!(console.wait_over(), 0);
    }
}
