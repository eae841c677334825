//! A limited number of announcements over time, which what a process does itself may cause. A
//! flood of them would have earlier lines rotated out of the log, and earlier events dropped.

use crate::supervisor::Time;
use std::time::Duration;

/// Announcements at once.
const BURST: u32 = 6;

/// Time until one more is allowed.
const REFILL: Duration = Duration::from_secs(30);

/// The allowance of one process: a token bucket.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: u32,
    /// When `left` was last complete.
    since: Time,
    left_out: u32,
}

impl Default for Allowance {
    fn default() -> Self {
        Allowance {
            left: BURST,
            since: Time::default(),
            left_out: 0,
        }
    }
}

impl Allowance {
    /// Takes one announcement. Returns how many were left out before it, or nothing if this one is
    /// to be left out.
    pub(crate) fn take(&mut self, now: Time) -> Option<u32> {
        let passed = now.since(self.since).as_secs() / REFILL.as_secs();
        self.left = BURST.min(self.left + u32::try_from(passed).unwrap_or(u32::MAX / 2));
        self.since = match self.left {
            BURST => now,
            _ => self.since + REFILL * passed as u32,
        };
        if self.left == 0 {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(Duration::from_secs(seconds))
    }

    #[test]
    fn a_flood_is_left_out_and_counted() {
        let mut allowance = Allowance::default();
        let taken = |allowance: &mut Allowance, now| {
            let taken = std::iter::from_fn(|| allowance.take(at(now)));
            taken.collect::<Vec<u32>>()
        };
        assert_eq!(taken(&mut allowance, 1), [0; 6]);
        for _ in 0..1000 {
            assert_eq!(allowance.take(at(30)), None);
        }
        assert_eq!(taken(&mut allowance, 31), [1001]);
        assert!(taken(&mut allowance, 60).is_empty());
        assert_eq!(taken(&mut allowance, 61), [2]);
        assert_eq!(taken(&mut allowance, 10_000), [1, 0, 0, 0, 0, 0]);
        assert_eq!(taken(&mut allowance, u64::MAX / 2), [1, 0, 0, 0, 0, 0]);
    }
}
