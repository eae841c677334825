//! A world of misbehaving processes: they die at any moment, ignore signals, fail to start,
//! leave others behind, and report late.

use super::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use taskmaster::supervisor::*;

/// How long the daemon waits for the answer of a child.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Pending happenings and reports, in order of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The answer to a spawn.
    Answer(ProcessId),
    /// The answer to a spawn whose child never answered: the daemon gave it up.
    GivenUp(ProcessId),
    /// The answer to a spawn that the supervisor cancelled.
    Cancelled(ProcessId),
    /// A signal to the leader with this pid is refused.
    Refused(ProcessId, i32, i32),
    /// The leader with this pid dies, if it still lives: with a code, or by a signal.
    Death(ProcessId, i32, i32, bool),
    /// The daemon learns of the death.
    Notice(ProcessId),
    /// The daemon counts the stragglers.
    Count(ProcessId),
    /// A straggler dies.
    StragglerDeath(ProcessId, u64),
}

#[derive(Debug, Default)]
struct Body {
    spawning: bool,
    leader: Option<Leader>,
    stragglers: Vec<Straggler>,
    count_due: bool,
    /// The daemon kills its leader and stragglers until none is left.
    killing: bool,
}

#[derive(Debug)]
struct Leader {
    pid: i32,
    dead: Option<Exit>,
    ignores: bool,
    /// It has become another user, so that no signal may be sent to it.
    unkillable: bool,
    /// The stragglers that it will leave behind.
    children: Vec<Straggler>,
}

#[derive(Debug, Clone)]
struct Straggler {
    number: u64,
    ignores: bool,
}

#[derive(Default)]
pub struct World {
    bodies: BTreeMap<ProcessId, Body>,
    due: BTreeSet<(Time, u64, Due)>,
    count: u64,
    /// Leaders that have lived.
    pub lifetimes: u64,
    /// Whether every new process behaves well.
    pub calm: bool,
    /// From then on every start fails.
    pub doomed: bool,
}

impl World {
    pub fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(time, _, _)| *time)
    }

    /// Takes the next happening, and the events the daemon sees of it.
    pub fn happen(&mut self, now: Time, random: &mut Random) -> Vec<Event> {
        let Some((_, _, due)) = self.due.pop_first() else {
            return Vec::new();
        };
        match due {
            Due::Answer(id) => vec![self.answer(id, now, random)],
            Due::GivenUp(id) => vec![self.fail(id, "no answer within 10 s", 110)],
            // Its child may have exec'd at the last moment.
            Due::Cancelled(id) if random.percent(30) => vec![self.answer(id, now, random)],
            Due::Cancelled(id) => vec![self.fail(id, "Operation canceled", 125)],
            Due::Refused(id, pid, signal) => self.refuse(id, pid, signal).into_iter().collect(),
            Due::Death(id, pid, number, by_signal) => {
                let exit = match by_signal {
                    true => Exit::Signal {
                        signal: number,
                        core: false,
                    },
                    false => Exit::Code(number),
                };
                self.death(id, pid, exit, now, random);
                Vec::new()
            }
            Due::Notice(id) => self.notice(id, now, random),
            Due::Count(id) => self.tell_count(id).into_iter().collect(),
            Due::StragglerDeath(id, number) => self.straggler_death(id, number),
        }
    }

    pub fn spawn(&mut self, id: ProcessId, now: Time, random: &mut Random) {
        let body = self.bodies.entry(id).or_default();
        assert!(!body.spawning, "{id:?} is spawned while its spawn is out");
        assert!(
            body.leader.is_none(),
            "{id:?} is spawned beside its living leader"
        );
        body.spawning = true;
        body.killing = false;
        // A disk that hangs, or a stop signal, holds up the child at some step.
        if random.percent(2) && !self.calm {
            return self.later(now + ANSWER_MAX, Due::GivenUp(id));
        }
        let longest = if random.percent(3) { 3000 } else { 40 };
        let delay = random.millis(longest);
        self.later(now + delay, Due::Answer(id));
    }

    /// The daemon kills the child of a start, and answers at once.
    pub fn cancel(&mut self, id: ProcessId, now: Time) {
        assert!(self.body(id).spawning, "{id:?}: a cancel without a spawn");
        let answer = |due: &Due| matches!(due, Due::Answer(of) | Due::GivenUp(of) if *of == id);
        self.due.retain(|(_, _, due)| !answer(due));
        self.later(now, Due::Cancelled(id));
    }

    pub fn signal(
        &mut self,
        id: ProcessId,
        signal: i32,
        scope: SignalScope,
        now: Time,
        random: &mut Random,
    ) {
        let body = self.bodies.get(&id).expect("a signal to what never ran");
        let leader = body.leader.as_ref();
        let mut deaths = Vec::new();
        let mut refused = None;
        if let Some(leader) = leader {
            refused = leader.unkillable.then_some(leader.pid);
            if !leader.ignores && refused.is_none() {
                deaths.push(match random.percent(50) {
                    true => Due::Death(id, leader.pid, 15, true),
                    false => Due::Death(id, leader.pid, random.below(3) as i32, false),
                });
            }
        }
        if scope == SignalScope::Group {
            let children = leader.map_or(&[][..], |leader| &leader.children);
            let reached = body.stragglers.iter().chain(children);
            let reached = reached.filter(|s| !s.ignores);
            deaths.extend(reached.map(|s| Due::StragglerDeath(id, s.number)));
        } else {
            assert!(leader.is_some(), "{id:?}: a signal without a leader");
        }
        if let Some(pid) = refused {
            self.later(now, Due::Refused(id, pid, signal));
        }
        for death in deaths {
            let delay = random.millis(1500);
            self.later(now + delay, death);
        }
    }

    pub fn kill(&mut self, id: ProcessId, scope: SignalScope, now: Time, random: &mut Random) {
        let body = self.bodies.get_mut(&id).expect("a kill of what never ran");
        let mut deaths = Vec::new();
        let mut refused = None;
        if let Some(leader) = &body.leader {
            match leader.unkillable {
                true => refused = Some(leader.pid),
                false => deaths.push(Due::Death(id, leader.pid, 9, true)),
            }
        }
        if scope == SignalScope::Group {
            body.killing = true;
            deaths.extend(
                body.stragglers
                    .iter()
                    .map(|s| Due::StragglerDeath(id, s.number)),
            );
        }
        if let Some(pid) = refused {
            self.later(now, Due::Refused(id, pid, 9));
        }
        for death in deaths {
            let delay = random.millis(30);
            self.later(now + delay, death);
        }
    }

    /// Root ends every leader that the daemon cannot signal.
    pub fn end_unkillable(&mut self, now: Time) {
        let leaders = self.bodies.iter().filter_map(|(id, body)| {
            let leader = body.leader.as_ref().filter(|leader| leader.unkillable)?;
            Some(Due::Death(*id, leader.pid, 9, true))
        });
        for death in leaders.collect::<Vec<_>>() {
            self.later(now, death);
        }
    }

    /// Whether the daemon can signal its leader, if it has one.
    pub fn is_unkillable(&self, id: ProcessId) -> bool {
        let leader = self.bodies.get(&id).and_then(|body| body.leader.as_ref());
        leader.is_some_and(|leader| leader.unkillable)
    }

    /// Another user or `tm signal` kills its leader or a straggler.
    pub fn strike(&mut self, id: ProcessId, now: Time, random: &mut Random) {
        let Some(body) = self.bodies.get(&id) else {
            return;
        };
        let mut deaths = Vec::new();
        if let Some(leader) = &body.leader {
            deaths.push(Due::Death(id, leader.pid, random.pick(&[1, 9, 11]), true));
        }
        if let Some(straggler) = body.stragglers.first() {
            deaths.push(Due::StragglerDeath(id, straggler.number));
        }
        for death in deaths {
            if random.percent(70) {
                let delay = random.millis(30);
                self.later(now + delay, death);
            }
        }
    }

    /// Fails unless the process that the daemon has forgotten is gone.
    pub fn release(&mut self, id: ProcessId, policy: &Policy) {
        if self.bodies.contains_key(&id) {
            self.expect_gone(id, policy);
            self.bodies.remove(&id);
            self.due.retain(|(_, _, due)| due.id() != id);
        }
    }

    /// Fails if a part of it is left that its kill mode ends.
    pub fn expect_gone(&self, id: ProcessId, policy: &Policy) {
        let Some(body) = self.bodies.get(&id) else {
            return;
        };
        assert!(!body.spawning, "{id:?} is down while its spawn is out");
        assert!(
            body.leader.is_none(),
            "{id:?} is down while its leader lives"
        );
        self.expect_no_stragglers(id, policy);
    }

    /// Fails if stragglers are left that its kill mode ends.
    pub fn expect_no_stragglers(&self, id: ProcessId, policy: &Policy) {
        let left = self
            .bodies
            .get(&id)
            .map_or(&[][..], |body| &body.stragglers);
        let swept = policy.killmode != KillMode::Process;
        assert!(!swept || left.is_empty(), "{id:?} left {left:?}");
    }

    /// Returns the pid that the daemon must know, if any.
    pub fn pid(&self, id: ProcessId) -> Option<i32> {
        self.bodies
            .get(&id)?
            .leader
            .as_ref()
            .map(|leader| leader.pid)
    }

    fn later(&mut self, time: Time, due: Due) {
        self.count += 1;
        self.due.insert((time, self.count, due));
    }

    fn answer(&mut self, id: ProcessId, now: Time, random: &mut Random) -> Event {
        let calm = self.calm;
        let fails = if calm {
            self.doomed
        } else {
            random.percent(15)
        };
        if fails {
            return self.fail(id, "No such file or directory", 2);
        }
        self.count += 1;
        self.lifetimes += 1;
        let pid = self.count as i32;
        let mut children = Vec::new();
        for _ in 0..random.below(3) {
            self.count += 1;
            children.push(Straggler {
                number: self.count,
                ignores: random.percent(40),
            });
        }
        let leader = Leader {
            pid,
            dead: None,
            ignores: random.percent(30),
            unkillable: !calm && random.percent(1),
            children: if random.percent(40) {
                children
            } else {
                Vec::new()
            },
        };
        let body = self.body(id);
        body.spawning = false;
        body.leader = Some(leader);
        if !calm && random.percent(85) {
            let longest = random.pick(&[0, 90, 150, 1500, 20_000]);
            let lifetime = random.millis(longest);
            let death = Due::Death(id, pid, random.below(3) as i32, random.percent(20));
            self.later(now + lifetime, death);
        }
        Event::Spawned { id, pid }
    }

    /// A child that died or failed at some step.
    fn fail(&mut self, id: ProcessId, error: &str, errno: i32) -> Event {
        self.body(id).spawning = false;
        let failure = SpawnFailure {
            step: "exec /bin/a".to_string(),
            error: error.to_string(),
            errno,
        };
        Event::SpawnFailed { id, failure }
    }

    fn refuse(&mut self, id: ProcessId, pid: i32, signal: i32) -> Option<Event> {
        let leader = self.bodies.get(&id)?.leader.as_ref()?;
        let failure = SignalFailure {
            signal,
            error: "Operation not permitted".to_string(),
            errno: 1,
        };
        (leader.pid == pid).then_some(Event::SignalFailed { id, failure })
    }

    fn death(&mut self, id: ProcessId, pid: i32, exit: Exit, now: Time, random: &mut Random) {
        let Some(leader) = &mut self.body(id).leader else {
            return;
        };
        if leader.pid == pid && leader.dead.is_none() {
            leader.dead = Some(exit);
            let delay = random.millis(30);
            self.later(now + delay, Due::Notice(id));
        }
    }

    fn notice(&mut self, id: ProcessId, now: Time, random: &mut Random) -> Vec<Event> {
        // The stragglers of one leader are reported before the end of the next.
        let mut events: Vec<Event> = self.tell_count(id).into_iter().collect();
        let body = self.body(id);
        let Some(leader) = body.leader.take() else {
            return events;
        };
        let exit = leader.dead.unwrap_or(Exit::Code(0));
        events.push(Event::Exited { id, exit });
        let killing = body.killing;
        let numbers: Vec<u64> = leader.children.iter().map(|child| child.number).collect();
        body.stragglers.extend(leader.children);
        body.count_due = true;
        if killing || random.percent(30) {
            for number in numbers {
                let delay = random.millis(if killing { 30 } else { 5000 });
                self.later(now + delay, Due::StragglerDeath(id, number));
            }
        }
        let delay: Duration = random.millis(50);
        self.later(now + delay, Due::Count(id));
        events
    }

    fn tell_count(&mut self, id: ProcessId) -> Option<Event> {
        let body = self.body(id);
        std::mem::take(&mut body.count_due).then(|| body.remains(id))
    }

    fn straggler_death(&mut self, id: ProcessId, number: u64) -> Vec<Event> {
        let body = self.body(id);
        if let Some(leader) = &mut body.leader {
            leader.children.retain(|child| child.number != number);
        }
        let before = body.stragglers.len();
        body.stragglers
            .retain(|straggler| straggler.number != number);
        if body.stragglers.len() == before || body.count_due {
            return Vec::new();
        }
        vec![body.remains(id)]
    }

    fn body(&mut self, id: ProcessId) -> &mut Body {
        self.bodies.entry(id).or_default()
    }
}

impl Body {
    fn remains(&self, id: ProcessId) -> Event {
        Event::Remains {
            id,
            stragglers: self.stragglers.len() as u32,
        }
    }
}

impl Due {
    fn id(&self) -> ProcessId {
        match self {
            Due::Answer(id) | Due::GivenUp(id) | Due::Cancelled(id) => *id,
            Due::Notice(id) | Due::Count(id) => *id,
            Due::Death(id, ..) | Due::StragglerDeath(id, _) | Due::Refused(id, ..) => *id,
        }
    }
}
