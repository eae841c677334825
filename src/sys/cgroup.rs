//! Control groups, version 2: one below the daemon's own, with a leaf for each process.
//!
//! A process stays in its leaf whatever it does to its session, its parent and its environment, and
//! so does what it starts. The leaves limit nothing: no controller is enabled for them.

use crate::sys::runtime;
use rustix::event::Timespec;
use rustix::fs::{Access, AtFlags, CWD, FlockOperation};
use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The names of the groups of daemons begin with it.
const PREFIX: &str = "tmd-";

/// The file that lists the processes of a group.
const LIST: &str = "cgroup.procs";

/// Names that a daemon tries for its group. Daemons of several PID namespaces may share a parent.
const NAMES_MAX: u32 = 16;

/// Levels of groups that are removed below a leaf: a daemon in it makes some of its own.
const DEPTH_MAX: u32 = 16;

/// How long the end of a daemon waits for processes that were killed to leave their groups.
const END_MAX: Duration = Duration::from_millis(200);

/// Time between two attempts to remove a group.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 2_000_000,
};

/// The group of this daemon. Its lock tells other daemons that it is in use.
#[derive(Debug)]
pub(crate) struct CgroupBase {
    directory: PathBuf,
    /// As `/proc/PID/cgroup` shows it.
    path: String,
    _lock: File,
}

/// The group that this process is in.
#[derive(Debug)]
pub(crate) struct OwnCgroup {
    pub directory: PathBuf,
    path: String,
}

impl OwnCgroup {
    /// Finds the group, if a daemon may make others below it.
    ///
    /// # Errors
    /// When there is none, or this process may not write to it.
    pub(crate) fn find() -> io::Result<OwnCgroup> {
        let missing = |what: &str| io::Error::new(io::ErrorKind::NotFound, what.to_string());
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let path = parse_path(&own).ok_or_else(|| missing("no cgroup of version 2"))?;
        let directory = directory_of(&mounts, path).ok_or_else(|| missing("not mounted"))?;
        let metadata = fs::metadata(&directory)?;
        // The owner of a group can change all that is in it.
        if ![0, runtime::effective_uid()].contains(&metadata.uid()) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} belongs to another user", directory.display()),
            ));
        }
        let check = |path: &Path, access| rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS);
        check(&directory, Access::WRITE_OK | Access::EXEC_OK)?;
        // A child leaves the daemon's group for one below it.
        check(&directory.join(LIST), Access::WRITE_OK)?;
        Ok(OwnCgroup {
            directory,
            path: path.to_string(),
        })
    }
}

impl CgroupBase {
    /// Makes the group of this daemon, and removes those that daemons have left.
    ///
    /// # Errors
    /// When there is no cgroup that this process may write to.
    pub(crate) fn create() -> io::Result<CgroupBase> {
        let own = OwnCgroup::find()?;
        remove_stale(&own.directory);
        let pid = runtime::own_pid();
        for number in 0..NAMES_MAX {
            let name = match number {
                0 => format!("{PREFIX}{pid}"),
                _ => format!("{PREFIX}{pid}-{number}"),
            };
            let directory = own.directory.join(&name);
            match DirBuilder::new().mode(0o700).create(&directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            let Some(lock) = lock(&directory) else {
                continue;
            };
            let base = CgroupBase {
                path: format!("{}/{name}", own.path.trim_end_matches('/')),
                directory,
                _lock: lock,
            };
            let kind = fs::read_to_string(base.directory.join("cgroup.type"))?;
            if kind.trim_end() != "domain" {
                base.remove();
                return Err(io::Error::other("a cgroup for threads only"));
            }
            return Ok(base);
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// Makes a leaf, unless it exists. Returns the `cgroup.procs` through which it is entered.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub(crate) fn leaf(&self, name: &str) -> io::Result<CString> {
        let path = self.directory.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        Ok(CString::new(path.join(LIST).into_os_string().into_vec())?)
    }

    /// The leaf that a process is in, or below.
    pub(crate) fn leaf_of(&self, pid: i32) -> Option<String> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        leaf_in(&groups, &self.path).map(str::to_string)
    }

    /// Removes a leaf, unless there are processes in it.
    pub(crate) fn remove_leaf(&self, leaf: &str) {
        remove_tree(&self.directory.join(leaf), DEPTH_MAX);
    }

    /// Removes all leaves without processes, and the group if none is left. Waits at most
    /// [`END_MAX`]: a process that was just killed still has to exit.
    pub(crate) fn remove(&self) {
        let began = Instant::now();
        loop {
            remove_tree(&self.directory, DEPTH_MAX);
            if !self.directory.exists() || began.elapsed() >= END_MAX {
                return;
            }
            // Nothing to poll, only the time.
            let _ = rustix::event::poll(&mut [], Some(&PAUSE));
        }
    }
}

/// The path of the group of version 2, in the text of `/proc/PID/cgroup`.
fn parse_path(groups: &str) -> Option<&str> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    // A group outside the namespace begins with `/..`.
    (!path.ends_with(" (deleted)") && !path.starts_with("/..")).then_some(path)
}

/// The directory of a group, by the text of `/proc/self/mountinfo`.
fn directory_of(mounts: &str, path: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        // 36 35 98:0 ROOT MOUNT_POINT OPTIONS … - cgroup2 SOURCE …
        let (mount, kind) = line.split_once(" - ")?;
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // Blanks are written as \040; such a mount point is not used.
        if point.contains('\\') {
            return None;
        }
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(point).join(below).components().collect())
    })
}

/// The leaf in the text of `/proc/PID/cgroup`, below the group of a daemon.
fn leaf_in<'a>(groups: &'a str, base: &str) -> Option<&'a str> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = path.strip_prefix(base)?.strip_prefix('/')?;
    let leaf = below.split('/').next()?;
    // A zombie stays in a group that is removed.
    Some(leaf.strip_suffix(" (deleted)").unwrap_or(leaf))
}

/// Locks the group of a daemon. Returns `None` if another one has it, or has removed it.
fn lock(directory: &Path) -> Option<File> {
    let file = File::open(directory).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let locked = file.metadata().map(inode).ok()?;
    let present = fs::symlink_metadata(directory).map(inode).ok()?;
    (locked == present).then_some(file)
}

/// Removes groups of daemons that are gone.
fn remove_stale(own: &Path) {
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_bytes().starts_with(PREFIX.as_bytes())
            && let Some(_lock) = lock(&entry.path())
        {
            remove_tree(&entry.path(), DEPTH_MAX);
        }
    }
}

/// Removes a group and those below it, as far as there are no processes in them.
fn remove_tree(directory: &Path, depth: u32) {
    if fs::remove_dir(directory).is_ok() || depth == 0 {
        return;
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path(), depth - 1);
        }
    }
    // There may be processes in it.
    let _ = fs::remove_dir(directory);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{cat, skipped};
    use std::ffi::OsStr;

    const HYBRID: &str = "9:name=systemd:/x\n4:memory:/y\n0::/\n";

    #[test]
    fn the_own_group_is_that_of_version_2() {
        assert_eq!(parse_path(HYBRID), Some("/"));
        assert_eq!(parse_path("0::/a/b c\n"), Some("/a/b c"));
        for none in ["", "1:cpu:/a\n", "0::/a (deleted)\n", "0::/../b\n"] {
            assert_eq!(parse_path(none), None, "{none}");
        }
    }

    #[test]
    fn the_directory_depends_on_what_is_mounted() {
        let line = |root: &str, point: &str, kind: &str| {
            format!("36 35 0:30 {root} {point} rw,relatime shared:9 - {kind} cgroup2 rw\n")
        };
        let mounts = line("/", "/sys/fs/cgroup/cpu", "cgroup") + &line("/", "/sys/fs/u", "cgroup2");
        let path = |path: &str| Some(PathBuf::from(path));
        assert_eq!(directory_of(&mounts, "/a/b"), path("/sys/fs/u/a/b"));
        let container = line("/docker/1", "/sys/fs/cgroup", "cgroup2");
        assert_eq!(
            directory_of(&container, "/docker/1/a"),
            path("/sys/fs/cgroup/a")
        );
        assert_eq!(
            directory_of(&container, "/docker/1"),
            path("/sys/fs/cgroup/")
        );
        assert_eq!(directory_of(&container, "/docker/10"), None);
        assert_eq!(directory_of("broken\n - cgroup2\n", "/"), None);
    }

    #[test]
    fn a_process_is_in_a_leaf_or_below_it() {
        let leaf = |path: &str| {
            let groups = format!("4:memory:/y\n0::{path}\n");
            leaf_in(&groups, "/d/tmd-7").map(str::to_string)
        };
        assert_eq!(leaf("/d/tmd-7/web:0.1").as_deref(), Some("web:0.1"));
        assert_eq!(
            leaf("/d/tmd-7/web:0.1 (deleted)").as_deref(),
            Some("web:0.1")
        );
        assert_eq!(leaf("/d/tmd-7/a:0.2/tmd-9/b:0.1").as_deref(), Some("a:0.2"));
        for other in ["/", "/d/tmd-7", "/d/tmd-70/web:0.1", "/tmd-7/web:0.1"] {
            assert_eq!(leaf(other), None, "{other}");
        }
    }

    #[test]
    fn a_group_is_locked_by_one_daemon_and_removed_with_all_below_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().join("tmd-1");
        fs::create_dir_all(base.join("web:0.1/tmd-2/b:0.1")).expect("it is ours");
        let held = lock(&base).expect("a lock");
        assert!(lock(&base).is_none());
        remove_stale(folder.path());
        assert!(base.exists());
        drop(held);
        remove_stale(folder.path());
        assert!(!base.exists());
    }

    #[test]
    fn a_child_starts_in_its_leaf_and_the_leaf_is_removed_after_it() {
        let Ok(base) = CgroupBase::create() else {
            return skipped("needs a cgroup that it may write to");
        };
        let procs = base.leaf("web:0.1").expect("a leaf");
        assert_eq!(base.leaf("web:0.1").expect("the same"), procs);
        let inside = cat(|command| command.cgroup = Some(procs.clone()));
        // Where the kernel cannot start it there, it moves itself.
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join(LIST);
        std::os::unix::fs::symlink(OsStr::from_bytes(procs.to_bytes()), &link).expect("a link");
        let link = CString::new(link.into_os_string().into_vec()).expect("no NUL");
        let moved = cat(|command| command.cgroup = Some(link));
        let outside = cat(|_| {});
        let leaf = |pid| base.leaf_of(pid);
        assert_eq!(leaf(inside.child.pid).as_deref(), Some("web:0.1"));
        assert_eq!(leaf(moved.child.pid).as_deref(), Some("web:0.1"));
        assert_eq!(leaf(outside.child.pid), None);
        let directory = base.directory.clone();
        base.remove();
        assert!(directory.exists(), "something lives in it");
        [inside, moved, outside]
            .into_iter()
            .for_each(|cat| cat.end());
        base.remove();
        assert!(!directory.exists());
    }
}
