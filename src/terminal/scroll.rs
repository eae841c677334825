//! Moves rows up and down.

use crate::terminal::screen::Screens;

impl Screens {
    /// Moves the rows from `from` to the end of the region up.
    pub(crate) fn scroll_up(&mut self, from: usize, count: usize) {
        let (bottom, bg) = (self.bottom, self.bg());
        if from >= bottom {
            return;
        }
        let count = count.min(bottom - from);
        let keeps = from == 0 && self.alternate.is_none() && self.history_max > 0;
        let whole = from == 0 && bottom == self.rows;
        for step in 0..count {
            let page = &mut self.pages[usize::from(self.alternate.is_some())];
            let mut row = if whole {
                page.rows.pop_front().unwrap_or_default()
            } else {
                std::mem::take(&mut page.rows[from + step])
            };
            if keeps {
                // The row that leaves the history is reused as the new one.
                let full = self.history.len() >= self.history_max;
                let oldest = if full { self.history.pop_front() } else { None };
                if let (Some(oldest), Some(scrollback)) = (&oldest, &mut self.scrollback) {
                    scrollback.push(oldest, self.history.front(), self.cols);
                }
                let kept = std::mem::replace(&mut row, oldest.unwrap_or_default());
                self.history.push_back(kept);
            }
            row.clear(bg);
            if whole {
                page.rows.push_back(row);
            } else {
                page.rows[from + step] = row;
            }
        }
        if !whole {
            let rows = self.page_mut().rows.make_contiguous();
            rows[from..bottom].rotate_left(count);
        }
    }

    /// Moves the rows from `from` to the end of the region down.
    pub(crate) fn scroll_down(&mut self, from: usize, count: usize) {
        let (bottom, bg) = (self.bottom, self.bg());
        if from >= bottom {
            return;
        }
        let count = count.min(bottom - from);
        let rows = self.page_mut().rows.make_contiguous();
        rows[from..bottom].rotate_right(count);
        rows[from..from + count]
            .iter_mut()
            .for_each(|row| row.clear(bg));
    }

    /// Inserts or deletes rows at the cursor, if it is in the region.
    pub(crate) fn shift_rows(&mut self, count: usize, insert: bool) {
        let row = self.page().cursor.row;
        if !(self.top..self.bottom).contains(&row) {
            return;
        }
        match insert {
            true => self.scroll_down(row, count),
            false => self.scroll_up_below(row, count),
        }
        self.carriage_return();
    }

    fn scroll_up_below(&mut self, row: usize, count: usize) {
        // Deleted rows do not go to the history.
        let history_max = std::mem::take(&mut self.history_max);
        self.scroll_up(row, count);
        self.history_max = history_max;
    }
}
