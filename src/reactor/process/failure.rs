//! The failure of a start.

use crate::supervisor::SpawnFailure;
use crate::sys;
use std::io;

/// The failure of a step of a start.
pub(crate) fn failure(step: String, error: &io::Error) -> SpawnFailure {
    SpawnFailure {
        step,
        error: sys::error_text(error),
        errno: error.raw_os_error().unwrap_or(0),
    }
}
