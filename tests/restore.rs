//! Re-attach is exact: real programs are recorded on a terminal, cut anywhere, and what a client
//! that comes at the cut is sent has to show what a terminal shows that was there all the time.
//! A program that is not installed is left out.

#[path = "support/mod.rs"]
mod support;

use std::fmt::Write;
use std::num::NonZeroU16;
use support::{Terminal, command};
use taskmaster::ring::Ring;
use taskmaster::terminal::{Tracker, snapshot};

const ROWS: u16 = 24;
const COLS: u16 = 80;

/// What is kept of a stream.
const KEPT: usize = 64 * 1024;

/// Cuts of each stream.
const CUTS: usize = 150;

#[test]
fn vim() {
    check("vim", &["-u", "NONE", "-N", "text"], |terminal| {
        terminal.expect("line 10 ");
        terminal.send(":syntax on\r:set number ruler hlsearch title\r");
        terminal.send("G");
        terminal.expect("line 400 ");
        terminal.send(":split\r:vsplit\rgg");
        terminal.expect("line 3 ");
        terminal.send("/line 77\rihello wörld ✓\x1b");
        terminal.expect("wörld ✓");
        terminal.send("ggVGd");
        terminal.expect("No lines in buffer");
        terminal.send("u");
        terminal.expect("more lines");
        for page in 0..40 {
            terminal.send(if page % 2 == 0 { "\x06" } else { "\x15" });
        }
        terminal.send(":echo \"do\".\"ne\"\r");
        terminal.expect("done");
        terminal.send(":qa!\r");
    });
}

#[test]
fn less() {
    check("less", &["-M", "text"], |terminal| {
        terminal.expect("line 10 ");
        terminal.send("G");
        terminal.expect("line 400 ");
        terminal.send("g/line 77\r");
        terminal.expect("line 80 ");
        terminal.send("   bbb&line 3\r");
        terminal.expect("line 300 ");
        terminal.send("q");
    });
}

#[test]
fn top() {
    check("top", &["-d", "0.1", "-n", "8"], |terminal| {
        terminal.expect("PID");
        terminal.send("z1");
    });
}

#[test]
fn a_shell_with_a_coloured_prompt() {
    check("bash", &["--norc", "-i"], |terminal| {
        terminal.send("PS1='\\[\\e[1;32m\\]me\\[\\e[m\\]:\\[\\e[44m\\]here\\[\\e[m\\]\\$ '\r");
        terminal.expect("me:here");
        terminal.send("ls --color=always -la /etc /usr/bin | head -1500; echo en''d\r");
        terminal.expect("end");
        terminal.send(
            "for i in $(seq 200); do printf '\\r\\e[K[%-60s] %3d' $(printf '#%.0s' \
            $(seq $((i / 4 + 1)))) $i; done; echo over''\r",
        );
        terminal.expect("over");
        terminal.send(
            "abc\x02\x02X\x05 long line that wraps around the edge of the screen, \
            since it has more characters than there are columns\x01\x0b",
        );
        terminal.send("clear; printf '日本語 🎉 e\u{301}'; echo las''t\r");
        terminal.expect("last");
        terminal.send("exit\r");
    });
}

#[test]
fn python() {
    check("python3", &["-q"], |terminal| {
        terminal.expect(">>>");
        terminal.send("for i in range(300): print(i, '\\x1b[3%dmx\\x1b[m' % (i % 8))\n\r\n\r");
        terminal.expect("299");
        terminal.send("exit()\r");
    });
}

/// Records a program while a user works with it, then cuts the record.
fn check(program: &str, arguments: &[&str], work: impl FnOnce(&mut Terminal)) {
    let folder = support::folder();
    let mut text = String::new();
    for line in 1..=400 {
        let words = "word ".repeat(line % 40);
        let _ = writeln!(text, "line {line} of this text: {words}");
    }
    std::fs::write(folder.path().join("text"), text).expect("a text to look at");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&paths).any(|path| path.join(program).exists()) {
        eprintln!("{program} is not installed");
        return;
    }
    let mut inner = command(program, folder.path());
    inner.args(arguments);
    let mut terminal = Terminal::spawn_command(&inner, ROWS, COLS);
    work(&mut terminal);
    terminal.wait_end();
    let stream = terminal.raw();
    let step = 1 + stream.len() / CUTS;
    // An odd step falls into the midst of characters and sequences, too.
    for cut in (1..=stream.len()).step_by(step | 1) {
        check_cut(program, stream, cut);
    }
    eprintln!("{program}: {} bytes", stream.len());
}

fn check_cut(program: &str, stream: &[u8], cut: usize) {
    let mut ring = Ring::new(KEPT);
    let mut tracker = Tracker::new(0);
    let mut there_all_along = parser();
    for chunk in stream[..cut].chunks(4096) {
        ring.write(chunk);
        tracker.feed(chunk);
        there_all_along.process(chunk);
    }
    let mut late = parser();
    late.process(b"user$ tm attach\r\n");
    let kept = ring.read(ring.tail());
    late.process(&snapshot(kept.slices, &tracker, ROWS, COLS, 100));
    assert_eq!(
        look(&late),
        look(&there_all_along),
        "{program}, cut at {cut}"
    );
    late.process(&stream[cut..]);
    there_all_along.process(&stream[cut..]);
    assert_eq!(
        look(&late),
        look(&there_all_along),
        "{program}, cut at {cut}, then the rest"
    );
    // Whoever leaves finds the terminal as before.
    let mut watched = Tracker::new(0);
    watched.feed(&snapshot(kept.slices, &tracker, ROWS, COLS, 100));
    let mut left = parser();
    left.process(&snapshot(kept.slices, &tracker, ROWS, COLS, 100));
    left.process(&watched.reset_sequence());
    let screen = left.screen();
    assert!(
        !screen.alternate_screen() && !screen.hide_cursor(),
        "{program}, cut at {cut}"
    );
    assert_eq!(
        screen.input_mode_formatted(),
        parser().screen().input_mode_formatted(),
        "{program}, cut at {cut}"
    );
}

fn parser() -> vt100::Parser {
    let size = |length| NonZeroU16::new(length).expect("not zero");
    vt100::Parser::new(size(ROWS), size(COLS), 200)
}

/// Everything that can be seen or that typing depends on.
fn look(parser: &vt100::Parser) -> [String; 5] {
    let screen = parser.screen();
    [
        screen.contents(),
        screen.contents_formatted(),
        screen.attributes_formatted(),
        screen.input_mode_formatted(),
        format!(
            "{:?} {} {}",
            screen.cursor_position(),
            screen.alternate_screen(),
            screen.hide_cursor()
        ),
    ]
}
