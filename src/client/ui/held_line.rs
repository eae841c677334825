//! A source of merged output, and its line that is held until it is complete.
//!
//! Pure.

use crate::client::ui::gap_filter::LINE_MAX;

/// One stream of one process.
#[derive(Debug)]
pub(crate) struct OutputSource {
    pub(crate) process: String,
    pub(crate) stream: String,
    /// When the next bytes were written.
    pub(crate) time_ns: u64,
    /// Its run ended within a line, which we have ended.
    pub(crate) line_closed: bool,
}

/// A line that is not complete.
#[derive(Debug, Default)]
pub(super) struct HeldLine {
    pub(super) bytes: Vec<u8>,
    /// When its first byte was written.
    pub(super) time_ns: u64,
}

impl HeldLine {
    /// Adds a piece that has at most one line end. True when the line is to be printed.
    pub(super) fn push(&mut self, piece: &[u8], time_ns: u64) -> bool {
        if self.bytes.is_empty() {
            self.time_ns = time_ns;
        }
        self.bytes.extend_from_slice(piece);
        piece.ends_with(b"\n") || self.bytes.len() > LINE_MAX
    }
}

/// The pieces of output, each with at most one line end.
pub(super) fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}
