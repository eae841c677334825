//! Writes rows of cells as the output that shows them on a terminal.

use crate::terminal::cell::{Colour, Part, Pen, ScreenCell};
use crate::terminal::row::Row;

/// Writes to a terminal that wraps, and tracks the terminal's pen.
#[derive(Debug, Default)]
pub(crate) struct Painter {
    pub out: String,
    /// The terminal may be wider than the rows: each row has its place, and ends at its own width.
    pub wider: bool,
    pen: Pen,
}

impl Painter {
    /// For a terminal that has this pen.
    pub(crate) fn with_pen(pen: &Pen) -> Painter {
        Painter {
            pen: pen.clone(),
            ..Painter::default()
        }
    }

    /// For a terminal that may be wider than the rows.
    pub(crate) fn for_wider() -> Painter {
        Painter {
            wider: true,
            ..Painter::default()
        }
    }

    /// Writes one of several lines and, unless it wraps into `next`, a line end. Returns whether
    /// it wraps, and the next row `continues` at the cursor.
    pub(crate) fn line_of_many(
        &mut self,
        row: &Row,
        next: Option<&Row>,
        continues: bool,
        cols: usize,
    ) -> bool {
        let wraps = self.row(row, next, continues, cols);
        self.use_pen(&Pen::default());
        if !wraps {
            self.out.push_str("\r\n");
        }
        wraps
    }

    /// A row on its own.
    pub(crate) fn line(row: &Row, cols: usize) -> String {
        let mut painter = Painter::default();
        painter.row(row, None, false, cols);
        painter.use_pen(&Pen::default());
        painter.out
    }

    /// Writes a row from its first column on. The cursor is there, or wraps to there if the row
    /// `continues` the one before. Returns whether the next row continues this one.
    pub(crate) fn row(
        &mut self,
        row: &Row,
        next: Option<&Row>,
        continues: bool,
        cols: usize,
    ) -> bool {
        let wraps = row.wrapped && next.is_some();
        let end = match wraps {
            true => cols,
            false => row.len().max(usize::from(continues)).min(cols),
        };
        let blank = ScreenCell::blank(row.fill);
        let wide_next = next.and_then(|next| next.cell(0));
        let wide_next = wide_next.filter(|cell| cell.part == Part::Wide);
        let (mut col, mut gap) = (0, 0);
        while col < end {
            let cell = row.cell(col).unwrap_or(&blank);
            if cell.letter().is_some() {
                self.skip(&mut gap);
                self.use_pen_of(cell);
                let before = self.out.len();
                self.out.extend(row.letters(col, end).map(char::from));
                col += self.out.len() - before;
                continue;
            }
            let needed = (col == 0 && continues) || (wraps && col + 1 == cols);
            let leading = cell.part == Part::Leading && wraps;
            let left_free = leading && wide_next.is_some_and(|next| next.has_pen(&cell.pen()));
            if left_free || (cell.is_blank(Colour::default()) && !needed) {
                gap += 1;
                col += 1;
                continue;
            }
            self.skip(&mut gap);
            self.cell(cell);
            col += if cell.part == Part::Wide { 2 } else { 1 };
        }
        // A wide character that does not fit wraps on its own from the last column.
        if wraps && gap > 0 {
            gap -= 1;
        }
        if !row.fill.is_default() && end < cols {
            self.skip(&mut gap);
            self.use_pen(&Pen::background(row.fill));
            match self.wider {
                true => self.out.push_str(&format!("\x1b[{}X", cols - end)),
                false => self.out.push_str("\x1b[K"),
            }
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

    pub(crate) fn cell(&mut self, cell: &ScreenCell) {
        self.use_pen_of(cell);
        cell.write_text(&mut self.out);
    }

    fn use_pen_of(&mut self, cell: &ScreenCell) {
        if !cell.has_pen(&self.pen) {
            self.use_pen(&cell.pen());
        }
    }

    /// Changes the terminal's pen to this one.
    pub(crate) fn use_pen(&mut self, pen: &Pen) {
        pen.write(&self.pen, &mut self.out);
        self.pen.clone_from(pen);
    }
}
