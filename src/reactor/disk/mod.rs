//! The disk thread: the only place that waits for a disk.
//!
//! ```text
//!   reactor ──open, append, reopen, close──▶ tmd-disk ──▶ files
//!      ▲                                        │
//!      └────────── waker, completions ──────────┘
//! ```
//!
//! Each append is answered by exactly one [`Completion::Appended`], even when it fails. The thread
//! never drops bytes that it took: those that an append could not write are kept and written
//! before anything else of that log. So no line is split, doubled or out of order.

pub(super) mod access;
mod compression;
pub(super) mod file;
pub(super) mod format;
pub(super) mod message;
mod rotation;
mod worker;
mod writer;

use crate::reactor::disk::access::{FileAccess, Owner};
use crate::reactor::disk::file::DiskError;
use crate::reactor::disk::message::{
    AppendResult, Batch, Completion, DiskMessage, LineQueue, LogId, Operation, Shared,
};
use crate::reactor::disk::worker::Worker;
use crate::supervisor::FileSink;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

/// The reactor's end of the disk thread.
pub(crate) struct Disk {
    queue: WorkerQueue,
    logs: BTreeMap<LogId, OpenLog>,
    next_id: u32,
}

/// The messages to one worker and the way back.
struct WorkerQueue {
    sender: Sender<DiskMessage>,
    shared: Arc<Shared>,
    /// Messages that are not answered yet.
    outstanding: Cell<usize>,
}

/// A log that has users.
struct OpenLog {
    /// `None` for a file descriptor.
    path: Option<String>,
    users: usize,
    lines: Arc<LineQueue>,
}

/// Appends lines to one log, from any thread.
pub(crate) struct LineSender {
    id: LogId,
    lines: Arc<LineQueue>,
    sender: Sender<DiskMessage>,
}

impl LineSender {
    /// Appends a line without waiting; a newline is added. The line is dropped and counted when
    /// [`LINES_MAX`](message::LINES_MAX) bytes wait already; the log says so when it can.
    pub(crate) fn send(&self, line: String) {
        if self.lines.reserve(line.len()) {
            // This fails only when the thread has ended.
            let _ = self.sender.send(DiskMessage::Line(self.id, line));
        }
    }
}

impl Disk {
    /// Starts the thread. It calls `waker` when there are completions to take.
    ///
    /// # Errors
    /// When no thread can be created.
    pub(crate) fn start(
        access: Arc<dyn FileAccess>,
        waker: Box<dyn Fn() + Send>,
    ) -> std::io::Result<Disk> {
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::new(Shared::new(waker));
        let worker = Worker::new(receiver, access, Arc::clone(&shared));
        let builder = thread::Builder::new().name("tmd-disk".to_string());
        builder.spawn(move || worker.run())?;
        Ok(Disk {
            queue: WorkerQueue {
                sender,
                shared,
                outstanding: Cell::new(0),
            },
            logs: BTreeMap::new(),
            next_id: 0,
        })
    }

    /// Opens a log file, or shares the one that is open at this path. A new one is answered by
    /// [`Completion::Opened`].
    pub(crate) fn open(&mut self, sink: &FileSink, owner: Option<&Owner>) -> LogId {
        let same = |log: &OpenLog| log.path.as_ref() == Some(&sink.path);
        if let Some((id, log)) = self.logs.iter_mut().find(|(_, log)| same(log)) {
            log.users += 1;
            return *id;
        }
        let (id, lines) = self.add(Some(sink.path.clone()));
        self.queue
            .send(DiskMessage::Open(id, sink.clone(), owner.cloned(), lines));
        id
    }

    /// Opens a file descriptor as a log for lines. The thread never waits for it: lines that it
    /// does not take are kept up to a limit, then dropped.
    pub(crate) fn open_fd(&mut self, fd: OwnedFd) -> LogId {
        let (id, lines) = self.add(None);
        self.queue.send(DiskMessage::OpenFd(id, fd, lines));
        id
    }

    /// Returns how many users of [`open`](Self::open) share this log.
    pub(crate) fn users(&self, id: LogId) -> usize {
        self.logs.get(&id).map_or(0, |log| log.users)
    }

    /// Applies changed settings of a log file, other than its path.
    pub(crate) fn configure(&self, id: LogId, sink: &FileSink) {
        self.queue.send(DiskMessage::Configure(id, sink.clone()));
    }

    /// Appends to a log. Answered by exactly one [`Completion::Appended`].
    pub(crate) fn append(&self, id: LogId, batch: Batch) {
        self.queue.send(DiskMessage::Append(id, batch));
    }

    /// Returns a handle that appends lines to an open log.
    pub(crate) fn line_sender(&self, id: LogId) -> Option<LineSender> {
        let log = self.logs.get(&id)?;
        Some(LineSender {
            id,
            lines: Arc::clone(&log.lines),
            sender: self.queue.sender.clone(),
        })
    }

    /// Runs an operation, in order with the other messages. Answered by exactly one
    /// [`Completion::Ran`].
    pub(crate) fn run(&self, tag: u32, operation: Operation) {
        self.queue.send(DiskMessage::Run(tag, operation));
    }

    /// Reopens every log file by its path, each at the end of its current line.
    pub(crate) fn reopen_all(&self) {
        self.queue.send(DiskMessage::ReopenAll);
    }

    /// Gives up one use of a log. The last one closes the file.
    pub(crate) fn close(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        log.users -= 1;
        if log.users == 0 {
            self.logs.remove(&id);
            self.queue.send(DiskMessage::Close(id));
        }
    }

    /// Takes the thread's reports since the last call, in order.
    pub(crate) fn completions(&self) -> Vec<Completion> {
        self.queue.completions()
    }

    /// Returns how many messages are not answered, counting only the completions that were taken.
    pub(crate) fn outstanding(&self) -> usize {
        self.queue.outstanding.get()
    }

    /// Writes everything that was sent, and ends the thread. Returns whether that was done within
    /// `limit`; if not, the thread is abandoned.
    pub(crate) fn flush_and_stop(&self, limit: Duration) -> bool {
        self.queue.send(DiskMessage::Stop);
        self.queue.shared.wait_stopped(limit)
    }

    fn add(&mut self, path: Option<String>) -> (LogId, Arc<LineQueue>) {
        let id = LogId(self.next_id);
        self.next_id += 1;
        let lines = Arc::new(LineQueue::default());
        let log = OpenLog {
            path,
            users: 1,
            lines: Arc::clone(&lines),
        };
        self.logs.insert(id, log);
        (id, lines)
    }
}

impl WorkerQueue {
    fn send(&self, message: DiskMessage) {
        let answers = usize::from(message.is_answered());
        self.outstanding.set(self.outstanding.get() + answers);
        // It fails only after the thread has ended. An append is still answered.
        if let Err(mpsc::SendError(DiskMessage::Append(_, batch))) = self.sender.send(message) {
            let error = std::io::Error::from_raw_os_error(libc::ESHUTDOWN);
            self.shared.complete(Completion::Appended {
                result: AppendResult::Refused(DiskError::new("append", &error)),
                batch,
            });
        }
    }

    fn completions(&self) -> Vec<Completion> {
        let completions = self.shared.take_completions();
        let answers = completions.iter().filter(|one| one.is_answer()).count();
        let left = self.outstanding.get().saturating_sub(answers);
        self.outstanding.set(left);
        completions
    }
}

#[cfg(test)]
mod tests;
