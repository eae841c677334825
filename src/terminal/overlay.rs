//! Lays a line over a row of a screen that another program draws, and restores the row.

use crate::terminal::cell::Pen;
use crate::terminal::model::Model;
use crate::terminal::painter::Painter;
use crate::terminal::screen::Cursor;
use crate::terminal::tracker::Tracker;

/// The content of a terminal, for laying a line over one of its rows.
#[derive(Debug)]
pub(crate) struct Overlay {
    model: Model,
    tracker: Tracker,
}

impl Overlay {
    /// For a fresh terminal.
    pub(crate) fn new(rows: u16, cols: u16) -> Overlay {
        Overlay {
            model: Model::new(rows, cols),
            tracker: Tracker::new(0),
        }
    }

    /// Processes output to the terminal. Call it only while no line is laid over a row.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.model.feed(bytes);
        self.tracker.feed(bytes);
    }

    /// Rows and columns.
    pub(crate) fn size(&self) -> (usize, usize) {
        let screen = self.model.screen();
        (screen.rows, screen.cols)
    }

    /// Lays `text`, narrower than the screen, over the last row, or over the first if the cursor
    /// is in the last. Returns the covered row, from 0, and the output to write. None while the
    /// terminal cannot be restored: inside a sequence, or with margins or insertion.
    pub(crate) fn cover(&self, text: &str) -> Option<(usize, Vec<u8>)> {
        if !self.tracker.is_plain() {
            return None;
        }
        let last = self.size().0 - 1;
        let covered = if self.cursor().row == last { 0 } else { last };
        let mut painter = self.go_to(covered);
        painter.out.push_str(text);
        painter.out.push_str("\x1b[K");
        Some((covered, self.restore_cursor(painter)))
    }

    /// The output that restores a covered row.
    pub(crate) fn uncover(&self, covered: usize) -> Vec<u8> {
        let screen = self.model.screen();
        let mut painter = self.go_to(covered);
        painter.out.push_str("\x1b[K");
        if let Some(row) = screen.page().rows.get(covered) {
            painter.out.push_str(&Painter::line(row, screen.cols));
        }
        self.restore_cursor(painter)
    }

    fn cursor(&self) -> &Cursor {
        &self.model.screen().page().cursor
    }

    fn go_to(&self, row: usize) -> Painter {
        let mut painter = Painter::with_pen(&self.cursor().pen);
        painter.use_pen(&Pen::default());
        painter.out.push_str(&format!("\x1b[{};1H", row + 1));
        painter
    }

    fn restore_cursor(&self, mut painter: Painter) -> Vec<u8> {
        let screen = self.model.screen();
        let cursor = self.cursor();
        painter.place(screen.last, screen.page(), cursor, 0);
        painter.use_pen(&cursor.pen);
        painter.out.into_bytes()
    }
}
