//! The detach keys, the help, and the line that names them.

use crate::consoles::{Console, ECHO, contains};
use crate::support::Daemon;

#[test]
fn keys_are_spelled_as_users_know_them() {
    let daemon = Daemon::start(ECHO);
    for (spelled, typed) in [("C-b,d", "\x02d"), ("^b,d", "\x02d"), ("Ctrl-B,q", "\x02q")] {
        let mut console = Console::attach(&daemon, &format!("--detach-keys '{spelled}' raw:0"));
        console.terminal.expect("ctrl-b");
        console.terminal.send(typed);
        assert_eq!(console.wait_over(), 0, "{spelled}");
    }
}

#[test]
fn a_paste_without_an_end_does_not_keep_the_user_in() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::attach(&daemon, "raw:0");
    console.terminal.expect("ready");
    console.terminal.send("\x1b[?2004hon<");
    console.expect_bytes(b"on<");
    console.terminal.send("\x1b[200~aaa\x01d");
    console.expect_bytes(b"aaa\x01d");
    let began = std::time::Instant::now();
    // The chord counts once the client takes the paste for over.
    loop {
        console.terminal.send("\x01d");
        let soon = std::time::Instant::now() + std::time::Duration::from_millis(1200);
        while console.terminal.read_until(soon) {}
        if console.terminal.contents().contains("over: ") {
            break;
        }
        assert!(began.elapsed() < crate::support::PATIENCE, "never out");
    }
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn keys_typed_at_the_help_are_not_lost() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::attach(&daemon, "raw:0");
    console.terminal.expect("ready");
    let mut at = |keys: &str, wanted: &str| {
        console.terminal.send("\x01?");
        console.terminal.expect("press space");
        console.terminal.send(keys);
        console.expect_bytes(wanted.as_bytes());
        assert!(!contains(console.terminal.raw(), b" (rest)"));
    };
    at("<xyz>", "<xyz>");
    at(" (rest)", "(rest)");
    console.terminal.send("\x01[");
    console.terminal.expect("press any key");
    console.terminal.send("q[more]");
    console.expect_bytes(b"[more]");
    assert!(!contains(console.terminal.raw(), b"q[more]"));
    console.terminal.send("\x01?");
    console.terminal.expect("press space");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    assert_eq!(daemon.status("raw:0")["state"], "RUNNING");
}

#[test]
fn inside_screen_the_keys_that_reach_the_client_are_named() {
    let daemon = Daemon::start(ECHO);
    for (environment, keys) in [
        ("STY=1.pts TERM=screen", "ctrl-a a d detaches"),
        (
            "STY=1.pts TERM=screen.xterm-256color",
            "ctrl-a a d detaches",
        ),
        ("STY=1.pts TERM=xterm", "ctrl-a d detaches"),
        ("STY= TERM=screen", "ctrl-a d detaches"),
    ] {
        let script = format!("read -r go; {environment} tm attach raw:0; echo \"over: $?.\"");
        let script = format!("unset TMUX; {script}; read -r rest");
        let mut console = Console::begin(daemon.terminal(&["sh", "-c", &script], 24, 80));
        console.terminal.expect(keys);
        console.terminal.send("\x01d");
        assert_eq!(console.wait_over(), 0);
    }
}

#[test]
fn a_narrow_terminal_shows_how_to_leave() {
    let daemon = Daemon::start(&ECHO.replace("raw:", "a-program-with-a-long-name:"));
    let process = "a-program-with-a-long-name:0";
    let mut wide = Console::sized(&daemon, process, 40, 120);
    wide.terminal.expect("ready");
    let arguments = format!("--read-only {process}");
    let mut narrow = Console::sized(&daemon, &arguments, 10, 40);
    narrow.terminal.expect("ctrl-a d detaches");
    for console in [&mut narrow, &mut wide] {
        console.terminal.send("\x01d");
        assert_eq!(console.wait_over(), 0);
    }
}

/// A program that stops itself at ctrl-z, alone and below a shell without job control. It looks for
/// input now and then: a signal just before `input` would wait for a line.
const STOPS: &str = r#"programs:
  alone:
    cmd:
      - python3
      - -c
      - |
        import os, select, signal
        def stop(*_):
            os.kill(os.getpid(), signal.SIGSTOP)
            print("back again", flush=True)
        signal.signal(signal.SIGTSTP, stop)
        print("ready", flush=True)
        while True:
            while not select.select([0], [], [], 0.05)[0]:
                pass
            print("got " + input(), flush=True)
    tty: true
    starttime: 0
  below:
    cmd:
      - sh
      - -c
      - |
        trap '' TSTP
        python3 -c '
        import os, select, signal
        def stop(*_):
            os.kill(os.getpid(), signal.SIGSTOP)
            print("back again", flush=True)
        signal.signal(signal.SIGTSTP, stop)
        print("ready", flush=True)
        while True:
            while not select.select([0], [], [], 0.05)[0]:
                pass
            print("got " + input(), flush=True)
        '
        echo over
    tty: true
    starttime: 0
"#;

#[test]
fn a_program_that_ctrl_z_stops_is_continued() {
    let daemon = Daemon::start(STOPS);
    for process in ["alone:0", "below:0"] {
        let mut console = Console::attach(&daemon, process);
        console.terminal.expect("ready");
        console.terminal.send("\x1a");
        console.terminal.expect("back again");
        console.terminal.send("line\r");
        console.terminal.expect("got line");
        console.terminal.send("\x01d");
        assert_eq!(console.wait_over(), 0);
    }
}

#[test]
fn a_program_that_a_shell_stopped_stays_stopped() {
    let daemon = Daemon::start(
        "programs:\n  sh: {cmd: [bash, --norc, -i], tty: true, starttime: 0, stopsignal: HUP}\n",
    );
    let mut console = Console::attach(&daemon, "sh:0");
    console.terminal.send("PS1='ok> '\r");
    console.terminal.expect("ok> ");
    console.terminal.send("sh -c 'echo began; exec cat'\r");
    console.terminal.expect("\nbegan");
    console.terminal.send("\x1a");
    console.terminal.expect("Stopped");
    console.terminal.send("sleep 0.6; jobs\r");
    console
        .terminal
        .expect_screen("the program again", |screen| {
            screen.matches("Stopped").count() == 2
        });
    console.terminal.send("kill -9 %1; exit\r");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn output_stopped_by_ctrl_s_is_named_and_freed() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::attach(&daemon, "line:0");
    console.terminal.expect("ready");
    let causes =
        || daemon.rpc("why", serde_json::json!({"process": "line:0"}))["causes"].to_string();
    assert!(!causes().contains("ctrl-s"));
    console.terminal.send("\x13held\r");
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while !causes().contains("stopped by ctrl-s") {
        assert!(std::time::Instant::now() < deadline, "{}", causes());
    }
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    let mut console = Console::attach(&daemon, "line:0");
    console.terminal.expect("echo: held");
    assert!(!causes().contains("ctrl-s"));
    console.terminal.send("\x13held\r");
    console.terminal.send("\x11");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    assert!(!causes().contains("ctrl-s"));
    // A client that may only read does not free it.
    daemon.tm(&["send", "--no-newline", "line:0", "\x13"]);
    let mut reader = Console::attach(&daemon, "--read-only line:0");
    reader.terminal.expect("detaches");
    reader.terminal.send("\x01d");
    assert_eq!(reader.wait_over(), 0);
    assert!(causes().contains("ctrl-s"), "{}", causes());
}

#[test]
fn keys_for_a_process_that_is_down_leave_the_words_about_it() {
    let daemon = Daemon::start(
        "programs:\n  edit: {cmd: [sh, -c, 'echo here; test -e again && exec cat'], tty: true, \
         starttime: 0, exitcodes: [0, 1]}\n",
    );
    daemon.wait_state("edit:0", "EXITED");
    let mut console = Console::sized(&daemon, "edit", 24, 120);
    let words = "[edit:0 is EXITED, exit 1 after";
    console.terminal.expect(words);
    console
        .terminal
        .expect("waiting for its next start — ctrl-a d detaches");
    console.terminal.send("x\x03y");
    daemon.tm(&["status"]);
    console.terminal.send("z");
    assert!(console.terminal.contents().contains(words));
    std::fs::write(daemon.path("again"), "").expect("a new file");
    assert_eq!(daemon.tm(&["start", "edit"]).code, 0);
    console.terminal.send("typed\r");
    console.terminal.expect("typed");
    assert!(!console.terminal.contents().contains(words));
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn an_attachment_inside_another_names_the_keys_that_reach_it() {
    let daemon = Daemon::start(
        "programs:\n  outer: {cmd: sh, tty: true, starttime: 0, env: {PS1: 'ready> '}}\n  \
         inner: {cmd: cat, tty: true, starttime: 0}\n",
    );
    let mut console = Console::attach(&daemon, "outer");
    console.terminal.expect("ready> ");
    console.terminal.send("tm attach inner\r");
    console
        .terminal
        .expect("attached to inner:0 — ctrl-a a d detaches");
    console.terminal.send("\x01ad");
    console.terminal.expect("detached from inner:0");
    console.terminal.send("echo still''here\r");
    console.terminal.expect("stillhere");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}
