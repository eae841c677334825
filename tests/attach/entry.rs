//! The screen on entry, and the bytes that pass through.

use crate::consoles::{Console, ECHO, contains};
use crate::support::Daemon;
use crate::support::system::wait_for_text;

#[test]
fn typed_input_reaches_the_process_and_its_answer_returns() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::attach(&daemon, "line:0");
    console.terminal.expect("ready");
    console.terminal.send("hello\r");
    console.terminal.expect("echo: hello");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

/// Known and unknown sequences: links, pictures, keys, the clipboard, and rubbish.
const EXOTIC: [&str; 12] = [
    "\x1b]8;id=1;http://x\x1b\\link\x1b]8;;\x1b\\",
    "\x1bPq#0;2;0;0;0#0~~@@vv@@~~$-\x1b\\",
    "\x1b_Ga=T,f=24,s=1,v=1;AAAA\x1b\\",
    "\x1b]1337;File=inline=1:AAAA\x07",
    "\x1b]52;c;aGVsbG8=\x07\x1b]52;p;aGVsbG8=\x1b\\",
    "\x1b[>1u\x1b[=5;1u\x1b[?u\x1b[97;5u\x1b[<1u",
    "\x1b[?2026hdrawn at once\x1b[?2026l",
    "\x1b[38:2::1:2:3;4:3;58:5:9mé🎉👩\u{200d}👧e\u{301}\x1b[0m",
    "\x1b[?9999h\x1b[>7;8z\x1b[!x\x1b{\x1b%G\x1b#3\x1b[12345678901234567890m",
    "\x1b]777;notify;a;b\x07\x1b]133;A\x1b\\\x1b]9;4;1;50\x07\x1b^pm\x1b\\\x1bXsos\x1b\\",
    "\x00\x02\x05\x07\x0e\x0f\x18\x1a\x1c\x1f\x7f\u{80}\u{9b}\u{fffd}\u{10ffff}",
    "\x1b[3\x18\x1b\x1b[\x1b]0;half\x18\x1bP\x1b\\",
];

#[test]
fn every_byte_passes_untouched_both_ways() {
    let daemon = Daemon::start(ECHO);
    // They include ctrl-a as some keyboards encode it, which could begin a chord.
    let mut console = Console::attach(&daemon, "--detach-keys none raw:0");
    console.terminal.expect("ready");
    for exotic in EXOTIC {
        console.terminal.send(exotic);
        console.expect_bytes(exotic.as_bytes());
    }
    // All of it also arrives at once, in order and without additions.
    let all = EXOTIC.concat() + "<end>";
    console.terminal.send(&all);
    console.expect_bytes(all.as_bytes());
    assert_eq!(daemon.tm(&["detach", "raw:0"]).code, 0);
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn the_process_gets_the_size_on_entry_and_each_change() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::sized(&daemon, "line:0", 31, 97);
    console.terminal.expect("size 31 97");
    console.terminal.resize(12, 50);
    console.terminal.expect("size 12 50");
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn recent_output_is_there_on_entry_with_the_detach_hint() {
    let daemon = Daemon::start(
        "programs:\n  past:\n    cmd: [sh, -c, 'seq 1000; echo done > @DIR@/done; exec cat']\n    \
         tty: true\n    starttime: 0\n",
    );
    crate::support::wait_for_line(&daemon.path("done"));
    let mut console = Console::attach(&daemon, "past:0");
    console.terminal.expect("1000");
    let screen = console.terminal.contents();
    assert!(screen.contains("\n990\n"), "{screen}");
    // The lines above it are in the terminal's own history.
    assert!(contains(console.terminal.raw(), b"\n500\r\n"));
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn the_detach_hint_is_shown_even_when_the_process_redraws_for_the_new_size() {
    let daemon = Daemon::start(ECHO);
    let mut console = Console::sized(&daemon, "line:0", 20, 70);
    console.terminal.expect_screen("size and hint", |screen| {
        screen.contains("size 20 70") && screen.contains("ctrl-a d detaches")
    });
    console.terminal.send("x");
    console.terminal.expect_screen("the hint gone", |screen| {
        screen.ends_with('x') && !screen.contains("detaches")
    });
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn a_full_screen_program_is_restored_with_its_modes() {
    let modes = r"\033[?1049h\033[?1h\033[?1000h\033[?1006h\033[?2004h";
    let drawn = format!(r"before\r\n{modes}\033[2J\033[5;10H\033[1;31mred\033[?25l");
    let yaml = format!(
        "programs:\n  full:\n    cmd: [sh, -c, 'printf \"{drawn}\"; echo done > @DIR@/done; \
         exec cat']\n    tty: {{rows: 24, cols: 80}}\n    starttime: 0\n"
    );
    let daemon = Daemon::start(&yaml);
    crate::support::wait_for_line(&daemon.path("done"));
    let mut console = Console::attach(&daemon, "--quiet full:0");
    console
        .terminal
        .expect_screen("the program's screen", |screen| screen.contains("red"));
    let size = |n| std::num::NonZero::new(n).expect("not zero");
    let mut there_all_along = vt100::Parser::new(size(24), size(80), 0);
    let bytes = drawn
        .replace(r"\r", "\r")
        .replace(r"\n", "\n")
        .replace(r"\033", "\x1b");
    there_all_along.process(bytes.as_bytes());
    let (wanted, shown) = (there_all_along.screen(), console.terminal.screen());
    assert_eq!(shown.state_formatted(), wanted.state_formatted());
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
    assert!(console.terminal.contents().contains("before"));
}

#[test]
fn old_questions_are_not_asked_again() {
    let questions = [
        "\x1b[c",
        "\x1b[>c",
        "\x1b[5n",
        "\x1b[6n",
        "\x1b]11;?\x07",
        "\x1b[?2026$p",
    ];
    let printed = questions
        .concat()
        .replace('\x1b', r"\033")
        .replace('\x07', r"\007")
        .replace('$', r"\044");
    let yaml = format!(
        "programs:\n  asks:\n    cmd: [sh, -c, 'stty -echo; printf \"{printed}\"; echo asked; \
         exec cat']\n    tty: true\n    starttime: 0\n    stdout: asked.log\n"
    );
    let daemon = Daemon::start(&yaml);
    // Before any client attaches.
    wait_for_text(&daemon.path("asked.log"), "asked");
    let mut console = Console::attach(&daemon, "asks:0");
    console.terminal.expect("asked");
    for question in questions {
        let asked = contains(console.terminal.raw(), question.as_bytes());
        assert!(
            !asked,
            "{question:?} in {:?}",
            String::from_utf8_lossy(console.terminal.raw())
        );
    }
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}

#[test]
fn the_daemon_answers_programs_while_no_client_is_attached() {
    let daemon = Daemon::start(
        "programs:\n  asks:\n    cmd: [sh, -c, 'stty raw -echo; printf \"ab\\033[6n\"; \
         dd bs=1 count=6 2>/dev/null > @DIR@/answer; echo done > @DIR@/done; exec cat']\n    \
         tty: true\n    starttime: 0\n",
    );
    crate::support::wait_for_line(&daemon.path("done"));
    assert_eq!(daemon.read("answer"), "\x1b[1;3R");
}

#[test]
fn without_replay_only_new_output_is_shown() {
    let daemon = Daemon::start(ECHO);
    let mut first = Console::attach(&daemon, "line:0");
    first.terminal.send("old\r");
    first.terminal.expect("echo: old");
    let mut console = Console::attach(&daemon, "--no-replay line:0");
    console.terminal.expect("detaches");
    console.terminal.send("new\r");
    console.terminal.expect("echo: new");
    assert!(!console.terminal.contents().contains("old"));
    console.terminal.send("\x01d");
    assert_eq!(console.wait_over(), 0);
}
