//! A reload changes the policy of a process in the middle of its life.

use crate::supervisor::process::transition::ProcessStep;

impl ProcessStep<'_> {
    pub(super) fn policy_changed_starting(&mut self) {
        if self.process.is_clearing() {
            return match self.process.deadline {
                Some(_) if self.must_sweep() => self.change_stoptime(),
                _ => self.resume_start(),
            };
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

    pub(super) fn policy_changed_stopping(&mut self, widened: bool) {
        if self.process.deadline.is_some() {
            self.change_stoptime();
        } else if widened && self.process.killed && !self.is_spawning() {
            self.push_kill();
        } else if self.leader_gone() && self.process.stragglers > 0 && self.must_sweep() {
            self.kill();
        }
        self.finish_stop();
    }

    /// Moves the time of SIGKILL.
    fn change_stoptime(&mut self) {
        let asked_at = self.process.asked_at.unwrap_or(self.process.since);
        let due = asked_at + self.policy.stoptime;
        if due <= self.now {
            self.kill();
        } else {
            self.process.deadline = Some(due);
        }
    }
}
