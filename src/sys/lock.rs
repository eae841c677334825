//! Files that make a daemon unique and findable: a lock file with the daemon's pid, and a symbolic
//! link from the usual socket path to the real one.

use rustix::process::{Pid, test_kill_process};
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A locked file with the pid of the only daemon.
///
/// The lock ends with its last descriptor, however the process ends. Dropping the value removes
/// the file if its directory allows that.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
}

/// Why a lock cannot be acquired.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process holds it.
    Held {
        /// The holder's pid, if already written.
        pid: Option<i32>,
    },
    /// The file cannot be opened, locked or written.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held { pid: Some(pid) } => write!(f, "already running (pid {pid})"),
            LockError::Held { pid: None } => write!(f, "already running"),
            LockError::Io(error) => f.write_str(&super::error_text(error)),
        }
    }
}

impl std::error::Error for LockError {}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        LockError::Io(error)
    }
}

impl LockFile {
    /// Creates the file (0600) if needed, locks it and writes this process's pid into it.
    pub(crate) fn acquire(path: &Path) -> Result<LockFile, LockError> {
        loop {
            let file = open_locked(path)?;
            // A holder removes the file when it ends. A lock on a removed file excludes no other
            // daemon, so try again.
            if is_at(&file, path)? {
                let path = path.to_path_buf();
                let lock = LockFile { file, path };
                lock.write_pid()?;
                return Ok(lock);
            }
        }
    }

    /// Writes this process's pid again: after a fork the lock is shared but the pid differs.
    pub(crate) fn write_pid(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        let text = format!("{}\n", std::process::id());
        self.file.write_all_at(text.as_bytes(), 0)
    }

    /// The pid of the process that has locked `path`; `None` if no process does.
    pub(crate) fn holder(path: &Path) -> io::Result<Option<i32>> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW);
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // The query below takes the lock for a moment. A daemon that starts in that moment would
        // see it as held, so query only when the file names a living process.
        let written = written_pid(&file).and_then(Pid::from_raw);
        if written.is_none_or(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH)) {
            return Ok(None);
        }
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(written_pid(&file)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // No other daemon removes or replaces the file while it is locked.
        if is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open_locked(path: &Path) -> Result<File, LockError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::Held {
            pid: written_pid(&file),
        }),
        Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
    }
}

/// Whether the open file is still the one at `path`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn written_pid(file: &File) -> Option<i32> {
    let mut text = [0_u8; 16];
    let length = file.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 0)
}

/// A symbolic link at a usual socket path that leads to the real socket. Dropping the value
/// removes the link unless something else has replaced it.
#[derive(Debug)]
pub(crate) struct Link {
    path: PathBuf,
    target: PathBuf,
}

impl Link {
    /// Creates the link; replaces a stale socket or another link. The caller must hold the lock
    /// beside `path`.
    pub(crate) fn make(path: &Path, target: &Path) -> io::Result<Link> {
        let link = Link {
            path: path.to_path_buf(),
            target: target.to_path_buf(),
        };
        link.place()?;
        Ok(link)
    }

    /// Recreates the link if it was removed; whether it was.
    pub(crate) fn restore(&self) -> io::Result<bool> {
        if fs::symlink_metadata(&self.path).is_ok() {
            return Ok(false);
        }
        self.place()?;
        Ok(true)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes a link at `path`; leaves anything else alone. The caller must hold the lock beside
    /// `path`.
    pub(crate) fn clear(path: &Path) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_symlink() => fs::remove_file(path),
            _ => Ok(()),
        }
    }

    fn place(&self) -> io::Result<()> {
        if let Ok(found) = fs::symlink_metadata(&self.path) {
            let kind = found.file_type();
            if !kind.is_symlink() && !kind.is_socket() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::remove_file(&self.path)?;
        }
        std::os::unix::fs::symlink(&self.target, &self.path)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if fs::read_link(&self.path).is_ok_and(|target| target == self.target) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holds_a_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.lock");
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(LockFile::holder(&path).unwrap(), None);
        let lock = LockFile::acquire(&path).unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(LockFile::holder(&path).unwrap(), Some(own));
        let error = LockFile::acquire(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("already running (pid {own})"));
        drop(lock);
        assert_eq!(LockFile::holder(&path).unwrap(), None);
        LockFile::acquire(&path).unwrap();
        let error = LockFile::acquire(&directory.path().join("no/such")).unwrap_err();
        assert!(matches!(error, LockError::Io(_)));
    }

    #[test]
    fn a_lock_removes_its_own_file_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.lock");
        drop(LockFile::acquire(&path).unwrap());
        assert!(!path.exists());
        // Opened before the file was removed, locked after: this lock excludes no other daemon.
        let late = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&late, &path).unwrap());
        let lock = LockFile::acquire(&path).unwrap();
        assert!(!is_at(&late, &path).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "foreign").unwrap();
        drop(lock);
        assert_eq!(fs::read_to_string(&path).unwrap(), "foreign");
    }

    #[test]
    fn many_at_once_get_one_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.lock");
        let inside = std::sync::atomic::AtomicU32::new(0);
        let ordering = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        if let Ok(lock) = LockFile::acquire(&path) {
                            assert_eq!(inside.fetch_add(1, ordering), 0);
                            inside.fetch_sub(1, ordering);
                            drop(lock);
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn a_link_replaces_what_is_stale_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let link = Link::make(&path, Path::new("/b.sock")).unwrap();
        assert!(!link.restore().unwrap());
        fs::remove_file(&path).unwrap();
        assert!(link.restore().unwrap());
        let next = Link::make(&path, Path::new("/c.sock")).unwrap();
        drop(link);
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("/c.sock"));
        drop(next);
        assert!(fs::symlink_metadata(&path).is_err());
        fs::write(&path, "precious").unwrap();
        Link::make(&path, Path::new("/c.sock")).unwrap_err();
        Link::clear(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
