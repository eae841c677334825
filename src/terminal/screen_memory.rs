//! The memory of the screens, and what they drop when it is too much.

use crate::terminal::cell::ScreenCell;
use crate::terminal::row::Row;
use crate::terminal::screen::Screens;

impl Screens {
    /// Approximate memory in bytes.
    pub(crate) fn memory(&self) -> usize {
        let rows = self
            .pages
            .iter()
            .flat_map(|page| &page.rows)
            .chain(&self.history);
        let rows =
            rows.map(|row| size_of::<Row>() + row.cells.capacity() * size_of::<ScreenCell>());
        let scrollback = self.scrollback.iter().map(|one| one.memory());
        rows.chain(scrollback).sum::<usize>() + self.extras()
    }

    /// Approximate memory of what few cells have, in bytes. What cells share counts for each.
    pub(crate) fn extras(&self) -> usize {
        let pages = self.pages.iter().flat_map(|page| &page.rows);
        let cells = pages.chain(&self.history).flat_map(|row| &row.cells);
        cells.map(ScreenCell::extra_bytes).sum()
    }

    /// Leaves each cell its character, colours and attributes.
    pub(crate) fn drop_extras(&mut self) {
        let pages = self.pages.iter_mut().flat_map(|page| &mut page.rows);
        let cells = pages
            .chain(&mut self.history)
            .flat_map(|row| &mut row.cells);
        cells.for_each(ScreenCell::drop_extra);
    }
}
