//! Exact re-attach with a real daemon, `tm attach` on a terminal, and the reference behind it.

use super::oracle::Reference;
use super::support::{Daemon, wait_for_line};

/// Turns of the wheel, and the bytes of each.
const TURNS: usize = 900;
const TURN: usize = 300;

#[test]
fn a_screen_painted_long_before_is_there_on_attach() {
    let mut painted = String::from(r"$ install\r\nline before\r\n\033[?1049h\033[2J");
    for row in 1..=23 {
        let colour = row % 8;
        painted.push_str(&format!(
            r"\033[{row};4H\033[3{colour}mstep {row}\033[4;9mok\033[m"
        ));
    }
    painted.push_str(r"\033[3;20r\033[?1h\033[?2004h\033[?25l\033]2;installing\007");
    let turn = r"\033[12;60H/\033[12;60H-\033[12;60H|".repeat(TURN / 30);
    let script = format!(
        "printf \"{painted}\"; i=0; while [ $i -lt {TURNS} ]; do printf \"{turn}\"; \
         i=$((i+1)); done; echo done > @DIR@/done; exec cat"
    );
    let yaml = format!(
        "programs:\n  wheel:\n    cmd: [sh, -c, '{script}']\n    buffer: 64KiB\n    \
         tty: {{rows: 24, cols: 80}}\n    starttime: 0\n"
    );
    let daemon = Daemon::start(&yaml);
    wait_for_line(&daemon.path("done"));
    let mut terminal = daemon.terminal(&["tm", "attach", "--quiet", "wheel:0"], 24, 80);
    terminal.expect("step 23");
    terminal.expect_screen("the wheel", |screen| {
        screen
            .lines()
            .nth(11)
            .is_some_and(|line| line.ends_with('|'))
    });
    let unescaped = |text: &str| {
        let text = text.replace(r"\r", "\r").replace(r"\n", "\n");
        text.replace(r"\033", "\x1b").replace(r"\007", "\x07")
    };
    let mut there_all_along = Reference::new(24, 80);
    there_all_along.feed(unescaped(&painted).as_bytes());
    there_all_along.feed(unescaped(&turn).as_bytes());
    let mut attached = Reference::new(24, 80);
    attached.feed(terminal.raw());
    assert_eq!(attached.look(true), there_all_along.look(true));
    terminal.send("\x01d");
    assert_eq!(terminal.wait_end(), 0);
}
