//! From one stream of a process's output into one log: what to append when, and what to do when
//! the disk does not keep up. Decides only; reads no clock and touches no file.
//!
//! ```text
//!   ring   ──────────────┬───────────────┬───────────▶
//!                        cursor          head
//!   sent to the disk     │  to be sent   │
//! ```
//!
//! One batch is in flight at a time. During a flood, while the disk works, a second one follows
//! it, so that the disk thread never waits for the reactor. When more output would overwrite bytes
//! that are not sent, the process is not read until the disk makes progress or the `stall` time is
//! over. After that the process is read again. Overwritten bytes are counted exactly, and the log
//! says where they are missing.

mod backpressure;
mod line_cutter;
mod pipeline;
mod stream_cursor;

pub(crate) use backpressure::Gate;

use crate::reactor::disk::file::DiskError;
use crate::reactor::disk::message::{AppendResult, Batch};
use crate::reactor::output::{Output, Stream};
use crate::supervisor::{Stall, Time};
use backpressure::Backpressure;
use line_cutter::LineCutter;
use pipeline::Pipeline;
use std::collections::VecDeque;
use std::time::Duration;
use stream_cursor::StreamCursor;

/// The most that one batch carries.
pub(crate) const BATCH_BYTES: usize = 128 * 1024;

/// A batch of at least this size delays a smaller one behind it.
const COALESCE_FROM: usize = 16 * 1024;

/// For this long: waking the disk thread for every read of a flood costs more than the writing.
const COALESCE: Duration = Duration::from_millis(1);

/// A change in the state of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FeedEvent {
    /// The disk made no progress during the `stall` time: output is lost from now on.
    Stalled,
    /// The log works again and says how many bytes are missing.
    Recovered {
        /// The number of missing bytes; may be 0.
        lost: u64,
    },
    /// Appending fails. It is retried until it works.
    Failing(DiskError),
    /// Appending works again.
    Working,
}

/// One stream on its way into one log.
#[derive(Debug)]
pub(crate) struct LogFeed {
    tag: u64,
    cursor: StreamCursor,
    /// Bytes lost since the last batch.
    lost: u64,
    lines: LineCutter,
    pipeline: Pipeline,
    backpressure: Backpressure,
    coalescer: Coalescer,
    end: StreamEnd,
    events: VecDeque<FeedEvent>,
}

/// The end of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamEnd {
    /// More output may come.
    Open,
    /// No more output comes; the rest is to be sent.
    Finishing,
    /// The last batch was sent.
    Sent,
}

/// Delays small batches during a flood.
#[derive(Debug, Default)]
struct Coalescer {
    last_sent: Time,
    last_len: usize,
    /// Until when the next batch waits.
    until: Option<Time>,
}

impl LogFeed {
    /// Feeds a log with a stream of `output` (or with both) from its head on. Its batches carry
    /// `tag`.
    pub(crate) fn new(tag: u64, output: &Output, stream: Option<Stream>, stall: Stall) -> LogFeed {
        LogFeed {
            tag,
            cursor: StreamCursor::at_head(output, stream),
            lost: 0,
            lines: LineCutter::default(),
            pipeline: Pipeline::default(),
            backpressure: Backpressure::new(stall),
            coalescer: Coalescer::default(),
            end: StreamEnd::Open,
            events: VecDeque::new(),
        }
    }

    /// Continues from the head of the output. Output before it is left out of the log.
    pub(crate) fn skip_to_head(&mut self, output: &Output) {
        self.cursor.skip_to_head(output);
        self.lines.reset();
    }

    /// The tag of its batches.
    pub(crate) fn tag(&self) -> u64 {
        self.tag
    }

    /// Applies a changed `stall` time.
    pub(crate) fn configure(&mut self, stall: Stall) {
        self.backpressure.configure(stall);
    }

    /// Sets whether other feeds write to the log. If so, only whole lines are appended.
    pub(crate) fn set_shared(&mut self, shared: bool) {
        self.lines.set_shared(shared);
    }

    /// The stream ended: the rest is sent, even a line without its newline.
    pub(crate) fn finish(&mut self) {
        self.end = StreamEnd::Finishing;
    }

    /// The process has ended: its last output is sent without delay.
    pub(crate) fn flush_now(&mut self) {
        self.coalescer.last_len = 0;
    }

    /// The next run of the process writes to the same stream.
    pub(crate) fn resume(&mut self) {
        self.end = StreamEnd::Open;
    }

    /// Whether all of the output is in the log.
    pub(crate) fn is_drained(&self, output: &Output) -> bool {
        self.pipeline.is_empty() && self.cursor.next(output) == output.head() && self.lost == 0
    }

    /// Whether everything before `offset` of the ring is in the log, or cannot be written because
    /// appending fails.
    pub(crate) fn has_reached(&self, output: &Output, offset: u64) -> bool {
        self.trouble().is_some() || (self.pipeline.is_empty() && self.cursor.next(output) >= offset)
    }

    /// The present trouble of the log, if any.
    pub(crate) fn trouble(&self) -> Option<&str> {
        let stalled = self.backpressure.is_stalled();
        let failure = self.failure().map(|error| error.text.as_str());
        failure.or(stalled.then_some("the disk is stalled"))
    }

    /// Why the log cannot be written, if that fails at present.
    pub(crate) fn failure(&self) -> Option<&DiskError> {
        self.pipeline.failure()
    }

    /// When to call [`next_batch`](Self::next_batch) or [`gate`](Self::gate) again at the latest.
    /// Always later than now: a pause that is over ends when the gate is asked.
    pub(crate) fn deadline(&self, now: Time) -> Option<Time> {
        [
            self.pipeline.retry_at(),
            self.backpressure.paused_until(),
            self.coalescer.until,
        ]
        .into_iter()
        .flatten()
        .filter(|at| *at > now)
        .min()
    }

    /// The oldest event that was not taken yet.
    pub(crate) fn poll_event(&mut self) -> Option<FeedEvent> {
        self.events.pop_front()
    }

    /// Returns the next batch, if one is due. To be called after new output, after an answer,
    /// after [`finish`](Self::finish) and at the [`deadline`](Self::deadline). `unix_ns` stamps
    /// lines of the daemon's own.
    pub(crate) fn next_batch(&mut self, output: &Output, now: Time, unix_ns: u64) -> Option<Batch> {
        if !self.may_send(output, now) || self.coalesces(output, now) {
            return None;
        }
        let is_retry = self.pipeline.start_retry();
        self.count_lost(output);
        self.recover();
        let batch = match self.pipeline.take_refused() {
            Some(batch) => batch,
            None => self.collect(output, unix_ns)?,
        };
        let batch = self.pipeline.send(batch);
        if !is_retry && !batch.follows {
            self.backpressure.progress(now);
        }
        self.coalescer.sent(batch.bytes.len(), now);
        Some(batch)
    }

    /// Takes the answer to the oldest batch in flight, and the batch.
    pub(crate) fn completed(&mut self, result: AppendResult, batch: Batch, now: Time) {
        if !self.pipeline.answered() {
            return;
        }
        let failing = match result {
            AppendResult::Written => {
                self.backpressure.progress(now);
                self.backpressure.end_pause();
                self.backpressure.count_reported(batch.lost_before);
                if self.pipeline.succeeded() {
                    self.events.push_back(FeedEvent::Working);
                }
                self.pipeline.recycle(batch.bytes);
                None
            }
            AppendResult::Held(error) => {
                self.backpressure.count_reported(batch.lost_before);
                self.pipeline.held(&error, now).then_some(error)
            }
            AppendResult::Refused(error) => {
                self.pipeline.refused(batch, &error, now).then_some(error)
            }
        };
        self.events.extend(failing.map(FeedEvent::Failing));
    }

    /// Whether more output may be read.
    pub(crate) fn gate(&mut self, output: &Output, now: Time) -> Gate {
        let end = self.cursor.next(output) + output.capacity() as u64;
        let room = end.saturating_sub(output.head());
        let gate = self.backpressure.gate(room, now);
        if room == 0 && matches!(gate, Gate::Read(_)) {
            self.start_stall();
        }
        gate
    }

    fn may_send(&self, output: &Output, now: Time) -> bool {
        match self.pipeline.is_busy() {
            true => self.may_pipeline(output),
            false => self.pipeline.retry_at().is_none_or(|at| at <= now),
        }
    }

    /// Whether a batch may follow one that is in flight: a full one, while all is well.
    fn may_pipeline(&self, output: &Output) -> bool {
        let loses = self.backpressure.is_stalled() || self.lost > 0;
        let whole = !loses && !self.cursor.is_overrun(output);
        let well = whole && self.end == StreamEnd::Open && self.pipeline.has_room();
        well && self.has_full_batch(output)
    }

    /// Whether the next batch waits for more output. Losses, retries and the end of the stream
    /// never wait.
    fn coalesces(&mut self, output: &Output, now: Time) -> bool {
        let urgent = self.end != StreamEnd::Open || self.lost > 0 || self.pipeline.has_backlog();
        let ready = urgent || self.has_full_batch(output);
        self.coalescer.waits(ready, now)
    }

    fn has_full_batch(&self, output: &Output) -> bool {
        let full = BATCH_BYTES.min(output.capacity() / 2) as u64;
        self.cursor.behind(output) >= full
    }

    /// Makes a batch of new output.
    fn collect(&mut self, output: &Output, unix_ns: u64) -> Option<Batch> {
        let mut bytes = self.pipeline.take_buffer();
        let span = self.cursor.read(output, BATCH_BYTES, &mut bytes);
        let crowded = self.cursor.behind(output) >= output.capacity() as u64 / 2;
        let full = bytes.len() == BATCH_BYTES || crowded;
        let last = self.end != StreamEnd::Open && span.reaches_head;
        bytes.truncate(self.lines.cut(&bytes, full, last));
        self.cursor.advance(output, bytes.len());
        self.lines.sent(&bytes);
        let ends = self.end == StreamEnd::Finishing && self.cursor.is_at_head(output);
        if ends {
            self.lines.end_line(&mut bytes);
            self.end = StreamEnd::Sent;
        }
        if bytes.is_empty() && self.lost == 0 && !self.pipeline.disk_holds() && !ends {
            self.pipeline.recycle(bytes);
            return None;
        }
        Some(Batch {
            feed: self.tag,
            bytes,
            time_ns: span.time_ns.unwrap_or(unix_ns),
            lost_before: std::mem::take(&mut self.lost),
            end_of_stream: ends,
            line_max: output.capacity() as u64,
            follows: false,
        })
    }

    /// Skips and counts lost output.
    fn count_lost(&mut self, output: &Output) {
        self.lost += self.cursor.skip_lost(output);
        if self.lost > 0 {
            self.start_stall();
        }
    }

    fn start_stall(&mut self) {
        if self.backpressure.start_stall() {
            self.events.push_back(FeedEvent::Stalled);
        }
    }

    /// A stall is over when all losses are reported in the log.
    fn recover(&mut self) {
        if self.lost == 0
            && self.pipeline.is_empty()
            && let Some(lost) = self.backpressure.recover()
        {
            self.events.push_back(FeedEvent::Recovered { lost });
        }
    }
}

impl Coalescer {
    /// Whether a batch waits for more output, unless it is `ready`.
    fn waits(&mut self, ready: bool, now: Time) -> bool {
        let until = self.last_sent + COALESCE;
        let waits = self.last_len >= COALESCE_FROM && !ready && now < until;
        self.until = waits.then_some(until);
        waits
    }

    fn sent(&mut self, len: usize, now: Time) {
        self.last_sent = now;
        self.last_len = len;
    }
}

#[cfg(test)]
mod tests;
