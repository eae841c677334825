//! Compares a reload's plan with its effects, and checks that unchanged programs stay untouched.

use std::collections::BTreeSet;
use taskmaster::supervisor::*;

/// Fails unless the reload did what its plan lists.
pub fn check_plan(plan: &Plan, before: &Supervisor, supervisor: &Supervisor) {
    if before.is_shutting_down() {
        return;
    }
    let mut planned = BTreeSet::new();
    for entry in &plan.entries {
        let name = &entry.process;
        assert!(planned.insert(name), "{name}: twice in a plan");
        let after = supervisor
            .find(name)
            .and_then(|id| supervisor.process(id))
            .filter(|process| !process.removed);
        let earlier = before.find(name).and_then(|id| before.process(id));
        match (&entry.action, after) {
            (PlanAction::Add, Some(_)) => {
                assert!(earlier.is_none_or(|p| p.removed), "{name}: added twice");
            }
            (PlanAction::Remove, None) => {}
            (PlanAction::Restart(changes), Some(after)) => {
                assert!(!changes.is_empty(), "{name}: restarted for nothing");
                let begun = [State::Stopping, State::Starting].contains(&after.state);
                assert!(begun, "{name}: not restarted but {}", after.state);
            }
            (PlanAction::Live(_) | PlanAction::Unchanged, Some(after)) => {
                let earlier = earlier.expect("it was there");
                assert_eq!(after.id, earlier.id, "{name}: another process");
                if earlier.state == State::Running {
                    let same = (after.state, after.pid(), after.since);
                    assert_eq!(
                        same,
                        (earlier.state, earlier.pid(), earlier.since),
                        "{name}"
                    );
                }
            }
            (action, after) => panic!("{name}: planned {action:?}, came to {after:?}"),
        }
    }
}

/// Fails unless programs that are equal in both configs kept every field and caused no effect.
pub fn check_untouched(
    programs: &[Program],
    before: &Supervisor,
    after: &Supervisor,
    caused: &[Effect],
) {
    for process in before.processes().filter(|process| !process.removed) {
        let program = programs.iter().find(|p| p.name == process.program);
        let kept = program.filter(|program| process.instance < program.numprocs);
        let Some((program, policy)) = kept.zip(before.policy(process.id)) else {
            continue;
        };
        let launch = program.launch.expand(program, process.instance);
        // A factor of NaN differs from itself, which makes the policy a new one.
        if *policy != program.policy || process.launch != launch {
            continue;
        }
        // It starts when the removed processes that it waits for come back.
        if process.state == State::Waiting {
            continue;
        }
        let name = &process.name;
        let touched = caused
            .iter()
            .find(|effect| concerns(effect) == Some(process.id));
        assert_eq!(touched, None, "{name}: unchanged, yet touched");
        let now = after.process(process.id);
        let now = now.map(|process| format!("{process:?}"));
        assert_eq!(
            now,
            Some(format!("{process:?}")),
            "{name}: unchanged, yet changed"
        );
    }
}

/// Fails unless the processes of a program are removed from the highest number down.
pub fn check_order(before: &Supervisor, after: &Supervisor, caused: &[Effect]) {
    let mut latest: Option<&Process> = None;
    let mut seen = BTreeSet::new();
    for id in caused.iter().filter_map(concerns) {
        // A process that is already stopping changes at most its policy.
        let there = |process: &&Process| !process.removed && process.state != State::Stopping;
        let Some(process) = before.process(id).filter(there) else {
            continue;
        };
        let goes = after.process(id).is_none_or(|process| process.removed);
        if !goes || !seen.insert(id) {
            continue;
        }
        if let Some(latest) = latest.filter(|latest| latest.program == process.program) {
            let name = &process.name;
            assert!(
                latest.instance > process.instance,
                "{name} goes after {}",
                latest.name
            );
        }
        latest = Some(process);
    }
}

fn concerns(effect: &Effect) -> Option<ProcessId> {
    match effect {
        Effect::Spawn(id) | Effect::CancelSpawn(id) => Some(*id),
        Effect::Reconfigured(id) | Effect::Started(id) => Some(*id),
        Effect::Signal { id, .. } | Effect::Kill { id, .. } => Some(*id),
        Effect::Release { id, .. } => Some(*id),
        Effect::Notify(transition) => Some(transition.id),
        Effect::Finished => None,
    }
}
