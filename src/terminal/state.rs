//! The state behind the tracker, and how sequences change it.

use crate::terminal::cell::Pen;
use crate::terminal::checkpoints::Checkpoints;
use crate::terminal::csi_params::{CsiSettings, Params};
use crate::terminal::modes::{
    AnsiModes, Charsets, KeyboardFlags, PrivateModes, TEKTRONIX, VT52, WIDE, is_input,
};
use crate::terminal::osc::OscSettings;
use crate::terminal::query::Query;
use crate::terminal::scanner::Handler;

/// Queries that wait to be taken.
const QUERIES_MAX: usize = 64;

/// All that the tracker knows; offsets are those of the ring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TerminalState {
    /// Where the current chunk starts.
    pub offset: u64,
    /// Where the current report ends, within the chunk.
    pub at: u64,
    pub modes: PrivateModes,
    ansi: AnsiModes,
    /// Synchronised output; a snapshot never turns it on, a reset ends it.
    pub sync: bool,
    pub keypad: bool,
    cursor_shape: u16,
    pub keyboards: [KeyboardFlags; 2],
    pub settings: CsiSettings,
    pub escapes: EscapeSettings,
    pub alternate: Option<u32>,
    /// First and last row; the latter is 0 where the program left it out.
    pub margins: Option<(u16, u16)>,
    side_margins: Option<(u16, u16)>,
    /// Whether the program has changed tab stops.
    tabs: bool,
    pub charsets: Charsets,
    saved_charsets: [Charsets; 2],
    pen: Pen,
    pub osc: OscSettings,
    saved_links: [Option<Vec<u8>>; 2],
    pub queries: Vec<Query>,
    pub checkpoints: Checkpoints,
    /// Whether the latest report is text that ends with a carriage return.
    returned: bool,
}

/// Settings made by escape sequences: the bytes that set them, and those that undo them. S8C1T
/// (8-bit controls), another encoding than UTF-8, SPA (protected text). A console that does not
/// know the first shows its letter, for the program as for us.
const ESCAPES: [[&[u8]; 2]; 3] = [[b" G", b" F"], [b"%@", b"%G"], [b"V", b"W"]];

/// The setting of [`ESCAPES`] in which UTF-8 cannot be read.
const ENCODING: usize = 1;

/// Which of [`ESCAPES`] are set.
pub(crate) type EscapeSettings = [bool; ESCAPES.len()];

impl TerminalState {
    pub(crate) fn new(offset: u64) -> TerminalState {
        TerminalState {
            offset,
            checkpoints: Checkpoints::new(offset),
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

    /// Writes all settings that do not move the cursor.
    pub(crate) fn write_modes(&self, out: &mut Vec<u8>) {
        self.modes.write_set(&[6, 69], out);
        self.ansi.write_set(out);
        if self.keypad {
            out.extend_from_slice(b"\x1b=");
        }
        self.settings.write_set(out);
        if self.cursor_shape != 0 {
            out.extend_from_slice(format!("\x1b[{} q", self.cursor_shape).as_bytes());
        }
        self.osc.write_set(out);
    }

    /// Writes the settings after which a terminal cannot read UTF-8 or control sequences, or shows
    /// them elsewhere. Nothing but the stream may follow.
    pub(crate) fn write_last(&self, out: &mut Vec<u8>) {
        for (escape, _) in ESCAPES.iter().zip(self.escapes).filter(|(_, set)| *set) {
            out.push(0x1b);
            out.extend_from_slice(escape[0]);
        }
        self.settings.write_diverted(out);
        if !self.modes.is_set(VT52) {
            out.extend_from_slice(b"\x1b[?2l");
        }
    }

    /// Whether [`write_last`](Self::write_last) has something to write.
    pub(crate) fn is_foreign(&self) -> bool {
        let set = self.escapes[ENCODING] || self.settings.diverts();
        set || !self.modes.is_set(VT52) || self.modes.is_set(TEKTRONIX)
    }

    /// Writes the output that makes the terminal read control sequences again. Other terminals
    /// ignore it.
    pub(crate) fn undo_emulation(&self, out: &mut Vec<u8>) {
        if self.modes.is_set(TEKTRONIX) {
            // ESC ETX. The next ESC ends it elsewhere.
            out.extend_from_slice(b"\x1b\x03");
            self.modes.write_undone(|mode| mode == TEKTRONIX, out);
        }
        if !self.modes.is_set(VT52) {
            out.extend_from_slice(b"\x1b<");
        }
    }

    /// Undoes the settings of input, and those that must be undone on the screen they were made
    /// on.
    pub(crate) fn undo_input(&self, out: &mut Vec<u8>) {
        for (escape, _) in ESCAPES.iter().zip(self.escapes).filter(|(_, set)| *set) {
            out.push(0x1b);
            out.extend_from_slice(escape[1]);
        }
        self.modes.write_undone(is_input, out);
        if self.keypad {
            out.extend_from_slice(b"\x1b>");
        }
        self.settings.write_undone(out);
        // This clears the screen, so the main one must not be shown if it need not.
        self.modes.write_undone(|mode| mode == WIDE, out);
    }

    /// Writes the settings of the cursor. A snapshot does not need them: the model has its own.
    pub(crate) fn write_pen(&self, out: &mut Vec<u8>) {
        self.charsets.write_set(out);
        self.osc.write_link(out);
    }

    /// Whether written text shifts the rest of its row.
    pub(crate) fn is_inserting(&self) -> bool {
        self.ansi.insert
    }

    pub(crate) fn has_default_pen(&self) -> bool {
        self.pen.is_default()
    }

    /// Undoes all settings but the input modes and the alternate screen.
    pub(crate) fn undo_display(&self, out: &mut Vec<u8>) {
        self.settings
            .write_undone_late(self.alternate == Some(1049), out);
        let moves = self.margins.is_some() || self.modes.is_set(69) || self.modes.is_set(6);
        if moves {
            // These resets move the cursor, so save and restore it.
            out.extend_from_slice(b"\x1b7\x1b[r");
            self.modes.write_undone(|mode| mode == 69 || mode == 6, out);
            out.extend_from_slice(b"\x1b8");
            // Restoring the cursor also restores its origin mode.
            self.modes.write_undone(|mode| mode == 6, out);
        }
        self.ansi.write_undone(out);
        let apart = [VT52, WIDE, TEKTRONIX, 6, 25, 69];
        let others = |mode| !is_input(mode) && !apart.contains(&mode);
        self.modes.write_undone(others, out);
        self.charsets.write_undone(out);
        if self.alternate == Some(1049) {
            // Leaving this alternate screen has restored these.
            self.saved_charsets[0].write_undone(out);
        }
        if self.cursor_shape != 0 {
            out.extend_from_slice(b"\x1b[0 q");
        }
        self.modes.write_undone(|mode| mode == 25, out);
        let restored_link = self.alternate == Some(1049) && self.saved_links[0].is_some();
        if self.osc.link.is_some() || restored_link {
            out.extend_from_slice(b"\x1b]8;;\x07");
        }
        self.osc.write_undone(out);
        if self.tabs {
            out.extend_from_slice(b"\x1b[?5W");
        }
        self.osc.write_titles_popped(out);
        out.extend_from_slice(b"\x1b[m");
    }

    fn position(&self) -> u64 {
        self.offset + self.at
    }

    /// Records that the current sequence positions.
    fn positioned(&mut self) {
        self.checkpoints.positioned(self.position());
    }

    /// Whether text looks and flows as on a fresh terminal.
    fn is_settled(&self) -> bool {
        let modes = &self.modes;
        let flows = !modes.is_set(6) && !modes.is_set(69) && modes.is_set(7) && !self.ansi.newline;
        let confined = self.margins.is_some() || self.alternate.is_some() || self.ansi.insert;
        let plain = self.charsets == Charsets::default() && self.pen.is_default();
        flows && !confined && plain && self.osc.link.is_none()
    }

    fn switch(&mut self, mode: u32, on: bool) {
        self.positioned();
        let was = self.alternate.is_some();
        self.alternate = on.then_some(mode);
        if on && !was {
            self.keyboards[1] = KeyboardFlags::default();
        }
    }

    fn save_cursor(&mut self) {
        self.positioned();
        let screen = self.screen();
        self.saved_charsets[screen] = self.charsets;
        self.saved_links[screen].clone_from(&self.osc.link);
        self.settings.save_cursor(screen);
    }

    fn restore_cursor(&mut self) {
        self.positioned();
        let screen = self.screen();
        self.set_charsets(self.saved_charsets[screen]);
        self.osc.link.clone_from(&self.saved_links[screen]);
        self.settings.restore_cursor(screen);
    }

    fn set_charsets(&mut self, charsets: Charsets) {
        if self.charsets != charsets {
            self.charsets = charsets;
            self.positioned();
        }
    }

    /// DECSTBM; ignores an invalid region.
    fn set_margins(&mut self, first: u16, last: u16) {
        self.positioned();
        let first = first.max(1);
        match last {
            0 if first == 1 => self.margins = None,
            last if last == 0 || last > first => self.margins = Some((first, last)),
            _ => {}
        }
    }

    /// Mode 12. Blinking is part of the cursor shape once that is set.
    fn set_blinking(&mut self, on: bool) {
        match self.cursor_shape {
            0 => self.modes.set(12, on),
            shape => self.cursor_shape = shape.div_ceil(2) * 2 - u16::from(on),
        }
    }

    fn screen(&self) -> usize {
        usize::from(self.alternate.is_some())
    }

    fn private_mode(&mut self, mode: u32, on: bool) {
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
                self.positioned();
                if mode == 69 {
                    self.side_margins = None;
                }
                self.modes.set(mode, on);
            }
            _ => self.modes.set(mode, on),
        }
    }

    /// RIS, ESC c: resets all but the OSC settings, which terminals keep.
    fn reset(&mut self) {
        self.positioned();
        self.osc.link = None;
        *self = TerminalState {
            offset: self.offset,
            at: self.at,
            checkpoints: std::mem::take(&mut self.checkpoints),
            queries: std::mem::take(&mut self.queries),
            osc: std::mem::take(&mut self.osc),
            ..TerminalState::default()
        };
    }

    /// DECSTR, CSI ! p: resets the modes that would disturb the next program.
    fn soft_reset(&mut self) {
        for (mode, on) in [(25, true), (6, false), (7, true), (1, false), (69, false)] {
            self.modes.set(mode, on);
        }
        self.ansi.set(2, false);
        self.ansi.set(4, false);
        self.keypad = false;
        self.settings.unprotect();
        self.side_margins = None;
        self.margins = None;
        self.pen = Pen::default();
        self.positioned();
        self.set_charsets(Charsets::default());
        let screen = self.screen();
        self.saved_charsets[screen] = Charsets::default();
    }

    fn set_escape(&mut self, intermediates: &[u8], last: u8) {
        for (escape, set) in ESCAPES.iter().zip(&mut self.escapes) {
            let same = |bytes: &[u8]| bytes.split_last() == Some((&last, intermediates));
            // 8 is an older name of G.
            match escape.map(same) {
                [true, _] => *set = true,
                [_, true] => *set = false,
                _ => *set &= !(escape[0] == b"%@" && intermediates == b"%" && last == b'8'),
            }
        }
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
                self.positioned();
                for mode in params.iter() {
                    self.ansi.set(mode, last == b'h');
                }
            }
            (b"", b'r') => self.set_margins(first, params.get(1)),
            (b"", b's') if self.modes.is_set(69) => {
                let (left, right) = (first.max(1), params.get(1));
                self.side_margins = (right > left).then_some((left, right));
                self.positioned();
            }
            (b"", b's') => self.save_cursor(),
            (b"", b'u') => self.restore_cursor(),
            (b"", b't') if first == 22 && params.get(1) != 1 => self.osc.push_title(),
            (b"", b't') if first == 23 && params.get(1) != 1 => self.osc.pop_title(),
            (b"", b'g') => {
                self.tabs = true;
                self.positioned();
            }
            (b"", b'A' | b'F' | b'H' | b'f' | b'd' | b'T' | b'L' | b'M') => self.positioned(),
            (&[intermediate], _) => self.settings.apply("", params, &[intermediate, last]),
            _ => {}
        }
    }

    /// Sequences with a private prefix: one of `<=>?`.
    fn private_csi(&mut self, prefix: u8, params: &Params, intermediates: &[u8], last: u8) {
        let first = params.first();
        let screen = self.screen();
        match (prefix, intermediates, last) {
            (b'?', b"", b'h' | b'l') => {
                for mode in params.modes() {
                    self.private_mode(mode, last == b'h');
                }
            }
            (b'?', b"", b'W') => {
                self.tabs = false;
                self.positioned();
            }
            (b'?', b"$", b'p') => self.query(Query::Mode {
                private: true,
                mode: first,
            }),
            (b'?', b"", b'n') if first == 6 => self.query(Query::CursorPosition { private: true }),
            (b'>', b"", b'c') if first == 0 => self.query(Query::SecondaryAttributes),
            (b'>', b"", b'q') if first == 0 => self.query(Query::Version),
            (b'>', b"", b'u') => self.keyboards[screen].push(first),
            (b'<', b"", b'u') => self.keyboards[screen].pop(first),
            (b'=', b"", b'u') => self.keyboards[screen].assign(first, params.get(1)),
            (b'>', b"", _) => self.settings.apply(">", params, &[last]),
            (b'<', b"", _) => self.settings.apply("<", params, &[last]),
            _ => {}
        }
    }
}

impl Handler for TerminalState {
    fn at(&mut self, end: usize) {
        self.at = end as u64;
    }

    fn text(&mut self, bytes: &[u8]) {
        if self.checkpoints.is_due(self.position()) && self.is_settled() {
            let start = self.position() - bytes.len() as u64;
            self.checkpoints.record_lines(start, bytes, self.returned);
        }
        self.returned = bytes.last() == Some(&b'\r');
    }

    fn control(&mut self, byte: u8) {
        self.returned = false;
        if let 0x0e | 0x0f = byte {
            self.set_charsets(Charsets {
                shift: 0x0f - byte,
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
            (b"", b'<') => self.modes.set(VT52, true),
            (b"", b'7') => self.save_cursor(),
            (b"", b'8') => self.restore_cursor(),
            (b"", b'c') => self.reset(),
            (b"", b'H') => {
                self.tabs = true;
                self.positioned();
            }
            (b"", b'M') | (b"#", b'8') => self.positioned(),
            _ if charsets.designate(intermediates, last) => self.set_charsets(charsets),
            _ => self.set_escape(intermediates, last),
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
            self.osc.command(data, whole);
        }
    }
}
