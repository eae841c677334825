//! From one stream of a process's output into one log: what to append when, and what happens when
//! the disk does not keep up. Decides only; reads no clock and touches no file.
//!
//! ```text
//!   ring   ──────────────┬───────────────┬───────────▶
//!                        cursor          head
//!   the disk has or holds│  to be sent   │
//! ```
//!
//! One batch is under way at a time; amid a flood on a disk that works a second one waits behind
//! it, so that the disk thread never waits for the reactor. When reading on would overwrite what
//! has not been sent, the process is not read any more, until the disk makes progress or `stall`
//! is over. Then reading goes on, what gets overwritten is counted to the byte, and the log says
//! so where it is missing.

use crate::reactor::disk::file::DiskError;
use crate::reactor::disk::{Batch, Outcome};
use crate::reactor::output::{Output, Stream};
use crate::supervisor::{Stall, Time};
use memchr::memrchr;
use std::collections::VecDeque;
use std::time::Duration;

/// The most that one batch carries.
pub const BATCH_BYTES: usize = 128 * 1024;

/// How many batches of one log the disk thread may have.
const UNDER_WAY_MAX: usize = 2;

/// After a batch of so many bytes the next one waits for a while, to be as large.
const LINGER_FROM: usize = 16 * 1024;

/// How long: waking the disk thread for every read of a flood costs more than the writing.
const LINGER: Duration = Duration::from_millis(1);

/// Output that arrived further apart than this is not put into one batch, in nanoseconds.
const BATCH_SPAN_NS: u64 = 100_000_000;

/// From a failed append to the next attempt.
pub const RETRY: Duration = Duration::from_secs(1);

/// Whether a process may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Up to so many bytes; at least one.
    Read(usize),
    /// Not now: ask again when a batch has completed, and at this time if there is one.
    Pause(Option<Time>),
}

impl Gate {
    /// What holds when two logs have to agree.
    pub fn and(self, other: Gate) -> Gate {
        match (self, other) {
            (Gate::Read(a), Gate::Read(b)) => Gate::Read(a.min(b)),
            (Gate::Read(_), pause) | (pause, Gate::Read(_)) => pause,
            (Gate::Pause(Some(a)), Gate::Pause(Some(b))) => Gate::Pause(Some(a.max(b))),
            (Gate::Pause(_), Gate::Pause(_)) => Gate::Pause(None),
        }
    }
}

/// Something to tell about a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedEvent {
    /// The disk did not keep up for `stall`: output that cannot be kept is lost from now on.
    Stalled,
    /// The log works again and says that so many bytes (maybe none) are missing.
    Recovered {
        /// How many.
        lost: u64,
    },
    /// Appending fails, and is tried again until it works.
    Failing(DiskError),
    /// Appending works again.
    Working,
}

/// What has to be known of a batch that the disk thread has.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    lost: u64,
    time_ns: u64,
    end_of_stream: bool,
}

/// A cursor of one stream on its way into one log.
#[derive(Debug)]
pub struct LogFeed {
    tag: u64,
    stream: Option<Stream>,
    shared: bool,
    stall: Stall,
    /// Where the next batch begins.
    cursor: u64,
    /// Bytes of the stream before the cursor, sent or lost.
    passed: u64,
    /// Bytes lost since the last batch.
    lost: u64,
    /// Bytes that batches of this stall have been told of.
    lost_told: u64,
    /// What the disk thread has, in its order.
    under_way: VecDeque<UnderWay>,
    /// Refused batches, in their order.
    again: VecDeque<Batch>,
    retry_at: Option<Time>,
    /// The disk holds bytes of ours.
    held: bool,
    /// The last byte sent was not a newline.
    in_line: bool,
    /// Last progress, or when there was something to do again.
    progress_at: Time,
    paused_until: Option<Time>,
    stalled: bool,
    /// Why appending fails.
    failing: Option<String>,
    finishing: bool,
    end_told: bool,
    events: VecDeque<FeedEvent>,
    /// For the next batches.
    buffers: Vec<Vec<u8>>,
    /// When the last batch was sent, and how large it was.
    sent: (Time, usize),
    linger_until: Option<Time>,
}

impl LogFeed {
    /// Feeds a log with a stream of `output` (or with both) from its head on. `tag` marks the
    /// batches.
    pub fn new(tag: u64, output: &Output, stream: Option<Stream>, stall: Stall) -> LogFeed {
        let mut feed = LogFeed {
            tag,
            stream,
            shared: false,
            stall,
            cursor: 0,
            passed: 0,
            lost: 0,
            lost_told: 0,
            under_way: VecDeque::new(),
            again: VecDeque::new(),
            retry_at: None,
            held: false,
            in_line: false,
            progress_at: Time::default(),
            paused_until: None,
            stalled: false,
            failing: None,
            finishing: false,
            end_told: false,
            events: VecDeque::new(),
            buffers: Vec::new(),
            sent: (Time::default(), 0),
            linger_until: None,
        };
        feed.skip_to_head(output);
        feed
    }

    /// Goes on from the head of the output: what comes before it is not wanted in the log.
    pub fn skip_to_head(&mut self, output: &Output) {
        self.cursor = output.head();
        self.passed = output.dropped(self.stream) + kept(output, output.head(), self.stream);
        self.in_line = false;
    }

    /// The tag of its batches.
    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// Applies what a reload may change.
    pub fn configure(&mut self, stall: Stall) {
        self.stall = stall;
    }

    /// Sets whether other feeds write to the log: only whole lines are appended then.
    pub fn set_shared(&mut self, shared: bool) {
        self.shared = shared;
    }

    /// The stream ended: what is left is sent, also a line without its newline.
    pub fn finish(&mut self) {
        self.finishing = true;
        self.end_told = false;
    }

    /// What there is goes now, however little it is: the process has ended.
    pub fn hurry(&mut self) {
        self.sent.1 = 0;
    }

    /// The next run of the process writes to the same stream.
    pub fn resume(&mut self) {
        self.finishing = false;
    }

    /// Whether all of the output is in the log.
    pub fn is_drained(&self, output: &Output) -> bool {
        self.is_idle() && self.unsent(output) == output.head() && self.lost == 0
    }

    /// Whether everything before `offset` of the ring is in the log, or cannot be got there
    /// because appending fails.
    pub fn has_reached(&self, output: &Output, offset: u64) -> bool {
        self.trouble().is_some() || (self.is_idle() && self.unsent(output) >= offset)
    }

    /// What is wrong with the log, as long as it is.
    pub fn trouble(&self) -> Option<&str> {
        let stalled = self.stalled.then_some("the disk is stalled");
        self.failing.as_deref().or(stalled)
    }

    /// When to call [`next_batch`](Self::next_batch) or [`gate`](Self::gate) again at the latest.
    /// Always later than now: a pause that is over ends when the gate is asked.
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let times = [self.retry_at, self.paused_until, self.linger_until];
        let times = times.into_iter().flatten();
        times.filter(|at| *at > now).min()
    }

    /// What to tell, oldest first.
    pub fn poll_event(&mut self) -> Option<FeedEvent> {
        self.events.pop_front()
    }

    /// What to append now, if anything. To be asked after output came, after a completion, after
    /// [`finish`](Self::finish) and at the [`deadline`](Self::deadline). `unix_ns` is the time
    /// for lines of our own.
    pub fn next_batch(&mut self, output: &Output, now: Time, unix_ns: u64) -> Option<Batch> {
        let waits = !self.under_way.is_empty() && !self.may_send_behind(output);
        if waits || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        self.linger_until = self.lingers(output, now);
        if self.linger_until.is_some() {
            return None;
        }
        let was_idle = self.retry_at.take().is_none();
        self.count_overrun(output);
        self.recover();
        let mut batch = match self.again.pop_front() {
            Some(batch) => batch,
            None => self.collect(output, unix_ns)?,
        };
        batch.follows = !self.under_way.is_empty();
        if was_idle && !batch.follows {
            self.progress_at = now;
        }
        self.sent = (now, batch.bytes.len());
        self.under_way.push_back(UnderWay {
            lost: batch.lost_before,
            time_ns: batch.time_ns,
            end_of_stream: batch.end_of_stream,
        });
        Some(batch)
    }

    /// Takes what became of the oldest batch under way, and its buffer.
    pub fn completed(&mut self, outcome: Outcome, bytes: Vec<u8>, now: Time) {
        let Some(sent) = self.under_way.pop_front() else {
            return;
        };
        match outcome {
            Outcome::Written => {
                self.held = false;
                self.progress_at = now;
                self.paused_until = None;
                self.retry_at = None;
                self.keep_buffer(bytes);
                self.lost_told += sent.lost;
                if self.failing.take().is_some() {
                    self.events.push_back(FeedEvent::Working);
                }
            }
            Outcome::Held(error) => {
                self.held = true;
                self.lost_told += sent.lost;
                self.fail(error, now);
            }
            Outcome::Refused(error) => {
                self.again.push_back(Batch {
                    feed: self.tag,
                    bytes,
                    time_ns: sent.time_ns,
                    lost_before: sent.lost,
                    end_of_stream: sent.end_of_stream,
                    follows: false,
                });
                self.fail(error, now);
            }
        }
    }

    /// Whether reading more output is all right.
    pub fn gate(&mut self, output: &Output, now: Time) -> Gate {
        let room = (self.unsent(output) + output.capacity() as u64).saturating_sub(output.head());
        if room > 0 {
            self.paused_until = None;
            return Gate::Read(usize::try_from(room).unwrap_or(usize::MAX));
        }
        let over = match self.stall {
            Stall::Never => return Gate::Pause(None),
            Stall::After(span) => self.progress_at + span,
        };
        if now < over {
            self.paused_until = Some(over);
            return Gate::Pause(Some(over));
        }
        self.paused_until = None;
        self.stall();
        Gate::Read(usize::MAX)
    }

    /// Until when the next batch waits for more, amid a flood. It never waits for what a stall, a
    /// failure or the end of the stream has to tell.
    fn lingers(&self, output: &Output, now: Time) -> Option<Time> {
        let until = self.sent.0 + LINGER;
        let special = self.finishing || self.lost > 0 || self.held || !self.again.is_empty();
        let few = !self.has_much(output);
        (self.sent.1 >= LINGER_FROM && few && now < until && !special).then_some(until)
    }

    /// Whether there is a whole batch to be sent.
    fn has_much(&self, output: &Output) -> bool {
        let enough = BATCH_BYTES.min(output.capacity() / 2) as u64;
        output.head().saturating_sub(self.cursor) >= enough
    }

    /// Whether a second batch may go while one is under way: a large one, and nothing is wrong.
    fn may_send_behind(&self, output: &Output) -> bool {
        let well = self.trouble().is_none() && !self.held && self.lost == 0 && !self.finishing;
        let whole = self.cursor >= output.tail() && self.again.is_empty();
        well && whole && self.under_way.len() < UNDER_WAY_MAX && self.has_much(output)
    }

    /// As many as can be used at once; one is enough for quieter times.
    fn keep_buffer(&mut self, bytes: Vec<u8>) {
        if self.buffers.len() <= self.under_way.len() {
            self.buffers.push(bytes);
        }
    }

    fn stall(&mut self) {
        if !std::mem::replace(&mut self.stalled, true) {
            self.events.push_back(FeedEvent::Stalled);
        }
    }

    fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.again.is_empty() && !self.held
    }

    /// The first byte of the stream that is not sent; what other streams wrote is not waited for.
    fn unsent(&self, output: &Output) -> u64 {
        match self.cursor < output.tail() {
            true => self.cursor,
            false => output.next_of(self.cursor, self.stream),
        }
    }

    /// Makes a batch of what is there.
    fn collect(&mut self, output: &Output, unix_ns: u64) -> Option<Batch> {
        let mut bytes = self.buffers.pop().unwrap_or_default();
        bytes.clear();
        let mut time_ns = None;
        let mut end = self.cursor;
        let mut ends = Vec::new();
        for segment in output.segments(self.cursor, self.stream) {
            // One batch has one time, so lines that came much later go into the next.
            let first = *time_ns.get_or_insert(segment.time_ns);
            let later = segment.time_ns.abs_diff(first) > BATCH_SPAN_NS;
            let room = BATCH_BYTES - bytes.len();
            if room == 0 || later && bytes.last() == Some(&b'\n') {
                break;
            }
            let n = segment.bytes.len().min(room);
            bytes.extend_from_slice(&segment.bytes[..n]);
            end = segment.offset + n as u64;
            ends.push((bytes.len(), end));
        }
        if self.shared {
            end = self.cut_at_line(output, &mut bytes, &ends, end);
        }
        self.cursor = end;
        self.passed += bytes.len() as u64;
        self.in_line = bytes.last().map_or(self.in_line, |last| *last != b'\n');
        let at_end = self.finishing && output.next_of(end, self.stream) == output.head();
        let tells_end = at_end && !self.end_told;
        if self.shared && tells_end && self.in_line {
            bytes.push(b'\n');
            self.in_line = false;
        }
        if bytes.is_empty() && self.lost == 0 && !self.held && !tells_end {
            self.buffers.push(bytes);
            return None;
        }
        self.end_told |= tells_end;
        Some(Batch {
            feed: self.tag,
            bytes,
            time_ns: time_ns.unwrap_or(unix_ns),
            lost_before: std::mem::take(&mut self.lost),
            end_of_stream: tells_end,
            follows: false,
        })
    }

    /// In a shared log: drops the begun line at the end of `bytes`, unless it has to go now.
    /// Returns the ring offset after what is left.
    fn cut_at_line(
        &self,
        output: &Output,
        bytes: &mut Vec<u8>,
        ends: &[(usize, u64)],
        end: u64,
    ) -> u64 {
        let len = memrchr(b'\n', bytes).map_or(0, |newline| newline + 1);
        let crowded = (output.head() - self.cursor) as usize >= output.capacity() / 2;
        let too_long = len == 0 && (bytes.len() == BATCH_BYTES || crowded);
        let last = self.finishing && output.next_of(end, self.stream) == output.head();
        if too_long || last || len == bytes.len() {
            return end;
        }
        bytes.truncate(len);
        let containing = ends.iter().find(|(until, _)| *until >= len);
        match containing {
            Some((until, offset)) if len > 0 => offset - (*until - len) as u64,
            _ => self.cursor,
        }
    }

    /// Skips what was overwritten, and what is left of a line that was, and counts it.
    fn count_overrun(&mut self, output: &Output) {
        if self.cursor >= output.tail() {
            return;
        }
        let gone = output.dropped(self.stream);
        let lost = gone.saturating_sub(self.passed);
        self.passed = gone;
        self.cursor = output.tail();
        if lost > 0
            && let Some((next, rest)) = output.next_line(self.cursor, self.stream)
        {
            self.cursor = next;
            self.passed += rest;
            self.lost += rest;
        }
        self.lost += lost;
        if self.lost > 0 {
            self.stall();
        }
    }

    /// A stall is over when nothing is lost that the log has not been told of.
    fn recover(&mut self) {
        if self.stalled && self.lost == 0 && self.is_idle() {
            self.stalled = false;
            let lost = std::mem::take(&mut self.lost_told);
            self.events.push_back(FeedEvent::Recovered { lost });
        }
    }

    fn fail(&mut self, error: DiskError, now: Time) {
        self.retry_at = Some(now + RETRY);
        if self.failing.is_none() {
            self.failing = Some(error.text.clone());
            self.events.push_back(FeedEvent::Failing(error));
        }
    }
}

/// Bytes of a stream that are kept before `until`.
fn kept(output: &Output, until: u64, stream: Option<Stream>) -> u64 {
    let segments = output.segments(output.tail(), stream);
    segments
        .take_while(|segment| segment.offset < until)
        .map(|segment| segment.bytes.len() as u64)
        .sum()
}

#[cfg(test)]
#[path = "log_feed_tests.rs"]
mod tests;
