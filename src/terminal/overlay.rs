//! A line of one's own over a row of a screen that somebody else draws, and that row again.

use crate::terminal::cell::Pen;
use crate::terminal::model::Model;
use crate::terminal::painter::Painter;
use crate::terminal::screen::Cursor;
use crate::terminal::tracker::Tracker;

/// Knows what a terminal shows, to lay a line over it.
#[derive(Debug)]
pub struct Overlay {
    model: Model,
    tracker: Tracker,
}

impl Overlay {
    /// Over a fresh terminal.
    pub fn new(rows: u16, cols: u16) -> Overlay {
        Overlay {
            model: Model::new(rows, cols),
            tracker: Tracker::new(0),
        }
    }

    /// Takes in what is written to the terminal, while nothing is laid over it.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.model.feed(bytes);
        self.tracker.feed(bytes);
    }

    /// Rows and columns.
    pub fn size(&self) -> (usize, usize) {
        let screen = self.model.screen();
        (screen.rows, screen.cols)
    }

    /// Lays `text`, narrower than the screen, over the last row, or over the first where the
    /// cursor is in the last. The row it covers, from 0, and what to write; nothing where the
    /// terminal could not be left as it was: in a sequence, with margins or insertion.
    pub fn cover(&self, text: &str) -> Option<(usize, Vec<u8>)> {
        if !self.tracker.is_plain() {
            return None;
        }
        let last = self.size().0 - 1;
        let covered = if self.cursor().row == last { 0 } else { last };
        let mut painter = self.go_to(covered);
        painter.out.push_str(text);
        painter.out.push_str("\x1b[K");
        Some((covered, self.come_back(painter)))
    }

    /// Writes the covered row as it was.
    pub fn uncover(&self, covered: usize) -> Vec<u8> {
        let screen = self.model.screen();
        let mut painter = self.go_to(covered);
        painter.out.push_str("\x1b[K");
        if let Some(row) = screen.page().rows.get(covered) {
            painter.out.push_str(&Painter::line(row, screen.cols));
        }
        self.come_back(painter)
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

    fn come_back(&self, mut painter: Painter) -> Vec<u8> {
        let screen = self.model.screen();
        let cursor = self.cursor();
        painter.place(screen.last, screen.page(), cursor, 0);
        painter.use_pen(&cursor.pen);
        painter.out.into_bytes()
    }
}
