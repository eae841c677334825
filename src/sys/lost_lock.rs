//! Daemons whose lock file was removed. They still hold the lock, which only `/proc` shows.

use super::descendants::{self, Stat};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The name of a daemon's process.
const NAME: &[u8] = b"tmd";

/// The end of a descriptor's path whose file was removed.
const REMOVED: &str = " (deleted)";

/// The process of this user or root with the lock of one of these files, which was removed since,
/// perhaps with its directory.
pub(crate) fn holder(locks: &[PathBuf]) -> Option<i32> {
    let locks: Vec<PathBuf> = locks.iter().map(|lock| resolved(lock)).collect();
    let is_wanted = |shown: &Path| locks.iter().any(|lock| is_path_of(shown, lock));
    holder_of_any(is_wanted).map(|(pid, _)| pid)
}

/// The same for any lock in one of these directories, with the path of the lock.
pub(crate) fn holder_in(directories: &[PathBuf]) -> Option<(i32, PathBuf)> {
    let directories: Vec<PathBuf> = directories.iter().map(|one| resolved(one)).collect();
    holder_of_any(|shown| {
        let is_lock = shown.extension().is_some_and(|suffix| suffix == "lock");
        is_lock && directories.iter().any(|one| shown.parent() == Some(one))
    })
}

/// Whether a daemon that has taken its lock has no socket yet. False if that cannot be seen.
pub(crate) fn is_starting(pid: i32) -> bool {
    let Some(open) = descriptors(pid) else {
        return false;
    };
    // The first three may be sockets of the program that started it.
    let own = open.iter().filter(|(number, _)| *number > 2);
    let targets = own.map(|(_, target)| target.to_string_lossy());
    !targets
        .into_iter()
        .any(|target| target.starts_with("socket:"))
}

fn holder_of_any(is_wanted: impl Fn(&Path) -> bool) -> Option<(i32, PathBuf)> {
    let own = super::runtime::effective_uid();
    let all = descendants::all().into_iter();
    let mut daemons: Vec<Stat> = all
        .filter(|stat| !stat.is_dead() && stat.name.starts_with(NAME))
        .filter(|stat| {
            let owner = fs::metadata(format!("/proc/{}", stat.pid)).map(|found| found.uid());
            owner.is_ok_and(|uid| uid == own || uid == 0)
        })
        .collect();
    // A child of the daemon has its descriptors until it execs.
    daemons.sort_by_key(|stat| (stat.starttime, stat.pid));
    daemons.iter().find_map(|stat| {
        let mut open = descriptors(stat.pid)?.into_iter();
        open.find_map(|(number, target)| {
            let shown = target.to_str()?.strip_suffix(REMOVED)?;
            let holds = is_wanted(Path::new(shown)) && is_locked(stat.pid, number);
            holds.then(|| (stat.pid, PathBuf::from(shown)))
        })
    })
}

/// The open descriptors of a process, if this one may see them.
fn descriptors(pid: i32) -> Option<Vec<(i32, PathBuf)>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let read = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(entry.path()).ok()?))
    };
    Some(entries.filter_map(read).collect())
}

/// Whether a descriptor of a process has a lock.
fn is_locked(pid: i32, number: i32) -> bool {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"));
    info.is_ok_and(|info| info.contains("FLOCK"))
}

/// Whether `/proc` shows this path for a file. It shows the end of the path only, if the file
/// system was unmounted while the file was open, as `/run/user/UID` is at the end of a session.
fn is_path_of(shown: &Path, file: &Path) -> bool {
    let end = shown.strip_prefix("/").unwrap_or(shown);
    file == shown || (end.file_name().is_some() && file.ends_with(end))
}

/// A path with the symbolic links of its directories resolved, as far as they exist.
fn resolved(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| {
        let real = above.canonicalize().ok()?;
        Some(real.join(path.strip_prefix(above).ok()?))
    });
    found.map_or_else(|| path.to_path_buf(), |found| found.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_known_by_the_end_of_its_path() {
        let lock = Path::new("/run/user/7/tmd/a-1234.lock");
        assert!(is_path_of(lock, lock));
        assert!(is_path_of(Path::new("/tmd/a-1234.lock"), lock));
        assert!(!is_path_of(Path::new("/other/a-1234.lock"), lock));
        assert!(!is_path_of(Path::new("/tmd/b-1234.lock"), lock));
        assert!(!is_path_of(Path::new("/"), lock));
    }

    #[test]
    fn a_path_is_resolved_as_far_as_it_exists() {
        let directory = tempfile::tempdir().expect("a directory");
        let real = directory.path().canonicalize().expect("it exists");
        std::os::unix::fs::symlink(&real, real.join("link")).expect("a link");
        let found = resolved(&real.join("link/none/a.lock"));
        assert_eq!(found, real.join("none/a.lock"));
    }
}
