//! Paths of the daemon's sockets, locks and state.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The runtime directory: `/run/tmd` for root, else `$XDG_RUNTIME_DIR/tmd`, else `/tmp/tmd-UID`.
/// A relative XDG directory is ignored, as the XDG specification demands.
pub fn runtime_dir(euid: u32, xdg_runtime_dir: Option<&str>) -> PathBuf {
    if euid == 0 {
        return PathBuf::from("/run/tmd");
    }
    match absolute(xdg_runtime_dir) {
        Some(directory) => directory.join("tmd"),
        None => PathBuf::from(format!("/tmp/tmd-{euid}")),
    }
}

/// Every directory in which daemons of a user may listen, that of this environment first. A daemon
/// that was started by cron or `su` has no session, and with it no `XDG_RUNTIME_DIR`.
pub fn runtime_dirs(euid: u32, xdg_runtime_dir: Option<&str>) -> Vec<PathBuf> {
    let first = runtime_dir(euid, xdg_runtime_dir);
    let others = session_dirs(euid)
        .into_iter()
        .filter(|one| euid != 0 && *one != first);
    let others: Vec<PathBuf> = others.collect();
    [vec![first], others].concat()
}

/// The directories in which daemons of an ordinary user listen, with a session and without.
pub(crate) fn session_dirs(uid: u32) -> [PathBuf; 2] {
    let session = PathBuf::from(format!("/run/user/{uid}/tmd"));
    [session, runtime_dir(uid, None)]
}

/// Whether a directory belongs to this user and no other user can write in it.
pub(crate) fn is_private(directory: &Path) -> bool {
    std::fs::symlink_metadata(directory).is_ok_and(|found| {
        found.is_dir() && found.uid() == effective_uid() && found.mode() & 0o022 == 0
    })
}

pub(crate) fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_pid()
}

pub(crate) fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The state directory: `/var/lib/tmd` for root, else `$XDG_STATE_HOME/tmd`, else
/// `~/.local/state/tmd`; without a home directory, `/tmp/tmd-UID`.
pub(crate) fn state_dir(euid: u32, xdg_state_home: Option<&str>, home: Option<&str>) -> PathBuf {
    if euid == 0 {
        return PathBuf::from("/var/lib/tmd");
    }
    match (absolute(xdg_state_home), absolute(home)) {
        (Some(state), _) => state.join("tmd"),
        (None, Some(home)) => home.join(".local/state/tmd"),
        (None, None) => PathBuf::from(format!("/tmp/tmd-{euid}")),
    }
}

fn absolute(directory: Option<&str>) -> Option<PathBuf> {
    directory
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// `RUNTIME/NAME-HASH.sock` for a config file: its stem, and 8 hex digits that hash its
/// absolute path as given. Every version derives the same socket from the same file.
pub fn socket_path(runtime: &Path, config: &Path) -> PathBuf {
    let stem = config.file_stem().unwrap_or_default().to_string_lossy();
    let hash = fnv1a(config.as_os_str().as_bytes());
    runtime.join(format!("{stem}-{hash:08x}.sock"))
}

/// The lock beside a socket: its path with `.lock` instead of `.sock`.
pub fn lock_path(socket: &Path) -> PathBuf {
    socket.with_extension("lock")
}

/// FNV-1a, 32 bits: distinguishes paths, gives no protection.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// Why a directory is not safe to use.
#[derive(Debug)]
pub(crate) enum RuntimeDirError {
    /// A symbolic link or file, not a directory.
    NotADirectory(PathBuf),
    /// A directory that belongs to another user, whose uid follows.
    ForeignOwner(PathBuf, u32),
    /// A state directory that other users may change, and its mode.
    TooWide(PathBuf, u32),
    /// A directory that cannot be created or examined.
    Io(PathBuf, io::Error),
}

impl fmt::Display for RuntimeDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuntimeDirError::NotADirectory(path) => write!(
                f,
                "{}: not a directory; remove it, or choose another path with --socket",
                path.display()
            ),
            RuntimeDirError::ForeignOwner(path, uid) => write!(
                f,
                "{}: belongs to user {uid}, which could replace the socket; remove it, or choose \
                 another path with --socket",
                path.display()
            ),
            RuntimeDirError::TooWide(path, mode) => write!(
                f,
                "{}: mode {mode:04o} gives other users access; run: chmod 0700 {}",
                path.display(),
                path.display()
            ),
            RuntimeDirError::Io(path, error) => {
                write!(f, "{}: {}", path.display(), super::error_text(error))
            }
        }
    }
}

impl std::error::Error for RuntimeDirError {}

/// Creates the runtime directory (0700) if needed. Closes one that other users can access, and
/// returns the mode it had.
pub(crate) fn prepare_dir(path: &Path) -> Result<Option<u32>, RuntimeDirError> {
    let folder = create(path)?;
    let failed = |error: Errno| RuntimeDirError::Io(path.to_path_buf(), error.into());
    let mode = rustix::fs::fstat(&folder).map_err(failed)?.st_mode & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(None);
    }
    // By its descriptor: the path may lead elsewhere by now.
    rustix::fs::fchmod(&folder, Mode::RWXU).map_err(failed)?;
    Ok(Some(mode))
}

/// Creates the state directory (0700) if needed; rejects one that other users can write.
pub(crate) fn prepare_state_dir(path: &Path) -> Result<(), RuntimeDirError> {
    let failed = |error: Errno| RuntimeDirError::Io(path.to_path_buf(), error.into());
    let folder = create(path)?;
    let mode = rustix::fs::fstat(&folder).map_err(failed)?.st_mode & 0o7777;
    match mode & 0o022 {
        0 => Ok(()),
        _ => Err(RuntimeDirError::TooWide(path.to_path_buf(), mode)),
    }
}

/// Creates a directory (0700) if needed, and opens it. Rejects one of another user.
fn create(path: &Path) -> Result<OwnedFd, RuntimeDirError> {
    let failed = |error| RuntimeDirError::Io(path.to_path_buf(), error);
    if let Err(error) = DirBuilder::new().mode(0o700).recursive(true).create(path) {
        let there =
            error.kind() == io::ErrorKind::AlreadyExists || std::fs::symlink_metadata(path).is_ok();
        if !there {
            return Err(failed(error));
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::open(path, flags, Mode::empty()) {
        // A link is reported as one of these.
        Err(Errno::NOTDIR | Errno::LOOP) => {
            return Err(RuntimeDirError::NotADirectory(path.to_path_buf()));
        }
        Err(Errno::ACCESS) => {
            let owner = std::fs::symlink_metadata(path).map_err(failed)?.uid();
            return Err(match owner == effective_uid() {
                true => failed(Errno::ACCESS.into()),
                false => RuntimeDirError::ForeignOwner(path.to_path_buf(), owner),
            });
        }
        opened => opened.map_err(|error| failed(error.into()))?,
    };
    let owner = rustix::fs::fstat(&folder).map_err(|error| failed(error.into()))?;
    if owner.st_uid != effective_uid() {
        let path = path.to_path_buf();
        return Err(RuntimeDirError::ForeignOwner(path, owner.st_uid));
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::is_root;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn directories_follow_the_user() {
        let runtime = |euid, xdg| runtime_dir(euid, xdg).to_str().unwrap().to_string();
        assert_eq!(runtime(0, Some("/run/user/0")), "/run/tmd");
        assert_eq!(runtime(1000, Some("/run/user/1000")), "/run/user/1000/tmd");
        assert_eq!(runtime(1000, None), "/tmp/tmd-1000");
        assert_eq!(runtime(1000, Some("")), "/tmp/tmd-1000");
        assert_eq!(runtime(1000, Some("relative")), "/tmp/tmd-1000");
        let state = |euid, xdg, home| state_dir(euid, xdg, home).to_str().unwrap().to_string();
        assert_eq!(state(0, Some("/x"), Some("/root")), "/var/lib/tmd");
        assert_eq!(state(7, Some("/x"), Some("/home/u")), "/x/tmd");
        assert_eq!(state(7, None, Some("/home/u")), "/home/u/.local/state/tmd");
        assert_eq!(state(7, None, None), "/tmp/tmd-7");
    }

    #[test]
    fn daemons_are_searched_with_a_session_and_without() {
        let dirs = |euid, xdg| -> Vec<String> {
            let found = runtime_dirs(euid, xdg).into_iter();
            found.map(|one| one.display().to_string()).collect()
        };
        assert_eq!(dirs(0, Some("/run/user/0")), ["/run/tmd"]);
        let both = ["/run/user/7/tmd", "/tmp/tmd-7"];
        assert_eq!(dirs(7, Some("/run/user/7")), both);
        assert_eq!(dirs(7, Some("/x")), ["/x/tmd", both[0], both[1]]);
        assert_eq!(dirs(7, None), ["/tmp/tmd-7", "/run/user/7/tmd"]);
    }

    #[test]
    fn every_config_has_its_own_socket() {
        let socket = |config| socket_path(Path::new("/run/tmd"), Path::new(config));
        let one = socket("/srv/a/taskmaster.yaml");
        assert_eq!(one, Path::new("/run/tmd/taskmaster-9db05200.sock"));
        assert_ne!(one, socket("/srv/b/taskmaster.yaml"));
        assert_eq!(
            lock_path(&one),
            Path::new("/run/tmd/taskmaster-9db05200.lock")
        );
        assert_eq!(fnv1a(b""), 0x811c_9dc5, "a published test vector");
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn a_runtime_directory_admits_no_other_user() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/tmd");
        assert_eq!(prepare_dir(&path).unwrap(), None);
        assert_eq!(prepare_dir(&path).unwrap(), None);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        for mode in [0o701, 0o710, 0o755] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(prepare_dir(&path).unwrap(), Some(mode));
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        }
        prepare_state_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o770)).unwrap();
        prepare_state_dir(&path).unwrap_err();
    }

    #[test]
    fn anything_but_a_directory_of_this_user_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let link = directory.path().join("link");
        let target = directory.path().join("target");
        prepare_dir(&target).unwrap();
        symlink(&target, &link).unwrap();
        let dangling = directory.path().join("dangling");
        symlink("/no/such", &dangling).unwrap();
        for path in [&file, &link, &dangling] {
            let error = prepare_dir(path).unwrap_err();
            assert!(
                matches!(error, RuntimeDirError::NotADirectory(_)),
                "{error}"
            );
        }
        let error = prepare_dir(&file.join("below")).unwrap_err();
        assert!(matches!(error, RuntimeDirError::Io(..)), "{error}");
        if is_root() {
            std::os::unix::fs::chown(&target, Some(4242), None).unwrap();
            let error = prepare_dir(&target).unwrap_err();
            assert!(
                matches!(error, RuntimeDirError::ForeignOwner(_, 4242)),
                "{error}"
            );
        }
    }
}
