//! The detach keys where the user's terminal edits lines. The terminal delivers the line when the
//! first key comes, and the key after it at once.

use super::detach_keys::{Action, ChordDecoder, DetachKeys};
use crate::sys::tty::LineMode;
use std::os::fd::AsFd;

/// Finds the detach keys in lines. Dropping it restores the terminal.
pub(super) struct LineChord {
    decoder: ChordDecoder,
    mode: LineMode,
}

impl LineChord {
    /// For standard input. `None` without a terminal, or if the first key would have to be
    /// followed by a new line.
    pub(super) fn new(keys: &DetachKeys) -> Option<LineChord> {
        let first = keys.first_control()?;
        let mode = LineMode::enter(std::io::stdin().as_fd(), first).ok()?;
        Some(LineChord {
            decoder: ChordDecoder::new(keys.clone()),
            mode,
        })
    }

    /// Decodes what was typed.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Action> {
        let mut actions = self.decoder.feed(bytes, false);
        if self.decoder.is_waiting() {
            actions.extend(self.decoder.flush());
        }
        // Fails only if the terminal is gone, which the next read reports.
        let _ = self.mode.deliver_keys(self.decoder.has_begun());
        actions
    }
}
