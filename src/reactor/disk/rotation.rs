//! The names of rotated files: FILE.1 is the newest, FILE.2 is older, and so on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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
