//! One log file: opened as its owner, appended to, rotated between lines.

use crate::reactor::disk::access::{FileAccess, Owner, run_as};
use crate::reactor::disk::compression::Compressor;
use crate::reactor::disk::rotation::{FileRights, shift_names};
use crate::supervisor::FileSink;
use crate::sys;
use memchr::{memchr, memrchr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The delay after a failed rotation.
const ROTATION_RETRY: Duration = Duration::from_secs(5);

/// A reopen waits for the end of a line, for at most this many bytes.
const REOPEN_BYTES: u64 = 64 * 1024;

/// The length of a line that may be split, unless a batch says it.
const LINE_MAX_DEFAULT: u64 = 256 * 1024;

/// How often an append checks that the open file still has its name.
const NAME_CHECK: Duration = Duration::from_secs(1);

/// A failure of the disk thread. The text names the file and, where known, the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiskError {
    /// The message.
    pub text: String,
    /// The error number, or 0.
    pub errno: i32,
}

impl DiskError {
    pub(crate) fn new(what: &str, error: &io::Error) -> DiskError {
        DiskError {
            text: format!("{what}: {}", sys::error_text(error)),
            errno: error.raw_os_error().unwrap_or(0),
        }
    }
}

/// A log file, its size and its pending rotation.
pub(crate) struct LogFile {
    path: PathBuf,
    sink: FileSink,
    owner: Option<Owner>,
    access: Arc<dyn FileAccess>,
    file: Option<File>,
    size: u64,
    /// Bytes since the last newline.
    line_len: u64,
    /// A line longer than this may be split between two files.
    line_max: u64,
    /// Bytes written since a reopen was requested.
    reopen: Option<u64>,
    compressor: Compressor,
    /// The last rotation failed; when to try again, and why.
    rotate_after: Option<(Instant, DiskError)>,
    /// The failure is not reported yet.
    rotation_error: Option<DiskError>,
    /// The permissions and the owner of the file before the next one.
    inherited: Option<FileRights>,
    /// When the name is checked next.
    name_check: Option<Instant>,
}

impl LogFile {
    /// A log at the sink's path, not opened yet.
    pub(crate) fn new(
        sink: FileSink,
        owner: Option<Owner>,
        access: Arc<dyn FileAccess>,
    ) -> LogFile {
        let path = PathBuf::from(&sink.path);
        LogFile {
            compressor: Compressor::new(&path, owner.clone(), Arc::clone(&access)),
            path,
            sink,
            owner,
            access,
            file: None,
            size: 0,
            line_len: 0,
            line_max: LINE_MAX_DEFAULT,
            reopen: None,
            rotate_after: None,
            rotation_error: None,
            inherited: None,
            name_check: None,
        }
    }

    /// Applies changed rotation settings. The path stays the same.
    pub(crate) fn configure(&mut self, sink: FileSink) {
        self.sink = sink;
        self.rotate_after = None;
    }

    /// Sets how long a line has to be until it may be split between two files.
    pub(crate) fn set_line_max(&mut self, line_max: u64) {
        self.line_max = line_max;
    }

    /// Requests that the file is reopened by its path at the end of the current line.
    pub(crate) fn reopen(&mut self) {
        self.reopen = Some(0);
    }

    /// Returns the error of the last rotation, once.
    pub(crate) fn take_rotation_error(&mut self) -> Option<DiskError> {
        self.rotation_error.take()
    }

    /// Opens the file unless it is open. Carries out a requested reopen.
    pub(crate) fn open(&mut self) -> Result<(), DiskError> {
        let due = self
            .reopen
            .is_some_and(|n| self.line_len == 0 || n >= REOPEN_BYTES);
        if due {
            self.close_file();
            self.reopen = None;
        }
        if self.file.is_some() {
            return Ok(());
        }
        let path = &self.path;
        let rights = self.rights();
        let own = sys::runtime::effective_uid();
        let opener = self.owner.as_ref().map_or(own, |owner| owner.uid);
        let opened = self.as_owner(|| open_log(path, rights, opener));
        let file = opened.map_err(|error| explain_open(path, &error))?;
        self.size = file.metadata().map_or(0, |metadata| metadata.len());
        self.line_len = 0;
        self.file = Some(file);
        self.name_check = Some(Instant::now() + NAME_CHECK);
        Ok(())
    }

    /// Appends `bytes`, rotating between lines. Returns how many were written: all of them unless
    /// there is an error.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> (usize, Result<(), DiskError>) {
        let mut done = 0;
        let now = Instant::now();
        let mut checked = self.name_check.is_some_and(|at| at <= now);
        if checked {
            self.check_name(now);
        }
        while done < bytes.len() {
            if let Err(error) = self.open() {
                return (done, Err(error));
            }
            let rest = &bytes[done..];
            let n = self.fitting(rest, now);
            if n == 0 && !checked {
                // Another program may have truncated or replaced the file: then it is not full.
                self.check_name(now);
                checked = true;
                continue;
            }
            if n == 0
                && let Some(error) = self.held_back(now)
            {
                return (done, Err(error.clone()));
            }
            if n == 0 {
                self.rotate(now);
                continue;
            }
            match self.write(&rest[..n]) {
                Ok(0) => return (done, Err(self.failed(&io::ErrorKind::WriteZero.into()))),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (done, Err(self.failed(&error))),
            }
        }
        (done, Ok(()))
    }

    /// Leaves a running compression to finish by itself.
    pub(crate) fn detach(&mut self) {
        self.compressor.detach();
    }

    /// Waits for the running compressions.
    pub(crate) fn settle(&mut self) {
        self.compressor.settle();
    }

    /// Requests a reopen if the open file has lost its name: it was removed, moved or replaced.
    /// Else notes its size, which another program may have changed.
    fn check_name(&mut self, now: Instant) {
        self.name_check = Some(now + NAME_CHECK);
        let Some(open) = self.file.as_ref().and_then(|file| file.metadata().ok()) else {
            return;
        };
        let path = &self.path;
        let lost = match self.as_owner(|| path.symlink_metadata()) {
            Ok(named) => (named.dev(), named.ino()) != (open.dev(), open.ino()),
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ),
        };
        if lost {
            self.reopen.get_or_insert(0);
        } else {
            self.size = open.len();
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let n = self.access.write(file, bytes)?;
        self.size += n as u64;
        self.line_len = match memrchr(b'\n', &bytes[..n]) {
            Some(newline) => (n - newline - 1) as u64,
            None => self.line_len + n as u64,
        };
        if let Some(since) = &mut self.reopen {
            *since += n as u64;
        }
        Ok(n)
    }

    fn failed(&self, error: &io::Error) -> DiskError {
        DiskError::new(&format!("write {}", self.path.display()), error)
    }

    /// Returns how many of `bytes` belong in the current file; 0 if it has to be rotated first.
    fn fitting(&self, bytes: &[u8], now: Instant) -> usize {
        let max_size = self.sink.max_size;
        if max_size == 0 {
            return self.until_reopen(bytes);
        }
        let limit = match self.held_back(now) {
            None => max_size,
            // All files of the log together take no more than this.
            Some(_) => max_size.saturating_mul(u64::from(self.sink.keep) + 2),
        };
        let room = limit.saturating_sub(self.size);
        if bytes.len() as u64 <= room {
            return self.until_reopen(bytes);
        }
        // `room` is less than the slice's length, so it fits a usize.
        let room = room as usize;
        if let Some(newline) = memrchr(b'\n', &bytes[..room]) {
            return self.until_reopen(&bytes[..=newline]);
        }
        if self.line_len == 0 && self.size > 0 {
            return 0;
        }
        // A line that has begun, or is longer than the maximum size, is finished here, unless it
        // is longer than a line may be.
        let line = memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1);
        let rest = self.line_max.saturating_sub(self.line_len);
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);
        rest.max(room).min(line)
    }

    /// Why no rotation is tried now: the last one failed a short time ago.
    fn held_back(&self, now: Instant) -> Option<&DiskError> {
        let (after, error) = self.rotate_after.as_ref()?;
        (now < *after).then_some(error)
    }

    /// Returns how many of `bytes` to write at once: up to the first newline if a reopen is due.
    fn until_reopen(&self, bytes: &[u8]) -> usize {
        match self.reopen {
            None => bytes.len(),
            Some(_) => memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1),
        }
    }

    fn rotate(&mut self, now: Instant) {
        self.rotate_after = None;
        if let Err(error) = self.shift() {
            let error = DiskError::new(&format!("rotate {}", self.path.display()), &error);
            self.rotate_after = Some((now + ROTATION_RETRY, error.clone()));
            self.rotation_error = Some(error);
        }
    }

    /// FILE.1 becomes FILE.2 and so on, FILE becomes FILE.1.
    fn shift(&mut self) -> io::Result<()> {
        let keep = self.sink.keep;
        if keep == 0 {
            if let Some(file) = &self.file {
                file.set_len(0)?;
            }
            self.size = 0;
            self.line_len = 0;
            return Ok(());
        }
        let path = &self.path;
        self.compressor
            .rename_files(|| self.as_owner(|| shift_names(path, keep)))?;
        let rotated = self.close_file();
        self.reopen = None;
        if self.sink.compress
            && let Some(rotated) = rotated
        {
            self.compressor.add(&rotated, keep);
        }
        Ok(())
    }

    /// Forgets the open file, and notes its rights for the next one.
    fn close_file(&mut self) -> Option<File> {
        let file = self.file.take()?;
        self.inherited = file.metadata().ok().as_ref().map(FileRights::from);
        Some(file)
    }

    /// The rights of a file that is created now.
    fn rights(&self) -> FileRights {
        FileRights {
            mode: self
                .sink
                .mode
                .or(self.inherited.and_then(|rights| rights.mode)),
            owner: self.inherited.and_then(|rights| rights.owner),
        }
    }

    fn as_owner<T>(&self, action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        run_as(&*self.access, self.owner.as_ref(), action)
    }
}

fn open_log(path: &Path, rights: FileRights, opener: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .append(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // Only a new file: another one may belong to anyone.
            rights.apply(&file);
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.create(true).open(path)?
        }
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    let kind = found.file_type();
    if kind.is_file() {
        return match planted_by(path, found.uid(), opener) {
            None => Ok(file),
            Some(uid) => Err(io::Error::other(format!(
                "it belongs to user {uid}, who put it where everyone can write; remove it"
            ))),
        };
    }
    let kind = match kind {
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "another kind of file",
    };
    Err(io::Error::other(format!("not a regular file but {kind}")))
}

/// The owner of a file in a sticky directory that everyone can write, unless it is the user who
/// opens it, root, or the owner of the directory. The same rule as the kernel's
/// `fs.protected_regular`, which is not set everywhere.
fn planted_by(path: &Path, owner: u32, opener: u32) -> Option<u32> {
    const STICKY_AND_OPEN: u32 = 0o1002;
    let directory = path.parent()?.metadata().ok()?;
    let open = directory.mode() & STICKY_AND_OPEN == STICKY_AND_OPEN;
    let trusted = [0, opener, directory.uid()].contains(&owner);
    (open && !trusted).then_some(owner)
}

/// Explains a failed open. The remedy is for `tm why`.
fn explain_open(path: &Path, error: &io::Error) -> DiskError {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let shown = path.display();
    let text = match error.raw_os_error() {
        Some(libc::ENOENT) if directory.is_dir() => {
            format!(
                "cannot create files in log directory {}",
                directory.display()
            )
        }
        Some(libc::ENOENT) => {
            format!("log directory {} does not exist", directory.display())
        }
        Some(libc::ELOOP) => format!("log file {shown} is a symbolic link"),
        Some(libc::ENXIO) => {
            let fifo = path
                .metadata()
                .is_ok_and(|found| found.file_type().is_fifo());
            let kind = if fifo { "a FIFO" } else { "a device" };
            format!("log file {shown} is {kind}")
        }
        Some(libc::EISDIR) => format!("log file {shown} is a directory"),
        Some(libc::EACCES) => {
            format!("log file {shown}: Permission denied for the program's user")
        }
        _ => return DiskError::new(&format!("open log file {shown}"), error),
    };
    DiskError {
        text,
        errno: error.raw_os_error().unwrap_or(0),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
