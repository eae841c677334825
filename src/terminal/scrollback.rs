//! Lines above the screen that nothing changes any more, as what has to be written to show them:
//! a tenth of the memory of rows of cells.

use crate::terminal::render::Painter;
use crate::terminal::row::Row;
use std::collections::VecDeque;

/// The newest lines that were added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scrollback {
    text: String,
    /// Where each row begins in `text`.
    begins: VecDeque<usize>,
    rows_max: usize,
    /// The text of the newest one goes on in whatever comes next.
    goes_on: bool,
}

impl Scrollback {
    /// For so many rows.
    pub(crate) fn new(rows_max: usize) -> Scrollback {
        Scrollback {
            text: String::new(),
            begins: VecDeque::new(),
            rows_max,
            goes_on: false,
        }
    }

    /// Adds a row; `next` is the one that follows it.
    pub(crate) fn push(&mut self, row: &Row, next: Option<&Row>, cols: usize) {
        self.begins.push_back(self.text.len());
        let mut painter = Painter::default();
        painter.out = std::mem::take(&mut self.text);
        self.goes_on = painter.line_of_many(row, next, self.goes_on, cols);
        self.text = painter.out;
        if self.begins.len() > self.rows_max {
            self.begins.pop_front();
        }
        let begin = self.begin();
        if begin > self.text.len() / 2 {
            self.text.drain(..begin);
            self.begins.iter_mut().for_each(|at| *at -= begin);
        }
    }

    fn begin(&self) -> usize {
        self.begins.front().copied().unwrap_or(self.text.len())
    }

    /// What shows them, and whether the text of the last one goes on.
    pub(crate) fn shown(&self) -> (&str, bool) {
        (&self.text[self.begin()..], self.goes_on)
    }

    pub(crate) fn clear(&mut self) {
        *self = Scrollback::new(self.rows_max);
    }

    /// Bytes of memory in use, about.
    pub(crate) fn memory(&self) -> usize {
        self.text.capacity() + self.begins.capacity() * size_of::<usize>()
    }
}
