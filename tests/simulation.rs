//! The supervisor against a world of misbehaving processes and restless users, in virtual time.
//!
//! Each seed is one story of some thirty virtual seconds and a shutdown. `TMD_SIM_SEEDS` says
//! how many are told (5000), `TMD_SIM_SEED` picks a single one and prints its events.

#[path = "simulation/config.rs"]
mod config;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/rules.rs"]
mod rules;
#[path = "simulation/shadow.rs"]
mod shadow;
#[path = "simulation/world.rs"]
mod world;

use random::Random;
use shadow::Shadow;
use std::collections::BTreeMap;
use std::time::Duration;
use taskmaster::supervisor::*;
use world::World;

const SEEDS: u64 = 5000;

#[test]
fn every_seed_keeps_the_rules() {
    if let Some(seed) = from_environment("TMD_SIM_SEED") {
        tell(seed, true);
        return;
    }
    let mut events = 0;
    for seed in 0..from_environment("TMD_SIM_SEEDS").unwrap_or(SEEDS) {
        events += tell(seed, false).events;
    }
    println!("{events} events");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..20 {
        assert_eq!(tell(seed, false).effects, tell(seed, false).effects);
    }
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text}: a number is needed")),
    )
}

/// Says how to see a failure again.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("replay: TMD_SIM_SEED={seed} cargo test --test simulation every_seed");
        }
    }
}

fn tell(seed: u64, aloud: bool) -> Story {
    let replay = Replay(seed);
    let mut story = Story::new(seed, aloud);
    story.restless_days();
    if story.random.percent(50) {
        story.calm();
    }
    story.end();
    drop(replay);
    story
}

struct Story {
    supervisor: Supervisor,
    world: World,
    shadow: Shadow,
    random: Random,
    now: Time,
    programs: Vec<Program>,
    aloud: bool,
    events: u64,
    effects: Vec<Effect>,
}

/// Far more than any story has; one that does not end is a failure.
const EVENTS_MAX: u64 = 200_000;

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

    /// Users do something every now and then, and the world goes its way between.
    fn restless_days(&mut self) {
        for _ in 0..20 + self.random.below(30) {
            let pause = self.random.millis(1500);
            self.pass(Some(self.now + pause));
            self.use_it();
        }
    }

    /// Nobody does anything, and what starts now behaves: things must come to rest as wanted.
    fn calm(&mut self) {
        self.world.calm = true;
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
        // Often in the middle of something, and impatiently.
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
        assert!(self.supervisor.all_down(), "a shutdown that does not end");
        assert_eq!(self.shadow.finished, 1, "Finished comes once");
        for process in self.supervisor.processes() {
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
            0..20 => self.event(Event::Start(id)),
            20..40 => self.event(Event::Stop(id)),
            40..55 => self.event(Event::Restart(id)),
            55..65 => self.scale(),
            65..97 => self.reload(),
            97 => self.supervisor = self.supervisor.clone(),
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
        self.event(Event::Scale { program, numprocs });
        self.check_plan(&plan, &before);
    }

    fn reload(&mut self) {
        let mut programs = self.programs.clone();
        config::edit(&mut programs, &mut self.random);
        let plan = self.supervisor.plan(&programs);
        let before = self.supervisor.clone();
        if !self.supervisor.is_shutting_down() {
            self.programs = programs.clone();
        }
        let effects = self.effects.len();
        self.event(Event::Configure(programs.clone()));
        self.check_plan(&plan, &before);
        self.check_untouched(&programs, &before, effects);
    }

    /// The plan was what happened.
    fn check_plan(&self, plan: &Plan, before: &Supervisor) {
        if before.is_shutting_down() {
            return;
        }
        for entry in &plan.entries {
            let name = &entry.process;
            let id = self.supervisor.find(name);
            let after = id.and_then(|id| self.supervisor.process(id));
            let earlier = before.find(name).and_then(|id| before.process(id));
            match &entry.action {
                Action::Add => {
                    assert!(earlier.is_none_or(|p| p.removed), "{name}: added twice");
                    assert!(after.is_some_and(|p| !p.removed), "{name}: not added");
                }
                Action::Remove => assert!(after.is_none_or(|p| p.removed), "{name}: kept"),
                Action::Restart(changes) => {
                    assert!(!changes.is_empty(), "{name}: restarted for nothing");
                    let state = after.map(|p| p.state);
                    let begun = [State::Stopping, State::Starting].contains(&state.unwrap());
                    assert!(begun, "{name}: not restarted but {state:?}");
                }
                Action::Live(_) | Action::Unchanged => {
                    let (after, earlier) = (after.unwrap(), earlier.unwrap());
                    assert_eq!(after.id, earlier.id, "{name}: another process");
                    if earlier.state == State::Running {
                        let same = (after.state, after.pid, after.since);
                        assert_eq!(same, (earlier.state, earlier.pid, earlier.since), "{name}");
                    }
                }
            }
        }
        let planned = plan.entries.iter().map(|entry| &entry.process);
        let planned: BTreeMap<&String, ()> = planned.map(|name| (name, ())).collect();
        assert_eq!(
            planned.len(),
            plan.entries.len(),
            "a plan with a process twice"
        );
    }

    /// A reload has no effect on what it does not change.
    fn check_untouched(&self, programs: &[Program], before: &Supervisor, effects: usize) {
        for program in programs {
            let same = before.program(&program.name).is_some_and(|old| {
                // Compared as text: a factor that is no number equals itself here.
                format!("{old:?}") == format!("{program:?}")
            });
            let processes = before.processes().filter(|p| p.program == program.name);
            for process in processes.filter(|p| same && !p.removed) {
                let mut caused = self.effects[effects..].iter();
                let touched = caused.find(|effect| concerns(effect) == Some(process.id));
                // Whether it can be touched by its policy alone is the shadow's to say; NaN
                // makes a policy differ from itself, which changes nothing.
                assert_eq!(touched, None, "{}: unchanged, yet touched", process.name);
            }
        }
    }

    /// Lets everything happen up to a time, or until nothing is left to happen.
    fn pass(&mut self, until: Option<Time>) {
        loop {
            let timeout = self.supervisor.poll_timeout();
            let happening = self.world.next_due();
            let next = match (timeout, happening) {
                (Some(timeout), Some(happening)) => timeout.min(happening),
                (Some(only), None) | (None, Some(only)) => only,
                (None, None) => break,
            };
            if until.is_some_and(|until| next > until) {
                break;
            }
            assert!(next >= self.now, "a timer in the past");
            self.now = next;
            // What is due at once comes in either order.
            let world_first = timeout != happening || self.random.percent(50);
            if happening == Some(next) && world_first {
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
                .find(|p| p.pid.is_some() && !p.killed);
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
                Effect::Signal { id, scope, .. } => self.world.signal(*id, *scope, now, random),
                Effect::Kill { id, scope } => self.world.kill(*id, *scope, now, random),
                Effect::Release { id, name } => {
                    let program = name.split(':').next().unwrap_or_default();
                    let policy = self.shadow.policy(program);
                    self.world.release(*id, policy);
                }
                Effect::Notify(_) | Effect::Reconfigured(_) | Effect::Finished => {}
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

fn concerns(effect: &Effect) -> Option<ProcessId> {
    match effect {
        Effect::Spawn(id) | Effect::Reconfigured(id) => Some(*id),
        Effect::Signal { id, .. } | Effect::Kill { id, .. } => Some(*id),
        Effect::Release { id, .. } => Some(*id),
        Effect::Notify(transition) => Some(transition.id),
        Effect::Finished => None,
    }
}

/// Delays come to their bound whatever the config makes of them.
#[test]
fn delays_never_exceed_their_bound() {
    let mut random = Random::new(7);
    for _ in 0..10_000 {
        let bits = random.next();
        let delays = RestartDelays {
            first: random.millis(100_000),
            factor: f64::from_bits(bits),
            max: random.millis(100_000),
            after_exit: Duration::ZERO,
        };
        let retry = random.next() as u32;
        assert!(
            delays.delay(retry) <= delays.max,
            "{delays:?} retry {retry}"
        );
    }
}
