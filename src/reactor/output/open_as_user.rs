//! Files that a user named: opened with the rights of whom they are for, never with root's.

use crate::reactor::disk::file::{FileAccess, Owner};
use crate::supervisor::Identity;
use crate::sys;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// File access with the rights of whom a file belongs to: root's are never used for a path that
/// a user named.
pub struct UserAccess;

impl FileAccess for UserAccess {
    fn run_as(&self, owner: &Owner, action: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        if sys::runtime::effective_uid() != 0 {
            return action();
        }
        sys::privileges::as_user(owner.uid, owner.gid, &owner.groups, action)?
    }
}

/// Opens a file that a process writes to itself.
///
/// # Errors
/// When it cannot be opened as that user, or is no regular file.
pub fn open_as(path: &Path, identity: Option<&Identity>) -> io::Result<OwnedFd> {
    let file: File = as_user(identity, || {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let mut options = OpenOptions::new();
        let options = options
            .append(true)
            .create(true)
            .mode(0o644)
            .custom_flags(flags);
        options.open(path)
    })?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let fd = OwnedFd::from(file);
    sys::io::set_nonblocking(std::os::fd::AsFd::as_fd(&fd), false)?;
    Ok(fd)
}

/// Opens a file that a process reads from. A symbolic link is followed: whoever it leads needs
/// the right to read.
///
/// # Errors
/// When it cannot be opened as that user, or is no file to read from.
pub fn open_input_as(path: &Path, identity: Option<&Identity>) -> io::Result<OwnedFd> {
    as_user(identity, || sys::io::open_input(path))
}

fn as_user<T>(
    identity: Option<&Identity>,
    mut action: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let Some(identity) = identity else {
        return action();
    };
    let mut result = None;
    UserAccess.run_as(&Owner::from(identity), &mut || {
        result = Some(action()?);
        Ok(())
    })?;
    result.ok_or_else(|| io::ErrorKind::NotFound.into())
}
