//! Moves rows up and down.

use crate::terminal::row::Row;
use crate::terminal::screen::Screens;
use std::collections::VecDeque;

impl Screens {
    /// Moves the rows from `from` to the end of the region up.
    pub(crate) fn scroll_up(&mut self, from: usize, count: usize) {
        let (bottom, bg) = (self.bottom, self.bg());
        if from >= bottom {
            return;
        }
        let count = count.min(bottom - from);
        let keeps = from == 0 && self.alternate.is_none() && self.history_max > 0;
        // Rows that also leave the history at once need not go through it.
        let passing = match &self.scrollback {
            None => count.saturating_sub(self.history_max),
            Some(_) => 0,
        };
        for step in 0..count {
            let page = &mut self.pages[usize::from(self.alternate.is_some())];
            let mut row = std::mem::take(&mut page.rows[from + step]);
            if keeps && step >= passing {
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
            page.rows[from + step] = row;
        }
        rotate_up(&mut self.page_mut().rows, from, bottom, count);
    }

    /// Moves the rows from `from` to the end of the region down.
    pub(crate) fn scroll_down(&mut self, from: usize, count: usize) {
        let (bottom, bg) = (self.bottom, self.bg());
        if from >= bottom {
            return;
        }
        let count = count.min(bottom - from);
        let rows = &mut self.page_mut().rows;
        rotate_up(rows, from, bottom, bottom - from - count);
        rows.range_mut(from..from + count)
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

/// Moves the rows of a region up by `count`; those that leave it at the top come in at the bottom.
///
/// A line feed moves one row: the rows outside of the region are moved instead, if they are fewer.
fn rotate_up(rows: &mut VecDeque<Row>, from: usize, bottom: usize, count: usize) {
    let (region, outside) = (bottom - from, from + rows.len() - bottom);
    let down = region - count;
    if count.min(down) == 0 {
    } else if outside * count.min(down) > region {
        rows.make_contiguous()[from..bottom].rotate_left(count);
    } else if count <= down {
        for _ in 0..count {
            let row = rows.remove(from).unwrap_or_default();
            rows.insert(bottom - 1, row);
        }
    } else {
        for _ in 0..down {
            let row = rows.remove(bottom - 1).unwrap_or_default();
            rows.insert(from, row);
        }
    }
}
