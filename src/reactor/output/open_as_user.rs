//! Opens files that a config names, with the permissions of the process's user.

use crate::reactor::disk::access::{Owner, UserAccess, run_as};
use crate::supervisor::Identity;
use crate::sys;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file that a process writes to itself.
///
/// # Errors
/// When that user cannot open it, or it is not a regular file.
pub(crate) fn open_as(path: &Path, identity: Option<&Identity>) -> io::Result<OwnedFd> {
    let file: File = as_user(identity, || {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
    })?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let fd = OwnedFd::from(file);
    sys::io::set_nonblocking(fd.as_fd(), false)?;
    Ok(fd)
}

/// Opens a file that a process reads from. Symbolic links are followed, since the user's own
/// permissions apply to the target.
///
/// # Errors
/// When that user cannot open it, or it cannot be read from.
pub(crate) fn open_input_as(path: &Path, identity: Option<&Identity>) -> io::Result<OwnedFd> {
    as_user(identity, || sys::io::open_input(path))
}

fn as_user<T>(identity: Option<&Identity>, action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    run_as(&UserAccess, identity.map(Owner::from).as_ref(), action)
}
