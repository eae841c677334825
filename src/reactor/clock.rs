//! The reactor's clock and its own deadlines; the supervisor keeps its own.

use crate::supervisor::{ProcessId, Time};
use crate::text::timestamp;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time since the daemon's start, read once a turn.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    now: Time,
}

impl Clock {
    /// A clock that starts at zero.
    pub(crate) fn start() -> Self {
        Clock {
            origin: Instant::now(),
            now: Time::default(),
        }
    }

    /// Reads the clock. Everything in one turn happens at the same time.
    pub(crate) fn tick(&mut self) -> Time {
        self.now = Time(self.origin.elapsed());
        self.now
    }

    /// The time of this turn.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// Time since the turn's time was read.
    pub(crate) fn spent(&self) -> Duration {
        self.origin.elapsed().saturating_sub(self.now.0)
    }

    /// A point in monotonic time by the wall clock, as RFC 3339 with milliseconds.
    pub(crate) fn rfc3339(&self, time: Time) -> String {
        let back = Time(self.origin.elapsed()).since(time);
        timestamp::rfc3339(unix_ns().saturating_sub(timestamp::nanoseconds(back)))
    }
}

/// Unix time in nanoseconds; 0 when the wall clock is before 1970.
pub(super) fn unix_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    timestamp::nanoseconds(since)
}

/// A deadline of the reactor's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Connections without a valid request are checked.
    IdleClients,
    /// A process's log retries, or has stalled for long enough.
    LogRetry(ProcessId),
    /// A process no longer waits for a client that must not skip output.
    ClientRetry(ProcessId),
    /// A start no longer waits for its logs.
    LogOpenDeadline(ProcessId),
    /// Accepting is retried after running out of descriptors.
    AcceptRetry,
    /// More signals have arrived, or processes ended, than one turn handles.
    Reap,
    /// Stragglers of a process are looked for again.
    Survey(ProcessId),
    /// The layout of a process's leader is read again.
    Layout(ProcessId),
    /// A program may have been stopped by ctrl-z; after this many looks.
    StopCheck(ProcessId, usize),
    /// A process with a terminal, led by this pid, is hung up if it has not ended.
    HangUp(ProcessId, i32),
    /// A process's terminal may be resized again.
    ResizeAllowed(ProcessId),
    /// Clients whose terminals have another size may be drawn again.
    PictureAllowed(ProcessId),
    /// Lines that the audit has left out are counted in the log.
    Audit,
    /// Freed memory is given back to the system.
    GiveBack,
    /// A process that was removed may be freed.
    Release(ProcessId),
    /// A change of state is announced even if the log lacks output before it.
    AnnounceDeadline(ProcessId),
}

/// Deadlines, the nearest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Time, Timer)>>,
    gives_back: bool,
}

/// Time until freed memory is given back; more may be freed meanwhile.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(1);

impl Timers {
    /// Adds a deadline.
    pub(crate) fn add(&mut self, at: Time, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    /// Plans to give freed memory back, unless that is planned.
    pub(crate) fn give_back_soon(&mut self, now: Time) {
        if !std::mem::replace(&mut self.gives_back, true) {
            self.add(now + GIVE_BACK_AFTER, Timer::GiveBack);
        }
    }

    /// Gives freed memory back.
    pub(crate) fn give_back(&mut self) {
        self.gives_back = false;
        crate::sys::heap::give_back();
    }

    /// The nearest deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the nearest timer that is due.
    pub(crate) fn due(&mut self, now: Time) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, timer))| timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_due_in_order() {
        let at = |seconds| Time(Duration::from_secs(seconds));
        let mut timers = Timers::default();
        timers.add(at(2), Timer::IdleClients);
        timers.add(at(1), Timer::AcceptRetry);
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.due(at(0)), None);
        assert_eq!(timers.due(at(2)), Some(Timer::AcceptRetry));
        assert_eq!(timers.due(at(2)), Some(Timer::IdleClients));
        assert_eq!(timers.due(at(9)), None);
    }
}
