//! One story: users act, the world acts, and every step is checked.

use super::config;
use super::plans;
use super::random::Random;
use super::shadow::Shadow;
use super::world::World;
use std::collections::BTreeMap;
use taskmaster::supervisor::*;

/// Far more events than any story has. A story that reaches it does not end.
const EVENTS_MAX: u64 = 200_000;

pub fn tell(seed: u64, aloud: bool) -> Story {
    let mut story = Story::new(seed, aloud);
    story.restless_days();
    if story.random.percent(50) {
        story.calm();
    }
    story.end();
    story
}

pub struct Story {
    supervisor: Supervisor,
    world: World,
    shadow: Shadow,
    random: Random,
    now: Time,
    programs: Vec<Program>,
    aloud: bool,
    pub events: u64,
    pub effects: Vec<Effect>,
}

impl Story {
    fn new(seed: u64, aloud: bool) -> Story {
        let mut random = Random::new(seed);
        let programs = config::programs(&mut random);
        let mut story = Story {
            supervisor: Supervisor::new(),
            world: World::default(),
            shadow: Shadow::default(),
            random,
            now: Time::default(),
            programs: programs.clone(),
            aloud,
            events: 0,
            effects: Vec::new(),
        };
        story.event(Event::Configure(programs));
        story
    }

    /// How many leaders have lived in it.
    pub fn lifetimes(&self) -> u64 {
        self.world.lifetimes
    }

    /// Lets users act now and then, and the world in between.
    fn restless_days(&mut self) {
        for _ in 0..20 + self.random.below(30) {
            let pause = self.random.millis(1500);
            self.pass(Some(self.now + pause));
            self.use_it();
        }
    }

    /// Users do nothing, and new processes behave well or never start. The processes must reach
    /// their wanted states.
    fn calm(&mut self) {
        self.world.calm = true;
        self.world.doomed = self.random.percent(25);
        self.world.end_unkillable(self.now);
        self.pass(None);
        self.shadow.expect_settled(&self.supervisor);
        let mut wanted = Vec::new();
        for program in &self.programs {
            wanted.extend((0..program.numprocs).map(|i| format!("{}:{i}", program.name)));
        }
        let names: Vec<&str> = self
            .supervisor
            .processes()
            .map(|p| p.name.as_str())
            .collect();
        if !self.supervisor.is_shutting_down() {
            assert_eq!(names, wanted, "the processes of the config");
        }
    }

    fn end(&mut self) {
        // Often in the middle of something, and with a second signal.
        if self.random.percent(70) {
            self.event(Event::Shutdown);
            let patience = self.random.millis(3000);
            self.pass(Some(self.now + patience));
        }
        if self.random.percent(70) {
            self.event(Event::ShutdownNow);
        } else {
            self.event(Event::Shutdown);
        }
        self.pass(None);
        if self.shadow.finished == 0 {
            let mut processes = self.supervisor.processes();
            let stuck = processes.all(|p| p.state.is_down() || self.world.is_unkillable(p.id));
            drop(processes);
            assert!(stuck, "a shutdown that does not end");
            self.event(Event::ShutdownNow);
            self.pass(None);
        }
        assert_eq!(self.shadow.finished, 1, "Finished comes once");
        for process in self.supervisor.processes() {
            if self.world.is_unkillable(process.id) {
                assert_eq!(process.state, State::Stopping, "{}", process.name);
                continue;
            }
            assert_eq!(process.state, State::Stopped, "{}", process.name);
            let policy = self.supervisor.policy(process.id).expect("a policy");
            self.world.expect_gone(process.id, policy);
        }
    }

    fn use_it(&mut self) {
        let ids: Vec<ProcessId> = self.supervisor.processes().map(|p| p.id).collect();
        let known = !ids.is_empty() && !self.random.percent(2);
        let id = if known {
            self.random.pick(&ids)
        } else {
            ProcessId(9999)
        };
        match self.random.below(100) {
            0..18 => self.event(Event::Start(id)),
            18..36 => self.event(Event::Stop(id)),
            36..50 => self.event(Event::Restart(id)),
            50..58 => self.world.strike(id, self.now, &mut self.random),
            58..66 => self.scale(),
            66..91 => self.reload(),
            91..95 => self.reload_twice(),
            95 => self.freeze(),
            96 => self.supervisor = self.supervisor.clone(),
            97 => self.explain(),
            98 if self.random.percent(50) => self.event(Event::ShutdownNow),
            _ => self.event(Event::Shutdown),
        }
    }

    fn scale(&mut self) {
        if self.programs.is_empty() {
            return;
        }
        let at = self.random.below(self.programs.len());
        let numprocs = self.random.below(4) as u32;
        let program = self.programs[at].name.clone();
        let plan = self.supervisor.scale_plan(&program, numprocs);
        let before = self.supervisor.clone();
        if !self.supervisor.is_shutting_down() {
            // The calm end compares with the config in force, which scaling changes.
            self.programs[at].numprocs = numprocs;
        }
        let effects = self.effects.len();
        self.event(Event::Scale { program, numprocs });
        plans::check_plan(&plan, &before, &self.supervisor);
        let caused = &self.effects[effects..];
        plans::check_untouched(&self.programs, &before, &self.supervisor, caused);
        plans::check_order(&before, &self.supervisor, caused);
    }

    fn reload(&mut self) {
        let mut programs = self.programs.clone();
        config::edit(&mut programs, &mut self.random);
        self.configure(programs);
    }

    /// Reloads twice in one moment. The last reload wins, and one without changes does nothing.
    fn reload_twice(&mut self) {
        let first = self.programs.clone();
        self.reload();
        if self.random.percent(50) {
            return self.configure(first);
        }
        let effects = self.effects.len();
        let plan = self.supervisor.plan(&self.programs);
        let refused = self.supervisor.is_shutting_down();
        assert!(refused || !plan.changes(), "the same config: {plan:?}");
        self.configure(self.programs.clone());
        let caused = &self.effects[effects..];
        let odd = self.programs.iter().any(|p| p.policy != p.policy.clone());
        assert!(odd || caused.is_empty(), "the same config: {caused:?}");
    }

    fn configure(&mut self, programs: Vec<Program>) {
        let plan = self.supervisor.plan(&programs);
        let before = self.supervisor.clone();
        if !self.supervisor.is_shutting_down() {
            self.programs = programs.clone();
        }
        let effects = self.effects.len();
        self.event(Event::Configure(programs));
        plans::check_plan(&plan, &before, &self.supervisor);
        let caused = &self.effects[effects..];
        plans::check_untouched(&self.programs, &before, &self.supervisor, caused);
        plans::check_order(&before, &self.supervisor, caused);
    }

    /// Stops the daemon for a while, so that all pending events come late and at once.
    fn freeze(&mut self) {
        let span = self.random.millis(10_000);
        self.now = self.now + span;
        self.say(|| format!("after {span:?} without the daemon"));
        self.shadow.clock.froze(span, self.now);
        if self.random.percent(30) {
            // Requests that users sent in the meantime may come first.
            self.use_it();
        }
    }

    /// Fails unless every state has an explanation.
    fn explain(&self) {
        for process in self.supervisor.processes() {
            let policy = self.supervisor.policy(process.id).expect("a policy");
            let why = why(process, policy, self.now);
            assert!(!why.summary.is_empty(), "{}: no word", process.name);
        }
    }

    /// Runs all events up to a time, or until none is left.
    fn pass(&mut self, until: Option<Time>) {
        loop {
            let timeout = self.supervisor.poll_timeout();
            let happening = self.world.next_due();
            let Some(mut next) = timeout.into_iter().chain(happening).min() else {
                break;
            };
            if self.shadow.clock.is_late(self.now) {
                next = next.max(self.now);
            }
            if until.is_some_and(|until| next > until) {
                break;
            }
            assert!(next >= self.now, "a timer in the past");
            self.now = next;
            let world_due = happening.is_some_and(|due| due <= next);
            let timer_due = timeout.is_some_and(|due| due <= next);
            // Events of the same time come in either order.
            if world_due && (!timer_due || self.random.percent(50)) {
                for event in self.world.happen(next, &mut self.random) {
                    self.event(event);
                }
            } else {
                self.timeout();
            }
        }
        self.now = until.unwrap_or(self.now);
    }

    fn timeout(&mut self) {
        self.say(|| "timeout".to_string());
        self.supervisor.handle_timeout(self.now);
        let next = self.supervisor.poll_timeout();
        assert!(
            next.is_none_or(|next| next > self.now),
            "the next timeout is not later"
        );
        self.apply(true);
        self.shadow.compare(&self.supervisor, &BTreeMap::new());
    }

    fn event(&mut self, event: Event) {
        self.say(|| match &event {
            Event::Configure(programs) => format!("Configure {programs:#?}"),
            other => format!("{other:?}"),
        });
        let at_once = matches!(event, Event::ShutdownNow);
        let expected = self.shadow.expect(&event, self.now);
        self.supervisor.handle_event(event, self.now);
        self.apply(false);
        self.shadow.compare(&self.supervisor, &expected);
        if at_once {
            let alive = self
                .supervisor
                .processes()
                .find(|p| p.pid().is_some() && !p.killed);
            assert!(alive.is_none(), "not killed at once: {alive:?}");
        }
    }

    fn apply(&mut self, by_timer: bool) {
        self.events += 1;
        assert!(self.events < EVENTS_MAX, "a story without an end");
        self.supervisor.check_invariants();
        while let Some(effect) = self.supervisor.poll_effect() {
            self.say(|| format!("    {effect:?}"));
            let (now, random) = (self.now, &mut self.random);
            match &effect {
                Effect::Spawn(id) => self.world.spawn(*id, now, random),
                Effect::CancelSpawn(id) => self.world.cancel(*id, now),
                Effect::Signal { id, signal, scope } => {
                    self.world.signal(*id, *signal, *scope, now, random);
                }
                Effect::Kill { id, scope } => self.world.kill(*id, *scope, now, random),
                Effect::Release { id, name } => {
                    let program = name.split(':').next().unwrap_or_default();
                    let policy = self.shadow.policy(program);
                    self.world.release(*id, policy);
                }
                Effect::Started(_) | Effect::Notify(_) => {}
                Effect::Reconfigured(_) | Effect::Finished => {}
            }
            self.shadow
                .effect(&effect, &self.supervisor, &self.world, now, by_timer);
            self.effects.push(effect);
        }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.aloud {
            let Time(now) = self.now;
            println!("{:>9.3} {}", now.as_secs_f64(), what());
        }
    }
}
