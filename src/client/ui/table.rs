//! Tables with aligned columns.

use crate::client::ui::style::{Paint, Style};
use crate::text::printable::printable;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    /// Creates a painted cell.
    pub(crate) fn painted(text: impl Into<String>, paint: Paint) -> Cell {
        Cell {
            text: printable(&text.into()),
            paint: Some(paint),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell {
            text: printable(&text.into()),
            paint: None,
        }
    }
}

/// Renders aligned columns, two spaces apart, without trailing spaces. The columns in `right` are
/// aligned to the right. Lines longer than `width` are cut.
pub(crate) fn render(
    style: Style,
    header: &[&str],
    rows: &[Vec<Cell>],
    right: &[usize],
    width: Option<usize>,
) -> Vec<String> {
    let heading: Vec<Cell> = header
        .iter()
        .map(|text| Cell::painted(*text, Paint::Bold))
        .collect();
    let mut widths = vec![0; header.len()];
    for row in std::iter::once(&heading).chain(rows) {
        for (cell, width) in row.iter().zip(&mut widths) {
            *width = (*width).max(display_width(&cell.text));
        }
    }
    let all = std::iter::once(&heading).chain(rows);
    all.map(|row| render_row(style, row, &widths, right, width))
        .collect()
}

fn render_row(
    style: Style,
    row: &[Cell],
    widths: &[usize],
    right: &[usize],
    width: Option<usize>,
) -> String {
    let mut line = String::new();
    let mut used = 0;
    let mut blanks = 0;
    for (index, (cell, column)) in row.iter().zip(widths).enumerate() {
        let length = display_width(&cell.text);
        if right.contains(&index) {
            blanks += column - length;
        }
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(used + blanks));
        let text = cut(&cell.text, room);
        if !text.is_empty() {
            line.push_str(&" ".repeat(blanks));
            used += blanks + display_width(&text);
            line.push_str(
                &cell
                    .paint
                    .map_or(text.clone(), |paint| style.paint(paint, &text)),
            );
            blanks = 0;
        }
        blanks += 2;
        if !right.contains(&index) {
            blanks += column - length;
        }
    }
    line
}

/// Cuts text to `room` columns. An ellipsis replaces the last one if text is missing.
pub(crate) fn cut(text: &str, room: usize) -> String {
    if display_width(text) <= room {
        return text.to_string();
    }
    let mut kept = String::new();
    let mut left = room.saturating_sub(1);
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if columns > left {
            break;
        }
        left -= columns;
        kept.push(c);
    }
    if room > 0 {
        kept.push('…');
    }
    kept
}

/// Adds spaces behind text until it fills `width` columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(display_width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// How many columns text takes on a terminal.
pub(crate) fn display_width(text: &str) -> usize {
    text.width()
}

/// Puts a notice about a process in brackets, to distinguish it from output of the process.
pub(crate) fn bracketed(notice: &[u8]) -> String {
    let text = printable(String::from_utf8_lossy(notice).trim());
    match text.starts_with('[') {
        true => text,
        false => format!("[{text}]"),
    }
}

/// Breaks text at blanks into lines of at most this width. Later lines are indented by two. A
/// longer word stays whole.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let used = display_width(&line);
        let is_new = line.trim().is_empty();
        if !is_new && used + 1 + display_width(word) > width {
            lines.push(std::mem::replace(&mut line, format!("  {word}")));
            continue;
        }
        if !is_new || !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_wrapped_at_blanks() {
        assert_eq!(wrap("one two three", 9), ["one two", "  three"]);
        assert_eq!(wrap("one two", usize::MAX), ["one two"]);
        assert_eq!(wrap("overlong", 3), ["overlong"]);
        assert_eq!(wrap("", 3), [""]);
    }

    #[test]
    fn columns_are_aligned_and_end_without_blanks() {
        let rows = [
            vec!["a".into(), "1".into(), "".into()],
            vec!["longer".into(), "22".into(), "x y".into()],
        ];
        let lines = render(
            Style::plain(),
            &["NAME", "PID", "DETAIL"],
            &rows,
            &[1],
            None,
        );
        assert_eq!(
            lines,
            ["NAME    PID  DETAIL", "a         1", "longer   22  x y"]
        );
    }

    #[test]
    fn colour_does_not_disturb_the_alignment() {
        let row = vec![Cell::painted("ab", Paint::Red), "x".into()];
        let lines = render(Style::coloured(), &["NAME", "B"], &[row], &[], None);
        assert_eq!(lines[1], "\x1b[31mab\x1b[0m    x");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = [
            vec!["日本".into(), "x".into()],
            vec!["abc".into(), "y".into()],
        ];
        let lines = render(Style::plain(), &["N", "D"], &rows, &[], None);
        assert_eq!(lines, ["N     D", "日本  x", "abc   y"]);
        assert_eq!(
            (cut("日本語", 5), cut("日本語", 4)),
            ("日本…".into(), "日…".into())
        );
        assert_eq!(pad("日本", 5), "日本 ");
    }

    #[test]
    fn long_lines_are_cut_and_controls_shown() {
        let row: Vec<Cell> = vec!["ab".into(), "12345678".into()];
        let lines = render(Style::plain(), &["N", "D"], &[row], &[], Some(8));
        assert_eq!(lines[1], "ab  123…");
    }
}
