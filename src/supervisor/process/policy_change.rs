//! A reload changes the policy of a process in the middle of its life.

use crate::supervisor::Time;
use crate::supervisor::process::transition::ProcessStep;
use std::time::Duration;

impl ProcessStep<'_> {
    pub(super) fn policy_changed_starting(&mut self) {
        if self.process.is_clearing() {
            return self.resume_start();
        }
        let Some(started) = self.process.started_at() else {
            return;
        };
        let due = started + self.policy.starttime;
        if due <= self.now {
            self.started();
        } else {
            self.process.deadline = Some(due);
        }
    }

    /// A `starttime` that is no longer 0 ends the probation.
    pub(super) fn policy_changed_running(&mut self) {
        if !self.policy.starttime.is_zero() {
            self.probation_over();
        }
    }

    pub(super) fn policy_changed_backoff(&mut self) {
        let since = self.process.since;
        let due = since + self.process.restart_delay(self.policy, since);
        if due <= self.now {
            self.auto_restart();
        } else {
            self.process.deadline = Some(due);
        }
    }

    pub(super) fn policy_changed_stopping(&mut self, stoptime: Duration, widened: bool) {
        if let Some(due) = self.process.deadline {
            // The time of the stop request: later than the state's start if the spawn was answered
            // late, and now if this reload stopped it, under the new policy.
            let asked = Time(due.0.saturating_sub(stoptime))
                .max(self.process.since)
                .min(self.now);
            let due = asked + self.policy.stoptime;
            if due <= self.now {
                self.kill();
            } else {
                self.process.deadline = Some(due);
            }
        } else if widened && self.process.killed && !self.is_spawning() {
            self.push_kill();
        } else if self.leader_gone() && self.process.stragglers > 0 && self.must_sweep() {
            self.kill();
        }
        self.finish_stop();
    }
}
