//! Every system call that needs care, behind safe `OwnedFd` interfaces: the only `unsafe` of the
//! crate.
//!
//! Nothing here decides anything, and nothing here imports the rest of the crate. Each block of
//! `unsafe` argues beside it why it holds. All file descriptors are close-on-exec; interrupted
//! calls are retried.
#![allow(unsafe_code)]

pub mod daemonize;
pub mod descendants;
pub mod io;
pub mod pidfd;
pub mod privileges;
pub mod probe;
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
