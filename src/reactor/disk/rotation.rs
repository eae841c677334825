//! The names of rotated files: FILE.1 is the newest, FILE.2 is older, and so on.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// The permissions and the owner of a log file, which the next one gets too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FileRights {
    /// Permissions; `None` for the default.
    pub(super) mode: Option<u32>,
    /// User and group; `None` for the ones that create it.
    pub(super) owner: Option<(u32, u32)>,
}

impl From<&Metadata> for FileRights {
    fn from(metadata: &Metadata) -> FileRights {
        FileRights {
            mode: Some(metadata.mode() & 0o777),
            owner: Some((metadata.uid(), metadata.gid())),
        }
    }
}

impl FileRights {
    /// Gives a new file these rights, as far as the daemon or the process's user may.
    pub(super) fn apply(self, file: &File) {
        if let Some((uid, gid)) = self.owner
            && file
                .metadata()
                .is_ok_and(|found| (found.uid(), found.gid()) != (uid, gid))
            && fchown(file, Some(uid), Some(gid)).is_err()
        {
            let _ = fchown(file, None, Some(gid));
        }
        if let Some(mode) = self.mode {
            let _ = file.set_permissions(Permissions::from_mode(mode));
        }
    }
}

/// The name of a rotated file.
pub(super) fn numbered(path: &Path, number: u32, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{suffix}"));
    PathBuf::from(name)
}

/// Renames FILE.N to FILE.N+1, up to the first free number. Removes files beyond `keep`.
pub(super) fn shift_names(path: &Path, keep: u32) -> io::Result<()> {
    let names = |number| [numbered(path, number, ""), numbered(path, number, ".gz")];
    let taken = |number| {
        names(number)
            .iter()
            .any(|name| name.symlink_metadata().is_ok())
    };
    let mut free = 1;
    while taken(free) {
        if free >= keep {
            for name in names(free) {
                remove(&name)?;
            }
        }
        free += 1;
    }
    for number in (1..free.min(keep)).rev() {
        for (from, to) in names(number).iter().zip(&names(number + 1)) {
            rename(from, to)?;
        }
    }
    fs::rename(path, numbered(path, 1, ""))
}

/// Removes a file. Returns whether it existed.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
