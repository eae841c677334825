//! The screen as text, for `tm peek`, and replies to a program's queries.

use crate::terminal::emulator::{RetainedBytes, Terminal};
use crate::terminal::history::lines_above;
use crate::terminal::painter::Painter;
use crate::terminal::query::Query;
use crate::terminal::screen::Screens;

/// The text of a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreenText {
    /// One line for each row, without trailing blanks; trailing empty rows are omitted.
    pub lines: Vec<String>,
    /// Row and column from 0.
    pub cursor: (u16, u16),
    /// The title; empty if unset.
    pub title: String,
    /// Whether the alternate screen is on.
    pub alternate_screen: bool,
}

impl Terminal {
    /// The screen as text; `ansi` includes colours.
    pub fn peek(&self, kept: RetainedBytes<'_>, ansi: bool) -> ScreenText {
        self.peek_with_history(kept, ansi, 0).0
    }

    /// As [`peek`](Self::peek), with the last rows above the screen, oldest first and with colours.
    pub(crate) fn peek_with_history(
        &self,
        kept: RetainedBytes<'_>,
        ansi: bool,
        rows: usize,
    ) -> (ScreenText, Vec<String>) {
        let model = self.model(kept, rows);
        let screen = model.screen();
        let history = match rows {
            0 => Vec::new(),
            _ => lines_above(screen),
        };
        (self.screen_text(screen, ansi), history)
    }

    fn screen_text(&self, screen: &Screens, ansi: bool) -> ScreenText {
        let mut lines = plain_lines(screen);
        let shown = lines.iter().rposition(|line| !line.is_empty());
        lines.truncate(shown.map_or(0, |at| at + 1));
        if ansi {
            let rows = screen.page().rows.iter();
            lines = rows
                .take(lines.len())
                .map(|row| Painter::line(row, screen.cols))
                .collect();
        }
        ScreenText {
            lines,
            cursor: cursor(screen),
            title: self.tracker().title().unwrap_or_default().to_string(),
            alternate_screen: screen.alternate.is_some(),
        }
    }

    /// Row and column of the cursor, from 0.
    pub(crate) fn cursor(&self, kept: RetainedBytes<'_>) -> (u16, u16) {
        cursor(self.model(kept, 0).screen())
    }

    /// The replies of a plain terminal to these queries, in order.
    pub(crate) fn answers(&self, queries: &[Query], kept: RetainedBytes<'_>) -> Vec<u8> {
        let asks_cursor = |query: &&Query| matches!(query, Query::CursorPosition { .. });
        let position = match queries.iter().find(asks_cursor) {
            Some(_) => self.cursor(kept),
            None => (0, 0),
        };
        let answers = queries.iter().map(|query| query.answer(position));
        answers.flatten().collect()
    }
}

/// The casts are lossless: a screen has at most 1000 rows and columns.
fn cursor(screen: &Screens) -> (u16, u16) {
    let cursor = &screen.page().cursor;
    (cursor.row as u16, cursor.col as u16)
}

fn plain_lines(screen: &Screens) -> Vec<String> {
    let rows = screen.page().rows.iter();
    rows.map(|row| {
        let mut line = String::new();
        row.write_text(&mut line);
        line.truncate(line.trim_end().len());
        line
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Terminal {
        let mut terminal = Terminal::new(0, 24, 20);
        terminal.feed(text.as_bytes());
        terminal
    }

    #[test]
    fn a_screen_is_text_with_or_without_colours() {
        let text = "\x1b]0;top\x07one\r\n\x1b[31mtwo\x1b[m  ";
        let kept = (text.as_bytes(), &b""[..]);
        let look = shown(text).peek(kept, false);
        assert_eq!(look.lines, ["one", "two"]);
        assert_eq!((look.cursor, look.title.as_str()), ((1, 5), "top"));
        let look = shown(text).peek(kept, true);
        assert_eq!(look.lines.len(), 2);
        assert!(look.lines[1].contains("\x1b[0;31mtwo"), "{look:?}");
    }

    #[test]
    fn a_program_that_queries_the_cursor_gets_its_position() {
        let text = "abc\x1b[6n\x1b[5n";
        let mut terminal = shown(text);
        let queries = terminal.tracker_mut().take_queries();
        let answers = terminal.answers(&queries, (text.as_bytes(), b""));
        assert_eq!(answers, b"\x1b[1;4R\x1b[0n");
    }
}
