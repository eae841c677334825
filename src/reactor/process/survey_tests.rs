//! Tests of the survey, over a process table that changes between passes.

use super::*;
use crate::supervisor::{Autostart, Launch, Policy, Process, Program};
use crate::sys::descendants::{Layout, Name};
use std::cell::RefCell;
use std::collections::VecDeque;

const WEB: ProcessId = ProcessId(0);
const CHAINED: ProcessId = ProcessId(1);
/// A past leader, which is reaped.
const LEADER: i32 = 5_000;
const SOCKET: &str = "/run/x.sock";

/// Below this process is a chain of others without end.
const CHAIN: i32 = 666;

/// The pids of the chain follow this one.
const CHAIN_BEGIN: i32 = 1_000_000;

/// A process of the table: pid, group, and the name in its environment.
#[derive(Debug, Clone, Copy)]
struct TableEntry {
    pid: i32,
    pgid: i32,
    name: Option<&'static str>,
    layout: Option<Layout>,
    command: Name,
    dead: bool,
}

fn entry(pid: i32) -> TableEntry {
    TableEntry {
        pid,
        pgid: pid,
        name: None,
        layout: None,
        command: Name::default(),
        dead: false,
    }
}

/// Lists of children, one for each look; the last one stays.
struct FakeTable {
    looks: RefCell<VecDeque<Vec<TableEntry>>>,
    all: Vec<TableEntry>,
}

impl FakeTable {
    fn new(looks: &[&[TableEntry]]) -> FakeTable {
        let all = looks.concat();
        let looks = looks.iter().map(|look| look.to_vec());
        FakeTable {
            looks: RefCell::new(looks.collect()),
            all,
        }
    }

    fn entry(&self, pid: i32) -> Option<TableEntry> {
        let mut all = self.all.iter();
        all.find(|entry| entry.pid == pid).copied()
    }
}

impl ProcessTable for FakeTable {
    fn children(&self) -> Vec<i32> {
        let mut looks = self.looks.borrow_mut();
        let pids = looks.front().into_iter().flatten().map(|entry| entry.pid);
        let pids = pids.collect();
        if looks.len() > 1 {
            let _ = looks.pop_front();
        }
        pids
    }

    fn stat(&self, pid: i32) -> Option<Stat> {
        if pid == LEADER {
            return None;
        }
        // A chain's processes are in no look.
        let entry = self.entry(pid).unwrap_or(entry(pid));
        Some(Stat {
            pid,
            ppid: match pid - CHAIN_BEGIN {
                1 => CHAIN,
                2.. => pid - 1,
                _ => 1,
            },
            pgid: entry.pgid,
            sid: entry.pgid,
            state: if entry.dead { 'Z' } else { 'S' },
            starttime: 1,
            name: entry.command,
            layout: entry.layout,
        })
    }

    fn children_of(&self, pid: i32) -> Vec<i32> {
        // Below this one is a chain without end: each has a child.
        let chain = pid == CHAIN || pid > CHAIN_BEGIN;
        let child = chain.then(|| pid.max(CHAIN_BEGIN) + 1);
        child.into_iter().collect()
    }

    fn has_environment(&self, pid: i32) -> bool {
        self.entry(pid).is_some_and(|entry| entry.name.is_some())
    }

    fn variable(&self, pid: i32, name: &str) -> Option<String> {
        match name {
            "TM_PROCESS" => self.entry(pid)?.name.map(str::to_string),
            "TM_SOCKET" => Some(SOCKET.to_string()),
            _ => None,
        }
    }
}

fn processes() -> Processes {
    let program = Program {
        name: "web".to_string(),
        numprocs: 1,
        autostart: Autostart::Yes,
        policy: Policy::default(),
        launch: Launch::default(),
        vars: BTreeMap::new(),
    };
    let mut processes = Processes::default();
    processes.add(&Process::new(WEB, &program, 0, Time::default()));
    let io = processes.io_mut(WEB).expect("added");
    io.past_leaders.push(LEADER);
    processes
}

fn at(millis: u64) -> Time {
    Time(Duration::from_millis(millis))
}

fn run(survey: &mut Survey, looks: &[&[TableEntry]], now: Time) -> SurveyResult {
    let processes = processes();
    let owners = Owners {
        processes: &processes,
        find: &|name| (name == "web:0").then_some(WEB),
        leaf: &|_| None,
        socket: SOCKET,
    };
    survey.run(&FakeTable::new(looks), &owners, now)
}

fn pids(found: &SurveyResult) -> Vec<i32> {
    let stragglers = found.stragglers_of(WEB).iter();
    stragglers.map(|stat| stat.pid).collect()
}

#[test]
fn with_nothing_adopted_nothing_is_left() {
    let found = run(&mut Survey::default(), &[&[]], at(0));
    assert!(found.is_final);
    assert!(pids(&found).is_empty());
}

#[test]
fn a_straggler_is_found_by_its_group() {
    let straggler = TableEntry {
        pgid: LEADER,
        name: Some("other:0"),
        ..entry(7)
    };
    let found = run(&mut Survey::default(), &[&[straggler]], at(0));
    assert!(found.is_final);
    assert_eq!(pids(&found), [7]);
}

#[test]
fn a_straggler_in_its_own_session_is_found_by_its_environment() {
    let straggler = TableEntry {
        name: Some("web:0"),
        ..entry(7)
    };
    let found = run(&mut Survey::default(), &[&[straggler]], at(0));
    assert_eq!(pids(&found), [7]);
    let stranger = TableEntry {
        name: Some("unknown:0"),
        ..entry(7)
    };
    let found = run(&mut Survey::default(), &[&[stranger]], at(0));
    assert!(pids(&found).is_empty());
    assert!(found.is_final);
}

#[test]
fn zombies_are_listed_but_not_left() {
    let zombie = TableEntry {
        pgid: LEADER,
        name: Some("web:0"),
        dead: true,
        ..entry(7)
    };
    let found = run(&mut Survey::default(), &[&[zombie]], at(0));
    assert!(found.is_final);
    assert!(pids(&found).is_empty());
}

#[test]
fn a_result_counts_only_when_two_looks_agree() {
    let named = |pid| TableEntry {
        name: Some("web:0"),
        ..entry(pid)
    };
    // 7 forks 8 and exits during the first pass.
    let (first, then) = ([named(7)], [named(8)]);
    let found = run(&mut Survey::default(), &[&first, &then], at(0));
    assert!(found.is_final);
    assert_eq!(pids(&found), [8]);
    let looks: Vec<Vec<TableEntry>> = (0..20).map(|pid| vec![named(pid)]).collect();
    let looks: Vec<&[TableEntry]> = looks.iter().map(Vec::as_slice).collect();
    let found = run(&mut Survey::default(), &looks, at(0));
    assert!(!found.is_final_for(WEB));
}

#[test]
fn a_process_in_the_middle_of_an_exec_is_waited_for() {
    let mut survey = Survey::default();
    let bare: [TableEntry; 1] = [entry(7)];
    assert!(!run(&mut survey, &[&bare], at(0)).is_final);
    assert!(!run(&mut survey, &[&bare], at(49)).is_final);
    // It has no environment at all: it is not in the middle of an exec.
    assert!(run(&mut survey, &[&bare], at(50)).is_final);
}

fn advance(survey: &mut Survey, table: &FakeTable) -> Option<(BTreeSet<ProcessId>, SurveyResult)> {
    let processes = processes();
    let owners = Owners {
        processes: &processes,
        find: &|name| match name {
            "web:0" => Some(WEB),
            "chain:0" => Some(CHAINED),
            _ => None,
        },
        leaf: &|_| None,
        socket: SOCKET,
    };
    survey.advance(table, &owners, at(0), &|| false)
}

#[test]
fn a_survey_continues_in_the_next_turn() {
    let many: Vec<TableEntry> = (7..107)
        .map(|pid| TableEntry {
            name: Some("web:0"),
            ..entry(pid)
        })
        .collect();
    let table = FakeTable::new(&[&many]);
    let mut survey = Survey::default();
    survey.add(WEB);
    let mut turns = 1;
    let (due, found) = loop {
        match advance(&mut survey, &table) {
            Some(result) => break result,
            None => turns += 1,
        }
        // It exited after the survey began: it needs another one.
        survey.add(ProcessId(9));
        assert!(survey.is_due());
    };
    assert!(turns > 200, "{turns}");
    assert_eq!(due, [WEB].into());
    assert_eq!(pids(&found).len(), 100);
    assert!(found.is_final_for(WEB));
    assert!(survey.is_due());
}

#[test]
fn a_chain_without_end_is_cut() {
    let chain = TableEntry {
        name: Some("web:0"),
        ..entry(CHAIN)
    };
    let found = run(&mut Survey::default(), &[&[chain]], at(0));
    assert!(!found.is_final);
    assert_eq!(pids(&found).len(), BELOW_MAX);
}

#[test]
fn a_process_that_forks_does_not_keep_another_waiting() {
    let chain = |pid| TableEntry {
        name: Some("chain:0"),
        ..entry(pid)
    };
    let looks: Vec<Vec<TableEntry>> = (10..30).map(|pid| vec![chain(pid)]).collect();
    let looks: Vec<&[TableEntry]> = looks.iter().map(Vec::as_slice).collect();
    let table = FakeTable::new(&looks);
    let mut survey = Survey::default();
    survey.add(WEB);
    let (_, found) = loop {
        if let Some(result) = advance(&mut survey, &table) {
            break result;
        }
    };
    assert!(survey.counts(WEB, &found, at(0)));
    // It has stragglers, which count. Without any it would have to wait.
    assert!(survey.counts(CHAINED, &found, at(0)));
    let found = SurveyResult {
        by_process: BTreeMap::new(),
        ..found
    };
    assert!(!survey.counts(CHAINED, &found, at(0)));
    assert!(!survey.counts(CHAINED, &found, at(499)));
    assert!(survey.counts(CHAINED, &found, at(500)));
}

const LAYOUT: Layout = Layout([1, 2, 3, 4]);

fn stat_of(entry: &TableEntry) -> Stat {
    let table = FakeTable::new(&[&[*entry]]);
    table.stat(entry.pid).expect("it is in the table")
}

#[test]
fn a_process_that_cannot_be_inspected_is_found_by_the_name_of_its_leader() {
    const AGENT: Name = *b"agent\0\0\0\0\0\0\0\0\0\0\0";
    let mut processes = processes();
    processes.io_mut(WEB).expect("added").names.push(AGENT);
    let owners = Owners {
        processes: &processes,
        find: &|name| (name == "chain:0").then_some(CHAINED),
        leaf: &|_| None,
        socket: SOCKET,
    };
    let hidden = TableEntry {
        command: AGENT,
        ..entry(7)
    };
    let open = TableEntry {
        name: Some("chain:0"),
        ..hidden
    };
    let other = entry(9);
    let open = TableEntry {
        pid: 8,
        pgid: 8,
        ..open
    };
    let table = FakeTable::new(&[&[hidden, open, other]]);
    let found = Survey::default().run(&table, &owners, at(0));
    assert_eq!(pids(&found), [7], "a readable environment decides");
}

#[test]
fn a_fork_is_found_by_the_layout_of_its_leader() {
    let mut processes = processes();
    processes.io_mut(WEB).expect("added").layouts.push(LAYOUT);
    let owners = Owners {
        processes: &processes,
        find: &|name| (name == "chain:0").then_some(CHAINED),
        leaf: &|_| None,
        socket: SOCKET,
    };
    let fork = TableEntry {
        layout: Some(LAYOUT),
        // A claim decides nothing against another mark.
        name: Some("chain:0"),
        ..entry(7)
    };
    let found = Survey::default().run(&FakeTable::new(&[&[fork]]), &owners, at(0));
    assert_eq!(pids(&found), [7]);
    assert!(found.stragglers_of(CHAINED).is_empty());
}

#[test]
fn a_layout_that_two_processes_have_says_nothing() {
    let mut marks = Marks::default();
    let fork = TableEntry {
        layout: Some(LAYOUT),
        ..entry(7)
    };
    marks.add(Party::Process(WEB), &stat_of(&fork));
    let twin = TableEntry { pid: 8, ..fork };
    let owner = |marks: &Marks, entry: TableEntry| {
        let processes = Processes::default();
        let owners = Owners {
            processes: &processes,
            find: &|_| None,
            leaf: &|_| None,
            socket: SOCKET,
        };
        marks.owner(&FakeTable::new(&[]), &owners, &stat_of(&entry))
    };
    let other = TableEntry {
        pid: 9,
        pgid: 9,
        ..fork
    };
    assert_eq!(owner(&marks, other), Some(Party::Process(WEB)));
    marks.add(Party::Process(CHAINED), &stat_of(&twin));
    assert_eq!(owner(&marks, other), None);
    // An attribution stays.
    assert_eq!(owner(&marks, fork), Some(Party::Process(WEB)));
}

#[test]
fn what_one_survey_attributed_another_knows() {
    let mut survey = Survey::default();
    let member = TableEntry {
        name: Some("web:0"),
        ..entry(7)
    };
    assert_eq!(pids(&run(&mut survey, &[&[member]], at(0))), [7]);
    // It has a new group, and its environment names another process.
    let changed = TableEntry {
        pgid: 70,
        name: Some("other:0"),
        ..member
    };
    assert_eq!(pids(&run(&mut survey, &[&[changed]], at(1))), [7]);
    // So has its child, which is adopted later.
    let child = TableEntry { pid: 8, ..changed };
    assert_eq!(pids(&run(&mut survey, &[&[child]], at(2))), [8]);
    assert!(pids(&run(&mut survey, &[&[]], at(3))).is_empty());
    assert!(pids(&run(&mut survey, &[&[changed]], at(4))).is_empty());
}

#[test]
fn what_was_there_before_is_no_straggler() {
    let before = TableEntry {
        name: Some("web:0"),
        ..entry(7)
    };
    let mut survey = Survey::sparing(&[stat_of(&before)]);
    let found = run(&mut survey, &[&[before]], at(0));
    assert!(found.is_final);
    assert!(pids(&found).is_empty());
    assert!(survey.may_be_bystander(&stat_of(&before)));
    // Whether this one came from it or from a process is not known.
    assert!(survey.may_be_bystander(&stat_of(&entry(9))));
    let ours = TableEntry {
        name: Some("web:0"),
        ..entry(8)
    };
    assert_eq!(pids(&run(&mut survey, &[&[before, ours]], at(0))), [8]);
    assert!(!survey.may_be_bystander(&stat_of(&ours)));
    assert!(!Survey::default().may_be_bystander(&stat_of(&entry(9))));
}

#[test]
fn a_cgroup_decides_first() {
    let processes = processes();
    let owners = |leaf| Owners {
        processes: &processes,
        find: &|name| (name == "chain:0").then_some(CHAINED),
        leaf,
        socket: SOCKET,
    };
    // Its group is that of a leader, and its environment names another process.
    let hidden = TableEntry {
        pgid: LEADER,
        name: Some("chain:0"),
        ..entry(7)
    };
    let marks = Marks::new(&FakeTable::new(&[]), &processes, &Attributed::new());
    let owner = |leaf| {
        marks.owner(
            &FakeTable::new(&[&[hidden]]),
            &owners(leaf),
            &stat_of(&hidden),
        )
    };
    assert_eq!(owner(&|_| None), Some(Party::Process(WEB)));
    let outside = TableEntry { pgid: 7, ..hidden };
    let owner = |leaf| {
        marks.owner(
            &FakeTable::new(&[&[outside]]),
            &owners(leaf),
            &stat_of(&outside),
        )
    };
    assert_eq!(owner(&|_| None), Some(Party::Process(CHAINED)));
    assert_eq!(owner(&|_| Some(WEB)), Some(Party::Process(WEB)));
    // The process of that cgroup is gone: the other marks decide.
    assert_eq!(
        owner(&|_| Some(ProcessId(99))),
        Some(Party::Process(CHAINED))
    );
}
