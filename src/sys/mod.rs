//! Every system call that needs care, behind safe `OwnedFd` interfaces: the only `unsafe` of the
//! crate.
//!
//! Nothing here decides anything, and nothing here imports the rest of the crate. Each block of
//! `unsafe` argues beside it why it holds. All file descriptors are close-on-exec; interrupted
//! calls are retried.
#![allow(unsafe_code)]

pub mod checks;
pub mod daemonize;
pub mod descendants;
pub mod io;
pub mod lock;
pub mod pidfd;
pub mod privileges;

pub mod pty;
pub mod rlimit;
pub mod runtime;
pub mod signalfd;
pub mod socket;
pub mod spawn;
pub mod tty;

#[cfg(test)]
mod testing;

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

/// What went wrong, without the number that says nothing to people that the words do not.
pub fn error_text(error: &Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next();
    words.unwrap_or_default().to_string()
}

/// What is wrong with a place for a file of ours, and what helps.
pub fn path_error(path: &Path, error: &Error) -> String {
    let place = path.display();
    let missing = path.parent().filter(|folder| !folder.exists());
    match (error.kind(), missing) {
        (ErrorKind::NotFound, Some(folder)) => format!(
            "{place}: the folder {} does not exist; make it or choose another place",
            folder.display()
        ),
        (ErrorKind::AlreadyExists, _) => {
            format!("{place}: exists and is no file of ours; remove it or choose another place")
        }
        (ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem, _) => {
            format!("{place}: {}; choose another place", error_text(error))
        }
        _ => format!("{place}: {}", error_text(error)),
    }
}
