use crate::ring::Ring;
use crate::terminal::{Terminal, Tracker};
use rustix::time::{ClockId, clock_gettime};
use std::num::NonZeroU16;
use std::time::Duration;

const ROWS: u16 = 24;
const COLS: u16 = 80;

fn parser(rows: u16, cols: u16) -> vt100::Parser {
    let size = |n| NonZeroU16::new(n).expect("not zero");
    vt100::Parser::new(size(rows), size(cols), 500)
}

/// All state of a screen that is visible or that affects input.
fn look(parser: &mut vt100::Parser) -> (String, String, (u16, u16), bool, String, String) {
    let screen = parser.screen();
    let state = screen.contents_formatted();
    let text = screen.contents();
    let alternate = screen.alternate_screen();
    let modes = screen.input_mode_formatted();
    let attributes = screen.attributes_formatted();
    (
        text,
        state,
        screen.cursor_position(),
        alternate,
        modes,
        attributes,
    )
}

#[test]
fn a_picture_stays_within_its_width_on_a_wider_terminal() {
    let mut terminal = Terminal::new(0, 4, 10);
    let output = b"\x1b[41m\x1b[2J\x1b[Hover ten columns\x1b[4;10Hx";
    terminal.feed(output);
    let mut wider = parser(8, 30);
    wider.process(&terminal.picture_within((output, b""), (8, 30)));
    let screen = wider.screen();
    assert_eq!(screen.contents(), "over ten c\nolumns\n\n         x");
    assert_eq!(screen.cursor_position(), (3, 9));
    for row in 0..8 {
        for col in 0..30 {
            let cell = screen.cell(row, col).expect("on the screen");
            let red = cell.bgcolor() == vt100::Color::Idx(1);
            assert_eq!(red, row < 4 && col < 10, "row {row}, column {col}");
        }
    }
}

/// A ring, its terminal, and a reference terminal that received all output.
struct Comparison {
    ring: Ring,
    terminal: Terminal,
    reference: vt100::Parser,
    size: (u16, u16),
}

impl Comparison {
    fn new(rows: u16, cols: u16, capacity: usize) -> Comparison {
        Comparison {
            ring: Ring::new(capacity),
            terminal: Terminal::new(0, rows, cols),
            reference: parser(rows, cols),
            size: (rows, cols),
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(4096) {
            let kept = self.ring.read(0).slices;
            self.terminal
                .before_evict(kept, self.ring.capacity(), chunk.len());
            self.ring.write(chunk);
            self.terminal.feed(chunk);
            self.reference.process(chunk);
        }
    }

    fn snapshot(&self, history: usize) -> Vec<u8> {
        self.terminal.snapshot(self.ring.read(0).slices, history)
    }

    fn text(&self) -> String {
        let look = self.terminal.peek(self.ring.read(0).slices, false);
        look.lines.join("\n")
    }

    fn attached(&self, history: usize) -> vt100::Parser {
        let mut fresh = parser(self.size.0, self.size.1);
        fresh.process(b"\x1b[31muser's shell\r\n$ tm attach\r\n");
        fresh.process(&self.snapshot(history));
        fresh
    }

    fn check(&mut self, what: &str) {
        for history in [0, 200] {
            let mut fresh = self.attached(history);
            assert_eq!(
                look(&mut fresh),
                look(&mut self.reference),
                "{what}, {history}"
            );
        }
    }
}

fn shell_session(n: usize) -> String {
    let mut text = String::new();
    for i in 0..n {
        text.push_str("\x1b]0;me@host: ~\x07\x1b[?2004h\x1b[01;32mme@host\x1b[00m:");
        text.push_str("\x1b[01;34m~\x1b[00m$ ");
        text.push_str(&format!("ls -l\x1b[4D\x1b[K{i}\x1b[?2004l\r\r\n"));
        text.push_str("\x1b[0m\x1b[01;34mdir\x1b[0m\tfile\t\x1b[41;30mset\x1b[0m\t日本語\r\n");
        text.push_str(&format!(
            "a long line {} wraps\r\n",
            "0123456789".repeat(i % 23)
        ));
    }
    text
}

fn progress(n: usize) -> String {
    (0..n)
        .map(|i| {
            format!(
                "\r\x1b[K[{}>{}] {i}%",
                "=".repeat(i % 50),
                " ".repeat(50 - i % 50)
            )
        })
        .collect()
}

fn full_screen(n: usize) -> String {
    let mut text =
        "before\r\n\x1b[H\x1b[?1049h\x1b[22;0;0t\x1b[1;24r\x1b[?1h\x1b=\x1b[?25l".to_string();
    text.push_str("\x1b[?1006;1000h\x1b[H\x1b[2J");
    for i in 0..n {
        text.push_str(&format!("\x1b[{};{}H", i % 23 + 1, i * 7 % 70 + 1));
        text.push_str(&format!(
            "\x1b[38;5;{}m\x1b[4{}mcell {i} ✓\x1b[m",
            i % 256,
            i % 8
        ));
        if i % 40 == 39 {
            text.push_str("\x1b[H\x1b[2J\x1b[24;1H\x1b[7mstatus line\x1b[m\x1b[K");
        }
    }
    text
}

#[test]
fn every_kind_of_program_is_restored_exactly_at_every_cut() {
    let leave = "\x1b[?1006;1000l\x1b[?1l\x1b>\x1b[?1049l\x1b[?25h$ ";
    let streams = [
        ("shell", shell_session(12)),
        ("progress", format!("{}{}", shell_session(2), progress(60))),
        ("tui", full_screen(60)),
        (
            "tui and back",
            format!(
                "{}{}{leave}{}",
                shell_session(9),
                full_screen(20),
                shell_session(2)
            ),
        ),
        ("wide", "日本語テキスト🎉e\u{301}👩‍👩‍👧x".repeat(40)),
    ];
    for (name, stream) in streams {
        let bytes = stream.as_bytes();
        let step = 1 + bytes.len() / 150;
        for cut in (0..=bytes.len()).step_by(step) {
            let mut world = Comparison::new(ROWS, COLS, 1 << 20);
            world.feed(&bytes[..cut]);
            let what = format!("{name} cut at {cut}");
            world.check(&what);
            // The stream that follows shows the same on both.
            let mut fresh = world.attached(100);
            fresh.process(&bytes[cut..]);
            world.reference.process(&bytes[cut..]);
            assert_eq!(
                look(&mut fresh),
                look(&mut world.reference),
                "{what}, then the rest"
            );
            for parser in [&mut fresh, &mut world.reference] {
                parser.process(b"\x1b[?1049l");
            }
            assert_eq!(
                look(&mut fresh),
                look(&mut world.reference),
                "{what}, then left"
            );
        }
    }
}

#[test]
fn a_ring_that_forgot_the_beginning_is_enough() {
    let mut world = Comparison::new(ROWS, COLS, 16 * 1024);
    world.feed(shell_session(400).as_bytes());
    world.check("shell");
    world.feed(full_screen(2000).as_bytes());
    assert!(world.ring.tail() > 0 && world.terminal.tracker().alternate());
    world.check("entered the alternate screen long ago");
    world.feed(b"\x1b[?1006;1000l\x1b[?1l\x1b>\x1b[?25h\x1b[?1049l");
    world.feed(shell_session(5).as_bytes());
    let shown = world.text();
    assert!(
        !shown.contains("cell"),
        "what the full screen program drew is gone: {shown}"
    );
    world.feed(shell_session(9).as_bytes());
    world.check("left it again");
}

#[test]
fn history_lands_above_the_screen_once_and_in_order() {
    let mut world = Comparison::new(10, 40, 1 << 20);
    for n in 0..300 {
        world.feed(format!("\x1b[3{}mline {n}\x1b[m\r\n", n % 8).as_bytes());
    }
    world.feed(format!("{}\r\nend", "wrapped ".repeat(20)).as_bytes());
    for (attached, lines) in [(0, 0), (50, 50), (1000, 300)] {
        let mut fresh = parser(10, 40);
        let snapshot = world.snapshot(attached);
        fresh.process(&snapshot);
        let screen = fresh.screen_mut();
        screen.set_scrollback(usize::MAX);
        let len = screen.scrollback_len();
        let mut found = Vec::new();
        for back in (1..=len).rev() {
            screen.set_scrollback(back);
            found.extend(screen.rows(0, 40).next());
        }
        let numbered = found
            .iter()
            .filter(|line| line.starts_with("line "))
            .count();
        assert!(
            numbered + 10 >= lines && numbered <= lines,
            "{attached}: {numbered}"
        );
        let numbers: Vec<u32> = found
            .iter()
            .filter_map(|line| line.strip_prefix("line ")?.parse().ok())
            .collect();
        assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "{numbers:?}");
    }
}

#[test]
fn a_snapshot_never_asks_the_terminal_anything() {
    let mut world = Comparison::new(ROWS, COLS, 1 << 20);
    let asking = "\x1b[c\x1b[>c\x1b[5n\x1b[6n\x1b[?6n\x1b[?25$p\x1b[>q\x1b]11;?\x07\
                  \x1b]10;#fff;?\x07\x1b]4;1;?\x07\x1b]52;c;?\x07\x1bP+q544e\x1b\\\
                  \x1bP$qm\x1b\\\x1b[?u\x1b[18t\x05\x07\x1b]2;\x1b[6n\x07\
                  \x1b_Gi=1,a=q;\x1b\\";
    world.feed(asking.as_bytes());
    world.feed(shell_session(3).as_bytes());
    for history in [0, 100] {
        let snapshot = world.snapshot(history);
        let mut asked = Tracker::new(0);
        asked.feed(&snapshot);
        assert_eq!(asked.take_queries(), []);
        let text = String::from_utf8_lossy(&snapshot).into_owned();
        for other in ["?\x07", "\x1bP", "[?u", "[18t", "\x05", ";?"] {
            assert!(!text.contains(other), "{other:?} in {text:?}");
        }
    }
}

#[test]
fn modes_that_the_model_does_not_know_come_from_the_tracker() {
    let mut world = Comparison::new(ROWS, COLS, 1 << 20);
    world.feed(
        b"\x1b[>1u\x1b[?1004h\x1b[?1047h\x1b[>5u\x1b]2;title\x07\x1b[5 q\x1b[3;9rtext\x1b[?2026h",
    );
    let mut again = Tracker::new(0);
    again.feed(&world.snapshot(10));
    again.take_queries();
    let mut expected = Tracker::new(0);
    expected.feed(&world.terminal.tracker().restore_sequence());
    assert_eq!(again.restore_sequence(), expected.restore_sequence());
}

#[test]
fn what_hides_the_rest_from_the_terminal_comes_last() {
    let mut world = Comparison::new(ROWS, COLS, 1 << 20);
    world.feed(b"\x1b%@\x1b[1$}\x1b[?2l\x1b[?2004htext");
    let kept = world.ring.read(0).slices;
    let picture = world.terminal.picture_within(kept, (ROWS, COLS));
    for output in [world.snapshot(10), picture] {
        assert!(output.ends_with(b"\x1b%@\x1b[1$}\x1b[?2l"), "{output:?}");
    }
}

#[test]
fn line_drawing_shows_as_lines() {
    let mut world = Comparison::new(5, 20, 1 << 20);
    world.feed(b"\x1b(0lqk\x1b(B\r\n\x1b)0\x0ex\x0fax");
    assert_eq!(world.text(), "┌─┐\n│ax");
    let look = world.terminal.peek(world.ring.read(0).slices, false);
    assert_eq!(look.cursor, (1, 3));
}

/// A terminal of another size, after a snapshot for that size.
fn within(world: &Comparison, history: usize, size: (u16, u16)) -> vt100::Parser {
    let mut fresh = parser(size.0, size.1);
    let kept = world.ring.read(0).slices;
    fresh.process(&world.terminal.snapshot_within(kept, history, size));
    fresh
}

#[test]
fn on_a_smaller_terminal_no_row_is_drawn_into_another() {
    let mut world = Comparison::new(30, 100, 1 << 20);
    for n in 1..30 {
        let line = format!("row{n:02}-{}-END{n:02}\r\n", "x".repeat(86));
        world.feed(line.as_bytes());
    }
    world.feed(b"$ ");
    for history in [0, 10, 200] {
        let shown = within(&world, history, (24, 80)).screen().contents();
        let lines: Vec<&str> = shown.lines().collect();
        // Long lines wrap, as when a window shrinks.
        let long = ["row29-", &"x".repeat(86), "-END29"].concat();
        assert_eq!(lines.last(), Some(&"$ "), "{shown}");
        let last = lines[..lines.len() - 1].concat();
        assert!(last.ends_with(&long), "{shown}");
    }
    world.feed(b"\x1b[?1049h\x1b[H");
    for n in 1..=30 {
        let line = format!("\x1b[{n};1Hline{n:02} {}\u{65e5}\u{672c}|", "-".repeat(70));
        world.feed(line.as_bytes());
    }
    let shown = within(&world, 200, (24, 80)).screen().contents();
    for (index, line) in shown.lines().enumerate() {
        let n = index + 1;
        assert!(line.starts_with(&format!("line{n:02} ---")), "{shown}");
        // A wide character that is cut in two disappears.
        assert!(line.trim_end().ends_with("-\u{65e5}"), "{shown}");
    }
    assert_eq!(shown.lines().count(), 24, "{shown}");
    world.feed(b"\x1b[?1049l");
    let mut same = within(&world, 200, (30, 100));
    let larger = within(&world, 200, (50, 200));
    assert_eq!(look(&mut same), look(&mut world.reference));
    assert_eq!(larger.screen().contents(), same.screen().contents());
}

#[test]
fn no_output_and_no_size_is_too_odd() {
    for (rows, cols) in [
        (0, 0),
        (1, 1),
        (1, 80),
        (24, 1),
        (2, 2),
        (1000, 1000),
        (65535, 65535),
    ] {
        for stream in [
            "",
            "x",
            "日本\r\nabc\u{301}\x1b[5S\x1b[9999b\x1b[2;1r\x1b[L\x1b[?6h\x1b[9;9H",
        ] {
            let mut terminal = Terminal::new(0, rows, cols);
            terminal.feed(stream.as_bytes());
            let bytes = (stream.as_bytes(), &b""[..]);
            assert!(!terminal.snapshot(bytes, 10).is_empty());
            for smaller in [(0, 0), (1, 1), (1, 300), (7, 3), (65535, 1)] {
                let snapshot = terminal.snapshot_within(bytes, 10, smaller);
                assert!(!snapshot.is_empty());
            }
            let look = terminal.peek(bytes, true);
            assert!(look.lines.len() <= usize::from(rows.max(2)));
        }
    }
}

#[test]
fn where_the_ring_wraps_does_not_show_however_often_something_is_repeated() {
    let stream = b"ab\x1b[59011bcd\x1b[59011b\x1b[3;3Hef\x1b[59011bg";
    let mut terminal = Terminal::new(0, 3, 7);
    terminal.feed(stream);
    let whole = terminal.snapshot((stream, b""), 20);
    for seam in 0..stream.len() {
        assert_eq!(
            terminal.snapshot(stream.split_at(seam), 20),
            whole,
            "{seam}"
        );
    }
}

/// Processor time of this thread to peek at `len` bytes of repeated `piece`.
fn work_of(piece: &str, len: usize, (rows, cols): (u16, u16)) -> Duration {
    let spent = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
    };
    let mut terminal = Terminal::new(0, rows, cols);
    let stream = piece.repeat(len / piece.len());
    terminal.feed(stream.as_bytes());
    let before = spent();
    terminal.peek((stream.as_bytes(), b""), false);
    spent() - before
}

/// Measures both in turn, so that the speed of the machine does not matter.
#[test]
fn a_few_bytes_cannot_ask_for_much_work() {
    // No shortcut skips tabs.
    let plain = work_of("plain\ttext ", 8 << 20, (24, 80));
    let pieces = [
        "\x1b[2J",
        "\x1b[65535b",
        "x\x1b[65535b",
        "\x1b[999S",
        "\x1b[999L",
        "\x1b[2;9r\x1b[999T",
        "\x1b[9@",
        "\n",
        "\x1bc",
        "\x1b[?1049h\x1b[?1049l",
        "\u{301}",
        "\x1b[9Z\x1b[9I",
        "\x1b[1000S",
        "\x1b[S",
        "\x1b[500L",
        "\x1b[500M",
        "\x1b[500T",
        "\x1b[T",
        "\x1bM",
        "\x1bD",
        "\x1b#8",
        "x\x1b[2J",
        "x\x1bc",
        "\x1b[2J\x1b[999b",
    ];
    for size in [(24, 80), (300, 300), (1000, 1000)] {
        for piece in pieces {
            let spent = work_of(piece, 64 << 10, size);
            eprintln!("{size:?} {piece:?} {spent:?}, {plain:?}");
            assert!(
                spent < plain,
                "{piece:?} took {spent:?} on {size:?}, plain text {plain:?}"
            );
        }
    }
}
