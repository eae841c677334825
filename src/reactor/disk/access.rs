//! The permissions with which files are opened, renamed and removed. Root's are never used for a
//! path that a user named.

use crate::supervisor::Identity;
use crate::sys;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The user that files belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

impl From<&Identity> for Owner {
    fn from(identity: &Identity) -> Owner {
        Owner {
            uid: identity.uid,
            gid: identity.gid,
            groups: identity.groups.clone(),
        }
    }
}

/// Access to the file system. Tests replace it.
pub(crate) trait FileAccess: Send + Sync {
    /// Runs `action` on this thread with the file permissions of `owner`.
    fn run_as(&self, owner: &Owner, action: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()>;

    /// Returns the device that a directory is on, or will be on when it is created.
    fn device(&self, directory: &Path) -> io::Result<u64> {
        let existing = directory.ancestors().find_map(|path| path.metadata().ok());
        let existing = existing.ok_or(io::ErrorKind::NotFound)?;
        Ok(existing.dev())
    }

    /// Appends to an open file. May write less than all of it.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        let mut file = file;
        file.write(bytes)
    }
}

/// Access with the daemon's own permissions; the owner is ignored.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OwnAccess;

#[cfg(test)]
impl FileAccess for OwnAccess {
    fn run_as(&self, _owner: &Owner, action: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        action()
    }
}

/// Access with the permissions of the owner, if the daemon is root.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UserAccess;

impl FileAccess for UserAccess {
    fn run_as(&self, owner: &Owner, action: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        if sys::runtime::effective_uid() != 0 {
            return action();
        }
        sys::privileges::as_user(owner.uid, owner.gid, &owner.groups, action)?
    }
}

/// Runs `action` with the permissions of `owner`; of the daemon if there is none.
///
/// # Errors
/// When the action fails, or the permissions cannot be changed.
pub(crate) fn run_as<T>(
    access: &dyn FileAccess,
    owner: Option<&Owner>,
    mut action: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let Some(owner) = owner else { return action() };
    let mut result = None;
    access.run_as(owner, &mut || {
        result = Some(action()?);
        Ok(())
    })?;
    result.ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refuses to become another user than root.
    struct RootOnly;

    impl FileAccess for RootOnly {
        fn run_as(
            &self,
            owner: &Owner,
            action: &mut dyn FnMut() -> io::Result<()>,
        ) -> io::Result<()> {
            match owner.uid {
                0 => action(),
                _ => Err(io::ErrorKind::PermissionDenied.into()),
            }
        }
    }

    #[test]
    fn the_result_or_the_error_comes_through() {
        let owner = |uid| Owner {
            uid,
            gid: 0,
            groups: Vec::new(),
        };
        let run = |owner: Option<&Owner>| run_as(&RootOnly, owner, || Ok(5)).ok();
        assert_eq!(run(None), Some(5));
        assert_eq!(run(Some(&owner(0))), Some(5));
        assert_eq!(run(Some(&owner(1))), None);
        let failed = run_as(&RootOnly, Some(&owner(0)), || {
            Err::<(), _>(io::ErrorKind::NotFound.into())
        });
        assert_eq!(failed.map_err(|e| e.kind()), Err(io::ErrorKind::NotFound));
    }
}
