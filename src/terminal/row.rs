//! One row of a screen, and changes within it.

use crate::terminal::cell::{Colour, Part, Pen, ScreenCell};

/// The initial capacity of a row, in cells.
const CELLS_MIN: usize = 32;

/// One row of a screen. Columns beyond its cells are blank, on the background `fill`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row {
    pub cells: Vec<ScreenCell>,
    pub fill: Colour,
    /// Whether the text continues in the next row.
    pub wrapped: bool,
    /// Whether the row may contain wide characters.
    pub wide: bool,
}

impl Row {
    pub(crate) fn clear(&mut self, fill: Colour) {
        self.cells.clear();
        self.fill = fill;
        self.wrapped = false;
        self.wide = false;
    }

    /// The cell at a column, if ever written.
    pub(crate) fn cell(&self, col: usize) -> Option<&ScreenCell> {
        self.cells.get(col)
    }

    fn extend(&mut self, len: usize) {
        if self.cells.len() < len {
            self.cells.resize(len, ScreenCell::blank(self.fill));
        }
    }

    /// Splits a wide character that a change at `col` would cut in two.
    fn cut(&mut self, col: usize) {
        if !self.wide
            || self
                .cells
                .get(col)
                .is_none_or(|cell| cell.part != Part::Spacer)
        {
            return;
        }
        self.cells[col].part = Part::Single;
        if let Some(before) = col.checked_sub(1).and_then(|at| self.cells.get_mut(at)) {
            before.orphan();
        }
    }

    pub(crate) fn put(&mut self, col: usize, cell: ScreenCell) {
        self.extend(col + 1);
        if self.wide {
            self.cut(col);
            self.cut(col + 1);
        }
        self.wide |= cell.part != Part::Single;
        self.cells[col] = cell;
    }

    /// Writes characters of one column each.
    pub(crate) fn put_text(&mut self, col: usize, text: &[u8], pen: &Pen) {
        let end = col + text.len();
        self.extend(col);
        if self.wide {
            self.cut(col);
            self.cut(end);
        }
        let known = self.cells.len().min(end) - col;
        let new = |byte: &u8| ScreenCell::new(char::from(*byte), Part::Single, pen);
        for (cell, byte) in self.cells[col..].iter_mut().zip(&text[..known]) {
            *cell = new(byte);
        }
        let rest = &text[known..];
        if self.cells.capacity() == 0 {
            // Most rows are written once.
            self.cells.reserve(rest.len().max(CELLS_MIN));
        }
        self.cells.extend(rest.iter().map(new));
    }

    /// Blanks the columns from `start` to before `end`, of `cols`.
    pub(crate) fn erase(&mut self, start: usize, end: usize, cols: usize, bg: Colour) {
        self.cut(start);
        self.cut(end);
        if end < cols {
            self.extend(end);
            self.cells[start..end].fill(ScreenCell::blank(bg));
            return;
        }
        if self.fill != bg {
            self.extend(start);
            self.fill = bg;
        }
        self.cells.truncate(start);
        self.wrapped = false;
    }

    /// Inserts `n` blank columns at `col`; the row ends at `cols`.
    pub(crate) fn insert(&mut self, col: usize, n: usize, cols: usize, bg: Colour) {
        self.cut(col);
        let n = n.min(cols - col);
        self.extend(col);
        let blanks = std::iter::repeat_n(ScreenCell::blank(bg), n);
        self.cells.splice(col..col, blanks);
        if self.cells.len() > cols {
            self.cut(cols);
            self.cells.truncate(cols);
        }
        self.wrapped = false;
    }

    /// Removes `n` columns from `col` on; blanks come in at the right.
    pub(crate) fn delete(&mut self, col: usize, n: usize, cols: usize, bg: Colour) {
        let n = n.min(cols - col);
        self.cut(col);
        self.cut(col + n);
        if self.fill != bg {
            self.extend(cols);
            self.fill = bg;
        }
        let end = self.cells.len().min(col + n);
        if col < end {
            self.cells.drain(col..end);
        }
        self.wrapped = false;
    }

    /// Cuts the row at `cols` columns.
    pub(crate) fn narrow(&mut self, cols: usize) {
        if self.cells.len() > cols {
            self.cut(cols);
            self.cells.truncate(cols);
        }
        self.wrapped = false;
    }

    /// The leading run of letters from a column on that have the same style.
    pub(crate) fn letters(&self, col: usize, end: usize) -> impl Iterator<Item = u8> {
        let cells = self.cells.get(col..end.min(self.cells.len()));
        let cells = cells.unwrap_or_default();
        let like_first = |cell: &&ScreenCell| cell.looks_like(&cells[0]);
        cells
            .iter()
            .take_while(like_first)
            .map_while(ScreenCell::letter)
    }

    /// Writes the row's characters, wide ones once.
    pub(crate) fn write_text(&self, out: &mut String) {
        let cells = self.cells.iter().filter(|cell| cell.part != Part::Spacer);
        cells.for_each(|cell| cell.write_text(out));
    }

    /// The number of columns up to the last one that is not blank.
    pub(crate) fn len(&self) -> usize {
        let fill = self.fill;
        let last = self.cells.iter().rposition(|cell| !cell.is_blank(fill));
        last.map_or(0, |at| at + 1)
    }
}
