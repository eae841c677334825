//! Tables with aligned columns.

use crate::client::ui::style::{Paint, Style};

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    /// Creates a painted cell.
    pub fn painted(text: impl Into<String>, paint: Paint) -> Cell {
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
pub fn render(
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
            *width = (*width).max(cell.text.chars().count());
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
        let length = cell.text.chars().count();
        if right.contains(&index) {
            blanks += column - length;
        }
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(used + blanks));
        let text = cut(&cell.text, room);
        if !text.is_empty() {
            line.push_str(&" ".repeat(blanks));
            used += blanks + text.chars().count();
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

/// Cuts text to `room` characters. An ellipsis replaces the last one if text is missing.
pub fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_string();
    }
    let mut kept: String = text.chars().take(room.saturating_sub(1)).collect();
    if room > 0 {
        kept.push('…');
    }
    kept
}

/// Makes control characters visible, so that no name or command can control the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Puts a notice about a process in brackets, to distinguish it from output of the process.
pub fn bracketed(notice: &[u8]) -> String {
    let text = printable(String::from_utf8_lossy(notice).trim());
    match text.starts_with('[') {
        true => text,
        false => format!("[{text}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn long_lines_are_cut_and_controls_shown() {
        let row: Vec<Cell> = vec!["ab".into(), "12345678".into()];
        let lines = render(Style::plain(), &["N", "D"], &[row], &[], Some(8));
        assert_eq!(lines[1], "ab  123…");
        assert_eq!(printable("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
