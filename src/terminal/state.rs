//! What the tracker remembers, and how sequences change it.

use crate::terminal::cell::Pen;
use crate::terminal::csi_params::Params;
use crate::terminal::modes::{AnsiModes, Charsets, KeyboardFlags, PrivateModes};
use crate::terminal::osc::{has_target, write_string};
use crate::terminal::scanner::Handler;
use crate::terminal::tracker::Query;
use memchr::memchr;
use std::collections::{BTreeMap, VecDeque};

/// Queries that may wait to be taken.
const QUERIES_MAX: usize = 64;

/// Calm points that are remembered, and how many bytes they are apart at least.
const CALM_MAX: usize = 128;
const CALM_STEP: u64 = 2048;

/// The state proper; offsets are those of the ring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TerminalState {
    /// Of the chunk that is being scanned, and of what is reported in it.
    pub offset: u64,
    pub at: u64,
    pub modes: PrivateModes,
    ansi: AnsiModes,
    /// Synchronised output: never restored, but ended.
    pub sync: bool,
    pub keypad: bool,
    cursor_shape: u16,
    pub keyboards: [KeyboardFlags; 2],
    pub other_keys: u16,
    pub alternate: Option<u16>,
    /// The last row is 0 where it was not said.
    pub margins: Option<(u16, u16)>,
    side_margins: Option<(u16, u16)>,
    /// Tab stops are not the usual ones.
    tabs: bool,
    pub charsets: Charsets,
    saved_charsets: [Charsets; 2],
    pen: Pen,
    pub title: Option<Vec<u8>>,
    pub titles: Vec<Option<Vec<u8>>>,
    pub link: Option<Vec<u8>>,
    saved_links: [Option<Vec<u8>>; 2],
    pub colours: [Option<Vec<u8>>; 3],
    pub palette: BTreeMap<u8, Vec<u8>>,
    /// A progress bar in the terminal's frame (OSC 9;4), and the pointer's shape (OSC 22).
    pub progress: Option<Vec<u8>>,
    pub pointer: Option<Vec<u8>>,
    pub queries: Vec<Query>,
    /// The offset after the last sequence that did more than lines of text do: moved the cursor
    /// other than along its line and down, or changed how text is written.
    pub moved_at: u64,
    /// Offsets of beginnings of lines at which everything but that was as in a fresh terminal.
    pub calm: VecDeque<u64>,
    /// The text seen last ends with a carriage return.
    returned: bool,
}

impl TerminalState {
    pub(crate) fn new(offset: u64) -> TerminalState {
        TerminalState {
            offset,
            moved_at: offset,
            ..TerminalState::default()
        }
    }

    pub(crate) fn write_margins(&self, out: &mut Vec<u8>) {
        if let Some((top, bottom)) = self.margins {
            let bottom = match bottom {
                0 => String::new(),
                bottom => bottom.to_string(),
            };
            out.extend_from_slice(format!("\x1b[{top};{bottom}r").as_bytes());
        }
        self.write_side_margins(out);
    }

    pub(crate) fn write_side_margins(&self, out: &mut Vec<u8>) {
        if self.modes.is_set(69) {
            out.extend_from_slice(b"\x1b[?69h");
        }
        if let Some((left, right)) = self.side_margins {
            out.extend_from_slice(format!("\x1b[{left};{right}s").as_bytes());
        }
    }

    /// All that does not move the cursor.
    pub(crate) fn write_modes(&self, out: &mut Vec<u8>) {
        self.modes.write_set(&[6, 69], out);
        self.ansi.write_set(out);
        if self.keypad {
            out.extend_from_slice(b"\x1b=");
        }
        if self.other_keys != 0 {
            out.extend_from_slice(format!("\x1b[>4;{}m", self.other_keys).as_bytes());
        }
        if self.cursor_shape != 0 {
            out.extend_from_slice(format!("\x1b[{} q", self.cursor_shape).as_bytes());
        }
        for (number, colour) in (10..).zip(&self.colours) {
            if let Some(colour) = colour {
                write_string(&[format!("{number};").as_bytes(), colour], out);
            }
        }
        for (number, colour) in &self.palette {
            write_string(&[format!("4;{number};").as_bytes(), colour], out);
        }
        for (code, value) in [(&b"9;"[..], &self.progress), (b"22;", &self.pointer)] {
            if let Some(value) = value {
                write_string(&[code, value], out);
            }
        }
        for title in &self.titles {
            write_string(&[b"2;", title.as_deref().unwrap_or_default()], out);
            out.extend_from_slice(b"\x1b[22;2t");
        }
        let title = self.title.as_deref();
        // Without a title one that was saved would show.
        if title.is_some() || !self.titles.is_empty() {
            write_string(&[b"2;", title.unwrap_or_default()], out);
        }
    }

    /// What belongs to the cursor: a picture of the screen says it better.
    pub(crate) fn write_pen(&self, out: &mut Vec<u8>) {
        self.charsets.write_set(out);
        if let Some(link) = self.link.as_ref().filter(|link| has_target(link)) {
            write_string(&[b"8;", link], out);
        }
    }

    /// Whether what is written pushes the rest of its row aside.
    pub(crate) fn is_inserting(&self) -> bool {
        self.ansi.insert
    }

    pub(crate) fn has_default_pen(&self) -> bool {
        self.pen.is_default()
    }

    /// Everything after the input modes and the screens.
    pub(crate) fn undo_display(&self, out: &mut Vec<u8>) {
        let home = self.margins.is_some() || self.modes.is_set(69) || self.modes.is_set(6);
        if home {
            // These move the cursor, which stays where it is.
            out.extend_from_slice(b"\x1b7\x1b[r");
            self.modes.write_undone(|mode| mode == 69 || mode == 6, out);
            out.extend_from_slice(b"\x1b8");
            // Restoring the cursor restores its origin mode too.
            self.modes.write_undone(|mode| mode == 6, out);
        }
        self.ansi.write_undone(out);
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
        let brought_back = self.alternate == Some(1049) && self.saved_links[0].is_some();
        if self.link.is_some() || brought_back {
            out.extend_from_slice(b"\x1b]8;;\x07");
        }
        for (number, colour) in (110..).zip(&self.colours) {
            if colour.is_some() {
                write_string(&[format!("{number}").as_bytes()], out);
            }
        }
        for number in self.palette.keys() {
            write_string(&[format!("104;{number}").as_bytes()], out);
        }
        if self.progress.is_some() {
            write_string(&[b"9;4;0"], out);
        }
        if self.pointer.is_some() {
            write_string(&[b"22;"], out);
        }
        if self.tabs {
            out.extend_from_slice(b"\x1b[?5W");
        }
        out.extend_from_slice(&b"\x1b[23;2t".repeat(self.titles.len()));
        out.extend_from_slice(b"\x1b[m");
    }

    fn position(&self) -> u64 {
        self.offset + self.at
    }

    fn moved(&mut self) {
        self.moved_at = self.position();
    }

    /// Whether text is written as to a fresh terminal.
    fn is_calm(&self) -> bool {
        let modes = &self.modes;
        let moved = modes.is_set(6) || modes.is_set(69) || !modes.is_set(7) || self.ansi.newline;
        let held = self.margins.is_some() || self.alternate.is_some() || self.ansi.insert;
        let plain = self.charsets == Charsets::default() && self.pen.is_default();
        !moved && !held && plain && self.link.is_none()
    }

    /// Remembers beginnings of lines, now and then.
    fn note_calm(&mut self, bytes: &[u8]) {
        let start = self.position() - bytes.len() as u64;
        let last = self.calm.back().copied().unwrap_or(0).max(self.moved_at);
        let mut next = last + CALM_STEP;
        if self.position() < next || !self.is_calm() {
            return;
        }
        // The newline is the byte before.
        let mut from = usize::try_from(next.saturating_sub(start + 1)).unwrap_or(usize::MAX);
        while let Some(found) = bytes.get(from..).and_then(|rest| memchr(b'\n', rest)) {
            let at = from + found;
            from = at + 1;
            let returned = match at.checked_sub(1) {
                Some(before) => bytes[before] == b'\r',
                None => self.returned,
            };
            if !returned {
                continue;
            }
            if self.calm.len() == CALM_MAX {
                self.calm.pop_front();
            }
            self.calm.push_back(start + from as u64);
            next = start + from as u64 + CALM_STEP;
            from = usize::try_from(next - start - 1).unwrap_or(usize::MAX);
        }
    }

    fn switch(&mut self, mode: u16, on: bool) {
        self.moved();
        let was = self.alternate.is_some();
        self.alternate = on.then_some(mode);
        if on && !was {
            self.keyboards[1] = KeyboardFlags::default();
        }
    }

    fn save_cursor(&mut self) {
        self.moved();
        let screen = self.screen();
        self.saved_charsets[screen] = self.charsets;
        self.saved_links[screen].clone_from(&self.link);
    }

    fn restore_cursor(&mut self) {
        self.moved();
        let screen = self.screen();
        self.set_charsets(self.saved_charsets[screen]);
        self.link.clone_from(&self.saved_links[screen]);
    }

    fn set_charsets(&mut self, charsets: Charsets) {
        if self.charsets != charsets {
            self.charsets = charsets;
            self.moved();
        }
    }

    /// DECSTBM: what is no region is not one.
    fn set_margins(&mut self, first: u16, last: u16) {
        self.moved();
        let first = first.max(1);
        match last {
            0 if first == 1 => self.margins = None,
            last if last == 0 || last > first => self.margins = Some((first, last)),
            _ => {}
        }
    }

    /// Cursor shape and blinking are one setting with two names.
    fn set_blinking(&mut self, on: bool) {
        match self.cursor_shape {
            0 => self.modes.set(12, on),
            shape => self.cursor_shape = shape.div_ceil(2) * 2 - u16::from(on),
        }
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
            1049 if self.alternate.is_some() => {
                self.switch(mode, on);
                self.restore_cursor();
            }
            1049 => {}
            1048 if on => self.save_cursor(),
            1048 => self.restore_cursor(),
            66 => self.keypad = on,
            2026 => self.sync = on,
            12 => self.set_blinking(on),
            3 | 6 | 7 | 69 => {
                self.moved();
                if mode == 69 {
                    self.side_margins = None;
                }
                self.modes.set(mode, on);
            }
            _ => self.modes.set(mode, on),
        }
    }

    /// ESC c: everything is as in a fresh terminal.
    fn reset(&mut self) {
        let fresh = TerminalState {
            offset: self.offset,
            at: self.at,
            moved_at: self.position(),
            calm: std::mem::take(&mut self.calm),
            queries: std::mem::take(&mut self.queries),
            title: self.title.take(),
            titles: std::mem::take(&mut self.titles),
            colours: std::mem::take(&mut self.colours),
            palette: std::mem::take(&mut self.palette),
            progress: self.progress.take(),
            pointer: self.pointer.take(),
            ..TerminalState::default()
        };
        *self = fresh;
    }

    /// CSI ! p: the modes that would surprise the next program.
    fn soft_reset(&mut self) {
        for (mode, on) in [(25, true), (6, false), (7, true), (1, false), (69, false)] {
            self.modes.set(mode, on);
        }
        self.ansi.set(2, false);
        self.ansi.set(4, false);
        self.keypad = false;
        self.side_margins = None;
        self.margins = None;
        self.pen = Pen::default();
        self.moved();
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
            (b" ", b'q') => {
                self.cursor_shape = first.min(6);
                self.modes.set(12, false);
            }
            (b"", b'h' | b'l') => {
                self.moved();
                for mode in params.iter() {
                    self.ansi.set(mode, last == b'h');
                }
            }
            (b"", b'r') => self.set_margins(first, params.get(1)),
            (b"", b's') if self.modes.is_set(69) => {
                let (left, right) = (first.max(1), params.get(1));
                self.side_margins = (right > left).then_some((left, right));
                self.moved();
            }
            (b"", b's') => self.save_cursor(),
            (b"", b'u') => self.restore_cursor(),
            (b"", b't') if first == 22 && params.get(1) != 1 => self.push_title(),
            (b"", b't') if first == 23 && params.get(1) != 1 => self.pop_title(),
            (b"", b'g') => {
                self.tabs = true;
                self.moved();
            }
            (b"", b'A' | b'F' | b'H' | b'f' | b'd' | b'T' | b'L' | b'M') => self.moved(),
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
            (b'?', b"", b'W') => {
                self.tabs = false;
                self.moved();
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
}

impl Handler for TerminalState {
    fn at(&mut self, end: usize) {
        self.at = end as u64;
    }

    fn text(&mut self, bytes: &[u8]) {
        self.note_calm(bytes);
        self.returned = bytes.last() == Some(&b'\r');
    }

    fn control(&mut self, byte: u8) {
        self.returned = false;
        if let 0x0e | 0x0f = byte {
            let shifted = byte == 0x0e;
            self.set_charsets(Charsets {
                shifted,
                ..self.charsets
            });
        }
    }

    fn escape(&mut self, intermediates: &[u8], last: u8) {
        self.returned = false;
        let mut charsets = self.charsets;
        match (intermediates, last) {
            (b"", b'=') => self.keypad = true,
            (b"", b'>') => self.keypad = false,
            (b"", b'7') => self.save_cursor(),
            (b"", b'8') => self.restore_cursor(),
            (b"", b'c') => self.reset(),
            (b"", b'H') => {
                self.tabs = true;
                self.moved();
            }
            (b"", b'M') | (b"#", b'8') => self.moved(),
            _ if charsets.designate(intermediates, last) => self.set_charsets(charsets),
            _ => {}
        }
    }

    fn csi(&mut self, body: &[u8], last: u8) {
        if last == b'm' && body.first().is_none_or(|first| *first < b'<') {
            self.pen.select(body);
            return;
        }
        self.returned = false;
        let (prefix, params, intermediates) = Params::parse(body);
        match prefix {
            None => self.plain_csi(&params, intermediates, last),
            Some(prefix) => self.private_csi(prefix, &params, intermediates, last),
        }
    }

    fn string(&mut self, kind: u8, data: &[u8], whole: bool) {
        if kind == b']' {
            self.operating_system_command(data, whole);
        }
    }
}
