//! Writes what the screens show as the output that shows it on a terminal.

use crate::terminal::cell::{Part, Pen, ScreenCell};
use crate::terminal::painter::Painter;
use crate::terminal::row::Row;
use crate::terminal::screen::{Cursor, Page, Screens};

impl Painter {
    /// Writes all rows of a cleared screen. Leaves the cursor anywhere.
    pub(crate) fn page(&mut self, page: &Page, cols: usize) {
        let mut continues = false;
        for (index, row) in page.rows.iter().enumerate() {
            let next = page.rows.get(index + 1).filter(|_| !self.wider);
            let empty = row.len() == 0 && row.fill.is_default() && !row.wrapped;
            if !continues {
                if empty {
                    continue;
                }
                self.out.push_str(&format!("\x1b[{};1H", index + 1));
            }
            continues = self.row(row, next, continues, cols);
        }
        self.use_pen(&Pen::default());
    }

    /// Writes the lines above the screen from the first column on, one below the other. The
    /// terminal scrolls at the bottom.
    pub(crate) fn history(&mut self, screen: &Screens) {
        let mut continues = false;
        if let Some(scrollback) = &screen.scrollback {
            let (text, last_continues) = scrollback.text();
            self.out.push_str(text);
            continues = last_continues;
        }
        let mut rows = screen.history.iter().peekable();
        while let Some(row) = rows.next() {
            continues = self.line_of_many(row, rows.peek().copied(), continues, screen.cols);
        }
    }

    /// Writes on where `cursor`, after the last column, wraps into the next row.
    pub(crate) fn wrap_on(&mut self, page: &Page, cursor: &Cursor) {
        let wraps = |row: &&Row| cursor.pending && row.wrapped && !self.wider;
        let row = page.rows.get(cursor.row).filter(wraps);
        if let (Some(_), Some(next)) = (row, page.rows.get(cursor.row + 1)) {
            let blank = ScreenCell::blank(next.fill);
            self.cell(next.cell(0).unwrap_or(&blank));
            self.use_pen(&Pen::default());
        }
    }

    /// Moves the terminal's cursor to `cursor`, including a pending wrap. Rows count from `first`;
    /// `last` is the character that REP repeats.
    pub(crate) fn place(&mut self, last: Option<char>, page: &Page, cursor: &Cursor, first: usize) {
        let row = cursor.row.saturating_sub(first) + 1;
        let repeated = cell_to_repeat(last, page, cursor).filter(|_| !self.wider);
        let Some((col, cell)) = repeated else {
            self.out
                .push_str(&format!("\x1b[{row};{}H", cursor.col + 1));
            return;
        };
        self.out.push_str(&format!("\x1b[{row};{}H", col + 1));
        self.cell(&cell);
        self.use_pen(&Pen::default());
    }
}

/// The cell to write again so that the terminal has the cursor's pending wrap, and REP repeats
/// the right character. None if neither matters.
fn cell_to_repeat(last: Option<char>, page: &Page, cursor: &Cursor) -> Option<(usize, ScreenCell)> {
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
