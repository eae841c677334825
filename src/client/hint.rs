//! One line that says how to leave, laid over the last row of a freshly drawn screen until the
//! process writes something; then the row is as it was.
//!
//! Pure: what has been drawn in, what to draw out.

use super::style::{Paint, Style};
use super::table::cut;
use std::num::NonZeroU16;
use vt100::Parser;

/// The line, and the screen it lies on.
pub struct Hint {
    text: String,
    style: Style,
    screen: Parser,
    drawn: bool,
    shown: bool,
}

impl Hint {
    /// For a terminal of this size.
    pub fn new(text: String, style: Style, (rows, cols): (u16, u16)) -> Hint {
        let at_least_one = |number| NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN);
        let screen = Parser::new(at_least_one(rows), at_least_one(cols), 0);
        Hint {
            text,
            style,
            screen,
            drawn: false,
            shown: false,
        }
    }

    /// The line alone, for when nothing is drawn below it.
    pub fn line(&self) -> Vec<u8> {
        format!("{}\r\n", self.style.paint(Paint::Dim, &self.text)).into_bytes()
    }

    /// Takes note of what is drawn.
    pub fn drawn(&mut self, bytes: &[u8]) {
        self.screen.process(bytes);
        self.drawn = true;
    }

    /// Lays the line over what has been drawn. Nothing when nothing has been, or where the cursor
    /// could not be put back.
    pub fn show(&mut self) -> Vec<u8> {
        let (rows, cols) = self.size();
        let (row, column) = self.screen.screen().cursor_position();
        if !self.drawn || self.shown || rows < 3 || cols < 20 || row + 1 == rows || column >= cols {
            return Vec::new();
        }
        self.shown = true;
        let text = cut(&self.text, usize::from(cols) - 1);
        let text = self.style.paint(Paint::Dim, &text);
        let mut out = format!("\x1b[0m\x1b[{rows};1H{text}\x1b[K").into_bytes();
        out.extend(self.cursor_back());
        out
    }

    /// Whether [`Hint::hide`] has anything to do.
    pub fn is_shown(&self) -> bool {
        self.shown
    }

    /// Brings the row back.
    pub fn hide(&mut self) -> Vec<u8> {
        if !std::mem::take(&mut self.shown) {
            return Vec::new();
        }
        let screen = self.screen.screen();
        let (rows, cols) = self.size();
        let mut out = format!("\x1b[0m\x1b[{rows};1H\x1b[K").into_bytes();
        let row = screen.rows_formatted(0, cols).last().unwrap_or_default();
        out.extend(row.into_bytes());
        out.extend(self.cursor_back());
        out
    }

    fn size(&self) -> (u16, u16) {
        let (rows, cols) = self.screen.screen().size();
        (rows.get(), cols.get())
    }

    fn cursor_back(&self) -> Vec<u8> {
        let screen = self.screen.screen();
        let (row, column) = screen.cursor_position();
        let mut out = format!("\x1b[0m\x1b[{};{}H", row + 1, column + 1).into_bytes();
        out.extend(screen.attributes_formatted().into_bytes());
        out
    }
}

impl std::fmt::Debug for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hint")
            .field("text", &self.text)
            .field("shown", &self.shown)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(bytes: &[u8]) -> Parser {
        let size = |number| NonZeroU16::new(number).expect("not zero");
        let mut terminal = Parser::new(size(5), size(40), 0);
        terminal.process(bytes);
        terminal
    }

    /// What a terminal shows after these bytes, and where its cursor is.
    fn shown(bytes: &[u8]) -> (Vec<String>, (u16, u16)) {
        let terminal = terminal(bytes);
        let screen = terminal.screen();
        (screen.rows(0, 40).collect(), screen.cursor_position())
    }

    #[test]
    fn the_row_and_the_cursor_are_as_before() {
        let drawn = b"\x1b[H\x1b[Jone\r\n$ \x1b[5;1H\x1b[31mlast\x1b[2;3H";
        let mut hint = Hint::new("[ctrl-a d leaves]".to_string(), Style::plain(), (5, 40));
        assert!(hint.show().is_empty(), "nothing has been drawn");
        hint.drawn(drawn);
        let with = [drawn.to_vec(), hint.show()].concat();
        let (rows, cursor) = shown(&with);
        assert_eq!((rows[4].as_str(), cursor), ("[ctrl-a d leaves]", (1, 2)));
        let without = [with, hint.hide()].concat();
        assert_eq!(shown(&without), shown(drawn));
        assert_eq!(terminal(&without).screen().fgcolor(), vt100::Color::Idx(1));
        assert!(hint.hide().is_empty());
    }

    #[test]
    fn a_cursor_in_the_last_row_is_left_alone() {
        let mut hint = Hint::new("x".to_string(), Style::plain(), (5, 40));
        hint.drawn(b"\x1b[5;1H$ ");
        assert!(hint.show().is_empty());
    }
}
