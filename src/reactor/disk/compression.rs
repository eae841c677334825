//! Compresses the rotated files of one log, one at a time, on a thread of its own.
//!
//! A rotation waits for no compression. The file that is being compressed may get the next number
//! meanwhile, or be removed as the oldest one. So it is found by its inode: when it is opened, and
//! again when its compressed copy takes its place.

use crate::reactor::disk::access::{FileAccess, Owner, run_as};
use crate::reactor::disk::rotation::{FileRights, numbered, remove};
use flate2::{Compression, write::GzEncoder};
use std::collections::VecDeque;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Read between two checks that the file still has a name.
const CHUNK: usize = 64 * 1024;

/// The compression of one log's rotated files.
pub(super) struct Compressor {
    work: Arc<GzipWork>,
    thread: Option<JoinHandle<()>>,
}

/// A file, under any name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    dev: u64,
    ino: u64,
}

impl From<Metadata> for FileId {
    fn from(metadata: Metadata) -> FileId {
        FileId {
            dev: metadata.dev(),
            ino: metadata.ino(),
        }
    }
}

/// The work of the thread.
struct GzipWork {
    path: PathBuf,
    owner: Option<Owner>,
    access: Arc<dyn FileAccess>,
    backlog: Mutex<Backlog>,
}

/// The files to compress. While it is locked, no rotated file changes its name.
#[derive(Default)]
struct Backlog {
    /// Newest last.
    files: VecDeque<FileId>,
    /// The highest number of a rotated file.
    keep: u32,
    /// A thread takes the files.
    running: bool,
}

impl Compressor {
    /// A compressor of the files that are rotated from `path`.
    pub(super) fn new(
        path: &Path,
        owner: Option<Owner>,
        access: Arc<dyn FileAccess>,
    ) -> Compressor {
        Compressor {
            work: Arc::new(GzipWork {
                path: path.to_path_buf(),
                owner,
                access,
                backlog: Mutex::default(),
            }),
            thread: None,
        }
    }

    /// Runs an action that renames rotated files.
    pub(super) fn rename_files<T>(&self, action: impl FnOnce() -> T) -> T {
        let _names = self.work.backlog();
        action()
    }

    /// Adds the file that was just rotated. Older ones than `keep` are left out.
    pub(super) fn add(&mut self, rotated: &File, keep: u32) {
        let Ok(metadata) = rotated.metadata() else {
            return;
        };
        let starts = {
            let mut backlog = self.work.backlog();
            backlog.files.push_back(FileId::from(metadata));
            let surplus = backlog.files.len().saturating_sub(keep as usize);
            backlog.files.drain(..surplus);
            backlog.keep = keep;
            !std::mem::replace(&mut backlog.running, true)
        };
        if !starts {
            return;
        }
        let work = Arc::clone(&self.work);
        let thread = thread::Builder::new().name("tmd-gzip".to_string());
        match thread.spawn(move || work.run()) {
            Ok(handle) => self.thread = Some(handle),
            // The next rotation tries again.
            Err(_) => self.work.backlog().running = false,
        }
    }

    /// Leaves a running thread to finish by itself.
    pub(super) fn detach(&mut self) {
        self.thread = None;
    }

    /// Waits until all files are compressed.
    pub(super) fn settle(&mut self) {
        if let Some(thread) = self.thread.take() {
            // After a panic the uncompressed file is still there.
            let _ = thread.join();
        }
    }
}

impl GzipWork {
    fn run(&self) {
        let _guard = RunGuard(self);
        while let Some(file) = self.next_file() {
            // On failure the uncompressed file stays, so nothing is lost.
            let _ = run_as(&*self.access, self.owner.as_ref(), || self.compress(file));
        }
    }

    /// Takes the newest file: it stays for the longest time.
    fn next_file(&self) -> Option<FileId> {
        let mut backlog = self.backlog();
        let next = backlog.files.pop_back();
        backlog.running = next.is_some();
        next
    }

    /// Also after a panic: every critical section leaves the backlog valid.
    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compress(&self, file: FileId) -> io::Result<()> {
        let Some(source) = self.open(file)? else {
            return Ok(());
        };
        let mut name = self.path.as_os_str().to_owned();
        name.push(".gz.tmp");
        let partial = PathBuf::from(name);
        remove(&partial)?;
        let target = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o640)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&partial)?;
        FileRights::from(&source.metadata()?).apply(&target);
        let done = gzip(&source, &target).and_then(|whole| match whole {
            true => self.replace(file, &partial, &target),
            false => Ok(false),
        });
        if !matches!(done, Ok(true)) && has_name(&partial, &target) {
            remove(&partial)?;
        }
        done.map(drop)
    }

    /// Opens a rotated file. Its directory may belong to a user who has put something else there:
    /// a FIFO, or a file that never ends.
    fn open(&self, file: FileId) -> io::Result<Option<File>> {
        let backlog = self.backlog();
        let Some(path) = self.find(file, backlog.keep) else {
            return Ok(None);
        };
        let source = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        let found = source.metadata()?;
        Ok((found.is_file() && FileId::from(found) == file).then_some(source))
    }

    /// Puts the compressed file in the place of the other. Returns whether that is still there.
    fn replace(&self, file: FileId, partial: &Path, target: &File) -> io::Result<bool> {
        let backlog = self.backlog();
        let path = self.find(file, backlog.keep);
        let Some(path) = path.filter(|_| has_name(partial, target)) else {
            return Ok(false);
        };
        let mut finished = path.as_os_str().to_owned();
        finished.push(".gz");
        fs::rename(partial, finished)?;
        fs::remove_file(path)?;
        Ok(true)
    }

    /// Returns the present name of a rotated file.
    fn find(&self, file: FileId, keep: u32) -> Option<PathBuf> {
        (1..=keep)
            .map(|number| numbered(&self.path, number, ""))
            .find(|path| {
                let named = path.symlink_metadata();
                named.is_ok_and(|named| FileId::from(named) == file)
            })
    }
}

/// Allows another thread after a panic of this one.
struct RunGuard<'a>(&'a GzipWork);

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.backlog().running = false;
        }
    }
}

/// Compresses `source`, up to the size that it has now. Returns `false` if it was removed
/// meanwhile.
fn gzip(source: &File, target: &File) -> io::Result<bool> {
    let mut rest = source.take(source.metadata()?.len());
    let mut encoder = GzEncoder::new(target, Compression::default());
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = match rest.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        encoder.write_all(&chunk[..n])?;
        if source.metadata()?.nlink() == 0 {
            return Ok(false);
        }
    }
    encoder.finish()?;
    Ok(true)
}

/// Whether a path still leads to this file.
fn has_name(path: &Path, file: &File) -> bool {
    match (path.symlink_metadata(), file.metadata()) {
        (Ok(named), Ok(open)) => FileId::from(named) == FileId::from(open),
        _ => false,
    }
}
