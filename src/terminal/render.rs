//! Writes what a screen shows as a terminal understands it.

use crate::terminal::cell::{Colour, Part, Pen, ScreenCell};
use crate::terminal::row::Row;
use crate::terminal::screen::{Cursor, Page, Screens};

/// Writes to a terminal that is clear, wraps, and whose pen is the default one.
#[derive(Debug, Default)]
pub(crate) struct Painter {
    pub out: String,
    pen: Pen,
}

impl Painter {
    /// For a terminal whose pen is this one.
    pub(super) fn holding(pen: &Pen) -> Painter {
        Painter {
            out: String::new(),
            pen: pen.clone(),
        }
    }

    /// The rows of a cleared screen. The cursor ends anywhere.
    pub(super) fn page(&mut self, page: &Page, cols: usize) {
        let mut goes_on = false;
        for (index, row) in page.rows.iter().enumerate() {
            let next = page.rows.get(index + 1);
            let empty = row.len() == 0 && row.fill.is_default() && !row.wrapped;
            if !goes_on {
                if empty {
                    continue;
                }
                self.out.push_str(&format!("\x1b[{};1H", index + 1));
            }
            goes_on = self.row(row, next, goes_on, cols);
        }
        self.use_pen(&Pen::default());
    }

    /// The lines above a screen one below the other, from the first column on; scrolls at the
    /// bottom.
    pub(super) fn history(&mut self, screen: &Screens) {
        let mut goes_on = false;
        if let Some(scrollback) = &screen.scrollback {
            let (shown, last_goes_on) = scrollback.shown();
            self.out.push_str(shown);
            goes_on = last_goes_on;
        }
        let mut rows = screen.history.iter().peekable();
        while let Some(row) = rows.next() {
            goes_on = self.line_of_many(row, rows.peek().copied(), goes_on, screen.cols);
        }
    }

    /// One of many rows; whether the next one is to go on from here.
    pub(super) fn line_of_many(
        &mut self,
        row: &Row,
        next: Option<&Row>,
        goes_on: bool,
        cols: usize,
    ) -> bool {
        let goes_on = self.row(row, next, goes_on, cols);
        self.use_pen(&Pen::default());
        if !goes_on {
            self.out.push_str("\r\n");
        }
        goes_on
    }

    /// A row by itself.
    pub(super) fn line(row: &Row, cols: usize) -> String {
        let mut painter = Painter::default();
        painter.row(row, None, false, cols);
        painter.use_pen(&Pen::default());
        painter.out
    }

    /// One row from its first column on, where the terminal is, or wraps to if it `goes_on`.
    /// Whether the next row is to go on from here.
    fn row(&mut self, row: &Row, next: Option<&Row>, goes_on: bool, cols: usize) -> bool {
        let wraps = row.wrapped && next.is_some();
        let end = match wraps {
            true => cols,
            false => row.len().max(usize::from(goes_on)).min(cols),
        };
        let blank = ScreenCell::blank(row.fill);
        let wide_next = next.and_then(|next| next.cell(0));
        let wide_next = wide_next.filter(|cell| cell.part == Part::Wide);
        let (mut col, mut gap) = (0, 0);
        while col < end {
            let cell = row.cell(col).unwrap_or(&blank);
            if cell.letter().is_some() {
                self.skip(&mut gap);
                self.draw_with(cell);
                let before = self.out.len();
                self.out.extend(row.letters(col, end).map(char::from));
                col += self.out.len() - before;
                continue;
            }
            let needed = (col == 0 && goes_on) || (wraps && col + 1 == cols);
            let makes_room = cell.part == Part::Leading && wraps;
            let left_free = makes_room && wide_next.is_some_and(|next| next.has_pen(&cell.pen()));
            if left_free || (cell.is_blank(Colour::default()) && !needed) {
                gap += 1;
                col += 1;
                continue;
            }
            self.skip(&mut gap);
            self.cell(cell);
            col += if cell.part == Part::Wide { 2 } else { 1 };
        }
        // A wide character that does not fit wraps by itself from the last column.
        if wraps && gap > 0 {
            gap -= 1;
        }
        if !row.fill.is_default() && end < cols {
            self.skip(&mut gap);
            self.use_pen(&Pen::background(row.fill));
            self.out.push_str("\x1b[K");
        } else if wraps {
            self.skip(&mut gap);
        }
        wraps
    }

    fn skip(&mut self, gap: &mut usize) {
        if *gap > 0 {
            self.out.push_str(&format!("\x1b[{gap}C"));
            *gap = 0;
        }
    }

    fn cell(&mut self, cell: &ScreenCell) {
        self.draw_with(cell);
        cell.write_text(&mut self.out);
    }

    fn draw_with(&mut self, cell: &ScreenCell) {
        if !cell.has_pen(&self.pen) {
            self.use_pen(&cell.pen());
        }
    }

    /// Makes the terminal's pen this one.
    pub(super) fn use_pen(&mut self, pen: &Pen) {
        pen.write(&self.pen, &mut self.out);
        self.pen.clone_from(pen);
    }

    /// The cursor was put into the last column, and wraps: its row goes on in the next one.
    pub(super) fn wrap_on(&mut self, page: &Page, cursor: &Cursor) {
        let wraps = |row: &&Row| cursor.pending && row.wrapped;
        let row = page.rows.get(cursor.row).filter(wraps);
        if let (Some(_), Some(next)) = (row, page.rows.get(cursor.row + 1)) {
            let blank = ScreenCell::blank(next.fill);
            self.cell(next.cell(0).unwrap_or(&blank));
            self.use_pen(&Pen::default());
        }
    }

    /// Puts the terminal's cursor to where `cursor` is, also if that has still to wrap. Rows are
    /// counted from `first`; `last` is what the terminal would repeat.
    pub(super) fn place(&mut self, last: Option<char>, page: &Page, cursor: &Cursor, first: usize) {
        let row = cursor.row.saturating_sub(first);
        let Some((col, cell)) = written_last(last, page, cursor) else {
            self.out
                .push_str(&format!("\x1b[{};{}H", row + 1, cursor.col + 1));
            return;
        };
        self.out.push_str(&format!("\x1b[{};{}H", row + 1, col + 1));
        self.cell(&cell);
        self.use_pen(&Pen::default());
    }
}

/// The cell that has to be written again for the terminal to be as after writing it: it may have
/// to wrap before the next character, and it may have to repeat this one.
fn written_last(last: Option<char>, page: &Page, cursor: &Cursor) -> Option<(usize, ScreenCell)> {
    let row = page.rows.get(cursor.row)?;
    let mut col = match cursor.pending {
        true => cursor.col,
        false => cursor.col.checked_sub(1)?,
    };
    let blank = ScreenCell::blank(row.fill);
    if row.cell(col).is_some_and(|cell| cell.part == Part::Spacer) {
        col = col.checked_sub(1)?;
    }
    let cell = row.cell(col).unwrap_or(&blank);
    let end = col + if cell.part == Part::Wide { 2 } else { 1 };
    let repeats = last == Some(cell.character) && end == cursor.col;
    (cursor.pending || repeats).then(|| (col, cell.clone()))
}
