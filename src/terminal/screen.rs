//! The screens of a terminal, and the control functions that change them.
//!
//! Where terminals differ, this follows xterm, or the later consensus of the others.

use crate::terminal::cell::{Colour, Part, Pen, ScreenCell};
use crate::terminal::modes::Charsets;
use crate::terminal::row::Row;
use crate::terminal::scrollback::Scrollback;
use std::collections::VecDeque;
use unicode_width::UnicodeWidthChar;

/// The smallest useful size, and the largest that is worth its memory.
const SIZES: std::ops::RangeInclusive<u16> = 2..=1000;

/// The position and style of the next character.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cursor {
    pub row: usize,
    pub col: usize,
    /// Whether the last column was written, so that the next character wraps first.
    pub pending: bool,
    pub pen: Pen,
    pub charsets: Charsets,
}

/// One of the two screens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Page {
    pub rows: VecDeque<Row>,
    pub cursor: Cursor,
    pub saved: Cursor,
}

impl Page {
    fn new(rows: usize) -> Page {
        Page {
            rows: std::iter::repeat_n(Row::default(), rows).collect(),
            ..Page::default()
        }
    }

    fn clear(&mut self, fill: Colour) {
        self.rows.iter_mut().for_each(|row| row.clear(fill));
    }
}

/// Both screens, and the modes that affect writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Screens {
    pub rows: usize,
    pub cols: usize,
    /// The main and the alternate screen.
    pub pages: [Page; 2],
    /// The mode that turned on the alternate screen.
    pub alternate: Option<u16>,
    /// Rows that scrolled off the top of the main screen, up to `history_max`.
    pub history: VecDeque<Row>,
    pub history_max: usize,
    /// Rows that left `history`, if requested.
    pub scrollback: Option<Box<Scrollback>>,
    /// The first row of the scrolling region.
    pub top: usize,
    /// The row after the last one of the scrolling region.
    pub bottom: usize,
    /// The tab stops, if changed.
    pub tabs: Option<Box<[bool]>>,
    pub autowrap: bool,
    pub origin: bool,
    pub insert: bool,
    pub newline: bool,
    /// The character that REP repeats.
    pub last: Option<char>,
}

impl Screens {
    pub(crate) fn new(rows: u16, cols: u16) -> Screens {
        let (rows, cols) = clamp(rows, cols);
        Screens {
            rows,
            cols,
            pages: [Page::new(rows), Page::new(rows)],
            alternate: None,
            history: VecDeque::new(),
            history_max: 0,
            scrollback: None,
            top: 0,
            bottom: rows,
            tabs: None,
            autowrap: true,
            origin: false,
            insert: false,
            newline: false,
            last: None,
        }
    }

    /// Limits the history to `rows`.
    pub(crate) fn keep_history(&mut self, rows: usize) {
        self.history_max = rows;
        let surplus = self.history.len().saturating_sub(rows);
        self.history.drain(..surplus);
    }

    fn forget_history(&mut self) {
        self.history.clear();
        if let Some(scrollback) = &mut self.scrollback {
            scrollback.clear();
        }
    }

    /// Empties both screens and the history; keeps saved cursors, margins and modes.
    pub(crate) fn forget_text(&mut self) {
        for page in &mut self.pages {
            page.rows = std::iter::repeat_n(Row::default(), self.rows).collect();
            page.cursor = Cursor::default();
        }
        self.history = VecDeque::new();
        self.last = None;
    }

    /// Whether both are equal except for the rows above the screen.
    pub(crate) fn is_like(&self, other: &Screens) -> bool {
        let same_modes = (self.autowrap, self.origin, self.insert, self.newline)
            == (other.autowrap, other.origin, other.insert, other.newline);
        let same_places = (self.top, self.bottom, &self.tabs, self.alternate)
            == (other.top, other.bottom, &other.tabs, other.alternate);
        same_modes && same_places && self.pages == other.pages && self.last == other.last
    }

    fn index(&self) -> usize {
        usize::from(self.alternate.is_some())
    }

    /// The current screen.
    pub(crate) fn page(&self) -> &Page {
        &self.pages[self.index()]
    }

    pub(crate) fn page_mut(&mut self) -> &mut Page {
        &mut self.pages[usize::from(self.alternate.is_some())]
    }

    pub(crate) fn cursor(&mut self) -> &mut Cursor {
        &mut self.page_mut().cursor
    }

    pub(crate) fn bg(&self) -> Colour {
        self.page().cursor.pen.style.bg
    }

    /// Prints one character.
    pub(crate) fn print(&mut self, character: char) {
        let Some(width) = character.width() else {
            return;
        };
        self.last = Some(character);
        if width == 0 {
            self.mark(character);
            return;
        }
        self.wrap_if_pending();
        let (cols, autowrap, insert) = (self.cols, self.autowrap, self.insert);
        let Page { rows, cursor, .. } = self.page_mut();
        let col = cursor.col;
        if width == 2 && col + 1 >= cols {
            if !autowrap {
                cursor.pending = true;
                return;
            }
            rows[cursor.row].put(col, ScreenCell::new(' ', Part::Leading, &cursor.pen));
            self.wrap();
            return self.print_at(character, width);
        }
        if insert && col + width < cols {
            rows[cursor.row].insert(col, width, cols, Colour::default());
        }
        self.print_at(character, width);
    }

    /// Prints ASCII characters.
    pub(crate) fn print_plain(&mut self, text: &[u8]) {
        if self.insert {
            text.iter().for_each(|byte| self.print(char::from(*byte)));
            return;
        }
        let mut rest = text;
        while !rest.is_empty() {
            self.wrap_if_pending();
            let cols = self.cols;
            let Page { rows, cursor, .. } = self.page_mut();
            let (now, later) = rest.split_at(rest.len().min(cols - cursor.col));
            let row = &mut rows[cursor.row];
            row.put_text(cursor.col, now, &cursor.pen);
            cursor.col += now.len();
            if cursor.col == cols {
                row.wrapped = false;
                cursor.col = cols - 1;
                cursor.pending = true;
                // Without wrapping, later characters overwrite the last column.
            }
            rest = later;
            if !self.autowrap && !rest.is_empty() {
                self.cursor().pending = false;
                rest = &rest[rest.len() - 1..];
            }
        }
        self.last = text.last().map(|byte| char::from(*byte)).or(self.last);
    }

    fn print_at(&mut self, character: char, width: usize) {
        let cols = self.cols;
        let Page { rows, cursor, .. } = self.page_mut();
        let at = cursor.row;
        let part = if width == 2 { Part::Wide } else { Part::Single };
        rows[at].put(cursor.col, ScreenCell::new(character, part, &cursor.pen));
        if width == 2 {
            rows[at].put(
                cursor.col + 1,
                ScreenCell::new(' ', Part::Spacer, &cursor.pen),
            );
        }
        let end = cursor.col + width;
        if end >= cols {
            rows[at].wrapped = false;
        }
        cursor.pending = end >= cols;
        cursor.col = end.min(cols - 1);
    }

    /// Adds a combining character to the last cell.
    fn mark(&mut self, mark: char) {
        let Page { rows, cursor, .. } = self.page_mut();
        let mut col = cursor.col.saturating_sub(usize::from(!cursor.pending));
        let row = &mut rows[cursor.row];
        if row.cell(col).is_some_and(|cell| cell.part == Part::Spacer) {
            col = col.saturating_sub(1);
        }
        if row.cell(col).is_none() {
            let bg = row.fill;
            row.put(col, ScreenCell::blank(bg));
        }
        row.cells[col].add_mark(mark);
    }

    fn wrap_if_pending(&mut self) {
        if self.page().cursor.pending && self.autowrap {
            self.wrap();
        }
        self.cursor().pending = false;
    }

    fn wrap(&mut self) {
        let Page { rows, cursor, .. } = self.page_mut();
        rows[cursor.row].wrapped = true;
        cursor.col = 0;
        cursor.pending = false;
        self.line_feed();
    }

    /// REP: repeats the last printed character.
    pub(crate) fn repeat(&mut self, count: usize) {
        let Some(character) = self.last else { return };
        for _ in 0..count {
            self.print(character);
        }
    }

    pub(crate) fn line_feed(&mut self) {
        let row = self.page().cursor.row;
        if row + 1 == self.bottom {
            self.scroll_up(self.top, 1);
        } else if row + 1 < self.rows {
            self.cursor().row += 1;
        }
    }

    pub(crate) fn reverse_line_feed(&mut self) {
        let row = self.page().cursor.row;
        if row == self.top {
            self.scroll_down(self.top, 1);
        } else {
            self.cursor().row = row.saturating_sub(1);
        }
    }

    pub(crate) fn carriage_return(&mut self) {
        let cursor = self.cursor();
        cursor.col = 0;
        cursor.pending = false;
    }

    pub(crate) fn backspace(&mut self) {
        let cursor = self.cursor();
        cursor.col = cursor.col.saturating_sub(1);
        cursor.pending = false;
    }

    /// Moves to a row and column from 0; in origin mode, of the scrolling region.
    pub(crate) fn go_to(&mut self, row: usize, col: usize) {
        let (first, end) = match self.origin {
            true => (self.top, self.bottom),
            false => (0, self.rows),
        };
        let last_col = self.cols - 1;
        let cursor = self.cursor();
        cursor.row = (first + row).min(end - 1);
        cursor.col = col.min(last_col);
        cursor.pending = false;
    }

    pub(crate) fn go_to_row(&mut self, row: usize) {
        let col = self.page().cursor.col;
        self.go_to(row, col);
    }

    pub(crate) fn go_to_col(&mut self, col: usize) {
        let last_col = self.cols - 1;
        let cursor = self.cursor();
        cursor.col = col.min(last_col);
        cursor.pending = false;
    }

    /// Moves up, at most to the edge of the scrolling region or the screen.
    pub(crate) fn up(&mut self, count: usize) {
        let top = self.top;
        let cursor = self.cursor();
        let first = if cursor.row >= top { top } else { 0 };
        cursor.row = cursor.row.saturating_sub(count).max(first);
        cursor.pending = false;
    }

    /// Moves down, at most to the edge of the scrolling region or the screen.
    pub(crate) fn down(&mut self, count: usize) {
        let (bottom, rows) = (self.bottom, self.rows);
        let cursor = self.cursor();
        let end = if cursor.row < bottom { bottom } else { rows };
        cursor.row = cursor.row.saturating_add(count).min(end - 1);
        cursor.pending = false;
    }

    /// ED: 0 below, 1 above, 2 all, 3 the history.
    pub(crate) fn erase_display(&mut self, what: u16) {
        let (rows, cols, bg) = (self.rows, self.cols, self.bg());
        let page = self.page_mut();
        let Cursor { row, col, .. } = page.cursor;
        match what {
            0 => {
                page.rows[row].erase(col, cols, cols, bg);
                page.rows
                    .range_mut(row + 1..rows)
                    .for_each(|row| row.clear(bg));
            }
            1 => {
                page.rows.range_mut(..row).for_each(|row| row.clear(bg));
                page.rows[row].erase(0, col + 1, cols, bg);
            }
            2 => page.clear(bg),
            3 => self.forget_history(),
            _ => {}
        }
    }

    /// EL: 0 to the right, 1 to the left, 2 all.
    pub(crate) fn erase_line(&mut self, what: u16) {
        let (cols, bg) = (self.cols, self.bg());
        let Page { rows, cursor, .. } = self.page_mut();
        let row = &mut rows[cursor.row];
        match what {
            // The cursor is logically after the last character, which must stay.
            0 if cursor.pending => {}
            0 => row.erase(cursor.col, cols, cols, bg),
            1 => row.erase(0, cursor.col + 1, cols, bg),
            2 => row.erase(0, cols, cols, bg),
            _ => {}
        }
    }

    pub(crate) fn erase_characters(&mut self, count: usize) {
        let (cols, bg) = (self.cols, self.bg());
        let Page { rows, cursor, .. } = self.page_mut();
        let end = cursor.col.saturating_add(count).min(cols);
        rows[cursor.row].erase(cursor.col, end, cols, bg);
    }

    pub(crate) fn insert_characters(&mut self, count: usize) {
        let (cols, bg) = (self.cols, self.bg());
        let Page { rows, cursor, .. } = self.page_mut();
        rows[cursor.row].insert(cursor.col, count, cols, bg);
    }

    pub(crate) fn delete_characters(&mut self, count: usize) {
        let (cols, bg) = (self.cols, self.bg());
        let Page { rows, cursor, .. } = self.page_mut();
        rows[cursor.row].delete(cursor.col, count, cols, bg);
    }

    /// DECALN.
    pub(crate) fn fill_with_e(&mut self) {
        self.set_margins(0, 0);
        let (cols, pen) = (self.cols, Pen::default());
        for row in &mut self.page_mut().rows {
            row.clear(Colour::default());
            row.put_text(0, &vec![b'E'; cols], &pen);
        }
    }

    /// DECSTBM: rows count from 1; 0 is the edge.
    pub(crate) fn set_margins(&mut self, first: usize, last: usize) {
        let first = first.max(1);
        let last = if last == 0 {
            self.rows
        } else {
            last.min(self.rows)
        };
        if first < last {
            (self.top, self.bottom) = (first - 1, last);
            self.go_to(0, 0);
        }
    }

    pub(crate) fn save_cursor(&mut self) {
        let page = self.page_mut();
        page.saved = page.cursor.clone();
    }

    pub(crate) fn restore_cursor(&mut self) {
        let page = self.page_mut();
        page.cursor = page.saved.clone();
    }

    /// Modes 47, 1047 and 1049.
    pub(crate) fn switch(&mut self, mode: u16, on: bool) {
        if on == self.alternate.is_some() {
            return;
        }
        if on {
            if mode == 1049 {
                self.save_cursor();
            }
            self.pages[1].cursor = self.pages[0].cursor.clone();
            self.alternate = Some(mode);
            let bg = self.bg();
            if mode == 1049 {
                self.pages[1].clear(bg);
            }
        } else {
            if mode == 1047 {
                let bg = self.bg();
                self.pages[1].clear(bg);
            }
            self.alternate = None;
            if mode == 1049 {
                self.restore_cursor();
            } else {
                self.pages[0].cursor = self.pages[1].cursor.clone();
            }
        }
    }

    /// Empties both screens.
    pub(crate) fn clear_pages(&mut self) {
        for page in &mut self.pages {
            page.clear(Colour::default());
        }
    }

    /// RIS, except for the text.
    pub(crate) fn reset_modes(&mut self) {
        for page in &mut self.pages {
            (page.cursor, page.saved) = (Cursor::default(), Cursor::default());
        }
        (self.alternate, self.tabs, self.last) = (None, None, None);
        (self.top, self.bottom) = (0, self.rows);
        (self.autowrap, self.newline) = (true, false);
        (self.origin, self.insert) = (false, false);
    }

    /// DECSTR.
    pub(crate) fn soft_reset(&mut self) {
        (self.origin, self.insert, self.autowrap) = (false, false, true);
        (self.top, self.bottom) = (0, self.rows);
        let page = self.page_mut();
        page.cursor.pen = Pen::default();
        page.cursor.charsets = Charsets::default();
        page.saved = Cursor::default();
    }
}

pub(crate) fn clamp(rows: u16, cols: u16) -> (usize, usize) {
    let side = |length: u16| usize::from(length.clamp(*SIZES.start(), *SIZES.end()));
    (side(rows), side(cols))
}
