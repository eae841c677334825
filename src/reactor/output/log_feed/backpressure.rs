//! Whether a process may be read while its log falls behind.

use crate::supervisor::{Stall, Time};

/// Whether a process may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Up to this many bytes; at least one.
    Read(usize),
    /// Not now. Ask again when a batch is answered, and at this time if there is one.
    Pause(Option<Time>),
}

impl Gate {
    /// The stricter of two gates.
    pub(crate) fn and(self, other: Gate) -> Gate {
        match (self, other) {
            (Gate::Read(a), Gate::Read(b)) => Gate::Read(a.min(b)),
            (Gate::Read(_), pause) | (pause, Gate::Read(_)) => pause,
            (Gate::Pause(Some(a)), Gate::Pause(Some(b))) => Gate::Pause(Some(a.max(b))),
            (Gate::Pause(_), Gate::Pause(_)) => Gate::Pause(None),
        }
    }
}

/// How a log keeps up with its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// All output reaches the log.
    Flowing,
    /// The ring is full of output that is not sent. The process is not read until the disk makes
    /// progress, at most until this time.
    Paused(Time),
    /// The pause was too long, or output was lost. The process is read, and output that is
    /// overwritten is lost.
    Stalled {
        /// Lost bytes that are reported in the log.
        lost: u64,
    },
}

/// Pauses a process whose log falls behind, for as long as its `stall` key says.
#[derive(Debug)]
pub(super) struct Backpressure {
    stall: Stall,
    /// The last progress of the disk, or when it got something to do.
    progress_at: Time,
    pace: Pace,
}

impl Backpressure {
    pub(super) fn new(stall: Stall) -> Backpressure {
        Backpressure {
            stall,
            progress_at: Time::default(),
            pace: Pace::Flowing,
        }
    }

    pub(super) fn configure(&mut self, stall: Stall) {
        self.stall = stall;
    }

    /// Whether to read on, with room for `room` bytes. `Read` without room means that the pause
    /// is over and the log has stalled.
    pub(super) fn gate(&mut self, room: u64, now: Time) -> Gate {
        if room > 0 {
            self.end_pause();
            return Gate::Read(usize::try_from(room).unwrap_or(usize::MAX));
        }
        let Stall::After(span) = self.stall else {
            self.end_pause();
            return Gate::Pause(None);
        };
        let until = self.progress_at + span;
        if now >= until {
            return Gate::Read(usize::MAX);
        }
        if !self.is_stalled() {
            self.pace = Pace::Paused(until);
        }
        Gate::Pause(Some(until))
    }

    /// The disk makes progress, or got something to do.
    pub(super) fn progress(&mut self, now: Time) {
        self.progress_at = now;
    }

    /// Ends a pause; a stall ends with [`recover`](Self::recover).
    pub(super) fn end_pause(&mut self) {
        if let Pace::Paused(_) = self.pace {
            self.pace = Pace::Flowing;
        }
    }

    /// When the pause of a process is over.
    pub(super) fn paused_until(&self) -> Option<Time> {
        match self.pace {
            Pace::Paused(until) => Some(until),
            Pace::Flowing | Pace::Stalled { .. } => None,
        }
    }

    /// Output is being lost from now on. Returns whether that is new.
    pub(super) fn start_stall(&mut self) -> bool {
        let new = !self.is_stalled();
        if new {
            self.pace = Pace::Stalled { lost: 0 };
        }
        new
    }

    pub(super) fn is_stalled(&self) -> bool {
        matches!(self.pace, Pace::Stalled { .. })
    }

    /// Counts lost bytes that are reported in the log.
    pub(super) fn count_reported(&mut self, bytes: u64) {
        if let Pace::Stalled { lost } = &mut self.pace {
            *lost += bytes;
        }
    }

    /// Ends a stall. Returns how many bytes it has cost.
    pub(super) fn recover(&mut self) -> Option<u64> {
        let Pace::Stalled { lost } = self.pace else {
            return None;
        };
        self.pace = Pace::Flowing;
        Some(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Time {
        Time(Duration::from_millis(ms))
    }

    #[test]
    fn gates_combine_to_the_stricter() {
        let pause = |ms| Gate::Pause(Some(at(ms)));
        assert_eq!(Gate::Read(3).and(Gate::Read(2)), Gate::Read(2));
        assert_eq!(Gate::Read(3).and(pause(1)), pause(1));
        assert_eq!(pause(1).and(pause(2)), pause(2));
        assert_eq!(pause(1).and(Gate::Pause(None)), Gate::Pause(None));
    }

    #[test]
    fn a_pause_lasts_from_the_last_progress_for_the_stall_time() {
        let mut backpressure = Backpressure::new(Stall::After(Duration::from_secs(1)));
        backpressure.progress(at(500));
        assert_eq!(backpressure.gate(7, at(600)), Gate::Read(7));
        let pause = Gate::Pause(Some(at(1500)));
        assert_eq!(backpressure.gate(0, at(1499)), pause);
        assert_eq!(backpressure.paused_until(), Some(at(1500)));
        assert_eq!(backpressure.gate(0, at(1500)), Gate::Read(usize::MAX));
        backpressure.gate(1, at(1500));
        assert_eq!(backpressure.paused_until(), None);
    }

    #[test]
    fn a_stall_counts_what_it_costs_and_is_not_a_pause() {
        let mut backpressure = Backpressure::new(Stall::After(Duration::from_secs(1)));
        assert!(backpressure.start_stall());
        assert!(!backpressure.start_stall(), "not new");
        backpressure.count_reported(5);
        backpressure.progress(at(9000));
        let again = backpressure.gate(0, at(9500));
        assert_eq!(
            again,
            Gate::Pause(Some(at(10_000))),
            "the ring is full again"
        );
        assert_eq!(backpressure.paused_until(), None);
        backpressure.end_pause();
        backpressure.count_reported(6);
        assert_eq!(backpressure.recover(), Some(11));
        assert_eq!(backpressure.recover(), None);
        backpressure.count_reported(9);
        assert!(!backpressure.is_stalled());
    }

    #[test]
    fn never_pauses_without_an_end_even_after_a_reload() {
        let mut backpressure = Backpressure::new(Stall::After(Duration::from_secs(1)));
        assert_eq!(backpressure.gate(0, at(0)), Gate::Pause(Some(at(1000))));
        backpressure.configure(Stall::Never);
        assert_eq!(backpressure.gate(0, at(1 << 40)), Gate::Pause(None));
        assert_eq!(backpressure.paused_until(), None);
    }
}
