//! Scans all output of a process and tracks the terminal modes that it leaves on.
//!
//! Text is skipped at memory speed; only sequences are parsed. The state is small and bounded, and
//! does not depend on how the stream was cut into chunks.

use crate::terminal::query::Query;
use crate::terminal::scanner::Scanner;
use crate::terminal::state::TerminalState;

/// The modes of a process's terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracker {
    scanner: Scanner,
    pub(crate) state: TerminalState,
}

impl Tracker {
    /// A fresh terminal, whose first byte will be at this offset of the ring.
    pub fn new(offset: u64) -> Tracker {
        Tracker {
            scanner: Scanner::default(),
            state: TerminalState::new(offset),
        }
    }

    /// Tracks the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.scanner.feed(bytes, &mut self.state);
        self.state.offset += bytes.len() as u64;
        self.state.at = 0;
    }

    /// The ring offset after the last byte fed.
    pub fn offset(&self) -> u64 {
        self.state.offset
    }

    /// Whether the stream is between sequences and characters.
    pub fn ground(&self) -> bool {
        self.scanner.is_ground()
    }

    /// The number of trailing bytes that belong to an incomplete sequence or character.
    pub fn pending(&self) -> u64 {
        self.scanner.pending()
    }

    /// Whether the stream is inside an OSC, DCS or similar string.
    pub(crate) fn in_string(&self) -> bool {
        self.scanner.in_string()
    }

    /// Whether the alternate screen is on.
    pub fn alternate(&self) -> bool {
        self.state.alternate.is_some()
    }

    /// Whether a DEC private mode is set.
    pub(crate) fn mode(&self, mode: u16) -> bool {
        self.state.modes.is_set(mode.into())
    }

    /// Whether other output may be inserted now: no sequence or character is incomplete, letters
    /// show as letters, and positions refer to the full screen.
    pub(crate) fn is_plain(&self) -> bool {
        let state = &self.state;
        let shifted = state.modes.is_set(6) || state.modes.is_set(69) || state.is_inserting();
        let read = self.ground() && !state.is_foreign();
        read && !shifted && !state.sync && !state.charsets.draws_lines()
    }

    /// Whether a program that ends now leaves modes on that it should have turned off.
    pub(crate) fn is_left_on(&self) -> bool {
        self.reset_sequence() != b"\x1b[m" || !self.state.has_default_pen()
    }

    /// The current title, printable UTF-8.
    pub fn title(&self) -> Option<&str> {
        let title = self.state.osc.title.as_deref()?;
        std::str::from_utf8(title).ok()
    }

    /// The queries since the last call, in order.
    pub fn take_queries(&mut self) -> Vec<Query> {
        std::mem::take(&mut self.state.queries)
    }

    /// The output that turns a fresh terminal into this one, except for the screens' content.
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
        self.state.write_last(&mut out);
        out
    }

    /// The output that turns off every mode that is on, for the terminal of a client that
    /// detaches. Leaves all other modes alone.
    ///
    /// Always ends with a reset of the pen; see `is_left_on`.
    pub fn reset_sequence(&self) -> Vec<u8> {
        let state = &self.state;
        let mut out = Vec::new();
        if self.in_string() || !self.ground() {
            // CAN ends an incomplete sequence.
            out.push(0x18);
        }
        if self.in_string() {
            // Except that in tmux only ST ends a DCS.
            out.extend_from_slice(b"\x1b\\");
        }
        state.undo_emulation(&mut out);
        if state.sync {
            out.extend_from_slice(b"\x1b[?2026l");
        }
        state.undo_input(&mut out);
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
