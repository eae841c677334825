//! Rules and delays of automatic starts.

use crate::supervisor::{
    Autorestart, Exit, Policy, Process, ProcessId, RestartDelays, State, Time,
};
use std::time::Duration;

/// A run shorter than this is short. A row of short runs is slowed down.
pub const SHORT_RUN: Duration = Duration::from_secs(10);

/// With `starttime` 0, an unexpected exit within this time is a failed start.
pub const PROBATION: Duration = Duration::from_secs(1);

/// The delay before the first restart that is slowed down, unless `initial` is larger.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// As many short runs in a row are normal, even if `burst` is larger.
const ROW_MAX: u32 = 3;

impl Policy {
    /// Whether a process that was RUNNING is started again after this exit.
    pub(crate) fn restarts_after(&self, exit: Exit) -> bool {
        match self.autorestart {
            Autorestart::Always => true,
            Autorestart::Never => false,
            Autorestart::Unexpected => !self.expects(exit),
        }
    }

    /// Whether the exit is one of `exitcodes`; a death by signal never is.
    pub(crate) fn expects(&self, exit: Exit) -> bool {
        match exit {
            Exit::Code(code) => self.exitcodes.contains(&code),
            Exit::Signal { .. } => false,
        }
    }

    /// Whether this exit on probation is a failed start.
    pub(crate) fn fails_start(&self, exit: Exit) -> bool {
        self.autorestart != Autorestart::Never && !self.expects(exit)
    }
}

impl RestartDelays {
    /// The delay before retry `n`, from 1: at most `max`, whatever the factor. `chance`, from 0 up
    /// to 1, is its place in the range that `jitter` allows.
    pub fn delay(&self, n: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
        let first = self.initial.max(FIRST_DELAY).as_secs_f64();
        let spread = match self.jitter {
            jitter if (0.0..=1.0).contains(&jitter) => jitter,
            _ => 0.0,
        };
        let longest = first * self.factor.powi(exponent) * (1.0 + spread);
        let bound = self.max.as_secs_f64();
        // Not `min`, which prefers a number to NaN.
        let longest = if longest < bound { longest } else { bound };
        let seconds = longest / (1.0 + spread) * (1.0 + spread * chance);
        match Duration::try_from_secs_f64(seconds) {
            Ok(delay) => delay.min(self.max),
            // Negative or too large for a duration: the bound is safe.
            Err(_) => self.max,
        }
    }
}

/// A number from 0 up to 1 that differs between processes and times: the jitter of a delay that
/// began at `since`.
pub fn jitter_chance(id: ProcessId, since: Time) -> f64 {
    let nanos = since.0.as_nanos() as u64;
    let mut bits = nanos ^ (u64::from(id.0) << 40) ^ 0x9e37_79b9_7f4a_7c15;
    for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
        bits = (bits ^ (bits >> 29)).wrapping_mul(factor);
    }
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

impl Process {
    /// The delay in BACKOFF that began at `since`.
    pub(crate) fn restart_delay(&self, policy: &Policy, since: Time) -> Duration {
        let delays = &policy.restart;
        let chance = jitter_chance(self.id, since);
        if self.failures > 0 {
            return delays.delay(self.failures, chance);
        }
        match self.short_runs.saturating_sub(delays.burst) {
            0 => delays.initial,
            slowed => delays.delay(slowed, chance),
        }
    }

    /// Counts a run that ended on its own.
    pub(crate) fn count_run(&mut self, lifetime: Duration) {
        self.short_runs = match lifetime < SHORT_RUN {
            true => self.short_runs.saturating_add(1),
            false => 0,
        };
    }

    /// Whether it ends again and again. A run of ten seconds ends the row.
    pub(crate) fn is_flapping(&self, policy: &Policy, now: Time) -> bool {
        let steady = self
            .started_at()
            .is_some_and(|at| now.since(at) >= SHORT_RUN);
        self.short_runs > policy.restart.burst.min(ROW_MAX) && !steady
    }

    /// Whether it is RUNNING with `starttime` 0 for less than a second: its start may still fail.
    pub(crate) fn is_on_probation(&self) -> bool {
        self.state == State::Running && self.deadline.is_some()
    }

    /// Whether its start has succeeded or failed, if that is decided.
    pub(crate) fn start_outcome(&self, policy: &Policy, now: Time) -> Option<bool> {
        match self.state {
            State::Running => (!self.is_on_probation()).then_some(true),
            State::Exited => Some(self.last_exit.is_some_and(|exit| policy.expects(exit))),
            State::Fatal | State::Stopped => Some(false),
            // It may end like this again and again.
            State::Backoff if self.failures == 0 && self.is_flapping(policy, now) => Some(false),
            State::Backoff | State::Waiting | State::Starting | State::Stopping => None,
        }
    }
}
