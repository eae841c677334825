//! A terminal emulator without a window: processes a stream and holds the screens.

use crate::terminal::csi_params::Params;
use crate::terminal::modes::{Charsets, line_drawing};
use crate::terminal::scanner::{Handler, Scanner};
use crate::terminal::screen::Screens;
use crate::terminal::shortcut;

/// Characters that REP and DECALN write within [`REPEATS_SPAN`], so that few bytes cannot cause
/// much work.
const REPEATS_MAX: usize = 64 * 1024;

/// Memory of links, combining characters and underline colours that a model keeps, in bytes.
const EXTRAS_MAX: usize = 2 * 1024 * 1024;

/// Work with rows within [`REPEATS_SPAN`]: a row that moves counts 1, one that is emptied up to 4.
/// Sequences beyond that are ignored.
const ROWS_WORK_MAX: usize = 64 * 1024;

/// Bytes of the stream over which such work is limited. Spans count from the start of the
/// stream, so that the limit does not depend on how the stream was cut.
const REPEATS_SPAN: u64 = 4096;

/// The screens at one point of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    scanner: Scanner,
    canvas: Canvas,
}

/// Applies the scanner's reports to the screens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Canvas {
    screen: Screens,
    /// The start of an incomplete character.
    partial: Vec<u8>,
    /// Bytes of all earlier chunks.
    fed: u64,
    /// Where the current report ends, within the chunk.
    at: u64,
    /// The span of the last sequence that can cause much work, and what such have done there.
    repeated: Repeated,
}

/// Work that few bytes caused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Repeated {
    span: u64,
    characters: usize,
    rows: usize,
}

impl Model {
    /// A fresh terminal.
    pub(crate) fn new(rows: u16, cols: u16) -> Model {
        Model {
            scanner: Scanner::default(),
            canvas: Canvas {
                screen: Screens::new(rows, cols),
                partial: Vec::new(),
                fed: 0,
                at: 0,
                repeated: Repeated::default(),
            },
        }
    }

    /// Processes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let skipped = match self.scanner.in_sequence() {
            true => 0,
            false => self.canvas.skip(bytes),
        };
        let bytes = &bytes[skipped..];
        self.scanner.feed(bytes, &mut self.canvas);
        self.canvas.fed += bytes.len() as u64;
        self.canvas.at = 0;
    }

    /// Prints a character that an incomplete sequence has cut short.
    pub(crate) fn catch_up(&mut self) {
        if self.scanner.in_sequence() {
            self.canvas.end_character();
        }
    }

    /// Empties the screens and drops an incomplete sequence; keeps saved cursors and settings.
    pub(crate) fn forget_text(&mut self) {
        self.scanner = Scanner::default();
        self.canvas.partial = Vec::new();
        self.canvas.repeated = Repeated::default();
        self.canvas.screen.forget_text();
    }

    /// Drops links, combining characters and underline colours if they take too much memory.
    /// Returns whether they did.
    pub(crate) fn limit_memory(&mut self) -> bool {
        let over = self.canvas.screen.extras() > EXTRAS_MAX;
        if over {
            self.canvas.screen.drop_extras();
        }
        over
    }

    /// Whether a new model of this size would be the same.
    pub(crate) fn is_fresh(&self, rows: u16, cols: u16) -> bool {
        self.canvas.screen.is_like(&Screens::new(rows, cols))
    }

    /// Approximate memory in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.canvas.screen.memory()
    }

    pub(crate) fn screen(&self) -> &Screens {
        &self.canvas.screen
    }

    pub(crate) fn screen_mut(&mut self) -> &mut Screens {
        &mut self.canvas.screen
    }
}

impl Canvas {
    /// Skips text that later text scrolls away. Returns its length in bytes.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        let screen = &mut self.screen;
        let cursor = &screen.page().cursor;
        let column = cursor.col + usize::from(cursor.pending);
        let confined =
            (screen.top, screen.bottom) != (0, screen.rows) || screen.scrollback.is_some();
        let moved = screen.insert || screen.newline || !screen.autowrap;
        if confined || moved || !self.partial.is_empty() || cursor.charsets.draws_lines() {
            return 0;
        }
        // The last row that is skipped is not complete.
        let rows = screen.rows + screen.history_max + 1;
        let Some(shortcut) = shortcut::find(bytes, column, screen.cols, rows) else {
            return 0;
        };
        let cols = screen.cols;
        let cursor = screen.cursor();
        cursor.pending = shortcut.column == cols;
        cursor.col = shortcut.column - usize::from(cursor.pending);
        screen.last = shortcut.last.map(char::from).or(screen.last);
        self.fed += shortcut.len as u64;
        shortcut.len
    }

    /// Prints text, of which the last character may be incomplete.
    fn decode(&mut self, bytes: &[u8]) {
        let mut left = bytes.len();
        for chunk in bytes.utf8_chunks() {
            let (valid, invalid) = (chunk.valid(), chunk.invalid());
            self.characters(valid);
            left -= valid.len() + invalid.len();
            let unfinished = |error: std::str::Utf8Error| error.error_len().is_none();
            match std::str::from_utf8(invalid) {
                Err(error) if unfinished(error) && left == 0 => self.partial.extend(invalid),
                Err(_) => self.screen.print(char::REPLACEMENT_CHARACTER),
                Ok(_) => {}
            }
        }
    }

    fn characters(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let plain = |byte: &u8| (0x20..0x7f).contains(byte);
            if plain(&byte) {
                let rest = &bytes[at..];
                let len = rest
                    .iter()
                    .position(|byte| !plain(byte))
                    .unwrap_or(rest.len());
                self.plain(&rest[..len]);
                at += len;
            } else if byte < 0x80 {
                self.control_character(byte);
                at += 1;
            } else {
                let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) else {
                    return;
                };
                self.screen.print(character);
                at += character.len_utf8();
            }
        }
    }

    fn plain(&mut self, text: &[u8]) {
        if !self.screen.cursor().charsets.draws_lines() {
            return self.screen.print_plain(text);
        }
        for byte in text {
            let character = line_drawing(*byte).unwrap_or(char::from(*byte));
            self.screen.print(character);
        }
    }

    fn control_character(&mut self, byte: u8) {
        let screen = &mut self.screen;
        match byte {
            0x08 => screen.backspace(),
            b'\t' => screen.tab(1),
            b'\n' | 0x0b | 0x0c => {
                screen.line_feed();
                if screen.newline {
                    screen.carriage_return();
                }
            }
            b'\r' => screen.carriage_return(),
            0x0e | 0x0f => screen.cursor().charsets.shift = 0x0f - byte,
            _ => {}
        }
    }

    /// Prints a replacement for a character that other output has cut short.
    fn end_character(&mut self) {
        if !self.partial.is_empty() {
            self.partial.clear();
            self.screen.print(char::REPLACEMENT_CHARACTER);
        }
    }

    fn plain_csi(&mut self, params: &Params, intermediates: &[u8], last: u8) {
        let screen = &mut self.screen;
        let first = usize::from(params.first());
        let count = first.max(1);
        let second = usize::from(params.get(1)).max(1);
        match (intermediates, last) {
            (b"", b'J' | b'L' | b'M' | b'S' | b'T') => self.change_rows(params, last),
            (b"", b'@') => screen.insert_characters(count),
            (b"", b'A') => screen.up(count),
            (b"", b'B' | b'e') => screen.down(count),
            (b"", b'C' | b'a') => {
                let col = screen.cursor().col;
                screen.go_to_col(col.saturating_add(count));
            }
            (b"", b'D') => {
                let col = screen.cursor().col;
                screen.go_to_col(col.saturating_sub(count));
            }
            (b"", b'E') => {
                screen.down(count);
                screen.carriage_return();
            }
            (b"", b'F') => {
                screen.up(count);
                screen.carriage_return();
            }
            (b"", b'G' | b'`') => screen.go_to_col(count - 1),
            (b"", b'H' | b'f') => screen.go_to(count - 1, second - 1),
            (b"", b'I') => screen.tab(count),
            (b"", b'K') => screen.erase_line(params.first()),
            (b"", b'P') => screen.delete_characters(count),
            (b"", b'X') => screen.erase_characters(count),
            (b"", b'Z') => screen.back_tab(count),
            (b"", b'b') => self.repeat(count),
            (b"", b'd') => screen.go_to_row(count - 1),
            (b"", b'g') if first == 0 => screen.set_tab(false),
            (b"", b'g') if first == 3 => screen.clear_tabs(),
            (b"", b'h' | b'l') => {
                for mode in params.iter() {
                    match mode {
                        4 => screen.insert = last == b'h',
                        20 => screen.newline = last == b'h',
                        _ => {}
                    }
                }
            }
            (b"", b'r') => screen.set_margins(first, params.get(1).into()),
            (b"", b's') => screen.save_cursor(),
            (b"", b'u') => screen.restore_cursor(),
            (b"!", b'p') => screen.soft_reset(),
            _ => {}
        }
    }

    /// The control sequences that empty or move many rows.
    fn change_rows(&mut self, params: &Params, last: u8) {
        let count = usize::from(params.first()).max(1);
        let (top, rows) = (self.screen.top, self.screen.rows);
        let region = self.screen.bottom - top;
        let work = match last {
            // Rows that are empty already take next to no time.
            b'J' => rows / 4,
            _ => region + 4 * count.min(region),
        };
        if !self.afford(work) {
            return;
        }
        let screen = &mut self.screen;
        match last {
            b'J' => screen.erase_display(params.first()),
            b'L' => screen.shift_rows(count, true),
            b'M' => screen.shift_rows(count, false),
            b'S' => screen.scroll_up(top, count),
            // With more parameters the sequence is about the mouse.
            b'T' if params.len() < 2 => screen.scroll_down(top, count),
            _ => {}
        }
    }

    /// RIS.
    fn reset(&mut self) {
        if self.afford(self.screen.rows / 2) {
            self.screen.clear_pages();
        }
        self.screen.reset_modes();
    }

    /// Whether this work with rows is within the limit, which it then counts against. The first
    /// sequence of a span is done on a screen of any size.
    fn afford(&mut self, work: usize) -> bool {
        let repeated = self.repeated();
        let within = repeated.rows == 0 || repeated.rows + work <= ROWS_WORK_MAX;
        repeated.rows += if within { work } else { 0 };
        within
    }

    fn repeat(&mut self, count: usize) {
        let repeated = self.repeated();
        let count = count.min(REPEATS_MAX.saturating_sub(repeated.characters));
        repeated.characters += count;
        self.screen.repeat(count);
    }

    fn fill_with_e(&mut self) {
        let cells = self.screen.rows * self.screen.cols;
        let repeated = self.repeated();
        // The first one is done on a screen of any size.
        if repeated.characters == 0 || repeated.characters + cells <= REPEATS_MAX {
            repeated.characters += cells;
            self.screen.fill_with_e();
        }
    }

    /// The work in the span of the current report. What exceeded the limit of a span, since the
    /// first sequence is always done, counts in the next ones.
    fn repeated(&mut self) -> &mut Repeated {
        let span = (self.fed + self.at) / REPEATS_SPAN;
        let passed = usize::try_from(span.saturating_sub(self.repeated.span)).unwrap_or(usize::MAX);
        let left = |work: usize, max: usize| work.saturating_sub(max.saturating_mul(passed));
        self.repeated = Repeated {
            span,
            characters: left(self.repeated.characters, REPEATS_MAX),
            rows: left(self.repeated.rows, ROWS_WORK_MAX),
        };
        &mut self.repeated
    }

    fn private_mode(&mut self, mode: u16, on: bool) {
        let screen = &mut self.screen;
        match mode {
            6 => {
                screen.origin = on;
                screen.go_to(0, 0);
            }
            7 => screen.autowrap = on,
            47 | 1047 | 1049 => screen.switch(mode, on),
            1048 if on => screen.save_cursor(),
            1048 => screen.restore_cursor(),
            _ => {}
        }
    }
}

impl Handler for Canvas {
    fn at(&mut self, end: usize) {
        self.at = end as u64;
    }

    fn text(&mut self, bytes: &[u8]) {
        if self.partial.is_empty() {
            return self.decode(bytes);
        }
        // An incomplete character misses at most three bytes.
        let (mut joined, rest) = (std::mem::take(&mut self.partial), bytes);
        let continues = |byte: &&u8| (0x80..0xc0).contains(*byte);
        let n = rest.iter().take(3).take_while(continues).count();
        joined.extend(&rest[..n]);
        let rest = &rest[n..];
        self.decode(&joined);
        if !rest.is_empty() {
            self.end_character();
            self.decode(rest);
        }
    }

    fn control(&mut self, byte: u8) {
        self.end_character();
        self.control_character(byte);
    }

    fn escape(&mut self, intermediates: &[u8], last: u8) {
        self.end_character();
        let screen = &mut self.screen;
        match (intermediates, last) {
            (b"", b'7') => screen.save_cursor(),
            (b"", b'8') => screen.restore_cursor(),
            (b"", b'D') => screen.line_feed(),
            (b"", b'E') => {
                screen.line_feed();
                screen.carriage_return();
            }
            (b"", b'H') => screen.set_tab(true),
            (b"", b'M') => screen.reverse_line_feed(),
            (b"", b'c') => self.reset(),
            (b"#", b'8') => self.fill_with_e(),
            _ => {
                let charsets: &mut Charsets = &mut screen.cursor().charsets;
                charsets.designate(intermediates, last);
            }
        }
    }

    fn csi(&mut self, body: &[u8], last: u8) {
        self.end_character();
        let (prefix, params, intermediates) = Params::parse(body);
        match (prefix, last) {
            (None, b'm') if intermediates.is_empty() => {
                let pen = &mut self.screen.cursor().pen;
                pen.select(params.bytes());
            }
            (None, _) => self.plain_csi(&params, intermediates, last),
            (Some(b'?'), b'h' | b'l') if intermediates.is_empty() => {
                for mode in params.iter() {
                    self.private_mode(mode, last == b'h');
                }
            }
            (Some(b'?'), b'J') => self.change_rows(&params, b'J'),
            (Some(b'?'), b'K') => self.screen.erase_line(params.first()),
            (Some(b'?'), b'W') if params.first() == 5 => self.screen.tabs = None,
            _ => {}
        }
    }

    fn string(&mut self, kind: u8, data: &[u8], whole: bool) {
        self.end_character();
        let Some(link) = data.strip_prefix(b"8;") else {
            return;
        };
        if kind != b']' {
            return;
        }
        let open = link
            .iter()
            .position(|byte| *byte == b';')
            .is_some_and(|at| at + 1 < link.len());
        let printable =
            std::str::from_utf8(link).is_ok_and(|link| !link.contains(char::is_control));
        let shown = open && whole && printable;
        let pen = &mut self.screen.cursor().pen;
        pen.set_link(shown.then_some(link));
    }
}
