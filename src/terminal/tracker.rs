//! Watches all that a process writes to its terminal, and knows what it left turned on.
//!
//! Text is skipped at memory speed; only sequences are looked at. The state is small and bounded,
//! and does not depend on how the stream was cut into chunks.

use crate::terminal::modes::is_input;
use crate::terminal::query::Query;
use crate::terminal::scanner::Scanner;
use crate::terminal::state::TerminalState;

/// What is known of a process's terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracker {
    start: u64,
    scanner: Scanner,
    pub(crate) state: TerminalState,
}

impl Tracker {
    /// A fresh terminal, whose first byte will be at this offset of the ring.
    pub fn new(offset: u64) -> Tracker {
        let state = TerminalState::new(offset);
        Tracker {
            start: offset,
            scanner: Scanner::default(),
            state,
        }
    }

    /// Takes note of the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.scanner.feed(bytes, &mut self.state);
        self.state.offset += bytes.len() as u64;
        self.state.at = 0;
    }

    /// The ring offset of the first byte fed.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The ring offset after the last byte fed.
    pub fn offset(&self) -> u64 {
        self.state.offset
    }

    /// Whether the stream is between sequences and characters.
    pub fn ground(&self) -> bool {
        self.scanner.is_ground()
    }

    /// How many of the last bytes belong to a sequence or character that has not ended.
    pub fn pending(&self) -> u64 {
        self.scanner.pending()
    }

    /// Whether the stream is inside an OSC, DCS or similar string.
    pub fn in_string(&self) -> bool {
        self.scanner.in_string()
    }

    /// Whether the alternate screen is on.
    pub fn alternate(&self) -> bool {
        self.state.alternate.is_some()
    }

    /// Whether a DEC private mode is set.
    pub fn mode(&self, mode: u16) -> bool {
        self.state.modes.is_set(mode)
    }

    /// Whether something else may be written between what the program writes: no sequence or
    /// character has begun, letters are letters, and places are those of the whole screen.
    pub fn is_plain(&self) -> bool {
        let state = &self.state;
        let moved = state.modes.is_set(6) || state.modes.is_set(69) || state.is_inserting();
        self.ground() && !moved && !state.sync && !state.charsets.draws_lines()
    }

    /// Whether a program that ends now leaves something on that it should have undone.
    pub fn is_left_on(&self) -> bool {
        self.reset_sequence() != b"\x1b[m" || !self.state.has_default_pen()
    }

    /// The title last set, printable UTF-8.
    pub fn title(&self) -> Option<&str> {
        let title = self.state.osc.title.as_deref()?;
        std::str::from_utf8(title).ok()
    }

    /// The questions asked since the last call, in order.
    pub fn take_queries(&mut self) -> Vec<Query> {
        std::mem::take(&mut self.state.queries)
    }

    /// What turns a fresh terminal into this one, but for what is on its screens.
    pub fn restore_sequence(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.state.keyboards[0].write_set(&mut out);
        if let Some(mode) = self.state.alternate {
            out.extend_from_slice(format!("\x1b[?{mode}h").as_bytes());
            self.state.keyboards[1].write_set(&mut out);
        }
        self.state.write_margins(&mut out);
        if self.mode(6) {
            out.extend_from_slice(b"\x1b[?6h");
        }
        self.state.write_modes(&mut out);
        self.state.write_pen(&mut out);
        out
    }

    /// What undoes everything that is on, for the terminal of whoever stops watching. Leaves what
    /// was never turned on alone.
    ///
    /// Ends with the pen's reset in any case; see [`Tracker::is_left_on`].
    pub fn reset_sequence(&self) -> Vec<u8> {
        let state = &self.state;
        let mut out = Vec::new();
        if self.in_string() || !self.ground() {
            // Ends a sequence that the terminal is in the midst of.
            out.push(0x18);
        }
        if state.sync {
            out.extend_from_slice(b"\x1b[?2026l");
        }
        state.modes.write_undone(is_input, &mut out);
        if state.keypad {
            out.extend_from_slice(b"\x1b>");
        }
        if state.other_keys != 0 {
            out.extend_from_slice(b"\x1b[>4m");
        }
        if let Some(mode) = state.alternate {
            state.keyboards[1].write_undone(&mut out);
            out.extend_from_slice(format!("\x1b[?{mode}l").as_bytes());
        }
        state.keyboards[0].write_undone(&mut out);
        state.undo_display(&mut out);
        out
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
