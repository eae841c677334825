//! Applies a new set of programs, changing only processes that differ.

use super::diff::{self, Plan, PlanAction, PlanEntry};
use crate::supervisor::process::process_input::ProcessInput;
use crate::supervisor::{
    Autostart, Desired, Effect, KillMode, Process, ProcessId, Program, ProgramEntry,
};
use crate::supervisor::{Supervisor, Time};
use std::collections::{BTreeMap, BTreeSet};

/// The processes that a reload removes, and those that it adds and starts.
#[derive(Debug, Default)]
struct Changes {
    removed: Vec<ProcessId>,
    added: Vec<ProcessId>,
}

impl Supervisor {
    /// The plan that `Event::Configure` with these programs would carry out now.
    pub fn plan(&self, programs: &[Program]) -> Plan {
        let mut entries = Vec::new();
        let mut kept = BTreeSet::new();
        for program in programs {
            if kept.insert(program.name.as_str()) {
                self.plan_program(program, &mut entries);
            }
        }
        let gone = self
            .processes()
            .filter(|process| !process.removed && !kept.contains(process.program.as_str()));
        entries.extend(gone.map(|process| PlanEntry {
            process: process.name.clone(),
            action: PlanAction::Remove,
        }));
        Plan { entries }
    }

    /// The plan that `Event::Scale` would carry out now; empty for an unknown program.
    pub fn scale_plan(&self, program: &str, numprocs: u32) -> Plan {
        let mut entries = Vec::new();
        if let Some(program) = self.program(program) {
            let mut scaled = program.clone();
            scaled.numprocs = numprocs;
            self.plan_program(&scaled, &mut entries);
        }
        Plan { entries }
    }

    /// Number of processes, and bytes of the texts that they do not share, if a program had this
    /// number of them.
    pub(crate) fn size_when_scaled(&self, name: &str, numprocs: u32) -> (usize, usize) {
        let sizes = self.programs().map(|program| {
            let count = match program.name == name {
                true => numprocs,
                false => program.numprocs,
            };
            let processes = usize::try_from(count).unwrap_or(usize::MAX);
            (processes, program.bytes_of_processes(count))
        });
        sizes.fold((0, 0), |(processes, bytes), (more, texts)| {
            (
                usize::saturating_add(processes, more),
                usize::saturating_add(bytes, texts),
            )
        })
    }

    pub(crate) fn configure(&mut self, programs: Vec<Program>, now: Time) {
        self.rank(&programs);
        let kept: BTreeSet<&str> = self.names.iter().map(String::as_str).collect();
        let gone: Vec<ProcessId> = self
            .processes()
            .filter(|process| !kept.contains(process.program.as_str()))
            .map(|process| process.id)
            .collect();
        let mut changes = Changes::default();
        for id in gone.into_iter().rev() {
            self.remove(id, &mut changes, now);
        }
        let mut seen = BTreeSet::new();
        for program in programs {
            if seen.insert(program.name.clone()) {
                self.reconcile(program, &mut changes, now);
            }
        }
        self.succeed(changes.removed, changes.added, now);
    }

    pub(crate) fn scale(&mut self, program: &str, numprocs: u32, now: Time) {
        if let Some(program) = self.program(program) {
            let mut scaled = program.clone();
            scaled.numprocs = numprocs;
            let mut changes = Changes::default();
            self.reconcile(scaled, &mut changes, now);
            self.succeed(changes.removed, changes.added, now);
        }
        if let Some(entry) = self.entries.get_mut(program) {
            entry.scaled = true;
        }
    }

    /// The programs that a `scale` has changed since the last reload.
    pub(crate) fn scaled_programs(&self) -> impl Iterator<Item = &str> {
        let entries = self.entries.iter();
        let scaled = entries.filter(|(_, entry)| entry.scaled && !entry.removed);
        scaled.map(|(name, _)| name.as_str())
    }

    /// Sets the rank of each program: the config's in their order, then the removed ones in their
    /// old order. Forgets removed programs without a process.
    fn rank(&mut self, programs: &[Program]) {
        let old: Vec<(String, u32)> = {
            let mut old: Vec<_> = self.entries.iter().collect();
            old.sort_by_key(|(_, entry)| entry.rank);
            old.into_iter()
                .map(|(name, entry)| (name.clone(), entry.processes))
                .collect()
        };
        let mut ranks: BTreeMap<String, u32> = BTreeMap::new();
        self.names.clear();
        for program in programs {
            let rank = ranks.len() as u32;
            if !ranks.contains_key(&program.name) {
                ranks.insert(program.name.clone(), rank);
                self.names.push(program.name.clone());
            }
        }
        for (name, processes) in old {
            let last = ranks.len() as u32;
            let removed = !ranks.contains_key(&name);
            if removed && processes == 0 {
                self.entries.remove(&name);
                continue;
            }
            let rank = *ranks.entry(name.clone()).or_insert(last);
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.rank = rank;
                entry.removed = removed;
            }
        }
        self.order.clear();
        for process in self.processes.values() {
            if let Some(rank) = ranks.get(&process.program) {
                self.order.insert((*rank, process.instance), process.id);
            }
        }
        for program in programs {
            if !self.entries.contains_key(&program.name) {
                let entry = ProgramEntry {
                    rank: ranks.get(&program.name).copied().unwrap_or_default(),
                    program: program.clone(),
                    processes: 0,
                    removed: false,
                    scaled: false,
                };
                self.entries.insert(program.name.clone(), entry);
            }
        }
    }

    /// Adapts the processes of a known program to its new entry.
    fn reconcile(&mut self, program: Program, changes: &mut Changes, now: Time) {
        let name = program.name.clone();
        let Some(entry) = self.entries.get_mut(&name) else {
            return;
        };
        let rank = entry.rank;
        entry.scaled = false;
        let all_there = usize::try_from(program.numprocs).is_ok_and(|count| {
            let slots = self.order.range((rank, 0)..=(rank, u32::MAX));
            let kept =
                slots.filter(|(_, id)| self.processes.get(id).is_some_and(|one| !one.removed));
            kept.count() == count && entry.processes == program.numprocs
        });
        if all_there && entry.program == program {
            return;
        }
        let old = std::mem::replace(&mut entry.program, program.clone());
        let retuned = old.policy != program.policy;
        let retune = ProcessInput::PolicyChanged {
            widened: old.policy.killmode == KillMode::Process
                && program.policy.killmode != KillMode::Process,
        };

        let slots = self.order.range((rank, 0)..=(rank, u32::MAX));
        let known: BTreeMap<u32, ProcessId> = slots.map(|((_, i), id)| (*i, *id)).collect();
        for (_, id) in known.range(program.numprocs..).rev() {
            self.remove(*id, changes, now);
        }
        for instance in 0..program.numprocs {
            match known.get(&instance) {
                Some(id) => {
                    self.renew(*id, &old, &program, now);
                    if retuned {
                        self.step(*id, retune.clone(), now);
                    }
                }
                None => changes.added.extend(self.add(&program, instance, now)),
            }
        }
        if retuned {
            for (_, id) in known.range(program.numprocs..) {
                self.step(*id, retune.clone(), now);
            }
        }
    }

    /// Adds a process. Returns it if it is to be started.
    fn add(&mut self, program: &Program, instance: u32, now: Time) -> Option<ProcessId> {
        let entry = self.entries.get_mut(&program.name)?;
        let id = ProcessId(self.next_id);
        self.next_id += 1;
        entry.processes += 1;
        self.order.insert((entry.rank, instance), id);
        let process = Process::new(id, program, instance, now);
        self.processes.insert(id, process);
        (program.autostart == Autostart::Yes).then_some(id)
    }

    fn remove(&mut self, id: ProcessId, changes: &mut Changes, now: Time) {
        if let Some(process) = self.processes.get_mut(&id) {
            if !process.removed {
                changes.removed.push(id);
            }
            process.removed = true;
            self.step(id, ProcessInput::Stop, now);
        }
    }

    /// Applies the new launch to a process that stays.
    fn renew(&mut self, id: ProcessId, old: &Program, program: &Program, now: Time) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let launch = program.launch.expand(program, process.instance);
        if process.removed {
            // The program came back before this process was down: treat it as added, under the same
            // id.
            process.removed = false;
            process.launch = launch;
            process.desired = match program.autostart {
                Autostart::Yes => Desired::Up,
                Autostart::No => Desired::Down,
            };
            self.has_left(id);
            return;
        }
        let changed = process.launch != launch;
        let ended = process.has_ended();
        if !changed && (!ended || old.policy == program.policy) {
            return;
        }
        let revived = ended && diff::action(process, old, program).is_restart();
        let restart = diff::needs_restart(&process.launch, &launch);
        process.launch = launch;
        if changed && !restart && !revived {
            self.effects.push_back(Effect::Reconfigured(id));
        } else if revived || restart && process.restarts_when_changed() && !process.is_stopping() {
            self.step(id, ProcessInput::Restart, now);
        }
    }

    fn plan_program(&self, program: &Program, entries: &mut Vec<PlanEntry>) {
        let entry = self.entries.get(&program.name);
        let slot = |instance| {
            let id = self.order.get(&(entry?.rank, instance))?;
            self.processes.get(id)
        };
        // Its processes have the launch that their program gives them.
        let same = entry.is_some_and(|entry| entry.program == *program);
        for instance in 0..program.numprocs {
            let action = match (entry, slot(instance)) {
                (Some(_), Some(process)) if same && !process.removed => PlanAction::Unchanged,
                (Some(entry), Some(process)) if !process.removed => {
                    diff::action(process, &entry.program, program)
                }
                _ => PlanAction::Add,
            };
            entries.push(PlanEntry {
                process: format!("{}:{instance}", program.name),
                action,
            });
        }
        let Some(entry) = entry else {
            return;
        };
        let beyond = self
            .order
            .range((entry.rank, program.numprocs)..=(entry.rank, u32::MAX));
        entries.extend(
            beyond
                .filter_map(|(_, id)| self.processes.get(id))
                .filter(|process| !process.removed)
                .map(|process| PlanEntry {
                    process: process.name.clone(),
                    action: PlanAction::Remove,
                }),
        );
    }
}
