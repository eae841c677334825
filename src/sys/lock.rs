//! What makes a daemon the only one of its config, and leads to it: a locked file, and a link in
//! the usual place.

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::{Pid, test_kill_process};
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// A locked file that holds the pid of the only daemon. The lock ends with the last descriptor of
/// it, however the process ends; the file goes with the value, unless its folder is out of reach.
#[derive(Debug)]
pub struct LockFile {
    file: OwnedFd,
    path: PathBuf,
}

/// Why a lock could not be had.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Held {
        /// Its pid, if it has written one already.
        pid: Option<i32>,
    },
    /// The file could not be opened or written.
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
    /// Makes the file (0600) if needed, locks it and writes this process's pid into it.
    pub fn acquire(path: &Path) -> Result<LockFile, LockError> {
        loop {
            let file = open_locked(path)?;
            // Whoever had it before removed it at its end: a lock on that one excludes nobody.
            if is_at(file.as_fd(), path)? {
                let path = path.to_path_buf();
                let lock = LockFile { file, path };
                lock.write_pid()?;
                return Ok(lock);
            }
        }
    }

    /// Writes this process's pid again: after a fork the lock is shared but the pid another.
    pub fn write_pid(&self) -> io::Result<()> {
        rustix::fs::ftruncate(&self.file, 0)?;
        let text = format!("{}\n", std::process::id());
        rustix::io::pwrite(&self.file, text.as_bytes(), 0)?;
        Ok(())
    }

    /// The pid of whoever holds the lock at `path`; `None` when nobody does.
    pub fn holder(path: &Path) -> io::Result<Option<i32>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Asking is locking for an instant. It is not done where only a daemon that just starts
        // could hold the lock: that one would take the asker for a daemon.
        let written = written_pid(file.as_fd()).and_then(Pid::from_raw);
        if written.is_none_or(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH)) {
            return Ok(None);
        }
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(written_pid(file.as_fd())),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Nobody else removes or replaces it while it is locked.
        if is_at(self.file.as_fd(), &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open_locked(path: &Path) -> Result<OwnedFd, LockError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = rustix::fs::open(path, flags, mode).map_err(io::Error::from)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Held {
            pid: written_pid(file.as_fd()),
        }),
        Err(error) => Err(LockError::Io(error.into())),
    }
}

/// Whether the file that is open is still the one at `path`.
fn is_at(file: BorrowedFd<'_>, path: &Path) -> io::Result<bool> {
    let open = rustix::fs::fstat(file)?;
    match rustix::fs::lstat(path) {
        Ok(found) => Ok((found.st_dev, found.st_ino) == (open.st_dev, open.st_ino)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn written_pid(file: BorrowedFd<'_>) -> Option<i32> {
    let mut text = [0_u8; 16];
    let length = rustix::io::pread(file, &mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 0)
}

/// A symbolic link in the usual place of a socket to where it really is. It goes with the value,
/// if it is still ours.
#[derive(Debug)]
pub struct Link {
    path: PathBuf,
    target: PathBuf,
}

impl Link {
    /// Makes the link, in place of a stale socket or another link; to be called only by who holds
    /// the lock beside it.
    pub fn make(path: &Path, target: &Path) -> io::Result<Link> {
        let link = Link {
            path: path.to_path_buf(),
            target: target.to_path_buf(),
        };
        link.place()?;
        Ok(link)
    }

    /// Makes it again if it was removed; whether it had to be.
    pub fn restore(&self) -> io::Result<bool> {
        if fs::symlink_metadata(&self.path).is_ok() {
            return Ok(false);
        }
        self.place()?;
        Ok(true)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what is at `path` if it is a link; to be called only by who holds the lock beside
    /// it.
    pub fn clear(path: &Path) -> io::Result<()> {
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
    use std::os::unix::fs::MetadataExt;

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
    fn a_lock_goes_with_its_file_and_only_with_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.lock");
        drop(LockFile::acquire(&path).unwrap());
        assert!(!path.exists());
        // Opened before it was removed, locked after: that excludes nobody.
        let late = fs::File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!is_at(late.as_fd(), &path).unwrap());
        let lock = LockFile::acquire(&path).unwrap();
        assert!(!is_at(late.as_fd(), &path).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(lock);
        assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
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
