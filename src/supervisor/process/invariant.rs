//! Invariants of the supervisor between any two events.

use crate::supervisor::{Desired, LeaderState, Process, ProcessId, State, Supervisor};

impl Supervisor {
    /// Panics if the supervisor's state contradicts itself. Checks every process, so it is for
    /// tests and simulation. With debug assertions each event checks the process it concerns.
    pub fn check_invariants(&self) {
        let deadlines = self.processes.values().filter(|p| p.deadline.is_some());
        assert_eq!(
            self.timers.len(),
            deadlines.count(),
            "a timer without a deadline"
        );
        let active = self.processes.values().filter(|p| !p.state.is_down());
        assert_eq!(
            self.active,
            active.count(),
            "the count of active processes is off"
        );
        assert_eq!(
            self.order.len(),
            self.processes.len(),
            "two processes at one position"
        );
        let ranked = self.entries.values().filter(|entry| !entry.removed);
        assert_eq!(
            ranked.count(),
            self.names.len(),
            "a program without a position"
        );
        for (name, entry) in &self.entries {
            let slots = self.order.range((entry.rank, 0)..=(entry.rank, u32::MAX));
            assert_eq!(
                slots.count() as u32,
                entry.processes,
                "{name}: processes miscounted"
            );
            assert!(
                !entry.removed || entry.processes > 0,
                "{name}: not forgotten"
            );
        }
        for id in self.processes.keys() {
            self.check_process(*id);
        }
    }

    pub(crate) fn check_process(&self, id: ProcessId) {
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        let name = &process.name;
        if let Some(due) = process.deadline {
            assert!(
                self.timers.contains(&(due, id)),
                "{name}: its deadline has no timer"
            );
        }
        assert_eq!(self.find(name), Some(id), "{name}: not found by its name");
        process.check();
    }
}

impl Process {
    fn check(&self) {
        let name = &self.name;
        assert!(
            !self.removed || self.state == State::Stopping,
            "{name}: removed, not leaving"
        );
        assert!(
            !self.removed || self.desired == Desired::Down,
            "{name}: removed, but it should run"
        );
        let (leader, deadline) = (self.leader, self.deadline.is_some());
        let alive = matches!(leader, LeaderState::Alive { .. });
        match self.state {
            State::Stopped | State::Exited | State::Fatal | State::Waiting => {
                let idle = leader == LeaderState::None && !deadline && !self.killed;
                assert!(idle, "{name}: {} but not idle", self.state);
            }
            State::Starting => {
                let left = self.remains_due || self.stragglers > 0;
                assert!(
                    leader != LeaderState::None || left,
                    "{name}: STARTING without a leader to come"
                );
                let timed = alive == deadline || self.is_clearing();
                assert!(timed, "{name}: STARTING forever");
                assert!(
                    !(self.killed && deadline),
                    "{name}: killed, yet a SIGKILL is due"
                );
            }
            State::Running => {
                assert!(alive, "{name}: RUNNING without leader");
                let sound = self.failures == 0 || deadline;
                assert!(sound, "{name}: RUNNING with failed starts");
            }
            State::Backoff => {
                assert!(
                    deadline && leader == LeaderState::None,
                    "{name}: BACKOFF forever"
                );
            }
            State::Stopping => {
                let answer = leader == LeaderState::Spawning;
                let ends = deadline || self.killed || answer || self.remains_due;
                assert!(ends, "{name}: STOPPING forever");
                assert!(
                    !(self.killed && deadline),
                    "{name}: killed, yet a SIGKILL is due"
                );
            }
        }
        self.check_desired();
    }

    fn check_desired(&self) {
        let name = &self.name;
        match self.state {
            State::Stopped => assert_eq!(self.desired, Desired::Down, "{name}: STOPPED"),
            State::Stopping => {}
            State::Waiting
            | State::Starting
            | State::Running
            | State::Backoff
            | State::Exited
            | State::Fatal => assert_eq!(self.desired, Desired::Up, "{name}: {}", self.state),
        }
    }
}
