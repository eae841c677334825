//! A stop under way: asks everything of a process to end, a part of it in each turn.
//!
//! The group of the leader gets a signal at once. What left that group is asked one by one: what is
//! below the leader, and the stragglers that surveys find. What is found late gets all signals so
//! far.

use crate::reactor::process::process_table::ProcessTable;
use crate::sys::descendants::{self, Stat};
use crate::sys::pidfd;
use std::collections::{BTreeSet, VecDeque};
use std::os::fd::AsFd;

/// Processes that one signal of a stop looks at. One that forks without end must not make the walk
/// endless; what is not asked gets SIGKILL later.
const LOOKS_MAX: usize = 10_000;

/// The signals of a stop, and the processes that get them.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// The group that gets signals at once.
    group: Option<i32>,
    /// The signals so far.
    signals: Vec<i32>,
    /// The processes that got all signals so far, one by one: pids and start times.
    asked: BTreeSet<(i32, u64)>,
    rounds: VecDeque<Round>,
}

/// Processes that are still to be asked.
#[derive(Debug, Default)]
struct Round {
    /// The signal for those that were asked before; without one, they are left alone.
    signal: Option<i32>,
    /// Pids and start times.
    single: Vec<(i32, u64)>,
    /// The walk below the leader, depth first.
    families: Vec<Family>,
    /// The parent of the last family is known to live.
    parent_lives: bool,
    looks: usize,
}

/// A parent, and its children that are still to be looked at.
#[derive(Debug)]
struct Family {
    parent: (i32, u64),
    children: Vec<i32>,
}

enum Step {
    Over,
    Nothing,
    Found(Stat),
}

impl Asking {
    /// Another signal for all of a process: for everything below its leader, which has it already
    /// with its group, and for the stragglers that are watched.
    pub(crate) fn add_signal(
        &mut self,
        table: &impl ProcessTable,
        signal: i32,
        leader: Option<i32>,
        watched: Vec<(i32, u64)>,
    ) {
        self.group = leader.or(self.group);
        self.signals.push(signal);
        let mut round = Round {
            signal: Some(signal),
            single: watched,
            ..Round::default()
        };
        if let Some(stat) = leader.and_then(|pid| table.stat(pid)) {
            round.enter(table, &stat);
        }
        self.rounds.push_back(round);
    }

    /// Stragglers that a survey found: those that were not asked before get all signals so far.
    /// Returns whether there are such.
    pub(crate) fn add_stragglers(&mut self, stats: &[Stat]) -> bool {
        let new = stats.iter().filter(|stat| self.group != Some(stat.pgid));
        let new = new.map(|stat| (stat.pid, stat.starttime));
        let single: Vec<_> = new.filter(|key| !self.asked.contains(key)).collect();
        let any = !single.is_empty();
        if any {
            self.rounds.push_back(Round {
                single,
                ..Round::default()
            });
        }
        any
    }

    /// Asks as many processes as there is time for, at least one. Returns whether all are asked.
    pub(crate) fn advance(
        &mut self,
        table: &impl ProcessTable,
        mut send: impl FnMut(&Stat, &[i32]),
        mut more: impl FnMut() -> bool,
    ) -> bool {
        // Parents may have ended since, and their pids may be reused.
        for round in &mut self.rounds {
            round.parent_lives = false;
        }
        while let Some(round) = self.rounds.front_mut() {
            match round.step(table) {
                Step::Over => {
                    self.rounds.pop_front();
                }
                Step::Nothing => {}
                Step::Found(stat) if self.group == Some(stat.pgid) || stat.is_dead() => {}
                Step::Found(stat) => {
                    let known = !self.asked.insert((stat.pid, stat.starttime));
                    match round.signal.filter(|_| known) {
                        Some(signal) => send(&stat, &[signal]),
                        None if known => {}
                        None => send(&stat, &self.signals),
                    }
                }
            }
            if !more() {
                break;
            }
        }
        self.rounds.is_empty()
    }
}

impl Round {
    /// Looks at one process.
    fn step(&mut self, table: &impl ProcessTable) -> Step {
        self.looks += 1;
        if self.looks > LOOKS_MAX {
            return Step::Over;
        }
        if let Some((pid, starttime)) = self.single.pop() {
            let stat = table.stat(pid);
            let same = stat.filter(|stat| stat.starttime == starttime);
            return same.map_or(Step::Nothing, Step::Found);
        }
        let Some(family) = self.families.last_mut() else {
            return Step::Over;
        };
        let parent = family.parent;
        let Some(child) = family.children.pop() else {
            self.leave();
            return Step::Nothing;
        };
        if !self.parent_lives {
            let stat = table.stat(parent.0);
            if stat.is_none_or(|stat| stat.starttime != parent.1) {
                // The daemon has adopted its children, and a survey finds them.
                self.leave();
                return Step::Nothing;
            }
            self.parent_lives = true;
        }
        match table.stat(child) {
            Some(stat) if stat.ppid == parent.0 => {
                self.enter(table, &stat);
                Step::Found(stat)
            }
            _ => Step::Nothing,
        }
    }

    fn enter(&mut self, table: &impl ProcessTable, parent: &Stat) {
        let children = table.children_of(parent.pid);
        if !children.is_empty() {
            self.families.push(Family {
                parent: (parent.pid, parent.starttime),
                children,
            });
            self.parent_lives = false;
        }
    }

    fn leave(&mut self) {
        self.families.pop();
        self.parent_lives = false;
    }
}

/// Sends a process signals, and continues it. One that has exited needs none; one that may not be
/// signalled is left to SIGKILL, which reports it.
pub(crate) fn signal_one(stat: &Stat, signals: &[i32]) {
    let Ok(process) = pidfd::open(stat.pid) else {
        return;
    };
    // The pid may have been reused.
    if descendants::stat(stat.pid).is_none_or(|now| now.starttime != stat.starttime) {
        return;
    }
    for signal in signals.iter().copied().chain([libc::SIGCONT]) {
        let _ = pidfd::signal(process.as_fd(), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    const TERM: i32 = libc::SIGTERM;
    const HUP: i32 = libc::SIGHUP;
    const LEADER: i32 = 100;

    /// Processes by pid: parent, group and start time.
    #[derive(Default)]
    struct FakeTable {
        all: RefCell<BTreeMap<i32, (i32, i32, u64)>>,
        stats: RefCell<usize>,
    }

    impl FakeTable {
        /// Processes as pid, parent and group; all started at once.
        fn of(all: &[(i32, i32, i32)]) -> FakeTable {
            let all = all.iter();
            let all = all.map(|(pid, parent, group)| (*pid, (*parent, *group, 1)));
            FakeTable {
                all: RefCell::new(all.collect()),
                ..FakeTable::default()
            }
        }
    }

    impl ProcessTable for FakeTable {
        fn children(&self) -> Vec<i32> {
            Vec::new()
        }

        fn stat(&self, pid: i32) -> Option<Stat> {
            *self.stats.borrow_mut() += 1;
            let (ppid, pgid, starttime) = *self.all.borrow().get(&pid)?;
            Some(Stat {
                pid,
                ppid,
                pgid,
                sid: pgid,
                state: 'S',
                starttime,
                name: Default::default(),
                layout: None,
            })
        }

        fn children_of(&self, pid: i32) -> Vec<i32> {
            let all = self.all.borrow();
            let children = all.iter().filter(|(_, (parent, ..))| *parent == pid);
            children.map(|(child, _)| *child).collect()
        }

        fn has_environment(&self, _: i32) -> bool {
            false
        }

        fn variable(&self, _: i32, _: &str) -> Option<String> {
            None
        }
    }

    fn asking(table: &FakeTable, watched: &[i32]) -> Asking {
        let mut asking = Asking::default();
        let watched = watched.iter().map(|pid| (*pid, 1)).collect();
        asking.add_signal(table, TERM, Some(LEADER), watched);
        asking
    }

    fn all_asked(asking: &mut Asking, table: &FakeTable) -> Vec<(i32, Vec<i32>)> {
        let mut sent = Vec::new();
        let send = |stat: &Stat, signals: &[i32]| sent.push((stat.pid, signals.to_vec()));
        assert!(asking.advance(table, send, || true));
        sent.sort();
        sent
    }

    #[test]
    fn what_left_the_group_is_asked_once_for_each_signal() {
        let table = FakeTable::of(&[
            (LEADER, 1, LEADER),
            (101, LEADER, LEADER),
            (102, 101, 102),
            (103, 102, 103),
            (200, 1, 200),
            (201, 1, 201),
            (300, 1, 300),
        ]);
        let mut asking = asking(&table, &[200]);
        let term = || vec![TERM];
        assert_eq!(
            all_asked(&mut asking, &table),
            [(102, term()), (103, term()), (200, term())]
        );
        let found: Vec<Stat> = [200, 201].map(|pid| table.stat(pid).unwrap()).to_vec();
        assert!(asking.add_stragglers(&found));
        assert_eq!(all_asked(&mut asking, &table), [(201, term())]);
        assert!(!asking.add_stragglers(&found));
        // A new child gets both signals, the others the second one.
        table.all.borrow_mut().insert(104, (103, 103, 1));
        asking.add_signal(&table, HUP, Some(LEADER), vec![(200, 1), (201, 1)]);
        let hup = || vec![HUP];
        let expected = [
            (102, hup()),
            (103, hup()),
            (104, vec![TERM, HUP]),
            (200, hup()),
            (201, hup()),
        ];
        assert_eq!(all_asked(&mut asking, &table), expected);
    }

    #[test]
    fn each_turn_asks_a_part() {
        let mut all = vec![(LEADER, 1, LEADER)];
        all.extend((0..3_000).map(|child| (1_000 + child, LEADER, 7)));
        let table = FakeTable::of(&all);
        let mut asking = asking(&table, &[]);
        let mut sent = 0;
        let mut turns = 0;
        let mut over = false;
        while !over {
            turns += 1;
            *table.stats.borrow_mut() = 0;
            let mut left = 9;
            let more = || {
                left -= 1;
                left > 0
            };
            over = asking.advance(&table, |_, _| sent += 1, more);
            assert!(*table.stats.borrow() <= 10, "{}", table.stats.borrow());
        }
        assert_eq!((sent, turns), (3_000, 3_000_usize.div_ceil(9)));
    }

    #[test]
    fn what_took_a_pid_meanwhile_is_not_asked() {
        let table = FakeTable::of(&[
            (LEADER, 1, LEADER),
            (101, LEADER, 101),
            (102, 101, 102),
            (103, 101, 103),
            (200, 1, 200),
        ]);
        let mut asking = asking(&table, &[200]);
        {
            let mut all = table.all.borrow_mut();
            // A straggler has ended; another process has its pid.
            all.insert(200, (1, 200, 2));
        }
        let mut sent = Vec::new();
        let mut send = |stat: &Stat, _: &[i32]| sent.push(stat.pid);
        // The straggler, and the child of the leader.
        assert!(!asking.advance(&table, &mut send, || false));
        assert!(!asking.advance(&table, &mut send, || false));
        {
            let mut all = table.all.borrow_mut();
            // The child has ended as well, and another process with a child has its pid.
            all.insert(101, (1, 101, 2));
            all.insert(103, (101, 103, 2));
            all.insert(102, (1, 102, 1));
        }
        while !asking.advance(&table, &mut send, || false) {}
        assert_eq!(sent, [101]);
    }

    #[test]
    fn a_chain_without_end_ends() {
        let endless: Vec<_> = (0..LOOKS_MAX as i32 * 2)
            .map(|child| (LEADER + child, LEADER + child - 1, LEADER + child))
            .collect();
        let table = FakeTable::of(&endless);
        let mut asking = asking(&table, &[]);
        let mut sent = 0;
        assert!(asking.advance(&table, |_, _| sent += 1, || true));
        assert!(sent <= LOOKS_MAX, "{sent}");
    }
}
