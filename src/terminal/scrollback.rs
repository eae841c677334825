//! Lines above the screen, as the output that shows them. They never change again, and take a
//! tenth of the memory of rows of cells.

use crate::terminal::painter::Painter;
use crate::terminal::row::Row;
use std::collections::VecDeque;

/// The newest lines, up to a number of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scrollback {
    text: String,
    /// Where each row starts in `text`.
    starts: VecDeque<usize>,
    rows_max: usize,
    /// Whether the next row continues the newest one.
    continues: bool,
}

impl Scrollback {
    /// Keeps up to `rows_max` rows.
    pub(crate) fn new(rows_max: usize) -> Scrollback {
        Scrollback {
            text: String::new(),
            starts: VecDeque::new(),
            rows_max,
            continues: false,
        }
    }

    /// Adds a row; `next` is the one that follows it.
    pub(crate) fn push(&mut self, row: &Row, next: Option<&Row>, cols: usize) {
        self.starts.push_back(self.text.len());
        let mut painter = Painter::default();
        painter.out = std::mem::take(&mut self.text);
        self.continues = painter.line_of_many(row, next, self.continues, cols);
        self.text = painter.out;
        if self.starts.len() > self.rows_max {
            self.starts.pop_front();
        }
        let start = self.start();
        if start > self.text.len() / 2 {
            self.text.drain(..start);
            self.starts.iter_mut().for_each(|at| *at -= start);
        }
    }

    fn start(&self) -> usize {
        self.starts.front().copied().unwrap_or(self.text.len())
    }

    /// The output that shows the rows, and whether the next row continues the last one.
    pub(crate) fn text(&self) -> (&str, bool) {
        (&self.text[self.start()..], self.continues)
    }

    pub(crate) fn clear(&mut self) {
        *self = Scrollback::new(self.rows_max);
    }

    /// Approximate memory in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.text.capacity() + self.starts.capacity() * size_of::<usize>()
    }
}
