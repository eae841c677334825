//! A process's terminal as far as it has to be known: its modes always, its screen when asked.
//!
//! The screen is made from the kept output at the moment when somebody wants it. That works as
//! long as what is kept says all of it. Just before bytes go that still matter, they are taken
//! into a model, and the next screen begins with that one:
//!
//! ```text
//!   taken into the model     kept, replayed when asked
//!   ─────────────────────┬──────────────────────────▶ offset
//!                        begin                      head
//! ```
//!
//! Bytes of plain lines do not matter once they have scrolled out of view, so that a program that
//! writes nothing else never has a model.

use crate::terminal::model::Model;
use crate::terminal::scrollback::Scrollback;
use crate::terminal::snapshot::snapshot;
use crate::terminal::tracker::Tracker;
use memchr::memrchr_iter;
use std::collections::VecDeque;

/// What is replayed at most when somebody asks, in bytes; what is older is in the model.
const REPLAY_MAX: u64 = 256 * 1024;

/// Taken into the model at once, beyond what has to be, in bytes.
const BATCH: u64 = 32 * 1024;

/// Rows above the screen that a model keeps, for whoever attaches.
const HISTORY_KEPT: usize = 100;

/// Changes of size that are remembered.
const SIZES_MAX: usize = 64;

/// Lines a screen is taken to be settled after, for each of its rows.
const SETTLED: usize = 2;

/// What is known of a process's terminal.
#[derive(Debug, Clone)]
pub struct Terminal {
    tracker: Tracker,
    /// The terminal at `begin`; none while it was a fresh one.
    model: Option<Box<Model>>,
    begin: u64,
    /// Rows and columns at `begin`, and from which offsets on they were others.
    begin_size: (u16, u16),
    sizes: VecDeque<(u64, (u16, u16))>,
}

/// What is kept of the stream: its newest bytes in two pieces, up to what was fed last.
pub type RetainedBytes<'a> = (&'a [u8], &'a [u8]);

impl Terminal {
    /// A fresh terminal, whose first byte will be at this offset of the ring.
    pub fn new(offset: u64, rows: u16, cols: u16) -> Terminal {
        Terminal {
            tracker: Tracker::new(offset),
            model: None,
            begin: offset,
            begin_size: (rows, cols),
            sizes: VecDeque::new(),
        }
    }

    /// The modes.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// The modes, to take the queries.
    pub fn tracker_mut(&mut self) -> &mut Tracker {
        &mut self.tracker
    }

    /// Takes note of the next bytes. Before the ring takes them, [`before_evict`](Self::before_evict).
    pub fn feed(&mut self, bytes: &[u8]) {
        self.tracker.feed(bytes);
    }

    /// From here on the terminal has this size.
    pub fn resize(&mut self, rows: u16, cols: u16) {
        let head = self.tracker.offset();
        if let Some((offset, size)) = self.sizes.back_mut()
            && *offset == head
        {
            *size = (rows, cols);
            return;
        }
        if self.sizes.len() == SIZES_MAX {
            // What was drawn in between is taken to be drawn at the next size.
            self.sizes.remove(SIZES_MAX / 2);
        }
        self.sizes.push_back((head, (rows, cols)));
    }

    /// Called before `room` more bytes go to a ring of `capacity` bytes, since that may overwrite
    /// the oldest of `kept`. Takes time for at most `room` and some more bytes.
    pub fn before_evict(&mut self, kept: RetainedBytes<'_>, capacity: usize, room: usize) {
        let head = self.tracker.offset();
        let end = head.saturating_add(room as u64);
        let lost = end.saturating_sub(capacity as u64);
        let lost = lost.max(head.saturating_sub(REPLAY_MAX)).min(head);
        if self.begin >= lost {
            return;
        }
        match self.calm_point(kept, lost) {
            Some(calm) => self.skip_to(kept, calm),
            None => self.take_in(kept, lost.saturating_add(BATCH).min(head)),
        }
    }

    /// A point from which on the stream alone says what is shown, though not what was saved.
    fn calm_point(&self, kept: RetainedBytes<'_>, from: u64) -> Option<u64> {
        let state = &self.tracker.state;
        if state.moved_at > from.saturating_add(BATCH) {
            return None;
        }
        let from = from.max(state.moved_at);
        let calm = *state.calm.iter().find(|calm| **calm >= from)?;
        let rows = self.sizes.iter().map(|(_, size)| size.0);
        let rows = rows.fold(self.begin_size.0, u16::max);
        let lines = usize::from(rows) * SETTLED;
        let (first, second) = self.piece(kept, calm, self.tracker.offset());
        let newlines = memrchr_iter(b'\n', second).chain(memrchr_iter(b'\n', first));
        (newlines.take(lines).count() == lines).then_some(calm)
    }

    /// Begins at a calm point, with nothing on the screen.
    fn skip_to(&mut self, kept: RetainedBytes<'_>, calm: u64) {
        let moved_at = self.tracker.state.moved_at;
        if moved_at > self.begin {
            self.take_in(kept, moved_at);
        }
        self.begin = calm;
        self.take_sizes(calm);
        let (rows, cols) = self.begin_size;
        if let Some(model) = &mut self.model {
            model.settle();
            model.screen_mut().resize(rows, cols);
        }
        if self
            .model
            .as_deref()
            .is_some_and(|model| model.is_fresh(rows, cols))
        {
            self.model = None;
        }
    }

    /// Takes what is before `until` into the model.
    fn take_in(&mut self, kept: RetainedBytes<'_>, until: u64) {
        let model = self.model.take();
        let mut model = model.unwrap_or_else(|| {
            let mut model = Model::new(self.begin_size.0, self.begin_size.1);
            model.screen_mut().keep_history(HISTORY_KEPT);
            Box::new(model)
        });
        self.advance(&mut model, kept, until);
        self.model = Some(model);
        self.begin = until;
        self.take_sizes(until);
    }

    /// The sizes up to an offset are past.
    fn take_sizes(&mut self, until: u64) {
        while let Some(&(offset, size)) = self.sizes.front()
            && offset <= until
        {
            self.begin_size = size;
            self.sizes.pop_front();
        }
    }

    /// Feeds a model that is at `begin` up to an offset, through all changes of size.
    fn advance(&self, model: &mut Model, kept: RetainedBytes<'_>, until: u64) {
        let mut at = self.begin;
        for &(offset, (rows, cols)) in self.sizes.iter().filter(|(offset, _)| *offset <= until) {
            let (first, second) = self.piece(kept, at, offset);
            model.feed(first);
            model.feed(second);
            model.screen_mut().resize(rows, cols);
            at = offset;
        }
        let (first, second) = self.piece(kept, at, until);
        model.feed(first);
        model.feed(second);
    }

    /// The part of what is kept between two offsets.
    fn piece<'a>(&self, kept: RetainedBytes<'a>, from: u64, until: u64) -> RetainedBytes<'a> {
        let len = kept.0.len() + kept.1.len();
        let tail = self.tracker.offset().saturating_sub(len as u64);
        let index = |offset: u64| (offset.saturating_sub(tail) as usize).min(len);
        let (from, until) = (index(from), index(until).max(index(from)));
        let split = kept.0.len();
        let first = &kept.0[from.min(split)..until.min(split)];
        let second = &kept.1[from.max(split) - split..until.max(split) - split];
        (first, second)
    }

    /// The terminal as it is now, with so many rows above the screen.
    pub(crate) fn model(&self, kept: RetainedBytes<'_>, history: usize) -> Model {
        self.model_with(kept, history, false)
    }

    /// The same, with `as_text` most of those rows as text, which is quicker.
    fn model_with(&self, kept: RetainedBytes<'_>, history: usize, as_text: bool) -> Model {
        match self.late_begin(kept, history.max(HISTORY_KEPT)) {
            Some(calm) => {
                let mut late = self.clone();
                late.skip_to(kept, calm);
                late.replayed(kept, history, as_text)
            }
            None => self.replayed(kept, history, as_text),
        }
    }

    /// The last point from which on so many rows and the screen come anyway: what is older only
    /// takes time, for which somebody waits.
    fn late_begin(&self, kept: RetainedBytes<'_>, history: usize) -> Option<u64> {
        let state = &self.tracker.state;
        let (resized_at, size) = self.sizes.back().copied().unwrap_or_default();
        let rows = usize::from(size.0.max(self.begin_size.0));
        let lines = history + rows * SETTLED;
        let (first, second) = self.piece(kept, self.begin, self.tracker.offset());
        let newlines = memrchr_iter(b'\n', second)
            .map(|at| first.len() + at)
            .chain(memrchr_iter(b'\n', first));
        let begin = self.tracker.offset() - (first.len() + second.len()) as u64;
        let last = begin + newlines.take(lines).nth(lines - 1)? as u64;
        let first = begin.max(state.moved_at).max(resized_at);
        let calm = state.calm.iter().rfind(|calm| **calm <= last);
        calm.copied().filter(|calm| *calm > first)
    }

    fn replayed(&self, kept: RetainedBytes<'_>, history: usize, as_text: bool) -> Model {
        let mut model = match &self.model {
            Some(model) => Model::clone(model),
            None => Model::new(self.begin_size.0, self.begin_size.1),
        };
        let screen = model.screen_mut();
        let surplus = history.saturating_sub(HISTORY_KEPT);
        // Rows above the screen take part in a change of size.
        screen.keep_history(history.max(HISTORY_KEPT));
        if as_text && surplus > 0 && self.sizes.is_empty() {
            screen.keep_history(HISTORY_KEPT);
            screen.scrollback = Some(Box::new(Scrollback::new(surplus)));
        }
        self.advance(&mut model, kept, self.tracker.offset());
        model.screen_mut().keep_history(history);
        model.catch_up();
        model
    }

    /// Renders what is shown, to be followed by the stream from [`Tracker::offset`] on.
    ///
    /// With `history_lines` up to so many lines above the screen are written first, and what the
    /// receiving terminal shows is scrolled into its own history; 0 is for a terminal that
    /// already shows this process and has to catch up.
    pub fn snapshot(&self, kept: RetainedBytes<'_>, history_lines: usize) -> Vec<u8> {
        self.snapshot_within(kept, history_lines, (u16::MAX, u16::MAX))
    }

    /// The same for a receiving terminal of so many rows and columns. One that is smaller shows
    /// what it would after having been made as small: text wraps, an alternate screen is cut.
    pub fn snapshot_within(
        &self,
        kept: RetainedBytes<'_>,
        history_lines: usize,
        (rows, cols): (u16, u16),
    ) -> Vec<u8> {
        let size = self.sizes.back().map_or(self.begin_size, |(_, size)| *size);
        let smaller = (rows.min(size.0), cols.min(size.1));
        // What is above the screen takes part in that, so it has to be there as rows.
        let mut model = self.model_with(kept, history_lines, smaller == size);
        if smaller != size {
            model.screen_mut().resize(smaller.0, smaller.1);
        }
        snapshot(&model, kept, &self.tracker, history_lines > 0)
    }

    /// Bytes of memory in use beyond the tracker's, about; 0 while there is no model.
    pub fn memory(&self) -> usize {
        self.model.as_ref().map_or(0, |model| model.memory())
    }
}

#[cfg(test)]
#[path = "emulator_tests.rs"]
mod tests;
