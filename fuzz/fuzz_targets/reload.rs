//! A reload from one config to another, with processes in any state. The plan matches the effects,
//! unchanged processes are not touched, repeating the reload does nothing, and the result equals a
//! fresh start with the new config.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use taskmaster::supervisor::*;

#[path = "../../tests/simulation/config.rs"]
mod config;
#[path = "../../tests/simulation/plans.rs"]
mod plans;
mod random;

use random::Random;

fuzz_target!(|bytes: &[u8]| {
    let mut random = Random::new(bytes);
    let old = config::programs(&mut random);
    let new = match random.percent(20) {
        true => config::programs(&mut random),
        false => {
            let mut new = old.clone();
            config::edit(&mut new, &mut random);
            new
        }
    };
    let mut daemon = Daemon::default();
    daemon.tell(Event::Configure(old.clone()));
    daemon.live(&mut random);
    daemon.reload(&old);
    daemon.live(&mut random);
    daemon.reload(&new);
    if random.percent(30) {
        daemon.live(&mut random);
        daemon.reload(&old);
        daemon.reload(&new);
    }
    expect_like_fresh(&daemon.supervisor, &new);
    daemon.settle();
    expect_like_fresh(&daemon.supervisor, &new);
    daemon.expect_as_wanted();
});

/// The supervisor and a minimal world.
#[derive(Default)]
struct Daemon {
    supervisor: Supervisor,
    now: Time,
    /// Spawns without an answer, and living leaders.
    asked: Vec<ProcessId>,
    alive: BTreeMap<ProcessId, i32>,
    /// Leaders that were signalled.
    dying: Vec<ProcessId>,
    count: i32,
}

impl Daemon {
    fn tell(&mut self, event: Event) -> Vec<Effect> {
        self.supervisor.handle_event(event, self.now);
        self.take()
    }

    fn take(&mut self) -> Vec<Effect> {
        self.supervisor.check_invariants();
        let effects: Vec<Effect> = std::iter::from_fn(|| self.supervisor.poll_effect()).collect();
        for effect in &effects {
            match effect {
                Effect::Spawn(id) => {
                    assert!(!self.alive.contains_key(id) && !self.asked.contains(id));
                    self.asked.push(*id);
                }
                Effect::CancelSpawn(id) => assert!(self.asked.contains(id)),
                Effect::Signal { id, .. } | Effect::Kill { id, .. } => self.dying.push(*id),
                Effect::Release { id, .. } => assert!(!self.alive.contains_key(id)),
                Effect::Started(_) | Effect::Notify(_) => {}
                Effect::Reconfigured(_) | Effect::Finished => {}
            }
        }
        effects
    }

    fn reload(&mut self, programs: &[Program]) {
        let plan = self.supervisor.plan(programs);
        let before = self.supervisor.clone();
        let caused = self.tell(Event::Configure(programs.to_vec()));
        plans::check_plan(&plan, &before, &self.supervisor);
        plans::check_untouched(programs, &before, &self.supervisor, &caused);
        plans::check_order(&before, &self.supervisor, &caused);
        expect_wishes_kept(&before, &self.supervisor);
        assert!(
            !self.supervisor.plan(programs).changes(),
            "the plan after the reload has changes"
        );
        let odd = programs.iter().any(|p| p.policy != p.policy.clone());
        let again = self.tell(Event::Configure(programs.to_vec()));
        assert!(
            odd || again.is_empty(),
            "repeating the reload has effects: {again:?}"
        );
    }

    /// Lets a few random things happen.
    fn live(&mut self, random: &mut Random<'_>) {
        for _ in 0..random.below(12) {
            let ids: Vec<ProcessId> = self.supervisor.processes().map(|p| p.id).collect();
            if ids.is_empty() {
                return;
            }
            let id = random.pick(&ids);
            match random.below(8) {
                0 => drop(self.tell(Event::Start(id))),
                1 => drop(self.tell(Event::Stop(id))),
                2 => drop(self.tell(Event::Restart(id))),
                3 | 4 => self.answer(random.percent(80)),
                5 => self.end(
                    id,
                    Exit::Code(random.below(3) as i32),
                    random.below(2) as u32,
                ),
                6 => self.end_the_dying(),
                _ => self.wait(),
            }
        }
    }

    /// Answers the oldest spawn.
    fn answer(&mut self, well: bool) {
        if self.asked.is_empty() {
            return;
        }
        let id = self.asked.remove(0);
        self.count += 1;
        let pid = self.count;
        if well {
            self.alive.insert(id, pid);
            self.tell(Event::Spawned { id, pid });
            return;
        }
        let failure = SpawnFailure {
            step: "exec a".to_string(),
            error: "No such file or directory".to_string(),
            errno: 2,
        };
        self.tell(Event::SpawnFailed { id, failure });
    }

    fn end(&mut self, id: ProcessId, exit: Exit, stragglers: u32) {
        if self.alive.remove(&id).is_some() {
            self.tell(Event::Exited { id, exit });
            let remains = |stragglers| Event::Remains { id, stragglers };
            self.tell(remains(stragglers));
            if stragglers > 0 {
                self.tell(remains(0));
            }
        }
    }

    fn end_the_dying(&mut self) {
        for id in std::mem::take(&mut self.dying) {
            let (signal, core) = (15, false);
            self.end(id, Exit::Signal { signal, core }, 0);
        }
    }

    fn wait(&mut self) {
        if let Some(due) = self.supervisor.poll_timeout() {
            assert!(due >= self.now, "a timer in the past");
            self.now = due;
            self.supervisor.handle_timeout(due);
            self.take();
        }
    }

    /// Lets everything succeed until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..1000 {
            while !self.asked.is_empty() {
                self.answer(true);
            }
            self.end_the_dying();
            if self.supervisor.poll_timeout().is_none() && self.asked.is_empty() {
                return;
            }
            if self.dying.is_empty() && self.asked.is_empty() {
                self.wait();
            }
        }
        panic!("the supervisor never settles");
    }

    fn expect_as_wanted(&self) {
        for process in self.supervisor.processes() {
            let fine = match process.desired {
                Desired::Up => {
                    [State::Running, State::Exited, State::Fatal].contains(&process.state)
                }
                Desired::Down => process.state == State::Stopped,
            };
            assert!(
                fine && !process.removed,
                "{}: {}",
                process.name,
                process.state
            );
        }
    }
}

/// A reload does not change the desired state of a process that stays.
fn expect_wishes_kept(before: &Supervisor, after: &Supervisor) {
    for old in before.processes().filter(|process| !process.removed) {
        if let Some(new) = after.process(old.id).filter(|process| !process.removed) {
            assert_eq!(old.desired, new.desired, "{}", old.name);
        }
    }
}

/// Checks for the same processes, in the same order, with the same launch and policy.
fn expect_like_fresh(supervisor: &Supervisor, programs: &[Program]) {
    let mut fresh = Supervisor::new();
    fresh.handle_event(Event::Configure(programs.to_vec()), Time::default());
    let facts = |supervisor: &Supervisor| -> Vec<String> {
        let processes = supervisor.processes().filter(|process| !process.removed);
        processes
            .map(|p| format!("{} {:?} {:?}", p.name, p.launch, supervisor.policy(p.id)))
            .collect()
    };
    assert_eq!(facts(supervisor), facts(&fresh));
    assert!(
        supervisor
            .programs()
            .map(|p| &p.name)
            .eq(fresh.programs().map(|p| &p.name))
    );
}
