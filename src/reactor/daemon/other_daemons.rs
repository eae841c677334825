//! The daemon that already runs for a config: by another path, in another runtime directory of
//! this user, or without its lock file.

use crate::config;
use crate::sys::lock::{LockError, LockFile};
use crate::sys::{lost_lock, runtime};
use std::path::{Path, PathBuf};

/// Notes the config in its lock, whose path is `own`. Fails if a daemon runs for the same file.
///
/// # Errors
/// `Held` with the pid of that daemon.
pub(crate) fn exclude(lock: LockFile, own: &Path, config: &Path) -> Result<LockFile, LockError> {
    lock.note_config(config);
    match running(own, config) {
        Some(pid) => Err(LockError::Held { pid: Some(pid) }),
        None => Ok(lock),
    }
}

fn running(own: &Path, config: &Path) -> Option<i32> {
    let xdg = std::env::var("XDG_RUNTIME_DIR").ok();
    let directories = runtime::runtime_dirs(runtime::effective_uid(), xdg.as_deref());
    let name = own.file_name()?;
    let here = own.parent();
    let searched = directories.iter().map(PathBuf::as_path);
    let searched = searched.filter(|one| Some(*one) != here && runtime::is_private(one));
    for directory in here.into_iter().chain(searched) {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let locks = entries.map(|entry| entry.path()).filter(|path| {
            let is_lock = path.extension().is_some_and(|suffix| suffix == "lock");
            is_lock && path != own
        });
        for other in locks {
            let is_same = |noted: PathBuf| config::is_same_file(&noted, config);
            let same = other.file_name() == Some(name)
                || LockFile::noted_config(&other).is_some_and(is_same);
            if same && let Ok(Some(holder)) = LockFile::holder(&other) {
                return Some(holder.pid);
            }
        }
    }
    let places = here
        .into_iter()
        .chain(directories.iter().map(PathBuf::as_path));
    let locks: Vec<PathBuf> = places.map(|place| place.join(name)).collect();
    lost_lock::holder(&locks)
}
