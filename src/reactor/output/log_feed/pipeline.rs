//! The batches between a feed and the disk thread.
//!
//! ```text
//!             send                    answer
//!   new batch ────▶ in flight (≤ 2) ─────────▶ written
//!                      ▲    │
//!               after 1 s   ├─▶ refused: to be sent again, oldest first
//!                      └────┤
//!                           └─▶ held: the disk thread writes it before the next batch
//! ```
//!
//! The disk thread refuses a batch that follows a refused one, so the order is kept.

use crate::reactor::disk::file::DiskError;
use crate::reactor::disk::message::Batch;
use crate::supervisor::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// The most batches of one log that the disk thread may have.
const IN_FLIGHT_MAX: usize = 2;

/// The delay from a failed append to the next attempt.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// The batches that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    /// How many batches the disk thread has.
    in_flight: usize,
    /// Refused batches, oldest first.
    retry: VecDeque<Batch>,
    failure: Option<AppendFailure>,
    /// Empty buffers for the next batches.
    spare: Vec<Vec<u8>>,
}

/// Appending has failed and has not worked since.
#[derive(Debug)]
struct AppendFailure {
    error: DiskError,
    /// `None` during an attempt.
    retry_at: Option<Time>,
    /// The disk thread holds bytes that it could not write.
    disk_holds: bool,
}

impl Pipeline {
    /// Whether everything that was sent is written.
    pub(super) fn is_empty(&self) -> bool {
        self.in_flight == 0 && self.retry.is_empty() && !self.disk_holds()
    }

    /// Whether the disk thread has a batch to answer.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight > 0
    }

    /// Whether another batch may follow those in flight.
    pub(super) fn has_room(&self) -> bool {
        self.failure.is_none() && self.retry.is_empty() && self.in_flight < IN_FLIGHT_MAX
    }

    /// Whether there is something to send without new output: a refused batch, or the request to
    /// write held bytes.
    pub(super) fn has_backlog(&self) -> bool {
        self.disk_holds() || !self.retry.is_empty()
    }

    /// Whether the disk thread holds bytes; even an empty batch makes it write them.
    pub(super) fn disk_holds(&self) -> bool {
        self.failure
            .as_ref()
            .is_some_and(|failure| failure.disk_holds)
    }

    /// Why appending fails.
    pub(super) fn failure(&self) -> Option<&DiskError> {
        Some(&self.failure.as_ref()?.error)
    }

    /// When the next attempt is due after a failure.
    pub(super) fn retry_at(&self) -> Option<Time> {
        self.failure.as_ref()?.retry_at
    }

    /// Starts the next attempt after a failure. Returns whether there is one to start.
    pub(super) fn start_retry(&mut self) -> bool {
        let failure = self.failure.as_mut();
        failure.is_some_and(|failure| failure.retry_at.take().is_some())
    }

    /// The oldest refused batch.
    pub(super) fn take_refused(&mut self) -> Option<Batch> {
        self.retry.pop_front()
    }

    /// Counts a batch as in flight, and marks it if another one is ahead of it.
    pub(super) fn send(&mut self, mut batch: Batch) -> Batch {
        batch.follows = self.is_busy();
        self.in_flight += 1;
        batch
    }

    /// Counts a batch as answered. Returns `false` if none is in flight.
    pub(super) fn answered(&mut self) -> bool {
        let busy = self.is_busy();
        self.in_flight = self.in_flight.saturating_sub(1);
        busy
    }

    /// A batch was written. Returns whether that ended a failure.
    pub(super) fn succeeded(&mut self) -> bool {
        self.failure.take().is_some()
    }

    /// An append failed, and the disk thread holds the bytes. Returns whether that is new.
    pub(super) fn held(&mut self, error: &DiskError, now: Time) -> bool {
        self.failed(error, true, now)
    }

    /// An append failed, and the batch came back. Returns whether that is new.
    pub(super) fn refused(&mut self, batch: Batch, error: &DiskError, now: Time) -> bool {
        self.retry.push_back(batch);
        self.failed(error, false, now)
    }

    fn failed(&mut self, error: &DiskError, disk_holds: bool, now: Time) -> bool {
        let retry_at = Some(now + RETRY);
        match &mut self.failure {
            Some(failure) => {
                failure.retry_at = retry_at;
                failure.disk_holds |= disk_holds;
                false
            }
            None => {
                self.failure = Some(AppendFailure {
                    error: error.clone(),
                    retry_at,
                    disk_holds,
                });
                true
            }
        }
    }

    /// An empty buffer for a batch.
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// Keeps a buffer, but no more than are needed at once: one in quieter times.
    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spare.len() <= self.in_flight {
            self.spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(n: u64) -> Batch {
        Batch {
            time_ns: n,
            ..Batch::default()
        }
    }

    fn full() -> DiskError {
        DiskError {
            text: "full".to_string(),
            errno: libc::ENOSPC,
        }
    }

    fn at(ms: u64) -> Time {
        Time(Duration::from_millis(ms))
    }

    #[test]
    fn two_batches_fit_and_the_second_follows() {
        let mut pipeline = Pipeline::default();
        assert!(pipeline.is_empty() && pipeline.has_room());
        assert!(!pipeline.send(batch(1)).follows);
        assert!(pipeline.has_room());
        assert!(pipeline.send(batch(2)).follows);
        assert!(!pipeline.has_room());
        assert!(pipeline.answered() && pipeline.answered());
        assert!(!pipeline.answered(), "nothing is in flight");
        assert!(pipeline.is_empty());
    }

    #[test]
    fn refused_batches_come_back_in_order_after_a_delay() {
        let mut pipeline = Pipeline::default();
        for n in [1, 2] {
            pipeline.send(batch(n));
        }
        pipeline.answered();
        assert!(pipeline.refused(batch(1), &full(), at(0)));
        pipeline.answered();
        assert!(!pipeline.refused(batch(2), &full(), at(5)), "not new");
        assert_eq!(pipeline.failure(), Some(&full()));
        assert_eq!(pipeline.retry_at(), Some(at(5) + RETRY));
        assert!(pipeline.has_backlog() && !pipeline.has_room() && !pipeline.is_empty());
        assert!(pipeline.start_retry());
        assert!(!pipeline.start_retry(), "one attempt at a time");
        assert_eq!(pipeline.take_refused(), Some(batch(1)));
        assert!(pipeline.succeeded());
        assert!(!pipeline.has_room(), "the second one comes first");
        assert_eq!(pipeline.take_refused(), Some(batch(2)));
        assert!(pipeline.is_empty() && pipeline.has_room());
    }

    #[test]
    fn held_bytes_count_until_a_batch_is_written() {
        let mut pipeline = Pipeline::default();
        pipeline.send(batch(1));
        pipeline.answered();
        assert!(pipeline.held(&full(), at(0)));
        assert!(pipeline.disk_holds() && !pipeline.is_empty());
        pipeline.start_retry();
        pipeline.send(batch(2));
        pipeline.answered();
        assert!(!pipeline.refused(batch(2), &full(), at(9)));
        assert!(
            pipeline.disk_holds(),
            "a refusal changes nothing about that"
        );
        assert_eq!(pipeline.take_refused(), Some(batch(2)));
        assert!(pipeline.succeeded() && pipeline.is_empty());
    }

    #[test]
    fn buffers_are_kept_for_the_batches_in_flight() {
        let mut pipeline = Pipeline::default();
        pipeline.recycle(vec![1; 9]);
        pipeline.recycle(vec![2; 9]);
        assert!(pipeline.take_buffer().capacity() >= 9);
        assert_eq!(pipeline.take_buffer().capacity(), 0, "one is enough");
    }
}
