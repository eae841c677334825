//! Feeds kept output to a terminal model, starting where that makes sense.
//!
//! On the way the stream is put into words that the model knows (line drawing characters, one
//! kind of alternate screen), and bounded: a few bytes may ask a terminal for a lot of work, and
//! whoever attaches should not wait for that.

use super::modes::Charsets;
use super::scan::{Scanner, Sink};
use super::tracker::Tracker;
use memchr::{memchr_iter, memrchr_iter};
use std::num::NonZeroU16;

/// Cells that a replay may touch beyond plain text; what is older is left out.
const WORK_MAX: u64 = 8 << 20;

/// The smallest size that the model stands, and the largest that is worth its memory.
const SIZES: std::ops::RangeInclusive<u16> = 2..=1000;

/// Output that settles what a main screen shows.
const ENOUGH: usize = 64 * 1024;

/// Lines of text that are counted as one piece of work.
const LINES: usize = 16;

/// Handed to the model at once.
const CHUNK: usize = 16 * 1024;

/// A model of the terminal after all that is kept was written to it.
pub(super) struct Replay {
    pub parser: vt100::Parser,
    pub rows: u16,
    pub cols: u16,
}

impl Replay {
    /// Replays `bytes`, the last that `tracker` was fed. May panic where the model does.
    pub fn new(
        bytes: (&[u8], &[u8]),
        tracker: &Tracker,
        rows: u16,
        cols: u16,
        history: usize,
    ) -> Replay {
        let (rows, cols) = (clamp(rows), clamp(cols));
        let parser = vt100::Parser::new(rows, cols, history);
        let (rows, cols) = (rows.get(), cols.get());
        let lines = history + usize::from(rows) * 2;
        let bytes = skip(bytes, surplus(bytes, tracker, lines));
        let kept = (bytes.0.len() + bytes.1.len()) as u64;
        let oldest = tracker.offset().saturating_sub(kept);
        let whole = oldest == 0 || oldest == tracker.start();
        let begin = beginning(bytes, whole, rows, cols);
        let offset = oldest + begin as u64;
        let mut feeder = Feeder {
            parser,
            out: Vec::with_capacity(CHUNK),
            charsets: Charsets::default(),
            repeats: 0,
        };
        feeder.seed(tracker, offset);
        let mut scanner = Scanner::default();
        let (first, second) = skip(bytes, begin);
        scanner.feed(first, &mut feeder);
        scanner.feed(second, &mut feeder);
        feeder.flush();
        Replay {
            parser: feeder.parser,
            rows,
            cols,
        }
    }
}

fn clamp(size: u16) -> NonZeroU16 {
    let size = size.clamp(*SIZES.start(), *SIZES.end());
    NonZeroU16::new(size).unwrap_or(NonZeroU16::MIN)
}

fn skip<'a>(bytes: (&'a [u8], &'a [u8]), n: usize) -> (&'a [u8], &'a [u8]) {
    let cut = n.min(bytes.0.len());
    (&bytes.0[cut..], &bytes.1[n - cut..])
}

/// How many of the oldest bytes cannot show any more: on the main screen all but so many lines
/// (and never less than [`ENOUGH`] bytes). Where the alternate screen was used all is looked at.
fn surplus(bytes: (&[u8], &[u8]), tracker: &Tracker, lines: usize) -> usize {
    let kept = bytes.0.len() + bytes.1.len();
    let newlines = memrchr_iter(b'\n', bytes.1)
        .map(|at| bytes.0.len() + at)
        .chain(memrchr_iter(b'\n', bytes.0));
    let first = newlines.take(lines + 1).last().unwrap_or(0);
    let surplus = first.min(kept.saturating_sub(ENOUGH));
    let offset = tracker.offset().saturating_sub((kept - surplus) as u64);
    match tracker.alternate() || tracker.switched_since(offset) {
        true => 0,
        false => surplus,
    }
}

/// How many of the oldest bytes to leave out: up to a clean point, and so that the work is bounded.
fn beginning(bytes: (&[u8], &[u8]), whole: bool, rows: u16, cols: u16) -> usize {
    let mut work = Work {
        cols: cols.into(),
        cells: u64::from(rows) * u64::from(cols),
        base: 0,
        at: 0,
        costs: Vec::new(),
        total: 0,
    };
    let mut scanner = Scanner::default();
    scanner.feed(bytes.0, &mut work);
    work.base = bytes.0.len();
    scanner.feed(bytes.1, &mut work);
    let mut left = work.total;
    let mut begin = 0;
    for (end, cost) in work.costs {
        if left <= WORK_MAX {
            break;
        }
        left -= cost;
        begin = end;
    }
    match begin {
        0 if !whole => clean(bytes),
        begin => begin,
    }
}

/// The first point after a newline or at an ESC.
fn clean(bytes: (&[u8], &[u8])) -> usize {
    let mut before = 0;
    for piece in [bytes.0, bytes.1] {
        if let Some(at) = piece.iter().position(|byte| matches!(byte, b'\n' | 0x1b)) {
            return before + at + usize::from(piece[at] == b'\n');
        }
        before += piece.len();
    }
    // One long line: at least not in the midst of a character.
    let all = bytes.0.iter().chain(bytes.1);
    all.take_while(|byte| (0x80..=0xbf).contains(*byte)).count()
}

/// Adds up what a stream asks of the model.
struct Work {
    cols: u64,
    cells: u64,
    base: usize,
    at: usize,
    /// Where each piece of work ends, and what it costs.
    costs: Vec<(usize, u64)>,
    total: u64,
}

impl Work {
    fn add(&mut self, cost: u64) {
        self.costs.push((self.base + self.at, cost));
        self.total += cost;
    }
}

impl Sink for Work {
    fn at(&mut self, end: usize) {
        self.at = end;
    }

    fn text(&mut self, bytes: &[u8]) {
        let end = self.at;
        for (n, newline) in memchr_iter(b'\n', bytes).enumerate() {
            if n % LINES == 0 {
                self.at = end - bytes.len() + newline + 1;
                self.add(LINES as u64 * self.cols);
            }
        }
        self.at = end;
    }

    fn escape(&mut self, _intermediates: &[u8], last: u8) {
        match last {
            b'c' => self.add(self.cells * 2),
            b'M' => self.add(self.cols),
            _ => {}
        }
    }

    fn csi(&mut self, body: &[u8], last: u8) {
        match last {
            b'J' | b'L' | b'M' | b'S' | b'T' => self.add(self.cells),
            b'h' | b'l' if body.first() == Some(&b'?') => self.add(self.cells),
            b'K' | b'P' | b'X' | b'@' => self.add(self.cols),
            b'b' => self.add(repeat_count(body)),
            _ => {}
        }
    }
}

fn repeat_count(body: &[u8]) -> u64 {
    let text = std::str::from_utf8(body).unwrap_or("");
    text.parse::<u64>().unwrap_or(1).clamp(1, u16::MAX.into())
}

/// Puts a stream into the model's words.
struct Feeder {
    parser: vt100::Parser,
    out: Vec<u8>,
    charsets: Charsets,
    repeats: u64,
}

impl Feeder {
    /// What was in force where the replay begins, as far as the tracker knows.
    fn seed(&mut self, tracker: &Tracker, offset: u64) {
        let state = &tracker.state;
        if tracker.alternate_at(offset) {
            self.out.extend_from_slice(b"\x1b[?1049h");
        }
        if state.charsets_at <= offset {
            self.charsets = state.charsets;
        }
        if let Some((top, bottom)) = state.margins
            && state.margins_at <= offset
        {
            self.out
                .extend_from_slice(format!("\x1b[{top};{bottom}r").as_bytes());
        }
    }

    fn write(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.out.extend_from_slice(part);
        }
        if self.out.len() >= CHUNK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.parser.process(&self.out);
        self.out.clear();
    }
}

impl Sink for Feeder {
    fn text(&mut self, bytes: &[u8]) {
        if !self.charsets.draws_lines() {
            self.write(&[bytes]);
            return;
        }
        for byte in bytes {
            match line_drawing(*byte) {
                Some(drawn) => self.write(&[drawn.encode_utf8(&mut [0; 4]).as_bytes()]),
                None => self.write(&[&[*byte]]),
            }
        }
    }

    fn control(&mut self, byte: u8) {
        match byte {
            0x0e => self.charsets.shifted = true,
            0x0f => self.charsets.shifted = false,
            _ => self.write(&[&[byte]]),
        }
    }

    fn escape(&mut self, intermediates: &[u8], last: u8) {
        if self.charsets.designate(intermediates, last) {
            return;
        }
        if intermediates.is_empty() && last == b'c' {
            self.charsets = Charsets::default();
        }
        self.write(&[b"\x1b", intermediates, &[last]]);
    }

    fn csi(&mut self, body: &[u8], last: u8) {
        match (body, last) {
            (b"?1047", b'h' | b'l') => self.write(&[b"\x1b[?47", &[last]]),
            (_, b'b') => {
                let count = repeat_count(body);
                self.repeats += count;
                if self.repeats <= WORK_MAX {
                    let count = count.to_string();
                    self.write(&[b"\x1b[", count.as_bytes(), b"b"]);
                }
            }
            _ => self.write(&[b"\x1b[", body, &[last]]),
        }
    }
}

/// The DEC special graphics: what a letter shows as.
fn line_drawing(byte: u8) -> Option<char> {
    const DRAWN: &str = " ◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·";
    let index = byte.checked_sub(0x5f)?;
    DRAWN.chars().nth(usize::from(index))
}

/// The last `lines` lines of the text alone, for when the model fails.
pub(super) fn text_alone(bytes: (&[u8], &[u8]), lines: usize) -> String {
    #[derive(Default)]
    struct Text(Vec<u8>);
    impl Sink for Text {
        fn text(&mut self, bytes: &[u8]) {
            let printable = |byte: &&u8| **byte >= 0x20 || matches!(**byte, b'\n' | b'\t');
            self.0.extend(bytes.iter().filter(printable));
        }
    }
    let mut text = Text::default();
    let mut scanner = Scanner::default();
    scanner.feed(bytes.0, &mut text);
    scanner.feed(bytes.1, &mut text);
    let text = String::from_utf8_lossy(&text.0);
    let all: Vec<&str> = text.lines().collect();
    let shown: Vec<String> = all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|line| {
            line.chars()
                .filter(|character| !character.is_control())
                .collect()
        })
        .collect();
    shown.join("\n")
}
