//! The disk thread: the only place that waits for a disk.
//!
//! ```text
//!   reactor ──open, append, reopen, close──▶ tmd-disk ──▶ files
//!      ▲                                        │
//!      └────────── waker, completions ──────────┘
//! ```
//!
//! Each append is answered by exactly one [`Completion::Appended`], also when it fails. The
//! thread never gives up bytes that it took: what an append could not write stays with it and is
//! written before anything else of that log, so no line is split, doubled or out of order.

pub mod file;
pub mod format;
mod worker;

use crate::reactor::disk::file::{DiskError, FileAccess, Owner};
use crate::reactor::disk::worker::Worker;
use crate::supervisor::FileSink;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes of lines that may wait for one log of [`Disk::append_line`].
pub const LINES_MAX: usize = 256 * 1024;

/// Names an open log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u32);

/// Bytes for a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Comes back in the completion; the thread does not look at it.
    pub feed: u64,
    /// What the process wrote. May be empty: then what the thread still holds is tried again.
    pub bytes: Vec<u8>,
    /// When it arrived, in nanoseconds of Unix time.
    pub time_ns: u64,
    /// Bytes that were lost before these; a line in the log says so.
    pub lost_before: u64,
    /// These are the stream's last bytes.
    pub end_of_stream: bool,
    /// The one before it has not been answered yet: refused if that one is.
    pub follows: bool,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is in the file.
    Written,
    /// The thread keeps what is not in the file yet. Append again (also nothing) to have it
    /// tried again.
    Held(DiskError),
    /// Nothing of it was taken; append it again later.
    Refused(DiskError),
}

/// What the disk thread reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// A log was opened, or could not be; appending tries again.
    Opened {
        /// The log.
        id: LogId,
        /// How it went.
        result: Result<(), DiskError>,
    },
    /// A batch is done with.
    Appended {
        /// The log.
        id: LogId,
        /// The batch's tag.
        feed: u64,
        /// What became of it.
        outcome: Outcome,
        /// The batch's buffer: empty for reuse, or, if refused, with its bytes.
        bytes: Vec<u8>,
    },
    /// An action is done with.
    Ran {
        /// What it was given.
        tag: u32,
        /// How it failed.
        error: Option<DiskError>,
    },
    /// A log outgrew its size and could not be rotated; it goes on growing until that works.
    RotationFailed {
        /// The log.
        id: LogId,
        /// Why.
        error: DiskError,
    },
}

/// Something else that touches the disk, such as writing a pidfile.
pub type Action = Box<dyn FnOnce() -> Result<(), DiskError> + Send>;

/// The reactor's end of the disk thread.
pub struct Disk {
    sender: Sender<Message>,
    shared: Arc<Shared>,
    logs: BTreeMap<LogId, Opened>,
    next_id: u32,
    outstanding: Cell<usize>,
}

struct Opened {
    /// None for a file descriptor.
    path: Option<String>,
    users: usize,
    lines: Arc<LineQueue>,
}

pub(crate) enum Message {
    Open(LogId, FileSink, Option<Owner>, Arc<LineQueue>),
    OpenFd(LogId, OwnedFd, Arc<LineQueue>),
    Configure(LogId, FileSink),
    Append(LogId, Batch),
    Line(LogId, String),
    Run(u32, Action),
    ReopenAll,
    Close(LogId),
    Stop,
}

/// How many bytes of lines wait, and how many lines were dropped because of that.
#[derive(Debug, Default)]
pub(crate) struct LineQueue {
    pub waiting: AtomicUsize,
    pub dropped: AtomicU64,
}

/// What both ends see.
pub(crate) struct Shared {
    completions: Mutex<Vec<Completion>>,
    stopped: (Mutex<bool>, Condvar),
    waker: Mutex<Box<dyn Fn() + Send>>,
}

/// Appends lines to one log, from any thread.
pub struct LineSender {
    id: LogId,
    lines: Arc<LineQueue>,
    sender: Sender<Message>,
}

impl LineSender {
    /// See [`Disk::append_line`].
    pub fn send(&self, line: String) {
        let LineQueue { waiting, dropped } = &*self.lines;
        if waiting.load(Ordering::Relaxed) + line.len() > LINES_MAX {
            dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.fetch_add(line.len(), Ordering::Relaxed);
        // Without the thread there is nobody to write it.
        let _ = self.sender.send(Message::Line(self.id, line));
    }
}

impl Disk {
    /// Starts the thread. `waker` is called from it whenever completions are there to be taken.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(
        access: Arc<dyn FileAccess>,
        waker: Box<dyn Fn() + Send>,
    ) -> std::io::Result<Disk> {
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::new(Shared {
            completions: Mutex::default(),
            stopped: (Mutex::new(false), Condvar::new()),
            waker: Mutex::new(waker),
        });
        let worker = Worker::new(receiver, access, Arc::clone(&shared));
        let builder = thread::Builder::new().name("tmd-disk".to_string());
        builder.spawn(move || worker.run())?;
        Ok(Disk {
            sender,
            shared,
            logs: BTreeMap::new(),
            next_id: 0,
            outstanding: Cell::new(0),
        })
    }

    /// Opens a log file, or shares the one that is open at this path. Answered by
    /// [`Completion::Opened`].
    pub fn open(&mut self, sink: &FileSink, owner: Option<&Owner>) -> LogId {
        let same = |opened: &Opened| opened.path.as_ref() == Some(&sink.path);
        if let Some((id, opened)) = self.logs.iter_mut().find(|(_, opened)| same(opened)) {
            opened.users += 1;
            return *id;
        }
        let (id, lines) = self.add(Some(sink.path.clone()));
        self.send(Message::Open(id, sink.clone(), owner.cloned(), lines));
        id
    }

    /// Makes a log of an open file descriptor, for [`append_line`](Self::append_line) only. It
    /// is never waited for: what it does not take at once waits, then is dropped.
    pub fn open_fd(&mut self, fd: OwnedFd) -> LogId {
        let (id, lines) = self.add(None);
        self.send(Message::OpenFd(id, fd, lines));
        id
    }

    /// How many users of [`open`](Self::open) share this log.
    pub fn users(&self, id: LogId) -> usize {
        self.logs.get(&id).map_or(0, |opened| opened.users)
    }

    /// Applies changed settings of a log file, other than its path.
    pub fn configure(&self, id: LogId, sink: &FileSink) {
        self.send(Message::Configure(id, sink.clone()));
    }

    /// Appends to a log. Answered by exactly one [`Completion::Appended`].
    pub fn append(&self, id: LogId, batch: Batch) {
        self.send(Message::Append(id, batch));
    }

    /// Appends a line (the newline is added) and forgets about it. When [`LINES_MAX`] bytes wait
    /// already the line is dropped, counted, and the log says so when it can.
    pub fn append_line(&self, id: LogId, line: String) {
        if let Some(sender) = self.line_sender(id) {
            sender.send(line);
        }
    }

    /// A handle to [`append_line`](Self::append_line) from anywhere; none for a log that is not
    /// open.
    pub fn line_sender(&self, id: LogId) -> Option<LineSender> {
        let opened = self.logs.get(&id)?;
        let lines = Arc::clone(&opened.lines);
        Some(LineSender {
            id,
            lines,
            sender: self.sender.clone(),
        })
    }

    /// Has an action carried out, in its turn. Answered by exactly one [`Completion::Ran`].
    pub fn run(&self, tag: u32, action: Action) {
        self.send(Message::Run(tag, action));
    }

    /// Opens every log file anew by its path, each at the end of its present line.
    pub fn reopen_all(&self) {
        self.send(Message::ReopenAll);
    }

    /// Gives a log up; the file is closed when its last user did so.
    pub fn close(&mut self, id: LogId) {
        let Some(opened) = self.logs.get_mut(&id) else {
            return;
        };
        opened.users -= 1;
        if opened.users == 0 {
            self.logs.remove(&id);
            self.send(Message::Close(id));
        }
    }

    /// What the thread reported since the last call, in order.
    pub fn completions(&self) -> Vec<Completion> {
        let completions = std::mem::take(&mut *lock(&self.shared.completions));
        // A failed rotation is told besides the answer to the append.
        let answers = completions.iter();
        let answers = answers.filter(|one| !matches!(one, Completion::RotationFailed { .. }));
        let left = self.outstanding.get().saturating_sub(answers.count());
        self.outstanding.set(left);
        completions
    }

    /// How many requests the thread has not answered, as far as [`completions`](Self::completions)
    /// has told.
    pub fn outstanding(&self) -> usize {
        self.outstanding.get()
    }

    /// Has everything written that was appended, and the thread end. Returns whether that was
    /// done within `limit`; if not, the thread is left behind.
    pub fn flush_and_stop(&self, limit: Duration) -> bool {
        self.send(Message::Stop);
        let (stopped, condition) = &self.shared.stopped;
        let waited = condition.wait_timeout_while(lock(stopped), limit, |stopped| !*stopped);
        let (stopped, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *stopped
    }

    fn add(&mut self, path: Option<String>) -> (LogId, Arc<LineQueue>) {
        let id = LogId(self.next_id);
        self.next_id += 1;
        let lines = Arc::new(LineQueue::default());
        let opened = Opened {
            path,
            users: 1,
            lines: Arc::clone(&lines),
        };
        self.logs.insert(id, opened);
        (id, lines)
    }

    fn send(&self, message: Message) {
        let answered = matches!(
            message,
            Message::Open(..) | Message::Append(..) | Message::Run(..)
        );
        self.outstanding
            .set(self.outstanding.get() + usize::from(answered));
        // It fails only after `flush_and_stop`, when nothing is written any more; an append is
        // still answered.
        if let Err(mpsc::SendError(Message::Append(id, batch))) = self.sender.send(message) {
            let error = std::io::Error::from_raw_os_error(libc::ESHUTDOWN);
            let error = DiskError::new("append", &error);
            self.shared.complete(Completion::Appended {
                id,
                feed: batch.feed,
                outcome: Outcome::Refused(error),
                bytes: batch.bytes,
            });
        }
    }
}

impl Shared {
    pub(crate) fn complete(&self, completion: Completion) {
        let first = {
            let mut completions = lock(&self.completions);
            completions.push(completion);
            completions.len() == 1
        };
        if first {
            lock(&self.waker)();
        }
    }

    pub(crate) fn stopped(&self) {
        *lock(&self.stopped.0) = true;
        self.stopped.1.notify_all();
    }
}

/// A poisoned lock holds nothing half-done here: every critical section is one operation.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
