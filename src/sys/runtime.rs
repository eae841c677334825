//! Where the daemon's sockets, locks and state are.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The runtime directory: `/run/tmd` for root, else `$XDG_RUNTIME_DIR/tmd`, else `/tmp/tmd-UID`.
/// A relative XDG directory counts as none, as the specification of those wants.
pub fn runtime_dir(euid: u32, xdg_runtime_dir: Option<&str>) -> PathBuf {
    if euid == 0 {
        return PathBuf::from("/run/tmd");
    }
    match absolute(xdg_runtime_dir) {
        Some(directory) => directory.join("tmd"),
        None => PathBuf::from(format!("/tmp/tmd-{euid}")),
    }
}

/// The state directory: `/var/lib/tmd` for root, else `$XDG_STATE_HOME/tmd`, else
/// `~/.local/state/tmd`; without a home, the runtime directory of last resort.
pub fn state_dir(euid: u32, xdg_state_home: Option<&str>, home: Option<&str>) -> PathBuf {
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

/// `RUNTIME/NAME-HASH.sock` for a config file: its stem, and 8 hex digits of its canonical path.
/// The same file has the same socket in every version.
pub fn socket_path(runtime: &Path, config_canonical: &Path) -> PathBuf {
    let stem = config_canonical
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    let hash = fnv1a(config_canonical.as_os_str().as_bytes());
    runtime.join(format!("{stem}-{hash:08x}.sock"))
}

/// The lock beside a socket: its path with `.lock` instead of `.sock`.
pub fn lock_path(socket: &Path) -> PathBuf {
    socket.with_extension("lock")
}

/// FNV-1a, 32 bits: tells paths apart, protects nothing.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// Why a directory is not safe to use.
#[derive(Debug)]
pub enum RuntimeDirError {
    /// It is a symbolic link, a file or anything but a directory.
    NotADirectory(PathBuf),
    /// It belongs to this user.
    ForeignOwner(PathBuf, u32),
    /// Others may enter (runtime) or change (state) it: this mode.
    TooWide(PathBuf, u32),
    /// It could not be made or looked at.
    Io(PathBuf, io::Error),
}

impl fmt::Display for RuntimeDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuntimeDirError::NotADirectory(path) => write!(
                f,
                "{}: not a directory; remove it, or choose another place with --socket",
                path.display()
            ),
            RuntimeDirError::ForeignOwner(path, uid) => write!(
                f,
                "{}: belongs to user {uid}, which could replace the socket; remove it, or choose \
                 another place with --socket",
                path.display()
            ),
            RuntimeDirError::TooWide(path, mode) => write!(
                f,
                "{}: mode {mode:04o} lets others in; run: chmod 0700 {}",
                path.display(),
                path.display()
            ),
            RuntimeDirError::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for RuntimeDirError {}

/// Makes the runtime directory (0700) if needed and refuses one that is not ours alone.
pub fn prepare_dir(path: &Path) -> Result<(), RuntimeDirError> {
    prepare(path, 0o077)
}

/// Makes the state directory (0700) if needed; one that others may read, but not write, is fine.
pub fn prepare_state_dir(path: &Path) -> Result<(), RuntimeDirError> {
    prepare(path, 0o022)
}

fn prepare(path: &Path, refused: u32) -> Result<(), RuntimeDirError> {
    let failed = |error| RuntimeDirError::Io(path.to_path_buf(), error);
    if let Err(error) = DirBuilder::new().mode(0o700).recursive(true).create(path) {
        let there =
            error.kind() == io::ErrorKind::AlreadyExists || std::fs::symlink_metadata(path).is_ok();
        if !there {
            return Err(failed(error));
        }
    }
    let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
    if !metadata.is_dir() {
        return Err(RuntimeDirError::NotADirectory(path.to_path_buf()));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(RuntimeDirError::ForeignOwner(
            path.to_path_buf(),
            metadata.uid(),
        ));
    }
    if metadata.mode() & refused != 0 {
        return Err(RuntimeDirError::TooWide(
            path.to_path_buf(),
            metadata.mode() & 0o7777,
        ));
    }
    Ok(())
}
