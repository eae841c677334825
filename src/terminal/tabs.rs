//! Tab stops.

use crate::terminal::screen::Screens;

impl Screens {
    /// Moves the cursor right by `count` tab stops.
    pub(crate) fn tab(&mut self, count: usize) {
        let mut col = self.page().cursor.col;
        for _ in 0..count.min(self.cols) {
            let next = (col + 1..self.cols).find(|col| self.is_tab(*col));
            col = next.unwrap_or(self.cols - 1);
        }
        self.cursor().col = col;
    }

    /// Moves the cursor left by `count` tab stops.
    pub(crate) fn back_tab(&mut self, count: usize) {
        let mut col = self.page().cursor.col;
        for _ in 0..count.min(self.cols) {
            col = (0..col).rev().find(|col| self.is_tab(*col)).unwrap_or(0);
        }
        let cursor = self.cursor();
        cursor.pending &= cursor.col == col;
        cursor.col = col;
    }

    fn is_tab(&self, col: usize) -> bool {
        match &self.tabs {
            Some(tabs) => tabs.get(col).copied().unwrap_or(false),
            None => col.is_multiple_of(8),
        }
    }

    /// Sets or clears the tab stop at the cursor.
    pub(crate) fn set_tab(&mut self, on: bool) {
        let col = self.page().cursor.col;
        let mut tabs: Box<[bool]> = (0..self.cols).map(|col| self.is_tab(col)).collect();
        tabs[col] = on;
        self.tabs = Some(tabs);
    }

    pub(crate) fn clear_tabs(&mut self) {
        self.tabs = Some(vec![false; self.cols].into());
    }
}
