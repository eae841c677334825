//! What the tracker remembers, and how sequences change it.

use super::modes::{Charsets, Keyboard, PrivateModes};
use super::scan::Sink;
use super::tracker::Query;
use std::collections::VecDeque;

/// The longest title, link or colour that is remembered, in bytes.
const TEXT_MAX: usize = 512;

/// Queries that may wait to be taken.
const QUERIES_MAX: usize = 64;

/// Changes between the two screens that are remembered.
const SWITCHES_MAX: usize = 64;

/// The state proper; offsets are those of the ring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TerminalState {
    /// Of the chunk that is being scanned, and of what is reported in it.
    pub offset: u64,
    pub at: u64,
    pub modes: PrivateModes,
    insert: bool,
    newline: bool,
    /// Synchronised output: never restored, but ended.
    pub sync: bool,
    pub keypad: bool,
    cursor_shape: u16,
    pub keyboards: [Keyboard; 2],
    pub other_keys: u16,
    pub alternate: Option<u16>,
    /// Offsets after which the alternate screen was on or off.
    pub switches: VecDeque<(u64, bool)>,
    pub margins: Option<(u16, u16)>,
    pub margins_at: u64,
    side_margins: Option<(u16, u16)>,
    pub charsets: Charsets,
    pub charsets_at: u64,
    saved_charsets: [Charsets; 2],
    pub title: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    colours: [Option<Vec<u8>>; 3],
    pub painted_at: u64,
    pub queries: Vec<Query>,
}

impl TerminalState {
    pub fn new(offset: u64) -> TerminalState {
        TerminalState {
            offset,
            painted_at: offset,
            ..TerminalState::default()
        }
    }

    pub fn write_margins(&self, out: &mut Vec<u8>) {
        if self.modes.is_set(69) {
            out.extend_from_slice(b"\x1b[?69h");
        }
        if let Some((top, bottom)) = self.margins {
            out.extend_from_slice(format!("\x1b[{top};{bottom}r").as_bytes());
        }
        if let Some((left, right)) = self.side_margins {
            out.extend_from_slice(format!("\x1b[{left};{right}s").as_bytes());
        }
    }

    /// All that does not move the cursor.
    pub fn write_modes(&self, out: &mut Vec<u8>) {
        self.modes.write_set(&[6, 69], out);
        if self.insert {
            out.extend_from_slice(b"\x1b[4h");
        }
        if self.newline {
            out.extend_from_slice(b"\x1b[20h");
        }
        if self.keypad {
            out.extend_from_slice(b"\x1b=");
        }
        if self.other_keys != 0 {
            out.extend_from_slice(format!("\x1b[>4;{}m", self.other_keys).as_bytes());
        }
        if self.cursor_shape != 0 {
            out.extend_from_slice(format!("\x1b[{} q", self.cursor_shape).as_bytes());
        }
        self.charsets.write_set(out);
        for (number, colour) in (10..).zip(&self.colours) {
            if let Some(colour) = colour {
                write_string(&[format!("{number};").as_bytes(), colour], out);
            }
        }
        if let Some(title) = &self.title {
            write_string(&[b"2;", title], out);
        }
        if let Some(link) = self.link.as_ref().filter(|link| has_target(link)) {
            write_string(&[b"8;", link], out);
        }
    }

    /// Whether what is written pushes the rest of its row aside.
    pub fn is_inserting(&self) -> bool {
        self.insert
    }

    /// Everything after the input modes and the screens.
    pub fn undo_display(&self, out: &mut Vec<u8>) {
        let home = self.margins.is_some() || self.modes.is_set(69) || self.modes.is_set(6);
        if home {
            // These move the cursor, which stays where it is.
            out.extend_from_slice(b"\x1b7\x1b[r");
            self.modes.write_undone(|mode| mode == 69 || mode == 6, out);
            out.extend_from_slice(b"\x1b8");
            // Restoring the cursor restores its origin mode too.
            self.modes.write_undone(|mode| mode == 6, out);
        }
        if self.insert {
            out.extend_from_slice(b"\x1b[4l");
        }
        if self.newline {
            out.extend_from_slice(b"\x1b[20l");
        }
        self.modes
            .write_undone(|mode| [5, 7, 12, 45].contains(&mode), out);
        self.charsets.write_undone(out);
        if self.alternate == Some(1049) {
            // Leaving it has restored these.
            self.saved_charsets[0].write_undone(out);
        }
        if self.cursor_shape != 0 {
            out.extend_from_slice(b"\x1b[0 q");
        }
        self.modes.write_undone(|mode| mode == 25, out);
        if self.link.is_some() {
            out.extend_from_slice(b"\x1b]8;;\x07");
        }
        for (number, colour) in (110..).zip(&self.colours) {
            if colour.is_some() {
                write_string(&[format!("{number}").as_bytes()], out);
            }
        }
        out.extend_from_slice(b"\x1b[m");
    }

    fn position(&self) -> u64 {
        self.offset + self.at
    }

    fn switch(&mut self, mode: u16, on: bool) {
        let was = self.alternate.is_some();
        if on != was {
            if self.switches.len() == SWITCHES_MAX {
                self.switches.pop_front();
            }
            self.switches.push_back((self.position(), on));
        }
        self.alternate = on.then_some(mode);
        if on {
            self.painted_at = self.position();
            if !was {
                self.keyboards[1] = Keyboard::default();
            }
        }
    }

    fn save_cursor(&mut self) {
        self.saved_charsets[self.screen()] = self.charsets;
    }

    fn restore_cursor(&mut self) {
        let saved = self.saved_charsets[self.screen()];
        self.set_charsets(saved);
    }

    fn set_charsets(&mut self, charsets: Charsets) {
        if self.charsets != charsets {
            self.charsets = charsets;
            self.charsets_at = self.position();
        }
    }

    fn set_margins(&mut self, margins: Option<(u16, u16)>) {
        self.margins = margins;
        self.margins_at = self.position();
    }

    fn screen(&self) -> usize {
        usize::from(self.alternate.is_some())
    }

    fn private_mode(&mut self, mode: u16, on: bool) {
        match mode {
            47 | 1047 => self.switch(mode, on),
            1049 if on => {
                self.save_cursor();
                self.switch(mode, on);
            }
            1049 => {
                self.switch(mode, on);
                self.restore_cursor();
            }
            1048 if on => self.save_cursor(),
            1048 => self.restore_cursor(),
            66 => self.keypad = on,
            2026 => self.sync = on,
            69 => {
                self.side_margins = None;
                self.modes.set(mode, on);
            }
            _ => self.modes.set(mode, on),
        }
    }

    /// ESC c: everything is as in a fresh terminal.
    fn reset(&mut self) {
        let on_main = self.alternate.is_none();
        if !on_main {
            self.switch(0, false);
        }
        let fresh = TerminalState {
            offset: self.offset,
            at: self.at,
            switches: std::mem::take(&mut self.switches),
            margins_at: self.position(),
            charsets_at: self.position(),
            painted_at: self.position(),
            queries: std::mem::take(&mut self.queries),
            title: self.title.take(),
            colours: std::mem::take(&mut self.colours),
            ..TerminalState::default()
        };
        *self = fresh;
    }

    /// CSI ! p: the modes that would surprise the next program.
    fn soft_reset(&mut self) {
        for (mode, on) in [(25, true), (6, false), (7, true), (1, false), (69, false)] {
            self.modes.set(mode, on);
        }
        self.insert = false;
        self.keypad = false;
        self.side_margins = None;
        self.set_margins(None);
        self.set_charsets(Charsets::default());
        let screen = self.screen();
        self.saved_charsets[screen] = Charsets::default();
    }

    fn query(&mut self, query: Query) {
        if self.queries.len() < QUERIES_MAX {
            self.queries.push(query);
        }
    }

    /// Sequences without a private prefix.
    fn plain_csi(&mut self, params: &Params, intermediates: &[u8], last: u8) {
        let first = params.first();
        match (intermediates, last) {
            (b"", b'c') if first == 0 => self.query(Query::PrimaryAttributes),
            (b"", b'n') if first == 5 => self.query(Query::Status),
            (b"", b'n') if first == 6 => self.query(Query::CursorPosition { private: false }),
            (b"$", b'p') => self.query(Query::Mode {
                private: false,
                mode: first,
            }),
            (b"!", b'p') => self.soft_reset(),
            (b" ", b'q') => self.cursor_shape = first.min(6),
            (b"", b'h' | b'l') => {
                for mode in params.iter() {
                    match mode {
                        4 => self.insert = last == b'h',
                        20 => self.newline = last == b'h',
                        _ => {}
                    }
                }
            }
            (b"", b'r') => self.set_margins(params.margins()),
            (b"", b's') if self.modes.is_set(69) => self.side_margins = params.margins(),
            (b"", b's') => self.save_cursor(),
            (b"", b'u') => self.restore_cursor(),
            (b"", b'J') if first == 2 => self.painted_at = self.position(),
            _ => {}
        }
    }

    /// Sequences with a private prefix: one of `<=>?`.
    fn private_csi(&mut self, prefix: u8, params: &Params, intermediates: &[u8], last: u8) {
        let first = params.first();
        let screen = self.screen();
        match (prefix, intermediates, last) {
            (b'?', b"", b'h' | b'l') => {
                for mode in params.iter() {
                    self.private_mode(mode, last == b'h');
                }
            }
            (b'?', b"$", b'p') => self.query(Query::Mode {
                private: true,
                mode: first,
            }),
            (b'?', b"", b'n') if first == 6 => self.query(Query::CursorPosition { private: true }),
            (b'>', b"", b'c') if first == 0 => self.query(Query::SecondaryAttributes),
            (b'>', b"", b'q') if first == 0 => self.query(Query::Version),
            (b'>', b"", b'm') if first == 4 => self.other_keys = params.get(1),
            (b'>', b"", b'm') if params.is_empty() => self.other_keys = 0,
            (b'>', b"", b'n') if first == 4 => self.other_keys = 0,
            (b'>', b"", b'u') => self.keyboards[screen].push(first),
            (b'<', b"", b'u') => self.keyboards[screen].pop(first),
            (b'=', b"", b'u') => self.keyboards[screen].assign(first, params.get(1)),
            _ => {}
        }
    }

    /// Colours from this one on; a question mark asks for one instead.
    fn set_colours(&mut self, first: usize, values: &[u8]) {
        let values = values.split(|byte| *byte == b';');
        for (colour, value) in self.colours.iter_mut().skip(first).zip(values) {
            if !value.is_empty() && !value.contains(&b'?') {
                *colour = printable(value);
            }
        }
    }

    fn operating_system_command(&mut self, data: &[u8], whole: bool) {
        let cut = data
            .iter()
            .position(|byte| *byte == b';')
            .unwrap_or(data.len());
        let (number, value) = (&data[..cut], data.get(cut + 1..).unwrap_or(b""));
        match number {
            b"0" | b"2" => self.title = printable(value),
            b"8" => {
                let kept = whole && value.len() <= TEXT_MAX;
                let link = if kept { printable(value) } else { None };
                // A link too long to be remembered has still to be closed.
                self.link = has_target(value).then(|| link.unwrap_or_else(|| b";".to_vec()));
            }
            b"10" | b"11" | b"12" if whole => {
                let first = usize::from(number[1] - b'0');
                self.set_colours(first, value);
            }
            b"110" | b"111" | b"112" => self.colours[usize::from(number[2] - b'0')] = None,
            _ => {}
        }
    }
}

impl Sink for TerminalState {
    fn at(&mut self, end: usize) {
        self.at = end as u64;
    }

    fn control(&mut self, byte: u8) {
        if let 0x0e | 0x0f = byte {
            let shifted = byte == 0x0e;
            self.set_charsets(Charsets {
                shifted,
                ..self.charsets
            });
        }
    }

    fn escape(&mut self, intermediates: &[u8], last: u8) {
        let mut charsets = self.charsets;
        match (intermediates, last) {
            (b"", b'=') => self.keypad = true,
            (b"", b'>') => self.keypad = false,
            (b"", b'7') => self.save_cursor(),
            (b"", b'8') => self.restore_cursor(),
            (b"", b'c') => self.reset(),
            _ if charsets.designate(intermediates, last) => self.set_charsets(charsets),
            _ => {}
        }
    }

    fn csi(&mut self, body: &[u8], last: u8) {
        if last == b'm' && body.first().is_none_or(|first| *first < b'<') {
            return;
        }
        let prefix = body.first().filter(|first| (b'<'..=b'?').contains(first));
        let body = &body[usize::from(prefix.is_some())..];
        let end = body
            .iter()
            .position(|byte| *byte < 0x30)
            .unwrap_or(body.len());
        let (params, intermediates) = (Params(&body[..end]), &body[end..]);
        match prefix {
            None => self.plain_csi(&params, intermediates, last),
            Some(prefix) => self.private_csi(*prefix, &params, intermediates, last),
        }
    }

    fn string(&mut self, kind: u8, data: &[u8], whole: bool) {
        if kind == b']' {
            self.operating_system_command(data, whole);
        }
    }
}

/// Numeric parameters; what is absent or no number is 0, what is too large is the largest.
struct Params<'a>(&'a [u8]);

impl Params<'_> {
    fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.split(|byte| *byte == b';').map(|digits| {
            let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
            digits.fold(0u16, |n, digit| {
                n.saturating_mul(10).saturating_add((digit - b'0').into())
            })
        })
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, index: usize) -> u16 {
        self.iter().nth(index).unwrap_or(0)
    }

    fn first(&self) -> u16 {
        self.get(0)
    }

    fn margins(&self) -> Option<(u16, u16)> {
        let (first, last) = (self.get(0).max(1), self.get(1));
        (last > first).then_some((first, last))
    }
}

/// Text that can be sent to a terminal again: bounded, valid, without controls. None if empty.
fn printable(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes = &bytes[..bytes.len().min(TEXT_MAX)];
    let text: String = String::from_utf8_lossy(bytes)
        .chars()
        .filter(|character| !character.is_control() && *character != '\u{fffd}')
        .collect();
    (!text.is_empty()).then(|| text.into_bytes())
}

/// Whether a link leads anywhere; one that does not ends the one before.
fn has_target(link: &[u8]) -> bool {
    let after = link.iter().position(|byte| *byte == b';');
    after.is_some_and(|at| at + 1 < link.len())
}

fn write_string(parts: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x1b]");
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(0x07);
}
