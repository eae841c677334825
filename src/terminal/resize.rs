//! Changes the size of the screens.

use crate::terminal::cell::Part;
use crate::terminal::row::Row;
use crate::terminal::screen::{Screens, clamp};
use std::collections::VecDeque;

impl Screens {
    /// Changes the size: rewraps the text of the main screen, cuts the alternate one.
    pub(crate) fn resize(&mut self, rows: u16, cols: u16) {
        let (rows, cols) = clamp(rows, cols);
        if (rows, cols) == (self.rows, self.cols) {
            return;
        }
        self.rewrap(rows, cols);
        let alternate = &mut self.pages[1];
        for row in &mut alternate.rows {
            row.narrow(cols);
        }
        alternate.rows.resize(rows, Row::default());
        for page in &mut self.pages {
            for cursor in [&mut page.cursor, &mut page.saved] {
                cursor.pending &= cursor.col + 1 == cols;
                cursor.row = cursor.row.min(rows - 1);
                cursor.col = cursor.col.min(cols - 1);
            }
        }
        if cols != self.cols {
            self.tabs = None;
        }
        (self.rows, self.cols) = (rows, cols);
        (self.top, self.bottom) = (0, rows);
    }

    /// Rewraps the main screen's text into rows of another length. The cursor keeps its position
    /// in the text.
    fn rewrap(&mut self, rows: usize, cols: usize) {
        let page = &mut self.pages[0];
        let cursor_row = self.history.len() + page.cursor.row;
        let last = page.rows.iter().rposition(|row| row.len() > 0);
        let used = last.map_or(0, |at| at + 1).max(page.cursor.row + 1);
        page.rows.truncate(used);
        let all = self.history.drain(..).chain(page.rows.drain(..));
        let mut out: VecDeque<Row> = VecDeque::new();
        let mut continues = false;
        let mut found = (0, page.cursor.col);
        let (first_row, mut top) = (cursor_row - page.cursor.row, 0);
        for (index, mut row) in all.enumerate() {
            let wrapped = row.wrapped;
            if index == first_row {
                top = out
                    .len()
                    .saturating_sub(usize::from(continues && cols != self.cols));
            }
            if cols == self.cols {
                if index == cursor_row {
                    found.0 = out.len();
                }
                out.push_back(row);
                continue;
            }
            row.narrow(row.len());
            let mut line = match continues {
                true => out.pop_back().unwrap_or_default(),
                false => Row::default(),
            };
            if continues
                && line
                    .cells
                    .last()
                    .is_some_and(|cell| cell.part == Part::Leading)
            {
                line.cells.pop();
            }
            let before = line.cells.len();
            line.wide |= row.wide;
            line.fill = row.fill;
            line.cells.append(&mut row.cells);
            let start = out.len();
            split(line, cols, wrapped, &mut out);
            if index == cursor_row {
                let at = before + page.cursor.col;
                found = (start + at / cols, at % cols);
                if page.cursor.pending && at % cols != cols - 1 {
                    found.1 += 1;
                }
            }
            continues = wrapped;
        }
        if let Some(last) = out.back_mut()
            && continues
            && cols != self.cols
        {
            last.wrapped = false;
        }
        self.show(out, top, found, rows);
        let surplus = self.history.len().saturating_sub(self.history_max);
        self.history.drain(..surplus);
    }

    /// Splits all rows into the main screen and, above it, the history. `top` was the first row of
    /// the screen; `found` is the row and column of the cursor.
    fn show(&mut self, mut out: VecDeque<Row>, top: usize, found: (usize, usize), rows: usize) {
        // The cursor stays on the screen, with as many rows below it as fit.
        let below = out.len().saturating_sub(rows).min(found.0);
        let gone = top
            .max(below)
            .max((found.0 + 1).saturating_sub(rows))
            .min(found.0);
        self.history.extend(out.drain(..gone.min(out.len())));
        out.resize(rows, Row::default());
        let page = &mut self.pages[0];
        page.rows = out;
        page.cursor.row = found.0 - gone;
        page.cursor.col = found.1;
    }
}

/// Cuts a line of text into rows of `cols` columns.
fn split(mut line: Row, cols: usize, wrapped: bool, out: &mut VecDeque<Row>) {
    while line.cells.len() > cols {
        let wide = line.cells[cols].part == Part::Spacer;
        let mut rest = line.clone();
        rest.cells = line.cells.split_off(cols - usize::from(wide));
        line.wrapped = true;
        out.push_back(std::mem::replace(&mut line, rest));
    }
    line.wrapped = wrapped;
    out.push_back(line);
}
