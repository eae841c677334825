//! The supervisor against a world of misbehaving processes and restless users, in virtual time.
//!
//! Each seed is one story of some thirty virtual seconds, often a calm after it, and a shutdown.
//! At least `TMD_SIM_SEEDS` (5000) stories run, until `TMD_SIM_LIFETIMES` (0) processes have lived.
//! `TMD_SIM_SEED` runs a single story and prints its events.

#[path = "simulation/clock.rs"]
mod clock;
#[path = "simulation/compare.rs"]
mod compare;
#[path = "simulation/config.rs"]
mod config;
#[path = "simulation/plans.rs"]
mod plans;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/rules.rs"]
mod rules;
#[path = "simulation/shadow.rs"]
mod shadow;
#[path = "simulation/story.rs"]
mod story;
#[path = "simulation/world.rs"]
mod world;

use random::Random;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use story::tell;
use taskmaster::supervisor::*;

const SEEDS: u64 = 5000;

#[test]
fn every_seed_keeps_the_rules() {
    if let Some(seed) = from_environment("TMD_SIM_SEED") {
        tell(seed, true);
        return;
    }
    let seeds = from_environment("TMD_SIM_SEEDS").unwrap_or(SEEDS);
    let enough = from_environment("TMD_SIM_LIFETIMES").unwrap_or(0);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let (events, lifetimes) = (AtomicU64::new(0), AtomicU64::new(0));
    let some = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds && lifetimes.load(Ordering::Relaxed) >= enough {
                return;
            }
            let _replay = Replay(seed, &failed);
            let story = tell(seed, false);
            events.fetch_add(story.events, Ordering::Relaxed);
            lifetimes.fetch_add(story.lifetimes(), Ordering::Relaxed);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(some);
        }
    });
    let told = next.load(Ordering::Relaxed) - threads as u64;
    println!("{told} seeds, {events:?} events, {lifetimes:?} lifetimes");
}

/// Prints how to reproduce a failure.
struct Replay<'a>(u64, &'a AtomicBool);

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.1.store(true, Ordering::Relaxed);
            let seed = self.0;
            eprintln!("replay: TMD_SIM_SEED={seed} cargo test --test simulation every_seed");
        }
    }
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

/// Delays stay within their bound for any config.
#[test]
fn delays_never_exceed_their_bound() {
    let mut random = Random::new(7);
    for _ in 0..10_000 {
        let bits = random.next();
        let delays = RestartDelays {
            initial: random.millis(100_000),
            burst: 3,
            factor: f64::from_bits(bits),
            max: random.millis(100_000),
            jitter: f64::from_bits(random.next()),
        };
        let retry = random.next() as u32;
        let chance = jitter_chance(ProcessId(retry), Time(delays.max));
        assert!(
            delays.delay(retry, chance) <= delays.max,
            "{delays:?} retry {retry}"
        );
    }
}

/// With the defaults: 1, 2, 4 … seconds, never more than 60.
#[test]
fn the_default_delays_double_up_to_a_minute() {
    let retries = [1, 2, 4, 8, 16, 32, 60, 60];
    let program = Program {
        name: "a".to_string(),
        numprocs: 1,
        autostart: Autostart::Yes,
        policy: Policy {
            startretries: retries.len() as u32,
            restart: RestartDelays {
                jitter: 0.0,
                ..RestartDelays::default()
            },
            ..Policy::default()
        },
        launch: Launch::default(),
        vars: Default::default(),
    };
    let mut supervisor = Supervisor::new();
    let mut now = Time::default();
    supervisor.handle_event(Event::Configure(vec![program]), now);
    let mut starts = Vec::new();
    loop {
        while let Some(effect) = supervisor.poll_effect() {
            if let Effect::Spawn(id) = effect {
                starts.push(now.0.as_secs());
                let failure = SpawnFailure {
                    step: "exec a".to_string(),
                    error: "No such file or directory".to_string(),
                    errno: 2,
                };
                supervisor.handle_event(Event::SpawnFailed { id, failure }, now);
            }
        }
        let Some(due) = supervisor.poll_timeout() else {
            break;
        };
        now = due;
        supervisor.handle_timeout(now);
    }
    let delays: Vec<u64> = starts.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(delays, retries);
    let process = supervisor.processes().next().expect("the process");
    assert_eq!((process.state, process.failures), (State::Fatal, 9));
}
