//! Files that make a daemon unique and findable: a lock file with the daemon's pid, and a symbolic
//! link from the usual socket path to the real one.

use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use rustix::process::{Pid, test_kill_process};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
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
    /// The file stays after the end of the lock.
    is_record: bool,
}

/// The process whose pid is in a lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub pid: i32,
    /// Its user now. The daemon may have changed it since.
    pub uid: u32,
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
                // A daemon that dropped root left its pid, not its lock.
                if let Some(Holder { pid, .. }) = recorded(&file) {
                    return Err(LockError::Held { pid: Some(pid) });
                }
                let path = path.to_path_buf();
                let lock = LockFile {
                    file,
                    path,
                    is_record: false,
                };
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

    /// Takes the lock again at its path if its file was removed; whether it was.
    pub(crate) fn restore(&mut self) -> Result<bool, LockError> {
        if is_at(&self.file, &self.path)? {
            return Ok(false);
        }
        let restored = LockFile::acquire(&self.path)?;
        if let Some(config) = noted(&self.file) {
            restored.note_config(&config);
        }
        *self = restored;
        Ok(true)
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes the daemon's config in an attribute of the file, so that other paths that lead to the
    /// same config find the daemon. Does nothing on a file system without such attributes.
    pub(crate) fn note_config(&self, config: &Path) {
        let bytes = config.as_os_str().as_bytes();
        let _ = fsetxattr(&self.file, CONFIG_ATTRIBUTE, bytes, XattrFlags::empty());
    }

    /// The config that [`LockFile::note_config`] left in a lock file, held or not.
    pub(crate) fn noted_config(path: &Path) -> Option<PathBuf> {
        noted(&open_own(path).ok().flatten()?)
    }

    /// Releases the lock and leaves a note of this process in the file, by its pid and start time.
    /// The note counts as a lock while the process lives. Unlike a lock, it is not inherited and
    /// nothing that the process does later can change it.
    pub(crate) fn into_record(mut self) -> io::Result<()> {
        let pid = super::runtime::own_pid();
        let start = start_of(pid).ok_or(io::ErrorKind::NotFound)?;
        self.file.set_len(0)?;
        self.file
            .write_all_at(format!("{pid} {start}\n").as_bytes(), 0)?;
        self.is_record = true;
        Ok(())
    }

    /// The process that has locked `path`; `None` if no process does, or if the file belongs to
    /// another user.
    pub(crate) fn holder(path: &Path) -> io::Result<Option<Holder>> {
        let Some(file) = open_own(path)? else {
            return Ok(None);
        };
        if let Some(holder) = recorded(&file) {
            return Ok(Some(holder));
        }
        // The query below takes the lock for a moment. A daemon that starts in that moment would
        // see it as held, so query only when the file names a living process.
        let written = written_pid(&file).and_then(Pid::from_raw);
        if written.is_none_or(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH)) {
            return Ok(None);
        }
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(written_pid(&file).and_then(holder_of)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn noted(file: &File) -> Option<PathBuf> {
    let mut text = vec![0_u8; NOTE_MAX];
    let length = fgetxattr(file, CONFIG_ATTRIBUTE, &mut text[..]).ok()?;
    let config = PathBuf::from(OsStr::from_bytes(text.get(..length)?));
    config.is_absolute().then_some(config)
}

/// Opens a lock file of this user or root, if there is one.
fn open_own(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(foreign_owner(&file)?.is_none().then_some(file))
}

fn holder_of(pid: i32) -> Option<Holder> {
    let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    // A process that is not dumpable appears to be root's. Its status names its user.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let named = line.and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok());
    let uid = named.unwrap_or(uid);
    Some(Holder { pid, uid })
}

/// The living process that a daemon's note names.
fn recorded(file: &File) -> Option<Holder> {
    let (pid, start) = written(file)?;
    let lives = start.is_some() && start_of(pid) == start;
    lives.then(|| holder_of(pid)).flatten()
}

/// The start time of a process, which tells it from a later one with the same pid.
fn start_of(pid: i32) -> Option<u64> {
    let stat = super::descendants::stat(pid).filter(|stat| !stat.is_dead())?;
    Some(stat.starttime)
}

/// The owner of a file, if that is neither root nor the user of this process.
fn foreign_owner(file: &File) -> io::Result<Option<u32>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file; remove it"));
    }
    Ok(foreign(metadata.uid()))
}

fn foreign(uid: u32) -> Option<u32> {
    (uid != 0 && uid != super::runtime::effective_uid()).then_some(uid)
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // No other daemon removes or replaces the file while it is locked.
        if !self.is_record && is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The attribute of a lock file that names the config.
const CONFIG_ATTRIBUTE: &str = "user.tmd.config";

/// More than the longest path, in bytes.
const NOTE_MAX: usize = 8192;

/// How often root removes a lock file that another user puts in the way.
const REMOVALS_MAX: usize = 16;

fn open_locked(path: &Path) -> Result<File, LockError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    for _ in 0..REMOVALS_MAX {
        let opened = options.open(path);
        let owner = match &opened {
            Ok(file) => foreign_owner(file)?,
            // In a sticky directory the kernel may refuse to open another user's file.
            Err(_) => fs::symlink_metadata(path)
                .ok()
                .and_then(|found| foreign(found.uid())),
        };
        let Some(owner) = owner else {
            let file = opened?;
            return match file.try_lock() {
                Ok(()) => Ok(file),
                Err(TryLockError::WouldBlock) => Err(LockError::Held {
                    pid: written_pid(&file),
                }),
                Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
            };
        };
        if super::runtime::effective_uid() != 0 {
            return Err(LockError::Io(io::Error::other(format!(
                "belongs to user {owner}, who can keep your daemon from starting; choose a socket \
                 in a directory of your own"
            ))));
        }
        fs::remove_file(path)?;
    }
    let text = "another user keeps creating this file; choose another directory";
    Err(LockError::Io(io::Error::other(text)))
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
    written(file).map(|(pid, _)| pid)
}

/// The pid in a lock file, and the start time that a note has too.
fn written(file: &File) -> Option<(i32, Option<u64>)> {
    let mut text = [0_u8; 48];
    let length = file.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    let mut words = text.split_whitespace();
    let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
    Some((pid, words.next().and_then(|start| start.parse().ok())))
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
        let holder = || LockFile::holder(&path).unwrap().map(|holder| holder.pid);
        assert_eq!(holder(), Some(own));
        let error = LockFile::acquire(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("already running (pid {own})"));
        drop(lock);
        assert_eq!(LockFile::holder(&path).unwrap(), None);
        LockFile::acquire(&path).unwrap();
        let error = LockFile::acquire(&directory.path().join("no/such")).unwrap_err();
        assert!(matches!(error, LockError::Io(_)));
    }

    #[test]
    fn a_record_counts_while_its_process_lives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.lock");
        let own = i32::try_from(std::process::id()).unwrap();
        LockFile::acquire(&path).unwrap().into_record().unwrap();
        let uid = super::super::runtime::effective_uid();
        assert_eq!(
            LockFile::holder(&path).unwrap(),
            Some(Holder { pid: own, uid })
        );
        let error = LockFile::acquire(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("already running (pid {own})"));
        // The same pid with another start time is another process.
        fs::write(&path, format!("{own} 1\n")).unwrap();
        assert_eq!(LockFile::holder(&path).unwrap(), None);
        LockFile::acquire(&path).unwrap();
    }

    #[test]
    fn a_file_of_another_user_is_no_lock() {
        if !crate::sys::testing::is_root() {
            return crate::sys::testing::skipped("needs root");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.lock");
        fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
        let squatted = File::open(&path).unwrap();
        squatted.try_lock().unwrap();
        assert_eq!(LockFile::holder(&path).unwrap(), None);
        // Root takes the place.
        LockFile::acquire(&path).unwrap();
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
