//! The snapshot for an attaching client, from any output and any retained part of it. It is bounded
//! and contains no query, because the terminal would type the answer.

#![no_main]

use libfuzzer_sys::{arbitrary, fuzz_target};
use taskmaster::terminal::{Handler, Scanner, Terminal};

#[derive(Debug, Clone, Copy, arbitrary::Arbitrary)]
struct Input<'a> {
    /// Number of bytes that the ring has dropped.
    forgotten: u16,
    /// Where the ring's two slices meet.
    seam: u16,
    rows: u8,
    cols: u8,
    history: u8,
    ansi: bool,
    bytes: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let bytes = input.bytes;
    // Small sizes too, but none that takes long.
    let (rows, cols) = (u16::from(input.rows % 48), u16::from(input.cols % 96));
    let mut terminal = Terminal::new(0, rows, cols);
    terminal.feed(bytes);
    let kept = &bytes[usize::from(input.forgotten).min(bytes.len())..];
    let pieces = kept.split_at(usize::from(input.seam).min(kept.len()));

    let history = usize::from(input.history % 64);
    let shown = terminal.snapshot(pieces, history);
    assert_eq!(
        shown,
        terminal.snapshot((kept, &[]), history),
        "the wrap of the ring changes the snapshot"
    );
    // For a smaller terminal, only check that it does not panic.
    terminal.snapshot_within(pieces, history, (rows / 2, cols.saturating_sub(1)));
    let begun = usize::try_from(terminal.tracker().pending())
        .unwrap_or(0)
        .min(kept.len());
    let begun = if shown.ends_with(&kept[kept.len() - begun..]) {
        begun
    } else {
        0
    };
    expect_no_question(&shown[..shown.len() - begun]);
    expect_bounded(&shown, bytes.len(), (rows, cols), history);

    let plain = terminal.peek(pieces, false);
    let has_sequence = |line: &String| line.contains('\x1b');
    assert!(
        !plain.lines.iter().any(has_sequence),
        "plain text contains sequences"
    );
    let (row, col) = plain.cursor;
    assert!(
        row < rows.max(2) && col < cols.max(2),
        "the cursor is off the screen"
    );
    let screen = terminal.peek(pieces, input.ansi);
    assert!(screen.lines.len() <= usize::from(rows.max(2)));
    for line in &screen.lines {
        expect_no_question(line.as_bytes());
    }
});

/// The bound: cells of both screens and the history, each at its largest encoding.
fn expect_bounded(shown: &[u8], written: usize, size: (u16, u16), history: usize) {
    let rows = usize::from(size.0.max(2)) * 2 + history + 2;
    let cells = rows * usize::from(size.1.max(2));
    let most = 16 * 1024 + cells * 100 + rows * 32 + 4 * written;
    assert!(
        shown.len() <= most,
        "{} bytes for {cells} cells",
        shown.len()
    );
}

/// Checks that the bytes contain nothing that a terminal answers.
fn expect_no_question(bytes: &[u8]) {
    let mut terminal = Terminal::new(0, 24, 80);
    terminal.feed(bytes);
    assert_eq!(terminal.tracker_mut().take_queries(), []);
    let mut questions = Questions::default();
    Scanner::default().feed(bytes, &mut questions);
    assert_eq!(questions.0, Vec::<String>::new());
}

#[derive(Default)]
struct Questions(Vec<String>);

impl Questions {
    fn add(&mut self, kind: char, body: &[u8], last: u8) {
        let body = String::from_utf8_lossy(body);
        self.0
            .push(format!("{kind} {body:?} {:?}", char::from(last)));
    }
}

impl Handler for Questions {
    fn text(&mut self, bytes: &[u8]) {
        if bytes.contains(&0x05) {
            self.add('t', b"ENQ", 0x05);
        }
    }

    fn control(&mut self, byte: u8) {
        if byte == 0x05 {
            self.add('t', b"ENQ", byte);
        }
    }

    fn escape(&mut self, intermediates: &[u8], last: u8) {
        if (intermediates, last) == (b"", b'Z') {
            self.add('e', intermediates, last);
        }
    }

    fn csi(&mut self, body: &[u8], last: u8) {
        let marked = body.first().is_some_and(|byte| b"<=>?".contains(byte));
        let asks = match last {
            b'c' | b'x' => true,
            // With `>` it turns modifiers of keys off. But a terminal that ignores the prefix
            // answers to 5 and 6.
            b'n' => !matches!(body, [b'>', b'0'..=b'4' | b'7']),
            // 22 and 23 save and restore the title; with a prefix these are settings.
            b't' => !marked && !body.starts_with(b"22") && !body.starts_with(b"23"),
            b'p' => body.ends_with(b"$"),
            b'q' => body.first() == Some(&b'>'),
            b'u' => body.first() == Some(&b'?'),
            b'y' => body.ends_with(b"*"),
            b'm' => body.first() == Some(&b'?'),
            b'w' => body.ends_with(b"$"),
            b'S' => marked,
            _ => false,
        };
        if asks {
            self.add('[', body, last);
        }
    }

    fn string(&mut self, kind: u8, data: &[u8], _whole: bool) {
        // A title or link may contain a question mark. As a colour, it is a query.
        let titled = data.starts_with(b"0;") || data.starts_with(b"2;") || data.starts_with(b"8;");
        let asks = match kind {
            b']' => !titled && data.split(|byte| *byte == b';').any(|part| part == b"?"),
            b'P' => true,
            b'_' => data.first() == Some(&b'G'),
            _ => false,
        };
        if asks {
            self.add(char::from(kind), data, 0);
        }
    }
}
