//! The unfinished line at the bottom of merged output on a terminal.
//!
//! Whole lines of other sources are printed above it: it is erased, and drawn again below them. A
//! line as wide as the terminal cannot be erased like that, so others end it.
//!
//! Pure.

use crate::client::ui::table::display_width;
use crate::text::strip::{Keep, Strip};

/// Erases the line of the cursor.
const ERASE: &[u8] = b"\r\x1b[K";

/// The longest line that is drawn again, in bytes. A program may print on without a newline.
const SHOWN_MAX: usize = 16 * 1024;

/// The text of the unfinished line on the screen.
#[derive(Debug, Default)]
pub(crate) struct BottomLine {
    /// Columns of the terminal, if output goes to one.
    columns: Option<usize>,
    shown: Vec<u8>,
}

impl BottomLine {
    pub(crate) fn new(columns: Option<usize>) -> BottomLine {
        BottomLine {
            columns,
            shown: Vec::new(),
        }
    }

    /// A new line was begun, or the old one is replaced, by this text.
    pub(crate) fn begin(&mut self, text: &[u8]) {
        self.shown.clear();
        self.shown.extend_from_slice(text);
    }

    /// The line was continued.
    pub(crate) fn extend(&mut self, text: &[u8]) {
        if self.columns.is_some() && self.shown.len() < SHOWN_MAX {
            self.shown.extend_from_slice(text);
        }
    }

    /// Whether the line can be drawn again, and still could with this text in its place.
    pub(crate) fn has_room(&self, text: &[u8]) -> bool {
        let short = text.len() < SHOWN_MAX;
        self.columns
            .is_some_and(|columns| short && width(text) < columns)
    }

    /// Erases the line, to be drawn again. False if it cannot be.
    pub(crate) fn erase(&self, out: &mut Vec<u8>) -> bool {
        let can = self.has_room(&self.shown);
        if can {
            out.extend_from_slice(ERASE);
        }
        can
    }

    /// Draws the line again.
    pub(crate) fn draw(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.shown);
    }
}

/// Columns that a text takes; colours take none.
fn width(text: &[u8]) -> usize {
    let mut plain = Vec::new();
    Strip::new(Keep::Text).feed(text, &mut plain);
    display_width(&String::from_utf8_lossy(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_fills_the_terminal_cannot_be_drawn_again() {
        let mut line = BottomLine::new(Some(10));
        line.begin(b"\x1b[31mab: \x1b[m");
        line.extend(b"12345");
        let mut out = Vec::new();
        assert!(line.erase(&mut out));
        assert_eq!(out, ERASE);
        line.extend(b"6");
        assert!(!line.erase(&mut out));
        assert!(!BottomLine::new(None).has_room(b""));
        line.begin(b"");
        for _ in 0..2 * SHOWN_MAX {
            line.extend(b"\x1b[m");
        }
        assert!(line.shown.len() < 2 * SHOWN_MAX && !line.erase(&mut out));
    }
}
