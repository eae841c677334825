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

/// Columns, and how they fit a narrow terminal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Columns<'a> {
    pub(crate) header: &'a [&'a str],
    /// The columns that are aligned to the right.
    pub(crate) right: &'a [usize],
    /// The columns that are left out where the width does not suffice, the first one first.
    pub(crate) optional: &'a [usize],
    /// The columns of the terminal, if lines must fit.
    pub(crate) width: Option<usize>,
    /// Whether the last column continues in further lines, instead of being cut.
    pub(crate) wraps: bool,
}

/// The least room for the last column beside the others.
const LAST_MIN: usize = 16;

/// The least room for the first column.
const FIRST_MIN: usize = 1;

/// Renders aligned columns, two spaces apart, without trailing spaces. Where the width does not
/// suffice, optional columns are left out, then the last column continues below or is cut, then the
/// first one is cut.
pub(crate) fn render(style: Style, columns: Columns<'_>, rows: &[Vec<Cell>]) -> Vec<String> {
    let heading: Vec<Cell> = columns
        .header
        .iter()
        .map(|text| Cell::painted(*text, Paint::Bold))
        .collect();
    let all = || std::iter::once(&heading).chain(rows);
    let mut widths = vec![0; columns.header.len()];
    for row in all() {
        for (cell, width) in row.iter().zip(&mut widths) {
            *width = (*width).max(display_width(&cell.text));
        }
    }
    let Some(width) = columns.width else {
        let kept: Vec<usize> = (0..widths.len()).collect();
        let (kept, right) = (&kept, columns.right);
        let line = |row: &Vec<Cell>| render_row(style, row, kept, &widths, right, usize::MAX);
        return all().map(line).collect();
    };
    let kept = fitting(&mut widths, columns, width);
    let last = columns.header.len().saturating_sub(1);
    let lines = all().flat_map(|row| {
        let line = render_row(style, row, &kept, &widths, columns.right, width);
        let text = row.get(last).map_or("", |cell| cell.text.as_str());
        let beside: usize = kept.iter().filter(|index| **index != last).count();
        let used: usize = kept
            .iter()
            .filter_map(|i| (*i != last).then_some(widths[*i]))
            .sum();
        let used = used + 2 * beside;
        if !columns.wraps || row == &heading || used + display_width(text) <= width {
            return vec![line];
        }
        let without: Vec<usize> = kept
            .iter()
            .copied()
            .filter(|index| *index != last)
            .collect();
        below(
            style,
            row,
            (&without, &widths, columns.right),
            text,
            (used, width),
        )
    });
    lines.collect()
}

/// The columns that are kept. Narrows the first one if even the others need too much.
fn fitting(widths: &mut [usize], columns: Columns<'_>, width: usize) -> Vec<usize> {
    let last = widths.len().saturating_sub(1);
    let mut kept: Vec<usize> = (0..widths.len()).collect();
    let needed = |kept: &[usize], widths: &[usize]| -> usize {
        let wanted = kept.iter().map(|index| match *index == last {
            true => widths[last].min(LAST_MIN),
            false => widths[*index],
        });
        wanted.sum::<usize>() + 2 * kept.len().saturating_sub(1)
    };
    for index in columns.optional {
        if needed(&kept, widths) > width {
            kept.retain(|one| one != index);
        }
    }
    // Without the last column and the blanks before it.
    let fixed = needed(&kept, widths).saturating_sub(widths[last].min(LAST_MIN) + 2);
    if fixed > width && kept.len() > 1 {
        let first = widths[0];
        widths[0] = first
            .saturating_sub(fixed - width)
            .max(FIRST_MIN.min(first));
    }
    kept
}

/// A row whose last cell continues in further lines: below itself, or below the row if there is
/// little room.
fn below(
    style: Style,
    row: &[Cell],
    (kept, widths, right): (&[usize], &[usize], &[usize]),
    text: &str,
    (used, width): (usize, usize),
) -> Vec<String> {
    let line = render_row(style, row, kept, widths, right, width);
    let room = width.saturating_sub(used);
    if room < LAST_MIN {
        let indent = |line: String| format!("  {}", line.trim_start());
        let wrapped = wrap(text, width.saturating_sub(4)).into_iter().map(indent);
        return std::iter::once(line).chain(wrapped).collect();
    }
    let blank = used.saturating_sub(visible_width(&line));
    let mut wrapped = wrap(text, room).into_iter();
    let first = wrapped.next().unwrap_or_default();
    let further = wrapped.map(|line| format!("{}{line}", " ".repeat(used)));
    let first = format!("{line}{}{first}", " ".repeat(blank));
    std::iter::once(first).chain(further).collect()
}

fn render_row(
    style: Style,
    row: &[Cell],
    kept: &[usize],
    widths: &[usize],
    right: &[usize],
    width: usize,
) -> String {
    let mut line = String::new();
    let mut used = 0;
    let mut blanks = 0;
    let last = widths.len().saturating_sub(1);
    for (index, column) in kept
        .iter()
        .filter_map(|index| Some((*index, *widths.get(*index)?)))
    {
        let Some(cell) = row.get(index) else { continue };
        let own = match index == last {
            true => cell.text.clone(),
            false => cut(&cell.text, column),
        };
        let length = display_width(&own);
        if right.contains(&index) {
            blanks += column - length;
        }
        let text = cut(&own, width.saturating_sub(used + blanks));
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
            blanks += column.saturating_sub(length);
        }
    }
    line
}

/// How many columns a line takes on a terminal, colours left out.
pub(crate) fn visible_width(line: &str) -> usize {
    let mut width = 0;
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        width += display_width(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    width + display_width(rest)
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
        let used = visible_width(&line);
        let is_new = line.trim().is_empty();
        if !is_new && used + 1 + visible_width(word) > width {
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

    fn of<'a>(header: &'a [&'a str], right: &'a [usize]) -> Columns<'a> {
        Columns {
            header,
            right,
            ..Columns::default()
        }
    }

    #[test]
    fn columns_give_way_in_order_and_the_state_last() {
        let row = |name: &str, detail: &str| -> Vec<Cell> {
            vec![
                name.into(),
                "BACKOFF".into(),
                "4121".into(),
                "3".into(),
                detail.into(),
            ]
        };
        let rows = [row("worker:1", "exit 1 after 0.2s, retry 3 of 3 in 1.8s")];
        let fitted = |width, wraps, rows: &[Vec<Cell>]| {
            let columns = Columns {
                width: Some(width),
                wraps,
                optional: &[3, 2],
                ..of(&["NAME", "STATE", "PID", "RESTARTS", "DETAIL"], &[2, 3])
            };
            render(Style::plain(), columns, rows)
        };
        assert_eq!(
            fitted(40, true, &rows),
            [
                "NAME      STATE    DETAIL",
                "worker:1  BACKOFF  exit 1 after 0.2s,",
                "                     retry 3 of 3 in",
                "                     1.8s",
            ]
        );
        assert_eq!(
            fitted(40, false, &rows),
            [
                "NAME      STATE    DETAIL",
                "worker:1  BACKOFF  exit 1 after 0.2s, r…",
            ]
        );
        let long = [row(&"n".repeat(90), "x")];
        let lines = fitted(30, false, &long);
        assert!(lines[1].contains("BACKOFF"), "{lines:?}");
        assert!(
            lines.iter().all(|line| display_width(line) <= 30),
            "{lines:?}"
        );
        let narrow = fitted(18, true, &rows);
        assert_eq!(narrow[1], "worker:1  BACKOFF");
        assert_eq!(narrow[2], "  exit 1 after");
    }

    #[test]
    fn columns_are_aligned_and_end_without_blanks() {
        let rows = [
            vec!["a".into(), "1".into(), "".into()],
            vec!["longer".into(), "22".into(), "x y".into()],
        ];
        let lines = render(Style::plain(), of(&["NAME", "PID", "DETAIL"], &[1]), &rows);
        assert_eq!(
            lines,
            ["NAME    PID  DETAIL", "a         1", "longer   22  x y"]
        );
    }

    #[test]
    fn colour_does_not_disturb_the_alignment() {
        let row = vec![Cell::painted("ab", Paint::Red), "x".into()];
        let lines = render(Style::coloured(), of(&["NAME", "B"], &[]), &[row]);
        assert_eq!(lines[1], "\x1b[31mab\x1b[0m    x");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = [
            vec!["日本".into(), "x".into()],
            vec!["abc".into(), "y".into()],
        ];
        let lines = render(Style::plain(), of(&["N", "D"], &[]), &rows);
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
        let columns = Columns {
            width: Some(8),
            ..of(&["N", "D"], &[])
        };
        let lines = render(Style::plain(), columns, &[row]);
        assert_eq!(lines[1], "ab  123…");
    }
}
