//! The disk threads: the only place that waits for a disk. There is one for each device, so that a
//! stalled disk delays the logs on it and no others.
//!
//! ```text
//!   reactor ──open, append, reopen, close──▶ tmd-disk ──▶ files of one device
//!      ▲                                        │
//!      └────────── waker, completions ──────────┘
//! ```
//!
//! Each append is answered by exactly one [`Completion::Appended`], even when it fails. A thread
//! never drops bytes that it took: those that an append could not write are kept and written
//! before anything else of that log. So no line is split, doubled or out of order.

pub(super) mod access;
mod compression;
pub(super) mod file;
pub(super) mod format;
pub(super) mod message;
mod places;
mod rotation;
mod route;
mod worker;
mod workers;
mod writer;

use crate::reactor::disk::access::{FileAccess, Owner};
use crate::reactor::disk::message::{Batch, Completion, DiskMessage, LineQueue, LogId, Operation};
use crate::reactor::disk::places::{Place, Places};
use crate::reactor::disk::route::Route;
use crate::reactor::disk::workers::{DiskWaker, MAIN, STUCK_AFTER, Workers};
use crate::supervisor::{FileSink, Time};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The reactor's end of the disk threads.
pub(crate) struct Disk {
    workers: Workers,
    places: Places,
    logs: BTreeMap<LogId, OpenLog>,
    /// The last operation of each tag that is not done.
    operations: BTreeMap<u32, (Arc<Route>, Time)>,
    next_id: u32,
    /// The time of the last [`note_progress`](Self::note_progress).
    now: Time,
}

/// A log that has users.
struct OpenLog {
    /// `None` for a file descriptor.
    path: Option<String>,
    users: usize,
    lines: Arc<LineQueue>,
    route: Arc<Route>,
    opened_at: Time,
}

/// Appends lines to one log, from any thread.
pub(crate) struct LineSender {
    id: LogId,
    lines: Arc<LineQueue>,
    route: Arc<Route>,
}

impl LineSender {
    /// Appends a line without waiting; a newline is added. The line is dropped and counted when
    /// [`LINES_MAX`](message::LINES_MAX) bytes wait already; the log says so when it can.
    pub(crate) fn send(&self, line: String) {
        if self.lines.reserve(line.len()) {
            self.route.send_line(DiskMessage::Line(self.id, line));
        }
    }
}

impl Disk {
    /// Starts the first thread. The threads call `waker` when there are completions to take.
    ///
    /// # Errors
    /// When no thread can be created.
    pub(crate) fn start(
        access: Arc<dyn FileAccess>,
        waker: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Disk> {
        let waker: DiskWaker = Arc::new(waker);
        Ok(Disk {
            workers: Workers::start(Arc::clone(&access), Arc::clone(&waker))?,
            places: Places::new(access, waker),
            logs: BTreeMap::new(),
            operations: BTreeMap::new(),
            next_id: 0,
            now: Time::default(),
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
        let (id, lines, route) = self.add(Some(sink.path.clone()));
        self.place(Path::new(&sink.path), owner, &route);
        let message = DiskMessage::Open(id, sink.clone(), owner.cloned(), lines);
        self.send_on(&route, message);
        id
    }

    /// Opens a file descriptor as a log for lines. The thread never waits for it: lines that it
    /// does not take are kept up to a limit, then dropped.
    pub(crate) fn open_fd(&mut self, fd: OwnedFd) -> LogId {
        let (id, lines, route) = self.add(None);
        route.connect(MAIN, self.workers.queue(MAIN));
        self.send_on(&route, DiskMessage::OpenFd(id, fd, lines));
        id
    }

    /// Returns how many users of [`open`](Self::open) share this log.
    pub(crate) fn users(&self, id: LogId) -> usize {
        self.logs.get(&id).map_or(0, |log| log.users)
    }

    /// Applies changed settings of a log file, other than its path.
    pub(crate) fn configure(&self, id: LogId, sink: &FileSink) {
        self.send(id, DiskMessage::Configure(id, sink.clone()));
    }

    /// Appends to a log. Answered by exactly one [`Completion::Appended`].
    pub(crate) fn append(&self, id: LogId, batch: Batch) {
        self.send(id, DiskMessage::Append(id, batch));
    }

    /// Returns a handle that appends lines to an open log.
    pub(crate) fn line_sender(&self, id: LogId) -> Option<LineSender> {
        let log = self.logs.get(&id)?;
        Some(LineSender {
            id,
            lines: Arc::clone(&log.lines),
            route: Arc::clone(&log.route),
        })
    }

    /// Runs an operation on a file, in order with the others on files of its directory. Answered
    /// by exactly one [`Completion::Ran`].
    pub(crate) fn run(&mut self, tag: u32, path: &Path, owner: Option<&Owner>, run: Operation) {
        let route = Arc::new(Route::default());
        self.place(path, owner, &route);
        self.send_on(&route, DiskMessage::Run(tag, run));
        self.operations.insert(tag, (route, self.now));
    }

    /// Reopens every log file by its path, each at the end of its current line.
    pub(crate) fn reopen_all(&self) {
        for queue in self.workers.queues() {
            queue.send(DiskMessage::ReopenAll);
        }
    }

    /// Gives up one use of a log. The last one closes the file.
    pub(crate) fn close(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        log.users -= 1;
        if log.users > 0 {
            return;
        }
        if let Some(log) = self.logs.remove(&id) {
            self.send_on(&log.route, DiskMessage::Close(id));
        }
    }

    /// Takes the reports of the threads since the last call, those of each thread in order.
    pub(crate) fn completions(&mut self) -> Vec<Completion> {
        self.connect_found();
        let mut all = Vec::new();
        for queue in self.workers.queues() {
            all.extend(queue.completions());
        }
        for completion in &all {
            if let Completion::Ran { tag, .. } = completion {
                self.operations.remove(tag);
            }
        }
        all
    }

    /// Notes the time of the answers that were taken, and the time while a thread is idle.
    pub(crate) fn note_progress(&mut self, now: Time) {
        self.now = now;
        for queue in self.workers.queues() {
            queue.note_progress(now);
        }
    }

    /// Whether the disk of a log has work and has not answered for a second.
    pub(crate) fn is_stuck(&self, id: LogId, now: Time) -> bool {
        let log = self.logs.get(&id);
        log.is_some_and(|log| self.is_route_stuck(&log.route, log.opened_at, now))
    }

    /// Whether the disk of an operation has not answered for a second.
    pub(crate) fn is_operation_stuck(&self, tag: u32, now: Time) -> bool {
        let operation = self.operations.get(&tag);
        operation.is_some_and(|(route, sent_at)| self.is_route_stuck(route, *sent_at, now))
    }

    /// Writes everything that was sent, and ends the threads. Returns whether that was done within
    /// `limit`; if not, the threads that hang are abandoned.
    pub(crate) fn flush_and_stop(&mut self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let left = || until.saturating_duration_since(Instant::now());
        let mut lost = false;
        while !lost && self.places.wait(left()) {
            self.connect_found();
            lost = left().is_zero();
        }
        self.workers.stop(left()) && !lost
    }

    fn is_route_stuck(&self, route: &Route, since: Time, now: Time) -> bool {
        match route.worker() {
            Some(worker) => self.workers.queue(worker).is_stuck(now),
            None => now >= since + STUCK_AFTER,
        }
    }

    /// Connects a route to the worker for a file, at once if the device of its directory is known.
    fn place(&mut self, path: &Path, owner: Option<&Owner>, route: &Arc<Route>) {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let known = self.places.worker(directory);
        // Another file system may be mounted there since.
        let known = known.filter(|worker| !self.workers.queue(*worker).is_stuck(self.now));
        if known.is_none() && self.places.search(directory, owner, route) {
            return;
        }
        let worker = known.unwrap_or(MAIN);
        route.connect(worker, self.workers.queue(worker));
    }

    /// Connects the routes whose search is done.
    fn connect_found(&mut self) {
        for place in self.places.take_found() {
            let Place {
                directory,
                device,
                routes,
            } = place;
            let worker = match device {
                Some(device) => self.workers.of_device(device, self.now),
                None => MAIN,
            };
            for route in routes {
                route.connect(worker, self.workers.queue(worker));
            }
            self.places.remember(directory, worker);
        }
    }

    fn send(&self, id: LogId, message: DiskMessage) {
        match self.logs.get(&id) {
            Some(log) => self.send_on(&log.route, message),
            // It answers that the log is closed.
            None => self.workers.queue(MAIN).send(message),
        }
    }

    fn send_on(&self, route: &Route, message: DiskMessage) {
        if let Some((worker, message)) = route.hold(message) {
            self.workers.queue(worker).send(message);
        }
    }

    fn add(&mut self, path: Option<String>) -> (LogId, Arc<LineQueue>, Arc<Route>) {
        let id = LogId(self.next_id);
        self.next_id += 1;
        let lines = Arc::new(LineQueue::default());
        let route = Arc::new(Route::default());
        let log = OpenLog {
            path,
            users: 1,
            lines: Arc::clone(&lines),
            route: Arc::clone(&route),
            opened_at: self.now,
        };
        self.logs.insert(id, log);
        (id, lines, route)
    }
}

#[cfg(test)]
mod tests;
