//! Time as the daemon lives it: now and then it is stopped for a while, and all that was due
//! comes late.

use std::time::Duration;
use taskmaster::supervisor::Time;

#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    /// How long the daemon was stopped in all.
    frozen: Duration,
    /// When it last went on.
    thawed: Option<Time>,
}

impl Clock {
    /// The daemon did nothing for so long, until now.
    pub fn froze(&mut self, span: Duration, now: Time) {
        self.frozen += span;
        self.thawed = Some(now);
    }

    /// Whether what was due earlier may happen now.
    pub fn is_late(self, now: Time) -> bool {
        self.thawed == Some(now)
    }

    /// Whether it is time for what is due then, to the moment.
    pub fn is_due(self, due: Option<Time>, now: Time) -> bool {
        due == Some(now) || self.is_late(now) && due.is_some_and(|due| due < now)
    }

    /// The time in which the daemon ran.
    pub fn active(self, now: Time) -> Time {
        Time(now.0.saturating_sub(self.frozen))
    }
}
