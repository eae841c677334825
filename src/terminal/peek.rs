//! A look at the screen without a terminal: `tm peek`, and answers to a program that asks.

use super::replay::Replay;
use super::snapshot::{cursor, plain_text};
use super::tracker::{Query, Tracker};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a process's terminal shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// One for each row, without trailing blanks; trailing empty rows are left out.
    pub lines: Vec<String>,
    /// Row and column from 0.
    pub cursor: (u16, u16),
    /// The title, or nothing.
    pub title: String,
    /// Whether the alternate screen is shown.
    pub alternate_screen: bool,
}

/// The screen as text, with `ansi` with its colours. `bytes` is what the ring keeps.
pub fn peek(bytes: (&[u8], &[u8]), tracker: &Tracker, rows: u16, cols: u16, ansi: bool) -> Screen {
    let coloured = ansi
        .then(|| coloured_lines(bytes, tracker, rows, cols))
        .flatten();
    let lines = coloured.unwrap_or_else(|| {
        plain_text(bytes, tracker, rows, cols)
            .lines()
            .map(str::to_string)
            .collect()
    });
    Screen {
        lines,
        cursor: cursor(bytes, tracker, rows, cols),
        title: tracker.title().unwrap_or_default().to_string(),
        alternate_screen: tracker.alternate(),
    }
}

/// What a plain terminal would answer to these questions, in order.
pub fn answers(
    queries: &[Query],
    bytes: (&[u8], &[u8]),
    tracker: &Tracker,
    rows: u16,
    cols: u16,
) -> Vec<u8> {
    let asks_cursor = |query: &&Query| matches!(query, Query::CursorPosition { .. });
    let position = match queries.iter().find(asks_cursor) {
        Some(_) => cursor(bytes, tracker, rows, cols),
        None => (0, 0),
    };
    queries
        .iter()
        .flat_map(|query| query.answer(position))
        .collect()
}

fn coloured_lines(
    bytes: (&[u8], &[u8]),
    tracker: &Tracker,
    rows: u16,
    cols: u16,
) -> Option<Vec<String>> {
    let lines = catch_unwind(AssertUnwindSafe(|| {
        let replay = Replay::new(bytes, tracker, rows, cols, 0);
        let screen = replay.parser.screen();
        let plain: Vec<String> = screen.rows(0, replay.cols).collect();
        let shown = plain
            .iter()
            .rposition(|line| !line.trim().is_empty())
            .map_or(0, |at| at + 1);
        let formatted = screen.rows_formatted(0, replay.cols).take(shown);
        let lines: Vec<String> = formatted.map(|line| format!("{line}\x1b[m")).collect();
        lines
    }));
    lines.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(text: &str) -> Tracker {
        let mut tracker = Tracker::new(0);
        tracker.feed(text.as_bytes());
        tracker
    }

    #[test]
    fn a_screen_is_told_as_text_or_with_its_colours() {
        let text = "\x1b]0;top\x07one\r\n\x1b[31mtwo\x1b[m  ";
        let bytes = (text.as_bytes(), &b""[..]);
        let screen = peek(bytes, &watched(text), 5, 20, false);
        assert_eq!(screen.lines, ["one", "two"]);
        assert_eq!((screen.cursor, screen.title.as_str()), ((1, 5), "top"));
        let screen = peek(bytes, &watched(text), 5, 20, true);
        assert_eq!(screen.lines.len(), 2);
        assert!(
            screen.lines[1].contains("\x1b[31mtwo"),
            "{:?}",
            screen.lines
        );
    }

    #[test]
    fn a_program_that_asks_where_the_cursor_is_gets_told() {
        let text = "abc\x1b[6n\x1b[5n";
        let mut tracker = watched(text);
        let queries = tracker.take_queries();
        let bytes = (text.as_bytes(), &b""[..]);
        assert_eq!(
            answers(&queries, bytes, &tracker, 24, 80),
            b"\x1b[1;4R\x1b[0n"
        );
    }
}
