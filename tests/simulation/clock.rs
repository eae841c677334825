//! Time as the daemon sees it. The daemon is sometimes stopped for a while, and its timers are late
//! then.

use std::time::Duration;
use taskmaster::supervisor::Time;

#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    /// How long the daemon was stopped in total.
    frozen: Duration,
    /// When it last continued.
    thawed: Option<Time>,
}

impl Clock {
    /// Records that the daemon was stopped for `span`, until now.
    pub fn froze(&mut self, span: Duration, now: Time) {
        self.frozen += span;
        self.thawed = Some(now);
    }

    /// Whether timers that were due earlier may fire now.
    pub fn is_late(self, now: Time) -> bool {
        self.thawed == Some(now)
    }

    /// Whether a timer with this time must fire exactly now.
    pub fn is_due(self, due: Option<Time>, now: Time) -> bool {
        due == Some(now) || self.is_late(now) && due.is_some_and(|due| due < now)
    }

    /// Returns the time in which the daemon ran.
    pub fn active(self, now: Time) -> Time {
        Time(now.0.saturating_sub(self.frozen))
    }
}
