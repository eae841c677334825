//! Offsets of the output from which a replay onto an empty screen shows the current screen.
//!
//! Three terms:
//!
//! - Output *positions* when it does more than lines of text do: it moves the cursor other than
//!   along its line and down, or changes how text is written.
//! - A terminal is *settled* while text looks and flows as on a fresh one: main screen, default
//!   pen and character sets, no margins, no insertion.
//! - A *checkpoint* is the start of a line at which the terminal was settled. It is valid while no
//!   later output positions.
//!
//! A replay from a valid checkpoint differs from the terminal only in the rows above, and in the
//! row of the cursor. Enough newlines make up for both: as many as the screen has rows take either
//! cursor to the last row, as many again scroll everything older out of view.
//!
//! Example: a terminal of 3 rows. `ESC [ 2 J` ends at offset 1000, then come lines of 1000 bytes.
//!
//! ```text
//!   0      1000   2000   3000   4000         7000         10000              16000
//!   ─┬──────┬──────┬──────┬──────┬─────…──────┬─────…──────┬─────…────────────┬─▶ offset
//!           last_positioned      checkpoint   checkpoint   checkpoint         head
//! ```
//!
//! Checkpoints are at least 2048 bytes apart and start a line: 4000, 7000, 10000, 13000 and 16000.
//! Bytes before 8100 are about to leave the ring. The first checkpoint after that is 10000, and 6
//! newlines follow it: 3 take the cursor to the last row, 3 scroll the older rows away. So a replay
//! from 10000 shows the same screen, and the bytes before may go. A terminal of 4 rows needs 8
//! newlines: the bytes have to go into the model instead.

use memchr::{memchr, memrchr_iter};
use std::collections::VecDeque;

/// Checkpoints that are remembered.
const CHECKPOINTS_MAX: usize = 128;

/// The minimum distance between two checkpoints, in bytes.
const DISTANCE_MIN: u64 = 2048;

/// Newlines per row of the screen after which an older screen is out of view.
const NEWLINES_PER_ROW: usize = 2;

/// The checkpoints of one terminal, and where output last positioned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checkpoints {
    last_positioned: u64,
    offsets: VecDeque<u64>,
}

impl Checkpoints {
    pub(crate) fn new(offset: u64) -> Checkpoints {
        Checkpoints {
            last_positioned: offset,
            offsets: VecDeque::new(),
        }
    }

    /// The offset after the last sequence that positions.
    pub(crate) fn last_positioned(&self) -> u64 {
        self.last_positioned
    }

    /// Records a sequence that positions and ends at `offset`.
    pub(crate) fn positioned(&mut self, offset: u64) {
        self.last_positioned = offset;
    }

    /// The first valid checkpoint at or after `offset`.
    pub(crate) fn first_from(&self, offset: u64) -> Option<u64> {
        let offset = offset.max(self.last_positioned);
        self.offsets.iter().copied().find(|at| *at >= offset)
    }

    /// The latest valid checkpoint at or before `offset`.
    pub(crate) fn latest_before(&self, offset: u64) -> Option<u64> {
        let latest = self.offsets.iter().copied().rfind(|at| *at <= offset);
        latest.filter(|at| *at > self.last_positioned)
    }

    /// Where the next checkpoint may be.
    fn next(&self) -> u64 {
        let last = self.offsets.back().copied().unwrap_or(0);
        last.max(self.last_positioned) + DISTANCE_MIN
    }

    /// Whether text up to `offset` can contain a checkpoint.
    pub(crate) fn is_due(&self, offset: u64) -> bool {
        offset >= self.next()
    }

    /// Records line starts in `text`, which begins at offset `start` and was written to a settled
    /// terminal. A line starts after a carriage return and a newline; `returned` says whether the
    /// text before ended with a carriage return.
    pub(crate) fn record_lines(&mut self, start: u64, text: &[u8], returned: bool) {
        let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        // The newline is the byte before the checkpoint.
        let mut from = index(self.next().saturating_sub(start + 1));
        while let Some(found) = text.get(from..).and_then(|rest| memchr(b'\n', rest)) {
            let newline = from + found;
            from = newline + 1;
            let returns = match newline.checked_sub(1) {
                Some(before) => text[before] == b'\r',
                None => returned,
            };
            if !returns {
                continue;
            }
            if self.offsets.len() == CHECKPOINTS_MAX {
                self.offsets.pop_front();
            }
            let checkpoint = start + from as u64;
            self.offsets.push_back(checkpoint);
            from = index(checkpoint + DISTANCE_MIN - start - 1);
        }
    }
}

/// Newlines that scroll everything older out of a screen of `rows` rows.
pub(crate) fn newlines_to_clear(rows: u16) -> usize {
    usize::from(rows) * NEWLINES_PER_ROW
}

/// Where the `count`-th newline from the end is in two consecutive pieces of output, as an index
/// into both; their end for a count of 0.
pub(crate) fn newline_from_end((first, second): (&[u8], &[u8]), count: usize) -> Option<usize> {
    let Some(before) = count.checked_sub(1) else {
        return Some(first.len() + second.len());
    };
    memrchr_iter(b'\n', second)
        .map(|at| first.len() + at)
        .chain(memrchr_iter(b'\n', first))
        .nth(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the module's documentation.
    fn example() -> (Checkpoints, Vec<u8>) {
        let line = [&[b'x'; 998][..], b"\r\n"].concat();
        let mut checkpoints = Checkpoints::default();
        checkpoints.positioned(1000);
        let text = line.repeat(15);
        assert!(!checkpoints.is_due(3047) && checkpoints.is_due(3048));
        checkpoints.record_lines(1000, &text, false);
        (checkpoints, text)
    }

    #[test]
    fn checkpoints_start_lines_at_a_distance() {
        let (mut checkpoints, _) = example();
        assert_eq!(checkpoints.offsets, [4000, 7000, 10_000, 13_000, 16_000]);
        assert_eq!(checkpoints.first_from(8100), Some(10_000));
        assert_eq!(checkpoints.first_from(7000), Some(7000));
        assert_eq!(checkpoints.first_from(16_001), None);
        assert_eq!(checkpoints.latest_before(9999), Some(7000));
        assert_eq!(checkpoints.latest_before(3999), None);
        checkpoints.positioned(12_000);
        assert_eq!(checkpoints.first_from(8100), Some(13_000));
        assert_eq!(checkpoints.latest_before(12_999), None, "no longer valid");
    }

    #[test]
    fn a_newline_without_a_return_starts_no_line() {
        let mut checkpoints = Checkpoints::default();
        checkpoints.record_lines(3000, b"x\ny\r\n", false);
        assert_eq!(checkpoints.offsets, [3005]);
        let mut checkpoints = Checkpoints::default();
        checkpoints.record_lines(3000, b"\n", true);
        assert_eq!(checkpoints.offsets, [3001], "the return came before");
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let mut checkpoints = Checkpoints::default();
        let line = [&[b'x'; 4094][..], b"\r\n"].concat();
        checkpoints.record_lines(0, &line.repeat(200), false);
        assert_eq!(checkpoints.offsets.len(), CHECKPOINTS_MAX);
        assert_eq!(checkpoints.latest_before(u64::MAX), Some(200 * 4096));
    }

    #[test]
    fn newlines_are_counted_from_the_end_over_both_pieces() {
        let (checkpoints, text) = example();
        let checkpoint = checkpoints.first_from(8100).expect("a checkpoint") as usize - 1000;
        let pieces = |from: usize| text[from..].split_at(3500);
        assert!(newline_from_end(pieces(checkpoint), newlines_to_clear(3)).is_some());
        assert!(newline_from_end(pieces(checkpoint), newlines_to_clear(4)).is_none());
        let pieces = (&b"a\nb"[..], &b"c\nd\n"[..]);
        let found = [0, 1, 2, 3, 4].map(|count| newline_from_end(pieces, count));
        assert_eq!(found, [Some(7), Some(6), Some(4), Some(1), None]);
    }
}
