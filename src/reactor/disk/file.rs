//! One log file: opened as its owner, appended to, rotated between lines.

use crate::reactor::disk::access::{FileAccess, Owner, run_as};
use crate::supervisor::FileSink;
use flate2::{Compression, write::GzEncoder};
use memchr::{memchr, memrchr};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The delay after a failed rotation. A rotation that waits for a compression is not delayed
/// beyond its end.
const ROTATION_RETRY: Duration = Duration::from_secs(5);

/// A reopen waits for the end of a line, for at most this many bytes.
const REOPEN_BYTES: u64 = 64 * 1024;

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
            text: format!("{what}: {}", crate::sys::error_text(error)),
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
    at_line_start: bool,
    /// Bytes written since a reopen was requested.
    reopen: Option<u64>,
    compressing: Option<JoinHandle<()>>,
    rotate_after: Option<Instant>,
    rotation_error: Option<DiskError>,
}

impl LogFile {
    /// A log at the sink's path, not opened yet.
    pub(crate) fn new(
        sink: FileSink,
        owner: Option<Owner>,
        access: Arc<dyn FileAccess>,
    ) -> LogFile {
        LogFile {
            path: PathBuf::from(&sink.path),
            sink,
            owner,
            access,
            file: None,
            size: 0,
            at_line_start: true,
            reopen: None,
            compressing: None,
            rotate_after: None,
            rotation_error: None,
        }
    }

    /// Applies changed rotation settings. The path stays the same.
    pub(crate) fn configure(&mut self, sink: FileSink) {
        self.sink = sink;
        self.rotate_after = None;
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
            .is_some_and(|n| self.at_line_start || n >= REOPEN_BYTES);
        if due {
            self.file = None;
            self.reopen = None;
        }
        if self.file.is_some() {
            return Ok(());
        }
        let path = &self.path;
        let opened = self.as_owner(|| open_log(path));
        let file = opened.map_err(|error| explain_open(path, &error))?;
        self.size = file.metadata().map_or(0, |metadata| metadata.len());
        self.at_line_start = true;
        self.file = Some(file);
        Ok(())
    }

    /// Appends `bytes`, rotating between lines. Returns how many were written: all of them unless
    /// there is an error.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> (usize, Result<(), DiskError>) {
        let mut done = 0;
        while done < bytes.len() {
            if let Err(error) = self.open() {
                return (done, Err(error));
            }
            let rest = &bytes[done..];
            let n = self.fitting(rest);
            if n == 0 {
                self.rotate();
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
        self.compressing = None;
    }

    /// Waits for a running compression.
    pub(crate) fn settle(&mut self) {
        if let Some(thread) = self.compressing.take() {
            // After a panic the uncompressed file is still there.
            let _ = thread.join();
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let n = self.access.write(file, bytes)?;
        self.size += n as u64;
        if let Some(last) = bytes[..n].last() {
            self.at_line_start = *last == b'\n';
        }
        if let Some(since) = &mut self.reopen {
            *since += n as u64;
        }
        Ok(n)
    }

    fn failed(&self, error: &io::Error) -> DiskError {
        DiskError::new(&format!("write {}", self.path.display()), error)
    }

    /// Returns how many of `bytes` belong in the current file; 0 if it has to be rotated first.
    fn fitting(&self, bytes: &[u8]) -> usize {
        let held_back = self
            .rotate_after
            .is_some_and(|after| Instant::now() < after);
        let max_size = self.sink.max_size;
        if max_size == 0 || held_back || self.compresses() {
            return self.until_reopen(bytes);
        }
        let room = max_size.saturating_sub(self.size);
        if bytes.len() as u64 <= room {
            return self.until_reopen(bytes);
        }
        // `room` is less than the slice's length, so it fits a usize.
        if let Some(newline) = memrchr(b'\n', &bytes[..room as usize]) {
            return self.until_reopen(&bytes[..=newline]);
        }
        if self.at_line_start && self.size > 0 {
            return 0;
        }
        // A line that has begun, or is longer than the maximum size, is finished here.
        memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1)
    }

    /// Returns how many of `bytes` to write at once: up to the first newline if a reopen is due.
    fn until_reopen(&self, bytes: &[u8]) -> usize {
        match self.reopen {
            None => bytes.len(),
            Some(_) => memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1),
        }
    }

    /// Whether FILE.1 is being compressed, so that its name is in use.
    fn compresses(&self) -> bool {
        let thread = self.compressing.as_ref();
        thread.is_some_and(|thread| !thread.is_finished())
    }

    fn rotate(&mut self) {
        match self.shift() {
            Ok(()) => self.rotate_after = None,
            Err(error) => {
                self.rotate_after = Some(Instant::now() + ROTATION_RETRY);
                let what = format!("rotate {}", self.path.display());
                self.rotation_error = Some(DiskError::new(&what, &error));
            }
        }
    }

    /// FILE.1 becomes FILE.2 and so on, FILE becomes FILE.1.
    fn shift(&mut self) -> io::Result<()> {
        self.settle();
        let keep = self.sink.keep;
        if keep == 0 {
            if let Some(file) = &self.file {
                file.set_len(0)?;
            }
            self.size = 0;
            return Ok(());
        }
        let path = &self.path;
        self.as_owner(|| shift_names(path, keep))?;
        let rotated = self.file.take();
        self.reopen = None;
        if self.sink.compress
            && let Some(rotated) = rotated
        {
            self.compress(rotated);
        }
        Ok(())
    }

    /// Compresses FILE.1 on its own thread, so that no other log waits. Leaves it alone unless it
    /// is the file that was rotated.
    fn compress(&mut self, rotated: File) {
        let access = Arc::clone(&self.access);
        let owner = self.owner.clone();
        let path = numbered(&self.path, 1, "");
        let work = move || {
            // On failure the uncompressed file stays, so nothing is lost.
            let _ = run_as(&*access, owner.as_ref(), || gzip(&path, &rotated));
        };
        let thread = thread::Builder::new().name("tmd-gzip".to_string());
        self.compressing = thread.spawn(work).ok();
    }

    fn as_owner<T>(&self, action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        run_as(&*self.access, self.owner.as_ref(), action)
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let kind = match kind {
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "another kind of file",
    };
    Err(io::Error::other(format!("not a regular file but {kind}")))
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
        Some(libc::ENXIO) => format!("log file {shown} is a FIFO"),
        Some(libc::EISDIR) => format!("log file {shown} is a directory"),
        Some(libc::EACCES) => {
            format!("log file {shown} cannot be opened as the program's user: Permission denied")
        }
        _ => return DiskError::new(&format!("open log file {shown}"), error),
    };
    DiskError {
        text,
        errno: error.raw_os_error().unwrap_or(0),
    }
}

fn numbered(path: &Path, number: u32, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{suffix}"));
    PathBuf::from(name)
}

/// Renames FILE.N to FILE.N+1, up to the first free number. Removes files beyond `keep`.
fn shift_names(path: &Path, keep: u32) -> io::Result<()> {
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
fn remove(path: &Path) -> io::Result<bool> {
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

fn gzip(path: &Path, rotated: &File) -> io::Result<()> {
    let finished = PathBuf::from(format!("{}.gz", path.display()));
    let partial = PathBuf::from(format!("{}.gz.tmp", path.display()));
    let mut source = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    // Its directory may belong to a user who has put something else there: a FIFO, or a file
    // that never ends.
    let (found, expected) = (source.metadata()?, rotated.metadata()?);
    if !found.is_file() || (found.dev(), found.ino()) != (expected.dev(), expected.ino()) {
        return Ok(());
    }
    remove(&partial)?;
    let target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&partial)?;
    let mut encoder = GzEncoder::new(target, Compression::default());
    let copied = io::copy(&mut source, &mut encoder).and_then(|_| encoder.finish());
    if let Err(error) = copied {
        remove(&partial)?;
        return Err(error);
    }
    // Another log of this path may have rotated meanwhile and put its own file there.
    if !is_still(path, &source) {
        remove(&partial)?;
        return Ok(());
    }
    fs::rename(&partial, &finished)?;
    fs::remove_file(path)
}

fn is_still(path: &Path, file: &File) -> bool {
    match (path.symlink_metadata(), file.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
        _ => false,
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
