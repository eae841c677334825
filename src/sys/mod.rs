//! Safe wrappers for system calls, with `OwnedFd` interfaces; the only `unsafe` of the crate.
//!
//! This layer decides nothing and imports only `text`. A SAFETY comment justifies each block of
//! `unsafe`. All file descriptors are close-on-exec; interrupted calls are retried.
#![allow(unsafe_code)]

pub(crate) mod cgroup;
pub(crate) mod checks;
pub(crate) mod daemonize;
pub(crate) mod descendants;
pub(crate) mod heap;
pub mod io;
pub(crate) mod listening;
pub(crate) mod lock;
pub(crate) mod lost_lock;
pub mod pidfd;
pub(crate) mod privileges;
mod process_memory;
pub mod pty;
pub(crate) mod rlimit;
pub mod runtime;
pub(crate) mod signalfd;
pub(crate) mod socket;
pub mod spawn;
pub(crate) mod tty;

#[cfg(test)]
mod testing;

use crate::text::error_message::without_number;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Repeats a libc call while a signal interrupts it; -1 becomes the errno's error.
fn retry<T: PartialOrd + Default>(mut call: impl FnMut() -> T) -> Result<T> {
    loop {
        let result = call();
        if result >= T::default() {
            return Ok(result);
        }
        let error = Error::last_os_error();
        if error.kind() != ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The error message without the trailing `(os error N)`.
pub(crate) fn error_text(error: &Error) -> String {
    without_number(&error.to_string()).to_string()
}

/// The error message for a path at which the daemon cannot create a file, with a remedy.
pub(crate) fn path_error(path: &Path, error: &Error) -> String {
    let message = error_text(error);
    let path_shown = path.display();
    let missing = path.parent().filter(|directory| !directory.exists());
    match (error.kind(), missing) {
        (ErrorKind::NotFound, Some(directory)) => format!(
            "{path_shown}: the directory {} does not exist; create it or choose another path",
            directory.display()
        ),
        (ErrorKind::AlreadyExists, _) => {
            format!("{path_shown}: exists and is not a tmd file; remove it or choose another path")
        }
        (ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem, _) => {
            format!("{path_shown}: {message}; choose another path")
        }
        _ => format!("{path_shown}: {message}"),
    }
}
