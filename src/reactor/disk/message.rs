//! The messages between the reactor and the disk thread, and the state that both ends share.

use crate::reactor::disk::access::Owner;
use crate::reactor::disk::file::DiskError;
use crate::supervisor::FileSink;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of lines that may wait for one log.
pub(crate) const LINES_MAX: usize = 256 * 1024;

/// Identifies an open log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogId(pub u32);

/// Bytes for a log. The disk thread returns the batch with its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The tag of the feed it belongs to.
    pub feed: u64,
    /// The output. An empty batch makes the thread retry the bytes that it holds.
    pub bytes: Vec<u8>,
    /// When the output arrived, in nanoseconds of Unix time.
    pub time_ns: u64,
    /// Bytes that were lost before these; a line in the log says so.
    pub lost_before: u64,
    /// These are the last bytes of the stream.
    pub end_of_stream: bool,
    /// A line longer than this may be split between two files; 0 is no change.
    pub line_max: u64,
    /// The previous batch of the feed is not answered yet: if that one is refused, so is this.
    pub follows: bool,
}

/// The disk thread's answer to a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AppendResult {
    /// All of it is in the file. The batch's buffer is empty, for reuse.
    Written,
    /// The thread keeps the bytes that are not in the file yet, and retries them with the next
    /// batch, even an empty one.
    Held(DiskError),
    /// Nothing was taken. The batch has its bytes and can be sent again.
    Refused(DiskError),
}

/// A report of the disk thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Completion {
    /// A log was opened, or could not be; every append tries again.
    Opened {
        /// The log.
        id: LogId,
        /// The error, if any.
        result: Result<(), DiskError>,
    },
    /// The answer to a batch.
    Appended {
        /// The outcome for the bytes.
        result: AppendResult,
        /// The batch.
        batch: Batch,
    },
    /// An operation is done.
    Ran {
        /// The tag it was sent with.
        tag: u32,
        /// The error, if it failed.
        error: Option<DiskError>,
    },
    /// A log reached its maximum size and could not be rotated. It keeps growing until a
    /// rotation works.
    RotationFailed {
        /// The error.
        error: DiskError,
    },
}

impl Completion {
    /// Whether this answers a message of the reactor.
    pub(crate) fn is_answer(&self) -> bool {
        !matches!(self, Completion::RotationFailed { .. })
    }
}

/// Other work for the disk thread, such as writing a pidfile.
pub(crate) type Operation = Box<dyn FnOnce() -> Result<(), DiskError> + Send>;

/// A message to the disk thread.
pub(crate) enum DiskMessage {
    Open(LogId, FileSink, Option<Owner>, Arc<LineQueue>),
    OpenFd(LogId, OwnedFd, Arc<LineQueue>),
    Configure(LogId, FileSink),
    Append(LogId, Batch),
    Line(LogId, String),
    Run(u32, Operation),
    ReopenAll,
    Close(LogId),
    Stop,
}

impl DiskMessage {
    /// Whether a [`Completion`] answers it.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(
            self,
            DiskMessage::Open(..) | DiskMessage::Append(..) | DiskMessage::Run(..)
        )
    }
}

/// The lines that wait for one log, in bytes, and the number of lines dropped since the last
/// notice in the log.
#[derive(Debug, Default)]
pub(crate) struct LineQueue {
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl LineQueue {
    /// Reserves room for a line. Counts the line as dropped when there is none.
    pub(crate) fn reserve(&self, len: usize) -> bool {
        let fits = self.waiting.load(Ordering::Relaxed) + len <= LINES_MAX;
        match fits {
            true => drop(self.waiting.fetch_add(len, Ordering::Relaxed)),
            false => self.count_dropped(),
        }
        fits
    }

    /// Frees the room of a line that the disk thread has received.
    pub(crate) fn release(&self, len: usize) {
        self.waiting.fetch_sub(len, Ordering::Relaxed);
    }

    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

/// The way back from the disk thread.
pub(crate) struct Shared {
    completions: Mutex<Vec<Completion>>,
    stopped: (Mutex<bool>, Condvar),
    waker: Mutex<Box<dyn Fn() + Send>>,
}

impl Shared {
    pub(crate) fn new(waker: Box<dyn Fn() + Send>) -> Shared {
        Shared {
            completions: Mutex::default(),
            stopped: (Mutex::new(false), Condvar::new()),
            waker: Mutex::new(waker),
        }
    }

    /// Reports to the reactor, and wakes it if it has taken all previous reports.
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

    pub(crate) fn take_completions(&self) -> Vec<Completion> {
        std::mem::take(&mut *lock(&self.completions))
    }

    pub(crate) fn set_stopped(&self) {
        *lock(&self.stopped.0) = true;
        self.stopped.1.notify_all();
    }

    /// Waits until the thread has stopped. Returns whether it did within `limit`.
    pub(crate) fn wait_stopped(&self, limit: Duration) -> bool {
        let (stopped, condition) = &self.stopped;
        let waited = condition.wait_timeout_while(lock(stopped), limit, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Locks, also after a panic: every critical section is one operation, so nothing is half done.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_line_queue_counts_what_it_drops() {
        let queue = LineQueue::default();
        assert!(queue.reserve(LINES_MAX));
        assert!(!queue.reserve(1));
        assert_eq!((queue.take_dropped(), queue.take_dropped()), (1, 0));
        queue.release(LINES_MAX);
        assert!(queue.reserve(1));
    }

    #[test]
    fn the_first_of_several_reports_wakes() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&wakes);
        let shared = Shared::new(Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        let ran = |tag| Completion::Ran { tag, error: None };
        shared.complete(ran(1));
        shared.complete(ran(2));
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        assert_eq!(shared.take_completions(), [ran(1), ran(2)]);
        shared.complete(ran(3));
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
    }
}
