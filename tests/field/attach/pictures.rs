//! The view of a client: modes, titles, marks, history, terminals that come and go.

use crate::consoles::{Console, contains};
use crate::support::{Daemon, wait_for_line};
use serde_json::json;

#[test]
fn without_a_picture_the_modes_are_right() {
    let daemon = Daemon::start(
        r#"programs:
  full:
    cmd: [sh, -c, 'stty raw -echo; printf "\033[?1049h\033[?2004h\033[?1hdrawn"; exec cat']
    tty: true
    starttime: 0
"#,
    );
    let mut first = Console::attach(&daemon, "full:0");
    first.terminal.expect("drawn");
    first.terminal.send("\x01d");
    assert_eq!(first.wait_over(), 0);
    let mut console = Console::attach(&daemon, "--no-replay full:0");
    console.expect_bytes(b"\x1b[?2004h");
    console.terminal.send("live");
    console.terminal.expect("live");
    let screen = console.terminal.screen();
    assert!(screen.alternate_screen() && screen.application_cursor());
    assert!(!console.terminal.contents().contains("drawn"));
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn a_title_that_the_program_only_saved_stays() {
    let daemon = Daemon::start(
        r#"programs:
  vim:
    cmd: [sh, -c, 'printf "\033[22;0t\033[?1049hdrawn"; exec cat']
    tty: true
    starttime: 0
"#,
    );
    for _ in 0..2 {
        let mut console = Console::attach(&daemon, "vim:0");
        console.terminal.expect("drawn");
        assert!(!contains(console.terminal.raw(), b"\x1b]2;"));
        console.terminal.send("\x01d");
        assert_eq!(console.wait_over(), 0);
    }
}

#[test]
fn a_terminal_that_goes_or_comes_with_a_reload_ends_the_console() {
    let yaml = |tty| {
        format!(
            "programs:\n  job: {{cmd: [sh, -c, 'echo ready; exec cat'], stdin: pipe, tty: {tty}, \
             starttime: 0}}\n"
        )
    };
    for (before, word) in [
        (
            true,
            "[detached from job:0: it has no terminal since the reload: attach again]",
        ),
        (
            false,
            "[detached from job:0: it has a terminal since the reload: attach again]",
        ),
    ] {
        let daemon = Daemon::start(&yaml(before));
        let mut console = Console::attach(&daemon, "job:0");
        console.terminal.expect("ready");
        daemon.reload_with(&yaml(!before));
        assert_eq!(console.wait_over(), 0);
        let shown = console.terminal.contents().replace('\n', "");
        assert!(shown.contains(word), "{shown}");
    }
}

#[test]
fn keyboard_flags_of_the_user_stay() {
    let daemon = Daemon::start(
        r#"programs:
  keys:
    cmd: [sh, -c, 'stty raw -echo; printf "\033[>1u\033[>5uready"; exec cat']
    tty: true
    starttime: 0
"#,
    );
    let mut console = Console::attach(&daemon, "keys:0");
    console.terminal.expect("ready");
    for (view, shows) in [("\x01[", "press any key"), ("\x01?", "press space")] {
        console.terminal.send(view);
        console.terminal.expect(shows);
        console.terminal.send(" ");
        console
            .terminal
            .expect_screen("the console", |screen| !screen.contains(shows));
        console.terminal.send("typed");
        console.expect_bytes(b"typed");
    }
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    let raw = String::from_utf8_lossy(console.terminal.raw()).into_owned();
    assert!(!raw.contains("\x1b[<16u"), "{raw:?}");
    let pushes = raw.matches("\x1b[>1u").count() + raw.matches("\x1b[>5u").count();
    let pops = raw.matches("\x1b[<2u").count() * 2 + raw.matches("\x1b[<1u").count();
    assert_eq!(pushes, pops, "{raw:?}");
}

#[test]
fn a_small_buffer_keeps_the_same_history_each_time() {
    let yaml = "programs:\n  lines: {cmd: [sh, -c, 'seq -f \"line %03.0f\" 2000; echo done > done; \
         exec cat'], tty: true, starttime: 0, buffer: 16KiB, workingdir: '@DIR@'}\n";
    let mut firsts = Vec::new();
    for _ in 0..5 {
        let daemon = Daemon::start(yaml);
        wait_for_line(&daemon.path("done"));
        let peek = daemon.rpc(
            "peek",
            serde_json::json!({"process": "lines:0", "history": 5000}),
        );
        let history = peek["history"].as_array().expect("lines");
        // A line has 10 bytes on the terminal; at most two checkpoints' distance may be missing.
        assert!(history.len() > 1_100, "{} lines", history.len());
        firsts.push(history[0].clone());
    }
    firsts.dedup();
    assert_eq!(firsts.len(), 1, "{firsts:?}");
}

#[test]
fn from_inside_a_terminal_only_its_own_process_is_refused() {
    let daemon = Daemon::start(
        "programs:\n  sh: {cmd: sh, tty: true, starttime: 0, stopsignal: KILL}\n  \
         py: {cmd: [sh, -c, 'echo I am py; exec sh'], tty: true, starttime: 0, stopsignal: KILL}\n",
    );
    let mut console = Console::sized(&daemon, "--detach-keys ctrl-b,d sh:0", 30, 120);
    console.terminal.expect("ctrl-b d detaches");
    let socket = daemon.socket().display().to_string();
    console.terminal.send(&format!(
        "export TM_SOCKET={socket} PATH={}:$PATH\r",
        crate::support::bin_dir().display()
    ));
    console.terminal.send("tm attach sh\r");
    console
        .terminal
        .expect("this terminal is sh:0's own: attach from another");
    console.terminal.send("tm attach py\r");
    console.terminal.expect("I am py");
    console.terminal.send(&format!(
        "export TM_SOCKET={socket} PATH={}:$PATH\r",
        crate::support::bin_dir().display()
    ));
    console.terminal.send("tm attach sh\r");
    console
        .terminal
        .expect("sh:0 shows this terminal: attach from another");
    console.terminal.send("\x01d");
    console.terminal.expect("[detached from py:0]");
    console.terminal.send("\x02d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn a_larger_terminal_shows_the_screen_of_a_smaller_driver() {
    let daemon = Daemon::start(
        "programs:\n  raw: {cmd: [sh, -c, 'stty raw -echo; echo on; exec cat'], tty: true, \
         starttime: 0}\n",
    );
    let mut driver = Console::sized(&daemon, "raw:0", 8, 40);
    driver.terminal.expect("on");
    let mut watcher = Console::sized(&daemon, "raw:0", 20, 70);
    watcher.terminal.expect("its terminal is 40x8, smaller");
    // Lines wrap and scroll at the smaller size. Then text goes to places of the smaller screen.
    let long = "long".repeat(15);
    let lines = format!("{long}\r\n").repeat(6);
    let typed = format!("{lines}\x1b[8;30Hcorner-wraps-here\x1b[3;1Hend");
    driver.terminal.send(&typed);
    driver.terminal.expect("end");
    let peek = daemon.rpc("peek", json!({"process": "raw:0"}));
    let lines = peek["lines"].as_array().expect("lines").iter();
    let lines: Vec<&str> = lines.map(|line| line.as_str().expect("text")).collect();
    assert!(lines[2].starts_with("end"), "{lines:?}");
    watcher.terminal.expect_screen("the same lines", |screen| {
        let shown: Vec<&str> = screen.lines().map(str::trim_end).collect();
        let same = |row: usize| *shown.get(row).unwrap_or(&"") == lines[row].trim_end();
        let hint = |line: &&str| line.is_empty() || line.starts_with('[');
        (0..8).all(same) && shown.iter().skip(8).all(hint)
    });
    // A resize of the driver to the size of the watcher: from then on it gets the output itself.
    driver.terminal.resize(20, 70);
    driver.terminal.send("\x1b[2J\x1b[20;65Hplace");
    for console in [&mut driver, &mut watcher] {
        console.terminal.expect_screen("the place", |screen| {
            let last = screen.lines().nth(19);
            last.is_some_and(|line| line.ends_with("place"))
        });
    }
    for console in [&mut watcher, &mut driver] {
        console.terminal.send("\x01d");
        assert_eq!(console.wait_over(), 0);
    }
}
