//! A process's terminal: its modes always, its screen on demand.
//!
//! The screen is rendered on demand, from the output that the ring retains. That suffices until
//! the ring evicts bytes that still affect the screen. Just before that, a model absorbs them, and
//! the next replay starts with the model:
//!
//! ```text
//!   absorbed by the model    retained, replayed on demand
//!   ─────────────────────┬──────────────────────────▶ offset
//!                        begin                      head
//! ```
//!
//! Plain lines no longer affect the screen once they have scrolled out of view. A program that
//! writes only lines therefore never has a model: `begin` moves from one checkpoint to a later one
//! (see [`checkpoints`](crate::terminal::checkpoints), which defines the terms).

use crate::terminal::checkpoints::{newline_from_end, newlines_to_clear};
use crate::terminal::model::Model;
use crate::terminal::scrollback::Scrollback;
use crate::terminal::snapshot::{picture, snapshot};
use crate::terminal::tracker::Tracker;
use std::collections::VecDeque;

/// Bytes to replay on demand; the model absorbs older ones.
const REPLAY_MAX: u64 = 256 * 1024;

/// Bytes that the model absorbs at once, beyond the ones that must go.
const BATCH: u64 = 32 * 1024;

/// Rows above the screen that a model keeps, for clients that attach.
const HISTORY_KEPT: usize = 100;

/// Changes of size that are remembered.
const SIZES_MAX: usize = 64;

/// A process's terminal.
#[derive(Debug, Clone)]
pub struct Terminal {
    tracker: Tracker,
    /// The terminal at `begin`; none while a fresh one is the same.
    model: Option<Box<Model>>,
    begin: u64,
    /// Rows and columns at `begin`.
    begin_size: (u16, u16),
    /// Later sizes, and the offsets at which they took effect.
    sizes: VecDeque<(u64, (u16, u16))>,
    /// Memory was freed that the process had taken up.
    freed: bool,
}

/// The newest bytes of the output, in two consecutive pieces. They end at [`Tracker::offset`].
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
            freed: false,
        }
    }

    /// The modes.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// The modes, for taking queries.
    pub fn tracker_mut(&mut self) -> &mut Tracker {
        &mut self.tracker
    }

    /// Tracks the next bytes. Call [`before_evict`](Self::before_evict) before the ring takes
    /// them.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.tracker.feed(bytes);
    }

    /// Changes the size for all later output.
    pub fn resize(&mut self, rows: u16, cols: u16) {
        let head = self.tracker.offset();
        if let Some((offset, size)) = self.sizes.back_mut()
            && *offset == head
        {
            *size = (rows, cols);
            return;
        }
        if self.sizes.len() == SIZES_MAX {
            // The output written at this size is replayed at the size before.
            self.sizes.remove(SIZES_MAX / 2);
        }
        self.sizes.push_back((head, (rows, cols)));
    }

    /// Call before `room` more bytes go to a ring of `capacity` bytes, because that may evict the
    /// oldest of `retained`. Processes at most `room` bytes plus a batch.
    pub fn before_evict(&mut self, retained: RetainedBytes<'_>, capacity: usize, room: usize) {
        let head = self.tracker.offset();
        let end = head.saturating_add(room as u64);
        let evicted = end.saturating_sub(capacity as u64);
        let evicted = evicted.max(head.saturating_sub(REPLAY_MAX)).min(head);
        if self.begin >= evicted {
            return;
        }
        match self.checkpoint_from(retained, evicted) {
            Some(checkpoint) => self.restart_from(retained, checkpoint),
            None => self.absorb(retained, evicted.saturating_add(BATCH).min(head)),
        }
    }

    /// The first checkpoint at or after `offset`, if enough lines follow it.
    fn checkpoint_from(&self, retained: RetainedBytes<'_>, offset: u64) -> Option<u64> {
        let checkpoints = &self.tracker.state.checkpoints;
        if checkpoints.last_positioned() > offset.saturating_add(BATCH) {
            return None;
        }
        let checkpoint = checkpoints.first_from(offset)?;
        let rows = self.sizes.iter().map(|(_, size)| size.0);
        let rows = rows.fold(self.begin_size.0, u16::max);
        let later = self.slice(retained, checkpoint, self.tracker.offset());
        newline_from_end(later, newlines_to_clear(rows)).map(|_| checkpoint)
    }

    /// Makes `begin` a checkpoint, with an empty screen. Saved cursors and the like stay in the
    /// model, if any differ from a fresh terminal's.
    fn restart_from(&mut self, retained: RetainedBytes<'_>, checkpoint: u64) {
        let last_positioned = self.tracker.state.checkpoints.last_positioned();
        if last_positioned > self.begin {
            self.absorb(retained, last_positioned);
        }
        self.begin = checkpoint;
        self.pass_sizes(checkpoint);
        let (rows, cols) = self.begin_size;
        if let Some(model) = &mut self.model {
            model.forget_text();
            model.screen_mut().resize(rows, cols);
        }
        if self
            .model
            .as_deref()
            .is_some_and(|model| model.is_fresh(rows, cols))
        {
            self.model = None;
            self.freed = true;
        }
    }

    /// Whether memory worth giving back was freed since the last call.
    pub fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// Feeds the bytes before `until` to the model.
    fn absorb(&mut self, retained: RetainedBytes<'_>, until: u64) {
        let mut model = self.model.take().unwrap_or_else(|| {
            let mut model = Model::new(self.begin_size.0, self.begin_size.1);
            model.screen_mut().keep_history(HISTORY_KEPT);
            Box::new(model)
        });
        self.advance(&mut model, retained, until);
        self.freed |= model.limit_memory();
        self.model = Some(model);
        self.begin = until;
        self.pass_sizes(until);
    }

    /// Drops the sizes up to an offset; the last of them becomes `begin_size`.
    fn pass_sizes(&mut self, until: u64) {
        while let Some(&(offset, size)) = self.sizes.front()
            && offset <= until
        {
            self.begin_size = size;
            self.sizes.pop_front();
        }
    }

    /// Feeds a model that is at `begin` up to an offset, through all changes of size.
    fn advance(&self, model: &mut Model, retained: RetainedBytes<'_>, until: u64) {
        let mut at = self.begin;
        for &(offset, (rows, cols)) in self.sizes.iter().filter(|(offset, _)| *offset <= until) {
            let (first, second) = self.slice(retained, at, offset);
            model.feed(first);
            model.feed(second);
            model.screen_mut().resize(rows, cols);
            at = offset;
        }
        let (first, second) = self.slice(retained, at, until);
        model.feed(first);
        model.feed(second);
    }

    /// The retained bytes between two offsets.
    fn slice<'a>(&self, retained: RetainedBytes<'a>, from: u64, until: u64) -> RetainedBytes<'a> {
        let len = retained.0.len() + retained.1.len();
        let tail = self.tracker.offset().saturating_sub(len as u64);
        let index = |offset: u64| (offset.saturating_sub(tail) as usize).min(len);
        let (from, until) = (index(from), index(until).max(index(from)));
        let split = retained.0.len();
        let first = &retained.0[from.min(split)..until.min(split)];
        let second = &retained.1[from.max(split) - split..until.max(split) - split];
        (first, second)
    }

    /// The terminal as it is now, with up to `history` rows above the screen.
    pub(crate) fn model(&self, retained: RetainedBytes<'_>, history: usize) -> Model {
        self.model_with(retained, history, false)
    }

    /// As [`model`](Self::model); `as_text` keeps most of those rows as text, which is faster.
    fn model_with(&self, retained: RetainedBytes<'_>, history: usize, as_text: bool) -> Model {
        match self.latest_start(retained, history.max(HISTORY_KEPT)) {
            Some(checkpoint) => {
                let mut late = self.clone();
                late.restart_from(retained, checkpoint);
                late.replay(retained, history, as_text)
            }
            None => self.replay(retained, history, as_text),
        }
    }

    /// The latest checkpoint from which a replay fills the screen and `history` rows above it. A
    /// client waits for the replay, so older output is skipped.
    fn latest_start(&self, retained: RetainedBytes<'_>, history: usize) -> Option<u64> {
        let (resized_at, size) = self.sizes.back().copied().unwrap_or_default();
        let newlines = history + newlines_to_clear(size.0.max(self.begin_size.0));
        let replayed = self.slice(retained, self.begin, self.tracker.offset());
        let begin = self.tracker.offset() - (replayed.0.len() + replayed.1.len()) as u64;
        let latest = begin + newline_from_end(replayed, newlines)? as u64;
        let checkpoint = self.tracker.state.checkpoints.latest_before(latest)?;
        (checkpoint > begin.max(resized_at)).then_some(checkpoint)
    }

    /// Replays the bytes from `begin` on.
    fn replay(&self, retained: RetainedBytes<'_>, history: usize, as_text: bool) -> Model {
        let mut model = match &self.model {
            Some(model) => Model::clone(model),
            None => Model::new(self.begin_size.0, self.begin_size.1),
        };
        let screen = model.screen_mut();
        let surplus = history.saturating_sub(HISTORY_KEPT);
        // A change of size rewraps the rows above the screen, too, so they must exist.
        screen.keep_history(history.max(HISTORY_KEPT));
        if as_text && surplus > 0 && self.sizes.is_empty() {
            screen.keep_history(HISTORY_KEPT);
            screen.scrollback = Some(Box::new(Scrollback::new(surplus)));
        }
        self.advance(&mut model, retained, self.tracker.offset());
        model.screen_mut().keep_history(history);
        model.catch_up();
        model
    }

    /// Renders the screen, to be followed by the stream from [`Tracker::offset`] on.
    ///
    /// With `history_lines` above 0, up to that many lines above the screen come first, and the
    /// current content of the receiving terminal scrolls into its history. Use 0 for a terminal
    /// that already shows this process and has to catch up.
    pub fn snapshot(&self, retained: RetainedBytes<'_>, history_lines: usize) -> Vec<u8> {
        self.snapshot_within(retained, history_lines, (u16::MAX, u16::MAX))
    }

    /// As [`snapshot`](Self::snapshot), for a terminal of this many rows and columns. If it is
    /// smaller than the process's, the snapshot is resized: text wraps, an alternate screen is
    /// cut.
    pub fn snapshot_within(
        &self,
        retained: RetainedBytes<'_>,
        history_lines: usize,
        (rows, cols): (u16, u16),
    ) -> Vec<u8> {
        let model = self.model_within(retained, history_lines, (rows, cols));
        snapshot(&model, retained, &self.tracker, history_lines > 0)
    }

    /// Renders the screen for a terminal of this many rows and columns, to be followed by other
    /// pictures, not by the stream.
    pub fn picture_within(&self, retained: RetainedBytes<'_>, size: (u16, u16)) -> Vec<u8> {
        picture(&self.model_within(retained, 0, size), &self.tracker)
    }

    /// The terminal as it is now, but no larger than this.
    fn model_within(
        &self,
        retained: RetainedBytes<'_>,
        history_lines: usize,
        (rows, cols): (u16, u16),
    ) -> Model {
        let size = self.sizes.back().map_or(self.begin_size, |(_, size)| *size);
        let smaller = (rows.min(size.0), cols.min(size.1));
        let mut model = self.model_with(retained, history_lines, smaller == size);
        if smaller != size {
            model.screen_mut().resize(smaller.0, smaller.1);
        }
        model
    }

    /// Approximate memory of the model in bytes; 0 without a model.
    pub fn memory(&self) -> usize {
        self.model.as_ref().map_or(0, |model| model.memory())
    }
}

#[cfg(test)]
#[path = "emulator_tests.rs"]
mod tests;
