//! Compares the supervisor with its shadow.

use super::rules::{Slot, due};
use super::shadow::{Expected, Shadow};
use std::collections::BTreeSet;
use taskmaster::supervisor::*;

impl Shadow {
    /// A process seen for the first time.
    pub fn adopt(&mut self, id: ProcessId, supervisor: &Supervisor, state: State) {
        let Some(process) = supervisor
            .process(id)
            .filter(|_| !self.slots.contains_key(&id))
        else {
            return;
        };
        assert_eq!(state, State::Stopped, "{}: new", process.name);
        let twin = self.slots.values().find(|slot| slot.name == process.name);
        assert!(twin.is_none(), "{}: two in one slot", process.name);
        let program = &self.programs[&process.program];
        let slot = Slot {
            name: process.name.clone(),
            program: process.program.clone(),
            instance: process.instance,
            launch: program.launch.expand(program, process.instance),
            state,
            wanted: program.autostart == Autostart::Yes,
            removed: false,
            spawn_out: false,
            cancelled: false,
            refused: None,
            killed: false,
            failures: 0,
            restarts: 0,
            short_runs: 0,
            attempts: 0,
            steady: true,
            stragglers: 0,
            count_due: false,
            spawned_at: None,
            probation: None,
            started_due: false,
            start_failed: false,
            asked_at: None,
            hangup_due: false,
            backoff_since: None,
            backoff_until: None,
            delay_over: false,
            reconfigured: 0,
            awaits: match program.autostart {
                Autostart::Yes => self.leaving.clone(),
                Autostart::No => BTreeSet::new(),
            },
            since: Time::default(),
        };
        self.slots.insert(id, slot);
    }

    /// Compares both implementations after an event.
    pub fn compare(&mut self, supervisor: &Supervisor, expected: &Expected) {
        let ids: Vec<ProcessId> = supervisor.processes().map(|process| process.id).collect();
        for id in ids {
            self.adopt(id, supervisor, State::Stopped);
        }
        for (id, state) in expected {
            let found = supervisor.process(*id).map(|process| process.state);
            let name = self.slots.get(id).map_or("nothing", |slot| &slot.name);
            assert_eq!(found, *state, "{name} came to another state");
        }
        assert_eq!(
            self.slots.len(),
            supervisor.processes().count(),
            "a process too many"
        );
        for (id, slot) in &self.slots {
            let process = supervisor.process(*id).expect("a known process");
            let seen = (
                process.state,
                process.desired == Desired::Up,
                process.removed,
            );
            assert_eq!(
                seen,
                (slot.state, slot.wanted, slot.removed),
                "{}",
                slot.name
            );
            assert_eq!(
                slot.reconfigured, 0,
                "{}: its log is not reconfigured",
                slot.name
            );
            let seen = (
                process.failures,
                process.restarts,
                process.short_runs,
                process.leader == LeaderState::Spawning,
            );
            let told = (
                slot.failures,
                slot.restarts,
                slot.short_runs,
                slot.spawn_out,
            );
            assert_eq!(seen, told, "{}", slot.name);
            assert_eq!(process.launch, slot.launch, "{}", slot.name);
            assert!(!slot.hangup_due, "{}: not hung up", slot.name);
            let awaits = slot.state == State::Waiting;
            assert_eq!(awaits, !slot.awaits.is_empty(), "{}: waits", slot.name);
            let waits = slot.state == State::Stopping && slot.spawn_out;
            assert!(!waits || slot.cancelled, "{}: waits for a start", slot.name);
            if slot.state == State::Stopping {
                let failure = process.signal_failure.as_ref();
                let signal = failure.map(|failure| failure.signal);
                assert_eq!(signal, slot.refused, "{}: refused", slot.name);
            }
        }
        let due = self
            .slots
            .values()
            .filter_map(|slot| due(slot, &self.programs))
            .min();
        assert_eq!(supervisor.poll_timeout(), due, "the next timeout");
    }

    /// Fails unless every process is in its wanted state when no event is left.
    pub fn expect_settled(&self, supervisor: &Supervisor) {
        for process in supervisor.processes() {
            let settled = match process.desired {
                Desired::Up => {
                    [State::Running, State::Exited, State::Fatal].contains(&process.state)
                }
                Desired::Down => process.state == State::Stopped,
            };
            let wanted = process.desired;
            assert!(
                settled,
                "{}: wanted {wanted:?}, yet {}",
                process.name, process.state
            );
        }
    }
}
