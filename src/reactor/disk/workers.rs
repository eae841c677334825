//! The disk threads: one for each device, so that a stalled disk delays no other.

use crate::reactor::disk::access::FileAccess;
use crate::reactor::disk::file::DiskError;
use crate::reactor::disk::message::{AppendResult, Completion, DiskMessage, Shared};
use crate::reactor::disk::worker::Worker;
use crate::supervisor::Time;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// The worker of descriptors, and of files whose device is not known.
pub(super) const MAIN: usize = 0;

/// The most disk threads. Further devices share the last one.
const WORKERS_MAX: usize = 32;

/// A thread is stuck after this time without an answer.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Wakes the reactor, from any thread.
pub(super) type DiskWaker = Arc<dyn Fn() + Send + Sync>;

/// All disk threads.
pub(super) struct Workers {
    queues: Vec<WorkerQueue>,
    devices: BTreeMap<u64, usize>,
    access: Arc<dyn FileAccess>,
    waker: DiskWaker,
}

/// The messages to one worker and the way back.
pub(super) struct WorkerQueue {
    sender: Sender<DiskMessage>,
    shared: Arc<Shared>,
    /// Messages that are not answered yet.
    outstanding: Cell<usize>,
    /// It has answered since the last look at the clock.
    answered: Cell<bool>,
    /// When it last answered, or had nothing to do.
    progress_at: Cell<Time>,
}

impl Workers {
    /// Starts the main worker.
    pub(super) fn start(access: Arc<dyn FileAccess>, waker: DiskWaker) -> io::Result<Workers> {
        let mut workers = Workers {
            queues: Vec::new(),
            devices: BTreeMap::new(),
            access,
            waker,
        };
        workers.add(Time::default())?;
        Ok(workers)
    }

    pub(super) fn queue(&self, worker: usize) -> &WorkerQueue {
        self.queues.get(worker).unwrap_or(&self.queues[MAIN])
    }

    pub(super) fn queues(&self) -> &[WorkerQueue] {
        &self.queues
    }

    /// Returns the worker of a device. Starts it if there is none.
    pub(super) fn of_device(&mut self, device: u64, now: Time) -> usize {
        if let Some(worker) = self.devices.get(&device) {
            return *worker;
        }
        let last = self.queues.len() - 1;
        let worker = match self.queues.len() < WORKERS_MAX {
            // Without a new thread it shares one.
            true => self.add(now).unwrap_or(last),
            false => last,
        };
        self.devices.insert(device, worker);
        worker
    }

    fn add(&mut self, now: Time) -> io::Result<usize> {
        let (sender, receiver) = mpsc::channel();
        let waker = Arc::clone(&self.waker);
        let shared = Arc::new(Shared::new(Box::new(move || waker())));
        let worker = Worker::new(receiver, Arc::clone(&self.access), Arc::clone(&shared));
        let builder = thread::Builder::new().name("tmd-disk".to_string());
        builder.spawn(move || worker.run())?;
        self.queues.push(WorkerQueue {
            sender,
            shared,
            outstanding: Cell::new(0),
            answered: Cell::new(false),
            progress_at: Cell::new(now),
        });
        Ok(self.queues.len() - 1)
    }

    /// Has every worker finish its work and end. Returns whether all did within `limit`.
    pub(super) fn stop(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        for queue in &self.queues {
            queue.send(DiskMessage::Stop);
        }
        let mut stopped = true;
        for queue in &self.queues {
            let left = until.saturating_duration_since(Instant::now());
            stopped &= queue.shared.wait_stopped(left);
        }
        stopped
    }
}

impl WorkerQueue {
    pub(super) fn sender(&self) -> Sender<DiskMessage> {
        self.sender.clone()
    }

    pub(super) fn send(&self, message: DiskMessage) {
        let answers = usize::from(message.is_answered());
        self.outstanding.set(self.outstanding.get() + answers);
        // It fails only after the thread has ended. An append is still answered.
        if let Err(mpsc::SendError(DiskMessage::Append(_, batch))) = self.sender.send(message) {
            let error = io::Error::from_raw_os_error(libc::ESHUTDOWN);
            self.shared.complete(Completion::Appended {
                result: AppendResult::Refused(DiskError::new("append", &error)),
                batch,
            });
        }
    }

    /// Takes the reports since the last call, in order.
    pub(super) fn completions(&self) -> Vec<Completion> {
        let completions = self.shared.take_completions();
        let answers = completions.iter().filter(|one| one.is_answer()).count();
        let left = self.outstanding.get().saturating_sub(answers);
        self.outstanding.set(left);
        if !completions.is_empty() {
            self.answered.set(true);
        }
        completions
    }

    /// Notes the time of the last answer, and the time while it has nothing to do.
    pub(super) fn note_progress(&self, now: Time) {
        if self.answered.take() || self.outstanding.get() == 0 {
            self.progress_at.set(now);
        }
    }

    /// Whether it has work and has not answered for some time.
    pub(super) fn is_stuck(&self, now: Time) -> bool {
        self.outstanding.get() > 0 && now >= self.progress_at.get() + STUCK_AFTER
    }
}
