//! The way of a log's messages to the worker of its disk. Messages wait until the disk is known.

use crate::reactor::disk::message::DiskMessage;
use crate::reactor::disk::workers::WorkerQueue;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The route of one log, or of one operation. Any thread may send lines on it.
#[derive(Default)]
pub(super) struct Route(Mutex<RouteState>);

enum RouteState {
    /// The disk is not known yet.
    Waiting(Vec<DiskMessage>),
    /// The worker of the disk, by index.
    Open(usize, Sender<DiskMessage>),
}

impl Default for RouteState {
    fn default() -> RouteState {
        RouteState::Waiting(Vec::new())
    }
}

impl Route {
    /// The worker, once it is known.
    pub(super) fn worker(&self) -> Option<usize> {
        match *self.state() {
            RouteState::Waiting(_) => None,
            RouteState::Open(worker, _) => Some(worker),
        }
    }

    /// Sends a line, which is not answered.
    pub(super) fn send_line(&self, line: DiskMessage) {
        match &mut *self.state() {
            RouteState::Waiting(messages) => messages.push(line),
            // This fails only when the thread has ended.
            RouteState::Open(_, sender) => drop(sender.send(line)),
        }
    }

    /// Keeps a message while the worker is not known. Else returns both.
    pub(super) fn hold(&self, message: DiskMessage) -> Option<(usize, DiskMessage)> {
        match &mut *self.state() {
            RouteState::Waiting(messages) => {
                messages.push(message);
                None
            }
            RouteState::Open(worker, _) => Some((*worker, message)),
        }
    }

    /// Connects the route, and sends the messages that have waited.
    pub(super) fn connect(&self, worker: usize, queue: &WorkerQueue) {
        let mut state = self.state();
        if let RouteState::Waiting(messages) = &mut *state {
            for message in messages.drain(..) {
                queue.send(message);
            }
            *state = RouteState::Open(worker, queue.sender());
        }
    }

    /// Also after a panic: every critical section leaves the state valid.
    fn state(&self) -> MutexGuard<'_, RouteState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
