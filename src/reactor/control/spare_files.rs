//! Descriptors that are kept for the owner's clients.
//!
//! When the daemon has no other, accepting fails, and the clients that wait could not even be
//! rejected. Giving up a spare one makes room for the next of them: the owner's stays, another
//! user's is rejected.

use crate::sys;
use std::os::fd::OwnedFd;

/// Descriptors that are kept.
pub(crate) const SPARES: usize = 4;

/// Open files without a use.
#[derive(Debug, Default)]
pub(crate) struct SpareFiles(Vec<OwnedFd>);

impl SpareFiles {
    /// Opens as many as there should be, and can be.
    pub(crate) fn refill(&mut self) {
        while self.0.len() < SPARES
            && let Ok(file) = sys::io::unused_file()
        {
            self.0.push(file);
        }
    }

    /// Closes one. Returns whether there was one.
    pub(crate) fn give_up(&mut self) -> bool {
        self.0.pop().is_some()
    }
}
